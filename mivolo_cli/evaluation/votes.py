"""Combine annotators' votes on ages into labels, and measure the annotators.

Source: Kuprashevich and Tolstykh (arXiv 2307.04616), section 4: the weight of a vote is e^(1/MAE),
with the annotator's mean absolute error on control items of known age.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..atomic import replacing
from ..datasets import Sample
from ..datasets.labels import Label, parse_age
from ..datasets.tables import read_text
from ..errors import BadInput
from ..records import Prediction
from .match import from_table
from .metrics import Outcome, Score, groups, score

CLIP = 6.0
"""Years from the median at which the winsorised mean clips votes."""
SMALLEST_MAE = 1e-3
"""Lower bound of the MAE in years; annotators without error outweigh all others."""
METHODS = ("weighted_mean", "mean", "median", "winsorized_mean")
HINT = (
    "votes are a CSV or Parquet table with the columns item, annotator and vote; "
    "controls and truth have item and age"
)


@dataclass(frozen=True, slots=True)
class VotesOptions:
    """`controls` and `truth` are tables of item and age. Annotators with fewer than `min_controls`
    votes on controls get no weight. `compare` is a result table of a scan over the items, to
    measure alongside the people."""

    votes: Path
    controls: Path
    out: Path
    truth: Path | None = None
    compare: Path | None = None
    min_controls: int = 3


@dataclass(frozen=True, slots=True)
class Annotator:
    """An annotator's result on the controls; `mae` in years, None if there were too few."""

    name: str
    votes: int
    controls: int
    mae: float | None


@dataclass(frozen=True, slots=True)
class Item:
    """The votes on one item, and the ages derived from them; `weighted_mean` is None if no voter
    has a weight."""

    name: str
    votes: list[float]
    weighted_mean: float | None
    mean: float
    median: float
    winsorized_mean: float

    @property
    def age(self) -> float:
        """The label: the weighted mean, or the median if there is none."""
        return self.median if self.weighted_mean is None else self.weighted_mean


@dataclass(frozen=True, slots=True)
class Comparison:
    """Scores against known ages, overall and by age band; `who` is people (single votes), a method
    of combining votes, or a table."""

    who: str
    score: Score
    by_age: dict[str, Score]


@dataclass(frozen=True, slots=True)
class VotesReport:
    """`missing` counts empty votes, `repeated` further votes of an annotator on the same item (the
    mean is used), and `unweighed` items where no voter had enough controls."""

    items: int
    annotators: list[Annotator]
    missing: int
    repeated: int
    unweighed: int
    comparisons: list[Comparison] = field(default_factory=list)


Votes = dict[str, dict[str, float]]
"""item -> annotator -> years."""


def combine_votes(options: VotesOptions) -> VotesReport:
    """Write a CSV of labels (path, age, votes, and the age by each method) to `out`.

    Raises BadInput for unusable tables, and OutputError if `out` cannot be written.
    """
    votes, known, missing, repeated = _read_votes(options.votes)
    controls = _read_ages(options.controls)
    known |= {} if options.truth is None else _read_ages(options.truth)
    annotators = measure(votes, controls, options.min_controls)
    mae = {annotator.name: annotator.mae for annotator in annotators if annotator.mae is not None}
    if not mae:
        raise BadInput(
            f"no annotator has voted on at least {options.min_controls} controls",
            hint=("check that items have the same names in both tables, or lower --min-controls"),
        )
    items = [combine(name, given, mae) for name, given in votes.items() if name not in controls]
    if not items:
        raise BadInput(
            f"all items of {options.votes} are controls", hint="add items whose age is unknown"
        )
    _write(items, options.out)
    return VotesReport(
        len(items),
        annotators,
        missing,
        repeated,
        sum(item.weighted_mean is None for item in items),
        list(_compare(items, votes, known, options.compare)),
    )


def measure(votes: Votes, controls: dict[str, float], min_controls: int) -> list[Annotator]:
    """Return each annotator's mean absolute error on the controls, best first."""
    errors: dict[str, list[float]] = {}
    count: dict[str, int] = {}
    for item, given in votes.items():
        for who, vote in given.items():
            count[who] = count.get(who, 0) + 1
            if item in controls:
                errors.setdefault(who, []).append(abs(vote - controls[item]))
    found = [
        Annotator(
            who, number, len(missed), fmean(missed) if len(missed) >= max(1, min_controls) else None
        )
        for who, number in count.items()
        for missed in [errors.get(who, [])]
    ]
    return sorted(found, key=lambda a: (a.mae is None, a.mae or 0.0, a.name))


def combine(name: str, votes: dict[str, float], mae: dict[str, float]) -> Item:
    """Combine the votes on one item, by annotator; `mae` has the errors of those with a weight."""
    given = list(votes.values())
    middle = median(given)
    weighed = [(vote, mae[who]) for who, vote in votes.items() if who in mae]
    return Item(
        name,
        given,
        weighted_mean(*zip(*weighed, strict=True)) if weighed else None,
        fmean(given),
        middle,
        float(np.clip(given, middle - CLIP, middle + CLIP).mean()),
    )


def weighted_mean(votes: Sequence[float], mae: Sequence[float]) -> float:
    """Return sum(v * e^(1/MAE)) / sum(e^(1/MAE)), computed without overflow."""
    exponents = 1 / np.maximum(np.asarray(mae, np.float64), SMALLEST_MAE)
    return float(np.average(votes, weights=np.exp(exponents - exponents.max())))


def _compare(
    items: Sequence[Item], votes: Votes, known: dict[str, float], table: Path | None
) -> Iterator[Comparison]:
    there = [item for item in items if item.name in known]
    if not there:
        if table is not None:
            raise BadInput(
                "there are no known ages to compare with",
                hint="give --truth, a table of item and age",
            )
        return
    labels = {item.name: Label(known[item.name], known[item.name]) for item in there}
    single = [(labels[item.name], vote) for item in there for vote in item.votes]
    yield _comparison("people", [Outcome(label, _prediction(vote)) for label, vote in single])
    for method in METHODS:
        ages = [(item.name, getattr(item, method)) for item in there]
        yield _comparison(
            method,
            [Outcome(labels[n], None if age is None else _prediction(age)) for n, age in ages],
        )
    if table is not None:
        samples = [Sample(item.name, b"", labels[item.name]) for item in there]
        found = from_table(table)(samples)
        yield _comparison(
            table.name, [Outcome(s.label, p) for s, p in zip(samples, found, strict=True)]
        )


def _comparison(who: str, outcomes: list[Outcome]) -> Comparison:
    bands = {name: score(part) for (by, name), part in groups(outcomes).items() if by == "age"}
    return Comparison(who, score(outcomes), bands)


def _prediction(age: float) -> Prediction:
    return Prediction(age, None, None, "")


def _read_votes(file: Path) -> tuple[Votes, dict[str, float], int, int]:
    """Return the votes, the known ages in the table, and the numbers of missing and repeated
    votes."""
    given: dict[str, dict[str, list[float]]] = {}
    known: dict[str, float] = {}
    missing = 0
    for place, row in _rows(file, ("item", "annotator", "vote")):
        vote = _age(row["vote"], place)
        if (age := _age(row.get("age"), place)) is not None:
            known[row["item"]] = age
        if vote is None:
            missing += 1
        else:
            given.setdefault(row["item"], {}).setdefault(row["annotator"], []).append(vote)
    if not given:
        raise BadInput(f"{file} has no votes", hint=HINT)
    votes = {item: {who: fmean(said) for who, said in by.items()} for item, by in given.items()}
    repeated = sum(len(said) - 1 for by in given.values() for said in by.values())
    return votes, known, missing, repeated


def _read_ages(file: Path) -> dict[str, float]:
    ages = {row["item"]: _age(row["age"], place) for place, row in _rows(file, ("item", "age"))}
    return {item: age for item, age in ages.items() if age is not None}


def _age(value: object, place: str) -> float | None:
    try:
        ends = parse_age(value)
    except ValueError as error:
        raise BadInput(f"{place}: {error}", hint=HINT) from error
    if ends is not None and ends[0] != ends[1]:
        raise BadInput(
            f"{place}: {value!r} is a range, not an age",
            hint="votes and known ages are single numbers",
        )
    return None if ends is None else ends[0]


def _rows(file: Path, columns: Sequence[str]) -> Iterable[tuple[str, dict[str, Any]]]:
    try:
        table = pq.read_table(file) if file.suffix.lower() == ".parquet" else read_text(file)
        known = table.column_names
    except (
        OSError,
        ValueError,
        pa.ArrowException,
    ) as error:  # a column name that is not UTF-8 is a ValueError
        raise BadInput(
            f"cannot read {file}: {(str(error).splitlines() or [''])[0]}", hint=HINT
        ) from error
    lacking = [name for name in columns if name not in known]
    if lacking:
        raise BadInput(f"{file} has no column {', '.join(lacking)}", hint=HINT)
    for number, row in enumerate(table.to_pylist(), start=1):
        names = {
            name: str(row[name]).strip()
            for name in ("item", "annotator")
            if row.get(name) is not None
        }
        if any(not names.get(name) for name in columns if name in ("item", "annotator")):
            raise BadInput(f"{file}, row {number}: an item or an annotator is not named", hint=HINT)
        yield f"{file}, row {number}", row | names


def _write(items: Sequence[Item], file: Path) -> None:
    """Write the labels as CSV. Raises OutputError."""
    lines = StringIO(newline="")
    writer = csv.writer(lines)
    writer.writerow(("path", "age", "votes", *METHODS))
    for item in items:
        figures = (getattr(item, name) for name in METHODS)
        writer.writerow((item.name, item.age, len(item.votes), *figures))
    with replacing(file, hint="choose another file with -o") as out:
        out.write(lines.getvalue().encode())
