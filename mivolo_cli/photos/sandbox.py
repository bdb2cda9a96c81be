"""Decode photos in separate processes: one that crashes, hangs or exhausts memory affects only that
photo.

The processes run `sandbox_worker`. Their replies are not trusted: one line of JSON, and exactly the
number of pixels it announces.
"""

from __future__ import annotations

import atexit
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from threading import Lock, Timer
from typing import Any

import numpy as np

from ..errors import PhotoError
from ..records import Image, Photo, Pixels
from .limits import Room

SECONDS = 60.0
"""Time limit for a photo, including reading it from a slow drive."""
MAX_LINE = 65_536
FACTS = "bytes", "mtime_ns"
TIMEOUT = "timeout", "decoding took too long and was stopped"
CRASHED = "crashed", "the decoder crashed"


STRANGE = (OSError, EOFError, ValueError, TypeError, LookupError, OverflowError, RecursionError)
"""Exceptions raised by malformed replies."""


class Sandbox:
    """Pool of decoder processes, as many as threads that use them at once, started on demand."""

    def __init__(self, seconds: float | None = None, command: Sequence[str] = ()) -> None:
        self._seconds = SECONDS if seconds is None else seconds
        self._command = list(command) or [
            *(sys.executable, "-P", "-m", f"{__package__}.sandbox_worker"),
            str(self._seconds + 5),
        ]
        self._lock = Lock()
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()
        self._closed = False

    def decode(
        self, photo: Photo, data: bytes | None, min_size: tuple[int, int] | None, room: Room
    ) -> Image:
        """Decode a photo like decode.decode. Raises PhotoError, also if the process crashes or
        times out."""
        with self._process() as process:
            answer = process.ask(asdict(photo) | {"min_size": min_size}, data, room)
            return process.image(photo, answer)

    def call(self, function: str, data: bytes, room: Room, **arguments: Any) -> Any:
        """Call `function(data, room, **arguments)` of this package in a process; return its result,
        any JSON value. Raises the same errors as `decode`."""
        with self._process() as process:
            answer = process.ask({"function": function, "arguments": arguments}, data, room)
            if "said" not in answer:
                raise PhotoError(*CRASHED)
            return answer["said"]

    @contextmanager
    def _process(self) -> Iterator[_Process]:
        process = self._take()
        try:
            yield process
        except PhotoError as error:
            if error.code in (TIMEOUT[0], CRASHED[0]):
                self._drop(process)
            else:
                self._give_back(process)
            raise
        except BaseException:
            self._drop(process)
            raise
        self._give_back(process)

    def close(self) -> None:
        """End all processes, including busy ones."""
        with self._lock:
            self._closed = True
            processes, self._all, self._idle = self._all, set(), []
        for process in processes:
            process.end()

    def _take(self) -> _Process:
        with self._lock:
            if self._closed:
                raise PhotoError(*CRASHED)
            if self._idle:
                return self._idle.pop()
            process = _Process(self._command, self._seconds)
            self._all.add(process)
            return process

    def _give_back(self, process: _Process) -> None:
        with self._lock:
            if process in self._all:
                self._idle.append(process)

    def _drop(self, process: _Process) -> None:
        with self._lock:
            self._all.discard(process)
        process.end()


@cache
def _of_this_process(process: int) -> Sandbox:
    sandbox = Sandbox()
    atexit.register(sandbox.close)
    return sandbox


def shared() -> Sandbox:
    """Return a sandbox shared by callers that read photos occasionally; it is closed at exit."""
    return _of_this_process(os.getpid())


class _Process:
    """A process that decodes one photo at a time."""

    def __init__(self, command: Sequence[str], seconds: float) -> None:
        path = os.pathsep.join(
            filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")))
        )
        self._seconds, self._granted = seconds, 0
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C goes to the program, which then ends this
        )

    def ask(self, request: dict[str, Any], data: bytes | None, room: Room) -> dict[str, Any]:
        """Send a request and return the reply. The process waits until the memory it needs is
        available; the time limit applies before and after that wait. Raises PhotoError."""
        limits = {"largest": room.largest, "max_pixels": room.max_pixels}
        follow = None if data is None else len(data)
        self._granted = 0
        with self._limited():
            self._send(json.dumps(request | limits | {"follow": follow}).encode() + b"\n", data)
            answer = self._line()
            need = int(answer.get("need", 0))
            if need < 0:
                raise ValueError
        if need:
            room.take(need)
            self._granted = need
            with self._limited():
                self._send(b"\n")
                answer = self._line()
        if "code" in answer:
            raise PhotoError(str(answer["code"]), str(answer.get("message")))
        return answer

    def image(self, photo: Photo, answer: dict[str, Any]) -> Image:
        """Read the image described by the reply, and the pixels after it. Raises PhotoError."""
        with self._limited():
            pixels = self._read_pixels(int(answer["height"]), int(answer["width"]))
            taken_at = answer["taken_at"] and datetime.fromisoformat(answer["taken_at"])
            size, time = (None if answer[name] is None else int(answer[name]) for name in FACTS)
            facts = replace(photo, bytes=size, mtime_ns=time)
            whole = answer["original_size"] and (
                int(answer["original_size"][0]),
                int(answer["original_size"][1]),
            )
            return Image(facts, pixels, taken_at, whole)

    def end(self) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self._process.wait()

    @contextmanager
    def _limited(self) -> Iterator[None]:
        """Kill the process after its time limit. Any resulting or other failure becomes a
        PhotoError."""
        late = False

        def stop() -> None:
            nonlocal late
            late = True
            self._process.kill()

        timer = Timer(self._seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            yield
        except STRANGE as error:
            raise PhotoError(*(TIMEOUT if late else CRASHED)) from error
        finally:
            timer.cancel()

    def _send(self, line: bytes, data: bytes | None = None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.write(data or b"")
        self._process.stdin.flush()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer = json.loads(self._process.stdout.readline(MAX_LINE))
        if not isinstance(answer, dict):
            raise TypeError
        return answer

    def _read_pixels(self, height: int, width: int) -> Pixels:
        if not (height > 0 and width > 0 and 3 * height * width <= self._granted):
            raise ValueError(f"a picture of {height} x {width} pixels")
        pixels = np.empty((height, width, 3), np.uint8)
        left = pixels.data.cast("B")
        assert isinstance(self._process.stdout, io.BufferedReader)
        while left:
            count = self._process.stdout.readinto(left)
            if not count:
                raise EOFError
            left = left[count:]
        return pixels
