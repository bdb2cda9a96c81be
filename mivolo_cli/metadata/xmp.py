"""XMP vocabulary: namespaces by prefix, and elements to insert into a packet."""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
OURS = "http://ns.mivolo.org/people/1.0/"
NAMESPACES = {
    "rdf": RDF,
    "dc": "http://purl.org/dc/elements/1.1/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stArea": "http://ns.adobe.com/xmp/sType/Area#",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
    "MP": "http://ns.microsoft.com/photo/1.2/",
    "MPRI": "http://ns.microsoft.com/photo/1.2/t/RegionInfo#",
    "MPReg": "http://ns.microsoft.com/photo/1.2/t/Region#",
    "digiKam": "http://www.digikam.org/ns/1.0/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "MicrosoftPhoto": "http://ns.microsoft.com/photo/1.0",
    "mivolo": OURS,
}
SKELETON = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    f'<rdf:RDF xmlns:rdf="{RDF}">\n</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>'
).encode()
"""An empty packet. If removing our entries leaves exactly this, we created the packet, and it is
removed."""


def name(qualified: str) -> tuple[str, str]:
    """Return namespace and local name of `prefix:local`."""
    prefix, local = qualified.split(":")
    return NAMESPACES[prefix], local


def element(name: str, content: str, *, struct: bool = False, alone: bool = False) -> str:
    """Return an element; with `alone`, it declares every namespace that it uses."""
    kind = ' rdf:parseType="Resource"' if struct else ""
    start = f"<{name}{kind}>"
    declared = declarations(start + content, rdf=False) if alone else ""
    return f"<{name}{declared}{kind}>{content}</{name}>"


def field(name: str, value: str, *, alone: bool = False) -> str:
    """Return an element with this text; empty if there is no text."""
    return element(name, escape(value), alone=alone) if value else ""


def attributes(fields: Iterable[tuple[str, str]]) -> str:
    """Return the fields as attributes of an element, with declarations of their namespaces."""
    told = "".join(f" {name}={quoteattr(value)}" for name, value in fields if value)
    return declarations(told, rdf=False) + told


def bag(name: str, items: str, *, alone: bool = False) -> str:
    return element(name, f"<rdf:Bag>{items}</rdf:Bag>", alone=alone)


def item(content: str, *, plain: bool = False) -> str:
    """Return an item for any list: it declares every namespace that it uses."""
    if plain:
        return f"<rdf:li{declarations('')}>{escape(content)}</rdf:li>"
    return f'<rdf:li{declarations(content)} rdf:parseType="Resource">{content}</rdf:li>'


def declarations(content: str, *, rdf: bool = True) -> str:
    """Return declarations of the namespaces that a piece of XML uses, and of RDF's."""
    used = set(re.findall(r"(?:</?|\s)([\w-]+):", content)) | ({"rdf"} if rdf else set())
    return "".join(
        f' xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items() if prefix in used
    )
