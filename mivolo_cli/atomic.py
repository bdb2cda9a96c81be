"""Files and folders that appear under their names only when they are complete, and never in
another's place."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import BadInput, OutputError


def check_file(path: Path, suffix: str, replace: bool) -> None:
    """Refuse, before any work, a file that could not be written or stands already. Raises
    BadInput."""
    if path.suffix.lower() != suffix:
        raise BadInput(
            f"{path} does not end in {suffix}",
            hint=f"name the output {path.with_suffix(suffix).name}",
        )
    _check_parent(path)
    if os.path.lexists(path) and not (replace and path.is_file()):
        hint = "choose another name" if path.is_dir() else "choose another name, or add --replace"
        raise BadInput(f"{path} exists already", hint=hint)


def check_folder(path: Path) -> None:
    """Refuse, before any work, a folder that could not be made or already holds something. Raises
    BadInput."""
    _check_parent(path)
    if os.path.lexists(path) and not (
        path.is_dir() and not path.is_symlink() and not any(path.iterdir())
    ):
        raise BadInput(f"{path} exists and is not an empty folder", hint="choose another name")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` to write; it takes the name if the block ends without an
    exception.

    Raises OutputError.
    """
    temporary = _beside(path)
    try:
        with reported(path):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, os.path.realpath(path))
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path` to fill; it takes the name if the block ends without an
    exception.

    A folder that stands there is empty, unless its content is to be replaced. Raises OutputError.
    """
    temporary, old = _beside(path), _beside(path)
    try:
        with reported(path):
            temporary.mkdir()
            yield temporary
            with suppress(FileNotFoundError):
                path.rename(old) if replace else path.rmdir()
            temporary.rename(path)
            if replace:
                shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def discard(path: Path) -> None:
    """Delete a file, or a folder with all in it; of a link only itself. Raises OSError."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """OSErrors of the block as OutputError: what could not be written, and why."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}",
            hint="make room or choose another folder, and run the same command again",
        ) from error


def _beside(path: Path) -> Path:
    real = Path(os.path.realpath(path))
    return real.with_name(f".{real.name[:100]}.{secrets.token_hex(4)}.part")


def _check_parent(path: Path) -> None:
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise BadInput(
            f"the folder of {path} does not exist", hint=f"create {folder} or choose another one"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadInput(
            f"no permission to write into {folder}",
            hint="choose another folder or change its permissions",
        )
