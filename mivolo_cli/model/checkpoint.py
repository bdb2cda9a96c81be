"""Age model files: read published ones, write our own.

The file type is detected from content, and the model from the shapes of its weights, never from
names. No file may execute code: PyTorch files are read with `weights_only=True`.
"""

from __future__ import annotations

import argparse
import json
import pickle
import struct
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .. import storage
from ..atomic import replacing
from ..errors import WeightsError
from . import registry
from .architecture import Fusion, MiVOLO, create_model
from .spec import METADATA_KEY, ModelSpec
from .variants import SIZES, STRIDE, Variant

V2_PREFIX = "mivolo.model."
V2_AGES = {"min_age": 0.0, "max_age": 122.0, "avg_age": 61.0}
PREFIXES = ("module.", V2_PREFIX)
STEMS = {
    **{"patch_embed.conv1.0.weight": 6, "patch_embed.conv.0.weight": 3},
    **{"patch_embed.conv1.conv_stem.weight": 6, "patch_embed.conv.conv_stem.weight": 3},
}
"""The first weight of the stem or backbone -> input channels of a model that has it."""
STAGES = (0, 2, 3, 4)
"""Indices of VOLO's four stages in `network`; 1 is the downsampling after the first, which only
models with a stem have."""
COUNTER = "num_batches_tracked"
"""Batch normalisation's counter of training steps; optional in files, since prediction does not use
it."""
MAX_INPUT_SIZE = 1024
MAX_CONFIG = 1024**2
MAX_HEADER = 100_000_000
"""Maximum size of a safetensors header, in bytes."""
DAMAGED = (
    *(struct.error, EOFError, RuntimeError, AssertionError),
    *(ValueError, TypeError, AttributeError, LookupError, ArithmeticError),
)
"""What PyTorch's loader raises on damaged files besides UnpicklingError, found by fuzzing."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Properties derived from the shapes of the weights."""

    variant: str
    in_chans: int
    num_classes: int
    input_size: int
    fusion: Fusion = "attention"

    def __str__(self) -> str:
        return f"{self.variant} with {self.in_chans} channels and {self.num_classes} outputs"


def load(name_or_path: str | Path) -> tuple[MiVOLO, ModelSpec]:
    """Load a model by its name in `mivolo weights list`, or else from a file, ready to predict in
    fp32.

    Raises WeightsError if neither exists, or if the file is not a complete MiVOLO checkpoint.
    """
    file, name = registry.model_file(name_or_path), str(name_or_path)
    return read(file, name if name in registry.known() else registry.plain_name(file))


def read(file: Path, name: str) -> tuple[MiVOLO, ModelSpec]:
    """Like `load`, from a file; `name` is used if the file does not contain one."""
    stored, about = read_tensors(file)
    tensors = _strip(stored)
    try:
        layout = detect({key: tuple(value.shape) for key, value in tensors.items()})
        spec = _described(about, layout) if METADATA_KEY in about else None
    except WeightsError as error:
        raise WeightsError(
            f"{file} cannot be used as a MiVOLO model: {error}", hint=error.hint
        ) from error
    if spec is None:
        is_v2 = any(key.startswith(V2_PREFIX) for key in stored)
        spec = _spec(layout, _ages(file, about, V2_AGES if is_v2 else {}), name)
    model = create_model(layout.variant, layout.in_chans, layout.num_classes, fusion=layout.fusion)
    _fill(model, tensors, f"{file} does not fit {layout.variant}")
    require_finite(model.state_dict(), file)
    return model.eval(), spec


def spec_of(
    model: MiVOLO, name: str, min_age: float, max_age: float, inputs: str | None = None
) -> ModelSpec:
    """Return the spec of a model that was built rather than loaded; `inputs` can be body for one of
    three channels."""
    spec = _spec(_layout(model), (min_age, max_age, (min_age + max_age) / 2), name)
    return spec if inputs is None else replace(spec, inputs=inputs)


def save(
    model: MiVOLO, spec: ModelSpec, path: Path, dtype: Literal["fp16", "fp32"] = "fp16"
) -> None:
    """Write our format; fp16 rounds the weights to half precision, but not statistics and counters.

    Raises OutputError if the file cannot be written, WeightsError for a spec of another model and
    for weights that are not finite.
    """
    _require_agreement(spec, _layout(model))
    tensors = {key: _stored(key, value, dtype) for key, value in model.state_dict().items()}
    data = safetensors.torch.save(tensors, metadata=spec.to_metadata())
    with replacing(path) as out:
        out.write(data)


def is_ours(file: Path) -> bool:
    """Whether a file is a model in mivolo's own format."""
    try:
        with safe_open(file, framework="pt") as opened:
            return METADATA_KEY in (opened.metadata() or {})
    except (OSError, SafetensorError):
        return False


def read_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Return the weights in a safetensors or PyTorch file as stored, and the file's metadata.

    If a checkpoint contains averaged weights (`state_dict_ema`) besides the last ones, the average
    is used. Raises WeightsError for other files, and for files that can only be read by executing
    their code.
    """
    try:
        tensors, about = (
            _read_safetensors(file) if file_format(file) == "safetensors" else _read_torch(file)
        )
    except OSError as error:
        raise WeightsError(f"cannot read {file}: {error}") from error
    except pickle.UnpicklingError as error:
        raise WeightsError(
            (
                f"{file} is damaged, or contains more than weights and could only be loaded "
                "by executing code in it"
            ),
            hint=(
                "get the model as safetensors; for a detector that you trust, run mivolo "
                "weights add --trust FILE"
            ),
        ) from error
    except (SafetensorError, *DAMAGED) as error:
        raise WeightsError(
            f"{file} is damaged or incomplete", hint="fetch or copy it again"
        ) from error
    odd = [
        str(key)
        for key, value in tensors.items()
        if not isinstance(key, str) or not _is_plain(value)
    ]
    if odd or not tensors:
        raise WeightsError(f"{file} is not a table of weights: {_some(odd) or 'it is empty'}")
    return tensors, about


def file_format(file: Path) -> Literal["safetensors", "torch"]:
    """Detect the format from the first bytes. Raises WeightsError for files of neither format."""
    with storage.open_file(file) as source:
        head = source.read(9)
    if len(head) == 9 and head.endswith(b"{") and int.from_bytes(head[:8], "little") <= MAX_HEADER:
        return "safetensors"
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return "torch"
    is_page = head.lstrip().startswith(b"<")
    raise WeightsError(
        f"{file} is {'a web page' if is_page else 'neither a safetensors nor a PyTorch file'}",
        hint="download the file itself, not its web page"
        if is_page
        else "check that it is the right file and complete",
    )


def detect(shapes: Mapping[str, tuple[int, ...]]) -> Layout:
    """Return the layout whose weights have these shapes, or the closest one.

    Raises WeightsError if it is not a MiVOLO model.
    """
    stem = next((name for name in STEMS if name in shapes), None)
    lacking = [name for name in ("pos_embed", "head.weight") if name not in shapes]
    if stem is None or lacking:
        names = lacking + ([] if stem else list(STEMS)[:1])
        raise WeightsError(f"it lacks {_some(names)} and holds {_some(shapes)}")
    grid, outputs = shapes["pos_embed"], _length(shapes, "head.weight")
    if outputs not in (1, 3):
        raise WeightsError(f"it has {outputs} outputs, not 3 (gender and age) or 1 (age)")
    input_size = STRIDE * grid[1] if len(grid) == 4 and grid[1] == grid[2] else 0
    if not 0 < input_size <= MAX_INPUT_SIZE:
        raise WeightsError(f"its pos_embed has the shape {grid}")
    size = min(SIZES, key=lambda name: _distance(SIZES[name], shapes, stem))
    is_plain = STEMS[stem] == 6 and not any(
        name.startswith("patch_embed.map.qkv_f") for name in shapes
    )
    fusion: Fusion = "concatenation" if is_plain else "attention"
    return Layout(f"mivolo_{size}_{input_size}", STEMS[stem], outputs, input_size, fusion)


def _distance(size: Variant, shapes: Mapping[str, tuple[int, ...]], stem: str) -> tuple[int, int]:
    """Return how far the shapes are from this size: the number of differences in width or kind,
    then in blocks."""
    stages = STAGES if size.backbones is None else range(len(size.layers))
    blocks = [
        len({name.split(".")[2] for name in shapes if name.startswith(f"network.{stage}.")})
        for stage in stages
    ]
    widths = [_length(shapes, f"network.{stage}.0.norm1.weight") for stage in stages]
    differing = sum(
        a != b for a, b, layers in zip(widths, size.widths, size.layers, strict=True) if layers
    )
    differing += ("cls_token" in shapes) != size.class_attention
    differing += ("conv_stem" in stem) != (size.backbones is not None)
    differing += size.backbones is None and _length(shapes, stem) != size.stem_width
    return differing, sum(abs(a - b) for a, b in zip(blocks, size.layers, strict=True))


def _length(shapes: Mapping[str, tuple[int, ...]], name: str) -> int:
    return next(iter(shapes.get(name, ())), 0)


def _layout(model: MiVOLO) -> Layout:
    return detect({key: tuple(value.shape) for key, value in model.state_dict().items()})


def _spec(layout: Layout, ages: tuple[float, float, float], name: str) -> ModelSpec:
    inputs = "face+body" if layout.in_chans == 6 else "face"
    return ModelSpec(
        layout.variant, layout.in_chans, layout.num_classes, layout.input_size, *ages, name, inputs
    )


def _described(about: Mapping[str, object], layout: Layout) -> ModelSpec:
    spec = ModelSpec.from_metadata(about)
    _require_agreement(spec, layout)
    return spec


def _require_agreement(spec: ModelSpec, layout: Layout) -> None:
    size = spec.variant.split("_")[1]
    described = Layout(
        f"mivolo_{size}_{spec.input_size}",
        spec.in_chans,
        spec.num_classes,
        spec.input_size,
        layout.fusion,
    )
    if described != layout:
        raise WeightsError(f"it is described as {described}, but its weights are those of {layout}")


def _ages(
    file: Path, about: Mapping[str, Any], default: Mapping[str, Any]
) -> tuple[float, float, float]:
    """Return the lowest, highest and average age, from the file, from a config.json next to it, or
    as published."""
    for source in (about, _config(file.with_name("config.json")), default):
        low, high, average = (source.get(key) for key in ("min_age", "max_age", "avg_age"))
        if low is None or high is None:
            continue
        try:
            ages = float(low), float(high)  # raises if not a number
            return *ages, sum(ages) / 2 if average is None else float(average)
        except (TypeError, ValueError, RuntimeError) as error:
            raise WeightsError(
                f"the age range of {file} is not numeric: {low}, {high}, {average}"
            ) from error
    missing = [key for key in ("min_age", "max_age") if about.get(key) is None]
    raise WeightsError(
        f"{file} does not specify its age range: it lacks {' and '.join(missing)}",
        hint=(
            'put a config.json next to it, for example {"min_age": 1, "max_age": 95} for '
            "the IMDB-clean models"
        ),
    )


def _config(file: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(storage.read_file(file, MAX_CONFIG))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"cannot read {file} next to the model: {error}") from error
    return config if isinstance(config, dict) else {}


def _read_safetensors(file: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    with safe_open(file, framework="pt") as source:
        return {key: source.get_tensor(key) for key in source.keys()}, dict(source.metadata() or {})  # noqa: SIM118


def _read_torch(file: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    with torch.serialization.safe_globals(_plain_types()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the pickle's version; if it matters, reading fails
        content = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise WeightsError(f"{file} holds a {type(content).__name__}, not a table of weights")
    for key in ("state_dict_ema", "state_dict"):
        if isinstance(content.get(key), dict) and content[key]:
            return content[key], content
    return content, {}


def _plain_types() -> list[Any]:
    """Return types of plain data that training programs store with the weights: NumPy scalars and
    parsed arguments."""
    make_scalar = np.float64(0).__reduce__()[0]
    names = [(make_scalar, f"numpy.{package}.multiarray.scalar") for package in ("core", "_core")]
    return [
        *names,
        np.dtype,
        *(type(np.dtype(code)) for code in ("f4", "f8", "i4", "i8")),
        argparse.Namespace,
    ]


def _is_plain(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.is_cpu
        and not value.is_quantized
    )


def _strip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove training-only tensors (`fds.`), and the prefixes of wrappers around the model."""
    bare = {key: value for key, value in tensors.items() if "fds." not in key}
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in bare):
            bare = {key.removeprefix(prefix): value for key, value in bare.items()}
    return bare


def _fill(model: MiVOLO, tensors: Mapping[str, Tensor], complaint: str) -> None:
    own = model.state_dict()
    given = {key: value for key, value in own.items() if key.endswith(COUNTER)} | dict(tensors)
    wrong = {
        "missing": [key for key in own if key not in given],
        "unexpected": [key for key in given if key not in own],
        "of another shape or type": [
            f"{key} {_shape_and_dtype(given[key])} instead of {_shape_and_dtype(value)}"
            for key, value in own.items()
            if key in given and _shape_and_dtype(given[key]) != _shape_and_dtype(value)
        ],
    }
    if any(wrong.values()):
        found = "; ".join(
            f"{len(names)} {what} ({_some(names)})" for what, names in wrong.items() if names
        )
        raise WeightsError(f"{complaint}: {found}", hint="it is another kind of model, or damaged")
    model.load_state_dict(given)


def require_finite(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Raise WeightsError for weights that are not finite in the precision used to compute: a large
    64-bit number is infinite in 32 bits."""
    odd = [name for name, value in tensors.items() if not value.isfinite().all()]
    if odd:
        raise WeightsError(
            f"{file} contains weights that are not finite numbers: {_some(odd)}",
            hint="it is damaged, or its training failed: download it again",
        )


def _shape_and_dtype(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)}" + ("" if tensor.is_floating_point() else f" of {tensor.dtype}")


def _stored(name: str, value: Tensor, dtype: Literal["fp16", "fp32"]) -> Tensor:
    value = value.detach().cpu().contiguous()
    if dtype == "fp16" and value.is_floating_point() and ".running_" not in name:
        value = value.half()
    if not value.isfinite().all():
        raise WeightsError(
            f"{name} contains values that are not finite numbers in {dtype}",
            hint="save it as fp32",
        )
    return value


def _some(names: Iterable[str], shown: int = 3) -> str:
    names = list(names)
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")
