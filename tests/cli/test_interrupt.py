"""Ctrl-C, while the program cannot listen."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from mivolo_cli.cli.interrupt import ending_within

BUSY = """
import hashlib, os, signal, sys, threading
from mivolo_cli.cli.interrupt import ending_within
from mivolo_cli.cli import streams
signal.signal(signal.SIGINT, signal.default_int_handler)  # what started the tests may ignore it
signal.signal(signal.SIGTERM, signal.SIG_DFL)
streams.end_on_sigterm()
threading.Timer(2, os.kill, (os.getpid(), signal.{name})).start()
try:
    with ending_within(float(sys.argv[1]), 130, 'go on later'):
        {work}
except KeyboardInterrupt:
    print("tidied up")
    sys.exit(7)
"""
LONG_CALL = "hashlib.pbkdf2_hmac('sha256', b'x', b'x', 10**9)"
"""One step of Python, of many minutes, that lets other threads run: like a large model's batch."""
IN_PYTHON = "while True: pass"


@pytest.mark.parametrize(
    ("work", "seconds", "code", "last"),
    [(LONG_CALL, 0.2, 130, "\ngo on later\n"), (IN_PYTHON, 60, 7, "tidied up\n")],
)
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_ctrl_c_and_sigterm_end_the_process(
    work: str, seconds: float, code: int, last: str, name: str
) -> None:
    script = [sys.executable, "-c", BUSY.format(work=work, name=name), str(seconds)]
    done = subprocess.run(
        script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (code, last)


def test_nothing_stays_behind() -> None:
    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    for error in (None, ValueError):
        try:
            with ending_within(60, 130, ""):
                if error:
                    raise error
        except ValueError:
            pass
    assert signal.set_wakeup_fd(before) == before
    assert not any(thread.name == "interrupt" for thread in threading.enumerate())


def test_another_thread_may_use_it() -> None:
    seen = []

    def run() -> None:
        with ending_within(60, 130, ""):
            seen.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [True]
