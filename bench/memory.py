"""Compare the peak memory of scanning many small photos with that of few: it must not grow with
their number.

    python bench/memory.py [--few 500] [--many 20000] [--json memory.json]

The target is at most 1.15 times.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from fixtures import make_files
from timing import show

WANTED = 1.15
PROGRAM = """
import resource, sys
from mivolo_cli.cli import app
app(sys.argv[1:], standalone_mode=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--few", type=int, default=500)
    parser.add_argument("--many", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for photos in (options.few, options.many):
            folder = Path(place, f"{photos}")
            make_files(folder, photos, folders=20, broken=0)
            rows.append({"photos": photos, "peak MiB": peak(folder, Path(place, f"{photos}.csv"))})
    show(rows, options.json)
    ratio = rows[1]["peak MiB"] / rows[0]["peak MiB"]
    print(f"ratio {ratio:.3f} (wanted: {WANTED} at most)")
    sys.exit(ratio > WANTED)


def peak(folder: Path, table: Path) -> float:
    arguments = ["scan", str(folder), "-o", str(table), "--quiet"]
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return int(run.stdout.split()[-1]) / (1024 if sys.platform != "darwin" else 1024**2)


if __name__ == "__main__":
    main()
