"""Polygons that chips cannot be cut for, and the words that tell a user what to do."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import shapely
from shapely import MultiPolygon, Point, Polygon, box

from eocausal.errors import ImageryError
from eocausal.imagery.changed import ChangedSource
from eocausal.imagery.outlines import Outlines, bounding_square

GOOD = box(33.0, 1.0, 33.01, 1.02)
BOW_TIE = Polygon([(33, 1), (33.1, 1.1), (33.1, 1), (33, 1.1)])
POLAR = Polygon([*((lon, -75 + abs(lon) / 60) for lon in range(-180, 181, 20)), (180, -90), (-180, -90)])
FAR_APART = MultiPolygon([box(0, 0, 1, 1), box(120, 0, 121, 1), box(-121, 0, -120, 1)])


@pytest.mark.parametrize(
    ("polygon", "words"),
    [
        (None, r"are missing[\s\S]*1 \(b\)[\s\S]*notna"),
        (Polygon(), r"are empty[\s\S]*1 \(b\)[\s\S]*is_empty"),
        (Point(33, 1), r"are not polygons[\s\S]*1 \(b\)[\s\S]*geom_type"),
        (BOW_TIE, r"are invalid[\s\S]*1 \(b\)[\s\S]*make_valid"),
        (POLAR, r"encircle a pole[\s\S]*1 \(b\)"),
        (FAR_APART, r"more than half the globe[\s\S]*1 \(b\)[\s\S]*180 degrees[\s\S]*explode"),
        (box(20, 83.9, 20.1, 84.1), r"UTM is not defined[\s\S]*1 \(b\)[\s\S]*latitude <= 84"),
        (box(20, -80.1, 20.1, -79.9), r"UTM is not defined[\s\S]*1 \(b\)"),
        (box(-80, -5, 95, 5), r"too far from the middle of its zone[\s\S]*1 \(b\)"),
    ],
)
def test_polygons_without_a_square(polygon, words) -> None:
    with pytest.raises(ImageryError, match=words):
        bounding_square([GOOD, polygon], ids=["a", "b"])


def test_without_ids_rows_are_named() -> None:
    with pytest.raises(ImageryError, match=r"1 \(row 1\)"):
        bounding_square([GOOD, BOW_TIE])


@pytest.mark.parametrize("margin", [-1, np.nan, np.inf, True])
def test_margins_that_are_none(margin) -> None:
    with pytest.raises(ImageryError, match=r"margin_m=.*is not a margin[\s\S]*at least 0"):
        bounding_square([GOOD], margin_m=margin)


def test_ids_that_do_not_fit_and_systems_that_are_not_named() -> None:
    with pytest.raises(ImageryError, match=r"There are 1 polygons, and ids of the shape \(2,\)"):
        bounding_square([GOOD], ids=[1, 2])
    with pytest.raises(ImageryError, match=r"no reference system[\s\S]*set_crs"):
        bounding_square(geopandas.GeoSeries([GOOD]))


def test_coordinates_that_their_system_does_not_have() -> None:
    beyond = geopandas.GeoSeries([box(1e9, 1e9, 1e9 + 10, 1e9 + 10)], crs="EPSG:32636")
    with pytest.raises(ImageryError, match=r"EPSG:32636 is not defined[\s\S]*1 \(row 0\)"):
        bounding_square(beyond)


def test_chips_that_do_not_say_where_they_are() -> None:
    class Placeless:
        def corners(self, block):
            return None

        def reading(self):
            from contextlib import nullcontext

            from eocausal.imagery.batches import ChipBatch

            one = ChipBatch(
                np.arange(1),
                {"4px": np.ones((1, 1, 1, 4, 4), "float32")},
                {"4px": np.ones((1, 1, 4, 4), bool)},
                {"4px": np.array(["ok"])},
                {"4px": np.ones(1)},
            )
            return nullcontext(lambda rows: one)

    source = ChangedSource(Placeless(), Outlines(np.array([GOOD], dtype=object)))
    with (
        pytest.raises(ImageryError, match=r"no polygon can be laid on them[\s\S]*ec\.chips\(units, rasters"),
        source.reading() as read,
    ):
        read(np.arange(1))


def test_shapely_is_as_expected() -> None:
    assert not shapely.is_valid(BOW_TIE)
    assert shapely.is_valid(POLAR)
