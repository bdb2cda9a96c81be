"""For scripts and notebooks: `from mivolo_cli import Mivolo`, the stages of a scan on pictures in
memory or on disk."""

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
    """What was found on one picture.

    `result` says which photo it was, its size and who is on it, or why it could not be read.
    `pixels` (height, width, 3) uint8 RGB or `data`, the bytes of a file, are those that were given;
    of a file they are read again when needed.
    """

    result: Result | Failure
    pixels: Pixels | None = field(default=None, repr=False)
    data: bytes | None = field(default=None, repr=False)

    @property
    def file(self) -> Path | None:
        """Where the picture came from; None for one from memory."""
        return None if self.result.photo.root == MEMORY else self.result.photo.file

    @property
    def people(self) -> Sequence[tuple[Person, Prediction | None]]:
        """From left to right; boxes in pixels of the upright picture, ages in years. No prediction
        where no crop was usable."""
        return () if isinstance(self.result, Failure) else self.result.people

    @property
    def error(self) -> str | None:
        """The stable code of why the picture could not be read; `result.message` says more."""
        return self.result.code if isinstance(self.result, Failure) else None

    def draw(self) -> PIL.Image.Image:
        """The picture with boxes and labels. Raises PhotoError if it cannot be read."""
        if isinstance(self.result, Failure):
            raise PhotoError(self.result.code, self.result.message)
        if self.pixels is not None:
            return PIL.Image.fromarray(draw.annotate(self.pixels, self.people))
        image = decode.decode_or_fail(self.result.photo, shared(), data=self.data)
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
        """Find the people of one picture or many: paths of files and folders, bytes of files, open
        files, arrays (height, width, 3) uint8 RGB, pictures of Pillow's. Those that cannot be read
        or are no pictures become answers with an `error`."""
        return Answers(self.stream(pictures))

    def stream(self, pictures: Picture | Iterable[Picture]) -> Iterator[Answer]:
        """The same one by one, for more pictures than memory holds; batches of people cross
        pictures."""
        memory = Memory()
        with closing(Sandbox()) as sandbox:
            for result in self._results(_listed(pictures), memory, sandbox):
                kept = memory.kept(result.photo)
                memory.forget(result.photo)
                yield Answer(result, *((None, kept) if isinstance(kept, bytes) else (kept, None)))

    def _results(
        self, pictures: Iterable[Picture], memory: Memory, sandbox: Sandbox
    ) -> Iterator[Result | Failure]:
        """Decoded ahead in threads."""

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
    """Raises BadInput."""
    if is_picture(pictures):
        return [pictures]
    if not isinstance(pictures, Iterable):
        raise BadInput(
            f"a picture cannot be a {type(pictures).__name__}", hint=f"{ALLOWED}, or several"
        )
    return pictures
