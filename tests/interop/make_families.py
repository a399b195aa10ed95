"""Creates tests/families: tiny random models of every family, and their results in PyTorch.

    python -m venv /tmp/venv && /tmp/venv/bin/pip install --requirement tests/interop/requirements-bench.txt
    /tmp/venv/bin/python tests/interop/make_families.py [NAME ...]

Each folder contains the files of `save_pretrained`, and `expected.safetensors`: for three shapes with padding the
inputs `N/in/NAME` and the outputs `N/out/NAME`, with the names in the ONNX file.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
import transformers as t
from safetensors.torch import save_file

FAMILIES = Path(__file__).resolve().parents[1] / "families"
EXAMPLES = FAMILIES.parents[1] / "examples"
TEXT = dict(vocab_size=48, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
BERT = dict(**TEXT, max_position_embeddings=24, type_vocab_size=2)
ROBERTA = dict(**TEXT, max_position_embeddings=24, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2)
ELECTRA = dict(**BERT, embedding_size=8)
DISTILBERT = dict(vocab_size=48, dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=24)
GPT2 = dict(vocab_size=48, n_embd=16, n_layer=2, n_head=2, n_positions=24, bos_token_id=1, eos_token_id=2, pad_token_id=0)
NEOX = dict(**TEXT, max_position_embeddings=24, bos_token_id=1, eos_token_id=2, pad_token_id=0)
LLAMA = dict(**{**TEXT, "num_attention_heads": 4}, num_key_value_heads=2, head_dim=8, max_position_embeddings=24, bos_token_id=1, eos_token_id=2, pad_token_id=0)
# Four heads of width 4, with two key-value heads.
SQUARE = {key: value for key, value in LLAMA.items() if key != "head_dim"}
FALCON = dict(vocab_size=48, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, ffn_hidden_size=32, max_position_embeddings=24, bos_token_id=1, eos_token_id=2, pad_token_id=0)
LABELS = dict(num_labels=3)


T5 = dict(vocab_size=48, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, relative_attention_num_buckets=8, relative_attention_max_distance=6, decoder_start_token_id=0)
BART = dict(vocab_size=48, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=24, pad_token_id=1, decoder_start_token_id=2)
WHISPER = dict(**{k: v for k, v in BART.items() if k != "max_position_embeddings"}, num_mel_bins=4, max_source_positions=6, max_target_positions=24, bos_token_id=2, eos_token_id=2, suppress_tokens=None, begin_suppress_tokens=None)

VIT = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=6, patch_size=2)
CLIP_TEXT = dict(**{k: v for k, v in TEXT.items()}, max_position_embeddings=24, projection_dim=12, bos_token_id=1, eos_token_id=2, pad_token_id=0)
CLIP_VISION = dict(**VIT, projection_dim=12)
CLIP = dict(text_config=CLIP_TEXT | dict(eos_token_id=47), vision_config=CLIP_VISION, projection_dim=12)


def rope(kind, **options):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=100.0, **options))




# The name: model, configuration, options, kind of inputs.
MODELS = {
    "bert": ("BertModel", BERT, "types"),
    "bert_mlm": ("BertForMaskedLM", BERT, "types"),
    "bert_sequence": ("BertForSequenceClassification", BERT | LABELS, "types"),
    "bert_token": ("BertForTokenClassification", BERT | LABELS, "types"),
    "bert_qa": ("BertForQuestionAnswering", BERT, "types"),
    "minilm": ("BertModel", BERT, "sentence"),
    "roberta": ("RobertaModel", ROBERTA, "text"),
    "roberta_mlm": ("RobertaForMaskedLM", ROBERTA, "text"),
    "roberta_sequence": ("RobertaForSequenceClassification", ROBERTA | LABELS, "text"),
    "roberta_token": ("RobertaForTokenClassification", ROBERTA | LABELS, "text"),
    "roberta_qa": ("RobertaForQuestionAnswering", ROBERTA, "text"),
    "xlm_roberta": ("XLMRobertaModel", ROBERTA, "text"),
    "xlm_roberta_mlm": ("XLMRobertaForMaskedLM", ROBERTA, "text"),
    "distilbert": ("DistilBertModel", DISTILBERT, "text"),
    "distilbert_mlm": ("DistilBertForMaskedLM", DISTILBERT, "text"),
    "distilbert_sequence": ("DistilBertForSequenceClassification", DISTILBERT | LABELS, "text"),
    "distilbert_token": ("DistilBertForTokenClassification", DISTILBERT | LABELS, "text"),
    "distilbert_qa": ("DistilBertForQuestionAnswering", DISTILBERT, "text"),
    "electra": ("ElectraModel", ELECTRA, "types"),
    "electra_mlm": ("ElectraForMaskedLM", ELECTRA, "types"),
    "electra_sequence": ("ElectraForSequenceClassification", ELECTRA | LABELS, "types"),
    "electra_token": ("ElectraForTokenClassification", ELECTRA | LABELS, "types"),
    "electra_qa": ("ElectraForQuestionAnswering", ELECTRA, "types"),
    "gpt2": ("GPT2LMHeadModel", GPT2, "causal"),
    "gpt2_base": ("GPT2Model", GPT2, "causal"),
    "gpt2_sequence": ("GPT2ForSequenceClassification", GPT2 | LABELS, "causal"),
    "gpt2_token": ("GPT2ForTokenClassification", GPT2 | LABELS, "causal"),
    "gpt2_qa": ("GPT2ForQuestionAnswering", GPT2, "causal"),
    "gpt_neox": ("GPTNeoXForCausalLM", NEOX | dict(rope_parameters=dict(rope_type="default", rope_theta=100.0, partial_rotary_factor=0.5)), "causal"),
    "gpt_neox_serial": ("GPTNeoXForCausalLM", NEOX | dict(use_parallel_residual=False), "causal"),
    "llama": ("LlamaForCausalLM", LLAMA, "causal"),
    "llama_base": ("LlamaModel", LLAMA, "causal"),
    "llama_sequence": ("LlamaForSequenceClassification", LLAMA | LABELS, "causal"),
    "llama_token": ("LlamaForTokenClassification", LLAMA | LABELS, "causal"),
    "llama_qa": ("LlamaForQuestionAnswering", LLAMA, "causal"),
    "llama_linear": ("LlamaForCausalLM", LLAMA | rope("linear", factor=2.0), "causal"),
    "llama_dynamic": ("LlamaForCausalLM", LLAMA | rope("dynamic", factor=2.0) | dict(max_position_embeddings=5), "causal"),
    "llama_yarn": ("LlamaForCausalLM", LLAMA | rope("yarn", factor=4.0, original_max_position_embeddings=6), "causal"),
    "llama_llama3": ("LlamaForCausalLM", LLAMA | rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16), "causal"),
    "smollm": ("LlamaForCausalLM", LLAMA | dict(tie_word_embeddings=True, attention_bias=True, mlp_bias=True), "causal"),
    "mistral": ("MistralForCausalLM", LLAMA | dict(sliding_window=3), "causal"),
    "qwen2": ("Qwen2ForCausalLM", {k: v for k, v in LLAMA.items() if k != "head_dim"} | dict(num_attention_heads=2, num_key_value_heads=1, use_sliding_window=True, sliding_window=3, max_window_layers=1), "causal"),
    "qwen3": ("Qwen3ForCausalLM", LLAMA, "causal"),
    "phi3": ("Phi3ForCausalLM", {k: v for k, v in LLAMA.items() if k != "head_dim"} | rope("longrope", short_factor=[1.0, 1.5], long_factor=[2.0, 3.0]) | dict(original_max_position_embeddings=6, max_position_embeddings=24), "causal"),
    "t5": ("T5ForConditionalGeneration", T5, "seq2seq"),
    "t5_gated": ("T5ForConditionalGeneration", T5 | dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False), "seq2seq"),
    "t5_base": ("T5Model", T5, "seq2seq"),
    "t5_encoder": ("T5EncoderModel", T5, "text"),
    "sentence_t5": ("T5EncoderModel", T5, "sentence"),
    "t5_sequence": ("T5ForSequenceClassification", T5 | LABELS, "ended by 1"),
    "t5_token": ("T5ForTokenClassification", T5 | LABELS, "text"),
    "t5_qa": ("T5ForQuestionAnswering", T5 | dict(num_labels=2), "text"),
    "bart": ("BartForConditionalGeneration", BART, "seq2seq"),
    "bart_base": ("BartModel", BART, "seq2seq"),
    "bart_sequence": ("BartForSequenceClassification", BART | LABELS, "ended"),
    "bart_qa": ("BartForQuestionAnswering", BART | dict(num_labels=2), "ended"),
    "marian": ("MarianMTModel", BART | dict(scale_embedding=True, activation_function="swish", bos_token_id=0, forced_eos_token_id=0, pad_token_id=47), "seq2seq"),
    "marian_base": ("MarianModel", BART | dict(bos_token_id=0, pad_token_id=47), "seq2seq"),
    "m2m_100": ("M2M100ForConditionalGeneration", BART, "seq2seq"),
    "m2m_100_base": ("M2M100Model", BART, "seq2seq"),
    "whisper": ("WhisperForConditionalGeneration", WHISPER, "sound"),
    "whisper_base": ("WhisperModel", WHISPER, "sound"),
    "vit": ("ViTModel", VIT, "image"),
    "vit_classifier": ("ViTForImageClassification", VIT | LABELS, "image"),
    "clip": ("CLIPModel", CLIP, "clip"),
    "clip_text": ("CLIPTextModel", CLIP_TEXT, "clip text"),
    "clip_text_projection": ("CLIPTextModelWithProjection", CLIP_TEXT | dict(eos_token_id=47), "clip text"),
    "clip_vision": ("CLIPVisionModel", CLIP_VISION, "image"),
    "clip_vision_projection": ("CLIPVisionModelWithProjection", CLIP_VISION, "image"),
    "gemma2": ("Gemma2ForCausalLM", LLAMA | dict(sliding_window=3, query_pre_attn_scalar=6, attn_logit_softcapping=2.0, final_logit_softcapping=3.0), "causal"),
}

MPNET = {k: v for k, v in ROBERTA.items() if k != "type_vocab_size"}
DEBERTA = dict(**TEXT, max_position_embeddings=24, relative_attention=True, position_buckets=4, norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type=["p2c", "c2p"], position_biased_input=False, type_vocab_size=0, legacy=False)
DEBERTA_1 = dict(**TEXT, max_position_embeddings=24, relative_attention=True, pos_att_type="c2p|p2c", position_biased_input=False, type_vocab_size=0, legacy=False)
ALBERT = BERT | dict(embedding_size=8)
LAYOUT = BERT | dict(max_2d_position_embeddings=12)
MODELS |= {
    "mpnet": ("MPNetModel", MPNET, "text"),
    "mpnet_mlm": ("MPNetForMaskedLM", MPNET, "text"),
    "mpnet_sequence": ("MPNetForSequenceClassification", MPNET | LABELS, "text"),
    "deberta_v2": ("DebertaV2Model", DEBERTA, "text"),
    "deberta_v2_mlm": ("DebertaV2ForMaskedLM", DEBERTA | dict(share_att_key=False, norm_rel_ebd="none", pos_att_type="p2c|c2p", position_buckets=-1, max_relative_positions=3, position_biased_input=True, type_vocab_size=2, legacy=True), "types"),
    "deberta_v2_sequence": ("DebertaV2ForSequenceClassification", DEBERTA | dict(embedding_size=8, pos_att_type=["c2p"]) | LABELS, "text"),
    "deberta": ("DebertaModel", DEBERTA_1, "text"),
    "deberta_mlm": ("DebertaForMaskedLM", DEBERTA_1 | dict(max_relative_positions=4, position_biased_input=True, type_vocab_size=2, legacy=True, num_hidden_layers=1), "types"),
    "deberta_sequence": ("DebertaForSequenceClassification", DEBERTA_1 | dict(pos_att_type=["c2p"], num_hidden_layers=1) | LABELS, "text"),
    "deberta_token": ("DebertaForTokenClassification", DEBERTA_1 | dict(pos_att_type="p2c", num_hidden_layers=1) | LABELS, "text"),
    "deberta_qa": ("DebertaForQuestionAnswering", DEBERTA_1 | dict(num_hidden_layers=1), "text"),
    "albert": ("AlbertModel", ALBERT, "types"),
    "albert_mlm": ("AlbertForMaskedLM", ALBERT | dict(num_hidden_groups=2, inner_group_num=2, num_hidden_layers=3), "types"),
    "albert_sequence": ("AlbertForSequenceClassification", ALBERT | LABELS, "types"),
    "big_bird": ("BigBirdModel", BERT | dict(attention_type="original_full", rescale_embeddings=True), "types"),
    "big_bird_mlm": ("BigBirdForMaskedLM", BERT | dict(attention_type="original_full"), "types"),
    "big_bird_sequence": ("BigBirdForSequenceClassification", BERT | dict(attention_type="original_full") | LABELS, "types"),
    "layoutlm": ("LayoutLMModel", LAYOUT, "boxes"),
    "layoutlm_token": ("LayoutLMForTokenClassification", LAYOUT | LABELS, "boxes"),
    "mt5": ("MT5ForConditionalGeneration", T5, "seq2seq"),
    "umt5": ("UMT5ForConditionalGeneration", T5, "seq2seq"),
    "longt5": ("LongT5ForConditionalGeneration", T5 | dict(local_radius=2), "seq2seq"),
    "mbart": ("MBartForConditionalGeneration", BART, "seq2seq"),
    "pegasus": ("PegasusForConditionalGeneration", BART | dict(pad_token_id=0, decoder_start_token_id=0, scale_embedding=True), "seq2seq"),
    "blenderbot": ("BlenderbotForConditionalGeneration", BART, "seq2seq"),
}

# Encoders with rotary positions.
MODERN = {k: v for k, v in TEXT.items()} | dict(max_position_embeddings=24, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2, local_attention=4)
NOMIC = BERT | dict(pad_token_id=0)
EURO = {k: v for k, v in SQUARE.items()} | dict(mask_token_id=3)
ESM = dict(**TEXT, max_position_embeddings=24, pad_token_id=1, mask_token_id=32, position_embedding_type="rotary", token_dropout=True, emb_layer_norm_before=False)
JINA = {k: v for k, v in ROBERTA.items()}
MODELS |= {
    "modernbert": ("ModernBertModel", MODERN | dict(norm_bias=True, attention_bias=True, mlp_bias=True), "text"),
    "modernbert_mlm": ("ModernBertForMaskedLM", MODERN | dict(layer_types=["full_attention", "sliding_attention"]), "text"),
    "modernbert_sequence": ("ModernBertForSequenceClassification", MODERN | dict(classifier_pooling="mean", classifier_bias=True, num_hidden_layers=1) | LABELS, "text"),
    "modernbert_token": ("ModernBertForTokenClassification", MODERN | dict(num_hidden_layers=1) | LABELS, "text"),
    "nomic_bert": ("NomicBertModel", NOMIC, "types"),
    "nomic_bert_mlm": ("NomicBertForMaskedLM", NOMIC | dict(num_hidden_layers=1), "types"),
    "nomic_bert_sequence": ("NomicBertForSequenceClassification", NOMIC | dict(num_hidden_layers=1) | LABELS, "types"),
    "gte": ("GteModel", NOMIC | dict(type_vocab_size=0), "text"),
    "gte_mlm": ("GteForMaskedLM", NOMIC | dict(num_hidden_layers=1), "types"),
    "gte_sequence": ("GteForSequenceClassification", NOMIC | dict(num_hidden_layers=1) | LABELS, "types"),
    "jina_embeddings_v3": ("JinaEmbeddingsV3Model", JINA, "text"),
    "jina_embeddings_v3_mlm": ("JinaEmbeddingsV3ForMaskedLM", JINA | dict(num_hidden_layers=1), "text"),
    "jina_embeddings_v3_sequence": ("JinaEmbeddingsV3ForSequenceClassification", JINA | dict(num_hidden_layers=1) | LABELS, "text"),
    "eurobert": ("EuroBertModel", EURO | dict(attention_bias=True), "text"),
    "eurobert_mlm": ("EuroBertForMaskedLM", EURO | dict(mlp_bias=True, num_hidden_layers=1), "text"),
    "eurobert_sequence": ("EuroBertForSequenceClassification", EURO | dict(num_hidden_layers=1) | LABELS, "text"),
    "esm": ("EsmModel", ESM | dict(token_dropout=False, emb_layer_norm_before=True), "text"),
    "esm_mlm": ("EsmForMaskedLM", ESM, "text"),
    "esm_sequence": ("EsmForSequenceClassification", ESM | dict(num_hidden_layers=1) | LABELS, "text"),
}

# The family of examples/add_a_family.rs.
EXAMPLE = "openai_gpt"
MODELS[EXAMPLE] = ("OpenAIGPTLMHeadModel", dict(vocab_size=48, n_embd=16, n_layer=2, n_head=2, n_positions=24), "causal")

OPT = dict(vocab_size=48, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, ffn_dim=32, max_position_embeddings=24, word_embed_proj_dim=16, pad_token_id=0, bos_token_id=1, eos_token_id=2)
NEO = dict(vocab_size=48, hidden_size=16, num_layers=2, num_heads=2, window_size=3, max_position_embeddings=24, attention_types=[[["global", "local"], 1]], pad_token_id=0, bos_token_id=1, eos_token_id=2)
BLOOM = dict(vocab_size=48, hidden_size=12, n_layer=2, n_head=3, pad_token_id=0)
MPT = dict(vocab_size=48, d_model=12, n_layers=2, n_heads=3, max_seq_len=24, pad_token_id=0)

# Variants of Llama, and their heads: each covers what differs.
DECODERS = {
    "gemma": ("GemmaForCausalLM", LLAMA | dict(hidden_act="gelu")),
    "gemma3": ("Gemma3ForCausalLM", LLAMA | dict(sliding_window=3, query_pre_attn_scalar=6, final_logit_softcapping=3.0, layer_types=["sliding_attention", "full_attention"], rope_parameters=dict(full_attention=dict(rope_type="linear", factor=2.0, rope_theta=100.0), sliding_attention=dict(rope_type="default", rope_theta=50.0)))),
    "gemma3_base": ("Gemma3TextModel", LLAMA | dict(sliding_window=3, use_bidirectional_attention=True, layer_types=["sliding_attention", "full_attention"])),
    "gemma3_sequence": ("Gemma3TextForSequenceClassification", LLAMA | LABELS | dict(num_hidden_layers=1)),
    "smollm3": ("SmolLM3ForCausalLM", LLAMA | dict(no_rope_layer_interval=2, use_sliding_window=True, sliding_window=3)),
    "granite": ("GraniteForCausalLM", LLAMA | dict(attention_multiplier=0.5, embedding_multiplier=3.0, residual_multiplier=0.25, logits_scaling=2.0)),
    "olmo": ("OlmoForCausalLM", LLAMA | dict(clip_qkv=0.5)),
    "olmo2": ("Olmo2ForCausalLM", LLAMA),
    "olmo3": ("Olmo3ForCausalLM", LLAMA | dict(sliding_window=3, layer_types=["sliding_attention", "full_attention"], rope_parameters=dict(full_attention=dict(rope_type="linear", factor=2.0, rope_theta=100.0), sliding_attention=dict(rope_type="default", rope_theta=100.0)))),
    "exaone": ("LlamaForCausalLM", LLAMA),
    "exaone4": ("Exaone4ForCausalLM", LLAMA | dict(sliding_window=3, sliding_window_pattern=2)),
    "cohere": ("CohereForCausalLM", SQUARE | dict(use_qk_norm=True, logit_scale=0.5)),
    "cohere2": ("Cohere2ForCausalLM", SQUARE | dict(sliding_window=3, layer_types=["sliding_attention", "full_attention"])),
    "stablelm": ("StableLmForCausalLM", SQUARE | dict(partial_rotary_factor=0.5, use_qkv_bias=True)),
    "stablelm_parallel": ("StableLmForCausalLM", SQUARE | dict(use_parallel_residual=True, num_hidden_layers=1, partial_rotary_factor=0.5)),
    "starcoder2": ("Starcoder2ForCausalLM", SQUARE | dict(sliding_window=3)),
    "phi": ("PhiForCausalLM", SQUARE | dict(qk_layernorm=True)),
    "gptj": ("GPTJForCausalLM", GPT2 | dict(rotary_dim=4)),
    "gpt_neo": ("GPTNeoForCausalLM", NEO),
    "gpt_neo_base": ("GPTNeoModel", NEO | dict(num_layers=1, attention_types=[[["local"], 1]])),
    "gpt_neo_sequence": ("GPTNeoForSequenceClassification", NEO | LABELS),
    "gpt_neo_token": ("GPTNeoForTokenClassification", NEO | LABELS),
    "gpt_neo_qa": ("GPTNeoForQuestionAnswering", NEO),
    "gpt_bigcode": ("GPTBigCodeForCausalLM", GPT2),
    "gpt_bigcode_base": ("GPTBigCodeModel", GPT2 | dict(multi_query=False, n_layer=1)),
    "gpt_bigcode_sequence": ("GPTBigCodeForSequenceClassification", GPT2 | LABELS | dict(n_layer=1)),
    "gpt_bigcode_token": ("GPTBigCodeForTokenClassification", GPT2 | LABELS | dict(n_layer=1)),
    "falcon": ("FalconForCausalLM", FALCON),
    "opt": ("OPTForCausalLM", OPT),
    "opt_projected": ("OPTForCausalLM", OPT | dict(word_embed_proj_dim=8, do_layer_norm_before=False, activation_function="gelu", tie_word_embeddings=False)),
    "opt_sequence": ("OPTForSequenceClassification", OPT | LABELS | dict(num_hidden_layers=1, enable_bias=False, layer_norm_elementwise_affine=False)),
    "bloom": ("BloomForCausalLM", BLOOM),
    "bloom_token": ("BloomForTokenClassification", BLOOM | LABELS | dict(n_layer=1)),
    "mpt": ("MptForCausalLM", MPT | dict(attn_config=dict(clip_qkv=0.5, softmax_scale=0.5))),
    "mpt_qa": ("MptForQuestionAnswering", MPT | dict(n_layers=1)),
    "falcon_new": ("FalconForCausalLM", FALCON | dict(new_decoder_architecture=True, num_kv_heads=2, num_hidden_layers=1)),
    "falcon_serial": ("FalconForCausalLM", FALCON | dict(multi_query=False, parallel_attn=False, bias=True, num_hidden_layers=1)),
}
MODELS |= {name: (*row, "causal") for name, row in DECODERS.items()}

# Other heads of families that share their code with another, with one layer.
for name, camel in (("mistral", "Mistral"), ("qwen2", "Qwen2"), ("qwen3", "Qwen3"), ("phi3", "Phi3"), ("gemma2", "Gemma2"), ("gpt_neox", "GPTNeoX"), ("xlm_roberta", "XLMRoberta"), ("camembert", "Camembert")):
    of, options, kind = MODELS.get(name) or MODELS["roberta"]
    options = {key: value for key, value in options.items() if key != "layer_types"} | dict(num_hidden_layers=1) | LABELS
    heads = {"base": "Model", "sequence": "ForSequenceClassification", "token": "ForTokenClassification", "qa": "ForQuestionAnswering"}
    if kind == "text":
        heads["mlm"] = "ForMaskedLM"
    MODELS |= {f"{name}_{head}": (camel + suffix, options | (dict(num_labels=2) if head == "qa" else {}), kind) for head, suffix in heads.items() if f"{name}_{head}" not in MODELS and hasattr(t, camel + suffix)}


def randomized(model):
    """Sets random weights: none is 0 or 1, and norms are not the identity."""
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if not parameter.requires_grad:
                continue
            noise = torch.randn_like(parameter)
            parameter.copy_(1 + 0.2 * noise if "norm" in name.lower() and name.endswith("weight") else 0.3 * noise)
    return model.eval()


def texts(pad, sizes=((1, 5), (2, 7), (3, 4)), left=()):
    """Returns ids and mask for each shape; the last text is shorter than the others."""
    for at, (batch, length) in enumerate(sizes):
        ids = torch.randint(3, 47, (batch, length))
        mask = torch.ones_like(ids)
        if batch > 1:
            cut = slice(0, 2) if at in left else slice(length - 2, length)
            mask[-1, cut] = 0
            ids[-1, cut] = pad
        yield ids, mask


def cases(model, kind, dense=None):
    """Returns the inputs and outputs of three shapes."""
    config = model.config
    pad = getattr(config, "pad_token_id", None) or 0
    for ids, mask in texts(pad, left=(2,) if kind == "causal" else ()):
        inputs = dict(input_ids=ids, attention_mask=mask)
        if kind == "types":
            inputs["token_type_ids"] = torch.randint(0, 2, ids.shape)
        if kind == "boxes":
            inputs["token_type_ids"] = torch.randint(0, 2, ids.shape)
            corners = torch.randint(0, 6, (*ids.shape, 2))
            inputs["bbox"] = torch.cat([corners, corners + torch.randint(0, 6, corners.shape)], -1)
        if kind == "causal":
            inputs["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
        if kind.startswith("ended"):
            # Each text has one end token.
            for row, keep in zip(inputs["input_ids"], mask):
                row[int(keep.sum()) - 1] = 1 if kind == "ended by 1" else 2
        if kind in ("seq2seq", "sound"):
            inputs["decoder_input_ids"] = torch.randint(3, 47, (len(ids), (6, 4, 5)[len(ids) - 1]))
        if kind == "sound":
            inputs = dict(input_features=torch.randn(len(ids), 4, 12), decoder_input_ids=inputs["decoder_input_ids"])
        if kind in ("clip", "clip text"):
            # The position of the end token determines the state that represents the text.
            inputs["input_ids"][:, -3] = 47
        if kind in ("clip", "image"):
            side = getattr(config, "vision_config", config).image_size
            image = dict(pixel_values=torch.randn(len(ids), 3, side, side))
            inputs = inputs | image if kind == "clip" else image
        if kind == "clip text":
            # Padding follows the end token, so no earlier state sees it.
            del inputs["attention_mask"]
        outputs = model(**inputs)
        if kind == "sentence":
            tokens, keep = outputs.last_hidden_state, mask[..., None].float()
            mean = (tokens * keep).sum(1) / keep.sum(1).clamp(min=1e-9)
            mean = mean if dense is None else dense(mean)
            yield inputs, dict(token_embeddings=tokens, sentence_embedding=torch.nn.functional.normalize(mean, dim=1))
        else:
            names = ("last_hidden_state", "pooler_output", "text_embeds", "image_embeds", "logits_per_image", "logits_per_text", "logits", "start_logits", "end_logits")
            if "Model" in type(model).__name__ and "encoder_last_hidden_state" in outputs and "MT" not in type(model).__name__:
                names += ("encoder_last_hidden_state",)
            yield inputs, {name: outputs[name] for name in names if outputs.get(name) is not None}


def main():
    t.logging.set_verbosity_error()
    for name, (model_class, options, kind) in MODELS.items():
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        torch.manual_seed(0)
        model_class = getattr(t, model_class)
        config_class = t.ExaoneConfig if name == "exaone" else model_class.config_class
        config = config_class(attn_implementation="eager", **options)
        model = randomized(model_class._from_config(config))
        folder = (EXAMPLES if name == EXAMPLE else FAMILIES) / name
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        dense = torch.nn.Linear(16, 8, bias=False) if name == "sentence_t5" else None
        if kind == "sentence":
            sentence_transformer(folder, dense)
        save_expected(model, kind, folder, dense)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        assert size < 200_000, (name, size)
        print(f"{name}: {size} bytes")


def save_expected(model, kind, folder, dense=None):
    """Writes the inputs and outputs of a model."""
    tensors = {}
    with torch.no_grad():
        for at, (inputs, outputs) in enumerate(cases(model, kind, dense)):
            for part, values in (("in", inputs), ("out", outputs)):
                for key, value in values.items():
                    tensors[f"{at}/{part}/{key}"] = value.clone().contiguous()
    save_file(tensors, folder / "expected.safetensors")


def sentence_transformer(folder, dense=None):
    """Writes the files that sentence-transformers adds to a model with mean pooling, a dense layer and normalization."""
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    if dense is not None:
        kinds[2:] = [("2_Dense", "Dense"), ("3_Normalize", "Normalize")]
        (folder / "2_Dense").mkdir()
        options = dict(in_features=dense.in_features, out_features=dense.out_features, bias=False, activation_function="torch.nn.modules.linear.Identity")
        (folder / "2_Dense" / "config.json").write_text(json.dumps(options, indent=2))
        save_file({"linear.weight": dense.weight.detach()}, folder / "2_Dense" / "model.safetensors")
    modules = [dict(idx=at, name=str(at), path=path, type=f"sentence_transformers.models.{kind}") for at, (path, kind) in enumerate(kinds)]
    (folder / "modules.json").write_text(json.dumps(modules, indent=2))
    (folder / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{mode}": mode == "mean_tokens" for mode in ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(dict(word_embedding_dimension=16, **modes), indent=2))


if __name__ == "__main__":
    main()
