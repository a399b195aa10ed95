//! Lookup tables of embeddings.

use crate::{Init, Var};

/// A lookup table: ids `[batch, seq]` to `[batch, seq, d_model]`, optionally scaled by `sqrt(d_model)` (paper, 3.4).
///
/// Parameter: `weight` `[vocab, d_model]`.
#[derive(Clone, Debug)]
pub struct Embedding {
    name: String,
    vocab: u64,
    d_model: u64,
    /// The scale of the rows.
    factor: Option<f32>,
}

impl Embedding {
    /// Creates a lookup table.
    pub fn new(name: impl Into<String>, vocab: u64, d_model: u64, scale: bool) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the factor is applied in f32")]
        let factor = scale.then(|| (d_model as f64).sqrt() as f32);
        Self { name: name.into(), vocab, d_model, factor }
    }

    /// Looks up the rows of the ids.
    #[track_caller]
    pub fn forward<'b>(&self, ids: Var<'b>) -> Var<'b> {
        if let Some(ty) = ids.ty().filter(|ty| ty.element.is_float()) {
            let what = format!("the layer {} takes ids, which are whole numbers, but its input is {ty}", self.name);
            return ids.builder.error(what, Some("declare the input as i64, or cast it".to_owned()));
        }
        let _scope = ids.builder.enter(&self.name);
        let rows = self.weight(ids).gather(ids);
        match self.factor {
            Some(factor) => rows * factor,
            None => rows,
        }
    }

    /// Computes scores with the table itself (tied embeddings): `[.., d_model]` to `[.., vocab]`.
    #[track_caller]
    pub fn scores<'b>(&self, x: Var<'b>) -> Var<'b> {
        let _scope = x.builder.enter(&self.name);
        x.matmul(self.weight(x).transpose(&[1, 0]))
    }

    #[track_caller]
    fn weight<'b>(&self, like: Var<'b>) -> Var<'b> {
        like.builder.parameter(&format!("{}.weight", self.name), &[self.vocab, self.d_model], Init::Xavier)
    }
}
