//! Options of all families: default values, and options that do not change the function.

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The defaults of options by model type: those of transformers 5.24, and for options that it does not have any more
/// those of 4.57. `tests/interop/make_defaults.py` writes the file.
pub(super) static DEFAULTS: LazyLock<BTreeMap<String, Map<String, Value>>> = LazyLock::new(|| {
    let mut merged: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for rows in releases().into_values() {
        for (model_type, defaults) in rows {
            merged.entry(model_type).or_default().extend(defaults);
        }
    }
    merged
});

/// The defaults by release, then by model type; later releases follow earlier ones.
fn releases() -> BTreeMap<String, BTreeMap<String, Map<String, Value>>> {
    let table = serde_json::from_str(include_str!("../families/defaults.json"));
    table.unwrap_or_else(|error| unreachable!("a test reads the table: {error}"))
}

/// Options that do not change what a trained model computes.
pub(super) const HARMLESS: &[&str] = &[
    // Metadata.
    "_attn_implementation_autoset",
    "_commit_hash",
    "_name_or_path",
    "_num_labels",
    "finetuned",
    "language",
    "name",
    "sbert_ce_default_activation_function",
    "sentence_transformers",
    "architectures",
    "auto_map",
    "dtype",
    "gradient_checkpointing",
    "id2label",
    "is_llama_config",
    "label2id",
    "model_type",
    "name_or_path",
    "num_labels",
    "tokenizer_class",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "use_cache",
    "use_bfloat16",
    // Training.
    "activation_dropout",
    "apply_spec_augment",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_dropout",
    "attn_pdrop",
    "classif_dropout",
    "classifier_dropout",
    "cls_dropout",
    "decoder_layerdrop",
    "dropout",
    "dropout_rate",
    "embd_pdrop",
    "encoder_layerdrop",
    "finetuning_task",
    "hidden_dropout",
    "hidden_dropout_prob",
    "init_std",
    "initializer_cutoff_factor",
    "initializer_factor",
    "initializer_range",
    "layerdrop",
    "logit_scale_init_value",
    "mask_feature_length",
    "mask_feature_min_masks",
    "mask_feature_prob",
    "mask_time_length",
    "mask_time_min_masks",
    "mask_time_prob",
    "output_attentions",
    "output_hidden_states",
    "pretraining_tp",
    "problem_type",
    "qa_dropout",
    "resid_pdrop",
    "return_dict",
    "reorder_and_upcast_attn",
    "seq_classif_dropout",
    "summary_first_dropout",
    // Tokens and generation.
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "cls_token_id",
    "decoder_bos_token_id",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "force_bos_token_to_be_generated",
    "forced_bos_token_id",
    "forced_decoder_ids",
    "forced_eos_token_id",
    "image_token_id",
    "length_penalty",
    "mask_token_id",
    "max_length",
    "median_filter_width",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_scores",
    "pad_token_id",
    "prefix",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    "unk_token_id",
    // Implementation choices, and options that no code reads.
    "directionality",
    "full_attn_mod",
    "interpolate_factor",
    "output_past",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
    "chunk_size_feed_forward",
];

/// Returns whether an option of every configuration has a value that changes nothing.
pub(super) fn says_nothing(option: &str, value: &Value) -> bool {
    match option {
        "add_cross_attention"
        | "attention_bias"
        | "is_decoder"
        | "is_encoder_decoder"
        | "lm_head_bias"
        | "mlp_bias"
        | "tf_legacy_loss"
        | "tie_encoder_decoder"
        | "use_mrope" => *value == Value::Bool(false),
        "tie_word_embeddings" => *value == Value::Bool(true),
        "pruned_heads" => value.as_object().is_some_and(Map::is_empty),
        // Notes of a trainer.
        _ => option.starts_with("unsloth_"),
    }
}

#[cfg(test)]
mod tests {
    use super::{DEFAULTS, releases};
    use crate::families::FAMILIES;

    #[test]
    fn every_model_type_has_defaults() {
        let types = FAMILIES.iter().flat_map(|family| family.model_types);
        // `transformer` is the paper's model; the class of `new` is beside published weights, not in transformers.
        for model_type in types.filter(|name| !["transformer", "new"].contains(name)) {
            assert!(DEFAULTS.contains_key(*model_type), "tests/interop/make_defaults.py lacks {model_type}");
        }
    }

    /// The only options of which the two releases have different defaults. Weights of an untied model differ from the
    /// table, which is an error that says how to choose. Published models have the base of their positions.
    #[test]
    fn releases_agree() {
        let all = releases();
        let (old, new) = (&all["4.57"], &all["5.24"]);
        // An integer and a float may be one number.
        let number = |value: &serde_json::Value| value.as_f64().map_or_else(|| value.clone(), Into::into);
        let mut different = vec![];
        for (model_type, defaults) in new {
            for (option, value) in defaults {
                let other = old.get(model_type).and_then(|row| row.get(option));
                if other.is_some_and(|other| number(other) != number(value)) {
                    different.push((model_type.as_str(), option.as_str()));
                }
            }
        }
        let base = "rope_theta";
        assert_eq!(different, [("cohere", base), ("mt5", "tie_word_embeddings"), ("olmo3", base)]);
    }
}
