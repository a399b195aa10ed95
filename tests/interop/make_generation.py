"""Creates tests/generation: in reference.json what `generate` of transformers returns for tiny models and 55 sets of
options, and the probabilities of next tokens after its processors; a tokenizer of 48 tokens; in chats.json and
expressions.json what chat templates write; a sound with its features; and in
predictions.json the logarithms of probabilities of tokens.

    python -m venv /tmp/venv && /tmp/venv/bin/pip install --requirement tests/interop/requirements-bench.txt
    /tmp/venv/bin/python tests/interop/make_generation.py

The inputs of each case are such that slightly other weights give the same tokens, so that rounding decides nothing.
"""

import json
import sys
import wave
from pathlib import Path

import tokenizers
import torch
import transformers as t
from safetensors.torch import save_file
from tokenizers import decoders, models, normalizers
from transformers.utils.chat_template_utils import render_jinja_template

TESTS = Path(__file__).resolve().parents[1]
FAMILIES = TESTS / "families"
PAIRS = ["t5", "t5_gated", "bart", "marian", "m2m_100"]

# The name: the folder of tests/families, the number of rows, the options.
CASES = {
    "greedy": ("gpt2", 1, dict(max_new_tokens=12)),
    "greedy_rotary": ("llama", 1, dict(max_new_tokens=12)),
    "greedy_window": ("qwen2", 1, dict(max_new_tokens=12)),
    "greedy_parallel": ("gpt_neox", 1, dict(max_new_tokens=12)),
    "greedy_soft_caps": ("gemma2", 1, dict(max_new_tokens=12)),
    "default_length": ("gpt2", 1, dict()),
    "max_length": ("llama", 1, dict(max_length=9)),
    "min_length": ("gpt2", 1, dict(max_length=16, min_length=12, eos_token_id=[2, 5, 7, 11, 13])),
    "min_new_tokens": ("llama", 1, dict(max_new_tokens=10, min_new_tokens=6, eos_token_id=[2, 3, 5, 7, 11, 13])),
    "several_end_tokens": ("gpt2", 2, dict(max_new_tokens=12, eos_token_id=[2, 8, 19, 27, 33, 41])),
    "padding": ("gpt2", 3, dict(max_new_tokens=10)),
    "padding_rotary": ("llama", 3, dict(max_new_tokens=10)),
    "padding_window": ("qwen2", 3, dict(max_new_tokens=8)),
    "repetition_penalty": ("gpt2", 1, dict(max_new_tokens=14, repetition_penalty=1.3)),
    "repetition_reward": ("llama", 1, dict(max_new_tokens=10, repetition_penalty=0.8)),
    "repetition_penalty_padding": ("gpt2", 2, dict(max_new_tokens=12, repetition_penalty=1.5)),
    "no_repeated_pairs": ("llama", 1, dict(max_new_tokens=14, no_repeat_ngram_size=2)),
    "no_repeated_triples_padding": ("gpt2", 2, dict(max_new_tokens=14, no_repeat_ngram_size=3)),
    "no_repeated_tokens": ("gpt_neox", 1, dict(max_new_tokens=12, no_repeat_ngram_size=1)),
    "suppressed": ("gpt_neox", 1, dict(max_new_tokens=8, suppress_tokens=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30, 40])),
    "suppressed_first": ("llama", 1, dict(max_new_tokens=8, begin_suppress_tokens=list(range(24)))),
    "bad_words": ("gpt_neox", 1, dict(max_new_tokens=10, bad_words_ids=[[4], [9, 9], [17], [23], [31, 12]])),
    "forced_end": ("llama", 1, dict(max_new_tokens=6, forced_eos_token_id=2)),
    "beams": ("gpt_neox", 1, dict(max_new_tokens=10, num_beams=4)),
    "beams_padding": ("llama", 3, dict(max_new_tokens=8, num_beams=3)),
    "beams_long": ("gpt_neox", 1, dict(max_new_tokens=12, num_beams=4, length_penalty=2.0, eos_token_id=[2, 6, 12, 18])),
    "beams_short": ("gpt2", 1, dict(max_new_tokens=12, num_beams=4, length_penalty=-1.0, eos_token_id=[2, 6, 12, 18])),
    "beams_without_length": ("llama", 1, dict(max_new_tokens=10, num_beams=3, length_penalty=0.0, early_stopping="never", eos_token_id=[2, 6, 12, 18])),
    "beams_stopped_early": ("llama", 2, dict(max_new_tokens=12, num_beams=3, early_stopping=True, eos_token_id=[2, 6, 12, 18, 24])),
    "beams_never_stopped": ("gpt_neox", 2, dict(max_new_tokens=12, num_beams=3, early_stopping="never", length_penalty=1.5, eos_token_id=[2, 6, 12, 18, 24])),
    "beams_processed": ("gpt2", 2, dict(max_new_tokens=12, num_beams=4, repetition_penalty=1.4, no_repeat_ngram_size=2, min_length=9)),
    "source": ("t5_gated", 1, dict(max_new_tokens=10)),
    "source_padding": ("t5_gated", 3, dict(max_new_tokens=10)),
    "source_forced_end": ("bart", 2, dict(max_length=10)),
    "source_forced_first": ("m2m_100", 2, dict(max_new_tokens=8, forced_bos_token_id=9)),
    "source_suppressed_first": ("m2m_100", 1, dict(max_new_tokens=8, forced_bos_token_id=9, begin_suppress_tokens=list(range(9, 40)))),
    "source_beams": ("bart", 2, dict(max_new_tokens=9, num_beams=4, length_penalty=2.0, no_repeat_ngram_size=3, early_stopping=True)),
    "source_beams_relative": ("t5", 3, dict(max_new_tokens=9, num_beams=3)),
    "source_beams_bad_words": ("marian", 2, dict(max_new_tokens=9, num_beams=3, bad_words_ids=[[47], [3]])),
    "source_pairs": ("marian", 1, dict(max_new_tokens=9, encoder_no_repeat_ngram_size=2, no_repeat_ngram_size=2)),
    "stopped": ("gpt_neox", 1, dict(max_new_tokens=12, stop_strings=["q", "re", "dog"])),
    "stopped_padding": ("gpt2", 3, dict(max_new_tokens=14, stop_strings=["th", "g", "m"], repetition_penalty=1.4)),
    "stopped_beams": ("llama", 2, dict(max_new_tokens=10, num_beams=3, stop_strings=["og", "p"], early_stopping=True, suppress_tokens=[2])),
    "repetition_penalty_pairs": ("llama", 2, dict(max_new_tokens=12, repetition_penalty=1.2, no_repeat_ngram_size=2, min_new_tokens=6, eos_token_id=[2, 6, 12])),
    "bad_words_padding": ("llama", 3, dict(max_new_tokens=10, bad_words_ids=[[4], [9, 9], [17], [23, 31], [31]], begin_suppress_tokens=[5, 6, 7, 8], suppress_tokens=[10, 11, 12])),
    "forced_end_padding": ("gpt2", 2, dict(max_new_tokens=7, forced_eos_token_id=[3, 2], no_repeat_ngram_size=1)),
    "beams_penalty_pairs": ("llama", 2, dict(max_new_tokens=11, num_beams=3, repetition_penalty=1.3, no_repeat_ngram_size=2, early_stopping=True, min_new_tokens=5, eos_token_id=[2, 6, 12, 18])),
    "beams_bad_words_forced_end": ("gpt_neox", 2, dict(max_new_tokens=9, num_beams=4, bad_words_ids=[[4], [9, 9], [17]], forced_eos_token_id=2, length_penalty=0.6)),
    "beams_suppressed": ("gpt2", 3, dict(max_new_tokens=9, num_beams=3, suppress_tokens=list(range(20, 30)), begin_suppress_tokens=list(range(4, 12)), min_new_tokens=4, length_penalty=1.7, eos_token_id=[2, 13, 14, 15])),
    "source_beams_renormalized": ("marian", 3, dict(max_new_tokens=9, num_beams=4, renormalize_logits=True, bad_words_ids=[[47], [3], [21], [30]], repetition_penalty=1.4, eos_token_id=[0, 9, 14, 25, 36])),
    "source_penalty": ("t5", 2, dict(max_new_tokens=10, repetition_penalty=1.5, no_repeat_ngram_size=2, min_length=5)),
    "source_beams_penalty": ("bart", 3, dict(max_length=11, num_beams=3, repetition_penalty=1.2, encoder_no_repeat_ngram_size=3, length_penalty=0.8)),
    "prompt_tokens_padding": ("llama", 3, dict(max_new_tokens=12, encoder_no_repeat_ngram_size=1)),
    "prompt_tokens_beams": ("gpt_neox", 2, dict(max_new_tokens=8, num_beams=3, encoder_no_repeat_ngram_size=1)),
    "source_beams_forced_first": ("m2m_100", 2, dict(max_new_tokens=8, num_beams=3, forced_bos_token_id=9, no_repeat_ngram_size=2, early_stopping="never", length_penalty=1.2)),
}

# Options of drawn tokens.
DRAWS = {
    "temperature": dict(temperature=0.7, top_k=0),
    "hot": dict(temperature=1.8, top_k=0),
    "top_k": dict(top_k=5),
    "top_p": dict(top_k=0, top_p=0.6),
    "top_p_narrow": dict(top_k=0, top_p=0.05),
    "min_p": dict(top_k=0, min_p=0.2),
    "all": dict(temperature=1.3, top_k=20, top_p=0.8, min_p=0.05, repetition_penalty=1.2),
    "beams": dict(num_beams=3, temperature=0.9, top_k=1, top_p=0.1),
}


def tokens(generator, length, rows, ended):
    lengths = [max(2, length - 2 * row) for row in range(rows)]
    found = [torch.randint(14, 46, (size,), generator=generator).tolist() for size in lengths]
    return [row[:-1] + [ended] if ended is not None else row for row in found]


def generated(model, rows, options):
    config = model.generation_config.to_dict() | options
    config = t.GenerationConfig(**{key: value for key, value in config.items() if key != "transformers_version"})
    is_pair = model.config.is_encoder_decoder
    longest = max(map(len, rows))
    pad = config.pad_token_id
    fill = [[pad] * (longest - len(row)) for row in rows]
    ids = [row + f if is_pair else f + row for row, f in zip(rows, fill)]
    ones = [[1] * len(row) for row in rows]
    mask = [row + [0] * len(f) if is_pair else [0] * len(f) + row for row, f in zip(ones, fill)]
    model.generation_config = t.GenerationConfig(pad_token_id=pad)
    text = t.PreTrainedTokenizerFast(tokenizer_file=str(TESTS / "generation/tokenizer.json"))
    stops = config.stop_strings or []
    known = dict(tokenizer=text) if stops else {}
    with torch.no_grad():
        out = model.generate(torch.tensor(ids), attention_mask=torch.tensor(mask), generation_config=config, **known)
    new = out[:, 1 if is_pair else longest:].tolist()
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    cut = []
    for row in new:
        has_ended = lambda at: row[at] in ends or any(stop in text.decode(row[: at + 1]) for stop in stops)
        end = next((at + 1 for at in range(len(row)) if has_ended(at)), len(row))
        cut.append(row[:end])
    return cut, config


def settings(config):
    return {key: value for key, value in config.to_diff_dict().items() if key not in ("transformers_version", "_from_model_config", "output_hidden_states", "output_attentions", "use_cache")}


def case(name, folder, rows, options):
    for seed in range(50):
        generator = torch.Generator().manual_seed(1000 * seed + len(name))
        kind = t.AutoModelForSeq2SeqLM if folder in PAIRS else t.AutoModelForCausalLM
        model = kind.from_pretrained(FAMILIES / folder, attn_implementation="eager").eval()
        own = model.generation_config
        ended = own.eos_token_id if folder in PAIRS else None
        given = tokens(generator, 7, rows, ended)
        expected, config = generated(model, given, options)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter *= 1 + 5e-6 * torch.randn(parameter.shape, generator=generator)
        model.generation_config = own
        if generated(model, given, options)[0] == expected:
            return dict(name=name, folder=folder, settings=settings(config), inputs=given, expected=expected)
    raise SystemExit(f"{name}: rounding decides every input")


def draw(name, options):
    model = t.AutoModelForCausalLM.from_pretrained(FAMILIES / "gpt2")
    config = t.GenerationConfig(**options, do_sample=True, eos_token_id=[2, 3], pad_token_id=0, max_length=20)
    config, _ = model._prepare_generation_config(config)
    model._prepare_special_tokens(config, True, device="cpu", batch_size=1)
    generator = torch.Generator().manual_seed(len(name))
    ids = torch.randint(4, 46, (1, 6), generator=generator)
    scores = 3 * torch.randn(1, 48, generator=generator)
    process = model._get_logits_processor(generation_config=config, input_ids_seq_length=4, encoder_input_ids=ids, device="cpu")
    probabilities = torch.softmax(process(ids, scores.clone()), -1)
    return dict(
        name=name, settings=dict(options, do_sample=True, eos_token_id=[2, 3]), tokens=ids[0].tolist(), prompt=4,
        scores=[round(x, 9) for x in scores[0].tolist()], expected=[round(x, 9) for x in probabilities[0].tolist()],
    )


def tokenizer():
    """Writes a tokenizer of letters, a few words, and the bytes of three characters."""
    special = ["<pad>", "<s>", "</s>", "<unk>"]
    letters = ["\u2581", *"abcdefghijklmnopqrstuvwxyz", ".", ","]
    merges = [("t", "h"), ("th", "e"), ("\u2581", "the"), ("\u2581", "a"), ("i", "n"), ("o", "n"), ("e", "r"), ("\u2581", "d"), ("o", "g")]
    octets = ["<0xC3>", "<0xA9>", "<0xE2>", "<0x82>", "<0xAC>", "<0x0A>"]
    vocabulary = {token: at for at, token in enumerate(special + letters + octets + ["".join(pair) for pair in merges])}
    assert len(vocabulary) == 48
    model = models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True)
    result = tokenizers.Tokenizer(model)
    result.normalizer = normalizers.Replace(" ", "\u2581")
    result.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    result.add_special_tokens(special)
    result.save(str(TESTS / "generation/tokenizer.json"))


# Chat templates in the ways of published ones.
TEMPLATES = {
    "chatml": "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "inst": "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'].strip() %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% if loop.first and system_message != false %}{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{{ '[INST] ' + content.strip() + ' [/INST]' }}{% endfor %}",
    "blocks": "{%- set ns = namespace(count=0) %}\n{%- for message in messages %}\n    {%- set ns.count = ns.count + 1 %}\n    {{- '<|' ~ message.role ~ '|>' }}\n    {%- generation %}\n    {{- message.content | trim }}\n    {%- endgeneration %}\n    {%- if not loop.last %}{{ eos_token }}{% endif %}\n{%- endfor %}\n{%- if add_generation_prompt is defined and add_generation_prompt %}\n    {{- '<|assistant|>' }}\n{%- endif %}\n  {# nothing #}\n{{ ns.count }}\n",
    "python": "{{ messages | tojson }}{{ messages[0] | tojson(indent=2) }}{% for key, value in messages[0].items() %}{{ key.upper() }}={{ value.split(' ')[-1] }};{% endfor %}{{ messages[-1].content.startswith('Caf') }} {{ messages[0].get('name', 'none') }} {{ tools is none or tools is not defined }} {% if messages is iterable and 'user' in messages | map(attribute='role') | list %}yes{% endif %}",
}
MESSAGES = [dict(role="system", content="  Answer <briefly>. "), dict(role="user", content="Caf\u00e9 \"now\"? ")]


def chats():
    """Writes what chat templates make of messages."""
    rows = []
    for name, template in TEMPLATES.items():
        text, _ = render_jinja_template([MESSAGES], chat_template=template, add_generation_prompt=True, bos_token="<s>", eos_token="</s>")
        rows.append(dict(name=name, template=template, expected=text[0]))
    rows = dict(messages=MESSAGES, chats=rows)
    (TESTS / "generation/chats.json").write_text(json.dumps(rows, indent=1) + "\n")


def expressions():
    """Writes what the templates of expressions.json make of messages: those of issues, and one for each filter and method."""
    path = TESTS / "generation/expressions.json"
    messages = [dict(role="system", content="be\nnice "), dict(role="user", content=" h\u00e9 <b>'\" ")]
    tokens = dict(bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>")
    tokens.update(image_token="<image>", audio_token="<audio>", cls_token="<cls>")
    rows = []
    for template, _ in json.loads(path.read_text()):
        text, _ = render_jinja_template([messages], chat_template=template, add_generation_prompt=True, **tokens)
        rows.append(json.dumps([template, text[0]]))
    path.write_text("[\n" + ",\n".join(rows) + "\n]\n")


def sound():
    """Writes a sound, its features, and the tokens that the tiny Whisper hears in it."""
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(11_000) / 16_000
    wave_ = 0.4 * torch.sin(2 * torch.pi * (300 + 900 * time) * time) + 0.05 * torch.randn(len(time), generator=generator)
    samples = (wave_ * 32767).round().clamp(-32768, 32767).to(torch.int16)
    with wave.open(str(TESTS / "generation/tone.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(samples.numpy().tobytes())
    heard = samples.float().numpy() / 32768
    features = {}
    sizes = dict(large=dict(feature_size=80, chunk_length=1), small=dict(feature_size=4, chunk_length=1, hop_length=1333, n_fft=64))
    for name, options in sizes.items():
        extractor = t.WhisperFeatureExtractor(**options)
        features[name] = torch.tensor(extractor(heard, sampling_rate=16_000)["input_features"])
        (TESTS / f"generation/preprocessor_{name}.json").write_text(extractor.to_json_string())
    model = t.WhisperForConditionalGeneration.from_pretrained(FAMILIES / "whisper").eval()
    with torch.no_grad():
        tokens = t.GenerationMixin.generate(
            model, features["small"], decoder_input_ids=torch.tensor([[2, 9]]),
            generation_config=t.GenerationConfig(max_new_tokens=8, eos_token_id=2, pad_token_id=1, decoder_start_token_id=2),
        )
    features["tokens"] = tokens[0, 2:]
    save_file(features, TESTS / "generation/sound.safetensors")
    print("sound", {name: value.shape for name, value in features.items()}, features["tokens"].tolist(), file=sys.stderr)


# Lengths of sounds in seconds, kinds of sounds, and options.
SPOKEN = {
    "short": (1, "tone", dict(return_timestamps=True)),
    "short_without_timestamps": (1, "noise", dict(suppress_tokens=list(range(49, 200)))),
    "short_with_stray_timestamps": (1, "mixed", dict(suppress_tokens=[41, 42, 43, 44, 45, 46, 47])),
    "short_beams": (1, "noise", dict(return_timestamps=True, num_beams=3)),
    "nearly_a_window": (29.9, "mixed", dict(return_timestamps=True)),
    "nearly_a_window_without_timestamps": (29.9, "noise", dict(language="en", task="translate", suppress_tokens=list(range(49, 200)))),
    "nearly_a_window_of_tones": (29.9, "tone", dict(return_timestamps=True, language="de", repetition_penalty=1.3)),
    "nearly_a_window_cut": (29.9, "noise", dict(return_timestamps=True, max_length=None, max_new_tokens=5)),
    "window": (30, "noise", dict(return_timestamps=True)),
    "window_without_timestamps": (30, "tone", dict(suppress_tokens=list(range(49, 200)))),
    "window_of_any_start": (30, "mixed", dict(return_timestamps=True, max_initial_timestamp_index=None)),
    "window_forced": (30, "tone", dict(return_timestamps=True, forced_decoder_ids=[[1, None], [2, 44], [3, 48]])),
    "long": (45, "noise", dict()),
    "long_tones": (45, "tone", dict(language="<|de|>")),
    "long_beams": (45, "mixed", dict(num_beams=2, length_penalty=0.5)),
    "long_growing": (45, "noise", dict(max_length=6)),
    "three_windows": (75, "noise", dict()),
    "three_windows_of_tones": (75, "tone", dict(task="translate", no_repeat_ngram_size=2)),
    "three_windows_suppressed": (75, "mixed", dict(begin_suppress_tokens=list(range(49, 60)), suppress_tokens=[3, 7, 41, 42, 43, 44, 45, 46, 47])),
    "three_windows_ended": (75, "mixed", dict(repetition_penalty=1.5, max_initial_timestamp_index=3)),
}  # fmt: skip


def heard(kind, seconds, seed):
    """Returns samples of a sound as 16-bit numbers; `tests/generation.rs` computes the same."""
    found, state = [], seed
    for at in range(int(seconds * 16_000)):
        state = (state * 1_103_515_245 + 12_345) % 2**31
        step = at // 8_000
        period = 20 + (37 * step + 11 * seed) % 180
        noise, tone = (state >> 16) % 16_384 - 8_192, 16_000 * (at % period) // period - 8_000
        is_tone = kind == "tone" or kind == "mixed" and step // 6 % 2 == 1
        found.append((tone if is_tone else noise) * ((5 * step * step + seed) % 9) // 8)
    return torch.tensor(found, dtype=torch.int16)


def whisper():
    """Returns a Whisper of 16 values with windows of 300 frames, each a tenth of a second, and 151 timestamps."""
    config = t.WhisperConfig(
        vocab_size=200, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, num_mel_bins=4, max_source_positions=150, max_target_positions=40,
        pad_token_id=40, bos_token_id=40, eos_token_id=40, decoder_start_token_id=41, suppress_tokens=None,
        begin_suppress_tokens=None,
    )  # fmt: skip
    torch.manual_seed(1)
    model = t.WhisperForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and name != "model.encoder.embed_positions.weight":
                parameter.copy_(0.5 * torch.randn(parameter.shape))
    return model


SPEAKING = dict(
    max_length=24, eos_token_id=40, pad_token_id=40, bos_token_id=40, decoder_start_token_id=41, no_timestamps_token_id=48,
    lang_to_id={"<|de|>": 42, "<|en|>": 43}, task_to_id={"translate": 44, "transcribe": 45}, is_multilingual=True,
    max_initial_timestamp_index=20,
)  # fmt: skip


def transcribed(model, features, options):
    model.generation_config = t.GenerationConfig(**options)
    with torch.no_grad():
        found = model.generate(features, return_segments=True)
    segments = found["segments"][0]
    return [[float(part["start"]), float(part["end"]), part["tokens"].tolist()] for part in segments]


def speech():
    """Writes what a tiny Whisper hears in sounds of up to three windows."""
    folder = TESTS / "generation/whisper"
    model = whisper()
    model.generation_config = t.GenerationConfig()
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    extractor = t.WhisperFeatureExtractor(feature_size=4, hop_length=1600)
    extractor.save_pretrained(folder)
    rows = []
    for name, (seconds, kind, own) in SPOKEN.items():
        options = {key: value for key, value in (SPEAKING | own).items() if value is not None}
        for seed in range(50):
            samples = heard(kind, seconds, seed).numpy() / 32768
            most = dict(truncation=False, padding="longest") if seconds > 30 else {}
            features = extractor(samples, sampling_rate=16_000, return_tensors="pt", **most).input_features
            expected = transcribed(whisper(), features, options)
            other, generator = whisper(), torch.Generator().manual_seed(seed)
            with torch.no_grad():
                for parameter in other.parameters():
                    parameter *= 1 + 5e-6 * torch.randn(parameter.shape, generator=generator)
            if len(expected) > 0 and transcribed(other, features + 1e-5, options) == expected:
                break
        else:
            raise SystemExit(f"{name}: rounding decides every sound")
        row = dict(name=name, sound=kind, seconds=seconds, seed=seed, options=options, expected=expected)
        rows.append(json.dumps(row))
        print(name, seed, len(expected), expected[:3], file=sys.stderr)
    (TESTS / "generation/speech.json").write_text("[\n" + ",\n".join(rows) + "\n]\n")


def predictions():
    """Writes the logarithm of the probability of each token of a text: after those before it, in windows of 24 tokens of
    which each but the first gives 12; and for a masked model given all others, in windows of 24 tokens."""
    text = torch.randint(4, 48, (40,), generator=torch.Generator().manual_seed(3)).tolist()
    found = {"tokens": text}
    with torch.no_grad():
        model = t.AutoModelForCausalLM.from_pretrained(FAMILIES / "llama").eval()
        logarithms = []
        for known, start, end in [(1, 0, 24), (24, 12, 36), (36, 24, 40)]:
            scores = model(torch.tensor([text[start:end]])).logits[0].log_softmax(-1)
            logarithms += [scores[at - start - 1, text[at]].item() for at in range(known, end)]
        found["llama"] = logarithms
        model = t.AutoModelForMaskedLM.from_pretrained(FAMILIES / "bert_mlm").eval()
        logarithms = []
        for window in (text[:24], text[24:]):
            for at, token in enumerate(window):
                masked = torch.tensor([window[:at] + [0] + window[at + 1 :]])
                logarithms.append(model(masked).logits[0, at].log_softmax(-1)[token].item())
        found["bert_mlm"] = logarithms
        model = t.AutoModel.from_pretrained(FAMILIES / "bert").eval()
        found["bert"] = model(torch.tensor([text[:24]])).last_hidden_state[0].mean(0).tolist()
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(values)}" for name, values in found.items())
    (TESTS / "generation/predictions.json").write_text(f"{{\n{lines}\n}}\n")


def options():
    """Writes what models generate with each set of options, and the probabilities of drawn tokens."""
    assert len(CASES) == 53
    cases = []
    for name, (folder, rows, options) in CASES.items():
        cases.append(case(name, folder, rows, options))
        print(name, cases[-1]["inputs"], cases[-1]["expected"], file=sys.stderr)
    draws = [draw(name, options) for name, options in DRAWS.items()]
    lines = lambda rows: ",\n".join("  " + json.dumps(row) for row in rows)
    text = f'{{\n "transformers": "{t.__version__}",\n "cases": [\n{lines(cases)}\n ],\n "draws": [\n{lines(draws)}\n ]\n}}\n'
    (TESTS / "generation/reference.json").write_text(text)


def main():
    t.logging.set_verbosity_error()
    t.logging.disable_progress_bar()
    tokenizer()
    options()
    chats()
    expressions()
    sound()
    speech()
    predictions()


if __name__ == "__main__":
    main()
