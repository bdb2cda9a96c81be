"""Decode a file to get its orientation, upright size and a fingerprint of all pixels."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any

import PIL.Image
from PIL import ExifTags

from ..errors import PhotoError
from ..photos import bmff, sandbox
from ..photos.codes import CODES, DAMAGE
from ..photos.exif import is_turned
from ..photos.limits import Limits, Room
from ..photos.opening import opened
from . import Refused

TURNED_BY_DECODER = ("TIFF", "HEIF")
"""Formats that Pillow and pillow-heif decode upright."""
BOXES = ("HEIF", "AVIF", "JXL")
"""Formats in which EXIF does not rotate the picture, or no reader rotates regions by it."""


@dataclass(frozen=True, slots=True)
class PictureInfo:
    """`format` is Pillow's name, `size` is (width, height) of the upright picture, `orientation` is
    EXIF's 1 to 8.

    `fingerprint` is a hash of the pixels and colour profile of all frames; empty if not requested.
    """

    format: str
    size: tuple[int, int]
    orientation: int
    fingerprint: str = ""


def examine(data: bytes, name: str = "", *, pixels: bool) -> PictureInfo:
    """Decode a photo in a process with memory and time limits. Raises Refused if it is not a
    picture or cannot be decoded completely."""
    function = f"{__name__}:{examined.__name__}"
    try:
        with Limits().room() as room:
            said = sandbox.shared().call(function, data, room, name=name, pixels=pixels)
    except PhotoError as error:
        raise Refused("unreadable", str(error)) from error
    return PictureInfo(
        said["format"], tuple(said["size"]), said["orientation"], said["fingerprint"]
    )


def examined(data: bytes, room: Room, pixels: bool, name: str = "") -> dict[str, Any]:
    """Return a PictureInfo as a dictionary. Raises PhotoError."""
    try:
        picture, scale = opened(BytesIO(data), name, room)
        if scale > 1:
            raise PhotoError("too_large", f"{CODES['too_large']}: see --memory")
        stored = picture.size
        turned = picture.format in TURNED_BY_DECODER
        orientation = _orientation_before_decoding(picture) if turned else None
        if pixels or picture.format == "PNG":  # PNG's EXIF may follow the pixels
            picture.load()
        if not is_turned(picture):
            orientation = orientation or picture.getexif().get(ExifTags.Base.Orientation)
        orientation = orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1
        size = stored[::-1] if orientation >= 5 and not turned else stored
        if picture.format in BOXES and orientation != _turn(data, picture.format):
            orientation = 1
        fingerprint = _fingerprint(picture) if pixels else ""
        return asdict(PictureInfo(picture.format or "", size, orientation, fingerprint))
    except (MemoryError, PIL.Image.DecompressionBombError) as error:
        raise PhotoError("too_large", CODES["too_large"]) from error
    except DAMAGE as error:
        raise PhotoError("unreadable", str(error)) from error


def _orientation_before_decoding(picture: PIL.Image.Image) -> object:
    """Return the orientation in the file; decoders discard it when they rotate the picture."""
    if picture.format == "TIFF":
        return getattr(picture, "tag_v2", {}).get(ExifTags.Base.Orientation)
    return picture.info.get("original_orientation")


def _turn(data: bytes, format: str) -> int:
    """Return the orientation given by a file's boxes. EXIF only repeats it and is ignored if it
    differs (ISO/IEC 23008-12): then viewers rotate neither the picture nor its regions."""
    try:
        return bmff.orientation(data) if format == "HEIF" else 1
    except bmff.BrokenBoxes:
        return 1


def _fingerprint(picture: PIL.Image.Image) -> str:
    digest = hashlib.sha256(picture.info.get("icc_profile") or b"")
    for frame in range(getattr(picture, "n_frames", 1)):
        if not _can_decode(picture, frame):
            digest.update(b"the rest cannot be decoded")
            break
        palette = picture.getpalette() if picture.mode == "P" else None
        digest.update(
            repr((picture.mode, picture.size, palette, picture.info.get("duration"))).encode()
        )
        digest.update(picture.tobytes())
    return digest.hexdigest()


def _can_decode(picture: PIL.Image.Image, frame: int) -> bool:
    """Whether the frame can be decoded. Raises for the first one, which is the photo; many programs
    truncate secondary pictures (gain maps, previews)."""
    try:
        picture.seek(frame)
        picture.load()
    except DAMAGE:
        if frame == 0:
            raise
        return False
    return True
