"""Quantise graphs to int8 with NNCF's post-training quantisation. NNCF is an optional extra."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from .mixed_precision import first_layers, last_layers
from .openvino_engine import import_openvino

if TYPE_CHECKING:
    import openvino

LEAST = 32
"""Minimum number of people for a meaningful calibration."""
Batches = Iterable[tuple[NDArray[np.uint8], NDArray[np.bool_]]]
"""Input batches of an age model: pixels (n, s, s, channels), and a mask (n, 2) of the inputs
present."""


def quantize(graph: openvino.Model, batches: Batches) -> openvino.Model:
    """Quantise an age model's weights and activations to int8, with ranges calibrated on these
    people.

    Raises BadInput if NNCF is not installed or there are too few people.
    """
    import_openvino()
    try:
        import nncf
    except ImportError as error:
        raise BadInput(
            "int8 needs the package nncf", hint="pip install 'mivolo-cli[int8]'"
        ) from error
    examples: list[Any] = [list(batch) for batch in batches]
    count = sum(len(present) for _, present in examples)
    if count < LEAST:
        raise BadInput(
            f"int8 needs at least {LEAST} people to calibrate on, but the photos have {count}",
            hint="give --int8-samples a folder with more photos of people",
        )
    logging.getLogger("nncf").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):  # suppress its progress bars
        return nncf.quantize(
            graph,
            nncf.Dataset(examples),
            subset_size=len(examples),
            model_type=nncf.ModelType.TRANSFORMER,
            ignored_scope=nncf.IgnoredScope(names=[*first_layers(graph), *last_layers(graph)]),
        )
