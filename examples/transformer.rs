//! The encoder-decoder of "Attention Is All You Need", declared with layers, then optimized, written and verified:
//! `cargo run --release --example transformer`.
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use netwright::prelude::*;

const D_MODEL: u64 = 512;
const HEADS: u64 = 8;
const D_FF: u64 = 2048;
const LAYERS: usize = 6;
const VOCAB: u64 = 37_000;

fn attention(name: String) -> MultiHeadAttention {
    MultiHeadAttention::new(name, D_MODEL, HEADS, true)
}

fn feed_forward(name: String) -> FeedForward {
    FeedForward::new(name, D_MODEL, D_FF, Activation::Relu, false, true)
}

fn norm(name: String) -> Norm {
    Norm::new(name, NormKind::LayerNorm, D_MODEL, 1e-5)
}

fn encoder<'b>(mut x: Var<'b>, padding: Var<'b>) -> Var<'b> {
    for layer in (0..LAYERS).map(|at| format!("encoder.layers.{at}")) {
        let attended = attention(format!("{layer}.self_attn")).self_attention(x, Some(padding));
        x = norm(format!("{layer}.norm1")).forward(x + attended);
        let transformed = feed_forward(format!("{layer}.ffn")).forward(x);
        x = norm(format!("{layer}.norm2")).forward(x + transformed);
    }
    x
}

fn decoder<'b>(mut x: Var<'b>, memory: Var<'b>, causal: Var<'b>, padding: Var<'b>) -> Var<'b> {
    for layer in (0..LAYERS).map(|at| format!("decoder.layers.{at}")) {
        let attended = attention(format!("{layer}.self_attn")).self_attention(x, Some(causal));
        x = norm(format!("{layer}.norm1")).forward(x + attended);
        let attended = attention(format!("{layer}.cross_attn")).cross_attention(x, memory, Some(padding));
        x = norm(format!("{layer}.norm2")).forward(x + attended);
        let transformed = feed_forward(format!("{layer}.ffn")).forward(x);
        x = norm(format!("{layer}.norm3")).forward(x + transformed);
    }
    x
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let weights = Weights::Random { seed: 0 };
    let builder = Builder::new("transformer", &weights);
    let ids = |name, length| builder.input(name, TensorType::new(ElementType::I64, shape!["batch", length]));
    let (source, mask) = (ids("input_ids", "source"), ids("attention_mask", "source"));
    let target = ids("decoder_input_ids", "target");

    let tokens = Embedding::new("shared", VOCAB, D_MODEL, true);
    let positions = Positions::new("positions", PositionalEncoding::Sinusoidal, 1024, D_MODEL);
    let embed = |ids| positions.forward(tokens.forward(ids));

    let (padding, causal) = (padding_mask(mask), causal_mask(target));
    let memory = encoder(embed(source), padding);
    let state = decoder(embed(target), memory, causal, padding);
    builder.output("logits", tokens.scores(state));

    let mut model = Model::new(builder.finish()?);
    let options = OptimizeOptions::for_target(Target::TRACT);
    let report = optimize(&mut model, &options)?;
    let path = std::env::temp_dir().join("transformer.onnx");
    write(&model, &path, &WriteOptions::default())?;
    println!("{} rewrites\n{}", report.applied.len(), verify(&path, None, &VerifyOptions::default())?);
    Ok(())
}
