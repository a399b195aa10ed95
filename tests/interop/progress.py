"""Checks what a terminal shows while a model is written: the bytes, the rate and the time left; and while models are
verified: the run, the runtime and the sizes.

Usage: progress.py NETWRIGHT

Only standard error is a terminal. Without a terminal, with --quiet and with --json, nothing is shown. The command and its
worker are paused again and again, so that it takes over a second on a fast machine too.
"""

import os
import pathlib
import pty
import re
import signal
import subprocess
import sys
import tempfile
import threading

WRITING = re.compile(r"building \d+s: [\d,]+ of [\d,]+ MB, [\d,]+ MB/s, (\d+ min )?\d+ s left")
VERIFYING = re.compile(r"verifying \d+s: run \d+ of \d+ in tract, batch = \d+, ")
# A model whose runs take over a second of processor time.
SLOW = pathlib.Path(__file__).parent / "models" / "t5_decoder.legacy.onnx"

# A process runs for a sixth of the time while it is paused again and again.
RUNS_SECONDS, PAUSES_SECONDS = 0.02, 0.1


def slow_down(process: subprocess.Popen, is_enough: threading.Event) -> None:
    """Pauses a process again and again until the event is set or the process ends."""
    while not is_enough.wait(RUNS_SECONDS) and process.poll() is None:
        os.killpg(process.pid, signal.SIGSTOP)
        is_enough.wait(PAUSES_SECONDS)
        os.killpg(process.pid, signal.SIGCONT)


def on_terminal(command: list[str], line: re.Pattern, most_seconds: float) -> str:
    """Returns what a command prints to standard error, which is a terminal of 120 columns.

    The command is slowed down until it shows the line of progress, for at most some seconds.
    """
    main, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal, env=environment, start_new_session=True)
    os.close(terminal)
    is_enough = threading.Event()
    timer = threading.Timer(most_seconds, is_enough.set)
    slower = threading.Thread(target=slow_down, args=(process, is_enough))
    timer.start()
    slower.start()
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
        if line.search(shown.decode(errors="replace")):
            is_enough.set()
    is_enough.set()
    timer.cancel()
    slower.join()
    os.close(main)
    assert process.wait() == 0, shown
    return shown.decode()


def main() -> None:
    netwright = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        model = f"{folder}/big.onnx"
        build = [netwright, "build", "transformer-big", "-o", model, "--target", "ort", "--quantize", "int4"]
        verify = [netwright, "verify", str(SLOW), str(SLOW), "--runtime", "tract", "--long"]
        for command, line in [(build, WRITING), (verify, VERIFYING)]:
            shown = on_terminal(command, line, 60)
            assert line.search(shown), f"no progress is shown: {shown!r}"
        for flag in ["--quiet", "--json"]:
            shown = on_terminal([*build, flag], WRITING, 3)
            assert not shown, f"{flag}: {shown!r}"
        quiet = subprocess.run(build, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
        assert not quiet.stderr, quiet.stderr
    print("progress: shown on a terminal only")


if __name__ == "__main__":
    main()
