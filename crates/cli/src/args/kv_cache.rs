//! How the KV cache is written: `--kv-cache`.

use super::{Emit, Opset};
use crate::failure::{Failure, Misuse};
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use netwright::nn::layers::{CacheForm, CacheWrite};
use netwright::passes::Target;
use std::ffi::OsStr;
use std::fmt;
use std::mem::discriminant;

/// How the KV cache is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KvCache {
    Concat,
    Shared,
    Merged,
    Static(u64),
    Sliding,
}

impl fmt::Display for KvCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_own = |form: &KvCache| discriminant(form) == discriminant(self);
        let name = FORMS.iter().find(|(form, ..)| is_own(form)).map_or("", |(_, name, _)| name);
        match self {
            KvCache::Static(length) => f.write_str(&name.replace(LENGTH, &length.to_string())),
            _ => f.write_str(name),
        }
    }
}

/// What stands for the number of tokens in the name of a form.
const LENGTH: char = 'N';

/// The forms, their names and what they mean.
const FORMS: [(KvCache, &str, &str); 5] = [
    (KvCache::Concat, "concat", "Unchanged: each step returns the past and the new keys and values concatenated"),
    (
        KvCache::Shared,
        "shared",
        "A buffer that the caller preallocates and each step updates in place; requires --target ort. The length of the \
         past follows from the padding mask; a model without one gets an input `past_sequence_length`, i64 of one element",
    ),
    (
        KvCache::Merged,
        "merged",
        "Only for `build` of encoder-decoders: the first pass and the later steps in one file, \
         decoder_model_merged.onnx, with an input `use_cache_branch`, bool of one element, that selects the steps",
    ),
    (
        KvCache::Static(0),
        "static=N",
        "Only for `build` of decoders: buffers for N tokens, with an input `past_sequence_length`, i64 of one element, and \
         an `attention_mask` [batch, N] that is 0 for places without a token",
    ),
    (
        KvCache::Sliding,
        "sliding",
        "Only for `build` of decoders with windows: a layer with a window of W keeps the last W - 1 tokens; other layers \
         keep all",
    ),
];

/// Parses a form of the KV cache.
#[derive(Clone)]
pub(super) struct KvCacheParser;

impl TypedValueParser for KvCacheParser {
    type Value = KvCache;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<KvCache, clap::Error> {
        let text = StringValueParser::new().parse_ref(command, argument, value)?;
        let fail = |what: &str| {
            let message = format!("invalid value '{text}' for '--kv-cache <KV_CACHE>': {what}\n");
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        };
        for (form, name, _) in FORMS {
            let start = name.trim_end_matches(LENGTH);
            match (form, text.strip_prefix(start)) {
                (KvCache::Static(_), Some(length)) => {
                    return match length.parse() {
                        Ok(length @ 1..=0x7fff_ffff) => Ok(KvCache::Static(length)),
                        _ => Err(fail("the number of tokens must be from 1 to 2147483647, such as static=2048")),
                    };
                }
                (KvCache::Static(_), None) if text == start.trim_end_matches('=') => {
                    return Err(fail("static needs the number of tokens, such as static=2048"));
                }
                (form, Some("")) => return Ok(form),
                _ => {}
            }
        }
        Err(fail(&format!("expected one of {}", FORMS.map(|(_, name, _)| name).join(", "))))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(FORMS.into_iter().map(|(_, name, help)| PossibleValue::new(name).help(help))))
    }
}

impl Emit {
    /// Returns the form in which decoders declare the KV cache.
    pub(crate) fn cache_form(&self) -> CacheForm {
        match self.kv_cache {
            None | Some(KvCache::Concat | KvCache::Shared | KvCache::Merged) => CacheForm::Growing,
            Some(KvCache::Sliding) => CacheForm::Sliding,
            Some(KvCache::Static(length)) => {
                let has_operator = match self.opset {
                    Some(Opset::Is(opset)) => opset >= SCATTER_SINCE,
                    _ => true,
                };
                let is_standard = self.target() == Target::ONNX && has_operator;
                let write = if is_standard { CacheWrite::TensorScatter } else { CacheWrite::ScatterElements };
                CacheForm::Static { length, write }
            }
        }
    }

    /// Returns the opset to which a model must be raised because of the operator that writes its KV cache.
    pub(crate) fn opset_for_cache(&self) -> Option<Opset> {
        let needs = matches!(self.cache_form(), CacheForm::Static { write: CacheWrite::TensorScatter, .. });
        needs.then_some(Opset::Is(SCATTER_SINCE))
    }

    /// Refuses forms of the KV cache that only `build` writes.
    pub(crate) fn expect_cache_of_file(&self) -> Result<(), Failure> {
        let (form, why) = match self.kv_cache {
            None | Some(KvCache::Concat | KvCache::Shared) => return Ok(()),
            Some(form @ KvCache::Merged) => (form, "knows the first pass and the later steps"),
            Some(form @ KvCache::Static(_)) => (form, "declares the layers"),
            Some(form @ KvCache::Sliding) => (form, "knows the windows of the layers"),
        };
        let text = format!("--kv-cache {form} is only for build, which {why}\n  help: leave out --kv-cache");
        Err(Misuse::NotFor.failure(text))
    }
}

/// The first opset with TensorScatter.
const SCATTER_SINCE: i64 = 24;
