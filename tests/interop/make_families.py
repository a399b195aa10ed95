"""Makes tiny random models of every family with transformers, beside what PyTorch computes: tests/families.

    python -m venv /tmp/venv && /tmp/venv/bin/pip install --requirement tests/interop/requirements-bench.txt
    /tmp/venv/bin/python tests/interop/make_families.py [NAME ...]

Each folder is what `save_pretrained` writes, and `expected.safetensors`: for three shapes with padding the inputs
`N/in/NAME` and the outputs `N/out/NAME`, all by the names that the ONNX file has.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
import transformers as t
from safetensors.torch import save_file

FAMILIES = Path(__file__).resolve().parents[1] / "families"
TEXT = dict(vocab_size=48, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
BERT = dict(**TEXT, max_position_embeddings=24, type_vocab_size=2)
ROBERTA = dict(**TEXT, max_position_embeddings=24, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2)
ELECTRA = dict(**BERT, embedding_size=8)
DISTILBERT = dict(vocab_size=48, dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=24)
GPT2 = dict(vocab_size=48, n_embd=16, n_layer=2, n_head=2, n_positions=24, bos_token_id=1, eos_token_id=2, pad_token_id=0)
NEOX = dict(**TEXT, max_position_embeddings=24, bos_token_id=1, eos_token_id=2, pad_token_id=0)
LLAMA = dict(**{**TEXT, "num_attention_heads": 4}, num_key_value_heads=2, head_dim=8, max_position_embeddings=24, bos_token_id=1, eos_token_id=2, pad_token_id=0)
LABELS = dict(num_labels=3)


def rope(kind, **options):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=100.0, **options))




# name: model, configuration, options, what its inputs are
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
    "gemma2": ("Gemma2ForCausalLM", LLAMA | dict(sliding_window=3, query_pre_attn_scalar=6, attn_logit_softcapping=2.0, final_logit_softcapping=3.0), "causal"),
}


def randomized(model):
    """Weights that matter: none is 0 or 1, and norms are not the identity."""
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn_like(parameter)
            parameter.copy_(1 + 0.2 * noise if "norm" in name.lower() and name.endswith("weight") else 0.3 * noise)
    return model.eval()


def texts(config, pad, sizes=((1, 5), (2, 7), (3, 4)), left=()):
    """For each shape ids and mask, the last text shorter than the others."""
    for at, (batch, length) in enumerate(sizes):
        ids = torch.randint(3, config.vocab_size, (batch, length))
        mask = torch.ones_like(ids)
        if batch > 1:
            cut = slice(0, 2) if at in left else slice(length - 2, length)
            mask[-1, cut] = 0
            ids[-1, cut] = pad
        yield ids, mask


def cases(model, kind):
    """Inputs and outputs of three shapes."""
    config = model.config
    pad = config.pad_token_id or 0
    for ids, mask in texts(config, pad, left=(2,) if kind == "causal" else ()):
        inputs = dict(input_ids=ids, attention_mask=mask)
        if kind == "types":
            inputs["token_type_ids"] = torch.randint(0, 2, ids.shape)
        if kind == "causal":
            inputs["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
        outputs = model(**inputs)
        if kind == "sentence":
            tokens, keep = outputs.last_hidden_state, mask[..., None].float()
            mean = (tokens * keep).sum(1) / keep.sum(1).clamp(min=1e-9)
            yield inputs, dict(token_embeddings=tokens, sentence_embedding=torch.nn.functional.normalize(mean, dim=1))
        else:
            names = ("last_hidden_state", "pooler_output", "logits", "start_logits", "end_logits")
            yield inputs, {name: outputs[name] for name in names if outputs.get(name) is not None}


def main():
    t.logging.set_verbosity_error()
    for name, (model_class, options, kind) in MODELS.items():
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        torch.manual_seed(0)
        model_class = getattr(t, model_class)
        config = model_class.config_class(attn_implementation="eager", **options)
        model = randomized(model_class(config))
        folder = FAMILIES / name
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        if kind == "sentence":
            sentence_transformer(folder)
        tensors = {}
        with torch.no_grad():
            for at, (inputs, outputs) in enumerate(cases(model, kind)):
                for part, values in (("in", inputs), ("out", outputs)):
                    for key, value in values.items():
                        tensors[f"{at}/{part}/{key}"] = value.contiguous()
        save_file(tensors, folder / "expected.safetensors")
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        assert size < 200_000, (name, size)
        print(f"{name}: {size} bytes")


def sentence_transformer(folder):
    """The files that sentence-transformers puts beside a model of mean pooling and normalization."""
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [dict(idx=at, name=str(at), path=path, type=f"sentence_transformers.models.{kind}") for at, (path, kind) in enumerate(kinds)]
    (folder / "modules.json").write_text(json.dumps(modules, indent=2))
    (folder / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{mode}": mode == "mean_tokens" for mode in ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(dict(word_embedding_dimension=16, **modes), indent=2))


if __name__ == "__main__":
    main()
