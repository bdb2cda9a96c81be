"""Options and progress of a scan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..photos.passed import PassedOver
from ..pipeline.options import InferenceOptions
from ..records import Failure, Result
from .shards import Shard


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """Which photos, with what (`inference`), and where the results go.

    `archives` takes tar and Parquet files from folders, too; those that are named are always taken.
    `system_folders` takes folders that systems and programs keep for themselves. `skip_tagged`
    leaves out photos that carry tags of the same model, unless the table has them already. `listed`
    says that the paths came as a list: one that is missing becomes a row instead of an error. With
    `ray`, the work is done on the Ray cluster at `ray_address`, without one on a cluster of this
    machine; an output with no suffix is then a folder of Parquet files. `moved` says where the
    photos of an earlier run are now: see tables.moved.
    """

    paths: Sequence[Path]
    outputs: Sequence[Path] = ()
    annotate: Path | None = None
    inference: InferenceOptions = InferenceOptions()
    hidden: bool = False
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    archives: bool = False
    system_folders: bool = False
    listed: bool = False
    shard: Shard | None = None
    keep_missing: bool = False
    spreadsheet_safe: bool = False
    skip_tagged: bool = False
    ray: bool = False
    ray_address: str | None = None
    moved: Sequence[str] = ()


@dataclass(slots=True)
class Progress:
    """How far a scan has come; `total` photos is None until they have been counted.

    `reused` photos had results of an earlier run. `unchanged` says that the tables were as they
    should be already. `failure` is that of the photo that was done last, if it could not be read.
    `passed` is what was found in folders beside photos. `unreadable` has path, code and message of
    the first photos of the finished table that could not be read.
    """

    total: int | None = None
    photos: int = 0
    reused: int = 0
    people: int = 0
    no_people: int = 0
    no_usable_crop: int = 0
    skipped: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    unchanged: bool = False
    seconds: float = 0.0
    failure: Failure | None = field(default=None, compare=False)
    passed: PassedOver = field(default_factory=PassedOver, compare=False)
    unreadable: Sequence[Sequence[str]] = ()
    core_ms: Mapping[str, float] = field(default_factory=dict, compare=False)
    """CPU time of the photos that were processed, by stage: see cpu_times."""

    @property
    def failed(self) -> int:
        return self.failures.total()

    def count(self, result: Result | Failure) -> None:
        """Count a photo."""
        self.photos += 1
        self.failure = result if isinstance(result, Failure) else None
        if isinstance(result, Failure):
            self.failures[result.code] += 1
            return
        self.people += len(result.people)
        self.no_people += not result.people
        self.no_usable_crop += sum(prediction is None for _, prediction in result.people)

    def count_reused(self) -> None:
        """Count a photo that already had a result."""
        self.photos += 1
        self.reused += 1
        self.failure = None

    def start_again(self) -> None:
        """Reset all counts."""
        self.photos = self.reused = self.skipped = 0
        self.passed.clear()

    def recount(self, counts: Mapping[str, Any]) -> None:
        """Use the counts that publish.write_tables made of the whole table."""
        self.photos, self.people = counts["photos"], counts["people"]
        self.no_people, self.no_usable_crop = counts["no_people"], counts["no_usable_crop"]
        self.failures, self.unreadable = Counter(counts["failures"]), counts["unreadable"]
