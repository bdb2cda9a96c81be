"""The rules of the house: imports point one way, only the command line talks, one library has one
adapter."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import mivolo_cli

PACKAGE = Path(mivolo_cli.__file__).parent
LAYERS = (
    {"errors", "version", "records", "boxes", "draw", "storage", "atomic", "threads"},
    {"photos", "model"},
    {"runtime", "tables"},
    {"detect", "metadata"},
    {"pipeline"},
    {"datasets", "scan"},
    {"evaluation", "tagging"},
    {"training", "report", "export", "find"},
    {"api"},
    {"cli"},
    {"__main__", "__init__"},
)
"""The doors of the package, lowest layer first. Imports go down, or stay within a door; only the
ground may import within its layer."""
DOORS = 27
"""At the top of the package, as many at most."""
ADAPTERS = {
    "ultralytics": {"detect.yolo"},
    "facexlib": {"detect.retinaface"},
    "fsspec": {"storage"},
    "openvino": {"runtime.openvino_engine", "runtime.template_writer"},
    "piexif": {"metadata.exif"},
    "pillow_heif": {"photos.formats"},
    "pillow_jxl": {"photos.formats"},
    "matplotlib": {"evaluation.plots"},
    "nncf": {"runtime.quantize"},
    "pyexiv2": {"metadata.judge"},
    "rawpy": {"photos.raw"},
    "ray": {"scan.ray_backend", "scan.ray_cluster"},
    "safetensors": {"model.checkpoint", "model.registry", "runtime.templates"},
    "timm": {"model.architecture", "model.outlook", "training.trainer"},
    "tqdm": {"cli.progress"},
    "vl_convert": {"report.page"},
    "xlsxwriter": {"export.xlsx"},
}
"""Which modules import a library when they run; `typer` is for `cli` alone."""
VERBS = (
    "scan.run", "scan.merge", "tagging.tag", "tagging.untag", "evaluation.evaluate",
    "evaluation.calibrate", "evaluation.votes", "training.train", "report", "export", "find",
)  # fmt: skip


def module_name(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


FILES = {module_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(file.read_text("utf-8")) for name, file in FILES.items()}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
everywhere = pytest.mark.parametrize("name", TREES)


def imports(node: ast.AST, typing: bool = True) -> Iterator[ast.Import | ast.ImportFrom]:
    """All imports, in functions and under TYPE_CHECKING too; with `typing` False only those that
    run."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child
        elif typing or not isinstance(child, ast.If) or not is_for_types(child):
            yield from imports(child, typing)


def is_for_types(node: ast.If) -> bool:
    return ast.unparse(node.test) == "TYPE_CHECKING"


def own_imports(name: str, tree: ast.Module) -> Iterator[str]:
    """The modules of this package that a module imports."""
    is_package = FILES[name].name == "__init__.py"
    base = [] if name == "__init__" else name.split(".")
    for node in imports(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".")[0] for alias in node.names]
            assert "mivolo_cli" not in names, f"{name}: relative imports, please"
        elif not node.level:
            root = (node.module or "").split(".")[0]
            assert root != "mivolo_cli", f"{name}: relative imports, please"
        else:
            up = node.level - is_package
            parent = base[: len(base) - up] if up > 0 else base
            target = ".".join([*parent, *(node.module.split(".") if node.module else [])])
            for alias in node.names:
                inner = f"{target}.{alias.name}" if target else alias.name
                yield inner if inner in FILES else target or "__init__"


def libraries(tree: ast.Module) -> set[str]:
    nodes = list(imports(tree, typing=False))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {
        node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level
    }
    return {name.split(".")[0] for name in names}


def door(name: str) -> str:
    return name.split(".")[0]


LAYER = {name: number for number, doors in enumerate(LAYERS) for name in doors}


def misplaced(name: str, tree: ast.Module) -> list[str]:
    """The imports that go up, or sideways above the ground."""
    found = []
    for target in own_imports(name, tree):
        here, there = LAYER[door(name)], LAYER[door(target)]
        if door(name) != door(target) and (there > here or there == here > 0):
            found.append(f"{name} imports {target}")
    return found


def circles(arrows: dict[str, set[str]]) -> list[str]:
    """What is left when all that imports nothing that is left has been taken away."""
    left = {name: targets - {name} for name, targets in arrows.items()}
    while free := {name for name, targets in left.items() if not targets & set(left)}:
        left = {name: targets for name, targets in left.items() if name not in free}
    return sorted(left)


def test_the_layers_name_every_door_and_no_other() -> None:
    doors = {door(name) for name in TREES}
    assert doors == set(LAYER) and len(doors) <= DOORS


@everywhere
def test_imports_go_down(name: str) -> None:
    assert misplaced(name, TREES[name]) == []


def test_no_module_imports_itself_by_a_detour() -> None:
    assert circles({name: set(own_imports(name, tree)) for name, tree in TREES.items()}) == []


def test_a_detour_is_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == ["a", "b", "c", "d"]
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize(
    "name, code",
    [
        ("boxes", "from .pipeline import pair"),
        ("boxes", "from .pipeline.pair import match"),
        ("boxes", "def f():\n    from .pipeline.pair import match"),
        ("boxes", "if TYPE_CHECKING:\n    from .pipeline.pair import match"),
        ("scan.run", "from ..training.train import train"),
        ("photos.walk", "from ..model import registry"),
        ("report", "from ..export.common import NOTICE"),
    ],
)
def test_an_import_upwards_is_seen(name: str, code: str) -> None:
    assert misplaced(name, ast.parse(code))


def test_verbs_do_not_know_each_other() -> None:
    for verb in VERBS:
        others = set(own_imports(verb, TREES[verb])) - {verb}
        assert not others & set(VERBS)


@everywhere
def test_only_an_adapter_imports_its_library(name: str) -> None:
    used = libraries(TREES[name])
    assert {library for library in used if name not in ADAPTERS.get(library, {name})} == set()
    assert "typer" not in used or door(name) == "cli"


def test_every_adapter_is_one() -> None:
    for library, modules in ADAPTERS.items():
        strangers = {name for name in modules if library not in libraries(TREES[name])}
        assert strangers == set(), library


def test_no_two_classes_have_one_name() -> None:
    defined = Counter(
        node.name
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    )
    assert {name for name, count in defined.items() if count > 1} == set()


@everywhere
def test_no_conditional_expression_is_a_statement(name: str) -> None:
    statements = [node for node in ast.walk(TREES[name]) if isinstance(node, ast.Expr)]
    assert [node.lineno for node in statements if isinstance(node.value, ast.IfExp)] == []


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
