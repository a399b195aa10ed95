"""Runs every command of README.md and of the pages of the book, compares what it prints with the page, and checks links.

A `console` block is a transcript: lines that begin with `$ ` are commands, which run in the checkout, one page after
the other; the lines below are the output. A line `…` stands for any lines, `…` within a line for any text, and times
may differ. A command that shows no output may print anything. A command fails if and only if its output shows `error`.
Blocks of other languages do not run. Commands are not told where ONNX Runtime is, because a reader may not have it. The
commands of README.md are those that a new user runs first: each takes at most two seconds of processor time, which
another program on the machine does not lengthen.

usage: docs.py FOLDER_OF_THE_COMMAND [PAGE...]
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```(\w*).*?\n(.*?)^```$", re.M | re.S)
TIME = re.compile(r"\d+\.\d+ s\b")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|<img [^>]*src=\"([^\"]+)\"")
MARK = "@@end of command "
README_SECONDS = 2.0
READERS = {name: value for name, value in os.environ.items() if name not in ("ORT_DYLIB_PATH", "VIRTUAL_ENV", "CONDA_PREFIX")}


def transcript(block: str) -> list[tuple[str, list[str]]]:
    """Returns the commands of a block, each with the lines that it prints."""
    calls: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            calls.append((line[2:], []))
        else:
            assert calls, f"a block of commands begins with a command, not with {line!r}"
            calls[-1][1].append(line.rstrip())
    return calls


def run(calls: list[str], path: str) -> list[tuple[int, float, list[str]]]:
    """Runs commands one after the other in one shell.

    Returns of each the exit code, the seconds of processor time of its processes, and the output.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as script:
        script.write("TIMEFORMAT=$'\\n%U %S'\n")
        script.write("".join(f"time {{ {call}\n}}\nprintf '{MARK}%d\\n' $?\n" for call in calls))
        script.flush()
        output = subprocess.run(
            ["bash", "-o", "pipefail", script.name], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, env={**READERS, "PATH": f"{path}:{os.environ['PATH']}"},
        ).stdout
    results, lines = [], []
    for line in output.splitlines():
        if line.startswith(MARK):
            seconds = sum(map(float, lines.pop().split()))
            if lines and not lines[-1]:
                lines.pop()
            results.append((int(line[len(MARK):]), seconds, lines))
            lines = []
        else:
            lines.append(line.rstrip())
    assert len(results) == len(calls), output
    return results


def shows(expected: list[str], actual: list[str]) -> bool:
    """Returns whether the output is what the page shows."""
    pattern = ""
    for line in expected:
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(re.escape(part) for part in TIME.sub("[time]", line).split("…")) + "\n"
    return re.fullmatch(pattern, "".join(f"{TIME.sub('[time]', line)}\n" for line in actual)) is not None


def anchors(text: str) -> set[str]:
    """Returns the anchors of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: pathlib.Path, text: str) -> list[str]:
    found = []
    for link in (match[1] or match[2] for match in LINK.finditer(FENCE.sub("", text))):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if "://" in link:
            continue
        if not target.exists():
            found.append(f"{link}: there is no such file")
        elif anchor and anchor not in anchors(target.read_text()):
            found.append(f"{link}: there is no such heading")
    return found


def main() -> None:
    folder, *names = sys.argv[1:]
    path = str(pathlib.Path(folder).resolve())
    summary = (ROOT / "docs/SUMMARY.md").read_text()
    pages = sorted((ROOT / "docs").glob("*.md"))
    listed = re.findall(r"\]\(([^)]+)\)", summary)
    assert sorted(listed) == [page.name for page in pages if page.name != "SUMMARY.md"], "SUMMARY.md lists each page once"
    words = len((ROOT / "README.md").read_text().split())
    assert words <= 900, f"README.md has {words} words; it is one page of at most 900"
    sections = (ROOT / "docs/questions.md").read_text().split("\n## ")[1:]
    assert len(sections) == 10 and all("```console" in section for section in sections), "ten questions, each with a command"
    failures = 0
    for page in [ROOT / "README.md", *pages]:
        name = str(page.relative_to(ROOT))
        if names and name not in names:
            continue
        text = page.read_text()
        failed = broken_links(page, text)
        calls = [call for match in FENCE.finditer(text) if match[1] == "console" for call in transcript(match[2])]
        for (call, expected), (code, seconds, actual) in zip(calls, run([call for call, _ in calls], path), strict=True):
            fails = any(line.startswith("error") for line in expected)
            if (code != 0) != fails or expected and not shows(expected, actual):
                failed.append("\n    ".join([f"$ {call}", *actual, f"(exit code {code})"]))
            if name == "README.md" and seconds > README_SECONDS:
                failed.append(f"$ {call}\n    takes {seconds:.2f} s of processor time; a new user waits for {README_SECONDS} s at most")
        print(f"{name}: {len(calls)} commands, {'fails' if failed else 'ok'}", flush=True)
        for failure in failed:
            print(f"  {failure}", flush=True)
        failures += len(failed)
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
