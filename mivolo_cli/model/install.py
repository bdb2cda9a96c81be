"""Verify weights from the network or from a local file, and install them into the user's folder."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from ..atomic import draft, real
from ..errors import BadInput, OutputError, WeightsError
from . import private
from . import registry as weights
from .download import Progress, Source, discard, download
from .registry import Entry, Record

CHUNK = 1 << 20
OFFLINE_VARIABLES = ("MIVOLO_OFFLINE", "HF_HUB_OFFLINE")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
ONNX_START = b"\x08"
"""First byte of an ONNX file: the tag of its format version."""


def named(name: str) -> list[Entry]:
    """Return the weights of this name; `published` means the model and the detector of MiVOLO's
    authors. Raises WeightsError."""
    names = weights.PUBLISHED if name == "published" else (name,)
    return [weights.get(one) for one in names]


def fetch(name: str, *, offline: bool = False, on_progress: Progress | None = None) -> Path:
    """Download these weights unless they are present and verified; return their file.

    The download is written to `FILE.part`, which a later call resumes, and renamed once verified.
    Raises WeightsError if it is not allowed, fails or has the wrong content, OutputError if it
    cannot be written.
    """
    entry = weights.get(name)
    here = weights.locate(entry)
    if here is not None and weights.matches(here, entry):
        return here
    _require_permission(entry, offline)
    with _own_folder(entry) as folder:
        part = folder / f"{entry.file}.part"
        digest = download(
            Source(entry.url, entry.bytes, entry.sha256, _manual_hint(entry)), part, on_progress
        )
        try:
            _require_right(part, entry, digest, trust=False)
            _remember(entry, digest, trusted=False)
            return part.replace(folder / entry.file)
        finally:
            discard(part)


def add(
    file: Path,
    *,
    name: str | None = None,
    trust: bool = False,
    check_graph: Callable[[Path], None] = lambda file: None,
) -> Entry:
    """Check a local file and copy it into the user's folder; return its new entry.

    Registered weights are recognised by their hash or file name. A pickle is accepted if it
    contains only a model of known layers; `trust` accepts any other one without reading it,
    although opening it will execute its code. `check_graph`, from a higher layer, raises
    WeightsError for an unusable ONNX file. Raises BadInput for a missing file or an invalid name,
    WeightsError for a file with the wrong content, OutputError if it cannot be written.
    """
    if not file.is_file():
        raise BadInput(f"no such file: {file}")
    if name is not None and not NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} is not a valid name",
            hint="use lower-case letters, digits, dots, dashes and underscores",
        )
    try:
        digest = weights.sha256(file)
        entry = _identify(file, digest, name, trust)
        _require_right(file, entry, digest, trust)
        if entry.sha256 is None and _is_onnx(file, entry.file):
            check_graph(file)
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}") from error
    with _own_folder(entry) as folder, draft(real(folder / entry.file)) as copy:
        if entry.pickle and entry.sha256 is None:
            weights.require_own_folder(file)
        _require_room(entry, digest)
        _copy(file, copy.file, digest)
        copy.finish()
        _remember(entry, digest, trusted=trust and entry.pickle)
        copy.publish()
    return replace(entry, sha256=digest)


def _require_permission(entry: Entry, offline: bool) -> None:
    if not entry.url:
        raise WeightsError(f"{entry.name} cannot be downloaded", hint=_manual_hint(entry))
    variable = next(
        (
            v
            for v in OFFLINE_VARIABLES
            if os.environ.get(v, "").lower() in ("1", "true", "yes", "on")
        ),
        None,
    )
    if offline or variable:
        because = "--offline is set" if offline else f"{variable} is set"
        raise WeightsError(f"{entry.url} was not downloaded: {because}", hint=_manual_hint(entry))


def _manual_hint(entry: Entry) -> str:
    if entry.embedded:
        return "it ships with the package: reinstall mivolo-cli"
    command = f"mivolo weights add FILE --name {entry.name}"
    return f"download {entry.page or entry.url} by hand, then: {command}" if entry.url else command


@contextmanager
def _own_folder(entry: Entry) -> Iterator[Path]:
    """Yield the user's folder, locked against other processes that install the same file."""
    folder = weights.user_folder()
    try:
        private.make_folder(folder, private.READABLE)
        with FileLock(folder / f"{entry.file}.lock", timeout=0):
            yield folder
    except Timeout as error:
        raise WeightsError(
            f"another mivolo process is installing {entry.name}", hint="wait for it to end"
        ) from error
    except OSError as error:
        raise OutputError(
            f"cannot write to {folder}: {error.strerror or error}",
            hint="free some disk space, or set MIVOLO_HOME to another folder",
        ) from error


def _identify(file: Path, digest: str, name: str | None, trust: bool) -> Entry:
    """Return the registered weights that this file is or claims to be, or else a new entry."""
    registry = weights.registry()
    wanted = name or _name_of(file)
    same = next((entry for entry in registry.values() if entry.sha256 == digest), None)
    claimed = [
        entry for entry in registry.values() if entry.name == wanted or entry.file == file.name
    ]
    wrong = next((entry for entry in claimed if entry.sha256 not in (None, digest)), None)
    if wrong is not None:
        raise WeightsError(
            f"{file} is not {wrong.name}: its sha256 is {digest}, not {wrong.sha256}",
            hint=f"mivolo weights fetch {wrong.name}"
            if wrong.url
            else "rename it if it is something else",
        )
    if same is not None:
        return same
    if wanted in registry:
        return registry[wanted]
    return claimed[0] if claimed and name is None else _own_entry(file, wanted, trust)


def _own_entry(file: Path, name: str, trust: bool) -> Entry:
    is_onnx = _is_onnx(file, file.name)
    is_pickle = not is_onnx and _is_torch(file) and (trust or _holds_layers(file))
    kind: weights.Kind = "detector" if is_onnx or is_pickle else "model"
    stored = f"{name}{weights.suffix(file) or '.bin'}"
    if any(entry.file == stored for entry in weights.registry().values()):
        raise BadInput(f"{stored} belongs to other weights", hint="choose another name with --name")
    return Entry(name, kind, stored, licence=weights.terms(file), pickle=is_pickle)


def _name_of(file: Path) -> str:
    name = re.sub(r"[^a-z0-9._-]+", "-", weights.plain_name(file).lower()).strip("._-")
    return name or "weights"


def _copy(file: Path, out: BinaryIO, digest: str) -> None:
    hashed = hashlib.sha256()
    with open(file, "rb") as source:
        while chunk := source.read(CHUNK):
            hashed.update(chunk)
            out.write(chunk)
    if hashed.hexdigest() != digest:
        raise WeightsError(f"{file} changed while it was copied", hint="try again")


def _require_room(entry: Entry, digest: str) -> None:
    for file, kept in weights.records().items():
        path = weights.user_folder() / file
        if (
            kept.name == entry.name
            and (file, kept.sha256) != (entry.file, digest)
            and path.is_file()
        ):
            raise WeightsError(
                f"other weights already have the name {entry.name}",
                hint=f"give another --name, or delete {path}",
            )


def _require_right(file: Path, entry: Entry, digest: str, trust: bool) -> None:
    """Verify a file by its hash, or by its content if no hash is known."""
    if entry.sha256 is None:
        _require_right_content(file, entry, trust)
    elif digest != entry.sha256:
        raise WeightsError(
            (
                f"the download of {entry.name} has the wrong content: its sha256 is {digest}"
                f", not {entry.sha256}"
            ),
            hint=f"try again; if the publisher has changed the file, {_manual_hint(entry)}",
        )


def _require_right_content(file: Path, entry: Entry, trust: bool) -> None:
    if entry.pickle and not trust:
        weights.require_layers_alone(file, entry.file)
    if entry.pickle or _is_onnx(file, entry.file):
        return
    from . import checkpoint  # PyTorch is only needed here

    if entry.kind == "model":
        checkpoint.read(file, entry.name)
    else:
        checkpoint.require_finite(checkpoint.read_tensors(file)[0], file)


def _remember(entry: Entry, digest: str, trusted: bool) -> None:
    """Record the hash if none is published, before the file gets its final name."""
    if entry.sha256 is None:
        weights.remember(entry.file, Record(entry.name, entry.kind, digest, trusted))


def _is_onnx(file: Path, called: str) -> bool:
    with open(file, "rb") as source:
        return called.lower().endswith(".onnx") and source.read(1) == ONNX_START


def _holds_layers(file: Path) -> bool:
    """Whether the file is an ultralytics detector that needs no trust."""
    from . import restricted

    return not restricted.why_not(file)


def _is_torch(file: Path) -> bool:
    from . import checkpoint

    return checkpoint.file_format(file) == "torch"
