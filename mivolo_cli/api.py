"""The Python API for scripts and notebooks: runs the stages of a scan on pictures in memory or on
disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import PIL.Image
import pyarrow as pa

from . import draw
from .errors import BadInput, MivoloError, PhotoError
from .photos import decode
from .photos.memory import ALLOWED, MEMORY, Memory, Picture, is_picture
from .photos.sandbox import Sandbox, shared
from .pipeline import stages
from .pipeline.components import open_components
from .pipeline.options import InferenceOptions
from .records import SCHEMA, Failure, Image, Person, Photo, Pixels, Prediction, Result, rows

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The people found in one picture.

    `result` contains the photo, its size and people, or the reason why it could not be read.
    `pixels` (height, width, 3) uint8 RGB or `data` (bytes of a file) are set if they were passed
    in; files on disk are read again when needed.
    """

    result: Result | Failure
    pixels: Pixels | None = field(default=None, repr=False)
    data: bytes | None = field(default=None, repr=False)

    @property
    def file(self) -> Path | None:
        """The path of the picture; None if it was passed in from memory."""
        return None if self.result.photo.root == MEMORY else self.result.photo.file

    @property
    def people(self) -> Sequence[tuple[Person, Prediction | None]]:
        """People from left to right, with boxes in pixels of the upright picture and ages in years.
        The prediction is None if no crop was usable."""
        return () if isinstance(self.result, Failure) else self.result.people

    @property
    def error(self) -> str | None:
        """Stable error code if the picture could not be read; see also `result.message`."""
        return self.result.code if isinstance(self.result, Failure) else None

    def draw(self) -> PIL.Image.Image:
        """Draw boxes and labels on the picture. Raises PhotoError if it cannot be read."""
        if isinstance(self.result, Failure):
            raise PhotoError(self.result.code, self._about(self.result))
        if self.pixels is not None:
            return PIL.Image.fromarray(draw.annotate(self.pixels, self.people))
        image = decode.decode_or_fail(self.result.photo, shared(), data=self.data)
        if isinstance(image, Failure):
            raise PhotoError(image.code, self._about(image))
        people = stages.on_pixels(image, self.people)
        return PIL.Image.fromarray(draw.annotate(image.pixels, people))

    def _about(self, failure: Failure) -> str:
        return f"{self.file}: {failure.message}" if self.file else failure.message


class Answers(Sequence[Answer]):
    """A sequence with one answer per picture, in order; as a table, one row per person."""

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
        """Return the table of a scan, with all its columns; for polars, use
        `polars.from_arrow(...)`."""
        return pa.Table.from_pylist(
            [row for answer in self for row in rows(answer.result)], schema=SCHEMA
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return the table as a DataFrame. Column types do not depend on the content, even without
        rows: text is `string`, whole numbers are Int64 or Int32 (missing: <NA>), other numbers
        float64 (missing: NaN), and `taken_at` is datetime64[ms].

        Raises MivoloError if pandas is not installed.
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
    """A model and a detector, loaded once.

    Keywords are the fields of InferenceOptions, which match the options of `mivolo scan`:
    `Mivolo(device="cuda", use="face")`. Events such as a fallback from a failing GPU to the CPU are
    logged as warnings of the logger `mivolo_cli`. Raises BadInput and WeightsError.
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
        """Find people in one picture or many: paths of files and folders, bytes of files, open
        files, arrays (height, width, 3) uint8 RGB, or Pillow images. Unreadable pictures become
        answers with an `error`."""
        return Answers(self.stream(pictures))

    def stream(self, pictures: Picture | Iterable[Picture]) -> Iterator[Answer]:
        """Like `predict`, but yield answers one by one, for more pictures than fit into memory.
        Batches of people span pictures."""
        memory = Memory()
        with closing(Sandbox()) as sandbox:
            for result in self._results(_listed(pictures), memory, sandbox):
                kept = memory.kept(result.photo)
                memory.forget(result.photo)
                yield Answer(result, *((None, kept) if isinstance(kept, bytes) else (kept, None)))

    def _results(
        self, pictures: Iterable[Picture], memory: Memory, sandbox: Sandbox
    ) -> Iterator[Result | Failure]:
        """Yield results, decoding ahead in threads."""

        def again(photo: Photo) -> Image | Failure:
            return decode.decode_again(photo, sandbox, self._limits, memory.data(photo))

        predictor = self._components.predictor
        items = (item for picture in pictures for item in memory.items(picture))
        workers, min_size = self._options.workers, self._components.min_size
        with closing(decode.decode_all(items, workers, min_size, self._limits)) as images:
            detected = stages.detect_people(
                images,
                self._components.detector,
                predictor.spec.input_size,
                self._options.use,
                again,
                level=self._components.level,
                any_way_up=self._options.any_way_up,
                min_face=self._options.min_face,
            )
            yield from stages.predict(detected, predictor)


def _listed(pictures: Picture | Iterable[Picture]) -> Iterable[Any]:
    """Return the pictures as an iterable. Raises BadInput."""
    if is_picture(pictures):
        return [pictures]
    if not isinstance(pictures, Iterable):
        raise BadInput(
            f"a picture cannot be a {type(pictures).__name__}", hint=f"{ALLOWED}, or several"
        )
    return pictures
