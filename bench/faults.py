"""Test scans with kills, broken files, many files and full disks.

    python bench/faults.py                      # everything, at full scale (hours on two cores)
    python bench/faults.py kills --kills 300 --runs 30 --photos 2000
    python bench/faults.py fuzz --files 5000
    python bench/faults.py many --files 100000 --folders 1000 --broken 20000
    python bench/faults.py readers --executions 5000
    python bench/faults.py disk                 # needs root, for a small tmpfs
    python bench/faults.py limits               # memory, many scans, linked folders

Exits with 1 if anything was lost, duplicated, corrupted or left over. Linux only, since it forks.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from faulty import child, kill_at_step, large_pngs, linked, mutants, scans
from fixtures import make_files, make_up, scan

from mivolo_cli.errors import OutputError
from mivolo_cli.photos.codes import CODES
from mivolo_cli.scan import store, workdir
from mivolo_cli.tables import read_table

SUFFIXES = (".csv", ".jsonl", ".parquet")
GROWN, MORE_MEMORY = 3, 1.15
"""After this many tenths of the photos, memory may grow at most by this factor, since only keys of
photos are kept."""
MEMORY, OTHERS = 1024, 512
"""Limits in MiB for decoded photos, and for everything else."""
STEPS_A_PART = 2
"""Calls that make data durable: fsync and rename."""


def kills(options: argparse.Namespace) -> bool:
    """Compare runs of tiny photos, with given boxes and a tiny seeded model, that are killed many
    times with an undisturbed run."""
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as place:
        photos_, boxes, model = (
            Path(place, "photos"),
            Path(place, "boxes.csv"),
            Path(place, "tiny.safetensors"),
        )
        make_files(photos_, options.photos, 20, broken=options.photos // 50)
        write_boxes(photos_, boxes)
        settings: dict[str, Any] = {
            "boxes": boxes,
            "detector": "given",
            "device": "cpu",
            "workers": 2,
        }
        settings |= {"model": str(make_model(model))}
        reference = tables(Path(place, "reference"))
        began = time.monotonic()
        assert child(lambda: scan([photos_], reference, **settings)) == 0
        seconds = time.monotonic() - began
        steps = STEPS_A_PART * (-(-options.photos // store.PART_PHOTOS)) + 2 * len(SUFFIXES) + 4
        done, bad = 0, Counter[str]()
        for run in range(options.runs):
            outputs = tables(Path(place, f"run{run}"))
            work = partial(scan, [photos_], outputs, **settings)
            wanted = options.kills // options.runs + (run < options.kills % options.runs)
            while wanted:
                left = max(steps - STEPS_A_PART * len(list(outputs[0].parent.rglob("part-*"))), 4)
                trip = kill_at_step(chance.randrange(left)) if chance.random() < 0.5 else None
                after = None if trip else chance.random() * seconds / 2
                if child(work, trip, after) == 0:
                    for output in outputs:  # finished before the kill: restart this run
                        output.unlink()
                    workdir.purge(workdir.folder_of(outputs[0]))
                    continue
                wanted, done = wanted - 1, done + 1
                bad += torn(outputs, reference)
            assert child(work) == 0
            bad += compare(outputs, reference)
            print(f"run {run + 1}: {done} kills so far, {dict(bad) or 'nothing wrong'}", flush=True)
    print(
        f"kills: {done} over {options.runs} runs of {options.photos} photos:"
        f" {dict(bad) or '0 lost, 0 doubled, 0 torn'}"
    )
    return not bad


def torn(outputs: Sequence[Path], reference: Sequence[Path]) -> Counter[str]:
    """Count the tables that are neither absent nor complete after a kill."""
    pairs = zip(outputs, reference, strict=True)
    return Counter("torn" for ours, whole in pairs if ours.exists() and not same(ours, whole))


def compare(outputs: Sequence[Path], reference: Sequence[Path]) -> Counter[str]:
    """Return differences from an undisturbed run, and files left over beside the tables."""
    bad = Counter[str]()
    keys = [
        [(row["path"], row["person"]) for row in read_table(table).to_pylist()]
        for table in (outputs[0], reference[0])
    ]
    bad["rows lost"] = len(set(keys[1]) - set(keys[0]))
    bad["rows doubled"] = len(keys[0]) - len(set(keys[0]))
    bad["tables not equal"] = sum(
        not same(ours, whole) for ours, whole in zip(outputs, reference, strict=True)
    )
    bad["left over"] = sum(
        1 for file in outputs[0].parent.rglob("*") if file.name.endswith(".part")
    )
    return +bad


def same(table: Path, whole: Path) -> bool:
    if table.suffix == ".parquet":
        return bool(read_table(table).equals(read_table(whole)))
    return table.read_bytes() == whole.read_bytes()


def tables(folder: Path) -> list[Path]:
    folder.mkdir()
    return [folder / f"people{suffix}" for suffix in SUFFIXES]


def write_boxes(folder: Path, boxes: Path) -> None:
    chance = random.Random(1)
    with boxes.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("path", "kind", "x1", "y1", "x2", "y2"))
        for file in sorted(folder.rglob("*.*")):
            for person in range(chance.choice((0, 1, 1, 2))):
                path, left = file.relative_to(folder).as_posix(), 2 + 30 * person
                writer.writerow((path, "face", left, 4, left + 20 + chance.random() * 8, 40))


def make_model(file: Path) -> Path:
    """Save the smallest model with seeded weights; single-threaded PyTorch can be forked."""
    import cv2
    import torch

    from mivolo_cli.detect import given
    from mivolo_cli.model import checkpoint
    from mivolo_cli.model.architecture import create_model
    from mivolo_cli.pipeline import stages
    from mivolo_cli.runtime import engines

    assert engines and stages and given  # imported once, for all child processes
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    torch.manual_seed(0)
    model = create_model("mivolo_xs_32").eval()
    checkpoint.save(model, checkpoint.spec_of(model, "tiny", 0, 100), file)
    return file


def fuzz(options: argparse.Namespace) -> bool:
    """Scan mutated files of every format."""
    with tempfile.TemporaryDirectory() as place:
        folder, table = Path(place, "photos"), Path(place, "people.csv")
        kinds = mutants(folder, options.files, options.seed)
        began = time.monotonic()
        outcome = child(
            lambda: make_up([folder], [table], workers=2), limit=options.limit * options.files
        )
        seconds = time.monotonic() - began
        if outcome != 0:
            print(f"fuzz: the run ended with {outcome}")
            return False
        rows = read_table(table).to_pylist()
        files = {row["path"] for row in rows}
        codes = Counter(row["error"] for row in rows if row["error"])
        unknown = set(codes) - set(CODES)
        missing = len({*kinds} - files)
        print(
            f"fuzz: {options.files} files in {seconds:.0f} s;"
            f" {len(files)} in the table, {missing} missing"
        )
        print(
            f"  read: {len(files) - codes.total()}; codes: {dict(codes.most_common())};"
            f" unknown codes: {unknown or 0}"
        )
        hung = [row["path"] for row in rows if row["error"] in ("timeout", "crashed")]
        print(
            f"  stopped or crashed in their own process: {len(hung)}"
            f" {[kinds[path] for path in hung[:5]]}"
        )
        return not missing and not unknown


def many(options: argparse.Namespace) -> bool:
    """Scan very many files; check memory along the way, and the table."""
    with tempfile.TemporaryDirectory() as place:
        folder, table, facts = (
            Path(place, "photos"),
            Path(place, "people.csv"),
            Path(place, "facts.json"),
        )
        make_files(folder, options.files, options.folders, options.broken)
        outcome = child(lambda: facts.write_text(json.dumps(measured(folder, table))))
        if outcome != 0:
            print(f"many: the run ended with {outcome}")
            return False
        found: dict[str, Any] = json.loads(facts.read_text())
        rows = read_table(table).to_pylist()
        counts = Counter(row["status"] for row in rows)
        photos_ = {row["path"] for row in rows}
        print(
            f"many: {len(photos_)} of {options.files} photos in {found['seconds']:.0f} s,"
            f" {counts['error']} failed"
        )
        print(
            f"  memory in MiB at each tenth: {found['memory']};"
            f" peak with the tables written: {found['peak']}"
        )
        broken = len(range(0, options.files, options.files // options.broken))
        flat = max(found["memory"][GROWN:]) <= MORE_MEMORY * found["memory"][GROWN - 1]
        print(f"  {'flat' if flat else 'not flat'} after the first {GROWN} tenths")
        return len(photos_) == options.files and counts["error"] == broken and flat


def measured(folder: Path, table: Path) -> dict[str, Any]:
    """Scan, and sample the memory ten times."""
    total = sum(1 for _ in folder.rglob("*.*"))
    memory: list[int] = []

    def watch(progress: Any) -> None:
        if progress.photos % max(total // 10, 1) == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            memory.append(pages * resource.getpagesize() // 2**20)

    began = time.monotonic()
    make_up([folder], [table], on_progress=watch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"seconds": time.monotonic() - began, "memory": memory, "peak": peak}


def readers(options: argparse.Namespace) -> bool:
    """Fuzz our own readers and mergers with hypothesis (the tests named test_fuzz.py)."""
    tests = sorted((Path(__file__).parents[1] / "tests").rglob("test_fuzz.py"))
    environment = {**os.environ, "MIVOLO_FUZZ": str(options.executions)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *tests, "--hypothesis-show-statistics"], env=environment
    )
    print(
        f"readers: {options.executions} executions of each of the harnesses,"
        f" exit code {done.returncode}"
    )
    return done.returncode == 0


def disk(options: argparse.Namespace) -> bool:
    """Fill disks of several sizes at different moments; then enlarge them, and finish with the same
    command."""
    with tempfile.TemporaryDirectory() as place:
        folder, whole, mount = Path(place, "photos"), Path(place, "whole.csv"), Path(place, "disk")
        make_files(folder, 1000, 10, broken=0)
        make_up([folder], [whole])
        mount.mkdir()
        good = True
        for size in options.sizes:
            with small_disk(mount, size) as grow:
                message = attempt(lambda: make_up([folder], [mount / "people.csv"]))
                tidy = not (mount / "people.csv").exists()
                kept = len(list(mount.rglob("part-*")))
                grow()
                make_up([folder], [mount / "people.csv"])
                equal = (mount / "people.csv").read_bytes() == whole.read_bytes()
                print(
                    f"disk of {size} KiB: {message or 'was enough'}; {kept} parts kept;"
                    f" then equal: {equal}"
                )
                good &= equal and (tidy or not message)
    return good


def attempt(work: Callable[[], object]) -> str:
    try:
        work()
    except OutputError as error:
        return str(error)
    return ""


@contextmanager
def small_disk(mount: Path, size: int) -> Iterator[Callable[[], object]]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", mount], check=True)
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=64m", mount], check=True)
    finally:
        subprocess.run(["umount", mount], check=True)


def limits(options: argparse.Namespace) -> bool:
    """Scan small files that need much memory (pictures) or time (JPEG scans, linked folders)."""
    with tempfile.TemporaryDirectory() as place:
        good = True
        for name, make, expected in (
            ("8 PNGs of 89 million pixels", large_pngs, {None}),
            ("JPEGs of 5000 scans", scans, {"corrupt"}),
            ("24 folders that link to each other", linked, {None}),
        ):
            folder, facts = Path(place, make.__name__), Path(place, f"{make.__name__}.json")
            make(folder)
            table, work = facts.with_suffix(".csv"), partial(asked_for_much, folder, facts)
            outcome = child(work, limit=options.patience)
            if outcome != 0:
                print(f"limits: {name}: the run ended with {outcome}")
                good = False
                continue
            found: dict[str, Any] = json.loads(facts.read_text())
            codes = {row["error"] for row in read_table(table).to_pylist()}
            print(f"limits: {name}: {found['seconds']:.1f} s, {found['peak']} MiB, codes {codes}")
            good &= codes <= expected and found["peak"] <= MEMORY + OTHERS
        return good


def asked_for_much(folder: Path, facts: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    began = time.monotonic()
    make_up(
        [folder],
        [facts.with_suffix(".csv")],
        workers=6,
        memory=f"{MEMORY}MB",
        exclude=["*.none", "**/" * 20 + "x"],
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    facts.write_text(json.dumps({"seconds": time.monotonic() - began, "peak": peak - before}))


WORKS = {"kills": kills, "fuzz": fuzz, "many": many, "readers": readers, "disk": disk}
WORKS |= {"limits": limits}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("works", nargs="*", help=f"of {', '.join(WORKS)}; default: all")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--photos", type=int, default=2000, help="of each killed run")
    parser.add_argument("--files", type=int, help="default: 5000 for fuzz, 100000 for many")
    parser.add_argument(
        "--limit", type=float, default=2.0, help="seconds a fuzzed file, on average"
    )
    parser.add_argument(
        "--patience", type=float, default=900.0, help="seconds for each of the limits"
    )
    parser.add_argument("--folders", type=int, default=1000)
    parser.add_argument("--broken", type=int, default=20_000)
    parser.add_argument(
        "--executions", type=int, default=5000, help="of each harness of the readers"
    )
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="*",
        default=[4, 32, 64, 100, 140, 180, 220],
        help="of disks, in KiB",
    )
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    good = True
    for name in options.works or WORKS:
        given = options.files or {"fuzz": 5000, "many": 100_000}.get(name, 0)
        good &= WORKS[name](argparse.Namespace(**{**vars(options), "files": given}))
    sys.exit(not good)


if __name__ == "__main__":
    main()
