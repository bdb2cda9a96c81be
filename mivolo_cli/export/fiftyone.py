"""COCO JSON for FiftyOne: extra fields of an annotation, not `attributes`, become fields of a
detection."""

from __future__ import annotations

from pathlib import Path

from ..tables.results import Results
from . import coco
from .common import Exported, Settings

SUFFIX = ".json"
SNIPPET = """\
import fiftyone as fo

dataset = fo.Dataset.from_dir(
    dataset_type=fo.types.COCODetectionDataset,
    data_path={root!r},
    labels_path={labels!r},
    extra_attrs=True,
)
fo.launch_app(dataset).wait()
"""


def write(results: Results, target: Path, settings: Settings) -> Exported:
    """Write a COCO file for FiftyOne; `settings` is not used."""
    done = coco.write_dataset(
        results, target, lambda found: {k: v for k, v in found.items() if v is not None}
    )
    return Exported(
        done.files,
        done.photos,
        done.people,
        (*done.notes, f"to import:\n{snippet(results, target)}"),
    )


def snippet(results: Results, target: Path) -> str:
    """Return the Python code that imports the file."""
    root = results.roots[0] if len(results.roots) == 1 else "/"
    return SNIPPET.format(root=root, labels=str(target.absolute()))
