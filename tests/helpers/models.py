"""The smallest models."""

from __future__ import annotations

from mivolo_cli.model.variants import Variant

SMALL = Variant(
    (1, 1, 2, 0), (12, 24, 24, 24), (1, 2, 2, 2), stem_width=8, input_size=64, class_attention=False
)
"""In the place of `mivolo_xs`, where a test needs any model and a quick one."""
