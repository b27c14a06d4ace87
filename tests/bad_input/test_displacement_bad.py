"""What displacement refuses, and the words that tell a user what to do."""

from __future__ import annotations

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely

import eocausal as ec
from eocausal.errors import EmbeddingsError, EocausalError, UnitsError


def villages(**more) -> ec.Units:
    table = {"cluster": [7, 3], "lon": [33.0, 33.3], "lat": [1.0, 1.1], "type": ["U", "R"]}
    return ec.read_units(pd.DataFrame({**table, **more}), id="cluster", lon="lon", lat="lat")


def polygons(*boxes, crs="EPSG:4326"):
    return geopandas.GeoSeries([shapely.box(*box) for box in boxes], crs=crs)


@pytest.mark.parametrize(
    ("units", "settings", "words"),
    [
        (villages(), {"urban": "typ"}, "'typ' is not in the units.*Did you mean 'type'"),
        (villages(v025=[1, 2]), {"urban": "v025"}, r"it holds 2.*1 \(3\).*== 1 .*1 is urban and 2 is rural"),
        (villages(v=["U", None]), {"urban": "v"}, r"does not say which units are urban.*1 \(3\)"),
        (villages(), {"urban": "type", "draws": 0}, "draws=0.*at least 1"),
        (villages(), {"urban": "type", "draws": 2.5}, "draws=2.5.*whole number"),
        (villages(), {"urban": "type", "seed": -1}, "seed=-1"),
        (villages(), {"urban": "type", "scheme": "dsh"}, "scheme='dsh'.*Did you mean 'dhs'"),
        (villages(draw=1), {"urban": "type"}, r"columns that displace would add.*1 \(draw\)"),
        (
            villages(),
            {"urban": "type", "within": polygons((32, 0, 33.1, 2))},
            r"in no polygon of within=.*1 \(3\).*order of lon= and lat=",
        ),
        (
            villages(),
            {"urban": "type", "within": polygons((32, 0, 34, 2), (33.2, 0, 34, 2))},
            r"more than one polygon.*1 \(3\)",
        ),
        (
            villages(),
            {"urban": "type", "within": polygons((32, 0, 34, 2), crs=None)},
            r"no reference system.*set_crs",
        ),
        (
            villages(),
            {"urban": "type", "within": polygons((32, 0, 33.2, 2), (33.2999999, 0, 33.3000001, 2))},
            r"so small that draws still leave them.*1 \(3\)",
        ),
    ],
)
def test_settings_that_are_wrong(units, settings, words):
    with pytest.raises(UnitsError, match=f"(?s){words}"):
        ec.displace(units, **settings)


def test_units_of_one_image_that_are_urban_and_rural():
    table = pd.DataFrame({"id": [1, 2], "village": ["a", "a"], "lon": 33.0, "lat": 1.0, "u": [1, 0]})
    units = ec.read_units(table, id="id", lon="lon", lat="lat", image_key="village")
    with pytest.raises(UnitsError, match=r"(?s)share a 'village' but differ in 'u'.*1 \(a\)"):
        ec.displace(units, urban="u")


def test_units_without_coordinates():
    units = ec.read_units(pd.DataFrame({"id": [1], "key": [1], "u": [1]}), id="id", image_key="key")
    with pytest.raises(UnitsError, match="no coordinates to be displaced from"):
        ec.displace(units, urban="u")


def test_averages_of_something_else():
    moved = ec.displace(villages(), urban="type", draws=2)
    features = ec.read_embeddings(pd.DataFrame({"cluster": moved.ids, "f": np.arange(4.0)}), key="cluster")
    with pytest.raises(UnitsError, match=r"(?s)not displaced.*displaced_from.*moved = ec\.displace"):
        ec.average_draws(features, units=villages())
    with pytest.raises(EmbeddingsError, match=r"(?s)Draws have no row.*2 \(3#0, 3#1\)"):
        ec.average_draws(features.take(["7#0", "7#1"]), units=moved)
    with pytest.raises(UnitsError, match=r"(?s)lack some of their draws.*1 \(7\).*then displace"):
        ec.average_draws(features, units=moved.take([0, 2, 3]))
    assert issubclass(UnitsError, EocausalError)
