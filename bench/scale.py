"""Estimate the time for millions of photos on many cores, by measuring stages here and simulating a
cluster.

    python bench/scale.py [--photos 64] [--megapixels 12] [--cores 100 1000] [--failures 0.001]
    [--json scale.json]

Measured on this machine, which should be idle: core-seconds of every stage, photo by photo, to keep
the share of slow photos; the cost of passing pixels between processes; the single driver's work per
photo (list, keep, publish); the time to start a process with its model. Simulated: windows of
chunks, assigned to cores as they become free; some chunks fail, and are repeated after a restart.
Assumed: failures per core and hour (`--failures`), that all cores are like these, and that storage
keeps up with them.
"""

from __future__ import annotations

import argparse
import heapq
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from fixtures import make_files
from numpy.typing import NDArray
from timing import make_scenes, show

from mivolo_cli.photos import decode, walk
from mivolo_cli.photos.sandbox import Sandbox
from mivolo_cli.pipeline import components
from mivolo_cli.pipeline.options import InferenceOptions
from mivolo_cli.pipeline.stages import MIN_SIZE, detect_people, predict
from mivolo_cli.records import SCHEMA, Image, Photo, Result
from mivolo_cli.scan import plan, ray_backend, store
from mivolo_cli.tables import BUFFER_ROWS, open_sinks

Seconds = NDArray[np.float64]
OPENING = (
    "from mivolo_cli.pipeline import components, options; "
    "components.{}(options.InferenceOptions(device='cpu'))"
)
SIMULATED_WINDOWS = 8
"""Number of largest windows that are simulated; the others take their mean time."""


@dataclass(frozen=True)
class Measured:
    """Core-seconds by stage, one value per photo; of the driver per photo, as a mean; and of a
    start."""

    stages: dict[str, Seconds]
    driver: dict[str, float]
    start: float

    @property
    def whole(self) -> Seconds:
        return np.sum(list(self.stages.values()), axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=64, help="to measure with")
    parser.add_argument("--megapixels", type=float, default=12.0)
    parser.add_argument("--totals", type=float, nargs="*", default=[1e6, 1e7, 1e8, 1e9])
    parser.add_argument("--cores", type=int, nargs="*", default=[100, 1000, 10_000])
    parser.add_argument(
        "--machine", type=int, default=16, help="cores of a machine, for machine-hours"
    )
    parser.add_argument("--failures", type=float, default=0.001, help="of a core in an hour")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = measure(Path(place), options.photos, options.megapixels)
    print("measured here:")
    show([stage_row(name, values) for name, values in found.stages.items()], None)
    for name, value in found.driver.items():
        print(f"the driver, {name}: {1e6 * value:,.0f} microseconds a photo")
    print(
        f"a process with a model starts in {found.start:.1f} s; GPU-seconds are not measured here"
    )
    print(f"\nsimulated, with {options.failures:g} failures of a core in an hour (assumed):")
    show(
        [
            simulate(found, int(total), cores, options)
            for total in options.totals
            for cores in options.cores
        ],
        options.json,
    )


def measure(place: Path, count: int, megapixels: float) -> Measured:
    files = make_scenes(place / "photos", count, megapixels)
    options = InferenceOptions(device="cpu", workers=1)
    detector, predictor = components.open_detector(options), components.open_predictor(options)
    size = predictor.spec.input_size
    whole = partial(decode.decode_or_fail, sandbox=Sandbox())
    stages: dict[str, list[float]] = {}
    results = []
    for file in [files[0], *files]:  # the first one is a warm-up
        photo = Photo(str(file.parent), file.name)
        image = timed(stages, "read, decode", partial(decode.decode, photo, MIN_SIZE))
        image = timed(stages, "pass on", partial(passed_on, image))
        (detected,) = timed(
            stages,
            "detect, pair, crop",
            partial(listed, detect_people, [image], detector, size, decode=whole),
        )
        results += timed(stages, "predict", partial(listed, predict, [detected], predictor))
    measured = {name: np.array(values[1:]) for name, values in stages.items()}
    starts = [clock(partial(started, what)) for what in ("open_detector", "open_predictor")]
    return Measured(
        measured,
        driver(place, [result for result in results if isinstance(result, Result)]),
        max(starts),
    )


def listed(stage: Callable[..., Iterable[Any]], *arguments: Any, **options: Any) -> list[Any]:
    """Return everything that a stage yields."""
    return list(stage(*arguments, **options))


def timed(stages: dict[str, list[float]], name: str, work: Callable[[], Any]) -> Any:
    """Record the core-seconds of all threads; return the result of the work."""
    began = time.process_time()
    answer = work()
    stages.setdefault(name, []).append(time.process_time() - began)
    return answer


def clock(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def started(what: str) -> None:
    subprocess.run([sys.executable, "-c", OPENING.format(what)], check=True)


def passed_on(image: Image) -> Any:
    """Pack an image, copy it into a block of memory as Ray does, and unpack it without a copy."""
    table = ray_backend._pack(0, image)
    block = pa.BufferOutputStream()
    with pa.ipc.new_stream(block, table.schema) as stream:
        stream.write_table(table)
    return next(ray_backend._unpack(pa.ipc.open_stream(block.getvalue()).read_all()))


def driver(place: Path, results: Sequence[Result], count: int = 4096) -> dict[str, float]:
    """Return the driver's seconds per photo by task, including waiting for its disk."""
    make_files(place / "many", count, 16, broken=0)
    kept = plan.Plan(store.ResultStore())
    found: list[Photo] = []
    listing = clock(
        lambda: found.extend(kept.todo(walk.walk([place / "many"]), lambda photo: None))
    )
    metadata = {store.FINGERPRINT: "measured"}

    def keep() -> None:
        waiting = iter(found)
        for number in range(-(-count // store.PART_PHOTOS)):
            run = list(islice(waiting, store.PART_PHOTOS))
            file = place / f"part-{number:06}.parquet"
            answers = [
                Result(photo, 4000, 3000, None, results[n % len(results)].people)
                for n, photo in enumerate(run)
            ]
            store.write_part(file, metadata, answers)
            kept.keep(file, metadata[store.FINGERPRINT], run)

    def publish() -> None:
        with open_sinks([place / "people"], metadata) as tables:
            for table in store.regrouped(kept.tables(), BUFFER_ROWS):
                tables.add(table.select(SCHEMA.names))

    return {"list": listing / count, "keep": clock(keep) / count, "publish": clock(publish) / count}


def stage_row(name: str, values: Seconds) -> dict[str, Any]:
    tail = {f"{part} %": 1000 * float(np.percentile(values, part)) for part in (50, 90, 99)}
    return {"stage, core ms a photo": name, "mean": 1000 * float(values.mean()), **tail}


def simulate(
    found: Measured, total: int, cores: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Return the hours of a run and other figures, simulated window by window."""
    chance = np.random.default_rng(0)
    typical = chunk_seconds(found, ray_backend.CHUNK, 4096, chance)
    hours = 0.0
    full: list[float] = []
    for photos_ in windows(total):
        if photos_ == ray_backend.LARGEST_WINDOW and len(full) == SIMULATED_WINDOWS:
            hours += float(np.mean(full))
            continue
        taken = window_seconds(found, photos_, cores, typical, options.failures, chance) / 3600
        full += [taken] if photos_ == ray_backend.LARGEST_WINDOW else []
        hours += taken
    hours += found.driver["publish"] * total / 3600
    machines = -(-cores // options.machine)
    return {
        "photos": total,
        "cores": cores,
        "photos/s": total / hours / 3600,
        "hours": hours,
        "machine-hours": machines * hours,
        "cores busy": float(found.whole.mean()) * total / 3600 / cores / hours,
        "driver busy": sum(found.driver.values()) * total / 3600 / hours,
    }


def windows(total: int) -> Iterator[int]:
    size = ray_backend.FIRST_WINDOW
    while total:
        size = min(size, total)
        yield size
        total -= size
        size = min(size * ray_backend.GROWTH, ray_backend.LARGEST_WINDOW)


def chunk_seconds(found: Measured, chunk: int, count: int, chance: np.random.Generator) -> Seconds:
    """Return core-seconds of chunks of photos, drawn from those measured."""
    return chance.choice(found.whole, (count, chunk)).sum(axis=1)


def window_seconds(
    found: Measured,
    total: int,
    cores: int,
    typical: Seconds,
    failures: float,
    chance: np.random.Generator,
) -> float:
    """Return the seconds until the last chunk is done, or until the driver has kept the photos and
    listed the next window, whichever is later."""
    chunk = min(ray_backend.CHUNK, max(1, total // (ray_backend.CHUNKS_A_CORE * cores)))
    works = chance.choice(typical, -(-total // chunk)) * chunk / ray_backend.CHUNK
    failed = chance.random(len(works)) < failures * works / 3600
    works += failed * (chance.random(len(works)) * works + found.start)
    free = [found.start] * cores
    for work in works:
        heapq.heapreplace(free, free[0] + work)
    alone = found.driver["keep"] * total + found.driver["list"] * total * ray_backend.GROWTH
    return float(max(max(free), alone))


if __name__ == "__main__":
    main()
