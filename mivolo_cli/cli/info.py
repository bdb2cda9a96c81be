"""`mivolo info`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from .. import __version__


def info() -> None:
    """Versions, devices, and what `auto` chooses here, with the reasons."""
    from importlib.metadata import PackageNotFoundError, version

    from .. import auto, weights

    def installed(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "not installed"

    packages = (
        "torch",
        "torchvision",
        "timm",
        "openvino",
        "ultralytics",
        "facexlib",
        "pillow",
        "pillow-heif",
        "pyarrow",
    )
    device = auto.choose_device("auto")
    model, detector = auto.choose_model("auto", device.name), auto.choose_detector("auto", None, device.name)
    licence = weights.get(model.name).licence
    _print_pairs(
        [
            ("mivolo", __version__),
            ("python", f"{sys.version.split()[0]} on {sys.platform}"),
            *((package, installed(package)) for package in packages),
            ("", ""),
            ("device", f"{device.name} ({device.reason})"),
            ("detector", f"{detector.name} ({detector.reason})"),
            ("model", f"{model.name} ({model.reason})"),
            ("", f"licence: {licence}"),
            ("processors", f"{os.cpu_count()}"),
            ("weights", f"{weights.folder()} (shipped), {weights.user_folder()} (yours)"),
            ("network", "used by `mivolo weights fetch` alone"),
        ]
    )


def _print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    for name, value in pairs:
        typer.echo(f"{name:<12} {value}".rstrip())
