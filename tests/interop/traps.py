"""Checks traps for the optimizer: models on which a tempting rewrite is wrong must have bitwise equal results.

Each trap is optimized for every target, and raised to a later opset. Original and result must pass the ONNX checker,
have the same interface, and have equal results in ONNX Runtime without its own optimizations (in ONNX's reference
evaluator if ONNX Runtime refuses the original): types, shapes and bytes, including the sign of zero; all NaN are equal.
A model that fails when it runs must still fail. The result may be larger only within a small bound.

    python tests/interop/traps.py target/release/netwright [--list] [NAME ...]
"""

import argparse
import collections
import os
import pathlib
import pickle
import re
import resource
import signal
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from judge import session
from trap import arithmetic, control, folding, identities, interface, layout, merging, opsets, shapes

FAMILIES = [folding, arithmetic, merging, identities, shapes, layout, control, interface, opsets]
TARGETS = {
    "onnx": ["--target", "onnx"],
    "ort": ["--target", "ort"],
    "tract": ["--target", "tract"],
    "raised": ["--target", "onnx", "--opset", "24"],
}
SECONDS = 60
# What a model may gain: the producer's name, type annotations, a node or two.
GROWTH_BYTES, GROWTH_FACTOR = 1024, 1.1


class Failed(Exception):
    """Why a trap failed: the kind of failure, and details."""


def load(path, engine):
    if engine == "reference":
        return ReferenceEvaluator(str(path)).run
    return session(path).run


def child(path, engine, feeds, pipe):
    """Sends `None`, or why the model does not load; then (true, outputs) or (false, error) for each feed."""

    def send(message):
        pickle.dump(message, pipe)
        pipe.flush()

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(SECONDS)
    try:
        run = load(path, engine)
    except Exception as error:
        send(str(error))
        return
    send(None)
    for feed in feeds:
        try:
            outcome = True, run(None, feed)
        except Exception as error:
            outcome = False, str(error)
        send(outcome)


def outcomes(path, engine, feeds):
    """Runs the model for each feed in a separate process, since an integer division by zero kills it."""
    found = []
    while True:
        ours, theirs = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(ours)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            with os.fdopen(theirs, "wb") as pipe:
                child(str(path), engine, feeds[len(found) :], pipe)
            os._exit(0)
        os.close(theirs)
        with os.fdopen(ours, "rb") as pipe:
            try:
                refused = pickle.load(pipe)
                if refused is not None:
                    found = [(False, refused)] * len(feeds)
                while refused is None:
                    found.append(pickle.load(pipe))
            except EOFError:
                pass
        _, status = os.waitpid(process, 0)
        if status != 0:
            found.append((False, f"killed by signal {os.WTERMSIG(status)}"))
        if len(found) >= len(feeds):
            return found


def differs(found, expected):
    """Returns how two results differ, or `None`."""
    if isinstance(expected, (list, tuple)) and isinstance(found, (list, tuple)):
        if len(found) != len(expected):
            return f"{len(found)} elements, not {len(expected)}"
        return next(filter(None, map(differs, found, expected)), None)
    if found is None or expected is None:
        return None if found is expected else f"{found}, not {expected}"
    found, expected = np.asarray(found), np.asarray(expected)
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return f"{found.dtype}{list(found.shape)}, not {expected.dtype}{list(expected.shape)}"
    if expected.dtype.kind not in "biuf":
        same = found == expected
    else:
        bits = f"u{expected.dtype.itemsize}"
        same = np.ascontiguousarray(found).view(bits) == np.ascontiguousarray(expected).view(bits)
        if expected.dtype.kind == "f":
            same |= np.isnan(found) & np.isnan(expected)
    if np.all(same):
        return None
    at = tuple(map(int, np.argwhere(~np.asarray(same))[0])) if expected.ndim else ()
    return f"{found[at]!r} at {list(at)}, not {expected[at]!r}"


def interface_of(model):
    """Returns the interface: inputs, outputs with their types, and overridable initializers."""
    overridable = {weight.name for weight in model.graph.initializer} & {value.name for value in model.graph.input}
    inputs = [(value.name, value.type.SerializeToString(deterministic=True)) for value in model.graph.input]
    return inputs, [value.name for value in model.graph.output], overridable


def check_outputs(before, after):
    """Declared types must not change; only an undeclared dim or shape may be declared."""
    for old, new in zip(before.graph.output, after.graph.output, strict=True):
        old, new = old.type, new.type
        if not old.HasField("tensor_type"):
            if old != new:
                raise Failed("interface", f"output type {new}, not {old}")
            continue
        old, new = old.tensor_type, new.tensor_type
        dims = list(zip(old.shape.dim, new.shape.dim, strict=False))
        same = old.elem_type == new.elem_type and (
            not old.HasField("shape")
            or len(old.shape.dim) == len(new.shape.dim)
            and all(a.WhichOneof("value") is None or a == b for a, b in dims)
        )
        if not same:
            text = [onnx.helper.printable_type(onnx.TypeProto(tensor_type=t)) for t in (new, old)]
            raise Failed("interface", f"output {text[0]}, not {text[1]}")


def operators(graph, found=None):
    """Counts each operator in a graph and its subgraphs."""
    found = collections.Counter() if found is None else found
    for node in graph.node:
        found[node.op_type] += 1
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                operators(inner, found)
    return found


def optimize(netwright, source, *flags):
    output = source.with_name("optimized.onnx")
    output.unlink(missing_ok=True)
    command = [netwright, "-q", "optimize", source, "-o", output, *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode < 0 or "panicked" in done.stderr:
        raise Failed("crash", f"exit {done.returncode}: {done.stderr.strip()}")
    if done.returncode != 0:
        raise Failed("refused", done.stderr.strip())
    return output


def judge(trap, source, expected, engine, flags, output):
    after = onnx.load(output)
    try:
        onnx.checker.check_model(after, full_check=True)
    except Exception as error:
        raise Failed("checker", str(error)) from error
    before = trap.model
    if interface_of(before) != interface_of(after):
        raise Failed("interface", f"{interface_of(after)}, not {interface_of(before)}")
    check_outputs(before, after)
    old, new = operators(before.graph), operators(after.graph)
    for operator in trap.keeps:
        if new[operator] != old[operator]:
            raise Failed("kept", f"{new[operator]} {operator}, not {old[operator]}")
    sizes = [path.stat().st_size for path in (source, output)]
    may_grow = trap.copied_for_tract and "tract" in flags
    if sizes[1] > sizes[0] * GROWTH_FACTOR + GROWTH_BYTES and not may_grow:
        raise Failed("growth", f"{sizes[1]} bytes from {sizes[0]}")
    for feed, (ran, wanted), (runs, got) in zip(
        trap.feeds, expected, outcomes(output, engine, trap.feeds), strict=True
    ):
        where = ", ".join(
            f"{name} {value.dtype}{list(value.shape)}" for name, value in feed.items() if hasattr(value, "dtype")
        )
        if not ran and runs and not trap.mends:
            raise Failed("error lost", f"returns {got}, but the original fails with: {wanted}; for {where}")
        if ran and not runs:
            # ONNX Runtime has no kernel of this version, which is not the fault of the model.
            if "--opset" in flags and "NOT_IMPLEMENTED" in got:
                continue
            raise Failed("error", f"fails where the original does not: {got}; for {where}")
        if ran and (difference := differs(got, wanted)):
            raise Failed("result", f"{difference}; for {where}")


def blame(netwright, trap, source, expected, engine, flags):
    """Returns the first rewrite after which the trap fails."""
    for count in range(50):
        try:
            judge(trap, source, expected, engine, flags, optimize(netwright, source, *flags, "--stop-after", str(count)))
        except Failed:
            return f" [--stop-after {count}]"
    return ""


def failures(netwright, trap, folder):
    """Returns the name and the reason for each target that fails."""
    source = folder / "trap.onnx"
    onnx.save(trap.model, source)
    onnx.checker.check_model(trap.model, full_check=True)
    engine = "ort"
    expected = outcomes(source, engine, trap.feeds)
    if any("NOT_IMPLEMENTED" in why for ran, why in expected if not ran):
        engine = "reference"
        expected = outcomes(source, engine, trap.feeds)
    found = {}
    for target, flags in TARGETS.items():
        try:
            judge(trap, source, expected, engine, flags, optimize(netwright, source, *flags))
        except Failed as failed:
            kind, why = failed.args
            # A model that always fails may be refused.
            if kind == "refused" and not any(ran for ran, _ in expected):
                continue
            # Some operators change their meaning in a later opset.
            if kind == "refused" and target == "raised" and re.search(r"\b24\b", why):
                continue
            if kind not in ("refused", "crash"):
                why += blame(netwright, trap, source, expected, engine, flags)
            found[target] = kind, why.replace(str(folder), "").replace("\n", " ")
    return engine, expected, found


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("netwright")
    arguments.add_argument("names", nargs="*", help="the traps to run; all where none is named")
    arguments.add_argument("--list", action="store_true", help="list the runtime and the number of inputs of each trap")
    chosen = arguments.parse_args()
    traps = [trap for family in FAMILIES for trap in family.TRAPS]
    names = [trap.name for trap in traps]
    assert len(set(names)) == len(names), f"named twice: {[n for n, c in collections.Counter(names).items() if c > 1]}"
    if unknown := set(chosen.names) - set(names):
        sys.exit(f"no such trap: {', '.join(sorted(unknown))}")
    traps = [trap for trap in traps if not chosen.names or trap.name in chosen.names]
    by_kind, failed = collections.defaultdict(list), 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder).resolve()
        for trap in traps:
            try:
                engine, expected, found = failures(chosen.netwright, trap, folder)
            except Exception as error:
                # A trap that is not a valid model proves nothing.
                engine, expected, found = "none", [], {"trap": ("trap", re.sub(r"\s+", " ", str(error)))}
            if chosen.list:
                runs = sum(ran for ran, _ in expected)
                print(f"{trap.name}: {engine}, {runs} of {len(trap.feeds)} run: {trap.why}", flush=True)
            failed += bool(found)
            targets = collections.defaultdict(list)
            for target, why in found.items():
                targets[why].append(target)
            for (kind, why), which in targets.items():
                by_kind[kind].append((why, trap, which))
    for kind, entries in sorted(by_kind.items()):
        for why, trap, which in sorted(entries, key=lambda entry: entry[0]):
            print(f"FAILED {kind}: {trap.name} ({', '.join(which)}): {why[:600]}\n    {trap.why}")
    print(f"traps: {len(traps) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
