"""The place of a unit is the nearest one, whatever the order of the table and of the units."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

import eocausal as ec

few = settings(max_examples=25, deadline=None)


def drawn(seed: int) -> tuple[pd.DataFrame, pd.DataFrame, np.random.Generator]:
    rng = np.random.default_rng(seed)
    points, places = rng.integers(1, 12), rng.integers(1, 30)

    def anywhere(count: int) -> dict[str, np.ndarray]:
        return {"lon": rng.uniform(-180, 180, count), "lat": np.degrees(np.arcsin(rng.uniform(-1, 1, count)))}

    table = pd.DataFrame({**anywhere(places), "f": np.arange(float(places))})
    return pd.DataFrame({"id": np.arange(points), **anywhere(points)}), table, rng


def join(points: pd.DataFrame, table: pd.DataFrame) -> ec.Embeddings:
    units = ec.read_units(points, id="id", lon="lon", lat="lat")
    return ec.embeddings_at(units, table, max_distance_m=3e7)


@few
@given(seed=st.integers(0, 10_000))
def test_no_other_place_is_nearer(seed):
    points, table, _ = drawn(seed)
    # the haversine formula, which the code does not use
    lon, lat = np.radians(points[["lon", "lat"]].to_numpy()).T[:, :, None]
    east, north = np.radians(table[["lon", "lat"]].to_numpy()).T
    square = np.sin((north - lat) / 2) ** 2 + np.cos(lat) * np.cos(north) * np.sin((east - lon) / 2) ** 2
    away = 2 * 6_371_008.8 * np.arcsin(np.sqrt(square))
    found = join(points, table)
    np.testing.assert_array_equal(found.values[:, 0], away.argmin(axis=1))
    np.testing.assert_allclose(found.recipe["distance_m"]["largest"], away.min(axis=1).max(), rtol=1e-9)


@few
@given(seed=st.integers(0, 10_000))
def test_order_of_rows_changes_nothing(seed):
    points, table, rng = drawn(seed)
    one = join(points, table)
    other = join(points.iloc[rng.permutation(len(points))], table.iloc[rng.permutation(len(table))])
    np.testing.assert_array_equal(one.values, other.take(one.keys).values)
