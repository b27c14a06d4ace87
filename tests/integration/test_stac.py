"""From a STAC catalogue to chips: on disk, on a server, and through an API, against the numbers written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyproj
import pytest

import eocausal as ec
from eocausal.errors import ImageryError
from eocausal.imagery import _stac_raster
from eocausal.imagery._network import plain
from tests import stac_catalog as catalog
from tests.scenes import read_all, units_lonlat, units_on

UNITS = units_on([(60, 60), (20.5, 30.5)], pixel=10)
S2 = {"preset": "sentinel-2-l2a", "bands": ["red", "swir16"], "size_m": 200}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    where = tmp_path_factory.mktemp("catalogue")
    catalog.write(where)
    return where


def test_every_scene_is_read_as_it_was_written(folder) -> None:
    found = ec.stac_scenes(folder / "catalog.json", UNITS, **S2)
    table = found.table()
    assert table["date"].tolist() == [day for day, *_ in catalog.DAYS]
    assert table["offset_applied"].tolist() == [True, True, False]
    assert set(table["sensor"]) == {"sentinel-2"}
    cut = ec.chips(UNITS, found, size_m=200, frames=ec.Frames("each"))
    assert (cut.bands, cut.pixel_unit) == (("red", "swir16"), "reflectance")
    pixels = read_all(cut).pixels["200m"][0]
    for number in (0, 2):
        # the first unit stands on the corner of four pixels: ten pixels to each side
        wanted = catalog.red(number)[50:70, 50:70] / 1e4
        np.testing.assert_allclose(pixels[number, 0], wanted, atol=1e-7)


def test_coarser_bands_are_interpolated_to_the_finest(folder) -> None:
    found = ec.stac_scenes(folder / "catalog.json", UNITS, **S2)
    cut = ec.chips(UNITS, found, size_m=200, bands="swir16", frames=ec.Frames(["2021-06-16"]))
    pixels = read_all(cut).pixels["200m"][0, 0, 0]
    # of a plane, bilinear interpolation is the plane itself, at the centres of the finer pixels
    row, column = np.mgrid[50:70, 50:70] + 0.5
    wanted = (2000 + 20 * (row / 2 - 0.5) + (column / 2 - 0.5)) / 1e4
    np.testing.assert_allclose(pixels, wanted, atol=1e-6)
    # alone, the band keeps its own pixels
    alone = ec.stac_scenes(
        folder / "catalog.json", UNITS, preset="sentinel-2-l2a", bands="swir16", size_m=200
    )
    assert set(alone.table()["pixel_x"]) == {20.0}
    stored = read_all(ec.chips(UNITS, alone, size_m=200, frames=ec.Frames(["2021-06-16"])))
    np.testing.assert_allclose(stored.pixels["200m"][0, 0, 0], catalog.swir(0)[25:35, 25:35] / 1e4, atol=1e-7)


def test_clouds_are_dropped_and_composites_take_what_is_clear(folder) -> None:
    found = ec.stac_scenes(folder / "catalog.json", UNITS, **S2, dates="2021")
    assert len(found) == 2
    cut = ec.chips(UNITS, found, size_m=200, bands="red", frames=ec.Frames(["2021"], composite="latest"))
    batch = read_all(cut)
    # the second day is under clouds north of row 60
    wanted = np.concatenate([catalog.red(0)[50:60, 50:70], catalog.red(1)[60:70, 50:70]]) / 1e4
    np.testing.assert_allclose(batch.pixels["200m"][0, 0, 0], wanted, atol=1e-7)
    assert batch.observations["200m"][:, 0].tolist() == [1.5, 1.0]
    clear = ec.stac_scenes(folder / "catalog.json", UNITS, **S2, dates="2021", max_cloud=0.1)
    assert clear.table()["date"].tolist() == ["2021-06-16"]


def test_two_zones_give_each_unit_its_own(tmp_path) -> None:
    west = catalog.sentinel2(epsg=32635, corner=(829_000.0, 200_000.0))
    east = catalog.sentinel2(epsg=32636, corner=(WEST_OF_36, 200_000.0))
    path = catalog.write(tmp_path, [*west, *east])
    places = [
        pyproj.Transformer.from_crs(code, 4326, always_xy=True).transform(x + 600, 200_000.0 - 600)
        for code, x in ((32635, 829_000.0), (32636, WEST_OF_36))
    ]
    units = units_lonlat(*[list(part) for part in zip(*places)])
    found = ec.stac_scenes(path, units, **S2, dates="2022")
    assert found.table()["crs"].tolist() == ["EPSG:32635", "EPSG:32636"]
    cut = ec.chips(units, found, size_m=200, bands="red")
    wanted = np.stack([catalog.red(2)[50:70, 50:70]] * 2) / 1e4
    np.testing.assert_allclose(read_all(cut).pixels["200m"][:, 0, 0], wanted, atol=1e-7)
    # scenes out of reach of all units are left out
    alone = ec.stac_scenes(path, units_lonlat([places[0][0]], [places[0][1]]), **S2, dates="2022")
    assert alone.table()["crs"].tolist() == ["EPSG:32635"]


WEST_OF_36 = 180_000.0


def test_landsats_go_together_by_common_name(tmp_path) -> None:
    path = catalog.write(tmp_path, catalog.landsat())
    units = units_on([(20, 20)])
    found = ec.stac_scenes(path, units, preset="landsat-c2-l2", size_m=300)
    assert found.table()["sensor"].tolist() == ["landsat-5", "landsat-8"]
    cut = ec.chips(units, found, size_m=300, frames=ec.Frames(["2009", "2019"]))
    assert cut.bands == ("blue", "green", "red", "nir08", "swir16", "swir22")
    pixels = read_all(cut).pixels["300m"][0]
    wanted = (np.array([[9000], [10_000]]) + 100 * np.arange(6)) * 2.75e-5 - 0.2
    np.testing.assert_allclose(pixels[:, :, 5, 5], wanted, atol=1e-6)
    edge = ec.chips(units_on([(5, 5)]), found, size_m=300, bands="red", frames=ec.Frames(["2009"]))
    valid = read_all(edge).mask["300m"][0, 0]
    assert not valid[:2].any()
    assert not valid[:, :4].any()
    assert valid[2:, 4:].all()


def test_the_same_over_http_with_remote_reads_allowed(folder) -> None:
    local = ec.stac_scenes(folder / "catalog.json", UNITS, **S2)
    wanted = read_all(ec.chips(UNITS, local, size_m=200, frames=ec.Frames("each")))
    with catalog.served(catalog.files_of(folder)) as address:
        url = f"{address}/catalog.json?token=secret"
        with pytest.raises(
            ImageryError, match=r"was not allowed[\s\S]*1 \(127\.0\.0\.1:\d+\)[\s\S]*remote=True"
        ):
            ec.stac_scenes(url, UNITS, **S2)
        found = ec.stac_scenes(url, UNITS, **S2, remote=True)
        batch = read_all(ec.chips(UNITS, found, size_m=200, frames=ec.Frames("each")))
        recipe = json.dumps([tile.recipe() for tile in found.tiles])
    np.testing.assert_array_equal(batch.pixels["200m"], wanted.pixels["200m"])
    assert "/S2B_32636_2021-06-16/red.tif" in recipe
    assert "secret" not in recipe


def test_an_api_is_searched_around_the_units_alone(folder) -> None:
    items = [json.loads(path.read_text()) for path in sorted(folder.glob("*/*.json"))]
    for item in items:
        for asset in item["assets"].values():
            asset["href"] = (folder / item["id"] / asset["href"]).as_uri()
    searches: list = []
    with (
        catalog.served(catalog.api_of(items, searches)) as address,
        pytest.raises(ImageryError, match="names a file of this machine"),
    ):
        ec.stac_scenes(f"{address}/", UNITS, **S2, remote=True)
    searches.clear()
    with catalog.served(catalog.files_of(folder)) as files:
        for item in items:
            for key, asset in item["assets"].items():
                asset["href"] = f"{files}/{item['id']}/{key}.tif?sig=abc"
        both = units_lonlat([*UNITS.longitude, -60.0], [*UNITS.latitude, -3.0])
        with catalog.served(catalog.api_of(items, searches)) as address:
            found = ec.stac_scenes(f"{address}/", both, **S2, dates="2021-06/2021-07", remote=True)
            assert found.table()["date"].tolist() == ["2021-06-16", "2021-07-01"]
            assert [search["collections"] for search in searches] == [["sentinel-2-l2a"]] * 2
            assert all(search["bbox"][2] - search["bbox"][0] < 0.1 for search in searches)
            assert searches[0]["datetime"] == "2021-06-01T00:00:00Z/2021-07-31T23:59:59Z"
            with pytest.raises(
                ImageryError, match=r"the days asked for, 2019[\s\S]*3 \(2021-06-16, 2021-07-01"
            ):
                ec.stac_scenes(f"{address}/", both, **S2, dates="2019", remote=True)
            with pytest.raises(ImageryError, match=r"none of the collections[\s\S]*it has sentinel-2-l2a"):
                ec.stac_scenes(f"{address}/", both, preset="landsat-c2-l2", size_m=200, remote=True)
        cut = ec.chips(UNITS, found, size_m=200, bands="red", frames=ec.Frames(["2021-06-16"]))
        red = read_all(cut).pixels["200m"][0, 0, 0]
        np.testing.assert_allclose(red, catalog.red(0)[50:70, 50:70] / 1e4, atol=1e-7)
        assert "sig=" not in json.dumps(cut.recipe())


def test_items_of_pystac_and_collections_of_items_are_catalogues_too(folder, tmp_path) -> None:
    import pystac

    paths = sorted(folder.glob("*/*.json"))
    items = [pystac.Item.from_file(str(path)) for path in paths]
    assert len(ec.stac_scenes(items, UNITS, **S2)) == 3
    assert len(ec.stac_scenes(str(paths[0]), UNITS, **S2)) == 1
    whole = [item.make_asset_hrefs_absolute().to_dict() for item in items]
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": whole}))
    found = ec.stac_scenes(tmp_path / "items.json", UNITS, **S2)
    assert [tile.recipe() for tile in found.tiles] == [
        tile.recipe() for tile in ec.stac_scenes(folder / "catalog.json", UNITS, **S2).tiles
    ]


def test_grids_are_read_from_the_files_where_items_are_silent(folder, tmp_path) -> None:
    for path in folder.glob("*/*"):
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        (tmp_path / path.parent.name / path.name).write_bytes(path.read_bytes())
    for path in tmp_path.glob("*/*.json"):
        item = json.loads(path.read_text())
        for asset in item["assets"].values():
            del asset["proj:shape"], asset["proj:transform"]
        path.write_text(json.dumps(item))
    (tmp_path / "catalog.json").write_bytes((folder / "catalog.json").read_bytes())
    silent, said = (ec.stac_scenes(one / "catalog.json", UNITS, **S2) for one in (tmp_path, folder))
    assert [tile.lattice for tile in silent.tiles] == [tile.lattice for tile in said.tiles]


def test_frames_before_treatment_and_the_guard_on_time(folder) -> None:
    units = ec.read_units(
        pd.DataFrame({"id": ["a"], "lon": UNITS.longitude[:1], "lat": UNITS.latitude[:1], "on": ["2021-06-20"]}),
        id="id", lon="lon", lat="lat", date="on",
    )  # fmt: skip
    found = ec.stac_scenes(folder / "catalog.json", units, **S2)
    cut = ec.chips(units, found, size_m=200, bands="red", frames=ec.Frames(before="1M"))
    assert cut.date == "2021-06-16"
    np.testing.assert_allclose(
        read_all(cut).pixels["200m"][0, 0, 0], catalog.red(0)[50:70, 50:70] / 1e4, atol=1e-7
    )


def test_a_simulated_catalogue_holds_what_it_says(tmp_path) -> None:
    made = ec.simulate_catalog(tmp_path / "a", size_px=120, n_villages=6, seed=3)
    units = ec.read_units(made.units, id="village", lon="lon", lat="lat", date="treated_on")
    assert len(units) == 6
    found = ec.stac_scenes(made.catalog, units, **S2)
    told = found.table().set_index("scene")
    assert set(told.index) == set(made.scenes["scene"])
    late = made.scenes.set_index("scene")["baseline"].astype(float) >= 4
    assert (told["offset_applied"].loc[late.index] == ~late).all()
    cut = ec.chips(units, found, size_m=200, bands="red", frames=ec.Frames("each"))
    batch = read_all(cut)
    means = np.nanmean(batch.pixels["200m"], axis=(0, 2, 3, 4))
    assert ((means > 0.05) & (means < 0.2)).all()
    # the day that is nine tenths cloud has least to see
    assert batch.mask["200m"].mean(axis=(0, 2, 3)).argmin() == 2
    again = ec.simulate_catalog(tmp_path / "b", size_px=120, n_villages=6, seed=3)
    for one in sorted(made.folder.rglob("*.tif")):
        assert one.read_bytes() == (again.folder / one.relative_to(made.folder)).read_bytes()


def test_addresses_are_shown_without_what_is_secret() -> None:
    assert plain("https://me:key@host.org:8080/a.tif?sig=1#2") == "https://host.org:8080/a.tif"
    assert plain("/data/a b?.tif") == "/data/a b?.tif"


def test_parts_of_a_scene_meet_without_a_seam(folder, monkeypatch) -> None:
    raster = ec.stac_scenes(folder / "catalog.json", UNITS, **S2).tiles[0].raster
    wanted, valid = raster.open().read([0, 1, 2], (5, 115), (0, 120))
    assert valid is None
    monkeypatch.setattr(_stac_raster, "_PAGE", 48)
    monkeypatch.setattr(_stac_raster, "CELL", 16)
    parted = raster.open()
    found, valid = parted.read([0, 1, 2], (5, 115), (0, 120))
    assert valid is None
    assert len(parted._pages) == 9
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    np.testing.assert_array_equal(found[0], catalog.red(0)[5:115])


def test_the_page_on_catalogues_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys) -> None:
    page = Path(__file__).parents[2] / "docs" / "catalogues.md"
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)
    assert len(blocks) == 4
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    for block in blocks:
        exec(compile(block, "docs/catalogues.md", "exec"), scope)
    assert scope["batch"].pixels["900m"].shape == (10, 2, 3, 90, 90)
    assert len(scope["found"]) == 8
    assert len(scope["again"]) == 10
    assert scope["yearly"].frames == ("2020-06-01", "2021-06-01")
    assert np.isfinite(read_all(scope["yearly"]).pixels["2000m"]).all()
    assert "S2_T35N_20201218_L2A" in capsys.readouterr().out


def test_hls_whose_files_do_not_tell_their_fill(tmp_path) -> None:
    names = ("B02", "B03", "B04", "B05", "B06", "B07")
    pixels = {name: np.full((40, 40), 800 + 100 * i, "int16") for i, name in enumerate(names)}
    for values in pixels.values():
        values[:, :10] = -9999
    flags = np.full((40, 40), 64, "uint8")
    flags[:5], flags[:, :10] = 66, 255
    scene = catalog.Scene(
        name="HLS.L30", collection="HLSL30_2.0", day="2020-05-05", epsg=32636,
        corner=(catalog.WEST, catalog.NORTH), pixel_m=30.0, pixels={**pixels, "Fmask": flags}, nodata={},
        properties={"platform": "LANDSAT-8"},
    )  # fmt: skip
    path = catalog.write(tmp_path, [scene])
    units = units_on([(10, 15)])
    found = ec.stac_scenes(path, units, preset="hls-l30", size_m=600)
    assert found.table()["sensor"].tolist() == ["landsat-8"]
    batch = read_all(ec.chips(units, found, size_m=600))
    assert batch.mask["600m"][0, 0].sum() == 15 * 15
    np.testing.assert_allclose(batch.pixels["600m"][0, 0, :, 19, 19], 0.08 + 0.01 * np.arange(6), atol=1e-7)


def test_scenes_in_degrees_are_brought_to_metres_as_files_are(tmp_path) -> None:
    step = 0.0001
    pixels = {"ndvi": catalog.red(0)}
    scene = catalog.Scene(
        name="made", collection="mine", day="2020-05-05", epsg=4326, corner=(34.0, 1.0), pixel_m=step,
        pixels=pixels, nodata={}, properties={},
    )  # fmt: skip
    path = catalog.write(tmp_path, [scene])
    units = units_lonlat([34.006], [0.9945])
    found = ec.stac_scenes(path, units, bands="ndvi", size_m=200)
    assert found.table()["crs"].tolist() == ["EPSG:4326"]
    files = ec.scenes(tmp_path / "made" / "ndvi.tif")
    ours, theirs = (read_all(ec.chips(units, one, size_m=200)).pixels["200m"] for one in (found, files))
    assert np.isfinite(theirs).all()
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
