//! GPT-NeoX (Black et al., 2022) and Pythia: parallel attention and feed-forward, rotary positions on a part of each
//! head.

use super::causal::{DecoderInputs, Output};
use super::{Architecture, Family, Head, rope};
use crate::layers::{
    Activation, CacheForm, DotProduct, Embedding, FeedForward, Linear, Norm, NormKind, Rotary, merge_heads,
};
use crate::{Builder, Part, Settings, SettingsError, Task, Var, signed};

/// GPT-NeoX and Pythia.
pub(super) const GPT_NEOX: Family = Family {
    name: "GPT-NeoX",
    model_types: &["gpt_neox"],
    example: Some("EleutherAI/pythia-70m"),
    architectures: &[
        ("GPTNeoXForCausalLM", Task::TextGeneration),
        ("GPTNeoXModel", Task::FeatureExtraction),
        ("GPTNeoXForSequenceClassification", Task::TextClassification),
        ("GPTNeoXForTokenClassification", Task::TokenClassification),
        ("GPTNeoXForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| Ok(Box::new(read(settings, head)?)),
};

#[derive(Debug)]
struct GptNeoX {
    words: Embedding,
    rotary: Rotary,
    layers: Vec<Layer>,
    norm: Norm,
    output: Output,
    is_parallel: bool,
    cache: Option<CacheForm>,
    heads: u64,
    d_k: u64,
}

#[derive(Debug)]
struct Layer {
    name: String,
    entry: String,
    attention_norm: Norm,
    /// The packed projection: query, key and value for each head in turn.
    packed: Linear,
    output: Linear,
    mlp_norm: Norm,
    mlp: FeedForward,
}

fn read(settings: &Settings, head: &Head<'_>) -> Result<GptNeoX, SettingsError> {
    settings.must_be("is_decoder", false)?;
    let base = head.base("gpt_neox");
    let d_model = settings.size("hidden_size")?;
    let heads = settings.heads("num_attention_heads", d_model)?;
    let d_ff = settings.size("intermediate_size")?;
    let vocab = settings.size("vocab_size")?;
    let activation = settings.activation("hidden_act", Activation::Gelu)?;
    let epsilon = settings.epsilon("layer_norm_eps", 1e-5)?;
    let bias = settings.flag("attention_bias", true)?;
    let norm = |name: String| Norm::new(name, NormKind::LayerNorm, d_model, epsilon);
    let layer = |at: u64| {
        let name = format!("{base}layers.{at}");
        let linear = |part: &str, inputs, outputs, bias| Linear::new(format!("{name}.{part}"), inputs, outputs, bias);
        let up = linear("mlp.dense_h_to_4h", d_model, d_ff, true);
        let down = linear("mlp.dense_4h_to_h", d_ff, d_model, true);
        Layer {
            entry: at.to_string(),
            attention_norm: norm(format!("{name}.input_layernorm")),
            packed: linear("attention.query_key_value", d_model, 3 * d_model, bias),
            output: linear("attention.dense", d_model, d_model, bias),
            mlp_norm: norm(format!("{name}.post_attention_layernorm")),
            mlp: FeedForward::with_layers(format!("{name}.mlp"), activation, up, down, None),
            name,
        }
    };
    // transformers 4.57 saves both options under two names.
    for (name, other) in [("rope_theta", "rotary_emb_base"), ("partial_rotary_factor", "rotary_pct")] {
        if let Some(value) = settings.number(other)? {
            settings.must_be(name, value)?;
        }
    }
    let tied = settings.flag("tie_word_embeddings", false)?;
    let layer_of_scores = (!tied).then(|| {
        Linear::new(if head.weights.has("embed_out.") { "embed_out" } else { "lm_head" }, d_model, vocab, false)
    });
    let scores = Output::Tokens { layer: layer_of_scores, factor: 1.0, softcap: None };
    Ok(GptNeoX {
        words: Embedding::new(format!("{base}embed_in"), vocab, d_model, false),
        rotary: rope::rotary_named(settings, d_model / heads, ["rotary_emb_base", "rotary_pct"], 0.25)?,
        layers: (0..settings.layers("num_hidden_layers")?).map(layer).collect(),
        norm: norm(format!("{base}final_layer_norm")),
        output: Output::read(settings, head, d_model, scores, "classifier")?,
        is_parallel: settings.flag("use_parallel_residual", true)?,
        cache: head.cache,
        heads,
        d_k: d_model / heads,
    })
}

impl Architecture for GptNeoX {
    fn declare<'b>(&self, builder: &'b Builder<'b>, _: Part) {
        let inputs = DecoderInputs::declare(builder, self.cache, &vec![None; self.layers.len()], self.heads, self.d_k);
        let mask = inputs.mask(None);
        let turned = self.rotary.tables(inputs.position_ids);
        let mut x = self.words.forward(inputs.input_ids);
        for layer in &self.layers {
            let attended = x + self.attend(layer, layer.attention_norm.forward(x), &inputs, turned, mask);
            let fed = layer.mlp.forward(layer.mlp_norm.forward(if self.is_parallel { x } else { attended }));
            x = attended + fed;
        }
        let x = self.norm.forward(x);
        self.output.declare(builder, &inputs, x, |x| self.words.scores(x));
    }

    fn has_cache(&self) -> bool {
        self.output.has_cache()
    }

    fn leaves(&self) -> &'static [&'static str] {
        &["rotary_emb.inv_freq", "attention.bias", "attention.masked_bias"]
    }

    fn copies(&self) -> &'static [&'static str] {
        self.output.copies()
    }
}

impl GptNeoX {
    #[track_caller]
    fn attend<'b>(
        &self,
        layer: &Layer,
        x: Var<'b>,
        inputs: &DecoderInputs<'b>,
        turned: (Var<'b>, Var<'b>),
        mask: Var<'b>,
    ) -> Var<'b> {
        let _scope = x.builder.enter(&format!("{}.attention", layer.name));
        let sizes = [0, 0, self.heads, 3 * self.d_k].map(signed);
        let heads = layer.packed.forward(x).reshape(&sizes);
        let [query, key, value] = heads.split(-1, [self.d_k; 3]).map(|part| part.transpose(&[0, 2, 1, 3]));
        let [query, key] = [query, key].map(|x| self.rotary.rotate(x, turned, self.d_k));
        let (key, value) = inputs.cache.extend(&layer.entry, key, value);
        let (context, _) = DotProduct::new(self.d_k).attend(query, key, value, Some(mask));
        layer.output.forward(merge_heads(context))
    }
}
