"""Whom `find` finds: how ranges are written, and what has to hold for whom."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
from helpers.tagging import row

from mivolo_cli.errors import BadInput
from mivolo_cli.find.wanted import Span, Wanted, days, inputs, numbers
from mivolo_cli.photos.globs import Glob


def hits(wanted: Wanted, *people: dict[str, Any], **photo: Any) -> list[int] | None:
    """The numbers of the people on one photo for whom it is found."""
    rows = [row(person=number, **{**photo, **one}) for number, one in enumerate(people)]
    found = wanted.hits(rows or [row(person=None, status="no_people", **photo)])
    return None if found is None else [one["person"] for one in found]


def aged(text: str, surely: bool = False) -> Wanted:
    return Wanted(age=numbers("--age", text), surely=surely)


@pytest.mark.parametrize(
    "text, span",
    [("0-12", (0, 12)), ("60+", (60, None)), ("7", (7, 7)), (" 2-5 ", (2, 5)), ("0", (0, 0))],
)
def test_ranges_of_numbers(text: str, span: tuple[int, int | None]) -> None:
    assert numbers("--age", text) == Span(*span)


@pytest.mark.parametrize("text", ["", "-", "5-", "-5", "a-b", "1-2-3", "5-2+", "1.5", "60++"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--age .* is not a valid range") as caught:
        numbers("--age", text)
    assert "6+" in caught.value.hint


@pytest.mark.parametrize(
    "text, low, high",
    [
        ("2015..2018", date(2015, 1, 1), date(2018, 12, 31)),
        ("2015", date(2015, 1, 1), date(2015, 12, 31)),
        ("2016-02", date(2016, 2, 1), date(2016, 2, 29)),
        ("2015-06..2015-08", date(2015, 6, 1), date(2015, 8, 31)),
        ("2015-06-30", date(2015, 6, 30), date(2015, 6, 30)),
        ("2015..", date(2015, 1, 1), None),
        ("..2018-03-04", None, date(2018, 3, 4)),
    ],
)
def test_spans_of_days(text: str, low: date | None, high: date | None) -> None:
    assert days("--taken", text) == Span(low, high)


@pytest.mark.parametrize(
    "text",
    ["", "..", "2015-2018", "2015..x", "2015-13", "2015-02-30", "0000", "15", "2015..2016.."],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--taken .* is not a valid time") as caught:
        days("--taken", text)
    assert "2015..2018" in caught.value.hint


def test_spans_do_not_end_before_they_begin() -> None:
    for read, text in ((numbers, "5-2"), (days, "2018..2015"), (days, "2015-06..2015-05")):
        with pytest.raises(BadInput, match="ends before it starts"):
            read("--option", text)


def test_inputs_that_there_are() -> None:
    assert inputs("--used", "face, face+body") == {"face", "face+body"}
    for text in ("", "faces", "face,,body", "face;body"):
        with pytest.raises(BadInput, match="is unknown"):
            inputs("--used", text)


@pytest.mark.parametrize(
    "text, age, found",
    [
        ("0-12", 12.49, True),
        ("0-12", 12.5, False),
        ("13-17", 12.5, True),
        ("0-12", 0.0, True),
        ("60+", 59.4, False),
        ("60+", 59.5, True),
        ("60+", 120.0, True),
        ("7", 7.3, True),
        ("7", 8.0, False),
    ],
)
def test_ages_are_rounded_as_they_are_shown(text: str, age: float, found: bool) -> None:
    assert hits(aged(text), {"age": age}) == ([0] if found else None)


@pytest.mark.parametrize(
    "low, high, found",
    [(0, 12, True), (3, 9, True), (3, 12.1, False), (None, None, False), (3, None, False)],
)
def test_surely_is_the_whole_interval(low: Any, high: Any, found: bool) -> None:
    person = {"age": 6.0, "age_low": low, "age_high": high}
    assert hits(aged("0-12", surely=True), person) == ([0] if found else None)
    assert hits(aged("0-12"), person) == [0]


def test_somebody_without_an_age_is_found_by_the_whole_interval() -> None:
    person = {"age": None, "age_low": 30.0, "age_high": 60.0}
    for surely in (False, True):
        assert hits(aged("30-60", surely), person) == [0]
        assert hits(aged("20+", surely), person) == [0]
        assert hits(aged("30-59", surely), person) is None
        assert hits(aged("20+", surely), person | {"age_low": None, "age_high": None}) is None


def test_surely_needs_an_age() -> None:
    with pytest.raises(BadInput, match="--surely"):
        Wanted(surely=True)


BOY = {"age": 8.0, "gender": "male", "used": "face", "face_score": 0.9}
WOMAN = {"age": 40.0, "gender": "female", "used": "face+body", "face_score": 0.5}
HIDDEN = {"age": None, "gender": None, "used": None, "status": "no_usable_crop"}


def test_all_has_to_hold_for_one_person() -> None:
    both = Wanted(age=Span(0, 12), gender="male", used=frozenset(["face", "body"]))
    assert hits(both, WOMAN, BOY) == [1]
    assert hits(Wanted(age=Span(0, 12), gender="female"), WOMAN, BOY) is None
    assert hits(Wanted(gender="male", used=frozenset(["face+body"])), WOMAN, BOY) is None


def test_any_person_lets_it_hold_for_several() -> None:
    wanted = Wanted(age=Span(0, 12), gender="female", any_person=True)
    assert hits(wanted, WOMAN, HIDDEN, BOY) == [0, 2]
    assert hits(wanted, WOMAN) is None
    assert hits(wanted, BOY) is None
    assert hits(wanted, BOY | {"gender": "female"}, BOY | {"age": 30.0}) == [0]


def test_those_who_scored_less_are_left_out_before() -> None:
    assert hits(Wanted(min_score=0.6), WOMAN, BOY) == [1]
    assert hits(Wanted(min_score=0.6, gender="female"), WOMAN, BOY) is None
    assert hits(Wanted(min_score=0.6, people=Span(1, 1), gender="male"), WOMAN, BOY) == [1]
    assert hits(Wanted(min_score=0.95), WOMAN, BOY) is None
    bodies = [{"body_score": 0.7}, {"body_score": 0.5}, {"face_score": 0.5, "body_score": 0.9}, {}]
    assert hits(Wanted(min_score=0.6), *bodies) == [0, 3]


def test_judged_people_are_counted() -> None:
    two = Wanted(people=Span(2, 5))
    assert hits(two, WOMAN, BOY, HIDDEN) == [0, 1, 2]
    assert hits(two, WOMAN, HIDDEN) is None
    assert hits(Wanted(people=Span(0, 0)), HIDDEN) == [0]
    assert hits(Wanted(people=Span(0, 0))) == [None]
    assert hits(Wanted(people=Span(1, None))) is None


def test_nobody_unjudged_and_no_failed_photo_is_found() -> None:
    assert hits(Wanted(gender="male"), HIDDEN | {"gender": "male"}) is None
    assert hits(Wanted()) == [None]
    assert Wanted().hits([row(person=None, status="error")]) is None
    assert Wanted(people=Span(0, 0)).hits([row(person=None, status="error")]) is None


def test_photos_by_time() -> None:
    wanted = Wanted(taken=days("--taken", "2015..2018"))
    assert hits(wanted, BOY, taken_at=datetime(2018, 12, 31, 23, 59, 59)) == [0]
    assert hits(wanted, BOY, taken_at=datetime(2015, 1, 1)) == [0]
    assert hits(wanted, BOY, taken_at=datetime(2019, 1, 1)) is None
    assert hits(wanted, BOY, taken_at=None) is None


@pytest.mark.parametrize(
    "patterns, found",
    [
        (["trip/**"], True),
        (["*.JPG"], True),
        (["*"], True),
        (["*.png"], False),
        (["*.png", "**/b/*"], True),
        (["b/*"], False),
    ],
)
def test_photos_by_path_or_name(patterns: list[str], found: bool) -> None:
    wanted = Wanted(globs=tuple(map(Glob, patterns)))
    assert hits(wanted, BOY, path="trip/b/a.jpg") == ([0] if found else None)
