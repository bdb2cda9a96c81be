"""What commands write: every option of every command that names a file refuses what is not new,
empty or its own, and what the command reads."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from helpers.labels import label_row, write_labels
from helpers.photos import draw_scene, save_photo
from helpers.tables import contents
from helpers.tagging import rows_of, write_results
from typer.testing import CliRunner
from typer.testing import Result as Outcome

from mivolo_cli import cli
from mivolo_cli.cli import files
from mivolo_cli.errors import BadInput, OutputError
from mivolo_cli.records import SCHEMA
from mivolo_cli.tagging.outcome import COLUMNS

SCAN = "scan album --detector given --boxes boxes.csv --model tiny.safetensors --device cpu"
LINES = {
    "scan": f"{SCAN} --int8-samples others -o scanned.csv --annotate drawn --log scan.log",
    "merge": "merge 1.parquet 2.parquet -o merged.csv --log merge.log",
    "tag": "tag people.parquet --report tagged.csv --log tag.log",
    "untag": "untag album people.parquet --report untagged.csv --log untag.log",
    "demo": "demo -o demo",
    "report": "report people.parquet -o page.html --log report.log",
    "export": "export people.parquet --to coco -o coco.json --log export.log",
    "find": "find people.parquet --table found.csv --playlist found.m3u8 --copy copies"
    " --link links --log find.log",
    "summary": "summary people.parquet --log summary.log",
    "eval": "eval labels.parquet --predictions people.parquet --compare people.csv"
    " --images others --model tiny.safetensors --plots plots",
    "calibrate": "calibrate tiny.safetensors labels.parquet --images others -o new.safetensors",
    "train": "train labels.parquet --validation more.parquet --images others --recipe r.toml"
    " --backbones b.safetensors --init tiny.safetensors --device cpu -o run --log train.log",
    "votes": "votes votes.csv --controls controls.csv --truth truth.csv --compare people.csv"
    " -o ages.csv",
}
"""Command -> a line with every option that names a file."""
READ_ONLY = ("info", "purge", "weights list", "weights verify", "weights add", "weights fetch")
"""Commands that write no file that the user names."""
IN_FOLDERS = {
    ("scan", "annotate"): ["a.jpg.jpg"],
    ("demo", "out"): ["people.csv", "people.parquet"],
    ("eval", "plots"): ["labels-face-people-ages.png", "x-errors.png"],
    ("train", "out"): ["model.safetensors", "best.safetensors", "log.csv", "steps.csv"],
}
"""(Command, option) of a folder -> files that the command writes into it."""
SAFETENSORS = struct.pack("<Q", 2) + b"{}"
FOREIGN = {
    "text": b"my diary\n",
    "script": b"#!/bin/sh\necho hello\n",
    "table": ",".join(SCHEMA.names).encode() + b"\n",
    "columns": b"path,age\na.jpg,3\n",
    "report of tag": ",".join(COLUMNS).encode() + b"\r\n",
    "log": b'{"time": "2026-01-01T00:00:00.000+00:00", "command": "scan", "event": "start"}\n',
    "other JSON": b'{"time": 3}\n',
    "page": b"<!doctype html>\n<p>mine</p>\n",
    "model": SAFETENSORS,
    "picture": b"\x89PNG\r\n\x1a\nSoftware",
}
OWN = {
    "log": ["log"],
    "report": ["report of tag"],
    "scanned.csv": ["table"],
    "merged.csv": ["table"],
    "found.csv": ["table"],
}
"""Of FOREIGN, what may be replaced: by option, or the output's name."""


def commands(group: Any = None, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command of the program, by its name."""
    group = group or typer.main.get_command(cli.app)
    for own, command in group.commands.items():
        full = f"{name} {own}".strip()
        if hasattr(command, "commands"):
            yield from commands(command, full)
        else:
            yield full, command


COMMANDS = dict(commands())
PLACES = [
    (name, param.name)
    for name, command in COMMANDS.items()
    for param in command.params
    if files.names_file(param) and param.name in files.OUTPUTS
]
"""Every option that names something to write."""
SINGLE = [place for place in PLACES if place not in IN_FOLDERS]
Mivolo = Callable[..., Outcome]


def words(command: str, **changed: object) -> list[str]:
    """The line of a command with other values for some options."""
    arguments = LINES[command].split()
    for option, value in changed.items():
        flags = next(p.opts for p in COMMANDS[command].params if p.name == option)
        place = next(place for place, word in enumerate(arguments) if word in flags)
        arguments[place + 1] = str(value)
    return arguments


def value(command: str, option: str) -> Path:
    """What a line has for an option."""
    context = COMMANDS[command].make_context(command, LINES[command].split()[1:])
    found = context.params[option]
    return Path(found[0] if isinstance(found, list | tuple) else found)


@pytest.fixture
def world(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that the lines name, and the current one."""
    monkeypatch.chdir(tmp_path)
    photo = save_photo(tmp_path / "album" / "a.jpg", pixels=draw_scene(150, 110))
    save_photo(tmp_path / "others" / "b.jpg")
    for name in ("people.parquet", "people.csv", "1.parquet", "2.parquet"):
        write_results(tmp_path / name, rows_of(photo, width=150, height=110))
    for name in ("labels.parquet", "more.parquet"):
        write_labels(tmp_path / name, [label_row(f"{number}.png") for number in range(4)])
    (tmp_path / "tiny.safetensors").write_bytes(tiny_model.read_bytes())
    (tmp_path / "b.safetensors").write_bytes(SAFETENSORS)
    (tmp_path / "boxes.csv").write_text("path,kind,x1,y1,x2,y2\na.jpg,face,20,10,45,40\n")
    (tmp_path / "votes.csv").write_text(
        "item,annotator,vote\na.jpg,ann,30\n" + "".join(f"c{n},ann,20\n" for n in range(3))
    )
    (tmp_path / "controls.csv").write_text("item,age\nc0,20\nc1,20\nc2,20\n")
    (tmp_path / "truth.csv").write_text("item,age\na.jpg,31\n")
    (tmp_path / "r.toml").write_text("epochs = 1\n")
    return tmp_path


@pytest.fixture
def mivolo(no_weights_of_the_user: None) -> Mivolo:
    return lambda *arguments: CliRunner().invoke(cli.app, list(map(str, arguments)))


def flags(command: str) -> list[list[str]]:
    """No further flag, and each one that promises to write nothing."""
    known = {name for param in COMMANDS[command].params for name in param.opts}
    return [[], *([flag] for flag in ("--dry-run", "--check") if flag in known)]


def assert_refused(out: Outcome, world: Path, before: dict[str, bytes]) -> None:
    after, logs = contents(world), {f"{command}.log" for command in LINES}
    changed = [name for name in before if after.get(name) != before[name]]
    assert set(changed) <= logs, "only the log that the line names may grow"
    assert isinstance(out.exception, BadInput), out.output
    assert out.exception.hint


def test_every_option_that_names_a_file_is_tried() -> None:
    assert set(COMMANDS) == {*LINES, *READ_ONLY}
    for name, command in COMMANDS.items():
        named = [param for param in command.params if files.names_file(param)]
        written = [param for param in named if param.name in files.OUTPUTS]
        if name in READ_ONLY:
            assert written == [], name
            continue
        given = command.make_context(name, LINES[name].split()[1:]).params
        assert [param.name for param in named if not given[param.name]] == []


@pytest.mark.parametrize("command, option", SINGLE)
def test_what_is_not_its_own_is_refused(
    world: Path, mivolo: Mivolo, command: str, option: str
) -> None:
    output = value(command, option)
    own = OWN.get(option, OWN.get(output.name, []))
    victim = world / f"victim{output.suffix}"
    photo = (world / "album" / "a.jpg").read_bytes()
    for kind, content in {**FOREIGN, "photo": photo}.items():
        if kind in own:
            continue
        for more in flags(command):
            victim.write_bytes(content)
            before = contents(world)
            assert_refused(mivolo(*words(command, **{option: victim}), *more), world, before)


@pytest.mark.parametrize("command, option", SINGLE)
def test_no_link_leads_to_what_is_not_its_own(
    world: Path, mivolo: Mivolo, command: str, option: str
) -> None:
    output = value(command, option)
    (world / "diary").write_text("dear diary")
    (world / "empty").touch()
    link = world / f"link{output.suffix}"
    for target in ("diary", "album/a.jpg", "empty", "absent", "album"):
        for more in flags(command):
            link.unlink(missing_ok=True)
            link.symlink_to(target)
            before = contents(world)
            assert_refused(mivolo(*words(command, **{option: link}), *more), world, before)
            assert not (world / "absent").exists()
    link.unlink()
    os.link(world / "diary", link)
    assert_refused(mivolo(*words(command, **{option: link})), world, contents(world))


@pytest.mark.parametrize("command, option", SINGLE)
@pytest.mark.parametrize("way", ["itself", "link", "hard link"])
def test_inputs_are_refused(
    world: Path, mivolo: Mivolo, command: str, option: str, way: str
) -> None:
    context = COMMANDS[command].make_context(command, LINES[command].split()[1:])
    suffix = value(command, option).suffix
    for number, file in enumerate(files.inputs(COMMANDS[command].params, context.params)):
        if not file.exists():
            continue
        name = file if way == "itself" else world / f"{number}{suffix}"
        if way == "link":
            name.symlink_to(file.absolute())
        elif way == "hard link" and file.is_file():
            os.link(file, name)
        elif way == "hard link":
            continue
        for more in flags(command):
            before = contents(world)
            out = mivolo(*words(command, **{option: name}), *more)
            assert_refused(out, world, before)
            assert "is an input of this command" in str(out.exception)


@pytest.mark.parametrize(
    "command", [name for name in LINES if len([place for place in SINGLE if place[0] == name]) > 1]
)
def test_no_two_outputs_are_one_file(world: Path, mivolo: Mivolo, command: str) -> None:
    first, *others = [option for name, option in SINGLE if name == command]
    target = world / f"both{value(command, first).suffix}"
    (world / "link.log").symlink_to(target)
    for other in others:
        for name in (target, world / "link.log"):
            out = mivolo(*words(command, **{first: target, other: name}))
            assert_refused(out, world, {})
            assert "given as an output twice" in str(out.exception)
            assert not target.exists()


@pytest.mark.parametrize(
    "command, option, name",
    [(*place, name) for place, names in IN_FOLDERS.items() for name in names],
)
@pytest.mark.parametrize("way", ["itself", "link"])
def test_what_is_not_its_own_in_a_folder_is_refused(
    world: Path, mivolo: Mivolo, command: str, option: str, name: str, way: str
) -> None:
    folder = world / value(command, option)
    folder.mkdir()
    (world / "diary").write_text("dear diary")
    if way == "itself":
        (folder / name).write_text("dear diary")
    elif (command, option) == ("scan", "annotate"):
        pytest.skip("drawings take the place of a link, and never follow it")
    else:
        (folder / name).symlink_to(world / "diary")
    before = contents(world)
    assert_refused(mivolo(*words(command)), world, before)


@pytest.mark.parametrize("name", IN_FOLDERS["train", "out"])
def test_a_training_does_not_write_over_its_data(world: Path, mivolo: Mivolo, name: str) -> None:
    (world / "run").mkdir()
    (world / "run" / name).write_bytes((world / "tiny.safetensors").read_bytes())
    before = contents(world)
    assert_refused(mivolo(*words("train", init=f"run/{name}")), world, before)


@pytest.mark.parametrize("kind", ["coco", "fiftyone", "xlsx"])
def test_replace_replaces_no_input(world: Path, mivolo: Mivolo, kind: str) -> None:
    link = world / f"people.{'xlsx' if kind == 'xlsx' else 'json'}"
    for make in (os.symlink, os.link):
        link.unlink(missing_ok=True)
        make(world / "people.parquet", link)
        line = ["export", "people.parquet", "--to", kind, "-o", link, "--replace"]
        assert_refused(mivolo(*line), world, contents(world))


def test_replace_follows_no_link_to_another_file(world: Path, mivolo: Mivolo) -> None:
    for command, name in (("export --to coco", "a.json"), ("report", "a.html")):
        (world / name).symlink_to(world / "album" / "a.jpg")
        verb, *options = command.split()
        line = [verb, "people.parquet", *options, "-o", name, "--replace"]
        assert_refused(mivolo(*line), world, contents(world))


REPEATED = {
    "scan": ["output", "annotate", "log"],
    "tag": ["report", "log"],
    "untag": ["report", "log"],
    "find": ["table", "playlist", "log"],
    "report": ["output", "log"],
    "export": ["log"],
    "votes": ["output"],
}


@pytest.mark.parametrize("command", REPEATED)
def test_what_is_its_own_or_empty_is_written(
    world: Path, mivolo: Mivolo, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("mivolo_cli.report.page._bundle", lambda: "")
    if command != "report" and command != "export":
        (world / value(command, REPEATED[command][0])).touch()
    line = words(command) + (["--replace"] if command == "export" else [])
    if command == "scan":
        line = [word for word in line if word not in ("--int8-samples", "others")]
    if command == "find":
        line = [word for word in line if word not in ("--copy", "copies", "--link", "links")]
    for _ in range(2):
        out = mivolo(*line)
        assert out.exit_code == 0, (out.output, out.exception)
        for option in REPEATED[command]:
            written = world / value(command, option)
            assert written.is_dir() or written.stat().st_size


def test_drawings_are_drawn_again_and_told_from_photos(world: Path, mivolo: Mivolo) -> None:
    line = f"{SCAN} -o 1.csv --annotate drawn".split()
    assert mivolo(*line).exit_code == 0
    drawn = (world / "drawn" / "a.jpg.jpg").read_bytes()
    line[line.index("1.csv")] = "3.csv"
    assert mivolo(*line).exit_code == 0, "a drawing of ours may be drawn anew"
    assert (world / "drawn" / "a.jpg.jpg").read_bytes() == drawn
    save_photo(world / "drawn" / "a.jpg.jpg")
    line[line.index("3.csv")] = "2.csv"
    assert_refused(mivolo(*line), world, contents(world))


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="needs /dev/null")
def test_a_device_is_written_to_and_never_replaced(world: Path, mivolo: Mivolo) -> None:
    assert mivolo("untag", "album", "--report", "/dev/null", "--log", "/dev/null").exit_code == 0
    out = mivolo(*words("votes", output="/dev/null"))
    assert isinstance(out.exception, BadInput) and Path("/dev/null").is_char_device()


@pytest.mark.parametrize("name", ["lock", "receipt.json", "results.parquet", "part-000000.parquet"])
def test_links_in_the_folder_of_finished_work_are_not_followed(
    world: Path, mivolo: Mivolo, name: str
) -> None:
    folder = world / ".scanned.csv.mivolo"
    folder.mkdir()
    (world / "diary").write_text("dear diary")
    (folder / name).symlink_to(world / "diary")
    out = mivolo(*f"{SCAN} -o scanned.csv".split())
    assert out.exit_code == 0 or isinstance(out.exception, (BadInput, OutputError))
    assert (world / "diary").read_text() == "dear diary"
