"""Stand-ins that keep what they are called with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def keeping(calls: list[Any], answer: Callable[..., Any]) -> Callable[..., Any]:
    """Does as `answer` does, and keeps the first argument of every call in `calls`."""

    def call(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments[0])
        return answer(*arguments, **options)

    return call
