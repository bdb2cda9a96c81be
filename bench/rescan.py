"""Measure how fast a scan finishes if nothing has changed since the last one.

    python bench/rescan.py [--photos 100000] [--folders 1000]

Creates this many small files, completes a first run with made-up predictions, and times whole
later runs of the program: start, walk, comparison, exit. The target is at least 15,000 photos/s on
an idle machine; exits with 1 if the fastest run of the program is slower.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fixtures import make_files, make_up

WANTED = 15_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--folders", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        photos, table = Path(place, "photos"), Path(place, "people.csv")
        make_files(photos, options.photos, options.folders, broken=0)
        make_up([photos], [table])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"first run: {options.photos} photos, peak memory {peak / 1024:.0f} MiB")
        for _ in range(options.runs):
            started, cpu = time.perf_counter(), time.process_time()
            progress = make_up([photos], [table])
            seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
            assert progress.unchanged and progress.photos == options.photos
            show("scan() with nothing changed", options.photos, seconds, cpu)
        quickest = 0.0
        for _ in range(options.runs):
            started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(
                [sys.executable, __file__.replace("rescan", "fixtures"), photos, table], check=True
            )
            seconds, after = (
                time.perf_counter() - started,
                resource.getrusage(resource.RUSAGE_CHILDREN),
            )
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            show("the whole program", options.photos, seconds, cpu)
            quickest = max(quickest, options.photos / seconds)
    sys.exit(quickest < WANTED)


def show(what: str, photos: int, seconds: float, cpu: float) -> None:
    """Print the speed; on a busy machine, CPU seconds are more reliable than wall-clock time."""
    print(
        f"{what}: {seconds:.2f} s, {photos / seconds:,.0f} photos/s; {cpu:.2f} s of a core,"
        f" {photos / cpu:,.0f} photos a second of a core (wanted: {WANTED:,})"
    )


if __name__ == "__main__":
    main()
