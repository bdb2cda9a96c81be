"""Share several resources, such as one engine per GPU, between threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class ResourcePool(Generic[T]):
    """A pool that lends each of several resources to one thread at a time."""

    def __init__(self, several: Sequence[T]) -> None:
        self._waiting: SimpleQueue[T] = SimpleQueue()
        for one in several:
            self._waiting.put(one)

    @contextmanager
    def one(self) -> Iterator[T]:
        """Borrow an idle resource; waits until there is one."""
        taken = self._waiting.get()
        try:
            yield taken
        finally:
            self._waiting.put(taken)
