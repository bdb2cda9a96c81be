"""The process behind `decoders`: decodes the photos that it is asked for, within limits of time and
memory."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from typing import Any, BinaryIO

from ..errors import PhotoError
from ..records import Photo
from . import decode


def serve(requests: BinaryIO, answers: BinaryIO, seconds: float) -> None:
    """Answer each line with a line, and with pixels where there are some. Ends when there are no
    more requests.

    A line says which photo is meant, and how many bytes of it follow where it is no file on this
    computer.

    A photo that takes longer ends the process, even where nobody is left to stop it.
    """
    for line in requests:
        _set_alarm(seconds)
        request = json.loads(line)
        data = None if request["follow"] is None else requests.read(request["follow"])
        header, pixels = _answer(Photo(**request["photo"]), data)
        answers.write(json.dumps(header).encode() + b"\n")
        answers.write(pixels)
        answers.flush()
        _set_alarm(0)


def _answer(photo: Photo, data: bytes | None) -> tuple[dict[str, Any], memoryview]:
    try:
        image = decode.decode(photo, data=data)
    except PhotoError as error:
        return {"code": error.code, "message": str(error)[:1000]}, memoryview(b"")
    taken_at = None if image.taken_at is None else image.taken_at.isoformat()
    facts = {"bytes": image.photo.bytes, "mtime_ns": image.photo.mtime_ns, "taken_at": taken_at}
    return {"height": image.height, "width": image.width, **facts}, image.pixels.data.cast("B")


def _set_alarm(seconds: float) -> None:
    with suppress(AttributeError):  # Windows has none
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit_memory(more: int) -> None:
    """Let the process grow by so many bytes, where the system can be told so."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm", encoding="ascii") as facts:
            now = int(facts.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + more, now + more))


def _main(seconds: str, memory: str) -> None:
    """What a library prints goes nowhere: the pipes are for the answers."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    decode.prepare()
    _limit_memory(int(memory))
    with suppress(BrokenPipeError):
        serve(requests, answers, float(seconds))


if __name__ == "__main__":
    _main(*sys.argv[1:])
