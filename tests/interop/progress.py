"""Checks what a terminal shows while a model is written: the bytes, the rate and the time left.

Usage: progress.py NETWRIGHT

Only standard error is a terminal. Without a terminal, with --quiet and with --json, nothing is shown.
"""

import os
import pathlib
import pty
import re
import subprocess
import sys
import tempfile

LINE = re.compile(r"building \d+s: [\d,]+ of [\d,]+ MB, [\d,]+ MB/s, (\d+ min )?\d+ s left")


def on_terminal(command: list[str]) -> str:
    """Returns what a command prints to standard error, which is a terminal of 120 columns."""
    main, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal, env=environment)
    os.close(terminal)
    shown = b""
    while True:
        try:
            part = os.read(main, 1 << 16)
        except OSError:
            # Linux reports an error when the other end is closed.
            break
        if not part:
            break
        shown += part
    os.close(main)
    assert process.wait() == 0, shown
    return shown.decode()


def main() -> None:
    netwright = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        model = f"{folder}/big.onnx"
        # Searched scales take some seconds.
        build = [netwright, "build", "transformer-big", "-o", model, "--target", "ort", "--quantize", "int4"]
        shown = on_terminal(build)
        assert LINE.search(shown), f"no progress is shown: {shown!r}"
        for flag in ["--quiet", "--json"]:
            shown = on_terminal([*build, flag])
            assert not shown, f"{flag}: {shown!r}"
        quiet = subprocess.run(build, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
        assert not quiet.stderr, quiet.stderr
    print("progress: shown on a terminal only")


if __name__ == "__main__":
    main()
