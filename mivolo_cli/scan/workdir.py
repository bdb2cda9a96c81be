"""The hidden folder next to an output, with finished parts, the last run's receipt and results, and
a lock against a second run.

The folder for `people.csv` is `.people.csv.mivolo`. With several outputs, the first one's folder
contains the parts and the others' contain a lock. For an output in a bucket, the folder is on this
computer, because buckets have no locks.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .. import atomic, storage, tables
from ..errors import BadInput, OutputError
from ..storage import Url
from . import store

ENDING = ".mivolo"
LOCK, RECEIPT, WHOLE = "lock", "receipt.json", "results.parquet"
MAX_RECEIPT = 64 * 1024**2
PUBLISHED = re.compile(r"published-\d{5,}\.parquet")
"""Copies of tables in a bucket."""
PART = re.compile(r"part-(\d{6,})\.parquet")
COUNTS = ("photos", "people", "no_people", "no_usable_crop")
"""The counts of a receipt, besides those of failures."""
OTHER_RUN = "wait for it to finish, stop it, or choose another output"


@dataclass(frozen=True, slots=True)
class Receipt:
    """Request, metadata and outputs of a finished run.

    `order` is a hash of the photos in the table, in their order; `outputs` are names, sizes and
    times.
    """

    request: Mapping[str, Any]
    metadata: Mapping[str, str]
    order: str
    counts: Mapping[str, Any]
    outputs: Sequence[Sequence[Any]] = field(default=())

    @property
    def is_whole(self) -> bool:
        """Whether everything that a run uses is present and has the right type; JSON may contain
        anything."""
        texts = [self.metadata.get(name) for name in (store.FINGERPRINT, "model_sha256")]
        failures = self.counts.get("failures")
        numbers = [self.counts.get(name) for name in COUNTS]
        return (
            all(isinstance(text, str) for text in texts)
            and isinstance(failures, dict)
            and all(type(number) is int for number in (*numbers, *failures.values()))
            and _are_triples(self.counts.get("unreadable"))
        )


@dataclass(frozen=True, slots=True)
class Purged:
    """A folder of intermediate results that was removed, or would be, and its content."""

    folder: Path
    files: int
    bytes: int


class Workdir:
    """The hidden folders of the outputs of one run, locked by `claim`."""

    def __init__(self, outputs: Sequence[Path]) -> None:
        self._outputs = outputs
        self._folders = [folder_of(output) for output in outputs]
        self.folder = self._folders[0]
        self.whole = self.folder / WHOLE
        """All results of the last finished run; parts belong to later runs."""

    def receipt(self, request: Mapping[str, Any]) -> Receipt | None:
        """Return the receipt of the last finished run if it is readable and the request is the
        same."""
        last = _receipt(self.folder)
        return last if last is not None and last.request == request else None

    def results(
        self, fingerprint: str, moved: Callable[[set[str]], Mapping[str, str]] | None = None
    ) -> store.ResultStore:
        """Return results with this fingerprint; if there are none, those in Parquet result tables.
        `moved` is called with their roots and returns where they are now."""
        kept = [folder / WHOLE for folder in self._folders]
        kept += [file for folder in self._folders for _, file in _parts(folder)]
        results = store.ResultStore(moved and moved(store.roots(kept, fingerprint)))
        if not any([results.add(file, fingerprint) for file in kept]):
            kept = list(chain.from_iterable(map(_nearby, self._outputs)))
            results = store.ResultStore(moved and moved(store.roots(kept, fingerprint)))
            for table in kept:
                results.add(table, fingerprint)
        return results

    def new_part(self) -> Path:
        """Return the path of the next part: numbers only grow, so that later parts take
        precedence."""
        last = max((number for number, _ in _parts(self.folder)), default=-1)
        return self.folder / f"part-{last + 1:06}.parquet"

    def is_untouched(self, receipt: Receipt) -> bool:
        """Return whether all outputs are unchanged since the receipt."""
        known = {json.dumps(output) for output in receipt.outputs}
        return all(json.dumps(_state(output)) in known for output in self._outputs)

    def finish(self, receipt: Callable[[list[list[Any]]], Receipt]) -> None:
        """Drop the parts after the outputs have been published, and write a receipt for the
        outputs."""
        for folder in self._folders:
            for name in os.listdir(folder):
                old = name in (WHOLE, RECEIPT) and folder != self.folder
                if old or PART.fullmatch(name) or PUBLISHED.fullmatch(name):
                    (folder / name).unlink(missing_ok=True)
        with atomic.replacing(self.folder / RECEIPT, follow=False) as out:
            out.write(
                json.dumps(asdict(receipt([_state(output) for output in self._outputs]))).encode()
            )


def made_by(table: Path) -> Mapping[str, Any]:
    """Return the metadata of the run that made a table of any format, from the receipt next to it;
    empty if the table has been modified since."""
    here = json.dumps(_state(table))
    for folder in find(atomic.real(table).parent):
        receipt = _receipt(folder)
        if receipt is not None and here in map(json.dumps, receipt.outputs):
            return receipt.metadata
    return {}


@contextmanager
def claim(outputs: Sequence[Path]) -> Iterator[Workdir]:
    """Lock the outputs against other runs, and remove incomplete files of killed runs.

    Raises BadInput if another run is using one of them, and OutputError if they cannot be written.
    """
    with ExitStack() as stack:
        for output in outputs:
            stack.enter_context(_locked(folder_of(output), output))
            tables.remove_leftovers(output)
            _remove_leftovers(folder_of(output))
        yield Workdir(outputs)


def folder_of(output: Path) -> Path:
    """Return the hidden folder of an output, next to the target of a link."""
    target = atomic.real(output)
    return (
        target.staging_dir
        if isinstance(target, Url)
        else target.with_name(f".{target.name}{ENDING}")
    )


def find(path: Path) -> list[Path]:
    """Return the existing hidden folders of an output; for a folder, also those of all outputs in
    it. Links are not followed."""
    candidates = [folder_of(path)]
    if not isinstance(path, Url) and path.is_dir():
        candidates += sorted(path.glob(f".*{ENDING}"))
    return [folder for folder in candidates if folder.is_dir() and not folder.is_symlink()]


def purge(folder: Path, *, dry_run: bool = False) -> Purged:
    """Remove a folder of intermediate results, deleting only our own files. Raises BadInput if a
    run uses it."""
    files = [
        Path(entry)
        for entry in os.scandir(folder)
        if entry.is_file(follow_symlinks=False) and _ours(entry.name)
    ]
    purged = Purged(folder, len(files), sum(file.stat().st_size for file in files))
    with _locked(folder, folder):
        for file in [] if dry_run else files:
            if file.name != LOCK:
                file.unlink(missing_ok=True)
    return purged


def purge_leftovers(path: Path, *, dry_run: bool = False) -> list[Purged]:
    """Remove the temporary files that killed commands have left for an output, or for all outputs
    in a folder, because they may contain pictures. Raises BadInput if a run is using one."""
    if isinstance(path, Url):
        return []
    target = atomic.real(path)
    found = atomic.leftovers(target.parent, target) if target.parent.is_dir() else []
    found += atomic.leftovers(target) if target.is_dir() else []
    return [_purge_leftover(file, dry_run) for file in dict.fromkeys(found)]


def _purge_leftover(file: Path, dry_run: bool) -> Purged:
    inside = [file, *(file.rglob("*") if file.is_dir() and not file.is_symlink() else ())]
    files = [one for one in inside if not one.is_dir()]
    purged = Purged(file, len(files), sum(one.lstat().st_size for one in files))
    match = atomic.PART.fullmatch(file.name)
    assert match is not None
    output = file.with_name(match[1])
    with _locked(folder_of(output), output):
        if not dry_run:
            atomic.discard(file)
    return purged


def purge_cache(*, dry_run: bool = False) -> list[Purged]:
    """Remove the program's cache. Weights are not part of it."""
    folder = storage.cache_folder()
    files = [file for file in folder.rglob("*") if file.is_file()]
    purged = Purged(folder, len(files), sum(file.lstat().st_size for file in files))
    if folder.is_dir() and not folder.is_symlink() and not dry_run:
        shutil.rmtree(folder)
    return [purged] if files else []


@contextmanager
def _locked(folder: Path, output: Path) -> Iterator[None]:
    """Hold the folder's lock, which is released when a process dies; afterwards, remove the folder
    if it contains nothing but the lock."""
    if folder.is_symlink():
        raise BadInput(
            f"{folder} is a link",
            hint=("remove it: intermediate results are stored in a folder of that name"),
        )
    if (folder / LOCK).is_symlink():
        raise BadInput(f"{folder / LOCK} is a link", hint="remove it: it could point anywhere")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise BadInput(f"another run is already writing {output}", hint=OTHER_RUN) from error
    except OSError as error:
        raise OutputError(
            f"cannot store intermediate results in {folder}: {error.strerror or error}",
            hint="choose another folder for -o",
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):
            if os.listdir(folder) == [LOCK]:
                (folder / LOCK).unlink()
                folder.rmdir()
        lock.release()


def _receipt(folder: Path) -> Receipt | None:
    try:
        receipt = Receipt(**json.loads(storage.read_file(folder / RECEIPT, MAX_RECEIPT)))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    kinds = (
        (receipt.metadata, dict),
        (receipt.counts, dict),
        (receipt.outputs, list),
        (receipt.order, str),
    )
    if not all(isinstance(value, kind) for value, kind in kinds):
        return None
    words = chain.from_iterable(receipt.metadata.items())
    return receipt if all(map(_is_text, words)) else None


def _is_text(value: object) -> bool:
    """Return whether a value is text that tables can store."""
    return isinstance(value, str) and value.encode("utf-8", "ignore").decode() == value


def _are_triples(value: Any) -> bool:
    """Return whether a value has the type of Progress.unreadable."""
    return isinstance(value, list) and all(
        isinstance(one, list) and len(one) == 3 and all(map(_is_text, one)) for one in value
    )


def _remove_leftovers(folder: Path) -> None:
    with suppress(OSError):
        for name in filter(atomic.PART.fullmatch, os.listdir(folder)):
            atomic.discard(folder / name)


def _parts(folder: Path) -> list[tuple[int, Path]]:
    """Return the numbers and files of the parts, in order."""
    with suppress(OSError):
        found = [
            (match, folder / match[0]) for match in map(PART.fullmatch, os.listdir(folder)) if match
        ]
        return sorted((int(match[1]), file) for match, file in found)
    return []


def _ours(name: str) -> bool:
    return name in (LOCK, RECEIPT, WHOLE) or any(
        kind.fullmatch(name) for kind in (PART, PUBLISHED, atomic.PART)
    )


def _nearby(output: Path) -> Iterator[Path]:
    """Yield the Parquet files of an output; those in a bucket are copied to this computer. Yields
    none if they cannot be read."""
    with suppress(OSError, OutputError):
        for number, file in enumerate(tables.parquet_files(output)):
            yield (
                _copied(file, output.staging_dir / f"published-{number:05}.parquet")
                if isinstance(output, Url)
                else file
            )


def _copied(file: Path, copy: Path) -> Path:
    with storage.open_file(file) as stored, atomic.replacing(copy, follow=False) as out:
        shutil.copyfileobj(stored, out, storage.BLOCK)
    return copy


def _state(output: Path) -> list[Any]:
    if isinstance(output, Url):
        with suppress(OSError):
            return [str(output), *_url_state(output)]
        return [str(output), None, None]
    try:
        facts = output.stat()
    except OSError:
        return [str(atomic.real(output)), None, None]
    return [str(atomic.real(output)), facts.st_size, facts.st_mtime_ns]


def _url_state(url: Url) -> tuple[int | None, int | None]:
    """Return size and modification time of an object; for a folder, the total and the latest.
    Raises OSError."""
    if not tables.is_folder(url):
        return storage.stat(str(url))
    found = list(storage.listing(str(url)))
    return sum(one.bytes for one in found), max((one.mtime_ns for one in found), default=None)
