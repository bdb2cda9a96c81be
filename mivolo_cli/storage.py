"""Object stores (S3, Google Cloud Storage, Azure) by URL, through fsspec: list, read, write; and
local files, where pipes and devices do not count as files.

All library errors leave this module as OSErrors: FileNotFoundError, PermissionError (also for
missing credentials), and ConnectionError for the rest; `hint` suggests a remedy. Credentials,
endpoints and retries are handled by the libraries.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import pkgutil
import re
import stat as modes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple
from urllib.request import url2pathname

import platformdirs

NAMED = re.compile(r"([a-z0-9]{2,}):[/\\]+(.*)", re.DOTALL)
"""Matches URLs, also after Path has collapsed their slashes."""
BLOCK = 8 * 1024**2
"""Block size for reading, in bytes."""
TIMES = ("LastModified", "last_modified", "mtime", "created")
"""Field in which the libraries report an object's time."""
HTTP_DENIED = (401, 403)


@dataclass(frozen=True, slots=True)
class Store:
    """A kind of store: the extra of this package that installs its library, the library's
    exceptions other than OSErrors, which of them concern credentials, and how users provide
    credentials."""

    extra: str
    raises: tuple[str, ...]
    credentials: tuple[str, ...]
    login: str


S3 = Store(
    "s3",
    ("botocore.exceptions:BotoCoreError", "botocore.exceptions:ClientError", "aiohttp:ClientError"),
    (
        *(
            "NoCredentialsError",
            "PartialCredentialsError",
            "CredentialRetrievalError",
            "ProfileNotFound",
        ),
        *("TokenRetrievalError", "SSOTokenLoadError", "UnauthorizedSSOTokenError"),
    ),
    (
        "log in with `aws configure` or `aws sso login`, or set "
        "AWS_PROFILE; FSSPEC_S3_ANON=true reads public buckets"
    ),
)
GOOGLE = Store(
    "gs",
    (
        *("gcsfs.retry:HttpError", "gcsfs.retry:ChecksumError", "gcsfs.retry:NonRetryableError"),
        *(
            "google.auth.exceptions:GoogleAuthError",
            "aiohttp:ClientError",
            "requests.exceptions:RequestException",
        ),
    ),
    ("DefaultCredentialsError", "RefreshError"),
    (
        "log in with `gcloud auth application-default login`; "
        "FSSPEC_GS_TOKEN=anon reads public buckets"
    ),
)
AZURE = Store(
    "azure",
    ("azure.core.exceptions:AzureError",),
    ("ClientAuthenticationError", "CredentialUnavailableError"),
    (
        "set AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or "
        "(after `az login`) AZURE_STORAGE_ANON=false"
    ),
)
STORES = {"s3": S3, "gs": GOOGLE, "gcs": GOOGLE, "az": AZURE, "abfs": AZURE}

if TYPE_CHECKING:
    _Path = Path
else:
    _Path = type(Path())


class NotAFile(OSError):
    """A pipe, a socket or a device: reading it could block, or never end."""

    def __init__(self, file: str) -> None:
        super().__init__(errno.EINVAL, "it is not a regular file", file)


class Unavailable(OSError):
    """The library for a kind of store is not installed."""


class Url(_Path):
    """A URL such as `s3://bucket/key` used as a path; content is read over the network."""

    def __str__(self) -> str:
        return super().__str__().replace("\\", "/").replace(":/", "://", 1)

    def open(self, *args: Any, **kwargs: Any) -> Any:
        """Open the object, which is read in blocks on demand; only in mode `rb`. Raises OSError."""
        url = str(self)
        with _translated(url):
            return io.BufferedReader(
                _Reader(url, _filesystem(url).open(_key(url), "rb", block_size=BLOCK)), BLOCK
            )

    @property
    def staging_dir(self) -> Path:
        """A local folder for intermediate results of an output at this URL."""
        mark = hashlib.blake2b(str(self).encode(), digest_size=8).hexdigest()
        return (
            platformdirs.user_data_path("mivolo", appauthor=False)
            / "buckets"
            / f"{self.name[:100]}-{mark}.mivolo"
        )


class Stat(NamedTuple):
    """Size and time of an object; both are None for a folder (a prefix of keys)."""

    bytes: int | None
    mtime_ns: int | None


class Listed(NamedTuple):
    """A listed object: its key below the folder, size, and time."""

    key: str
    bytes: int
    mtime_ns: int


def open_file(file: Path) -> BinaryIO:
    """Open a regular local file, or an object, for reading. Raises OSError."""
    if isinstance(file, Url):
        opened: BinaryIO = file.open("rb")
        return opened
    opened = open(file, "rb", opener=_without_waiting)  # noqa: SIM115  # the caller closes it
    if not modes.S_ISREG(os.fstat(opened.fileno()).st_mode):
        opened.close()
        raise NotAFile(str(file))
    return opened


def read_file(file: Path, most: int) -> bytes:
    """Return the content of a regular file of at most `most` bytes. Raises OSError."""
    with open_file(file) as opened:
        size = os.fstat(opened.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"it has more than {most >> 20} MB", str(file))
        return opened.read(size)


def read_start(file: Path, most: int) -> bytes:
    """Return the first bytes of a regular file, at most `most`. Raises OSError."""
    with open_file(file) as opened:
        return opened.read(most)


def require_regular(file: Path) -> None:
    """Raise OSError unless this is a readable regular file; for files that a library opens by
    name."""
    open_file(file).close()


def cache_folder() -> Path:
    """Return the cache folder; it may not exist."""
    return Path(platformdirs.user_cache_dir("mivolo", appauthor=False))


def place(path: Path | str) -> Path:
    """Interpret a path: a Url for a bucket, a plain path for `file:///...` and all others."""
    match = NAMED.fullmatch(str(path))
    if match and match[1] in STORES:
        return path if isinstance(path, Url) else Url(f"{match[1]}://{match[2]}")
    if match and match[1] == "file":
        return Path(url2pathname(f"/{match[2]}"))
    return Path(path)


def is_url(text: str) -> bool:
    """Return whether a root is in a bucket."""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme in STORES


def bucket(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def hint(error: OSError, url: str) -> str:
    """Return a hint for an error of this module."""
    store = STORES[url.partition("://")[0]]
    if isinstance(error, Unavailable):
        return f"pip install 'mivolo-cli[{store.extra}]'"
    if isinstance(error, FileNotFoundError):
        return "check the spelling and the account you are logged in with"
    if isinstance(error, PermissionError):
        return store.login
    return "check the network and run the same command again to resume"


def stat(url: str) -> Stat:
    """Return size and time of an object or a folder. Raises OSError."""
    with _translated(url):
        info = _filesystem(url).info(_key(url))
    return Stat(None, None) if info["type"] == "directory" else Stat(info["size"], _time(info))


def answers(url: str) -> bool | None:
    """Return whether the bucket can be read: None if it cannot be reached or does not exist, False
    if access is denied."""
    try:
        stat(bucket(url))
    except PermissionError:
        return False
    except OSError:
        return None
    return True


def listing(url: str) -> Iterator[Listed]:
    """Yield the objects below a folder in the order of their keys, on demand. Raises OSError.

    For S3, a page of a thousand keys is in memory; for other stores, a folder and its parents.
    """
    with _translated(url):
        prefix = f"{_key(url).rstrip('/')}/"
        pages = _pages if url.startswith("s3://") else _folders
        for key, size, time in pages(_filesystem(url), prefix):
            yield Listed(key.removeprefix(prefix), size, time)


def read(url: str, end: int | None = None) -> bytes:
    """Return the object's content, or its first bytes. Raises OSError."""
    with _translated(url):
        content: bytes = _filesystem(url).cat_file(
            _key(url), start=None if end is None else 0, end=end
        )
    return content


def write(file: Path, url: str) -> None:
    """Upload a file to an object, which is replaced atomically. Raises OSError."""
    with _translated(url):
        _filesystem(url).put_file(str(file), _key(url))


def remove(url: str) -> None:
    """Delete an object if it exists. Raises OSError."""
    with suppress(FileNotFoundError), _translated(url):
        _filesystem(url).rm_file(_key(url))


class _Reader(io.RawIOBase):
    """Wraps a library's file and converts its errors."""

    def __init__(self, url: str, file: BinaryIO) -> None:
        self._url, self._file = url, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _translated(self._url):
            content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()


def _without_waiting(file: str, flags: int) -> int:
    return os.open(file, flags | getattr(os, "O_NONBLOCK", 0))


@cache
def _library(scheme: str) -> Any:
    """Return a client shared by all threads, which does not cache listings. Raises Unavailable."""
    import fsspec

    try:
        return fsspec.filesystem(scheme, use_listings_cache=False)
    except ImportError as error:
        raise Unavailable(
            errno.ENOSYS, f"the package for {scheme}:// is not installed", f"{scheme}://"
        ) from error


def _filesystem(url: str) -> Any:
    return _library(url.partition("://")[0])


def _key(url: str) -> str:
    """Return bucket and key in fsspec's form."""
    return url.partition("://")[2]


def _pages(filesystem: Any, prefix: str) -> Iterator[tuple[str, int, int]]:
    """List a bucket of S3, which returns keys in order, regardless of folders."""
    name, _, start = prefix.partition("/")
    more: dict[str, str] = {}
    while True:
        page = filesystem.call_s3("list_objects_v2", Bucket=name, Prefix=start, **more)
        for entry in page.get("Contents", []):
            if not entry["Key"].endswith("/"):  # otherwise, it represents a folder
                yield f"{name}/{entry['Key']}", entry["Size"], _time(entry)
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def _folders(filesystem: Any, prefix: str) -> Iterator[tuple[str, int, int]]:
    """List folder by folder, but in the order of keys."""
    waiting: list[tuple[str, dict[str, Any] | None]] = [(prefix, None)]
    while waiting:
        name, entry = waiting.pop()
        if entry is not None:
            yield name, entry["size"], _time(entry)
            continue
        inside = {_full(entry): entry for entry in filesystem.ls(name, detail=True)}
        waiting += sorted(
            ((key, _object(entry)) for key, entry in inside.items() if key != name), reverse=True
        )


def _full(entry: dict[str, Any]) -> str:
    name: str = entry["name"].strip("/")
    return f"{name}/" if entry["type"] == "directory" else name


def _object(entry: dict[str, Any]) -> dict[str, Any] | None:
    return None if entry["type"] == "directory" else entry


def _time(info: dict[str, Any]) -> int:
    """Return the time in nanoseconds, truncated to seconds because stores are not consistently more
    precise."""
    time = next((info[name] for name in TIMES if info.get(name)), None)
    return int(time.timestamp()) * 10**9 if isinstance(time, datetime) else 0


@contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except Unavailable:
        raise
    except _errors(url.partition("://")[0]) as error:
        raise _plain(error, url) from error


@cache
def _errors(scheme: str) -> tuple[type[Exception], ...]:
    """Return the exceptions of the library; OSError only if it is not installed."""
    try:
        return OSError, *map(pkgutil.resolve_name, STORES[scheme].raises)
    except ImportError:
        return (OSError,)


def _plain(error: Exception, url: str) -> OSError:
    store, said = STORES[url.partition("://")[0]], " ".join(str(error).split())
    status = getattr(error, "status_code", getattr(error, "code", None))
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "there is no such bucket or object", url)
    if type(error).__name__ in store.credentials:
        return PermissionError(errno.EACCES, f"no valid credentials ({said})", url)
    if isinstance(error, PermissionError) or status in HTTP_DENIED or said.startswith("Forbidden"):
        return PermissionError(errno.EACCES, f"no permission ({said})", url)
    return ConnectionError(errno.EIO, f"the store does not answer properly ({said})", url)
