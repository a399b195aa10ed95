//! Derives `tokenizer.json` from the metadata.

use super::GgufError;
use super::container::MetadataValue;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// The pattern of GPT-2, which splits a text before it is encoded.
const GPT2: &str = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/// The pattern of Llama 3.
const LLAMA3: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/// The pattern of Qwen2.
const QWEN2: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/// How a tokenizer splits and normalizes texts.
struct Split {
    /// The names in `tokenizer.ggml.pre`.
    names: &'static [&'static str],
    pattern: &'static str,
    /// Whether each digit is apart.
    digits: bool,
    /// Whether texts are normalized to NFC.
    nfc: bool,
    /// Whether a text that is a token is not merged from its parts.
    ignore_merges: bool,
}

const SPLITS: [Split; 4] = [
    Split { names: &["gpt-2", "gpt2"], pattern: GPT2, digits: false, nfc: false, ignore_merges: false },
    Split {
        names: &["llama-bpe", "llama3", "llama-v3"],
        pattern: LLAMA3,
        digits: false,
        nfc: false,
        ignore_merges: true,
    },
    Split { names: &["qwen2"], pattern: QWEN2, digits: false, nfc: true, ignore_merges: false },
    Split { names: &["smollm"], pattern: GPT2, digits: true, nfc: false, ignore_merges: false },
];

/// The types of tokens that are found in a text before it is split.
const CONTROL: i128 = 3;
const USER_DEFINED: i128 = 4;

/// The largest number of tokens or merges, more than any model has.
const MAX_TOKENS: u64 = 1 << 22;

/// Returns the text of `tokenizer.json`, or why there is none.
pub(super) fn read(metadata: &BTreeMap<String, MetadataValue>) -> Result<String, String> {
    let get = |key: &str| metadata.get(&format!("tokenizer.ggml.{key}"));
    let split = match (get("model"), get("pre")) {
        (Some(MetadataValue::Text(model)), pre) if model == "gpt2" => {
            let known = |pre: &str| SPLITS.iter().find(|split| split.names.contains(&pre));
            match pre {
                Some(MetadataValue::Text(pre)) => known(pre).ok_or(format!("how `{pre}` splits texts is unknown")),
                _ => Err("how it splits texts is not in the file".to_owned()),
            }
        }
        (Some(MetadataValue::Text(model)), _) => Err(format!("the tokenizer `{model}` is not byte-level BPE")),
        _ => Err("the file has no tokenizer".to_owned()),
    }?;
    let values = |key: &str| match get(key) {
        Some(MetadataValue::Array(array)) => array.values(MAX_TOKENS).map_err(|error| match error {
            GgufError::Malformed(why) => format!("tokenizer.ggml.{key}: {why}"),
            _ => format!("tokenizer.ggml.{key} cannot be read"),
        }),
        _ => Err(format!("tokenizer.ggml.{key} is not a list in the file")),
    };
    let texts = |key: &str| -> Result<Vec<String>, String> {
        let text = |value| match value {
            MetadataValue::Text(text) => Ok(text),
            _ => Err(format!("tokenizer.ggml.{key} has an element that is not a text")),
        };
        values(key)?.into_iter().map(text).collect()
    };
    let (tokens, merges) = (texts("tokens")?, texts("merges")?);
    let types = get("token_type").map_or(Ok(vec![]), |_| values("token_type"))?;
    if !types.is_empty() && types.len() != tokens.len() {
        return Err(format!("tokenizer.ggml.token_type has {} elements for {} tokens", types.len(), tokens.len()));
    }
    let ty = |id: usize| match types.get(id) {
        Some(MetadataValue::Integer(ty)) => *ty,
        _ => 1,
    };
    let added: Vec<Json> = tokens
        .iter()
        .enumerate()
        .filter(|(id, _)| matches!(ty(*id), CONTROL | USER_DEFINED))
        .map(|(id, token)| {
            json!({
                "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": ty(id) == CONTROL,
            })
        })
        .collect();
    if get("add_eos_token") == Some(&MetadataValue::Bool(true)) {
        return Err("it appends a token at the end, which is not supported".to_owned());
    }
    let first = match get("bos_token_id") {
        Some(MetadataValue::Integer(id)) => usize::try_from(*id).ok().filter(|id| *id < tokens.len()),
        _ => None,
    };
    let beginning = match get("add_bos_token") {
        Some(MetadataValue::Bool(true)) if first.is_none() => {
            return Err("it begins texts with a token, but tokenizer.ggml.bos_token_id is not a token".to_owned());
        }
        Some(MetadataValue::Bool(true)) => first,
        // Models whose tokenizer splits as Llama 3 begin with a token by default.
        None if split.ignore_merges => first,
        _ => None,
    };
    let mut vocabulary = Map::new();
    for (id, token) in tokens.iter().enumerate() {
        if vocabulary.insert(token.clone(), json!(id)).is_some() {
            return Err(format!("the token {token:?} is in it twice"));
        }
    }
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let pattern = json!({
        "type": "Split", "pattern": {"Regex": split.pattern}, "behavior": "Isolated", "invert": false,
    });
    let digits = split.digits.then(|| json!({"type": "Digits", "individual_digits": true}));
    let before: Vec<Json> = digits.into_iter().chain([pattern, byte_level.clone()]).collect();
    let after = beginning.map_or(byte_level.clone(), |id| {
        let token = &tokens[id];
        let begin = json!({"SpecialToken": {"id": token, "type_id": 0}});
        let part = |name: &str, ty: u32| json!({"Sequence": {"id": name, "type_id": ty}});
        let template = json!({
            "type": "TemplateProcessing",
            "single": [begin, part("A", 0)],
            "pair": [begin, part("A", 0), {"SpecialToken": {"id": token, "type_id": 1}}, part("B", 1)],
            "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}},
        });
        json!({"type": "Sequence", "processors": [byte_level, template]})
    });
    let tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": if split.nfc { json!({"type": "NFC"}) } else { Json::Null },
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": before},
        "post_processor": after,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": split.ignore_merges, "vocab": vocabulary, "merges": merges,
        },
    });
    serde_json::to_string_pretty(&tokenizer).map_err(|error| error.to_string())
}
