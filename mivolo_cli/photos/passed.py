"""Count what a walk skips in folders: files that are not photos, and folders that systems and
programs keep for themselves."""

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
"""What is taken for a photo in a folder, whatever the file then turns out to hold."""
RAW = re.compile(
    r"\.(3fr|ari|arw|bay|cap|cr[23w]|dcr|dng|erf|fff|gpr|iiq|k25|kdc|mef|mos|mrw|nef|nrw|orf|pef"
    r"|ptx|raf|raw|rw2|rwl|sr2|srf|srw|x3f)"
)
"""What cameras write unprocessed; most of it begins like a TIFF file, which is a thumbnail."""
KNOWN = mimetypes.MimeTypes()
"""Suffixes of Python's own list, whatever the system knows besides."""
UNDETERMINED = re.compile("image/.*|application/octet-stream")
BACKUP = re.compile("(.+)(_original|~)", re.DOTALL)
"""How `tag --backup`, ExifTool and editors call the old file that they keep next to a photo."""

SHOWN = 8
"""Kinds that are named to people."""

SYSTEM_FOLDERS = {
    *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@snapshot", "#recycle", "#snapshot"),
    *(".@__thumb", ".@__qini", "$recycle.bin", "recycler", "recycled", "lost+found"),
    *("system volume information", "__macosx", ".trashes", ".spotlight-v100"),
    *(".fseventsd", ".temporaryitems", ".appledouble", ".documentrevisions-v100"),
    *("thumbs", "_thumbs", ".thumbs", "thumb", ".thumb", "thumbnails", "_thumbnails"),
    *(".thumbnails", ".picasaoriginals", ".dtrash", "files_trashbin"),
    *("files_versions", ".photoprism", "lightroom previews", "captureone"),
}
"""Small copies, deleted files and the like, in lower case."""
SYSTEM_PATTERN = re.compile(r"\.trash-\d+|appdata_\w+|.+\.lrdata", re.DOTALL)
LIBRARY = re.compile(r".+\.(photoslibrary|photolibrary|migratedphotolibrary|aplibrary)", re.DOTALL)
ORIGINALS = ("originals", "masters")
"""The folders of a photo library that hold photos, and not what was made of them."""


@dataclass(slots=True)
class PassedOver:
    """Files by suffix (lower case, empty for none) and system folders by name, with their
    numbers."""

    files: Counter[str] = field(default_factory=Counter)
    folders: Counter[str] = field(default_factory=Counter)

    @property
    def files_text(self) -> str:
        """For people; empty if there are none."""
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
        """For people; empty if there are none."""
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
    """Whether nothing is known of files with this suffix, so that their first bytes must tell."""
    kind, packed = KNOWN.guess_type(f"x{extension}")
    known = kind is not None and not UNDETERMINED.fullmatch(kind)
    return not (known or packed or RAW.fullmatch(extension))


def backed_up(name: str) -> str:
    """The name beside which this one would be a backup, or an empty text."""
    match = BACKUP.fullmatch(name)
    return match[1] if match else ""


def is_system_folder(name: str, parent: str) -> bool:
    """Whether a folder is one that somebody looking for photos does not mean."""
    name = same_file(name)
    if LIBRARY.fullmatch(same_file(parent)):
        return name not in ORIGINALS
    return name in SYSTEM_FOLDERS or bool(SYSTEM_PATTERN.fullmatch(name))
