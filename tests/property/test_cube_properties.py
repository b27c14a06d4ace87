"""However a cube is laid out, chips show the same ground."""

from __future__ import annotations

import numpy as np
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import eocausal as ec
from tests.scenes import NORTH, WEST, read_all, units_on

places = st.tuples(st.floats(-5, 45), st.floats(-5, 55))


@settings(max_examples=40, deadline=None)
@given(
    where=st.lists(places, min_size=1, max_size=5),
    side=st.integers(1, 12),
    south_up=st.booleans(),
    east_first=st.booleans(),
    across=st.booleans(),
    chunk=st.one_of(st.none(), st.integers(3, 60)),
    holes=st.integers(0, 30),
)
def test_direction_order_and_chunks_do_not_matter(
    where, side, south_up, east_first, across, chunk, holes
) -> None:
    rng = np.random.default_rng(holes)
    pixels = rng.integers(1, 999, (40, 50)).astype("f4")
    pixels.ravel()[rng.permutation(pixels.size)[:holes]] = np.nan
    cube = xr.DataArray(pixels, dims=("y", "x"), name="red").assign_coords(
        y=NORTH - 15 - 30.0 * np.arange(40), x=WEST + 15 + 30.0 * np.arange(50)
    )
    laid = cube.isel(y=slice(None, None, -1 if south_up else 1), x=slice(None, None, -1 if east_first else 1))
    laid = laid.transpose("x", "y") if across else laid
    laid = laid.chunk(y=chunk, x=chunk) if chunk else laid
    # one unit stands inside, since chips that are all outside are refused
    where = [(20.2, 25.7), *where]
    units = units_on(where)
    found = read_all(ec.chips(units, ec.cube_scenes(laid, crs="EPSG:32636"), size_px=side))
    shown = found.pixels[f"{side}px"][:, 0, 0]
    # the window by hand: its middle is the place on the lattice nearest to the unit
    for (row, column), chip in zip(where, shown):
        top, left = (int(np.floor(centre - side / 2 + 0.5 + 1e-4)) for centre in (row, column))
        wanted = np.full((side, side), np.nan, dtype="f4")
        for i in range(side):
            for j in range(side):
                if 0 <= top + i < 40 and 0 <= left + j < 50:
                    wanted[i, j] = pixels[top + i, left + j]
        np.testing.assert_array_equal(chip, wanted)
