"""Checks the commands that change a model on request, in ONNX Runtime.

Usage: surgery.py NETWRIGHT

For every exported model of `models`: a part that is extracted computes the values of the whole; parts that `split` cuts
compute its outputs one after the other, and `merge` gives back the bytes of `--passes none`; fixed sizes, new names,
added outputs and stripped models compute the same; `externalize` and `embed` give back the same bytes. With
optimizations off, all results are equal bit for bit.
"""

import concurrent.futures
import json
import os
import pathlib
import sys
import tempfile

import judge
import numpy as np
import onnx

HERE = pathlib.Path(__file__).resolve().parent
SIZES = {"batch": 2, "batch_size": 2}


def run(program, *arguments):
    """Runs a command, which must succeed."""
    outcome = judge.netwright(program, "-q", *arguments)
    assert not outcome.crash and outcome.code == 0, f"{arguments[0]}: {outcome.crash or outcome.stderr}"


def sizes(model):
    """Returns a size for each symbol of the inputs: an expression follows from its symbols."""
    names = {dim.dim_param for value in model.graph.input for dim in value.type.tensor_type.shape.dim if dim.dim_param}
    plain = sorted(name for name in names if name.isidentifier() and "plus" not in name)
    known = {name: SIZES.get(name, 3 + at) for at, name in enumerate(plain)}
    past = known.get("past_sequence_length", known.get("past_sequence", known.get("past", 0)))
    length = known.get("sequence_length", known.get("sequence", known.get("seq", 0)))
    for name in names - known.keys():
        try:
            known[name] = eval(name.replace(" ", ""), {}, dict(known))  # noqa: S307 - names of our own models
        except NameError:
            known[name] = past + length
        except SyntaxError:
            known[name] = past + length
        if "plus" in name:
            known[name] = past + length
    return known


def feeds(model):
    """Returns inputs of a model: small integers, ones for masks, and floats."""
    generator = np.random.default_rng(0)
    known = sizes(model)
    values = {}
    initializers = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        if value.name in initializers:
            continue
        tensor = value.type.tensor_type
        shape = [known[dim.dim_param] if dim.dim_param else dim.dim_value for dim in tensor.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        if "mask" in value.name:
            values[value.name] = np.ones(shape, dtype)
        elif dtype.kind in "iu":
            values[value.name] = generator.integers(0, 2, shape).astype(dtype)
        elif dtype.kind == "b":
            values[value.name] = np.ones(shape, dtype)
        else:
            values[value.name] = generator.standard_normal(shape).astype(dtype)
    return values


def results(path, values):
    """Returns the outputs of a model by name; it takes those of the values that are its inputs."""
    session = judge.session(str(path))
    names = [output.name for output in session.get_outputs()]
    given = {value.name: values[value.name] for value in session.get_inputs()}
    return dict(zip(names, session.run(None, given), strict=True))


def expect_equal(what, found, expected):
    for name, array in expected.items():
        difference = judge.difference(found[name], array)
        assert difference is None, f"{what}: {name}: {difference}"


def expect_bytes(what, path, expected):
    assert path.read_bytes() == expected.read_bytes(), f"{what}: the bytes differ"


def inner(path):
    """Returns names of float values that nodes compute, in the order of the nodes."""
    model = onnx.load(path)
    inferred = onnx.shape_inference.infer_shapes(model)
    floats = {v.name for v in inferred.graph.value_info if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    return [node.output[0] for node in model.graph.node if node.output[0] in floats and node.op_type != "Constant"]


def chain(parts, values):
    """Runs the parts one after the other, with what the manifest says that they feed each other."""
    manifest = json.loads(parts.joinpath("parts.json").read_text())
    known = dict(values)
    produced = {}
    for part in manifest["parts"]:
        for given in part["inputs"]:
            if "from" in given:
                assert given["name"] in produced[given["from"]], f"{given} is not an output of that part"
        found = results(parts / part["file"], known)
        assert list(found) == part["outputs"], f"{part['file']} has the outputs {list(found)}"
        produced[part["file"]] = set(found)
        known.update(found)
    return {name: known[name] for name in manifest["outputs"]}


def judge_model(program, path, folder):
    """Returns the number of checks, or the failure."""
    folder.mkdir()
    try:
        return checks(program, path, folder)
    except Exception as error:
        return f"{path.stem}: {error}"


def checks(program, path, folder):
    done = 0
    plain = folder / "plain.onnx"
    run(program, "optimize", path, "-o", plain, "--passes", "none")
    model = onnx.load(plain)
    values = feeds(model)
    expected = results(plain, values)
    names = inner(plain)
    picked = [names[len(names) * at // 4] for at in (1, 2, 3)]

    # The values between, from the whole model.
    more = folder / "more.onnx"
    run(program, "optimize", path, "-o", more, "--passes", "none", "--add-output", ",".join(picked))
    between = results(more, values)
    expect_equal("--add-output", between, expected)
    one = folder / "one.onnx"
    run(program, "optimize", path, "-o", one, "--passes", "none", "--outputs", picked[1])
    expect_equal("--outputs", results(one, values), {picked[1]: between[picked[1]]})
    done += 2

    for name in picked:
        front = folder / "front.onnx"
        run(program, "extract", path, "--to", name, "-o", front)
        expect_equal(f"extract to {name}", results(front, values), {name: between[name]})
        parts = folder / f"after.{done}"
        run(program, "split", path, "--after", name, "-o", parts)
        expect_equal(f"split after {name}", chain(parts, values), expected)
        # The second part is the part that is extracted from its inputs.
        manifest = json.loads((parts / "parts.json").read_text())
        second = manifest["parts"][1]
        back = folder / "back.onnx"
        given = ",".join(value["name"] for value in second["inputs"])
        run(program, "extract", path, "--from", given, "--to", ",".join(second["outputs"]), "-o", back)
        known = {**values, **results(parts / manifest["parts"][0]["file"], values)}
        expect_equal(f"extract from {given}", results(back, known), {n: expected[n] for n in second["outputs"]})
        merged = folder / "merged.onnx"
        run(program, "merge", parts / "parts.json", "-o", merged)
        expect_bytes(f"split after {name} and merge", merged, plain)
        # Without the manifest, only the order and the names of inner values may differ.
        run(program, "merge", *(parts / part["file"] for part in manifest["parts"]), "-o", merged)
        found = results(merged, values)
        expect_equal(f"merge of the parts after {name}", found, {n: expected[n] for n in expected if n in found})
        done += 5

    for size in ("20kB", "60kB"):
        parts = folder / size
        try:
            run(program, "split", path, "--size", size, "-o", parts)
        except AssertionError as error:
            assert "alone reads" in str(error), error
            continue
        expect_equal(f"split --size {size}", chain(parts, values), expected)
        merged = folder / "merged.onnx"
        run(program, "merge", parts / "parts.json", "-o", merged)
        expect_bytes(f"split --size {size} and merge", merged, plain)
        done += 2

    stripped = folder / "stripped.onnx"
    run(program, "strip", path, "-o", stripped)
    expect_equal("strip", results(stripped, values), expected)
    proto = onnx.load(stripped)
    assert not any(node.doc_string or node.metadata_props for node in proto.graph.node), "strip: metadata is left"
    assert stripped.stat().st_size <= plain.stat().st_size, "strip: the file grew"

    external, embedded = folder / "external.onnx", folder / "embedded.onnx"
    run(program, "externalize", path, "-o", external)
    expect_equal("externalize", results(external, values), expected)
    run(program, "embed", external, "-o", embedded)
    expect_bytes("externalize and embed", embedded, plain)
    done += 3

    known = sizes(model)
    fixed = folder / "fixed.onnx"
    dims = [flag for name, size in known.items() for flag in ("--dim", f"{name}={size}") if name.isidentifier()]
    run(program, "optimize", path, "-o", fixed, "--passes", "none", *dims)
    expect_equal("--dim", results(fixed, values), expected)
    shapes = [dim for value in onnx.load(fixed).graph.input for dim in value.type.tensor_type.shape.dim]
    assert all(dim.HasField("dim_value") for dim in shapes), "--dim: an input has a symbolic size"
    run(program, "optimize", path, "-o", fixed, *dims)
    for name, array in results(fixed, values).items():
        difference = judge.difference(array, expected[name], tolerance=1e-4 * max(1.0, float(np.abs(expected[name]).max())))
        assert difference is None, f"--dim, optimized: {name}: {difference}"

    first = next(iter(values))
    output = next(iter(expected))
    symbol = next((name for name in sorted(known) if name.isidentifier()), None)
    renamed = folder / "renamed.onnx"
    flags = ["--rename-input", f"{first}=new_input", "--rename-output", f"{output}=new_output"]
    flags += ["--rename-dim", f"{symbol}=new_dim"] if symbol else []
    run(program, "optimize", path, "-o", renamed, "--passes", "none", *flags)
    found = results(renamed, {**values, "new_input": values[first]})
    expect_equal("renames", found, {"new_output" if n == output else n: a for n, a in expected.items()})
    return done + 3


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    models = sorted((HERE / "models").glob("*.onnx"))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(lambda path: judge_model(program, path, folder / path.stem), models))
    wrong = [one for one in found if isinstance(one, str)]
    print("\n".join(wrong))
    done = sum(one for one in found if not isinstance(one, str))
    print(f"surgery: {len(models)} models, {done} checks, {len(wrong)} models failed")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
