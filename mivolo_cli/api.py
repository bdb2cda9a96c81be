"""For scripts and notebooks: `from mivolo_cli import Mivolo`, the stages of a scan on pictures in
memory or on disk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, overload

import numpy as np
import PIL.Image
import PIL.ImageOps
import pyarrow as pa

from . import draw, storage
from .errors import BadInput, MivoloError, PhotoError
from .photos import decode, walk
from .photos.rgb import to_pixels, to_rgb
from .photos.sandbox import Sandbox, shared
from .pipeline import stages
from .pipeline.components import open_components
from .pipeline.options import InferenceOptions
from .records import SCHEMA, Failure, Image, Person, Photo, Pixels, Prediction, Result, rows

if TYPE_CHECKING:
    import pandas as pd

Picture = str | os.PathLike[str] | Pixels | PIL.Image.Image
"""A file, a folder, an array (height, width, 3) uint8 RGB, or a picture of Pillow's."""
MEMORY = "(memory)"
"""Stands as the root of pictures that are in no file; roots of files are absolute."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What was found on one picture.

    `result` says which photo it was, its size and who is on it, or why it could not be read.
    `pixels` (height, width, 3) uint8 RGB are those that were given; of a file they are read again
    when needed.
    """

    result: Result | Failure
    pixels: Pixels | None = field(default=None, repr=False)

    @property
    def file(self) -> Path | None:
        """Where the picture came from; None for one from memory."""
        return self.result.photo.file if self.pixels is None else None

    @property
    def people(self) -> Sequence[tuple[Person, Prediction | None]]:
        """From left to right; boxes in pixels of the upright picture, ages in years. No prediction
        where no crop was usable."""
        return () if isinstance(self.result, Failure) else self.result.people

    @property
    def error(self) -> str | None:
        """The stable code of why a file could not be read."""
        return self.result.code if isinstance(self.result, Failure) else None

    def draw(self) -> PIL.Image.Image:
        """The picture with boxes and labels. Raises PhotoError if its file cannot be read."""
        if self.pixels is not None:
            return PIL.Image.fromarray(draw.annotate(self.pixels, self.people))
        image = decode.decode_or_fail(self.result.photo, shared())
        if isinstance(image, Failure):
            raise PhotoError(image.code, image.message)
        people = stages.on_pixels(image, self.people)
        return PIL.Image.fromarray(draw.annotate(image.pixels, people))


class Answers(Sequence[Answer]):
    """One answer a picture, in order; as a table, one row a person."""

    def __init__(self, answers: Iterable[Answer]) -> None:
        self._answers = list(answers)

    def __len__(self) -> int:
        return len(self._answers)

    @overload
    def __getitem__(self, index: int) -> Answer: ...

    @overload
    def __getitem__(self, index: slice) -> Answers: ...

    def __getitem__(self, index: int | slice) -> Answer | Answers:
        return Answers(self._answers[index]) if isinstance(index, slice) else self._answers[index]

    def __repr__(self) -> str:
        people = sum(len(answer.people) for answer in self)
        return f"<{len(self)} pictures, {people} people>"

    def to_arrow(self) -> pa.Table:
        """The table that a scan writes, with all its columns; polars takes it as
        `polars.from_arrow(...)`."""
        return pa.Table.from_pylist(
            [row for answer in self for row in rows(answer.result)], schema=SCHEMA
        )

    def to_pandas(self) -> pd.DataFrame:
        """The same as a DataFrame, whose columns have the same types whatever was found, also for
        no rows: text is `string`, whole numbers are Int64 or Int32 with <NA> where there is none,
        other numbers float64 with NaN, and `taken_at` is datetime64[ms].

        Raises MivoloError where pandas is not installed.
        """
        try:
            import pandas as pd
        except ModuleNotFoundError as error:
            raise MivoloError(
                "pandas is not installed", hint="pip install pandas, or use to_arrow()"
            ) from error
        types = {
            pa.string(): pd.StringDtype(),
            pa.int32(): pd.Int32Dtype(),
            pa.int64(): pd.Int64Dtype(),
        }
        return self.to_arrow().to_pandas(types_mapper=types.get)


class Mivolo:
    """A model and a detector, opened once.

    The keywords are the fields of InferenceOptions, which are the options of `mivolo scan`:
    `Mivolo(device="cuda", use="face")`. What happens on the way, as a GPU that fails and is left
    for the CPU, goes to the logger `mivolo_cli` as a warning. Raises BadInput and WeightsError.
    """

    def __init__(self, options: InferenceOptions | None = None, **settings: Any) -> None:
        try:
            self._options = replace(options or InferenceOptions(), **settings)
        except TypeError as error:
            names = ", ".join(option.name for option in fields(InferenceOptions))
            raise BadInput(f"Mivolo has no such option: {error}", hint=f"use {names}") from error
        self._limits = self._options.limits
        self._components = open_components(self._options)

    def predict(self, pictures: Picture | Iterable[Picture]) -> Answers:
        """Find the people of one picture or many. Files that cannot be read become answers with an
        `error`."""
        return Answers(self.stream(pictures))

    def stream(self, pictures: Picture | Iterable[Picture]) -> Iterator[Answer]:
        """The same one by one, for more pictures than memory holds; batches of people cross
        pictures."""
        kept: dict[str, Pixels] = {}
        predictor, detector = self._components.predictor, self._components.detector
        with closing(Sandbox()) as sandbox:
            detected = stages.detect_people(
                self._images(_listed(pictures), kept),
                detector,
                predictor.spec.input_size,
                self._options.use,
                partial(decode.decode_again, sandbox=sandbox, limits=self._limits),
                level=self._components.level,
                any_way_up=self._options.any_way_up,
                min_face=self._options.min_face,
            )
            for result in stages.predict(detected, predictor):
                photo = result.photo
                yield Answer(result, kept.pop(photo.path) if photo.root == MEMORY else None)

    def _images(
        self, pictures: Iterable[Picture], kept: dict[str, Pixels]
    ) -> Iterator[Image | Failure]:
        """Files decoded ahead in threads; pixels from memory are kept by their names until their
        answer is out."""
        count, workers, min_size = 0, self._options.workers, self._components.min_size
        for on_disk, group in groupby(pictures, key=_is_path):
            if on_disk:
                places = (storage.place(os.fspath(item)) for item in group if _is_path(item))
                photos = (photo for place in places for photo in walk.opened(walk.walk([place])))
                yield from decode.decode_all(photos, workers, min_size, self._limits)
                continue
            for item in group:
                name, count = f"picture {count}", count + 1
                kept[name] = _pixels(item)
                yield Image(Photo(MEMORY, name), kept[name])


def _is_path(picture: Picture) -> TypeGuard[str | os.PathLike[str]]:
    return isinstance(picture, (str, os.PathLike))


def _listed(pictures: Picture | Iterable[Picture]) -> Iterable[Picture]:
    if isinstance(pictures, (str, os.PathLike, PIL.Image.Image, np.ndarray)):
        return [pictures]
    return pictures


def _pixels(picture: Any) -> Pixels:
    """Upright RGB."""
    if isinstance(picture, PIL.Image.Image):
        return to_pixels(to_rgb(PIL.ImageOps.exif_transpose(picture)))
    if (
        isinstance(picture, np.ndarray)
        and picture.dtype == np.uint8
        and picture.ndim == 3
        and picture.shape[2] == 3
    ):
        return picture
    shape = f" {picture.shape} {picture.dtype}" if isinstance(picture, np.ndarray) else ""
    raise BadInput(
        f"a picture cannot be a {type(picture).__name__}{shape}",
        hint="give a path, a Pillow picture, or an array (height, width, 3) of uint8"
        " in the order red, green, blue",
    )
