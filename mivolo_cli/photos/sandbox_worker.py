"""The process behind `sandbox`: decodes requested photos within time and memory limits."""

from __future__ import annotations

import json
import os
import pkgutil
import signal
import sys
from contextlib import suppress
from typing import Any, BinaryIO

import PIL.Image

from ..errors import PhotoError
from ..records import Photo
from . import decode
from .codes import CODES
from .formats import prepare
from .limits import GB, trim

OPENING = GB
"""Bytes that may be allocated before the size of a picture is known."""
NOTHING = memoryview(b"")
Answer = tuple[dict[str, Any], memoryview]


class _Asked:
    """A request, which is also its memory: see limits.Room. Memory is requested by a line, and
    granted by an empty line."""

    def __init__(
        self, request: dict[str, Any], requests: BinaryIO, answers: BinaryIO, seconds: float
    ) -> None:
        self.largest, self.max_pixels = request.pop("largest"), request.pop("max_pixels")
        follow = request.pop("follow")
        self.data = None if follow is None else requests.read(follow)
        self.request, self._seconds = request, seconds
        self._requests, self._answers = requests, answers

    def take(self, size: int) -> None:
        _set_alarm(0)
        self.answer({"need": size})
        if not self._requests.readline():
            raise EOFError  # the parent process has ended
        _set_alarm(self._seconds)
        _limit_memory(size + size // 2 + OPENING // 2)

    def answer(self, head: dict[str, Any], pixels: memoryview = NOTHING) -> None:
        self._answers.write(json.dumps(head).encode() + b"\n")
        self._answers.write(pixels)
        self._answers.flush()


def serve(requests: BinaryIO, answers: BinaryIO, seconds: float) -> None:
    """Reply to each request line with a line, followed by pixels if there are any. Returns when
    there are no more requests.

    A line describes the photo, and how many bytes of it follow if it is not a local file. A photo
    that takes too long ends the process, even if the parent process is gone.
    """
    for line in requests:
        _set_alarm(seconds)
        _limit_memory(OPENING)
        asked = _Asked(json.loads(line), requests, answers, seconds)
        asked.answer(*_answer(asked))
        _set_alarm(0)
        trim()


def _answer(asked: _Asked) -> Answer:
    try:
        return _called(asked) if "function" in asked.request else _decoded(asked)
    except PhotoError as error:
        return {"code": error.code, "message": str(error)[:1000]}, NOTHING
    except MemoryError:
        return {"code": "too_large", "message": CODES["too_large"]}, NOTHING


def _decoded(asked: _Asked) -> Answer:
    min_size = asked.request.pop("min_size")
    image = decode.decode(Photo(**asked.request), min_size, asked.data, asked)
    taken_at = None if image.taken_at is None else image.taken_at.isoformat()
    facts: dict[str, Any] = {
        "bytes": image.photo.bytes,
        "mtime_ns": image.photo.mtime_ns,
        "taken_at": taken_at,
    }
    height, width = image.pixels.shape[:2]
    facts |= {"height": height, "width": width, "original_size": image.original_size}
    return facts, image.pixels.data.cast("B")


def _called(asked: _Asked) -> Answer:
    function = pkgutil.resolve_name(asked.request["function"])
    return {"said": function(asked.data, asked, **asked.request["arguments"])}, NOTHING


def _set_alarm(seconds: float) -> None:
    with suppress(AttributeError):  # not available on Windows
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit_memory(more: int) -> None:
    """Limit the growth of the process to this many bytes, if the system supports that."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm", encoding="ascii") as facts:
            now = int(facts.read().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (now + more, hard))


def _main(seconds: str) -> None:
    """Serve requests on stdin and stdout. Output of libraries is discarded, because the pipes carry
    the replies."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    prepare()
    PIL.Image.MAX_IMAGE_PIXELS = None  # the memory budget decides
    with suppress(BrokenPipeError):
        serve(requests, answers, float(seconds))


if __name__ == "__main__":
    _main(*sys.argv[1:])
