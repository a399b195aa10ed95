use super::Linear;
use crate::Var;

/// `softmax(q · kᵀ / sqrt(d_k) + mask) · v` (paper, 3.2.1), and the attention weights that it computes on the way.
///
/// Query `[batch, heads, query, d_k]`, key `[batch, heads, key, d_k]`, value `[batch, heads, key, d_v]`; the mask, added
/// to the scores, broadcasts to `[batch, heads, query, key]`. Results: `[batch, heads, query, d_v]` and the weights
/// `[batch, heads, query, key]`, whose rows sum to 1.
#[track_caller]
pub fn scaled_dot_product_attention<'b>(
    query: Var<'b>,
    key: Var<'b>,
    value: Var<'b>,
    mask: Option<Var<'b>>,
    d_k: u64,
) -> (Var<'b>, Var<'b>) {
    #[expect(clippy::cast_possible_truncation, reason = "the scale is applied in f32")]
    let scale = (1.0 / (d_k as f64).sqrt()) as f32;
    let scores = query.matmul(key.transpose(&[0, 1, 3, 2])).name("scores") * scale;
    let masked = mask.map_or(scores, |mask| scores + mask);
    let weights = masked.softmax(-1).name("attention_weights");
    (weights.matmul(value).name("context"), weights)
}

/// Attention in several heads (paper, 3.2.2): queries from one sequence, keys and values from the same one
/// (self-attention) or another (cross-attention).
///
/// Parameters: those of the linear layers `q_proj`, `k_proj`, `v_proj` and `out_proj`. The attention weights are the
/// value `attention_weights` in its scope.
#[derive(Clone, Debug)]
pub struct MultiHeadAttention {
    name: String,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    num_heads: u64,
    d_k: u64,
}

impl MultiHeadAttention {
    /// An attention of that name; `d_model` is a multiple of `num_heads`.
    pub fn new(name: impl Into<String>, d_model: u64, num_heads: u64, bias: bool) -> Self {
        let name = name.into();
        let linear = |part: &str| Linear::new(format!("{name}.{part}"), d_model, d_model, bias);
        Self {
            q_proj: linear("q_proj"),
            k_proj: linear("k_proj"),
            v_proj: linear("v_proj"),
            out_proj: linear("out_proj"),
            num_heads,
            d_k: d_model / num_heads.max(1),
            name,
        }
    }

    /// The name of the value that holds its attention weights `[batch, heads, query, key]`.
    pub fn weights_name(&self) -> String {
        format!("{}.attention_weights", self.name)
    }

    /// Self-attention: query, key and value are of one sequence `[batch, seq, d_model]`; so is the result.
    #[track_caller]
    pub fn self_attention<'b>(&self, x: Var<'b>, mask: Option<Var<'b>>) -> Var<'b> {
        self.forward(x, x, mask)
    }

    /// Cross-attention: queries of `x` `[batch, target, d_model]`, keys and values of the memory
    /// `[batch, source, d_model]`; the result is like `x`.
    #[track_caller]
    pub fn cross_attention<'b>(&self, x: Var<'b>, memory: Var<'b>, mask: Option<Var<'b>>) -> Var<'b> {
        self.forward(x, memory, mask)
    }

    #[track_caller]
    fn forward<'b>(&self, x: Var<'b>, memory: Var<'b>, mask: Option<Var<'b>>) -> Var<'b> {
        let _scope = x.builder.enter(&self.name);
        let query = self.split_heads(self.q_proj.forward(x)).name("query");
        let key = self.split_heads(self.k_proj.forward(memory)).name("key");
        let value = self.split_heads(self.v_proj.forward(memory)).name("value");
        let (context, _) = scaled_dot_product_attention(query, key, value, mask, self.d_k);
        let joined = context.transpose(&[0, 2, 1, 3]).reshape(&[0, 0, -1]);
        self.out_proj.forward(joined)
    }

    /// `[batch, seq, d_model]` to `[batch, heads, seq, d_k]`.
    #[track_caller]
    fn split_heads<'b>(&self, x: Var<'b>) -> Var<'b> {
        let sizes = [0, 0, self.num_heads, self.d_k].map(|size| i64::try_from(size).unwrap_or(i64::MAX));
        x.reshape(&sizes).transpose(&[0, 2, 1, 3])
    }
}
