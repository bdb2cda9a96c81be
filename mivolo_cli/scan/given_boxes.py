"""Check that the user's own boxes match the photos being scanned."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from ..detect.given import GivenDetector
from ..errors import BadInput
from ..records import Failure, Photo
from .options import ScanOptions

logger = logging.getLogger(__name__)
Found = Photo | Failure
SHOWN = 3
"""Number of paths listed in a message."""


def opened(options: ScanOptions) -> GivenDetector | None:
    """Return the table of boxes; None if the scan has none or covers only a shard."""
    inference = options.inference
    if inference.boxes is None or options.shard is not None:
        return None
    return GivenDetector(inference.boxes)


def require_some(boxes: GivenDetector, options: ScanOptions, found: Iterable[Found]) -> None:
    """Raise BadInput if no photo has any of the boxes."""
    first = ""
    for item in found:
        photo = item.photo if isinstance(item, Failure) else item
        first = first or photo.path
        if boxes.paths_of(photo):
            return
    if boxes.paths and first:
        raise BadInput(
            f"{options.inference.boxes} has no boxes for any of the photos: it names "
            f"{_named(boxes.paths)}, but the first photo is {first}",
            hint="give photo paths relative to the scanned folder, or absolute paths",
        )


def noted(boxes: GivenDetector, found: Iterable[Found]) -> Iterator[Found]:
    """Pass photos through; at the end, log a warning about boxes of photos that were not found."""
    missing = set(boxes.paths)
    for item in found:
        photo = item.photo if isinstance(item, Failure) else item
        missing.difference_update(boxes.paths_of(photo))
        yield item
    if missing:
        logger.warning(
            f"photos named in --boxes that were not found: {len(missing)} of "
            f"{len(boxes.paths)} ({_named(missing)})"
        )


def _named(paths: Iterable[str]) -> str:
    names = sorted(paths)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
