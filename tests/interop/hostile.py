"""Runs the command line on hostile files: stored ones (tests/hostile) and many more that are created here.

Each file goes through `optimize`, `check` and `inspect` within 10 s of processor time and 1 GB of address space.
`reject` requires exit code 1, one clear line that names the file and the cause, and no output file; `accept` requires
an equal model; `bounded` accepts either. Never allowed are a signal, a panic, a leftover file, a control character from
the model on the terminal, and access to a file outside the model's folder.

    python tests/interop/hostile.py target/release/netwright [NAME ...]
"""

import argparse
import collections
import ctypes
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile

import numpy as np
import onnx

import traps
from attack import Case, bombs, external, files, graph, nested, operators, tensors, wire

STORED = pathlib.Path(__file__).resolve().parent.parent / "hostile"
GROUPS = [wire, graph, nested, tensors, operators, bombs, external, files]
SECONDS, BYTES, LINE = 10, 1 << 30, 1000
# A process that waits uses no processor time.
MOST_SECONDS_OF_WAITING = 20 * SECONDS
IN_ACCESS, IN_OPEN, IN_NONBLOCK = 1, 32, os.O_NONBLOCK


class Failed(Exception):
    """Why a case failed: the kind of failure, and details."""


# Models that ONNX's checker refuses and netwright accepts: it passes the node or name through and leaves it to the
# runtime, so the output is as wrong as the input. They must still be bounded.
LENIENT = frozenset(
    """
    graph_attribute_unknown
    graph_attribute_missing
    graph_cast_to_nothing
    graph_cast_to_99
    graph_cast_to_huge
    graph_subgraph_on_neg
    graph_input_sequence_of_nothing
    graph_attributes_100000
    graph_opset_6
    graph_opset_1
    nested_if_name_of_input
    nested_if_types_differ
    nested_if_name_of_value
    nested_loop_condition_of_float
    tensor_sparse_dims_missing
    tensor_sparse_dims_missing_constant
    operator_transpose_negative
    operator_split_none
    operator_split_negative
    operator_split_disagrees
    operator_reshape_zero_and_unknown
    operator_reshape_matrix
    operator_split_sizes_wrap
    """.split()
)


def stored():
    manifest = json.loads((STORED / "manifest.json").read_text())
    for name, entry in manifest.items():
        source = STORED / f"{name}.onnx"
        yield Case(
            name,
            entry["group"],
            entry["expect"],
            entry["note"],
            lambda folder, source=source: shutil.copyfile(source, folder / "model.onnx"),
        )


class Watch:
    """Reports through inotify whether a file was opened or read."""

    def __init__(self, path):
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = libc.inotify_init1(IN_NONBLOCK)
        if libc.inotify_add_watch(self.descriptor, os.fsencode(path), IN_ACCESS | IN_OPEN) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch")

    def seen(self):
        try:
            return bool(os.read(self.descriptor, 4096))
        except BlockingIOError:
            return False
        finally:
            os.close(self.descriptor)


def contents(folder):
    """Returns names, kinds, sizes and times of everything beneath a folder."""
    found = {}
    for where, folders, files_ in os.walk(os.fsencode(folder)):
        for name in folders + files_:
            status = os.lstat(os.path.join(where, name))
            found[os.path.join(where, name)] = (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ino)
    return found


def limit(case):
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    if case.prepare_child:
        case.prepare_child()


def run(case, command):
    """Runs a command within the limits; returns its exit code, standard error and standard output."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            preexec_fn=lambda: limit(case),
            env={**os.environ, "NO_COLOR": "1"},
        )
        try:
            code = process.wait(MOST_SECONDS_OF_WAITING)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Failed("time", f"did not end within {MOST_SECONDS_OF_WAITING} s") from None
        if code == -signal.SIGXCPU:
            raise Failed("time", f"used {SECONDS} s of processor time")
        texts = []
        for stream in (err, out):
            stream.seek(0)
            texts.append(stream.read(1 << 22).decode(errors="surrogateescape"))
    return code, *texts


def judge(case, netwright, verb, root):
    folder, output = root / "model", root / "model" / case.output
    model = os.path.join(os.fsencode(folder), os.fsencode(case.model))
    command = [netwright, verb, model] + ([*("-o", output)] if verb == "optimize" else [])
    before = contents(root)
    watch = Watch(root / "secret.bin")
    code, err, out = run(case, command)
    looked = watch.seen()
    after = contents(root)
    last = err.strip().rsplit("\n", 1)[-1][:300]
    if code < 0:
        raise Failed("signal", f"{signal.Signals(-code).name}: {last}")
    if "panicked" in err:
        raise Failed("panic", next(line for line in err.splitlines() if "panicked" in line) + " " + last)
    if looked:
        raise Failed("outside", f"looked at a file outside the model's folder; exit {code}: {last}")
    if control := re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\udc80-\udcff]", err + out):
        raise Failed("control character", f"{control[0]!r}: {err[:200]!r}")
    target = os.path.normpath(os.fsencode(output))
    written = {target, os.path.realpath(target)} if verb == "optimize" and code == 0 else set()
    fresh = {name for name in after if before.get(name) != after[name] and not stat.S_ISDIR(after[name][0])}
    if fresh - written:
        raise Failed("file left behind", f"exit {code}, {sorted(fresh - written)}")
    if gone := set(before) - set(after):
        raise Failed("file gone", f"exit {code}, {sorted(gone)}")
    kind = stat.S_IFMT(before.get(target, [stat.S_IFREG])[0])
    if kind not in (stat.S_IFREG, stat.S_IFLNK) and kind != stat.S_IFMT(after[target][0]):
        raise Failed("file replaced", f"exit {code}, {target}")
    if code == 0:
        if case.expect == "reject":
            if case.name in LENIENT:
                return
            raise Failed("accepted", "exit 0")
        if case.says and case.says not in err:
            raise Failed("silent", f"the warning {case.says!r} is missing: {err[:200]!r}")
        if verb == "optimize":
            compare(case, pathlib.Path(os.fsdecode(model)), output)
        return
    if case.expect == "accept":
        raise Failed("rejected", f"exit {code}: {last}")
    if code not in case.codes:
        raise Failed("exit", f"{code}: {last}")
    lines = [line for line in err.splitlines() if line and not line.startswith(("warning", "  "))]
    if len(lines) != 1 or len(lines[0]) > LINE or not re.match(r"error\[NW\d{4}\]: ", lines[0]):
        raise Failed("message", f"{len(lines)} lines, {len(err)} characters: {err[:300]!r}")
    # A file name may contain what a line may not; compare its beginning only.
    paths = [case.model, os.path.normpath(case.output), os.path.dirname(case.output)]
    if not any(re.match(r"[\w.-]*", os.path.basename(path))[0] in lines[0] for path in paths if path):
        raise Failed("message", f"does not name the file: {lines[0]!r}")


def feeds(model):
    """Returns one input: small numbers, and size 2 for every symbol."""
    types = onnx.helper.tensor_dtype_to_np_dtype
    found = {}
    weights = {weight.name for weight in model.graph.initializer}
    for value in model.graph.input:
        if value.name not in weights:
            tensor = value.type.tensor_type
            shape = [dim.dim_value if dim.HasField("dim_value") else 2 for dim in tensor.shape.dim]
            found[value.name] = np.ones(shape, types(tensor.elem_type))
    return found


def compare(case, source, output):
    """Checks that the output is a model, and, if the case is to be accepted, has equal results."""
    if case.expect != "accept":
        if os.path.isfile(output):
            onnx.load(output, load_external_data=False)
        return
    if not case.runs:
        return
    before, after = onnx.load(source), onnx.load(output)
    if traps.interface_of(before) != traps.interface_of(after):
        raise Failed("interface", "inputs, outputs or overridable initializers differ")
    given = [feeds(before)]
    [(ran, wanted)] = traps.outcomes(source, "ort", given)
    if not ran:
        raise Failed("case", f"ONNX Runtime does not take the original: {wanted}")
    [(runs, got)] = traps.outcomes(output, "ort", given)
    if not runs:
        raise Failed("error", got)
    if difference := traps.differs(got, wanted):
        raise Failed("result", difference)


def failures(case, netwright):
    found = {}
    for verb in case.commands:
        with tempfile.TemporaryDirectory() as root:
            root = pathlib.Path(root).resolve()
            root.chmod(0o755)
            for name in ("model", "out"):
                (root / name).mkdir()
            (root / "secret.bin").write_bytes(b"\x00\x00\x80\x3f" * 16)
            try:
                case.write(root / "model")
            except PermissionError:
                print(f"skipped: {case.name}: may not be made here")
                return {}
            try:
                judge(case, netwright, verb, root)
            except Failed as failed:
                kind, why = failed.args
                found[verb] = kind, why.replace(str(root), "")
            finally:
                for where, folders, _ in os.walk(root):
                    for name in folders:
                        os.chmod(os.path.join(where, name), 0o755)
    return found


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("netwright", type=lambda path: str(pathlib.Path(path).resolve()))
    arguments.add_argument("names", nargs="*", help="the cases to run [default: all]")
    chosen = arguments.parse_args()
    cases = [*stored(), *(case for group in GROUPS for case in group.CASES)]
    names = [case.name for case in cases]
    assert len(set(names)) == len(names), f"named twice: {[n for n, c in collections.Counter(names).items() if c > 1]}"
    if unknown := set(chosen.names) - set(names):
        sys.exit(f"no such case: {', '.join(sorted(unknown))}")
    cases = [case for case in cases if not chosen.names or case.name in chosen.names]
    by_kind, failed = collections.defaultdict(list), 0
    for case in cases:
        found = failures(case, chosen.netwright)
        failed += bool(found)
        verbs = collections.defaultdict(list)
        for verb, why in found.items():
            verbs[why].append(verb)
        for (kind, why), which in verbs.items():
            by_kind[kind].append(f"{case.name} ({', '.join(which)}), to {case.expect}: {case.note}\n    {why}")
    for kind, lines in sorted(by_kind.items()):
        for line in lines:
            print(f"FAILED {kind}: {line}")
    print(f"hostile: {len(cases) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
