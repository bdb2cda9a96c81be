"""Where the photos of a scan are processed: on this machine or on a cluster."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Protocol

from ..records import Failure, Photo, Result

Answer = tuple[Photo, Result | Failure]
"""A photo as found, and its result."""


class Backend(Protocol):
    """Processes photos; `metadata` describes models and options as fingerprint.metadata does."""

    @property
    def metadata(self) -> Mapping[str, str]: ...

    def answers(self, todo: Iterator[Photo]) -> Generator[Answer, None, None]:
        """Yield a result for each photo, in any order. Raises Stopped."""

    def close(self) -> None:
        """Release all resources."""
