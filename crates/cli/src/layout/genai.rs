//! The configuration of onnxruntime-genai.

use crate::failure::{Failure, Misuse};
use crate::model_io::read_options;
use netwright::files::Code;
use netwright::generate::positions;
use netwright::ir::{Dim, Graph, Value};
use netwright::nn::{Part, Pretrained};
use serde_json::{Map, Value as Json, json};
use std::io;
use std::path::Path;

/// Returns the text of `genai_config.json` for a decoder with a shared cache.
pub(super) fn config(folder: &Path, model: &Pretrained) -> Result<String, Failure> {
    let own = read_options(&folder.join("config.json"))?;
    let generation = read_options(&folder.join("generation_config.json"))?;
    let find = |names: &[&str]| {
        let found = names.iter().find_map(|name| own.get(*name).filter(|value| !value.is_null()));
        found.cloned().ok_or_else(|| {
            let text = format!("{}: there is no {}", folder.join("config.json").display(), names.join(" or "));
            Failure::model_with(Code::OptionMissing, text)
        })
    };
    let either = |name: &str| {
        [&generation, &own].iter().find_map(|file| file.get(name).filter(|value| !value.is_null())).cloned()
    };
    let context = positions(folder).map_err(Failure::usage)?.ok_or_else(|| {
        let text =
            format!("{}: there is no max_position_embeddings or n_positions", folder.join("config.json").display());
        Failure::model_with(Code::OptionMissing, text)
    })?;
    let eos = either("eos_token_id").ok_or_else(|| {
        let path = folder.join("generation_config.json");
        let text = format!("{}: there is no eos_token_id, at which onnxruntime-genai stops", path.display());
        Failure::model_with(Code::OptionMissing, text)
    })?;
    let first_eos = eos.as_array().map_or(Some(&eos), |all| all.first()).cloned().unwrap_or_default();
    let pad = either("pad_token_id").unwrap_or(first_eos);

    let graph = model.build(Part::Whole, false).map_err(Failure::model)?;
    let keys: Vec<Value> = graph
        .inputs()
        .filter(|input| {
            let name = graph.value_name(*input);
            name.starts_with("past_key_values.") && name.ends_with(".key")
        })
        .collect();
    let size = |value: Option<&Value>, axis: usize| value.and_then(|value| known(&graph, *value, axis));
    let vocabulary = graph.outputs().iter().find(|output| *output.name == *"logits");
    let vocabulary = vocabulary.and_then(|output| known(&graph, output.value, 2));
    let (Some(heads), Some(head_size), Some(vocabulary)) = (size(keys.first(), 1), size(keys.first(), 3), vocabulary)
    else {
        let text = "onnxruntime-genai runs decoders with logits and a KV cache\n  help: choose --task text-generation";
        return Err(Misuse::NotFor.failure(text));
    };
    let mut inputs = Map::new();
    for name in ["input_ids", "attention_mask", "position_ids"] {
        if graph.inputs().any(|input| **graph.value_name(input) == *name) {
            inputs.insert(name.to_owned(), json!(name));
        }
    }
    inputs.insert("past_key_names".to_owned(), json!("past_key_values.%d.key"));
    inputs.insert("past_value_names".to_owned(), json!("past_key_values.%d.value"));
    let decoder = json!({
        "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
        "filename": "model.onnx",
        "head_size": head_size,
        "hidden_size": find(&["hidden_size", "n_embd", "d_model"])?,
        "inputs": inputs,
        "outputs": {
            "logits": "logits",
            "present_key_names": "present.%d.key",
            "present_value_names": "present.%d.value",
        },
        "num_attention_heads": find(&["num_attention_heads", "n_head", "n_heads"])?,
        "num_hidden_layers": keys.len(),
        "num_key_value_heads": heads,
    });
    let number = |name: &str, default: f64| either(name).filter(Json::is_number).unwrap_or_else(|| json!(default));
    let config = json!({
        "model": {
            "bos_token_id": either("bos_token_id").unwrap_or_else(|| pad.clone()),
            "context_length": context,
            "decoder": decoder,
            "eos_token_id": eos,
            "pad_token_id": pad,
            "type": "decoder",
            "vocab_size": vocabulary,
        },
        "search": {
            "do_sample": either("do_sample").unwrap_or_else(|| json!(false)),
            "early_stopping": true,
            "length_penalty": number("length_penalty", 1.0),
            "max_length": context,
            "min_length": 0,
            "no_repeat_ngram_size": 0,
            "num_beams": 1,
            "num_return_sequences": 1,
            "past_present_share_buffer": true,
            "repetition_penalty": number("repetition_penalty", 1.0),
            "temperature": number("temperature", 1.0),
            "top_k": either("top_k").filter(Json::is_number).unwrap_or_else(|| json!(50)),
            "top_p": number("top_p", 1.0),
        },
    });
    Ok(serde_json::to_string_pretty(&config).map_err(io::Error::from)? + "\n")
}

fn known(graph: &Graph, value: Value, axis: usize) -> Option<u64> {
    match graph.shape(value)?.get(axis)? {
        Dim::Known(size) => u64::try_from(*size).ok(),
        _ => None,
    }
}
