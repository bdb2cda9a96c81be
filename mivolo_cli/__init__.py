"""Age and gender of every person in a photo collection, with MiVOLO."""

from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .api import Answer, Answers, Mivolo

__all__ = ["Answer", "Answers", "Mivolo", "__version__"]


def __getattr__(name: str) -> Any:
    """The Python API, imported when it is asked for: it needs heavy libraries, and the command line
    does not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import api

    return getattr(api, name)
