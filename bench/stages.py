"""Measure the CPU time of each stage of a scan, in core-milliseconds per photo, and estimate the
speed with more cores.

    python bench/stages.py [--photos 24] [--megapixels 12] [--progressive] [--device cuda]
    [--workers 2 4 8 16] [--json stages.json]

Stages run one after another on the same photos. CPU time is measured (user and system, all
threads), so other programs on the machine interfere little. `whole scan` is a real scan; `between`
is the difference: copies, waiting, Python. CPU time of sandbox processes counts as decoding.

The speed with more workers is simulated: decoding and detection run on any core, at most twice as
many photos as workers are in progress, one thread takes the results in order, and the model uses
all cores for a batch. Shared memory bandwidth is ignored.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from heapq import heapify, heapreplace
from pathlib import Path
from typing import Any

import PIL.Image
from timing import make_scenes, show

from mivolo_cli.detect.embedded import EmbeddedDetector
from mivolo_cli.photos.decode import decode_or_fail
from mivolo_cli.photos.limits import Limits
from mivolo_cli.photos.sandbox import Sandbox
from mivolo_cli.pipeline.components import open_predictor
from mivolo_cli.pipeline.options import InferenceOptions
from mivolo_cli.pipeline.stages import MIN_SIZE, Detected, detect_people, predict
from mivolo_cli.records import Failure, Image, Photo, Result
from mivolo_cli.scan import run as scanning
from mivolo_cli.scan import store
from mivolo_cli.scan.local_backend import LocalBackend
from mivolo_cli.scan.options import ScanOptions

DECODE, PERSONS, FACES, CROP, MODEL, WRITE = STAGES = (
    "decode", "find persons", "find faces", "resize, pair, crop", "model", "write",
)  # fmt: skip
SERIAL = (WRITE,)
"""Stages in the single thread that takes the results; the time between stages also counts to it."""
SIMULATED = 4096


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--megapixels", type=float, default=12.0)
    parser.add_argument("--progressive", action="store_true", help="progressive JPEGs")
    parser.add_argument("--workers", type=int, nargs="*", default=[2, 4, 8, 16])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3, help="medians are reported")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        files = make_scenes(Path(place, "photos"), options.photos, options.megapixels)
        if options.progressive:
            make_progressive(files)
        rounds = [measure(files, options.device) for _ in range(options.rounds)]
    found = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    show([{"stage": name, "core-ms a photo": value} for name, value in found.items()], options.json)
    print("\nsimulated:")
    show([simulated_row(found, workers) for workers in options.workers], None)


def make_progressive(files: Sequence[Path]) -> None:
    for file in files:
        with PIL.Image.open(file) as picture:
            picture.save(file, quality=90, progressive=True)


def measure(files: Sequence[Path], device: str = "cpu") -> dict[str, float]:
    """Return core-milliseconds per photo of each stage, of the whole scan, and in between."""
    spent = stage_seconds(files, device)
    found = {name: 1000 * spent[name] / len(files) for name in STAGES}
    whole = 1000 * scan_seconds(files, device) / len(files)
    total = sum(found.values())
    return found | {"all stages": total, "whole scan": whole, "between": whole - total}


def stage_seconds(files: Sequence[Path], device: str) -> dict[str, float]:
    """Return the CPU seconds of each stage for all files, after a warm-up with two photos."""
    predictor, detector = (
        open_predictor(InferenceOptions(device=device)),
        EmbeddedDetector(precision="auto"),
    )
    sandbox, spent = Sandbox(), dict.fromkeys(STAGES, 0.0)
    spy(detector.persons, "find", spent, PERSONS)
    spy(detector._finder, "find", spent, FACES)

    def find(file: Path) -> Detected | Failure:
        return find_people(file, detector, predictor, sandbox, spent)

    try:
        keep(list(predict([find(file) for file in files[:2]], predictor)))
        spent.update(dict.fromkeys(STAGES, 0.0))
        detected = [find(file) for file in files]
    finally:
        sandbox.close()
    with stage(spent, MODEL):
        results = list(predict(detected, predictor))
    assert all(isinstance(result, Result) and result.people for result in results)
    with stage(spent, WRITE):
        keep(results)
    spent[DECODE] += children_seconds()
    spent[CROP] -= spent[PERSONS] + spent[FACES]
    return spent


def keep(results: Sequence[Result | Failure]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store.write_part(Path(folder, "part.parquet"), {store.FINGERPRINT: "measured"}, results)


def find_people(
    file: Path,
    detector: EmbeddedDetector,
    predictor: Any,
    sandbox: Sandbox,
    spent: dict[str, float],
) -> Detected | Failure:
    def whole(photo: Photo) -> Image | Failure:
        return decode_or_fail(photo, sandbox)

    with stage(spent, DECODE), Limits().room() as room:
        image = decode_or_fail(Photo(str(file.parent), file.name), sandbox, MIN_SIZE, room)
    assert isinstance(image, Image), image
    with stage(spent, CROP):
        size, level = predictor.spec.input_size, predictor.spec.level
        (detected,) = detect_people([image], detector, size, decode=whole, level=level)
    return detected


def spy(owner: Any, name: str, spent: dict[str, float], what: str) -> None:
    """Add the CPU time of a method's calls to a stage."""
    method: Callable[..., Any] = getattr(owner, name)

    def timed(*arguments: Any, **options: Any) -> Any:
        with stage(spent, what):
            return method(*arguments, **options)

    setattr(owner, name, timed)


@contextmanager
def stage(spent: dict[str, float], what: str) -> Iterator[None]:
    began = own_seconds()
    yield
    spent[what] += own_seconds() - began


def own_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def children_seconds() -> float:
    """Return the CPU seconds of child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def scan_seconds(files: Sequence[Path], device: str) -> float:
    """Return the CPU seconds of a scan after loading."""
    with tempfile.TemporaryDirectory() as folder:
        inference = InferenceOptions(device=device)
        names = [file.name for file in files]
        asked = ScanOptions(
            [files[0].parent], [Path(folder, "a.parquet")], inference=inference, include=names
        )
        opened = LocalBackend(asked)
        began = own_seconds() + children_seconds()
        progress = scanning.scan(asked, backend=lambda _: opened)
        assert progress.photos == len(files) and progress.people, progress
        return own_seconds() + children_seconds() - began


def simulated_row(found: Mapping[str, float], workers: int) -> dict[str, Any]:
    pace = simulate(found, workers)
    best = 1000 * workers / found["whole scan"]
    return {"workers": workers, "photos/s": pace, "of all cores": f"{pace / best:.0%}"}


def simulate(found: Mapping[str, float], workers: int, batch: int = 32) -> float:
    """Return photos per second with this many workers on as many cores; the model takes `batch`
    photos at a time."""
    parallel = sum(found[name] for name in (DECODE, PERSONS, FACES, CROP))
    serial = sum(found[name] for name in SERIAL) + max(0.0, found["between"])
    free, taken = [0.0] * workers, [0.0]
    heapify(free)
    for number in range(SIMULATED):
        oldest = max(0, number + 1 - 2 * workers)
        ready = max(free[0], taken[oldest]) + parallel
        heapreplace(free, ready)
        done = max(taken[-1], ready) + serial
        if (number + 1) % batch == 0:
            busy = batch * found[MODEL] / workers
            done += busy
            free = [moment + busy for moment in free]  # the model uses all cores
        taken.append(done)
    return 1000 * SIMULATED / taken[-1]


if __name__ == "__main__":
    main()
