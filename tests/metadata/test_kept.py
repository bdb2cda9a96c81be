"""Originals that are kept inside our entries."""

from __future__ import annotations

from mivolo_cli.metadata import kept


def test_an_original_is_given_back_only_where_nothing_else_changed() -> None:
    text = kept.keep(b"original", b"left")
    assert kept.kept(text, b"left") == b"original" and kept.kept(text, b"other") is None
    for broken in ("", "x", text[:-3], text.replace(":", ":!"), text.split(":")[0] + ":"):
        assert kept.kept(broken, b"left") is None
