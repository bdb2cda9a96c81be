"""Make Ctrl-C take effect quickly, whatever the program is doing."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

STOPS = (bytes([signal.SIGINT]), bytes([signal.SIGTERM]))


@contextmanager
def asked() -> Iterator[threading.Event]:
    """Return an event that the first Ctrl-C in the block sets, for work that stops at a suitable
    point; the second one raises KeyboardInterrupt."""
    event = threading.Event()

    def ask(number: int, frame: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def ending_within(seconds: float, exit_code: int, last_words: str) -> Iterator[None]:
    """After Ctrl-C or SIGTERM in the block, end the process after at most this many seconds, with a
    message.

    Python raises KeyboardInterrupt only between its own steps, and one step may be a long
    calculation; meanwhile, the signal wakes a thread through a socket. Nothing is lost: finished
    work is on disk, and incomplete files have temporary names.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    over = threading.Event()

    def watch() -> None:
        with suppress(OSError):
            while (heard := ours.recv(1)) and heard not in STOPS:
                pass
            if heard and not over.wait(seconds):
                os.write(2, f"\n{last_words}\n".encode())
                os._exit(exit_code)

    before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=watch, name="interrupt", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        theirs.close()
        watcher.join()
        ours.close()
