"""The pages for people to read, and what they show as code."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def pages() -> list[str]:
    """README and its neighbours, and the pages of docs/."""
    found = [page for folder in (ROOT, ROOT / "docs") for page in folder.glob("*.md")]
    return sorted(page.relative_to(ROOT).as_posix() for page in found)


def code(language: str) -> list[str]:
    """All blocks of a language, of all pages."""
    texts = [(ROOT / page).read_text("utf-8") for page in pages()]
    return [
        block for text in texts for block in re.findall(rf"```{language}\n(.*?)```", text, re.S)
    ]
