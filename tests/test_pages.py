"""The Python of the pages in docs/ runs as it is printed."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from helpers.photos import draw_scene, save_photo
from helpers.tables import write_boxes

PAGE = Path(__file__).parents[1] / "docs" / "service.md"


@pytest.fixture
def address(tmp_path: Path, tiny_model: Path, no_weights_of_the_user: None) -> Iterator[int]:
    """The port of the page's service, with a quick model."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    lines = code.split("class Service")[1].split("\n\n\nif")[0].splitlines()
    assert len(lines) <= 20 and code.count("Mivolo()") == 1
    boxes = write_boxes(tmp_path / "boxes.csv", [("photo", "face", (20.0, 10.0, 45.0, 40.0))])
    settings = f"model={str(tiny_model)!r}, detector='given', boxes=Path({str(boxes)!r})"
    space: dict[str, Any] = {"__name__": "service"}
    exec(code.replace("Mivolo()", f"Mivolo({settings}, device='cpu', workers=1)"), space)
    service = space["Service"]
    service.log_message = lambda *parts: None
    with ThreadingHTTPServer(("127.0.0.1", 0), service) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def post(port: int, content: bytes) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", "/", content)
    answer = connection.getresponse()
    told = answer.status, answer.read()
    connection.close()
    return told


def test_the_service_answers_several_at_once(address: int, tmp_path: Path) -> None:
    photo = save_photo(tmp_path / "a.jpg", pixels=draw_scene(150, 110)).read_bytes()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: post(address, photo), range(8)))
    assert {status for status, _ in answers} == {200}
    (person,) = json.loads(answers[0][1])
    assert person["status"] == "ok" and person["face_x1"] == 20 and 0 <= person["age"] <= 100
    assert "root" not in person
    assert len({json.loads(body)[0]["gender"] for _, body in answers}) == 1


def test_the_service_outlives_bad_uploads(address: int) -> None:
    status, body = post(address, b"no photo")
    assert status == 200
    assert [(row["status"], row["error"]) for row in json.loads(body)] == [
        ("error", "not_a_picture")
    ]
    assert post(address, b"")[0] == 413
