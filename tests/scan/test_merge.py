"""A scan in shards: every photo is in one of them, and together they are the table of an undivided
scan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from helpers.photos import draw_scene, save_broken, save_photo
from helpers.tables import contents, table, write_boxes
from typer.testing import CliRunner

from mivolo_cli.cli import app
from mivolo_cli.errors import BadInput
from mivolo_cli.scan import shards
from mivolo_cli.scan.merge import Merged, MergeOptions, merge
from mivolo_cli.scan.shards import Shard

Scan = Callable[..., Any]
SHARDS = 3
NAMES = ("b.jpg", "a/2.png", "a/b/1.jpg", "a.jpg", "a b/3.png", "z/y/x.jpg", "Z.jpg", "ä/é.png")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    for name in NAMES:
        save_photo(tmp_path / "album" / name, pixels=draw_scene(90, 110))
    save_broken(tmp_path / "album" / "a" / "broken.jpg", "garbage")
    return tmp_path / "album"


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    faces = [(0.0, 0.0, 30.0, 40.0), (50.0, 10.0, 80.0, 50.0)]
    return write_boxes(
        tmp_path / "boxes.csv", [(name, "face", face) for name in NAMES[1:] for face in faces]
    )


@pytest.fixture
def tables(scan_given: Scan, album: Path, boxes: Path, tmp_path: Path) -> list[Path]:
    files = [tmp_path / f"{number}.parquet" for number in range(1, SHARDS + 1)]
    for number, file in enumerate(files, 1):
        scan_given(album, boxes=boxes, outputs=[file], shard=Shard(number, SHARDS))
    return files


def rounded(file: Path) -> list[dict[str, Any]]:
    ages = ("age", "age_low", "age_high", "gender_score")
    return [
        {k: v and round(v, 3) if k in ages else v for k, v in row.items()} for row in table(file)
    ]


def test_shards_together_are_the_undivided_table(
    scan_given: Scan, album: Path, boxes: Path, tables: list[Path], tmp_path: Path
) -> None:
    scan_given(album, boxes=boxes, outputs=[tmp_path / "whole.parquet"])
    assert all(len(table(file)) > 0 for file in tables), "no shard is empty here"
    out = [tmp_path / "people.parquet", tmp_path / "people.csv"]
    assert merge(MergeOptions(tables[::-1], out)) == Merged(SHARDS, 9, 16)
    assert rounded(out[0]) == rounded(out[1]) == rounded(tmp_path / "whole.parquet")
    kept = [dict(pq.read_schema(file).metadata) for file in (out[0], tmp_path / "whole.parquet")]
    assert kept[0] == kept[1], "it is a table like any other"


def test_a_merged_table_is_gone_on_from(
    scan_given: Scan, album: Path, boxes: Path, tables: list[Path], tmp_path: Path
) -> None:
    merge(MergeOptions(tables, [tmp_path / "people.parquet"]))
    progress = scan_given(album, boxes=boxes, outputs=[tmp_path / "people.parquet"])
    assert (progress.photos, progress.reused) == (9, 9)


def test_an_empty_shard_is_an_empty_table(
    scan_given: Scan, album: Path, boxes: Path, tmp_path: Path
) -> None:
    (empty,) = (Shard(number, 2) for number in (1, 2) if not Shard(number, 2).holds("2.png"))
    progress = scan_given(
        album / "a" / "2.png", boxes=boxes, outputs=[tmp_path / "e.parquet"], shard=empty
    )
    assert progress.photos == 0 and table(tmp_path / "e.parquet") == []


def refused(tables: list[Path], out: Path) -> str:
    before = contents(out.parent)
    with pytest.raises(BadInput) as caught:
        merge(MergeOptions(tables, [out]))
    assert caught.value.hint and contents(out.parent) == before
    return str(caught.value)


def test_a_missing_shard_is_named(tables: list[Path], tmp_path: Path) -> None:
    assert refused(tables[:1] + tables[2:], tmp_path / "o.csv") == "1 of 3 shards missing: 2/3"


def test_what_does_not_belong_together_is_refused(
    scan_given: Scan, album: Path, boxes: Path, tables: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    assert "given twice" in refused([*tables, tables[0]], out)
    assert "is an input of this command" in refused(tables, tables[0])
    scan_given(album, boxes=boxes, outputs=[other := tmp_path / "other.parquet"], shard=Shard(1, 2))
    assert "is shard 1/2" in refused([*tables, other], out)
    scan_given(album, boxes=boxes, outputs=[other], shard=Shard(1, SHARDS), use="face")
    assert "another model or settings" in refused([tables[1], other, tables[2]], out)
    scan_given(album / "a", boxes=boxes, outputs=[other], shard=Shard(1, SHARDS))
    assert "other folders" in refused([tables[1], other, tables[2]], out)
    scan_given(album, boxes=boxes, outputs=[other])
    assert "is not a shard" in refused([other], out)
    assert "cannot read" in refused([save_broken(tmp_path / "x.parquet", "text")], out)


def test_a_row_in_the_wrong_shard_is_seen(tables: list[Path], tmp_path: Path) -> None:
    first, second = (pq.read_table(file) for file in tables[:2])
    pq.write_table(first.replace_schema_metadata(second.schema.metadata), tables[1])
    assert "belongs to another" in refused(tables, tmp_path / "out.csv")


def test_the_shard_of_a_path_never_changes() -> None:
    found = [next(n for n in range(1, 9) if Shard(n, 8).holds(name)) for name in NAMES]
    assert found == [7, 2, 3, 2, 1, 3, 4, 3]
    assert [sum(Shard(n, 5).holds(name) for n in range(1, 6)) for name in NAMES] == [1] * len(NAMES)


@pytest.mark.parametrize(
    "text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4", "1/4/4", "١/٢", "1/9999999999"]
)
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(BadInput, match="is not a shard"):
        shards.parse(text)


def test_the_command(tables: list[Path], tmp_path: Path) -> None:
    arguments = ["merge", *map(str, tables), "-o", str(tmp_path / "people.jsonl")]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 0 and "3 shards, 9 photos, 16 rows" in run.output
    assert len(table(tmp_path / "people.jsonl")) == 16
