"""Run all checks that need a GPU, in at most ten minutes.

    python bench/gpu.py [--minutes 10] [--small] [--json-folder gpu-results]

The checks: the GPU tests; the speed of mivolo_d1_224 by batch size, and its share of the card's
peak; the CPU time of each stage of a scan of 12-megapixel photos; and, with `--data`, the deviation
of bf16 and fp16 from PyTorch on the CPU. A step that fails or exceeds its share of the time does
not stop the others. `--small` tries the script with tiny sizes, also without a GPU.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import torch

HERE = Path(__file__).parent
Step = tuple[str, list[str], float]
"""Name, command line and share of the time."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--small", action="store_true", help="tiny sizes, to try the script")
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="labelled people")
    parser.add_argument("--json-folder", type=Path, default=Path("gpu-results"))
    options = parser.parse_args()
    options.json_folder.mkdir(parents=True, exist_ok=True)
    has_gpu = torch.cuda.is_available()
    print(torch.cuda.get_device_name() if has_gpu else "no GPU: trial on the CPU", flush=True)
    ends = time.monotonic() + 60 * options.minutes
    failed = [
        name
        for name, command, share in steps(options, "cuda" if has_gpu else "cpu")
        if not run(name, command, min(60 * options.minutes * share, ends - time.monotonic()))
    ]
    print(f"failed: {', '.join(failed)}" if failed else "all steps succeeded")
    sys.exit(bool(failed))


def steps(options: argparse.Namespace, device: str) -> list[Step]:
    out: Path = options.json_folder.resolve()
    small = options.small
    variant, batches = ("mivolo_xs", ["2"]) if small else ("mivolo_d1_224", ["32", "128", "512"])
    model = ["model.py", "--device", device, "--variants", variant, "--batches", *batches]
    model += ["--precisions", *(("fp32",) if small else ("fp32", "bf16", "fp16")), "--runs", "1"]
    scan = ["stages.py", "--device", device, "--photos", "2" if small else "48", "--rounds", "1"]
    scan += ["--workers", "2"]
    tests = ["-m", "pytest", "-q", "-n0", str(HERE.parent / "tests" / "runtime" / "test_cuda.py")]
    found: list[Step] = [
        ("tests", tests, 0.1),
        ("model", [*model, "--json", str(out / "model.json")], 0.4),
        ("scan", [*scan, "--json", str(out / "scan.json")], 0.3),
    ]
    if options.data:
        precision = [
            "precision.py",
            *(str(file.resolve()) for file in options.data),
            "--device",
            device,
        ]
        precision += ["--limit", "16" if small else "1000", "--json", str(out / "precision.json")]
        found.append(("precision", precision, 0.2))
    return found


def run(name: str, command: list[str], seconds: float) -> bool:
    print(f"\n== {name} ({seconds:.0f} s at most)", flush=True)
    try:
        done = subprocess.run([sys.executable, *command], cwd=HERE, timeout=seconds)
    except (subprocess.TimeoutExpired, ValueError):
        print(f"{name} took too long")
        return False
    return done.returncode == 0


if __name__ == "__main__":
    main()
