"""Predictions in the photos' own metadata: regions, XMP packets, containers, sidecars, EXIF."""

from __future__ import annotations

from ..errors import PhotoError

REASONS = {
    "missing": "the file does not exist, or no longer does",
    "unreadable": "the file could not be read",
    "outside": "its path or a link leads outside the scanned folder",
    "in_archive": (
        "photos in archives cannot be tagged: unpack the archive, scan the folder, and tag from "
        "the new table"
    ),
    "in_bucket": (
        "photos in buckets cannot be tagged: download them, or give their folder here with "
        "--root NEW"
    ),
    "unverified": (
        "the table lacks the size and time of the file, so it may be a different one: scan it again"
    ),
    "changed": "the file has changed since it was scanned: scan it again",
    "read_only": "the file is write-protected",
    "hard_linked": "the file has a second name (a hard link), which would be disconnected",
    "no_permission": "no permission to write to its folder",
    "name_too_long": "its name is too long to add a file next to it: rename the photo",
    "shared_sidecar": (
        "other pictures would share the same sidecar: omit --sidecar-name photo.xmp for them"
    ),
    "not_written": "the new file could not be written; the old one is intact",
    "format": "metadata cannot be written into files of this format",
    "bad_container": "the structure of the file cannot be changed safely",
    "bad_xmp": "its existing XMP cannot be parsed",
    "bad_exif": "the EXIF data cannot be changed safely",
    "exif_taken": "the EXIF field already has text: use --overwrite to replace it",
    "exif_in_text": ("its EXIF is in a text chunk, and new EXIF would hide it from other programs"),
    "no_exif": (
        "the EXIF text was not written: JPEG, PNG and WebP files can hold it, sidecars cannot"
    ),
    "too_large": "the metadata does not fit into this file",
    "extended_xmp": (
        "its regions or keywords are in extended XMP, where nothing can be added safely"
    ),
    "other_size": "its face regions were made for a picture of a different shape",
    "other_picture": "the picture's size differs from the table",
    "not_reversible": (
        "the original bytes could not be restored later, as --require-reversible demands"
    ),
    "failed_check": (
        "the changed file failed the check before replacing the old one, which is intact"
    ),
}
"""Stable codes for why metadata was not written, with their meanings."""
WITHOUT_SIDECAR = frozenset(
    (
        "missing",
        "unreadable",
        "outside",
        "in_archive",
        "in_bucket",
        "unverified",
        "changed",
        "no_permission",
        "other_size",
        "other_picture",
    )
)
"""Reasons that also rule out a sidecar."""


ABOUT_EXIF = frozenset(("bad_exif", "exif_taken", "exif_in_text", "no_exif"))
"""Reasons that concern the EXIF text alone; the regions can be written without it."""


class Refused(PhotoError):
    """Metadata cannot be written to this photo, for one of REASONS; nothing was changed."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code, REASONS[code] + (f": {detail}" if detail else ""))
        self.detail = detail
