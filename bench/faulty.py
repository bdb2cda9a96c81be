"""Processes that are killed, and malformed files."""

from __future__ import annotations

import io
import os
import random
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pillow_heif

FORMATS = {
    "jpg": "JPEG",
    "png": "PNG",
    "webp": "WEBP",
    "tif": "TIFF",
    "bmp": "BMP",
    "gif": "GIF",
    "avif": "AVIF",
}
FORMATS |= {"heic": "HEIF"}
EXTREMES = (
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\xff\xff",
    b"\0\0",
)


def child(
    work: Callable[[], object],
    prepare: Callable[[], None] | None = None,
    after: float | None = None,
    limit: float = 0,
) -> int:
    """Run `work` in a forked process; kill it `after` this many seconds. Return its exit code.

    `prepare` runs in the child before the work. A child that still runs after `limit` seconds has
    hung: 999 is returned.
    """
    pid = os.fork()
    if pid == 0:
        _run(work, prepare)
    began = time.monotonic()
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        passed = time.monotonic() - began
        if (after is not None and passed > after) or (limit and passed > limit):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return -signal.SIGKILL if after is not None else 999
        time.sleep(0.002)


def _run(work: Callable[[], object], prepare: Callable[[], None] | None) -> None:
    code = 1
    try:
        if prepare is not None:
            prepare()
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def kill_at_step(step: int) -> Callable[[], None]:
    """Kill this process just before or just after the given number of calls that make data
    durable."""

    def prepare() -> None:
        left, before = step, random.random() < 0.5

        def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(*arguments: Any, **options: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0 and before:
                    os.kill(os.getpid(), signal.SIGKILL)
                answer = call(*arguments, **options)
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return answer

            return wrapped

        for name in ("fsync", "replace", "unlink"):
            setattr(os, name, wrap(getattr(os, name)))

    return prepare


def mutants(folder: Path, count: int, seed: int) -> dict[str, str]:
    """Write damaged photos of every format; return the path and the mutation of each."""
    chance = random.Random(seed)
    whole = originals()
    kinds = {}
    for number in range(count):
        suffix, content = chance.choice(whole)
        kind, damaged = mutate(chance, content, [other for _, other in whole])
        name = f"{number % 50:02}/{number:05}.{suffix}"
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(damaged)
        kinds[name] = f"{suffix} {kind}"
    return kinds


def originals() -> list[tuple[str, bytes]]:
    """Return intact photos: suffix and content, some formats several times."""
    pillow_heif.register_heif_opener()
    picture = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 48, 3), np.uint8))
    exif = PIL.Image.Exif()
    exif[0x0112], exif[0x8769] = 6, {0x9003: "2020:01:31 12:00:05"}
    made = [(suffix, coded(picture, name)) for suffix, name in FORMATS.items()]
    made += [
        (suffix, coded(picture, FORMATS[suffix], exif=exif.tobytes()))
        for suffix in ("jpg", "png", "webp", "tif", "avif")
    ]
    made += [("jpg", coded(picture, "JPEG", progressive=True, optimize=True))]
    made += [("jpg", coded(picture.convert("CMYK"), "JPEG"))]
    made += [
        ("tif", coded(picture, "TIFF", compression=name))
        for name in ("tiff_lzw", "jpeg", "tiff_deflate", "packbits")
    ]
    made += [
        ("png", coded(picture.convert("P"), "PNG", transparency=3)),
        ("png", coded(picture.convert("I;16"), "PNG")),
    ]
    made += [
        (suffix, coded(picture, FORMATS[suffix], save_all=True, append_images=[picture]))
        for suffix in ("gif", "webp")
    ]
    made += [
        ("webp", coded(picture, "WEBP", lossless=True)),
        ("bmp", coded(picture.convert("P"), "BMP")),
    ]
    return made


def coded(picture: PIL.Image.Image, format: str, **options: Any) -> bytes:
    picture.save(buffer := io.BytesIO(), format, **options)
    return buffer.getvalue()


def mutate(chance: random.Random, content: bytes, others: list[bytes]) -> tuple[str, bytes]:
    """Flip bits, truncate, splice in the start of another file, insert an extreme number, remove a
    piece, or repeat the end."""
    kind = chance.choice(
        ("flips", "flips in front", "cut", "spliced", "extreme", "hole", "doubled")
    )
    data = bytearray(content)
    if kind.startswith("flips"):
        reach = min(len(data), 200) if kind.endswith("front") else len(data)
        for _ in range(chance.choice((1, 2, 8, 32))):
            data[chance.randrange(reach)] ^= 1 << chance.randrange(8)
    elif kind == "cut":
        del data[chance.randrange(len(data)) :]
    elif kind == "spliced":
        other = chance.choice(others)
        cut = chance.randrange(1, 100)
        data[:cut] = other[: chance.randrange(4, 100)]
    elif kind == "extreme":
        place = chance.randrange(min(len(data), 300))
        number = chance.choice(EXTREMES)
        data[place : place + len(number)] = number
    elif kind == "hole":
        place = chance.randrange(len(data))
        data[place : place + chance.randrange(1, 64)] = b""
    else:
        data += data[chance.randrange(len(data)) :]
    return kind, bytes(data)


def large_pngs(folder: Path) -> None:
    """Write eight PNGs of nearly 89 million equal pixels, 100 to 350 kB each."""
    folder.mkdir()
    for number in range(8):
        picture = PIL.Image.new("RGB", (9400, 9400), (number, 80, 90))
        picture.save(folder / f"{number}.png", compress_level=9)


def scans(folder: Path) -> None:
    """Write JPEGs of a few kilobytes with 5000 scans of 88 million pixels: one component at a time,
    and progressive after fill bytes."""
    folder.mkdir()
    (folder / "sequential.jpg").write_bytes(jpeg_of_scans(0xC0, b"", 0))
    (folder / "fill.jpg").write_bytes(jpeg_of_scans(0xC2, b"\xff" * 3, 1))


def jpeg_of_scans(frame: int, fill: bytes, first: int) -> bytes:
    tables = segment(0xDB, bytes([0, *[1] * 64])) + segment(0xC4, bytes([0, 1, *[0] * 16]))
    tables += segment(0xC4, bytes([16, 1, *[0] * 16]))
    parts = b"".join(bytes([part, 0x11, 0]) for part in (1, 2, 3))
    head = segment(frame, struct.pack(">BHHB", 8, 9400, 9400, 3) + parts)
    body = segment(0xDA, bytes([3, 1, 0, 2, 0, 3, 0, 0, 0, 0])) if first else b""
    for number in range(5000):
        body += segment(0xDA, bytes([1, 1 + number % 3, 0, first, 63, 0]))
    return b"\xff\xd8" + tables + fill + head + body + b"\xff\xd9"


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def linked(folder: Path) -> None:
    """Create 24 folders, each with a photo and links to all of them."""
    for number in range(24):
        inner = folder / str(number)
        inner.mkdir(parents=True)
        PIL.Image.new("RGB", (40, 30), "grey").save(inner / "a.png")
        for other in range(24):
            (inner / f"to{other}").symlink_to(f"../{other}")
