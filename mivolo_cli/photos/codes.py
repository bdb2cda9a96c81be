"""Error codes for unreadable photos, and how errors of systems and decoders map to them."""

from __future__ import annotations

import errno
import re
import struct
import zlib

from .. import storage
from . import archives
from .sandbox import CRASHED, TIMEOUT
from .zipped import ENCRYPTED

CODES = {
    "missing": "the file does not exist, or no longer does",
    "no_permission": "there is no permission to read it",
    "not_a_file": "it is not a regular file",
    "empty": "the file is empty (zero bytes)",
    "not_a_picture": "the file is not a picture in a supported format",
    "truncated": "the picture is incomplete: the end of the file is missing",
    "too_large": "the picture is too large to decode safely",
    "corrupt": "the picture is damaged, or uses an unsupported feature",
    "unreadable": "the file could not be read",
    "raw": "it is a camera raw file, of which no picture can be read",
    "no_decoder": "a package that reads files of this format is not installed",
    **dict((archives.CHANGED, ENCRYPTED, TIMEOUT, CRASHED)),
}
"""Stable error codes for photos and folders that could not be read, and their meaning."""

INSIDES = re.compile(r"0x[0-9a-f]{4}|Errno|'\w+' object|\b(argument|unpack|codec)\b|[<{]\w+")
"""Python terms that are meaningless to users."""
CUT_SHORT = re.compile("truncated|end of file|no more images|requires a buffer")
"""Decoder messages, in lower case, for files whose end is missing."""
OF_DECODERS = (errno.EINVAL, errno.EDOM, errno.ERANGE, errno.EOVERFLOW)
"""Error numbers that decoders set, for example for a seek before the start, but no system sets when
reading a file."""
DAMAGE: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
)
DAMAGE += (RuntimeError, SyntaxError, TypeError, ValueError, struct.error, zlib.error)
"""Exceptions of Pillow and its plugins for damaged files."""


def diagnosis(error: Exception) -> tuple[str, str]:
    """Return code and message for an exception of the system or a decoder."""
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
    """Return a decoder's message, unless it is only about its internals."""
    said = " ".join(str(error).split())
    kept = isinstance(error, OSError | SyntaxError | ValueError) and not INSIDES.search(said)
    return f": {said}" if said and kept else ""
