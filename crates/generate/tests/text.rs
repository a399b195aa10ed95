//! Text to tokens and back, and chat templates, against `tokenizers` and `transformers`
//! (`tests/interop/make_generation.py`).

use netwright_generate::{Chat, GenerateError, Message, Tokenizer};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};
use tempfile::TempDir;

fn references() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/generation")
}

fn refused(result: Result<impl Sized, GenerateError>) -> String {
    result.err().expect("it is refused").to_string()
}

/// Returns what each token adds to the text, and the rest.
fn pieces(text: &Tokenizer, tokens: &[u32], stop: &[&str]) -> (Vec<String>, String) {
    let stop: Vec<String> = stop.iter().map(|stop| (*stop).to_owned()).collect();
    let mut stream = text.stream(&stop);
    let pieces = tokens.iter().map(|token| stream.push(*token).expect("text")).collect();
    (pieces, stream.finish().expect("text"))
}

#[test]
fn a_stream_has_whole_characters() {
    let text = Tokenizer::open(references()).expect("a tokenizer");
    let tokens = text.encode("the dog é€ on", true).expect("tokens");
    assert_eq!(tokens, [40, 46, 47, 4, 33, 34, 35, 36, 37, 4, 44]);
    let (parts, rest) = pieces(&text, &tokens, &[]);
    assert_eq!(parts, ["the", " d", "og", " ", "", "é", "", "", "€", " ", "on"]);
    assert_eq!(rest, "");
    // Special tokens have no text, and a byte without the rest of its character is replaced.
    let (parts, rest) = pieces(&text, &[1, 40, 2, 35], &[]);
    assert_eq!((parts.concat().as_str(), rest.as_str()), ("the", "\u{fffd}"));
    let (parts, rest) = pieces(&text, &[35; 5], &[]);
    assert_eq!((parts[3].as_str(), rest.as_str()), ("\u{fffd}\u{fffd}\u{fffd}\u{fffd}", "\u{fffd}"));
}

#[test]
fn nothing_of_a_stop_string_is_returned() {
    let text = Tokenizer::open(references()).expect("a tokenizer");
    let tokens = text.encode("the dog on a dog.", true).expect("tokens");
    let joined = |stop: &[&str]| {
        let (parts, rest) = pieces(&text, &tokens, stop);
        parts.concat() + &rest
    };
    assert_eq!(joined(&["dog."]), "the dog on a ");
    assert_eq!(joined(&["x", "og"]), "the d");
    assert_eq!(joined(&["dogs", ""]), "the dog on a dog.");
    // What may be the start of a stop string waits.
    assert_eq!(pieces(&text, &[40, 46, 47], &[" dogs"]).0, ["the", "", ""]);
}

#[test]
fn a_tokenizer_that_does_not_fit_is_refused() {
    let text = Tokenizer::open(references()).expect("a tokenizer");
    assert!(text.expect_fits(48).is_ok());
    assert!(refused(text.expect_fits(47)).contains("the tokenizer has 48 tokens, but the model has 47"));
    assert!(refused(text.decode(&[3, 48])).contains("the model chose token 48, which the tokenizer does not have"));
    let folder = TempDir::new().expect("a folder");
    assert!(refused(Tokenizer::open(folder.path())).contains("the tokenizer is missing"));
    fs::write(folder.path().join("tokenizer.json"), "{}").expect("it is written");
    assert!(refused(Tokenizer::open(folder.path())).contains("the tokenizer is not valid"));
}

#[test]
fn a_tokenizer_that_would_panic_is_refused() {
    let valid = fs::read_to_string(references().join("tokenizer.json")).expect("the tokenizer");
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("tokenizer.json");
    let refusal = |text: &str| {
        fs::write(&path, text).expect("it is written");
        refused(Tokenizer::open(folder.path()).and_then(|tokenizer| tokenizer.encode(&"a".repeat(99), true)))
    };
    // Wherever a download ends.
    for end in (0..valid.len()).step_by(7).filter(|end| valid.is_char_boundary(*end)) {
        assert!(refusal(&valid[..end]).contains("the tokenizer is not valid: "));
    }
    let replace = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
    let regex = json!({"type": "Replace", "pattern": {"Regex": "b*"}, "content": "aaa"});
    let long = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "a".repeat(300)});
    let sequence = |name: &str, step: &Value| json!({"type": "Sequence", name: vec![step; 60]});
    let map = |map: Value| json!({"type": "Precompiled", "precompiled_charsmap": map});
    let template =
        |piece: Value| json!({"type": "TemplateProcessing", "single": [piece], "pair": [], "special_tokens": {}});
    let unknown = json!({"SpecialToken": {"id": "[X]", "type_id": 0}});
    let second = json!({"Sequence": {"id": "B", "type_id": 0}});
    for (part, value, cause) in [
        ("normalizer", map(json!("AAAA")), "`precompiled_charsmap` is not valid"),
        ("normalizer", map(json!("")), "`precompiled_charsmap` is not valid"),
        ("normalizer", map(json!("/////wAAAAA=")), "`precompiled_charsmap` is not valid"),
        ("normalizer", map(json!("EAAAAP//////////////////")), "`precompiled_charsmap` is not valid"),
        ("normalizer", map(json!("BAAAAAD///8A")), "the tokenizer cannot split the text"),
        ("normalizer", map(Value::Null), "`precompiled_charsmap` is not a text"),
        ("normalizer", sequence("normalizers", &replace), "make the text over 16 times longer"),
        ("normalizer", sequence("normalizers", &regex), "make the text over 16 times longer"),
        ("normalizer", long, "a replacement is longer than 256 bytes"),
        ("decoder", sequence("decoders", &replace), "its decoders may make a text"),
        ("pre_tokenizer", json!({"type": "FixedLength", "length": 0}), "`FixedLength` has a length of 0"),
        ("post_processor", template(unknown), "the tokenizer cannot split the text"),
        ("post_processor", template(second), "the tokenizer cannot split the text"),
    ] {
        let mut tokenizer: Value = serde_json::from_str(&valid).expect("JSON");
        tokenizer[part] = value;
        let error = refusal(&tokenizer.to_string());
        assert!(error.contains(cause) && error.contains("tokenizer.json") && error.contains("download"), "{error}");
    }
    let mut tokenizer: Value = serde_json::from_str(&valid).expect("JSON");
    tokenizer["model"]["continuing_subword_prefix"] = json!("ééééééééé");
    assert!(refusal(&tokenizer.to_string()).contains("the tokenizer is not valid"));
}

/// Writes a folder with a template.
fn with_template(template: &Value) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let config = json!({"chat_template": template, "bos_token": "<s>", "eos_token": {"content": "</s>"}});
    fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).expect("it is written");
    folder
}

fn prompt(template: &Value, messages: &[Message]) -> Result<String, GenerateError> {
    let folder = with_template(template);
    Chat::open(folder.path())?.prompt(messages, UNIX_EPOCH + Duration::from_secs(1_709_211_909))
}

#[test]
fn templates_write_what_transformers_writes() {
    let text = fs::read_to_string(references().join("chats.json")).expect("the reference");
    let reference: Value = serde_json::from_str(&text).expect("JSON");
    let word = |value: &Value| value.as_str().expect("a text").to_owned();
    let messages = reference["messages"].as_array().expect("messages");
    let messages: Vec<_> = messages.iter().map(|one| Message::new(word(&one["role"]), word(&one["content"]))).collect();
    let chats = reference["chats"].as_array().expect("chats");
    assert_eq!(chats.len(), 4);
    for chat in chats {
        let found = prompt(&chat["template"], &messages).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(found, word(&chat["expected"]), "{}", chat["name"]);
    }
}

#[test]
fn expressions_write_what_python_writes() {
    let text = fs::read_to_string(references().join("expressions.json")).expect("the reference");
    let rows: Vec<(String, String)> = serde_json::from_str(&text).expect("JSON");
    let messages = [Message::new("system", "be\nnice "), Message::new("user", " h\u{e9} <b>'\" ")];
    let folder = TempDir::new().expect("a folder");
    let write =
        |name: &str, value: &Value| fs::write(folder.path().join(name), value.to_string()).expect("it is written");
    let differs = |(template, expected): (String, String)| {
        let config = json!({
            "bos_token": "<s>", "eos_token": {"content": "</s>"}, "unk_token": "<unk>", "chat_template": template,
            "extra_special_tokens": {"image_token": "<image>"}, "audio_token": "<audio>", "mask_token": null,
        });
        write("tokenizer_config.json", &config);
        write("special_tokens_map.json", &json!({"pad_token": "<pad>", "cls_token": {"content": "<cls>"}}));
        let found = Chat::open(folder.path()).and_then(|chat| chat.prompt(&messages, UNIX_EPOCH));
        let found = found.unwrap_or_else(|error| error.to_string());
        (found != expected).then(|| format!("{template}\n  expected {expected:?}\n  found    {found:?}"))
    };
    let different: Vec<String> = rows.into_iter().filter_map(differs).collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn templates_may_have_a_name_or_a_file_and_use_filters_and_the_time() {
    let variant = |name: &str, template: &str| json!({"name": name, "template": template});
    let named = json!([variant("tools", "no"), variant("default", "no"), variant("default", "yes")]);
    assert_eq!(prompt(&named, &[]).expect("a prompt"), "yes");
    assert_eq!(prompt(&json!("{{ strftime_now('%d %b %Y') }}"), &[]).expect("a prompt"), "29 Feb 2024");
    for (filter, expected) in [
        ("{'b': 1, 'a': 'é'}|tojson", r#"{"b": 1, "a": "é"}"#),
        ("{'b': 1, 'a': 'é'}|tojson(sort_keys=true, ensure_ascii=true)", r#"{"a": "\u00e9", "b": 1}"#),
        ("[1]|tojson(indent=1)", "[\n 1\n]"),
        ("'a\nb'|indent(2)", "a\n  b"),
        ("'%04d'|format(7) ~ '{:>3}'.format(1)", "0007  1"),
        ("[1, 2, 3]|batch(2)|list", "[[1, 2], [3]]"),
    ] {
        assert_eq!(prompt(&json!(format!("{{{{ {filter} }}}}")), &[]).expect("a prompt"), expected);
    }
    let folder = with_template(&json!("no"));
    fs::write(folder.path().join("chat_template.jinja"), "{{ bos_token }}{{ eos_token }}").expect("it is written");
    let chat = Chat::open(folder.path()).expect("a template");
    assert_eq!(chat.prompt(&[], UNIX_EPOCH).expect("a prompt"), "<s></s>");
}

#[test]
fn templates_that_fail_are_refused() {
    let fails = |template: &str| refused(prompt(&json!(template), &[Message::new("user", "hi")]));
    let bomb = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}\
                {% endfor %}";
    assert!(fails(bomb).contains("does not end within 5000000 steps"), "{}", fails(bomb));
    let large = "{% for a in range(9999) %}{{ 'x' * 99999 }}{% endfor %}";
    assert!(fails(large).contains("writes more than 64 MiB"), "{}", fails(large));
    assert!(fails("{{ raise_exception('only tools') }}").contains("only tools"));
    for (filter, why) in [
        ("[1]|tojson(indent=9223372036854775807)", "indent must be at most 64, but is 9223372036854775807"),
        ("'a'|indent(9223372036854775807, true)", "width must be at most 64"),
        ("'a'|indent(width=65)", "width must be at most 64"),
        ("[1]|batch(9223372036854775807, 0)", "the length of a batch must be at most 10000"),
        ("[1]|slice(9223372036854775807)", "the number of slices must be at most 10000"),
        ("'%9999999999999d'|format(1)", "a width or a precision has more than four digits"),
        ("'{:>9999999999999}'.format(1)", "a width or a precision has more than four digits"),
        ("[1]|tojson(separators=[1, 2])", "separators must be two texts"),
        ("'a'|center(10001)", "width must be at most 10000"),
        ("'a'.ljust(10001)", "width must be at most 10000"),
        ("1|round(301)", "precision must be from -300 to 300"),
        ("1|round(1, 'up')", "method must be common, ceil or floor, but is up"),
        ("'a b'|truncate(1)", "length must be at least that of the end, but is 1"),
        ("{}|urlencode", "urlencode needs a text"),
        ("range(99)|list|pprint", "does not fit a line"),
        ("'a'.index('b')", "`b` is not in the text"),
        ("[1].index(2)", "2 is not in the list"),
        ("'a'.rsplit()", "rsplit needs a text to split at"),
    ] {
        let error = fails(&format!("{{{{ {filter} }}}}"));
        assert!(error.contains(why), "{filter}: {error}");
    }
    assert!(fails("{% for %}").contains("the chat template fails"));
    assert!(fails("{% autoescape true %}{{ 1 }}{% endautoescape %}").contains("`autoescape` is not supported"));
    let folder = TempDir::new().expect("a folder");
    assert!(refused(Chat::open(folder.path())).contains("the chat template is missing"));
    let folder = with_template(&json!([{"name": "tool_use", "template": "no"}, {"name": "rag", "template": "no"}]));
    let error = refused(Chat::open(folder.path()));
    assert!(error.contains("has no variant called default; the variants are tool_use, rag"), "{error}");
}
