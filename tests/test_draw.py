"""Tests of mivolo_cli.draw: what stands where on an annotated picture, and where the picture
goes."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mivolo_cli import draw
from mivolo_cli.draw import (
    PALETTE,
    annotate,
    annotated_path,
    choose_style,
    colour,
    contrast,
    labels,
    place_labels,
    save_annotated,
    text_colour,
)
from mivolo_cli.errors import BadInput, OutputError
from mivolo_cli.records import Box, Person, Photo, Pixels, Prediction

COLOUR_BLINDNESS: dict[
    str, list[list[float]]
] = {  # Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
    "none": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
}


def picture(width: int = 400, height: int = 300, grey: int = 128) -> Pixels:
    return np.full((height, width, 3), grey, np.uint8)


def female(age: float = 34.4, score: float | None = 0.98) -> Prediction:
    return Prediction(age, "female" if score else None, score, "face+body")


def person(x: float, y: float, size: float = 40, *, face: bool = True, body: bool = True) -> Person:
    """The head's top left corner is x, y."""
    return Person(
        Box(x, y, x + size, y + size) if face else None,
        Box(x - size / 2, y - size / 2, x + 1.5 * size, y + 4 * size) if body else None,
    )


def row_of(count: int, size: float = 40) -> list[tuple[Person, Prediction]]:
    return [(person(40 + 4 * size * index, 80, size), female()) for index in range(count)]


def is_colour(pixels: Pixels, index: int) -> Pixels:
    return (pixels == np.array(colour(index), np.uint8)).all(axis=-1)


def overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


# --- the picture ---


def test_a_copy_of_the_same_shape_is_drawn_on() -> None:
    pixels = picture()
    pixels.setflags(write=False)
    result = annotate(pixels, row_of(2))
    assert result.shape == pixels.shape
    assert result.dtype == np.uint8
    assert (pixels == 128).all()
    assert (result != 128).any()


def test_without_people_the_picture_is_equal() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    assert np.array_equal(annotate(noise, []), noise)
    assert annotate(noise, []) is not noise


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_face_and_body_are_framed_in_the_persons_colour(grey: int) -> None:
    people = row_of(3)
    pixels = annotate(picture(640, 300, grey), people)
    for index, (each, _) in enumerate(people):
        for box in (each.face, each.body):
            assert box is not None
            left, top, right, bottom = (int(x) for x in box.corners)
            inner = slice(left + 8, right - 8), slice(top + 20, bottom - 8)
            assert is_colour(pixels[bottom - 1, inner[0]], index).all()
            assert is_colour(pixels[inner[1], left], index).all()
            assert is_colour(pixels[inner[1], right - 1], index).all()
            if box is each.face:  # the label may lie on the upper side of the body
                assert is_colour(pixels[top, inner[0]], index).all()


def test_frames_leave_what_they_surround_alone() -> None:
    pixels = annotate(picture(), [(Person(Box(100, 100, 200, 200), None), female())])
    assert (pixels[110:190, 110:190] == 128).all()


def test_corners_are_smooth() -> None:
    pixels = annotate(picture(), [(Person(Box(100, 100, 200, 200), None), female())])
    assert len(np.unique(pixels[190:202, 190:202].reshape(-1, 3), axis=0)) > 4


def test_people_without_a_prediction_get_dashes() -> None:
    pixels = annotate(picture(), [(Person(None, Box(100, 100, 300, 280)), None)])
    side = is_colour(pixels[100:280, 299], 0)
    assert 0.3 < side.mean() < 0.8
    assert np.count_nonzero(np.diff(side.astype(int)) == 1) > 4


def test_lines_and_text_grow_with_the_picture() -> None:
    small, large = choose_style(640, 480, []), choose_style(4000, 3000, [])
    assert large.text > 4 * small.text
    assert large.line > 4 * small.line
    assert choose_style(32, 32, []).text == draw.MIN_TEXT
    assert choose_style(4000, 3000, row_of(30, 100)).text < large.text


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (8, 8), (64, 64), (20, 200)])
def test_tiny_pictures_do_not_fail(size: tuple[int, int]) -> None:
    width, height = size
    whole = Box(0, 0, width, height)
    people = [
        (Person(whole, whole), female()),
        (Person(None, Box(0, 0, 0.2, 0.2)), None),
        (Person(whole, None), None),
    ]
    assert annotate(picture(width, height), people).shape == (height, width, 3)


def test_boxes_that_reach_out_of_the_picture_are_cut() -> None:
    pixels = annotate(
        picture(), [(Person(Box(-50, -50, 20, 20), Box(390, 250, 500, 900)), female())]
    )
    assert is_colour(pixels[299, 393:397], 0).all()


# --- labels ---


def test_labels_are_short() -> None:
    assert [[text for text, _ in label.parts] for label in labels(female(), 20)] == [
        ["34", "female", "98%"],
        ["34", "female"],
        ["34"],
    ]
    assert labels(female(score=None), 20)[0].parts == (("34", 20),)
    assert labels(None, 20)[0].parts == (("?", 20),)
    assert labels(female(score=0.9999), 20)[0].parts[2][0] == "99%"


@pytest.mark.parametrize("background", PALETTE)
def test_text_stands_out_from_its_plate(background: tuple[int, int, int]) -> None:
    assert contrast(text_colour(background), background) >= 4.5


def test_contrast_is_that_of_wcag() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)


def test_the_label_is_drawn_as_text_on_a_plate() -> None:
    people = row_of(1, size=100)
    pixels = annotate(picture(1000, 800), people)
    ((_, _, (left, top, right, bottom)),) = place_labels(
        1000, 800, people, choose_style(1000, 800, people)
    )
    plate = pixels[top:bottom, left:right]
    assert is_colour(plate, 0).mean() > 0.5
    assert (plate < 30).all(axis=-1).sum() > 60
    assert not (plate > 200).all(axis=-1).any()


@pytest.mark.parametrize("x", [0, 180, 360])
@pytest.mark.parametrize("y", [0, 130, 260])
def test_labels_stay_inside_of_the_picture_and_off_the_face(x: int, y: int) -> None:
    face = Box(x, y, x + 40, y + 40)
    people = [(Person(face, None), female())]
    ((_, label, place),) = place_labels(400, 300, people, choose_style(400, 300, people))
    assert place[0] >= 0 and place[1] >= 0 and place[2] <= 400 and place[3] <= 300
    assert (place[2] - place[0], place[3] - place[1]) == label.extent
    assert not overlap(place, (x, y, x + 40, y + 40))


def test_labels_avoid_faces_and_one_another() -> None:
    people = [
        (person(100 + 50 * x, 120 + 70 * y, 40, body=False), female())
        for y in range(2)
        for x in range(5)
    ]
    places = [
        place for _, _, place in place_labels(500, 400, people, choose_style(500, 400, people))
    ]
    faces = [
        (100 + 50 * x, 120 + 70 * y, 140 + 50 * x, 160 + 70 * y) for y in range(2) for x in range(5)
    ]
    assert len(places) == 10
    assert not any(overlap(a, b) for a, b in combinations(places, 2))
    assert not any(overlap(place, face) for place in places for face in faces)


def test_a_label_stands_by_the_face_or_else_by_the_body() -> None:
    people = [(person(100, 150), female()), (person(250, 150, face=False), female())]
    by_face, by_body = (
        place for _, _, place in place_labels(400, 400, people, choose_style(400, 400, people))
    )
    assert 0 <= 150 - by_face[3] < 10
    assert 0 <= 130 - by_body[3] < 10


def test_a_narrow_picture_gets_a_shorter_label() -> None:
    people = [(Person(Box(0, 0, 60, 60), None), female())]
    ((_, label, _),) = place_labels(64, 64, people, choose_style(64, 64, people))
    assert [text for text, _ in label.parts] == ["34", "female"]


# --- colours ---


def test_the_palette_repeats() -> None:
    assert colour(3) == PALETTE[3] == colour(3 + len(PALETTE))


@pytest.mark.parametrize("kind", COLOUR_BLINDNESS)
def test_colours_can_be_told_apart(kind: str) -> None:
    seen = [_oklab(rgb, COLOUR_BLINDNESS[kind]) for rgb in PALETTE]
    for (i, a), (j, b) in combinations(enumerate(seen), 2):
        assert np.linalg.norm(a - b) > 0.08, f"{PALETTE[i]} and {PALETTE[j]} look alike"


def _oklab(rgb: tuple[int, int, int], blindness: list[list[float]]) -> np.ndarray:
    """Perceived lightness and colour; distances of 0.02 are just visible."""
    value = np.array(rgb) / 255
    linear = np.clip(
        blindness @ np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4),
        0,
        1,
    )
    cones = np.cbrt(
        [
            [0.41222147, 0.53633254, 0.05144599],
            [0.2119035, 0.68069955, 0.10739696],
            [0.08830246, 0.28171884, 0.6299787],
        ]
        @ linear
    )
    opponent = [[0.21045426, 0.79361779, -0.00407205], [1.9779985, -2.42859221, 0.45059371]]
    return np.array([*opponent, [0.02590404, 0.78277177, -0.80867577]]) @ cones


# --- where it goes ---


def test_the_folder_tree_is_kept() -> None:
    assert annotated_path(Path("out"), Photo("/photos", "2021/may/IMG_1.png")) == Path(
        "out/2021/may/IMG_1.png.jpg"
    )
    assert annotated_path(Path("out"), Photo("/photos", "IMG_1.jpg"), ["/photos"]) == Path(
        "out/IMG_1.jpg.jpg"
    )


def test_different_photos_never_meet() -> None:
    names = [
        "a",
        "a.jpg",
        "a.JPG",
        "a.png",
        "a.png.jpg",
        "a.jpg.jpg",
        "x/a.jpg",
        "y/a.jpg",
        "x/y/a.jpg",
        "x-2/a.jpg",
    ]
    roots = ["/one/x", "/two/x", "/three/x-2", "/four/X", "/one/x", "/"]
    paths = [
        annotated_path(Path("out"), Photo(root, name), roots)
        for root in set(roots)
        for name in names
    ]
    assert len(set(paths)) == len(paths) == 5 * len(names)
    assert all(path.is_relative_to("out") for path in paths)
    assert len({path.parts[1].casefold() for path in paths}) == 5, (
        "folders would meet where case does not count"
    )
    alone = [annotated_path(Path("out"), Photo("/one", name)) for name in names]
    assert len(set(alone)) == len(names)


def test_several_roots_have_a_folder_each() -> None:
    roots = ["/one/photos", "/two/photos", "/two/more"]
    photos = [Photo(root, "a.png") for root in roots]
    assert [str(annotated_path(Path("out"), photo, roots)) for photo in photos] == [
        "out/photos/a.png.jpg",
        "out/photos-2/a.png.jpg",
        "out/more/a.png.jpg",
    ]


@pytest.mark.parametrize("path", ["../a.jpg", "x/../../a.jpg", "/etc/a.jpg", "..", "", "."])
def test_paths_that_leave_the_folder_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(BadInput) as error:
        annotated_path(tmp_path / "out", Photo("/photos", path))
    assert error.value.hint
    with pytest.raises(BadInput):
        save_annotated(picture(), [], tmp_path / "out", Photo("/photos", path))
    assert os.listdir(tmp_path) == []


def test_links_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match="link"):
        save_annotated(picture(), [], tmp_path / "out", Photo("/photos", "sub/deep/a.jpg"))
    assert os.listdir(tmp_path / "elsewhere") == []


def test_the_picture_is_saved_whole(tmp_path: Path) -> None:
    people = row_of(1)
    photo = Photo("/photos", "sub/\udcff a.png")
    path = save_annotated(picture(), people, tmp_path / "out", photo)
    assert path == annotated_path(tmp_path / "out", photo)
    assert os.listdir(path.parent) == [path.name]
    with Image.open(path) as saved:
        assert (saved.format, saved.mode, saved.size) == ("JPEG", "RGB", (400, 300))
        difference = np.abs(np.asarray(saved, int) - annotate(picture(), people))
    assert difference.mean() < 2


def test_saving_again_replaces_the_picture(tmp_path: Path) -> None:
    photo = Photo("/photos", "a.jpg")
    first = save_annotated(picture(grey=0), [], tmp_path, photo)
    save_annotated(picture(grey=255), [], tmp_path, photo)
    with Image.open(first) as saved:
        assert np.asarray(saved).min() > 250


def test_a_picture_too_long_for_jpeg_is_scaled_down(tmp_path: Path) -> None:
    path = save_annotated(picture(70_000, 20), [], tmp_path, Photo("/photos", "a.jpg"))
    with Image.open(path) as saved:
        assert saved.size[0] == draw.JPEG_MAX_SIDE


def test_a_link_in_the_place_of_a_picture_is_replaced_and_not_followed(tmp_path: Path) -> None:
    mine = tmp_path / "mine.jpg"
    mine.write_text("mine")
    target = tmp_path / "out" / "a.jpg.jpg"
    target.parent.mkdir()
    target.symlink_to(mine)
    path = save_annotated(picture(), [], target.parent, Photo("/photos", "a.jpg"))
    assert path == target and not path.is_symlink() and path.stat().st_size > 100
    assert mine.read_text() == "mine"


def test_a_picture_that_cannot_be_written_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OutputError, match="No space left") as error:
        save_annotated(picture(), [], tmp_path, Photo("/photos", "a.jpg"))
    assert error.value.hint
    assert os.listdir(tmp_path) == []
