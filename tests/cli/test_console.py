"""What commands say to scripts and logs, and how progress looks without a terminal."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from helpers.photos import save_broken, save_photo
from helpers.tables import contents, save_results, write_boxes
from typer.testing import CliRunner
from typer.testing import Result as Outcome

from mivolo_cli import cli
from mivolo_cli.cli import progress, text
from mivolo_cli.cli.console import Console
from mivolo_cli.errors import BadInput, OutputError
from mivolo_cli.records import Box, Failure, Person, Photo, Prediction, Result

Mivolo = Callable[..., Outcome]
MOMENT = "time"


@pytest.fixture
def mivolo(no_weights_of_the_user: None) -> Mivolo:
    return lambda *arguments: CliRunner().invoke(cli.app, list(map(str, arguments)))


@pytest.fixture
def scan(tmp_path: Path, tiny_model: Path) -> list[object]:
    """The command of a scan of a good photo and a broken one."""
    save_photo(tmp_path / "album" / "a.jpg")
    save_broken(tmp_path / "album" / "b.jpg", "empty")
    boxes = write_boxes(tmp_path / "boxes.csv", [("a.jpg", "face", (20.0, 10.0, 45.0, 40.0))])
    settings = ["--detector", "given", "--boxes", boxes, "--model", tiny_model, "--device", "cpu"]
    return ["scan", tmp_path / "album", "-o", tmp_path / "people.parquet", *settings]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    root = str(save_photo(tmp_path / "photos" / "a.jpg").parent)
    people = [(Person(Box(1, 2, 30, 40), None), Prediction(30, "male", 0.9, "face"))]
    found = [
        Result(Photo(root, "a.jpg"), 80, 64, None, people),
        Failure(Photo(root, "b.jpg"), "empty", "empty"),
    ]
    return save_results(tmp_path / "results.parquet", found, model="m", model_sha256="0" * 64)


def events(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text("utf-8").splitlines()]


def test_a_scan_as_json_is_one_object(tmp_path: Path, mivolo: Mivolo, scan: list[object]) -> None:
    out = mivolo(*scan, "--json")
    assert out.exit_code == 3
    facts = json.loads(out.stdout)
    assert facts["command"] == "scan" and facts["failures"] == {"empty": 1}
    assert (facts["photos"], facts["people"], facts["failed"], facts["tag"]) == (2, 1, 1, None)
    assert facts["tables"] == [str(tmp_path / "people.parquet")]


def test_a_scan_that_tags_is_still_one_object(mivolo: Mivolo, scan: list[object]) -> None:
    facts = json.loads(mivolo(*scan, "--json", "--tag").stdout)
    assert facts["tag"]["photos"] == 2 and facts["tag"]["statuses"]["tagged"] == 1


def test_a_log_has_a_line_for_each_event(
    tmp_path: Path, mivolo: Mivolo, scan: list[object]
) -> None:
    log = tmp_path / "scan.log"
    mivolo(*scan, "--log", log, "-q")
    start, failure, summary = events(log)
    assert [entry["event"] for entry in (start, failure, summary)] == [
        "start",
        "failure",
        "summary",
    ]
    assert (failure["path"], failure["code"]) == ("b.jpg", "empty") and failure["message"]
    assert summary["photos"] == 2 and all(
        MOMENT in entry and entry["command"] == "scan" for entry in events(log)
    )
    mivolo(*scan, "--log", log, "-q")
    assert len(events(log)) > 3, "a log grows"


def test_the_end_of_a_run_that_failed_is_in_the_log(tmp_path: Path, mivolo: Mivolo) -> None:
    log = tmp_path / "x.log"
    out = mivolo("report", tmp_path / "gone.parquet", "-o", tmp_path / "r.html", "--log", log)
    assert isinstance(out.exception, BadInput)
    error = events(log)[-1]
    assert (error["event"], error["exit_code"], error["message"]) == (
        "error",
        2,
        str(out.exception),
    )


def test_nothing_but_a_log_is_added_to(tmp_path: Path, mivolo: Mivolo, scan: list[object]) -> None:
    before = contents(tmp_path / "album")
    out = mivolo(*scan, "--log", tmp_path / "album" / "a.jpg")
    assert isinstance(out.exception, BadInput) and "--log" in out.exception.hint
    assert contents(tmp_path / "album") == before and not (tmp_path / "people.parquet").exists()


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError), Console("scan", log=tmp_path / "no" / "folder.log"):
        pass


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_stops_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mivolo_cli.cli.console._is_log", lambda path: True)
    logger = logging.getLogger("mivolo_cli")
    before = logger.level, list(logger.handlers)
    with (
        pytest.raises(OutputError, match="cannot write the log"),
        Console("scan", log=Path("/dev/full")),
    ):
        pass
    assert (logger.level, logger.handlers) == before, "nobody listens any more"


@pytest.mark.parametrize(
    "command, facts",
    [
        ("tag {} --dry-run", {"photos": 2, "dry_run": True}),
        ("report {} -o {}.html --no-pictures", {"photos": 2, "people": 1}),
        ("export {} --to coco -o {}.json", {"photos": 1, "people": 1, "format": "coco"}),
        ("purge {}", {"removed": []}),
        ("untag {} --dry-run", {"photos": 2}),
    ],
    ids=lambda value: value.split()[0] if isinstance(value, str) else "",
)
def test_commands_say_the_same_to_scripts_and_nothing_when_quiet(
    mivolo: Mivolo,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    facts: dict[str, Any],
) -> None:
    monkeypatch.setattr("mivolo_cli.report.page._bundle", lambda: "")
    arguments = command.replace("{}", str(results)).split()
    again = ["--replace"] if arguments[0] in ("report", "export") else []
    said = json.loads(mivolo(*arguments, "--json").stdout)
    assert said["command"] == arguments[0]
    assert {name: said[name] for name in facts} == facts
    assert mivolo(*arguments, *again, "--quiet").stdout == ""


def test_an_error_is_said_to_scripts_too(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mivolo_cli",
        "report",
        str(tmp_path / "no.csv"),
        "-o",
        "page.html",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    said = json.loads(done.stdout)
    assert (
        said["error"] in done.stderr and said["hint"] and said["exit_code"] == done.returncode == 2
    )
    silent = subprocess.run(command[:-1], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert silent.stdout == "" and "no.csv" in silent.stderr


def test_weights_as_json(mivolo: Mivolo) -> None:
    listed = json.loads(mivolo("weights", "list", "--json").stdout)["weights"]
    assert {"name", "licence", "path", "bytes"} <= set(listed[0])
    assert (
        json.loads(mivolo("weights", "verify", "mivolo-xs", "--json").stdout)["mivolo-xs"] == "ok"
    )


def test_lines_now_and_then_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr(progress, "monotonic", lambda: next(clock))
    with progress.counting("scan", " photos") as bar:
        for done in range(1, 5):
            bar(done, 9, failed=0)
    out = capsys.readouterr()
    assert out.out == "" and "\r" not in out.err
    assert out.err.splitlines() == [
        "scan: 2 of 9 photos, failed 0",
        "scan: 4 of 9 photos, failed 0",
    ]


def test_no_lines_when_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    with progress.counting("fetch", "B", quiet=True) as bar:
        bar(1)
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with progress.counting("scan", " photos") as bar:
        bar(3, 9, people=4)
        bar.clear()
    assert "\r" in capsys.readouterr().err


def test_the_clock_of_a_bar_goes_on_while_nothing_else_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(progress, "TICK_SECONDS", 0.01)
    monkeypatch.setenv("TERM", "xterm")
    with progress.counting("scan", " photos") as bar:
        drawn = capsys.readouterr().err.count("\r")
        time.sleep(0.5)
        assert capsys.readouterr().err.count("\r") > drawn
        assert bar._clock.is_alive()
    assert not bar._clock.is_alive()


@pytest.mark.parametrize("no_color, coloured", [("", True), ("1", False)])
def test_errors_are_red_on_a_terminal_alone(no_color: str, coloured: bool) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mivolo_cli", "weights", "verify", "nothing"]
    environment = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm"}
    subprocess.run(command, stderr=theirs, stdout=subprocess.DEVNULL, env=environment, check=False)
    os.close(theirs)
    assert (b"\x1b[" in os.read(ours, 4096)) == coloured
    os.close(ours)
    piped = subprocess.run(
        command, capture_output=True, env={**environment, "NO_COLOR": ""}, check=False
    )
    assert piped.stderr.startswith(b"error: ")


def test_sentences_are_wrapped_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    line = "  hint: look into /a/very/long/path/that/is/not/broken.jpg for it"
    assert text.wrapped(line, io.StringIO()) == line
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    assert text.wrapped(line, terminal).splitlines() == [
        "  hint: look into",
        "    /a/very/long/path/that/is/not/broken.jpg",
        "    for it",
    ]


def test_paths_are_broken_behind_folders_where_they_do_not_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    line = "weights /a/long/path/of/many/folders/all/the/way (yours) " + "x" * 30
    assert text.wrapped(line, terminal, 8, break_paths=True).splitlines() == [
        "weights /a/long/path/of/many/",
        "        folders/all/the/way",
        "        (yours) xxxxxxxxxxxxxx",
        "        xxxxxxxxxxxxxxxx",
    ]


def test_info_fits_the_terminal() -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mivolo_cli", "info"]
    home = "/a/home/" + "in/a/folder/" * 12
    environment = {**os.environ, "COLUMNS": "60", "MIVOLO_HOME": home}
    with subprocess.Popen(command, stdout=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # the end of a terminal
            while part := os.read(ours, 4096):
                shown += part
        assert process.wait() == 0
    os.close(ours)
    lines = shown.decode().splitlines()
    assert max(map(len, lines)) <= 60
    assert home in "".join(line.strip() for line in lines)


@pytest.mark.parametrize(
    "message, shown",
    [
        ("cannot read x: [Errno 2] No such file", "cannot read x: No such file"),
        ("not valid: 'utf-8' codec can't decode byte 0xea in position 1: invalid start byte",
         "not valid: it is not encoded as UTF-8"),
        ("cannot identify image file <_io.BytesIO object at 0x7f01>", "cannot identify image file"),
        ("Could not open Parquet input source '<Buffer>': bad", "Could not open Parquet: bad"),
        ("a [1] photo <b>", "a [1] photo <b>"),
    ],
)  # fmt: skip
def test_messages_have_no_insides_of_python(message: str, shown: str) -> None:
    assert text.without_internals(message) == shown


def test_the_program_prints_no_insides_of_python(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x81")
    for words in (["votes", "no.csv", "--controls", "no.csv", "-o", "l.csv"], ["find", "bad.csv"]):
        command = [sys.executable, "-m", "mivolo_cli", *words]
        said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert said.returncode == 2 and said.stderr.startswith("error: ")
        assert not re.search(r"Errno|Traceback|codec|object at|Error\b", said.stderr)


def test_the_shell_completes_commands_options_and_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def completed(words: str) -> list[str]:
        asked = {
            "_MIVOLO_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        run = [sys.executable, "-m", "mivolo_cli"]
        return subprocess.run(
            run, capture_output=True, text=True, env={**os.environ, **asked}, check=False
        ).stdout.split()

    assert completed("mivolo sc") == ["scan"]
    assert completed("mivolo scan --spread") == ["--spreadsheet-safe"]
    assert completed("mivolo scan --use b") == ["both", "body"]
