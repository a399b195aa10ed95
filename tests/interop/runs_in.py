"""Compares what `netwright inspect` says about ONNX Runtime and tract with what happens when the model is used.

Usage: runs_in.py NETWRIGHT

Every model of the fixtures, as it is and optimized for each target, is inspected and loaded, with and without the
runtime's optimizations. What `inspect` says of ONNX Runtime is wrong if it says that a model runs which does not load, or
the reverse. What it says of tract is wrong if it says that a model runs which `verify` cannot verify there; the reverse
means that tract computes something else, which loading does not show. If `inspect` or `optimize` fails, that counts as
wrong too.
"""

import concurrent.futures
import json
import pathlib
import sys
import tempfile

import judge

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FOLDERS = ["tests/interop/models", "tests/interop/user_models", "tests/interop/narrow_models", "fuzz/found"]
TARGETS = ["onnx", "tract", "ort"]
# What only loading tells: the rank that the body of a Scan declares, and the operators of a function of the runtime's own.
KNOWN = {"found/size_in_a_body_is_unknown.onnx", "found/hard_swish_of_f64.onnx for tract"}

# The models that tract refuses in each form, with what only loading tells.
KNOWN_IN_TRACT = {
    # Declared sizes are wrong; tract believes them.
    "user_models/constant_declared_scalar.onnx",
    "user_models/stale_vinfo.onnx",
    "user_models/value_info_lie.onnx",
    # The sizes that are tried do not fit together: an input has a size that no name shows.
    "user_models/mha_past_mask.onnx",
    "found/f16_least_number_added_to_all_scores.onnx",
    "found/f16_numbers_added_up_before_the_scores.onnx",
    "found/minimum_that_cannot_be_declared.onnx",
    "found/shape_of_one_axis_is_a_slice_at_an_old_opset.onnx",
    # The bodies of an If or Scan have other sizes than tract infers.
    "found/attention_in_one_branch.onnx",
    "found/attention_is_decomposed_beside_one_that_is_formed.onnx",
    "found/identity_ends_a_body.onnx",
    "found/types_of_a_body_that_turn_out_to_be_known.onnx",
    "found/size_in_a_body_is_unknown.onnx",
    # The positions of a RotaryEmbedding are computed from sizes, which are not i64 in tract.
    "user_models/w_genai_gqa.onnx",
}


def claims(netwright, path):
    """Returns why tract and ONNX Runtime cannot run a model, as `inspect` says; an empty text for one that can. Returns
    `None` if `inspect` fails."""
    inspected = judge.netwright(netwright, "inspect", path, "--json")
    if inspected.code != 0:
        return None
    tract, onnx_runtime = json.loads(inspected.stdout)["runtimes"]
    assert tract["runtime"] == "tract" and onnx_runtime["runtime"].startswith("ONNX Runtime")
    assert all(entry["runs"] == (not entry["reasons"]) for entry in (tract, onnx_runtime))
    return "; ".join(tract["reasons"]), "; ".join(onnx_runtime["reasons"])


def refusal(path):
    """Returns why ONNX Runtime does not load a model; an empty text if it does."""
    for level in (judge.PLAIN, judge.OPTIMIZED):
        try:
            judge.session(str(path), level)
        except Exception as error:  # noqa: BLE001, the runtime has many kinds
            return str(error).splitlines()[0]
    return ""


def tract_refusal(netwright, path):
    """Returns why `verify` cannot verify a model in tract; an empty text if it can."""
    verified = judge.netwright(netwright, "verify", path, "--runtime", "tract", "--json")
    if verified.code in (0, 1):
        return ""
    # The first line names the model, and the second the reason.
    return verified.crash or " ".join(verified.stderr.split("\n")[1:2]).strip()


def compare(netwright, path, name):
    """Returns a line for each wrong claim about a model."""
    claimed = claims(netwright, path)
    if claimed is None:
        return [f"{name}: inspect fails"]
    tract, onnx_runtime = claimed
    lines, refused = [], refusal(path)
    if bool(onnx_runtime) != bool(refused) and name not in KNOWN:
        lines.append(f"{name}: inspect says {onnx_runtime or 'yes'}; ONNX Runtime says {refused or 'yes'}")
    if not tract and (refused := tract_refusal(netwright, path)) and name.split(" for ")[0] not in KNOWN_IN_TRACT:
        lines.append(f"{name}: inspect says that it runs in tract; verify says {refused}")
    return lines


def judged(netwright, model, folder):
    """Returns the wrong claims about a model and its optimized forms, and the number of claims."""
    name = f"{model.parent.name}/{model.name}"
    lines, count = compare(netwright, model, name), 2
    for target in TARGETS:
        optimized = folder / f"{model.parent.name}.{model.stem}.{target}.onnx"
        count += 2
        done = judge.netwright(netwright, "-q", "optimize", model, "-o", optimized, "--target", target)
        if done.code == 0:
            lines += compare(netwright, optimized, f"{name} for {target}")
        else:
            lines.append(f"{name} for {target}: optimize fails: {done.stderr.strip()}")
    return lines, count


def main():
    netwright = sys.argv[1]
    models = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.onnx"))]
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda model: judged(netwright, model, pathlib.Path(folder)), models))
    wrong = [line for lines, _ in results for line in lines]
    print("\n".join(wrong))
    print(f"runs in: {sum(count for _, count in results)} claims, {len(wrong)} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
