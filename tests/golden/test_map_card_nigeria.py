"""A published map of wealth in Nigeria (Yeh et al. 2020), with a card by half of its survey places for the rest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from rasterio.warp import transform as warp_points

import eocausal as ec


@pytest.fixture(scope="module")
def nigeria(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame, ec.Units]:
    source = shared / "data" / "africa_wealth"
    file = tmp_path_factory.mktemp("nigeria") / "wealth_2012_2014.tif"
    shutil.copy(source / "nigeria_wealth_msnl_2012_2014.tif", file)
    clusters = pd.read_parquet(source / "clusters.parquet").query("country == 'nigeria'")
    units = ec.read_units(clusters, id="cluster_id", lon="lon", lat="lat")
    table = clusters.set_index("cluster_id").assign(map=ec.sample_map(file, units).prediction)
    return file, table, units


def test_sampled_pixels_are_those_that_rasterio_gives(nigeria: tuple[Path, pd.DataFrame, ec.Units]) -> None:
    file, table, _ = nigeria
    with rasterio.open(file) as source:
        x, y = warp_points("EPSG:4326", source.crs, table["lon"].tolist(), table["lat"].tolist())
        expected = [float(one[0]) for one in source.sample(zip(x, y))]
    assert table["map"].tolist() == expected
    assert len(table) == 1450
    # pixels of 7.65 km and places that are displaced by up to 5 km
    assert np.corrcoef(table["map"], table["wealth"])[0, 1] == pytest.approx(0.791, abs=0.001)


def test_a_half_corrects_the_other_by_the_card_alone(nigeria: tuple[Path, pd.DataFrame, ec.Units]) -> None:
    file, table, units = nigeria
    half = np.random.default_rng(0).permutation(len(table)) < len(table) // 2
    fix = ec.debias(table[half], prediction="map", truth="wealth", method="lcc")
    fix.to_map_card(file, period="2012/2014", unit="asset wealth index", progress=False)
    card = ec.read_map_card(file.with_name("wealth_2012_2014.card.json"))
    found = card.sample(file, units.take(~half), outcome_date="year")
    other = table[~half]
    lcc, naive = (found.frame[name].to_numpy() for name in ("lcc", "prediction"))
    truth = other["wealth"].to_numpy()
    assert np.polyfit(truth, naive, 1)[0] == pytest.approx(0.66, abs=0.04)
    assert np.polyfit(truth, lcc, 1)[0] == pytest.approx(1, abs=0.1)
    years = other["year"].to_numpy()
    (told,) = [text for text in found.warnings if "outcome_date" in text]
    assert told.startswith(f"{((years < 2012) | (years > 2014)).sum()} of {len(other)} units")


def test_no_survey_mean_of_wealth_stands_in_the_card(nigeria: tuple[Path, pd.DataFrame, ec.Units]) -> None:
    file, table, _ = nigeria
    fix = ec.debias(table, prediction="map", truth="wealth", noise="spline")
    text = json.dumps(fix.to_map_card(file, progress=False).to_dict())
    assert len(text) < 60_000
    assert not [one for one in table["wealth"] if f"{one:.7f}" in text]
