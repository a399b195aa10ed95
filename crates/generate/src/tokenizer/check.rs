//! Checks `tokenizer.json` for what makes the crate `tokenizers` panic, or use all memory.

use crate::GenerateError;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::{NormalizedString, Normalizer};

/// The longest text, in bytes, by which a normalizer or a decoder may replace another.
const MAX_CONTENT: usize = 256;

/// The largest factor by which the decoders of a tokenizer may make a text longer.
const MAX_FACTOR: usize = 1 << 12;

/// The parts of the file that are checked; all others need only be JSON.
#[derive(Deserialize)]
struct Parts {
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    decoder: Option<Value>,
}

/// Checks the text of a file; returns what is wrong with it.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let parts: Parts = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    for part in [&parts.normalizer, &parts.pre_tokenizer].into_iter().flatten() {
        steps(part).into_iter().try_for_each(check_step)?;
    }
    let mut factor = 1_usize;
    for step in parts.decoder.iter().flat_map(steps) {
        check_step(step)?;
        factor = factor.saturating_mul(growth(step));
    }
    if factor > MAX_FACTOR {
        return Err(format!("its decoders may make a text {factor} times longer"));
    }
    Ok(())
}

/// Returns the steps of a sequence, or the one step.
fn steps(part: &Value) -> Vec<&Value> {
    let inner = ["normalizers", "pretokenizers", "decoders"].iter().find_map(|name| part.get(*name)?.as_array());
    match inner {
        Some(inner) => inner.iter().flat_map(steps).collect(),
        None => vec![part],
    }
}

fn check_step(step: &Value) -> Result<(), String> {
    if step.get("content").and_then(Value::as_str).is_some_and(|content| content.len() > MAX_CONTENT) {
        return Err(format!("a replacement is longer than {MAX_CONTENT} bytes"));
    }
    if step.get("type").and_then(Value::as_str) == Some("FixedLength") && step.get("length") == Some(&Value::from(0)) {
        return Err("the pre-tokenizer `FixedLength` has a length of 0".to_owned());
    }
    match step.get("precompiled_charsmap") {
        Some(Value::String(map)) => check_map(map).ok_or_else(|| "`precompiled_charsmap` is not valid".to_owned()),
        Some(_) => Err("`precompiled_charsmap` is not a text".to_owned()),
        None => Ok(()),
    }
}

/// Checks a map of SentencePiece: the size of a trie in bytes, the trie, and texts that end with a zero.
fn check_map(map: &str) -> Option<()> {
    let bytes = from_base64(map)?;
    let (size, rest) = bytes.split_first_chunk::<4>()?;
    let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
    let texts = rest.get(size..).filter(|_| size > 0 && size % 4 == 0)?;
    texts.split(|byte| *byte == 0).all(|text| text.len() <= MAX_CONTENT).then_some(())
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, count) = (bits << 6 | u32::from(value), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count).to_le_bytes()[0]);
        }
    }
    Some(bytes)
}

/// Returns the largest factor by which a decoder makes a text longer.
fn growth(step: &Value) -> usize {
    let Some(content) = step.get("content").and_then(Value::as_str) else { return 1 };
    match step.get("pattern").and_then(|pattern| pattern.get("String")?.as_str()) {
        Some(pattern) if !pattern.is_empty() => content.len().div_ceil(pattern.len()).max(1),
        // A pattern may match between any two letters.
        _ => content.len() + 1,
    }
}

/// Checks that the normalizers make a text at most 16 times longer, if several replace texts.
pub(super) fn expect_bounded(path: &Path, normalizer: &NormalizerWrapper, text: &str) -> Result<(), GenerateError> {
    let steps = flat(normalizer);
    if steps.iter().filter(|step| matches!(step, NormalizerWrapper::Replace(_))).count() < 2 {
        return Ok(());
    }
    let refused =
        |cause: String| GenerateError::Tokenizer { path: path.to_owned(), cause, help: "download the file again" };
    let mut normalized = NormalizedString::from(text);
    for step in steps {
        step.normalize(&mut normalized).map_err(|error| refused(format!("the tokenizer cannot normalize: {error}")))?;
        if normalized.get().len() > text.len().saturating_mul(16) + (1 << 16) {
            return Err(refused("the normalizers of the tokenizer make the text over 16 times longer".to_owned()));
        }
    }
    Ok(())
}

fn flat(normalizer: &NormalizerWrapper) -> Vec<&NormalizerWrapper> {
    match normalizer {
        NormalizerWrapper::Sequence(inner) => inner.as_ref().iter().flat_map(flat).collect(),
        one => vec![one],
    }
}
