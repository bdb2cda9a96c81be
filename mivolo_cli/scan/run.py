"""Scan photos: from files and folders to a table of people, and annotated pictures."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice, takewhile
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any, Protocol

from .. import draw, storage
from ..errors import Stopped
from ..photos import decode, walk
from ..photos.sandbox import Sandbox
from ..pipeline.components import Tools, min_size, open_tools
from ..records import SCHEMA, Failure, Image, Photo, Result, Use
from ..tables import BUFFER_ROWS, open_sinks
from . import fingerprint, plan, selection, workdir
from .shards import Shard
from .store import FINGERPRINT, PART_PHOTOS, PASSING, open_store, regrouped, write_part

Answer = tuple[Photo, Result | Failure]
"""A photo as it was found, and what became of it."""
REPORTED_TOGETHER = 1024
"""Photos with results of an earlier run are too quick to be reported one by one."""


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """`archives` takes tar and Parquet files from folders, too; those that are named are always
    taken. `skip_tagged` leaves out photos that carry tags of the same model; they have no rows.

    `listed` says that the paths came as a list: one that is missing becomes a row instead of an
    error. With `ray`, the work is done on the Ray cluster at `ray_address`, without one on a
    cluster of this machine; an output with no suffix is then a folder of Parquet files.
    `full_resolution` decodes large JPEGs whole even where detectors and model would make people
    smaller anyway. `int8_samples` is a folder of photos for int8; without one, those of the first
    scan in int8 serve.
    """

    paths: Sequence[Path]
    outputs: Sequence[Path] = ()
    annotate: Path | None = None
    model: str = "auto"
    detector: str = "auto"
    boxes: Path | None = None
    device: str = "auto"
    engine: str = "auto"
    precision: str = "fp32"
    int8_samples: Path | None = None
    compile: bool = False
    use: Use = "both"
    flip: bool = False
    full_resolution: bool = False
    batch_size: int = 32
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    hidden: bool = False
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    archives: bool = False
    listed: bool = False
    shard: Shard | None = None
    keep_missing: bool = False
    spreadsheet_safe: bool = False
    skip_tagged: bool = False
    ray: bool = False
    ray_address: str | None = None


@dataclass(slots=True)
class Progress:
    """How far a scan has come; `total` photos is None until they have been counted.

    `reused` photos had results of an earlier run. `unchanged` says that the tables were as they
    should be already.
    """

    total: int | None = None
    photos: int = 0
    reused: int = 0
    people: int = 0
    no_people: int = 0
    no_usable_crop: int = 0
    skipped: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    unchanged: bool = False
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    failure: Failure | None = field(default=None, compare=False)
    """Of the photo that was done last, where it could not be read."""

    @property
    def failed(self) -> int:
        return self.failures.total()

    def count(self, result: Result | Failure) -> None:
        self.photos += 1
        self.failure = result if isinstance(result, Failure) else None
        if isinstance(result, Failure):
            self.failures[result.code] += 1
            return
        self.people += len(result.people)
        self.no_people += not result.people
        self.no_usable_crop += sum(prediction is None for _, prediction in result.people)

    def recount(self, counts: Mapping[str, Any]) -> None:
        """What `_tally` found in the whole table instead of what was counted on the way."""
        self.photos, self.people, self.no_people = (
            counts["photos"],
            counts["people"],
            counts["no_people"],
        )
        self.no_usable_crop, self.failures = counts["no_usable_crop"], Counter(counts["failures"])


class Backend(Protocol):
    """Where the photos are worked on; `metadata` says with what, `notes` are lines that the user
    should read."""

    @property
    def metadata(self) -> Mapping[str, str]: ...

    @property
    def notes(self) -> Sequence[str]: ...

    def answers(self, todo: Iterator[Photo]) -> Generator[Answer, None, None]:
        """An answer for each photo, in any order. Raises Stopped."""

    def close(self) -> None:
        """Let go of what was opened."""


def scan(
    options: ScanOptions, on_progress: Callable[[Progress], None] = lambda progress: None
) -> Progress:
    """Scan and write the results; tables appear under their names only when the run is complete.

    What a run finished before it was stopped or killed is not done again by the next one, nor are
    photos that have not changed since. `on_progress` is called after every photo that was done.
    Raises BadInput before any work when the command cannot be carried out, OutputError and Stopped
    when it cannot go on.
    """
    found = selection.check(options)
    beside = [*options.outputs] or [path for path in (options.annotate,) if path is not None]
    with workdir.claim(beside) as place, closing(_Run(options, place, on_progress)) as run:
        run.go(found)
        return run.progress


def results(
    images: Iterable[Image | Failure], options: ScanOptions, tools: Tools
) -> Iterator[Result | Failure]:
    """Who is on the photos, in their order."""
    from ..pipeline import stages

    size, use = tools.predictor.spec.input_size, options.use
    with closing(Sandbox()) as sandbox:
        whole = partial(decode.decode_or_fail, sandbox=sandbox)
        sightings = stages.sight(images, tools.detector, size, use, whole)
        yield from stages.predict(sightings, tools.predictor)


class _Here:
    """This machine: photos are decoded in threads, and answered part by part in their order."""

    def __init__(self, options: ScanOptions) -> None:
        self._options, self._tools = options, open_tools(options)
        self.metadata = fingerprint.metadata(options, self._tools)

    @property
    def notes(self) -> list[str]:
        return [*self._tools.notes, *self._tools.engine.notes, *self._tools.detector.notes]

    def answers(self, todo: Iterator[Photo]) -> Generator[Answer, None, None]:
        """No batch crosses from one part into the next, so that each can be done again alone."""
        found: deque[Photo] = deque()
        min_size = min_size(self._options, self._tools)
        with closing(
            decode.decode_all(_noted(todo, found), self._options.workers, min_size)
        ) as images:
            for first in images:
                part = chain((first,), islice(images, PART_PHOTOS - 1))
                for result in results(part, self._options, self._tools):
                    yield found.popleft(), result

    def close(self) -> None:
        """Nothing is open between two scans."""


def _open_cluster(options: ScanOptions) -> Backend:
    from .ray_backend import Cluster

    return Cluster(options)


def _noted(found: Iterable[Photo], notes: deque[Photo]) -> Iterator[Photo]:
    for photo in found:
        notes.append(photo)
        yield photo


class _Run:
    """One scan under way."""

    def __init__(
        self, options: ScanOptions, place: workdir.Workdir, on_progress: Callable[[Progress], None]
    ) -> None:
        self.progress = Progress()
        self._options, self._place, self._on_progress = options, place, on_progress
        self._started = monotonic()
        self._roots = walk.roots(options.paths)
        sources = dict.fromkeys(
            storage.bucket(root) if storage.is_url(root) else root for root in self._roots
        )
        self._sources = {
            root: identity for root in sources if (identity := plan.identity(root)) is not None
        }
        self._request = fingerprint.request(options)
        self._receipt = (
            receipt if (receipt := place.receipt()) and receipt.request == self._request else None
        )
        self._backend: Backend | None = None
        self._metadata: Mapping[str, str] = (
            self._receipt.metadata if self._receipt else self._open()
        )
        self._undrawn: list[Photo] = []
        self._sandbox = Sandbox()
        self._plan = plan.Plan(place.results(self._fingerprint))

    @property
    def _fingerprint(self) -> str:
        return self._metadata[FINGERPRINT]

    def go(self, found: Iterator[Photo | Failure]) -> None:
        if self._options.skip_tagged:
            found = self._without_tagged(found)
        todo = self._plan.todo(found, self._reuse, _was_tagged_since)
        first = next(todo, None)
        if first is not None and self._backend is None:
            expected, self._metadata = self._fingerprint, self._open()
            if (
                self._fingerprint != expected
            ):  # `auto` means something else than it did the last time
                return self._start_again()
        with closing(self._sandbox):
            if first is not None:
                self._work(chain((first,), todo))
            if self._options.annotate is not None:
                self._draw_missing(self._options.annotate)
        self._finish()

    def _without_tagged(self, found: Iterator[Photo | Failure]) -> Iterator[Photo | Failure]:
        """The photos that carry no tags of this model; the others are counted as skipped."""
        from ..metadata.lookup import is_current

        for photo in found:
            if isinstance(photo, Photo) and is_current(photo, self._metadata["model_sha256"]):
                self.progress.skipped += 1
            else:
                yield photo

    def _start_again(self) -> None:
        self.progress.photos = self.progress.reused = self.progress.skipped = 0
        self._undrawn, self._receipt = [], None
        self._plan = plan.Plan(self._place.results(self._fingerprint))
        self.go(walk.opened(selection.listed(self._options)))

    def _open(self) -> Mapping[str, str]:
        self._backend = _open_cluster(self._options) if self._options.ray else _Here(self._options)
        self.progress.notes = list(self._backend.notes)
        return self._backend.metadata

    def close(self) -> None:
        if self._backend is not None:
            self._backend.close()

    def _reuse(self, photo: Photo) -> None:
        self.progress.photos += 1
        self.progress.reused += 1
        self.progress.failure = None
        folder = self._options.annotate
        if folder is not None and not draw.annotated_path(folder, photo, self._roots).exists():
            self._undrawn.append(photo)
        if self.progress.reused % REPORTED_TOGETHER == 0:
            self._on_progress(self.progress)

    def _work(self, todo: Iterator[Photo]) -> None:
        """Do the photos, and keep them part by part as they are done."""
        assert self._backend is not None
        with _counting(self._options) as total, closing(self._backend.answers(todo)) as answers:
            for first in answers:
                done = []
                for found, result in chain((first,), islice(answers, PART_PHOTOS - 1)):
                    self._annotate(result)
                    done.append((found, result))
                    self.progress.count(result)
                    self.progress.total, self.progress.seconds = (
                        total(),
                        monotonic() - self._started,
                    )
                    self._on_progress(self.progress)
                self._keep(done)
        self.progress.notes = list(self._backend.notes)

    def _keep(self, done: Sequence[Answer]) -> None:
        results = [result for _, result in done]
        if any(isinstance(result, Failure) and result.code in PASSING for result in results):
            self._require_sources()
        part = self._place.new_part()
        write_part(part, self._metadata, results)
        self._plan.keep(part, self._fingerprint, [found for found, _ in done])

    def _annotate(self, result: Result | Failure) -> None:
        """Decode once more: keeping the pixels of all photos that wait for a batch would cost too
        much memory."""
        folder = self._options.annotate
        if folder is not None and isinstance(result, Result) and result.people:
            image = decode.decode_or_fail(result.photo, self._sandbox)
            if isinstance(image, Image):  # else it is gone since it was scanned: its row stays
                draw.save_annotated(image.pixels, result.people, folder, result.photo, self._roots)

    def _draw_missing(self, folder: Path) -> None:
        """The pictures of photos that were scanned by an earlier run which did not draw them."""
        for photo in self._undrawn:
            people = self._plan.kept.people(photo)
            image = decode.decode_or_fail(photo, self._sandbox) if people else None
            if isinstance(image, Image):
                draw.save_annotated(image.pixels, people, folder, photo, self._roots)

    def _require_sources(self) -> None:
        """Raises Stopped where a folder with photos is not there any more, or another one is in its
        place."""
        for root, identity in self._sources.items():
            if plan.identity(root) != identity:
                remedy = (
                    "connect to it, log in again"
                    if storage.is_url(root)
                    else "connect its drive again"
                )
                raise Stopped(
                    f"the folder {root} can no longer be read",
                    hint=f"{remedy} and run the same command: it goes on where it stopped",
                )

    def _staying(self) -> list[bytes]:
        """The keys of photos that were not found, and whose rows stay: nobody can say that they
        were deleted, or the user wants them. Raises Stopped for a folder that has lost all of its
        photos."""
        folders = set(self._roots)
        keep, stay = self._options.keep_missing, []
        for key, root, path in self._plan.absent():
            gone = plan.is_gone(os.path.join(root, path)) if root in folders else None
            if gone and root not in self._plan.roots and not keep and not self._options.listed:
                raise Stopped(
                    f"there are no photos in {root} any more, where the last scan found some",
                    hint="is its drive connected? If they are really gone, leave that folder out or add --keep-missing",
                )
            if (gone and keep) or (gone is None and root in folders):
                stay.append(key)
        return stay

    def _finish(self) -> None:
        """Publish the tables, unless they are there already as they should be."""
        self._require_sources()
        self._plan.order += self._staying()
        order, old = self._plan.digest(), self._receipt
        self.progress.unchanged = (
            old is not None
            and not self._plan.done
            and old.order == order
            and self._place.is_untouched(old)
        )
        if old is not None and self.progress.unchanged:
            counts = old.counts
        else:
            counts = self._publish()
            self._place.finish(
                lambda outputs: workdir.Receipt(
                    self._request, dict(self._metadata), order, counts, outputs
                )
            )
        self.progress.recount(counts)
        self.progress.total, self.progress.seconds = (
            self.progress.photos,
            monotonic() - self._started,
        )

    def _publish(self) -> dict[str, Any]:
        """Write all tables, and what the next run will find of this one. Gives what is in them."""
        tally: Counter[tuple[str, str | None, bool]] = Counter()
        with (
            open_sinks(
                self._options.outputs,
                self._metadata,
                spreadsheet_safe=self._options.spreadsheet_safe,
            ) as tables,
            open_store(self._place.whole, self._metadata) as store,
        ):
            for table in regrouped(self._plan.tables(), BUFFER_ROWS):
                first = (person in (None, 0) for person in table["person"].to_pylist())
                tally.update(
                    zip(table["status"].to_pylist(), table["error"].to_pylist(), first, strict=True)
                )
                tables.add(table.select(SCHEMA.names))
                store.write_table(table.filter(table["key"].is_valid()))
        return _counts(tally)


def _was_tagged_since(photo: Photo, size: int) -> bool:
    """Whether nothing but `mivolo tag` has changed the photo since it had that size."""
    from ..metadata.lookup import was_scanned

    return was_scanned(photo, size)


@contextmanager
def _counting(options: ScanOptions) -> Iterator[Callable[[], int | None]]:
    """Count the photos in the background: a function that gives their number, or None as long as it
    is not known.

    What is in tar and Parquet files is not counted ahead: those in buckets would be read twice.
    """
    stop = Event()

    def count() -> int | None:
        found = takewhile(lambda _: not stop.is_set(), selection.listed(options))
        kinds = Counter(map(walk.is_archive, found))
        return None if kinds[True] else kinds[False]

    with ThreadPoolExecutor(1, thread_name_prefix="count") as pool:
        counting = pool.submit(count)
        try:
            yield lambda: counting.result() if counting.done() else None
        finally:
            stop.set()


def _counts(tally: Mapping[tuple[str, str | None, bool], int]) -> dict[str, Any]:
    """From how often each status, error and "first row of its photo" stand together in the
    table."""
    failures: Counter[str] = Counter()
    for (_, error, _), count in tally.items():
        failures.update({error: count} if error else {})
    of = Counter(
        {status: sum(n for (s, _, _), n in tally.items() if s == status) for status, _, _ in tally}
    )
    return {
        "photos": sum(count for (_, _, first), count in tally.items() if first),
        "people": of["ok"] + of["no_usable_crop"],
        "no_people": of["no_people"],
        "no_usable_crop": of["no_usable_crop"],
        "failures": dict(failures),
    }
