//! What differs between the variants of Llama.

use super::super::{Family, rope};
use super::options::{
    AFTER, BEFORE, BEFORE_AND_AFTER, ONE_BEFORE, Outcome, by_window, cohere, gemma, gemma_scores, llama, olmo2,
    one_window, only_in_windows, partial, pattern, qwen, small, windows, with_epsilon, with_rotary,
};
use super::{Feed, HeadNorms, Kind, LayerKind, Layout, Names, Sizes};
use crate::layers::{Activation, NormKind, Rotary};
use crate::{Settings, SettingsError, Task};
use serde_json::Value;

/// Returns the task of a class by the end of its name.
const fn task(suffix: &str) -> Task {
    match suffix.as_bytes() {
        b"ForSequenceClassification" => Task::TextClassification,
        b"ForTokenClassification" => Task::TokenClassification,
        b"ForQuestionAnswering" => Task::QuestionAnswering,
        _ => Task::TextGeneration,
    }
}

macro_rules! family {
    (
        $(#[$doc:meta])* $constant:ident, $name:literal, $model_type:literal, $example:literal,
        $class:literal [$($suffix:literal),*], $read:expr
    ) => {
        $(#[$doc])*
        pub(in super::super) const $constant: Family = Family {
            name: $name,
            model_types: &[$model_type],
            example: Some($example),
            architectures: &[
                (concat!($class, "ForCausalLM"), Task::TextGeneration),
                (concat!($class, "Model"), Task::FeatureExtraction),
                (concat!($class, "Model"), Task::SentenceSimilarity),
                $((concat!($class, $suffix), task($suffix)),)*
            ],
            read: |settings, head| {
                let read: fn(&Settings) -> Outcome = $read;
                Ok(Box::new(super::read(settings, head, &read(settings)?)?))
            },
        };
    };
}

family! {
    /// Llama 1 to 3, and SmolLM.
    LLAMA, "Llama, SmolLM", "llama", "HuggingFaceTB/SmolLM2-135M",
    "Llama"["ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"], |settings: &Settings| {
        let bias = settings.flag("attention_bias", false)?;
        Ok(Kind { bias: [bias; 4], mlp_bias: [settings.flag("mlp_bias", false)?; 2], ..llama(settings)? })
    }
}

family! {
    /// Mistral: sliding-window attention.
    MISTRAL, "Mistral", "mistral", "mistralai/Mistral-7B-v0.1",
    "Mistral"["ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"], |settings: &Settings| {
        let kind = llama(settings)?;
        let layers = one_window(settings, &kind)?;
        Ok(Kind { layers, ..kind })
    }
}

family! {
    /// Qwen2: biases in the projections.
    QWEN2, "Qwen2", "qwen2", "Qwen/Qwen2.5-0.5B",
    "Qwen2"["ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"], |settings: &Settings| {
        Ok(Kind { bias: [true, true, true, false], ..qwen(settings)? })
    }
}

family! {
    /// Qwen3: norms of queries and keys.
    QWEN3, "Qwen3", "qwen3", "Qwen/Qwen3-0.6B",
    "Qwen3"["ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"], |settings: &Settings| {
        let bias = settings.flag("attention_bias", false)?;
        let head_norms = Some(HeadNorms::Shared(NormKind::RmsNorm, ["q_norm", "k_norm"]));
        Ok(Kind { bias: [bias; 4], head_norms, ..qwen(settings)? })
    }
}

family! {
    /// Phi-3: packed projections.
    PHI3, "Phi-3", "phi3", "microsoft/Phi-3-mini-4k-instruct",
    "Phi3"["ForSequenceClassification", "ForTokenClassification"], |settings: &Settings| {
        settings.must_be("attention_bias", false)?;
        let sizes = Sizes::read(settings)?;
        let epsilon = settings.epsilon("rms_norm_eps", 1e-5)?;
        let kind = with_rotary(settings, sizes, epsilon, rope::rotary(settings, sizes.d_k, true)?)?;
        let layers = one_window(settings, &kind)?;
        Ok(Kind { layout: Layout::Packed("qkv_proj"), feed: Feed::GateUp(["mlp.gate_up_proj", "mlp.down_proj"]), layers, ..kind })
    }
}

family! {
    /// Gemma: scaled embeddings, `1 + weight` in norms.
    GEMMA, "Gemma", "gemma", "google/gemma-2b",
    "Gemma"["ForSequenceClassification", "ForTokenClassification"], |settings: &Settings| {
        settings.must_be("use_bidirectional_attention", false)?;
        // `gelu` means the approximation in the first checkpoints; releases before 5 had a newer option too.
        settings.must_be("hidden_activation", "gelu_pytorch_tanh")?;
        let kind = gemma(settings, "hidden_act", rope::rotary(settings, Sizes::read(settings)?.d_k, false)?)?;
        let is_approximate = settings.word("hidden_act")? == Some("gelu");
        let activation = if is_approximate { Activation::GeluTanh } else { kind.activation };
        Ok(Kind { activation, ..kind })
    }
}

family! {
    /// Gemma 2: soft-capped scores, norms also after the blocks, a sliding window in every other layer.
    GEMMA2, "Gemma 2", "gemma2", "google/gemma-2-2b",
    "Gemma2"["ForSequenceClassification", "ForTokenClassification"], |settings: &Settings| {
        settings.must_be("use_bidirectional_attention", false)?;
        // Both options name the activation; the newer one takes precedence.
        settings.ignore(&["hidden_act", "cache_implementation"]);
        let mut kind =
            gemma(settings, "hidden_activation", rope::rotary(settings, Sizes::read(settings)?.d_k, false)?)?;
        kind.scores.softcap = small(settings.positive("attn_logit_softcapping")?);
        let layers = windows(settings, &kind, settings.length("sliding_window")?, |at| at.is_multiple_of(2))?;
        gemma_scores(settings, Kind { norms: BEFORE_AND_AFTER, layers, ..kind })
    }
}

/// Gemma 3 without images, and `EmbeddingGemma`, whose tokens see later ones: norms of queries and keys, other rotary
/// positions in the layers with a sliding window.
pub(in super::super) const GEMMA3: Family = Family {
    name: "Gemma 3, EmbeddingGemma",
    model_types: &["gemma3_text"],
    example: Some("google/gemma-3-1b-it"),
    architectures: &[
        ("Gemma3ForCausalLM", Task::TextGeneration),
        ("Gemma3TextModel", Task::FeatureExtraction),
        ("Gemma3TextModel", Task::SentenceSimilarity),
        ("Gemma3TextForSequenceClassification", Task::TextClassification),
    ],
    read: |settings, head| {
        // No release applies it.
        settings.must_be("attn_logit_softcapping", Value::Null)?;
        settings.ignore(&["hidden_act", "cache_implementation"]);
        let is_bidirectional = settings.flag("use_bidirectional_attention", false)?;
        // Half of the window is before a token, the other half after it.
        let window = settings.length("sliding_window")?;
        let window = window.map(|window| if is_bidirectional { window / 2 + 1 } else { window });
        let [full, sliding] =
            rope::rotary_by_type(settings, Sizes::read(settings)?.d_k, ["rope_theta", "rope_local_base_freq"])?;
        let kind = gemma(settings, "hidden_activation", full.clone())?;
        let pattern = pattern(settings, &["sliding_window_pattern", "_sliding_window_pattern"], 6)?;
        let layers = windows(settings, &kind, window, |at| !(at + 1).is_multiple_of(pattern))?;
        let kind = Kind {
            norms: BEFORE_AND_AFTER,
            head_norms: Some(HeadNorms::Shared(NormKind::RmsNormPlusOne, ["q_norm", "k_norm"])),
            rotaries: vec![full, sliding],
            layers: layers.into_iter().map(by_window).collect(),
            is_bidirectional,
            ..kind
        };
        Ok(Box::new(super::read(settings, head, &gemma_scores(settings, kind)?)?))
    },
};

family! {
    /// SmolLM3: layers without positions.
    SMOLLM3, "SmolLM3", "smollm3", "HuggingFaceTB/SmolLM3-3B",
    "SmolLM3"["ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"], |settings: &Settings| {
        let bias = settings.flag("attention_bias", false)?;
        let kind = llama(settings)?;
        settings.ignore(&["max_window_layers"]);
        let interval = pattern(settings, &["no_rope_layer_interval"], 4)?;
        let has_positions: Vec<bool> = if settings.has("no_rope_layers") {
            let flags = settings.numbers("no_rope_layers", kind.layers.len())?;
            flags.into_iter().map(|flag| flag != 0.0).collect()
        } else {
            (0..kind.sizes.layers).map(|at| !(at + 1).is_multiple_of(interval)).collect()
        };
        let slides = settings.flag("use_sliding_window", false)?;
        let window = settings.length("sliding_window")?.filter(|_| slides);
        let has_none = |at: u64| usize::try_from(at).ok().and_then(|at| has_positions.get(at)) == Some(&false);
        let layers = windows(settings, &kind, window, has_none)?;
        let layer = |(layer, has): (LayerKind, bool)| LayerKind { rotary: has.then_some(0), ..layer };
        let layers = layers.into_iter().zip(has_positions.iter().copied()).map(layer).collect();
        Ok(Kind { bias: [bias; 4], mlp_bias: [settings.flag("mlp_bias", false)?; 2], layers, ..kind })
    }
}

family! {
    /// Granite 3: factors of embeddings, scores, blocks and logits.
    GRANITE, "Granite 3", "granite", "ibm-granite/granite-3.3-2b-instruct",
    "Granite"[], |settings: &Settings| {
        let bias = settings.flag("attention_bias", false)?;
        let factor = |option: &str| Ok::<_, SettingsError>(small(settings.number(option)?).unwrap_or(1.0));
        let mut kind = llama(settings)?;
        kind.scores.scale = factor("attention_multiplier")?;
        Ok(Kind {
            bias: [bias; 4],
            mlp_bias: [settings.flag("mlp_bias", false)?; 2],
            embedding_factor: factor("embedding_multiplier")?,
            residual_factor: factor("residual_multiplier")?,
            output_factor: small(settings.positive("logits_scaling")?).map_or(1.0, f32::recip),
            ..kind
        })
    }
}

family! {
    /// OLMo: norms without parameters, clipped queries, keys and values.
    OLMO, "OLMo", "olmo", "allenai/OLMo-1B-hf",
    "Olmo"["ForSequenceClassification"], |settings: &Settings| {
        let bias = settings.flag("attention_bias", false)?;
        Ok(Kind {
            bias: [bias; 4],
            norm: NormKind::PlainLayerNorm,
            clip: small(settings.positive("clip_qkv")?),
            ..with_epsilon(settings, 1e-5)?
        })
    }
}

family! {
    /// OLMo 2: norms after the blocks, and of all queries and keys.
    OLMO2, "OLMo 2", "olmo2", "allenai/OLMo-2-0425-1B",
    "Olmo2"["ForSequenceClassification"], |settings: &Settings| {
        olmo2(settings, llama(settings)?)
    }
}

family! {
    /// OLMo 3: also a sliding window, whose layers have unscaled rotary positions.
    OLMO3, "OLMo 3", "olmo3", "allenai/Olmo-3-7B-Instruct",
    "Olmo3"["ForSequenceClassification"], |settings: &Settings| {
        let sizes = Sizes::read(settings)?;
        let [full, sliding] = rope::rotary_by_type(settings, sizes.d_k, ["rope_theta"; 2])?;
        let epsilon = settings.epsilon("rms_norm_eps", 1e-5)?;
        let kind = olmo2(settings, with_rotary(settings, sizes, epsilon, full.clone())?)?;
        let window = settings.length("sliding_window")?;
        let layers = windows(settings, &kind, window, |at| !(at + 1).is_multiple_of(4))?;
        Ok(Kind { rotaries: vec![full, sliding], layers: layers.into_iter().map(by_window).collect(), ..kind })
    }
}

family! {
    /// EXAONE 4: norms after the blocks; layers with full attention have no positions if others have a window.
    EXAONE4, "EXAONE 4", "exaone4", "LGAI-EXAONE/EXAONE-4.0-1.2B",
    "Exaone4"["ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"], |settings: &Settings| {
        let kind = llama(settings)?;
        let window = settings.length("sliding_window")?;
        let layers = if settings.has("layer_types") {
            settings.ignore(&["sliding_window_pattern"]);
            windows(settings, &kind, window, |_| true)?
        } else {
            let pattern = pattern(settings, &["sliding_window_pattern"], 4)?;
            windows(settings, &kind, window, |at| !(at + 1).is_multiple_of(pattern))?
        };
        let layers = if window.is_some() { layers.into_iter().map(only_in_windows).collect() } else { layers };
        let head_norms = Some(HeadNorms::Shared(NormKind::RmsNorm, ["q_norm", "k_norm"]));
        Ok(Kind { norms: AFTER, head_norms, layers, ..kind })
    }
}

family! {
    /// Cohere (Command R): parallel blocks, layer norms without a shift, rotated neighbors, scaled logits.
    COHERE, "Cohere", "cohere", "CohereForAI/c4ai-command-r-v01",
    "Cohere"[], |settings: &Settings| {
        let head_norms = settings.flag("use_qk_norm", false)?;
        let norms = HeadNorms::ByHead(NormKind::ScaledLayerNorm, ["q_norm", "k_norm"]);
        Ok(Kind { head_norms: head_norms.then_some(norms), ..cohere(settings)? })
    }
}

family! {
    /// Cohere 2 (Command R7B): layers with full attention have no positions.
    COHERE2, "Cohere 2", "cohere2", "CohereForAI/c4ai-command-r7b-12-2024",
    "Cohere2"[], |settings: &Settings| {
        for option in ["use_embedding_sharing", "use_gated_activation", "use_parallel_block"] {
            settings.must_be(option, true)?;
        }
        for option in ["use_parallel_embedding", "use_qk_norm"] {
            settings.must_be(option, false)?;
        }
        settings.must_be("rotary_pct", 1.0)?;
        settings.must_be("position_embedding_type", "rope_gptj")?;
        settings.must_be("layer_switch", 4)?;
        settings.must_be("order_of_interleaved_layers", "local_attn_first")?;
        settings.ignore(&["cache_implementation"]);
        let kind = cohere(settings)?;
        let pattern = pattern(settings, &["sliding_window_pattern", "_sliding_window_pattern"], 4)?;
        let window = settings.length("sliding_window")?;
        let layers = windows(settings, &kind, window, |at| !(at + 1).is_multiple_of(pattern))?;
        Ok(Kind { layers: layers.into_iter().map(only_in_windows).collect(), ..kind })
    }
}

family! {
    /// StableLM: layer norms, rotary positions on a part of each head.
    STABLELM, "StableLM", "stablelm", "stabilityai/stablelm-2-1_6b",
    "StableLm"["ForSequenceClassification", "ForTokenClassification"], |settings: &Settings| {
        settings.must_be("qk_layernorm", false)?;
        let bias = settings.flag("use_qkv_bias", false)?;
        let is_parallel = settings.flag("use_parallel_residual", false)?;
        let kind = partial(settings, 0.25, Activation::Silu)?;
        let [before, _, between, _] = kind.norms;
        Ok(Kind {
            bias: [bias, bias, bias, false],
            is_parallel,
            norms: [before, None, between.filter(|_| !is_parallel), None],
            ..kind
        })
    }
}

family! {
    /// Phi-1, Phi-1.5 and Phi-2: parallel blocks, layer norms, biases, rotary positions on a part of each head.
    PHI, "Phi-1, Phi-2", "phi", "microsoft/phi-2",
    "Phi"["ForSequenceClassification", "ForTokenClassification"], |settings: &Settings| {
        // The output layer has a bias, which the embeddings do not have.
        settings.must_be("tie_word_embeddings", false)?;
        let norms = HeadNorms::Shared(NormKind::LayerNorm, ["q_layernorm", "k_layernorm"]);
        let head_norms = settings.flag("qk_layernorm", false)?.then_some(norms);
        let kind = partial(settings, 0.5, Activation::GeluTanh)?;
        Ok(Kind {
            names: Names { norm: Some("final_layernorm"), output: "self_attn.dense", ..Names::default() },
            bias: [true; 4],
            mlp_bias: [true; 2],
            output_bias: true,
            feed: Feed::Plain(["mlp.fc1", "mlp.fc2"]),
            norms: ONE_BEFORE,
            is_parallel: true,
            head_norms,
            ..kind
        })
    }
}

family! {
    /// StarCoder2: layer norms, a feed-forward network without a gate, sliding-window attention.
    STARCODER2, "StarCoder2", "starcoder2", "bigcode/starcoder2-3b",
    "Starcoder2"["ForSequenceClassification", "ForTokenClassification"], |settings: &Settings| {
        let bias = settings.flag("use_bias", true)?;
        settings.must_be("mlp_type", "default")?;
        settings.must_be("norm_type", "layer_norm")?;
        settings.ignore(&["embedding_dropout", "residual_dropout", "activation_function", "attention_softmax_in_fp32"]);
        settings.ignore(&["scale_attention_softmax_in_fp32", "scale_attn_weights"]);
        let sizes = Sizes::read(settings)?;
        let rotary = rope::rotary(settings, sizes.d_k, false)?;
        let activation = settings.activation("hidden_act", Activation::GeluTanh)?;
        let kind = Kind::new(sizes, activation, settings.epsilon("norm_epsilon", 1e-5)?, rotary);
        let layers = one_window(settings, &kind)?;
        Ok(Kind {
            bias: [bias; 4],
            mlp_bias: [bias; 2],
            feed: Feed::Plain(["mlp.c_fc", "mlp.c_proj"]),
            norm: NormKind::LayerNorm,
            is_tied: settings.flag("tie_word_embeddings", true)?,
            layers,
            ..kind
        })
    }
}

/// GPT-J: parallel blocks, rotated neighbors on a part of each head.
pub(in super::super) const GPTJ: Family = Family {
    name: "GPT-J",
    model_types: &["gptj"],
    example: Some("EleutherAI/gpt-j-6b"),
    architectures: &[
        ("GPTJForCausalLM", Task::TextGeneration),
        ("GPTJModel", Task::FeatureExtraction),
        ("GPTJForSequenceClassification", Task::TextClassification),
        ("GPTJForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| {
        // The output layer has a bias, which the embeddings do not have.
        settings.must_be("tie_word_embeddings", false)?;
        settings.must_be("rotary", true)?;
        settings.must_be("scale_attn_weights", true)?;
        settings.ignore(&["n_positions", "n_ctx", "summary_type", "summary_use_proj"]);
        settings.ignore(&["summary_activation", "summary_proj_to_labels"]);
        let d_model = settings.size("n_embd")?;
        let heads = settings.heads("n_head", d_model)?;
        let d_k = d_model / heads;
        let d_ff = settings.optional_size("n_inner")?.unwrap_or(4 * d_model);
        let sizes = Sizes { d_model, heads, kv_heads: heads, d_k, d_ff, layers: settings.layers("n_layer")? };
        let width = settings.size("rotary_dim")?;
        if width > d_k || !width.is_multiple_of(2) {
            return Err(settings.wrong("rotary_dim", format!("an even number of the {d_k} elements of a head")));
        }
        let rotary = Rotary { is_interleaved: true, ..Rotary::new(width, 10_000.0) };
        let activation = settings.activation("activation_function", Activation::GeluTanh)?;
        let kind = Kind {
            names: Names {
                base: "transformer",
                words: "wte",
                layers: "h",
                norm: Some("ln_f"),
                attention: "attn",
                output: "attn.out_proj",
                ..Names::default()
            },
            mlp_bias: [true; 2],
            output_bias: true,
            feed: Feed::Plain(["mlp.fc_in", "mlp.fc_out"]),
            norm: NormKind::LayerNorm,
            norms: [Some("ln_1"), None, None, None],
            is_parallel: true,
            ..Kind::new(sizes, activation, settings.epsilon("layer_norm_epsilon", 1e-5)?, rotary)
        };
        Ok(Box::new(super::read(settings, head, &kind)?))
    },
};

/// Falcon with rotary positions: multi-query attention, parallel blocks.
pub(in super::super) const FALCON: Family = Family {
    name: "Falcon",
    model_types: &["falcon"],
    example: Some("tiiuae/falcon-7b"),
    architectures: &[
        ("FalconForCausalLM", Task::TextGeneration),
        ("FalconModel", Task::FeatureExtraction),
        ("FalconForSequenceClassification", Task::TextClassification),
        ("FalconForTokenClassification", Task::TokenClassification),
        ("FalconForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| {
        settings.must_be("alibi", false)?;
        settings.must_be("apply_residual_connection_post_layernorm", false)?;
        let d_model = settings.size("hidden_size")?;
        let heads = settings.heads("num_attention_heads", d_model)?;
        let is_new = settings.flag("new_decoder_architecture", false)?;
        let (has_one, is_parallel) = (settings.flag("multi_query", true)?, settings.flag("parallel_attn", true)?);
        let kv_heads = settings.optional_size("num_kv_heads")?.unwrap_or(heads);
        let kv_heads = if is_new || !has_one { kv_heads } else { 1 };
        if !heads.is_multiple_of(kv_heads) || !is_new && !has_one && kv_heads != heads {
            let law = if is_new { "a divisor of" } else { "equal to" };
            return Err(settings.wrong("num_kv_heads", format!("{law} num_attention_heads, {heads}")));
        }
        let d_k = d_model / heads;
        let d_ff = settings.optional_size("ffn_hidden_size")?.unwrap_or(4 * d_model);
        let layers = settings.layers("num_hidden_layers")?;
        let sizes = Sizes { d_model, heads, kv_heads, d_k, d_ff, layers };
        let count = settings.optional_size("num_ln_in_parallel_attn")?.unwrap_or(if is_new { 2 } else { 1 });
        if is_new && !is_parallel || count > 2 || count == 2 && !is_new {
            return Err(settings.wrong("num_ln_in_parallel_attn", "1, or 2 with new_decoder_architecture"));
        }
        let bias = settings.flag("bias", false)?;
        let activation = settings.activation("activation", Activation::Gelu)?;
        let epsilon = settings.epsilon("layer_norm_epsilon", 1e-5)?;
        let norms = match (is_parallel, count) {
            (true, 2) => [Some("ln_attn"), None, Some("ln_mlp"), None],
            (true, _) => ONE_BEFORE,
            (false, _) => BEFORE,
        };
        let kind = Kind {
            names: Names {
                base: "transformer",
                words: "word_embeddings",
                layers: "h",
                norm: Some("ln_f"),
                attention: "self_attention",
                output: "self_attention.dense",
                token_classifier: "classifier",
                ..Names::default()
            },
            bias: [bias; 4],
            mlp_bias: [bias; 2],
            layout: Layout::Grouped("query_key_value"),
            feed: Feed::Plain(["mlp.dense_h_to_4h", "mlp.dense_4h_to_h"]),
            norm: NormKind::LayerNorm,
            norms,
            is_parallel,
            is_tied: settings.flag("tie_word_embeddings", true)?,
            ..Kind::new(sizes, activation, epsilon, rope::rotary(settings, d_k, false)?)
        };
        Ok(Box::new(super::read(settings, head, &kind)?))
    },
};
