"""Draws docs/optimize.svg: each node of an export as a square, before and after `netwright optimize`.

usage: picture.py NETWRIGHT [--check]    --check: fail if the picture is not the drawn one
"""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL, TARGET = "tests/interop/models/llama_past.legacy.onnx", "ort"
PICTURE = ROOT / "docs/optimize.svg"

# Kinds of operators with their colors; what is in none of the lists is shapes and layout.
KINDS = {
    "shapes and layout": ("#9aa4b2", []),
    "elements and rows": ("#e0a030", ["Add", "And", "Cos", "Div", "Erf", "Mul", "Neg", "Pow", "ReduceMean", "Sigmoid", "Sin", "Softmax", "Sqrt", "Sub", "Sum", "Tanh"]),
    "matrix products": ("#3b76d6", ["MatMul", "Gemm"]),
    "fused": ("#2a9d5c", ["Attention", "RMSNormalization", "SimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization", "QuickGelu", "RotaryEmbedding", "Swish"]),
}
SIDE, STEP, ROWS = 9, 12, 10


def kind(operator):
    name = operator.rsplit("::", 1)[-1]
    return next((kind for kind, (_, names) in KINDS.items() if name in names), "shapes and layout")


def squares(operators, left):
    """Returns a path for each color, column by column, and the width."""
    kinds = sorted((kind(operator) for operator, count in operators.items() for _ in range(count)), key=list(KINDS).index)
    paths = {}
    for at, name in enumerate(kinds):
        x, y = left + at // ROWS * STEP, 34 + at % ROWS * STEP
        paths.setdefault(name, []).append(f"M{x} {y}h{SIDE}v{SIDE}h-{SIDE}z")
    lines = [f'<path fill="{KINDS[name][0]}" d="{"".join(path)}"/>' for name, path in paths.items()]
    return lines, -(-len(kinds) // ROWS) * STEP


def picture(summary):
    lines, x = [], 10
    for title, side in [("before", "before"), ("after", "after")]:
        count = summary[side]["nodes"]
        lines.append(f'<text x="{x}" y="22">{title}: {count} nodes</text>')
        paths, width = squares(summary[side]["operators"], x)
        lines += paths
        x += width + 50
    width, left = max(x + 40, 700), 10
    for name, (color, _) in KINDS.items():
        lines.append(f'<path fill="{color}" d="M{left} 171h{SIDE}v{SIDE}h-{SIDE}z"/><text x="{left + 15}" y="180">{name}</text>')
        left += 40 + 8 * len(name)
    style = "text{font:13px sans-serif;fill:#333}@media(prefers-color-scheme:dark){text{fill:#ccc}}"
    start = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 192" width="{width}" height="192">'
    return "\n".join([start, f"<style>{style}</style>", *lines, "</svg>", ""])


def main():
    command = [sys.argv[1], "optimize", MODEL, "--target", TARGET, "--json"]
    drawn = picture(json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout))
    if "--check" not in sys.argv[2:]:
        PICTURE.write_text(drawn)
    elif PICTURE.read_text() != drawn:
        sys.exit(f"{PICTURE} is stale: run tests/picture.py {sys.argv[1]}")


if __name__ == "__main__":
    main()
