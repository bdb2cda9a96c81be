"""What several tests of the engines watch."""

from __future__ import annotations

from typing import Any

import pytest

from mivolo_cli.model.architecture import FromPixels
from mivolo_cli.model.spec import ModelSpec
from mivolo_cli.runtime import graph_cache


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each conversion that takes place."""
    seen: list[str] = []
    convert = graph_cache.convert

    def watch(module: FromPixels, spec: ModelSpec) -> Any:
        seen.append(spec.name)
        return convert(module, spec)

    monkeypatch.setattr(graph_cache, "convert", watch)
    return seen
