"""Decode photos in processes of their own: one that crashes, hangs or eats all memory costs that
photo only.

The processes run `sandbox_worker`. What they answer is not trusted: a line of JSON, and as many
pixels as it says.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import Lock, Timer
from typing import IO, Any

import numpy as np

from ..errors import PhotoError
from ..records import Image, Photo, Pixels

SECONDS = 60.0
"""The longest that a photo may take, reading it from a slow drive included."""
MEMORY = 3 * 1024**3
"""Bytes that decoding may take: the largest picture that is let in needs half of it in the worst of
formats."""
MAX_LINE = 65_536
MAX_SEGMENTS = 1000
TIMEOUT = "timeout", "decoding it took too long, and was stopped"
CRASHED = "crashed", "the decoder broke down on it"


class Sandbox:
    """As many processes as there are threads that ask at once, started when the first of them
    asks."""

    def __init__(
        self, seconds: float | None = None, memory: int = MEMORY, command: Sequence[str] = ()
    ) -> None:
        self._seconds = SECONDS if seconds is None else seconds
        self._command = list(command) or [
            *(
                sys.executable,
                "-P",
                "-m",
                f"{__package__}.sandbox_worker",
                str(self._seconds + 5),
                str(memory),
            )
        ]
        self._lock = Lock()
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()
        self._closed = False

    def decode(self, photo: Photo, data: bytes | None = None) -> Image:
        """Like photos.decode. Raises PhotoError, also for what became of the process."""
        process = self._take()
        try:
            image = process.decode(photo, data, self._seconds)
        except PhotoError as error:
            if error.code in (TIMEOUT[0], CRASHED[0]):
                self._drop(process)
            else:
                self._give_back(process)
            raise
        self._give_back(process)
        return image

    def close(self) -> None:
        """End all processes, those at work too."""
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
            process = _Process(self._command)
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


def is_progressive(file: IO[bytes]) -> bool:
    """Whether a JPEG is progressive; what comes before its frame is passed over."""
    file.seek(2)
    for _ in range(MAX_SEGMENTS):
        marker = file.read(4)
        if len(marker) < 4 or marker[0] != 0xFF or marker[1] in (0xC0, 0xC1):
            return False
        if marker[1] in range(0xC2, 0xD0) and marker[1] not in (0xC4, 0xCC):
            return True
        file.seek(max(int.from_bytes(marker[2:], "big") - 2, 0), os.SEEK_CUR)
    return True


def ends_early(file: IO[bytes]) -> bool:
    """Whether a WebP, AVIF or HEIC file is shorter than it says itself; their decoders do not
    tell."""
    size = file.seek(0, os.SEEK_END)
    end = file.seek(0)
    start = file.read(8)
    if start[:4] == b"RIFF":
        return size < 8 + int.from_bytes(start[4:], "little")
    length = int.from_bytes(start[:4], "big") if start[4:] == b"ftyp" else 0
    while (
        length >= 8 and end < size
    ):  # box after box; those of other lengths reach to the end, or are huge
        end = file.seek(end + length)
        length = int.from_bytes(file.read(4), "big")
    return end > size


class _Process:
    """One process, for one photo at a time."""

    def __init__(self, command: Sequence[str]) -> None:
        path = os.pathsep.join(
            filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")))
        )
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the program, which then ends this
        )

    def decode(self, photo: Photo, data: bytes | None, seconds: float) -> Image:
        late = False

        def stop() -> None:
            nonlocal late
            late = True
            self._process.kill()

        timer = Timer(seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            return self._ask(photo, data)
        except (
            OSError,
            EOFError,
            ValueError,
            TypeError,
            KeyError,
            OverflowError,
            RecursionError,
        ) as error:
            raise PhotoError(*(TIMEOUT if late else CRASHED)) from error
        finally:
            timer.cancel()

    def end(self) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self._process.wait()

    def _ask(self, photo: Photo, data: bytes | None) -> Image:
        assert self._process.stdin is not None and self._process.stdout is not None
        request = {
            "root": photo.root,
            "path": photo.path,
            "bytes": photo.bytes,
            "mtime_ns": photo.mtime_ns,
        }
        follow = None if data is None else len(data)
        self._process.stdin.write(json.dumps({"photo": request, "follow": follow}).encode() + b"\n")
        self._process.stdin.write(data or b"")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline(MAX_LINE))
        if "code" in answer:
            raise PhotoError(str(answer["code"]), str(answer["message"]))
        pixels = self._read_pixels(int(answer["height"]), int(answer["width"]))
        taken_at = (
            None if answer["taken_at"] is None else datetime.fromisoformat(answer["taken_at"])
        )
        facts = replace(photo, bytes=int(answer["bytes"]), mtime_ns=int(answer["mtime_ns"]))
        return Image(facts, pixels, taken_at)

    def _read_pixels(self, height: int, width: int) -> Pixels:
        if not (height > 0 and width > 0 and 3 * height * width <= MEMORY):
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
