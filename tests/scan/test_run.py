"""The whole scan, from files on disk to tables on disk."""

from __future__ import annotations

import json
import os
import runpy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from helpers.photos import draw_scene, save_photo
from helpers.tables import Corners, Given, contents, corners, table, write_boxes

from mivolo_cli.errors import BadInput
from mivolo_cli.model import checkpoint
from mivolo_cli.pipeline import stages as pipeline
from mivolo_cli.pipeline.predict import Predictor
from mivolo_cli.records import FIRST_COLUMNS, SCHEMA, Failure, Result
from mivolo_cli.scan.options import Progress
from mivolo_cli.tables import read_table

GOLDEN = Path(__file__).parents[1] / "golden"

Run = Callable[..., Progress]
FACE: Corners = (20, 10, 45, 40)
BODY: Corners = (5, 5, 65, 105)


@pytest.fixture
def run(scan_given: Run) -> Run:
    return scan_given


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder with three photos: one person, nobody, one person."""
    for name in ("a.jpg", "b.png", "sub/c.webp"):
        save_photo(tmp_path / "album" / name, pixels=draw_scene(150, 110))
    return tmp_path / "album"


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    """The boxes of the album's photos."""
    return write_boxes(
        tmp_path / "boxes.csv", [("a.jpg", "face", FACE), ("sub/c.webp", "person", BODY)]
    )


# --- what the model sees and says


@pytest.fixture(scope="module")
def golden_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published kind of checkpoint, with the seeded weights."""
    shapes = json.loads((GOLDEN / "model.json").read_text("utf-8"))["shapes"]["mivolo_d1_224/6/3"]
    seeded_weights = runpy.run_path(str(GOLDEN / "seeded.py"))["weights"]
    state = {name: torch.as_tensor(value) for name, value in seeded_weights(shapes).items()}
    file = tmp_path_factory.mktemp("golden") / "seeded.pth.tar"
    torch.save({"state_dict": state, "min_age": 50, "max_age": 70, "avg_age": 60}, file)
    return file


def golden_picture(seed: int, height: int, width: int, cell: int) -> np.ndarray:
    cells = np.random.default_rng(seed).integers(
        1, 256, (height // cell, width // cell, 3), np.uint8
    )
    return np.kron(cells, np.ones((cell, cell, 1), np.uint8))


def within_photo(box: Sequence[float]) -> Corners:
    x1, y1, x2, y2 = np.clip(np.array(box, np.float32), 0, (640.0, 480.0, 640.0, 480.0)).tolist()
    return x1, y1, x2, y2


@pytest.mark.slow
def test_golden_ages_and_genders_from_photos_and_boxes(
    tmp_path: Path, run: Run, golden_model: Path
) -> None:
    cases = json.loads((GOLDEN / "crops.json").read_text("utf-8"))
    given: Given = []
    expected: dict[tuple[str, Corners | None, Corners | None], dict[str, Any]] = {}
    for number, case in enumerate(cases):
        path = f"{number}.png"
        save_photo(tmp_path / "photos" / path, pixels=golden_picture(**case["image"]))
        given += [(path, "person", tuple(box)) for box in case["persons"]]
        given += [(path, "face", tuple(box)) for box in case["faces"]]
        for row in case["rows"]:
            face = None if row["face"] is None else within_photo(case["faces"][row["face"]])
            body = None if row["body"] is None else within_photo(case["persons"][row["body"]])
            expected[path, face, body] = row
    boxes = write_boxes(tmp_path / "boxes.csv", given)

    run(
        tmp_path / "photos",
        boxes=boxes,
        outputs=[tmp_path / "out.parquet"],
        model=str(golden_model),
    )

    found = table(tmp_path / "out.parquet")
    assert len(found) == len(expected) == 8
    for row in found:
        face, body = (
            None if box is None else within_photo(box)
            for box in (corners(row, "face"), corners(row, "body"))
        )
        wanted = expected.pop((row["path"], face, body))
        assert (row["status"] == "ok") == wanted["usable"]
        if wanted["usable"]:
            p_male = row["gender_score"] if row["gender"] == "male" else 1 - row["gender_score"]
            used = "+".join(name for name in ("face", "body") if wanted[f"{name}_used"])
            assert row["used"] == used
            assert row["age"] == pytest.approx(wanted["age"], abs=0.01)
            assert p_male == pytest.approx(wanted["p_male"], abs=1e-3)
    assert not expected


def write_leaning(file: Path) -> Path:
    """A face in the middle of a.jpg that leans by 90 degrees, with its points, and a body on
    sub/c.webp."""
    names = [
        f"{point}_{axis}"
        for point in ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
        for axis in "xy"
    ]
    file.write_text(
        f"path,kind,x1,y1,x2,y2,{','.join(names)}\n"
        "a.jpg,face,60,40,90,70,75,48,75,62,68,55,62,50,62,60\n"
        f"sub/c.webp,person,5,5,65,105{',' * 10}\n"
    )
    return file


def test_the_roll_of_heads_is_in_every_format(tmp_path: Path, run: Run, album: Path) -> None:
    outputs = [tmp_path / f"out{suffix}" for suffix in (".parquet", ".csv", ".jsonl")]
    run(album, boxes=write_leaning(tmp_path / "boxes.csv"), outputs=outputs)
    for output in outputs:
        rows = table(output)
        assert [row["roll"] for row in rows] == [90.0, None, None]
        assert corners(rows[0], "face") == (60, 40, 90, 70)


def test_heads_are_levelled_for_the_model_alone(tmp_path: Path, run: Run, album: Path) -> None:
    """The ages change with the face that is levelled, and nothing else does."""
    boxes, rows = write_leaning(tmp_path / "boxes.csv"), {}
    for level in ("auto", "on", "off"):
        run(album, boxes=boxes, outputs=[tmp_path / "out.csv"], level=level)
        rows[level] = table(tmp_path / "out.csv")
    assert rows["auto"] == rows["off"], "the tiny model does not want it"
    (face, *others), (levelled, *others_on) = rows["off"], rows["on"]
    assert others_on == others and levelled["age"] != face["age"]
    said = dict.fromkeys(("age", "gender", "gender_score"))
    assert levelled | said == face | said


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_table_of_version_1_is_replaced_and_its_photos_are_done_again(
    tmp_path: Path, run: Run, album: Path, boxes: Path, suffix: str
) -> None:
    output = tmp_path / f"out{suffix}"
    first = {
        ".parquet": lambda: pq.write_table(
            pa.schema([SCHEMA.field(name) for name in FIRST_COLUMNS])
            .with_metadata({"mivolo.schema_version": "1"})
            .empty_table(),
            output,
        ),
        ".csv": lambda: output.write_text(",".join(FIRST_COLUMNS) + "\n"),
        ".jsonl": lambda: output.write_text(json.dumps(dict.fromkeys(FIRST_COLUMNS)) + "\n"),
    }
    first[suffix]()
    progress = run(album, boxes=boxes, outputs=[output])
    assert (progress.reused, progress.people) == (0, 2)
    assert list(table(output)[0]) == SCHEMA.names and len(table(output)) == 3


def test_a_person_left_without_a_usable_crop_gets_no_age(tmp_path: Path, run: Run) -> None:
    save_photo(tmp_path / "photos" / "a.png", pixels=draw_scene(150, 110))
    boxes = write_boxes(
        tmp_path / "boxes.csv", [("a.png", "person", (10, 10, 50, 60))]
    )  # less than 50 pixels wide
    progress = run(tmp_path / "photos", boxes=boxes, outputs=[tmp_path / "out.csv"])
    (row,) = table(tmp_path / "out.csv")
    assert (row["status"], row["person"], row["body_x2"]) == ("no_usable_crop", 0, 50)
    assert [row[name] for name in ("used", "age", "gender", "gender_score", "error")] == [None] * 5
    assert (progress.people, progress.no_usable_crop, progress.failed) == (1, 1, 0)


@pytest.mark.slow
def test_negative_ages_are_clamped_at_zero(
    tmp_path: Path, run: Run, tiny_model: Path, album: Path, boxes: Path
) -> None:
    model, spec = checkpoint.load(tiny_model)
    with torch.no_grad():
        model.head.bias[2] = -5
    checkpoint.save(model, spec, tmp_path / "young.safetensors")
    run(
        album,
        boxes=boxes,
        outputs=[tmp_path / "out.parquet"],
        model=str(tmp_path / "young.safetensors"),
    )
    assert [row["age"] for row in table(tmp_path / "out.parquet")] == [0, None, 0]


def test_use_decides_what_the_model_looks_at(tmp_path: Path, run: Run, album: Path) -> None:
    boxes = write_boxes(
        tmp_path / "boxes.csv", [("a.jpg", "face", FACE), ("a.jpg", "person", BODY)]
    )
    used = {}
    for use in ("both", "face", "body"):
        run(album / "a.jpg", boxes=boxes, outputs=[tmp_path / f"{use}.csv"], use=use)
        ((used[use], age),) = [(row["used"], row["age"]) for row in table(tmp_path / f"{use}.csv")]
        assert age is not None
    assert used == {"both": "face+body", "face": "face", "body": "body"}


def test_threads_and_batches_do_not_change_the_table(
    tmp_path: Path, run: Run, album: Path, boxes: Path
) -> None:
    run(album, boxes=boxes, outputs=[tmp_path / "1.parquet"], workers=1, batch_size=1)
    run(album, boxes=boxes, outputs=[tmp_path / "2.parquet"], workers=4, batch_size=7)
    one, other = table(tmp_path / "1.parquet"), table(tmp_path / "2.parquet")
    measured = ("age", "gender_score")
    assert [{**row, **dict.fromkeys(measured)} for row in one] == [
        {**row, **dict.fromkeys(measured)} for row in other
    ]
    for name in measured:
        assert [row[name] for row in one] == [
            row[name] and pytest.approx(row[name], abs=1e-3) for row in other
        ]


def test_the_table_says_what_made_it(tmp_path: Path, run: Run, album: Path, boxes: Path) -> None:
    run(album, boxes=boxes, outputs=[tmp_path / "out.parquet"], batch_size=7)
    stored = read_table(tmp_path / "out.parquet").schema.metadata
    about = {key.decode().removeprefix("mivolo."): value.decode() for key, value in stored.items()}
    assert (about["model"], about["detector"], about["schema_version"]) == ("tiny", "given", "2")
    assert len(about["model_sha256"]) == len(about["detector_sha256"]) == 64
    settings = {
        "precision": "auto",
        "use": "both",
        "flip": None,
        "full_resolution": False,
        "max_pixels": 0,
        "min_face_score": None,
        "min_person_score": None,
        "min_face": 0.0,
        "level": "auto",
        "any_way_up": True,
    }
    assert json.loads(about["settings"]) == settings


def test_a_missing_gpu_is_said(
    tmp_path: Path, run: Run, album: Path, boxes: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(album, boxes=boxes, outputs=[tmp_path / "out.csv"], device="cuda:99")
    assert any("cpu" in note and "cuda:99" in note for note in caplog.messages)
    caplog.clear()
    run(album, boxes=boxes, outputs=[tmp_path / "out.csv"])
    assert caplog.messages == []


# --- which photos


def test_several_roots_and_outputs(tmp_path: Path, run: Run) -> None:
    for folder in ("one", "two"):
        save_photo(tmp_path / folder / "x" / "same.png", pixels=draw_scene(150, 110))
    outputs = [tmp_path / name for name in ("b.jsonl", "a.csv", "c.csv", "d.PARQUET")]
    boxes = write_boxes(
        tmp_path / "boxes.csv",
        [("x/same.png", "face", FACE), (f"{tmp_path}/two/x/same.png", "person", BODY)],
    )
    paths = [tmp_path / "two", tmp_path / "one", tmp_path / "two" / "x" / "same.png"]
    run(*paths, boxes=boxes, outputs=outputs, annotate=tmp_path / "drawn")
    for output in outputs:
        assert [(row["root"], row["path"], row["used"]) for row in table(output)] == [
            (str(tmp_path / "two"), "x/same.png", "face+body"),
            (str(tmp_path / "one"), "x/same.png", "face"),
        ]
    assert len(contents(tmp_path / "drawn")) == 2, "one picture must not replace the other"


def test_include_exclude_and_hidden(tmp_path: Path, run: Run, album: Path, boxes: Path) -> None:
    save_photo(album / ".secret.png")

    def names(**options: Any) -> list[str]:
        run(album, boxes=boxes, outputs=[tmp_path / "out.csv"], **options)
        return [row["path"] for row in table(tmp_path / "out.csv")]

    assert names() == ["a.jpg", "b.png", "sub/c.webp"]
    assert names(hidden=True) == [".secret.png", "a.jpg", "b.png", "sub/c.webp"]
    assert names(include=["*.jpg", "sub/*"]) == ["a.jpg", "sub/c.webp"]
    assert names(exclude=["sub", "b.*"]) == ["a.jpg"]


def test_a_path_of_a_list_that_is_gone_becomes_a_row(
    tmp_path: Path, run: Run, album: Path, boxes: Path
) -> None:
    paths = [album / "b.png", album / "gone.jpg", album / "a.jpg"]
    run(*paths, boxes=boxes, outputs=[tmp_path / "out.csv"], listed=True)
    assert [(row["path"], row["status"], row["error"]) for row in table(tmp_path / "out.csv")] == [
        ("b.png", "no_people", None),
        ("gone.jpg", "error", "missing"),
        ("a.jpg", "ok", None),
    ]


def test_progress_counts_up_to_the_number_of_photos(
    tmp_path: Path, run: Run, album: Path, boxes: Path
) -> None:
    seen: list[tuple[int, int | None]] = []
    run(
        album,
        boxes=boxes,
        outputs=[tmp_path / "out.csv"],
        report=lambda p: seen.append((p.photos, p.total)),
    )
    assert [photos for photos, _ in seen] == [1, 2, 3]
    assert {total for _, total in seen} <= {None, 3}


# --- annotated pictures


def test_an_annotate_folder_inside_the_scanned_folder_is_not_scanned(
    tmp_path: Path, run: Run, album: Path, boxes: Path
) -> None:
    for _ in range(2):
        progress = run(album, boxes=boxes, outputs=[tmp_path / "out.csv"], annotate=album / "drawn")
        assert progress.photos == 3
        assert [row["path"] for row in table(tmp_path / "out.csv")] == [
            "a.jpg",
            "b.png",
            "sub/c.webp",
        ]
    drawn = sorted(contents(album / "drawn"))
    assert len(drawn) == 2, "only photos with people are drawn"
    with PIL.Image.open(album / "drawn" / drawn[0]) as picture:
        assert picture.size == (150, 110)
        assert np.abs(np.asarray(picture, int) - draw_scene(150, 110)).max() > 100


def test_pictures_can_be_all_that_is_wanted(
    tmp_path: Path, run: Run, album: Path, boxes: Path
) -> None:
    run(album, boxes=boxes, annotate=tmp_path / "new" / "drawn")
    assert len(contents(tmp_path / "new" / "drawn")) == 2


def test_roots_may_be_named_by_way_of_their_parents(
    tmp_path: Path, run: Run, album: Path, boxes: Path
) -> None:
    run(album / "sub" / "..", album / "sub" / "c.webp", boxes=boxes, annotate=tmp_path / "drawn")
    assert sorted(contents(tmp_path / "drawn")) == ["album/a.jpg.jpg", "album/sub/c.webp.jpg"]


def test_an_annotate_folder_without_permission_is_refused(
    run: Run, album: Path, boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: Path(path) != tmp_path and access(path, mode)
    )
    with pytest.raises(BadInput, match="no permission") as caught:
        run(album, boxes=boxes, annotate=tmp_path / "new" / "drawn")
    assert "--annotate" in caught.value.hint


def test_photos_inside_the_annotate_folder_are_refused(run: Run, album: Path, boxes: Path) -> None:
    with pytest.raises(BadInput, match="mixed with the photos"):
        run(album, boxes=boxes, annotate=album)
    assert sorted(file.name for file in album.rglob("*.*")) == ["a.jpg", "b.png", "c.webp"]


def test_a_photo_that_vanishes_before_it_is_drawn_keeps_its_row(
    tmp_path: Path, run: Run, album: Path, boxes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = pipeline.predict

    def vanish(*stages: Any) -> Iterator[Result | Failure]:
        for result in predict(*stages):
            result.photo.file.unlink()
            yield result

    monkeypatch.setattr(pipeline, "predict", vanish)
    run(album, boxes=boxes, outputs=[tmp_path / "out.csv"], annotate=tmp_path / "drawn")
    assert [row["status"] for row in table(tmp_path / "out.csv")] == ["ok", "no_people", "ok"]
    assert not (tmp_path / "drawn").exists() or not contents(tmp_path / "drawn")


# --- when it cannot be done


@pytest.mark.parametrize("error", [RuntimeError("the machine is tired"), KeyboardInterrupt()])
def test_a_run_that_fails_leaves_the_old_table(
    tmp_path: Path,
    run: Run,
    album: Path,
    boxes: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    outputs = [results / f"out{suffix}" for suffix in (".parquet", ".csv", ".jsonl")]
    run(album / "a.jpg", boxes=boxes, outputs=outputs[:2])
    before = contents(results)
    calls = 0

    def break_down(predictor: Predictor, crops: Sequence[Any]) -> list[None]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise error
        return [None] * len(crops)

    monkeypatch.setattr(Predictor, "predict", break_down)
    with pytest.raises(type(error)):
        run(album, boxes=boxes, outputs=outputs, batch_size=1)
    assert calls == 2
    assert contents(results) == before, "nothing new, nothing changed, nothing half-finished"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": []}, "no output given"),
        ({"outputs": ["people.xlsx"]}, "suffix"),
        ({"outputs": ["people"]}, "suffix"),
        ({"outputs": ["good.csv", "nowhere/people.csv"]}, "folder of .*nowhere.* does not exist"),
        ({"outputs": ["foreign.csv"]}, "not a result table"),
        ({"outputs": ["foreign.parquet"]}, "not a result table"),
        ({"outputs": ["folder.csv"]}, "is a folder"),
        ({"outputs": ["same.csv", "same.csv"]}, "twice"),
        ({"annotate": "foreign.csv"}, "not a folder"),
        ({"paths": ["no such folder"]}, "no such folder"),
        ({"paths": ["empty"]}, "no photos"),
        ({"include": ["*.gif"]}, "no photos"),
        ({"exclude": ["*"]}, "no photos"),
        ({"include": ["[z-a]"]}, "pattern"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_before_any_work(
    tmp_path: Path, run: Run, album: Path, boxes: Path, monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any], message: str,
) -> None:  # fmt: skip
    for folder in ("empty", "folder.csv"):
        (tmp_path / folder).mkdir()
    for name in ("foreign.csv", "foreign.parquet"):
        (tmp_path / name).write_text("name,salary\nAda,1\n")
    before, folders = contents(tmp_path), sorted(tmp_path.rglob("*"))
    options = {
        name: [tmp_path / value for value in values]
        for name, values in change.items()
        if name == "outputs"
    }
    options = {"outputs": [tmp_path / "out.csv"]} | options
    options |= {name: values for name, values in change.items() if name in ("include", "exclude")}
    if "annotate" in change:
        options["annotate"] = tmp_path / change["annotate"]
    paths = [tmp_path / path for path in change.get("paths", ["album"])]
    with pytest.raises(BadInput, match=message) as caught:
        run(*paths, boxes=boxes, **options)
    assert caught.value.hint
    assert caught.value.exit_code == 2
    assert (contents(tmp_path), sorted(tmp_path.rglob("*"))) == (before, folders)


def test_wrong_tools_are_refused_with_nothing_written(
    tmp_path: Path, run: Run, album: Path, boxes: Path
) -> None:
    before = contents(tmp_path)
    for options in (
        {"detector": "embeded"},
        {"detector": "embedded"},
        {"precision": "int3"},
        {"device": "gpu"},
    ):
        with pytest.raises(BadInput) as caught:
            run(album, boxes=boxes, outputs=[tmp_path / "out.csv"], **options)
        assert caught.value.hint
    assert contents(tmp_path) == before


def test_our_own_table_and_an_empty_file_may_be_replaced(
    tmp_path: Path, run: Run, album: Path, boxes: Path
) -> None:
    (tmp_path / "out.csv").touch()
    for _ in range(2):
        run(album, boxes=boxes, outputs=[tmp_path / "out.csv"])
        assert len(table(tmp_path / "out.csv")) == 3
