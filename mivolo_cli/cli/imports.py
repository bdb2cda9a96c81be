"""Avoid imports of libraries that a command does not use."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder


class _WithoutPandas(MetaPathFinder):
    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name=name)


def spare_pandas() -> None:
    """Keep PyArrow from importing pandas, which takes half a second, when it creates its first
    array. Conversion to DataFrames still works."""
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    finder = _WithoutPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([], pa.null())  # PyArrow checks for pandas only once
    finally:
        sys.meta_path.remove(finder)
