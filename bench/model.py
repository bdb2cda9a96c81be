"""Measure the persons per second of each engine and precision, and the share of the machine's peak.

    python bench/model.py [--variants mivolo_d1_224 mivolo_xs] [--batches 8 32] [--device cuda]
    [--json model.json]

The peak is the fastest of matrix multiplications of several sizes, in the same precision and run.
Persons have face and body; the last column is the gain for persons with one input, which skip the
other's stem.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from timing import random_model, seconds, show

from mivolo_cli.errors import MivoloError
from mivolo_cli.model.spec import ModelSpec
from mivolo_cli.records import Pixels
from mivolo_cli.runtime.device import choose_device
from mivolo_cli.runtime.graph_cache import Int8Samples
from mivolo_cli.runtime.load import open_model

GFLOP = {"mivolo_d1_224": 18.1}
"""GFLOP per person, where known."""
SIDES = {True: (512, 1024, 1536, 2048, 4096), False: (4096, 8192, 16384)}
"""Sides of the matrices for the peak, on a CPU and on a GPU: small ones stay in caches, large ones
fill all cores."""
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variants", nargs="+", default=["mivolo_d1_224", "mivolo_xs"])
    parser.add_argument("--batches", nargs="+", type=int, default=[32])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16", "int8"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device = choose_device(options.device)[0]
    rows = []
    peaks = {
        precision: peak(device, TYPES[precision])
        for precision in options.precisions
        if precision in TYPES
    }
    with tempfile.TemporaryDirectory() as place:
        for variant in options.variants:
            model = random_model(Path(place), variant)
            for batch in options.batches:
                base: float | None = None
                for engine in ("torch", "openvino") if device == "cpu" else ("torch",):
                    for precision in options.precisions:
                        row = measure(
                            model, variant, device, engine, precision, batch, options.runs
                        )
                        if row is None:
                            continue
                        base = base or row["persons/s"]
                        cost = GFLOP.get(variant)
                        share = (
                            cost
                            and precision in peaks
                            and row["persons/s"] * cost / peaks[precision]
                        )
                        one = row.pop("one input")
                        rows.append(
                            row
                            | {
                                "ratio": row["persons/s"] / base,
                                "of peak": share or "",
                                "one input": one,
                            }
                        )
    show(rows, options.json)
    print(
        "GFLOP/s of a matrix multiplication:", {name: round(value) for name, value in peaks.items()}
    )


def measure(
    model: Path, variant: str, device: str, engine: str, precision: str, batch: int, runs: int
) -> dict[str, Any] | None:
    """Return a row of the table; None if this engine does not support the precision."""
    try:
        opened, spec = open_model(
            str(model), device, precision, engine, int8_samples=Int8Samples("noise", noise)
        )
    except MivoloError:
        return None
    (pixels, both), *_ = noise(spec, batch)
    face = both & [True, False]
    speed, alone = (batch / seconds(partial(opened.run, pixels, p), runs) for p in (both, face))
    about = {
        "variant": variant,
        "device": opened.device,
        "engine": engine,
        "precision": opened.precision,
    }
    return about | {"batch": batch, "persons/s": speed, "one input": f"{alone / speed - 1:+.0%}"}


def noise(
    spec: ModelSpec, people: int = 8, batches: int = 4
) -> Iterator[tuple[Pixels, NDArray[np.bool_]]]:
    """Yield batches of noise, good enough for timing and for calibrating a model whose outputs do
    not matter."""
    rng = np.random.default_rng(0)
    for _ in range(batches):
        side = spec.input_size
        yield rng.integers(0, 256, (people, side, side, 6), np.uint8), np.ones((people, 2), bool)


def peak(device: str, dtype: torch.dtype) -> float:
    """Return the GFLOP/s of the fastest of several matrix sizes, each timed for at least half a
    second."""
    return max(multiplications(device, dtype, side) for side in SIDES[device == "cpu"])


def multiplications(device: str, dtype: torch.dtype, side: int) -> float:
    """Return the GFLOP/s of the best of ten rounds, each long enough for overhead to be
    negligible."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    repeats = max(1, round((5e9 if device == "cpu" else 5e12) / side**3))

    def multiply() -> None:
        for _ in range(repeats):
            torch.matmul(a, b, out=out)
        out[0, 0].item()

    multiply()
    return 2 * side**3 * repeats / min(seconds(multiply, 1, warm=False) for _ in range(10)) / 1e9


if __name__ == "__main__":
    main()
