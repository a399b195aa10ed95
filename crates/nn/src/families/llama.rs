//! Llama (Touvron et al., 2023) and its variants: decoders with RMS norms, rotary positions, grouped key-value heads
//! and gated feed-forward networks.

use super::causal::{DecoderInputs, Output};
use super::{Architecture, Family, Head, rope};
use crate::layers::{
    Activation, DotProduct, Embedding, FeedForward, Linear, Norm, NormKind, Rotary, merge_heads, repeat_heads,
    split_heads,
};
use crate::{Builder, Part, Settings, SettingsError, Task, Var, signed};

macro_rules! family {
    ($(#[$doc:meta])* $constant:ident, $name:literal, $model_type:literal, $class:literal $(+ $suffix:literal)?, $read:expr) => {
        $(#[$doc])*
        pub(super) const $constant: Family = Family {
            name: $name,
            model_types: &[$model_type],
            architectures: &[
                (concat!($class, "ForCausalLM"), Task::TextGeneration),
                (concat!($class, "Model"), Task::FeatureExtraction),
                (concat!($class, "Model"), Task::SentenceSimilarity),
                (concat!($class, "ForSequenceClassification"), Task::TextClassification),
                (concat!($class, "ForTokenClassification"), Task::TokenClassification),
                $((concat!($class, $suffix), Task::QuestionAnswering),)?
            ],
            read: |settings, head| Ok(Box::new(($read)(settings, head)?)),
        };
    };
}

family! {
    /// Llama 1 to 3, and SmolLM.
    LLAMA, "Llama, SmolLM", "llama", "Llama" + "ForQuestionAnswering", |settings: &Settings, head: &Head<'_>| {
        let bias = settings.flag("attention_bias", false)?;
        let kind = Kind { bias: [bias; 4], mlp_bias: settings.flag("mlp_bias", false)?, ..Kind::default() };
        read(settings, head, &kind)
    }
}

family! {
    /// Mistral: sliding-window attention.
    MISTRAL, "Mistral", "mistral", "Mistral" + "ForQuestionAnswering", |settings: &Settings, head: &Head<'_>| {
        let window = settings.length("sliding_window")?;
        read(settings, head, &Kind { window, ..Kind::default() })
    }
}

family! {
    /// Qwen2: biases in the projections.
    QWEN2, "Qwen2", "qwen2", "Qwen2" + "ForQuestionAnswering", |settings: &Settings, head: &Head<'_>| {
        let kind = Kind { bias: [true, true, true, false], ..qwen(settings)? };
        read(settings, head, &kind)
    }
}

family! {
    /// Qwen3: norms of queries and keys.
    QWEN3, "Qwen3", "qwen3", "Qwen3" + "ForQuestionAnswering", |settings: &Settings, head: &Head<'_>| {
        let bias = settings.flag("attention_bias", false)?;
        read(settings, head, &Kind { bias: [bias; 4], norms_heads: true, ..qwen(settings)? })
    }
}

family! {
    /// Phi-3: packed projections.
    PHI3, "Phi-3", "phi3", "Phi3", |settings: &Settings, head: &Head<'_>| {
        settings.must_be("attention_bias", false)?;
        let window = settings.length("sliding_window")?;
        read(settings, head, &Kind { window, is_packed: true, ..Kind::default() })
    }
}

family! {
    /// Gemma 2: soft-capped scores, norms also after the blocks, a sliding window in every other layer.
    GEMMA2, "Gemma 2", "gemma2", "Gemma2", |settings: &Settings, head: &Head<'_>| {
        settings.must_be("use_bidirectional_attention", false)?;
        // Both options name the activation; the newer one takes precedence.
        settings.ignore(&["hidden_act", "cache_implementation"]);
        let bias = settings.flag("attention_bias", false)?;
        read(settings, head, &Kind {
            bias: [bias; 4],
            is_gemma: true,
            window: settings.length("sliding_window")?,
            layer_types: LayerTypes::EveryOther,
            ..Kind::default()
        })
    }
}

/// Options that vary between Llama variants.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of a family")]
struct Kind {
    /// Whether query, key, value and output have biases.
    bias: [bool; 4],
    mlp_bias: bool,
    norms_heads: bool,
    is_packed: bool,
    /// Scaled embeddings, `1 + weight` in norms, four norms per layer, soft-capped scores.
    is_gemma: bool,
    window: Option<u64>,
    layer_types: LayerTypes,
}

/// Which layers have a sliding window.
#[derive(Default)]
enum LayerTypes {
    #[default]
    All,
    /// Every other layer from the first on, or as `layer_types` says.
    EveryOther,
    /// All layers from an index on, or as `layer_types` says.
    From(u64),
}

fn qwen(settings: &Settings) -> Result<Kind, SettingsError> {
    let window = settings.length("sliding_window")?;
    let first = if settings.has("max_window_layers") { settings.layers("max_window_layers")? } else { 28 };
    let slides = settings.flag("use_sliding_window", false)?;
    let window = window.filter(|_| slides);
    Ok(Kind { window, layer_types: LayerTypes::From(first), ..Kind::default() })
}

/// A decoder.
#[derive(Debug)]
struct Llama {
    embeddings: Embedding,
    rotary: Rotary,
    layers: Vec<Layer>,
    norm: Norm,
    output: Output,
    with_past: bool,
    kv_heads: u64,
    d_k: u64,
}

#[derive(Debug)]
struct Layer {
    name: String,
    entry: String,
    window: Option<u64>,
    attention: Attention,
    attention_norm: Norm,
    /// The norm after the attention, before the residual sum.
    attended_norm: Option<Norm>,
    mlp: Mlp,
    mlp_norm: Norm,
    /// The norm after the feed-forward network, before the residual sum.
    fed_norm: Option<Norm>,
}

#[derive(Debug)]
struct Attention {
    projections: Projections,
    output: Linear,
    /// The norms of queries and keys.
    norms: Option<[Norm; 2]>,
    heads: u64,
    kv_heads: u64,
    d_k: u64,
    scores: DotProduct,
}

#[derive(Debug)]
enum Projections {
    Separate([Linear; 3]),
    Packed(Linear),
}

#[derive(Debug)]
enum Mlp {
    Separate(FeedForward),
    Packed { gate_up: Linear, down: Linear, d_ff: u64, activation: Activation },
}

fn read(settings: &Settings, head: &Head<'_>, kind: &Kind) -> Result<Llama, SettingsError> {
    settings.must_be("is_decoder", false)?;
    settings.must_be("rope_interleaved", false)?;
    // Models for question answering are saved with another prefix.
    let base = if head.task == Task::QuestionAnswering && head.weights.has("transformer.") {
        "transformer.".to_owned()
    } else {
        head.base("model")
    };
    let d_model = settings.size("hidden_size")?;
    let heads = settings.size("num_attention_heads")?;
    let kv_heads = settings.optional_size("num_key_value_heads")?.unwrap_or(heads);
    if !heads.is_multiple_of(kv_heads) {
        return Err(settings.wrong("num_key_value_heads", format!("a divisor of num_attention_heads, {heads}")));
    }
    let d_k = match settings.optional_size("head_dim")? {
        Some(d_k) => d_k,
        None => d_model / settings.heads("num_attention_heads", d_model)?,
    };
    let d_ff = settings.size("intermediate_size")?;
    let vocab = settings.size("vocab_size")?;
    let epsilon = settings.epsilon("rms_norm_eps", 1e-6)?;
    let activation = if kind.is_gemma {
        settings.activation("hidden_activation", Activation::GeluTanh)?
    } else {
        settings.activation("hidden_act", Activation::Silu)?
    };
    let norm_kind = if kind.is_gemma { NormKind::RmsNormPlusOne } else { NormKind::RmsNorm };
    let norm = |name: String, width| Norm::new(name, norm_kind, width, epsilon);
    let cap = |option: &str| -> Result<Option<f32>, SettingsError> {
        #[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
        Ok(if kind.is_gemma { settings.positive(option)?.map(|cap| cap as f32) } else { None })
    };
    let mut scores = DotProduct { softcap: cap("attn_logit_softcapping")?, ..DotProduct::new(d_k) };
    if kind.is_gemma
        && let Some(scalar) = settings.positive("query_pre_attn_scalar")?
    {
        #[expect(clippy::cast_possible_truncation, reason = "the scale is applied in f32")]
        let scale = scalar.powf(-0.5) as f32;
        scores.scale = scale;
    }
    let count = settings.layers("num_hidden_layers")?;
    let windows = windows(settings, kind, count)?;
    let layer = |(at, window): (usize, Option<u64>)| {
        let name = format!("{base}layers.{at}");
        let linear = |part: &str, inputs, outputs, bias| Linear::new(format!("{name}.{part}"), inputs, outputs, bias);
        let layer_norm = |part: &str| norm(format!("{name}.{part}"), d_model);
        let (queries, keys) = (heads * d_k, kv_heads * d_k);
        let [q_bias, k_bias, v_bias, o_bias] = kind.bias;
        let attention = Attention {
            projections: if kind.is_packed {
                Projections::Packed(linear("self_attn.qkv_proj", d_model, queries + 2 * keys, false))
            } else {
                Projections::Separate([
                    linear("self_attn.q_proj", d_model, queries, q_bias),
                    linear("self_attn.k_proj", d_model, keys, k_bias),
                    linear("self_attn.v_proj", d_model, keys, v_bias),
                ])
            },
            output: linear("self_attn.o_proj", queries, d_model, o_bias),
            norms: kind
                .norms_heads
                .then(|| ["q_norm", "k_norm"].map(|part| norm(format!("{name}.self_attn.{part}"), d_k))),
            heads,
            kv_heads,
            d_k,
            scores,
        };
        let down = linear("mlp.down_proj", d_ff, d_model, kind.mlp_bias);
        let mlp = if kind.is_packed {
            Mlp::Packed { gate_up: linear("mlp.gate_up_proj", d_model, 2 * d_ff, false), down, d_ff, activation }
        } else {
            let [gate, up] = ["mlp.gate_proj", "mlp.up_proj"].map(|part| linear(part, d_model, d_ff, kind.mlp_bias));
            Mlp::Separate(FeedForward::with_layers(format!("{name}.mlp"), activation, up, down, Some(gate)))
        };
        let after = |part: &str| kind.is_gemma.then(|| layer_norm(part));
        Layer {
            entry: at.to_string(),
            window,
            attention,
            attention_norm: layer_norm("input_layernorm"),
            attended_norm: after("post_attention_layernorm"),
            mlp,
            mlp_norm: layer_norm(if kind.is_gemma { "pre_feedforward_layernorm" } else { "post_attention_layernorm" }),
            fed_norm: after("post_feedforward_layernorm"),
            name,
        }
    };
    let tied = settings.flag("tie_word_embeddings", kind.is_gemma)?;
    let scores = Output::Tokens {
        layer: (!tied).then(|| Linear::new("lm_head", d_model, vocab, false)),
        softcap: cap("final_logit_softcapping")?,
    };
    Ok(Llama {
        embeddings: Embedding::new(format!("{base}embed_tokens"), vocab, d_model, kind.is_gemma),
        rotary: rope::rotary(settings, d_k, kind.is_packed)?,
        layers: windows.into_iter().enumerate().map(layer).collect(),
        norm: norm(format!("{base}norm"), d_model),
        output: Output::read(settings, head, d_model, scores, "score")?,
        with_past: head.with_past,
        kv_heads,
        d_k,
    })
}

/// Returns the window of each layer.
fn windows(settings: &Settings, kind: &Kind, count: u64) -> Result<Vec<Option<u64>>, SettingsError> {
    let has_window = |at: u64| match kind.layer_types {
        LayerTypes::All => true,
        LayerTypes::EveryOther => at.is_multiple_of(2),
        LayerTypes::From(first) => at >= first,
    };
    let law = format!("a list of {count} words, each full_attention or sliding_attention");
    let Some(types) = settings.words("layer_types")? else {
        return Ok((0..count).map(|at| kind.window.filter(|_| has_window(at))).collect());
    };
    let window = |word: &String| match word.as_str() {
        "full_attention" => Some(None),
        "sliding_attention" => kind.window.map(Some),
        _ => None,
    };
    let windows: Option<Vec<_>> = types.iter().map(window).collect();
    windows.filter(|windows| windows.len() as u64 == count).ok_or_else(|| settings.wrong("layer_types", law))
}

impl Architecture for Llama {
    fn declare<'b>(&self, builder: &'b Builder<'b>, _: Part) {
        let inputs = DecoderInputs::declare(builder, self.with_past, self.layers.len() as u64, self.kv_heads, self.d_k);
        let mut x = self.embeddings.forward(inputs.input_ids);
        let turned = self.rotary.tables(inputs.position_ids);
        let mut masks: Vec<(Option<u64>, Var<'b>)> = vec![];
        for layer in &self.layers {
            let known = masks.iter().find(|(window, _)| *window == layer.window).map(|(_, mask)| *mask);
            let mask = known.unwrap_or_else(|| inputs.mask(layer.window));
            if known.is_none() {
                masks.push((layer.window, mask));
            }
            x = layer.forward(x, &inputs, &self.rotary, turned, mask);
        }
        let x = self.norm.forward(x);
        self.output.declare(builder, &inputs, x, |x| self.embeddings.scores(x));
    }

    fn has_cache(&self) -> bool {
        self.output.has_cache()
    }

    fn leaves(&self) -> &'static [&'static str] {
        &["rotary_emb.inv_freq"]
    }

    fn copies(&self) -> &'static [&'static str] {
        self.output.copies()
    }
}

impl Layer {
    #[track_caller]
    fn forward<'b>(
        &self,
        x: Var<'b>,
        inputs: &DecoderInputs<'b>,
        rotary: &Rotary,
        turned: (Var<'b>, Var<'b>),
        mask: Var<'b>,
    ) -> Var<'b> {
        let normed = self.attention_norm.forward(x);
        let _scope = x.builder.enter(&format!("{}.self_attn", self.name));
        let attention = &self.attention;
        let [query, key, value] = attention.project(normed);
        let (query, key) = (rotary.rotate(query, turned, attention.d_k), rotary.rotate(key, turned, attention.d_k));
        let (key, value) = inputs.cache.extend(&self.entry, key, value);
        let [key, value] = [key, value]
            .map(|x| repeat_heads(x, attention.kv_heads, attention.heads / attention.kv_heads, attention.d_k));
        let (context, _) = attention.scores.attend(query, key, value, Some(mask));
        let attended = attention.output.forward(merge_heads(context));
        let x = x + self.attended_norm.iter().fold(attended, |x, norm| norm.forward(x));
        let fed = self.mlp.forward(self.mlp_norm.forward(x));
        x + self.fed_norm.iter().fold(fed, |x, norm| norm.forward(x))
    }
}

impl Attention {
    /// Returns queries, keys and values, `[batch, heads, seq, d_k]`.
    #[track_caller]
    fn project<'b>(&self, x: Var<'b>) -> [Var<'b>; 3] {
        let (queries, keys) = (self.heads * self.d_k, self.kv_heads * self.d_k);
        let projected = match &self.projections {
            Projections::Separate(layers) => layers.each_ref().map(|layer| layer.forward(x)),
            Projections::Packed(layer) => layer.forward(x).split(-1, [queries, keys, keys]),
        };
        let [query, key, value] = projected;
        let split = |x: Var<'b>, heads, norm: Option<&Norm>| match norm {
            // The norm is over each head.
            Some(norm) => {
                let sizes = [0, 0, heads, self.d_k].map(signed);
                norm.forward(x.reshape(&sizes)).transpose(&[0, 2, 1, 3])
            }
            None => split_heads(x, heads, self.d_k),
        };
        let [query_norm, key_norm] = self.norms.as_ref().map_or([None, None], |[query, key]| [Some(query), Some(key)]);
        [split(query, self.heads, query_norm), split(key, self.kv_heads, key_norm), split(value, self.kv_heads, None)]
    }
}

impl Mlp {
    #[track_caller]
    fn forward<'b>(&self, x: Var<'b>) -> Var<'b> {
        match self {
            Mlp::Separate(layers) => layers.forward(x),
            Mlp::Packed { gate_up, down, d_ff, activation } => {
                let [gate, up] = gate_up.forward(x).split(-1, [*d_ff, *d_ff]);
                down.forward(up * activation.forward(gate))
            }
        }
    }
}
