//! OPT (Zhang et al., 2022): a decoder with learned positions, whose norms come before or after its blocks.

use super::causal::{DecoderInputs, Output};
use super::{Architecture, Family, Head};
use crate::layers::{Activation, CacheForm, Embedding, FeedForward, Linear, MultiHeadAttention, Norm, NormKind};
use crate::{Builder, Part, Settings, SettingsError, Task};

/// OPT.
pub(super) const OPT: Family = Family {
    name: "OPT",
    model_types: &["opt"],
    example: Some("facebook/opt-125m"),
    architectures: &[
        ("OPTForCausalLM", Task::TextGeneration),
        ("OPTModel", Task::FeatureExtraction),
        ("OPTForSequenceClassification", Task::TextClassification),
        ("OPTForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| Ok(Box::new(read(settings, head)?)),
};

#[derive(Debug)]
struct Opt {
    words: Embedding,
    /// The projections of words that are narrower than the model, before and after the layers.
    projections: Option<[Linear; 2]>,
    positions: Embedding,
    layers: Vec<Layer>,
    norm: Option<Norm>,
    output: Output,
    /// Whether norms come before their blocks.
    is_pre_norm: bool,
    cache: Option<CacheForm>,
    heads: u64,
    d_k: u64,
}

#[derive(Debug)]
struct Layer {
    attention: MultiHeadAttention,
    attention_norm: Norm,
    ffn: FeedForward,
    ffn_norm: Norm,
}

fn read(settings: &Settings, head: &Head<'_>) -> Result<Opt, SettingsError> {
    let d_model = settings.size("hidden_size")?;
    let width = settings.optional_size("word_embed_proj_dim")?.unwrap_or(d_model);
    let (vocab, d_ff) = (settings.size("vocab_size")?, settings.size("ffn_dim")?);
    let heads = settings.heads("num_attention_heads", d_model)?;
    let activation = settings.activation("activation_function", Activation::Relu)?;
    let bias = settings.flag("enable_bias", true)?;
    let has_weights = settings.flag("layer_norm_elementwise_affine", true)?;
    let kind = if has_weights { NormKind::LayerNorm } else { NormKind::PlainLayerNorm };
    let is_pre_norm = settings.flag("do_layer_norm_before", true)?;
    let has_norm = is_pre_norm && !settings.flag("_remove_final_layer_norm", false)?;
    let base = format!("{}decoder", head.base("model"));
    let norm = |name: String| Norm::new(name, kind, d_model, 1e-5);
    let layer = |at: u64| {
        let name = format!("{base}.layers.{at}");
        let up = Linear::new(format!("{name}.fc1"), d_model, d_ff, bias);
        let down = Linear::new(format!("{name}.fc2"), d_ff, d_model, bias);
        Layer {
            attention: MultiHeadAttention::new(format!("{name}.self_attn"), d_model, heads, bias),
            attention_norm: norm(format!("{name}.self_attn_layer_norm")),
            ffn: FeedForward::with_layers(name.clone(), activation, up, down, None),
            ffn_norm: norm(format!("{name}.final_layer_norm")),
        }
    };
    let projection = |part: &str, inputs, outputs| Linear::new(format!("{base}.{part}"), inputs, outputs, false);
    let tied = settings.flag("tie_word_embeddings", true)?;
    let scores = Output::Tokens {
        layer: (!tied).then(|| Linear::new("lm_head", width, vocab, false)),
        factor: 1.0,
        softcap: None,
    };
    // Two rows come before the first position.
    let rows = settings.size("max_position_embeddings")? + 2;
    Ok(Opt {
        words: Embedding::new(format!("{base}.embed_tokens"), vocab, width, false),
        projections: (width != d_model)
            .then(|| [projection("project_in", width, d_model), projection("project_out", d_model, width)]),
        positions: Embedding::new(format!("{base}.embed_positions"), rows, d_model, false),
        layers: (0..settings.layers("num_hidden_layers")?).map(layer).collect(),
        norm: has_norm.then(|| norm(format!("{base}.final_layer_norm"))),
        output: Output::read(settings, head, width, scores, "score")?,
        is_pre_norm,
        cache: head.cache,
        heads,
        d_k: d_model / heads,
    })
}

impl Architecture for Opt {
    fn declare<'b>(&self, builder: &'b Builder<'b>, _: Part) {
        let inputs = DecoderInputs::declare(builder, self.cache, &vec![None; self.layers.len()], self.heads, self.d_k);
        let (mask, places) = (inputs.mask(None), inputs.position_ids + builder.index(2));
        let words = self.words.forward(inputs.input_ids);
        let words = self.projections.as_ref().map_or(words, |[project, _]| project.forward(words));
        let mut x = words + self.positions.forward(places);
        for (at, layer) in self.layers.iter().enumerate() {
            let attend = |x| layer.attention.cached_self_attention(x, Some(mask), &inputs.cache, &at.to_string());
            if self.is_pre_norm {
                x = x + attend(layer.attention_norm.forward(x));
                x = x + layer.ffn.forward(layer.ffn_norm.forward(x));
            } else {
                x = layer.attention_norm.forward(x + attend(x));
                x = layer.ffn_norm.forward(x + layer.ffn.forward(x));
            }
        }
        let x = self.norm.as_ref().map_or(x, |norm| norm.forward(x));
        let x = self.projections.as_ref().map_or(x, |[_, project]| project.forward(x));
        self.output.declare(builder, &inputs, x, |x| self.words.scores(x));
    }

    fn has_cache(&self) -> bool {
        self.output.has_cache()
    }

    fn copies(&self) -> &'static [&'static str] {
        self.output.copies()
    }
}
