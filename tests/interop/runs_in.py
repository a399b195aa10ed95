"""Compares what `netwright inspect` says about ONNX Runtime with what happens when the model is loaded.

Usage: runs_in.py NETWRIGHT

Every model of the fixtures, as it is and optimized for each target, is inspected and loaded, with and without the
runtime's optimizations. What `inspect` says is wrong if it says that a model runs which does not load, or the reverse. If
`inspect` or `optimize` fails, that counts as wrong too.
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


def claim(netwright, path):
    """Returns why ONNX Runtime cannot run a model, as `inspect` says; an empty text if it can, `None` if it fails."""
    inspected = judge.netwright(netwright, "inspect", path, "--json")
    if inspected.code != 0:
        return None
    [runs_in] = [entry for entry in json.loads(inspected.stdout)["runtimes"] if entry["runtime"].startswith("ONNX Runtime")]
    assert runs_in["runs"] == (not runs_in["reasons"]), runs_in
    return "; ".join(runs_in["reasons"])


def refusal(path):
    """Returns why ONNX Runtime does not load a model; an empty text if it does."""
    for level in (judge.PLAIN, judge.OPTIMIZED):
        try:
            judge.session(str(path), level)
        except Exception as error:  # noqa: BLE001, the runtime has many kinds
            return str(error).splitlines()[0]
    return ""


def compare(netwright, path, name):
    """Returns a line if the claim about a model is wrong."""
    claimed = claim(netwright, path)
    if claimed is None:
        return f"{name}: inspect fails"
    refused = refusal(path)
    if bool(claimed) == bool(refused) or name in KNOWN:
        return None
    return f"{name}: inspect says {claimed or 'yes'}; ONNX Runtime says {refused or 'yes'}"


def judged(netwright, model, folder):
    """Returns the wrong claims about a model and its optimized forms, and the number of claims."""
    name = f"{model.parent.name}/{model.name}"
    lines, count = [compare(netwright, model, name)], 1
    for target in TARGETS:
        optimized = folder / f"{model.parent.name}.{model.stem}.{target}.onnx"
        count += 1
        done = judge.netwright(netwright, "-q", "optimize", model, "-o", optimized, "--target", target)
        if done.code == 0:
            lines.append(compare(netwright, optimized, f"{name} for {target}"))
        else:
            lines.append(f"{name} for {target}: optimize fails: {done.stderr.strip()}")
    return [line for line in lines if line], count


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
