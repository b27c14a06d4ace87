"""Every line of docs/embedding_products.md runs on files as the products have them."""

from __future__ import annotations

import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely.geometry import box

import eocausal as ec
from tests.scenes import NORTH, WEST, write_scene
from tests.tfrecords import picture_record, write

PAGE = Path(__file__).parents[2] / "docs" / "embedding_products.md"


def put_files(folder: Path) -> None:
    rng = np.random.default_rng(0)
    # villages in a scene of 2 x 2 km at longitude 33.9, latitude 1.8
    table = pd.DataFrame(
        {"village": ["a", "b", "c"], "x": WEST + np.array([700, 1000, 1300]), "y": NORTH - 900}
    )
    units = ec.read_units(table, id="village", lon="x", lat="y", crs="EPSG:32636")
    lon, lat = units.longitude, units.latitude
    villages = {"village": ["a", "b", "c"], "lon": lon, "lat": lat, "treated_on": "2020-03-01"}
    pd.DataFrame(villages).to_csv(folder / "villages.csv", index=False)
    households = {"household": range(4), "village": ["a", "b", "c", "a"]}
    pd.DataFrame(households).to_csv(folder / "households.csv", index=False)
    names = tuple(f"A{band:02d}" for band in range(64))
    bytes_ = rng.integers(-80, 80, (64, 200, 200)).astype("int8")
    write_scene(folder / "alphaearth_2017_36N.tif", bytes_, pixel=10.0, nodata=-128, descriptions=names)
    np.save(folder / "grid_34.05_1.05.npy", np.moveaxis(bytes_[:8], 0, 2))
    np.save(folder / "grid_34.05_1.05_scales.npy", np.full((200, 200), 0.05, dtype="f4"))
    write_scene(folder / "grid_34.05_1.05.tiff", np.ones((1, 200, 200), "uint8"), pixel=10.0)
    row, column = np.mgrid[-5:5, -5:5].reshape(2, -1)
    grid = {"lat": lat[0].round(2) + 0.005 + 0.01 * row, "lon": lon[0].round(2) + 0.005 + 0.01 * column}
    pd.DataFrame({**grid, "X_0": row, "X_1": column}).to_csv(folder / "mosaiks.csv", index=False)
    # as Clay writes them: days, vectors, a row number of pandas
    west, east = box(lon[0] - 0.1, 1.7, lon[1] + 1e-4, 1.9), box(lon[1] + 1e-4, 1.7, lon[2] + 0.1, 1.9)
    vectors = [np.full(5, value, dtype="f4") for value in (1, 2, 3, 4)]
    days = [pd.Timestamp(day).date() for day in ("2017-05-19", "2017-05-19", "2018-07-03", "2018-07-03")]
    clay = {"source_url": "s3://tile.tif", "date": days, "embeddings": vectors}
    tiles = gpd.GeoDataFrame(clay, geometry=[west, east, west, east], crs="OGC:CRS84", index=[7, 8, 9, 10])
    tiles.to_parquet(folder / "clay_36NYF.parquet")
    pictures = rng.random((3, 12, 12, 3)).astype("f2")
    records = [picture_record(key, one) for key, one in zip("abc", pictures)]
    write(folder / "villages.tfrecord", *records)


def test_the_page_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    put_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    assert len(blocks) == 5
    scope: dict = {}
    found = []
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), scope)
        found.append(scope["features"])
    alphaearth, tessera, mosaiks, clay, causalimages = found
    assert alphaearth.columns[0] == "pixel_mean_640m_A00"
    assert alphaearth.shape == (3, 64)
    assert np.isfinite(alphaearth.values).all()
    assert tessera.columns[-1] == "pixel_mean_640m_tessera_007"
    assert (alphaearth.date, tessera.date, mosaiks.date, clay.date) == (
        "2017-12-31", "2017-12-31", "2019-12-31", "2018-12-31",
    )  # fmt: skip
    assert mosaiks.info["status"].tolist() == ["ok"] * 3
    assert clay.values[:, 0].tolist() == [3, 3, 4]
    assert "median" in capsys.readouterr().out
    assert causalimages.keys.tolist() == ["a", "b", "c"]
    assert causalimages.date == "2000-06-30"
