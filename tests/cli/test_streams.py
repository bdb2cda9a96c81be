"""Standard streams that are closed, full or no longer read keep no result from being written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.photos import save_photo
from helpers.tagging import rows_of, write_results

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a shell and /dev/full")
EXPORT = "{python} -m mivolo_cli export people.parquet --to coco -o people.json"


def run(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    line = line.replace("{python}", sys.executable)
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photo = save_photo(tmp_path / "album" / "a.jpg")
    write_results(tmp_path / "people.parquet", rows_of(photo))
    return tmp_path


@pytest.mark.parametrize(
    ("streams", "code"),
    [
        ("2>&-", 0), (">&-", 0), ("<&- >&- 2>&-", 0), ("2>/dev/full", 0), (">/dev/full", 4),
        ("--json >/dev/full", 4), ("--quiet >/dev/full", 0), (">/dev/full 2>&1", 4),
    ],
)  # fmt: skip
def test_the_result_is_written_all_the_same(folder: Path, streams: str, code: int) -> None:
    done = run(folder, f"{EXPORT} {streams}")
    assert done.returncode == code, done.stderr
    assert len(json.loads((folder / "people.json").read_text("utf-8"))["images"]) == 1
    assert "Traceback" not in done.stderr


def test_who_stops_reading_is_no_trouble(folder: Path) -> None:
    done = run(folder, f"{EXPORT} | true; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (0, "")
    done = run(folder, "{python} -m mivolo_cli weights list | head -1; exit ${PIPESTATUS[0]}")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 1


def test_no_file_takes_the_number_of_a_closed_stream(folder: Path) -> None:
    code = "import os; from mivolo_cli.cli import streams; streams.open_all(); print(os.dup(0))"
    done = run(folder, f"{{python}} -c '{code}' <&- 2>&-")
    assert int(done.stdout) > 2


def test_an_error_has_its_code_though_nobody_hears_it(folder: Path) -> None:
    for streams in ("2>&-", "2>/dev/full", ">&- 2>&-"):
        line = f"{sys.executable} -m mivolo_cli export gone.parquet --to coco -o x.json {streams}"
        assert run(folder, line).returncode == 2
    assert "x.json" not in os.listdir(folder)
