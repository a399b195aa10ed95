//! docs/pass-index.md: a section for each pass, from its card and the diffs of its tests.

use netwright::passes::{Exactness, Pass, Stage, passes};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The snapshots of a pass, by the name of the case.
fn cases(pass: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots/passes");
    let mut found = vec![];
    for entry in fs::read_dir(folder).expect("the snapshots are there") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if let Some(case) = name.strip_suffix(&format!("@{pass}.snap")) {
            let text = fs::read_to_string(&path).expect("a text");
            // A header, between two lines of dashes, precedes the snapshot.
            let (_, text) = text.split_once("\n---\n").expect("a header");
            found.push((case.to_owned(), text.trim_end().to_owned()));
        }
    }
    found.sort();
    found
}

/// The shortest diff that changes something and declines nothing; none if it is too long for a page.
fn example(cases: &[(String, String)]) -> Option<&(String, String)> {
    let changes = |text: &str| text.lines().any(|line| line.starts_with(['-', '+']));
    let candidates =
        cases.iter().filter(|(_, text)| changes(text) && !text.contains("\ndeclined") && text.lines().count() <= 80);
    candidates.min_by_key(|(_, text)| text.len())
}

fn section(pass: &Pass) -> String {
    let exactness = match pass.exactness {
        Exactness::Bits => "equal, bit by bit",
        Exactness::Numbers => "equal, except for the sign of zero and for results that are not finite",
        Exactness::Rounding => "rounded differently",
    };
    let stages = pass.stages.iter().map(|stage| match stage {
        Stage::Optimize => "optimize",
        Stage::Dequantize => "dequantize, on request",
        Stage::Convert => "convert, on request",
        Stage::Converted => "after conversions",
        Stage::Lower => "lower",
        Stage::Share => "share constants",
    });
    let stages: Vec<_> = stages.collect();
    let mut text = format!("## {}\n\n```text\n{}\n```\n\n", pass.name, pass.summary);
    let _ = writeln!(text, "- Stage: {}", stages.join("; "));
    let _ = writeln!(text, "- Results: {exactness}");
    if let Some(kind) = pass.forms {
        let _ = writeln!(text, "- Forms {kind:?}, for targets that run it");
    }
    if let Some(kind) = pass.lowers {
        let _ = writeln!(text, "- Decomposes {kind:?}, for targets that do not run it");
    }
    if !pass.after.is_empty() {
        let links: Vec<_> = pass.after.iter().map(|name| format!("[{name}](#{name})")).collect();
        let _ = writeln!(text, "- Runs after {}", links.join(", "));
    }
    if let Some((case, diff)) = example(&cases(pass.name)) {
        let _ = write!(text, "\nA tested diff, `{case}`:\n\n```diff\n{diff}\n```\n");
    }
    text
}

#[test]
fn the_index_is_that_of_the_passes() {
    let mut text = "# Index of passes\n\n\
        The passes in the order in which they run for the target `onnx`. `optimize --explain` names the pass of every \
        rewrite; `--skip NAME` leaves one out. Diffs are in the [text form](text-form.md). \
        `INSTA_UPDATE=always cargo test --test pass_index` writes this page.\n"
        .to_owned();
    for pass in passes() {
        let _ = write!(text, "\n{}", section(&pass));
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pass-index.md");
    if std::env::var("INSTA_UPDATE").is_ok_and(|mode| mode == "always") {
        fs::write(&page, &text).expect("the page is written");
    }
    let is_current = fs::read_to_string(&page).is_ok_and(|page| page == text);
    assert!(is_current, "docs/pass-index.md is stale: INSTA_UPDATE=always cargo test --test pass_index");
}
