"""Restrict networks to the process that loaded them: a fork does not copy the threads of OpenVINO
and PyTorch, so calls in the child would hang."""

from __future__ import annotations

import os
from threading import Lock

from ..errors import MivoloError


class _Owner:
    """The process that uses networks, set on first use."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: int | None = None

    def require(self) -> None:
        if self._process is None:
            with self._lock:
                self._process = self._process or os.getpid()
        if self._process != os.getpid():
            raise MivoloError(
                "this process was forked from one that had a model loaded",
                hint="start workers with multiprocessing.get_context('spawn'), or open the first"
                " Mivolo in the workers (gunicorn: without --preload)",
            )


_owner = _Owner()


def require_own_process() -> None:
    """Raise MivoloError in a process forked from one that opened or ran a network. Call this before
    doing either."""
    _owner.require()
