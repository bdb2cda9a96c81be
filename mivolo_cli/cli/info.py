"""`mivolo info`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from ..version import __version__
from .console import print_json
from .help import SETTINGS
from .options import AsJson
from .text import wrapped

UNRELIABLE = "ages under 5, over 65 and from bodies without a face; gender of children under 10"


def info(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show versions, devices, and what `auto` chooses here and why."""
    from importlib.metadata import PackageNotFoundError, version

    from ..model import registry
    from ..pipeline import defaults
    from ..runtime.engines import AUTO, choose_engine

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
        "pillow-jxl-plugin",
        "rawpy",
        "pyarrow",
    )
    device = defaults.choose_device("auto")
    model, detector = (
        defaults.choose_model("auto", device.name),
        defaults.choose_detector("auto", None, device.name),
    )
    precision = defaults.choose_precision(
        model=model.name, engine=choose_engine("auto", device.name, AUTO)
    )
    licence = registry.get(model.name).licence
    if as_json:
        print_json(
            {
                "mivolo": __version__,
                "python": sys.version.split()[0],
                "packages": {package: installed(package) for package in packages},
                "device": device.name,
                "detector": detector.name,
                "model": model.name,
                "precision": precision.name,
                "reasons": {
                    "device": device.reason,
                    "detector": detector.reason,
                    "model": model.reason,
                    "precision": precision.reason,
                },
                "licence": licence,
                "unreliable": UNRELIABLE,
                "settings": ctx.meta.get(SETTINGS),
            }
        )
        return
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
            ("precision", f"{precision.name} ({precision.reason})"),
            ("processors", f"{os.cpu_count()}"),
            ("weights", f"{registry.folder()} (shipped)"),
            ("", f"{registry.user_folder()} (yours)"),
            (
                "settings",
                f"{ctx.meta.get(SETTINGS) or 'none (no mivolo.toml here or in a folder above)'}",
            ),
            ("unreliable", UNRELIABLE),
            ("network", "used only by `mivolo weights fetch`"),
        ]
    )


def _print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Print pairs, breaking long paths after a folder."""
    for name, value in pairs:
        indent = 13 if name else 0
        line = f"{name:<12} {value}".rstrip()
        typer.echo(wrapped(line, sys.stdout, indent, break_paths=True))
