"""Checks the page of `netwright attention` in headless Chromium: light and dark, by keys and by touch, on a phone."""

import argparse
import functools
import http.server
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading

import judge
import report

WIDTH = 390
# Drives the page in a frame as wide as a phone, and tells what it shows after each step.
FRAME = f"""<!doctype html>
<iframe id="page" src="attention.html" style="width: {WIDTH}px; height: 900px; border: 0"></iframe>
<pre id="told"></pre>
<script>
const frame = document.getElementById("page");
frame.onload = () => {{
  const [page, view] = [frame.contentDocument, frame.contentWindow];
  const find = (id) => page.getElementById(id);
  const shows = () => [find("layer").value, find("head").value, find("token").value, page.querySelector("[data-view=lines]").ariaPressed].join(" ");
  const steps = [shows()];
  const press = (key, target = page.body) => {{
    target.dispatchEvent(new view.KeyboardEvent("keydown", {{ key, bubbles: true, cancelable: true }}));
    steps.push(shows());
  }};
  const tap = (element, x, y) => {{
    const box = element.getBoundingClientRect();
    element.dispatchEvent(new view.MouseEvent("click", {{ clientX: box.x + x, clientY: box.y + y, bubbles: true }}));
    steps.push(shows());
  }};
  const ink = (canvas) => {{
    const copy = Object.assign(document.createElement("canvas"), {{ width: canvas.width, height: canvas.height }});
    const context = copy.getContext("2d", {{ willReadFrequently: true }});
    context.drawImage(canvas, 0, 0);
    const bytes = context.getImageData(0, 0, canvas.width, canvas.height).data;
    return bytes.filter((byte, at) => at % 4 === 3 && byte > 0).length / (canvas.width * canvas.height);
  }};
  const inks = [ink(find("figure")), ink(find("heads"))];
  press("n"); press("n"); press("p"); press("v");
  press("ArrowRight", find("heads")); press("ArrowDown", find("heads")); press("ArrowDown", find("figure")); press("v");
  tap(find("heads"), 5, 5);
  inks.push(ink(find("figure")));
  const sums = [];
  for (let token = 0; token < find("token").options.length; token++) {{
    find("token").value = token;
    find("token").dispatchEvent(new view.Event("change"));
    sums.push(Number(find("status").textContent.match(/sums to ([0-9.]+)\\.$/)[1]));
  }}
  press("k");
  document.getElementById("told").textContent = JSON.stringify({{
    steps, inks, sums,
    overflow: page.documentElement.scrollWidth - page.documentElement.clientWidth,
    fetched: view.performance.getEntriesByType("resource").length,
    hostile: view.hostile === undefined ? null : "ran",
    status: find("status").textContent,
    color: view.getComputedStyle(page.body).color,
    kinds: [...page.querySelectorAll("[data-kind]")].map((button) => button.textContent),
  }});
}};
</script>
"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("netwright", help="the program")
    args = parser.parse_args()
    if shutil.which("chromium") is None:
        print("attention: skipped, Chromium is not installed")
        return
    root = pathlib.Path(__file__).resolve().parents[2]
    cases = {
        "dates": ["examples/dates", "--text", "March 3, 1987"],
        "bert": ["tests/families/bert", "--ids", "3,17,5,40,8,29"],
        "gpt2": ["tests/families/gpt2", "--ids", "3,17,5,40,8,29", "--averaged"],
        "t5": ["tests/families/t5", "--ids", "3,17,5,40,8,29", "--decoder-ids", "7,5", "--rollout"],
    }
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(report.Quiet, directory=name))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (folder / "frame.html").write_text(FRAME)
        for case, (model, *flags) in cases.items():
            call = ["-q", "attention", root / model, *flags, "-o", folder / "attention.html"]
            outcome = judge.netwright(args.netwright, *call)
            if outcome.crash or outcome.code != 0:
                wrong.append(f"{case}: {outcome.crash or outcome.message}")
                continue
            colors = set()
            for scheme in (report.LIGHT, report.DARK):
                found, errors = report.told(f"http://127.0.0.1:{server.server_port}/frame.html", name, scheme)
                colors.add(found["color"])
                wrong += [f"{case}: {error}" for error in errors]
                expected = {"overflow": 0, "hostile": None, "fetched": 0}
                wrong += [f"{case}: {key} is {found[key]}" for key, value in expected.items() if found[key] != value]
                wrong += [f"{case}: a row sums to {sum}" for sum in found["sums"] if abs(sum - 1) > 1e-5]
                if len(found["sums"]) < 3 or min(found["inks"]) < 0.01:
                    wrong.append(f"{case}: too little is drawn: {found['inks']} of {len(found['sums'])} tokens")
                if case == "dates":
                    steps = ["0 0 0 false", "0 0 1 false", "0 0 2 false", "0 0 1 false", "0 0 1 true", "0 1 1 true", "1 1 1 true", "1 1 2 true", "1 1 2 false", "0 0 2 false", "0 0 0 false"]
                    if found["steps"] != steps:
                        wrong.append(f"{case}: keys show {found['steps']}")
                    if found["kinds"] != ["encoder", "decoder", "decoder to encoder"]:
                        wrong.append(f"{case}: {found['kinds']}")
            if len(colors) != 2:
                wrong.append(f"{case}: dark is as light: {colors}")
    print("\n".join(wrong), end="\n" if wrong else "")
    print(f"attention: {len(cases)} pages, {len(wrong)} wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
