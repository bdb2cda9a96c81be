"""Options of detection and prediction, shared by scan, eval and the Python API."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any

from ..photos.limits import Limits, limits
from ..records import Use
from ..runtime.engines import AUTO


class Affects(Enum):
    """What changing an option affects."""

    CONTENT = "results, through the content of the named file"
    RESULTS = "results"
    ROUNDING = "results in the last digits, or more unless the precision is fp32"
    SPEED = "speed and memory only"


def _option(default: Any, affects: Affects) -> Any:
    return field(default=default, metadata={"affects": affects})


@dataclass(frozen=True, slots=True)
class InferenceOptions:
    """Options of model and detector, with the same names as on the command line.

    `model` and `detector` are names or files; `boxes` is the table for the detector `given`.
    `int8_samples` is a folder of photos of people to calibrate int8 with; by default, the photos of
    the first int8 scan are used. `full_resolution` decodes large JPEGs at full size even if people
    are scaled down anyway. `batch_size` is in people; `workers` is the number of threads that
    decode photos.

    Faces and persons with scores below `min_face_score` and `min_person_score` (0 to 1; None: the
    detector's own thresholds) are skipped, and so are faces smaller than `min_face` pixels of the
    photo. `level` turns tilted heads upright for the model: auto (if it was trained that way), on
    or off. `flip` averages with the mirrored image for all people (True) or none (False); None:
    for people of doubtful gender, with models trained by this program. `any_way_up` tries all four
    rotations if no face is clearly upright.

    `memory` limits the photos being decoded: auto (half of the machine's memory), or a size such as
    2GB. A JPEG that does not fit is read at reduced size; any other photo fails, and so does one
    with more than `max_pixels` (0: limited by memory only).

    The metadata of each field says what it affects; a run's fingerprint is derived from that.
    """

    model: str = _option("auto", Affects.CONTENT)
    detector: str = _option("auto", Affects.CONTENT)
    boxes: Path | None = _option(None, Affects.CONTENT)
    device: str = _option("auto", Affects.ROUNDING)
    engine: str = _option("auto", Affects.ROUNDING)
    precision: str = _option(AUTO, Affects.RESULTS)
    int8_samples: Path | None = _option(None, Affects.ROUNDING)
    compile: bool = _option(False, Affects.SPEED)
    use: Use = _option("both", Affects.RESULTS)
    flip: bool | None = _option(None, Affects.RESULTS)
    full_resolution: bool = _option(False, Affects.RESULTS)
    min_face_score: float | None = _option(None, Affects.RESULTS)
    min_person_score: float | None = _option(None, Affects.RESULTS)
    min_face: float = _option(0.0, Affects.RESULTS)
    level: str = _option("auto", Affects.RESULTS)
    any_way_up: bool = _option(True, Affects.RESULTS)
    batch_size: int = _option(32, Affects.SPEED)
    memory: str = _option("auto", Affects.SPEED)
    max_pixels: int = _option(0, Affects.RESULTS)
    workers: int = field(
        default_factory=lambda: os.cpu_count() or 1, metadata={"affects": Affects.SPEED}
    )

    def files(self) -> list[Path]:
        """All options that may be paths to read; models and detectors may also be registered
        names."""
        named = (self.model, self.detector, self.boxes, self.int8_samples)
        return [Path(name) for name in named if name]

    @property
    def limits(self) -> Limits:
        """Limits given by `memory` and `max_pixels`. Raises BadInput."""
        return limits(self.memory, self.max_pixels)

    def affecting(self, *kinds: Affects) -> dict[str, Any]:
        """Options of these kinds by name, in definition order."""
        return {
            option.name: getattr(self, option.name)
            for option in fields(self)
            if option.metadata["affects"] in kinds
        }
