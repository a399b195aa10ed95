"""Checks that `netwright verify` detects changes in one place of an export, and reports no other difference.

usage: notices.py NETWRIGHT [--count N] [--seed S] [--models NAME,...] [--pairs]

Each change alters one constant, axis, fill, epsilon, order or weight of an export. ONNX Runtime, without
optimizations, determines whether the changed model differs from the export by more than 1e-3 of an output's scale on
some inputs of this script, which `verify` does not use; if `verify` reports "equal", ONNX's reference evaluator confirms
the difference in f64. Takes about a second per change.

`--pairs` instead compares 30 pairs of models that are equal except for rounding.
"""

import argparse
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper

from judge import session

FOLDER = pathlib.Path(__file__).parent / "models"
KINDS = ["constant", "axis", "fill", "epsilon", "order", "weight"]
DIFFERS = 1e-3
WANTED = 0.97


def table_size(model, name):
    """Returns the size of the table that ids index, from the name if the graph hides it."""
    init = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Gather" and node.input[1] == name and node.input[0] in init:
            return init[node.input[0]].dims[0]
    return 2 if "type" in name else 60


def inputs(model, trial, rng):
    """Returns inputs as users give them: whole vocabulary, padding on one side, several sizes and ranges of values."""
    init = {tensor.name for tensor in model.graph.initializer}
    batch, seq, enc, past = [(1, 5, 6, 3), (2, 9, 7, 0), (4, 12, 3, 6), (2, 28, 28, 20), (3, 1, 1, 1), (2, 17, 30, 9)][trial % 6]
    sizes = {"batch": batch, "seq": seq, "enc": enc, "past": past, "past_plus_seq": past + seq}
    reach = [1.0, 3.0, 10.0][trial % 3]
    feed = {}
    for value in model.graph.input:
        if value.name in init:
            continue
        ty = value.type.tensor_type
        shape = [dim.dim_value if dim.HasField("dim_value") else sizes[dim.dim_param] for dim in ty.shape.dim]
        if "mask" in value.name:
            mask = np.ones(shape, np.int64)
            for row in mask.reshape(-1, shape[-1]):
                zeros = rng.integers(0, max(shape[-1] // 2, 1)) if trial % 3 else 0
                if zeros:
                    row[:zeros] = 0 if trial % 2 else row[:zeros]
                    row[len(row) - zeros:] = row[len(row) - zeros:] if trial % 2 else 0
            feed[value.name] = mask
        elif ty.elem_type == onnx.TensorProto.INT64:
            size = table_size(model, value.name)
            ids = np.concatenate([rng.permutation(size) for _ in range(int(np.prod(shape)) // size + 1)])
            feed[value.name] = ids[: int(np.prod(shape))].reshape(shape).astype(np.int64)
        else:
            feed[value.name] = rng.uniform(-reach, reach, shape).astype(np.float32)
    return feed


def error(a, b):
    """Returns the largest difference of two lists of outputs, relative to the scale of the output."""
    worst = 0.0
    for left, right in zip(a, b):
        if left.shape != right.shape:
            return np.inf
        if left.size == 0:
            continue
        if left.dtype.kind != "f":
            worst = max(worst, np.inf if (left != right).any() else 0.0)
            continue
        left, right = left.astype(np.float64), right.astype(np.float64)
        finite = np.isfinite(left)
        if not np.isfinite(right[finite]).all():
            return np.inf
        magnitudes = np.abs(left[finite & (left != 0)])
        scale = np.sqrt(np.mean(magnitudes**2)) if magnitudes.size else 0.0
        distance = np.abs(left - right)[finite].max(initial=0.0)
        worst = max(worst, distance / scale if scale else (np.inf if distance else 0.0))
    return worst


def constants(model):
    """Returns the float constants with their locations."""
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            yield tensor
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value" and attribute.t.data_type == onnx.TensorProto.FLOAT:
                yield attribute.t


def change(model, kind, rng):
    """Changes a copy of the model in one place; returns a description, or None if the kind does not occur."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    nodes = list(model.graph.node)

    def put(tensor, array):
        tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float32), tensor.name))

    tensors = [(tensor, numpy_helper.to_array(tensor)) for tensor in constants(model)]
    if kind == "weight":
        found = [(tensor, array) for tensor, array in tensors if array.size > 8]
        tensor, array = rng.choice(found)
        array = array.copy()
        at = tuple(rng.randrange(size) for size in array.shape)
        array[at] += rng.choice([-1, 1]) * max(2 * float(np.abs(array).max()), 0.1)
        put(tensor, array)
        return model, f"{tensor.name}{list(at)}"
    small = [(tensor, array) for tensor, array in tensors if 0 < array.size <= 8]
    if kind == "constant":
        found = [(tensor, array) for tensor, array in small if 1e-3 < np.abs(array).max() < 1e3]
        if not found:
            return None
        tensor, array = rng.choice(found)
        factor = rng.choice([0.5, 0.9, 1.1, 2.0, -1.0])
        put(tensor, array * factor)
        return model, f"{tensor.name} * {factor}"
    if kind == "fill":
        found = [(tensor, array) for tensor, array in small if array.min() <= -1e3]
        if not found:
            return None
        tensor, array = rng.choice(found)
        fill = rng.choice([0.0, -1.0, -3.0, -10.0])
        put(tensor, np.where(array <= -1e3, fill, array))
        return model, f"{tensor.name} = {fill}"
    if kind == "epsilon":
        found = [node for node in nodes if any(attribute.name == "epsilon" for attribute in node.attribute)]
        tiny = [(tensor, array) for tensor, array in small if array.size == 1 and 0 < abs(array.max()) < 1e-3]
        if not found and not tiny:
            return None
        factor = rng.choice([1e2, 1e3, 1e4])
        if found and (not tiny or rng.random() < 0.7):
            attribute = next(one for one in rng.choice(found).attribute if one.name == "epsilon")
            attribute.f *= factor
        else:
            tensor, array = rng.choice(tiny)
            put(tensor, array * factor)
        return model, f"epsilon * {factor}"
    if kind == "axis":
        found = []
        for node in nodes:
            for attribute in node.attribute:
                if attribute.name == "axis" or (attribute.name in ("axes", "perm") and len(attribute.ints) > 0):
                    found.append((node, attribute))
        node, attribute = rng.choice(found)
        if attribute.name == "perm":
            at = rng.randrange(len(attribute.ints) - 1) if len(attribute.ints) > 1 else 0
            order = list(attribute.ints)
            if len(order) > 1:
                order[at], order[at + 1] = order[at + 1], order[at]
            del attribute.ints[:]
            attribute.ints.extend(order)
        elif attribute.name == "axes":
            attribute.ints[0] = attribute.ints[0] - 1 if attribute.ints[0] else 1
        else:
            attribute.i = attribute.i - 1 if attribute.i else 1
        return model, f"{attribute.name} of {node.op_type} {node.name}"
    found = [node for node in nodes if node.op_type in ("Sub", "Div", "MatMul", "Concat", "Less", "Greater", "Pow", "Where")]
    if not found:
        return None
    node = rng.choice(found)
    first = 1 if node.op_type == "Where" else 0
    if len(node.input) < first + 2 or node.input[first] == node.input[first + 1]:
        return None
    node.input[first], node.input[first + 1] = node.input[first + 1], node.input[first]
    return model, f"operands of {node.op_type} {node.name}"


def in_f64(model):
    """Returns the same model with f64 instead of f32."""
    model = onnx.ModelProto.FromString(model.SerializeToString())

    def tensor(one):
        if one.data_type == onnx.TensorProto.FLOAT:
            one.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(one).astype(np.float64), one.name))

    def graph(one):
        del one.value_info[:]
        for value in list(one.input) + list(one.output):
            if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
                value.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
        for each in one.initializer:
            tensor(each)
        for node in one.node:
            for attribute in node.attribute:
                if attribute.name == "to" and attribute.i == onnx.TensorProto.FLOAT:
                    attribute.i = onnx.TensorProto.DOUBLE
                if attribute.HasField("t"):
                    tensor(attribute.t)
                if attribute.HasField("g"):
                    graph(attribute.g)

    graph(model.graph)
    return model


def reference(model, feed):
    from onnx.reference import ReferenceEvaluator

    wide = {name: value.astype(np.float64) if value.dtype == np.float32 else value for name, value in feed.items()}
    return ReferenceEvaluator(in_f64(model)).run(None, wide)


def verdict(netwright, a, b):
    done = subprocess.run([netwright, "verify", "--json", a, b], capture_output=True, text=True, timeout=300)
    return done.returncode, (done.stdout + done.stderr).strip()


def pair(number, rng):
    """Returns two graphs that are equal except for rounding: a name, and nodes and constants of each."""
    size = int(rng.choice([4, 8, 16]))
    node, f32 = onnx.helper.make_node, lambda array: np.asarray(array, np.float32)
    large = float(rng.choice([1.0, 100.0, 1000.0]))
    a, b = (f32(rng.uniform(0.9, 1.1, (size, size)) * large * rng.choice([-1, 1], (size, size))) for _ in range(2))
    c, d = (f32(rng.uniform(-large, large, size)) for _ in range(2))
    kind = number % 10
    if kind == 0:
        product = f32(a.astype(np.float64) @ b.astype(np.float64))
        return (f"(x A) B = x (A B), values near {large}", [node("MatMul", ["x", "a"], ["t"]), node("MatMul", ["t", "b"], ["y"])], {"a": a, "b": b},
                [node("MatMul", ["x", "ab"], ["y"])], {"ab": product})
    if kind == 1:
        return (f"(x + c) + d = x + (c + d), up to {large}", [node("Add", ["x", "c"], ["t"]), node("Add", ["t", "d"], ["y"])], {"c": c, "d": d},
                [node("Add", ["c", "d"], ["t"]), node("Add", ["x", "t"], ["y"])], {"c": c, "d": d})
    if kind == 2:
        return (f"(x A) + (x B) = x (A + B), values near {large}", [node("MatMul", ["x", "a"], ["s"]), node("MatMul", ["x", "b"], ["t"]), node("Add", ["s", "t"], ["y"])], {"a": a, "b": b},
                [node("MatMul", ["x", "ab"], ["y"])], {"ab": f32(a.astype(np.float64) + b)})
    if kind == 3:
        gamma, beta, axes = f32(rng.uniform(0.5, 2, size)), f32(rng.uniform(-1, 1, size)), np.array([-1])
        return ("LayerNormalization, written out", [node("LayerNormalization", ["x", "g", "e"], ["y"], axis=-1, epsilon=1e-5)], {"g": gamma, "e": beta},
                [node("ReduceMean", ["x", "axes"], ["m"]), node("Sub", ["x", "m"], ["d"]), node("Mul", ["d", "d"], ["q"]), node("ReduceMean", ["q", "axes"], ["v"]),
                 node("Add", ["v", "eps"], ["w"]), node("Sqrt", ["w"], ["s"]), node("Div", ["d", "s"], ["n"]), node("Mul", ["n", "g"], ["t"]), node("Add", ["t", "e"], ["y"])],
                {"g": gamma, "e": beta, "eps": f32(1e-5), "axes": axes})
    if kind == 4:
        return (f"softmax(x A / s) = softmax(x (A / s)), values near {large}", [node("MatMul", ["x", "a"], ["t"]), node("Div", ["t", "s"], ["u"]), node("Softmax", ["u"], ["y"], axis=-1)], {"a": a, "s": f32(large * 4)},
                [node("MatMul", ["x", "a"], ["u"]), node("Softmax", ["u"], ["y"], axis=-1)], {"a": f32(a / (large * 4))})
    if kind == 5:
        return ("GELU, written out", [node("Gelu", ["x"], ["y"])], {},
                [node("Mul", ["x", "r"], ["s"]), node("Erf", ["s"], ["e"]), node("Add", ["e", "one"], ["p"]), node("Mul", ["x", "p"], ["t"]), node("Mul", ["t", "half"], ["y"])],
                {"r": f32(0.5**0.5), "one": f32(1), "half": f32(0.5)})
    if kind == 6:
        return (f"the sum of products in two halves, values near {large}", [node("MatMul", ["x", "a"], ["y"])], {"a": a},
                [node("Slice", ["x", "zero", "mid", "axis"], ["l"]), node("Slice", ["x", "mid", "end", "axis"], ["r"]), node("MatMul", ["l", "al"], ["s"]), node("MatMul", ["r", "ar"], ["t"]), node("Add", ["t", "s"], ["y"])],
                {"al": a[: size // 2], "ar": a[size // 2 :], "zero": np.array([0]), "mid": np.array([size // 2]), "end": np.array([size]), "axis": np.array([1])})
    if kind == 7:
        return (f"c (x - d) = c x - c d, up to {large}", [node("Sub", ["x", "d"], ["t"]), node("Mul", ["t", "c"], ["y"])], {"c": c, "d": d},
                [node("Mul", ["x", "c"], ["t"]), node("Sub", ["t", "cd"], ["y"])], {"c": c, "cd": f32(c.astype(np.float64) * d)})
    if kind == 8:
        return (f"x + {large * 4} - {large * 4} = x", [node("Add", ["x", "c"], ["t"]), node("Sub", ["t", "c"], ["y"])], {"c": f32(large * 4)}, [node("Identity", ["x"], ["y"])], {})
    return (f"the RMS norm of x {large} by a scale and a root", [node("Mul", ["x", "c"], ["l"]), node("RMSNormalization", ["l", "g"], ["y"], axis=-1, epsilon=1e-6)], {"c": f32(large), "g": f32(np.ones(size))},
            [node("Mul", ["x", "c"], ["l"]), node("Mul", ["l", "l"], ["q"]), node("ReduceMean", ["q", "axes"], ["m"]), node("Add", ["m", "eps"], ["w"]), node("Sqrt", ["w"], ["s"]), node("Div", ["l", "s"], ["y"])],
            {"c": f32(large), "eps": f32(1e-6), "axes": np.array([-1])})


def pairs(netwright, count, seed):
    """Compares pairs that are equal; returns how many are reported as different."""
    alarms = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            rng = np.random.default_rng([seed, number])
            name, left, left_constants, right, right_constants = pair(number, rng)
            matrices = [array for array in (left_constants | right_constants).values() if array.ndim]
            size = max([array.shape[-1] for array in matrices] + [4]) if number % 10 != 8 else 8
            paths = []
            for side, nodes, constants in (("a", left, left_constants), ("b", right, right_constants)):
                io = [onnx.helper.make_tensor_value_info(each, onnx.TensorProto.FLOAT, ["batch", size]) for each in "xy"]
                tensors = [numpy_helper.from_array(np.asarray(array), each) for each, array in constants.items()]
                graph = onnx.helper.make_graph(nodes, "pair", io[:1], io[1:], tensors)
                opset = 23 if any(each.op_type == "RMSNormalization" for each in nodes) else 21
                model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=10)
                paths.append(pathlib.Path(folder) / f"{side}.onnx")
                onnx.save(model, paths[-1])
            code, text = verdict(netwright, *paths)
            if code != 0:
                alarms += 1
                print("false alarm", number, name, text[:1500], flush=True)
    print(f"{count} pairs that are equal (seed {seed}), {alarms} false alarms")
    return alarms


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("netwright")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", default="")
    parser.add_argument("--pairs", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    if args.pairs:
        sys.exit(pairs(args.netwright, 30, args.seed) > 0)
    rng = random.Random(args.seed)
    names = args.models.split(",") if args.models else sorted(path.name for path in FOLDER.glob("*.onnx"))
    loaded, tried, same, refused = {}, 0, 0, 0
    rows = {kind: [0, 0] for kind in KINDS}
    missed, unjudged = [], 0
    with tempfile.TemporaryDirectory() as folder:
        changed_path = pathlib.Path(folder) / "changed.onnx"
        while tried < args.count:
            name = rng.choice(names)
            if name not in loaded:
                model = onnx.load(FOLDER / name)
                feeds = [inputs(model, trial, np.random.default_rng([args.seed, trial])) for trial in range(6)]
                loaded[name] = (model, feeds, [session(model.SerializeToString()).run(None, feed) for feed in feeds])
            model, feeds, before = loaded[name]
            kind = KINDS[tried % len(KINDS)]
            made = change(model, kind, rng)
            if made is None:
                continue
            changed, what = made
            try:
                runner = session(changed.SerializeToString())
                after = [runner.run(None, feed) for feed in feeds]
            except Exception:
                # It does not run, so it does not count as a change.
                refused += 1
                continue
            tried += 1
            errors = [error(a, b) for a, b in zip(before, after)]
            worst = int(np.argmax(errors))
            if errors[worst] <= DIFFERS:
                same += 1
                continue
            changed_path.write_bytes(changed.SerializeToString())
            code, text = verdict(args.netwright, FOLDER / name, changed_path)
            if code == 3:
                unjudged += 1
                continue
            if code == 0:
                exact = error(reference(model, feeds[worst]), reference(changed, feeds[worst]))
                if exact <= DIFFERS:
                    same += 1
                    continue
                missed.append(f"{name}: {kind}: {what}: {exact:.1e}")
                print("missed", missed[-1], flush=True)
            rows[kind][0] += 1
            rows[kind][1] += code == 1
            if args.verbose:
                print(code, name, kind, what, f"{errors[worst]:.1e}", flush=True)
    print(f"{tried} changes (seed {args.seed}), {refused} more that do not run, {same} that make no difference, "
          f"{unjudged} that tract cannot judge")
    for kind, (differ, caught) in rows.items():
        print(f"{kind:10} {differ:4} differ, {caught:4} caught")
    differ, caught = (sum(row[at] for row in rows.values()) for at in (0, 1))
    print(f"{caught} of {differ} caught: {caught / max(differ, 1):.1%}")
    sys.exit(caught < WANTED * differ)


if __name__ == "__main__":
    main()
