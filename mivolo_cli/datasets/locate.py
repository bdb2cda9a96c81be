"""Find labelled people in pictures with a detector, as a scan would, and cache their positions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .. import atomic
from ..detect.detector import Detector
from ..pipeline.pair import pair
from ..records import Box, Image, Person, Photo
from ..version import __version__
from .sample import Sample

CHUNK = 100
"""Pictures between calls of on_progress."""
SAVE_SECONDS = 60
"""Seconds between writes of the cache."""
NUMBERS = pa.list_(pa.float32())
PERSON = pa.struct([("face", NUMBERS), ("body", NUMBERS), ("roll", pa.float32())])
CACHE = pa.schema([("key", pa.string()), ("people", pa.list_(PERSON))])
"""`key` identifies the picture and the detector; boxes are x1, y1, x2, y2, score."""


def locate(
    samples: Sequence[Sample],
    detector: Detector,
    cache: Path | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
    shows: Sequence[str] = ("photo", "face"),
) -> list[Sample]:
    """Return the samples in order, with detected boxes on those whose kind is in `shows`.

    In a photo, the labelled person is the one with the largest face, or else the largest body; if
    nobody is found, the sample is unchanged. In a face picture where no face is found, the whole
    picture is the face. Results are cached in the Parquet file `cache`. `on_progress` is called
    with the number of pictures done. Raises BadInput for unreadable pictures.
    """
    people = {} if cache is None else _read(cache)
    keys = [_key(sample, detector) if sample.shows in shows else None for sample in samples]
    unknown = {
        key: sample
        for key, sample in zip(keys, samples, strict=True)
        if key is not None and key not in people
    }
    done = len(keys) - keys.count(None) - len(unknown)
    saved = monotonic()
    try:
        for found in _detect(unknown, detector):
            people |= found
            done += len(found)
            on_progress(done)
            if cache is not None and monotonic() - saved > SAVE_SECONDS:
                _write(people, cache)
                saved = monotonic()
    finally:
        if cache is not None and unknown:
            _write(people, cache)
    return [
        sample if key is None else _with_boxes(sample, people[key])
        for key, sample in zip(keys, samples, strict=True)
    ]


def is_cache(file: Path) -> bool:
    """Whether a file is a cache of `locate`."""
    try:
        return bool(pq.read_schema(file).equals(CACHE))
    except (OSError, pa.ArrowException):
        return False


def largest(people: Sequence[Person]) -> int:
    """Return the index of the person with the largest face, or else with the largest body."""

    def areas(person: Person) -> tuple[float, float]:
        face, body = (0.0 if box is None else box.area for box in (person.face, person.body))
        return face, body

    return max(range(len(people)), key=lambda i: areas(people[i]))


def _detect(samples: Mapping[str, Sample], detector: Detector) -> Iterator[dict[str, list[Person]]]:
    def people(sample: Sample) -> list[Person]:
        return pair(detector.detect([Image(Photo("", sample.name), sample.pixels())])[0])

    items = list(samples.items())
    with ThreadPoolExecutor(detector.streams, thread_name_prefix="locate") as pool:
        for start in range(0, len(items), CHUNK):
            keys, chunk = zip(*items[start : start + CHUNK], strict=True)
            yield dict(zip(keys, pool.map(people, chunk), strict=True))


def _key(sample: Sample, detector: Detector) -> str:
    """Return a hash that identifies the picture and the detector."""
    if isinstance(sample.source, Path):
        stat = sample.source.stat()
        picture = f"{sample.source.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode()
    else:
        picture = sample.source
    return hashlib.sha256(f"{__version__} {detector.sha256} ".encode() + picture).hexdigest()


def _with_boxes(sample: Sample, people: list[Person]) -> Sample:
    if not people:
        return sample
    chosen = largest(people)
    person, others = people[chosen], (*people[:chosen], *people[chosen + 1 :])
    if sample.shows == "face" and person.face is None:
        return replace(sample, body=person.body)
    return replace(
        sample, face=person.face, body=person.body, roll=person.roll or 0.0, neighbours=others
    )


def _read(file: Path) -> dict[str, list[Person]]:
    """Read the cache; empty if the file is missing or damaged."""
    try:
        rows = pq.read_table(file, schema=CACHE).to_pylist()
    except (OSError, pa.ArrowException):
        return {}
    return {
        row["key"]: [Person(_box(p["face"]), _box(p["body"]), p["roll"]) for p in row["people"]]
        for row in rows
    }


def _write(people: Mapping[str, list[Person]], file: Path) -> None:
    rows = [
        {"key": key, "people": [_to_row(person) for person in found]}
        for key, found in people.items()
    ]
    with atomic.replacing(file) as out:
        pq.write_table(pa.Table.from_pylist(rows, CACHE), out)


def _to_row(person: Person) -> dict[str, Any]:
    boxes = {name: getattr(person, name) for name in ("face", "body")}
    return {name: box and [*box.corners, box.score] for name, box in boxes.items()} | {
        "roll": person.roll
    }


def _box(values: Sequence[float] | None) -> Box | None:
    return None if values is None else Box(*values)
