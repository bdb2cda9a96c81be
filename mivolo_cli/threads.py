"""Run work in threads, with results in the order of the inputs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def ordered(
    function: Callable[[Item], Made],
    items: Iterable[Item],
    workers: int,
    name: str,
    ahead: int | None = None,
) -> Generator[Made, None, None]:
    """Yield `function` of each item, in order, run by threads with this name. Like `in_order`, with
    2 * workers items in progress by default.

    Closing the generator waits for items in progress and drops the others. Raises what the function
    or the items raise.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix=name)
    try:
        yield from in_order(pool, function, items, ahead or 2 * workers)
    finally:
        pool.shutdown(cancel_futures=True)


def in_order(
    pool: Executor, function: Callable[[Item], Made], items: Iterable[Item], ahead: int
) -> Generator[Made, None, None]:
    """Yield `function` of each item, in order, run by a pool that the caller shuts down.

    At most `ahead` items are in progress, from requesting an item to yielding its result; a new one
    is requested when the oldest result has been taken.
    """
    under_way: deque[Future[Made]] = deque()
    for item in items:
        under_way.append(pool.submit(function, item))
        del item  # it may be large: free it before the next one is requested
        if len(under_way) >= ahead:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()
