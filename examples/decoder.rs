//! A decode step of a small Llama, with rotary positions and a KV cache: `cargo run --release --example decoder`.
//!
//! [`RotaryAttention`] is a layer of its own: a struct of layers with names, and a `forward` that applies operators.
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use netwright::nn::layers::{Cache, DotProduct, Linear, Rotary, Span, cache_type, merge_heads, split_heads};
use netwright::prelude::*;

const D_MODEL: u64 = 64;
const HEADS: u64 = 4;
const D_K: u64 = D_MODEL / HEADS;
const LAYERS: u64 = 2;
const VOCAB: u64 = 256;

/// Self-attention whose queries and keys are rotated by their positions.
struct RotaryAttention {
    name: String,
    rotary: Rotary,
}

impl RotaryAttention {
    /// `x` is `[batch, seq, 64]`, as the result is; the cache keeps rotated keys.
    #[track_caller]
    fn forward<'b>(
        &self,
        x: Var<'b>,
        tables: (Var<'b>, Var<'b>),
        mask: Var<'b>,
        cache: &Cache<'b>,
        entry: &str,
    ) -> Var<'b> {
        let linear = |part: &str| Linear::new(format!("{}.{part}", self.name), D_MODEL, D_MODEL, false);
        let heads = |part: &str| split_heads(linear(part).forward(x), HEADS, D_K);
        let query = self.rotary.rotate(heads("q_proj"), tables, D_K);
        let key = self.rotary.rotate(heads("k_proj"), tables, D_K);
        let (key, value) = cache.extend(entry, key, heads("v_proj"));
        let (context, _) = DotProduct::new(D_K).attend(query, key, value, Some(mask));
        linear("o_proj").forward(merge_heads(context))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let weights = Weights::Random { seed: 0 };
    let builder = Builder::new("decoder", &weights);
    let (batch, past, seq) = (Dim::symbol("batch"), Dim::symbol("past"), Dim::symbol("seq"));
    let ids = |name, length| builder.input(name, TensorType::new(ElementType::I64, shape![batch.clone(), length]));
    let input_ids = ids("input_ids", seq.clone());
    let attention_mask = ids("attention_mask", past.plus(&seq));
    let position_ids = ids("position_ids", seq);

    let entry = |layer: u64| (layer.to_string(), cache_type(&builder, &batch, HEADS, &past, D_K));
    let cache = Cache::later(&builder, (0..LAYERS).map(entry));
    let mask = Span::new(input_ids, &cache).mask(Some(attention_mask), None);
    let rotary = Rotary::new(D_K, 10_000.0);
    let tables = rotary.tables(position_ids);

    let tokens = Embedding::new("embed_tokens", VOCAB, D_MODEL, false);
    let norm = |name: String| Norm::new(name, NormKind::RmsNorm, D_MODEL, 1e-6);
    let mut x = tokens.forward(input_ids);
    for layer in 0..LAYERS {
        let name = format!("layers.{layer}");
        let attention = RotaryAttention { name: format!("{name}.self_attn"), rotary: rotary.clone() };
        let normed = norm(format!("{name}.input_layernorm")).forward(x);
        x = x + attention.forward(normed, tables, mask, &cache, &layer.to_string());
        let feed_forward = FeedForward::new(format!("{name}.mlp"), D_MODEL, 4 * D_MODEL, Activation::Silu, true, false);
        x = x + feed_forward.forward(norm(format!("{name}.post_attention_layernorm")).forward(x));
    }
    builder.output("logits", tokens.scores(norm("norm".to_owned()).forward(x)));
    cache.outputs();

    let mut model = Model::new(builder.finish()?);
    let report = optimize(&mut model, &OptimizeOptions::for_target(Target::ORT))?;
    let path = std::env::temp_dir().join("decoder.onnx");
    write(&model, &path, &WriteOptions::default())?;
    print!("{report}");
    println!("{}", verify(&path, None, &VerifyOptions::default())?);
    Ok(())
}
