"""Where the photos of a scan are processed: on this machine or on a cluster."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Protocol

from ..records import Failure, Photo, Result

Answer = tuple[Photo, Result | Failure]
"""A photo as it was found, and what became of it."""


class Backend(Protocol):
    """Answers photos; `metadata` says with what, as fingerprint.metadata does."""

    @property
    def metadata(self) -> Mapping[str, str]: ...

    def answers(self, todo: Iterator[Photo]) -> Generator[Answer, None, None]:
        """An answer for each photo, in any order. Raises Stopped."""

    def close(self) -> None:
        """Let go of what was opened."""
