//! Adds a family of models with the existing layers: the first GPT (Radford et al., 2018).
//! `cargo run --release --example add_a_family`.
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use netwright::nn::families::{Architecture, DecoderInputs, Family, Head};
use netwright::nn::layers::{CacheForm, DotProduct, merge_heads, split_heads};
use netwright::nn::{Settings, SettingsError};
use netwright::prelude::*;

/// The model type, the architectures and their tasks.
pub(crate) const OPENAI_GPT: Family = Family {
    name: "OpenAI GPT",
    model_types: &["openai-gpt"],
    example: Some("openai-community/openai-gpt"),
    architectures: &[("OpenAIGPTLMHeadModel", Task::TextGeneration)],
    read: |settings, head| Ok(Box::new(read(settings, head)?)),
};

struct Gpt {
    words: Embedding,
    positions: Embedding,
    layers: Vec<Layer>,
    heads: u64,
    d_k: u64,
    cache: Option<CacheForm>,
}

struct Layer {
    /// The packed projection of query, key and value.
    packed: Linear,
    output: Linear,
    attention_norm: Norm,
    ffn: FeedForward,
    ffn_norm: Norm,
}

/// Reads every option; unknown options are an error. Layers have the names of their weights, which are bound by name.
fn read(settings: &Settings, head: &Head<'_>) -> Result<Gpt, SettingsError> {
    settings.must_be("tie_word_embeddings", true)?;
    // The name of the approximation of GELU in this family.
    settings.must_be("afn", "gelu")?;
    settings.ignore(&["n_ctx", "predict_special_tokens", "summary_type", "summary_use_proj"]);
    settings.ignore(&["summary_activation", "summary_proj_to_labels"]);
    let d_model = settings.size("n_embd")?;
    let (vocab, rows) = (settings.size("vocab_size")?, settings.size("n_positions")?);
    let heads = settings.heads("n_head", d_model)?;
    let epsilon = settings.epsilon("layer_norm_epsilon", 1e-5)?;
    let base = head.base("transformer");
    let layer = |at: u64| {
        let name = format!("{base}h.{at}");
        let norm = |part: &str| Norm::new(format!("{name}.{part}"), NormKind::LayerNorm, d_model, epsilon);
        let linear =
            |part: &str, inputs, outputs| Linear::new(format!("{name}.{part}"), inputs, outputs, true).input_major();
        let (up, down) = (linear("mlp.c_fc", d_model, 4 * d_model), linear("mlp.c_proj", 4 * d_model, d_model));
        Layer {
            packed: linear("attn.c_attn", d_model, 3 * d_model),
            output: linear("attn.c_proj", d_model, d_model),
            attention_norm: norm("ln_1"),
            ffn: FeedForward::with_layers(format!("{name}.mlp"), Activation::GeluTanh, up, down, None),
            ffn_norm: norm("ln_2"),
        }
    };
    Ok(Gpt {
        words: Embedding::new(format!("{base}tokens_embed"), vocab, d_model, false),
        positions: Embedding::new(format!("{base}positions_embed"), rows, d_model, false),
        layers: (0..settings.layers("n_layer")?).map(layer).collect(),
        heads,
        d_k: d_model / heads,
        cache: head.cache,
    })
}

impl Architecture for Gpt {
    fn declare<'b>(&self, builder: &'b Builder<'b>, _: Part) {
        let inputs = DecoderInputs::declare(builder, self.cache, &vec![None; self.layers.len()], self.heads, self.d_k);
        let mask = inputs.mask(None);
        let mut x = self.words.forward(inputs.input_ids) + self.positions.forward(inputs.position_ids);
        for (at, layer) in self.layers.iter().enumerate() {
            let [query, key, value] = layer
                .packed
                .forward(x)
                .split(-1, [self.heads * self.d_k; 3])
                .map(|part| split_heads(part, self.heads, self.d_k));
            let (key, value) = inputs.cache.extend(&at.to_string(), key, value);
            let (context, _) = DotProduct::new(self.d_k).attend(query, key, value, Some(mask));
            x = layer.attention_norm.forward(x + layer.output.forward(merge_heads(context)));
            x = layer.ffn_norm.forward(x + layer.ffn.forward(x));
        }
        builder.output("logits", self.words.scores(x));
        inputs.cache.outputs();
    }

    fn has_cache(&self) -> bool {
        true
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/openai_gpt");
    let options = PretrainedOptions::default().with_families(vec![OPENAI_GPT]).with_past(true);
    let mut model = Model::new(Pretrained::open(folder, &options)?.build(Part::Whole, false)?);
    optimize(&mut model, &OptimizeOptions::for_target(Target::TRACT))?;
    let path = std::env::temp_dir().join("netwright_openai_gpt.onnx");
    write(&model, &path, &WriteOptions::default())?;
    println!("{}", verify(&path, None, &VerifyOptions::default())?);
    Ok(())
}
