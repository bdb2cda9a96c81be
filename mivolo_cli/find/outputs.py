"""Outputs of `find`: each is a function that takes a photo, opened on a stack and published when
the stack closes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Literal

from ..atomic import Kind, new_file, new_folder, reported
from ..errors import PhotoError
from ..metadata.lookup import is_as_scanned
from ..photos import originals
from ..photos.located import located
from ..records import Photo, archive_of, same_file
from ..storage import is_url, read_start
from ..tables import BUFFER_ROWS, open_sinks
from .wanted import Rows

Take = Callable[[Photo, Rows], bool]
"""Takes a photo and its matching rows, and returns whether it succeeded."""
HEADER = "#EXTM3U\n# Photos found by mivolo\n"


def _is_playlist(path: Path) -> bool:
    return read_start(path, len(HEADER)) == HEADER.encode()


PLAYLIST = Kind("playlist of mivolo", _is_playlist)


def open_table(path: Path, made_by: Mapping[str, str], stack: ExitStack) -> Take:
    """Write a result table with the rows."""
    sinks = stack.enter_context(open_sinks([path], made_by))
    waiting: list[Rows] = []

    def flush() -> None:
        sinks.write(row for rows in waiting for row in rows)
        waiting.clear()

    def take(photo: Photo, people: Rows) -> bool:
        waiting.append(people)
        if len(waiting) >= BUFFER_ROWS:
            flush()
        return True

    stack.callback(flush)
    return take


def open_playlist(path: Path, stack: ExitStack) -> Take:
    """Write a playlist (M3U in UTF-8) with the photos' full paths. It cannot contain pictures in
    archives, which viewers cannot open, or names with line breaks."""
    temporary = stack.enter_context(new_file(path))
    with reported(path):
        file = stack.enter_context(temporary.open("w", encoding="utf-8", newline="\n"))
        file.write(HEADER)

    def take(photo: Photo, people: Rows) -> bool:
        if archive_of(photo.path)[1] or len(photo.address.splitlines()) != 1:
            return False
        with reported(path):
            file.write(f"{photo.address}\n")
        return True

    return take


def open_folder(path: Path, way: Literal["copy", "link"], stack: ExitStack) -> Take:
    """Write a folder of copies or links under the photos' own paths, only for pictures that are
    unchanged since the scan."""
    folder = stack.enter_context(new_folder(path))
    put = originals.copy if way == "copy" else _link
    names = Names()

    def take(photo: Photo, people: Rows) -> bool:
        with reported(path):
            return is_as_scanned(photo) and put(photo, folder / names.free(photo))

    return take


class Names:
    """Names in one folder for photos from several, unique on all systems."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def free(self, photo: Photo) -> PurePosixPath:
        """Return and reserve the photo's own path, with a number if that is taken."""
        path = PurePosixPath(photo.path.replace("\\", "_"))
        path = path if path.name else PurePosixPath("photo")
        first, *rest = path.parts
        found, number = path, 2
        while self._is_taken(found):
            numbered = f"{first}-{number}"
            found = PurePosixPath(numbered, *rest) if rest else _numbered(path, number)
            number += 1
        self._files.add(same_file(str(found)))
        self._folders.update(same_file(str(above)) for above in found.parents)
        return found

    def _is_taken(self, path: PurePosixPath) -> bool:
        name = same_file(str(path))
        above = {same_file(str(folder)) for folder in path.parents}
        return name in self._files or name in self._folders or bool(above & self._files)


def _numbered(path: PurePosixPath, number: int) -> PurePosixPath:
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


def _link(photo: Photo, target: Path) -> bool:
    """Link to the photo, which must be a regular local file."""
    if is_url(photo.root) or not photo.file.is_file():
        return False
    try:
        file = located(photo)
        if not originals.is_picture(photo):
            return False
    except PhotoError:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(file)
    return True
