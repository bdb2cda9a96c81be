"""Annotated pictures of a scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from .. import draw
from ..photos.decode import decode_or_fail
from ..photos.limits import Limits
from ..photos.sandbox import Sandbox
from ..records import Failure, Image, Person, Photo, Prediction, Result

People = Sequence[tuple[Person, Prediction | None]]


class Drawings:
    """Draws into `folder`, or does nothing if it is None.

    Each photo is decoded again for drawing, because keeping the pixels of all photos that wait for
    a batch would need too much memory. A photo that has disappeared since the scan gets no picture.
    """

    def __init__(self, folder: Path | None, roots: Sequence[str], limits: Limits) -> None:
        self._folder, self._roots, self._limits = folder, roots, limits
        self._undrawn: list[Photo] = []
        self._sandbox = Sandbox()

    def draw(self, result: Result | Failure) -> None:
        """Draw a photo with people. Raises OutputError."""
        if isinstance(result, Result):
            self._draw(result.photo, result.people)

    def remember(self, photo: Photo) -> None:
        """Note a photo with a result from an earlier run, which may not have drawn it."""
        folder = self._folder
        if folder is not None and not draw.annotated_path(folder, photo, self._roots).exists():
            self._undrawn.append(photo)

    def draw_remembered(self, people_of: Callable[[Photo], People]) -> None:
        """Draw the missing pictures. Raises OutputError."""
        for photo in self._undrawn:
            self._draw(photo, people_of(photo))

    def forget(self) -> None:
        """Forget all noted photos."""
        self._undrawn = []

    def close(self) -> None:
        self._sandbox.close()

    def _draw(self, photo: Photo, people: People) -> None:
        if self._folder is None or not people:
            return
        with self._limits.room() as room:
            image = decode_or_fail(photo, self._sandbox, room=room)
            if isinstance(image, Image):
                from ..pipeline import stages  # OpenCV is only needed here

                shown = stages.on_pixels(image, people)
                draw.save_annotated(image.pixels, shown, self._folder, photo, self._roots)
