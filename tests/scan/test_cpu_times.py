"""A scan tells where its CPU time went."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest
from helpers.photos import save_photo
from helpers.quick import QuickBackend
from helpers.scans import scan_options

from mivolo_cli.scan.cpu_times import CpuTimes
from mivolo_cli.scan.run import scan

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@linux
@pytest.mark.parametrize(
    ("name", "stage"), [("decode_0", "decode"), ("detect_3", "find_people"), ("other", "networks")]
)
def test_threads_count_for_their_stage(name: str, stage: str) -> None:
    times, burnt, done = CpuTimes(), threading.Event(), threading.Event()

    def work() -> None:
        burn(0.3)
        burnt.set()
        done.wait(20)

    thread = threading.Thread(target=work, name=name)
    thread.start()
    assert burnt.wait(20)
    spent = times.milliseconds(photos=2)
    done.set()
    thread.join()
    assert 120 <= spent[stage] <= 400 and spent["total"] >= spent[stage]
    assert spent["total"] == pytest.approx(sum(spent.values()) - spent["total"], abs=30)


def test_threads_that_have_ended_count_as_last_seen() -> None:
    times = CpuTimes()
    thread = threading.Thread(target=burn, args=(0.1,), name="decode_0")
    thread.start()
    times.sample(now=True)
    thread.join()
    first = times.milliseconds(1)
    assert first["total"] >= 90 and times.milliseconds(10)["total"] <= first["total"] / 5


def test_a_scan_says_where_its_cpu_time_went(tmp_path: Path) -> None:
    save_photo(tmp_path / "album" / "a.jpg")
    options = scan_options([tmp_path / "album"], [tmp_path / "people.csv"])
    spent = scan(options, backend=QuickBackend).core_ms
    assert set(spent) == {"decode", "find_people", "results", "networks", "sandbox", "total"}
    assert spent["total"] > 0 and all(value >= 0 for value in spent.values())
    assert scan(options, backend=QuickBackend).core_ms == {}, "nothing was left to do"
