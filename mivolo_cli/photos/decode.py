"""Read photos: upright RGB, in parallel, in order. Nothing here writes to a photo."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import re
import struct
import warnings
import zlib
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from typing import IO

import PIL.Image
from PIL.TiffImagePlugin import TiffImageFile

from .. import storage
from ..errors import PhotoError
from ..records import Failure, Image, Photo
from ..threads import in_order
from . import archives, takeout
from .exif import read_exif
from .limits import MB, Budget, Limits, Room, Share
from .passed import RAW
from .plain import PLAIN, ends_early
from .png_text import without_long_text
from .rgb import to_pixels, to_rgb
from .sandbox import CRASHED, TIMEOUT, Sandbox
from .zipped import ENCRYPTED

CODES = {
    "missing": "there is no such file, or no longer",
    "no_permission": "there is no permission to read it",
    "not_a_file": "it is not a file that could hold a picture",
    "empty": "the file is empty (zero bytes)",
    "not_a_picture": "the file holds no picture of a format that can be read",
    "truncated": "the picture is incomplete: the end of the file is missing",
    "too_large": "the picture is too large to be decoded safely",
    "corrupt": "the picture is damaged, or of a kind that cannot be read",
    "unreadable": "the file could not be read",
    "raw": (
        "it is a camera raw file, of which only a thumbnail can be read: scan a JPEG that the"
        " camera or a raw converter has made of it"
    ),
    **dict((archives.CHANGED, ENCRYPTED, TIMEOUT, CRASHED)),
}
"""Why a photo or a folder could not be read: the stable codes, and what they mean."""

INSIDES = re.compile(r"0x[0-9a-f]{4}|Errno|'\w+' object|\b(argument|unpack|codec)\b|[<{]\w+")
"""Words of Python that tell nobody anything of a picture."""
SIGNATURES = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "WEBP": rb"RIFF....WEBP",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "BMP": rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "GIF": rb"GIF8[79]a",
    "AVIF": rb".{4}ftyp(avi[fs]|mif1|msf1)",
    "HEIF": rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)",
    "JPEG2000": rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
}
"""The formats that are read, by Pillow's name, and how their files begin. Nothing else is ever
given to a decoder."""
NEW_SUBFILE_TYPE, REDUCED = 254, 1
"""In a TIFF file: the tag that says that a picture is a smaller copy of another one in the file.
That of a raw file comes first."""
USUAL_PIXELS = 1024**3 // 4 // 3
"""Of a photo that the program decodes itself, without a limit of time: 89 million."""
USUAL_BYTES = 64 * 1024**2
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
OF_DECODERS = (errno.EINVAL, errno.EDOM, errno.ERANGE, errno.EOVERFLOW)
"""What no system says of reading a file: decoders do, as of a place before its start."""
SCALES = (2, 4, 8)
"""By which libjpeg makes a picture smaller while it decodes it."""
REDUCIBLE = ("JPEG", "MPO")
BYTES_A_PIXEL = {"I": 32, "F": 32}
"""That decoding takes at its height, measured: by mode, 8 if nothing else is said."""
MORE_BYTES_A_PIXEL = {"WEBP": 12, "AVIF": 6, "HEIF": 4, "TIFF": 4, "GIF": 4, "JPEG2000": 24}
WITH_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")
BYTES_OF_TRANSPARENCY, BYTES_OF_SCANS, BYTES_AT_LEAST = 10, 6, MB
MinSize = tuple[int, int]
"""A longer and a shorter side, in pixels."""
DAMAGE: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
)
DAMAGE += (RuntimeError, SyntaxError, TypeError, ValueError, struct.error, zlib.error)
"""What Pillow and its plugins raise on damaged files."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The bytes of a photo that is in no file."""

    photo: Photo
    data: bytes


def decode(
    photo: Photo,
    min_size: MinSize | None = None,
    data: bytes | None = None,
    room: Room | None = None,
) -> Image:
    """Read a photo, or its bytes where they are here already: upright, sRGB, the first frame of an
    animation, white where it is transparent.

    A JPEG may be read at a half, a quarter or an eighth of its size, which is much quicker, as far
    as its longer and shorter side keep the pixels of `min_size`; None reads all of it. One that is
    too large for the `room` is read smaller in any case; of other formats it is refused.

    Its size and time in the answer are those of the file that was read, which may have replaced the
    one that was found. Raises PhotoError with one of CODES.
    """
    if room is None:
        with Limits().room() as own:
            return decode(photo, min_size, data, own)
    prepare()
    try:
        if data is None:
            photo, data = fetched(photo)
        with storage.open_file(photo.file) if data is None else BytesIO(data) as file:
            facts = _facts(file, photo)
            _refuse_raw(file, photo)
            picture = _open(file)
            size = picture.size
            scale = admit(picture, room, min_size)
            if scale > 1:
                picture.draft(None, (size[0] // scale, size[1] // scale))
            picture.load()
            orientation, taken_at = read_exif(picture, DAMAGE)
            reduced = picture.size
            picture = to_rgb(picture)
            if _facts(file, photo) != facts:
                raise PhotoError("changed", CODES["changed"])
        if orientation in TURNS:
            picture = picture.transpose(TURNS[orientation])
        whole = None if reduced == size else (size[1], size[0]) if orientation in LYING else size
        return Image(
            replace(photo, bytes=facts[0], mtime_ns=facts[1]), to_pixels(picture), taken_at, whole
        )
    except (MemoryError, PIL.Image.DecompressionBombError) as error:
        raise PhotoError("too_large", CODES["too_large"]) from error
    except DAMAGE as error:
        raise PhotoError(*diagnosis(error)) from error


def admit(picture: PIL.Image.Image, room: Room, min_size: MinSize | None = None) -> int:
    """Take the memory for a picture that is about to be decoded; how many times smaller that will
    be done. Raises PhotoError where it is too large."""
    pixels = picture.width * picture.height
    if room.max_pixels and pixels > room.max_pixels:
        raise _too_large(picture, f"and --max-pixels allows {room.max_pixels}")
    scale = 1
    if picture.format in REDUCIBLE:
        scale = 1 if min_size is None else _scale(picture.size, min_size)
        while need(picture, scale) > room.largest and scale < SCALES[-1]:
            scale *= 2
    if need(picture, scale) > room.largest:
        allowed = (
            f"{need(picture, scale) // MB} MB of memory are needed, {room.largest // MB} there"
        )
        raise _too_large(picture, f"{allowed}: see --memory")
    room.take(need(picture, scale))
    return scale


def need(picture: PIL.Image.Image, scale: int = 1) -> int:
    """The bytes that decoding takes at its height, by what the file says of itself."""
    pixels = picture.width * picture.height
    kind = picture.mode.partition(";")[0]
    each = BYTES_A_PIXEL.get(kind, 8) + MORE_BYTES_A_PIXEL.get(picture.format or "", 0)
    if picture.mode in WITH_ALPHA or "transparency" in picture.info:
        each += BYTES_OF_TRANSPARENCY
    whole = BYTES_OF_SCANS if picture.info.get("progressive") else 0
    return pixels * whole + pixels // scale**2 * each + BYTES_AT_LEAST


def _too_large(picture: PIL.Image.Image, why: str) -> PhotoError:
    size = f"{picture.width} x {picture.height} pixels"
    return PhotoError("too_large", f"{CODES['too_large']}: {size}, {why}")


def _refuse_raw(file: IO[bytes], photo: Photo) -> None:
    """Raises PhotoError for what is called a raw file, and is none of another format. The file is
    at its beginning then."""
    start = file.read(32)
    file.seek(0)
    named = RAW.fullmatch(os.path.splitext(photo.path)[1].lower())
    if named and start and formats_of(start) in ([], ["TIFF"]):
        raise PhotoError("raw", CODES["raw"])


def _scale(size: tuple[int, int], min_size: MinSize) -> int:
    """How many times smaller a picture of this size may be made."""
    longer, shorter = min_size
    allowed = [
        scale for scale in SCALES if max(size) >= scale * longer and min(size) >= scale * shorter
    ]
    return max(allowed, default=1)


def fetched(photo: Photo) -> tuple[Photo, bytes | None]:
    """The bytes of a photo in a bucket or in an archive, and its facts when it was read; None for a
    file of its own.

    Raises PhotoError.
    """
    try:
        if (sample := archives.read(photo)) is not None or not storage.is_url(photo.root):
            return photo, sample
        if (photo.bytes or 0) > archives.MAX_BYTES:
            raise MemoryError
        data = storage.read(photo.address)
        if len(data) != photo.bytes:  # it was replaced since it was found
            facts = storage.stat(photo.address)
            if len(data) != facts.bytes:
                raise PhotoError(*archives.CHANGED)
            photo = replace(photo, bytes=facts.bytes, mtime_ns=facts.mtime_ns)
        return photo, data
    except MemoryError as error:
        raise PhotoError("too_large", CODES["too_large"]) from error
    except (OSError, ValueError) as error:
        raise PhotoError(*diagnosis(error)) from error


def open_picture(file: IO[bytes]) -> PIL.Image.Image:
    """By what the file holds, not by how it is called; nothing is decoded yet. Raises PhotoError
    and DAMAGE."""
    prepare()
    return _open(file)


def decode_all(
    photos: Iterable[Photo | Failure | Loaded | Image],
    workers: int,
    min_size: MinSize | None = None,
    limits: Limits | None = None,
    *,
    held: bool = True,
) -> Generator[Image | Failure, None, None]:
    """Decode in threads, and risky formats in processes, keeping the order; failures and images
    that come in go out in place.

    At most 2 * workers photos are under way, from the asking for a photo to the handing out of its
    result, and no more than fit the memory of `limits`. Unless `held` is False, photos count until
    their pixels are gone; who asks for the next one may have no more than limits.HELD of them for
    itself. Closing the generator waits for those being decoded and drops the others.
    """
    limits = limits or Limits()
    pool, sandbox = ThreadPoolExecutor(workers, thread_name_prefix="decode"), Sandbox()
    budget = Budget(limits.ahead)

    def image(item: tuple[Photo | Failure | Loaded | Image, Share]) -> Image | Failure:
        photo, share = item
        with share:
            if isinstance(photo, (Failure, Image)):
                return photo
            data = photo.data if isinstance(photo, Loaded) else None
            photo = photo.photo if isinstance(photo, Loaded) else photo
            found = _dated(decode_or_fail(photo, sandbox, min_size, share, data))
            if isinstance(found, Image) and held:
                share.keep(found.pixels)
            return found

    queue = ((photo, Share(budget, limits.largest, limits.max_pixels)) for photo in photos)
    try:
        yield from in_order(pool, image, queue, 2 * workers)
    finally:
        budget.close()  # first: what waits or is decoded ends, for which the pool would wait
        sandbox.close()
        pool.shutdown(cancel_futures=True)


def decode_or_fail(
    photo: Photo,
    sandbox: Sandbox,
    min_size: MinSize | None = None,
    room: Room | None = None,
    data: bytes | None = None,
) -> Image | Failure:
    """Read a photo, or its bytes where they are here already: in a process of its own where its
    format is risky; whole from a bucket, lest it be fetched again for what `min_size` leaves
    out."""
    if room is None:
        with Limits().room() as own:
            return decode_or_fail(photo, sandbox, min_size, own, data)
    try:
        if data is None:
            photo, data = fetched(photo)
        least = None if storage.is_url(photo.root) else min_size
        if _is_risky(photo, data):
            return sandbox.decode(photo, data, least, room)
        return decode(photo, least, data, room)
    except PhotoError as error:
        return Failure(photo, error.code if error.code in CODES else CRASHED[0], str(error))


def decode_again(
    photo: Photo, sandbox: Sandbox, limits: Limits, data: bytes | None = None
) -> Image | Failure:
    """Read whole, or as far as the memory for that goes, what `decode_all` has read reduced."""
    with limits.room(reduced=True) as room:
        return _dated(decode_or_fail(photo, sandbox, room=room, data=data))


def _dated(found: Image | Failure) -> Image | Failure:
    """With the time by what is beside the photo, where the photo itself has none."""
    if isinstance(found, Failure) or found.taken_at is not None:
        return found
    return replace(found, taken_at=takeout.taken_at(found.photo))


def _is_risky(photo: Photo, data: bytes | None) -> bool:
    """Whether to decode a file in a process of its own: all but plain JPEG and PNG of usual size.

    Their decoders are small and have been attacked for decades; but one with many scans may take
    hours.
    """
    try:
        with storage.open_file(photo.file) if data is None else BytesIO(data) as file:
            formats = formats_of(file.read(32))
            large = (photo.bytes or 0 if data is None else len(data)) > USUAL_BYTES
            plain = PLAIN.get("".join(formats))
            return bool(formats) and (plain is None or large or not plain(file, USUAL_PIXELS))
    except OSError:
        return False


def _facts(file: IO[bytes], photo: Photo) -> tuple[int | None, int | None]:
    """Size and time of an open file; bytes in memory stay as they are."""
    if isinstance(file, BytesIO):
        return photo.bytes, photo.mtime_ns
    facts = os.fstat(file.fileno())
    return facts.st_size, facts.st_mtime_ns


def formats_of(start: bytes) -> list[str]:
    """The formats whose files begin with these bytes; some kinds of AVIF and HEIC begin alike."""
    return [name for name, signature in SIGNATURES.items() if re.match(signature, start, re.DOTALL)]


@cache
def prepare() -> None:
    """Load the decoders, and keep what they remark about odd files from the terminal.

    That is done once and for the whole process: to do it for each call would not be safe among
    threads.
    """
    import cv2  # noqa: F401  # which rgb needs: before a process is given its limit of memory
    import pillow_heif

    PIL.Image.init()
    pillow_heif.register_heif_opener(thumbnails=False)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with suppress(
        OSError, AttributeError
    ):  # a Pillow that was built otherwise may not show its libtiff
        ctypes.CDLL(PIL.Image.core.__file__).TIFFSetErrorHandler(None)


def _open(file: IO[bytes]) -> PIL.Image.Image:
    """By what the file holds, not by how it is called; nothing is decoded yet.

    The plugins are asked directly because ultralytics, once imported, puts a function of its own in
    the place of PIL.Image.open, which goes and installs packages when it meets a file that is no
    picture.
    """
    start = file.read(32)
    formats = formats_of(start)
    if not formats:
        code = "not_a_picture" if start else "empty"
        raise PhotoError(code, CODES[code])
    file = without_long_text(file) if formats == ["PNG"] else file
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
    if isinstance(picture, TiffImageFile) and picture.tag_v2.get(NEW_SUBFILE_TYPE) == REDUCED:
        raise PhotoError("raw", CODES["raw"])
    return picture


def diagnosis(error: Exception) -> tuple[str, str]:
    """The code, and a sentence, for what the system or a decoder complained of."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return "missing", CODES["missing"]
    if isinstance(error, PermissionError):
        return "no_permission", CODES["no_permission"]
    if isinstance(error, (IsADirectoryError, storage.NotAFile)):
        return "not_a_file", CODES["not_a_file"]
    if isinstance(error, OSError) and error.strerror and error.errno not in OF_DECODERS:
        return "unreadable", f"{CODES['unreadable']}: {error.strerror}"
    if CUT_SHORT.search(str(error).lower()):
        return "truncated", CODES["truncated"]
    return "corrupt", CODES["corrupt"] + _detail(error)


def _detail(error: Exception) -> str:
    """What a decoder says of the picture, unless it is only about its own insides."""
    said = " ".join(str(error).split())
    kept = isinstance(error, OSError | SyntaxError | ValueError) and not INSIDES.search(said)
    return f": {said}" if said and kept else ""
