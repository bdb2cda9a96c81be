"""Download a file so that a later call can resume.

The partial file is `part`; `part.tag` next to it contains the server's version tag (ETag). The rest
is requested only if that tag or a known hash ensures that both parts belong together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ..atomic import sync
from ..errors import OutputError, WeightsError

Progress = Callable[[int, int | None], None]
"""Called with the bytes received so far and the total, or None if the server does not send it."""

TIMEOUT = 30
"""Seconds without a response after which a download fails."""
CHUNK = 1 << 18
MAX_BYTES = 2 << 30
"""Maximum download size if the correct size is unknown."""
MAX_PAGE = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """What to download, its size in bytes and hash if known, and a hint for failures."""

    url: str
    bytes: int | None
    sha256: str | None
    hint: str


def download(source: Source, part: Path, on_progress: Progress | None = None) -> str:
    """Complete `part`; return its sha256, which the caller must verify.

    Raises WeightsError if the download fails, OutputError if `part` cannot be written.
    """
    try:
        offset, digest = _partial(part, source)
        if digest.hexdigest() == source.sha256:
            return source.sha256
        with _request(source, offset, part) as response:
            if response.status != 206:
                offset, digest = 0, hashlib.sha256()
                _keep_tag(response, part)
            _receive(response, source, part, offset, digest, on_progress)
    except OSError as error:  # network errors are already WeightsErrors
        raise OutputError(
            f"cannot write {part}: {error.strerror or error}",
            hint="free some disk space, or set MIVOLO_HOME to another folder",
        ) from error
    return digest.hexdigest()


def discard(part: Path) -> None:
    """Remove a partial download."""
    part.unlink(missing_ok=True)
    tag_file(part).unlink(missing_ok=True)


def tag_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _partial(part: Path, source: Source) -> tuple[int, hashlib._Hash]:
    """Return length and hash of an earlier call's partial file; empty if the rest could be of
    another version."""
    if not part.is_file() or (source.sha256 is None and not tag_file(part).is_file()):
        return 0, hashlib.sha256()
    with open(part, "rb") as left:
        digest = hashlib.file_digest(left, "sha256")
        return left.tell(), digest


def _request(source: Source, offset: int, part: Path) -> HTTPResponse:
    """Request the file; the response starts at `offset` if its status is 206, otherwise at the
    beginning."""
    headers = {"User-Agent": "mivolo-cli"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if tag_file(part).is_file():
            headers["If-Range"] = tag_file(part).read_text("ascii")
    response = _open(source.url, headers, source)
    if response is not None and _is_page(response):
        response = _confirm(response, headers, source)
    if response is None:
        return _request(source, 0, part)
    if response.status == 206 and not response.headers.get("Content-Range", "").startswith(
        f"bytes {offset}-"
    ):
        response.close()
        discard(part)
        raise WeightsError(
            f"{source.url} sent a different part than requested",
            hint="run the same command again",
        )
    return response


def _open(url: str, headers: dict[str, str], source: Source) -> HTTPResponse | None:
    """Return the response; None if the server has no data from the requested offset on."""
    try:
        opener = build_opener(_Redirects(source.hint))
        response: HTTPResponse = opener.open(Request(url, headers=headers), timeout=TIMEOUT)
        return response
    except HTTPError as error:
        error.close()
        if error.code == 416 and "Range" in headers:
            return None
        raise WeightsError(
            f"{url} returned {error.code} {error.reason}", hint=source.hint
        ) from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsError(
            f"cannot reach {urlsplit(url).hostname}: {reason}", hint=source.hint
        ) from error


class _Redirects(HTTPRedirectHandler):
    """Refuses redirects from an encrypted to an unencrypted address."""

    def __init__(self, hint: str) -> None:
        self.hint = hint

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise WeightsError(
                f"{req.full_url} redirects to {newurl}, which is not encrypted", hint=self.hint
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _receive(
    response: HTTPResponse,
    source: Source,
    part: Path,
    offset: int,
    digest: hashlib._Hash,
    on_progress: Progress | None,
) -> None:
    length = response.headers.get("Content-Length", "")
    total = offset + int(length) if length.isdecimal() else None
    _require_size(source, total, part)
    with open(part, "ab" if offset else "wb") as out:
        while chunk := _read(response, source):
            offset += len(chunk)
            digest.update(chunk)
            out.write(chunk)
            if offset > (source.bytes or MAX_BYTES):
                _require_size(source, offset, part)
            if on_progress is not None:
                on_progress(offset, total)
        sync(out)
    if total is not None and offset < total:
        raise WeightsError(
            f"the download from {source.url} broke off after {offset:,} of {total:,} bytes",
            hint="run the same command again",
        )


def _read(response: HTTPResponse, source: Source) -> bytes:
    try:
        return response.read(CHUNK)
    except (OSError, HTTPException) as error:
        raise WeightsError(
            f"the download from {source.url} broke off: {error or type(error).__name__}",
            hint="run the same command again",
        ) from error


def _require_size(source: Source, size: int | None, part: Path) -> None:
    right = source.bytes or MAX_BYTES
    if size is not None and (size > right or (source.bytes is not None and size < right)):
        discard(part)
        limit = (
            f"the file must have {right:,} bytes"
            if source.bytes
            else f"more than {right:,} bytes are not taken"
        )
        raise WeightsError(
            f"{source.url} sends {size:,} bytes or more, but {limit}", hint=source.hint
        )


def _keep_tag(response: HTTPResponse, part: Path) -> None:
    tag = response.headers.get("ETag", "")
    if tag.startswith('"') and tag.isascii():
        tag_file(part).write_text(tag, "ascii")
    else:  # a weak tag does not guarantee equal bytes
        tag_file(part).unlink(missing_ok=True)


def _is_page(response: HTTPResponse) -> bool:
    return response.headers.get_content_type() == "text/html"


def _confirm(page: HTTPResponse, headers: dict[str, str], source: Source) -> HTTPResponse | None:
    """Submit the form by which Google Drive confirms large downloads. Raises WeightsError for any
    other page."""
    with page:
        form = _Form()
        form.feed(_read_page(page, source))
    action = urljoin(page.url, form.action)
    if form.fields and urlsplit(action)[:2] == urlsplit(page.url)[:2]:
        response = _open(f"{action}?{urlencode(form.fields)}", headers, source)
        if response is None or not _is_page(response):
            return response
        response.close()
    raise WeightsError(f"{source.url} returned a web page instead of the file", hint=source.hint)


def _read_page(page: HTTPResponse, source: Source) -> str:
    try:
        return page.read(MAX_PAGE).decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        raise WeightsError(
            f"the response from {source.url} broke off: {error}", hint=source.hint
        ) from error


class _Form(HTMLParser):
    """Finds the address and the hidden fields of the page's `download-form`."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = False
        self.action = ""
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        if tag == "form":
            self.inside = values.get("id") == "download-form"
            self.action = values.get("action", "") if self.inside else self.action
        elif tag == "input" and self.inside and values.get("type") == "hidden" and "name" in values:
            self.fields[values["name"]] = values.get("value", "")
