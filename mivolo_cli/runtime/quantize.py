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
"""People without whom a calibration means little."""
Batches = Iterable[tuple[NDArray[np.uint8], NDArray[np.bool_]]]
"""People as an age model takes them: pixels (n, s, s, channels), and which inputs are there (n,
2)."""


def quantize(graph: openvino.Model, batches: Batches) -> openvino.Model:
    """An age model's graph with weights and activations in int8, their ranges learned from these
    people.

    Raises BadInput without NNCF, and for too few people.
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
    with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
        return nncf.quantize(
            graph,
            nncf.Dataset(examples),
            subset_size=len(examples),
            model_type=nncf.ModelType.TRANSFORMER,
            ignored_scope=nncf.IgnoredScope(names=[*first_layers(graph), *last_layers(graph)]),
        )
