"""Libraries that only tests need."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import pytest


def require(package: str) -> Any:
    """A library that only tests need: a test without it is skipped, but fails in continuous
    integration."""
    if os.environ.get("CI"):
        return importlib.import_module(package)
    return pytest.importorskip(package)
