"""The plan of a run: which photos have results, which must be processed, and their order in the
table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OutputError
from ..records import Failure, Photo
from . import store

if TYPE_CHECKING:
    import pyarrow as pa

Known = Callable[[Photo, int], bool]
"""Whether this is still the scanned photo, now or when it had this many bytes (only its metadata
changed)."""
Entry = bytes | Failure
"""A photo in the table: the key of its result, or its failure during the walk."""


class Plan:
    """Filled while photos are found: `order` is the order of the table, `roots` are those that
    contain photos."""

    def __init__(self, kept: store.ResultStore) -> None:
        self.kept = kept
        self.order: list[Entry] = []
        self.roots: set[str] = set()
        self.done = 0
        self._waiting: dict[bytes, bytes] = {}
        """Keys of photos being processed, so that each exists only once in memory."""

    def todo(
        self,
        found: Iterable[Photo | Failure],
        reuse: Callable[[Photo], None],
        known: Known = lambda photo, size: False,
    ) -> Iterator[Photo]:
        """Yield the photos without a result, in order, and then those with possibly temporary
        failures.

        `reuse` is called for each of the others. The order is reproducible, so that a run repeated
        after a kill forms the same parts. `known` is called for a photo that has a result for the
        same time, but another size.
        """
        again = []
        for photo in found:
            if isinstance(photo, Failure):
                self.order.append(photo)
                continue
            key = store.key(photo)
            if key not in self.kept.index:
                self._find_older(photo, key, known)
            self.order.append(key)
            self.roots.add(photo.root)
            number = self.kept.index.get(key)
            if number is None:
                self._waiting[key] = key
                yield photo
            elif number in self.kept.passing:
                again.append(photo)
            else:
                reuse(photo)
        yield from again

    def has_result(self, photo: Photo) -> bool:
        """Return whether an earlier run has a result for the photo, as it is or before its metadata
        changed."""
        return store.key(photo) in self.kept.index or self.kept.of_other_sizes(photo) is not None

    def _find_older(self, photo: Photo, key: bytes, known: Known) -> None:
        """Reassign a photo its earlier result if only `mivolo tag` or `untag` has written to it
        since."""
        older = self.kept.of_other_sizes(photo)
        if older is not None and (older[1] == photo.bytes or known(photo, older[1])):
            self.kept.rename(older[0], key)

    def keep(self, part: Path, fingerprint: str, done: Sequence[Photo]) -> None:
        """Add the part with the results of these photos, in the order given by `todo`. Raises
        OutputError."""
        keys = [self._waiting.pop(key, key) for key in map(store.key, done)]
        if not self.kept.add(part, fingerprint, keys):
            raise OutputError(
                f"{part} cannot be read back", hint="check the disk, and run the same command again"
            )
        self.done += len(done)

    def absent(self) -> Iterator[tuple[bytes, str, str]]:
        """Yield key, root and path of photos that have a result but were not found."""
        found = {key for key in self.order if not isinstance(key, Failure)}
        numbers = [number for key, number in self.kept.index.items() if key not in found]
        last = None
        for table in self.kept.read(numbers):
            for key, root, path in zip(
                *(table[name].to_pylist() for name in ("key", "root", "path")), strict=True
            ):
                if key != last:
                    yield key, root, path
                last = key

    def tables(self) -> Iterator[pa.Table]:
        """Yield all rows of the table in order, with their keys. Raises OutputError."""
        for is_failure, entries in groupby(self.order, lambda entry: isinstance(entry, Failure)):
            if is_failure:
                yield store.table((entry, None) for entry in entries if isinstance(entry, Failure))
            else:
                yield from self.kept.read(
                    self.kept.index[entry] for entry in entries if isinstance(entry, bytes)
                )

    def digest(self) -> str:
        """Return a hash of the photos in the table and their order."""
        whole = hashlib.blake2b(digest_size=16)
        for entry in self.order:
            whole.update(repr(entry).encode() if isinstance(entry, Failure) else entry)
        return whole.hexdigest()
