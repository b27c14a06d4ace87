"""Whole studies from specifications that ask for days, flags, stores, cubes and displaced places."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
from shapely.geometry import box

import eocausal as ec
from eocausal.errors import SpecError
from eocausal.imagery.asked import asked_chips
from eocausal.imagery.chips_job import store_chips
from eocausal.specs.inputs import check_inputs
from eocausal.specs.load import load_spec
from tests import stac_catalog as catalog
from tests.scenes import NORTH, WEST, read_all, write_scene

HEAD = """\
spec_version: 1
title: A study
units: {path: units.csv, id: unit, lon: x, lat: y, crs: "EPSG:32636", date: treated_on, image_key: village}
"""
TAIL = """\
encoder: {name: image_stats, quantiles: [0.5]}
design: {outcome: income, treatment: grant, cluster: village}
effects: {ate: [difference, regression], folds: {k: 2}}
"""
SEQUENCE = """\
imagery:
  rasters: "LE07_*.tif"
  pattern: "{sensor}_{date:%Y%m%d}*"
  size_m: 300
  resample_px: 5
  bands: [red, nir]
  quality: {band: qa, scheme: hls_fmask, drop: [cloud]}
  frames: {before: 2Y, every: 1Y, otherwise: 2007-06-01}
"""
DAYS = ("20050614", "20060310", "20061101", "20070703")
CLOUD = 2.0
ROWS, COLUMNS = 5, 8
VILLAGES = ROWS * COLUMNS
HEIGHT, WIDTH = 60, 110


def write_units(folder: Path) -> None:
    """Write two units in each village of the scene; half of the villages are treated on 1 June 2007."""
    rng = np.random.default_rng(0)
    village = np.repeat(np.arange(VILLAGES), 2)
    grant = rng.permutation(np.arange(VILLAGES) % 2)[village]
    row, column = 10.0 + 10 * (village // COLUMNS), 10.0 + 12 * (village % COLUMNS)
    table = {
        "unit": [f"u{i}" for i in range(2 * VILLAGES)],
        "village": [f"v{v}" for v in village],
        "x": WEST + 30 * column,
        "y": NORTH - 30 * row,
        "kind": np.where(village < 10, "U", "R"),
        "grant": grant,
        "treated_on": np.where(grant == 1, "2007-06-01", ""),
        "income": grant + rng.normal(size=2 * VILLAGES),
    }
    pd.DataFrame(table).to_csv(folder / "units.csv", index=False)


def write_days(folder: Path) -> None:
    """Write a scene for each day: red and nir of that day, and clouds over the east of the second."""
    rng = np.random.default_rng(1)
    for number, day in enumerate(DAYS):
        pixels = rng.normal(100 * (number + 1), 5, size=(3, HEIGHT, WIDTH)).astype("float32")
        pixels[2] = 0
        if number == 1:
            pixels[2, :, 52:] = CLOUD
        names = ("red", "nir", "qa")
        write_scene(folder / f"LE07_{day}.tif", pixels, descriptions=names)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_units(tmp_path)
    return tmp_path


def write_spec(folder: Path, imagery: str, *, head: str = HEAD, tail: str = TAIL) -> Path:
    path = folder / "analysis.yaml"
    path.write_text(head + imagery + tail)
    return path


def units_of(folder: Path) -> ec.Units:
    return ec.read_units(
        folder / "units.csv", id="unit", lon="x", lat="y", crs="EPSG:32636", image_key="village", date="treated_on"
    )  # fmt: skip


def test_a_sequence_with_flags_runs_to_the_report(folder: Path) -> None:
    write_days(folder)
    made = ec.run(write_spec(folder, SEQUENCE), out=folder / "out", progress=False)
    assert made.chips is not None
    assert made.chips.frames == ("-2Y", "-1Y")
    direct = ec.chips(
        units_of(folder),
        ec.scenes(str(folder / "LE07_*.tif"), pattern="{sensor}_{date:%Y%m%d}*"),
        size_m=300,
        bands=["red", "nir"],
        quality=ec.Quality("qa", scheme="hls_fmask", drop=["cloud"]),
        frames=ec.Frames(before="2Y", every="1Y", otherwise="2007-06-01"),
    ).resampled(5)
    ours, theirs = read_all(made.chips), read_all(direct)
    assert ours.pixels["300m"].shape == (VILLAGES, 2, 2, 5, 5)
    np.testing.assert_array_equal(ours.pixels["300m"], theirs.pixels["300m"])
    np.testing.assert_array_equal(ours.mask["300m"], theirs.mask["300m"])
    # from June 2005 to May 2006 there are two days, of which the second has clouds in the east: the median of what
    # is clear is of 100 and 200 in the west and of 100 alone in the east; the year after has one day, 300
    means = np.nanmean(ours.pixels["300m"], axis=(2, 3, 4))
    west = np.array([int(key[1:]) % COLUMNS < 4 for key in made.chips.keys])
    np.testing.assert_allclose(means[west, 0], 150, atol=4)
    np.testing.assert_allclose(means[~west, 0], 100, atol=4)
    np.testing.assert_allclose(means[:, 1], 300, atol=4)
    assert made.design.features is not None
    assert made.design.features.values.shape[0] == VILLAGES
    assert made.report.is_file()
    lock = json.loads((folder / "out" / "run.lock.json").read_text())
    assert lock["chips"]["quality"]["drop"] == ["cloud"]


def test_pictures_from_after_treatment_are_refused_before_they_are_encoded(folder: Path) -> None:
    write_days(folder)
    after = SEQUENCE.replace("{before: 2Y, every: 1Y, otherwise: 2007-06-01}", "{windows: [2006, 2007]}")
    with pytest.raises(
        ec.errors.LeakError, match=r"The imagery of 2007-07-03 was taken(.|\n)*Where: 40"
    ) as told:
        ec.run(write_spec(folder, after), out=folder / "out", progress=False)
    assert "frames: {before: 1Y}" in str(told.value)
    assert not (folder / "out" / "features").exists()
    # units that a design leaves out in any case do not count
    table = pd.read_csv(folder / "units.csv")
    table.loc[table["grant"] == 1, "income"] = np.nan
    table.to_csv(folder / "units.csv", index=False)
    text = TAIL.replace("treatment: grant,", "treatment: grant, missing: drop,")
    with pytest.raises(ec.errors.DesignError, match="0 treated"):
        ec.run(write_spec(folder, after, tail=text), out=folder / "out", progress=False)


def test_chips_of_a_sequence_are_stored_and_opened_from_there(folder: Path) -> None:
    pytest.importorskip("zarr")
    write_days(folder)
    spec = write_spec(folder, SEQUENCE)
    stored = store_chips(spec, out=folder / "cut", progress=False)
    assert stored.chips.frames == ("-2Y", "-1Y")
    first = ec.run(spec, out=folder / "first", progress=False)
    opened = write_spec(folder, "imagery: {store: cut/chips.zarr}\n")
    second = ec.run(opened, out=folder / "second", progress=False)
    np.testing.assert_array_equal(second.to_frame()["estimate"], first.to_frame()["estimate"])
    assert second.design.features is not None
    assert first.design.features is not None
    np.testing.assert_array_equal(second.design.features.values, first.design.features.values)
    # what is stored already is told, not written again
    again = store_chips(opened, out=folder / "again", progress=False)
    assert again.store == folder / "cut" / "chips.zarr"
    assert sorted(path.name for path in (folder / "again").iterdir()) == [
        "chips_300m.png",
        "chips_account.csv",
    ]
    with pytest.raises(ec.errors.SpecError, match="keys can only be added to one that is written"):
        store_chips(opened, out=folder / "again", append=True, progress=False)


DISPLACED = HEAD.replace("village}", "village,\n  displacement: {urban: kind, draws: 3, seed: 4}}")


def test_features_of_displaced_places_are_means_over_draws(folder: Path) -> None:
    rng = np.random.default_rng(2)
    corner = (WEST - 12_000, NORTH + 12_000)
    write_scene(folder / "scene.tif", rng.normal(size=(1, 900, 900)).astype("float32"), corner=corner)
    imagery = "imagery: {rasters: scene.tif, size_m: 600, date: 2006-01-01}\n"
    made = ec.run(write_spec(folder, imagery, head=DISPLACED), out=folder / "out", progress=False)
    units = units_of(folder)
    moved = ec.displace(units, urban="kind", draws=3, seed=4)
    cut = ec.chips(moved, folder / "scene.tif", size_m=600, date="2006-01-01")
    assert made.chips is not None
    assert len(made.chips) == 3 * VILLAGES
    features = ec.embed(cut, encoder=ec.ImageStats(quantiles=(0.5,)), progress=False)
    by_draw = pd.DataFrame(features.values, index=[key.split("#")[0] for key in features.keys])
    means = by_draw.groupby(level=0).mean()
    used = made.design.features
    assert used is not None
    np.testing.assert_allclose(used.values, means.loc[list(used.keys)].to_numpy(), rtol=1e-5)
    spread = pd.read_csv(folder / "out" / "displacement.csv")
    assert spread["village"].tolist() == list(used.keys)
    assert (spread["draws_used"] == 3).all()
    # the report speaks of published places, and says what was done about them
    assert made.units.ids.tolist() == units.ids.tolist()
    page = made.report.read_text()
    for words in (
        "Places are 3 draws around the published point",
        "Features are means over these draws, and the report shows no chips",
        "Share of the variance of features that lies between draws of one image",
        "Chips of block image_stats_600m are smaller than twice the displacement (10,000 m) for 40 images",
    ):
        assert words in page
    assert "Satellite chips" not in page
    lock = json.loads((folder / "out" / "run.lock.json").read_text())
    assert lock["features"]["recipe"]["draws"] == 3


def test_chips_of_displaced_places_are_stored_by_draw(folder: Path) -> None:
    pytest.importorskip("zarr")
    corner = (WEST - 12_000, NORTH + 12_000)
    pixels = np.random.default_rng(0).uniform(size=(1, 900, 900)).astype("float32")
    write_scene(folder / "scene.tif", pixels, corner=corner)
    imagery = "imagery: {rasters: scene.tif, size_m: 600, date: 2006-01-01}\n"
    stored = store_chips(write_spec(folder, imagery, head=DISPLACED), out=folder / "out", progress=False)
    assert stored.chips.keys.tolist()[:3] == ["v0#0", "v0#1", "v0#2"]
    assert "draws of displaced places" in stored.summary()
    opened = write_spec(folder, "imagery: {store: out/chips.zarr}\n", head=DISPLACED)
    made = ec.run(opened, out=folder / "run", progress=False)
    assert made.displacement is not None
    assert made.displacement.spread["draws_used"].tolist() == [3] * VILLAGES


def test_a_cube_is_cut_like_the_rasters_it_holds(folder: Path) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("zarr")
    write_days(folder)
    rasters = SEQUENCE.replace("  resample_px: 5\n", "")
    expected = ec.run(write_spec(folder, rasters), out=folder / "rasters", progress=False)
    assert expected.chips is not None
    layers = []
    for day in DAYS:
        with rasterio.open(folder / f"LE07_{day}.tif") as scene:
            layers.append(scene.read())
    stack = np.stack(layers)
    bands = {name: (("time", "y", "x"), stack[:, band]) for band, name in enumerate(("red", "nir", "qa"))}
    axes = {
        "time": pd.to_datetime(list(DAYS)),
        "y": NORTH - 15.0 - 30 * np.arange(HEIGHT),
        "x": WEST + 15.0 + 30 * np.arange(WIDTH),
    }
    xarray.Dataset({**bands, "other": (("y", "x"), np.zeros((HEIGHT, WIDTH)))}, axes).to_zarr(
        folder / "days.zarr"
    )
    cube = rasters.replace('rasters: "LE07_*.tif"', 'cube: {path: days.zarr, crs: "EPSG:32636"}')
    cube = cube.replace('  pattern: "{sensor}_{date:%Y%m%d}*"\n', "  sensor: LE07\n")
    made = ec.run(write_spec(folder, cube), out=folder / "cube", progress=False)
    assert made.chips is not None
    ours, theirs = read_all(made.chips), read_all(expected.chips)
    np.testing.assert_array_equal(ours.pixels["300m"], theirs.pixels["300m"])
    np.testing.assert_array_equal(made.to_frame()["estimate"], expected.to_frame()["estimate"])


def test_rasters_on_a_server_are_cut_where_the_network_is_allowed(folder: Path) -> None:
    write_days(folder)
    here = asked_chips(load_spec(write_spec(folder, SEQUENCE)).spec.imagery, units_of(folder))
    with catalog.served(catalog.files_of(folder)) as server:
        far = ", ".join(f"'{server}/LE07_{day}.tif'" for day in DAYS)
        text = SEQUENCE.replace('rasters: "LE07_*.tif"', f"rasters: [{far}]\n  remote: true")
        loaded = load_spec(write_spec(folder, text))
        check_inputs(loaded)
        there = asked_chips(loaded.spec.imagery, units_of(folder))
        assert here is not None
        assert there is not None
        np.testing.assert_array_equal(read_all(there).pixels["300m"], read_all(here).pixels["300m"])


def test_days_come_from_tags_and_polygons_from_units(folder: Path) -> None:
    pixels = np.tile(np.arange(WIDTH, dtype="float32"), (1, HEIGHT, 1))
    write_scene(folder / "scene.tif", pixels)
    with rasterio.open(folder / "scene.tif", "r+") as scene:
        scene.update_tags(ACQUISITION_DATE="2006-02-03")
    table = pd.read_csv(folder / "units.csv").drop_duplicates("village").drop(columns=["x", "y"])
    points = units_of(folder).to_geodataframe().drop_duplicates("village").to_crs("EPSG:32636").geometry
    shapes = [box(p.x - 100, p.y - 100, p.x + 100, p.y + 100) for p in points]
    frame = geopandas.GeoDataFrame(table.reset_index(drop=True), geometry=shapes, crs="EPSG:32636")
    frame.to_file(folder / "districts.gpkg")
    head = HEAD.replace('units.csv, id: unit, lon: x, lat: y, crs: "EPSG:32636"', "districts.gpkg, id: unit")
    imagery = "imagery: {rasters: scene.tif, size_m: polygon, date: tags}\n"
    made = ec.run(write_spec(folder, imagery, head=head), out=folder / "out", progress=False)
    assert made.chips is not None
    assert made.chips.blocks == ("polygon",)
    assert made.chips.date == "2006-02-03"
    batch = read_all(made.chips)
    assert batch.mask["polygon"].mean() < 0.9
    column = np.nanmean(batch.pixels["polygon"][:4, 0, 0], axis=(1, 2))
    # the scene counts its columns, and villages stand 12 columns apart, on the boundary of two
    np.testing.assert_allclose(column, [9.5, 21.5, 33.5, 45.5], atol=0.3)


def test_scenes_of_a_catalogue_are_searched_and_cut(tmp_path: Path) -> None:
    for name in ("pystac", "odc.stac"):
        pytest.importorskip(name)
    made = ec.simulate_catalog(tmp_path / "catalog", size_px=100, n_villages=60, seed=1)
    table = pd.read_csv(made.units)
    table["grant"] = np.random.default_rng(1).permutation(np.arange(len(table)) % 2)
    table["income"] = np.random.default_rng(0).normal(size=len(table))
    table.to_csv(tmp_path / "units.csv", index=False)
    text = (
        "spec_version: 1\ntitle: A study\nunits: {path: units.csv, id: village, lon: lon, lat: lat}\n"
        "imagery:\n  stac: {catalog: catalog/catalog.json, preset: sentinel-2-l2a, dates: 2021/2022,\n"
        "    max_cloud: 0.5}\n  size_m: 300\n  bands: [red, nir]\n  frames: {windows: [2021, 2022]}\n"
        "encoder: {name: pixel_mean}\ndesign: {outcome: income, treatment: grant}\neffects: {ate: difference}\n"
    )
    (tmp_path / "analysis.yaml").write_text(text)
    run = ec.run(tmp_path / "analysis.yaml", out=tmp_path / "out", progress=False)
    assert run.chips is not None
    assert run.chips.frames == ("2021", "2022")
    assert run.chips.bands == ("red", "nir")
    assert run.chips.pixel_unit == "reflectance"
    units = ec.read_units(tmp_path / "units.csv", id="village", lon="lon", lat="lat")
    found = ec.stac_scenes(
        str(tmp_path / "catalog" / "catalog.json"),
        units,
        size_m=300,
        preset="sentinel-2-l2a",
        dates="2021/2022",
        bands=["red", "nir"],
        max_cloud=0.5,
    )
    direct = read_all(ec.chips(units, found, size_m=300, frames=ec.Frames(["2021", "2022"])))
    np.testing.assert_array_equal(read_all(run.chips).pixels["300m"], direct.pixels["300m"])


def test_an_outcome_from_a_map_is_given_as_it_is_and_corrected(folder: Path) -> None:
    rng = np.random.default_rng(7)
    scene = rng.normal(size=(1, HEIGHT, WIDTH)).astype("float32")
    write_scene(folder / "scene.tif", scene)
    mapped = rng.normal(size=300)
    places = pd.DataFrame({"map": mapped, "income": mapped + 0.6 * rng.normal(size=300)})
    places.to_csv(folder / "places.csv", index=False)
    imagery = "imagery: {rasters: scene.tif, size_m: 300, date: 2006-01-01}\n"
    debias = "debias: {calibration: places.csv, prediction: map, truth: income, method: lcc}\n"
    made = ec.run(write_spec(folder, imagery, tail=TAIL + debias), out=folder / "out", progress=False)
    assert made.corrected is not None
    assert made.corrected.estimate[0] == pytest.approx(made.estimates["difference"].estimate)
    frame = pd.read_csv(folder / "out" / "estimates.csv")
    rows = frame[frame["name"] == "corrected"]
    assert rows["term"].tolist() == ["naive", "lcc", "tweedie"]
    assert rows["estimate"].to_numpy() == pytest.approx(made.corrected.estimate)
    assert (folder / "out" / "figures" / "corrected.png").is_file()
    page = made.report.read_text()
    assert "Should the map be corrected?" in page
    assert "The effect on the map, and on the outcome" in page
    # the card of a map in place of places
    fix = ec.debias(places, prediction="map", truth="income", method="lcc")
    fix.to_map_card(folder / "scene.tif", card=folder / "card.json", progress=False)
    by_card = write_spec(folder, imagery, tail=TAIL + "debias: {corrector: card.json}\n")
    other = ec.run(by_card, out=folder / "by_card", progress=False)
    assert other.corrected is not None
    assert other.corrected.fit.values == pytest.approx(made.corrected.fit.values)
    assert other.diagnosis is None


def test_the_first_average_effect_is_put_to_the_test(folder: Path) -> None:
    write_scene(
        folder / "scene.tif", np.random.default_rng(7).normal(size=(1, HEIGHT, WIDTH)).astype("float32")
    )
    units = pd.read_csv(folder / "units.csv")
    units["before"] = np.random.default_rng(3).normal(size=len(units))
    units.to_csv(folder / "units.csv", index=False)
    imagery = "imagery: {rasters: scene.tif, size_m: 300, date: 2006-01-01}\n"
    asked = "sensitivity: {kinds: [omitted, placebo], benchmark: features, outcomes: before}\n"
    tail = TAIL.replace("ate: [difference, regression]", "ate: [ols, difference]")
    made = ec.run(write_spec(folder, imagery, tail=tail + asked), out=folder / "out", progress=False)
    assert list(made.sensitivities) == ["omitted", "placebo"]
    design = made.design
    direct = ec.sensitivity(
        ec.ate(design, method="ols", folds=ec.Folds(k=2)), kind="omitted", benchmark="features"
    )
    assert made.sensitivities["omitted"].numbers == pytest.approx(direct.numbers)
    assert "outcome before" in made.sensitivities["placebo"].estimates
    page = made.report.read_text()
    for kind, one in made.sensitivities.items():
        assert one.question in page
        assert one.sentence in made.summary()
        assert (folder / "out" / "figures" / f"sensitivity_{kind}.png").stat().st_size > 5_000
        table = pd.read_csv(folder / "out" / f"sensitivity_{kind}.csv")
        assert list(table) == list(one.frame)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("{kinds: [omited]}", "omitted"),
        ("{kinds: [omitted, omitted]}", "listed more than once: omitted"),
        ("{outcomes: income}", r"sensitivity\.outcomes: outcomes goes with placebo. Add placebo to kinds"),
        ("{kinds: placebo, strata: village}", r"sensitivity\.strata: strata goes with rosenbaum"),
        (
            "{benchmark: roofs}",
            r"sensitivity\.benchmark: 'roofs' is none of: covariates, features, coordinates",
        ),
        (
            "{kinds: placebo, outcomes: [incme]}",
            r"sensitivity\.outcomes\[0\]: column 'incme' is not in the units",
        ),
    ],
)
def test_mistakes_of_sensitivity_are_told_before_anything_long(folder: Path, written: str, told: str) -> None:
    write_scene(folder / "scene.tif", np.ones((1, HEIGHT, WIDTH), dtype="float32"))
    imagery = "imagery: {rasters: scene.tif, size_m: 300, date: 2006-01-01}\n"
    with pytest.raises(SpecError, match=told):
        ec.run(write_spec(folder, imagery, tail=f"{TAIL}sensitivity: {written}\n"), progress=False)
