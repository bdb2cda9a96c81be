"""Process a scan on this machine."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import islice

from ..photos import walk
from ..photos.decode import decode_again, decode_all
from ..photos.sandbox import Sandbox
from ..pipeline.components import Components, open_components
from ..records import Failure, Image, Photo, Result
from . import fingerprint, selection, store
from .backend import Answer
from .options import ScanOptions


class LocalBackend:
    """Decodes photos in threads and yields results part by part, in order."""

    def __init__(self, options: ScanOptions) -> None:
        self.options = options
        self.components = self.open_components()
        self.metadata = {
            **fingerprint.metadata(options.inference, self.components),
            **fingerprint.part(options),
        }

    def open_components(self) -> Components:
        """Open the models for the scan; by default, int8 is calibrated on the scan's own photos."""
        photos = walk.opened(selection.listed(self.options))
        return open_components(self.options.inference, photos)

    def answers(self, todo: Iterator[Photo]) -> Generator[Answer, None, None]:
        """See Backend. Batches do not span parts, so that each part can be repeated on its own."""
        found: deque[Photo] = deque()
        workers, min_size = self.options.inference.workers, self.components.min_size
        limits = self.options.inference.limits
        with closing(decode_all(_noted(todo, found), workers, min_size, limits)) as images:
            more = True
            while more:
                more = False
                # Hold no image here: its memory is needed for the photos after it.
                for result in self.results(islice(images, store.PART_PHOTOS)):
                    more = True
                    yield found.popleft(), result

    def results(self, images: Iterable[Image | Failure]) -> Iterator[Result | Failure]:
        """Detect and predict the people of these photos, in order."""
        from ..pipeline import stages

        parts, inference = self.components, self.options.inference
        with closing(Sandbox()) as sandbox:
            detected = stages.detect_people(
                images,
                parts.detector,
                parts.predictor.spec.input_size,
                inference.use,
                partial(decode_again, sandbox=sandbox, limits=inference.limits),
                level=parts.level,
                any_way_up=inference.any_way_up,
                min_face=inference.min_face,
            )
            yield from stages.predict(detected, parts.predictor)

    def close(self) -> None:
        """See Backend. Nothing stays open between scans."""


def _noted(found: Iterable[Photo], notes: deque[Photo]) -> Iterator[Photo]:
    for photo in found:
        notes.append(photo)
        yield photo
