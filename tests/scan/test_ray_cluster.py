"""Addresses of clusters that are not there."""

from __future__ import annotations

import pytest

from mivolo_cli.errors import BadInput
from mivolo_cli.scan import ray_cluster


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://[::1]:1", "localhost:99999", "host:x"])
def test_where_nothing_answers_ray_is_not_asked(address: str) -> None:
    with pytest.raises(BadInput, match="nothing answers at") as caught:
        ray_cluster._require_reachable(address)
    assert address in str(caught.value) and "--ray-address" in caught.value.hint


def test_where_something_answers_ray_is_asked() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        ray_cluster._require_reachable(f"127.0.0.1:{server.getsockname()[1]}")
    for address in (None, "auto", "local"):
        ray_cluster._require_reachable(address)
