"""Checks the page of `netwright optimize --report` in headless Chromium, at the width of a phone, light and dark."""

import argparse
import functools
import html
import http.server
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

import judge
import onnx

WIDTH = 375
# A script that measures the page in a frame as wide as a phone.
FRAME = f"""<!doctype html>
<iframe id="page" src="report.html" style="width: {WIDTH}px; height: 900px; border: 0"></iframe>
<pre id="told"></pre>
<script>
document.getElementById("page").onload = () => {{
  const page = document.getElementById("page").contentDocument;
  const style = page.defaultView.getComputedStyle(page.querySelector(".good") || page.body);
  document.getElementById("told").textContent = JSON.stringify({{
    overflow: page.documentElement.scrollWidth - page.documentElement.clientWidth,
    scripts: page.scripts.length,
    hostile: page.defaultView.hostile === undefined ? null : "ran",
    fetched: page.defaultView.performance.getEntriesByType("resource").length,
    color: style.color,
    text: page.body.textContent,
  }});
}};
</script>
"""
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --virtual-time-budget=10000 --enable-logging=stderr --dump-dom"
).split()
DARK, LIGHT = "--blink-settings=preferredColorScheme=0", "--blink-settings=preferredColorScheme=1"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def told(url, folder, scheme):
    command = ["chromium", *FLAGS, scheme, f"--user-data-dir={folder}/chromium", url]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="told">(.*?)</pre>', run.stdout, re.DOTALL)
    errors = [line for line in run.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(found[1])), errors


def hostile(path, output):
    """Returns the model with names that look like markup."""
    model = onnx.load(path)
    node = model.graph.node[-1]
    name = "<script>hostile = 1</script><img src=x onerror='hostile = 2'>"
    old = node.output[0]
    for own in model.graph.node:
        for names in (own.input, own.output):
            for at, value in enumerate(names):
                if value == old:
                    names[at] = name
    for result in model.graph.output:
        if result.name == old:
            result.name = name
    onnx.save(model, output)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("netwright", help="the program")
    args = parser.parse_args()
    models = pathlib.Path(__file__).parent / "models"
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=name))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (folder / "frame.html").write_text(FRAME)
        hostile(models / "bert.legacy.onnx", folder / "hostile.onnx")
        cases = {
            models / "gpt2_kv.legacy.onnx": "2 of 2 attentions, 5 of 5 normalizations, 2 of 2 activations are fused",
            models / "deberta_v2.dynamo.onnx": "which are one axis in the scores before it",
            folder / "hostile.onnx": "<script>hostile = 1</script>",
        }
        for path, text in cases.items():
            page, output = folder / "report.html", folder / "out.onnx"
            outcome = judge.netwright(
                args.netwright, "-q", "optimize", path.resolve(), "-o", output, "--target", "ort", "--report", page
            )
            if outcome.crash or outcome.code != 0:
                wrong.append(f"{path.name}: {outcome.crash or outcome.message}")
                continue
            colors = set()
            for scheme in (LIGHT, DARK):
                found, errors = told(f"http://127.0.0.1:{server.server_port}/frame.html", name, scheme)
                colors.add(found["color"])
                expected = {"overflow": 0, "scripts": 0, "hostile": None, "fetched": 0}
                wrong += [f"{path.name}: {key} is {found[key]}" for key, value in expected.items() if found[key] != value]
                if text not in found["text"]:
                    wrong.append(f"{path.name}: {text!r} is not there")
                wrong += [f"{path.name}: {error}" for error in errors]
            if len(colors) != 2:
                wrong.append(f"{path.name}: dark is as light: {colors}")
    print("\n".join(wrong), end="\n" if wrong else "")
    print(f"report: {len(cases)} pages, {len(wrong)} wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
