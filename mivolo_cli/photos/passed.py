"""Count what a walk skips in folders: files that are not photos, and folders reserved by systems
and programs."""

from __future__ import annotations

import mimetypes
import re
from collections import Counter
from dataclasses import dataclass, field

from ..records import same_file
from . import raw

EXTENSIONS = re.compile(
    r"\.(jpe?g|jpe|jfif|jif|mpo|a?png|webp|tiff?|bmp|dib|gif|avifs?|hei[cf]s?|hif|jp2|j2k|jpf|jpx|jxl)"
)
"""Suffixes of files in folders that count as photos, whatever their content."""
RAW = re.compile(
    r"\.(3fr|ari|arw|bay|cap|cr[23w]|dcr|dng|erf|fff|gpr|iiq|k25|kdc|mef|mos|mrw|nef|nrw|orf|pef"
    r"|ptx|raf|raw|rw2|rwl|sr2|srf|srw|x3f)"
)
"""Suffixes of camera raw files; most begin like a TIFF file, which is a thumbnail."""
KNOWN = mimetypes.MimeTypes()
"""Python's own list of suffixes, independent of the system's."""
UNDETERMINED = re.compile("image/.*|application/octet-stream")
BACKUP = re.compile("(.+)(_original|~)", re.DOTALL)
"""Names of backups that `tag --backup`, ExifTool and editors keep next to a photo."""

SHOWN = 8
"""Maximum number of kinds listed in messages."""

SYSTEM_FOLDERS = {
    *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@snapshot", "#recycle", "#snapshot"),
    *(".@__thumb", ".@__qini", "$recycle.bin", "recycler", "recycled", "lost+found"),
    *("system volume information", "__macosx", ".trashes", ".spotlight-v100"),
    *(".fseventsd", ".temporaryitems", ".appledouble", ".documentrevisions-v100"),
    *("thumbs", "_thumbs", ".thumbs", "thumb", ".thumb", "thumbnails", "_thumbnails"),
    *(".thumbnails", ".picasaoriginals", ".dtrash", "files_trashbin"),
    *("files_versions", ".photoprism", "lightroom previews", "captureone"),
}
"""Folders of thumbnails, deleted files and the like, in lower case."""
SYSTEM_PATTERN = re.compile(r"\.trash-\d+|appdata_\w+|.+\.lrdata", re.DOTALL)
LIBRARY = re.compile(r".+\.(photoslibrary|photolibrary|migratedphotolibrary|aplibrary)", re.DOTALL)
ORIGINALS = ("originals", "masters")
"""Folders of a photo library that contain original photos, as opposed to files derived from
them."""


@dataclass(slots=True)
class PassedOver:
    """Numbers of files by suffix (lower case, empty if none) and of system folders by name."""

    files: Counter[str] = field(default_factory=Counter)
    folders: Counter[str] = field(default_factory=Counter)

    @property
    def files_text(self) -> str:
        """Message for users; empty if there are none."""
        count = self.files.total()
        if not count:
            return ""
        kinds = [f"{number} {_named(suffix)}" for suffix, number in self.files.most_common(SHOWN)]
        others = len(self.files) - len(kinds)
        kinds += [f"{others} other suffixes"] if others else []
        text = f"{count} file{'s' * (count != 1)} skipped, not photos: {', '.join(kinds)}"
        is_missed = any(map(RAW.fullmatch, self.files)) and not raw.is_available()
        return f"{text}; {raw.INSTALL}" if is_missed else text

    @property
    def folders_text(self) -> str:
        """Message for users; empty if there are none."""
        count = self.folders.total()
        if not count:
            return ""
        names = [name for name, _ in self.folders.most_common(SHOWN)]
        names += ["others"] if len(self.folders) > len(names) else []
        return f"{count} system folder{'s' * (count != 1)} skipped: {', '.join(names)}"

    def clear(self) -> None:
        self.files.clear()
        self.folders.clear()


def _named(suffix: str) -> str:
    kind = " (camera raw)" if RAW.fullmatch(suffix) else ""
    return (suffix or "without suffix") + kind


def may_hold_a_photo(extension: str) -> bool:
    """Return whether a suffix is unknown, so that the file's first bytes must decide."""
    kind, packed = KNOWN.guess_type(f"x{extension}")
    known = kind is not None and not UNDETERMINED.fullmatch(kind)
    return not (known or packed or RAW.fullmatch(extension))


def backed_up(name: str) -> str:
    """Return the name of the original if this is a backup's name, or an empty string."""
    match = BACKUP.fullmatch(name)
    return match[1] if match else ""


def is_system_folder(name: str, parent: str) -> bool:
    """Return whether a folder is a system folder, which users looking for photos do not mean."""
    name = same_file(name)
    if LIBRARY.fullmatch(same_file(parent)):
        return name not in ORIGINALS
    return name in SYSTEM_FOLDERS or bool(SYSTEM_PATTERN.fullmatch(name))
