"""Scores of densities: closed forms, exact sums, invariances, and the error of their parameters."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from eocausal.debiasing.density_score import KINDS, DensityScore, fit_density_score
from eocausal.errors import DebiasError

WEIGHTS, MEANS, SDS = (
    np.array([0.64, 0.16, 0.16, 0.04]),
    np.array([5, 7.2, 13, 14.2]),
    np.array([1, 2, 4, 5.0]),
)


def mixture(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    part = rng.choice(4, n, p=WEIGHTS)
    return rng.normal(MEANS[part], SDS[part])


def mixture_score(places: np.ndarray) -> np.ndarray:
    parts = WEIGHTS * stats.norm.pdf(places[:, None], MEANS, SDS)
    return (-(places[:, None] - MEANS) / SDS**2 * parts).sum(axis=1) / parts.sum(axis=1)


def exact_kernel(sample: np.ndarray, places: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Return score and slope of a kernel density by sums over all pairs."""
    away = (places[:, None] - sample) / width
    kernel = np.exp(-0.5 * away**2)
    total = kernel.sum(axis=1)
    score = -(away * kernel).sum(axis=1) / width / total
    return score, ((away**2 - 1) * kernel).sum(axis=1) / width**2 / total - score**2


def test_gaussian_score_is_the_line_of_the_closed_form() -> None:
    sample = np.random.default_rng(1).normal(40, 7, size=500)
    score = fit_density_score(sample, kind="gaussian")
    places = np.array([-1000.0, 33.0, 47.0, 1000.0])
    assert np.allclose(score.at(places), -(places - sample.mean()) / sample.var(), rtol=1e-10)
    assert np.allclose(score.slope(places), -1 / sample.var(), rtol=1e-10)
    assert score.df is None
    assert (score.low, score.high) == (sample.min(), sample.max())


@pytest.mark.parametrize("bandwidth", ["silverman", "scott", 0.2])
def test_kernel_score_is_that_of_sums_over_all_pairs(bandwidth: str | float) -> None:
    sample = np.random.default_rng(2).normal(size=5000)
    score = fit_density_score(sample, kind="kde", bandwidth=bandwidth)
    places = np.sort(sample[score.inside(sample)])
    value, slope = exact_kernel(sample, places, score.bandwidth)
    assert np.abs(score.at(places) - value).max() < 1e-4
    assert np.abs(score.slope(places) - slope).max() < 1e-3


def test_kernel_bandwidths_are_those_of_the_rules() -> None:
    sample = np.random.default_rng(3).normal(size=3000)
    scott = fit_density_score(sample, kind="kde", bandwidth="scott")
    assert scott.bandwidth == pytest.approx(sample.std() * 3000**-0.2, rel=1e-9)
    robust = np.subtract(*np.quantile(sample, [0.75, 0.25])) / 1.34
    silverman = fit_density_score(sample, kind="kde")
    assert silverman.bandwidth == pytest.approx(0.9 * min(sample.std(), robust) * 3000**-0.2, rel=2e-3)


def test_kernel_bandwidth_follows_the_quartiles_where_they_are_closer() -> None:
    sample = mixture(4000)
    robust = np.subtract(*np.quantile(sample, [0.75, 0.25])) / 1.34
    assert robust < 0.8 * sample.std()
    score = fit_density_score(sample, kind="kde")
    assert score.bandwidth == pytest.approx(0.9 * robust * 4000**-0.2, rel=1e-2)


@pytest.mark.parametrize("kind", ["lindsey", "kde"])
def test_scores_of_a_mixture_near_the_true_one(kind: str) -> None:
    sample = mixture(200_000)
    score = fit_density_score(sample, kind=kind)
    middle = sample[(sample > np.quantile(sample, 0.02)) & (sample < np.quantile(sample, 0.98))][:20_000]
    error = score.at(middle) - mixture_score(middle)
    # 0.508 is the mean square of the true score (quadrature)
    assert np.sqrt(np.mean(error**2)) < (0.1 if kind == "lindsey" else 0.06)
    assert abs(np.mean(score.at(sample) ** 2) - 0.508086) < (0.01 if kind == "lindsey" else 0.03)


@pytest.mark.parametrize("kind", ["lindsey", "kde"])
def test_slope_is_the_derivative_of_the_score(kind: str) -> None:
    sample = mixture(5000)
    score = fit_density_score(sample, kind=kind)
    places = np.linspace(score.low, score.high, 501)[1:-1]
    step = 1e-6
    by_difference = (score.at(places + step) - score.at(places - step)) / (2 * step)
    assert np.allclose(score.slope(places), by_difference, atol=1e-5)


@pytest.mark.parametrize("kind", ["lindsey", "kde"])
def test_scores_are_constant_beyond_what_was_seen(kind: str) -> None:
    sample = np.random.default_rng(4).normal(size=10_000)
    score = fit_density_score(sample, kind=kind)
    far = np.array([-1e6, -20.0, 20.0, 1e6])
    ends = score.at([score.low, score.high])
    assert score.at(far).tolist() == [ends[0], ends[0], ends[1], ends[1]]
    assert score.slope(far).tolist() == [0.0] * 4
    assert score.inside(far).tolist() == [False] * 4
    # a sum over pairs has a score of -40 at one sd beyond the largest
    assert np.abs(ends).max() < 8


def test_missing_places_have_missing_scores() -> None:
    for kind in KINDS:
        score = fit_density_score(mixture(500), kind=kind)
        assert np.isnan(score.at([np.nan, 5.0])).tolist() == [True, False]
        assert np.isnan(score.slope([np.nan, 5.0])).tolist() == [True, False]


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.floats(-50, 50),
    st.floats(0.01, 100).flatmap(lambda size: st.sampled_from([size, -size])),
)
def test_scores_follow_scale_and_place_of_predictions(kind: str, shift: float, scale: float) -> None:
    sample = mixture(1000)
    plain = fit_density_score(sample, kind=kind)
    moved = fit_density_score(shift + scale * sample, kind=kind)
    places = np.linspace(2, 20, 50)
    assert moved.kind == plain.kind
    assert np.allclose(moved.at(shift + scale * places) * scale, plain.at(places), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_do_not_know_the_order_of_rows(kind: str) -> None:
    sample = mixture(3000)
    weights = np.random.default_rng(5).uniform(0.5, 2, size=3000)
    order = np.random.default_rng(6).permutation(3000)
    places = np.linspace(0, 25, 40)
    for given_weights in (None, weights):
        first = fit_density_score(sample, kind=kind, weights=given_weights)
        again = fit_density_score(
            sample[order], kind=kind, weights=None if given_weights is None else given_weights[order]
        )
        assert np.allclose(first.at(places), again.at(places), rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_rows_twice_with_half_their_weight_change_nothing(kind: str, weighted: bool) -> None:
    sample = mixture(1500)
    weights = np.random.default_rng(7).uniform(0.5, 2, size=1500) if weighted else np.ones(1500)
    once = fit_density_score(sample, kind=kind, weights=weights if weighted else None)
    twice = fit_density_score(np.repeat(sample, 2), kind=kind, weights=np.repeat(weights / 2, 2))
    places = np.linspace(0, 25, 40)
    assert twice.n_effective == pytest.approx(once.n_effective)
    assert (once.df, once.misfit) == (twice.df, pytest.approx(twice.misfit) if once.df else None)
    assert np.allclose(once.at(places), twice.at(places), rtol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_weights_are_none(kind: str) -> None:
    sample = mixture(1500)
    places = np.linspace(0, 25, 40)
    none, equal = (fit_density_score(sample, kind=kind, weights=w) for w in (None, np.full(1500, 7.5)))
    assert np.allclose(none.at(places), equal.at(places), rtol=1e-9)


def test_rows_of_weight_zero_are_not_there() -> None:
    sample = mixture(1500)
    padded = np.concatenate([sample, [-300.0, 500.0]])
    weights = np.concatenate([np.ones(1500), [0.0, 0.0]])
    for kind in KINDS:
        without, beside = (
            fit_density_score(sample, kind=kind),
            fit_density_score(padded, kind=kind, weights=weights),
        )
        assert (beside.n, beside.low, beside.high) == (1500, without.low, without.high)
        assert np.allclose(beside.at(sample), without.at(sample), rtol=1e-9)


def test_a_weight_of_two_is_a_row_twice_where_smoothness_is_given() -> None:
    sample = mixture(1500)
    times = np.random.default_rng(8).integers(1, 4, size=1500)
    places = np.linspace(0, 25, 40)
    for how in ({"kind": "lindsey", "df": 7}, {"kind": "kde", "bandwidth": 0.5}, {"kind": "gaussian"}):
        weighted = fit_density_score(sample, weights=times.astype(float), **how)
        repeated = fit_density_score(np.repeat(sample, times), **how)
        seen = weighted.inside(places) & repeated.inside(places)
        assert seen.sum() > 20
        assert np.allclose(weighted.at(places)[seen], repeated.at(places)[seen], rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize(
    "how",
    [
        {"kind": "gaussian"},
        {"kind": "lindsey", "df": 7},
        {"kind": "kde", "bandwidth": 0.25},
        {"kind": "kde", "bandwidth": "scott"},
        {"kind": "kde"},
    ],
)
def test_influence_is_what_a_row_moves_the_whole_fit_by(how: dict[str, object]) -> None:
    """The fit again with one row's weight a little higher, against columns times influence values."""
    rng = np.random.default_rng(9)
    # light tails, so that the standard deviation and not the quartiles rules Silverman's bandwidth
    sample = rng.beta(3, 4, size=1200) * 10
    # what uneven weights are worth moves with a weight too; bandwidths hold that as given
    ruled = how["kind"] == "kde" and how.get("bandwidth") != 0.25
    weights = np.ones(1200) if ruled else rng.uniform(0.5, 1.5, size=1200)
    fitted = fit_density_score(sample, weights=weights, **how)
    places = np.linspace(1.5, 7.5, 13)
    predicted = fitted.columns(places) @ fitted.influence(sample, weights).T
    share = weights / weights.sum()
    assert np.abs(predicted @ share).max() < 1e-3 * np.abs(predicted).max()
    step = 1e-5
    rows = np.argsort(sample)[[30, 200, 500, 800, 1100, 1180]]
    for row in rows:
        moved = []
        for sign in (1, -1):
            changed = weights.copy()
            changed[row] += sign * step * weights.sum()
            moved.append(fit_density_score(sample, weights=changed, **how).at(places))
        by_refit = (moved[0] - moved[1]) / (2 * step)
        scale = np.abs(by_refit).max()
        assert np.abs(predicted[:, row] - by_refit).max() < TOLERANCE[how["kind"]] * scale


# of the largest effect on the score: knots of splines move with the rows, which influence values do not follow, and
# with kernels rows are brought to places two a bandwidth
TOLERANCE = {"gaussian": 1e-4, "lindsey": 0.2, "kde": 0.08}


def test_influence_of_a_spline_is_exact_where_its_knots_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = mixture(1200)
    knots = fit_density_score(sample, df=7).density.knots
    monkeypatch.setattr("eocausal.debiasing.lindsey_score._knots", lambda counts, ends, df: knots)
    fitted = fit_density_score(sample, df=7)
    places = np.linspace(3, 20, 18)
    predicted = fitted.columns(places) @ fitted.influence(sample).T
    for row in np.argsort(sample)[[0, 30, 500, 1000, 1199]]:
        moved = []
        for sign in (1, -1):
            changed = np.ones(1200)
            changed[row] += sign * 0.01
            moved.append(fit_density_score(sample, weights=changed, df=7).at(places))
        by_refit = (moved[0] - moved[1]) / 0.02 * 1200
        assert np.abs(predicted[:, row] - by_refit).max() < 2e-3 * np.abs(by_refit).max()


def test_influence_of_a_spline_gives_the_spread_over_samples() -> None:
    """Standard errors of the score from one sample against the spread of the score over 300 samples."""
    places = np.array([3.5, 5.0, 6.5, 9.0, 14.0])
    drawn = np.array([fit_density_score(mixture(2000, seed), df=7).at(places) for seed in range(300)])
    fitted = fit_density_score(mixture(2000, 1000), df=7)
    effects = fitted.columns(places) @ fitted.influence(mixture(2000, 1000)).T
    errors = effects.std(axis=1) / np.sqrt(2000)
    assert np.all(np.abs(errors / drawn.std(axis=0) - 1) < 0.35)


def test_what_a_score_keeps_of_the_correction() -> None:
    """All for the true score; kernels of variance h^2 keep 1 / (1 + h^2 / v)."""
    sample = np.random.default_rng(16).normal(3, 2, size=200_000)
    for kind, kept in (("gaussian", 1.0), ("lindsey", 1.0)):
        assert fit_density_score(sample, kind=kind).kept == pytest.approx(kept, abs=0.003)
    for width in (0.5, 1.0):
        score = fit_density_score(sample, kind="kde", bandwidth=width)
        # what a tail of constant score takes is the rest
        assert score.kept == pytest.approx(1 / (1 + width**2 / sample.var()), abs=0.01)
        by_rows = -np.mean(score.at(sample) * (sample - sample.mean()))
        assert score.kept == pytest.approx(by_rows, abs=1e-4)
        told = [f"has {score.kept:.0%} of its size; score='lindsey'" in text for text in score.warnings]
        assert told == ([] if width == 0.5 else [True])
    even = fit_density_score(np.random.default_rng(17).uniform(size=5000))
    assert "or stops at a bound" in even.warnings[-1]


@pytest.mark.parametrize("n", [200, 500, 2000])
def test_small_samples_keep_the_correction(n: int) -> None:
    """Empty bins beyond the rows: without them 0.85 is kept of 200 normal rows, and 0.65 of a gamma density."""
    for draw, least in (("normal", 0.94), ("gamma", 0.94), ("beta", 0.96)):
        how = {"normal": (0, 1), "gamma": (2,), "beta": (3, 7)}[draw]
        kept = [
            fit_density_score(getattr(np.random.default_rng(seed), draw)(*how, size=n)).kept
            for seed in range(20)
        ]
        assert least < np.mean(kept) < 1.04


@pytest.mark.parametrize("kind", KINDS)
def test_a_score_survives_json(kind: str) -> None:
    sample = mixture(800)
    score = fit_density_score(sample, kind=kind)
    text = json.dumps(score.to_dict(), allow_nan=False)
    again = DensityScore.from_dict(json.loads(text))
    places = np.linspace(-5, 40, 99)
    assert np.array_equal(score.at(places), again.at(places))
    assert np.array_equal(score.columns(places), again.columns(places))
    assert np.array_equal(score.influence(sample), again.influence(sample))
    assert (repr(again), again.warnings) == (repr(score), score.warnings)
    assert len(text) < 120_000


def test_floats_of_half_the_size_are_read_as_they_are() -> None:
    sample = mixture(4000).astype(np.float32)
    single, double = fit_density_score(sample), fit_density_score(sample.astype(float))
    assert np.array_equal(single.at(sample), double.at(sample.astype(float)))


def test_the_table_is_the_score() -> None:
    for kind in KINDS:
        score = fit_density_score(mixture(800), kind=kind)
        grid, values = score.table
        assert (grid[0], grid[-1]) == (score.low, score.high)
        assert np.allclose(score.at(grid), values, rtol=1e-12, atol=1e-12)


def test_more_degrees_of_freedom_where_seven_miss_the_counts() -> None:
    combed = np.random.default_rng(10).normal(size=40_000) * 0.15 + np.repeat(np.arange(6.0), 40_000)[::6]
    score = fit_density_score(combed)
    assert score.df == 15
    assert score.misfit > 1.5
    assert "15 degrees of freedom, the best of 7 to 15," in score.warnings[0]
    two = fit_density_score(np.concatenate([combed[:15_000], combed[-10_000:]]))
    assert 7 < two.df <= 15
    fixed = fit_density_score(combed, df=5)
    assert fixed.df == 5
    assert "A spline with 5 degrees of freedom misses" in fixed.warnings[0]


def test_weights_do_not_pass_for_misfit() -> None:
    """Sums of uneven weights vary more than counts; misfit is judged on the units that rows are worth."""
    rng = np.random.default_rng(11)
    misfits = [
        fit_density_score(rng.normal(size=4000), weights=rng.exponential(size=4000) ** 2, df=7).misfit
        for _ in range(20)
    ]
    assert 0.3 < np.mean(misfits) < 1.2


def test_few_units_get_a_straight_line() -> None:
    score = fit_density_score(mixture(150))
    assert (score.kind, score.asked) == ("gaussian", "lindsey")
    assert "150 units are too few for a spline" in score.warnings[0]


def test_far_rows_are_told_and_do_not_rule_the_cells() -> None:
    sample = np.random.default_rng(12).normal(size=5000)
    places = np.linspace(-2, 2, 9)
    for kind in ("lindsey", "kde"):
        alone = fit_density_score(sample, kind=kind)
        beside = fit_density_score(np.concatenate([sample, [-9999.0]]), kind=kind)
        assert "lie far beyond most others" in beside.warnings[0]
        assert beside.low > -5
        assert np.allclose(alone.at(places), beside.at(places), atol=0.2)


@pytest.mark.parametrize("kind", ["lindsey", "kde"])
def test_densities_that_stop_at_a_bound_are_told(kind: str) -> None:
    waits = np.random.default_rng(13).exponential(size=5000)
    told = fit_density_score(waits, kind=kind).warnings
    assert any("high at its lower end" in text for text in told)
    assert not any("upper end" in text for text in told)
    assert fit_density_score(mixture(5000), kind=kind).warnings == ()


def test_rounded_predictions_are_counted_by_their_steps() -> None:
    exact = np.random.default_rng(14).normal(50, 12, size=20_000)
    places = np.linspace(20, 80, 31)
    fine = fit_density_score(exact)
    for rounded in (exact.round(), exact.round().astype(int), exact.round().astype(np.float32)):
        score = fit_density_score(rounded)
        assert "rounded: " in score.warnings[0]
        assert "in steps of 1." in score.warnings[0]
        assert score.df == 7
        # rounding adds a twelfth to the variance of 144
        assert np.abs(score.at(places) - fine.at(places)).max() < 0.004
    tenths = fit_density_score((exact / 10).round(1))
    assert np.abs(tenths.at(places / 10) / 10 - fine.at(places)).max() < 0.004


@pytest.mark.parametrize("seed", range(4))
def test_few_rounded_predictions_have_the_score_of_those_behind_them(seed: int) -> None:
    exact = np.random.default_rng(seed).normal(50, 12, size=300)
    rounded, plain = (fit_density_score(one) for one in (exact.round(), exact))
    assert any("rounded" in text for text in rounded.warnings)
    assert rounded.df == plain.df == 7
    places = np.linspace(32, 68, 31)
    assert 12 * np.abs(rounded.at(places) - plain.at(places)).mean() < 0.1


def test_a_small_spike_is_told() -> None:
    sample = np.concatenate([mixture(5000), np.full(200, 7.0)])
    assert "3.8% of the predictions are 7: a spike" in fit_density_score(sample).warnings[0]


ROWS = np.random.default_rng(15).normal(size=400)


@pytest.mark.parametrize(
    ("values", "how", "match"),
    [
        (np.full(50, 3.0), {}, "All 50 predictions are 3"),
        (np.append(ROWS, [np.nan, np.inf]), {}, "2 of 402 predictions are missing or infinite"),
        (ROWS[:9], {"kind": "gaussian"}, "There are 9 predictions"),
        (ROWS.reshape(2, 200), {}, "one row of numbers"),
        (ROWS.astype(str), {}, "one row of numbers"),
        (ROWS, {"weights": np.append(np.ones(399), -1.0)}, "1 weights are negative"),
        (ROWS, {"weights": np.ones(3)}, r"weights have shape \(3,\)"),
        (ROWS, {"weights": np.zeros(400)}, "All weights are 0"),
        (ROWS, {"kind": "lindsay"}, "Did you mean 'lindsey'"),
        (ROWS, {"df": 16}, "from 2 to 15"),
        (ROWS, {"df": 1}, "from 2 to 15"),
        (ROWS, {"bins": 5}, "at least 30"),
        (ROWS, {"bins": 5000}, "at most 1000"),
        (ROWS, {"kind": "kde", "bandwidth": "isj"}, "bandwidth='isj' is not known"),
        (ROWS, {"kind": "kde", "bandwidth": -1.0}, "above 0"),
        (ROWS, {"kind": "kde", "bandwidth": 1e-6}, "too small"),
        (np.append(ROWS[:190], np.repeat(ROWS[:15], 14)), {"kind": "kde", "bandwidth": 1e-5}, "too small"),
    ],
)
def test_what_has_no_score_is_refused(values: np.ndarray, how: dict[str, object], match: str) -> None:
    with pytest.raises(DebiasError, match=match):
        fit_density_score(values, **how)


@pytest.mark.parametrize(
    ("values", "how", "match"),
    [
        (np.append(ROWS, np.zeros(100)), {}, "20.0% of the predictions are 0: their density has a spike"),
        (np.append(ROWS, np.zeros(100)), {"kind": "kde"}, "no score"),
        (np.append(ROWS.round(1), np.zeros(300)), {}, "a spike there"),
        (np.repeat(np.arange(10.0), 50), {}, "take 10 values only"),
        (np.exp(2.5 * np.random.default_rng(18).normal(size=5000)), {}, "No spline follows the density"),
        (np.append(ROWS, ROWS + 1000), {}, "No spline follows the density"),
        (np.append(ROWS, ROWS + 1000), {"df": 7}, "No spline follows the density"),
        (np.append(ROWS[:180], np.full(10, -99999.0)), {"kind": "kde"}, "No kernel follows the density"),
        (np.exp(2.0 * np.random.default_rng(20000).normal(size=20000)), {}, "No spline follows the density"),
        (
            np.exp(2.0 * np.random.default_rng(2).normal(size=1000)),
            {"kind": "kde"},
            "No kernel follows the density",
        ),
    ],
)
def test_what_no_density_follows_gets_a_straight_line(
    values: np.ndarray, how: dict[str, object], match: str
) -> None:
    score = fit_density_score(values, **how)
    assert match in score.warnings[0]
    assert "Tweedie's correction is a straight line" in score.warnings[0]
    assert (score.kind, score.asked, score.kept) == ("gaussian", how.get("kind", "lindsey"), 1.0)
    assert np.allclose(score.at(values), -(values - values.mean()) / values.var(), rtol=1e-6, atol=1e-9)


def test_repeated_rows_of_a_bootstrap_are_no_spike() -> None:
    sample = mixture(400)
    for seed in range(20):
        drawn = np.random.default_rng(seed).choice(sample, size=400)
        assert not any("spike" in text for text in fit_density_score(drawn, df=7).warnings)


@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_that_of_the_answer(kind: str) -> None:
    sample = mixture(300_000)
    fit_density_score(sample[:1000], kind=kind).at(sample[:1000])
    tracemalloc.start()
    fit_density_score(sample, kind=kind).at(sample)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * sample.nbytes


@pytest.mark.parametrize("n", [10, 11, 20])
@pytest.mark.parametrize("uneven", [False, True])
def test_kernels_over_few_units_know_where_predictions_were_seen(n: int, uneven: bool) -> None:
    rng = np.random.default_rng(n)
    sample = rng.normal(size=n)
    score = fit_density_score(sample, kind="kde", weights=10 ** rng.uniform(0, 4, size=n) if uneven else None)
    assert score.low < score.high
    assert np.isfinite(score.at(np.linspace(-9, 9, 50))).all()
    assert score.inside(score.table[0]).all()
