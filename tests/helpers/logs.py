"""What the package said while a test ran."""

from __future__ import annotations

import pytest


def warned(caplog: pytest.LogCaptureFixture, *modules: str) -> list[str]:
    """All that the package has logged by now, in order; it must be warnings of these modules."""
    own = [record for record in caplog.records if record.name.split(".")[0] == "mivolo_cli"]
    allowed = {(f"mivolo_cli.{module}", "WARNING") for module in modules}
    assert {(record.name, record.levelname) for record in own} <= allowed
    return [record.getMessage() for record in own]
