"""Detect web addresses and glob patterns given as paths, and explain what to do instead."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from ..errors import BadInput
from ..storage import STORES, Url

ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):[/\\]+(.*)", re.IGNORECASE | re.DOTALL)
"""Matches URLs, also after Path has collapsed their slashes."""
WILD = re.compile(r"[*?\[]")
BUCKETS = "buckets are s3://, gs:// and az://"
SHOWN_PATHS = 3


def check_inputs(paths: Iterable[Path], scans: bool = False) -> None:
    """Reject web addresses, and patterns that no shell has expanded. Raises BadInput. `scans` means
    that folders can be given instead, with --include."""
    patterns = []
    for path in paths:
        if (address := web_address(path)) and not os.path.lexists(path):
            hint = f"download it first and give the local file or folder; {BUCKETS}"
            raise BadInput(
                f"{address} is a web address, and nothing is downloaded automatically", hint=hint
            )
        if is_pattern(path):
            patterns.append(path)
    if patterns:
        raise BadInput(
            f"no such file or folder: {_named(patterns)}", hint=_without_pattern(patterns, scans)
        )


def check_outputs(paths: Iterable[Path]) -> None:
    """Reject addresses that cannot be written to. Raises BadInput."""
    for path in paths:
        if address := web_address(path):
            hint = f"write to a local file and upload it; {BUCKETS}"
            raise BadInput(f"cannot write to {address}", hint=hint)


def check_model(name: str) -> None:
    """Reject the address of a model. Raises BadInput."""
    if address := web_address(name):
        raise BadInput(
            f"{address} is a web address, and models are not downloaded automatically",
            hint=(
                "`mivolo weights list` shows models and `mivolo weights fetch NAME` "
                "downloads one; give any other model as a file"
            ),
        )


def web_address(path: Path | str) -> str:
    """Return the address as typed, or an empty string for a path or the URL of a bucket."""
    match = None if isinstance(path, Url) else ADDRESS.fullmatch(str(path))
    if match is None or match[1] in (*STORES, "file"):
        return ""
    return f"{match[1]}://{match[2]}"


def is_pattern(path: Path) -> bool:
    """Return whether a path does not exist and looks like a glob pattern that no shell has
    expanded."""
    wild = not isinstance(path, Url) and WILD.search(str(path))
    return bool(wild) and not os.path.lexists(path)


def _named(paths: list[Path]) -> str:
    rest = len(paths) - SHOWN_PATHS
    return ", ".join(map(str, paths[:SHOWN_PATHS])) + (f" and {rest} more" if rest > 0 else "")


def _without_pattern(patterns: list[Path], scans: bool) -> str:
    hint = "remove the quotes, so that the shell expands the pattern"
    if not scans:
        return hint
    parts = patterns[0].parts
    wild = next(place for place, part in enumerate(parts) if WILD.search(part))
    folder, pattern = Path(*parts[:wild]), "/".join(parts[wild:])
    return f"{hint}; or give the folder: mivolo scan {folder} --include '{pattern}'"
