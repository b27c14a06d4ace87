"""What bounds the bias by omitted confounders, against other packages, closed forms and an omitted variable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from eocausal.inference import scores
from eocausal.sensitivities.long_short import LongShort, gain, of_arms, of_residuals, strength, times_needed
from eocausal.sensitivities.strengths import robustness_value

FloatArray = npt.NDArray[np.float64]


def small() -> dict[str, FloatArray]:
    """Sixty units without anything random, so that other packages can be given the same."""
    i = np.arange(60.0)
    propensity = 0.25 + 0.5 * np.sin(i) ** 2
    treatment = ((7 * i) % 10 < 10 * propensity).astype(float)
    control = np.cos(i)
    treated = control + 1 + 0.5 * np.sin(2 * i)
    outcome = np.where(treatment == 1, treated, control) + np.sin(3.7 * i) + 0.8 * treatment * np.cos(5.1 * i)
    return {
        "outcome": outcome,
        "treatment": treatment,
        "propensity": propensity,
        "outcome_control": control,
        "outcome_treated": treated,
    }


def arms(estimand: str, weights: FloatArray | None = None, **changed: FloatArray) -> LongShort:
    data = {**small(), **changed}
    ones = np.ones(len(data["outcome"]))
    return of_arms(**data, estimand=estimand, weights=ones if weights is None else weights)


# DoubleML 0.11.4 (IRM with scores ATE and ATTE, PLR) with these predictions as external ones, cf_y 0.1, cf_d 0.2,
# rho 0.8: it takes standard errors without a factor, and quantiles of the normal distribution
RECORDED = {
    "ate": {
        "estimate": 0.9000284794683958, "sigma2": 0.7564591274695622, "nu2": 4.492193102830209,
        "lower": 0.6668535073983479, "upper": 1.1332034515384437, "of_lower": 0.2606599911399971,
        "of_upper": 0.2600338456380111, "rv": 0.4518508864197889,
    },
    "att": {
        "estimate": 0.8448768573696586, "sigma2": 0.7564591274695622, "nu2": 5.464750307917838,
        "lower": 0.5876964459922273, "upper": 1.1020572687470898, "of_lower": 0.23513355460818944,
        "of_upper": 0.22149209737049896, "rv": 0.4017572624493483,
    },
    "ato": {
        "estimate": 0.8912367844814677, "sigma2": 0.7561093976254227, "nu2": 4.41153024372737,
        "lower": 0.6602181886865478, "upper": 1.1222553802763877, "of_lower": 0.24760981204640728,
        "of_upper": 0.24468994101961197, "rv": 0.4516827883532769,
    },
}  # fmt: skip


@pytest.mark.parametrize("estimand", RECORDED)
def test_estimates_and_bounds_are_those_of_another_package(estimand: str) -> None:
    found, known = arms(estimand), RECORDED[estimand]
    c = strength(0.1, 0.2, 0.8)
    assert found.estimate == pytest.approx(known["estimate"], abs=1e-12)
    assert found.sigma2 == pytest.approx(known["sigma2"], abs=1e-12)
    assert found.nu2 == pytest.approx(known["nu2"], abs=1e-11)
    assert found.estimate - c * found.scale == pytest.approx(known["lower"], abs=1e-11)
    assert found.estimate + c * found.scale == pytest.approx(known["upper"], abs=1e-11)
    # by minimisation there, to about its tolerance
    assert robustness_value(found.estimate / found.scale / 0.8) == pytest.approx(known["rv"], abs=1e-5)


def influence(estimand: str, part: str) -> FloatArray:
    """Return influence values by moving the weight of one unit after another."""
    step, n = 1e-6, 60
    now = getattr(arms(estimand), part)
    found = []
    for row in range(n):
        weights = np.ones(n)
        weights[row] += step
        found.append((getattr(arms(estimand, weights), part) - now) / step * n)
    return np.array(found)


@pytest.mark.parametrize("estimand", ["ate", "att", "atc", "ato"])
def test_influence_values_are_what_a_unit_of_more_weight_does(estimand: str) -> None:
    found = arms(estimand)
    assert found.sigma2_scores == pytest.approx(influence(estimand, "sigma2"), abs=1e-5)
    assert found.nu2_scores == pytest.approx(influence(estimand, "nu2"), abs=1e-4)
    assert found.scale_scores == pytest.approx(influence(estimand, "scale"), abs=1e-4)


@pytest.mark.parametrize("estimand", ["ate", "ato"])
def test_errors_of_bounds_are_those_of_the_package_with_its_two_ends_exchanged(estimand: str) -> None:
    # there influence values of the estimate have the other sign than those of the scale, so that each end gets the
    # error of the other; the test above says which sign is right
    known, found, c = RECORDED[estimand], arms(estimand), strength(0.1, 0.2, 0.8)
    moved = influence(estimand, "estimate")
    errors = [np.sqrt(np.mean((moved + sign * c * found.scale_scores) ** 2) / moved.size) for sign in (-1, 1)]
    assert errors == pytest.approx([known["of_upper"], known["of_lower"]], abs=1e-6)


def test_of_the_treated_the_error_of_their_share_is_in_the_error() -> None:
    data, found, known = small(), arms("att"), RECORDED["att"]
    moved, c = influence("att", "estimate"), strength(0.1, 0.2, 0.8)
    # without it the errors are those of the package
    share = data["treatment"].mean()
    without = found.nu2_scores + 2 * found.nu2 * (data["treatment"] - share) / share
    scale = (found.sigma2 * without + found.nu2 * found.sigma2_scores) / (2 * found.scale)
    assert np.sqrt(np.mean((moved - c * scale) ** 2) / 60) == pytest.approx(known["of_upper"], abs=1e-6)
    assert np.sqrt(np.mean((moved + c * scale) ** 2) / 60) == pytest.approx(known["of_lower"], abs=1e-6)


def test_atc_is_att_with_the_arms_exchanged() -> None:
    data = small()
    mirrored = of_arms(
        data["outcome"],
        1 - data["treatment"],
        estimand="att",
        propensity=1 - data["propensity"],
        outcome_control=data["outcome_treated"],
        outcome_treated=data["outcome_control"],
        weights=np.ones(60),
    )
    found = arms("atc")
    assert (found.sigma2, found.nu2) == pytest.approx((mirrored.sigma2, mirrored.nu2))
    assert found.estimate == pytest.approx(-mirrored.estimate)


def test_with_a_known_propensity_of_one_half_nu2_is_four() -> None:
    # E[1 / (e (1 - e))], whatever the draw of treatments
    assert arms("ate", propensity=np.full(60, 0.5)).nu2 == pytest.approx(4.0)


@pytest.mark.parametrize("estimand", ["ate", "att", "ato"])
def test_weights_of_two_are_units_twice(estimand: str) -> None:
    weights = 1.0 + (np.arange(60) % 3 == 0)
    twice = np.repeat(np.arange(60), weights.astype(int))
    repeated = {name: values[twice] for name, values in small().items()}
    heavy, many = arms(estimand, weights), arms(estimand, None, **repeated)
    for part in ("estimate", "sigma2", "nu2"):
        assert getattr(heavy, part) == pytest.approx(getattr(many, part), rel=1e-12)


@given(st.floats(0.01, 100), st.floats(-50, 50), st.sampled_from(["ate", "att", "atc", "ato"]))
def test_the_scale_moves_with_the_units_of_the_outcome_alone(
    times: float, shift: float, estimand: str
) -> None:
    changed = {
        name: times * small()[name] + shift for name in ("outcome", "outcome_control", "outcome_treated")
    }
    found, plain = arms(estimand, None, **changed), arms(estimand)
    assert found.scale == pytest.approx(times * plain.scale, rel=1e-8)
    assert found.estimate == pytest.approx(times * plain.estimate, rel=1e-6, abs=1e-8)


def test_where_the_debiased_square_is_not_positive_the_plain_one_is_taken() -> None:
    extreme = np.where(small()["treatment"] == 1, 0.001, 0.5)
    found = arms("ate", propensity=extreme)
    representer = small()["treatment"] / 0.001 - (1 - small()["treatment"]) / 0.5
    assert found.plain
    assert found.nu2 == pytest.approx(np.mean(representer**2))


# ---- the Darfur study (Hazlett 2019), residuals of least squares in the sample


@pytest.fixture(scope="module")
def darfur(shared: Path) -> tuple[LongShort, FloatArray]:
    data = pd.read_csv(shared / "data/darfur/darfur.csv")
    names = ["age", "farmer_dar", "herder_dar", "pastvoted", "hhsize_darfur", "female"]
    villages = pd.get_dummies(data["village"], drop_first=True, dtype=float)
    columns = np.column_stack([np.ones(len(data)), data[names], villages])
    basis = np.linalg.svd(columns, full_matrices=False)
    basis = basis[0][:, basis[1] > 1e-9 * basis[1][0]]
    fitted = {name: basis @ (basis.T @ data[name].to_numpy()) for name in ("peacefactor", "directlyharmed")}
    outcome, treatment = data["peacefactor"].to_numpy(), data["directlyharmed"].to_numpy(dtype=float)
    ones = np.ones(len(data))
    found = of_residuals(
        outcome,
        treatment,
        outcome_mean=fitted["peacefactor"],
        treatment_mean=fitted["directlyharmed"],
        weights=ones,
    )
    scored = scores.partially_linear(
        outcome - fitted["peacefactor"], treatment - fitted["directlyharmed"], ones
    )
    return found, scored.scores


def test_darfur_has_the_printed_bounds(darfur: tuple[LongShort, FloatArray]) -> None:
    found, moved = darfur
    c = strength(0.124640923, 0.009164287)
    assert found.estimate == pytest.approx(0.09731582, abs=5e-9)
    assert found.estimate - c * found.scale == pytest.approx(0.07522027, abs=5e-9)
    assert found.estimate + c * found.scale == pytest.approx(0.11941137, abs=5e-9)
    # sensemakr prints 0.138776, and DoubleML finds 0.13877654 by a minimisation of wider tolerance
    assert robustness_value(found.estimate / found.scale) == pytest.approx(0.13877635, abs=5e-9)
    # 0.02325654 is the classical standard error with 783 degrees of freedom
    assert found.scale == pytest.approx(0.02325654 * np.sqrt(783), rel=3e-7)
    assert np.sqrt(np.mean(moved**2) / moved.size) == pytest.approx(0.022847, abs=5e-7)


def test_darfur_has_the_printed_confidence_bounds_with_the_two_errors_exchanged(
    darfur: tuple[LongShort, FloatArray],
) -> None:
    # the printed ones give the lower bound the error of the upper
    found, moved = darfur
    z = stats.norm.ppf(0.95)

    def error(c: float) -> float:
        return float(np.sqrt(np.mean((moved + c * found.scale_scores) ** 2) / moved.size))

    c = strength(0.124640923, 0.009164287)
    low, high = found.estimate - c * found.scale, found.estimate + c * found.scale
    assert (low - z * error(c), high + z * error(-c)) == pytest.approx((0.037666, 0.157038), abs=5e-7)
    assert (low - z * error(-c), high + z * error(c)) == pytest.approx((0.03759383, 0.15696538), abs=5e-8)

    def reached(sign: float) -> float:
        from scipy.optimize import brentq

        return float(
            brentq(
                lambda r: found.estimate - strength(r, r) * found.scale - z * error(sign * strength(r, r)),
                0,
                0.5,
                xtol=1e-12,
            )
        )

    assert reached(1.0) == pytest.approx(0.0877088, abs=5e-7)
    assert reached(-1.0) == pytest.approx(0.0874360, abs=5e-7)


# ---- twins by brute force


def linear_world(seed: int, n: int = 300) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    column, hidden = rng.normal(size=(2, n))
    treatment = 0.5 * column + 0.7 * hidden + rng.normal(size=n)
    outcome = treatment + column - 0.8 * hidden + rng.normal(size=n)
    return outcome, treatment, column, hidden


def linear(outcome: FloatArray, treatment: FloatArray, columns: FloatArray) -> LongShort:
    basis = np.linalg.qr(np.column_stack([np.ones(len(outcome)), columns]))[0]
    fitted: Callable[[FloatArray], FloatArray] = lambda values: basis @ (basis.T @ values)  # noqa: E731
    return of_residuals(
        outcome,
        treatment,
        outcome_mean=fitted(outcome),
        treatment_mean=fitted(treatment),
        weights=np.ones(len(outcome)),
    )


@pytest.mark.parametrize("seed", range(5))
def test_an_omitted_variable_moves_the_estimate_by_just_the_bound(seed: int) -> None:
    outcome, treatment, column, hidden = linear_world(seed)
    short = linear(outcome, treatment, column)
    long = linear(outcome, treatment, np.column_stack([column, hidden]))
    found = gain([long], [short], inside=False)
    # one variable changes both regressions along one line: the correlation is 1 or -1
    bias = strength(found.r2_outcome, found.r2_treatment) * short.scale
    assert abs(found.rho) == pytest.approx(1.0)
    assert found.change == pytest.approx(short.estimate - long.estimate)
    assert short.estimate - np.sign(found.rho) * bias == pytest.approx(long.estimate, rel=1e-9)
    # and the strengths are its partial R2
    resid = hidden - np.polyval(np.polyfit(column, hidden, 1), column)
    left = treatment - np.polyval(np.polyfit(column, treatment, 1), column)
    assert found.r2_treatment == pytest.approx(np.corrcoef(resid, left)[0, 1] ** 2)


def test_gains_are_those_of_another_package() -> None:
    long, short = (
        arms("ate"),
        arms("ate", propensity=np.full(60, 0.5), outcome_control=np.zeros(60), outcome_treated=np.ones(60)),
    )
    found = gain([long], [short])
    assert (found.r2_outcome, found.r2_treatment) == pytest.approx(
        (0.798559094021, 0.123048275708), abs=1e-11
    )
    assert (found.rho, found.change) == pytest.approx((-0.038695706038, -0.02109972527), abs=1e-10)


def test_gains_of_the_treated_are_those_of_another_package() -> None:
    long, short = (
        arms("att"),
        arms("att", propensity=np.full(60, 0.5), outcome_control=np.zeros(60), outcome_treated=np.ones(60)),
    )
    found = gain([long], [short])
    assert (found.r2_treatment, found.rho) == pytest.approx((0.377572473454, 0.047369756594), abs=1e-10)


@given(st.floats(0.001, 3), st.floats(0.001, 0.9), st.floats(0.001, 0.9), st.floats(0.1, 1))
def test_times_needed_reach_what_is_needed(
    needed: float, outcome: float, treatment: float, rho: float
) -> None:
    times = times_needed(needed, outcome, treatment, rho)
    assert strength(min(times * outcome, 1.0), times * treatment, rho) == pytest.approx(needed, rel=1e-9)


def test_what_has_no_strength_is_needed_without_end() -> None:
    assert times_needed(0.1, 0.0, 0.2) == np.inf
    assert times_needed(0.1, 0.2, -0.1) == np.inf
    assert times_needed(0.0, 0.0, 0.0) == 0.0


@given(st.floats(0, 1), st.floats(0, 0.98), st.floats(0, 0.01))
def test_bounds_widen_with_either_strength(outcome: float, treatment: float, more: float) -> None:
    now = strength(outcome, treatment)
    assert strength(outcome, treatment + more) >= now
    assert strength(min(outcome + more, 1.0), treatment) >= now
    assert strength(0.0, treatment) == strength(outcome, 0.0) == 0.0


def test_errors_of_both_bounds_are_their_spread_over_draws() -> None:
    # residuals of the treated are skewed, so that estimate and scale move together and the errors differ
    n, c, draws = 400, 0.3, 1500
    rng = np.random.default_rng(0)
    ends, errors = [], []
    for _ in range(draws):
        treatment = rng.integers(0, 2, n).astype(float)
        noise = np.where(treatment == 1, rng.exponential(2.0, n) - 2.0, 0.5 * rng.normal(size=n))
        zero, half = np.zeros(n), np.full(n, 0.5)
        found = of_arms(
            noise,
            treatment,
            estimand="ate",
            propensity=half,
            outcome_control=zero,
            outcome_treated=zero,
            weights=np.ones(n),
        )
        moved = noise * (treatment - half) / half**2
        moved -= moved.mean()
        sides = np.array([-1.0, 1.0])
        ends.append(found.estimate + sides * c * found.scale)
        errors.append([np.sqrt(np.mean((moved + side * c * found.scale_scores) ** 2) / n) for side in sides])
    spread, said = np.std(ends, axis=0), np.mean(errors, axis=0)
    # 0.108 and 0.215 for the lower and the upper bound
    assert said == pytest.approx(spread, rel=0.06)
    assert spread[1] > 1.5 * spread[0]
