"""Read photos: upright RGB, in parallel, in order. Nothing here writes to a photo."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO
from typing import IO

import PIL.Image

from .. import storage
from ..errors import PhotoError
from ..records import Failure, Image, Photo
from ..threads import in_order
from . import archives, takeout
from .codes import CODES, DAMAGE, diagnosis
from .exif import read_exif
from .formats import formats_of, is_raw
from .limits import Budget, Limits, Room, Share
from .opening import MinSize, opened
from .plain import PLAIN
from .rgb import to_pixels, to_rgb
from .sandbox import CRASHED, Sandbox

USUAL_PIXELS = 1024**3 // 4 // 3
"""Maximum pixels of a photo decoded in this process, without a time limit: 89 million."""
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
"""EXIF orientation -> operation that turns the stored picture upright."""
LYING = (5, 6, 7, 8)
"""Orientations that swap width and height."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The bytes of a photo that is not in a file."""

    photo: Photo
    data: bytes


def decode(
    photo: Photo,
    min_size: MinSize | None = None,
    data: bytes | None = None,
    room: Room | None = None,
) -> Image:
    """Decode a photo, from `data` if given: upright, sRGB, first frame of an animation, with
    transparency on white.

    A JPEG may be decoded at a half, a quarter or an eighth of its size, which is much faster, as
    long as its longer and shorter side have the pixels of `min_size`; None means full size. If a
    photo is too large for the `room`, a JPEG is reduced further and any other format is rejected.

    Size and time in the result are those of the file that was read, which may have replaced the one
    found before. Raises PhotoError with one of CODES.
    """
    if room is None:
        with Limits().room() as own:
            return decode(photo, min_size, data, own)
    try:
        if data is None:
            photo, data = fetched(photo)
        with storage.open_file(photo.file) if data is None else BytesIO(data) as file:
            facts = _facts(file, photo)
            picture, scale = opened(file, photo.path, room, min_size)
            size = picture.size
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


def fetched(photo: Photo) -> tuple[Photo, bytes | None]:
    """Fetch a photo from a bucket or an archive: return its size and time when it was read, and its
    bytes, which are None for a regular file.

    Raises PhotoError.
    """
    try:
        if (sample := archives.read(photo)) is not None or not storage.is_url(photo.root):
            return photo, sample
        if (photo.bytes or 0) > archives.MAX_BYTES:
            raise MemoryError
        data = storage.read(photo.address)
        if len(data) != photo.bytes:  # it has been replaced since it was found
            facts = storage.stat(photo.address)
            if len(data) != facts.bytes:
                raise PhotoError(*archives.CHANGED)
            photo = replace(photo, bytes=facts.bytes, mtime_ns=facts.mtime_ns)
        return photo, data
    except MemoryError as error:
        raise PhotoError("too_large", CODES["too_large"]) from error
    except (OSError, ValueError) as error:
        raise PhotoError(*diagnosis(error)) from error


def decode_all(
    photos: Iterable[Photo | Failure | Loaded | Image],
    workers: int,
    min_size: MinSize | None = None,
    limits: Limits | None = None,
    *,
    held: bool = True,
) -> Generator[Image | Failure, None, None]:
    """Decode in threads, and risky formats in processes, keeping the order; failures and images are
    passed through.

    At most 2 * workers photos are in progress, from requesting a photo to yielding its result, and
    no more than fit into the memory of `limits`. Unless `held` is False, photos count until their
    pixels are freed; a caller may hold no more than limits.HELD while requesting the next one.
    Closing the generator waits for photos being decoded and drops the others.
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
        budget.close()  # first: unblocks threads that the pool waits for
        sandbox.close()
        pool.shutdown(cancel_futures=True)


def decode_or_fail(
    photo: Photo,
    sandbox: Sandbox,
    min_size: MinSize | None = None,
    room: Room | None = None,
    data: bytes | None = None,
) -> Image | Failure:
    """Decode a photo, from `data` if given: in a separate process if its format is risky. Photos in
    buckets are decoded at full size, so that they need not be fetched again."""
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
    """Decode a photo that `decode_all` has reduced at full size, or as large as memory allows."""
    with limits.room(reduced=True) as room:
        return _dated(decode_or_fail(photo, sandbox, room=room, data=data))


def _dated(found: Image | Failure) -> Image | Failure:
    """Add the time from the file next to the photo if the photo has none."""
    if isinstance(found, Failure) or found.taken_at is not None:
        return found
    return replace(found, taken_at=takeout.taken_at(found.photo))


def _is_risky(photo: Photo, data: bytes | None) -> bool:
    """Return whether to decode a file in a separate process: all but plain JPEG and PNG files of
    usual size.

    Their decoders are small and have been attacked for decades. Files with many scans may take
    hours.
    """
    try:
        with storage.open_file(photo.file) if data is None else BytesIO(data) as file:
            formats = formats_of(file.read(32))
            large = (photo.bytes or 0 if data is None else len(data)) > USUAL_BYTES
            if is_raw(photo.path, formats):
                return True
            plain = PLAIN.get("".join(formats))
            return bool(formats) and (plain is None or large or not plain(file, USUAL_PIXELS))
    except OSError:
        return False


def _facts(file: IO[bytes], photo: Photo) -> tuple[int | None, int | None]:
    """Return size and time of an open file; for bytes in memory, those of the photo."""
    if isinstance(file, BytesIO):
        return photo.bytes, photo.mtime_ns
    facts = os.fstat(file.fileno())
    return facts.st_size, facts.st_mtime_ns
