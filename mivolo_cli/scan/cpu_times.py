"""CPU time of a scan by stage."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

TASKS = Path("/proc/self/task")
STAGES = {"decode": "decode", "detect": "find_people", "MainThread": "results"}
"""Thread name up to the first underscore -> stage."""
EVERY_SECONDS = 0.5


class CpuTimes:
    """Samples the CPU time of the program's threads. Threads that have ended count as last sampled.
    Threads are told apart on Linux only; elsewhere, all time is counted as `networks`.

    `decode` and `find_people` run in threads of these names, `results` (crops to batches, tables,
    progress) in the main thread, `networks` in library threads, and `sandbox` in child processes
    that have ended.
    """

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, int | None], float] = {}
        self._due = 0.0
        self.sample()
        self._before = self._by_stage()

    def sample(self, now: bool = False) -> None:
        if time.monotonic() < self._due and not now:
            return
        self._due = time.monotonic() + EVERY_SECONDS
        for thread in threading.enumerate():
            name = thread.name.partition("_")[0]
            if name in STAGES:
                with suppress(OSError, ValueError, IndexError):
                    self._seconds[name, thread.native_id] = _seconds(thread.native_id)

    def milliseconds(self, photos: int) -> dict[str, float]:
        """Return core-milliseconds per photo by stage, including the time to open the models."""
        self.sample(now=True)
        spent = {name: all_ - self._before[name] for name, all_ in self._by_stage().items()}
        return {name: round(1000 * value / max(photos, 1), 2) for name, value in spent.items()}

    def _by_stage(self) -> dict[str, float]:
        found = dict.fromkeys(STAGES.values(), 0.0)
        for (name, _), seconds in self._seconds.items():
            found[STAGES[name]] += seconds
        usage = os.times()
        total = usage.user + usage.system
        sandbox = usage.children_user + usage.children_system
        networks = max(0.0, total - sum(found.values()))
        return found | {"networks": networks, "sandbox": sandbox, "total": total + sandbox}


def _seconds(native_id: int | None) -> float:
    """Return the CPU time of a thread. Raises OSError if it has ended."""
    text = (TASKS / str(native_id) / "stat").read_text("ascii", "replace")
    facts = text.rpartition(")")[2].split()  # the name before it may contain spaces
    return (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")
