import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.request import Request

import pytest

from mivolo_cli.errors import OutputError, WeightsError
from mivolo_cli.model import download as module
from mivolo_cli.model.download import Source, discard, download

CONTENT = bytes(range(256)) * 4096
FOUND = BytesIO(), 302, "Found", HTTPMessage()
OTHER = CONTENT[::-1]
PAGE = b"""<!doctype html><form id="download-form" action="/confirmed">
<input type="hidden" name="id" value="a b&amp;c">
<input type="submit" value="Download anyway"></form>"""


@dataclass
class Shop:
    """What the server of these tests offers, how it behaves, and what it was asked for."""

    content: bytes = CONTENT
    tag: str | None = '"one"'
    ranges: bool = True
    wrong_range: bool = False
    length: bool = True
    cut_after: int | None = None
    status: int = 200
    pages: dict[str, bytes] = field(default_factory=dict)
    redirect: str | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    shop: Shop

    def do_GET(self) -> None:
        shop, asked = self.shop, self.headers.get("Range")
        shop.asked.append((self.path, asked))
        if shop.redirect and not self.path.startswith("/there"):
            return self.answer(302, b"", Location=shop.redirect)
        if self.path in shop.pages:
            return self.answer(
                200, shop.pages[self.path], **{"Content-Type": "text/html; charset=utf-8"}
            )
        if shop.status != 200:
            return self.answer(shop.status, b"")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and shop.ranges else 0
        if self.headers.get("If-Range") not in (None, shop.tag):
            start = 0
        tag = {"ETag": shop.tag} if shop.tag else {}
        if start >= len(shop.content):
            return self.answer(416, b"")
        if not start:
            return self.answer(200, shop.content, **tag)
        said = 0 if shop.wrong_range else start
        where = f"bytes {said}-{len(shop.content) - 1}/{len(shop.content)}"
        return self.answer(206, shop.content[start:], **tag, **{"Content-Range": where})

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        if self.shop.length:
            self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: self.shop.cut_after])

    def log_message(self, *parts: object) -> None:
        pass


@contextmanager
def open_shop(**options: Any) -> Iterator[Shop]:
    shop = Shop(**options)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Clerk", (Handler,), {"shop": shop}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    shop.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield shop
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "file.part"


def source(shop: Shop, known: bool = True, size: int | None = None) -> Source:
    return Source(f"{shop.url}/file", size, sha(CONTENT) if known else None, "download it by hand")


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_is_brought_and_hashed_and_its_progress_told(part: Path) -> None:
    told = []
    with open_shop() as shop:
        assert download(
            source(shop, size=len(CONTENT)), part, lambda *now: told.append(now)
        ) == sha(CONTENT)
    assert part.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT)) and len(told) > 1 and told == sorted(told)


@pytest.mark.parametrize("known", [True, False])
def test_a_download_that_was_cut_off_goes_on(part: Path, known: bool) -> None:
    with open_shop(cut_after=300_000) as shop:
        with pytest.raises(
            WeightsError, match=f"broke off after 300,000 of {len(CONTENT):,} bytes"
        ) as error:
            download(source(shop, known), part)
        assert "again" in error.value.hint
        shop.cut_after = None
        told = []
        assert download(source(shop, known), part, lambda *now: told.append(now)) == sha(CONTENT)
        assert shop.asked == [("/file", None), ("/file", "bytes=300000-")]
    assert part.read_bytes() == CONTENT
    assert told[0][0] > 300_000 and told[-1] == (len(CONTENT), len(CONTENT))


def test_a_server_that_ignores_ranges_sends_all_again(part: Path) -> None:
    part.write_bytes(CONTENT[:1000])
    with open_shop(ranges=False) as shop:
        assert download(source(shop), part) == sha(CONTENT)
    assert part.read_bytes() == CONTENT


@pytest.mark.parametrize("tag", ['"one"', 'W/"weak"', None])
def test_halves_of_two_versions_are_never_put_together(part: Path, tag: str) -> None:
    with open_shop(tag=tag, cut_after=300_000) as shop:
        with pytest.raises(WeightsError):
            download(source(shop, known=False), part)
        shop.content, shop.cut_after = OTHER, None
        shop.tag = '"two"' if tag == '"one"' else tag  # a weak mark may stay
        assert download(source(shop, known=False), part) == sha(OTHER)
    assert part.read_bytes() == OTHER


def test_what_is_whole_already_is_not_asked_for(part: Path) -> None:
    part.write_bytes(CONTENT)
    with open_shop() as shop:
        assert download(source(shop), part) == sha(CONTENT)
        assert shop.asked == []


def test_when_more_is_here_than_there_it_begins_again(part: Path) -> None:
    part.write_bytes(CONTENT + b"more")
    with open_shop() as shop:
        assert download(source(shop), part) == sha(CONTENT)
        assert [asked for _, asked in shop.asked] == [f"bytes={len(CONTENT) + 4}-", None]
    assert part.read_bytes() == CONTENT


def test_another_range_than_asked_for_is_not_taken(part: Path) -> None:
    part.write_bytes(CONTENT[:1000])
    with open_shop(wrong_range=True) as shop, pytest.raises(WeightsError, match="a different part"):
        download(source(shop), part)
    assert not part.exists()


@pytest.mark.parametrize("known", [True, False])
def test_without_a_length_the_end_is_the_end(part: Path, known: bool) -> None:
    told = []
    with open_shop(length=False) as shop:
        assert download(source(shop, known), part, lambda *now: told.append(now)) == sha(CONTENT)
    assert told[-1] == (len(CONTENT), None)


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("size", [len(CONTENT) - 1, 10])
def test_more_than_there_should_be_is_not_taken(part: Path, length: bool, size: int) -> None:
    with (
        open_shop(length=length) as shop,
        pytest.raises(WeightsError, match=f"must have {size:,} bytes"),
    ):
        download(source(shop, size=size), part)
    assert not part.exists()


def test_a_file_of_another_size_is_not_begun(part: Path) -> None:
    with open_shop() as shop, pytest.raises(WeightsError, match="must have"):
        download(source(shop, size=len(CONTENT) + 1), part)
    assert not part.exists()


def test_without_a_known_size_there_is_a_limit(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    with (
        open_shop() as shop,
        pytest.raises(WeightsError, match="more than 1,000 bytes are not taken"),
    ):
        download(source(shop, known=False), part)


@pytest.mark.parametrize("status", [404, 403, 500, 416])
def test_an_answer_of_failure_is_told_with_the_way_by_hand(part: Path, status: int) -> None:
    with (
        open_shop(status=status) as shop,
        pytest.raises(WeightsError, match=f"returned {status}") as error,
    ):
        download(source(shop), part)
    assert error.value.hint == "download it by hand"


def test_a_server_that_is_not_there_is_told(part: Path) -> None:
    with open_shop() as shop:
        gone = source(shop)
    with pytest.raises(WeightsError, match="cannot reach 127.0.0.1"):
        download(gone, part)


def test_the_question_before_large_files_is_answered(part: Path) -> None:
    with open_shop(pages={"/file": PAGE}) as shop:
        assert download(source(shop), part) == sha(CONTENT)
        assert shop.asked[-1][0] == "/confirmed?id=a+b%26c"


@pytest.mark.parametrize(
    "page",
    [
        b"<html>Too many people looked at this file</html>",
        PAGE.replace(b"/confirmed", b"/file"),
        PAGE.replace(b"/confirmed", b"http://localhost:1/elsewhere"),
        PAGE.replace(b"download-form", b"login"),
    ],
)
def test_a_web_page_is_never_taken_for_the_file(part: Path, page: bytes) -> None:
    pages = {"/file": page, "/file?id=a+b%26c": page}
    with open_shop(pages=pages) as shop, pytest.raises(WeightsError, match="web page") as error:
        download(source(shop), part)
    assert error.value.hint == "download it by hand"
    assert not part.exists()


def test_redirects_are_followed_with_the_range(part: Path) -> None:
    part.write_bytes(CONTENT[:1000])
    with open_shop(redirect="/there") as shop:
        assert download(source(shop), part) == sha(CONTENT)
        assert shop.asked == [("/file", "bytes=1000-"), ("/there", "bytes=1000-")]


@pytest.mark.parametrize("target", ["http://mirror.test/file", "ftp://mirror.test/file"])
def test_a_redirect_away_from_encryption_is_refused(target: str) -> None:
    redirects = module._Redirects("by hand")
    with pytest.raises(WeightsError, match="not encrypted"):
        redirects.redirect_request(Request("https://publisher.test/file"), *FOUND, target)
    onward = redirects.redirect_request(Request("https://a.test/"), *FOUND, "https://b.test/")
    assert onward is not None and onward.full_url == "https://b.test/"


def test_a_full_disk_is_told_as_such(part: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no disk that is always full")
    part.symlink_to(full)
    with open_shop() as shop, pytest.raises(OutputError, match="No space left"):
        download(source(shop), part)


def test_discarding_leaves_nothing(part: Path) -> None:
    with open_shop() as shop:
        download(source(shop, known=False), part)
    assert sorted(file.name for file in part.parent.iterdir()) == ["file.part", "file.part.tag"]
    discard(part)
    assert list(part.parent.iterdir()) == []
