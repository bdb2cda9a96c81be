"""What `tag` should write, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..metadata.exif import Field
from ..metadata.packet import NamedFaces, TagEntries
from ..metadata.sidecar import SidecarName

Rows = Sequence[Mapping[str, Any]]
Where = Literal["auto", "photo", "sidecar"]


@dataclass(frozen=True, slots=True)
class TagOptions:
    """With `where` auto, the photo itself is written if its format and state allow it, and a
    sidecar otherwise; existing sidecars are updated as well, except with `photo`. People with
    detection scores below `min_score` are skipped. `moved` gives the photos' new folders: see
    tables.moved."""

    results: Path
    where: Where = "auto"
    keywords: bool = False
    microsoft: bool = False
    bodies: bool = False
    exif: Field | None = None
    overwrite: bool = False
    backup: bool = False
    require_reversible: bool = False
    dry_run: bool = False
    check: bool = False
    report: Path | None = None
    min_score: float = 0.0
    subjects: bool = False
    named_faces: NamedFaces = "extend"
    sidecar_name: SidecarName = "photo.jpg.xmp"
    moved: Sequence[str] = ()

    @property
    def entries(self) -> TagEntries:
        return TagEntries(self.keywords, self.microsoft, self.subjects, self.named_faces)
