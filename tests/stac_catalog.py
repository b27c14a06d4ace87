"""A small static STAC catalogue whose pixels say where and when they are, and servers that hand it out."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from eocausal.simulate._stac_files import Scene, write_catalog

WEST, NORTH = 600_000.0, 200_000.0
SIDE = 120
# Day, baseline, what the item says of the offset, clouds in percent, and the first rows that are cloudy.
DAYS = (
    ("2021-06-16", "03.00", {}, 10.0, 0),
    ("2021-07-01", "03.00", {}, 80.0, 60),
    ("2022-06-21", "05.00", {}, 0.0, 0),
)


def red(number: int, *, offset: int = 0) -> np.ndarray:
    """Return red of a scene as stored: 1000 + 1000 number + 10 row + column, of 10 m."""
    row, column = np.mgrid[0:SIDE, 0:SIDE]
    return (1000 + 1000 * number + 10 * row + column + offset).astype("uint16")


def swir(number: int, *, offset: int = 0) -> np.ndarray:
    """Return the short-wave infrared of a scene, of 20 m."""
    row, column = np.mgrid[0 : SIDE // 2, 0 : SIDE // 2]
    return (2000 + 1000 * number + 20 * row + column + offset).astype("uint16")


def sentinel2(*, epsg: int = 32636, corner: tuple[float, float] = (WEST, NORTH)) -> list[Scene]:
    """Return three scenes of one place; from baseline 04.00 on their numbers are 1,000 more."""
    scenes = []
    for number, (day, baseline, said, cloud, rows) in enumerate(DAYS):
        offset = 1000 if float(baseline) >= 4 else 0
        classes = np.full((SIDE // 2, SIDE // 2), 4, "uint8")
        classes[: rows // 2] = 9
        properties = {
            "platform": "sentinel-2b", "constellation": "sentinel-2", "eo:cloud_cover": cloud,
            "s2:processing_baseline": baseline, **said,
        }  # fmt: skip
        scenes.append(
            Scene(
                name=f"S2B_{epsg}_{day}",
                collection="sentinel-2-l2a",
                day=day,
                epsg=epsg,
                corner=corner,
                pixel_m=10.0,
                pixels={
                    "red": red(number, offset=offset),
                    "swir16": swir(number, offset=offset),
                    "scl": classes,
                },
                nodata={"red": 0, "swir16": 0, "scl": 0},
                properties=properties,
            )
        )
    return scenes


def landsat() -> list[Scene]:
    """Return a scene of Landsat 5 and one of Landsat 8 with the bands that both have."""
    scenes = []
    for number, (day, platform) in enumerate((("2009-03-01", "landsat-5"), ("2019-03-01", "landsat-8"))):
        flags = np.full((40, 40), 21_824, "uint16")
        flags[:, :4], flags[:2] = 22_280, 1
        names = ("blue", "green", "red", "nir08", "swir16", "swir22")
        pixels = {
            name: np.full((40, 40), 9000 + 1000 * number + 100 * i, "uint16") for i, name in enumerate(names)
        }
        scenes.append(
            Scene(
                name=f"{platform}_{day}",
                collection="landsat-c2-l2",
                day=day,
                epsg=32636,
                corner=(WEST, NORTH),
                pixel_m=30.0,
                pixels={**pixels, "qa_pixel": flags},
                nodata={**dict.fromkeys(names, 0), "qa_pixel": 1},
                properties={"platform": platform, "eo:cloud_cover": 12.0},
            )
        )
    return scenes


def write(folder: Path, scenes: list[Scene] | None = None) -> Path:
    """Write a catalogue and return its path."""
    return write_catalog(folder, sentinel2() if scenes is None else scenes, title="Numbered scenes")


@contextmanager
def served(handler: Any) -> Iterator[str]:
    """Serve on loopback in a thread; give the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    """Files, without a line in the log for each; ranges are answered, as GDAL asks for them."""

    def log_message(self, *_: object) -> None:
        return

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        wanted = self.headers.get("Range", "")
        if not path.is_file() or not wanted.startswith("bytes="):
            super().do_GET()
            return
        content = path.read_bytes()
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or len(content) - 1), len(content) - 1)
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end}/{len(content)}")
        self.send_header("Content-Length", str(end - start + 1))
        self.end_headers()
        self.wfile.write(content[start : end + 1])


def files_of(folder: Path) -> Any:
    """Return a handler that serves a folder."""
    return partial(_Quiet, directory=str(folder))


def api_of(items: list[dict[str, Any]], searches: list[dict[str, Any]]) -> Any:
    """Return a handler of a STAC API over items; what is searched for is noted in ``searches``."""

    class Api(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

        def do_GET(self) -> None:
            base = f"http://{self.headers['Host']}"
            names = sorted({item["collection"] for item in items})
            pages = {
                "/": {
                    "type": "Catalog", "stac_version": "1.0.0", "id": "api", "description": "x",
                    "conformsTo": [f"https://api.stacspec.org/v1.0.0/{part}" for part in
                                   ("core", "item-search", "collections")],
                    "links": [{"rel": "self", "href": f"{base}/"}, {"rel": "root", "href": f"{base}/"},
                              {"rel": "data", "href": f"{base}/collections"},
                              {"rel": "search", "href": f"{base}/search", "method": "POST",
                               "type": "application/geo+json"}],
                },
                "/collections": {"collections": [_collection(name, base) for name in names], "links": []},
            }  # fmt: skip
            self._answer(pages.get(self.path))

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            searches.append(asked)
            first, last = (part[:10] for part in asked.get("datetime", "0000-00-00/9999-12-31").split("/"))
            west, south, east, north = asked["bbox"]
            found = [
                item
                for item in items
                if item["collection"] in asked["collections"]
                and first <= item["properties"]["datetime"][:10] <= last
                and item["bbox"][0] <= east and item["bbox"][2] >= west
                and item["bbox"][1] <= north and item["bbox"][3] >= south
            ]  # fmt: skip
            self._answer({"type": "FeatureCollection", "features": found, "links": []})

        def _answer(self, page: dict[str, Any] | None) -> None:
            content = json.dumps(page).encode()
            self.send_response(404 if page is None else 200)
            self.send_header("Content-Type", "application/geo+json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Api


def _collection(name: str, base: str) -> dict[str, Any]:
    extent = {
        "spatial": {"bbox": [[-180, -90, 180, 90]]},
        "temporal": {"interval": [["2000-01-01T00:00:00Z", None]]},
    }
    return {
        "type": "Collection", "stac_version": "1.0.0", "id": name, "description": "x", "license": "other",
        "extent": extent, "links": [{"rel": "root", "href": f"{base}/"}],
    }  # fmt: skip
