# ruff: noqa: E501 - a case is a line
"""Hostile rasters: read in a process with limits, refused in our words, and nothing else read or written."""

from __future__ import annotations

import http.server
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from tests.hostile import (
    ASCII,
    CANARY,
    DOUBLE,
    LONG,
    UNDEFINED,
    Result,
    Tag,
    deflated_zeros,
    raw_band,
    read_in_a_process_with_limits,
    source,
    tiff,
    vrt,
)

GOOD = [float(value) for value in range(16, 24)]
NAN, INF = float("nan"), float("inf")
PYTHON = (
    ' subClass="VRTDerivedRasterBand"><PixelFunctionType>f</PixelFunctionType>'
    "<PixelFunctionLanguage>Python</PixelFunctionLanguage><PixelFunctionCode><![CDATA["
    "open({0!r}, 'w').write('run')\ndef f(in_ar, out_ar, *args, **kwargs): out_ar[:] = 1\n]]></PixelFunctionCode>"
)


@dataclass(frozen=True)
class World:
    """What lies beside the hostile files: a secret, a good raster, and a server that counts what it is asked."""

    beside: Path
    address: str
    asked: list[str]

    @property
    def canary(self) -> Path:
        return self.beside / "canary.txt"

    @property
    def good(self) -> Path:
        return self.beside / "good.tif"


Case = tuple[Callable[[Path, World], Any], list[Any]]


def put(file: Path, content: str | bytes) -> Path:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def named(name: str, content: Callable[[World], str | bytes]) -> Callable[[Path, World], Path]:
    return lambda folder, world: put(folder / name, content(world))


def tif(**options: Any) -> Callable[[Path, World], Path]:
    return named("a.tif", lambda world: tiff(**options))


def beside_good(ending: str, content: Callable[[World], str | bytes]) -> Callable[[Path, World], Path]:
    def make(folder: Path, world: World) -> Path:
        put(folder / f"a.tif{ending}", content(world))
        return put(folder / "a.tif", tiff())

    return make


def with_tag(number: int, kind: int, values: Any = (), **options: Any) -> Callable[[Path, World], Path]:
    return tif(extra=(Tag(number, kind, values, **options),))


def zipped(folder: Path, world: World) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.write(world.good, "good.tif")
    return put(folder / "a.vrt", source(f"/vsizip/{folder}/a.zip/good.tif"))


def chain_of_vrts(folder: Path, world: World) -> Path:
    for number in range(10_000):
        put(folder / f"{number}.vrt", source(f"{number + 1}.vrt", relative="1"))
    return folder / "0.vrt"


def link_to_vrt(folder: Path, world: World) -> Path:
    """GDAL looks beside the file that a link leads to, where a.tif is a VRT of the canary."""
    (folder / "far").mkdir()
    put(folder / "far" / "real.vrt", source("a.tif", relative="1"))
    put(folder / "far" / "a.tif", raw_band(str(world.canary)))
    put(folder / "a.tif", tiff())
    (folder / "a.vrt").symlink_to(folder / "far" / "real.vrt")
    return folder / "a.vrt"


def two_formats(name: str, start: bytes) -> Callable[[Path, World], Path]:
    """Return a maker of a VRT of a file that begins like one raster and goes on as a VRT of the canary."""

    def make(folder: Path, world: World) -> Path:
        put(folder / name, start + raw_band(str(world.canary)).encode())
        return put(folder / "a.vrt", source(name, relative="1"))

    return make


def mask_of_vrt_source(folder: Path, world: World) -> Path:
    put(folder / "a.tif", tiff())
    put(folder / "a.tif.msk", raw_band(str(world.canary)))
    return put(folder / "a.vrt", source("a.tif", relative="1"))


def pipe_as_mask(folder: Path, world: World) -> Path:
    import os

    os.mkfifo(folder / "a.tif.msk")
    return put(folder / "a.tif", tiff())


def cut_off(share: float) -> Callable[[Path, World], Path]:
    def make(folder: Path, world: World) -> Path:
        noise = np.random.default_rng(1).integers(0, 255, (1, 64, 64)).astype("uint8")
        with rasterio.open(world.good) as good:
            profile = {**good.profile, "compress": "deflate"}
        with rasterio.open(folder / "a.tif", "w", **profile) as out:
            out.write(noise)
        whole = (folder / "a.tif").read_bytes()
        return put(folder / "a.tif", whole[: int(share * len(whole))])

    return make


NOT_A_TIFF = ["'a.tif' is not what its name says", "GTiff only"]
NOT_THERE = ["is not there"]
NOT_A_MOSAIC = ["'a.vrt' holds", "only mosaics of raster files"]
DRAWS_ON = ["'a.vrt' draws on", "local .tif"]
SIDECAR = ["Beside raster 'a.tif' lies 'a.tif", "not a TIFF file", "Move that file away"]
DAMAGED = ["'a.tif' cannot be", "a.tif"]
GIANT = ["'a.tif' is stored in blocks of 100,000 x 100,000 pixels", "at most 512 MiB", "TILED=YES"]
NO_PLACE = ["'a.tif' has no georeference", "gdal_edit.py"]

# What is written, and the words of the error, or the values of the pixels where the file may be read.
CASES: dict[str, Case] = {
    # text named .tif
    "raw band as tif": (named("a.tif", lambda w: raw_band(str(w.canary))), NOT_A_TIFF),
    "mosaic as tif": (named("a.tif", lambda w: source(str(w.good))), NOT_A_TIFF),
    "mrf as tif": (named("a.tif", lambda w: f'<MRF_META><CachedSource><Source>{w.good}</Source></CachedSource><Raster><Size x="64" y="64"/></Raster></MRF_META>'), NOT_A_TIFF),
    "wms as tif": (named("a.tif", lambda w: f'<GDAL_WMS><Service name="TMS"><ServerUrl>{w.address}/a</ServerUrl></Service></GDAL_WMS>'), NOT_A_TIFF),
    "gti as tif": (named("a.tif", lambda w: f"<GDALTileIndexDataset><IndexDataset>{w.canary}</IndexDataset></GDALTileIndexDataset>"), NOT_A_TIFF),
    "xml as tif": (named("a.tif", lambda w: '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><a>&b;</a>'), NOT_A_TIFF),
    "mrf by name": (named("a.mrf", lambda w: "<MRF_META/>"), ["'a.mrf' is not of an accepted kind"]),
    # VRT
    "raw band": (named("a.vrt", lambda w: raw_band(str(w.canary))), [*NOT_A_MOSAIC, "VRTRawRasterBand"]),
    "raw band, lower case": (named("a.vrt", lambda w: raw_band(str(w.canary)).replace("subClass", "subclass")), NOT_A_MOSAIC),
    "raw band, other case": (named("a.vrt", lambda w: raw_band(str(w.canary)).replace("VRTRaw", "vrtraw")), NOT_A_MOSAIC),
    "absolute source": (named("a.vrt", lambda w: source(str(w.canary))), [*DRAWS_ON, "canary.txt"]),
    "source, lower case": (named("a.vrt", lambda w: source(str(w.canary), tag="sourcefilename")), NOT_A_MOSAIC),
    "source as attribute": (named("a.vrt", lambda w: vrt(f'><SimpleSource SourceFilename="{w.canary}"><SourceBand>1</SourceBand></SimpleSource>')), NOT_A_MOSAIC),
    "source of odd relation": (named("a.vrt", lambda w: source("good.tif", relative="2")), DRAWS_ON),
    "source by entity": (named("a.vrt", lambda w: f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "{w.good}">]>' + source("&b;")), ["'a.vrt' holds declarations"]),
    "entities that grow": (named("a.vrt", lambda w: '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9)) + "]>" + source("&j;")), ["'a.vrt'"]),
    "instruction": (named("a.vrt", lambda w: '<?xml version="1.0"?><?x <SimpleSource>?>' + source(str(w.good))), ["'a.vrt' holds declarations"]),
    "utf-16": (named("a.vrt", lambda w: b'<?xml version="1.0" encoding="utf-16"?>' + source(str(w.good)).encode("utf-16")), ["'a.vrt' is not XML"]),
    "remote source": (named("a.vrt", lambda w: source(f"{w.address}/good.tif")), DRAWS_ON),
    "vsicurl source": (named("a.vrt", lambda w: source(f"/vsicurl/{w.address}/good.tif")), DRAWS_ON),
    "vsizip source": (zipped, DRAWS_ON),
    "inline source": (named("a.vrt", lambda w: source("&lt;VRTDataset/&gt;.tif")), DRAWS_ON),
    "source of a prefix": (named("a.vrt", lambda w: source(f"GTIFF_DIR:1:{w.good}")), DRAWS_ON),
    "nested": (chain_of_vrts, ["'0.vrt' draws on '1.vrt'", "local .tif"]),
    "itself": (named("a.vrt", lambda w: source("a.vrt", relative="1")), DRAWS_ON),
    "deep elements": (named("a.vrt", lambda w: vrt(">" + "<MaskBand>" * 10_000 + "</MaskBand>" * 10_000)), ["'a.vrt' is nested more than 16"]),
    "deep metadata": (named("a.vrt", lambda w: vrt(">", dataset="<Metadata>" * 10_000 + "</Metadata>" * 10_000)), ["'a.vrt' is nested more than 16"]),
    "too large": (named("a.vrt", lambda w: source(str(w.good)) + " " * 2**22), ["'a.vrt' is too large", "4,194,304 bytes"]),
    "python": (named("a.vrt", lambda w: vrt(PYTHON.format(str(w.beside / "run.txt")))), NOT_A_MOSAIC),
    "warped": (named("a.vrt", lambda w: vrt(">", dataset=f"<GDALWarpOptions><SourceDataset>{w.canary}</SourceDataset></GDALWarpOptions>", kind=' subClass="VRTWarpedDataset"')), NOT_A_MOSAIC),
    "pansharpened": (named("a.vrt", lambda w: vrt(">", dataset=f"<PansharpeningOptions><PanchroBand><SourceFilename>{w.canary}</SourceFilename></PanchroBand></PansharpeningOptions>")), NOT_A_MOSAIC),
    "overview": (named("a.vrt", lambda w: vrt(f"><Overview><SourceFilename>{w.canary}</SourceFilename></Overview>")), NOT_A_MOSAIC),
    "open options": (named("a.vrt", lambda w: vrt(f"><SimpleSource><SourceFilename>{w.good}</SourceFilename><OpenOptions><OOI key='a'>b</OOI></OpenOptions></SimpleSource>")), NOT_A_MOSAIC),
    "link": (link_to_vrt, NOT_A_TIFF),
    "hfa and vrt": (two_formats("b.img", b"EHFA_HEADER_TAG"), ["'b.img' is not what its name says"]),
    "jp2 and vrt": (two_formats("b.jp2", b"\xff\x4f\xff\x51"), ["'b.jp2' is not what its name says"]),
    "plain mosaic": (named("a.vrt", lambda w: source(str(w.good))), GOOD),
    # files beside a raster
    "mask of raw band": (beside_good(".msk", lambda w: raw_band(str(w.canary))), SIDECAR),
    "mask, upper case": (beside_good(".MSK", lambda w: raw_band(str(w.canary))), SIDECAR),
    "mask that is remote": (beside_good(".msk", lambda w: source(f"/vsicurl/{w.address}/good.tif")), SIDECAR),
    "mask that is a pipe": (pipe_as_mask, SIDECAR),
    "mask of a vrt's source": (mask_of_vrt_source, SIDECAR),
    "overviews that are remote": (beside_good(".ovr", lambda w: source(f"/vsicurl/{w.address}/good.tif")), SIDECAR),
    "metadata that names overviews": (beside_good(".aux.xml", lambda w: f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">/vsicurl/{w.address}/good.tif</MDI></Metadata></PAMDataset>'), GOOD),
    "tag that names overviews": (tif(extra=(Tag(42112, ASCII, b'<GDALMetadata><Item name="OVERVIEW_FILE" domain="OVERVIEWS">/vsicurl/http://127.0.0.1:9/a.tif</Item></GDALMetadata>\0'),)), GOOD),
    # headers
    "a million square": (tif(width=10**6, height=10**6, tile=1024, blocks=977**2, data=b""), [0.0]),
    "65,535 bands": (tif(width=64, height=64, bands=65_535, tile=64, data=b""), ["'a.tif' has 65,535 bands", "at most 10,000"]),
    "tag of 1e9": (with_tag(65000, DOUBLE, count=10**9, raw=8), GOOD),
    "offsets of 1e9": (with_tag(273, LONG, count=10**9, raw=8), DAMAGED),
    "places of 1e9": (with_tag(34736, DOUBLE, count=10**9, raw=8), GOOD),
    "text of 1e9": (with_tag(42112, ASCII, count=10**9, raw=8), GOOD),
    "profile of 1e9": (with_tag(34675, UNDEFINED, count=10**9, raw=8), GOOD),
    "nodata of 100,000 digits": (with_tag(42113, ASCII, b"1" * 100_000 + b"\0"), GOOD),
    "directory cycle": (tif(next_directory=8), GOOD),
    "sub-directory cycle": (with_tag(330, LONG, (8,)), GOOD),
    "tile count overflow": (tif(width=2**32 - 1, height=2**32 - 1, tile=16, data=b""), DAMAGED),
    "tile count beyond memory": (tif(width=2**31 - 16, height=2**31 - 16, tile=512, data=b""), DAMAGED),
    "tile of no width": (tif(tile=16, extra=(Tag(322, LONG, (0,)),)), DAMAGED),
    "no width": (tif(width=0, data=b""), DAMAGED),
    "no bits": (tif(bits=0), DAMAGED),
    "65,535 bits": (tif(bits=65_535), DAMAGED),
    "giant block": (tif(width=10**5, height=10**5, tile=10**5, blocks=1, data=b""), GIANT),
    "deflate bomb": (tif(width=10**5, height=10**5, tile=10**5, compression=8, data=deflated_zeros(2**28)), GIANT),
    "deflate bomb in a small block": (tif(tile=64, compression=8, data=deflated_zeros(2**28)), [0.0]),
    "deflate bomb in one strip": (tif(width=10**5, height=10**5, compression=8, data=deflated_zeros(2**28)), [0.0]),
    "deflate that is noise": (tif(compression=8), DAMAGED),
    "jpeg that is noise": (tif(compression=7), DAMAGED),
    "scale that is no number": (with_tag(33550, DOUBLE, (NAN, NAN, 0.0)), NO_PLACE),
    "scale without end": (with_tag(33550, DOUBLE, (INF, INF, 0.0)), NO_PLACE),
    "scale near nothing": (with_tag(33550, DOUBLE, (1e-300, 1e-300, 0.0)), NO_PLACE),
    "place that is no number": (with_tag(33922, DOUBLE, (0.0, 0.0, 0.0, NAN, NAN, 0.0)), NO_PLACE),
    **{f"cut at {share}": (cut_off(share), ["'a.tif'"]) for share in (0.001, 0.01, 0.05, 0.1, 0.3, 0.6, 0.9, 0.98)},
    # names
    "newline": (named("a\nb.tif", lambda w: tiff()), GOOD),
    "leading dash": (named("-a.tif", lambda w: tiff()), GOOD),
    "escape codes": (named("\x1b[2J.tif", lambda w: b"x"), ["\\x1b[2J.tif"]),
    "text for a shell": (named("$(touch x);.nc", lambda w: b"x"), ["gdal_translate '$(touch x);.nc'"]),
    "4,096 characters": (lambda f, w: str(f / ("x" * 4_092 + ".tif")), ["No file can have this name", "characters"]),
    "long pattern": (lambda f, w: str(f / ("x" * 300 + "*.tif")), ["No file matches"]),
    "zero byte": (lambda f, w: str(f / "a\0.tif"), NOT_THERE),
    "prefix of gdal": (lambda f, w: f"GTIFF_DIR:1:{w.good}", NOT_THERE),
    "vrt in an address": (lambda f, w: f"vrt://{w.good}", ["remote or inside an archive"]),
    "two slashes": (lambda f, w: f"//vsizip/{w.good}", NOT_THERE),
    "text of a vrt": (lambda f, w: raw_band(str(w.canary))[:200], ["File '<VRTDataset", "is not there"]),
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    asked: list[str] = []

    class Counting(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *args: object) -> None:
            pass

    beside = tmp_path_factory.mktemp("beside")
    put(beside / "canary.txt", CANARY)
    put(beside / "good.tif", tiff())
    server = http.server.HTTPServer(("127.0.0.1", 0), Counting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield World(beside, f"http://127.0.0.1:{server.server_port}", asked)
    server.shutdown()
    server.server_close()


def state(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(file.relative_to(folder)): (file.lstat().st_size, file.lstat().st_mtime_ns)
        for file in folder.rglob("*")
        if not file.is_dir()
    }


@dataclass(frozen=True)
class Read:
    """What became of all cases, what was printed, and the files before and after."""

    results: dict[str, Result]
    said: str
    before: dict[str, tuple[int, int]]
    after: dict[str, tuple[int, int]]


@pytest.fixture(scope="module")
def read(world: World, tmp_path_factory: pytest.TempPathFactory) -> Read:
    home = tmp_path_factory.getbasetemp()
    made: dict[str, dict[str, Any]] = {}
    for name, (make, _) in CASES.items():
        folder = tmp_path_factory.mktemp("case")
        made[name] = {"rasters": str(make(folder, world))}
    before = state(home)
    results, said = read_in_a_process_with_limits(made)
    return Read(results, said, before, state(home))


@pytest.mark.parametrize("name", CASES)
def test_refused_in_our_words_or_read_as_stored(name, read):
    expected, found = CASES[name][1], read.results[name]
    if isinstance(expected[0], float):
        assert (found.outcome, found.values) == ("read", expected), found.text
    else:
        assert found.is_ours, (found.outcome, found.text)
        for word in expected:
            assert word in found.text
    assert not found.pixels_hold_canary


def test_nothing_was_fetched_printed_or_written(read, world):
    assert world.asked == []
    assert CANARY[:12] not in read.said
    assert read.after == read.before


HOSTILE_SETTINGS = {
    "GDAL_VRT_ENABLE_PYTHON": "YES",
    "GDAL_VRT_ENABLE_RAWRASTERBAND": "YES",
    "GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE": "ALL",
    "GDAL_CACHEMAX": "99999999999",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_MAX_DATASET_POOL_SIZE": "1",
    "GDAL_NUM_THREADS": "-7",
    "GTIFF_IGNORE_READ_ERRORS": "YES",
    "VSI_CACHE": "TRUE",
}


def test_settings_from_the_environment_open_no_door(world, tmp_path):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    put(plugins / "gdal_Evil.so", CANARY)
    kept = ("raw band as tif", "raw band", "python", "mask of raw band", "plain mosaic")
    cases = {}
    for number, name in enumerate(kept):
        (tmp_path / str(number)).mkdir()
        cases[name] = {"rasters": str(CASES[name][0](tmp_path / str(number), world))}
    before = state(world.beside), state(tmp_path)
    settings = {**HOSTILE_SETTINGS, "GDAL_DRIVER_PATH": str(plugins), "GDAL_PAM_PROXY_DIR": str(world.beside)}
    results, said = read_in_a_process_with_limits(cases, environment=settings)
    for name in kept[:-1]:
        assert results[name].is_ours, results[name]
    assert results["plain mosaic"].values == GOOD
    assert CANARY[:12] not in said
    assert (state(world.beside), state(tmp_path)) == before


def test_a_driver_taken_away_is_said(world, tmp_path):
    cases = {"good": {"rasters": str(world.good)}}
    results, _ = read_in_a_process_with_limits(cases, environment={"GDAL_SKIP": "GTiff"})
    assert results["good"].is_ours
    assert "'good.tif' cannot be opened" in results["good"].text


def test_a_mask_beside_a_raster_that_is_one_is_heeded(world, tmp_path):
    file = put(tmp_path / "a.tif", tiff())
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(file, "r+") as out:
        mask = np.full((64, 64), 255, dtype="uint8")
        mask[:, 20] = 0
        out.write_mask(mask)
    assert (tmp_path / "a.tif.msk").is_file()
    results, _ = read_in_a_process_with_limits({"masked": {"rasters": str(file)}})
    # Column 20 is not valid (-1 here), the others hold their own numbers.
    assert results["masked"].values == [-1.0, 16.0, 17.0, 18.0, 19.0, 21.0, 22.0, 23.0]
