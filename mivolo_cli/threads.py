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
    """`function` of each item, in their order, by threads of this name; as `in_order`, with
    2 * workers under way unless told otherwise.

    Closing the generator waits for the items being worked on and drops the others. Raises what the
    function or the items raise.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix=name)
    try:
        yield from in_order(pool, function, items, ahead or 2 * workers)
    finally:
        pool.shutdown(cancel_futures=True)


def in_order(
    pool: Executor, function: Callable[[Item], Made], items: Iterable[Item], ahead: int
) -> Generator[Made, None, None]:
    """`function` of each item, in their order, by a pool that the caller shuts down.

    At most `ahead` items are under way, from the asking for an item to the handing out of its
    result; a new one is asked for when the oldest result has been taken.
    """
    under_way: deque[Future[Made]] = deque()
    for item in items:
        under_way.append(pool.submit(function, item))
        del item  # it may be large, and be gone before the next one comes
        if len(under_way) >= ahead:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()
