"""Votes of annotators become labels, and annotators are measured."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.tables import contents

from mivolo_cli import tables
from mivolo_cli.datasets.tables import read_text
from mivolo_cli.errors import BadInput, OutputError
from mivolo_cli.evaluation import votes
from mivolo_cli.evaluation.votes import VotesOptions, VotesReport, combine_votes
from mivolo_cli.records import Box, Person, Photo, Prediction, Result, rows

VOTES = """item,annotator,vote
c1,ann,20
c1,bob,24
c2,ann,30
c2,bob,36
c1,new,20
a.jpg,ann,40
a.jpg,bob,50
b.jpg,ann,10
b.jpg,ann,20
b.jpg,bob,
d.jpg,new,33
"""
CONTROLS = "item,age\nc1,21\nc2,31\nc9,50\n"


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., VotesReport]:
    def write_and_run(
        text: str = VOTES, controls: str = CONTROLS, min_controls: int = 2, **more: Any
    ) -> VotesReport:
        (tmp_path / "votes.csv").write_text(text)
        (tmp_path / "controls.csv").write_text(controls)
        if "truth" in more:
            (tmp_path / "truth.csv").write_text(more["truth"])
            more["truth"] = tmp_path / "truth.csv"
        options = VotesOptions(
            tmp_path / "votes.csv",
            tmp_path / "controls.csv",
            tmp_path / "labels.csv",
            min_controls=min_controls,
            **more,
        )
        return combine_votes(options)

    return write_and_run


def labels(tmp_path: Path) -> dict[str, dict[str, str]]:
    return {row["path"]: row for row in read_text(tmp_path / "labels.csv").to_pylist()}


def test_the_weighted_mean_is_that_of_the_paper() -> None:
    weights = [math.exp(1 / 1), math.exp(1 / 4)]
    expected = (40 * weights[0] + 50 * weights[1]) / sum(weights)
    assert votes.weighted_mean([40, 50], [1, 4]) == pytest.approx(expected)
    assert votes.weighted_mean([40, 50], [3, 3]) == 45
    assert votes.weighted_mean([40, 50], [0, 2]) == pytest.approx(40), (
        "nobody is better than without error"
    )
    assert votes.weighted_mean([40, 50, 60], [0, 0, 2]) == pytest.approx(45)


def test_annotators_are_measured_on_the_controls(run: Callable[..., VotesReport]) -> None:
    found = run().annotators
    assert [(a.name, a.votes, a.controls, a.mae) for a in found] == [
        ("ann", 4, 2, 1.0),
        ("bob", 3, 2, 4.0),
        ("new", 2, 1, None),
    ]


def test_labels_are_written_with_every_way_to_combine(
    run: Callable[..., VotesReport], tmp_path: Path
) -> None:
    report = run()
    found = labels(tmp_path)
    assert list(found) == ["a.jpg", "b.jpg", "d.jpg"] and report.items == 3
    assert float(found["a.jpg"]["age"]) == pytest.approx(votes.weighted_mean([40, 50], [1, 4]))
    assert (found["a.jpg"]["mean"], found["a.jpg"]["median"], found["a.jpg"]["votes"]) == (
        "45.0",
        "45.0",
        "2",
    )


def test_missing_repeated_and_unweighed_votes_are_handled_and_said(
    run: Callable[..., VotesReport], tmp_path: Path
) -> None:
    report = run()
    assert (report.missing, report.repeated, report.unweighed) == (1, 1, 1)
    found = labels(tmp_path)
    assert (found["b.jpg"]["age"], found["b.jpg"]["votes"]) == ("15.0", "1"), "one person, one vote"
    assert found["d.jpg"]["age"] == "33.0" and not found["d.jpg"]["weighted_mean"]


def test_the_winsorised_mean_does_not_follow_far_votes() -> None:
    item = votes.combine("x", {"a": 30, "b": 32, "c": 34, "d": 90}, {})
    assert (item.median, item.mean) == (33, 46.5)
    assert item.winsorized_mean == pytest.approx((30 + 32 + 34 + 39) / 4)
    assert item.weighted_mean is None and item.age == 33


def test_labels_can_be_read_as_labelled_data(
    run: Callable[..., VotesReport], tmp_path: Path
) -> None:
    from helpers.photos import save_photo

    from mivolo_cli.datasets import read_samples

    run()
    for name in ("a.jpg", "b.jpg", "d.jpg"):
        save_photo(tmp_path / name)
    assert [round(s.label.age or 0) for s in read_samples([tmp_path / "labels.csv"])] == [
        43,
        15,
        33,
    ]


TRUTH = "item,age\na.jpg,41\nb.jpg,15\n"


def test_known_ages_measure_people_and_ways_to_combine(run: Callable[..., VotesReport]) -> None:
    found = {c.who: c for c in run(truth=TRUTH).comparisons}
    assert list(found) == ["people", *votes.METHODS]
    people = found["people"].score
    assert people.mae is not None and people.mae.count == 3
    assert people.mae.value == pytest.approx((1 + 9 + 0) / 3)
    assert people.cs is not None and people.cs.value == pytest.approx(2 / 3)
    assert set(found["mean"].by_age) == {"15-29", "30-44"}
    median = found["median"].by_age["30-44"].mae
    assert median is not None and median.value == 4


def test_ages_may_stand_beside_the_votes(run: Callable[..., VotesReport]) -> None:
    text = "item,annotator,vote,age\nc1,ann,20,\nc2,ann,30,\na.jpg,ann,40,44\n"
    found = {c.who: c.score.mae.value for c in run(text).comparisons if c.score.mae}
    assert found["people"] == 4


def test_a_scan_is_measured_beside_the_people(
    run: Callable[..., VotesReport], tmp_path: Path
) -> None:
    with tables.open_sinks([tmp_path / "people.csv"], {}) as out:
        box = Box(0, 0, 10, 10)
        prediction = Prediction(43, "male", 0.9, "face")
        out.write(
            rows(Result(Photo("/p", "a.jpg"), 60, 60, None, [(Person(box, None), prediction)]))
        )
    found = {c.who: c.score for c in run(truth=TRUTH, compare=tmp_path / "people.csv").comparisons}
    assert found["people.csv"].mae is not None and found["people.csv"].mae.value == 2
    assert (found["people.csv"].people, found["people.csv"].answered) == (2, 1)


def test_a_scan_cannot_be_compared_with_nothing(
    run: Callable[..., VotesReport], tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="no known ages"):
        run(compare=tmp_path / "people.csv")


def test_tables_may_be_parquet(tmp_path: Path) -> None:
    columns = {"item": ["c", "a.jpg"], "annotator": [1, 1], "vote": [20.0, 30.0]}
    pq.write_table(pa.table(columns), tmp_path / "votes.parquet")
    pq.write_table(pa.table({"item": ["c"], "age": [21]}), tmp_path / "controls.parquet")
    options = VotesOptions(
        tmp_path / "votes.parquet",
        tmp_path / "controls.parquet",
        tmp_path / "l.csv",
        min_controls=1,
    )
    assert combine_votes(options).annotators[0].mae == 1


@pytest.mark.parametrize(
    "text, controls, said",
    [
        ("item,vote\na,3\n", CONTROLS, "no column annotator"),
        (VOTES, "item\nc1\n", "no column age"),
        ("item,annotator,vote\n", CONTROLS, "no votes"),
        (VOTES + "e.jpg,ann,old\n", CONTROLS, "row 12.*not an age"),
        (VOTES + "e.jpg,ann,300\n", CONTROLS, "not a human age"),
        (VOTES + "e.jpg,ann,20-30\n", CONTROLS, "range"),
        (VOTES + ",ann,20\n", CONTROLS, "not named"),
        (VOTES, "item,age\nx,3\n", "no annotator has voted on at least 2"),
        ("item,annotator,vote\nc1,ann,20\nc2,ann,30\n", CONTROLS, "all items"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(
    run: Callable[..., VotesReport], tmp_path: Path, text: str, controls: str, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        run(text, controls)
    assert not (tmp_path / "labels.csv").exists()


def test_tables_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="votes.csv"):
        combine_votes(VotesOptions(tmp_path / "votes.csv", tmp_path / "c.csv", tmp_path / "l.csv"))


def test_labels_that_cannot_be_written_are_told(
    run: Callable[..., VotesReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "denied")

    monkeypatch.setattr(os, "replace", denied)
    with pytest.raises(OutputError, match="denied") as error:
        run()
    assert error.value.hint == "choose another file with -o"
    assert contents(tmp_path).keys() == {"votes.csv", "controls.csv"}


def test_labels_have_the_mode_of_the_umask_or_of_the_file_before(
    run: Callable[..., VotesReport], tmp_path: Path
) -> None:
    old = os.umask(0o022)
    try:
        run()
        labels = tmp_path / "labels.csv"
        assert labels.stat().st_mode & 0o777 == 0o644
        labels.chmod(0o660)
        run()
        assert labels.stat().st_mode & 0o777 == 0o660
    finally:
        os.umask(old)
