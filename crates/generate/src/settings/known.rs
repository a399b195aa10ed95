//! Options of `generation_config.json` that are not read: those that are not supported, and those without an effect.

use serde_json::Value;

/// Returns whether a value has no effect.
type IsNeutral = fn(&Value) -> bool;

/// Options that change what is generated and are not supported.
pub(super) const UNSUPPORTED: [(&str, IsNeutral); 20] = [
    ("typical_p", |value| value.as_f64() == Some(1.0)),
    ("epsilon_cutoff", |value| value.as_f64() == Some(0.0)),
    ("eta_cutoff", |value| value.as_f64() == Some(0.0)),
    ("top_h", Value::is_null),
    ("encoder_repetition_penalty", |value| value.as_f64() == Some(1.0)),
    ("exponential_decay_length_penalty", Value::is_null),
    ("sequence_bias", Value::is_null),
    ("guidance_scale", |value| value.as_f64() == Some(1.0)),
    ("num_beam_groups", |value| value.as_u64() == Some(1)),
    ("diversity_penalty", |value| value.as_f64() == Some(0.0)),
    ("num_return_sequences", |value| value.as_u64() == Some(1)),
    ("penalty_alpha", |value| value.as_f64() == Some(0.0)),
    ("dola_layers", Value::is_null),
    ("force_words_ids", Value::is_null),
    ("constraints", Value::is_null),
    ("watermarking_config", Value::is_null),
    ("remove_invalid_values", |value| value.as_bool() == Some(false)),
    ("token_healing", |value| value.as_bool() == Some(false)),
    ("max_time", Value::is_null),
    ("condition_on_prev_tokens", |value| value.as_bool() == Some(false)),
];

/// Options that do not change which tokens are chosen.
pub(super) const HARMLESS: &[&str] = &[
    // Metadata.
    "_commit_hash",
    "_from_model_config",
    "transformers.js_config",
    "transformers_version",
    "trust_remote_code",
    // What is returned besides tokens.
    "output_attentions",
    "output_hidden_states",
    "output_logits",
    "output_scores",
    "return_dict_in_generate",
    // How the model is run.
    "cache_config",
    "cache_implementation",
    "compile_config",
    "continuous_batching_config",
    "disable_compile",
    "low_memory",
    "max_cache_len",
    "prefill_chunk_size",
    "use_cache",
    // Another model, or a part of the prompt, that guesses tokens, which the model checks.
    "assistant_confidence_threshold",
    "assistant_early_exit",
    "assistant_ensemble_weight",
    "assistant_lookbehind",
    "is_assistant",
    "max_matching_ngram_size",
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "prompt_lookup_num_tokens",
    "speculation_type",
    "target_lookbehind",
    "use_mtp",
    // Programs of chats with Qwen and Baichuan; the template has what they say.
    "assistant_token_id",
    "chat_format",
    "max_window_size",
    "user_token_id",
    // Whisper: read with the speech, or of use only for timestamps of words and for text before the speech.
    "alignment_heads",
    "forced_decoder_ids",
    "is_multilingual",
    "lang_to_id",
    "language",
    "max_initial_timestamp_index",
    "median_filter_width",
    "no_timestamps_token_id",
    "prev_sot_token_id",
    "return_timestamps",
    "task",
    "task_to_id",
];
