"""What a decoder sees in a file: orientation, upright size, and a fingerprint of all pixels."""

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
"""Formats whose pictures Pillow and pillow-heif hand out upright already."""
BOXES = ("HEIF", "AVIF", "JXL")
"""Formats in which EXIF does not turn the picture, or where no reader turns regions by it."""


@dataclass(frozen=True, slots=True)
class PictureInfo:
    """`format` is Pillow's name, `size` (width, height) upright, `orientation` EXIF's 1 to 8.

    `fingerprint` is a hash of the pixels and the colour profile of all frames; empty if it was not
    asked for.
    """

    format: str
    size: tuple[int, int]
    orientation: int
    fingerprint: str = ""


def examine(data: bytes, name: str = "", *, pixels: bool) -> PictureInfo:
    """The photo of that name, in a process with limits of memory and time. Raises Refused for what
    is not a picture or cannot be decoded to its end."""
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
    """A PictureInfo as a dictionary. Raises PhotoError."""
    try:
        picture, scale = opened(BytesIO(data), name, room)
        if scale > 1:
            raise PhotoError("too_large", f"{CODES['too_large']}: see --memory")
        stored = picture.size
        turned = picture.format in TURNED_BY_DECODER
        orientation = _orientation_before_decoding(picture) if turned else None
        if pixels or picture.format == "PNG":  # whose EXIF may stand behind the pixels
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
    """What the file says; the decoders forget it once they have turned the picture."""
    if picture.format == "TIFF":
        return getattr(picture, "tag_v2", {}).get(ExifTags.Base.Orientation)
    return picture.info.get("original_orientation")


def _turn(data: bytes, format: str) -> int:
    """How the boxes of a file turn its picture. EXIF only repeats that, and says nothing if it does
    not (ISO/IEC 23008-12): then viewers turn neither the picture nor regions on it."""
    try:
        return bmff.orientation(data) if format == "HEIF" else 1
    except bmff.BrokenBoxes:
        return 1


def _fingerprint(picture: PIL.Image.Image) -> str:
    digest = hashlib.sha256(picture.info.get("icc_profile") or b"")
    for frame in range(getattr(picture, "n_frames", 1)):
        if not _goes_to(picture, frame):
            digest.update(b"the rest cannot be decoded")
            break
        palette = picture.getpalette() if picture.mode == "P" else None
        digest.update(
            repr((picture.mode, picture.size, palette, picture.info.get("duration"))).encode()
        )
        digest.update(picture.tobytes())
    return digest.hexdigest()


def _goes_to(picture: PIL.Image.Image, frame: int) -> bool:
    """Whether the frame can be decoded. The first one must be: that is the photo, while second
    pictures (gain maps, previews) are cut off by many programs."""
    try:
        picture.seek(frame)
        picture.load()
    except DAMAGE:
        if frame == 0:
            raise
        return False
    return True
