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
"""The errors of a link without a target, and of a name that vanished after its folder was
listed."""
TWINS = (".jpg", ".JPG", ".jpeg", ".JPEG", ".heic", ".HEIC", ".hif", ".HIF")
"""How photos end that cameras write beside raw files."""
FolderId = tuple[int, int] | str
Seen = tuple[FolderId, tuple[Places, ...]]
"""A folder, and where its path leads in each pattern: what is taken below depends on no more."""


def check_paths(paths: Iterable[Path]) -> None:
    """Raise BadInput naming the paths where there is nothing, or a bucket that cannot be read."""
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
    """The roots that `walk` gives to photos at and below the paths, each once, in their order."""
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
    """The photos at and below the paths, each file once, found while they are asked for.

    Arguments keep their order; a folder's content is sorted by name (code points), subfolders in
    their place; that of a bucket by whole keys. Links are followed, and hard links are files of
    their own.

    From folders are taken: files with a picture's extension, files with none or an unknown one that
    begin like a picture; with a leading dot in the name, or below such a folder, only if `hidden`;
    below a folder of the system's, only with `system_folders`. A path that was given is taken
    whatever it is called. With `archives`, ZIP, tar and Parquet files are taken from folders, too;
    `opened` tells what is in them. `passed` is told of the other files and folders.

    `include` and `exclude` are globs for the path below the argument or for the name alone, upper
    and lower case being the same: `*.jpg`, `trip/**`, `**/raw/*.png`; only `**` reaches into
    subfolders. Excluded folders are not entered. Raises BadInput, at once, for a glob that cannot
    be understood, and Stopped where a bucket cannot be listed to its end.
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
    """The same, with the pictures in an archive in its place; one that cannot be read is a failure.
    `passed` is told of other files in it."""
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
    """Whether a member of an archive is what macOS packs next to each file."""
    parts = path.split("/")
    return "__MACOSX" in parts or parts[-1].startswith("._")


@dataclass(frozen=True, slots=True)
class _Search:
    """What one walk is looking for, and what it has found: the names given of each folder, and the
    folders done."""

    hidden: bool
    include: Sequence[Glob]
    exclude: Sequence[Glob]
    archives: bool
    system_folders: bool
    passed: PassedOver
    given: defaultdict[FolderId, set[str]] = field(default_factory=lambda: defaultdict(set))
    done: set[Seen] = field(default_factory=set)

    def at(self, path: str) -> Iterable[Photo | Failure]:
        """What is at an absolute path, be it a folder or a file."""
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
        except ValueError:  # a name with a NUL in it
            return [Failure(Photo(root, name), "missing", CODES["missing"])]

    def stored(self, url: str) -> Iterator[Photo | Failure]:
        """What is at a URL, be it a folder in a bucket or an object."""
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
        """As _content and _takes do in folders."""
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
        """Whether a folder below the root is one of the system's; it is counted then."""
        above, name = os.path.split(path)
        parent = os.path.basename(above or root)
        if self.system_folders or not is_system_folder(name, parent):
            return False
        self.passed.folders[name] += 1
        return True

    def _below(self, root: str) -> Iterator[Photo | Failure]:
        """Depth first. Beside each waiting path are the folders it lies in, outermost first, to see
        links go round."""
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
        """The paths in a folder, last name first; none if the walk is in it, or has been and would
        take the same again."""
        start = f"{path}/" if path else ""
        globs = (*self.include, *self.exclude)
        seen = folder, tuple(glob.after(glob.start, start) for glob in globs)
        if folder in above or seen in self.done:
            return []
        names = sorted(
            os.listdir(os.path.join(full, ".")), reverse=True
        )  # "." may be entered: so may the names
        self.done.add(seen)
        inner = [start + name for name in names if self.hidden or not name.startswith(".")]
        return [name for name in inner if not _matches(self.exclude, name, name + "/")]

    def _takes(self, full: str, path: str) -> bool:
        """Whether a file found in a folder is selected, and by its extension, or else its first
        bytes, a picture; one that is not is counted."""
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
        """Whether the file, which lies in the folder, is met for the first time; from now on it is
        not."""
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
    except OSError:  # something is, or may be: walk says what is wrong with it
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
        except OSError:  # what is wrong with it is said when it is walked
            is_folder = False
        return str(path) if is_folder else os.path.dirname(str(path))
    whole = _absolute(path)
    return whole if os.path.isdir(whole) else os.path.dirname(whole)


def _absolute(path: Path) -> str:
    """Absolute, with links as they were named; without `..` where leaving it out means the same
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
    """Whether files with this one are photos, whatever they hold."""
    return bool(
        EXTENSIONS.fullmatch(extension) or (RAW.fullmatch(extension) and raw.is_available())
    )


def _has_twin(file: str) -> bool:
    """Whether a camera has written the same photo beside this raw file in a format of its own."""
    stem = "" if storage.is_url(file) else os.path.splitext(file)[0]
    return bool(stem) and any(os.path.lexists(stem + twin) for twin in TWINS)


def _matches(globs: Sequence[Glob], *paths: str) -> bool:
    """Whether one of the patterns fits one of the paths or the name that ends it."""
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
