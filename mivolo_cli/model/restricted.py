"""Check that an ultralytics checkpoint contains only a model of known layers.

Such a file is a pickle, which can call any function of any package. Here it is read with PyTorch's
restricted loader, which calls only functions on a fixed list. Empty classes stand in for the
layers, so no ultralytics code runs either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SUFFIX = ".pt"
"""Suffix of such checkpoints; ultralytics reads files with other suffixes as other formats."""
CONV = (
    "AConv ADown CBAM CBFuse CBLinear ChannelAttention Concat Conv Conv2 ConvTranspose DWConv"
    " DWConvTranspose2d Focus GhostConv Index LightConv RepConv SpatialAttention"
)
BLOCK = (
    "A2C2f AAttn ABlock AConv ADown Attention Bottleneck BottleneckCSP C1 C2 C2PSA C2f C2fAttn"
    " C2fCIB C2fPSA C3 C3Ghost C3TR C3k C3k2 C3x CBFuse CBLinear CIB DFL ELAN1 GhostBottleneck"
    " HGBlock HGStem PSA PSABlock Proto RepBottleneck RepC3 RepCSP RepNCSPELAN4 RepVGGDW"
    " ResNetBlock ResNetLayer SCDown SPP SPPELAN SPPF"
)
LAYERS = {
    "ultralytics.nn.tasks": "DetectionModel PoseModel SegmentationModel",
    "ultralytics.nn.modules.conv": CONV,
    "ultralytics.nn.modules.block": BLOCK,
    "ultralytics.nn.modules.head": "Detect Pose Segment v10Detect",
    "ultralytics.nn.modules.transformer": "TransformerBlock TransformerLayer",
    "ultralytics.nn.modules": f"{CONV} {BLOCK} Detect Pose Segment",
    "ultralytics.utils": "IterableSimpleNamespace",
    "ultralytics.yolo.utils": "IterableSimpleNamespace",
    "ultralytics.utils.loss": "BboxLoss DFLoss v8DetectionLoss",
    "ultralytics.utils.tal": "TaskAlignedAssigner",
    "torch.nn.modules.activation": "GELU Hardswish LeakyReLU ReLU ReLU6 SiLU Sigmoid",
    "torch.nn.modules.batchnorm": "BatchNorm2d",
    "torch.nn.modules.container": "ModuleList Sequential",
    "torch.nn.modules.conv": "Conv2d ConvTranspose2d",
    "torch.nn.modules.dropout": "Dropout",
    "torch.nn.modules.linear": "Identity Linear",
    "torch.nn.modules.loss": "BCEWithLogitsLoss",
    "torch.nn.modules.normalization": "GroupNorm LayerNorm",
    "torch.nn.modules.padding": "ZeroPad2d",
    "torch.nn.modules.pooling": "AdaptiveAvgPool2d AvgPool2d MaxPool2d",
    "torch.nn.modules.upsampling": "Upsample",
    "numpy": "dtype",
    "numpy.core.multiarray": "scalar",
    "numpy._core.multiarray": "scalar",
    "pathlib": "PosixPath WindowsPath",
}
"""By module: parts of detection, segmentation and pose models, their settings and losses."""
ALLOWED = frozenset(
    f"{module}.{name}" for module, names in LAYERS.items() for name in names.split()
)
SHOWN = 3


class _Placeholder:
    """Stands in for a layer, and accepts any arguments and state."""

    def __init__(self, *parts: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def why_not(file: Path, called: str = "") -> str:
    """Return why a file, to be renamed to `called` if given, may contain more than a model of known
    layers; empty if it does not."""
    if not (called or file.name).lower().endswith(SUFFIX):
        return f"only {SUFFIX} files can be loaded without executing their code"
    from torch import load
    from torch.serialization import get_unsafe_globals_in_checkpoint

    try:
        with _only([]):
            unknown = sorted(set(get_unsafe_globals_in_checkpoint(file)) - ALLOWED)
        if unknown:
            return f"it contains {_some(unknown)}, which is not a known layer"
        with _only([(_Placeholder, name) for name in ALLOWED]):
            content = load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # any error means that the file is refused
        return f"PyTorch's restricted loader refuses it ({type(error).__name__})"
    parts = [content.get(key) for key in ("model", "ema")] if isinstance(content, dict) else []
    if any(type(part) is _Placeholder for part in parts):
        return ""
    return "it does not contain an ultralytics model"


@contextmanager
def _only(allowed: list[Any]) -> Iterator[None]:
    """Restrict PyTorch's loader to these types for a while, whatever else has been allowed."""
    from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

    before = get_safe_globals()
    clear_safe_globals()
    try:
        add_safe_globals(allowed)
        yield
    finally:
        clear_safe_globals()
        add_safe_globals(before)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
