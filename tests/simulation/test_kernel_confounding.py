"""Officials act on a pattern in pictures: what adjusting for the right, the wrong and a learned pattern leaves.

The design and the numbers to compare with are described in docs/simulations.md. ``make slow`` repeats all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.simulate.kernel_confounding import WIDTHS_PX, KernelWorld

# of 6 widths each: 15 draws take 4 minutes of one processor
DRAWS = 15
COARSE_DRAWS = 30
FEATURE_DRAWS = 4
# one column and 500 units need no penalty; fitted to all units, as in the published design
PLAIN = ec.Learners(propensity="logit")


def _table(world: KernelWorld) -> pd.DataFrame:
    return world.units.frame.set_index("unit")


def _naive(table: pd.DataFrame) -> float:
    asked = ec.Design(table, outcome="outcome", treatment="treated")
    return ec.ate(asked, method="difference").estimate


def _hajek(table: pd.DataFrame, feature: np.ndarray | None = None) -> float:
    """Weighting by the true propensity, or by a logit on one feature."""
    if feature is None:
        asked = ec.Design(table, outcome="outcome", treatment="treated", propensity="propensity")
        return ec.ate(asked, method="ipw").estimate
    return ec.ate(_given(table, feature), method="ipw", learners=PLAIN).estimate


def _given(table: pd.DataFrame, feature: np.ndarray) -> ec.Design:
    seen = table.assign(feature=feature)
    return ec.Design(seen, outcome="outcome", treatment="treated", covariates=["feature"])


def _embedded(world: KernelWorld, encoder: object, pixels: np.ndarray | None = None) -> ec.Embeddings:
    chips = ec.chips_from_arrays(world.units, world.pixels if pixels is None else pixels)
    return ec.embed(chips, encoder=encoder, progress=False)


def _summary(errors: list[float]) -> tuple[float, float, float]:
    """Mean, its Monte Carlo error, and root mean square of errors."""
    found = np.array(errors)
    return found.mean(), found.std(ddof=1) / np.sqrt(found.size), float(np.sqrt((found**2).mean()))


def _naive_draws(draws: int, **options: object) -> tuple[float, float, float]:
    worlds = (
        ec.simulate_kernel_confounding(n_units=1000, size_px=40, pool="centre", seed=seed, **options)
        for seed in range(draws)
    )
    return _summary([_naive(_table(world)) - world.true_ate for world in worlds])


@pytest.mark.parametrize(("tabular", "noise_sd"), [(0.0, 0.1), (0.0, 0.0), (1.0, 0.1)])
def test_the_naive_bias_of_a_normal_confounder_is_the_closed_form(tabular: float, noise_sd: float) -> None:
    from eocausal.simulate.kernel_confounding import gaussian_naive_bias

    bias, mc_error, _ = _naive_draws(60, tabular=tabular, noise_sd=noise_sd)
    print(f"tabular {tabular} noise {noise_sd}: naive bias {bias:.4f} (mc {mc_error:.4f})")
    assert mc_error < 0.012
    assert abs(bias - gaussian_naive_bias(tabular=tabular, noise_sd=noise_sd)) <= 3 * mc_error


@pytest.mark.slow
def test_many_draws_have_the_closed_form_bias() -> None:
    bias, mc_error, _ = _naive_draws(1000)
    print(f"naive bias {bias:.5f} (mc {mc_error:.5f}) closed form 0.825239")
    assert abs(bias - 0.825239) <= 3 * mc_error


@pytest.mark.slow
def test_only_the_true_width_takes_the_bias_away() -> None:
    errors: dict[tuple[int, str], list[float]] = {}
    for seed in range(DRAWS):
        for width in WIDTHS_PX:
            world = ec.simulate_kernel_confounding(kernel_px=width, seed=seed)
            table = _table(world)
            ways: dict[str, Callable[[], float]] = {
                "naive": lambda table=table: _naive(table),
                "oracle": lambda table=table: _hajek(table),
                "width 8": lambda table=table, world=world: _hajek(table, world.feature(8)),
                "width 8, aipw": lambda table=table, world=world: (
                    ec.ate(_given(table, world.feature(8))).estimate
                ),
            }
            for way, estimate in ways.items():
                errors.setdefault((width, way), []).append(estimate() - world.true_ate)
    found = {key: _summary(values) for key, values in errors.items()}
    for (width, way), (bias, mc_error, rmse) in found.items():
        print(f"width {width} {way}: mean {1 + bias:.3f} (mc {mc_error:.3f}) rmse {rmse:.3f}")
    for width in WIDTHS_PX:
        naive, oracle = found[width, "naive"], found[width, "oracle"]
        assert 0.65 < naive[0] < 0.9
        # weights are skewed, so the mean over draws is a little off in small samples
        assert abs(oracle[0]) <= 3 * oracle[1] + 0.03
        if width != 8:
            assert found[width, "width 8"][0] >= 0.9 * naive[0]
            assert found[width, "width 8, aipw"][0] >= 0.9 * naive[0]
    assert found[8, "width 8, aipw"][2] < 0.03
    matched = found[8, "width 8"]
    assert abs(matched[0]) <= 3 * matched[1] + 0.02
    # an estimated propensity beats the true one (Hirano, Imbens and Ridder 2003)
    assert matched[2] < found[8, "oracle"][2]


@pytest.mark.slow
def test_coarser_pictures_lose_the_pattern() -> None:
    errors: dict[int, list[float]] = {1: [], 2: [], 4: [], 8: []}
    seen: dict[int, list[float]] = {step: [] for step in errors}
    naive = []
    for seed in range(COARSE_DRAWS):
        world = ec.simulate_kernel_confounding(kernel_px=8, seed=seed)
        table = _table(world)
        naive.append(_naive(table) - world.true_ate)
        for step in errors:
            feature = world.feature(8, coarsen_px=step)
            seen[step].append(float(np.corrcoef(feature, table["confounder"])[0, 1]))
            errors[step].append(_hajek(table, feature) - world.true_ate)
    left = {step: np.mean(values) / np.mean(naive) for step, values in errors.items()}
    same = {step: float(np.mean(values)) for step, values in seen.items()}
    for step in errors:
        print(f"coarser {step}: bias left {left[step]:.3f} correlation {same[step]:.3f}")
    assert list(same.values()) == sorted(same.values(), reverse=True)
    assert list(left.values()) == sorted(left.values())
    assert same[1] == pytest.approx(1, abs=1e-5)
    assert same[2] == pytest.approx(0.735, abs=0.03)
    assert same[4] < 0.25
    assert abs(left[1]) < 0.05
    assert 0.3 < left[2] < 0.7
    assert left[8] > 0.9


def _share_left(textures: np.ndarray | None, encoder: object, draws: int) -> float:
    """What share of the naive bias stays with the package's own features and its default estimator."""
    naive, adjusted = [], []
    for seed in range(draws):
        world = ec.simulate_kernel_confounding(textures, kernel_px=8, seed=seed)
        naive.append(_naive(_table(world)) - world.true_ate)
        features = _embedded(world, encoder)
        asked = ec.Design(world.units, outcome="outcome", treatment="treated", features=features)
        adjusted.append(ec.ate(asked, method="aipw").estimate - world.true_ate)
    return float(np.mean(adjusted) / np.mean(naive))


ENCODERS = {
    "image_stats": ec.ImageStats(),
    "rcf": ec.RandomFeatures(n_features=256, patch_px=(3, 5)),
    "rcf of 8 px": ec.RandomFeatures(n_features=256, patch_px=(8,)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ENCODERS)
def test_features_of_noise_leave_nearly_all_of_the_bias(name: str) -> None:
    left = _share_left(None, ENCODERS[name], draws=FEATURE_DRAWS)
    print(f"noise {name}: share of bias left {left:.3f}")
    assert left > 0.85


@pytest.mark.slow
@pytest.mark.parametrize("name", ENCODERS)
def test_features_of_a_real_scene_take_part_of_the_bias_away(name: str, shared: Path) -> None:
    import rasterio

    with rasterio.open(shared / "data/landsat7_olinda/L7_ETMs.tif") as file:
        scene = file.read(4).astype(float)
    left = _share_left(scene, ENCODERS[name], draws=FEATURE_DRAWS)
    print(f"olinda {name}: share of bias left {left:.3f}")
    assert (0.6 < left < 1.0) if name == "image_stats" else (0.1 < left < 0.5)


@pytest.fixture(scope="module")
def mixed() -> KernelWorld:
    """A world where a covariate and the pictures both confound, in equal parts."""
    return ec.simulate_kernel_confounding(n_units=400, size_px=64, tabular=1.0, seed=2)


def _adjusted(world: KernelWorld, features: ec.Embeddings | None) -> ec.Estimate:
    asked = ec.Design(
        world.units, outcome="outcome", treatment="treated", covariates=["income_before"], features=features
    )
    return ec.ate(asked)


def test_pictures_of_other_units_give_the_estimate_of_the_table_alone(mixed: KernelWorld) -> None:
    alone = _adjusted(mixed, None)
    # all of the tabular bias is gone, and the picture's is left
    assert 1.5 < alone.estimate < 2.0 < _naive(_table(mixed))
    order = np.random.default_rng(0).permutation(400)
    others = _embedded(mixed, ec.RandomFeatures(n_features=32), mixed.pixels[order])
    difference = _adjusted(mixed, others) - alone
    assert abs(difference.estimate) <= 3 * difference.std_error
    assert difference.std_error < 0.15


def test_pictures_of_one_value_are_refused(mixed: KernelWorld) -> None:
    blank = np.full_like(mixed.pixels, 3.0)
    with pytest.raises(ec.errors.EncoderError, match="window that varies"):
        _embedded(mixed, ec.RandomFeatures(n_features=32), blank)
    with pytest.raises(ec.errors.DesignError, match="Features are the same for all units"):
        _adjusted(mixed, _embedded(mixed, ec.ImageStats(), blank))
