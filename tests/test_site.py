"""The documentation site (mkdocs.yml, docs/hooks.py): every page, every link, every public name."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import mivolo_cli

pytest.importorskip("mkdocs")
import hooks
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]


def files_of(nav: list[Any]) -> Files:
    config = SimpleNamespace(nav=nav, site_dir="site", use_directory_urls=True, plugins=None)
    config.plugins = SimpleNamespace(_current_plugin=None)
    return hooks.on_files(Files([]), config)


def test_pages_outside_of_docs_are_on_the_site() -> None:
    sources = {file.src_uri for file in files_of([{"Guides": []}])}
    assert {"index.md", "SECURITY.md", "weights/MODEL_CARD.md", "LICENSE"} <= sources
    assert "README.md" not in sources


def test_pages_that_are_not_listed_join_the_guides() -> None:
    guides: list[str] = ["a.md"]
    files_of([{"Home": "index.md"}, {"Guides": guides}, {"More": [{"Safe": "SECURITY.md"}]}])
    assert guides[0] == "a.md"
    assert "CHANGELOG.md" in guides and not {"index.md", "SECURITY.md"} & set(guides)


@pytest.mark.parametrize(
    "page, written, on_the_site",
    [
        ("index.md", "[a](docs/millions.md#shards)", "[a](millions.md#shards)"),
        ("index.md", "![a](docs/demo.jpg)", "![a](demo.jpg)"),
        ("millions.md", "[a](../README.md)", "[a](index.md)"),
        ("millions.md", "[a](../weights/MODEL_CARD.md)", "[a](weights/MODEL_CARD.md)"),
        ("weights/MODEL_CARD.md", "[a](../LICENSE)", "[a](../LICENSE)"),
        ("index.md", "[a](#b) [c](https://d.e/f)", "[a](#b) [c](https://d.e/f)"),
        ("weights/MODEL_CARD.md", "[a](nowhere.md)", "[a](nowhere.md)"),
    ],
)
def test_links_lead_to_pages_of_the_site(page: str, written: str, on_the_site: str) -> None:
    files = files_of([{"Guides": []}])
    for name in ("millions.md", "demo.jpg"):
        files.append(File(name, str(ROOT / "docs"), "site", True))
    file = next(file for file in files if file.src_uri == page)
    place = SimpleNamespace(abs_src_path=file.abs_src_path, src_uri=page)
    shown = hooks.on_page_markdown(written, SimpleNamespace(file=place), None, files)
    assert shown == on_the_site


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """With `strict`, a link that leads nowhere is an error."""
    site = tmp_path / "site"
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "WARNING" not in run.stderr
    built = {page.parent.name for page in site.rglob("index.html")}
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} <= built
    api = html.unescape((site / "api" / "index.html").read_text("utf-8"))
    names = set(mivolo_cli.__all__) - {"__version__"}
    assert names <= set(re.findall(r'id="mivolo_cli\.(?:\w+\.)*(\w+)"', api))
    shown = re.sub(r"<[^>]+>", "", api)
    assert 'detector: str = "auto",' in shown and "_option(" not in shown
