"""Options of scans, all in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from mivolo_cli.pipeline.options import InferenceOptions
from mivolo_cli.scan.options import ScanOptions

INFERENCE = {option.name for option in fields(InferenceOptions)}


def inference_options(**settings: Any) -> InferenceOptions:
    """Those of the settings that are about inference."""
    return InferenceOptions(**{name: settings[name] for name in INFERENCE & set(settings)})


def scan_options(
    paths: Sequence[Path], outputs: Sequence[Path] = (), **settings: Any
) -> ScanOptions:
    """ScanOptions whose inference has its part of the settings."""
    others = {name: value for name, value in settings.items() if name not in INFERENCE}
    return ScanOptions(paths, outputs, inference=inference_options(**settings), **others)
