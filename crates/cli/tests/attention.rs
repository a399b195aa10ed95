//! `netwright attention`: what it writes, and what it refuses.

mod common;

use common::{in_repository, netwright};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Output;
use tempfile::TempDir;

fn attention(folder: &Path, arguments: &[&str]) -> Output {
    netwright(folder, &[&["attention"], arguments].concat())
}

fn path(path: &str) -> String {
    in_repository(path).to_str().expect("UTF-8").to_owned()
}

fn refuses(folder: &Path, arguments: &[&str], expected: &str) {
    let output = attention(folder, arguments);
    let text = String::from_utf8_lossy(&output.stderr);
    let is_expected =
        text.split_once("]: ").is_some_and(|(code, rest)| code.starts_with("error[NW") && rest.starts_with(expected));
    assert!(!output.status.success() && is_expected, "{arguments:?}: {text}");
    assert!(output.stdout.is_empty() && text.contains("\n  help: "), "{arguments:?}: {text}");
}

/// Rows sum to 1, and the same call writes the same bytes.
#[test]
fn dates_are_drawn() {
    let folder = TempDir::new().expect("a folder");
    let dates = path("examples/dates");
    let call = [&*dates, "--text", "March 3, 1987", "--decoder-text", "1987-03-03", "--json", "-o"];
    for (file, parts) in [("a.html", ["<canvas", "</html>"]), ("a.svg", ["<svg", "</svg>"])] {
        let write = || {
            let output = attention(folder.path(), &[&call[..], &[file]].concat());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            (output.stdout, fs::read(folder.path().join(file)).expect("it is written"))
        };
        let (data, written) = write();
        assert_eq!((&data, &written), (&write().0, &write().1), "its own file is replaced by the same");
        let text = String::from_utf8(written).expect("UTF-8");
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        let data: Value = serde_json::from_slice(&data).expect("JSON");
        let texts = |field: &str| -> String {
            data[field].as_array().expect("a list").iter().map(|text| text.as_str().expect("a text")).collect()
        };
        assert_eq!(texts("tokens"), "March␣3,␣1987<eos>");
        assert_eq!(texts("decoder_tokens"), "<bos>1987-03-03");
        let maps = data["maps"].as_array().expect("a list");
        assert_eq!(maps.len(), 9);
        let heads = maps.iter().flat_map(|map| map["heads"].as_array().expect("heads"));
        let mut rows = heads.flat_map(|head| head.as_array().expect("rows"));
        assert!(rows.all(|row| {
            let sum: f64 = row.as_array().expect("a row").iter().map(|weight| weight.as_f64().expect("a number")).sum();
            (sum - 1.0).abs() < 1e-5
        }));
    }
}

#[test]
fn bad_calls_are_refused() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    let [dates, bert, roberta, vit] =
        ["examples/dates", "tests/families/bert", "tests/families/roberta", "tests/families/vit"].map(path);
    fs::write(at.join("mine.html"), "<html>mine</html>").expect("it is written");
    for name in ["a", "b"] {
        fs::create_dir_all(at.join("two").join(name)).expect("a folder");
        fs::copy(Path::new(&bert).join("config.json"), at.join("two").join(name).join("config.json")).expect("copied");
    }
    let many: String = (0..30).map(|id| format!("{id},")).collect::<String>() + "1";
    let cases: [(&[&str], &str); 15] = [
        (&[&bert, "--ids", "3,5", "-o", "mine.html"], "mine.html exists and was not written by `netwright attention`"),
        (&[&bert, "--ids", "3,5", "-o", "a.png"], "the output a.png is not a .html or .svg file"),
        (&[&bert, "--ids", "3,5", "-o", "no/a.svg"], "the folder \"no\" of the output does not exist"),
        (&[&bert, "--ids", "3,5"], "there is no output"),
        (&["two", "--ids", "3,5", "--json"], "\"two\" has no config.json\n  help: name one of two/a, two/b"),
        (&[&bert, "--ids", &many, "--json"], "31 tokens are more than the 24 positions of the model"),
        (&[&roberta, "--ids", &many[..60], "--json"], "24 tokens are more than the 22 positions of the model"),
        (&[&bert, "--ids", "3,48", "--json"], "the token 48 is not in the vocabulary, which has 48 tokens"),
        (&[&bert, "--ids", "3,5", "--layer", "2", "-o", "a.html"], "there is no layer 2"),
        (&[&bert, "--ids", "3,5", "--token", "1", "-o", "a.svg"], "--token shows lines of one map, but there are"),
        (&[&bert, "--ids", "3,5", "--kind", "cross", "-o", "a.svg"], "there is no cross attention here"),
        (&[&bert, "--ids", "3,5", "--decoder-ids", "4", "--json"], "the model is not an encoder-decoder"),
        (&[&bert, "--text", "It rains.", "--json"], &format!("{bert} has no tokenizer.json")),
        (&[&dates, "--text", " ", "--json"], "the text is empty"),
        (&[&vit, "--ids", "3,5", "--json"], "the model takes `pixel_values`, which is not computed from a text"),
    ];
    for (arguments, expected) in cases {
        refuses(at, arguments, expected);
    }
    assert_eq!(fs::read_to_string(at.join("mine.html")).expect("it is there"), "<html>mine</html>");
    let mut left: Vec<_> =
        fs::read_dir(at).expect("the folder").map(|entry| entry.expect("a file").file_name()).collect();
    left.sort();
    assert_eq!(left, ["mine.html", "two"], "nothing is written");
}
