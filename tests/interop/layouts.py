"""Checks the folders that `build --for` writes, with ONNX Runtime.

`decoder_model_merged.onnx` must equal the two decoders that it joins, in the first pass and in two steps, and be no
larger than both; so must the branches into which `optimize --split-branches` cuts it, which share its external data;
each variant must load with the inputs and outputs of the first, in f32 but for the KV cache.
"""

import argparse
import json
import pathlib
import shutil
import sys
import tempfile

import judge
import numpy as np
import onnx

FAMILIES = pathlib.Path(__file__).parents[1] / "families"
ENCODER_DECODERS = ["bart", "blenderbot", "longt5", "m2m_100", "marian", "mbart", "mt5", "pegasus", "t5", "umt5", "whisper"]
WAYS = [[], ["--target", "ort"], ["--dtype", "f16"], ["--target", "ort", "--quantize", "int8"]]
VARIANTS = ["", "_fp16", "_quantized", "_int8", "_uint8", "_q4", "_q4f16"]
TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}
BATCH, SOURCE = 2, 7
VOCABULARY = 1024
# The names of the tensors with a row for each token.
TABLES = ("word_embeddings.weight", "embed_tokens.weight", "shared.weight", "lm_head.weight", "proj_out.weight")


def build(program, folder, output, *flags):
    outcome = judge.netwright(program, "-q", "build", folder, "-o", output, *flags)
    assert outcome.code == 0, outcome.crash or outcome.message


def feeds_of(session, given):
    """Returns an array for each input: a given one, or an empty past."""
    feeds = {}
    for port in session.get_inputs():
        if port.name in given:
            feeds[port.name] = given[port.name]
        else:
            shape = [BATCH if isinstance(port.shape[0], str) else port.shape[0], port.shape[1], 0, port.shape[3]]
            feeds[port.name] = np.zeros(shape, TYPES[port.type])
    return feeds


def run(session, given):
    names = [port.name for port in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds_of(session, given)), strict=True))


def past_of(outputs):
    return {name.replace("present", "past_key_values"): array for name, array in outputs.items() if name != "logits"}


def split(program, merged, output):
    """Returns the two branches of a merged decoder, which share one file of weights."""
    outside, branches = output / "outside.onnx", output / "branches"
    for flags in (["externalize", merged, "-o", outside], ["optimize", outside, "--split-branches", "-o", branches, "--passes", "none"]):
        outcome = judge.netwright(program, "-q", *flags)
        assert outcome.code == 0, outcome.crash or outcome.message
    files = sorted(path.name for path in branches.iterdir())
    assert files == ["decoder_model.onnx", "decoder_with_past_model.onnx", "outside.onnx.data"], files
    return [branches / name for name in files[:2]]


def judge_merged(program, folder, output, flags):
    """Returns the largest difference of the merged decoder from those that it joins."""
    build(program, folder, output / "parts", "--with-past", *flags)
    build(program, folder, output / "merged", "--with-past", "--kv-cache", "merged", *flags)
    path = output / "merged" / "decoder_model_merged.onnx"
    parts = [output / "parts" / f"{name}.onnx" for name in ["decoder_model", "decoder_with_past_model"]]
    assert judge.invalid(path, False) is None, judge.invalid(path, False)
    graph = onnx.load(path).graph
    branches = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    assert len(branches) == 2, f"{len(branches)} branches"
    for labels in ([node.name for node in each.node] for each in [graph, *branches]):
        assert all(labels) and len(set(labels)) == len(labels), "nodes without a name of their own"
    assert path.stat().st_size < sum(part.stat().st_size for part in parts), "weights are stored twice"
    first, step = (judge.session(str(part)) for part in parts)
    merged = judge.session(str(path))
    branches = [judge.session(str(branch)) for branch in split(program, path, output)]
    states = next(port for port in first.get_inputs() if port.name == "encoder_hidden_states")
    random = np.random.default_rng(0)
    source = SOURCE if isinstance(states.shape[1], str) else states.shape[1]
    mask = np.ones((BATCH, source), np.int64)
    mask[0, -2:] = 0
    shared = {
        "encoder_hidden_states": random.standard_normal((BATCH, source, states.shape[2])).astype(TYPES[states.type]),
        "encoder_attention_mask": mask,
    }
    worst, past = 0.0, {}
    for at, length in enumerate([3, 1, 1]):
        given = shared | past | {"input_ids": random.integers(3, 40, (BATCH, length))}
        expected = run(step if at else first, given)
        found = run(merged, given | {"use_cache_branch": np.array([at > 0])})
        split_found = run(branches[at > 0], given)
        assert all(judge.equal_bits(split_found[name], found[name]) for name in found), "a branch differs"
        kept = {name: array for name, array in past_of(expected).items()}
        past = past | kept
        whole = expected | {name.replace("past_key_values", "present"): array for name, array in past.items()}
        assert found.keys() == whole.keys(), f"outputs {sorted(found.keys() ^ whole.keys())}"
        worst = max(worst, *(judge.largest_difference(found[name], whole[name]) for name in whole))
    return worst


def with_large_vocabulary(folder, to):
    """Copies a folder with a vocabulary whose table is large enough to be quantized."""
    shutil.copytree(folder, to)
    config = json.loads((folder / "config.json").read_text())
    few, many = config["vocab_size"], VOCABULARY
    (to / "config.json").write_text(json.dumps(config | {"vocab_size": many}))
    data = (folder / "model.safetensors").read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header, body = {}, b""
    for name, tensor in json.loads(data[8:start]).items():
        if name == "__metadata__":
            continue
        low, high = tensor["data_offsets"]
        own = data[start + low : start + high]
        if name.endswith(TABLES) and tensor["shape"][0] == few:
            tensor["shape"][0] = many
            own = (own * (many // few + 1))[: len(own) // few * many]
        header[name] = tensor | {"data_offsets": [len(body), len(body) + len(own)]}
        body += own
    header = json.dumps(header).encode()
    (to / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + body)
    return to


def judge_variants(program, folder, output):
    """Checks names, interfaces and files of a folder for transformers.js."""
    folder = with_large_vocabulary(folder, output / "source")
    output = output / "built"
    build(program, folder, output, "--for", "transformers.js", "--variants", "all")
    models = sorted(path.name for path in (output / "onnx").iterdir())
    stems = ["encoder_model", "decoder_model_merged"] if "encoder_model.onnx" in models else ["model"]
    assert models == sorted(f"{stem}{suffix}.onnx" for stem in stems for suffix in VARIANTS), models
    config = json.loads((output / "config.json").read_text())
    assert config["transformers.js_config"]["kv_cache_dtype"] == {"fp16": "float16", "q4f16": "float16"}
    for stem in stems:
        wanted = None
        for suffix in VARIANTS:
            session = judge.session(str(output / "onnx" / f"{stem}{suffix}.onnx"), judge.OPTIMIZED)
            ports = [*session.get_inputs(), *session.get_outputs()]
            half = {port.name for port in ports if port.type == "tensor(float16)"}
            cache = {port.name for port in ports if port.name.startswith(("past", "present"))}
            assert half == (cache if suffix.endswith("f16") or suffix == "_fp16" else set()), f"{suffix}: {half ^ cache}"
            names = [port.name for port in ports]
            wanted = wanted or names
            assert names == wanted, f"{stem}{suffix}: {names}, not {wanted}"


def judge_sentences(program, folder, output):
    build(program, folder, output, "--for", "sentence-transformers")
    modules = json.loads((output / "modules.json").read_text())
    assert modules == json.loads((folder / "modules.json").read_text())
    for module in modules:
        assert (output / module["path"] / "config.json").is_file() or module["type"].endswith("Normalize"), module
    place = next(module["path"] for module in modules if module["type"].endswith(".Transformer"))
    session = judge.session(str(output / place / "onnx" / "model.onnx"))
    assert session.get_outputs()[0].name == "last_hidden_state"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("netwright", help="the program")
    program = parser.parse_args().netwright
    cases = [
        (f"{name} {' '.join(flags)}", judge_merged, FAMILIES / name, flags) for name in ENCODER_DECODERS for flags in WAYS
    ]
    cases += [(f"{name} variants", judge_variants, FAMILIES / name, None) for name in ["bert", "llama", "t5"]]
    cases += [("minilm modules", judge_sentences, FAMILIES / "minilm", None)]
    failures = 0
    for name, check, source, flags in cases:
        with tempfile.TemporaryDirectory() as folder:
            try:
                worst = check(program, source, pathlib.Path(folder), *([flags] if flags is not None else []))
                # The same kernels compute both.
                assert not worst, f"differs by {worst:.1e}"
            except Exception as error:
                failures += 1
                print(f"FAILED {name}: {judge.first_line(error)}")
    print(f"layouts: {len(cases)} cases, {failures} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
