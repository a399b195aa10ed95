//! KV caches, and the positions and masks of decoders.

use super::mask::square_mask;
use super::{MASKED, padding_mask};
use crate::{Builder, Var, signed};
use netwright_ir::{Dim, ElementType, TensorType, shape};
use std::cell::RefCell;

/// A KV cache: inputs `past_key_values.N.key` and `.value` `[batch, heads, past, d_k]`, and outputs `present.N.key` and
/// `.value` `[batch, heads, past + seq, d_k]`, named as in Hugging Face. A past of length 0
/// is allowed.
#[derive(Debug)]
pub struct Cache<'b> {
    builder: &'b Builder<'b>,
    pasts: Vec<(String, [Var<'b>; 2])>,
    presents: RefCell<Vec<(String, Var<'b>)>>,
    gives: bool,
}

impl<'b> Cache<'b> {
    /// Creates no cache: all tokens are processed at once.
    pub fn none(builder: &'b Builder<'b>) -> Self {
        Self { builder, pasts: vec![], presents: RefCell::default(), gives: false }
    }

    /// Creates the cache of the prefill, which only has outputs.
    pub fn first(builder: &'b Builder<'b>) -> Self {
        Self { gives: true, ..Self::none(builder) }
    }

    /// Creates the cache of a decode step: inputs with these names and types, and outputs with the new keys and values
    /// concatenated.
    pub fn later(builder: &'b Builder<'b>, entries: impl IntoIterator<Item = (String, TensorType)>) -> Self {
        let past = |(entry, ty): (String, TensorType)| {
            let parts = ["key", "value"];
            let inputs = parts.map(|part| builder.input(&format!("past_key_values.{entry}.{part}"), ty.clone()));
            (entry, inputs)
        };
        let pasts = entries.into_iter().map(past).collect();
        Self { pasts, ..Self::first(builder) }
    }

    fn past(&self, entry: &str) -> Option<[Var<'b>; 2]> {
        self.pasts.iter().find(|(name, _)| name == entry).map(|(_, past)| *past)
    }

    /// Returns the length of the past, a vector of one element; `None` without a past.
    #[track_caller]
    pub fn past_length(&self) -> Option<Var<'b>> {
        self.pasts.first().map(|(_, [key, _])| key.size(2))
    }

    /// Returns whether there is a past.
    pub fn has_past(&self) -> bool {
        !self.pasts.is_empty()
    }

    /// Appends the keys and values of new tokens, and returns those of all tokens.
    #[track_caller]
    pub fn extend(&self, entry: &str, key: Var<'b>, value: Var<'b>) -> (Var<'b>, Var<'b>) {
        let [key, value] = match self.past(entry) {
            Some([past_key, past_value]) => [past_key.concat(key, 2), past_value.concat(value, 2)],
            None => [key, value],
        };
        self.give(entry, [key, value]);
        (key, value)
    }

    /// Returns keys and values that do not change between steps: from the past, or computed.
    #[track_caller]
    pub fn once(&self, entry: &str, make: impl FnOnce() -> Option<(Var<'b>, Var<'b>)>) -> (Var<'b>, Var<'b>) {
        if let Some([key, value]) = self.past(entry) {
            return (key, value);
        }
        let Some((key, value)) = make() else {
            let poisoned = self
                .builder
                .error(format!("the cache has no entry {entry}, and there is no memory to compute it from"), None);
            return (poisoned, poisoned);
        };
        self.give(entry, [key, value]);
        (key, value)
    }

    fn give(&self, entry: &str, present: [Var<'b>; 2]) {
        if self.gives {
            let named = ["key", "value"].map(|part| format!("present.{entry}.{part}")).into_iter().zip(present);
            self.presents.borrow_mut().extend(named);
        }
    }

    /// Declares the outputs of the cache, after the existing outputs.
    pub fn outputs(&self) {
        self.presents.borrow().iter().for_each(|(name, value)| self.builder.output(name, *value));
    }
}

/// The positions of a decoder's tokens, after the past, if any.
#[derive(Clone, Copy, Debug)]
pub struct Span<'b> {
    /// The number of tokens including the past, a vector of one element.
    total: Var<'b>,
    past: Option<Var<'b>>,
}

impl<'b> Span<'b> {
    /// Creates the positions of the ids `[batch, seq]` after the past of a cache.
    #[track_caller]
    pub fn new(ids: Var<'b>, cache: &Cache<'b>) -> Self {
        let (seq, past) = (ids.size(1), cache.past_length());
        Self { total: past.map_or(seq, |past| past + seq), past }
    }

    /// Returns the number of past tokens, a vector of one element; `None` without a past.
    pub fn past_length(&self) -> Option<Var<'b>> {
        self.past
    }

    /// Returns the positions `[seq]` of the new tokens.
    #[track_caller]
    pub fn positions(&self) -> Var<'b> {
        match self.past {
            Some(past) => past.range_to(self.total),
            None => self.total.range(),
        }
    }

    /// Returns the positions `[past + seq]` of all tokens.
    #[track_caller]
    pub fn all_positions(&self) -> Var<'b> {
        self.total.range()
    }

    /// Returns the mask of padding (by the `attention_mask` `[batch, past + seq]`), later tokens, and tokens outside
    /// the window: `[batch, 1, seq, past + seq]`, or `[seq, past + seq]` without padding. It is added to scores.
    #[track_caller]
    pub fn mask(&self, attention_mask: Option<Var<'b>>, window: Option<u64>) -> Var<'b> {
        let mut mask = match self.past {
            None => square_mask(self.total, window),
            Some(_) => self.mask_after_past(window),
        };
        if let Some(attention_mask) = attention_mask {
            mask = mask + padding_mask(attention_mask);
        }
        mask.name("mask")
    }

    /// Returns the causal mask `[seq, past + seq]`, computed from distances: tract 0.23.9 does not support triangles
    /// with a computed diagonal, and compares positions of symbolic lengths wrong.
    #[track_caller]
    fn mask_after_past(&self, window: Option<u64>) -> Var<'b> {
        let builder = self.total.builder;
        let [key, query] = [self.all_positions(), self.positions()].map(|positions| positions.cast(ElementType::F32));
        let distance = key.unsqueeze(&[0]) - query.unsqueeze(&[1]);
        let mut beyond = distance.relu();
        if let Some(window) = window {
            beyond = beyond + (-distance - (window.saturating_sub(1)) as f32).relu();
        }
        let one = builder.floats("one", &[], &[1.0]);
        (beyond.min(one) * MASKED).cast_like_parameters()
    }
}

/// Returns the type of a cache entry: `[batch, heads, length, d_k]`.
pub fn cache_type(builder: &Builder<'_>, batch: &Dim, heads: u64, length: &Dim, d_k: u64) -> TensorType {
    let known = |size: u64| Dim::Known(signed(size));
    TensorType::new(builder.element(), shape![batch.clone(), known(heads), length.clone(), known(d_k)])
}
