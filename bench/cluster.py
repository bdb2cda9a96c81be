"""Scan on a Ray cluster of two nodes on this machine: compare the results with those of a local
scan, also when processes are killed, and measure the speed.

    python bench/cluster.py                                     # everything; hours on two cores
    python bench/cluster.py equal --photos 5000
    python bench/cluster.py kills --photos 500 --kills 10       # each of worker, actor and driver
    python bench/cluster.py pace --photos 2000 --megapixels 12  # target: 80 % of a local scan

`equal` and `kills` use small photos, given boxes and a tiny seeded model. Exits with 1 if anything
differs. Linux only.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.dataset
from faults import make_model, write_boxes
from fixtures import make_files, scan
from timing import make_scenes, seconds

from mivolo_cli.tables import read_table

AGES = 0.01
"""Maximum difference between ages, in years."""
KEPT = "part-*"
VICTIMS = {"worker": b"ray::MapBatches(decode)", "actor": b"ray::MapWorker"}
"""Ray's titles of the processes that run a task of the first stage, and of those with a model."""
DRIVER = "import sys; sys.path.insert(0, {here!r}); import cluster; cluster.drive(sys.argv[1:])"


def equal(options: argparse.Namespace) -> bool:
    """Compare the table of a cluster with that of a local scan."""
    with tempfile.TemporaryDirectory() as place, nodes() as address:
        settings = prepare(Path(place), options.photos)
        local, ours = Path(place, "local.parquet"), Path(place, "people")
        scan([Path(place, "photos")], [local], **settings)
        scan([Path(place, "photos")], [ours], **settings, ray=True, ray_address=address)
        bad = compare(ours, local)
        files = os.listdir(ours)
        bad["other files"] = sum(
            not name.endswith(".parquet") and name[0] not in "._" for name in files
        )
        print(
            f"equal: {options.photos} photos, {len(files)} files: {dict(+bad) or 'the same table'}",
            flush=True,
        )
        return not +bad


def kills(options: argparse.Namespace) -> bool:
    """Kill a process of running scans the given number of times; restart a killed driver, as a user
    would."""
    good = True
    with tempfile.TemporaryDirectory() as place:
        settings = prepare(Path(place), options.photos)
        local = Path(place, "local.parquet")
        scan([Path(place, "photos")], [local], **settings)
        for kind in (*VICTIMS, "driver"):
            with nodes() as address:
                ours = Path(place, kind)
                done = killed_runs(kind, Path(place), address, ours, options)
            bad = compare(ours, local)
            print(
                f"kills of a {kind}: {done}, {options.photos} photos:"
                f" {dict(+bad) or 'the same table'}",
                flush=True,
            )
            good &= not +bad and done == options.kills
    return good


def killed_runs(
    kind: str, place: Path, address: str, output: Path, options: argparse.Namespace
) -> int:
    """Run drivers until the table is complete; return the number of kills."""
    chance, done = random.Random(options.seed), 0
    while not output.exists():
        driver = start(place, address, output, options.pause)
        while driver.poll() is None:
            time.sleep(options.every * chance.uniform(0.5, 1.5))
            victims = [driver.pid] if kind == "driver" else titled(VICTIMS[kind])
            at_work = kind != "driver" or bool(
                list(output.parent.glob(f".{output.name}.mivolo/{KEPT}"))
            )
            if done < options.kills and victims and at_work and driver.poll() is None:
                os.kill(chance.choice(victims), signal.SIGKILL)
                done += 1
        if driver.wait() not in (0, -signal.SIGKILL):
            raise RuntimeError(f"the driver ended with {driver.returncode}")
    return done


def start(place: Path, address: str, output: Path, pause: float) -> subprocess.Popen[bytes]:
    """Start a scan in a separate process."""
    code = DRIVER.format(here=str(Path(__file__).parent))
    return subprocess.Popen(
        [sys.executable, "-c", code, str(place), address, str(output), str(pause)]
    )


def drive(arguments: Sequence[str]) -> None:
    """Entry point of `start`: a scan that decodes slowly enough to kill something in time."""
    from mivolo_cli.scan import ray_backend, store

    place, address, output, pause = (
        Path(arguments[0]),
        arguments[1],
        Path(arguments[2]),
        float(arguments[3]),
    )
    quick = ray_backend.decode

    def decode(*arguments: Any, **named: Any) -> Iterator[Any]:
        for row in quick(*arguments, **named):
            time.sleep(pause)
            yield row

    store.PART_PHOTOS, ray_backend.decode = 16, decode
    settings = {**settings_of(place), "ray": True, "ray_address": address}
    scan([place / "photos"], [output], **settings)


def pace(options: argparse.Namespace) -> bool:
    """Compare photos per second on one node with all cores, started by the scan itself, with a
    local scan."""
    with tempfile.TemporaryDirectory() as place:
        make_scenes(Path(place, "photos"), options.photos, options.megapixels)
        paces = {}
        for name, ray in (("local", False), ("ray", True)):
            output = Path(place, f"{name}.parquet")
            taken = seconds(partial(scan, [Path(place, "photos")], [output], ray=ray), 1, False)
            paces[name] = options.photos / taken
            print(f"{name}: {paces[name]:.2f} photos/s", flush=True)
        share = paces["ray"] / paces["local"]
        print(
            f"pace: {share:.0%} of the local path (wanted: 80 %),"
            " with Ray's own start and end in it"
        )
        return share >= 0.8


def prepare(place: Path, photos: int) -> dict[str, Any]:
    make_files(place / "photos", photos, 20, broken=max(photos // 50, 1))
    write_boxes(place / "photos", place / "boxes.csv")
    make_model(place / "tiny.safetensors")
    return settings_of(place)


def settings_of(place: Path) -> dict[str, Any]:
    model, boxes = str(place / "tiny.safetensors"), place / "boxes.csv"
    return {"model": model, "boxes": boxes, "detector": "given", "device": "cpu", "workers": 2}


@contextmanager
def nodes() -> Iterator[str]:
    """Yield the address of a cluster of two nodes with one core each."""
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="disabled")
    from ray.cluster_utils import Cluster

    node: dict[str, Any] = {
        "num_cpus": 1,
        "object_store_memory": 500 * 2**20,
        "include_dashboard": False,
    }
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(**node)
        yield cluster.address
    finally:
        cluster.shutdown()


def titled(title: bytes) -> list[int]:
    """Return the descendants of this process whose title starts like this."""
    parents, found = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rpartition(")")[2].split()[1]
            )
            if (folder / "cmdline").read_bytes().startswith(title):
                found.append(int(folder.name))
        except OSError:  # it has just ended
            continue
    return [process for process in found if os.getpid() in ancestors(process, parents)]


def ancestors(process: int, parents: dict[int, int]) -> Iterator[int]:
    while process in parents:
        process = parents[process]
        yield process


def compare(ours: Path, local: Path) -> Counter[str]:
    """Return the differences between two tables: rows, order, and values (ages: more than AGES)."""
    table = pyarrow.dataset.dataset(str(ours), format="parquet").to_table()
    rows, wanted = read_table(ours).to_pylist(), read_table(local).to_pylist()
    names = [[(row["path"], row["person"]) for row in some] for some in (rows, wanted)]
    bad = Counter[str]()
    bad["rows lost"] = len(set(names[1]) - set(names[0]))
    bad["rows doubled"] = len(names[0]) - len(set(names[0]))
    bad["other types"] = table.schema.types != read_table(local).schema.types
    bad["other order"] = names[0] != names[1]
    pairs = zip(rows, wanted, strict=False)
    bad["values"] = sum(not same(row[name], other[name]) for row, other in pairs for name in other)
    return +bad


def same(value: Any, wanted: Any) -> bool:
    return (
        abs(value - wanted) <= AGES
        if isinstance(wanted, float) and value is not None
        else bool(value == wanted)
    )


WORKS = {"equal": equal, "kills": kills, "pace": pace}
PHOTOS = {"equal": 5000, "kills": 500, "pace": 2000}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("works", nargs="*", help=f"of {', '.join(WORKS)}; default: all")
    parser.add_argument("--photos", type=int, help=f"default: {PHOTOS}")
    parser.add_argument("--kills", type=int, default=10, help="of each kind")
    parser.add_argument(
        "--every", type=float, default=6.0, help="seconds between two kills, on average"
    )
    parser.add_argument(
        "--pause", type=float, default=0.3, help="after each photo that is decoded, in seconds"
    )
    parser.add_argument("--megapixels", type=float, default=12.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    good = True
    for name in options.works or WORKS:
        good &= WORKS[name](
            argparse.Namespace(**{**vars(options), "photos": options.photos or PHOTOS[name]})
        )
    sys.exit(not good)


if __name__ == "__main__":
    main()
