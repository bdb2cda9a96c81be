"""Find photos in folders and read them: upright RGB, in parallel, in order. Nothing here writes to a photo."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import re
import stat
import struct
import warnings
import zlib
from collections import defaultdict, deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np
import PIL.Image
from PIL import ExifTags

from .decoders import CRASHED, TIMEOUT, Decoders, ends_early, is_progressive
from .errors import BadInput, PhotoError
from .records import Failure, Image, Photo
from .rgb import to_rgb

CODES = {
    "missing": "the file is not there any more",
    "no_permission": "there is no permission to read it",
    "not_a_file": "it is not a file that could hold a picture",
    "empty": "the file is empty (zero bytes)",
    "not_a_picture": "the file holds no picture of a format that can be read",
    "truncated": "the picture is incomplete: the end of the file is missing",
    "too_large": "the picture is too large to be decoded safely",
    "corrupt": "the picture is damaged, or of a kind that cannot be read",
    "unreadable": "the file could not be read",
    "changed": "the file was changed while it was read",
    **dict((TIMEOUT, CRASHED)),
}
"""Why a photo or a folder could not be read: the stable codes, and what they mean."""

SIGNATURES = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "WEBP": rb"RIFF....WEBP",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "BMP": rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "GIF": rb"GIF8[79]a",
    "AVIF": rb".{4}ftyp(avi[fs]|mif1|msf1)",
    "HEIF": rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)",
}
"""The formats that are read, by Pillow's name, and how their files begin. Nothing else is ever given to a decoder."""
EXTENSIONS = re.compile(r"\.(jpe?g|jpe|jfif|jif|mpo|a?png|webp|tiff?|bmp|dib|gif|avifs?|hei[cf]s?|hif)")
"""What is taken for a photo in a folder, whatever the file then turns out to hold."""

MAX_PIXELS = 1024**3 // 4 // 3
"""Pillow's limit, for when a library has switched Pillow's off."""
USUAL_BYTES = 64 * 1024**2
FIRST_PHOTOGRAPH = 1826
TIME_TAGS = (ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized, ExifTags.Base.DateTime)
TURNS = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns the stored picture upright."""
LYING = (5, 6, 7, 8)
"""Those that swap width and height."""
CUT_SHORT = re.compile("truncated|end of file|no more images|requires a buffer")
"""What decoders say, in lower case, of a file whose end is missing."""
DAMAGE: tuple[type[Exception], ...] = (ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError)
DAMAGE += (RuntimeError, SyntaxError, TypeError, ValueError, struct.error, zlib.error)
"""What Pillow and its plugins raise on damaged files."""

NOWHERE = (errno.ENOENT, errno.ELOOP)
"""The errors of a link without a target, and of a name that vanished after its folder was listed."""
FolderId = tuple[int, int]
Patterns = Sequence[re.Pattern[str]]


def check_paths(paths: Iterable[Path]) -> None:
    """Raise BadInput naming the paths where there is nothing."""
    absent = [str(path) for path in paths if not _is_there(path)]
    if absent:
        names = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        hint = f"check the spelling; names that do not begin with {os.sep} are looked for in {os.getcwd()}"
        raise BadInput(f"there is no file or folder {names}", hint=hint)


def roots(paths: Iterable[Path]) -> list[str]:
    """The roots that `walk` gives to photos at and below the paths, each once, in their order."""
    absolute = map(_absolute, paths)
    return list(dict.fromkeys(path if os.path.isdir(path) else os.path.dirname(path) for path in absolute))


def walk(
    paths: Iterable[Path], *, hidden: bool = False, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> Iterator[Photo | Failure]:
    """The photos at and below the paths, each file once, found while they are asked for.

    Arguments keep their order; a folder's content is sorted by name (code points), subfolders in their place. Links
    are followed, and hard links are files of their own.

    From folders are taken: files with a picture's extension, files with no extension that begin like a picture; with
    a leading dot in the name, or below such a folder, only if `hidden`. A path that was given is taken whatever it is
    called. `include` and `exclude` are globs for the path below the argument or for the name alone, upper and lower
    case being the same: `*.jpg`, `trip/**`, `**/raw/*.png`; only `**` reaches into subfolders. Excluded folders are
    not entered. Raises BadInput, at once, for a glob that cannot be understood.
    """
    search = _Search(hidden, [_glob(pattern) for pattern in include], [_glob(pattern) for pattern in exclude])
    return (found for path in paths for found in search.at(_absolute(path)))


def decode(photo: Photo, least: int = 0) -> Image:
    """Read a photo: upright, sRGB, the first frame of an animation, white where it is transparent.

    A JPEG whose longer side stays `least` pixels or more may be read at a half, a quarter or an eighth of its size,
    which is much quicker; 0 reads all of it.

    Its size and time in the answer are those of the file that was read, which may have replaced the one that was
    found. Raises PhotoError with one of CODES.
    """
    prepare()
    try:
        with open(photo.file, "rb") as file:
            facts = _facts(file)
            picture = _open(file)
            size = picture.size
            if least and max(size) >= 2 * least:  # of formats other than JPEG, Pillow takes no notice of this
                picture.draft(None, (size[0] * least // max(size), size[1] * least // max(size)))
            picture.load()
            orientation, taken_at = _read_exif(picture)
            reduced = picture.size
            picture = to_rgb(picture)
            if _facts(file) != facts:
                raise PhotoError("changed", CODES["changed"])
        if orientation in TURNS:
            picture = picture.transpose(TURNS[orientation])
        whole = None if reduced == size else (size[1], size[0]) if orientation in LYING else size
        return Image(replace(photo, bytes=facts[0], mtime_ns=facts[1]), np.array(picture), taken_at, whole)
    except (MemoryError, PIL.Image.DecompressionBombError) as error:
        raise PhotoError("too_large", CODES["too_large"]) from error
    except DAMAGE as error:
        raise PhotoError(*_diagnosis(error)) from error


def open_picture(file: IO[bytes]) -> PIL.Image.Image:
    """By what the file holds, not by how it is called; nothing is decoded yet. Raises PhotoError and DAMAGE."""
    prepare()
    return _open(file)


def decode_all(
    photos: Iterable[Photo | Failure], workers: int, least: int = 0
) -> Generator[Image | Failure, None, None]:
    """Decode in threads, and risky formats in processes, keeping the order; failures that come in go out in place.

    At most 2 * workers photos are under way, from the asking for a photo to the handing out of its result. Closing
    the generator waits for those being decoded and drops the others.
    """
    pool, decoders = ThreadPoolExecutor(workers, thread_name_prefix="decode"), Decoders()
    waiting: deque[Future[Image | Failure] | Failure] = deque()
    try:
        for photo in photos:
            waiting.append(photo if isinstance(photo, Failure) else pool.submit(decode_or_fail, photo, decoders, least))
            if len(waiting) == 2 * workers:
                yield _outcome(waiting.popleft())
        while waiting:
            yield _outcome(waiting.popleft())
    finally:
        decoders.close()
        pool.shutdown(cancel_futures=True)


def decode_or_fail(photo: Photo, decoders: Decoders, least: int = 0) -> Image | Failure:
    """Read a photo, in a process of its own, and whole, where its format is risky."""
    try:
        return decoders.decode(photo) if _is_risky(photo) else decode(photo, least)
    except PhotoError as error:
        return Failure(photo, error.code if error.code in CODES else CRASHED[0], str(error))


def _is_risky(photo: Photo) -> bool:
    """Whether to decode a file in a process of its own: all but PNG and plain JPEG of usual size.

    Their decoders are small and have been attacked for decades; but a progressive JPEG may take hours.
    """
    try:
        with open(photo.file, "rb") as file:
            formats = _formats(file.read(32))
            large = (photo.bytes or 0) > USUAL_BYTES
            return bool(formats) and (formats not in (["JPEG"], ["PNG"]) or large or is_progressive(file))
    except OSError:
        return False


def _facts(file: IO[bytes]) -> tuple[int, int]:
    """Size and time of an open file."""
    facts = os.fstat(file.fileno())
    return facts.st_size, facts.st_mtime_ns


def _outcome(entry: Future[Image | Failure] | Failure) -> Image | Failure:
    return entry if isinstance(entry, Failure) else entry.result()


@dataclass(frozen=True, slots=True)
class _Search:
    """What one walk is looking for, and what it has found: the names given of each folder, and the folders done."""

    hidden: bool
    include: Patterns
    exclude: Patterns
    given: defaultdict[FolderId, set[str]] = field(default_factory=lambda: defaultdict(set))
    done: set[FolderId] = field(default_factory=set)

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
            return [Failure(Photo(root, name), *_diagnosis(error))]
        except ValueError:  # a name with a NUL in it
            return [Failure(Photo(root, name), "missing", CODES["missing"])]

    def _below(self, root: str) -> Iterator[Photo | Failure]:
        """Depth first. Beside each waiting path are the folders it lies in, outermost first, to see links go round."""
        waiting: list[tuple[str, tuple[FolderId, ...]]] = [("", ())]
        while waiting:
            path, above = waiting.pop()
            full = os.path.join(root, path)
            try:
                info = os.stat(full)
                if stat.S_ISDIR(info.st_mode):
                    folder = info.st_dev, info.st_ino
                    waiting += [(inner, (*above, folder)) for inner in self._content(full, path, folder, above)]
                elif stat.S_ISREG(info.st_mode) and self._takes(full, path) and self._is_new(full, above[-1]):
                    yield Photo(root, path, info.st_size, info.st_mtime_ns)
            except OSError as error:
                if error.errno not in NOWHERE or EXTENSIONS.fullmatch(_extension(path)):
                    yield Failure(Photo(root, path or "."), *_diagnosis(error))

    def _content(self, full: str, path: str, folder: FolderId, above: tuple[FolderId, ...]) -> list[str]:
        """The paths in a folder, last name first; none if the walk is in it or has been."""
        if folder in above or folder in self.done:
            return []
        names = sorted(os.listdir(os.path.join(full, ".")), reverse=True)  # "." may be entered: so may the names
        if not self.include and not self.exclude:
            self.done.add(folder)
        inner = [f"{path}/{name}" if path else name for name in names if self.hidden or not name.startswith(".")]
        return [name for name in inner if not _matches(self.exclude, name, name + "/")]

    def _takes(self, full: str, path: str) -> bool:
        """Whether a file found in a folder is selected, and by its extension, or else its first bytes, a picture."""
        extension = _extension(path)
        if not self._selects(path):
            return False
        return bool(EXTENSIONS.fullmatch(extension)) or (not extension and _begins_like_a_picture(full))

    def _selects(self, path: str) -> bool:
        return not _matches(self.exclude, path) and (not self.include or _matches(self.include, path))

    def _is_new(self, file: str, folder: FolderId) -> bool:
        """Whether the file, which lies in the folder, is met for the first time; from now on it is not."""
        if os.path.islink(file):
            file = os.path.realpath(file)
            folder = _folder_id(os.path.dirname(file))
        names, name = self.given[folder], os.path.basename(file)
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


def _absolute(path: Path) -> str:
    """Absolute, with links as they were named; without `..` where leaving it out means the same folder."""
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


def _glob(pattern: str) -> re.Pattern[str]:
    meanings = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[!?\]?[^]]*\])", pattern)
    parts[0::2] = map(re.escape, parts[0::2])
    parts[1::2] = [meanings.get(part) or _choice(part) for part in parts[1::2]]
    try:
        return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)
    except re.error as error:
        hint = "for a bracket that is part of a name write [[]"
        raise BadInput(f"the pattern {pattern!r} cannot be understood: {error}", hint=hint) from error


def _choice(brackets: str) -> str:
    """`[a-z]` or `[!a-z]` of a glob as a regular expression."""
    inside = brackets[1:-1]
    negated = inside.startswith("!")
    escaped = re.sub(r"[\\\[\]&~|^]", r"\\\g<0>", inside[negated:])
    return f"[{'^/' if negated else ''}{escaped}]"


def _matches(patterns: Patterns, *paths: str) -> bool:
    """Whether one of the patterns fits one of the paths or the name that ends it."""
    candidates = [candidate for path in paths for candidate in (path, path[path.rstrip("/").rfind("/") + 1 :])]
    return any(pattern.fullmatch(candidate) for pattern in patterns for candidate in candidates)


def _formats(start: bytes) -> list[str]:
    """The formats whose files begin with these bytes; some kinds of AVIF and HEIC begin alike."""
    return [name for name, signature in SIGNATURES.items() if re.match(signature, start, re.DOTALL)]


def _begins_like_a_picture(file: str) -> bool:
    try:
        with open(file, "rb") as opened:
            return bool(_formats(opened.read(32)))
    except OSError:
        return False


@cache
def prepare() -> None:
    """Load the decoders, and keep what they remark about odd files from the terminal.

    That is done once and for the whole process: to do it for each call would not be safe among threads.
    """
    import pillow_heif

    PIL.Image.init()
    pillow_heif.register_heif_opener(thumbnails=False)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with suppress(OSError, AttributeError):  # a Pillow that was built otherwise may not show its libtiff
        ctypes.CDLL(PIL.Image.core.__file__).TIFFSetErrorHandler(None)


def _open(file: IO[bytes]) -> PIL.Image.Image:
    """By what the file holds, not by how it is called; nothing is decoded yet.

    The plugins are asked directly because ultralytics, once imported, puts a function of its own in the place of
    PIL.Image.open, which goes and installs packages when it meets a file that is no picture.
    """
    start = file.read(32)
    formats = _formats(start)
    if not formats:
        code = "not_a_picture" if start else "empty"
        raise PhotoError(code, CODES[code])
    for name in formats:
        file.seek(0)
        try:
            picture = PIL.Image.OPEN[name][0](file, "")
            break
        except (SyntaxError, OSError) as error:
            if name != formats[-1]:
                continue
            if ends_early(file):
                raise PhotoError("truncated", CODES["truncated"]) from error
            raise
    limit = PIL.Image.MAX_IMAGE_PIXELS or MAX_PIXELS
    if picture.width * picture.height > limit:
        size = f"{picture.width} x {picture.height} pixels, the limit being {limit // 10**6} million"
        raise PhotoError("too_large", f"{CODES['too_large']}: {size}")
    return picture


def _read_exif(picture: PIL.Image.Image) -> tuple[int, datetime | None]:
    """The orientation and when the photo was taken, from a loaded picture; damaged EXIF data say nothing."""
    tags: dict[int, object] = {}
    try:
        exif = picture.getexif()
        tags |= {tag: exif.get(tag) for tag in (ExifTags.Base.Orientation, ExifTags.Base.DateTime)}
        tags |= {tag: value for tag, value in exif.get_ifd(ExifTags.IFD.Exif).items() if tag in TIME_TAGS}
    except DAMAGE:
        pass
    orientation = tags.get(ExifTags.Base.Orientation)
    times = (_time(tags.get(tag)) for tag in TIME_TAGS)
    return orientation if isinstance(orientation, int) else 1, next((time for time in times if time), None)


def _time(value: object) -> datetime | None:
    """As EXIF writes it, `2020:01:31 12:00:00`, or with the separators of other programs."""
    text = str(value).strip("\0 ")[:19].replace("-", ":").replace("T", " ")
    try:
        time = datetime.strptime(text, "%Y:%m:%d %H:%M:%S")
    except ValueError:  # nothing there, all zeros, the 31st of February
        return None
    return time if time.year >= FIRST_PHOTOGRAPH else None


def _diagnosis(error: Exception) -> tuple[str, str]:
    """The code, and a sentence, for what the system or a decoder complained of."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return "missing", CODES["missing"]
    if isinstance(error, PermissionError):
        return "no_permission", CODES["no_permission"]
    if isinstance(error, IsADirectoryError):
        return "not_a_file", CODES["not_a_file"]
    if isinstance(error, OSError) and error.strerror:
        return "unreadable", f"{CODES['unreadable']}: {error.strerror}"
    if CUT_SHORT.search(str(error).lower()):
        return "truncated", CODES["truncated"]
    detail = f": {error}" if str(error) else ""
    return "corrupt", CODES["corrupt"] + detail
