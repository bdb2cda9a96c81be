"""How hard hypothesis tries, and content that is damaged."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXECUTIONS = int(os.environ.get("MIVOLO_FUZZ", "0"))
often = settings(
    max_examples=EXECUTIONS or 40,
    deadline=None,
    derandomize=not EXECUTIONS,
    database=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Content with some bytes replaced, and something cut out of it or put into it."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 8))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    start = draw(st.integers(0, len(data)))
    data[start : start + draw(st.integers(0, 40))] = draw(st.binary(max_size=20))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)
