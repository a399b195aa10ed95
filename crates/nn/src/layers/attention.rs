//! Multi-head attention.

use super::{Cache, Linear};
use crate::{Var, signed};

/// Scaled dot-product attention: `softmax(cap(q · kᵀ · scale) + mask) · v` (paper, 3.2.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DotProduct {
    /// The scale of the scores; `1/sqrt(d_k)` in the paper.
    pub scale: f32,
    /// Soft-caps scores: `softcap · tanh(scores / softcap)` (Gemma 2).
    pub softcap: Option<f32>,
}

impl DotProduct {
    /// Returns the attention of the paper for keys of width `d_k`.
    pub fn new(d_k: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the scale is applied in f32")]
        let scale = (1.0 / (d_k as f64).sqrt()) as f32;
        Self { scale, softcap: None }
    }

    /// Computes attention of query `[batch, heads, query, d_k]`, key `[batch, heads, key, d_k]` and value `[batch,
    /// heads, key, d_v]`. The mask is added to the scores and broadcasts to `[batch, heads, query, key]`. Returns
    /// `[batch, heads, query, d_v]` and the weights `[batch, heads, query, key]`, whose rows sum to 1.
    #[track_caller]
    pub fn attend<'b>(self, query: Var<'b>, key: Var<'b>, value: Var<'b>, mask: Option<Var<'b>>) -> (Var<'b>, Var<'b>) {
        let scores = query.matmul(key.transpose(&[0, 1, 3, 2])).name("scores");
        #[expect(clippy::float_cmp, reason = "1 is a literal, not computed")]
        let scores = if self.scale == 1.0 { scores } else { scores * self.scale };
        let scores = self.softcap.map_or(scores, |cap| (scores / cap).tanh() * cap);
        let masked = mask.map_or(scores, |mask| scores + mask);
        let weights = masked.softmax(-1).name("attention_weights");
        (weights.matmul(value).name("context"), weights)
    }
}

/// [`DotProduct::attend`] with the scale of the paper, for keys of width `d_k`.
#[track_caller]
pub fn scaled_dot_product_attention<'b>(
    query: Var<'b>,
    key: Var<'b>,
    value: Var<'b>,
    mask: Option<Var<'b>>,
    d_k: u64,
) -> (Var<'b>, Var<'b>) {
    DotProduct::new(d_k).attend(query, key, value, mask)
}

/// Splits heads: `[batch, seq, heads · d_k]` to `[batch, heads, seq, d_k]`.
#[track_caller]
pub fn split_heads(x: Var<'_>, heads: u64, d_k: u64) -> Var<'_> {
    let sizes = [0, 0, heads, d_k].map(signed);
    x.reshape(&sizes).transpose(&[0, 2, 1, 3])
}

/// Merges heads: `[batch, heads, seq, d_k]` to `[batch, seq, heads · d_k]`.
#[track_caller]
pub fn merge_heads(x: Var<'_>) -> Var<'_> {
    x.transpose(&[0, 2, 1, 3]).reshape(&[0, 0, -1])
}

/// Grouped-query attention (Ainslie et al., 2023): repeats every key-value head for `groups` query heads,
/// `[batch, heads, seq, d_k]` to `[batch, heads · groups, seq, d_k]`.
#[track_caller]
pub fn repeat_heads(x: Var<'_>, heads: u64, groups: u64, d_k: u64) -> Var<'_> {
    if groups == 1 {
        return x;
    }
    let sizes = x.builder.indices(&[1, 1, signed(groups), 1, 1]);
    x.unsqueeze(&[2]).expand(sizes).reshape(&[0, signed(heads.saturating_mul(groups)), -1, signed(d_k)])
}

/// Multi-head attention (paper, 3.2.2): queries from one sequence, keys and values from the same one (self-attention)
/// or another (cross-attention).
///
/// Parameters: those of its linear layers, by default `q_proj`, `k_proj`, `v_proj` and `out_proj`. The attention
/// weights are the value `attention_weights` in its scope.
#[derive(Clone, Debug)]
pub struct MultiHeadAttention {
    name: String,
    projections: Projections,
    num_heads: u64,
    d_k: u64,
    scores: DotProduct,
}

/// The linear layers of an attention.
#[derive(Clone, Debug)]
pub struct Projections {
    /// The query projection, `[.., d_model]` to `[.., heads · d_k]`.
    pub query: Linear,
    /// The key projection, `[.., d_model]` to `[.., heads · d_k]`.
    pub key: Linear,
    /// The value projection, `[.., d_model]` to `[.., heads · d_k]`.
    pub value: Linear,
    /// The output projection, `[.., heads · d_k]` to `[.., d_model]`.
    pub output: Linear,
}

impl MultiHeadAttention {
    /// Creates an attention layer; `d_model` is a multiple of `num_heads`.
    pub fn new(name: impl Into<String>, d_model: u64, num_heads: u64, bias: bool) -> Self {
        let name = name.into();
        let linear = |part: &str| Linear::new(format!("{name}.{part}"), d_model, d_model, bias);
        let projections = Projections {
            query: linear("q_proj"),
            key: linear("k_proj"),
            value: linear("v_proj"),
            output: linear("out_proj"),
        };
        Self::with_projections(name, projections, num_heads, d_model / num_heads.max(1))
    }

    /// Creates an attention layer from given linear layers.
    pub fn with_projections(name: impl Into<String>, projections: Projections, num_heads: u64, d_k: u64) -> Self {
        Self { name: name.into(), projections, num_heads, d_k, scores: DotProduct::new(d_k) }
    }

    /// Sets the computation of scores.
    pub fn with_scores(mut self, scores: DotProduct) -> Self {
        self.scores = scores;
        self
    }

    /// Self-attention: query, key and value come from one sequence `[batch, seq, d_model]`, the shape of the result.
    #[track_caller]
    pub fn self_attention<'b>(&self, x: Var<'b>, mask: Option<Var<'b>>) -> Var<'b> {
        self.cross_attention(x, x, mask)
    }

    /// Cross-attention: queries from `x` `[batch, target, d_model]`, keys and values from the memory
    /// `[batch, source, d_model]`; the result has the shape of `x`.
    #[track_caller]
    pub fn cross_attention<'b>(&self, x: Var<'b>, memory: Var<'b>, mask: Option<Var<'b>>) -> Var<'b> {
        if let Err(failed) = self.expect_heads(x) {
            return failed;
        }
        let _scope = x.builder.enter(&self.name);
        let query = self.query(x);
        let (key, value) = self.key_value(memory);
        self.attend(query, key, value, mask)
    }

    /// Checks that the number of heads divides the width of the queries.
    #[track_caller]
    fn expect_heads<'b>(&self, x: Var<'b>) -> Result<(), Var<'b>> {
        let (name, width, heads) = (&self.name, self.projections.query.outputs(), self.num_heads);
        if heads.checked_mul(self.d_k) == Some(width) {
            return Ok(());
        }
        let what = format!("the attention {name} cannot split queries of width {width} into {heads} heads");
        Err(x.builder.error(what, Some(format!("choose a number of heads that divides {width}"))))
    }

    /// Checks that the mask can be added to the scores.
    #[track_caller]
    fn expect_mask<'b>(&self, mask: Option<Var<'b>>) -> Result<(), Var<'b>> {
        let Some((mask, ty)) = mask.and_then(|mask| mask.ty().map(|ty| (mask, ty))) else { return Ok(()) };
        if ty.element.is_float() {
            return Ok(());
        }
        let what = format!(
            "the mask of the attention {} is {ty}, but masks are floats that are added to its scores [batch, heads, \
             query, key]",
            self.name
        );
        let help = "make one of a tokenizer's attention_mask [batch, key] with padding_mask(attention_mask)";
        Err(mask.builder.error(what, Some(help.to_owned())))
    }

    /// Self-attention of a decoder whose KV cache is an entry of `cache`.
    #[track_caller]
    pub fn cached_self_attention<'b>(
        &self,
        x: Var<'b>,
        mask: Option<Var<'b>>,
        cache: &Cache<'b>,
        entry: &str,
    ) -> Var<'b> {
        if let Err(failed) = self.expect_heads(x) {
            return failed;
        }
        let _scope = x.builder.enter(&self.name);
        let query = self.query(x);
        let (key, value) = self.key_value(x);
        let (key, value) = cache.extend(entry, key, value);
        self.attend(query, key, value, mask)
    }

    /// Cross-attention of a decoder: keys and values of the memory are computed once; decode steps, which have no
    /// memory, read them from an entry of `cache`.
    #[track_caller]
    pub fn cached_cross_attention<'b>(
        &self,
        x: Var<'b>,
        memory: Option<Var<'b>>,
        mask: Option<Var<'b>>,
        cache: &Cache<'b>,
        entry: &str,
    ) -> Var<'b> {
        if let Err(failed) = self.expect_heads(x) {
            return failed;
        }
        let _scope = x.builder.enter(&self.name);
        let query = self.query(x);
        let (key, value) = cache.once(entry, || memory.map(|memory| self.key_value(memory)));
        self.attend(query, key, value, mask)
    }

    #[track_caller]
    fn query<'b>(&self, x: Var<'b>) -> Var<'b> {
        self.split_heads(self.projections.query.forward(x)).name("query")
    }

    #[track_caller]
    fn key_value<'b>(&self, memory: Var<'b>) -> (Var<'b>, Var<'b>) {
        let key = self.split_heads(self.projections.key.forward(memory)).name("key");
        let value = self.split_heads(self.projections.value.forward(memory)).name("value");
        (key, value)
    }

    #[track_caller]
    fn attend<'b>(&self, query: Var<'b>, key: Var<'b>, value: Var<'b>, mask: Option<Var<'b>>) -> Var<'b> {
        if let Err(failed) = self.expect_mask(mask) {
            return failed;
        }
        let (context, _) = self.scores.attend(query, key, value, mask);
        self.projections.output.forward(merge_heads(context))
    }

    #[track_caller]
    fn split_heads<'b>(&self, x: Var<'b>) -> Var<'b> {
        split_heads(x, self.num_heads, self.d_k)
    }
}
