"""Ages and genders as people write them."""

from __future__ import annotations

import pytest

from mivolo_cli.datasets.labels import OLDEST, Label, parse_age, parse_gender


@pytest.mark.parametrize(
    "written, meant",
    [
        (30, (30, 30)),
        ("30", (30, 30)),
        (" 2.5 ", (2.5, 2.5)),
        (0, (0, 0)),
        ("25-32", (25, 32)),
        ("(25, 32)", (25, 32)),
        ("[25,32]", (25, 32)),
        ("3 to 9", (3, 9)),
        ("60+", (60, OLDEST)),
        ("more than 70", (71, OLDEST)),
        (">70", (71, OLDEST)),
        (">= 70", (70, OLDEST)),
        ("under 3", (0, 2)),
        ("<3", (0, 2)),
    ],
)
def test_ages_and_ranges_are_understood(written: object, meant: tuple[float, float]) -> None:
    assert parse_age(written) == meant


@pytest.mark.parametrize(
    "written", [None, "", "-1", -1, -1.0, "nan", float("nan"), "u", "Unknown", "None"]
)
def test_what_means_unknown_is_unknown(written: object) -> None:
    assert parse_age(written) is None and parse_gender(written) is None


@pytest.mark.parametrize(
    "written", ["old", -5, 123, "150", "32-25", "(60, 200)", "inf", "3-9-12", "0x10"]
)
def test_what_is_no_human_age_is_refused_with_what_was_written(written: object) -> None:
    with pytest.raises(ValueError, match="age"):
        parse_age(written)


@pytest.mark.parametrize(
    "written, meant",
    [("M", "male"), ("Male", "male"), (" man", "male"), ("F", "female"), ("woman", "female")],
)
def test_words_for_gender(written: str, meant: str) -> None:
    assert parse_gender(written) == meant


@pytest.mark.parametrize("written", ["x", 0, 1, "malefemale", "divers"])
def test_a_word_that_may_mean_anything_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="gender"):
        parse_gender(written)


def test_an_age_is_exact_where_both_ends_meet() -> None:
    assert Label(30, 30).age == 30 and not Label(30, 30).is_range
    assert Label(30, 40).age is None and Label(30, 40).is_range
    assert Label().age is None and not Label().is_range
    assert Label().is_empty and not Label(gender="male").is_empty and not Label(0, 0).is_empty
