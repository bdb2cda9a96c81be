"""When a photo was taken, according to the JSON file that Google Takeout writes next to it.

The file has the name of the photo with a suffix, truncated to 46 characters. Takeout numbers photos
of the same name as `IMG(1).jpg` and their files as `IMG.jpg(1).json`; edited photos use the file of
the original.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from .. import storage
from ..records import Photo, archive_of
from .exif import FIRST_PHOTOGRAPH

ADDITION = ".supplemental-metadata"
LONGEST = 46
MOST_BYTES = 1024**2
NUMBERED = re.compile(r"(.+)(\(\d+\))", re.DOTALL)
EDITED = re.compile(
    r"(.+)-(edited|effects|bearbeitet|modifié|editado|editada|modificato|bewerkt|redigerad|redigert"
    r"|redigeret|muokattu|edytowane|upraveno|upravené|szerkesztett|düzenlendi|изменено"
    r"|отредактировано|編集済み|已修改|已編輯|수정됨)",
    re.DOTALL | re.IGNORECASE,
)
EXTENSIONS = (".jpg", ".JPG", ".jpeg", ".HEIC", ".heic", ".png", ".PNG", ".webp")
"""Possible suffixes of the original of a photo that was edited, or exported in another format."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def taken_at(photo: Photo) -> datetime | None:
    """Return the time in UTC, without zone; None if there is no such file next to the photo.
    Buckets and archives are not searched."""
    if storage.is_url(photo.root) or archive_of(photo.path)[1]:
        return None
    folder, name = os.path.split(photo.file)
    with suppress(OSError, ValueError):
        there = _json_files(folder, os.stat(folder).st_mtime_ns)
        found = (there[one] for one in candidates(name) if one in there)
        times = (_time(Path(folder, one)) for one in found)
        return next((time for time in times if time), None)
    return None


def candidates(name: str) -> Iterator[str]:
    """Yield possible names of a photo's file, most likely first."""
    stem, extension = os.path.splitext(unicodedata.normalize("NFC", name))
    for own in (extension, *(one for one in EXTENSIONS if one != extension)):
        for title, number in _originals(stem):
            yield from _names(title, own, number)


def _originals(stem: str) -> Iterator[tuple[str, str]]:
    """Yield possible names of the original, without suffix, and its number."""
    yield stem, ""
    numbered, edited = NUMBERED.fullmatch(stem), EDITED.fullmatch(stem)
    if numbered:
        yield numbered[1], numbered[2]
        if edited := EDITED.fullmatch(numbered[1]):
            yield edited[1], numbered[2]
    elif edited:
        yield edited[1], ""
        if numbered := NUMBERED.fullmatch(edited[1]):
            yield numbered[1], numbered[2]


def _names(title: str, extension: str, number: str) -> Iterator[str]:
    whole = title + extension
    yield f"{whole}{number}.json"
    yield f"{whole[:LONGEST]}{number}.json"
    for length in range(len(ADDITION), 0, -1):
        yield f"{whole}{ADDITION[:length]}{number}.json"
    yield f"{title}{number}.json"


@lru_cache(8)
def _json_files(folder: str, mtime_ns: int) -> Mapping[str, str]:
    """List a folder's JSON files by normalised name, because some systems decompose accents.
    `mtime_ns` invalidates the cache when the folder changes. Raises OSError."""
    names = (name for name in os.listdir(folder) if name.lower().endswith(".json"))
    return {unicodedata.normalize("NFC", name): name for name in names}


def _time(file: Path) -> datetime | None:
    """Read the time from a Takeout file; None if it is not one, or if the time is 0."""
    with suppress(OSError, ValueError, TypeError, LookupError, OverflowError, RecursionError):
        said = json.loads(storage.read_file(file, MOST_BYTES))["photoTakenTime"]["timestamp"]
        seconds = int(said)
        time = (EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None)
        return time if seconds and time.year >= FIRST_PHOTOGRAPH else None
    return None
