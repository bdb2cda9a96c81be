"""Shards: split a collection into parts by a hash of the photos' paths, identically on every
machine and at any time."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from ..errors import BadInput
from ..records import archive_of, text


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `number` of `count`, counted from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def holds(self, path: str) -> bool:
        """Return whether the photo at this path below its root is in this part; exactly one part
        has it.

        All photos in one tar or Parquet file are in the same part.
        """
        digest = hashlib.blake2b(text(archive_of(path)[0]).encode(), digest_size=8).digest()
        return int.from_bytes(digest) % self.count == self.number - 1


def parse(shard: str) -> Shard:
    """Parse `3/8`. Raises BadInput."""
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", shard, re.ASCII)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise BadInput(
            f"{shard} is not a shard",
            hint="write i/n, with i from 1 to n: --shard 1/8 is the first of eight",
        )
    return Shard(int(match[1]), int(match[2]))
