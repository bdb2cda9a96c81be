"""A row of a table leads nowhere but below its own root."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.photos import save_photo

from mivolo_cli.errors import PhotoError
from mivolo_cli.metadata import sidecar
from mivolo_cli.photos.located import is_inside, located
from mivolo_cli.records import Photo


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with photos, some of them through links; others lie beside it."""
    root = tmp_path / "album"
    save_photo(root / "trip" / "a.jpg")
    save_photo(tmp_path / "secret" / "b.jpg")
    (root / "inner").symlink_to("trip")
    (root / "inner.jpg").symlink_to("trip/a.jpg")
    (root / "outer").symlink_to("../secret")
    (root / "outer.jpg").symlink_to(tmp_path / "secret" / "b.jpg")
    (root / "dangling.jpg").symlink_to("../secret/none.jpg")
    (root / "trip" / "a.jpg.xmp").symlink_to(tmp_path / "secret" / "a.xmp")
    return root


@pytest.mark.parametrize("path", ["trip/a.jpg", "inner/a.jpg", "inner.jpg", "gone.jpg"])
def test_what_is_below_the_root_is_found(root: Path, path: str) -> None:
    assert located(Photo(str(root), path)) == root / path
    linked = root.with_name("link")
    linked.symlink_to(root)
    assert located(Photo(str(linked), path)) == linked / path, "the root itself may be a link"


@pytest.mark.parametrize(
    "path",
    [
        *("../secret/b.jpg", "trip/../../secret/b.jpg", "..", "", "a\0.jpg", "..\\secret\\b.jpg"),
        *("outer/b.jpg", "outer.jpg", "dangling.jpg", "outer/../secret/b.jpg", "//x/y.jpg"),
    ],
)
def test_what_leads_out_of_the_root_is_refused(root: Path, path: str) -> None:
    with pytest.raises(PhotoError) as caught:
        located(Photo(str(root), path))
    assert caught.value.code == "outside" and not is_inside(Photo(str(root), path))


def test_an_absolute_path_is_refused(root: Path) -> None:
    assert not is_inside(Photo(str(root), str(root / "trip" / "a.jpg")))


@pytest.mark.parametrize("place", ["", ".", "album", "../album", "\0"])
def test_a_root_is_absolute(root: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    assert not is_inside(Photo(place, "trip/a.jpg"))


def test_a_sidecar_elsewhere_is_refused(root: Path) -> None:
    photo = Photo(str(root), "trip/a.jpg")
    assert located(photo, lambda file: file.with_suffix(".bak")) == root / "trip" / "a.bak"
    with pytest.raises(PhotoError):
        located(photo, sidecar.path)
