"""Count photos and people in a result table: in total, and by year, month and folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ..records import whole_years
from .scores import is_certain
from .stream import by_photo, stream

BANDS = ((0, 4), (5, 14), (15, 29), (30, 44), (45, 64), (65, None))
"""Ages in whole years, bounds included, as grouped by `mivolo eval`."""
UNKNOWN = "unknown"
AGES = tuple(f"{low}+" if high is None else f"{low}-{high}" for low, high in BANDS)
GENDERS = ("female", "male")
COLUMNS = ("root", "path", "taken_at", "status", "age", "gender", "face_score", "body_score")
Row = Mapping[str, Any]


@dataclass(slots=True)
class Counts:
    """`people` were judged by the model, and only they have ages and genders; `not_judged` were too
    small or hidden. `photos` includes `no_people` and `unreadable`."""

    photos: int = 0
    no_people: int = 0
    unreadable: int = 0
    people: int = 0
    not_judged: int = 0
    genders: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*GENDERS, UNKNOWN), 0))
    ages: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*AGES, UNKNOWN), 0))

    def add(self, rows: Sequence[Row]) -> None:
        """Count one photo by the rows of people to count; empty if it has none."""
        self.photos += 1
        self.no_people += all(row["status"] == "no_people" for row in rows)
        self.unreadable += any(row["status"] == "error" for row in rows)
        for row in rows:
            self.not_judged += row["status"] == "no_usable_crop"
            if row["status"] == "ok":
                self.people += 1
                self.genders[row["gender"] or UNKNOWN] += 1
                self.ages[band(row["age"])] += 1

    def columns(self) -> dict[str, int]:
        """Return the numbers by column title, for display."""
        genders = {"no gender" if name == UNKNOWN else name: n for name, n in self.genders.items()}
        ages = {"no age" if name == UNKNOWN else name: n for name, n in self.ages.items()}
        return {
            **{"photos": self.photos, "people": self.people, **genders, **ages},
            **{"not judged": self.not_judged, "no people": self.no_people},
            "unreadable": self.unreadable,
        }


@dataclass(slots=True)
class Summary:
    """Counts of all photos, and of parts: years as 2015 and months as "2015-06", both None if the
    date of a photo is unknown, and folders as root and path below it."""

    all: Counts = field(default_factory=Counts)
    years: dict[int | None, Counts] = field(default_factory=lambda: defaultdict(Counts))
    months: dict[str | None, Counts] = field(default_factory=lambda: defaultdict(Counts))
    folders: dict[tuple[str, str], Counts] = field(default_factory=lambda: defaultdict(Counts))

    def add(self, rows: Sequence[Row], min_score: float = 0.0) -> None:
        """Count one photo by all of its rows; people who scored less are skipped."""
        time, path = rows[0]["taken_at"], rows[0]["path"]
        folder = rows[0]["root"], path.rpartition("/")[0] or "."
        people = [row for row in rows if is_certain(row, min_score)]
        for counts in (
            self.all,
            self.years[time and time.year],
            self.months[time and time.isoformat()[:7]],
            self.folders[folder],
        ):
            counts.add(people)

    def by_year(self) -> Iterator[tuple[int | None, Counts]]:
        """The years in their order, and last what has none."""
        yield from sorted(self.years.items(), key=lambda item: (item[0] is None, item[0]))

    def by_month(self) -> Iterator[tuple[str | None, Counts]]:
        """The months in their order, and last what has none."""
        yield from sorted(self.months.items(), key=lambda item: (item[0] is None, item[0]))

    def by_folder(self) -> Iterator[tuple[tuple[str, str], Counts]]:
        """Yield the folders in walking order; each photo counts only for its own folder."""
        yield from sorted(self.folders.items(), key=lambda item: _steps(*item[0]))

    def named_folders(self) -> Iterator[tuple[str, Counts]]:
        """Yield the same with paths relative to the root, or full paths if there are several
        roots."""
        has_one_root = len({root for root, _ in self.folders}) == 1
        for (root, folder), counts in self.by_folder():
            whole = root if folder == "." else f"{root.rstrip('/')}/{folder}"
            yield folder if has_one_root else whole, counts


def summarise(results: Path, min_score: float = 0.0) -> Summary:
    """Read a result table of any size. Raises BadInput."""
    summary = Summary()
    for rows in by_photo(stream(results), COLUMNS):
        summary.add(rows, min_score)
    return summary


def band(age: float | None) -> str:
    """Return the name of an age's band; ages are rounded as for display."""
    if age is None:
        return UNKNOWN
    fitting = (name for name, (low, _) in zip(AGES, BANDS, strict=True) if low <= whole_years(age))
    return list(fitting)[-1]


def _steps(root: str, folder: str) -> tuple[str, tuple[str, ...]]:
    return root, PurePosixPath(folder).parts
