"""Decoding in processes of their own: nothing that becomes of one may become of the run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from helpers.photos import draw_scene, save_broken, save_photo

from mivolo_cli.errors import PhotoError
from mivolo_cli.photos import decode as photos
from mivolo_cli.photos.limits import MB, Limits
from mivolo_cli.photos.sandbox import Sandbox
from mivolo_cli.records import Failure, Image, Photo

ANSWER = '{"height": 1, "width": 1, "bytes": 5, "mtime_ns": 6, "taken_at": null}'
STRANGE = {
    "dies": "raise SystemExit(1)",
    "crashes": "import os; os.abort()",
    "says nothing": "",
    "no JSON": "print('hello', flush=True); input()",
    "no pixels": f"print('{ANSWER}', flush=True)",
    "too many pixels": 'print(\'{"height": 100000, "width": 100000}\', flush=True); input()',
    "no size": 'print(\'{"height": -1, "width": 1}\', flush=True); input()',
}


@pytest.fixture
def real() -> Iterator[Sandbox]:
    pool = Sandbox()
    yield pool
    pool.close()


def fake(script: str, seconds: float = 60) -> Sandbox:
    """Processes that read a request, and then do something."""
    return Sandbox(seconds, command=[sys.executable, "-c", f"input(); {script}"])


def decoded(pool: Sandbox, photo: Photo, limits: Limits | None = None) -> Image:
    with (limits or Limits()).room() as room:
        return pool.decode(photo, None, None, room)


def photo_of(file: Path) -> Photo:
    facts = file.stat()
    return Photo(str(file.parent), file.name, facts.st_size, facts.st_mtime_ns)


def code(pool: Sandbox, photo: Photo, limits: Limits | None = None) -> str:
    with pytest.raises(PhotoError) as caught:
        decoded(pool, photo, limits)
    assert str(caught.value)
    return caught.value.code


def test_the_answer_is_that_of_decoding_here(tmp_path: Path, real: Sandbox) -> None:
    for name, orientation in {"a.tif": None, "b.webp": 6, "ü \udcff.gif": None}.items():
        taken_at = "2020:01:31 12:00:05" if orientation else None
        file = save_photo(tmp_path / name, taken_at=taken_at, orientation=orientation)
        here, there = photos.decode(photo_of(file)), decoded(real, photo_of(file))
        assert np.array_equal(here.pixels, there.pixels)
        assert (here.photo, here.taken_at) == (there.photo, there.taken_at)
    for kind in ("empty", "text", "truncated", "garbage", "bomb"):
        broken = photo_of(save_broken(tmp_path / f"{kind}.tif", kind))
        with pytest.raises(PhotoError) as expected:
            photos.decode(broken)
        assert code(real, broken) == expected.value.code
    assert code(real, Photo(str(tmp_path), "gone.tif")) == "missing"


@pytest.mark.parametrize("script", STRANGE.values(), ids=STRANGE)
def test_a_process_that_behaves_strangely_costs_its_photo_only(script: str) -> None:
    pool = fake(script)
    for name in ("a.tif", "b.tif"):
        assert code(pool, Photo("/", name)) == "crashed"
    pool.close()


def test_an_endless_loop_is_stopped() -> None:
    pool = fake("\nwhile True: pass", seconds=0.3)
    assert code(pool, Photo("/", "a.tif")) == "timeout"
    pool.close()


def test_what_needs_more_than_there_is_is_refused(tmp_path: Path) -> None:
    pool, little = Sandbox(), Limits(512 * MB)
    large = save_photo(
        tmp_path / "large.tif", pixels=np.zeros((6000, 5000, 3), np.uint8), compression="tiff_lzw"
    )
    small = save_photo(tmp_path / "small.tif")
    assert code(pool, photo_of(large), little) == "too_large"
    assert decoded(pool, photo_of(small), little).width == 80
    pool.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such limit")
def test_more_memory_than_was_granted_is_not_had(real: Sandbox, tmp_path: Path) -> None:
    with Limits().room() as room, pytest.raises(PhotoError) as caught:
        real.call("builtins:_", b"", room)
    assert caught.value.code == "crashed", "there is no such function"
    file = save_photo(tmp_path / "a.tif", pixels=np.zeros((900, 900, 3), np.uint8))
    with Limits().room() as room:
        says = real.call(
            "mivolo_cli.metadata.picture:examined", file.read_bytes(), room, pixels=True
        )
    assert (says["format"], says["size"]) == ("TIFF", [900, 900])
    script = """
import resource, sys
from mivolo_cli.photos import sandbox_worker
sandbox_worker._limit_memory(1 << 28)
try:
    bytearray(1 << 30)
except MemoryError:
    print("refused")
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.stdout == "refused\n", run.stderr


def test_the_time_is_not_that_of_waiting_for_memory(tmp_path: Path) -> None:
    """The process asks for memory, and gets it after more than its time."""
    answer = ANSWER.replace("null}", 'null, "original_size": null}')
    pool = fake(f"print('{{\"need\": 9}}', flush=True); input(); print('{answer}\\nabc')", 8)
    limits = Limits(512 * MB)
    with limits.room() as first:
        first.take(limits.ahead)
        done: list[Image] = []
        photo = Photo("/", "a.tif")
        thread = threading.Thread(target=lambda: done.append(decoded(pool, photo, limits)))
        thread.start()
        thread.join(10)
        assert not done and thread.is_alive()
    thread.join(20)
    assert done[0].pixels.tolist() == [[[97, 98, 99]]]
    pool.close()


def test_closing_ends_what_is_at_work() -> None:
    pool = fake("\nwhile True: pass")
    codes: list[str] = []
    thread = threading.Thread(target=lambda: codes.append(code(pool, Photo("/", "a.tif"))))
    thread.start()
    while not pool._all:
        pass
    pool.close()
    thread.join(20)
    assert codes == ["crashed"]
    assert code(pool, Photo("/", "b.tif")) == "crashed"


def test_code_beside_the_photos_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIL.py", "json.py", "numpy.py"):
        (tmp_path / name).write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    pool = Sandbox()
    assert decoded(pool, photo_of(save_photo(tmp_path / "a.tif"))).width == 80
    pool.close()


# --- which files ---


def test_ordinary_files_are_decoded_here_and_risky_ones_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere: list[str] = []

    def decode(pool: Sandbox, photo: Photo, *_: object) -> Image:
        elsewhere.append(photo.path)
        return photos.decode(photo)

    monkeypatch.setattr(Sandbox, "decode", decode)
    names = ["a.jpg", "b.png", "c.webp", "d.tif", "e.bmp", "f.gif", "g.avif", "h.heic", "k.jp2"]
    files = [save_photo(tmp_path / name) for name in names]
    files.append(save_photo(tmp_path / "i.jpg", progressive=True))
    files.append(save_photo(tmp_path / "j.jpg", "TIFF"))
    files.append(save_broken(tmp_path / "k.tif", "text"))
    results = list(photos.decode_all(map(photo_of, files), 1))
    assert [result.photo.path for result in results] == [file.name for file in files]
    assert elsewhere == [*names[2:], "i.jpg", "j.jpg"]
    elsewhere.clear()
    monkeypatch.setattr(photos, "USUAL_BYTES", 10)
    list(photos.decode_all(map(photo_of, files[:2]), 1))
    assert elsewhere == ["a.jpg", "b.png"]


def test_a_crash_is_a_row_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [save_photo(tmp_path / name) for name in ("a.png", "b.tif", "c.jpg")]
    monkeypatch.setattr(photos, "Sandbox", lambda: fake("import os; os.abort()"))
    results = list(photos.decode_all(map(photo_of, files), 2))
    assert [isinstance(result, Failure) and result.code for result in results] == [
        False,
        "crashed",
        False,
    ]


def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save_photo(tmp_path / "a.png", pixels=draw_scene())
    convert = photos.to_rgb

    def meanwhile(picture: PIL.Image.Image) -> PIL.Image.Image:
        os.utime(file, ns=(0, 7))
        return convert(picture)

    monkeypatch.setattr(photos, "to_rgb", meanwhile)
    with pytest.raises(PhotoError) as caught:
        photos.decode(photo_of(file))
    assert caught.value.code == "changed"
