//! Guesses the family of a model.

use crate::ir::Graph;
use std::collections::HashSet;

/// Words that the names of modules have in a family, the most special first.
const FAMILIES: [(&[&str], &str); 29] = [
    (&["query_proj", "rel_embeddings"], "DeBERTa"),
    (&["albert_layer_groups"], "ALBERT"),
    (&["q_lin", "sa_layer_norm"], "DistilBERT"),
    (&["embeddings_project"], "ELECTRA"),
    (&["relative_attention_bias", "attn"], "MPNet"),
    (&["roberta"], "RoBERTa"),
    (&["word_embeddings", "intermediate", "attention"], "BERT or RoBERTa"),
    (&["SelfAttention", "DenseReluDense"], "T5"),
    (&["c_attn"], "GPT-2"),
    (&["gpt_neox"], "GPT-NeoX"),
    (&["query_key_value", "dense_h_to_4h"], "GPT-NeoX, Falcon or BLOOM"),
    (&["visual_projection"], "CLIP"),
    (&["text_projection"], "CLIP"),
    (&["patch_embeddings"], "ViT"),
    (&["patch_embedding"], "CLIP or SigLIP"),
    (&["self_attn", "conv1", "conv2", "fc1"], "Whisper"),
    (&["encoder_attn", "fc1"], "BART, Marian, M2M-100 or Whisper"),
    (&["block_sparse_moe"], "Mixtral"),
    (&["qkv_proj", "gate_up_proj"], "Phi-3"),
    (&["pre_feedforward_layernorm", "q_norm"], "Gemma 3"),
    (&["pre_feedforward_layernorm"], "Gemma 2"),
    (&["q_proj", "gate_proj", "experts"], "Qwen MoE or Llama 4"),
    (&["q_proj", "gate_proj", "q_norm"], "Qwen 3 or OLMo 2"),
    (&["q_proj", "gate_proj"], "Llama, Mistral or Qwen"),
    (&["q_proj", "project_in"], "OPT"),
    (&["q_proj", "c_fc"], "StarCoder2 or GPT-J"),
    (&["q_proj", "fc_in"], "GPT-J"),
    (&["q_proj", "dense", "fc1"], "Phi"),
    (&["self_attn", "fc1"], "BART, Marian, OPT or another with post- or pre-norm layers"),
];

/// Returns the families that the names of weights and nodes suggest; a guess.
pub fn family(graph: &Graph) -> Option<&'static str> {
    let mut words: HashSet<&str> = HashSet::new();
    for id in graph.schedule() {
        let node = graph.node(id);
        words.extend(node.label().split(['.', '/']));
        for value in graph.results(id) {
            words.extend(graph.value_name(value).split(['.', '/']));
        }
    }
    let has_all = |needed: &[&str]| needed.iter().all(|word| words.contains(word));
    FAMILIES.iter().find(|(needed, _)| has_all(needed)).map(|(_, family)| *family)
}
