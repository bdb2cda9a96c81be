"""Write files and folders atomically: they get their names only when complete.

This module is the only place that writes next to a target, syncs and renames, and it decides what
may be replaced (`check_file`): only missing or empty files and those of the program's own kind, and
never a command's inputs. Writers that fail or are interrupted leave nothing behind. Links are
followed, so a link stays a link.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from . import storage
from .errors import BadInput, OutputError
from .storage import Url

ROOM = "free some disk space or choose another folder, then run the same command again"
MOVE_AWAY = "choose another name, or move the existing file or folder"
PART = re.compile(r"\.(.+)\.[0-9a-f]{8}\.part", re.DOTALL)
"""The name of a temporary file or folder, with the name that it was going to take."""
LONGEST_NAME = 240
"""Bytes of that name: with what is added to it, it still fits into the 255 of most systems."""
OWNER = stat.S_IRUSR | stat.S_IWUSR


@dataclass(frozen=True, slots=True)
class Draft:
    """A temporary file at `path`, opened as `file`, that will replace `target`. `mode` is that of
    the replaced file, or None for a new one (the umask decides)."""

    target: Path
    path: Path
    file: BinaryIO
    mode: int | None

    def finish(self) -> None:
        """Close the file and put all of it on the disk, with its mode. Raises OSError."""
        if self.file.closed:  # somebody else wrote it, by its name
            with self.path.open("rb+") as written:
                sync(written)
        else:
            sync(self.file)
            self.file.close()
        if self.mode is not None:
            _set_mode(self.path, self.mode)

    def publish(self) -> None:
        """Give a finished file its name. Raises OSError."""
        os.replace(self.path, self.target)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file that the program writes: what people call one, whether a file is one, and what
    to do about a file of that name that is not.

    One that is written `in_place`, line by line, may also be a terminal, or /dev/null.
    """

    name: str
    is_ours: Callable[[Path], bool]
    hint: str = MOVE_AWAY
    in_place: bool = False

    def refusal(self, path: Path) -> BadInput:
        return BadInput(f"{path} exists and is not a {self.name}", hint=self.hint)


def check_file(
    path: Path,
    kind: Kind,
    *,
    suffix: str = "",
    inputs: Iterable[Path] = (),
    replace: bool = False,
) -> None:
    """Refuse, before any work, an output that cannot be written, is one of the command's inputs, or
    exists and is neither empty nor of this kind. Raises BadInput.

    With `replace`, the user allows any file to be replaced, but never an input.
    """
    if suffix and path.suffix.lower() != suffix:
        raise BadInput(
            f"{path} does not end in {suffix}",
            hint=f"name the output {path.with_suffix(suffix).name}",
        )
    refuse_inputs([path], inputs)
    check_parent(path)
    if os.path.isdir(path):
        raise BadInput(f"{path} is a folder", hint="choose another name for the output")
    if not may_replace(path, kind, anyway=replace):
        raise kind.refusal(path)


def may_replace(path: Path, kind: Kind, *, anyway: bool = False) -> bool:
    """Whether the name can be overwritten without loss: it does not exist, is empty, is of this
    kind, or `anyway` is set. A link must always lead to a file of this kind, since any other target
    could be anywhere."""
    target = real(path)
    if os.path.islink(target):  # a link in circles
        return True
    if kind.in_place and target.is_char_device():
        return True
    if os.path.islink(path):
        return os.path.isfile(target) and kind.is_ours(target)
    if not os.path.lexists(target):
        return True
    try:
        return target.is_file() and (anyway or target.stat().st_size == 0 or kind.is_ours(target))
    except OSError:
        return False


def refuse_inputs(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raises BadInput if an output is an input under any name or link."""
    inputs = list(inputs)
    for path in outputs:
        if any(is_same(path, other) for other in inputs):
            raise BadInput(
                f"{path} is an input of this command and would be overwritten",
                hint="choose another name for the output",
            )


def refuse_twins(outputs: Sequence[Path]) -> None:
    """Raises BadInput if two outputs are the same file; devices such as a terminal may be
    shared."""
    files = [path for path in outputs if not path.is_char_device()]
    for place, path in enumerate(files):
        if any(is_same(path, other) for other in files[:place]):
            raise BadInput(
                f"{path} is given as an output twice", hint="give each output its own name"
            )


def is_same(one: Path, other: Path) -> bool:
    """Whether two names refer to the same file or folder, through links, hard links, or a file
    system that ignores case."""
    if real(one) == real(other):
        return True
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


def open_lines(path: Path, kind: Kind, *, append: bool = False) -> IO[str]:
    """A text file (UTF-8) that is written in place, so that each line is there at once: a new one,
    or one of this kind, from its start or its end. Raises BadInput for any other file, and OSError.
    """
    if not may_replace(path, kind):
        raise kind.refusal(path)
    return real(path).open("a" if append else "w", encoding="utf-8", newline="")


def check_folder(path: Path) -> None:
    """Refuse, before any work, a folder that could not be made or already holds something. Raises
    BadInput."""
    check_parent(path)
    if os.path.lexists(path) and not (
        path.is_dir() and not path.is_symlink() and not any(path.iterdir())
    ):
        raise BadInput(f"{path} exists and is not an empty folder", hint="choose another name")


@contextmanager
def draft(target: Path, folder: Path | None = None) -> Iterator[Draft]:
    """A temporary file for a target whose links have been followed (`real`): next to it, or in
    another folder. It is deleted at the end unless it was published.

    For writers with needs of their own; `new_file` and `replacing` suit all others. Raises OSError.
    """
    path = part_of(target, folder)
    mode = _mode(target)
    file = path.open("xb")
    try:
        if mode is not None:  # from the start: the old file may be for few eyes
            _set_mode(path, mode | OWNER)
        yield Draft(target, path, file, mode)
    finally:
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            path.unlink()


@contextmanager
def replacing(path: Path, hint: str = ROOM, *, follow: bool = True) -> Iterator[BinaryIO]:
    """A file that takes the place of `path`, complete and on the disk, if the block ends without an
    exception; unless `follow`, also the place of a link, which could lead anywhere.

    Raises OutputError with this hint; OSErrors of the block count as troubles of this file.
    """
    with reported(path, hint), draft(real(path) if follow else path) as part:
        yield part.file
        part.finish()
        part.publish()


@contextmanager
def new_file(path: Path, hint: str = ROOM) -> Iterator[Path]:
    """As `replacing`, for what is written by its name: an empty temporary file next to `path`.

    Raises OutputError.
    """
    with reported(path, hint), draft(real(path)) as part:
        part.file.close()
        yield part.path
        part.finish()
        part.publish()


@contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A temporary folder next to `path` to fill; it takes the name if the block ends without an
    exception.

    A folder that stands there is empty, unless its content is to be replaced. Raises OutputError.
    """
    target = real(path)
    temporary = part_of(target)
    try:
        with reported(path):
            temporary.mkdir()
            yield temporary
            if replace:
                _swap(temporary, target)
            else:
                with suppress(FileNotFoundError):
                    target.rmdir()
                temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def reported(path: Path, hint: str = ROOM) -> Iterator[None]:
    """OSErrors of the block as OutputError: what could not be written, and why. The hint for a Url
    is that of its store."""
    try:
        yield
    except OSError as error:
        advice = storage.hint(error, str(path)) if isinstance(path, Url) else hint
        raise OutputError(f"cannot write {path}: {error.strerror or error}", hint=advice) from error


def real(path: Path) -> Path:
    """The file behind links, so that a link stays one. Unlike Path.resolve() this bears links that
    go in circles."""
    return path if isinstance(path, Url) else Path(os.path.realpath(path))


def part_of(target: Path, folder: Path | None = None) -> Path:
    """A new, hidden name for a temporary file or folder, next to the target or in another
    folder."""
    return (folder or target.parent) / f".{_stem(target)}.{secrets.token_hex(4)}.part"


def sync(file: IO[bytes] | IO[str]) -> None:
    """Put on the disk what has been written to an open file. Raises OSError."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to disk, where the file system supports it."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def remove_leftovers(target: Path) -> None:
    """Delete leftovers of a killed run next to a target. Nobody may be writing it."""
    with suppress(OSError):
        for file in leftovers(target.parent, target):
            discard(file)


def leftovers(folder: Path, target: Path | None = None) -> list[Path]:
    """The temporary files and folders in a folder: all, or those of one target. Raises OSError."""
    found = [(PART.fullmatch(name), folder / name) for name in sorted(os.listdir(folder))]
    return [
        file for match, file in found if match and (target is None or match[1] == _stem(target))
    ]


def discard(path: Path) -> None:
    """Delete a file, or a folder with all in it; of a link only itself. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _stem(target: Path) -> str:
    """The name, or the beginning of one that would be too long with more around it."""
    coded = os.fsencode(target.name)
    if len(coded) <= LONGEST_NAME:
        return target.name
    return coded[:LONGEST_NAME].decode("utf-8", "ignore")


def _mode(target: Path) -> int | None:
    """The permissions of the file that is going to be replaced."""
    if isinstance(target, Url):
        return None
    try:
        info = target.lstat()
    except OSError:
        return None
    return stat.S_IMODE(info.st_mode) if stat.S_ISREG(info.st_mode) else None


def _set_mode(path: Path, mode: int) -> None:
    with suppress(OSError):  # some file systems have no permissions
        path.chmod(mode)


def _swap(temporary: Path, target: Path) -> None:
    """Put a folder in the place of another, which comes back if that fails. Raises OSError."""
    old = part_of(target)
    try:
        with suppress(FileNotFoundError):
            target.rename(old)
        temporary.rename(target)
    except BaseException:
        if not os.path.lexists(target):
            with suppress(OSError):
                old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def check_parent(path: Path) -> None:
    """Refuse a file or folder in no folder, or in one that may not be written into. Raises
    BadInput."""
    folder = real(path).parent
    if not folder.is_dir():
        raise BadInput(
            f"the folder of {path} does not exist", hint=f"create {folder} or choose another one"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadInput(
            f"no permission to write to {folder}",
            hint="choose another folder or change its permissions",
        )
