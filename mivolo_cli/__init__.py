"""Age and gender of every person in a photo collection, with MiVOLO."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .api import Answer, Answers, Mivolo
    from .errors import MivoloError
    from .pipeline.options import InferenceOptions
    from .records import Box, Failure, Person, Photo, Prediction, Result

__all__ = [
    "Answer",
    "Answers",
    "Box",
    "Failure",
    "InferenceOptions",
    "Mivolo",
    "MivoloError",
    "Person",
    "Photo",
    "Prediction",
    "Result",
    "__version__",
]
_MODULES = {
    **dict.fromkeys(("Answer", "Answers", "Mivolo"), "api"),
    **dict.fromkeys(("Box", "Failure", "Person", "Photo", "Prediction", "Result"), "records"),
    "InferenceOptions": "pipeline.options",
    "MivoloError": "errors",
}


def __getattr__(name: str) -> Any:
    """Import the Python API on first use, because `Mivolo` needs heavy libraries and the command
    line does not."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
