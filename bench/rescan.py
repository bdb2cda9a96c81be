"""How fast a scan is over when nothing has changed since the last one.

    python bench/rescan.py [--photos 100000] [--folders 1000]

Makes that many small files, lets a first run finish with answers that are made up, and times whole later runs of the
program: start, walk, comparison, end. At least 15,000 photos/s are wanted on a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fixtures import made_up_results, make_files, scan

WANTED = 15_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--folders", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        photos, table = Path(place, "photos"), Path(place, "people.csv")
        make_files(photos, options.photos, options.folders, broken=0)
        made_up_results()
        scan([photos], [table])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"first run: {options.photos} photos, peak memory {peak / 1024:.0f} MiB")
        for _ in range(options.runs):
            started = time.perf_counter()
            progress = scan([photos], [table])
            seconds = time.perf_counter() - started
            assert progress.unchanged and progress.photos == options.photos
            print(f"scan() with nothing changed: {seconds:.2f} s, {options.photos / seconds:,.0f} photos/s")
        for _ in range(options.runs):
            started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, __file__.replace("rescan", "fixtures"), photos, table], check=True)
            seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(
                f"whole program: {seconds:.2f} s ({cpu:.2f} s of a core), {options.photos / seconds:,.0f} photos/s"
                f" ({options.photos / cpu:,.0f} a second of a core), wanted {WANTED:,}"
            )


if __name__ == "__main__":
    main()
