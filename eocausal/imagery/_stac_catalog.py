"""Items of a catalogue: walked on disk or over HTTP, or searched where there is an API.

A static catalogue is read as the JSON it is, with bounds on size, number and time; what it links to is read only
from disk, or from the network where that was allowed.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin

from eocausal.errors import ImageryError, explain
from eocausal.imagery._cube_files import needs_extra
from eocausal.imagery._network import drive, host_of, is_remote, plain, split

Box = tuple[float, float, float, float]
Json = dict[str, Any]

MOST_ITEMS = 20_000
"""Scenes of one study, and files of one static catalogue."""
_LARGEST_JSON = 64 * 2**20
_SECONDS = 30.0
_SOMEWHERE = "https://unnamed.catalogue/"


@dataclass(frozen=True)
class Asked:
    """What is searched for: boxes of longitude and latitude, days (ISO 8601, both included), collections.

    ``known`` are names that the collection may have where none is asked for; ``sample`` bounds what is taken of
    each box, None for all.
    """

    boxes: tuple[Box, ...]
    dates: str | None
    collections: tuple[str, ...]
    known: tuple[str, ...]
    sample: int | None = None


@dataclass(frozen=True)
class Found:
    """Items as dictionaries, each with the address it was read from; ``searched`` when an API chose them."""

    items: list[tuple[Json, str]]
    searched: bool


def joined(base: str, href: str) -> str:
    """Return an address that may be relative to the document it stands in."""
    if is_remote(href):
        return href
    if is_remote(base):
        if href.startswith("file:") or drive(href):
            text = f"Catalogue {plain(base)!r} names a file of this machine."
            raise ImageryError(explain(text, where=[href], rule="what is remote names what is remote"))
        split(href)
        return urljoin(base, href)
    path = _path(href)
    return os.path.normpath(path if os.path.isabs(path) else os.path.join(os.path.dirname(base), path))


def find_items(catalog: object, asked: Asked, *, remote: bool) -> Found:
    """Return the items of a catalogue that may show what is asked; static ones are not chosen from yet."""
    if isinstance(catalog, (str, Path)):
        start = str(catalog)
        if not is_remote(start):
            start = os.path.abspath(_path(start))
        refuse_hosts([start], remote=remote)
        document = read_json(start)
        if is_remote(start) and _is_api(document):
            return Found(_searched(_client(start), asked), searched=True)
        return Found(_walked(document, start, remote=remote), searched=False)
    if hasattr(catalog, "search") and hasattr(catalog, "conforms_to"):
        refuse_hosts([str(getattr(catalog, "self_href", "") or _SOMEWHERE)], remote=remote)
        return Found(_searched(catalog, asked), searched=True)
    if isinstance(catalog, Iterable):
        given = list(catalog)
        if given and all(hasattr(item, "to_dict") and hasattr(item, "assets") for item in given):
            return Found([_as_json(item) for item in given], searched=False)
    fix = (
        "Give the address of an API, the path of a catalog.json, a pystac_client.Client, or a list of items."
    )
    raise ImageryError(explain(f"A catalogue cannot be read from a {type(catalog).__name__}.", fix=fix))


def refuse_hosts(hrefs: Iterable[str], *, remote: bool) -> None:
    """Raise ImageryError with the hosts that would be read, unless that was allowed."""
    hosts = sorted({host_of(href) for href in hrefs if is_remote(href)})
    if hosts and not remote:
        fix = "ec.stac_scenes(..., remote=True)"
        text = "This reads from the network, which was not allowed."
        raise ImageryError(explain(text, where=hosts, rule="remote reads are asked for", fix=fix))


def read_json(href: str) -> Json:
    """Read one JSON document of a catalogue, or raise ImageryError."""
    shown = plain(href)
    try:
        content = _fetched(href) if is_remote(href) else _read(Path(href))
        document = json.loads(content)
    except (OSError, urllib.error.URLError) as cause:
        text = f"Catalogue {shown!r} cannot be read."
        fix = "Check the address." if is_remote(href) else f"The folder is {os.path.dirname(shown)!r}."
        raise ImageryError(explain(text, rule=str(cause)[:200], fix=fix)) from cause
    except (ValueError, RecursionError) as cause:
        raise ImageryError(explain(f"Catalogue {shown!r} is not JSON.", rule=str(cause)[:200])) from cause
    if not isinstance(document, dict):
        raise ImageryError(explain(f"Catalogue {shown!r} is no STAC document: it is a JSON list or value."))
    return document


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return _bounded(stream.read(_LARGEST_JSON + 1))


def _fetched(href: str) -> bytes:
    if split(href).scheme not in ("http", "https"):
        text = f"Catalogue {plain(href)!r} is not on HTTP."
        raise ImageryError(explain(text, rule="http, https, or a path", fix="Copy it to disk."))
    request = urllib.request.Request(href, headers={"Accept": "application/json, application/geo+json"})
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
        content: bytes = answer.read(_LARGEST_JSON + 1)
    return _bounded(content)


def _bounded(content: bytes) -> bytes:
    if len(content) > _LARGEST_JSON:
        raise ValueError(f"larger than {_LARGEST_JSON / 2**20:g} MiB")
    return content


def _walked(document: Json, start: str, *, remote: bool) -> list[tuple[Json, str]]:
    """Return the items below a document, each once, in the order of the links."""
    found: list[tuple[Json, str]] = []
    seen = {start}
    waiting = [(document, start)]
    while waiting:
        part, href = waiting.pop()
        kind = part.get("type")
        if kind == "Feature":
            found.append((part, href))
            continue
        if kind == "FeatureCollection":
            features = part.get("features")
            found += [(item, href) for item in features or [] if isinstance(item, dict)]
            continue
        if kind not in ("Catalog", "Collection") and "stac_version" not in part:
            text = f"{plain(href)!r} is no STAC catalogue: its type is {kind!r}."
            raise ImageryError(explain(text, rule="Catalog, Collection, Feature or FeatureCollection"))
        below = [one for one in _links(part, href) if one not in seen]
        refuse_hosts(below, remote=remote)
        seen.update(below)
        if len(seen) > MOST_ITEMS:
            text = f"Catalogue {plain(start)!r} links to more than {MOST_ITEMS:,} documents."
            raise ImageryError(explain(text, fix="Give the part of it that is needed, or use its API."))
        waiting += [(read_json(one), one) for one in reversed(below)]
    return found


def _links(document: Json, href: str) -> list[str]:
    links = document.get("links")
    found = []
    for link in links if isinstance(links, list) else []:
        if isinstance(link, Mapping) and link.get("rel") in ("child", "item", "items"):
            if not isinstance(link.get("href"), str):
                raise ImageryError(explain(f"A link of catalogue {plain(href)!r} has no address."))
            found.append(joined(href, link["href"]))
    return list(dict.fromkeys(found))


def _is_api(document: Json) -> bool:
    links = document.get("links")
    rels = [link.get("rel") for link in links if isinstance(link, Mapping)] if isinstance(links, list) else []
    return "conformsTo" in document and "search" in rels


def _client(url: str) -> Any:
    needs_extra("pystac_client")
    from pystac_client import Client
    from pystac_client.exceptions import APIError

    try:
        return Client.open(url)
    except (APIError, OSError, ValueError, KeyError) as cause:
        text = f"API {plain(url)!r} cannot be opened."
        raise ImageryError(explain(text, rule=f"{type(cause).__name__}: {str(cause)[:200]}")) from cause


def _searched(client: Any, asked: Asked) -> list[tuple[Json, str]]:
    """Search once for each box; an item that several boxes find counts once."""
    from pystac_client.exceptions import APIError

    found: dict[tuple[str, str], tuple[Json, str]] = {}
    # what an API names is never a file of this machine, also where the client does not say its address
    href = str(getattr(client, "self_href", "") or _SOMEWHERE)
    try:
        collections = list(asked.collections or (_there(client, asked.known) if asked.known else ()))
        for box in asked.boxes:
            options = {"collections": collections or None, "datetime": asked.dates, "max_items": asked.sample}
            search = client.search(bbox=list(box), limit=100, **options)
            for item in search.items_as_dicts():
                found.setdefault((str(item.get("collection")), str(item.get("id"))), (_slim(item), href))
                if len(found) > MOST_ITEMS:
                    fix = "Shorten dates=, or name fewer units."
                    raise ImageryError(explain(f"The search finds more than {MOST_ITEMS:,} scenes.", fix=fix))
    except (APIError, OSError, ValueError, KeyError) as cause:
        if isinstance(cause, ImageryError):
            raise
        text = f"The search of {plain(href) or 'the API'!r} failed."
        raise ImageryError(explain(text, rule=f"{type(cause).__name__}: {str(cause)[:200]}")) from cause
    return list(found.values())


def _slim(item: Json) -> Json:
    """Return what is used of an item: links and outlines are most of it."""
    used = ["id", "collection", "properties", "assets", "bbox" if item.get("bbox") else "geometry"]
    return {name: item[name] for name in used if name in item}


def _there(client: Any, known: Sequence[str]) -> list[str]:
    """Return those of the names of a preset that the API has."""
    there = [str(one.id) for one in client.get_collections()]
    found = [name for name in known if name in there]
    if not found:
        rule = f"it has {', '.join(there[:20])}{', ...' if len(there) > 20 else ''}"
        text = "The API has none of the collections of the preset."
        fix = "collections=[...], the names it has for this product"
        raise ImageryError(explain(text, where=list(known), rule=rule, fix=fix))
    return found


def _as_json(item: Any) -> tuple[Json, str]:
    # addresses stay as they are: those that were signed are not to be resolved again
    return item.to_dict(include_self_link=False, transform_hrefs=False), str(item.get_self_href() or "")


def _path(href: str) -> str:
    return unquote(split(href).path) if href.startswith("file:") else href
