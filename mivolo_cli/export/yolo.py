"""A YOLO data set for ultralytics: images/, labels/ with one text file per photo, and data.yaml.

Photos are copied, never linked, because ultralytics rewrites JPEGs that it considers damaged in
place.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ..atomic import new_folder
from ..metadata.lookup import is_as_scanned
from ..photos import originals
from ..photos.passed import RAW
from ..records import Box, Result, same_file, stays_inside
from ..tables.moved import MOVED
from ..tables.results import Results
from .common import KINDS, Exported, Settings, boxes, failed_note, readable

SUFFIX = ""
READ = (
    ".avif",
    ".bmp",
    ".heic",
    ".heif",
    ".jp2",
    ".jpeg",
    ".jpg",
    ".mpo",
    ".png",
    ".tif",
    ".tiff",
    ".webp",
)
"""Suffixes of images that ultralytics 8.4 reads; it silently ignores others."""
YAML = """\
# People and faces found by mivolo. The classes are those of the boxes; ages and genders are not in
# this format. No `path`: the folder may be moved. Split train and val yourself before training.
train: images
val: images
names:
"""
NOT_COPIED = "photos not copied because they are missing, have changed or are not pictures"
FIELDS = ("image", "root", "path")


def write(results: Results, target: Path, settings: Settings) -> Exported:
    """Write a folder; photos.csv in it lists the photo of each image."""
    photos = people = gone = raws = 0
    unread: Counter[str] = Counter()
    with (
        new_folder(target) as folder,
        (folder / "photos.csv").open("w", newline="", encoding="utf-8") as file,
    ):
        listing = csv.writer(file)
        listing.writerow(FIELDS)
        for result, image in _named(results):
            photo, copy = result.photo, folder / "images" / image
            if RAW.fullmatch(image.suffix.lower()):
                raws += 1
                continue
            if settings.copy_photos and not (is_as_scanned(photo) and originals.copy(photo, copy)):
                gone += 1
                continue
            _write_labels(result, folder / "labels" / image.with_suffix(".txt"))
            listing.writerow([f"images/{image}", result.photo.root, result.photo.path])
            photos, people = photos + 1, people + len(result.people)
            unread.update([image.suffix or "none"] if image.suffix.lower() not in READ else [])
        names = "".join(f"  {number}: {kind}\n" for number, kind in enumerate(KINDS))
        (folder / "data.yaml").write_text(YAML + names, encoding="utf-8")
        (folder / "images").mkdir(exist_ok=True)
        (folder / "labels").mkdir(exist_ok=True)
    notes = (
        *failed_note(results),
        *([f"{NOT_COPIED}: {gone}", MOVED] if gone else []),
        *(
            [f"camera raw photos skipped, which ultralytics decodes differently: {raws}"]
            if raws
            else []
        ),
    )
    if unread:
        kinds = ", ".join(sorted(unread))
        notes += (f"photos with a suffix that ultralytics ignores ({kinds}): {unread.total()}",)
    if not settings.copy_photos:
        notes += (f"put the photos into {target / 'images'}, named as photos.csv says",)
    return Exported((target,), photos, people, notes, gone)


def _named(results: Results) -> Iterator[tuple[Result, PurePosixPath]]:
    """Yield each photo with its name below images/: its own path, with a number if the labels of
    another have the same name."""
    taken: set[str] = set()
    for result in readable(results):
        path = PurePosixPath(result.photo.path.replace("\\", "_").replace("\0", "_"))
        if not stays_inside(result.photo.path) or not path.name:
            path = PurePosixPath("elsewhere", "photo" if path.name in ("", "..") else path.name)
        free, number = path, 2
        while same_file(str(free.with_suffix(""))) in taken:
            free, number = path.with_stem(f"{path.stem}-{number}"), number + 1
        taken.add(same_file(str(free.with_suffix(""))))
        yield result, free


def _write_labels(result: Result, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    lines = (_line(kind, box, result) for _, kind, box, _ in boxes(result.people))
    target.write_text("".join(lines), encoding="utf-8")


def _line(kind: str, box: Box, result: Result) -> str:
    """Return a line with class, centre x and y, width and height as shares of the upright photo's
    sides."""
    centre = (box.x1 + box.x2) / 2 / result.width, (box.y1 + box.y2) / 2 / result.height
    size = (box.x2 - box.x1) / result.width, (box.y2 - box.y1) / result.height
    return (
        " ".join([str(KINDS.index(kind)), *(f"{value:.6f}" for value in (*centre, *size))]) + "\n"
    )
