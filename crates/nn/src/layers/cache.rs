//! KV caches, and the positions and masks of decoders.

use super::mask::square_mask;
use super::{MASKED, padding_mask};
use crate::{Builder, Var, signed};
use netwright_ir::op::{ScatterMode, ScatterReduction};
use netwright_ir::{Dim, ElementType, Op, TensorType, shape};
use std::cell::RefCell;

/// The input for the number of tokens in buffers of fixed length.
const PAST_LENGTH: &str = "past_sequence_length";

/// How a decoder keeps the keys and values of earlier tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheForm {
    /// The past has any length, and the present is longer by the new tokens.
    #[default]
    Growing,
    /// Past and present are buffers of fixed length; new tokens are written after the earlier ones, whose number is the
    /// input `past_sequence_length`, i64 of one element.
    Static {
        /// The number of tokens for which there is room, at least 1.
        length: u64,
        /// How tokens are written.
        write: CacheWrite,
    },
    /// As `Growing`, but layers with a window keep only the tokens that later ones can see.
    Sliding,
}

/// The operator that writes keys and values into a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheWrite {
    /// TensorScatter, which needs opset 24.
    TensorScatter,
    /// ScatterElements, which every runtime has.
    ScatterElements,
}

/// A KV cache: inputs `past_key_values.N.key` and `.value` `[batch, heads, past, d_k]`, and outputs `present.N.key` and
/// `.value` `[batch, heads, past + seq, d_k]`, named as in Hugging Face. A past of length 0
/// is allowed.
#[derive(Debug)]
pub struct Cache<'b> {
    builder: &'b Builder<'b>,
    pasts: Vec<Entry<'b>>,
    presents: RefCell<Vec<(String, Var<'b>)>>,
    gives: bool,
    buffer: Option<Buffer<'b>>,
}

/// The past of a layer.
#[derive(Debug)]
struct Entry<'b> {
    name: String,
    past: [Var<'b>; 2],
    /// The largest number of tokens of the present, if it is limited.
    most: Option<u64>,
}

/// Where buffers of fixed length are written.
#[derive(Clone, Copy, Debug)]
struct Buffer<'b> {
    /// The number of earlier tokens, a vector of one element.
    past: Var<'b>,
    length: u64,
    write: CacheWrite,
}

impl<'b> Cache<'b> {
    /// Creates no cache: all tokens are processed at once.
    pub fn none(builder: &'b Builder<'b>) -> Self {
        Self { builder, pasts: vec![], presents: RefCell::default(), gives: false, buffer: None }
    }

    /// Creates the cache of the prefill, which only has outputs.
    pub fn first(builder: &'b Builder<'b>) -> Self {
        Self { gives: true, ..Self::none(builder) }
    }

    /// Creates the cache of a decode step: inputs with these names and types, and outputs with the new keys and values
    /// concatenated.
    pub fn later(builder: &'b Builder<'b>, entries: impl IntoIterator<Item = (String, TensorType)>) -> Self {
        let pasts = entries.into_iter().map(|(name, ty)| Entry::declare(builder, name, &ty, None)).collect();
        Self { pasts, ..Self::first(builder) }
    }

    /// Creates the cache of a decoder with a layer for each window, of `heads` heads of width `d_k`.
    #[track_caller]
    pub fn decoder(
        builder: &'b Builder<'b>,
        form: CacheForm,
        windows: &[Option<u64>],
        [batch, past]: [&Dim; 2],
        [heads, d_k]: [u64; 2],
    ) -> Self {
        let buffer = match form {
            CacheForm::Static { length, write } => {
                let ty = TensorType::new(ElementType::I64, shape![1]);
                Some(Buffer { past: builder.input(PAST_LENGTH, ty), length, write })
            }
            CacheForm::Growing | CacheForm::Sliding => None,
        };
        let entry = |(at, window): (usize, &Option<u64>)| {
            // A token sees itself too.
            let most = window.filter(|_| form == CacheForm::Sliding).map(|window| window.saturating_sub(1));
            let length = match (buffer, most) {
                (Some(Buffer { length, .. }), _) => Dim::Known(signed(length)),
                (None, Some(most)) => past.minimum(&Dim::Known(signed(most))),
                (None, None) => past.clone(),
            };
            Entry::declare(builder, at.to_string(), &cache_type(builder, batch, heads, &length, d_k), most)
        };
        let pasts = windows.iter().enumerate().map(entry).collect();
        Self { pasts, buffer, ..Self::first(builder) }
    }

    fn past(&self, entry: &str) -> Option<&Entry<'b>> {
        self.pasts.iter().find(|own| own.name == entry)
    }

    /// Returns the length of the past, a vector of one element; `None` without a past, and if all layers keep only a window.
    #[track_caller]
    pub fn past_length(&self) -> Option<Var<'b>> {
        let whole = || self.pasts.iter().find(|entry| entry.most.is_none()).map(|entry| entry.past[0].size(2));
        self.buffer.map(|buffer| buffer.past).or_else(whole)
    }

    /// Returns whether there is a past.
    pub fn has_past(&self) -> bool {
        !self.pasts.is_empty()
    }

    /// Appends the keys and values of new tokens, and returns those of all tokens, or of the buffers.
    #[track_caller]
    pub fn extend(&self, entry: &str, key: Var<'b>, value: Var<'b>) -> (Var<'b>, Var<'b>) {
        let Some(Entry { past: [past_key, past_value], most, .. }) = self.past(entry) else {
            self.give(entry, [key, value]);
            return (key, value);
        };
        let [key, value] = match self.buffer {
            Some(buffer) => [buffer.write(*past_key, key), buffer.write(*past_value, value)],
            None => [past_key.concat(key, 2), past_value.concat(value, 2)],
        };
        self.give(entry, [key, value].map(|all| most.map_or(all, |most| last(all, 2, most))));
        (key, value)
    }

    /// Returns keys and values that do not change between steps: from the past, or computed.
    #[track_caller]
    pub fn once(&self, entry: &str, make: impl FnOnce() -> Option<(Var<'b>, Var<'b>)>) -> (Var<'b>, Var<'b>) {
        if let Some(Entry { past: [key, value], .. }) = self.past(entry) {
            return (*key, *value);
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

impl<'b> Entry<'b> {
    #[track_caller]
    fn declare(builder: &'b Builder<'b>, name: String, ty: &TensorType, most: Option<u64>) -> Self {
        let past = ["key", "value"].map(|part| builder.input(&format!("past_key_values.{name}.{part}"), ty.clone()));
        Self { name, past, most }
    }
}

impl<'b> Buffer<'b> {
    /// Writes the keys or values `[batch, heads, seq, d_k]` of new tokens after the earlier ones.
    #[track_caller]
    fn write(self, buffer: Var<'b>, new: Var<'b>) -> Var<'b> {
        match self.write {
            CacheWrite::TensorScatter => {
                let at = self.past.expand(new.size(0));
                buffer.builder.apply(Op::TensorScatter { axis: -2, mode: ScatterMode::Linear }, &[buffer, new, at])
            }
            CacheWrite::ScatterElements => {
                let places = (self.past + new.size(2).range()).unsqueeze(&[0, 1, 3]);
                let places = places.expand(places.builder.apply(Op::Shape { start: 0, end: None }, &[new]));
                let op = Op::ScatterElements { axis: 2, reduction: ScatterReduction::None };
                buffer.builder.apply(op, &[buffer, places, new])
            }
        }
    }
}

/// Returns the last elements of an axis, `most` at most.
#[track_caller]
fn last(x: Var<'_>, axis: i64, most: u64) -> Var<'_> {
    let builder = x.builder;
    let end = x.size(axis);
    let start = (end - builder.indices(&[signed(most)])).max(builder.indices(&[0]));
    builder.apply(Op::Slice, &[x, start, end, builder.indices(&[axis])])
}

/// The positions of a decoder's tokens, after the past, if any.
#[derive(Clone, Copy, Debug)]
pub struct Span<'b> {
    /// The number of new tokens, a vector of one element.
    new: Var<'b>,
    past: Option<Var<'b>>,
    /// The number of columns of masks, a vector of one element: all tokens, or the room in the cache.
    columns: Var<'b>,
    /// Whether the length of the past is an input, which says nothing about the shapes of other inputs.
    is_given: bool,
    /// Whether a layer with a window sees only as many columns as its past and the new tokens have.
    slides: bool,
}

impl<'b> Span<'b> {
    /// Creates the positions of the ids `[batch, seq]` after the past of a cache.
    #[track_caller]
    pub fn new(ids: Var<'b>, cache: &Cache<'b>) -> Self {
        let (new, past) = (ids.size(1), cache.past_length());
        let columns = match (past, cache.buffer) {
            (_, Some(buffer)) => ids.builder.indices(&[signed(buffer.length)]),
            (Some(past), None) => past + new,
            (None, None) => new,
        };
        Self { new, past, columns, is_given: cache.buffer.is_some(), slides: false }
    }

    /// Creates the positions of the ids `[batch, seq]` after the past of a cache; `mask` `[batch, past + seq]` has a column
    /// for each token, whichever of them the cache keeps.
    #[track_caller]
    pub fn with_mask(ids: Var<'b>, cache: &Cache<'b>, mask: Var<'b>) -> Self {
        let span = Self::new(ids, cache);
        let slides = cache.pasts.iter().any(|entry| entry.most.is_some());
        if !slides {
            return span;
        }
        let columns = mask.size(1);
        Self { past: Some(columns - span.new), columns, slides, ..span }
    }

    /// Returns the number of past tokens, a vector of one element; `None` without a past.
    pub fn past_length(&self) -> Option<Var<'b>> {
        self.past
    }

    /// Returns the positions `[seq]` of the new tokens.
    #[track_caller]
    pub fn positions(&self) -> Var<'b> {
        match self.past {
            Some(past) if self.is_given => past + self.new.range(),
            Some(past) => past.range_to(self.columns),
            None => self.new.range(),
        }
    }

    /// Returns the positions `[past + seq]` of all tokens, or of all places in the cache.
    #[track_caller]
    pub fn all_positions(&self) -> Var<'b> {
        self.columns.range()
    }

    /// Returns the mask of padding (by the `attention_mask` `[batch, past + seq]`), later tokens, and tokens outside
    /// the window: `[batch, 1, seq, past + seq]`, or `[seq, past + seq]` without padding. It is added to scores. A layer
    /// whose cache keeps only the window has as many columns as that and the new tokens.
    #[track_caller]
    pub fn mask(&self, attention_mask: Option<Var<'b>>, window: Option<u64>) -> Var<'b> {
        let kept = window.filter(|_| self.slides).zip(self.past).map(|(window, past)| {
            let most = self.new.builder.indices(&[signed(window.saturating_sub(1))]);
            // The first column that the layer has.
            past - past.min(most)
        });
        let mut mask = match self.past {
            None => square_mask(self.columns, window),
            Some(_) => self.mask_after_past(kept, window),
        };
        if let Some(attention_mask) = attention_mask {
            let seen = kept.map_or(attention_mask, |first| {
                let builder = first.builder;
                builder.apply(Op::Slice, &[attention_mask, first, self.columns, builder.indices(&[1])])
            });
            mask = mask + padding_mask(seen);
        }
        mask.name("mask")
    }

    /// Returns the causal mask `[seq, past + seq]`, computed from distances: tract 0.23.9 does not support triangles
    /// with a computed diagonal, and compares positions of symbolic lengths wrong.
    #[track_caller]
    fn mask_after_past(&self, first: Option<Var<'b>>, window: Option<u64>) -> Var<'b> {
        let builder = self.new.builder;
        let keys = first.map_or_else(|| self.all_positions(), |first| first.range_to(self.columns));
        let [key, query] = [keys, self.positions()].map(|positions| positions.cast(ElementType::F32));
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
