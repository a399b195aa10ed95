//! GPT-2 (Radford et al., 2019): a decoder with learned positions and norms before its blocks.

use super::causal::{DecoderInputs, Output};
use super::{Architecture, Family, Head};
use crate::layers::{
    Activation, CacheForm, DotProduct, Embedding, FeedForward, Linear, Norm, NormKind, merge_heads, split_heads,
};
use crate::{Builder, Part, Settings, SettingsError, Task, Var};

/// GPT-2 and DistilGPT-2.
pub(super) const GPT2: Family = Family {
    name: "GPT-2",
    model_types: &["gpt2"],
    example: Some("openai-community/gpt2"),
    architectures: &[
        ("GPT2LMHeadModel", Task::TextGeneration),
        ("GPT2Model", Task::FeatureExtraction),
        ("GPT2ForSequenceClassification", Task::TextClassification),
        ("GPT2ForTokenClassification", Task::TokenClassification),
        ("GPT2ForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| Ok(Box::new(read(settings, head)?)),
};

#[derive(Debug)]
struct Gpt2 {
    words: Embedding,
    positions: Embedding,
    layers: Vec<Layer>,
    norm: Norm,
    output: Output,
    cache: Option<CacheForm>,
    heads: u64,
    d_k: u64,
}

#[derive(Debug)]
struct Layer {
    name: String,
    entry: String,
    attention_norm: Norm,
    /// The packed projection of query, key and value.
    packed: Linear,
    output: Linear,
    scores: DotProduct,
    mlp_norm: Norm,
    mlp: FeedForward,
}

fn read(settings: &Settings, head: &Head<'_>) -> Result<Gpt2, SettingsError> {
    settings.must_be("add_cross_attention", false)?;
    settings.ignore(&["n_ctx", "summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels"]);
    let base = head.base("transformer");
    let d_model = settings.size("n_embd")?;
    let heads = settings.heads("n_head", d_model)?;
    let d_k = d_model / heads;
    let d_ff = settings.optional_size("n_inner")?.unwrap_or(4 * d_model);
    let vocab = settings.size("vocab_size")?;
    let activation = settings.activation("activation_function", Activation::GeluTanh)?;
    let epsilon = settings.epsilon("layer_norm_epsilon", 1e-5)?;
    let is_scaled = settings.flag("scale_attn_weights", true)?;
    let by_layer = settings.flag("scale_attn_by_inverse_layer_idx", false)?;
    let norm = |name: String| Norm::new(name, NormKind::LayerNorm, d_model, epsilon);
    let layer = |at: u64| {
        let name = format!("{base}h.{at}");
        let linear =
            |part: &str, inputs, outputs| Linear::new(format!("{name}.{part}"), inputs, outputs, true).input_major();
        let scale = if is_scaled { DotProduct::new(d_k).scale } else { 1.0 };
        let scale = if by_layer { scale / (at + 1) as f32 } else { scale };
        let (up, down) = (linear("mlp.c_fc", d_model, d_ff), linear("mlp.c_proj", d_ff, d_model));
        Layer {
            entry: at.to_string(),
            attention_norm: norm(format!("{name}.ln_1")),
            packed: linear("attn.c_attn", d_model, 3 * d_model),
            output: linear("attn.c_proj", d_model, d_model),
            scores: DotProduct { scale, softcap: None },
            mlp_norm: norm(format!("{name}.ln_2")),
            mlp: FeedForward::with_layers(format!("{name}.mlp"), activation, up, down, None),
            name,
        }
    };
    let tied = settings.flag("tie_word_embeddings", true)?;
    let layer_of_scores = (!tied).then(|| Linear::new("lm_head", d_model, vocab, false));
    let scores = Output::Tokens { layer: layer_of_scores, factor: 1.0, softcap: None };
    Ok(Gpt2 {
        words: Embedding::new(format!("{base}wte"), vocab, d_model, false),
        positions: Embedding::new(format!("{base}wpe"), settings.size("n_positions")?, d_model, false),
        layers: (0..settings.layers("n_layer")?).map(layer).collect(),
        norm: norm(format!("{base}ln_f")),
        output: Output::read(settings, head, d_model, scores, "classifier")?,
        cache: head.cache,
        heads,
        d_k,
    })
}

impl Architecture for Gpt2 {
    fn declare<'b>(&self, builder: &'b Builder<'b>, _: Part) {
        let inputs = DecoderInputs::declare(builder, self.cache, &vec![None; self.layers.len()], self.heads, self.d_k);
        let mask = inputs.mask(None);
        let mut x = self.words.forward(inputs.input_ids) + self.positions.forward(inputs.position_ids);
        for layer in &self.layers {
            x = x + self.attend(layer, layer.attention_norm.forward(x), &inputs, mask);
            x = x + layer.mlp.forward(layer.mlp_norm.forward(x));
        }
        let x = self.norm.forward(x);
        self.output.declare(builder, &inputs, x, |x| self.words.scores(x));
    }

    fn has_cache(&self) -> bool {
        self.output.has_cache()
    }

    fn leaves(&self) -> &'static [&'static str] {
        &[".attn.bias", ".attn.masked_bias"]
    }

    fn copies(&self) -> &'static [&'static str] {
        self.output.copies()
    }
}

impl Gpt2 {
    #[track_caller]
    fn attend<'b>(&self, layer: &Layer, x: Var<'b>, inputs: &DecoderInputs<'b>, mask: Var<'b>) -> Var<'b> {
        let _scope = x.builder.enter(&format!("{}.attn", layer.name));
        let width = self.heads * self.d_k;
        let [query, key, value] =
            layer.packed.forward(x).split(-1, [width; 3]).map(|part| split_heads(part, self.heads, self.d_k));
        let (key, value) = inputs.cache.extend(&layer.entry, key, value);
        let (context, _) = layer.scores.attend(query, key, value, Some(mask));
        layer.output.forward(merge_heads(context))
    }
}
