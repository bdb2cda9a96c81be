"""Limits on memory and pixels of photos being decoded."""

from __future__ import annotations

import ctypes
import logging
import os
import re
import weakref
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Condition
from time import monotonic
from typing import Any, Protocol

from ..errors import BadInput, PhotoError

logger = logging.getLogger(__name__)
MB, GB = 1024**2, 1024**3
LEAST = 512 * MB
"""Minimum memory in bytes; a photo of 40 million pixels needs 300 MB."""
LARGE = 128 * MB
PATIENCE = 120.0
"""Seconds within which at least one photo should be finished."""
HELD = 128 * MB
"""Bytes of photos that a caller may hold while requesting the next one."""
SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([MG])i?B?", re.IGNORECASE)
CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
ENDED = "crashed", "reading it was cancelled"


class Room(Protocol):
    """The memory for one photo, at most `largest` bytes; a photo with more than `max_pixels` pixels
    is rejected, unless that is 0."""

    @property
    def largest(self) -> int: ...

    @property
    def max_pixels(self) -> int: ...

    def take(self, size: int) -> None:
        """Wait until this much memory is available. Raises PhotoError if the photo is no longer
        wanted."""


@cache
def default_memory() -> int:
    """Return half the memory of this machine or container, from 1 to 16 GB."""
    return max(min(min(_memories(), default=4 * GB) // 2, 16 * GB), GB)


def _memories() -> Iterator[int]:
    with suppress(ValueError, OSError, AttributeError):
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in CGROUPS:
        with suppress(OSError, ValueError):
            yield int(Path(file).read_text("ascii"))


@dataclass(frozen=True, slots=True)
class Limits:
    """`memory` is the limit for all photos being decoded, in bytes."""

    memory: int = field(default_factory=default_memory)
    max_pixels: int = 0

    @property
    def ahead(self) -> int:
        """The share of memory for photos that are decoded ahead of processing."""
        return self.memory - self.again

    @property
    def again(self) -> int:
        """The share for photos that are meanwhile decoded again. These wait neither for each
        other's readers nor for photos decoded ahead."""
        return self.memory // 8

    @property
    def largest(self) -> int:
        """The maximum for a single photo."""
        return self.ahead - HELD

    def room(self, reduced: bool = False) -> Share:
        """Reserve memory for one photo while it is decoded. With `reduced`, it may be decoded at
        reduced size."""
        total = self.again if reduced else self.ahead
        largest = total if reduced else self.largest
        return Share(_of_this_process(os.getpid(), total), largest, self.max_pixels)


def limits(memory: str = "auto", max_pixels: int = 0) -> Limits:
    """Parse options: auto, or a size such as 2GB or 700MB. Raises BadInput."""
    if memory == "auto":
        return Limits(max_pixels=max_pixels)
    match = SIZE.fullmatch(memory.strip())
    if match is None:
        raise BadInput(f"invalid --memory {memory!r}", hint="write auto, 2GB or 700MB")
    size = int(float(match[1]) * {"M": MB, "G": GB}[match[2].upper()])
    if size < LEAST:
        raise BadInput(f"--memory {memory} is too small", hint=f"give {LEAST // MB}MB or more")
    return Limits(size, max_pixels)


class Budget:
    """Memory lent in the order of the queue, so that the first one waits only for those that
    already have some."""

    def __init__(self, total: int) -> None:
        self.total = self._free = total
        self._queue: dict[Share, None] = {}
        self._change, self._closed, self._moved = Condition(), False, monotonic()

    def enter(self, share: Share) -> None:
        with self._change:
            self._queue[share] = None

    def lend(self, share: Share, size: int) -> None:
        """Wait for memory, but not forever if a caller keeps photos and requests more. Raises
        PhotoError if the budget is closed."""
        with self._change:
            while not self._change.wait_for(lambda: self._may_have(share, size), PATIENCE):
                if next(iter(self._queue)) is share and self._moved + PATIENCE <= monotonic():
                    logger.warning("photos are kept longer than expected: memory use may grow")
                    break
            if self._closed:
                raise PhotoError(*ENDED)
            del self._queue[share]
            self._free -= size
            self._moved = monotonic()
            self._change.notify_all()

    def give_back(self, share: Share, size: int) -> None:
        """Return memory, and leave the queue."""
        with self._change:
            self._queue.pop(share, None)
            self._free += size
            self._moved = monotonic()
            self._change.notify_all()

    def close(self) -> None:
        """Stop all waiting."""
        with self._change:
            self._closed = True
            self._change.notify_all()

    def _may_have(self, share: Share, size: int) -> bool:
        return self._closed or (size <= self._free and next(iter(self._queue)) is share)


class Share:
    """A place in the queue of a budget, and then a part of it, until its block ends or the pixels
    it is kept for are freed. A share larger than the budget takes all of it."""

    def __init__(self, budget: Budget, largest: int, max_pixels: int) -> None:
        self.largest, self.max_pixels = largest, max_pixels
        self._budget, self._size, self._kept = budget, 0, False
        budget.enter(self)

    def __enter__(self) -> Share:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._kept:
            self._shrink(0)

    def take(self, size: int) -> None:
        """See Room.take."""
        size = min(size, self._budget.total)
        self._budget.lend(self, size)
        self._size = size

    def keep(self, pixels: Any) -> None:
        """Keep the memory of this array for as long as it exists."""
        self._shrink(min(pixels.nbytes, self._size))
        self._kept = True
        weakref.finalize(pixels, self._shrink, 0).atexit = False

    def _shrink(self, size: int) -> None:
        size, self._size = self._size - size, size
        if size >= LARGE:
            trim()
        self._budget.give_back(self, size)


def trim() -> None:
    """Return memory cached by glibc to the system: after large photos, each thread may retain as
    much as the photo took."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


@cache
def _of_this_process(process: int, total: int) -> Budget:
    return Budget(total)
