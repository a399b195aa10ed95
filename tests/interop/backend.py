"""Runs the ONNX backend node tests, as the `onnx` package generates them, through netwright.

For each test, with the test's own inputs:

- `check` accepts the model; `optimize --passes none` preserves its interface, validity and results, and a second run
  gives the same bytes;
- `optimize` preserves the interface, validity and results too.

Results must be bitwise equal in one runtime: ONNX Runtime without its own optimizations, or else the reference
evaluator. Fused and decomposed operators have a tolerance, because their kernels add in another order. For random
operators, only types and shapes are compared.

A test is understood if no operator is unknown and the inferred type of each output is the declared one, with all
declared types removed except those of the inputs. Many tests have an input where models have a constant (the shape of
a Reshape, the axes of a reduction); where the sizes depend on it, it is made a constant, and counted separately.
"""

import argparse
import collections
import json
import multiprocessing
import os
import pathlib
import re
import sys
import tempfile
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import judge
import numpy as np
import onnx
from onnx import numpy_helper

TESTS = 1884
# The least number of tests that must be understood; 1,696 are 90 %.
UNDERSTOOD = 1792

RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
# Composite operators, and the tolerance between their kernels and their parts, relative to values over 1.
FUSED = {"Attention", "LayerNormalization", "RMSNormalization", "RotaryEmbedding"}
FUSED_TOLERANCE = 1e-6
# Two units in the last place of f16.
HALF_TOLERANCE = 2**-9
# Larger inputs are data, not shapes.
MOST_ELEMENTS = 64


@dataclass
class Finding:
    """The result of one test."""

    test: str
    # The failures, by kind.
    failures: dict[str, str] = field(default_factory=dict)
    # Why a failure is accepted: the original is invalid too.
    excused: str | None = None
    runtime: str | None = None
    unjudged: str | None = None
    # The difference in ONNX Runtime, if the results are equal in the reference evaluator.
    rounded: str | None = None
    random: bool = False
    understood: str | None = None
    misunderstood: str | None = None


def values(protos, test_values):
    """Returns the values of a test in the form that runtimes accept, by name."""
    return {proto.name: plain(value) for proto, value in zip(protos, test_values, strict=True)}


def plain(value):
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, np.generic):
        return np.asarray(value)
    return value


def draws(model, feeds):
    """Returns whether the results are random."""
    constants = feeds | {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}

    def random(node):
        training = node.op_type == "Dropout" and len(node.input) > 2 and constants.get(node.input[2], True)
        return node.op_type in RANDOM or bool(training)

    return any(random(node) for node in judge.nodes(model.graph))


def half_precision(model):
    """Returns whether an input has half precision."""
    return any(value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16 for value in model.graph.input)


def run_original(path, feeds, finding):
    """Returns the results of the original; None if no runtime can run it."""
    reasons = []
    for name, runtime in judge.RUNTIMES.items():
        try:
            results = runtime(path, feeds)
        except Exception as error:
            reasons.append(f"{name}: {judge.first_line(error)}")
        else:
            finding.runtime = name
            return results
    finding.unjudged = "; ".join(reasons)
    return None


def judge_rewritten(kind, path, original, results, feeds, finding):
    """Checks that a file that netwright wrote is as valid as the original, and has the same interface and results."""
    rewritten = onnx.load(path)
    if message := judge.interface_change(rewritten.graph, original.model.graph):
        finding.failures[f"{kind}: interface changed"] = message
    if not original.invalid and (message := judge.invalid(path, original.full)):
        finding.failures[f"{kind}: no longer valid"] = message
    if results is None:
        return
    try:
        found = judge.RUNTIMES[finding.runtime](path, feeds)
    except Exception as error:
        finding.failures[f"{kind}: no longer runs"] = judge.first_line(error).replace(f"{path.parent}/", "")
        return
    fused = lambda model: FUSED & {node.op_type for node in judge.nodes(model.graph)}
    tolerance = FUSED_TOLERANCE if fused(rewritten) != fused(original.model) else 0.0
    message = judge.difference(found, results, not finding.random, tolerance)
    if message and finding.runtime == "ONNX Runtime" and half_precision(original.model):
        # Its CPU kernels compute these in single precision and round only at casts, so removing a cast without effect
        # changes the results. The reference evaluator rounds after every operator.
        reference = judge.RUNTIMES["the reference evaluator"]
        expected = reference(path.parent / "original.onnx", feeds)
        finding.rounded = f"{kind}: {message}"
        # Attention whose scores are masked is computed in f32 and rounded once, where the model rounds every operator.
        tolerance = HALF_TOLERANCE if tolerance else 0.0
        message = judge.difference(reference(path, feeds), expected, not finding.random, tolerance)
    if message:
        finding.failures[f"{kind}: results changed"] = message


@dataclass
class Original:
    """The model of a test, and whether the ONNX checker accepts it."""

    model: onnx.ModelProto
    full: bool
    invalid: str | None


def judge_test(program, test, model, test_inputs):
    finding = Finding(test)
    feeds = values(model.graph.input, test_inputs)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        path = folder / "original.onnx"
        onnx.save(model, path)
        full = judge.invalid(path) is None
        original = Original(model, full, None if full else judge.invalid(path, full=False))
        finding.random = draws(model, feeds)
        results = run_original(path, feeds, finding)

        def run(kind, *arguments):
            outcome = judge.netwright(program, "-q", *arguments, folder=folder)
            if outcome.crash:
                finding.failures[f"{kind}: crashed"] = outcome.crash
            elif outcome.code and original.invalid:
                finding.excused = f"{outcome.message} (the ONNX checker: {original.invalid})"
            elif outcome.code:
                finding.failures[f"{kind}: rejected"] = outcome.message
            return outcome.code == 0

        run("check", "check", "original.onnx")
        if run("write back", "optimize", "--passes", "none", "original.onnx", "-o", "once.onnx"):
            once, twice = folder / "once.onnx", folder / "twice.onnx"
            judge_rewritten("write back", once, original, results, feeds, finding)
            if run("write back again", "optimize", "--passes", "none", "once.onnx", "-o", "twice.onnx"):
                if once.read_bytes() != twice.read_bytes():
                    finding.failures["write back again: other bytes"] = "the second time differs from the first"
            if run("optimize", "optimize", "original.onnx", "-o", "optimized.onnx"):
                judge_rewritten("optimize", folder / "optimized.onnx", original, results, feeds, finding)
        understand(program, original, feeds, folder, finding)
    return finding


def understand(program, original, feeds, folder, finding):
    finding.misunderstood = misunderstood(program, original.model, folder, finding)
    if finding.misunderstood is None:
        finding.understood = "as it comes"
        return
    frozen = freeze(original.model, feeds)
    if frozen and misunderstood(program, frozen, folder, finding) is None:
        finding.understood, finding.misunderstood = "with inputs as constants", None


def freeze(model, feeds):
    """Returns the model with its small inputs of rank 0 and 1 as constants; None if it has none."""
    small = {
        name: value
        for name, value in feeds.items()
        if isinstance(value, np.ndarray) and value.ndim < 2 and value.size <= MOST_ELEMENTS and value.dtype.kind not in "OUST"
    }
    if not small:
        return None
    frozen = onnx.ModelProto()
    frozen.CopyFrom(model)
    frozen.ir_version = max(model.ir_version, 4)
    inputs = [port for port in frozen.graph.input if port.name not in small]
    del frozen.graph.input[:]
    frozen.graph.input.extend(inputs)
    frozen.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in small.items())
    return frozen


def misunderstood(program, model, folder, finding):
    """Returns what netwright does not understand of a model without declared output types, or None."""
    undeclared = onnx.ModelProto()
    undeclared.CopyFrom(model)
    del undeclared.graph.value_info[:]
    for output in undeclared.graph.output:
        output.ClearField("type")
    onnx.save(undeclared, folder / "undeclared.onnx")
    outcome = judge.netwright(program, "inspect", "--json", "undeclared.onnx", folder=folder)
    if outcome.crash:
        finding.failures["inspect: crashed"] = outcome.crash
    if outcome.code != 0:
        return f"rejected: {outcome.message}"
    contents = json.loads(outcome.stdout)
    if contents["kept"]:
        return f"kept: {', '.join(contents['kept'])}"
    for output, found in zip(model.graph.output, contents["outputs"], strict=True):
        pattern, declared = judge.type_pattern(output.type)
        if not re.fullmatch(pattern, found["type"]):
            return f"inferred: {'/'.join(contents['operators'])}: {found['type']}, not {declared}"
    return None


def kind_of(message):
    """Returns a message without the parts that differ between tests."""
    message = re.sub(r"\[[^\]]*\]", "[…]", message)
    message = re.sub(r"%\S+", "%…", message)
    message = re.sub(r"`[^`]*`|'[^']*'|\"[^\"]*\"", "…", message)
    return re.sub(r"-?\d+(\.\d+)?(e[-+]?\d+)?", "N", message)


def grouped(title, pairs, listed=3):
    """Prints messages by frequency, each with some of its tests."""
    groups = collections.defaultdict(list)
    for test, message in pairs:
        groups[kind_of(message)].append((test, message))
    if not groups:
        return
    print(f"\n{title}: {sum(map(len, groups.values())):,}")
    for _, found in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        tests = [test for test, _ in found]
        more = f" and {len(tests) - listed} more" if len(tests) > listed else ""
        print(f"{len(found):6,}  {found[0][1]}\n        {', '.join(tests[:listed])}{more}")


def report(findings):
    """Prints the findings; returns whether all tests passed, and the number of understood ones."""
    count = lambda which: sum(map(bool, map(which, findings)))
    failed = count(lambda finding: finding.failures)
    kinds = collections.Counter(kind for finding in findings for kind in finding.failures)
    understood = collections.Counter(finding.understood for finding in findings if finding.understood)
    crashed = count(lambda finding: any(kind.endswith("crashed") for kind in finding.failures))
    changed = count(lambda finding: any(kind.endswith(("changed", "no longer runs")) for kind in finding.failures))
    rejected = count(lambda finding: any(kind.endswith("rejected") for kind in finding.failures))

    for kind in sorted(kinds):
        grouped(kind, [(finding.test, finding.failures[kind]) for finding in findings if kind in finding.failures])
    missed = [(finding.test, finding.misunderstood) for finding in findings if finding.misunderstood]
    grouped("not understood", missed)
    grouped("not judged", [(finding.test, finding.unjudged) for finding in findings if finding.unjudged], TESTS)
    excused = [(finding.test, finding.excused) for finding in findings if finding.excused]
    grouped("rejected, and invalid for the ONNX checker too", excused, TESTS)
    rounded = [(finding.test, finding.rounded) for finding in findings if finding.rounded]
    grouped("half precision, judged by the reference evaluator since casts round in ONNX Runtime", rounded, TESTS)
    drawn = [(finding.test, "random: judged by types and shapes") for finding in findings if finding.random]
    grouped("judged by types and shapes alone", drawn, TESTS)

    print(f"\n{len(findings):,} node tests of onnx {onnx.__version__}")
    for name in judge.RUNTIMES:
        print(f"  {count(lambda finding: finding.runtime == name):,} ran in {name}")
    print(f"  {count(lambda finding: finding.unjudged):,} not judged, {len(excused):,} invalid, {len(drawn):,} random")
    print(f"  {len(rounded):,} of half precision differ in ONNX Runtime")
    total = understood.total()
    print(f"  {total:,} understood ({total / len(findings):.1%}): {', '.join(f'{n:,} {how}' for how, n in understood.items())}")
    print(f"  {rejected:,} rejected, {changed:,} changed, {crashed:,} crashed")
    print(f"{len(findings) - failed} passed, {failed} failed")
    return failed == 0, total


def collect():
    """Returns the name, model and inputs of every test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        tests = collect_testcases(None)
    return [(test.name, test.model, inputs) for test in tests for inputs, _ in test.data_sets]


def judge_numbered(program, at):
    return judge_test(program, *CASES[at])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("netwright", help="the program")
    parser.add_argument("--only", default="", help="a pattern of the names of the tests to run")
    args = parser.parse_args()
    global CASES
    CASES = collect()
    if len(CASES) != TESTS:
        sys.exit(f"onnx {onnx.__version__} has {len(CASES):,} node tests, not {TESTS:,}")
    CASES = [case for case in CASES if re.search(args.only, case[0])]
    # Forked workers inherit the tests.
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("fork")) as pool:
        numbers = range(len(CASES))
        findings = list(pool.map(judge_numbered, [args.netwright] * len(CASES), numbers, chunksize=16))
    sound, understood = report(findings)
    if not args.only and understood < UNDERSTOOD:
        sys.exit(f"fewer than {UNDERSTOOD:,} are understood")
    sys.exit(0 if sound else 1)


if __name__ == "__main__":
    main()
