"""Supported formats: signatures, and how to open them."""

from __future__ import annotations

import ctypes
import logging
import os
import re
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import IO

import PIL.Image
from PIL.TiffImagePlugin import TiffImageFile

from ..errors import PhotoError
from . import raw
from .codes import CODES
from .passed import RAW
from .plain import MAX_SCANS, ends_early, has_many_scans
from .png_text import without_long_text

SIGNATURES = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "WEBP": rb"RIFF....WEBP",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "BMP": rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "GIF": rb"GIF8[79]a",
    "AVIF": rb".{4}ftyp(avi[fs]|mif1|msf1)",
    "HEIF": rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)",
    "JXL": rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
    "JPEG2000": rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
}
"""Supported formats by Pillow's name, and how their files begin. Nothing else is passed to a
decoder."""
NEW_SUBFILE_TYPE, REDUCED = 254, 1
"""TIFF tag and value of a picture that is a smaller copy of another one in the file. In raw files,
it comes first."""


def formats_of(start: bytes) -> list[str]:
    """Return the formats whose files begin with these bytes; some kinds of AVIF and HEIC have the
    same signature."""
    return [name for name, signature in SIGNATURES.items() if re.match(signature, start, re.DOTALL)]


@cache
def prepare() -> None:
    """Load the decoders, and keep their messages about odd files off the terminal.

    This is done once for the whole process, because doing it in each call would not be thread-safe.
    """
    import cv2  # noqa: F401  # for rgb: before the memory of a process is limited
    import pillow_heif

    PIL.Image.init()
    with suppress(ImportError):
        import pillow_jxl  # noqa: F401
    pillow_heif.register_heif_opener(thumbnails=False)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with suppress(OSError, AttributeError):  # some builds of Pillow do not expose their libtiff
        ctypes.CDLL(PIL.Image.core.__file__).TIFFSetErrorHandler(None)


def is_raw(name: str, formats: Sequence[str]) -> bool:
    """Return whether a file is named like a raw file and is not in another format."""
    named = RAW.fullmatch(os.path.splitext(name)[1].lower())
    return named is not None and list(formats) in ([], ["TIFF"])


def open_picture(file: IO[bytes], name: str = "") -> PIL.Image.Image:
    """Open a picture according to its content, not its name, except that raw files are recognised
    by name; of those, the preview is opened. The file must be at its beginning. Nothing is decoded
    yet. Raises PhotoError and DAMAGE."""
    prepare()
    start = file.read(32)
    formats = formats_of(start)
    if start and is_raw(name, formats):
        return _open(raw.preview(file), ["JPEG"])
    if not formats:
        code = "not_a_picture" if start else "empty"
        raise PhotoError(code, CODES[code])
    picture = _open(without_long_text(file) if formats == ["PNG"] else file, formats)
    if isinstance(picture, TiffImageFile) and picture.tag_v2.get(NEW_SUBFILE_TYPE) == REDUCED:
        return _open(raw.preview(file), ["JPEG"])
    return picture


def _open(file: IO[bytes], formats: Sequence[str]) -> PIL.Image.Image:
    """Open a file as one of these formats.

    The plugins are called directly because ultralytics, once imported, replaces PIL.Image.open with
    a function that installs packages when it is given a file that is not a picture.
    """
    if formats == ["JPEG"] and has_many_scans(file):
        raise PhotoError("corrupt", f"{CODES['corrupt']}: it has more than {MAX_SCANS} scans")
    if formats == ["JXL"] and "JXL" not in PIL.Image.OPEN:
        install = "it is JPEG XL: pip install 'mivolo-cli[jxl]'"
        raise PhotoError("no_decoder", f"{CODES['no_decoder']}; {install}")
    for name in formats:
        file.seek(0)
        try:
            return PIL.Image.OPEN[name][0](file, "")
        except (SyntaxError, OSError) as error:
            if name != formats[-1]:
                continue
            if ends_early(file):
                raise PhotoError("truncated", CODES["truncated"]) from error
            raise
    raise AssertionError("there is no format")
