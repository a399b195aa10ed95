//! Adds a family of models with the existing layers: OPT (Zhang et al., 2022).
//! `cargo run --release --example add_a_family`.
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use netwright::nn::families::{Architecture, DecoderInputs, Family, Head};
use netwright::nn::{Settings, SettingsError};
use netwright::prelude::*;

/// The model type, the architectures and their tasks.
pub(crate) const OPT: Family = Family {
    name: "OPT",
    model_types: &["opt"],
    example: Some("facebook/opt-125m"),
    architectures: &[("OPTForCausalLM", Task::TextGeneration)],
    read: |settings, head| Ok(Box::new(read(settings, head)?)),
};

struct Opt {
    words: Embedding,
    positions: Embedding,
    layers: Vec<Layer>,
    norm: Norm,
    heads: u64,
    d_k: u64,
    with_past: bool,
}

struct Layer {
    attention: MultiHeadAttention,
    attention_norm: Norm,
    ffn: FeedForward,
    ffn_norm: Norm,
}

/// Reads every option; unknown options are an error. Layers have the names of their weights, which are bound by name.
fn read(settings: &Settings, head: &Head<'_>) -> Result<Opt, SettingsError> {
    for option in ["do_layer_norm_before", "enable_bias", "layer_norm_elementwise_affine", "tie_word_embeddings"] {
        settings.must_be(option, true)?;
    }
    settings.must_be("_remove_final_layer_norm", false)?;
    let d_model = settings.size("hidden_size")?;
    settings.must_be("word_embed_proj_dim", d_model)?;
    let (vocab, d_ff) = (settings.size("vocab_size")?, settings.size("ffn_dim")?);
    let heads = settings.heads("num_attention_heads", d_model)?;
    let activation = settings.activation("activation_function", Activation::Relu)?;
    let base = format!("{}decoder", head.base("model"));
    let norm = |name: String| Norm::new(name, NormKind::LayerNorm, d_model, 1e-5);
    let layer = |at: u64| {
        let name = format!("{base}.layers.{at}");
        let up = Linear::new(format!("{name}.fc1"), d_model, d_ff, true);
        let down = Linear::new(format!("{name}.fc2"), d_ff, d_model, true);
        Layer {
            attention: MultiHeadAttention::new(format!("{name}.self_attn"), d_model, heads, true),
            attention_norm: norm(format!("{name}.self_attn_layer_norm")),
            ffn: FeedForward::with_layers(name.clone(), activation, up, down, None),
            ffn_norm: norm(format!("{name}.final_layer_norm")),
        }
    };
    // Two rows come before the first position.
    let rows = settings.size("max_position_embeddings")? + 2;
    Ok(Opt {
        words: Embedding::new(format!("{base}.embed_tokens"), vocab, d_model, false),
        positions: Embedding::new(format!("{base}.embed_positions"), rows, d_model, false),
        layers: (0..settings.layers("num_hidden_layers")?).map(layer).collect(),
        norm: norm(format!("{base}.final_layer_norm")),
        heads,
        d_k: d_model / heads,
        with_past: head.with_past,
    })
}

impl Architecture for Opt {
    fn declare<'b>(&self, builder: &'b Builder<'b>, _: Part) {
        let inputs = DecoderInputs::declare(builder, self.with_past, self.layers.len() as u64, self.heads, self.d_k);
        let (mask, places) = (inputs.mask(None), inputs.position_ids + builder.index(2));
        let mut x = self.words.forward(inputs.input_ids) + self.positions.forward(places);
        for (at, layer) in self.layers.iter().enumerate() {
            let normed = layer.attention_norm.forward(x);
            x = x + layer.attention.cached_self_attention(normed, Some(mask), &inputs.cache, &at.to_string());
            x = x + layer.ffn.forward(layer.ffn_norm.forward(x));
        }
        builder.output("logits", self.words.scores(self.norm.forward(x)));
        inputs.cache.outputs();
    }

    fn has_cache(&self) -> bool {
        true
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/opt");
    let options = PretrainedOptions::default().with_families(vec![OPT]).with_past(true);
    let mut model = Model::new(Pretrained::open(folder, &options)?.build(Part::Whole, false)?);
    optimize(&mut model, &OptimizeOptions::for_target(Target::TRACT))?;
    let path = std::env::temp_dir().join("netwright_opt.onnx");
    write(&model, &path, &WriteOptions::default())?;
    println!("{}", verify(&path, None, &VerifyOptions::default())?);
    Ok(())
}
