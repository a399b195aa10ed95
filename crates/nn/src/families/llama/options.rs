//! Reads the options that variants of Llama have in common.

use super::super::rope;
use super::{HeadNorms, Kind, LayerKind, Sizes};
use crate::layers::{Activation, NormKind, Rotary};
use crate::{Settings, SettingsError};

/// The options of a variant.
pub(super) type Outcome = Result<Kind, SettingsError>;

pub(super) const BEFORE: [Option<&str>; 4] = [Some("input_layernorm"), None, Some("post_attention_layernorm"), None];

pub(super) const BEFORE_AND_AFTER: [Option<&str>; 4] = [
    Some("input_layernorm"),
    Some("post_attention_layernorm"),
    Some("pre_feedforward_layernorm"),
    Some("post_feedforward_layernorm"),
];

pub(super) const AFTER: [Option<&str>; 4] =
    [None, Some("post_attention_layernorm"), None, Some("post_feedforward_layernorm")];

pub(super) const ONE_BEFORE: [Option<&str>; 4] = [Some("input_layernorm"), None, None, None];

#[expect(clippy::cast_possible_truncation, reason = "factors are applied in f32")]
pub(super) fn small(number: Option<f64>) -> Option<f32> {
    number.map(|number| number as f32)
}

/// Reads the usual options without biases.
pub(super) fn llama(settings: &Settings) -> Outcome {
    with_epsilon(settings, settings.epsilon("rms_norm_eps", 1e-6)?)
}

/// Like [`llama`], with a given epsilon.
pub(super) fn with_epsilon(settings: &Settings, epsilon: f32) -> Outcome {
    let sizes = Sizes::read(settings)?;
    with_rotary(settings, sizes, epsilon, rope::rotary(settings, sizes.d_k, false)?)
}

/// Like [`llama`], with given epsilon and rotary positions.
pub(super) fn with_rotary(settings: &Settings, sizes: Sizes, epsilon: f32, rotary: Rotary) -> Outcome {
    let activation = settings.activation("hidden_act", Activation::Silu)?;
    let is_tied = settings.flag("tie_word_embeddings", false)?;
    Ok(Kind { is_tied, ..Kind::new(sizes, activation, epsilon, rotary) })
}

pub(super) fn qwen(settings: &Settings) -> Outcome {
    let window = settings.length("sliding_window")?;
    let first = if settings.has("max_window_layers") { settings.layers("max_window_layers")? } else { 28 };
    let slides = settings.flag("use_sliding_window", false)?;
    let kind = llama(settings)?;
    let layers = windows(settings, &kind, window.filter(|_| slides), |at| at >= first)?;
    Ok(Kind { layers, ..kind })
}

pub(super) fn gemma(settings: &Settings, activation: &str, rotary: Rotary) -> Outcome {
    let (sizes, bias) = (Sizes::read(settings)?, settings.flag("attention_bias", false)?);
    let activation = settings.activation(activation, Activation::GeluTanh)?;
    let kind = Kind::new(sizes, activation, settings.epsilon("rms_norm_eps", 1e-6)?, rotary);
    Ok(Kind {
        bias: [bias; 4],
        norm: NormKind::RmsNormPlusOne,
        scales_words: true,
        is_tied: settings.flag("tie_word_embeddings", true)?,
        ..kind
    })
}

/// Reads the scale of scores and the cap of logits.
pub(super) fn gemma_scores(settings: &Settings, mut kind: Kind) -> Outcome {
    if let Some(scale) = small(settings.positive("query_pre_attn_scalar")?.map(|scalar| scalar.powf(-0.5))) {
        kind.scores.scale = scale;
    }
    Ok(Kind { output_softcap: small(settings.positive("final_logit_softcapping")?), ..kind })
}

pub(super) fn olmo2(settings: &Settings, kind: Kind) -> Outcome {
    let bias = settings.flag("attention_bias", false)?;
    let head_norms = Some(HeadNorms::Whole(NormKind::RmsNorm, ["q_norm", "k_norm"]));
    Ok(Kind { bias: [bias; 4], norms: AFTER, head_norms, ..kind })
}

pub(super) fn cohere(settings: &Settings) -> Outcome {
    settings.ignore(&["model_max_length"]);
    let bias = settings.flag("attention_bias", false)?;
    let mut kind = with_epsilon(settings, settings.epsilon("layer_norm_eps", 1e-5)?)?;
    kind.rotaries[0].is_interleaved = true;
    Ok(Kind {
        bias: [bias; 4],
        norm: NormKind::ScaledLayerNorm,
        norms: ONE_BEFORE,
        is_parallel: true,
        output_factor: small(settings.number("logit_scale")?).unwrap_or(1.0),
        is_tied: settings.flag("tie_word_embeddings", true)?,
        ..kind
    })
}

/// Reads the options of families with layer norms and rotary positions on a part of each head.
pub(super) fn partial(settings: &Settings, part: f64, activation: Activation) -> Outcome {
    let sizes = Sizes::read(settings)?;
    let rotary = rope::rotary_named(settings, sizes.d_k, ["rope_theta", "partial_rotary_factor"], part)?;
    let activation = settings.activation("hidden_act", activation)?;
    let kind = Kind::new(sizes, activation, settings.epsilon("layer_norm_eps", 1e-5)?, rotary);
    Ok(Kind { norm: NormKind::LayerNorm, is_tied: settings.flag("tie_word_embeddings", false)?, ..kind })
}

/// Reads an interval of layers from the first of these options that is present.
pub(super) fn pattern(settings: &Settings, options: &[&str], default: u64) -> Result<u64, SettingsError> {
    let mut pattern = None;
    for option in options {
        let own = settings.optional_size(option)?;
        pattern = pattern.or(own);
    }
    Ok(pattern.unwrap_or(default))
}

/// Returns the layers, with a window where `layer_types` says so, or `has_window` if it is absent.
pub(super) fn windows(
    settings: &Settings,
    kind: &Kind,
    window: Option<u64>,
    has_window: impl Fn(u64) -> bool,
) -> Result<Vec<LayerKind>, SettingsError> {
    let count = kind.layers.len();
    let of = |window| LayerKind { window, rotary: Some(0) };
    let Some(types) = settings.words("layer_types")? else {
        return Ok((0..count as u64).map(|at| of(window.filter(|_| has_window(at)))).collect());
    };
    let layer = |word: &String| match word.as_str() {
        "full_attention" => Some(of(None)),
        "sliding_attention" => window.map(|window| of(Some(window))),
        _ => None,
    };
    let law = format!("a list of {count} words, each full_attention or sliding_attention");
    let layers: Option<Vec<_>> = types.iter().map(layer).collect();
    layers.filter(|layers| layers.len() == count).ok_or_else(|| settings.wrong("layer_types", law))
}

/// Returns the layers of families in which all have the window, whatever `layer_types` says in transformers.
pub(super) fn one_window(settings: &Settings, kind: &Kind) -> Result<Vec<LayerKind>, SettingsError> {
    let window = settings.length("sliding_window")?;
    let layers = windows(settings, kind, window, |_| true)?;
    if layers.iter().any(|layer| layer.window != window) {
        let law = "sliding_attention for every layer, since all layers of models of this type have the window";
        return Err(settings.wrong("layer_types", law));
    }
    Ok(layers)
}

/// Returns a layer with the second rotary positions if it has a window.
pub(super) fn by_window(layer: LayerKind) -> LayerKind {
    LayerKind { rotary: Some(usize::from(layer.window.is_some())), ..layer }
}

/// Returns a layer that has positions only if it has a window.
pub(super) fn only_in_windows(layer: LayerKind) -> LayerKind {
    LayerKind { rotary: layer.window.map(|_| 0), ..layer }
}
