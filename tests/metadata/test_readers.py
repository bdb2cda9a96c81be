"""What other programs make of our entries: exiftool itself, and the rules by which photo managers
import faces.

The readers are written anew from the programs' rules: right place, no invented people, others'
regions intact.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyexiv2
import pytest
from helpers.photos import save_photo
from helpers.tagging import (
    FACE,
    OTHERS,
    corpus,
    exiftool,
    make_tags,
    rows_of,
    with_packet,
    write_results,
)

from mivolo_cli.metadata import embed, sidecar
from mivolo_cli.metadata.embed import Text
from mivolo_cli.metadata.packet import TagEntries
from mivolo_cli.metadata.regions import stored_area
from mivolo_cli.tagging.tag import TagOptions, tag

Box = tuple[float, float, float, float]
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tif"}
EXPECTED: Box = (10 / 80, 8 / 64, 30 / 80, 40 / 64)
"""FACE as shares of the upright photo."""


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """The whole corpus: name -> the original and the tagged file."""
    folder = tmp_path_factory.mktemp("corpus")
    found = {}
    for number, (name, (kind, data)) in enumerate(corpus().items()):
        before, after = (
            folder / f"{number:02}{part}{SUFFIXES[kind]}" for part in ("before", "after")
        )
        before.write_bytes(data)
        after.write_bytes(embed.embed(data, kind, make_tags(), TagEntries(microsoft=True)).data)
        found[name] = before, after
    return found


def test_exiftool_reads_the_regions_of_every_file(tagged: dict[str, tuple[Path, Path]]) -> None:
    names = {str(after): name for name, (_, after) in tagged.items()}
    area = stored_area(FACE, (80, 64), 1)
    assert area is not None
    for entry in exiftool("-XMP-mwg-rs:all", "-XMP-MP:all", "-XMP-xmp:Rating", *names):
        name, info = names[entry["SourceFile"]], entry["XMP-mwg-rs:RegionInfo"]
        region = info["RegionList"][-1]
        assert info["AppliedToDimensions"] == {"W": 80, "H": 64, "Unit": "pixel"}, name
        assert (region["Area"]["X"], region["Area"]["Y"]) == pytest.approx(
            (area.x, area.y), abs=1e-6
        ), name
        assert (region["Area"]["W"], region["Area"]["H"]) == pytest.approx(
            (area.w, area.h), abs=1e-6
        ), name
        assert region["Type"] == "Face" and "Name" not in region, name
        assert region["Extensions"]["XMP-mivolo:Age"] == 33.4, name
        assert (
            entry["XMP-MP:RegionInfoMP"]["Regions"][0]["Rectangle"] == "0.125, 0.125, 0.25, 0.5"
        ), name
        if len(info["RegionList"]) == 2:
            assert info["RegionList"][0]["Name"] == "Anna" and entry["XMP-xmp:Rating"] == 4, name


def test_exiftool_warns_of_nothing_that_was_not_there_before(
    tagged: dict[str, tuple[Path, Path]],
) -> None:
    files = [file for pair in tagged.values() for file in pair]
    said: dict[str, set[str]] = {
        entry["SourceFile"]: set(
            _texts(entry, "ExifTool:Warning") + _texts(entry, "ExifTool:Error")
        )
        for entry in exiftool("-validate", "-warning", "-error", "-a", *files)
    }
    for name, (before, after) in tagged.items():
        assert said[str(after)] <= said[str(before)], name


def test_exiftool_takes_nothing_of_ours_for_the_camera(tmp_path: Path) -> None:
    camera = ("-Make", "-Model", "-LensModel", "-CameraModelName", "-UniqueCameraModel")
    for kind, data in (corpus()["plain"], corpus()["xmp before exif"], corpus()["webp"]):
        before, after = (tmp_path / f"{part}{SUFFIXES[kind]}" for part in ("before", "after"))
        before.write_bytes(data)
        text = Text("UserComment", "1 person")
        after.write_bytes(embed.embed(data, kind, make_tags(), TagEntries(), text).data)
        old, new = exiftool(*camera, "-Software", "-CreateDate", before, after)
        assert new == old | {"SourceFile": str(after)}
        (ours,) = exiftool("-XMP-mivolo:all", after)
        assert ours["XMP-mivolo:ModelName"] == "mivolo-xs"


def test_exiftool_accepts_our_exif_and_sidecars(tmp_path: Path) -> None:
    for field in ("UserComment", "ImageDescription"):
        for name in ("plain", "progressive", "png with text", "webp", "maker notes of 60 KB"):
            kind, data = corpus()[name]
            text = Text(field, "1 person: looks about 33")
            done = embed.embed(data, kind, make_tags(), TagEntries(), text).data
            before, after = (tmp_path / f"{part}{SUFFIXES[kind]}" for part in ("before", "after"))
            before.write_bytes(data)
            after.write_bytes(done)
            old, new = exiftool(
                "-validate",
                "-warning",
                "-a",
                "-IFD0:ImageDescription",
                "-UserComment",
                before,
                after,
            )
            assert "1 person: looks about 33" in (
                new.get("ExifIFD:UserComment"),
                new.get("IFD0:ImageDescription"),
            )
            assert set(_texts(new, "ExifTool:Warning")) <= set(_texts(old, "ExifTool:Warning")), (
                name
            )
    photo = save_photo(tmp_path / "a.heic")
    planned = sidecar.plan(photo, lambda: None, make_tags(), TagEntries())
    planned.file.write_bytes(planned.new)
    (entry,) = exiftool("-validate", "-warning", "-XMP-mwg-rs:all", planned.file)
    assert (
        "ExifTool:Warning" not in entry
        and entry["XMP-mwg-rs:RegionInfo"]["RegionList"][0]["Type"] == "Face"
    )


def _texts(entry: dict[str, Any], key: str) -> list[str]:
    """exiftool numbers what it says more than once."""
    return [str(value) for name, value in entry.items() if name.split(" ")[0] == key]


# --- photo managers ---


def immich(entry: dict[str, Any]) -> list[tuple[str, Box]]:
    """Immich, server/src/services/metadata.service.ts (hasTaggedFaces, orientRegionInfo,
    applyTaggedFaces).

    It reads exiftool's structures, wants AppliedToDimensions, passes over regions without a name
    whatever their type, and turns areas upright by EXIF's orientation.
    """
    info = entry.get("XMP-mwg-rs:RegionInfo")
    if not info or not info.get("AppliedToDimensions") or not info.get("RegionList"):
        return []
    found = []
    for region in info["RegionList"]:
        if region.get("Name"):
            x, y, width, height = (float(region["Area"][side]) for side in "XYWH")
            box = upright(x, y, width, height, entry.get("IFD0:Orientation", 1))
            found.append((region["Name"], box))
    return found


def photoprism(entry: dict[str, Any]) -> list[tuple[str, Box]]:
    """PhotoPrism, pull request 5713 (option --xmp-faces): MWG and Microsoft regions of faces, named
    or not.

    MWG regions of another type than Face are left out. A region makes a person only if it has a
    name; the box is turned upright by EXIF's orientation.
    """
    turn = entry.get("IFD0:Orientation", 1)
    found = []
    for region in entry.get("XMP-mwg-rs:RegionInfo", {}).get("RegionList", []):
        if region.get("Type", "Face") == "Face":
            x, y, width, height = (float(region["Area"][side]) for side in "XYWH")
            found.append((region.get("Name", ""), upright(x, y, width, height, turn)))
    for region in entry.get("XMP-MP:RegionInfoMP", {}).get("Regions", []):
        left, top, width, height = map(float, region["Rectangle"].split(","))
        box = upright(left + width / 2, top + height / 2, width, height, turn)
        found.append((region.get("PersonDisplayName", ""), box))
    return found


def digikam(file: Path) -> list[tuple[str, Box]]:
    """digiKam, core/libs/metadataengine/dmetadata/dmetadata_faces.cpp (getItemFacesMap), through
    Exiv2.

    As of 2019: it counts up through Microsoft's and then MWG's list, and stops at the first region
    without a name. Newer ones take nameless regions for unknown people.
    """
    with pyexiv2.ImageData(file.read_bytes()) as image:
        xmp = image.read_xmp()
    found = []
    for number in range(1, 100):
        start = f"Xmp.MP.RegionInfo/MPRI:Regions[{number}]/MPReg:"
        if not xmp.get(start + "PersonDisplayName"):
            break
        left, top, width, height = map(float, xmp[start + "Rectangle"].split(","))
        found.append((xmp[start + "PersonDisplayName"], (left, top, left + width, top + height)))
    for number in range(1, 100):
        start = f"Xmp.mwg-rs.Regions/mwg-rs:RegionList[{number}]/mwg-rs:"
        if not xmp.get(start + "Name"):
            break
        x, y, w, h = (float(xmp[f"{start}Area/stArea:{side}"]) for side in "xywh")
        found.append((xmp[start + "Name"], (x - w / 2, y - h / 2, x + w / 2, y + h / 2)))
    return found


def upright(x: float, y: float, w: float, h: float, orientation: int) -> Box:
    """A centred area of the stored picture as corners on the picture as it is shown."""
    if orientation in (2, 3, 7, 8) and orientation < 5:
        x = 1 - x
    if orientation in (3, 4):
        y = 1 - y
    x, y = {5: (y, x), 6: (1 - y, x), 7: (1 - y, 1 - x), 8: (y, 1 - x)}.get(orientation, (x, y))
    if orientation >= 5:
        w, h = h, w
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Photos in every format and orientation after `mivolo tag --microsoft`, as exiftool reads
    them."""
    folder = tmp_path_factory.mktemp("album")
    rows: list[dict[str, Any]] = []
    for suffix in (".jpg", ".png", ".webp", ".tif", ".heic"):
        for orientation in range(1, 9) if suffix in (".jpg", ".heic") else (1, 6, 7):
            rows += rows_of(save_photo(folder / f"{orientation}{suffix}", orientation=orientation))
    results = write_results(folder / "people.parquet", rows)
    tally = tag(TagOptions(results, microsoft=True))
    assert (tally.failed, tally.statuses["sidecar"]) == (0, 8)
    read = exiftool("-n", "-XMP:all", "-Orientation", "-ext+", "xmp", folder)
    found = {Path(entry["SourceFile"]).name: entry for entry in read}
    beside = {name: found.pop(name + ".xmp") for name in list(found) if name + ".xmp" in found}
    return {name: {**entry, **beside.get(name, {})} for name, entry in found.items()}


def test_photoprism_shows_every_region_at_the_face(album: dict[str, dict[str, Any]]) -> None:
    assert len(album) == 8 + 8 + 9
    for name, entry in album.items():
        boxes = photoprism(entry)
        assert [person for person, _ in boxes] == ["", ""], name
        for _, box in boxes:
            assert box == pytest.approx(EXPECTED, abs=1e-5), name


def test_immich_makes_no_people_of_our_regions(album: dict[str, dict[str, Any]]) -> None:
    assert [immich(entry) for entry in album.values()] == [[]] * len(album)


def test_immich_would_find_the_face_if_it_had_a_name(album: dict[str, dict[str, Any]]) -> None:
    for name, entry in album.items():
        entry["XMP-mwg-rs:RegionInfo"]["RegionList"][0]["Name"] = "Anna"
        ((_, box),) = immich(entry)
        del entry["XMP-mwg-rs:RegionInfo"]["RegionList"][0]["Name"]
        assert box == pytest.approx(EXPECTED, abs=1e-5), name


def test_named_regions_of_others_are_read_as_before(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(with_packet(save_photo(file).read_bytes(), OTHERS))
    before = digikam(file)
    assert before == [("Anna", (0.6875, 0.375, 0.8125, 0.625))]
    assert (
        tag(
            TagOptions(write_results(tmp_path / "people.parquet", rows_of(file)), microsoft=True)
        ).failed
        == 0
    )
    assert digikam(file) == before
    (entry,) = exiftool("-n", "-XMP:all", file)
    assert immich(entry) == before
    assert [name for name, _ in photoprism(entry)] == ["Anna", "", ""]
    assert entry["XMP-lr:HierarchicalSubject"] == ["Places|Rome"]
