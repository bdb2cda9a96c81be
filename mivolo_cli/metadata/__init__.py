"""Predictions inside the photos' own metadata: regions, XMP packets, containers, sidecars, EXIF."""

from __future__ import annotations

from ..errors import PhotoError

REASONS = {
    "missing": "there is no such file, or no longer",
    "unreadable": "the file could not be read",
    "outside": "its path or a link leads out of the folder that was scanned",
    "unverified": (
        "the results do not say which size and time the file had, so it may be another one: "
        "scan it again"
    ),
    "changed": "the file has changed since it was scanned: scan it again",
    "read_only": "the file is write-protected",
    "hard_linked": "the file has another name (a hard link), which would be cut off",
    "no_permission": "there is no permission to write into its folder",
    "name_too_long": "its name is too long for a file beside it: give the photo a shorter one",
    "shared_sidecar": (
        "other pictures would have the same sidecar: leave out --sidecar-name photo.xmp for them"
    ),
    "not_written": "the new file could not be written; the old one is unharmed",
    "format": "metadata cannot be put into files of this format",
    "bad_container": "the file is built in a way that cannot be changed safely",
    "bad_xmp": "the XMP that is there already cannot be understood",
    "bad_exif": "the EXIF data cannot be changed safely",
    "exif_taken": "the EXIF field holds a text already: --overwrite replaces it",
    "exif_in_text": "its EXIF is in a text chunk, and a new one would hide it from other programs",
    "no_exif": "the EXIF text can only be put into JPEG, PNG and WebP files",
    "too_large": "the metadata do not fit into this file",
    "extended_xmp": (
        "its regions or keywords are in extended XMP, where nothing can be added safely"
    ),
    "other_size": "its face regions were made for a picture of another shape",
    "other_picture": "the picture has not the size that the results say",
    "not_reversible": (
        "the original bytes could not be restored later, and --require-reversible asks for that"
    ),
    "failed_check": (
        "the changed file did not pass the check before it was "
        "put in place; the old one is unharmed"
    ),
}
"""Why metadata were not written: the stable codes, and what they mean."""
WITHOUT_SIDECAR = frozenset(
    (
        "missing",
        "unreadable",
        "outside",
        "unverified",
        "changed",
        "no_permission",
        "other_size",
        "other_picture",
    )
)
"""Reasons that a sidecar would not help with."""


ABOUT_EXIF = frozenset(("bad_exif", "exif_taken", "exif_in_text", "no_exif"))
"""Reasons that concern the EXIF text alone; the regions can be written without it."""


class Refused(PhotoError):
    """Metadata cannot be written to this photo, for one of REASONS; nothing was changed."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code, REASONS[code] + (f": {detail}" if detail else ""))
        self.detail = detail
