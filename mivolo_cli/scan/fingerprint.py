"""The models and options that produced a table, as stored in its metadata to compare tables."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..model import registry
from ..photos import walk
from ..pipeline.options import Affects, InferenceOptions
from ..records import SCHEMA_VERSION
from ..runtime.engines import AUTO
from ..version import __version__
from . import store
from .options import ScanOptions

if TYPE_CHECKING:
    from ..pipeline.components import Components

RULES = 6
"""Increased when the same photo, model and options give different results than before, so that all
photos are processed again."""
MODEL_FOLDER = "_openvino_model"
SHARD, ROOTS = "shard", "roots"
OF_SHARDS = (SHARD, ROOTS)
"""Metadata keys of shards only: the shard's number, and the folders of all shards in order."""


def metadata(options: InferenceOptions, components: Components) -> dict[str, str]:
    """Return metadata describing how results were made, including a fingerprint of everything that
    affects them. In fp32, engines differ only in the last digits, and auto is as good on all
    machines; with any other precision, the fingerprint also covers the engine and the graph."""
    spec, detector, engine = components.predictor.spec, components.detector, components.engine
    settings = options.affecting(Affects.RESULTS)
    decisive = [RULES, SCHEMA_VERSION, components.model_sha256, spec.to_metadata()]
    decisive += [detector.name, detector.sha256, settings]
    if options.precision not in (AUTO, "fp32"):
        decisive += [engine.name, engine.int8_key]
    return {
        "model": spec.name,
        "model_sha256": components.model_sha256,
        "detector": detector.name,
        "detector_sha256": detector.sha256,
        "settings": json.dumps(settings, sort_keys=True),
        store.FINGERPRINT: hashlib.sha256(
            json.dumps(decisive, sort_keys=True).encode()
        ).hexdigest(),
    }


def request(options: ScanOptions) -> dict[str, Any]:
    """Return everything that determines the models and options of a scan without opening them:
    options that affect results, and sizes and times of the files they name. If it is unchanged, so
    is the fingerprint."""
    affecting = (kind for kind in Affects if kind is not Affects.SPEED)
    wanted = options.inference.affecting(*affecting) | {
        "spreadsheet_safe": options.spreadsheet_safe
    }
    return {
        "program": [__version__, RULES, SCHEMA_VERSION],
        "options": {name: str(value) for name, value in wanted.items()},
        "part": part(options),
        "files": [
            [str(file), file.stat().st_size, file.stat().st_mtime_ns]
            for file in _files(options)
            if file.is_file()
        ],
    }


def _files(options: ScanOptions) -> list[Path]:
    """List all files that may be opened for these options, whether they exist or not."""
    named = [
        Path(str(name)) for name in options.inference.affecting(Affects.CONTENT).values() if name
    ]
    named += [Path(options.inference.model).parent / "config.json"]
    named += [status.path for status in registry.status() if status.path is not None]
    folders = [path for path in named if path.name.endswith(MODEL_FOLDER)]
    return [*named, *(file for folder in folders for file in sorted(folder.rglob("*")))]


def part(options: ScanOptions) -> dict[str, str]:
    """Return metadata that describes the shard; empty if the scan covers all photos."""
    if options.shard is None:
        return {}
    return {SHARD: str(options.shard), ROOTS: json.dumps(walk.roots(options.paths))}
