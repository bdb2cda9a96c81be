"""Threads may end in any order: their results do not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from mivolo_cli.threads import ordered


def test_results_keep_the_order_of_their_items() -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.02 if number % 4 == 0 else 0)
        return number * 2

    assert list(ordered(slow_at_first, range(20), 4, "test")) == list(range(0, 40, 2))


@pytest.mark.parametrize(("ahead", "most"), [(None, 4), (1, 1), (7, 7)])
def test_no_more_items_are_asked_for_than_may_be_under_way(ahead: int | None, most: int) -> None:
    asked = 0

    def items() -> Iterator[int]:
        nonlocal asked
        for number in range(20):
            asked += 1
            yield number

    for taken, _ in enumerate(ordered(str, items(), 2, "test", ahead)):
        assert asked <= taken + most


def test_threads_work_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=10)
    assert len(list(ordered(lambda _: together.wait(), range(6), 3, "test"))) == 6


def test_closing_drops_what_has_not_begun_and_ends_the_threads() -> None:
    begun = []
    go = threading.Event()

    def work(number: int) -> int:
        begun.append(number)
        if number:
            go.wait(10)
        return number

    results = ordered(work, range(100), 1, "closing", ahead=5)
    assert next(results) == 0
    threading.Timer(0.1, go.set).start()
    results.close()
    assert begun in ([0], [0, 1])
    assert not [one for one in threading.enumerate() if one.name.startswith("closing")]


def test_an_exception_of_the_function_comes_in_its_place() -> None:
    results = ordered(lambda number: 1 // number, [1, 0, 2], 2, "test")
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_an_exception_of_the_items_is_raised() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(ordered(str, items(), 2, "failing"))
    assert not [one for one in threading.enumerate() if one.name.startswith("failing")]
