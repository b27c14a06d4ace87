"""Windows by hand: where they start, what is metric, what interpolation may touch."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from eocausal.imagery.windows import (
    Lattice,
    first_pixel,
    ground_pixel,
    is_metric,
    native_grids,
    offset_in,
    positions,
    project,
    sample_bilinear,
    touching,
    utm_grids,
)

UTM = Lattice("EPSG:32636", 10, 0, 600_000, 0, -10, 200_000)


@pytest.mark.parametrize(
    ("centre", "side", "start"),
    [
        (10.0, 1, 10),
        (10.9, 1, 10),
        (10.5, 3, 9),
        (10.0, 2, 9),
        (10.49, 2, 9),
        (10.51, 2, 10),
        (10.5, 2, 10),
        (-3.2, 4, -5),
    ],
)
def test_window_starts_where_its_middle_is_nearest(centre, side, start):
    assert first_pixel(centre, side) == start


def test_rounding_of_coordinates_cannot_move_a_window():
    for noise in (-1e-7, 0.0, 1e-7):
        assert first_pixel(20.5 + noise, 4) == 19
        assert first_pixel(20.0 + noise, 5) == 18


def test_lattice_and_its_inverse_agree_when_rotated():
    turned = Lattice("EPSG:32636", 8, 6, 1000, 6, -8, 5000)
    x, y = turned.point(np.array([2.5]), np.array([7.0]))
    # x = 8*7 + 6*2.5 + 1000, y = 6*7 - 8*2.5 + 5000
    assert (x[0], y[0]) == (1071.0, 5022.0)
    np.testing.assert_allclose(np.ravel(turned.pixel(x, y)), [2.5, 7.0])
    assert not turned.north_up


@pytest.mark.parametrize(
    ("lattice", "metric"),
    [
        (UTM, True),
        (Lattice("EPSG:32636", 10, 0, 600_000, 0, -10.04, 200_000), True),
        (Lattice("EPSG:32636", 10, 0, 600_000, 0, -10.1, 200_000), False),
        (Lattice("EPSG:32636", 10, 0, 600_000, 0, 10, 200_000), False),
        # Web Mercator at 1.8 N stretches by 0.05% east-west but by 0.7% north-south against the ellipsoid.
        (Lattice("EPSG:3857", 10, 0, 3_770_000, 0, -10, 200_000), False),
        (Lattice("EPSG:4326", 1e-4, 0, 33.9, 0, -1e-4, 1.81), False),
        # Feet: square and conformal, but not metres.
        (Lattice("EPSG:2263", 10, 0, 990_000, 0, -10, 200_000), False),
    ],
)
def test_metric_lattices(lattice, metric):
    assert is_metric(lattice, np.array([lattice.c]), np.array([lattice.f])) is metric


def test_transverse_mercator_far_from_its_meridian_is_not_metric():
    # Six degrees off the meridian the scale is 0.9996 (1 + 0.105^2 / 2) = 1.0051.
    x, y = project(np.array([33.0, 39.2]), np.array([0.5, 0.5]), "EPSG:32636")
    assert is_metric(UTM, x[:1], y[:1])
    assert not is_metric(UTM, x[1:], y[1:])


def test_metres_that_run_across_north_are_not_north_up():
    # Arctic polar stereographic has true scale at 71 N; there, up is north at 0 E and east or west at 90 E.
    polar = Lattice("EPSG:3995", 30, 0, 0, 0, -30, 0)
    x, y = project(np.array([0.0, 90.0]), np.array([71.0, 71.0]), "EPSG:3995")
    across, along, off_north = ground_pixel(polar, x, y)
    np.testing.assert_allclose([across, along], 30, rtol=1e-3)
    np.testing.assert_allclose(off_north, [0, 90], atol=0.01)
    assert is_metric(polar, x[:1], y[:1])
    assert not is_metric(polar, x[1:], y[1:])


def test_ground_size_of_a_degree_pixel():
    across, along, off_north = ground_pixel(
        Lattice("EPSG:4326", 0.01, 0, 0, 0, -0.01, 60), np.array([0.0]), np.array([60.0])
    )
    # On the ellipsoid at 60 N a degree is 55,800 m of longitude and 111,412 m of latitude.
    np.testing.assert_allclose([across[0], along[0]], [558.0, 1114.2], rtol=1e-3)
    assert off_north[0] == pytest.approx(0, abs=1e-9)


def test_points_beyond_a_projection_are_nan_not_somewhere_else():
    globe = "+proj=ortho +lat_0=0 +lon_0=0 +ellps=WGS84"
    x, y = project(np.array([30.0, 150.0]), np.array([10.0, 10.0]), globe)
    assert np.isfinite([x[0], y[0]]).all()
    assert np.isnan([x[1], y[1]]).all()
    grids = native_grids([UTM], np.zeros(2, dtype=int), x, y, 10)
    assert not touching(grids, [SimpleNamespace(lattice=UTM, height=10**9, width=10**9)])[1, 0]


def test_touching_needs_shared_ground():
    rows, columns = np.array([-5.0, -4.9, 50.0, 50.0]), np.array([50.0, 50.0, 104.9, 105.0])
    raster = SimpleNamespace(lattice=UTM, height=100, width=100)
    grids = native_grids([UTM], np.zeros(4, dtype=int), rows, columns, 10)
    assert touching(grids, [raster])[:, 0].tolist() == [False, False, False, False]
    grids = native_grids([UTM], np.zeros(4, dtype=int), rows + 1, columns - 1, 10)
    assert touching(grids, [raster])[:, 0].tolist() == [True, True, True, True]


def test_offsets_only_between_lattices_that_coincide():
    grids = native_grids([UTM], np.array([0]), np.array([50.2]), np.array([70.4]), 8)
    assert offset_in(grids, 0, UTM) == (46, 66)
    shifted = Lattice("EPSG:32636", 10, 0, 600_100, 0, -10, 199_950)
    assert offset_in(grids, 0, shifted) == (41, 56)
    assert offset_in(grids, 0, Lattice("EPSG:32636", 10, 0, 600_103, 0, -10, 200_000)) is None
    assert offset_in(grids, 0, Lattice("EPSG:32637", 10, 0, 600_000, 0, -10, 200_000)) is None


def test_positions_between_nodes_are_those_of_every_pixel_transformed():
    zone = np.array([32636])
    grids = utm_grids(*project(np.array([34.0]), np.array([60.0]), "EPSG:32636"), zone, 30.0, 200)
    degrees = Lattice("EPSG:4326", 5e-4, 0, 33.5, 0, -3e-4, 60.5)
    rows, columns = positions(grids, 0, degrees)
    import pyproj

    x, y = pyproj.Transformer.from_crs(4326, 32636, always_xy=True).transform(34.0, 60.0)
    offset = (np.arange(200) + 0.5 - 100) * 30
    back = pyproj.Transformer.from_crs(32636, 4326, always_xy=True)
    lon, lat = back.transform(*np.meshgrid(x + offset, y - offset))
    np.testing.assert_allclose(rows, (60.5 - lat) / 3e-4, atol=1e-3)
    np.testing.assert_allclose(columns, (lon - 33.5) / 5e-4, atol=1e-3)


def test_utm_grid_is_centred_on_the_unit():
    grids = utm_grids(np.array([500_000.0]), np.array([0.0]), np.array([32636]), 10.0, 5)
    np.testing.assert_allclose([grids.west[0], grids.north[0]], [500_000 - 25, 25], atol=1e-6)


def test_interpolation_by_hand():
    values = np.array([[[0, 10], [20, 40]]], dtype=np.float32)
    # A quarter right of and half below the first centre.
    at = sample_bilinear(values, np.array([1.0]), np.array([0.75]))
    assert at[0, 0] == pytest.approx(0.5 * (0.75 * 0 + 0.25 * 10) + 0.5 * (0.75 * 20 + 0.25 * 40))
    # On the outer half of an edge pixel there is nothing further out: its own value holds.
    assert sample_bilinear(values, np.array([0.1]), np.array([1.9]))[0, 0] == 10


def test_pixels_that_are_not_valid_neither_bleed_nor_vanish():
    values = np.array([[[1, 1, np.nan], [1, 1, 5]]], dtype=np.float32)
    rows, columns = np.full(4, 0.5), np.array([0.5, 1.9, 2.0, 3.5])
    # 1.9 lies in a valid pixel: only valid neighbours count. 2.0 lies in the hole, 3.5 off the array.
    np.testing.assert_array_equal(sample_bilinear(values, rows, columns)[0], [1, 1, np.nan, np.nan])
    nan = np.full((2, 1, 1), np.nan, dtype=np.float32)
    assert np.isnan(sample_bilinear(nan, np.array([0.5]), np.array([0.5]))).all()
