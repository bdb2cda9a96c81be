"""With what, and how, people are found and judged: one object for scan, eval and the Python API."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any

from ..photos.limits import Limits, limits
from ..records import Use


class Affects(Enum):
    """What another value of an option changes."""

    CONTENT = "results, by the content of the file that it names"
    RESULTS = "results"
    ROUNDING = "results in the last digits, and by more where the precision is not fp32"
    SPEED = "nothing but the pace and the memory"


def _option(default: Any, affects: Affects) -> Any:
    return field(default=default, metadata={"affects": affects})


@dataclass(frozen=True, slots=True)
class InferenceOptions:
    """The options of the model and the detector, under the names that the command line has.

    `model` and `detector` are names or files; `boxes` is the table of the detector `given`.
    `int8_samples` is a folder of photos of people to calibrate int8 with; without one, the photos
    of the first scan in int8 serve. `full_resolution` decodes large JPEGs whole even where detector
    and model would make people smaller anyway. `batch_size` counts people, `workers` are threads
    that decode photos.

    Faces and persons that score less than `min_face_score` and `min_person_score` (0 to 1; None:
    the detector's own thresholds) are left out, and faces of fewer than `min_face` pixels of the
    photo. `level` turns heads that lean upright before the model sees them: auto (if the model
    wants that), on or off. `flip` looks at everybody a second time, mirrored, or at nobody; None:
    at people whose gender is doubtful, with models that were trained by this program.
    `any_way_up` tries all four ways up where no face is surely upright.

    `memory` is for the photos that are decoded at a time: auto (half of the machine's), or a size
    such as 2GB. A JPEG that does not fit is read in fewer pixels, any other photo fails, as does
    one of more than `max_pixels` (0: no limit but the memory).

    Each field says in its metadata what it affects; a run's fingerprint is made from that.
    """

    model: str = _option("auto", Affects.CONTENT)
    detector: str = _option("auto", Affects.CONTENT)
    boxes: Path | None = _option(None, Affects.CONTENT)
    device: str = _option("auto", Affects.ROUNDING)
    engine: str = _option("auto", Affects.ROUNDING)
    precision: str = _option("fp32", Affects.RESULTS)
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
        """All that may be the name of a file or folder to read; those of models are no paths if
        they are in the registry."""
        named = (self.model, self.detector, self.boxes, self.int8_samples)
        return [Path(name) for name in named if name]

    @property
    def limits(self) -> Limits:
        """Those of `memory` and `max_pixels`. Raises BadInput."""
        return limits(self.memory, self.max_pixels)

    def affecting(self, *kinds: Affects) -> dict[str, Any]:
        """The options of these kinds, by name, in the order of their definition."""
        return {
            option.name: getattr(self, option.name)
            for option in fields(self)
            if option.metadata["affects"] in kinds
        }
