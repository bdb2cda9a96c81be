"""Files that mean harm, as a whole scan meets them. What single modules refuse is tested with
them."""

from __future__ import annotations

import io
import os
import pickle
import socket
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from helpers import quick
from helpers.photos import save_photo
from helpers.scans import scan_options
from helpers.tables import contents, table

from mivolo_cli.errors import BadInput, PhotoError, WeightsError
from mivolo_cli.photos import decode, formats
from mivolo_cli.records import Photo
from mivolo_cli.scan import run as scanning

Scan = Callable[..., Any]


class Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.witness}'",)


def code(file: Path) -> str | None:
    """Why a file is refused; None where it is read."""
    started = time.monotonic()
    try:
        decode.decode(Photo(str(file.parent), file.name))
    except PhotoError as error:
        return error.code
    finally:
        assert time.monotonic() - started < 60, "this is for minutes of work, not for slow machines"
    return None


def tiff(*tags: tuple[int, int, int, int], following: int = 0, data: bytes = b"") -> bytes:
    """A TIFF with these tags (number, type, count, value); `following` is where it says that the
    next picture is."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return (
        b"II*\0\x08\0\0\0"
        + struct.pack("<H", len(tags))
        + entries
        + struct.pack("<I", following)
        + data
    )


def picture_tags(
    width: int, height: int, start: int, length: int, compression: int = 1
) -> list[Any]:
    return [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression),
        (262, 3, 1, 1), (273, 4, 1, start), (277, 3, 1, 1), (278, 4, 1, height),
        (279, 4, 1, length),
    ]  # fmt: skip


# --- weights


@pytest.mark.parametrize("option", ["model", "detector"])
@pytest.mark.parametrize(
    "suffix", [".pt", ".pth", ".pth.tar", ".torchscript", ".safetensors", ".engine"]
)
def test_no_booby_trap_goes_off_whatever_it_is_called(
    tmp_path: Path, no_weights_of_the_user: None, option: str, suffix: str
) -> None:
    witness, file = tmp_path / "went-off", tmp_path / f"trap{suffix}"
    file.write_bytes(pickle.dumps(Trap(witness)))
    save_photo(tmp_path / "photos" / "a.png")
    with pytest.raises((WeightsError, BadInput)):
        scanning.scan(
            scan_options(
                [tmp_path / "photos"], [tmp_path / "a.csv"], device="cpu", **{option: str(file)}
            )
        )
    assert not witness.exists()
    assert sorted(contents(tmp_path)) == ["photos/a.png", file.name]
    pickle.loads(file.read_bytes())
    assert witness.exists(), "the trap would not have worked anyway"


@pytest.mark.parametrize("length", [2**63 - 1, 2**40, 100_000_001, 99_000_000, 3])
def test_the_header_of_safetensors_is_bounded(tmp_path: Path, length: int) -> None:
    from mivolo_cli.model import checkpoint

    file = tmp_path / "model.safetensors"
    file.write_bytes(
        struct.pack("<Q", length)
        + b'{"a":{"dtype":"F32","shape":[1073741824],"data_offsets":[0,4]}}'
    )
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        checkpoint.load(file)


# --- photos


@pytest.mark.parametrize(
    "start",
    [
        b"%PDF-1.7\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'>",
        b"8BPS\0\1",
        b"PK\3\4",
    ]
    + [
        b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><svg>&e;</svg>",
        b"MZ\x90\0",
    ]
    + [
        b"\x01\xda\1\1\0\2",
        b"\0\0\1\0\1\0",
        b"P6 8 8 255\n",
        b"#!/bin/sh\n",
        b"SIMPLE  =",
    ],
    ids=lambda start: repr(start[:8]),
)
def test_formats_that_nobody_asked_for_are_never_given_to_a_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    """Some of them run programs (EPS) or fetch files (SVG); a picture further on in the file does
    not help."""
    formats.prepare()
    monkeypatch.setattr(PIL.Image, "OPEN", {})
    file = tmp_path / "photo.jpg"
    whole = save_photo(tmp_path / "whole.jpg").read_bytes()
    file.write_bytes(start + whole)
    assert code(file) == "not_a_picture"


def test_what_is_a_photo_and_an_archive_too_is_read_as_a_photo_alone(
    tmp_path: Path, scan: Scan
) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("../../evil.sh", "rm -rf /")
    for suffix in (".jpg", ".gif", ".png"):
        file = save_photo(tmp_path / "photos" / f"a{suffix}")
        file.write_bytes(file.read_bytes() + archive.getvalue())
    before = contents(tmp_path / "photos")
    scan()
    assert [row["status"] == "error" for row in table(tmp_path / "people.csv")] == [False] * 3
    assert contents(tmp_path / "photos") == before
    assert {path.name for path in tmp_path.iterdir()} <= {
        "photos",
        "people.csv",
        ".people.csv.mivolo",
    }


@pytest.mark.parametrize(
    "size", [(60_000, 60_000), (2**31 - 1, 1), (1, 2**31 - 1), (2**32 - 1, 2**32 - 1), (9500, 9500)]
)
def test_huge_pictures_are_refused_before_anything_is_unpacked(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    width, height = size
    file = tmp_path / "bomb.tif"
    file.write_bytes(tiff(*picture_tags(width, height, 200, 50, 8), data=b"\0" * 200))
    assert code(file) in ("too_large", "corrupt", "truncated")
    header = struct.pack(">II5B", min(width, 2**31 - 1), min(height, 2**31 - 1), 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    png = tmp_path / "bomb.png"
    png.write_bytes(
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )
    assert code(png) in ("too_large", "corrupt", "truncated")


def test_a_tiff_packed_a_thousandfold_gives_no_more_than_it_says(tmp_path: Path) -> None:
    packed = zlib.compress(b"\0" * 100_000_000, 9)
    file = tmp_path / "packed.tif"
    tags = picture_tags(100, 100, 8 + 2 + 9 * 12 + 4, len(packed), 8)
    file.write_bytes(tiff(*tags, data=packed))
    assert len(packed) < 100_000
    assert code(file) in (None, "corrupt")


def test_directories_that_lead_back_to_themselves_end(tmp_path: Path) -> None:
    start = 8 + 2 + 9 * 12 + 4
    loop = tiff(*picture_tags(10, 10, start, 100), following=8, data=b"\x80" * 100)
    (tmp_path / "loop.tif").write_bytes(loop)
    assert code(tmp_path / "loop.tif") is None
    nested = tiff(
        (0x8769, 4, 1, 8), (0x0112, 3, 1, 6), (0x014A, 4, 1, 8), (0xA005, 4, 1, 8), following=8
    )
    for suffix in (".jpg", ".png", ".webp"):
        file = save_photo(tmp_path / f"nested{suffix}", exif=b"Exif\0\0" + nested)
        assert code(file) is None


def test_xml_inside_of_a_photo_is_not_believed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("6")
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    packet = (
        f'<?xpacket?><!DOCTYPE x [<!ENTITY l0 "ha">{laughs}<!ENTITY s SYSTEM "file://{secret}">]>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="&s;">&l11;</x:xmpmeta>'
    )
    file = save_photo(tmp_path / "a.webp", xmp=packet.encode())
    image = decode.decode(Photo(str(tmp_path), file.name))
    assert (image.width, image.height) == (80, 64)


# --- names, tables and the network


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scan:

    def run(**given: Any) -> Any:
        options = scan_options([tmp_path / "photos"], [tmp_path / "people.csv"], workers=1, **given)
        return scanning.scan(options, backend=quick.QuickBackend)

    return run


NAMES = (
    *(
        "..png",
        "...png",
        "..\\..\\evil.png",
        "=cmd|' /C calc'!A0.png",
        "-rf.png",
        "$(touch evil).png",
        "a\nb.png",
    ),
    *(
        "\u202egpj.png",
        "%2e%2e%2fevil.png",
        "nul.png",
        "CON .png",
        "~.png",
        "\udcff.png",
        "a\x1b[31m.png",
    ),
)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_annotated_pictures_stay_in_their_folder_whatever_a_file_is_called(
    tmp_path: Path, scan: Scan
) -> None:
    for number, name in enumerate(NAMES):
        save_photo(
            tmp_path / "photos" / f"d{number}" / name,
            pixels=PIL.Image.new("RGB", (60, 60), (100,) * 3),
        )
    before = contents(tmp_path / "photos")
    scan(annotate=tmp_path / "drawn", hidden=True)
    assert contents(tmp_path / "photos") == before
    assert {path.name for path in tmp_path.iterdir()} == {
        "photos",
        "people.csv",
        ".people.csv.mivolo",
        "drawn",
    }
    assert len(contents(tmp_path / "drawn")) == len(NAMES) == len(table(tmp_path / "people.csv"))


def test_a_link_in_the_folder_of_annotated_pictures_is_not_followed(
    tmp_path: Path, scan: Scan
) -> None:
    save_photo(
        tmp_path / "photos" / "sub" / "a.png", pixels=PIL.Image.new("RGB", (60, 60), (100,) * 3)
    )
    (tmp_path / "precious").mkdir()
    (tmp_path / "drawn").mkdir()
    (tmp_path / "drawn" / "sub").symlink_to(tmp_path / "precious")
    with pytest.raises(BadInput, match="link"):
        scan(annotate=tmp_path / "drawn")
    assert contents(tmp_path / "precious") == {}


def test_formulas_are_harmless_in_tables_for_spreadsheets_alone(tmp_path: Path, scan: Scan) -> None:
    save_photo(tmp_path / "photos" / "=cmd|' -C calc'!A0.png")
    scan()
    (plain,) = table(tmp_path / "people.csv")
    assert plain["path"] == "=cmd|' -C calc'!A0.png"
    scan(spreadsheet_safe=True)
    safe = (tmp_path / "people.csv").read_text("utf-8")
    assert safe.startswith("\ufeffpath,") and "\n'=cmd|' -C calc'!A0.png," in safe
    assert table(tmp_path / "people.csv") == [plain], "what made it safe is taken away again"
    scan()
    assert table(tmp_path / "people.csv") == [plain], (
        "what is kept for the next run is not changed by it"
    )


def test_a_scan_asks_nobody(tmp_path: Path, scan: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    save_photo(tmp_path / "photos" / "a.tif")
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(
            socket.socket, name, lambda *_: pytest.fail("the network was used"), raising=False
        )
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("a name was looked up"))
    assert scan().failed == 0


def test_results_hold_no_pictures(tmp_path: Path, scan: Scan) -> None:
    save_photo(tmp_path / "photos" / "a.png", pixels=PIL.Image.new("RGB", (60, 60), (100,) * 3))
    scan()
    kept = contents(tmp_path)
    hidden = {f".people.csv.mivolo/{name}" for name in ("lock", "receipt.json", "results.parquet")}
    assert {name for name in kept if not name.startswith("photos/")} == {"people.csv", *hidden}
    import pyarrow.parquet

    schema = pyarrow.parquet.read_schema(tmp_path / ".people.csv.mivolo" / "results.parquet")
    assert [
        field.name
        for field in schema
        if str(field.type) not in ("string", "double", "int32", "int64")
    ] == [
        "taken_at",
        "key",
    ]
