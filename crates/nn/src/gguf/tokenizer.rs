//! The tokenizer that metadata mean, as `tokenizer.json`.

use super::container::Value;
use super::{Outcome, malformed};
use std::collections::BTreeMap;

/// Returns the text of `tokenizer.json`, or why there is none.
pub(super) fn read(metadata: &BTreeMap<String, Value>) -> Outcome<Result<String, String>> {
    match metadata.get("tokenizer.ggml.model") {
        None => Ok(Err("the file has no tokenizer".to_owned())),
        Some(Value::Text(model)) => Ok(Err(format!(
            "its tokenizer `{model}` has no such form\n  help: copy tokenizer.json of the model's Hugging Face repository"
        ))),
        Some(_) => malformed("tokenizer.ggml.model is not a text"),
    }
}
