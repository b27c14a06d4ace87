"""Closed forms of maps that shrink effects, computed here apart from the package, and samples that follow them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import eocausal as ec
from eocausal.errors import DesignError

GRID = np.linspace(-45.0, 70.0, 23001)
STEP = GRID[1] - GRID[0]
SHARES = np.array([0.64, 0.16, 0.16, 0.04])
MEANS = np.array([5.0, 7.2, 13.0, 14.2])
SDS = np.array([1.0, 2.0, 4.0, 5.0])
TREATED = [1, 3]


def _normal(at: np.ndarray, mean: float, variance: float) -> np.ndarray:
    return np.exp(-((at - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)


def _mix(at: np.ndarray, extra: float, parts: list[int] | None = None) -> np.ndarray:
    """Density of parts of the mixture, widened by an error of variance ``extra``; it sums to the parts' shares."""
    chosen = range(4) if parts is None else parts
    return sum(SHARES[j] * _normal(at, MEANS[j], SDS[j] ** 2 + extra) for j in chosen)


def _given_outcome(function: np.ndarray, outcome: float, error: float) -> float:
    """E[function(prediction) | outcome], predictions of the mixture and a normal error."""
    joint = _mix(GRID, 0.0) * _normal(outcome, GRID, error)
    return float((function * joint).sum() / joint.sum())


def _arm_means(function_given_outcome: np.ndarray, error: float) -> float:
    """Difference between treated and control parts of what is expected of a unit, given its outcome."""
    treated = _mix(GRID, error, TREATED)
    control = _mix(GRID, error) - treated
    parts = (
        function_given_outcome @ treated / treated.sum(),
        function_given_outcome @ control / control.sum(),
    )
    return float(parts[0] - parts[1])


def _score(extra: float) -> np.ndarray:
    """Derivative of the log density on the grid."""
    wide = SDS**2 + extra
    slope = sum(-SHARES[j] * (GRID - MEANS[j]) / wide[j] * _normal(GRID, MEANS[j], wide[j]) for j in range(4))
    return slope / np.maximum(_mix(GRID, extra), 1e-300)


def _prediction_given(error: float) -> np.ndarray:
    """E[prediction | outcome] on the grid: the outcome plus the error's variance times the score of outcomes."""
    return GRID + error * _score(error)


MIXTURE = {
    1.0: {
        "outcome_variance": 16.24, "slope": 0.938424, "naive": 1.718201, "lcc": 1.830944,
        "tweedie_variance": 17.748086, "lcc_variance": 17.305617, "tweedie_mse": 1.508086, "lcc_mse": 1.065617,
        "lcc_at": (3.784328, 5.541685, 9.975397, 20.476378),
        "above 6": (5.620169, 4.935676, 5.259539), "above 13": (10.668743, 10.460190, 11.146554),
    },
    2.0: {
        "outcome_variance": 19.24, "slope": 0.792100, "naive": 1.315190, "lcc": 1.660384,
        "tweedie_variance": 31.369371, "lcc_variance": 24.289869, "tweedie_mse": 12.129371, "lcc_mse": 5.049869,
        "lcc_at": (4.032011, 5.117791, 9.114416, 21.858480),
        "above 6": (6.271654, 4.206481, 5.310544), "above 13": (10.918704, 10.075890, 12.720481),
    },
}  # fmt: skip


@pytest.mark.parametrize("error_sd", [1.0, 2.0])
def test_the_mixture_has_the_printed_moments(error_sd: float) -> None:
    made, printed, error = _world("mixture", noise_sd=error_sd), MIXTURE[error_sd], error_sd**2
    density = _mix(GRID, 0.0)
    mean = (GRID * density).sum() * STEP
    variance = ((GRID - mean) ** 2 * density).sum() * STEP
    slope = _score(0.0)
    information = (slope**2 * density).sum() * STEP
    assert variance == pytest.approx(15.24, abs=1e-9) == pytest.approx(made.prediction_variance, abs=1e-9)
    assert information == pytest.approx(0.508086, abs=1e-6)
    k = variance / (variance + error)
    assert k == pytest.approx(printed["slope"], abs=6e-7) == pytest.approx(made.slope, abs=6e-7)
    assert made.outcome_variance == pytest.approx(printed["outcome_variance"])
    assert made.error_variance == error
    tweedie_variance = variance + 2 * error + error**2 * information
    assert tweedie_variance == pytest.approx(printed["tweedie_variance"], abs=2e-6 * error**2)
    assert error + error**2 * information == pytest.approx(printed["tweedie_mse"], abs=2e-6 * error**2)
    assert variance / k**2 == pytest.approx(printed["lcc_variance"], abs=1e-6)
    assert error / k == pytest.approx(printed["lcc_mse"], abs=1e-6)
    # the same two variances, by their definition
    corrected = GRID - error * slope
    by_definition = ((corrected - mean) ** 2 * density).sum() * STEP
    assert by_definition == pytest.approx(tweedie_variance, rel=1e-9)


@pytest.mark.parametrize("error_sd", [1.0, 2.0])
def test_the_mixture_has_the_printed_effects_and_contrasts(error_sd: float) -> None:
    made, printed, error = _world("mixture", noise_sd=error_sd), MIXTURE[error_sd], error_sd**2
    mean = float(SHARES @ MEANS)
    given = _prediction_given(error)
    assert _arm_means(GRID, error) == pytest.approx(2.0, abs=1e-9)
    naive = _arm_means(given, error)
    assert naive == pytest.approx(printed["naive"], abs=1e-6) == pytest.approx(made.naive, abs=1e-6)
    assert naive / made.slope == pytest.approx(printed["lcc"], abs=1e-6) == pytest.approx(made.lcc, abs=1e-6)
    assert made.tweedie == pytest.approx(2.0, abs=1e-9)
    for outcome, expected in zip((3.0, 6.0, 10.0, 20.0), printed["lcc_at"]):
        linear = mean + (GRID - mean) / made.slope
        assert _given_outcome(linear, outcome, error) == pytest.approx(expected, abs=1e-6)
        corrected = GRID - error * _score(0.0)
        assert _given_outcome(corrected, outcome, error) == pytest.approx(outcome, abs=1e-9)
    for threshold, name in ((6.0, "above 6"), (13.0, "above 13")):
        true, seen = (_above(threshold, error, pulled) for pulled in (SDS**2 + error, SDS**2))
        # what is printed came from a grid that cannot halve a point: good to four digits
        assert (true, seen, seen / made.slope) == pytest.approx(printed[name], abs=6e-5)


def _above(threshold: float, error: float, pulled: np.ndarray) -> float:
    """Difference between units whose outcomes are above a bound and the rest.

    ``pulled`` holds the variances by part of outcomes for that of outcomes, of predictions for that of predictions.
    """
    wide = SDS**2 + error
    over = SHARES * norm.sf(threshold, MEANS, np.sqrt(wide))
    total = over @ MEANS + SHARES @ (pulled * norm.pdf(threshold, MEANS, np.sqrt(wide)))
    share = over.sum()
    return float(total / share - (SHARES @ MEANS - total) / (1 - share))


def test_the_gaussian_map_has_the_printed_closed_forms() -> None:
    variance, error = 1.0, 0.5
    k = variance / (variance + error)
    assert k == pytest.approx(2 / 3)
    # normal predictions have the score -u / v, which makes Tweedie's correction and LCC one map
    assert 1 + error / variance == pytest.approx(1 / k) == pytest.approx(1.5)
    information = 1 / variance
    assert (
        variance + 2 * error + error**2 * information == pytest.approx(2.25) == pytest.approx(variance / k**2)
    )
    assert error + error**2 * information == pytest.approx(0.75) == pytest.approx(error / k)
    assert 2 - 1 / k == pytest.approx(0.5)
    assert k * 3 == pytest.approx(2.0)
    # units whose outcome is above a bound, at 4 SDs of a variance of 1.5, and so on, against the others
    at = np.linspace(-15, 15, 300001)
    wide = _normal(at, 0.0, variance + error)
    above = np.where(at > 6 + 5e-5, 1.0, np.where(at > 6 - 5e-5, 0.5, 0.0))
    true = (at * above) @ wide / (above @ wide) - (at * (1 - above)) @ wide / ((1 - above) @ wide)
    assert (true, k * true) == pytest.approx((6.232551, 4.155034), abs=2e-5)


@pytest.mark.parametrize(("n", "printed"), [(100, 0.9544), (1000, 0.9802), (10000, 0.9918)])
def test_a_smoothed_density_leaves_the_printed_attenuation(n: int, printed: float) -> None:
    variance, error = 1.0, 0.5
    bandwidth = n ** (-1 / 5)
    k = variance / (variance + error)
    assert k * (1 + error / variance / (1 + bandwidth**2)) == pytest.approx(printed, abs=6e-5)


@pytest.mark.parametrize(("kind", "naive", "lcc"), [("gaussian", 0.34, 0.5), ("surrogate", 0.5, 0.5 / 0.68)])
def test_in_normal_worlds_both_corrections_tend_to_the_same(kind: str, naive: float, lcc: float) -> None:
    made = _world(kind)
    assert made.outcome_variance == pytest.approx(1.5 + 0.25 / 4)
    assert made.slope == pytest.approx(1.0625 / 1.5625)
    assert (made.naive, made.lcc) == pytest.approx((naive, lcc))
    # two normal arms half an SD apart are nearly one normal
    assert made.tweedie == pytest.approx(lcc, abs=1e-4)


@pytest.mark.parametrize(
    ("effect", "noise_sd", "printed"),
    [
        (0.2, 5.0, (2.092648, 0.708240, 0.029176, 0.588049, 0.610552, 0.141648)),
        (2.0, 5.0, (3.826484, 0.816133, 0.183867, 0.774710, 0.703563, 1.632267)),
        (2.0, 1.0, (3.826484, 0.991069, 0.008931, 0.990988, 0.034175, 1.982138)),
    ],
)
def test_the_linear_proxy_has_the_printed_table(
    effect: float, noise_sd: float, printed: tuple[float, ...]
) -> None:
    at = np.linspace(-10, 10, 20001)
    normal = _normal(at, 0.0, 1.0)
    chance = 1 / (1 + np.exp(-at))
    # E[C q(C)] = E[q'(C)] for a normal C
    covariance = float((chance * (1 - chance)) @ normal / normal.sum())
    assert covariance == pytest.approx(0.20662096, abs=1e-8)
    assert (at * chance) @ normal / normal.sum() == pytest.approx(covariance, abs=1e-8)
    variance = effect**2 / 4 + 2 + 2 * effect * covariance
    k = 29 * variance / (29 * variance + noise_sd**2)
    computed = (variance, k, (1 - k) * effect / 2, 2 - 1 / k, variance * (1 - k), k * effect)
    assert computed == pytest.approx(printed, abs=1e-6)
    made = _world("proxy", effect=effect, noise_sd=noise_sd, confounding=1.0)
    assert (made.outcome_variance, made.slope, made.error_variance, made.naive) == pytest.approx(
        (variance, k, variance * (1 - k), k * effect), rel=1e-9
    )
    assert made.prediction_variance == pytest.approx(k * variance)
    assert made.lcc == pytest.approx(effect)
    # three million draws by another way
    known = {(0.2, 5.0): 0.199, (2.0, 5.0): 1.973}
    if (effect, noise_sd) in known:
        assert made.tweedie == pytest.approx(known[effect, noise_sd], abs=0.002)


def test_the_proxy_is_the_best_linear_prediction_from_three_columns() -> None:
    rng = np.random.default_rng(5)
    n, effect = 200_000, 2.0
    covariate = rng.normal(size=n)
    treatment = rng.uniform(size=n) < 1 / (1 + np.exp(-covariate))
    outcome = effect * treatment + covariate + rng.normal(size=n)
    columns = outcome[:, None] * np.array([2.0, 3.0, -4.0]) + 5 * rng.normal(size=(n, 3))
    design = np.column_stack([np.ones(n), columns])
    prediction = design @ np.linalg.lstsq(design, outcome, rcond=None)[0]
    made = _world("proxy", confounding=1.0)
    assert prediction.var() == pytest.approx(made.prediction_variance, rel=0.01)
    assert np.cov(prediction, outcome)[0, 1] / outcome.var() == pytest.approx(made.slope, rel=0.01)


KINDS = ["gaussian", "surrogate", "proxy", "mixture", "over_shrunk", "over_dispersed", "heteroscedastic"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("clusters", [(1, 0.0), (4, 0.3)])
def test_samples_follow_the_closed_forms(kind: str, clusters: tuple[int, float]) -> None:
    made = ec.simulate_map(kind, n=150_000, n_calibration=150_000, clusters=clusters, seed=11)
    trial = made.trial
    assert _contrast(trial, "outcome") == pytest.approx(made.true_effect, abs=0.08)
    assert _contrast(trial, "prediction") == pytest.approx(made.naive, abs=0.08)
    for table, truth in ((trial, "outcome"), (made.calibration, "truth")):
        covariance = np.cov(table["prediction"], table[truth])
        assert covariance[0, 0] == pytest.approx(made.prediction_variance, rel=0.02)
        assert covariance[1, 1] == pytest.approx(made.outcome_variance, rel=0.02)
        assert covariance[0, 1] / covariance[1, 1] == pytest.approx(made.slope, rel=0.01)
        back = covariance[0, 1] / covariance[0, 0]
        residual = table[truth] - back * table["prediction"]
        assert residual.var() == pytest.approx(made.error_variance, rel=0.02)
        assert back == pytest.approx(
            {"over_shrunk": 1 / 0.6, "over_dispersed": 1 / 1.2}.get(kind, 1), rel=0.01
        )


@pytest.mark.parametrize("kind", KINDS)
def test_treatment_tells_of_predictions_given_outcomes_in_the_surrogate_world_alone(kind: str) -> None:
    table = ec.simulate_map(kind, n=20, n_calibration=200_000, seed=12).calibration
    # within narrow bins of the outcome, predictions of both arms are alike
    bins = pd.qcut(table["truth"], 400, labels=False)
    gap = table["prediction"] - table.groupby(bins)["prediction"].transform("mean")
    treated = table["treatment"] - table.groupby(bins)["treatment"].transform("mean")
    slope, error = gap @ treated / (treated @ treated), gap.std() / np.sqrt(treated @ treated)
    assert (abs(slope) > 10 * error) == (kind == "surrogate")


@pytest.mark.parametrize("kind", ["mixture", "heteroscedastic"])
def test_outcomes_are_predictions_plus_errors_of_the_variance_stated(kind: str) -> None:
    table = ec.simulate_map(kind, n=20, n_calibration=200_000, seed=13).calibration
    at, error = table["prediction"].to_numpy(), (table["truth"] - table["prediction"]).to_numpy()
    variance = np.full(at.shape, 4.0) if kind == "mixture" else 0.3 + 0.15 * np.tanh(at)
    standard = error / np.sqrt(variance)
    for part in np.array_split(np.argsort(at), 20):
        assert standard[part].mean() == pytest.approx(0, abs=0.03)
        assert standard[part].var() == pytest.approx(1, abs=0.05)


def test_without_the_slope_of_the_variance_the_heteroscedastic_mean_is_off_by_what_is_printed() -> None:
    at = np.linspace(-9, 9, 18001)
    density = _normal(at, 0.0, 1.0) * (at[1] - at[0])
    variance, slope = 0.3 + 0.15 * np.tanh(at), 0.15 / np.cosh(at) ** 2
    without = at + variance * at
    assert without @ density == pytest.approx(0.091, abs=5e-4)
    assert (without - slope) @ density == pytest.approx(0.0, abs=1e-9)
    # the slope on the outcome is 1: its covariance with the corrected value is its own variance
    assert ((without - slope) * at) @ density == pytest.approx(1.3, abs=1e-6)
    made = _world("heteroscedastic")
    assert made.outcome_variance == pytest.approx(1.3)
    assert made.tweedie == pytest.approx(made.true_effect, abs=1e-3)


def test_effects_of_mixtures_scale_all_limits_and_none_is_none() -> None:
    whole, half, none = (_world("mixture", effect=effect) for effect in (2.0, 1.0, 0.0))
    assert (half.naive, half.lcc, half.tweedie) == pytest.approx(
        (whole.naive / 2, whole.lcc / 2, whole.tweedie / 2)
    )
    assert (none.naive, none.lcc, none.tweedie) == (0.0, 0.0, 0.0)
    made = ec.simulate_map("mixture", effect=1.0, n=400_000, seed=14)
    assert _contrast(made.trial, "outcome") == pytest.approx(1.0, abs=0.06)
    assert made.trial["treatment"].mean() == pytest.approx(0.2, abs=0.005)


def test_with_confounding_weights_by_the_propensity_give_the_limits() -> None:
    made = ec.simulate_map("gaussian", n=400_000, confounding=1.0, seed=15)
    trial = made.trial
    chance = 1 / (1 + np.exp(-trial["covariate"]))
    weights = np.where(trial["treatment"] == 1, 1 / chance, 1 / (1 - chance))
    assert _contrast(trial, "prediction") > made.naive + 0.2
    assert _contrast(trial, "prediction", weights) == pytest.approx(made.naive, abs=0.03)
    assert _contrast(trial, "outcome", weights) == pytest.approx(0.5, abs=0.03)


def test_label_noise_is_in_the_labels_alone() -> None:
    clean, noisy = (ec.simulate_map(n_calibration=200_000, label_noise_var=one, seed=16) for one in (0, 0.5))
    assert clean.trial.equals(noisy.trial)
    added = noisy.calibration["truth"] - clean.calibration["truth"]
    assert added.var() == pytest.approx(0.5, rel=0.02)
    # what ignores the noise corrects by too much: LCC tends to effect (VY + w) / VY
    covariance = np.cov(noisy.calibration["prediction"], noisy.calibration["truth"])
    assert clean.naive / (covariance[0, 1] / covariance[1, 1]) == pytest.approx(
        0.5 * 2.0625 / 1.5625, rel=0.02
    )


def test_clusters_share_what_is_asked_and_belong_to_one_region() -> None:
    made = ec.simulate_map("gaussian", n=4000, n_calibration=2000, clusters=(20, 0.4), effect=0.0, seed=17)
    for table, first in ((made.trial, "t"), (made.calibration, "c")):
        by_cluster = table.groupby("cluster")
        assert (by_cluster.size() == 20).all()
        assert by_cluster["region"].nunique().eq(1).all()
        assert by_cluster["treatment"].nunique().eq(1).all()
        assert table["cluster"].str.startswith(first).all()
        assert table["region"].nunique() == 20
    wide = ec.simulate_map("gaussian", n=100_000, clusters=(20, 0.4), effect=0.0, seed=18).trial
    error = wide["outcome"] - wide["prediction"]
    between = error.groupby(wide["cluster"]).mean().var() - error.groupby(wide["cluster"]).var().mean() / 20
    # the half of the outcome that is the covariate is all between clusters
    own = (1.5 / 2 * 0.4 + 1.5 / 2) * (1 - 2 / 3) ** 2 + 0.5 * 2 / 3 * 0.4
    assert between == pytest.approx(own, rel=0.05)


def test_the_same_seed_gives_the_same_map_and_others_do_not() -> None:
    first, again, other = (ec.simulate_map("mixture", n=50, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first.trial, again.trial)
    pd.testing.assert_frame_equal(first.calibration, again.calibration)
    assert not first.trial["outcome"].equals(other.trial["outcome"])
    # labels do not depend on how many units the trial has
    longer = ec.simulate_map("mixture", n=500, seed=1)
    pd.testing.assert_frame_equal(first.calibration, longer.calibration)


@pytest.mark.filterwarnings("error")
def test_treatment_that_the_covariate_settles_is_drawn_without_a_warning() -> None:
    made = ec.simulate_map(n=200, confounding=1e6, seed=1).trial
    assert (made["treatment"] == (made["covariate"] > 0)).all()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"kind": "gausian"}, "Did you mean 'gaussian'"),
        ({"n": 5}, "n=5"),
        ({"n_calibration": 2.5}, "n_calibration=2.5"),
        ({"kind": "mixture", "effect": 2.5}, "between 0 and 2.00"),
        ({"kind": "mixture", "effect": -0.1}, "effect=-0.1"),
        ({"kind": "heteroscedastic", "effect": 1.7}, "between 0 and 1.63"),
        ({"effect": float("nan")}, "effect=nan"),
        ({"kind": "heteroscedastic", "noise_sd": 1.0}, "have a variance of their own"),
        ({"noise_sd": 1.3}, "SD of the outcome"),
        ({"noise_sd": -1.0}, "noise_sd=-1.0"),
        ({"kind": "mixture", "confounding": 1.0}, "treatment goes by the outcome alone"),
        ({"confounding": float("inf")}, "confounding=inf"),
        ({"clusters": (0, 0.1)}, "clusters"),
        ({"clusters": (5, 1.1)}, "0.0 <= clusters"),
        ({"label_noise_var": -0.1}, "label_noise_var=-0.1"),
        ({"label_noise_var": "none"}, "label_noise_var='none'"),
        ({"clusters": 5}, "clusters=5"),
        ({"effect": "0.5"}, "effect='0.5'"),
        ({"effect": [0.5]}, "effect="),
        ({"noise_sd": True}, "noise_sd=True"),
        ({"kind": ["gaussian"]}, "is not known"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 1.5}, "seed=1.5"),
    ],
)
def test_bad_maps_are_refused(asked: dict, words: str) -> None:
    with pytest.raises(DesignError, match=words.replace("[", r"\[")):
        ec.simulate_map(**asked)


def _world(kind: str, **asked: float) -> object:
    return ec.simulate_map(kind, n=10, n_calibration=10, **asked)


def _contrast(table: pd.DataFrame, column: str, weights: np.ndarray | None = None) -> float:
    weights = np.ones(len(table)) if weights is None else np.asarray(weights)
    arms = [np.average(table[column][arm], weights=weights[arm]) for arm in _arms(table)]
    return float(arms[0] - arms[1])


def _arms(table: pd.DataFrame) -> list[np.ndarray]:
    return [(table["treatment"] == arm).to_numpy() for arm in (1, 0)]
