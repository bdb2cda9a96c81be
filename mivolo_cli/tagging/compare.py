"""Compare photos with results: `tag --check`."""

from __future__ import annotations

from functools import partial

from ..metadata import lookup, own_xmp, packet, regions, sidecar
from ..metadata.packet import Provenance, Tags
from ..metadata.picture import examine
from ..metadata.replace import read
from ..records import Photo
from .options import Rows, TagOptions
from .outcome import TagOutcome


def compare(photo: Photo, rows: Rows, provenance: Provenance, options: TagOptions) -> TagOutcome:
    """Compare the photo or its sidecar with the table. Raises Refused."""
    file = lookup.photo_file(photo)
    for name in sidecar.NAMES:
        lookup.photo_file(photo, partial(sidecar.path, name=name))
    data = read(file)
    found = lookup.tagged_packet(file, data)
    there = None if found is None else packet.read(found)
    bodies = options.bodies or _shows_bodies(there)
    people = regions.people(
        rows, examine(data, photo.path, pixels=False).orientation, bodies=bodies
    )
    wanted = Tags(provenance, people)
    if found is None or there is None:
        if options.named_faces == "leave":
            wanted = packet.without_named(own_xmp.own_xmp(data), wanted)
        return TagOutcome(photo, "untagged" if wanted.people.regions else "nobody")
    if there.same_people(wanted) or there.same_people(packet.without_named(found, wanted)):
        return TagOutcome(photo, "same")
    return TagOutcome(photo, "differs", message=_difference(there, wanted))


def _shows_bodies(tags: Tags | None) -> bool:
    return tags is not None and any(not region.kind for region in tags.people.regions)


def _difference(there: Tags, wanted: Tags) -> str:
    if not there.same_model(wanted):
        return (
            f"tagged by {there.provenance.model or 'an unknown model'}, but the table is "
            f"from {wanted.provenance.model or 'another'}"
        )
    there_now, results = (regions.summary(tags.people.regions) for tags in (there, wanted))
    return f"the photo has {there_now or 'nothing'}, the table {results or 'nothing'}"
