"""The known weights: where they are stored, and whether they are unchanged.

Nothing is loaded or downloaded here. Known weights are those in `registry.toml` and those added by
the user.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
import logging
import os
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import platformdirs
from filelock import FileLock
from safetensors import SafetensorError, safe_open

from .. import storage
from ..atomic import replacing, reported
from ..errors import WeightsError
from . import private
from .spec import METADATA_KEY

logger = logging.getLogger(__name__)
Kind = Literal["model", "detector"]
Check = Literal["ok", "missing", "mismatch", "no registered hash"]

REGISTRY = "registry.toml"
MAX_RECORDS = 64 * 1024**2
RECORDS = "hashes.json"
SUFFIXES = (".safetensors", ".pth.tar", ".pth", ".pt", ".ckpt", ".bin", ".onnx")
PUBLISHED = ("mivolo-v2", "yolov8x-person-face")
"""The model and the detector that MiVOLO's authors publish together: the name `published`."""
OWN_LICENCE = "not known, added by you"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of weights. `sha256` is None if no hash is known yet, `bytes` if the size was never
    stated.

    A `pickle` contains more than weights: it is used only if it contains just a model of known
    layers (see restricted), or was trusted by the user.
    """

    name: str
    kind: Kind
    file: str
    licence: str
    url: str = ""
    sha256: str | None = None
    bytes: int | None = None
    licence_url: str = ""
    page: str = ""
    embedded: bool = False
    pickle: bool = False
    notes: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """Record of a file in the user's folder: its hash when it was added."""

    name: str
    kind: Kind
    sha256: str
    trusted: bool = False
    """Whether the user allowed this pickle to execute its code."""


@dataclass(frozen=True, slots=True)
class Status:
    """A row of the list: `path` is None if the file is missing, `bytes` if its size is unknown."""

    entry: Entry
    path: Path | None
    bytes: int | None


def folder() -> Path:
    """Return the folder of the weights that ship with the package: inside the installed package, or
    next to it in a source checkout."""
    package = Path(__file__).resolve().parents[1]
    for place in (package / "_weights", package.parent / "weights"):
        if (place / REGISTRY).is_file():
            return place
    raise WeightsError(
        "the folder of the program's own weights is missing", hint="reinstall mivolo-cli"
    )


def user_folder() -> Path:
    """Return the folder of downloaded and added weights, set by the environment variable
    MIVOLO_HOME. It may not exist yet."""
    home = os.environ.get("MIVOLO_HOME")
    base = (
        Path(home).expanduser() if home else platformdirs.user_data_path("mivolo", appauthor=False)
    )
    return base / "weights"


def registry() -> dict[str, Entry]:
    """Return the weights in `registry.toml`, by name."""
    return dict(_parse(folder() / REGISTRY))


def known() -> dict[str, Entry]:
    """Return the registered and the user's own weights, by name; hashes missing from the registry
    are those recorded when the file was fetched or added."""
    entries = registry()
    recorded = records()
    for entry in entries.values():
        if entry.sha256 is None and entry.file in recorded:
            entries[entry.name] = replace(entry, sha256=recorded[entry.file].sha256)
    files = {entry.file for entry in entries.values()}
    for file, record in recorded.items():
        if file not in files:
            entries.setdefault(record.name, _own_entry(record, file))
    return entries


def get(name: str) -> Entry:
    """Return the known weights of this name. Raises WeightsError that suggests similar names."""
    entries = known()
    if name in entries:
        return entries[name]
    raise WeightsError(f"no weights named {name!r}", hint=suggestion(name))


def suggestion(name: str) -> str:
    """Return a hint for an unknown name: similar names."""
    near = difflib.get_close_matches(name, known())
    return f"did you mean {' or '.join(near)}?" if near else "see `mivolo weights list`"


def find(name: str) -> Path:
    """Return the verified path of these weights. Raises WeightsError if the file is missing,
    altered or unverified."""
    entry = get(name)
    path = locate(entry)
    if path is None:
        raise WeightsError(
            f"the weights {name!r} have not been downloaded yet", hint=_how_to_get(entry)
        )
    if entry.sha256 is None and not is_shipped(path):
        raise WeightsError(
            f"{path} has not been verified",
            hint=f"`mivolo weights add {path}` checks it",
        )
    if not matches(path, entry):
        raise WeightsError(
            f"{path} does not have the registered sha256 of {name!r}, so it is not used",
            hint="reinstall mivolo-cli"
            if is_shipped(path)
            else f"delete it, then {_how_to_get(entry)}",
        )
    published = registry().get(name)
    if not is_shipped(path) and (published is None or published.sha256 is None):
        _warn_of_others(name, others_may_write())
    return path


def model_file(name_or_path: str | Path) -> Path:
    """Return the file of an age model, verified if its hash is known. Raises WeightsError if there
    is none."""
    name, path = str(name_or_path), Path(name_or_path)
    if name in known():
        if get(name).kind != "model":
            raise WeightsError(
                f"{name} is a detector, not an age model",
                hint="`mivolo weights list` shows the models",
            )
        return find(name)
    if path.is_dir():
        raise WeightsError(
            f"{path} is a folder, not a model", hint="give the weights file inside it"
        )
    if not path.is_file():
        raise WeightsError(f"no model or file named {name!r}", hint=suggestion(name))
    return path


def locate(entry: Entry) -> Path | None:
    """Return the unverified path of the file: in the package, else in the user's folder."""
    return next(
        (path for place in (folder(), user_folder()) if (path := place / entry.file).is_file()),
        None,
    )


def matches(path: Path, entry: Entry) -> bool:
    """Whether the file has the entry's hash; without one, only files that ship with the package are
    accepted."""
    if entry.sha256 is None:
        return is_shipped(path)
    facts = path.stat()
    return _hash(path, facts.st_size, facts.st_mtime_ns) == entry.sha256


def status() -> list[Status]:
    """Return all known weights, for a table; files are located, not hashed."""
    rows = []
    for entry in known().values():
        path = locate(entry)
        rows.append(Status(entry, path, path.stat().st_size if path else entry.bytes))
    return rows


def verify(names: Iterable[str] | None = None) -> list[tuple[Entry, Check]]:
    """Rehash the files of these weights, or of all. Raises WeightsError for an unknown name."""
    entries = list(known().values()) if names is None else [get(name) for name in names]
    return [(entry, _check(entry)) for entry in entries]


def sha256(file: Path) -> str:
    """Return the file's hash in lower-case hexadecimal, reading in chunks."""
    storage.require_regular(file)
    with open(file, "rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def require_trusted_pickle(file: Path) -> None:
    """Raise WeightsError unless this exact file contains only a model of known layers, is
    registered with its hash, or was trusted by the user: reading any other may execute code."""
    digest = sha256(file)
    if digest in {entry.sha256 for entry in registry().values()}:
        return
    trusted = {record.sha256 for record in records().values() if record.trusted}
    if digest in trusted:
        require_own_folder(file)
    else:
        require_layers_alone(file)


def require_layers_alone(file: Path, called: str = "") -> None:
    """Raise WeightsError unless a file, to be renamed to `called` if given, contains only a model
    of known layers."""
    from . import restricted  # PyTorch is only needed here

    if reason := restricted.why_not(file, called):
        raise WeightsError(
            f"{file} is a pickle and can execute arbitrary code when loaded; it is not "
            f"trusted yet: {reason}",
            hint=f"if you trust its source, run: mivolo weights add --trust {file}",
        )


def others_may_write() -> Path | None:
    """Return the path through which others could have changed the records in the user's folder;
    None if they could not."""
    return private.writable_by_others(user_folder() / RECORDS, user_folder())


def require_own_folder(file: Path) -> None:
    """Raise WeightsError if others could have marked this pickle as trusted."""
    if part := others_may_write():
        raise WeightsError(
            f"{file} is a pickle and can execute arbitrary code when loaded, and other "
            f"users can write to {part}, where the list of trusted files is stored",
            hint=(
                f"remove other users' write access to {part} (chmod go-w), or set "
                "MIVOLO_HOME to another folder; then add the file again"
            ),
        )


@functools.cache
def _warn_of_others(name: str, part: Path | None) -> None:
    """Warn only once."""
    if part is not None:
        logger.warning(
            f"other users can write to {part}: the hash of {name} stored there does not "
            "prove who wrote the file (set MIVOLO_HOME to use another folder)"
        )


def records() -> dict[str, Record]:
    """Return the records of the files in the user's folder, by file name."""
    path = user_folder() / RECORDS
    try:
        return {
            file: Record(**fields)
            for file, fields in json.loads(storage.read_file(path, MAX_RECORDS)).items()
        }
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"cannot read {path}, the list of verified weights: {error}",
            hint="delete it and add or fetch your weights again",
        ) from error


def remember(file: str, record: Record) -> None:
    """Record the hash of a file in the user's folder, replacing any record with the same name.

    Raises OutputError if it cannot be written.
    """
    path = user_folder() / RECORDS
    hint = "set MIVOLO_HOME to use another folder"
    with reported(path, hint):
        private.make_folder(path.parent, private.READABLE)
        with FileLock(path.with_suffix(".lock")), replacing(path, hint) as out:
            kept = {
                other: known for other, known in records().items() if known.name != record.name
            } | {file: record}
            lines = json.dumps({name: asdict(known) for name, known in kept.items()}, indent=2)
            out.write(f"{lines}\n".encode())
        private.close_to_others(path)


def plain_name(file: Path) -> str:
    """Return the file's name without the suffix of its format."""
    ending = suffix(file)
    return file.name[: -len(ending)] if ending else file.name


def suffix(file: Path) -> str:
    """Return the lower-case suffix of a format of weights; empty if there is none."""
    return next((ending for ending in SUFFIXES if file.name.lower().endswith(ending)), "")


@functools.cache
def _parse(path: Path) -> dict[str, Entry]:
    entries = [Entry(**fields) for fields in tomllib.loads(path.read_text("utf-8"))["weights"]]
    return {entry.name: entry for entry in entries}


def _own_entry(record: Record, file: str) -> Entry:
    return Entry(
        name=record.name,
        kind=record.kind,
        file=file,
        licence=terms(user_folder() / file),
        sha256=record.sha256,
        pickle=record.trusted,
    )


def terms(file: Path) -> str:
    """Return the terms of use stated in a file of our format, such as those of the training data;
    OWN_LICENCE if none are stated."""
    if not file.is_file():  # opening a pipe would block
        return OWN_LICENCE
    try:
        with safe_open(file, framework="np") as opened:
            about = json.loads((opened.metadata() or {})[METADATA_KEY])
        return str(about["card"]["terms"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return OWN_LICENCE


@functools.lru_cache
def _hash(path: Path, size: int, mtime_ns: int) -> str:
    return sha256(path)


def _check(entry: Entry) -> Check:
    path = locate(entry)
    if path is None:
        return "missing"
    if entry.sha256 is None:
        return "no registered hash"
    return "ok" if sha256(path) == entry.sha256 else "mismatch"


def is_shipped(path: Path) -> bool:
    """Whether a file of weights ships with the package."""
    return path.parent == folder()


def _how_to_get(entry: Entry) -> str:
    if entry.embedded:
        return "reinstall mivolo-cli"
    return (
        f"mivolo weights fetch {entry.name}"
        if entry.url
        else f"mivolo weights add FILE --name {entry.name}"
    )
