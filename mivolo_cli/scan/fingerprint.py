"""What made a table: the models and settings of a scan, as they stand in a table's metadata and
tell it from others."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..model import registry
from ..photos import walk
from ..records import SCHEMA_VERSION
from ..version import __version__
from . import store

if TYPE_CHECKING:
    from ..pipeline.components import Tools
    from .run import ScanOptions

RULES = 4
"""Grows when the same photo, model and settings give other results than before, so that all photos
are done again."""
MODEL_FOLDER = "_openvino_model"
SHARD, ROOTS = "shard", "roots"
OF_SHARDS = (SHARD, ROOTS)
"""What only a table of a part of the photos says: which part, and the folders of all of them in
their order."""


def metadata(options: ScanOptions, tools: Tools) -> dict[str, str]:
    """What made the results. The fingerprint leaves out what only makes a scan faster or slower."""
    spec, detector = tools.predictor.spec, tools.detector
    settings = {
        name: getattr(options, name)
        for name in ("precision", "use", "flip", "full_resolution", "batch_size")
    }
    decisive = [
        RULES,
        SCHEMA_VERSION,
        tools.model_sha256,
        spec.to_metadata(),
        detector.name,
        detector.sha256,
    ]
    decisive += [options.precision, options.use, options.flip, options.full_resolution]
    if (
        options.precision != "fp32"
    ):  # in fp32 all engines give the same answers but for the last digits
        decisive += [tools.engine.name, tools.engine.int8_key]
    return {
        "model": spec.name,
        "model_sha256": tools.model_sha256,
        "detector": detector.name,
        "detector_sha256": detector.sha256,
        "settings": json.dumps(settings, sort_keys=True),
        store.FINGERPRINT: hashlib.sha256(
            json.dumps(decisive, sort_keys=True).encode()
        ).hexdigest(),
        **part(options),
    }


def request(options: ScanOptions) -> dict[str, Any]:
    """All that decides what a scan works with, seen from outside: names, and the sizes and times of
    files.

    While it stays the same, nothing needs to be opened to know the fingerprint.
    """
    names = (
        "model",
        "detector",
        "device",
        "engine",
        "precision",
        "use",
        "flip",
        "batch_size",
        "spreadsheet_safe",
    )
    values = [
        *(getattr(options, name) for name in names),
        options.full_resolution,
        str(options.int8_samples),
    ]
    named = [
        Path(options.model),
        Path(options.model).parent / "config.json",
        Path(options.detector),
    ]
    named += [] if options.boxes is None else [options.boxes]
    named += [status.path for status in registry.status() if status.path is not None]
    folders = [path for path in named if path.name.endswith(MODEL_FOLDER)]
    files = [*named, *(file for folder in folders for file in sorted(folder.rglob("*")))]
    return {
        "program": [__version__, RULES, SCHEMA_VERSION],
        "options": values,
        "part": part(options),
        "files": [
            [str(file), file.stat().st_size, file.stat().st_mtime_ns]
            for file in files
            if file.is_file()
        ],
    }


def part(options: ScanOptions) -> dict[str, str]:
    """What the metadata of a table say of its shard; nothing where the scan is of all photos."""
    if options.shard is None:
        return {}
    return {SHARD: str(options.shard), ROOTS: json.dumps(walk.roots(options.paths))}
