"""Every line of docs/sequences.md runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

import eocausal as ec
from tests.scenes import NORTH, WEST, write_scene

PAGE = Path(__file__).parents[2] / "docs" / "sequences.md"
CLEAR, CLOUD = 21_824, 22_280
N = 40


def put_files(folder: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = WEST + 30 * rng.uniform(60, 140, N), NORTH - 30 * rng.uniform(60, 140, N)
    table = pd.DataFrame({"village": np.arange(N), "x": x, "y": y})
    units = ec.read_units(table, id="village", lon="x", lat="y", crs="EPSG:32636")
    more = {"treated_on": "2007-03-01", "treated": np.arange(N) % 2, "income": rng.normal(size=N)}
    places = {"village": units.ids, "lon": units.longitude, "lat": units.latitude}
    pd.DataFrame({**places, **more}).to_csv(folder / "villages.csv", index=False)
    (folder / "landsat").mkdir()
    for name in ("LE07_20040614", "LE07_20050902", "LE07_20060703"):
        bands = rng.integers(8000, 15_000, (3, 200, 200)).astype("uint16")
        bands[2] = CLEAR
        if "2005" in name:
            bands[2, :, :100] = CLOUD
        write_scene(
            folder / "landsat" / f"{name}.tif", bands, descriptions=("red", "nir", "QA_PIXEL"), nodata=0
        )


def test_the_page_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    put_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    assert len(blocks) == 5
    scope: dict = {}
    for block in blocks:
        exec(compile(block, "docs/sequences.md", "exec"), scope)
    assert list(scope["features"].blocks) == ["image_stats_trend_480m", "image_stats_trend_1920m"]
    assert scope["change"].blocks == scope["features"].blocks
    np.testing.assert_array_equal(scope["change"].values, scope["features"].values)
    asked = {"image_stats_trend_480m": 4, "image_stats_trend_1920m": 4}
    assert scope["result"].provenance["components_asked"] == asked
    assert str(asked) in capsys.readouterr().out
    spread = scope["dropped"].spread["image_stats_mean_480m"]
    assert (spread > 0).all()
    assert list(scope["wide"].blocks) == ["multi_scale_480m", "multi_scale_1920m"]
    assert scope["wide"].block("multi_scale_1920m").shape == (N, 64)
