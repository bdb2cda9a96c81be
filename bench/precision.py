"""Compare the predictions of each engine and precision with those of PyTorch at fp32.

    python bench/precision.py faces-val.parquet bodies-val.parquet [--model mivolo-xs] [--device
    auto] [--limit 1000]

Limits: fp32 within 0.01 years for everybody; bf16 and fp16 within 0.15 years on average and 0.5 %
of genders; int8, if nncf is installed, within 0.4 years on average, calibrated on every second
person and measured on the others.
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from timing import show

from mivolo_cli.datasets import read_samples
from mivolo_cli.model.spec import ModelSpec
from mivolo_cli.pipeline.crops import stack
from mivolo_cli.pipeline.predict import Predictor, channels
from mivolo_cli.runtime.device import choose_device
from mivolo_cli.runtime.graph_cache import Int8Samples
from mivolo_cli.runtime.load import open_model
from mivolo_cli.runtime.quantize import Batches

CALIBRATING = 300
"""Maximum number of people to calibrate int8 on."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--model", default="mivolo-xs")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--limit", type=int, default=1000, help="people at most")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device = choose_device(options.device)[0]
    spec = open_model(options.model, "cpu", engine="torch")[1]
    samples = [sample for sample in read_samples(options.data) if sample.shows != "photo"]
    samples = samples[:: max(1, len(samples) // options.limit)]
    everybody = [sample.crops(spec.input_size) for sample in samples]
    crops, others = everybody[::2], everybody[1::2][:CALIBRATING]

    def people(spec: ModelSpec) -> Batches:
        for start in range(0, len(others), 8):
            pixels, present = stack(others[start : start + 8], spec.input_size)
            yield np.ascontiguousarray(channels(pixels, spec)), present

    def answers(device: str, engine: str, precision: str) -> tuple[np.ndarray, np.ndarray, str]:
        samples = Int8Samples(f"bench-{len(others)}", people)
        opened, _ = open_model(options.model, device, precision, engine, int8_samples=samples)
        found = [prediction for prediction in Predictor(opened, spec).predict(crops) if prediction]
        return (
            np.array([p.age for p in found], float),  # NaN for bodies that tell no age
            np.array([p.gender for p in found]),
            opened.precision,
        )

    ages, genders, _ = answers("cpu", "torch", "fp32")
    rows, failed = [], False
    kinds = [
        (device, engine) for engine in (("torch", "openvino") if device == "cpu" else ("torch",))
    ]
    for place, engine in [*kinds, *([("cpu", "openvino")] if device != "cpu" else [])]:
        for precision in (
            "fp32",
            "bf16",
            *(() if place == "cpu" else ("fp16",)),
            *with_int8(place, engine),
        ):
            other, kinds_of, used = answers(place, engine, precision)
            years, swapped = np.abs(other - ages), float((kinds_of != genders).mean())
            years = years[~np.isnan(years)]
            good = {
                "fp32": years.max() <= 0.01,
                "int8": years.mean() <= 0.4,
            }.get(used, years.mean() <= 0.15 and swapped <= 0.005)
            failed |= not good
            row = {"device": place, "engine": engine, "precision": used, "people": len(years)}
            row |= {
                "mean years": float(years.mean()),
                "most years": float(years.max()),
                "other gender": swapped,
            }
            rows.append(row | {"bar": "met" if good else "missed"})
    show(rows, options.json)
    sys.exit(failed)


def with_int8(device: str, engine: str) -> tuple[str, ...]:
    return ("int8",) if (device, engine) == ("cpu", "openvino") and find_spec("nncf") else ()


if __name__ == "__main__":
    main()
