"""Progress bars for verbs that count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def counting(name: str, unit: str) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; the function it gives is to be called with the number done so far."""
    from tqdm import tqdm

    with tqdm(desc=name, unit=unit, disable=None, dynamic_ncols=True, leave=False) as bar:

        def show(done: int) -> None:
            bar.update(done - bar.n)

        yield show
