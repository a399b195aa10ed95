"""Writes crates/netwright/src/overview/ort_kernels.txt: the CPU kernels of ONNX Runtime, as its Python package lists them.

A line is a kernel: domain (`-` for ONNX's own), operator, first and last version of the operator, then the element types of
groups of inputs (`i0+i1=f32|f64`); kernels that differ in the types of one group share a line. `i1*` stands for the input 1
and all after it. Inputs whose type is free are left out. A line with the word `function` is an operator that the standard
defines by others, which runs without a kernel. The first line has the version.

usage: kernels.py [--check]
"""

import pathlib
import sys

import onnx
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

TABLE = pathlib.Path(__file__).resolve().parent.parent.parent / "crates/netwright/src/overview/ort_kernels.txt"
NAMES = {
    "float": "f32", "double": "f64", "float16": "f16", "bfloat16": "bf16", "bool": "bool", "string": "string",
    "complex64": "c64", "complex128": "c128", "float8e4m3fn": "f8e4m3fn", "float8e4m3fnuz": "f8e4m3fnuz",
    "float8e5m2": "f8e5m2", "float8e5m2fnuz": "f8e5m2fnuz", "float8e8m0": "f8e8m0", "float4e2m1": "f4e2m1",
    **{f"int{bits}": f"i{bits}" for bits in (2, 4, 8, 16, 32, 64)}, **{f"uint{bits}": f"u{bits}" for bits in (2, 4, 8, 16, 32, 64)},
}
LAST = 2**31 - 1


def element(name: str) -> str | None:
    """Returns the name of the element type of a tensor; None for sequences and other types."""
    return NAMES[name[7:-1]] if name.startswith("tensor(") else None


def groups(schema) -> dict[str, str]:
    """Returns the inputs of each type constraint."""
    found: dict[str, list[str]] = {}
    for at, port in enumerate(schema.inputs):
        many = "*" if str(port.option).endswith("Variadic") else ""
        found.setdefault(port.typeStr, []).append(f"i{at}{many}")
    return {constraint: "+".join(inputs) for constraint, inputs in found.items()}


def table() -> str:
    schemas: dict[tuple[str, str], list] = {}
    for schema in state.get_all_operator_schema():
        schemas.setdefault((schema.domain, schema.name), []).append(schema)
    rows: dict[tuple, dict[str, set[str]]] = {}
    for kernel in state.get_all_opkernel_def():
        if kernel.provider != "CPUExecutionProvider":
            continue
        first, last = kernel.version_range
        known = [schema for schema in schemas.get((kernel.domain, kernel.op_name), []) if schema.since_version <= first]
        if not known:
            continue
        inputs = groups(max(known, key=lambda schema: schema.since_version))
        types = {}
        for constraint, allowed in kernel.type_constraints.items():
            elements = {element(name) for name in allowed} - {None}
            if elements and constraint in inputs:
                types[inputs[constraint]] = elements
        # Kernels that differ in the types of one group are one row.
        fixed = tuple(sorted((group, tuple(sorted(elements))) for group, elements in types.items()))
        key = (kernel.domain or "-", kernel.op_name, first, last, fixed if len(fixed) > 1 else tuple(group for group, _ in fixed))
        row = rows.setdefault(key, {})
        for group, elements in types.items():
            row.setdefault(group, set()).update(elements)
    lines = []
    for (domain, operator, first, last, _), types in rows.items():
        parts = [f"{group}={'|'.join(sorted(elements))}" for group, elements in sorted(types.items())]
        lines.append(" ".join([domain, operator, str(first), "-" if last == LAST else str(last), *parts]))
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "" and (schema.has_function or schema.has_context_dependent_function):
            lines.append(f"- {schema.name} {schema.since_version} - function")
    return f"ONNX Runtime {onnxruntime.__version__}\n" + "".join(f"{line}\n" for line in sorted(set(lines)))


def main() -> None:
    text = table()
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if TABLE.read_text() == text else f"{TABLE.name} is not that of the installed package: run {sys.argv[0]}")
    TABLE.write_text(text)


if __name__ == "__main__":
    main()
