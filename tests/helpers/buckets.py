"""An S3 server on this computer, as fixtures: with settings of the environment that lead to it, and
a bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from helpers.require import require
from mivolo_cli import storage

Put = Callable[[str, bytes], None]


@contextmanager
def serving() -> Iterator[str]:
    moto_server = require("moto.server")
    require("s3fs")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


def forget_clients() -> None:
    storage._library.cache_clear()
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture
def server(moto: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    urlopen(Request(f"{moto}/moto-api/reset", method="POST")).close()
    settings = {
        "AWS_ENDPOINT_URL": moto,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_MAX_ATTEMPTS": "1",
        "XDG_DATA_HOME": str(tmp_path / "data"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    forget_clients()
    yield
    forget_clients()


@pytest.fixture
def put(server: None) -> Put:
    filesystem = storage._library("s3")
    filesystem.call_s3("create_bucket", Bucket="album")
    return lambda key, content: filesystem.pipe_file(f"album/{key}", content)
