"""Catalogues that lie, lead elsewhere or have nothing to show are refused in words that help."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import eocausal as ec
from eocausal.errors import ImageryError
from eocausal.imagery._stac_items import Item, offset_applied
from tests import stac_catalog as catalog
from tests.scenes import read_all, units_lonlat, units_on

UNITS = units_on([(60, 60)], pixel=10)
ASKED = {"preset": "sentinel-2-l2a", "bands": ["red"], "size_m": 200}
FIRST = "S2B_32636_2021-06-16"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("catalogue")
    catalog.write(folder)
    return folder


@pytest.fixture
def folder(written, tmp_path) -> Path:
    """Return a copy that may be spoilt."""
    return Path(shutil.copytree(written, tmp_path / "catalogue"))


def _find(folder: Path, **options: Any) -> ec.Scenes:
    return ec.stac_scenes(folder / "catalog.json", UNITS, **{**ASKED, **options})


def _read(folder: Path) -> Any:
    return read_all(ec.chips(UNITS, _find(folder), size_m=200, frames=ec.Frames("each")))


def _change(folder: Path, change: Callable[[dict], object], name: str = FIRST) -> None:
    path = folder / name / f"{name}.json"
    item = json.loads(path.read_text())
    change(item)
    path.write_text(json.dumps(item))


CALLS = {
    "nothing named": ({"preset": None, "bands": None}, r"Neither a preset nor bands[\s\S]*sentinel-2-l2a"),
    "unknown preset": ({"preset": "sentinel-2"}, r"preset='sentinel-2' is not known[\s\S]*'sentinel-2-l2a'"),
    "unknown band": ({"bands": ["rde"]}, r"no band 'rde'[\s\S]*Did you mean 'red'"),
    "a band twice": ({"bands": ["red", "red"]}, r"names a band twice"),
    "percent": ({"max_cloud": 40}, r"max_cloud=40 is not a share[\s\S]*max_cloud=0\.4"),
    "no period": ({"dates": "June"}, r"'June' is not a period"),
    "no size": ({"size_m": 0}, r"size_m=0 is not a size"),
    "other days": (
        {"dates": "2019"},
        r"days asked for, 2019[\s\S]*3 \(2021-06-16, 2021-07-01, 2022-06-21\)[\s\S]*Widen",
    ),
    "too cloudy": (
        {"dates": "2021-07", "max_cloud": 0.5},
        r"Every scene is cloudier than max_cloud=0\.5[\s\S]*at 0\.80",
    ),
    "no such asset": (
        {"preset": None, "bands": ["B99"]},
        r"'S2B_32636_2021-06-16' has no asset[\s\S]*1 \(B99\)[\s\S]*red, sw",
    ),
    "other collection": (
        {"collections": ["else"]},
        r"No scene of the catalogue shows a unit[\s\S]*collections=",
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_calls(written, case) -> None:
    options, words = CALLS[case]
    with pytest.raises(ImageryError, match=words):
        _find(written, **options)


DOCUMENTS = {
    "absent": (None, r"cannot be read[\s\S]*The folder is"),
    "not JSON": ("{", r"is not JSON"),
    "a list": ("[]", r"is no STAC document"),
    "deep": ("[" * 200_000, r"is not JSON"),
    "something else": ('{"type": "Topology"}', r"no STAC catalogue: its type is 'Topology'"),
    "a link to nowhere": (
        '{"type": "Catalog", "links": [{"rel": "item"}]}',
        r"A link of catalogue .* has no address",
    ),
    "no scenes": ('{"type": "Catalog", "links": []}', r"No scene of the catalogue shows a unit"),
    "links to itself": (
        '{"type": "Catalog", "links": [{"rel": "child", "href": "./catalog.json"}]}',
        r"No scene of",
    ),
    "links to the network": (
        '{"type": "Catalog", "links": [{"rel": "child", "href": "https://me:pw@host.org/c.json?k=1"}]}',
        r"was not allowed[\s\S]*1 \(host\.org\)[\s\S]*remote=True",
    ),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_documents(tmp_path, case) -> None:
    text, words = DOCUMENTS[case]
    if text is not None:
        (tmp_path / "catalog.json").write_text(text)
    with pytest.raises(ImageryError, match=words):
        _find(tmp_path)


def test_what_no_catalogue_is() -> None:
    with pytest.raises(ImageryError, match=r"cannot be read from a int[\s\S]*catalog\.json"):
        ec.stac_scenes(3, UNITS, **ASKED)
    with pytest.raises(ImageryError, match=r"not allowed[\s\S]*1 \(example\.org\)"):
        ec.stac_scenes("https://example.org/v1?key=secret", UNITS, **ASKED)
    with pytest.raises(ImageryError, match="not on HTTP"):
        ec.stac_scenes("ftp://example.org/v1", UNITS, **ASKED, remote=True)


ITEMS = {
    "an address that is none": (
        lambda item: item["assets"]["red"].update(href="http://[bad/red.tif?key=secret"),
        r"'http://\[bad/red\.tif' is no address",
    ),
    "a grid of no system": (
        lambda item: [item["properties"].update({"proj:epsg": -1}), (item["assets"]["red"]).pop("href")],
        r"Asset 'red' of scene 'S2B_32636_2021-06-16' has no address",
    ),
    "bounds beyond all": (
        lambda item: item.update(bbox=[10**400] * 4, geometry=None),
        r"neither bbox nor geometry",
    ),
    "no day": (lambda item: item["properties"].update(datetime=None), r"'S2B_32636_2021-06-16' has no day"),
    "no place": (lambda item: [item.pop("bbox"), item.update(geometry=None)], r"neither bbox nor geometry"),
    "no clouds told": (
        lambda item: item["properties"].pop("eo:cloud_cover"),
        r"how cloudy[\s\S]*1 \(S2B_32636_2021-06-16\)",
    ),
    "no address": (
        lambda item: item["assets"]["red"].pop("href"),
        r"Asset 'red' of scene 'S2B_32636_2021-06-16' has no add",
    ),
    "remote pixels": (
        lambda item: item["assets"]["red"].update(href="https://host.org/red.tif"),
        r"not allowed[\s\S]*1 \(host\.org\)",
    ),
    "inside an archive": (
        lambda item: item["assets"]["red"].update(href="/vsizip/a.zip/red.tif"),
        r"'S2B_32636_2021-06-16' cannot be opened[\s\S]*inside an archive",
    ),
    "untold offset": (
        lambda item: item["properties"].pop("s2:processing_baseline"),
        r"do not say whether the offset[\s\S]*1 \(S2B_32636_2021-06-16\)[\s\S]*offset_applied=True",
    ),
}


@pytest.mark.parametrize("case", ITEMS)
def test_items(folder, case) -> None:
    change, words = ITEMS[case]
    _change(folder, change)
    with pytest.raises(ImageryError, match=words):
        read_all(ec.chips(UNITS, _find(folder, max_cloud=0.9), size_m=200, frames=ec.Frames("each")))


def test_a_dead_link_names_the_scene(folder) -> None:
    (folder / FIRST / "red.tif").unlink()
    with pytest.raises(
        ImageryError, match=r"Band 'red' of scene 'S2B_32636_2021-06-16' cannot be opened: .*red\.tif"
    ):
        _read(folder)
    with catalog.served(catalog.files_of(folder)) as address:
        found = ec.stac_scenes(f"{address}/catalog.json", UNITS, **ASKED, remote=True)
        with pytest.raises(
            ImageryError, match=r"'S2B_32636_2021-06-16' cannot be opened: http://127.*/red\.tif\n"
        ):
            read_all(ec.chips(UNITS, found, size_m=200, frames=ec.Frames("each")))


@pytest.mark.parametrize("remote", [False, True])
def test_a_list_of_other_files_that_is_called_a_picture_is_not_read(folder, remote) -> None:
    secret = folder / "secret.bin"
    secret.write_bytes(bytes(range(200)) * 100)
    vrt = (
        '<VRTDataset rasterXSize="120" rasterYSize="120"><SRS>EPSG:32636</SRS>'
        "<GeoTransform>600000, 10, 0, 200000, 0, -10</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">'
        f"<SourceFilename>{secret}</SourceFilename><ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>120</LineOffset>"
        "</VRTRasterBand></VRTDataset>"
    )
    (folder / FIRST / "red.tif").write_text(vrt)
    with catalog.served(catalog.files_of(folder)) as address:
        where = f"{address}/catalog.json" if remote else folder / "catalog.json"
        found = ec.stac_scenes(where, UNITS, **ASKED, remote=remote)
        with pytest.raises(
            ImageryError, match=r"Band 'red' of scene 'S2B_32636_2021-06-16' cannot be opened"
        ):
            read_all(ec.chips(UNITS, found, size_m=200, frames=ec.Frames("each")))


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("https://127.0.0.1:9/red.vrt", r"Its name ends in '\.vrt'"),
        ("gopher://127.0.0.1/red.tif", r"begins with gopher:"),
    ],
)
def test_addresses_that_are_not_read(folder, address, words) -> None:
    _change(folder, lambda item: item["assets"]["red"].update(href=address))
    with pytest.raises(ImageryError, match=words):
        read_all(ec.chips(UNITS, _find(folder, remote=True), size_m=200, frames=ec.Frames("each")))


def test_a_file_that_lies_elsewhere_than_its_item_says(folder) -> None:
    def shift(item: dict) -> None:
        item["assets"]["red"]["proj:transform"][2] += 5

    _change(folder, shift)
    with pytest.raises(
        ImageryError, match=r"does not lie where its item says[\s\S]*begins 0\.5 of a pixel off"
    ):
        _read(folder)


def test_files_of_other_makings(folder) -> None:
    path = folder / FIRST / "red.tif"
    with rasterio.open(path) as data:
        profile, values = data.profile, data.read()
    profile = {name: profile[name] for name in ("width", "height", "count", "dtype", "crs", "transform")}
    with rasterio.open(path, "w", driver="GTiff", **{**profile, "count": 2}) as out:
        out.write(np.concatenate([values, values]))
    with pytest.raises(ImageryError, match=r"'S2B_32636_2021-06-16'[\s\S]*holds 2 bands"):
        _read(folder)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", driver="GTiff", **profile) as out,
    ):
        out.write(values)
        out.write_mask(np.ones(values.shape[1:], bool))
    with pytest.raises(ImageryError, match=r"'S2B_32636_2021-06-16'[\s\S]*has a mask[\s\S]*ec\.scenes"):
        _read(folder)


def test_units_elsewhere(written) -> None:
    with pytest.raises(ImageryError, match="No scene of the catalogue shows a unit"):
        ec.stac_scenes(written / "catalog.json", units_lonlat([-60.0], [-3.0]), **ASKED)


def _said(baseline: str | None, flag: bool | None = None, offset: float | None = None) -> bool | None:
    said: dict[str, object] = {} if baseline is None else {"s2:processing_baseline": baseline}
    said |= {} if flag is None else {"earthsearch:boa_offset_applied": flag}
    bands = [{}] if offset is None else [{"scale": 1e-4, "offset": offset}]
    content = {"id": "a", "properties": said, "assets": {"red": {"href": "a.tif", "raster:bands": bands}}}
    return offset_applied(Item(content, ""), ["red"])


@pytest.mark.parametrize(
    ("baseline", "flag", "offset", "applied"),
    [
        ("02.14", None, None, True),
        ("03.01", False, -0.1, True),
        ("04.00", None, None, False),
        ("05.09", True, -0.1, True),
        ("05.09", False, 0.0, False),
        ("05.09", None, -0.1, False),
        ("05.09", None, 0.0, True),
        (None, True, None, True),
        (None, False, None, None),
        (None, None, None, None),
    ],
)
def test_offsets_are_told_scene_by_scene(baseline, flag, offset, applied) -> None:
    assert _said(baseline, flag, offset) is applied


def test_presets_that_name_nothing() -> None:
    with pytest.raises(ImageryError, match="names no assets"):
        ec.StacPreset({})
    with pytest.raises(ImageryError, match=r"quality band 'scl' is not among[\s\S]*red"):
        ec.StacPreset({"red": "B04"}, quality=ec.Quality("scl", scheme="sentinel2_scl"))
