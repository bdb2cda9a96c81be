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
"""Name of a temporary file or folder, containing the name of its target."""
LONGEST_NAME = 240
"""Maximum length of the target's name in bytes: with the additions, it fits into the limit of 255
on most systems."""
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
        """Close the file and flush it to disk, with its mode. Raises OSError."""
        if self.file.closed:  # written by its name
            with self.path.open("rb+") as written:
                sync(written)
        else:
            sync(self.file)
            self.file.close()
        if self.mode is not None:
            _set_mode(self.path, self.mode)

    def publish(self) -> None:
        """Move a finished file to its target. Raises OSError."""
        os.replace(self.path, self.target)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file that the program writes: its name for users, a test for existing files, and a
    hint if another file is in the way.

    A file written `in_place`, line by line, may also be a terminal or /dev/null.
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
    """Reject, before any work, an output that cannot be written, is one of the command's inputs, or
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
    """Return whether the name can be overwritten without loss: it does not exist, is empty, is of
    this kind, or `anyway` is set. A link must always lead to a file of this kind, since any other
    target could be anywhere."""
    target = real(path)
    if os.path.islink(target):  # a cyclic link
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
    """Raise BadInput if an output is an input under any name or link."""
    inputs = list(inputs)
    for path in outputs:
        if any(is_same(path, other) for other in inputs):
            raise BadInput(
                f"{path} is an input of this command and would be overwritten",
                hint="choose another name for the output",
            )


def refuse_twins(outputs: Sequence[Path]) -> None:
    """Raise BadInput if two outputs are the same file; devices such as a terminal may be shared."""
    files = [path for path in outputs if not path.is_char_device()]
    for place, path in enumerate(files):
        if any(is_same(path, other) for other in files[:place]):
            raise BadInput(
                f"{path} is given as an output twice", hint="give each output its own name"
            )


def is_same(one: Path, other: Path) -> bool:
    """Return whether two names refer to the same file or folder, through links, hard links, or a
    file system that ignores case."""
    if real(one) == real(other):
        return True
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


def open_lines(path: Path, kind: Kind, *, append: bool = False) -> IO[str]:
    """Open a text file (UTF-8) for writing in place, so that each line appears immediately: a new
    one or one of this kind, overwritten or appended to. Raises BadInput for any other file, and
    OSError."""
    if not may_replace(path, kind):
        raise kind.refusal(path)
    return real(path).open("a" if append else "w", encoding="utf-8", newline="")


def check_folder(path: Path) -> None:
    """Reject, before any work, a folder that cannot be created or is not empty. Raises BadInput."""
    check_parent(path)
    if os.path.lexists(path) and not (
        path.is_dir() and not path.is_symlink() and not any(path.iterdir())
    ):
        raise BadInput(f"{path} exists and is not an empty folder", hint="choose another name")


@contextmanager
def draft(target: Path, folder: Path | None = None) -> Iterator[Draft]:
    """Create a temporary file for a target with resolved links (`real`): next to it, or in another
    folder. It is deleted at the end unless it was published.

    For writers with special needs; `new_file` and `replacing` suit all others. Raises OSError.
    """
    path = part_of(target, folder)
    mode = _mode(target)
    file = path.open("xb")
    try:
        if mode is not None:  # immediately: access to the old file may be restricted
            _set_mode(path, mode | OWNER)
        yield Draft(target, path, file, mode)
    finally:
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            path.unlink()


@contextmanager
def replacing(path: Path, hint: str = ROOM, *, follow: bool = True) -> Iterator[BinaryIO]:
    """Open a file that replaces `path`, complete and on disk, if the block ends without an
    exception. Without `follow`, a link at `path` is itself replaced, because it could lead
    anywhere.

    Raises OutputError with this hint; any OSError in the block is attributed to this file.
    """
    with reported(path, hint), draft(real(path) if follow else path) as part:
        yield part.file
        part.finish()
        part.publish()


@contextmanager
def new_file(path: Path, hint: str = ROOM) -> Iterator[Path]:
    """Like `replacing`, for writers that need a name: an empty temporary file next to `path`.

    Raises OutputError.
    """
    with reported(path, hint), draft(real(path)) as part:
        part.file.close()
        yield part.path
        part.finish()
        part.publish()


@contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Create a temporary folder next to `path`, which is renamed to it if the block ends without an
    exception.

    An existing folder must be empty, unless `replace` is set. Raises OutputError.
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
    """Convert OSErrors in the block to OutputError, with path and reason. The hint for a Url is
    that of its store."""
    try:
        yield
    except OSError as error:
        advice = storage.hint(error, str(path)) if isinstance(path, Url) else hint
        raise OutputError(f"cannot write {path}: {error.strerror or error}", hint=advice) from error


def real(path: Path) -> Path:
    """Resolve links, so that writing keeps them. Unlike Path.resolve(), this accepts cyclic
    links."""
    return path if isinstance(path, Url) else Path(os.path.realpath(path))


def part_of(target: Path, folder: Path | None = None) -> Path:
    """Return a new, hidden name for a temporary file or folder, next to the target or in another
    folder."""
    return (folder or target.parent) / f".{_stem(target)}.{secrets.token_hex(4)}.part"


def sync(file: IO[bytes] | IO[str]) -> None:
    """Flush an open file to disk. Raises OSError."""
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
    """Delete leftovers of a killed run next to a target. No other process may be writing it."""
    with suppress(OSError):
        for file in leftovers(target.parent, target):
            discard(file)


def leftovers(folder: Path, target: Path | None = None) -> list[Path]:
    """List the temporary files and folders in a folder: all, or those of one target. Raises
    OSError."""
    found = [(PART.fullmatch(name), folder / name) for name in sorted(os.listdir(folder))]
    return [
        file for match, file in found if match and (target is None or match[1] == _stem(target))
    ]


def discard(path: Path) -> None:
    """Delete a file, or a folder with its content; a link is deleted, but not its target. Raises
    OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _stem(target: Path) -> str:
    """Return the target's name, truncated if it would be too long with the additions."""
    coded = os.fsencode(target.name)
    if len(coded) <= LONGEST_NAME:
        return target.name
    return coded[:LONGEST_NAME].decode("utf-8", "ignore")


def _mode(target: Path) -> int | None:
    """Return the permissions of the file to be replaced."""
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
    """Replace a folder by another; it is restored if that fails. Raises OSError."""
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
    """Reject a path whose folder does not exist or is not writable. Raises BadInput."""
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
