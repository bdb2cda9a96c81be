"""Scan photos: from files and folders to a table of people, and annotated pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import chain, islice
from time import monotonic

from ..photos import walk
from ..photos.passed import PassedOver
from ..records import Failure, Photo
from . import fingerprint, publish, selection, store, workdir
from .backend import Answer, Backend
from .cpu_times import CpuTimes
from .drawings import Drawings
from .options import Progress, ScanOptions
from .plan import Plan
from .sources import Sources

REPORTED_TOGETHER = 1024
"""Photos with earlier results are reported in groups of this size, because they are too fast to be
reported one by one."""


def open_backend(options: ScanOptions) -> Backend:
    """Open the backend for these options. Raises BadInput, WeightsError and Stopped."""
    if options.ray:
        from .ray_backend import RayBackend

        return RayBackend(options)
    from .local_backend import LocalBackend

    return LocalBackend(options)


def scan(
    options: ScanOptions,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    backend: Callable[[ScanOptions], Backend] = open_backend,
) -> Progress:
    """Scan photos and write the results; tables appear under their names only when the run is
    complete.

    Results of a stopped or killed run are reused by the next one, as are those of unchanged photos.
    `on_progress` is called after every processed photo. `backend` opens the backend, if there are
    photos to process. Raises BadInput before any work if the options are invalid, and OutputError
    or Stopped if the run cannot continue.
    """
    passed = PassedOver()
    found = selection.check(options, passed)
    beside = [*options.outputs] or [path for path in (options.annotate,) if path is not None]
    with (
        workdir.claim(beside) as place,
        closing(_Run(options, place, on_progress, backend, passed)) as run,
    ):
        run.go(found)
        return run.progress


class _Run:
    """A running scan.

    A receipt records the request and the fingerprint of the last finished run. If the request is
    the same, nothing is opened until there is a photo to process. If opening then gives another
    fingerprint (because `auto` now means something else), the scan restarts with that.
    """

    def __init__(
        self,
        options: ScanOptions,
        place: workdir.Workdir,
        on_progress: Callable[[Progress], None],
        open_backend: Callable[[ScanOptions], Backend],
        passed: PassedOver,
    ) -> None:
        self.progress = Progress(passed=passed)
        self._options, self._place, self._on_progress = options, place, on_progress
        self._open_backend, self._started = open_backend, monotonic()
        self._cpu_times, self._processed = CpuTimes(), 0
        roots = walk.roots(options.paths)
        self._sources = Sources(roots)
        self._drawings = Drawings(options.annotate, roots, options.inference.limits)
        self._request = fingerprint.request(options)
        last = place.receipt(self._request)
        self._receipt = last if last is not None and last.is_whole else None
        self._backend: Backend | None = None
        self._metadata = self._receipt.metadata if self._receipt else self._open()
        self._plan = self._new_plan()

    @property
    def _fingerprint(self) -> str:
        return self._metadata[store.FINGERPRINT]

    def _new_plan(self) -> Plan:
        moved = partial(selection.moved, self._options) if self._options.moved else None
        return Plan(self._place.results(self._fingerprint, moved))

    def go(self, found: Iterator[Photo | Failure]) -> None:
        """Plan, process, draw and publish."""
        if self._options.skip_tagged:
            found = self._without_tagged(found)
        todo = self._plan.todo(found, self._reuse, _was_tagged_since)
        first = next(todo, None)
        if first is not None and self._backend is None:
            expected, self._metadata = self._fingerprint, self._open()
            if self._fingerprint != expected:
                return self._start_again()
        if first is not None:
            self._work(chain((first,), todo))
        self._drawings.draw_remembered(self._plan.kept.people)
        self._finish()

    def _open(self) -> Mapping[str, str]:
        self._backend = self._open_backend(self._options)
        return self._backend.metadata

    def close(self) -> None:
        self._drawings.close()
        if self._backend is not None:
            self._backend.close()

    def _start_again(self) -> None:
        self.progress.start_again()
        self._drawings.forget()
        self._receipt, self._plan = None, self._new_plan()
        self.go(selection.photos(self._options, self.progress.passed))

    def _without_tagged(self, found: Iterator[Photo | Failure]) -> Iterator[Photo | Failure]:
        """Yield photos without tags of this model, or with results from an earlier run, whose rows
        stay in the table; count the others as skipped."""
        from ..metadata.lookup import is_current

        for photo in found:
            if (
                isinstance(photo, Photo)
                and not self._plan.has_result(photo)
                and is_current(photo, self._metadata["model_sha256"])
            ):
                self.progress.skipped += 1
            else:
                yield photo

    def _reuse(self, photo: Photo) -> None:
        self.progress.count_reused()
        self._drawings.remember(photo)
        if self.progress.reused % REPORTED_TOGETHER == 0:
            self._on_progress(self.progress)

    def _work(self, todo: Iterator[Photo]) -> None:
        """Process the photos and store them part by part."""
        assert self._backend is not None
        with (
            selection.counting(self._options) as total,
            closing(self._backend.answers(todo)) as answers,
        ):
            for first in answers:
                done = []
                for answer in chain((first,), islice(answers, store.PART_PHOTOS - 1)):
                    done.append(answer)
                    self._drawings.draw(answer[1])
                    self.progress.count(answer[1])
                    self.progress.total, self.progress.seconds = total(), self._seconds
                    self._cpu_times.sample()
                    self._on_progress(self.progress)
                self._processed += len(done)
                self._keep(done)

    @property
    def _seconds(self) -> float:
        return monotonic() - self._started

    def _keep(self, done: Sequence[Answer]) -> None:
        results = [result for _, result in done]
        if any(isinstance(result, Failure) and result.code in store.PASSING for result in results):
            self._sources.require()  # photos may have failed because their drive was disconnected
        part = self._place.new_part()
        store.write_part(part, self._metadata, results)
        self._plan.keep(part, self._fingerprint, [found for found, _ in done])

    def _finish(self) -> None:
        """Publish the tables, unless they are already up to date."""
        self._sources.require()
        self._plan.order += self._sources.staying(
            self._plan.absent(),
            self._plan.roots,
            keep_missing=self._options.keep_missing,
            listed=self._options.listed,
        )
        order = self._plan.digest()
        counts = self._published(order)
        if counts is None:
            counts = self._publish(order)
        else:
            self.progress.unchanged = True
        self.progress.recount(counts)
        self.progress.total, self.progress.seconds = self.progress.photos, self._seconds
        if self._processed:
            self.progress.core_ms = self._cpu_times.milliseconds(self._processed)

    def _published(self, order: str) -> Mapping[str, object] | None:
        """Return the counts of the existing tables if they are what this run would write."""
        last = self._receipt
        if last is None or self._plan.done or last.order != order:
            return None
        return last.counts if self._place.is_untouched(last) else None

    def _publish(self, order: str) -> Mapping[str, object]:
        """Write all tables, and the receipt for the next run."""
        tables, kept = self._plan.tables(), self._place.whole
        counts = publish.write_tables(self._options, self._metadata, tables, kept)
        self._place.finish(
            lambda outputs: workdir.Receipt(
                self._request, dict(self._metadata), order, counts, outputs
            )
        )
        return counts


def _was_tagged_since(photo: Photo, size: int) -> bool:
    """Return whether only `mivolo tag` has changed the photo since it had that size."""
    from ..metadata.lookup import was_scanned

    return was_scanned(photo, size)
