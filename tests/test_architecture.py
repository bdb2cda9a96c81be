"""The rules of the house: imports point one way, only the command line talks, one library has one
adapter."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mivolo_cli

PACKAGE = Path(mivolo_cli.__file__).parent
RANKS = {
    "__init__": 0, "errors": 0, "idle": 0, "labels": 0, "records": 0, "storage": 0,
    "samples": 1, "shards": 1, "variants": 1,
    "boxes": 1, "decoders": 1, "draw": 1, "metrics": 1, "model": 2, "outlook": 1, "outputs": 1, "rgb": 1,
    "sinks.jsonl": 1, "sinks.parquet": 1,
    "crops": 2, "download": 2, "engines": 2, "intervals": 2, "pair": 2, "photos": 2, "plots": 2, "sinks.csv": 2,
    "sinks.folder": 2, "sinks.formats": 3, "sinks.checks": 4, "sinks.targets": 4, "weights": 2,
    "checkpoint": 6, "delicate": 2, "spec": 3, "walking": 3, "datasets.sample": 3, "decode_worker": 3, "detect": 3,
    "detect.resize": 4, "detect.deim": 5, "detect.yunet": 5, "detect.faces": 6,
    "metadata": 3, "metadata.outcome": 3, "metadata.regions": 3, "metadata.tree": 3, "sinks": 5,
    "quantized": 3, "converted": 6, "ready": 7,
    "auto": 6, "datasets.pairs": 6, "datasets.rows": 6, "detect.embedded": 7, "detect.given": 6,
    "fetch": 7, "parts": 6, "predict": 6, "results": 6, "selection": 6,
    "metadata.packet": 6, "metadata.picture": 6, "metadata.png": 6, "metadata.replace": 6,
    "metadata.tiff": 6, "metadata.webp": 6,
    "augment": 7, "datasets.tables": 7, "detect.retinaface": 7, "detect.yolo": 7, "metadata.exif": 7,
    "metadata.jpeg": 7, "metadata.sidecar": 7, "pipeline": 7, "plan": 7, "provenance": 7, "thumbnails": 7,
    "workplace": 7,
    "calibration": 8, "datasets": 8, "export.common": 8, "metadata.embed": 8, "recipes": 8, "report.page": 8,
    "tools": 9,
    "export.coco": 9, "export.label_studio": 9, "export.xlsx": 9, "export.yolo": 9,
    "cluster": 10, "lookup": 9, "metadata.lookup": 9, "objective": 9,
    "export.fiftyone": 10, "trainer": 10,
    "calibrate": 11, "evaluate": 11, "export": 11, "report": 11, "merge": 11, "scan": 11, "tag": 11, "train": 11,
    "untag": 11, "votes": 11,
    "api": 12, "cli.help": 12, "cli.interrupt": 12, "cli.options": 12, "cli.progress": 12, "cli.settings": 12,
    "cli.text": 12,
    "cli.voice": 13,
    "cli.evaluate": 14, "cli.export": 14, "cli.info": 14, "cli.merge": 14, "cli.purge": 14, "cli.report": 14,
    "cli.tag": 14, "cli.train": 14, "cli.votes": 14, "cli.weights": 14,
    "cli.scan": 15,
    "cli": 16,
    "__main__": 17,
}  # fmt: skip
"""A module imports only modules of a lower rank."""
LAZY = {
    "__init__": {"api"},
    "detect": {"detect.embedded", "detect.given", "detect.retinaface", "detect.yolo"},
}
"""What a package may import inside functions alone: its own adapters, which are above it."""
ADAPTERS = {
    "ultralytics": {"detect.yolo"},
    "facexlib": {"detect.retinaface"},
    "fsspec": {"storage"},
    "openvino": {"engines"},
    "piexif": {"metadata.exif"},
    "pillow_heif": {"photos"},
    "matplotlib": {"plots"},
    "nncf": {"quantized"},
    "pyarrow": {
        *("records", "sinks", "sinks.csv", "sinks.folder", "sinks.jsonl", "sinks.parquet"),
        *("sinks.formats", "sinks.targets"),
        *(
            "api",
            "cluster",
            "datasets.tables",
            "detect.given",
            "parts",
            "results",
            "rgb",
            "samples",
            "votes",
        ),
    },
    "pyexiv2": {"metadata.embed"},
    "ray": {"cluster"},
    "safetensors": {"checkpoint"},
    "timm": {"model", "outlook", "trainer"},
    "typer": {name for name in RANKS if name.split(".")[0] == "cli"}
    - {"cli.interrupt", "cli.text"},
    "tqdm": {"cli.progress"},
    "vl_convert": {"report.page"},
    "xlsxwriter": {"export.xlsx"},
}
VERBS = (
    "calibrate",
    "evaluate",
    "export",
    "merge",
    "report",
    "scan",
    "tag",
    "train",
    "untag",
    "votes",
)


def module_name(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


FILES = {module_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(file.read_text("utf-8")) for name, file in FILES.items()}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
everywhere = pytest.mark.parametrize("name", TREES)


def imports(
    node: ast.AST, inside: bool = False
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """All imports that run, and whether they do so only when a function is called."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, inside
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        else:
            yield from imports(child, inside or isinstance(child, FUNCTIONS))


def own_imports(name: str, tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """The modules of this package that a module imports, and whether lazily."""
    is_package = FILES[name].name == "__init__.py"
    base = [] if name == "__init__" else name.split(".")
    for node, lazy in imports(tree):
        if isinstance(node, ast.Import):
            assert not any(alias.name.split(".")[0] == "mivolo_cli" for alias in node.names), (
                f"{name}: relative, please"
            )
            continue
        if not node.level:
            assert (node.module or "").split(".")[0] != "mivolo_cli", (
                f"{name}: relative imports, please"
            )
            continue
        up = node.level - is_package
        parent = base[: len(base) - up] if up > 0 else base
        target = ".".join([*parent, *(node.module.split(".") if node.module else [])])
        for alias in node.names:
            inner = f"{target}.{alias.name}" if target else alias.name
            yield (inner if inner in FILES else target or "__init__"), lazy


def libraries(tree: ast.Module) -> set[str]:
    nodes = [node for node, _ in imports(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {
        node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level
    }
    return {name.split(".")[0] for name in names}


def misplaced(name: str, tree: ast.Module) -> list[str]:
    found = []
    for target, lazy in own_imports(name, tree):
        assert target in RANKS, f"{name} imports {target}, which is nowhere"
        if RANKS[target] >= RANKS[name] and not (lazy and target in LAZY.get(name, ())):
            found.append(f"{name} ({RANKS[name]}) imports {target} ({RANKS[target]})")
    return found


def test_the_table_names_every_module_and_no_other() -> None:
    assert set(RANKS) == set(TREES)


@everywhere
def test_imports_go_down(name: str) -> None:
    assert misplaced(name, TREES[name]) == []


@pytest.mark.parametrize(
    "name, code",
    [
        ("boxes", "from . import pair"),
        ("boxes", "from .pair import match"),
        ("boxes", "def f():\n    from .pair import match"),
        ("scan", "from .train import train"),
        ("detect", "from .yolo import YoloDetector"),
        ("sinks.csv", "from . import FORMATS"),
        ("detect.yolo", "from .retinaface import RetinaFaceDetector"),
        ("detect.yolo", "from .. import scan"),
    ],
)
def test_an_import_upwards_is_seen(name: str, code: str) -> None:
    assert misplaced(name, ast.parse(code))


def test_verbs_do_not_know_each_other() -> None:
    for verb in VERBS:
        assert not {target for target, _ in own_imports(verb, TREES[verb])} & set(VERBS)


@everywhere
def test_only_an_adapter_imports_its_library(name: str) -> None:
    strangers = {
        lib for lib in libraries(TREES[name]) if lib in ADAPTERS and name not in ADAPTERS[lib]
    }
    assert not strangers


def test_every_adapter_is_one() -> None:
    for library, modules in ADAPTERS.items():
        assert {name for name in modules if library not in libraries(TREES[name])} == set(), library


@everywhere
def test_only_the_command_line_talks_and_exits(name: str) -> None:
    calls = [ast.unparse(node.func) for node in ast.walk(TREES[name]) if isinstance(node, ast.Call)]
    loud = {
        "print",
        "sys.exit",
        "exit",
        "quit",
        "os._exit",
        "SystemExit",
        "typer.Exit",
        "typer.echo",
        "input",
    }
    loud |= {"sys.stdout.write", "sys.stderr.write"}
    raised = {
        ast.unparse(node.exc)
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Raise) and node.exc
    }
    found = {call for call in calls if call in loud} | (raised & {"SystemExit", "typer.Exit"})
    assert name.split(".")[0] == "cli" or not found


@everywhere
def test_every_module_says_what_it_is_for(name: str) -> None:
    assert ast.get_docstring(TREES[name])


@everywhere
def test_files_and_functions_stay_short(name: str) -> None:
    assert len(FILES[name].read_text("utf-8").splitlines()) <= 450
    functions = [node for node in ast.walk(TREES[name]) if isinstance(node, FUNCTIONS)]
    long = {node.name: node.end_lineno - node.lineno + 1 for node in functions if node.end_lineno}
    assert {name: lines for name, lines in long.items() if lines > 80} == {}


def test_the_command_line_starts_without_heavy_libraries() -> None:
    heavy = ("torch", "timm", "ultralytics", "facexlib", "openvino", "cv2", "scipy", "matplotlib")
    code = f"import sys, mivolo_cli.cli; print([name for name in {heavy!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
