"""Addresses of files on servers: how they are told, shown without what is secret, and read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from eocausal.errors import ImageryError, explain

SCHEMES = ("http", "https", "s3", "gs")
# Nothing but the named file is looked for; a server that is slow or busy is asked again, and then given up.
_REMOTE = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_CONNECTTIMEOUT": "15",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "1",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
}
_ENDINGS = ".tif,.tiff,.jp2"


def is_remote(href: str) -> bool:
    """Whether an address is not a path on this machine."""
    return "://" in href and not href.startswith("file:")


def plain(href: str) -> str:
    """Return an address as it may be shown and recorded: without query, user or password.

    Examples
    --------
    >>> plain("https://me:secret@host.org/a/b.tif?sig=abc#x")
    'https://host.org/a/b.tif'
    """
    if not is_remote(href):
        return href
    parts = split(href)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def split(href: str) -> SplitResult:
    """Return the parts of an address, or raise ImageryError."""
    try:
        return urlsplit(href)
    except ValueError as cause:
        text = f"{href.partition('?')[0][:100]!r} is no address."
        raise ImageryError(explain(text, rule=str(cause))) from None


def host_of(href: str) -> str:
    """Return the host (or bucket) of an address."""
    return split(plain(href)).netloc


def environment(hrefs: Iterable[str]) -> dict[str, str]:
    """Return the settings of GDAL that files are read with; the user's own credentials stay in force."""
    remote = [href for href in hrefs if is_remote(href)]
    if not remote:
        return {}
    # GDAL looks for the ending at the very end, where signed addresses have their signature
    signed = any(split(href).query for href in remote)
    return {**_REMOTE, **({} if signed else {"CPL_VSIL_CURL_ALLOWED_EXTENSIONS": _ENDINGS})}


def remote_path(href: str) -> Path:
    """Return the path of an address, whose ending tells the driver, or raise ImageryError."""
    parts = split(href)
    if parts.scheme not in SCHEMES:
        raise ImageryError(explain(f"Its address begins with {parts.scheme}:.", rule=f"{', '.join(SCHEMES)}"))
    file = Path(parts.path)
    if file.suffix.lower() not in _ENDINGS.split(","):
        raise ImageryError(explain(f"Its name ends in {file.suffix!r}.", rule=f"remote files: {_ENDINGS}"))
    return file


def quiet(cause: BaseException) -> str:
    """Return the words of an error on one line, without the queries of addresses, which may be signatures."""
    text = re.sub(r"\?[^\s'\"]+", "", str(cause))
    return re.sub(r"//[^/\s@]+@", "//", " ".join(text.split()))[:300]


def drive(href: str) -> bool:
    """Whether an address begins with a drive letter."""
    return len(href) > 1 and href[1] == ":" and href[0].isalpha()
