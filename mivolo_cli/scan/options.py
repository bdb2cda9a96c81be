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
    """Which photos to scan, how (`inference`), and where to write the results.

    `archives` includes tar and Parquet files in folders; those named explicitly are always
    included. `system_folders` includes folders reserved by systems and programs. `skip_tagged`
    skips photos that have tags from the same model, unless they are already in the table. `listed`
    means that the paths came from a list: a missing one becomes a row instead of an error. `ray`
    runs the scan on the Ray cluster at `ray_address`, or, without one, on a cluster on this
    machine; an output without a suffix is then a folder of Parquet files. `moved` says where the
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
    """Progress of a scan; `total` is None until the photos have been counted.

    `reused` is the number of photos with results from an earlier run. `unchanged` means that the
    tables were already up to date. `failure` is set if the last photo could not be read. `passed`
    counts other files found in the folders. `unreadable` has path, code and message of the first
    unreadable photos in the finished table.
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
    """CPU time per processed photo by stage: see cpu_times."""

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
