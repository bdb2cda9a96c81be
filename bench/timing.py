"""Shared by the speed benchmarks: generated photos, medians, tables and JSON."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch

from mivolo_cli.model import checkpoint
from mivolo_cli.model.architecture import create_model


def make_scenes(folder: Path, photos: int, megapixels: float = 12.0) -> list[Path]:
    """Write 4:3 JPEGs, each with the two people of ultralytics' zidane.jpg in several sizes and
    places, with noise."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = find_spec("ultralytics")
    assert spec is not None and spec.submodule_search_locations
    people = PIL.Image.open(
        Path(spec.submodule_search_locations[0], "assets", "zidane.jpg")
    ).convert("RGB")
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = round(height * 4 / 3)
    files = []
    for number in range(photos):
        rng = np.random.default_rng(number)
        ground = PIL.Image.fromarray(rng.integers(60, 200, (6, 8, 3), np.uint8)).resize(
            (width, height)
        )
        side = round(width * rng.uniform(0.55, 0.9))
        pasted = people.resize((side, round(side * people.height / people.width)))
        pasted = pasted.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT) if number % 2 else pasted
        ground.paste(
            pasted,
            (int(rng.integers(width - pasted.width)), int(rng.integers(height - pasted.height))),
        )
        noise = rng.normal(0, 4, (height // 2, width // 2, 1)).repeat(2, 0).repeat(2, 1)
        pixels = np.asarray(ground, np.float32)[: noise.shape[0], : noise.shape[1]] + noise
        files.append(folder / f"{number:05}.jpg")
        PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(files[-1], quality=90)
    return files


def random_model(folder: Path, variant: str) -> Path:
    """Write a checkpoint with random weights, good enough for timing."""
    torch.manual_seed(0)
    model = create_model(variant).eval()
    file = folder / f"{variant}.safetensors"
    checkpoint.save(model, checkpoint.spec_of(model, variant, 0, 100), file)
    return file


def seconds(work: Callable[[], Any], runs: int = 3, warm: bool = True) -> float:
    """Return the median seconds of several runs, after a warm-up."""
    if warm:
        work()
    return statistics.median(_time(work) for _ in range(runs))


def _time(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def show(rows: Sequence[dict[str, Any]], file: Path | None) -> None:
    """Print rows with the same columns as a table, and write them as JSON with a description of the
    machine."""
    lines = [list(rows[0]), *([_text(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print(
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip(),
            flush=True,
        )
    if file:
        about = {"cores": os.cpu_count(), "torch": torch.__version__, "load": os.getloadavg()[0]}
        file.write_text(
            json.dumps({"machine": about, "rows": list(rows)}, indent=2) + "\n", "utf-8"
        )


def _text(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
