"""Scan photos: from files and folders to a table of people, and annotated pictures."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, takewhile
from pathlib import Path
from threading import Event
from time import monotonic

from . import auto, checkpoint, draw, photos, pipeline, sinks, weights
from .detect import Detector, open_detector
from .engines import TorchEngine
from .errors import BadInput, PhotoError
from .metadata.lookup import is_current
from .model import FromPixels
from .predict import Predictor
from .records import Failure, Photo, Result, Use, rows


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """`skip_tagged` leaves out photos that carry tags of the same model; they have no rows.

    `listed` says that the paths came as a list: one that is missing becomes a row instead of an error."""

    paths: Sequence[Path]
    outputs: Sequence[Path] = ()
    annotate: Path | None = None
    model: str = "auto"
    detector: str = "auto"
    boxes: Path | None = None
    device: str = "auto"
    precision: str = "fp32"
    use: Use = "both"
    batch_size: int = 32
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    hidden: bool = False
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    listed: bool = False
    skip_tagged: bool = False


@dataclass(slots=True)
class Progress:
    """How far a scan has come; `total` photos is None until they have been counted."""

    total: int | None = None
    photos: int = 0
    people: int = 0
    no_people: int = 0
    no_usable_crop: int = 0
    skipped: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        return self.failures.total()

    def count(self, result: Result | Failure) -> None:
        self.photos += 1
        if isinstance(result, Failure):
            self.failures[result.code] += 1
            return
        self.people += len(result.people)
        self.no_people += not result.people
        self.no_usable_crop += sum(prediction is None for _, prediction in result.people)


@dataclass(frozen=True, slots=True)
class Tools:
    """What a scan works with, opened once; `notes` are lines that the user should read."""

    predictor: Predictor
    engine: TorchEngine
    detector: Detector
    model_sha256: str
    notes: list[str]


def scan(options: ScanOptions, report: Callable[[Progress], None] = lambda progress: None) -> Progress:
    """Scan and write the results; tables appear under their names only when the run is complete.

    `report` is called after every photo. Raises BadInput before any work when the command cannot be carried out.
    """
    started = monotonic()
    found = _check(options)
    tools = open_tools(options)
    progress, roots = Progress(), photos.roots(options.paths)
    if options.skip_tagged:
        found = _without_tagged(found, tools.model_sha256, progress)
    with _counting(options) as total, sinks.open_sinks(options.outputs, _metadata(options, tools)) as tables:
        for result in results(found, options, tools):
            tables.write(rows(result))
            if options.annotate is not None and isinstance(result, Result) and result.people:
                _annotate(result, options.annotate, roots)
            progress.count(result)
            progress.total, progress.seconds = total(), monotonic() - started
            report(progress)
    progress.notes = [*tools.notes, *tools.engine.notes, *tools.detector.notes]
    return progress


def open_tools(options: ScanOptions) -> Tools:
    """The model and the detector of these options. Raises BadInput or WeightsError."""
    device = auto.choose_device(options.device)
    chosen = auto.choose_model(options.model, device.name).name
    model, spec = checkpoint.load(chosen)
    engine = TorchEngine(FromPixels(model), device.name, options.precision)
    finder = auto.choose_detector(options.detector, options.boxes, device.name).name
    detector = open_detector(finder, boxes=options.boxes, device=device.name)
    notes = [f"device cpu: {device.reason}"] if device.name == "cpu" and options.device not in ("auto", "cpu") else []
    notes += [f"model {chosen}: {weights.get(chosen).licence}"] if chosen in weights.known() else []
    sha256 = weights.sha256(checkpoint.locate(chosen))
    return Tools(Predictor(engine, spec, options.batch_size), engine, detector, sha256, notes)


def results(found: Iterator[Photo | Failure], options: ScanOptions, tools: Tools) -> Iterator[Result | Failure]:
    """What is in the photos, in their order."""
    images = photos.decode_all(found, options.workers)
    sightings = pipeline.sight(images, tools.detector, tools.predictor.spec.input_size, options.use)
    return pipeline.predict(sightings, tools.predictor)


def _check(options: ScanOptions) -> Iterator[Photo | Failure]:
    """Refuse what cannot work; the photos to scan, at least one."""
    if not options.outputs and options.annotate is None:
        raise BadInput("the scan has nowhere to put its results", hint="add -o people.parquet (or .csv, .jsonl)")
    if not options.listed:
        photos.check_paths(options.paths)
    sinks.check_outputs(options.outputs)
    if options.annotate is not None:
        _check_drawings(options.annotate, options.paths)
    found = _walk(options)
    first = next(found, None)
    if first is None:
        raise BadInput("there are no photos to scan", hint="check the folder, and --include, --exclude and --hidden")
    return chain((first,), found)


def _check_drawings(folder: Path, paths: Sequence[Path]) -> None:
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is not a folder", hint="give --annotate a folder for the pictures")
    inside = [path for path in paths if path.resolve().is_relative_to(folder.resolve())]
    if inside:
        raise BadInput(
            f"the annotated pictures would go among the photos: {inside[0]} is in {folder}",
            hint="give --annotate a folder of its own; it may lie inside the scanned one",
        )


def _walk(options: ScanOptions) -> Iterator[Photo | Failure]:
    """The photos to scan, without those that the scan itself draws."""
    drawn = None if options.annotate is None else options.annotate.resolve()
    found = photos.walk(options.paths, hidden=options.hidden, include=options.include, exclude=options.exclude)
    for photo in found:
        file = (photo.photo if isinstance(photo, Failure) else photo).file
        if drawn is None or not file.resolve().is_relative_to(drawn):
            yield photo


def _without_tagged(
    found: Iterator[Photo | Failure], model_sha256: str, progress: Progress
) -> Iterator[Photo | Failure]:
    """The photos that carry no tags of this model; the others are counted as skipped."""
    for photo in found:
        if isinstance(photo, Photo) and is_current(photo, model_sha256):
            progress.skipped += 1
        else:
            yield photo


@contextmanager
def _counting(options: ScanOptions) -> Iterator[Callable[[], int | None]]:
    """Count the photos in the background: a function that gives their number, or None as long as it is not known."""
    stop = Event()

    def count() -> int:
        return sum(1 for _ in takewhile(lambda _: not stop.is_set(), _walk(options)))

    with ThreadPoolExecutor(1, thread_name_prefix="count") as pool:
        counting = pool.submit(count)
        try:
            yield lambda: counting.result() if counting.done() else None
        finally:
            stop.set()


def _metadata(options: ScanOptions, tools: Tools) -> dict[str, str]:
    """What made the results."""
    spec, detector = tools.predictor.spec, tools.detector
    settings = {name: getattr(options, name) for name in ("precision", "use", "batch_size")}
    return {
        "model": spec.name,
        "model_sha256": tools.model_sha256,
        "detector": detector.name,
        "detector_sha256": detector.sha256,
        "settings": json.dumps(settings, sort_keys=True),
    }


def _annotate(result: Result, folder: Path, roots: Sequence[str]) -> None:
    """Decode once more: keeping the pixels of all photos that wait for a batch would cost too much memory."""
    with suppress(PhotoError):  # gone since it was scanned: its row stays
        draw.save_annotated(photos.decode(result.photo).pixels, result.people, folder, result.photo, roots)
