"""How the site is made of the repository (mkdocs.yml): pages outside of docs/ keep their place, the
README is the first page, and links lead to both."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = (
    "*.md",
    "LICENSE",
    "NOTICE",
    "CITATION.cff",
    "weights/*.md",
    "weights/licenses/*",
    "weights/recipes/*",
)
"""Files of the repository that the site has, too."""
GUIDES = "Guides"
"""The section for pages that mkdocs.yml does not list."""
LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?(?=\))")


def on_files(files: Files, config: Any) -> Files:
    for pattern in OUTSIDE:
        for file in sorted(ROOT.glob(pattern)):
            source = file.relative_to(ROOT).as_posix().replace("README.md", "index.md")
            files.append(File.generated(config, source, abs_src_path=str(file)))
    guides = next(section[GUIDES] for section in config.nav if GUIDES in section)
    listed = re.findall(r"[\w/]+\.md", str(config.nav))
    guides += sorted({file.src_uri for file in files.documentation_pages()} - set(listed))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links between files of the repository as links between pages."""
    here = Path(page.file.abs_src_path)
    pages = {str(file.abs_src_path): file.src_uri for file in files}

    def link(match: re.Match[str]) -> str:
        target = pages.get(str((here.parent / match[2]).resolve()))
        if target is None:
            return match[0]
        folder = posixpath.dirname(page.file.src_uri) or "."
        return match[1] + posixpath.relpath(target, folder) + (match[3] or "")

    return LINK.sub(link, markdown)
