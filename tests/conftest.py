"""What the tests share: a factory of small photos in every format, and one of broken files."""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pillow_heif
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from mivolo_cli.records import Pixels
from mivolo_cli.variants import Size

FORMATS = {
    ".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF",
    ".bmp": "BMP", ".gif": "GIF", ".avif": "AVIF", ".heic": "HEIF",
}  # fmt: skip
TO_STORED = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_90,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_270,
}
"""EXIF orientation -> what turns an upright picture into the one that a camera held that way stores."""

Corners = tuple[float, float, float, float]
Given = list[tuple[str, str, Corners]]
"""Rows of a table of boxes: path, kind, x1 to y2."""

pillow_heif.register_heif_opener()


def draw_scene(width: int = 80, height: int = 64) -> Pixels:
    """A picture (height, width, 3) with no symmetry: red, green, blue and grey quarters, calm enough for any codec."""
    pixels = np.empty((height, width, 3), np.uint8)
    top, left = height // 2, width // 2
    pixels[:top, :left], pixels[:top, left:] = (200, 60, 50), (60, 170, 70)
    pixels[top:, :left], pixels[top:, left:] = (50, 80, 190), (210, 210, 205)
    return pixels


def assets() -> Path:
    """The two photos that travel with ultralytics, found without importing it."""
    spec = importlib.util.find_spec("ultralytics")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "assets"


def save_photo(
    path: Path,
    format: str | None = None,
    *,
    pixels: NDArray[Any] | PIL.Image.Image | None = None,
    mode: str | None = None,
    orientation: int | None = None,
    taken_at: str | None = None,
    **options: Any,
) -> Path:
    """Write a photo and return its path; folders are made as needed.

    `format` is Pillow's name, else the suffix decides. `pixels` (default: the scene) are what should be seen: with an
    `orientation` they are stored turned, and EXIF says so. `taken_at` goes into EXIF's DateTimeOriginal as it is.
    `options` go to Pillow's save.
    """
    picture = (
        pixels
        if isinstance(pixels, PIL.Image.Image)
        else PIL.Image.fromarray(draw_scene() if pixels is None else pixels)
    )
    if mode:
        picture = picture.convert(mode)
    if orientation in TO_STORED:
        picture = picture.transpose(TO_STORED[orientation])
    exif = PIL.Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    if taken_at:
        exif[0x8769] = {0x9003: taken_at}
    if orientation or taken_at:
        options["exif"] = exif.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, format or FORMATS[path.suffix.lower()], **options)
    return path


def save_broken(path: Path, kind: str, *, size: tuple[int, int] = (60_000, 60_000)) -> Path:
    """Write a file that cannot be decoded, and return its path.

    `kind` is empty, text, truncated (a JPEG), garbage (after the first bytes of a PNG) or bomb (a PNG of a few bytes
    that claims to have that `size`).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "truncated":
        noise = np.random.default_rng(0).integers(0, 255, (64, 80, 3), np.uint8)
        whole = save_photo(path, "JPEG", pixels=noise).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    else:
        content = {
            "empty": b"",
            "text": b"Dear diary, this is no picture.\n" * 20,
            "bomb": _png_header(*size),
            "garbage": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4,
        }
        path.write_bytes(content[kind])
    return path


def _png_header(width: int, height: int) -> bytes:
    chunks = (
        (b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    )
    body = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def write_boxes(file: Path, given: Given) -> Path:
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(["path", "kind", "x1", "y1", "x2", "y2"])
        writer.writerows([path, kind, *corners] for path, kind, corners in given)
    return file


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def save_results(file: Path, results: Iterable[Any], **metadata: str) -> Path:
    """Write a table of results as a scan does."""
    from mivolo_cli.records import rows
    from mivolo_cli.sinks import open_sinks

    with open_sinks([file], metadata) as sinks:
        for result in results:
            sinks.write(rows(result))
    return file


SMALL = Size((1, 1, 2, 0), (12, 24, 24, 24), (1, 2, 2, 2), stem_width=8, input_size=64, class_attention=False)
"""In the place of `mivolo_xs`, where a test needs any model and a quick one."""


def require(package: str) -> Any:
    """A library that only tests need: a test without it is skipped, but fails in continuous integration."""
    if os.environ.get("CI"):
        return importlib.import_module(package)
    return pytest.importorskip(package)


def table(file: Path) -> list[dict[str, Any]]:
    from mivolo_cli.sinks import read_table

    return read_table(file).to_pylist()


def corners(row: dict[str, Any], kind: str) -> Corners | None:
    x1, y1, x2, y2 = (row[f"{kind}_{name}"] for name in ("x1", "y1", "x2", "y2"))
    return None if x1 is y1 is x2 is y2 is None else (x1, y1, x2, y2)


def encode(pixels: NDArray[Any], mode: str = "RGB") -> bytes:
    """As a PNG file."""
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).convert(mode).save(file, "PNG")
    return file.getvalue()


def noise(seed: int = 0, height: int = 60, width: int = 60) -> Pixels:
    return np.random.default_rng(seed).integers(1, 256, (height, width, 3), np.uint8)


LABELS = pa.schema(
    [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("crop", pa.string()),
        *((name, pa.float64()) for name in ("age", "age_min", "age_max")),
        ("gender", pa.string()),
    ]
)
"""Labelled pictures in Parquet, as data sets have them."""


def label_row(path: str = "1.png", crop: str = "face", age: float | None = 30.0, **changes: Any) -> dict[str, Any]:
    """A row of a man in noise, 20 to 40 years old where the age is None; the path seeds the picture."""
    image = {"bytes": encode(noise(sum(path.encode()))), "path": path}
    return {"image": image, "crop": crop, "age": age, "age_min": 20.0, "age_max": 40.0, "gender": "male"} | changes


def write_labels(file: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows, schema=LABELS), file)
    return file


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("filterwarnings", r"ignore:::PIL\..*")  # as photos.decode does it, but for every test


@pytest.fixture(scope="session", autouse=True)
def cache_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither use nor fill the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def scene() -> Pixels:
    """What every photo shows unless told otherwise, (64, 80, 3)."""
    return draw_scene()


@pytest.fixture
def make_photo() -> Callable[..., Path]:
    """`save_photo`."""
    return save_photo


@pytest.fixture
def make_broken() -> Callable[..., Path]:
    """`save_broken`."""
    return save_broken


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the smallest model with seeded random weights, for ages from 0 to 100."""
    import torch

    from mivolo_cli import checkpoint
    from mivolo_cli.model import create_model

    torch.manual_seed(0)
    model = create_model("mivolo_xs_32").eval()
    file = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    checkpoint.save(model, checkpoint.spec_of(model, "tiny", 0, 100), file)
    return file


@pytest.fixture
def no_weights_of_the_user(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own folder of weights is empty."""
    monkeypatch.setenv("MIVOLO_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def scan_given(tiny_model: Path, no_weights_of_the_user: None) -> Callable[..., Any]:
    """Scans with the tiny model on the CPU and the boxes that are given."""

    from mivolo_cli.scan import ScanOptions, scan

    def run_scan(*paths: Path, boxes: Path, report: Callable[[Any], None] | None = None, **options: Any) -> Any:
        settings = {"model": str(tiny_model), "detector": "given", "device": "cpu", "workers": 2} | options
        return scan(ScanOptions(paths=paths, boxes=boxes, **settings), *([report] if report else []))

    return run_scan
