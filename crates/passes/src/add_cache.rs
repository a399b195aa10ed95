//! Turns a decoder without a KV cache into one with it.

mod axes;
mod causal;
mod emit;
mod states;
mod tokens;

use crate::pipeline::{Event, PassError};
use netwright_ir::Graph;

/// The name under which events are reported.
pub(crate) const NAME: &str = "add-kv-cache";

/// Why a model cannot have a cache, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    what: String,
    help: &'static str,
}

impl Refusal {
    fn new(what: impl Into<String>, help: &'static str) -> Self {
        Self { what: what.into(), help }
    }

    /// Adds the name of the value that is concerned.
    fn at(self, name: &str) -> Self {
        Self { what: format!("{name}: {}", self.what), ..self }
    }
}

/// A step would have to compute something from tokens that it does not have.
impl From<String> for Refusal {
    fn from(what: String) -> Self {
        Self::new(what, "export the decoder with past keys and values instead, in Transformers with use_cache=True")
    }
}

impl From<&str> for Refusal {
    fn from(what: &str) -> Self {
        what.to_owned().into()
    }
}

/// Gives a decoder a KV cache: inputs `past_key_values.N.key` and `.value`, `[batch, heads, past, head_size]`, and
/// outputs `present.N.key` and `.value`, with which the next step goes on. A past may be empty.
///
/// What depends on tokens must be computed for each token from that token alone, except in causal attention, whose
/// keys and values are kept. What depends only on the padding mask and on the number of tokens, such as positions and
/// the causal mask, is computed for all tokens, and the part of the new ones is used; what it is for one token must not
/// depend on later ones. A mask becomes an input for all tokens, `[batch, past + seq]`, and every step must be given
/// the mask of the step before, with that of the new tokens after it.
///
/// The steps then compute what the model computes for all tokens at once. Rows of padding in which a finite mask hides
/// every key are the mean of as many values as there are so far. A score is assumed to be far above a number that hides
/// keys, which is -1e4 or less. A padding mask of integers holds 0 and 1.
///
/// # Errors
/// If the model has a cache, or one of these properties cannot be proven.
pub(crate) fn add_cache(graph: &mut Graph) -> Result<Vec<Event>, PassError> {
    let (new, events) = states::Analysis::of(graph)
        .and_then(|analysis| emit::with_cache(graph, &analysis))
        .map_err(|Refusal { what, help }| PassError::NoCache { what, help: help.to_owned() })?;
    *graph = new;
    Ok(events)
}

/// Whether an input is named after a KV cache.
pub(crate) fn names_cache(name: &str) -> bool {
    let name = name.to_lowercase();
    name.contains("past") || name.contains("cache")
}
