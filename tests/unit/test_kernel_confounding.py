"""The kernel-confounding world: its stripe, its draws, its closed form, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

import eocausal as ec
from eocausal.simulate.kernel_confounding import gaussian_naive_bias, stripe_kernel

SMALL = {"n_units": 24, "size_px": 40}


def test_the_stripe_is_antidiagonal_centred_and_of_unit_like_norm() -> None:
    assert stripe_kernel(1).tolist() == [[1.0]]
    kernel = stripe_kernel(8)
    # eight ones of 64 pixels: mean 1/8, variance 7/64
    spread = np.sqrt(0.001 + 7 / 64 * 64)
    assert kernel[0, 7] == pytest.approx(7 / 8 / spread)
    assert kernel[0, 0] == pytest.approx(-1 / 8 / spread)
    assert kernel.sum() == pytest.approx(0, abs=1e-12)
    assert np.array_equal(kernel, np.rot90(kernel, 2))


def test_the_closed_form_agrees_with_integration() -> None:
    def by_hand(common: float, noise_sd: float) -> float:
        sd = np.sqrt(common + noise_sd**2)
        slope = quad(lambda v: norm.pdf(v, scale=sd) / (2 + 2 * np.cosh(v)), -12 * sd, 12 * sd)[0]
        return 4 * common * slope

    assert gaussian_naive_bias() == pytest.approx(0.825239, abs=5e-7)
    assert gaussian_naive_bias(noise_sd=0) == pytest.approx(0.826484, abs=5e-7)
    assert gaussian_naive_bias() == pytest.approx(by_hand(1, 0.1), rel=1e-9)
    assert gaussian_naive_bias(tabular=0.7) == pytest.approx(by_hand(1.49, 0.1), rel=1e-9)


def test_the_tables_are_what_the_text_says() -> None:
    world = ec.simulate_kernel_confounding(**SMALL, kernel_px=4, effect=2.5, tabular=0.5, noise_sd=0, seed=4)
    table = world.units.frame
    common = table["confounder"] + 0.5 * table["income_before"]
    assert np.allclose(table["propensity"], 1 / (1 + np.exp(-common)))
    assert np.allclose(table["outcome"], common + 2.5 * table["treated"])
    assert table["confounder"].mean() == pytest.approx(0, abs=1e-9)
    assert table["confounder"].std(ddof=0) == pytest.approx(1)
    assert world.true_ate == 2.5
    assert world.naive_bias == gaussian_naive_bias(noise_sd=0, tabular=0.5)


def test_the_confounder_is_the_strongest_answer_away_from_the_edge() -> None:
    world = ec.simulate_kernel_confounding(**SMALL, kernel_px=2, seed=1)
    pixels = world.pixels[:, 0].astype(float)
    # the stripe of two pixels is symmetric: (+1 off, -1 on the diagonal) / 2 over its scale
    off = pixels[:, :-1, 1:] + pixels[:, 1:, :-1]
    on = pixels[:, :-1, :-1] + pixels[:, 1:, 1:]
    strongest = (off - on)[:, 15:23, 15:23].max(axis=(1, 2))
    expected = (strongest - strongest.mean()) / strongest.std()
    assert np.allclose(world.units.frame["confounder"], expected, atol=1e-4)


@pytest.mark.parametrize("pool", ["max", "mean", "centre"])
def test_the_feature_of_the_true_width_is_the_confounder_and_others_are_not(pool: str) -> None:
    world = ec.simulate_kernel_confounding(**SMALL, kernel_px=8, pool=pool)
    truth = world.units.frame["confounder"]
    assert np.allclose(world.feature(8), truth, atol=1e-5)
    assert abs(np.corrcoef(world.feature(1), truth)[0, 1]) < 0.8


def test_coarser_pictures_are_means_of_squares() -> None:
    world = ec.simulate_kernel_confounding(**SMALL, kernel_px=1, pool="centre")
    squares = world.pixels[:, 0, 20:22, 20:22].mean(axis=(1, 2)).astype(float)
    expected = (squares - squares.mean()) / squares.std()
    assert np.allclose(world.feature(1, coarsen_px=2), expected, atol=1e-5)


def test_a_seed_fixes_all_but_the_kernel() -> None:
    one, again = (ec.simulate_kernel_confounding(**SMALL, seed=5) for _ in range(2))
    wider = ec.simulate_kernel_confounding(**SMALL, kernel_px=16, seed=5)
    other = ec.simulate_kernel_confounding(**SMALL, seed=6)
    assert one.units.frame.equals(again.units.frame)
    assert np.array_equal(one.pixels, wider.pixels)
    assert one.units.frame["income_before"].equals(wider.units.frame["income_before"])
    assert not one.units.frame["confounder"].equals(wider.units.frame["confounder"])
    assert not np.array_equal(one.pixels, other.pixels)


def test_pictures_are_cut_from_textures_where_nothing_is_missing() -> None:
    rows, columns = np.mgrid[0:60, 0:90].astype(float)
    scene = 1000 * rows + columns
    scene[:, 45] = np.nan
    world = ec.simulate_kernel_confounding(scene, **SMALL, kernel_px=1)
    assert np.isfinite(world.pixels).all()
    # undo the scale: steps along a row are equal, and 1000 times smaller than steps down
    east = np.diff(world.pixels[:, 0], axis=2)
    south = np.diff(world.pixels[:, 0], axis=1)
    assert np.allclose(south.mean() / east.mean(), 1000, rtol=0.01)
    stacked = ec.simulate_kernel_confounding(np.stack([scene, scene]), **SMALL, kernel_px=1)
    assert stacked.pixels.shape == world.pixels.shape


def test_pictures_become_chips_of_the_units() -> None:
    world = ec.simulate_kernel_confounding(**SMALL)
    chips = ec.chips_from_arrays(world.units, world.pixels)
    (batch,) = chips.batches(size=64)
    assert np.array_equal(batch.pixels["40px"][:, 0], world.pixels)
    with pytest.raises(ValueError, match="read-only"):
        world.pixels[0] = 0


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"n_units": 5}, ec.errors.UnitsError, "n_units"),
        ({"size_px": 32}, ec.errors.ImageryError, "size_px"),
        ({"size_px": 50}, ec.errors.ImageryError, "multiple of 8"),
        ({"kernel_px": 0}, ec.errors.ImageryError, "kernel_px"),
        ({"kernel_px": 33}, ec.errors.ImageryError, "at most 32"),
        ({"pool": "median"}, ec.errors.ImageryError, "pool"),
        ({"noise_sd": -1}, ec.errors.UnitsError, "noise_sd"),
        ({"noise_sd": "much"}, ec.errors.UnitsError, "noise_sd='much'"),
        ({"effect": np.nan}, ec.errors.UnitsError, "effect=nan"),
        ({"tabular": np.inf}, ec.errors.UnitsError, "tabular=inf"),
        ({"seed": -1}, ec.errors.UnitsError, "seed=-1"),
        ({"textures": np.zeros((60, 60))}, ec.errors.ImageryError, "one value"),
        ({"textures": np.full((60, 60), np.nan)}, ec.errors.ImageryError, "without missing ones"),
        ({"textures": np.zeros((30, 90))}, ec.errors.ImageryError, "30 x 90"),
        ({"textures": np.zeros(60)}, ec.errors.ImageryError, "one band"),
        ({"textures": [np.zeros((2, 60, 60))]}, ec.errors.ImageryError, "one band"),
        ({"textures": []}, ec.errors.ImageryError, "one band"),
    ],
)
def test_what_makes_no_world_is_refused(options: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        ec.simulate_kernel_confounding(**{**SMALL, **options})


def test_a_resolution_that_does_not_divide_the_picture_is_refused() -> None:
    world = ec.simulate_kernel_confounding(**SMALL)
    with pytest.raises(ec.errors.ImageryError, match="cannot be averaged over squares of 3"):
        world.feature(8, coarsen_px=3)
    with pytest.raises(ec.errors.ImageryError, match="kernel_px=40 cannot be used"):
        world.feature(40)
