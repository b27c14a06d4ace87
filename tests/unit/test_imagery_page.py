"""Every line of docs/imagery.md runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

import eocausal as ec
from tests.scenes import NORTH, WEST, write_scene

PAGE = Path(__file__).parents[2] / "docs" / "imagery.md"
CLEAR, CLOUD = 21_824, 22_280


def put_files(folder: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = WEST + 30 * rng.uniform(60, 140, 12), NORTH - 30 * rng.uniform(60, 140, 12)
    table = pd.DataFrame({"village": np.arange(12), "x": x, "y": y})
    units = ec.read_units(table, id="village", lon="x", lat="y", crs="EPSG:32636")
    more = {"treated_on": "2007-03-01", "treated": np.arange(12) % 2, "urban": np.arange(12) < 4}
    places = {"village": units.ids, "lon": units.longitude, "lat": units.latitude}
    pd.DataFrame({**places, **more}).to_csv(folder / "villages.csv", index=False)
    (folder / "landsat").mkdir()
    for name in ("LE07_20050614", "LT05_20050902", "LE07_20060703"):
        bands = rng.integers(8000, 15_000, (3, 200, 200)).astype("uint16")
        bands[2] = CLEAR
        if name.startswith("LT05"):
            bands[2, :, :100] = CLOUD
        names = ("red", "nir", "QA_PIXEL")
        write_scene(folder / "landsat" / f"{name}.tif", bands, descriptions=names, nodata=0)


def test_the_page_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    put_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    assert len(blocks) >= 8
    scope: dict = {}
    for block in blocks:
        exec(compile(block, "docs/imagery.md", "exec"), scope)
    assert scope["fine"].sides == {"240m": 224, "960m": 224}
    assert scope["yearly"].frames == ("2005", "2006")
    assert scope["before"].frames == ("-2Y", "-1Y")
    # from March to March: three scenes in two years, of which the second was half under cloud
    assert scope["batch"].observations["960m"][:, 1].tolist() == [1.0] * 12
    assert 1.0 <= scope["batch"].observations["960m"][:, 0].min() < 2.0
    assert set(scope["before"].last_dates()) == {"2006-07-03"}
    assert len(scope["again"]) == 12
    assert (tmp_path / "chips.png").stat().st_size > 10_000
    assert len(list((tmp_path / "chips").rglob("*.tif"))) == 24
    assert "LE07" in capsys.readouterr().out
