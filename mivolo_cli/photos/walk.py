"""Find photos in folders lazily: each file once, in a stable order."""

from __future__ import annotations

import errno
import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .. import storage
from ..errors import BadInput, PhotoError, Stopped
from ..records import ARCHIVES, Failure, Photo, stays_inside
from ..storage import Url
from . import archives, raw
from .codes import CODES, diagnosis
from .formats import formats_of
from .globs import Glob, Places
from .passed import EXTENSIONS, RAW, PassedOver, backed_up, is_system_folder, may_hold_a_photo

NOWHERE = (errno.ENOENT, errno.ELOOP)
"""Errors for a link without a target, and for a name that vanished after its folder was listed."""
TWINS = (".jpg", ".JPG", ".jpeg", ".JPEG", ".heic", ".HEIC", ".hif", ".HIF")
"""Suffixes of photos that cameras write next to raw files."""
FolderId = tuple[int, int] | str
Seen = tuple[FolderId, tuple[Places, ...]]
"""A folder, and the positions that its path leads to in each pattern; together, they determine
which files below are selected."""


def check_paths(paths: Iterable[Path]) -> None:
    """Raise BadInput naming the paths that do not exist, or for a bucket that cannot be read."""
    absent = [
        str(path)
        for path in paths
        if not (_is_stored(path) if isinstance(path, Url) else _is_there(path))
    ]
    if absent:
        names = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        hint = (
            "check the spelling; names that do not begin with "
            f"{os.sep} are looked for in {os.getcwd()}"
        )
        raise BadInput(f"no such file or folder: {names}", hint=hint)


def roots(paths: Iterable[Path]) -> list[str]:
    """Return the roots that `walk` gives to photos at and below the paths, without duplicates, in
    order."""
    return list(dict.fromkeys(map(_root, paths)))


def walk(
    paths: Iterable[Path],
    *,
    hidden: bool = False,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    archives: bool = False,
    system_folders: bool = False,
    passed: PassedOver | None = None,
) -> Iterator[Photo | Failure]:
    """Yield the photos at and below the paths lazily, each file once.

    Arguments keep their order. A folder's content is sorted by name (code points), with subfolders
    in place; a bucket's by whole keys. Links are followed, and hard links are separate files.

    In folders, files with a picture's suffix are selected, as are files with an unknown suffix, or
    none, that begin like a picture. Names with a leading dot, and files below such folders, require
    `hidden`; files below system folders require `system_folders`. A path given as an argument is
    selected whatever its name. With `archives`, ZIP, tar and Parquet files in folders are also
    selected; `opened` yields their content. `passed` counts the other files and folders.

    `include` and `exclude` are globs for the path below the argument or for the name alone,
    ignoring case: `*.jpg`, `trip/**`, `**/raw/*.png`; only `**` extends into subfolders. Excluded
    folders are not entered. Raises BadInput immediately for an invalid glob, and Stopped if a
    bucket cannot be listed completely.
    """
    search = _Search(
        hidden,
        [Glob(pattern) for pattern in include],
        [Glob(pattern) for pattern in exclude],
        archives,
        system_folders,
        PassedOver() if passed is None else passed,
    )
    return (
        found
        for path in paths
        for found in (
            search.stored(str(path)) if isinstance(path, Url) else search.at(_absolute(path))
        )
    )


def is_archive(found: Photo | Failure) -> bool:
    return isinstance(found, Photo) and found.path.lower().endswith(ARCHIVES)


def opened(
    found: Iterable[Photo | Failure], passed: PassedOver | None = None
) -> Iterator[Photo | Failure]:
    """Replace each archive by the pictures in it; an unreadable one becomes a failure. `passed`
    counts other files in it."""
    for item in found:
        if isinstance(item, Photo) and is_archive(item):
            yield from _in_archive(item, PassedOver() if passed is None else passed)
        else:
            yield item


def _in_archive(archive: Photo, passed: PassedOver) -> Iterator[Photo | Failure]:
    try:
        for photo in archives.listing(archive):
            if _is_of_macos(photo.path):
                continue
            if not stays_inside(photo.path):
                yield Failure(photo, "not_a_file", "its name leads outside its folder")
            elif _extension(archive.path) == ".parquet" or _is_taken(_extension(photo.path)):
                yield photo
            else:
                passed.files[_extension(photo.path)] += 1
    except PhotoError as error:
        yield Failure(archive, error.code, str(error))
    except (OSError, ValueError) as error:
        yield Failure(archive, *diagnosis(error))


def _is_of_macos(path: str) -> bool:
    """Return whether a member of an archive is metadata that macOS adds for each file."""
    parts = path.split("/")
    return "__MACOSX" in parts or parts[-1].startswith("._")


@dataclass(frozen=True, slots=True)
class _Search:
    """Criteria and state of a walk: the names yielded from each folder, and the folders done."""

    hidden: bool
    include: Sequence[Glob]
    exclude: Sequence[Glob]
    archives: bool
    system_folders: bool
    passed: PassedOver
    given: defaultdict[FolderId, set[str]] = field(default_factory=lambda: defaultdict(set))
    done: set[Seen] = field(default_factory=set)

    def at(self, path: str) -> Iterable[Photo | Failure]:
        """Return the photos at an absolute path, a folder or a file."""
        root, name = os.path.split(path)
        try:
            info = os.stat(path)
            if stat.S_ISDIR(info.st_mode):
                return self._below(path)
            if not stat.S_ISREG(info.st_mode):
                return [Failure(Photo(root, name), "not_a_file", CODES["not_a_file"])]
            if self._selects(name) and self._is_new(path, _folder_id(root)):
                return [Photo(root, name, info.st_size, info.st_mtime_ns)]
            return []
        except OSError as error:
            return [Failure(Photo(root, name), *diagnosis(error))]
        except ValueError:  # a name containing NUL
            return [Failure(Photo(root, name), "missing", CODES["missing"])]

    def stored(self, url: str) -> Iterator[Photo | Failure]:
        """Yield the photos at a URL, a folder in a bucket or an object."""
        root, name = os.path.split(url)
        try:
            size, time = storage.stat(url)
        except OSError as error:
            yield Failure(Photo(root, name), *diagnosis(error))
            return
        if size is not None:
            if self._selects(name) and self._is_first(root, name):
                yield Photo(root, name, size, time)
            return
        try:
            for key, size, time in storage.listing(url):
                if self._takes_key(url, key) and self._is_first(*os.path.split(f"{url}/{key}")):
                    photo = Photo(url, key, size, time)
                    outside = Failure(photo, "not_a_file", "its name leads outside its folder")
                    yield photo if stays_inside(key) else outside
        except OSError as error:
            raise Stopped(
                f"cannot list {url}: {error.strerror}", hint=storage.hint(error, url)
            ) from error

    def _takes_key(self, url: str, key: str) -> bool:
        """Select keys as _content and _takes do in folders."""
        ends = [place for place, letter in enumerate(key) if letter == "/"]
        hidden = key.startswith(".") or "/." in key
        if (hidden and not self.hidden) or any(
            _matches(self.exclude, key[:end], key[: end + 1]) for end in ends
        ):
            return False
        if any(self._leaves_out(url, key[:end]) for end in ends):
            return False
        return self._takes(f"{url}/{key}", key)

    def _leaves_out(self, root: str, path: str) -> bool:
        """Return whether a folder below the root is a system folder to be skipped, and count it."""
        above, name = os.path.split(path)
        parent = os.path.basename(above or root)
        if self.system_folders or not is_system_folder(name, parent):
            return False
        self.passed.folders[name] += 1
        return True

    def _below(self, root: str) -> Iterator[Photo | Failure]:
        """Walk a folder depth first. Each waiting path has the list of its parent folders,
        outermost first, to detect cyclic links."""
        waiting: list[tuple[str, tuple[FolderId, ...]]] = [("", ())]
        while waiting:
            path, above = waiting.pop()
            full = os.path.join(root, path)
            try:
                info = os.stat(full)
                if stat.S_ISDIR(info.st_mode):
                    if path and self._leaves_out(root, path):
                        continue
                    folder = info.st_dev, info.st_ino
                    waiting += [
                        (inner, (*above, folder))
                        for inner in self._content(full, path, folder, above)
                    ]
                elif (
                    stat.S_ISREG(info.st_mode)
                    and self._takes(full, path)
                    and self._is_new(full, above[-1])
                ):
                    yield Photo(root, path, info.st_size, info.st_mtime_ns)
            except OSError as error:
                if error.errno not in NOWHERE or EXTENSIONS.fullmatch(_extension(path)):
                    yield Failure(Photo(root, path or "."), *diagnosis(error))

    def _content(
        self, full: str, path: str, folder: FolderId, above: tuple[FolderId, ...]
    ) -> list[str]:
        """Return the paths in a folder, in reverse order; empty if the walk is inside it, or was
        and would select the same files again."""
        start = f"{path}/" if path else ""
        globs = (*self.include, *self.exclude)
        seen = folder, tuple(glob.after(glob.start, start) for glob in globs)
        if folder in above or seen in self.done:
            return []
        names = sorted(
            os.listdir(os.path.join(full, ".")), reverse=True
        )  # "." requires that the folder may be entered, as its files do
        self.done.add(seen)
        inner = [start + name for name in names if self.hidden or not name.startswith(".")]
        return [name for name in inner if not _matches(self.exclude, name, name + "/")]

    def _takes(self, full: str, path: str) -> bool:
        """Return whether a file found in a folder is selected and a picture, by its suffix or else
        its first bytes; otherwise, count it."""
        extension = _extension(path)
        if not self._selects(path):
            return False
        if _is_taken(extension) and not (RAW.fullmatch(extension) and _has_twin(full)):
            return True
        if self.archives and path.lower().endswith(ARCHIVES):
            return True
        taken = may_hold_a_photo(extension) and _begins_like_a_picture(full)
        if taken and not _is_backup(full):
            return True
        self.passed.files[extension] += 1
        return False

    def _selects(self, path: str) -> bool:
        return not _matches(self.exclude, path) and (
            not self.include or _matches(self.include, path)
        )

    def _is_new(self, file: str, folder: FolderId) -> bool:
        """Return whether the file in this folder is seen for the first time, and record it."""
        if os.path.islink(file):
            file = os.path.realpath(file)
            folder = _folder_id(os.path.dirname(file))
        return self._is_first(folder, os.path.basename(file))

    def _is_first(self, folder: FolderId, name: str) -> bool:
        names = self.given[folder]
        if name in names:
            return False
        names.add(name)
        return True


def _is_there(path: Path) -> bool:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:  # it exists, or may: walk reports what is wrong with it
        return True
    return True


def _is_stored(url: Url) -> bool:
    try:
        storage.stat(str(url))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise BadInput(
            f"cannot read {url}: {error.strerror}", hint=storage.hint(error, str(url))
        ) from error
    return True


def _root(path: Path) -> str:
    if isinstance(path, Url):
        try:
            is_folder = storage.stat(str(path)).bytes is None
        except OSError:  # walk reports what is wrong with it
            is_folder = False
        return str(path) if is_folder else os.path.dirname(str(path))
    whole = _absolute(path)
    return whole if os.path.isdir(whole) else os.path.dirname(whole)


def _absolute(path: Path) -> str:
    """Make a path absolute without resolving links; `..` is only removed if that leads to the same
    folder."""
    short, full = os.path.abspath(path), os.path.join(os.getcwd(), path)
    if ".." not in path.parts:
        return short
    try:
        return short if os.path.samefile(short, full) else full
    except (OSError, ValueError):
        return full


def _folder_id(folder: str) -> FolderId:
    info = os.stat(folder)
    return info.st_dev, info.st_ino


def _extension(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _is_taken(extension: str) -> bool:
    """Return whether files with this suffix are photos, whatever their content."""
    return bool(
        EXTENSIONS.fullmatch(extension) or (RAW.fullmatch(extension) and raw.is_available())
    )


def _has_twin(file: str) -> bool:
    """Return whether there is another format of the same photo next to this raw file."""
    stem = "" if storage.is_url(file) else os.path.splitext(file)[0]
    return bool(stem) and any(os.path.lexists(stem + twin) for twin in TWINS)


def _matches(globs: Sequence[Glob], *paths: str) -> bool:
    """Return whether any pattern matches any of the paths, or the name at its end."""
    candidates = [
        candidate for path in paths for candidate in (path, path[path.rstrip("/").rfind("/") + 1 :])
    ]
    return any(glob.matches(candidate) for glob in globs for candidate in candidates)


def _is_backup(file: str) -> bool:
    original = "" if storage.is_url(file) else backed_up(file)
    return bool(original) and os.path.lexists(original)


def _begins_like_a_picture(file: str) -> bool:
    try:
        if storage.is_url(file):
            return bool(formats_of(storage.read(file, end=32)))
        with storage.open_file(Path(file)) as opened:
            return bool(formats_of(opened.read(32)))
    except OSError:
        return False
