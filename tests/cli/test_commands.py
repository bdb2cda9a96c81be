"""The command line: what it prints, the codes it exits with, and what it does not import."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.calls import keeping
from helpers.labels import label_row, write_labels
from helpers.photos import draw_scene, save_broken, save_photo
from helpers.scans import scan_options
from helpers.tables import contents, table
from typer.testing import CliRunner
from typer.testing import Result as Outcome

from mivolo_cli import cli
from mivolo_cli.cli.scan import NOT_IDENTITY
from mivolo_cli.model import registry
from mivolo_cli.records import Failure, Result
from mivolo_cli.scan import run as scanning
from mivolo_cli.scan.local_backend import LocalBackend
from mivolo_cli.scan.options import Progress, ScanOptions
from mivolo_cli.training import train as training
from mivolo_cli.version import __version__

Mivolo = Callable[..., Outcome]
HEAVY = ("torch", "torchvision", "timm", "cv2", "openvino", "ultralytics", "facexlib")


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own folder of weights, empty."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("MIVOLO_HOME", str(folder))
    return folder


@pytest.fixture
def mivolo() -> Mivolo:
    """Runs a command that ends without a MivoloError."""

    def run(*arguments: object, stdin: bytes | None = None) -> Outcome:
        return CliRunner().invoke(cli.app, list(map(str, arguments)), input=stdin)

    return run


@pytest.fixture
def album(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b c.png"):
        save_photo(tmp_path / "album" / name, pixels=draw_scene(150, 110))
    return tmp_path / "album"


@pytest.fixture
def options(tmp_path: Path, tiny_model: Path) -> list[object]:
    """What makes a scan quick: a face on every photo called a.jpg, a tiny model, the CPU."""
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(
        "path,kind,x1,y1,x2,y2\n"
        "a.jpg,face,20,10,45,40\n"
        f"{tmp_path}/album/b c.png,person,5,5,65,105\n"
    )
    return ["--detector", "given", "--boxes", boxes, "--model", tiny_model, "--device", "cpu"]


def exit_code(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Of the program itself, as the shell sees it."""
    monkeypatch.setattr(sys, "argv", ["mivolo", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    code = caught.value.code
    return code if isinstance(code, int) else 0


# --- scan ---


def test_a_scan_says_what_happened_and_where_the_results_are(
    tmp_path: Path, mivolo: Mivolo, album: Path, options: list[object]
) -> None:
    out = mivolo(
        "scan", album, "-o", tmp_path / "people.csv", "--annotate", tmp_path / "drawn", *options
    )
    assert out.exit_code == 0
    for part in (
        "2 photos in",
        "2 people found",
        f"table: {tmp_path / 'people.csv'}",
        str(tmp_path / "drawn"),
    ):
        assert part in out.stdout
    assert NOT_IDENTITY in out.stdout
    assert "could not be read" not in out.stdout
    assert [(row["path"], row["used"]) for row in table(tmp_path / "people.csv")] == [
        ("a.jpg", "face"),
        ("b c.png", "body"),
    ]


def test_quiet_prints_nothing(
    tmp_path: Path, mivolo: Mivolo, album: Path, options: list[object]
) -> None:
    out = mivolo("scan", album, "-q", "-o", tmp_path / "people.csv", *options)
    assert (out.exit_code, out.stdout, out.stderr) == (0, "", "")
    assert len(table(tmp_path / "people.csv")) == 2


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_photos_that_failed_make_the_exit_code_3(
    tmp_path: Path, mivolo: Mivolo, album: Path, options: list[object], quiet: list[str]
) -> None:
    for number, kind in enumerate(("empty", "truncated", "empty")):
        save_broken(album / f"{number}.jpg", kind)
    out = mivolo("scan", album, "-o", tmp_path / "people.csv", *options, *quiet)
    assert out.exit_code == 3
    assert ("3 photos could not be read: 2 empty, 1 truncated" in out.stdout) == (not quiet)
    assert sum(row["status"] == "error" for row in table(tmp_path / "people.csv")) == 3


def test_photos_that_failed_are_named_at_the_end(
    tmp_path: Path, mivolo: Mivolo, album: Path, options: list[object]
) -> None:
    for number in range(12):
        save_broken(album / "sub" / f"{number:02}.jpg", "empty")
    command = ["scan", album, "-o", tmp_path / "people.csv", *options]
    for reused in (False, True):
        out = mivolo(*command)
        assert ("already up to date" in out.stdout) == reused
        for number in range(12):
            named = f"    {album}/sub/{number:02}.jpg: the file is empty"
            assert (named in out.stdout) == (number < 10)
        assert "    and 2 more, with status `error` in the table" in out.stdout
    found = json.loads(mivolo(*command, "--json").stdout)["unreadable"]
    assert len(found) == 10 and found[0]["path"] == f"{album}/sub/00.jpg"
    assert (found[0]["code"], found[0]["message"][:17]) == ("empty", "the file is empty")


def test_people_who_cannot_be_judged_are_counted(
    tmp_path: Path, mivolo: Mivolo, album: Path, options: list[object]
) -> None:
    out = mivolo("scan", album, "-o", tmp_path / "people.csv", *options, "--use", "face")
    assert out.exit_code == 0
    assert "1 of them too small, hidden or doubtful to judge" in out.stdout


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\0"], ids=["newline", "windows", "nul"])
def test_a_list_on_standard_input(
    tmp_path: Path, mivolo: Mivolo, album: Path, options: list[object], separator: bytes
) -> None:
    names = [album / "b c.png", album / "gone.jpg", album / "a.jpg"]
    stdin = b"".join(str(name).encode() + separator for name in names)
    out = mivolo("scan", "-", "-o", tmp_path / "people.csv", *options, stdin=stdin)
    assert out.exit_code == 3
    assert [
        (row["path"], row["status"], row["error"]) for row in table(tmp_path / "people.csv")
    ] == [
        ("b c.png", "ok", None),
        ("gone.jpg", "error", "missing"),
        ("a.jpg", "ok", None),
    ]


def test_a_list_separated_by_nul_may_have_newlines_in_names(
    tmp_path: Path, mivolo: Mivolo, options: list[object]
) -> None:
    photo = save_photo(tmp_path / "two\nlines.jpg")
    with (tmp_path / "boxes.csv").open("a") as boxes:
        boxes.write('"two\nlines.jpg",face,20,10,45,40\n')
    out = mivolo(
        "scan", "-", "-o", tmp_path / "people.csv", *options, stdin=str(photo).encode() + b"\0"
    )
    assert out.exit_code == 0
    assert [row["path"] for row in table(tmp_path / "people.csv")] == ["two\nlines.jpg"]


def test_an_interrupted_scan_keeps_the_old_table_and_exits_with_130(
    tmp_path: Path,
    mivolo: Mivolo,
    album: Path,
    options: list[object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    assert mivolo("scan", album / "a.jpg", "-o", results / "people.csv", *options).exit_code == 0
    before = contents(results)
    scan_results = LocalBackend.results

    def interrupted(*arguments: Any) -> Iterator[Result | Failure]:
        yield next(scan_results(*arguments))
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalBackend, "results", interrupted)
    out = mivolo(
        "scan", album, "-o", results / "people.csv", "-o", results / "new.parquet", *options
    )
    assert out.exit_code == 130
    assert "unchanged" in out.stderr
    assert contents(results) == before


@pytest.mark.parametrize("begun", [False, True])
def test_an_interrupted_training_says_how_to_go_on(
    tmp_path: Path, mivolo: Mivolo, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    def interrupted(options: Any, show: Any, on_progress: Any) -> None:
        if begun:
            (tmp_path / "last.pt").touch()
        signal.raise_signal(signal.SIGINT)
        on_progress("train", 1, 2)

    monkeypatch.setattr(training, "train", interrupted)
    data = write_labels(tmp_path / "labels.parquet", [label_row()])
    out = mivolo("train", data, "-o", tmp_path)
    assert out.exit_code == 130
    assert ("--resume" in out.stderr) == begun and "same command" in out.stderr


def test_every_option_reaches_the_scan(mivolo: Mivolo, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ScanOptions] = []
    monkeypatch.setattr(scanning, "scan", keeping(asked, lambda *_: Progress()))
    paths: dict[str, Any] = {
        "paths": [Path("one"), Path("two")],
        "outputs": [Path("a.csv"), Path("b.parquet")],
    }
    others: dict[str, Any] = {
        "annotate": Path("drawn"), "model": "m", "detector": "d", "boxes": Path("b.csv"),
        "use": "face", "device": "mps", "precision": "bf16", "batch_size": 5, "workers": 3,
        "memory": "2GB", "max_pixels": 10**8,
        "min_face_score": 0.6, "min_person_score": 0.7, "min_face": 24.0, "level": "on",
    }  # fmt: skip
    globs: dict[str, Any] = {"include": ["*.jpg", "x/**"], "exclude": ["y", "z"]}
    globs["root"] = ["/a=/b", "/c"]
    arguments = [
        "one",
        "two",
        "-o",
        "a.csv",
        "--output",
        "b.parquet",
        "--hidden",
        "--system-folders",
        "--keep-missing",
        "--spreadsheet-safe",
        "--no-any-way-up",
    ]
    for name, value in others.items():
        arguments += ["--" + name.replace("_", "-"), str(value)]
    for name, values in globs.items():
        arguments += [part for value in values for part in (f"--{name}", value)]
    assert mivolo("scan", *arguments).exit_code == 0
    flags: dict[str, Any] = dict.fromkeys(
        ("hidden", "system_folders", "keep_missing", "spreadsheet_safe"), True
    )
    flags["any_way_up"] = False
    moved = globs.pop("root")
    assert asked == [scan_options(**paths, **others, **globs, **flags, moved=moved)]


def test_photos_are_turned_unless_told_otherwise(
    mivolo: Mivolo, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[ScanOptions] = []
    monkeypatch.setattr(scanning, "scan", keeping(asked, lambda *_: Progress()))
    for option in ([], ["--any-way-up"], ["--no-any-way-up"]):
        assert mivolo("scan", "one", *option).exit_code == 0
    assert [options.inference.any_way_up for options in asked] == [True, True, False]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--level", "yes"),
        ("--level", "ON"),
        ("--min-face-score", "1.1"),
        ("--min-person-score", "-0.1"),
        ("--min-face", "-1"),
        ("--min-face", "large"),
    ],
)
def test_values_that_an_option_of_scan_does_not_know_are_refused(
    mivolo: Mivolo, monkeypatch: pytest.MonkeyPatch, option: str, value: str
) -> None:
    monkeypatch.setattr(scanning, "scan", lambda *_: pytest.fail("a scan began"))
    out = mivolo("scan", "one", option, value)
    assert out.exit_code == 2 and f"Invalid value for '{option}'" in out.output


def test_the_smallest_face_counts_in_a_scan(
    tmp_path: Path, mivolo: Mivolo, album: Path, options: list[object]
) -> None:
    """The face on a.jpg is 30 pixels high, and the other photo has none."""
    for min_face, left in ((30, ["a.jpg", "b c.png"]), (31, ["b c.png"])):
        output = tmp_path / "people.csv"
        assert mivolo("scan", album, "-o", output, *options, "--min-face", min_face).exit_code == 0
        rows = table(output)
        assert [row["path"] for row in rows if row["person"] is not None] == left
        assert len(rows) == 2


def test_without_options_a_scan_has_the_defaults_of_the_library(
    mivolo: Mivolo, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[ScanOptions] = []
    monkeypatch.setattr(scanning, "scan", keeping(asked, lambda *_: Progress()))
    assert mivolo("scan", "one").exit_code == 0
    (options,) = asked
    assert options == scan_options([Path("one")], outputs=[], include=[], exclude=[])


def test_a_second_scan_says_that_nothing_has_changed(
    tmp_path: Path, mivolo: Mivolo, album: Path, options: list[object]
) -> None:
    command = ["scan", album, "-o", tmp_path / "people.csv", *options]
    assert "unchanged since" not in mivolo(*command).stdout
    again = mivolo(*command).stdout
    assert "2 of them unchanged since an earlier run, skipped" in again
    assert f"table (already up to date): {tmp_path / 'people.csv'}" in again
    assert "2 people found" in again


def test_purge_removes_what_is_kept_and_says_so(
    tmp_path: Path, mivolo: Mivolo, album: Path, options: list[object]
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    assert mivolo("scan", album, "-q", "-o", results / "people.csv", *options).exit_code == 0
    hidden = results / ".people.csv.mivolo"
    before = contents(results)
    assert f"would remove {hidden}" in mivolo("purge", results, "--dry-run").stdout
    assert contents(results) == before
    assert f"removed {hidden} (" in mivolo("purge", results / "people.csv").stdout
    assert list(contents(results)) == ["people.csv"]
    assert "nothing to remove" in mivolo("purge", results).stdout


# --- what cannot be done ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{album}"], "no output given"),
        (["{album}", "-o", "{tmp}/people.xlsx"], "people.xlsx is not a table"),
        (["{album}", "-o", "{tmp}/nowhere/people.csv"], "does not exist"),
        (["{album}", "-o", "{tmp}/foreign.csv"], "foreign.csv exists and is not"),
        (["{tmp}/no such folder", "-o", "{tmp}/people.csv"], "no such folder"),
        (["{tmp}/empty", "-o", "{tmp}/people.csv"], "no photos"),
        (["{album}", "-o", "{tmp}/people.csv", "--detector", "given"], "boxes"),
        (["{album}", "-o", "{tmp}/people.csv", "--device", "gpu"], "gpu"),
        (["{album}", "-o", "{tmp}/people.csv", "--model", "mivolo-sx"], "mivolo-sx"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_one_line_and_a_hint_with_exit_code_2(
    tmp_path: Path, album: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], message: str,
) -> None:  # fmt: skip
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign.csv").write_text("name,salary\nAda,1\n")
    before = contents(tmp_path)
    filled = [argument.format(album=album, tmp=tmp_path) for argument in arguments]
    assert exit_code(monkeypatch, "scan", *filled) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    error, hint = printed.err.splitlines()
    assert error.startswith("error: ") and message in error
    assert hint.startswith("hint: ")
    assert contents(tmp_path) == before


def test_the_program_exits_with_0_and_3_like_the_commands(
    tmp_path: Path, album: Path, options: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["scan", album, "-q", "-o", tmp_path / "people.csv", *options]
    assert exit_code(monkeypatch, *command) == 0
    save_broken(album / "c.jpg", "empty")
    assert exit_code(monkeypatch, *command) == 3


def test_an_output_that_cannot_be_written_is_exit_code_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert exit_code(monkeypatch, "demo", "-o", tmp_path / "file" / "demo") == 4
    assert "-o" in capsys.readouterr().err


def test_an_unknown_option_is_exit_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    assert exit_code(monkeypatch, "scan", ".", "--no-such-option") == 2
    assert exit_code(monkeypatch, "scan", ".", "-o", "people.csv", "--batch-size", "0") == 2


# --- the other commands ---


def test_info_says_what_auto_chooses_and_why(mivolo: Mivolo, home: Path) -> None:
    out = mivolo("info")
    assert out.exit_code == 0
    facts = dict(line.split(maxsplit=1) for line in out.stdout.splitlines() if line[:1].strip())
    assert facts["mivolo"] == __version__
    assert facts["model"].startswith("mivolo-xs (")
    assert facts["detector"].startswith("embedded (")
    assert facts["precision"].split()[0] in ("bf16", "fp32")
    assert facts["device"].endswith(")")
    assert {"python", "torch", "ultralytics", "openvino", "network"} <= set(facts)
    assert f"{home / 'weights'} (yours)" in out.stdout
    assert "licence: " in out.stdout


def test_weights_list_names_all_with_their_licences(mivolo: Mivolo) -> None:
    out = mivolo("weights", "list")
    assert out.exit_code == 0
    lines = out.stdout.splitlines()
    assert [line.split()[0] for line in lines[::2]] == list(registry.registry())
    assert [line.split("licence: ")[1] for line in lines[1::2]] == [
        e.licence for e in registry.registry().values()
    ]
    places = {line.split()[0]: line.rpartition("  ")[2] for line in lines[::2]}
    assert places["mivolo-xs"] == places["deimv2-femto-416"] == places["yunet-n"] == "embedded"
    assert places["mivolo-v2"] == places["yolov8x-person-face"] == "not here"


def test_weights_verify_tells_what_is_here_and_unchanged(mivolo: Mivolo) -> None:
    out = mivolo("weights", "verify")
    assert out.exit_code == 0
    outcomes = dict(line.split(maxsplit=1) for line in out.stdout.splitlines())
    assert list(outcomes) == list(registry.registry())
    assert outcomes["deimv2-femto-416"] == outcomes["yunet-n"] == "ok"
    assert outcomes["mivolo-v2"] == "missing"


@pytest.mark.slow
def test_added_weights_are_listed_verified_and_used(
    tmp_path: Path, mivolo: Mivolo, album: Path, options: list[object], tiny_model: Path
) -> None:
    out = mivolo("weights", "add", tiny_model, "--name", "mine")
    assert out.exit_code == 0
    assert f"added mine (model), sha256 {registry.sha256(tiny_model)}" in out.stdout
    listed = next(
        line for line in mivolo("weights", "list").stdout.splitlines() if line.startswith("mine ")
    )
    assert mivolo("weights", "verify", "mine").stdout.split() == ["mine", "ok"]
    assert (
        mivolo("scan", album, "-o", tmp_path / "people.csv", *options, "--model", "mine").exit_code
        == 0
    )

    copy = Path(listed.rpartition("  ")[2])
    copy.write_bytes(copy.read_bytes() + b"\0")
    out = mivolo("weights", "verify", "mine", "deimv2-femto-416")
    assert out.exit_code == 2
    assert out.stdout.split() == ["mine", "mismatch", "deimv2-femto-416", "ok"]


def test_unknown_weights_get_the_names_that_come_near(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(monkeypatch, "weights", "verify", "mivolo-v1") == 2
    assert "did you mean mivolo-v2" in capsys.readouterr().err


@pytest.mark.slow
def test_the_demo_finds_the_people_of_two_photographs(tmp_path: Path, mivolo: Mivolo) -> None:
    out = mivolo("demo", "--out", tmp_path / "new" / "demo")
    assert out.exit_code == 0
    found = table(tmp_path / "new" / "demo" / "people.parquet")
    assert [row["path"] for row in found] == ["bus.jpg"] * 4 + ["zidane.jpg"] * 2
    judged = [row for row in found if row["status"] == "ok"]
    assert len(judged) == 5 and all(10 <= row["age"] <= 70 for row in judged)
    assert table(tmp_path / "new" / "demo" / "people.csv") == found
    assert len(list((tmp_path / "new" / "demo" / "annotated").rglob("*.jpg"))) == 2
    assert out.stdout.count("bus.jpg") == 4 and out.stdout.count("zidane.jpg") == 2
    assert "6 people found" in out.stdout and out.stdout.count("(not judged)") == 1
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    for line in out.stdout.splitlines():
        if line.startswith(("bus.jpg ", "zidane.jpg ")):
            assert line in readme, "README shows what the demo prints"


def test_version_and_help(mivolo: Mivolo) -> None:
    assert mivolo("--version").stdout == f"mivolo {__version__}\n"
    commands = mivolo("--help").stdout
    names = (
        "scan",
        "tag",
        "untag",
        "demo",
        "report",
        "export",
        "find",
        "summary",
        "info",
        "eval",
        "calibrate",
        "train",
        "votes",
        "purge",
    )
    assert all(name in commands for name in (*names, "weights", "mivolo demo"))
    for command in (*names, "weights", "weights fetch", "weights add"):
        assert mivolo(*command.split(), "--help").exit_code == 0


# --- what starts quickly ---


@pytest.mark.parametrize(
    "code",
    [
        "import mivolo_cli.cli",
        "from mivolo_cli.cli import app; app(['scan', '--help'], standalone_mode=False)",
        "from mivolo_cli.cli import app; app(['weights', 'list'], standalone_mode=False)",
        "from mivolo_cli.cli import app; app(['purge', 'nothing'], standalone_mode=False)",
        "import mivolo_cli.scan.run",
    ],
    ids=["import", "help", "weights list", "purge", "scan"],
)
def test_heavy_libraries_are_not_imported_before_they_are_needed(code: str) -> None:
    check = (
        f"import sys; {code}; print('heavy:', *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy:"


# --- eval, calibrate, train, votes ---


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    rows = [
        label_row(f"{i}.png", age=float(1 + i % 80), gender=("male", "female")[i % 2])
        for i in range(140)
    ]
    return write_labels(tmp_path / "faces.parquet", rows)


def test_eval_prints_a_table_and_draws(
    mivolo: Mivolo, faces: Path, tiny_model: Path, tmp_path: Path
) -> None:
    arguments = (
        "eval",
        faces,
        "--model",
        tiny_model,
        "--device",
        "cpu",
        "--level",
        10,
        "--plots",
        tmp_path / "plots",
    )
    out = mivolo(*arguments)
    assert out.exit_code == 0, out.output
    lines = out.stdout.splitlines()
    assert (
        lines[0].startswith("faces: 140 x face, by ")
        and "CS@10" in lines[1]
        and "in range" not in lines[1]
    )
    for part in ("all ", "seen from face", "gender female", "age 65+", "95 % bootstrap interval"):
        assert part in out.stdout
    assert len({len(line) for line in lines[1:11]}) == 1, "aligned"
    assert len(list((tmp_path / "plots").glob("*.png"))) == 2 and out.stdout.count("plot: ") == 2


def test_eval_prints_json(mivolo: Mivolo, faces: Path, tiny_model: Path) -> None:
    out = mivolo("eval", faces, "--model", tiny_model, "--device", "cpu", "--json")
    (found,) = json.loads(out.stdout)["evaluations"]
    assert (
        found["score"]["people"] == 140
        and found["score"]["mae"]["low"] < found["score"]["mae"]["value"]
    )


def test_eval_says_what_it_left_out(mivolo: Mivolo, tiny_model: Path, tmp_path: Path) -> None:
    bad = write_labels(
        tmp_path / "bad.parquet", [label_row("a.png"), label_row("b.png", age=500.0)]
    )
    out = mivolo("eval", bad, "--model", tiny_model, "--device", "cpu", "--invalid", "skip")
    assert (
        out.exit_code == 0
        and "1 rows were skipped" in out.stdout
        and "500 is not a human age" in out.stdout
    )


def test_calibrate_says_how_the_intervals_do(
    mivolo: Mivolo, faces: Path, tiny_model: Path, tmp_path: Path
) -> None:
    out = mivolo(
        "calibrate", tiny_model, faces, "-o", tmp_path / "new.safetensors", "--device", "cpu"
    )
    assert out.exit_code == 0, out.output
    assert (
        out.stdout.startswith("face: intervals cover ") and (tmp_path / "new.safetensors").is_file()
    )


@pytest.mark.slow
def test_train_tells_its_course(mivolo: Mivolo, faces: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text('variant = "mivolo_xs_32"\nbatch_size = 70\n[shares]\nface = 1.0\n')
    arguments = (
        "train",
        faces,
        "-o",
        tmp_path / "run",
        "--recipe",
        recipe,
        "--epochs",
        1,
        "--validation",
        faces,
    )
    out = mivolo(*arguments, "--device", "cpu", "--seed", 3)
    assert out.exit_code == 0, out.output
    assert (
        "data faces" in out.stdout
        and f"model: {tmp_path / 'run/model.safetensors'}" in out.stdout.splitlines()
    )
    quiet = mivolo(*arguments, "--device", "cpu", "--seed", 3, "--resume", "--quiet")
    assert quiet.stdout == ""


def test_votes_show_the_annotators_and_the_comparison(mivolo: Mivolo, tmp_path: Path) -> None:
    votes = "item,annotator,vote\nc,ann,20\nc,bob,30\na.jpg,ann,40\na.jpg,bob,50\na.jpg,eve,\n"
    (tmp_path / "votes.csv").write_text(votes)
    (tmp_path / "known.csv").write_text("item,age\nc,21\n")
    (tmp_path / "truth.csv").write_text("item,age\na.jpg,41\n")
    arguments = (
        "votes",
        tmp_path / "votes.csv",
        "--controls",
        tmp_path / "known.csv",
        "-o",
        tmp_path / "labels.csv",
    )
    out = mivolo(*arguments, "--min-controls", 1, "--truth", tmp_path / "truth.csv")
    assert out.exit_code == 0, out.output
    for part in (
        "ann",
        "1.00",
        "9.00",
        "items labelled: 1",
        "1 votes were missing",
        "weighted_mean",
        "30-44",
        "CS@5",
    ):
        assert part in out.stdout
    assert (tmp_path / "labels.csv").is_file()
    plain = json.loads(mivolo(*arguments, "--min-controls", 1, "--json").stdout)
    assert plain["annotators"][0] == {"name": "ann", "votes": 2, "controls": 1, "mae": 1.0}


@pytest.mark.parametrize(
    "option, value", [("--invalid", "mend"), ("--pictures", "legs"), ("--use", "hands")]
)
def test_words_that_an_option_does_not_know_are_refused(
    mivolo: Mivolo, faces: Path, option: str, value: str
) -> None:
    out = mivolo("eval", faces, option, value)
    assert out.exit_code == 2 and value in out.output
