"""The sizes of MiVOLO and their names."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import BadInput

PATCH_SIZE = 8
STRIDE = 16
"""Input pixels per transformer token along each side, in all sizes."""


@dataclass(frozen=True, slots=True)
class Variant:
    """The parameters of a VOLO size; tuples run over the four stages."""

    layers: tuple[int, int, int, int]
    widths: tuple[int, int, int, int]
    heads: tuple[int, int, int, int]
    mlp_ratio: float = 3.0
    stem_width: int = 64
    input_size: int = 224
    class_attention: bool = True
    """Two class-attention blocks and an auxiliary head; without them, tokens are averaged."""
    residual: bool = False
    """Add the branches' own tokens to the feature enhancer's output. The published sizes do not:
    with one input missing, the other passes only through the attention, which takes long to learn
    from scratch."""
    backbones: tuple[str, str] | None = None
    """timm names of the networks that reduce the face and the body to a sixteenth, instead of
    VOLO's stem (to an eighth) and its downsampling."""


SIZES = {
    "xs": Variant(
        layers=(1, 1, 5, 0),
        widths=(192, 192, 192, 192),
        heads=(6, 6, 6, 6),
        input_size=128,
        class_attention=False,
        residual=True,
        backbones=("mobilenetv1_100", "mobilenetv2_100"),
    ),
    "d1": Variant((4, 4, 8, 2), (192, 384, 384, 384), (6, 12, 12, 12)),
    "d2": Variant((6, 4, 10, 4), (256, 512, 512, 512), (8, 16, 16, 16)),
    "d3": Variant((8, 8, 16, 4), (256, 512, 512, 512), (8, 16, 16, 16)),
    "d4": Variant((8, 8, 16, 4), (384, 768, 768, 768), (12, 16, 16, 16)),
    "d5": Variant(
        (12, 12, 20, 4), (384, 768, 768, 768), (12, 16, 16, 16), mlp_ratio=4.0, stem_width=128
    ),
}
VARIANT = re.compile(r"mivolo_(?P<size>xs|d[1-5])(?:_(?P<input_size>\d+))?")


def parse_variant(variant: str) -> tuple[Variant, int]:
    """Return the size and the input side in pixels of a variant's name. Raises BadInput."""
    match = VARIANT.fullmatch(variant)
    if match is None:
        raise BadInput(
            f"unknown model variant: {variant!r}",
            hint="variants look like mivolo_xs or mivolo_d1_224",
        )
    size = SIZES[match["size"]]
    input_size = int(match["input_size"] or size.input_size)
    if input_size <= 0 or input_size % STRIDE:
        raise BadInput(f"input size {input_size} of {variant!r} is not a multiple of {STRIDE}")
    return size, input_size
