"""Naive, LCC and Tweedie side by side: their errors against a jackknife of everything, and what is said of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy import stats

import eocausal as ec
from eocausal.debiasing.corrected_result import Corrected, imbens_manski
from eocausal.debiasing.refit import _first_score, _once
from eocausal.errors import DebiasError, EstimationError
from eocausal.inference.variance import sum_within

FloatArray = npt.NDArray[np.float64]
CLUSTERS = 12


def _places(n: int, seed: int) -> pd.DataFrame:
    """Two kinds of places, an error that is neither normal nor even, and an outcome that is not quite linear."""
    rng = np.random.default_rng(seed)
    level = np.where(rng.random(n) < 0.3, rng.normal(4, 1.5, n), rng.normal(0, 1, n))
    table = pd.DataFrame({"map": level + 0.3 * rng.normal(size=n) + 0.2})
    table["truth"] = level + rng.normal(size=n) * np.exp(level / 12) + 0.1 * level**2
    table["aid"] = (rng.random(n) < 0.4 + 0.02 * level).astype(int)
    table["map"] += 0.5 * table["aid"]
    table["slope"] = 0.3 * level + rng.normal(size=n)
    table["w"] = rng.uniform(0.5, 2, n)
    table["village"] = rng.integers(0, CLUSTERS, n)
    return table


def _corrected(n: int, n_calibration: int, *, method: str = "difference", **how: Any) -> Corrected:
    named = {"weights": how.pop("weights", None), "cluster": "village"}
    places, trial = _places(n_calibration, 1), _places(n, 2)
    fix = ec.debias(places, prediction="map", truth="truth", method="tweedie", **named, **how)
    columns = [] if method == "difference" else ["slope"]
    design = ec.Design(trial, outcome="map", treatment="aid", covariates=columns, **named)
    return ec.ate(design, method=method, correct=fix)


def _slopes(result: Corrected, of: str, step: float) -> tuple[FloatArray, npt.NDArray[Any]]:
    """Return by how much everything, fitted anew, moves with the weight of each cluster (G, 3); its labels."""
    fix, study = result.source
    first = _first_score(fix, study)
    labels = study.labels["village"] if of == "trial" else fix.sample.clusters
    found = []
    for one in np.unique(labels):
        ends = []
        for side in (1, -1):
            counts = 1.0 + side * step * (labels == one)
            trial = counts if of == "trial" else np.ones(study.n)
            places = np.ones(len(fix.sample)) if of == "trial" else counts
            ends.append(_once(fix, fix.sample, places, study.redrawn(trial), first))
        found.append((ends[0] - ends[1]) / (2 * step))
    return np.array(found), labels


OWN, SMALL, GAUSSIAN = (733, 317), (317, 331), (300, 120)


# Lindsey's density has a tenth of a row spread over its bins, which no influence value knows of: in thin tails that
# is some percent of what a cluster moves. The rest is exact.
@pytest.mark.parametrize(
    ("sizes", "how", "within"),
    [
        (OWN, {}, 0.06),
        (OWN, {"score": "kde"}, 0.05),
        (OWN, {"score": "gaussian"}, 1e-6),
        (OWN, {"recalibrate": False}, 0.08),
        (OWN, {"weights": "w"}, 0.06),
        (OWN, {"weights": "w", "noise": "spline", "label_noise_var": 0.2}, 0.1),
        (OWN, {"method": "regression"}, 0.06),
        # the density of a small study is that of the calibration: then it is part of the calibration's error
        (SMALL, {}, 0.07),
        (SMALL, {"weights": "w"}, 0.07),
        (SMALL, {"score": "kde"}, 0.12),
        (GAUSSIAN, {}, 1e-5),
        (GAUSSIAN, {"recalibrate": False}, 1e-5),
    ],
)
def test_errors_are_those_of_a_jackknife_of_everything(
    sizes: tuple[int, int], how: dict[str, Any], within: float
) -> None:
    # the tails of kernels begin at a row: which one jumps, so that only a wide step shows the slope
    step = 0.2 if how.get("score") == "kde" else 1e-4
    result = _corrected(*sizes, **how)
    moved, labels = _slopes(result, "trial", step)
    by_scores = sum_within(result.fit.score_values, labels) / result.n
    apart = np.linalg.norm(moved - by_scores, axis=0) / np.linalg.norm(moved, axis=0)
    assert apart[:2].max() < 10 * step**2 + 1e-6
    assert apart[2] < within
    by_place, _ = _slopes(result, "calibration", step)
    jackknife = CLUSTERS / (CLUSTERS - 1) * by_place.T @ by_place
    brought = result.fit.second.matrix
    assert brought[0].tolist() == [0, 0, 0]
    assert brought[1, 1] == pytest.approx(jackknife[1, 1], rel=10 * step**2 + 1e-6)
    assert np.sqrt(brought[2, 2]) == pytest.approx(np.sqrt(jackknife[2, 2]), rel=within)
    scale = np.sqrt(brought[1, 1] * brought[2, 2])
    assert brought[1, 2] / scale == pytest.approx(jackknife[1, 2] / scale, abs=max(within, 1e-6))


@pytest.fixture(scope="module")
def result() -> Corrected:
    return _corrected(733, 317)


def test_values_are_those_of_the_formulas(result: Corrected) -> None:
    fix, trial = result.corrector, _places(733, 2)
    y, aid = trial["map"].to_numpy(), trial["aid"] == 1
    score = fix.score_for(y)
    corrections = (
        y,
        (y - fix.m) / fix.k,
        fix.a + fix.b * y - (fix.noise.at(y) * score.at(y) + fix.noise.slope(y)) / fix.b,
    )
    by_hand = [one[aid].mean() - one[~aid].mean() for one in corrections]
    np.testing.assert_allclose(result.estimate, by_hand, rtol=1e-12)
    assert result.terms == ("naive", "lcc", "tweedie")
    assert result.diagnostics["density_of"] == "these predictions, arms together"
    assert result.diagnostics["k"] == fix.k


def test_the_error_of_lcc_is_that_of_a_ratio(result: Corrected) -> None:
    naive, k = result.estimate[0], result.corrector.k
    by_hand = np.hypot(result.std_error[0] / k, naive * result.corrector.std_errors["k"] / k**2)
    assert result.std_error[1] == pytest.approx(by_hand, rel=1e-12)
    table = result.table().set_index("term")
    assert table.loc["lcc", "se_trial"] == pytest.approx(result.std_error[0] / k, rel=1e-12)
    assert table.loc["naive", "se_calibration"] == 0
    assert table.loc["lcc", "times_naive"] == pytest.approx(1 / k)
    assert table["believed"].tolist() == [False, False, True]


def test_fieller_holds_the_ratios_that_are_not_rejected(result: Corrected) -> None:
    low, high = result.fieller()
    naive, error = result.estimate[0], result.std_error[0]
    k, of_k, df = result.corrector.k, result.corrector.std_errors["k"], result.fit.variance.df
    for ratio in (low, high):
        statistic = abs(naive - ratio * k) / np.hypot(error, ratio * of_k)
        assert 2 * stats.t.sf(statistic, df) == pytest.approx(0.05, rel=1e-9)
    assert low < result.estimate[1] < high
    delta = result.ci()[1]
    # k is known well here, so that the delta method is nearly the same
    assert (low, high) == pytest.approx(tuple(delta), rel=0.02)


def test_fieller_has_no_ends_where_k_may_be_zero(result: Corrected) -> None:
    with pytest.raises(DebiasError, match=r"k is 0.5\d+ with a standard error[\s\S]*more places"):
        result.fieller(level=1 - 1e-16)


@pytest.mark.parametrize(
    ("gap", "level", "margin"),
    # far apart one error counts, at one point both; between them Imbens and Manski's equation, solved by bisection
    [(1e6, 0.95, 1.6448536269514722), (0.0, 0.95, 1.959963984540054), (0.5, 0.95, 1.7697), (1e6, 0.4, 0.0)],
)
def test_bounds_are_those_of_imbens_and_manski(gap: float, level: float, margin: float) -> None:
    low, high = imbens_manski(np.array([gap, 0.0]), np.ones((2, 2)), df=np.inf, level=level)
    assert -low == pytest.approx(margin, abs=5e-4)
    assert high - gap == pytest.approx(-low, abs=1e-6)
    reached = stats.norm.cdf(-low + gap) - stats.norm.cdf(low)
    assert reached == pytest.approx(level, abs=1e-9) or reached >= level


def test_bounds_reach_from_naive_to_the_believed_estimate(result: Corrected) -> None:
    low, high = result.bounds()
    assert low < result.estimate[0] < result.estimate[2] < high
    rows, variance = np.ix_([0, 2], [0, 2]), result.fit.variance
    assert (low, high) == imbens_manski(
        result.estimate[[0, 2]], variance.matrix[rows], df=variance.df, level=0.95
    )
    both = result.ci()[[0, 2]]
    assert low > both.min()
    assert high < both.max()


@pytest.mark.parametrize("size", [0.0, 0.5, 1.0, 4.0])
def test_bounds_hold_both_ends_whatever_the_size_of_the_effect(size: float) -> None:
    k, draws = 0.3, 1000
    matrix = np.array([[1, 1 / k], [1 / k, 1 / k**2]])
    naive = size + stats.norm.ppf((np.arange(draws) + 0.5) / draws)
    found = np.array(
        [imbens_manski(np.array([one, one / k]), matrix, df=np.inf, level=0.95) for one in naive]
    )
    for true in (size, size / k):
        held = np.mean((found[:, 0] <= true) & (true <= found[:, 1]))
        assert 0.945 <= held <= 0.98


def test_bounds_of_no_effect_at_all_are_as_wide_on_both_sides() -> None:
    low, high = imbens_manski(np.zeros(2), np.array([[1.0, 2.0], [2.0, 4.0]]), df=np.inf, level=0.95)
    assert (low, high) == pytest.approx((-2 * 1.959964, 2 * 1.959964))


def test_another_variance_keeps_the_part_of_the_calibration(result: Corrected) -> None:
    plain = result.with_vcov("iid")
    np.testing.assert_allclose(plain.table()["se_calibration"], result.table()["se_calibration"], rtol=1e-12)
    own = plain.fit.variance.matrix - plain.fit.second.matrix
    scores = result.fit.score_values
    np.testing.assert_allclose(own, scores.T @ scores / scores.shape[0] / (scores.shape[0] - 1), rtol=1e-9)
    assert plain.with_vcov("cluster").table().equals(result.table())


def test_a_bootstrap_of_the_study_alone_names_the_one_that_draws_both(result: Corrected) -> None:
    with pytest.raises(EstimationError, match=r"calibration[\s\S]*refit_bootstrap\(\)"):
        result.with_vcov({"bootstrap": "wild", "draws": 99})


def test_results_with_one_corrector_share_its_error() -> None:
    places = _places(317, 1)
    fix = ec.debias(places, prediction="map", truth="truth", method="lcc")
    parts = [_places(600, 5).iloc[:300], _places(600, 5).iloc[300:]]
    one, other = (
        ec.ate(ec.Design(part, outcome="map", treatment="aid"), method="difference", correct=fix)
        for part in parts
    )
    joint = ec.compare(one=one.best, other=other.best)
    # no unit is in both, so that all they share is k
    shared = one.estimate[0] * other.estimate[0] / fix.k**4 * fix.std_errors["k"] ** 2
    assert joint.variance.matrix[0, 1] == pytest.approx(shared, rel=1e-9)
    # each alone has n / (n - 1) of its own units, both together of all
    assert np.sqrt(np.diag(joint.variance.matrix)) == pytest.approx(
        [one.std_error[1], other.std_error[1]], rel=1e-3
    )
    elsewhere = ec.debias(_places(317, 7), prediction="map", truth="truth", method="lcc")
    third = ec.ate(
        ec.Design(parts[1], outcome="map", treatment="aid"), method="difference", correct=elsewhere
    )
    assert ec.compare(one=one.best, other=third.best).variance.matrix[0, 1] == pytest.approx(0, abs=1e-15)


def _measured(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=1000)
    return pd.DataFrame({"truth": truth, "map": 0.7 * truth + 0.5 * rng.normal(size=1000)})


def test_the_covariance_of_two_results_is_that_of_simulated_calibrations() -> None:
    # the same two trials, many calibrations: what moves both estimates is k alone
    trials = [_places(400, 11), _places(400, 12).set_index(np.arange(400, 800))]
    naive = [one.groupby("aid")["map"].mean().diff().iloc[1] for one in trials]
    slopes = np.array(
        [np.polyfit(table["truth"], table["map"], 1)[0] for table in map(_measured, range(400))]
    )
    drawn = np.cov(naive[0] / slopes, naive[1] / slopes)[0, 1]
    fix = ec.debias(_measured(1000), prediction="map", truth="truth", method="lcc")
    made = [
        ec.ate(ec.Design(one, outcome="map", treatment="aid"), method="difference", correct=fix).best
        for one in trials
    ]
    assert ec.compare(one=made[0], other=made[1]).variance.matrix[0, 1] == pytest.approx(drawn, rel=0.3)


def test_a_result_is_written_and_read(result: Corrected) -> None:
    again = Corrected.from_dict(result.to_dict(scores=True))
    assert again == result
    assert again.bounds() == result.bounds()
    assert again.best.to_frame().equals(result.best.to_frame())
    assert "score_values" not in result.to_dict()["fit"]
    assert "sample" not in result.to_dict(scores=True)["corrector"]
    with pytest.raises(DebiasError, match=r"read from a file[\s\S]*correct=corrector"):
        again.refit_bootstrap()


def test_texts_say_what_is_believed_and_what_is_assumed(result: Corrected) -> None:
    assert repr(result).endswith("believed: tweedie)")
    lines = result.summary().splitlines()
    assert len(lines) <= 25
    assert any("between naive and tweedie, 95%" in line for line in lines)
    assert any("does not depend on treatment given the outcome" in text for text in result.assumptions)
    assert result.plot().get_title().startswith("shaded: anywhere between naive and tweedie")


def test_predictions_beyond_the_calibration_are_counted() -> None:
    places, trial = _places(317, 1), _places(733, 2)
    fix = ec.debias(places[places["map"] < 3], prediction="map", truth="truth", method="lcc")
    found = ec.ate(ec.Design(trial, outcome="map", treatment="aid"), method="difference", correct=fix)
    share = 1 - fix.density.inside(trial["map"]).mean()
    assert found.diagnostics["share_outside_support"] == pytest.approx(share)
    assert any(text.startswith(f"{share:.0%} of the predictions lie outside") for text in found.warnings)


def test_trimmed_units_are_left_out_of_the_density_too() -> None:
    trial = _places(900, 2)
    fix = ec.debias(_places(317, 1), prediction="map", truth="truth", method="tweedie", score="gaussian")
    design = ec.Design(trial, outcome="map", treatment="aid", covariates=["slope"])
    found = ec.ate(design, trim=ec.Trim("quantile", low=0.05, high=0.95), correct=fix)
    kept = trial.loc[found.fit.ids]
    assert len(kept) < 900
    pull = fix.noise.coefficients[0] / kept["map"].var(ddof=0) / fix.b
    # of a normal density the correction is a line
    assert found.estimate[2] == pytest.approx((fix.b + pull) * found.estimate[0], rel=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda design, fix: (design, "lcc", {}), r"correct is a str[\s\S]*ec.debias"),
        (lambda design, fix: (design, "fix.json", {}), r"correct is a str[\s\S]*from_json\('fix.json'\)"),
        (
            lambda design, fix: (design, fix, {"folds": ec.Folds(repeats=2)}),
            "repeated folds are not corrected",
        ),
    ],
)
def test_what_cannot_be_corrected_is_refused(change: Any, words: str) -> None:
    fix = ec.debias(_places(317, 1), prediction="map", truth="truth", method="lcc")
    design = ec.Design(_places(300, 2), outcome="map", treatment="aid", covariates=["slope"])
    design, correct, more = change(design, fix)
    with pytest.raises(EstimationError, match=words):
        ec.ate(design, correct=correct, **more)


@pytest.mark.parametrize("level", [0.0, 1.0, 95, "95%", None])
def test_levels_are_shares(result: Corrected, level: Any) -> None:
    for ask in (result.bounds, result.fieller):
        with pytest.raises(DebiasError, match="is not a confidence level"):
            ask(level)


def test_fieller_is_that_of_the_published_formula(result: Corrected) -> None:
    # mecor's form: f0 = z^2 Var(d) - d^2, f1 = -d k, f2 = z^2 Var(k) - k^2
    d, k, z = result.estimate[0], result.corrector.k, stats.t.ppf(0.975, result.fit.variance.df)
    f0 = z**2 * result.std_error[0] ** 2 - d**2
    f1, f2 = -d * k, z**2 * result.corrector.std_errors["k"] ** 2 - k**2
    half = np.sqrt(f1**2 - f0 * f2)
    assert result.fieller() == pytest.approx(sorted([(f1 - half) / f2, (f1 + half) / f2]), rel=1e-9)


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("ipw", {"learners": ec.Learners(propensity="logit")}),
        ("entropy_balancing", {"estimand": "att"}),
        ("partially_linear", {}),
    ],
)
def test_every_method_that_is_linear_in_the_outcome_is_corrected(method: str, more: dict[str, Any]) -> None:
    trial, places = _places(733, 2), _places(317, 1)
    fix = ec.debias(places, prediction="map", truth="truth", method="tweedie")
    design = ec.Design(trial, outcome="map", treatment="aid", covariates=["slope"])
    found = ec.ate(design, method=method, correct=fix, **more)
    y = trial["map"].to_numpy()
    columns = {"plain": y, "tweedie": fix.correct(y, method="tweedie", score=fix.score_for(y))}
    apart = [
        ec.ate(ec.Design(trial.assign(map=one), outcome="map", treatment="aid", covariates=["slope"]),
               method=method, **more).estimate
        for one in columns.values()
    ]  # fmt: skip
    assert found.estimate == pytest.approx([apart[0], apart[0] / fix.k, apart[1]], rel=1e-10)
    assert (found.table()["se_calibration"].to_numpy()[1:] > 0).all()


def test_effects_of_a_dose_are_corrected_too() -> None:
    trial = _places(733, 2).assign(dose=np.random.default_rng(3).normal(size=733))
    trial["dose"] += trial["aid"]
    design = ec.Design(
        trial, outcome="map", treatment="dose", treatment_type="continuous", covariates=["slope"]
    )
    fix = ec.debias(_places(317, 1), prediction="map", truth="truth", method="tweedie", score="gaussian")
    found = ec.ate(design, method="partially_linear", correct=fix)
    pull = fix.noise.coefficients[0] / trial["map"].var(ddof=0) / fix.b
    assert found.estimate == pytest.approx(
        found.estimate[0] * np.array([1, 1 / fix.k, fix.b + pull]), rel=1e-6
    )


def test_several_arms_are_asked_for_one_by_one() -> None:
    trial = _places(300, 2).assign(kind=np.tile(["none", "roads", "wells"], 100))
    design = ec.Design(trial, outcome="map", treatment="kind", treatment_type="categorical", control="none")
    fix = ec.debias(_places(317, 1), prediction="map", truth="truth", method="lcc")
    with pytest.raises(EstimationError, match=r"several arms[\s\S]*design.pair"):
        ec.ate(design, method="difference", correct=fix)
    found = ec.ate(design.pair("wells"), method="difference", correct=fix)
    assert found.estimate[1] == pytest.approx(found.estimate[0] / fix.k)
    assert found.refit_bootstrap(draws=50).failed == 0
