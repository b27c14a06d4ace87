"""The evidence weighed: when a correction is nearer, what can tell, what decides, and which correction."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eocausal as ec
from eocausal.debiasing import choice
from eocausal.debiasing.calibration_sample import CalibrationSample
from eocausal.debiasing.choice import choose_method, held_out, nearer_at_each_truth, reading, sentence, weigh
from eocausal.debiasing.contrasts import Attenuation
from eocausal.debiasing.label_tests import PREDICTION_ON_TREATMENT, RESIDUAL_ON_TREATMENT

UNIT = Attenuation("units", "units", 0.7, 0.01, 998, math.inf, 1000, 1000)


def _level(estimate: float, std_error: float = 0.02, **other: Any) -> Attenuation:
    plain = {"term": "town", "kind": "contrast", "df": 998.0, "strength": 100.0, "n": 1000, "n_groups": 2}
    return Attenuation(estimate=estimate, std_error=std_error, **{**plain, **other})


def _labels(naive: tuple[float, float], corrected: tuple[float, float]) -> pd.DataFrame:
    """Estimates and p-values of the two tests."""
    return pd.DataFrame(
        {
            "term": [RESIDUAL_ON_TREATMENT, PREDICTION_ON_TREATMENT],
            "estimate": [naive[0], corrected[0]],
            "p_value": [naive[1], corrected[1]],
        }
    )


@given(st.floats(0.05, 3.0), st.floats(0.05, 3.0))
def test_nearer_is_what_is_less_off(k: float, share: float) -> None:
    naive, corrected = abs(share - 1), abs(share / k - 1)
    if abs(naive - corrected) < 1e-6:
        return
    said = reading(_level(share, 1e-9), k)
    assert said == (choice.NAIVE_NEARER if naive < corrected else choice.CORRECTION_NEARER)
    # the threshold is where both are equally far off
    middle = choice.threshold(k)
    assert abs(middle - 1) == pytest.approx(abs(middle / k - 1))


@pytest.mark.parametrize(
    ("level", "said"),
    [
        (_level(0.92), choice.NAIVE_NEARER),
        (_level(0.72), choice.CORRECTION_NEARER),
        # 2 k / (1 + k) is 0.8235: the errors allowed are 0.1235 / 1.646
        (_level(0.8, 0.074), choice.CORRECTION_NEARER),
        (_level(0.8, 0.077), choice.TOO_ROUGH),
        # far enough beyond the threshold for its error
        (_level(1.1, 0.15), choice.NAIVE_NEARER),
        (_level(0.92, strength=9.0), choice.HARDLY_DIFFER),
        (_level(math.nan), choice.HARDLY_DIFFER),
        (_level(1.0, formed_from="prediction"), "cut from the prediction"),
        (_level(0.7, formed_from="truth"), "cut from the truth"),
    ],
)
def test_what_a_level_can_tell(level: Attenuation, said: str) -> None:
    assert reading(level, 0.7) == said


@pytest.mark.parametrize(
    ("levels", "r2", "verdict", "corrects", "warned"),
    [
        ([_level(0.71)], 0.7, choice.CORRECT, True, False),
        ([_level(0.95)], 0.7, choice.DO_NOT, False, True),
        # one that speaks for naive is enough
        ([_level(0.71), _level(0.95)], 0.7, choice.DO_NOT, False, True),
        ([_level(0.71), _level(0.95, 0.4)], 0.7, choice.CORRECT, True, False),
        # to believe a correction takes evidence
        ([_level(0.95, formed_from="prediction")], 0.7, choice.CANNOT_TELL, False, True),
        ([], 0.7, choice.CANNOT_TELL, False, True),
        # a few countries can speak against a correction, and not for one
        ([_level(0.71, kind="groups", n_groups=19)], 0.7, choice.CANNOT_TELL, False, True),
        ([_level(0.71, kind="groups", n_groups=20)], 0.7, choice.CORRECT, True, False),
        ([_level(0.95, kind="groups", n_groups=5)], 0.7, choice.DO_NOT, False, True),
        ([], 0.4, choice.CANNOT_TELL, False, True),
        # a weak prediction: groups must show that a correction does not overshoot
        ([_level(0.71)], 0.4, choice.CORRECT, True, False),
        ([_level(0.78)], 0.4, choice.DO_NOT, False, True),
        ([_level(0.78)], 0.6, choice.CORRECT, True, False),
    ],
)
def test_groups_decide(
    levels: list[Attenuation], r2: float, verdict: str, corrects: bool, warned: bool
) -> None:
    found = weigh(UNIT, levels, r2=r2)
    assert (found.verdict, found.corrects, bool(found.warnings)) == (verdict, corrects, warned)
    assert len(found.reasons) >= len(levels)


@pytest.mark.parametrize(
    ("slope", "verdict"),
    [
        (0.015, choice.USELESS),
        (-0.5, choice.USELESS),
        (0.99, choice.NOTHING),
        (1.01, choice.NOTHING),
        # other units: nothing says that the correction brings back effects, and it is left to be asked for
        (70.0, choice.CANNOT_TELL),
    ],
)
def test_slopes_that_leave_nothing_to_weigh(slope: float, verdict: str) -> None:
    unit = Attenuation("units", "units", slope, 0.01, 998, math.inf, 1000, 1000)
    found = weigh(unit, [], r2=0.6)
    assert found.verdict == verdict
    assert not found.corrects


@pytest.mark.parametrize(
    ("tests", "verdict", "corrects"),
    [
        (_labels((0.3, 0.001), (0.0, 0.9)), choice.CORRECT, True),
        (_labels((0.0, 0.9), (0.3, 0.001)), choice.DO_NOT, False),
        # neither is right: the nearer one, and a warning; a correction divides its error by the slope
        (_labels((0.3, 0.001), (0.1, 0.01)), choice.USE_LABELS, True),
        (_labels((0.13, 0.001), (0.1, 0.01)), choice.USE_LABELS, False),
        # labels that reject neither leave it to the groups
        (_labels((0.1, 0.3), (0.1, 0.3)), choice.DO_NOT, False),
    ],
)
def test_labels_with_a_treatment_decide_before_groups(
    tests: pd.DataFrame, verdict: str, corrects: bool
) -> None:
    found = weigh(UNIT, [_level(0.95)], tests, r2=0.7)
    assert (found.verdict, found.corrects) == (verdict, corrects)
    if verdict == choice.USE_LABELS:
        assert "ec.ppi" in found.warnings[0]


def _sample(seed: int = 0, n: int = 500, clusters: np.ndarray | None = None) -> CalibrationSample:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n)
    prediction = 0.7 * truth + 0.4 * rng.normal(size=n)
    return CalibrationSample(
        np.arange(n), prediction, truth, np.ones(n), clusters, pd.DataFrame(index=range(n))
    )


def test_the_correction_with_less_bias_at_given_truth_is_chosen_whatever_its_error() -> None:
    """By prediction error the biased one would win: its error is a third."""
    sample = _sample(n=4000)
    rng = np.random.default_rng(1)
    noisy = sample.truth + rng.normal(size=4000)
    bent = sample.truth + 0.2 * (sample.truth**2 - 1) + 0.1 * rng.normal(size=4000)
    assert ((noisy - sample.truth) ** 2).mean() > 3 * ((bent - sample.truth) ** 2).mean()
    assert nearer_at_each_truth(sample, {"lcc": bent, "tweedie": noisy})[0] == "tweedie"
    assert nearer_at_each_truth(sample, {"lcc": noisy, "tweedie": bent})[0] == "lcc"
    name, why = nearer_at_each_truth(sample, {"lcc": noisy, "tweedie": noisy})
    assert name == "lcc"
    assert "root mean square bias" in why


def test_bias_at_given_truth_is_freed_of_noise() -> None:
    sample = _sample(n=4000)
    noisy = sample.truth + 2 * np.random.default_rng(1).normal(size=4000)
    _, why = nearer_at_each_truth(sample, {"lcc": noisy, "tweedie": sample.truth + 0.5})
    shown = float(why.split("held out, is ")[1].split(" ")[0])
    # 400 places a tenth leave 2 / sqrt(400) = 0.1 of noise
    assert shown < 0.06
    assert "0.5 with tweedie" in why


def test_held_out_places_are_corrected_by_what_never_saw_them() -> None:
    clusters = np.arange(500) // 5
    sample = _sample(clusters=clusters)
    seen: list[set[int]] = []

    def fit(part: CalibrationSample) -> Any:
        ids = set(part.ids.tolist())
        seen.append(ids)
        names = {sample.prediction[one] for one in ids}
        return lambda values, method: np.array([float(value in names) for value in values])

    made = held_out(sample, fit)
    assert not seen  # nothing is fitted before it is asked for
    assert made("lcc").sum() == 0
    assert made("tweedie").sum() == 0
    assert len(seen) == choice.FOLDS
    whole = [{int(clusters[one]) for one in ids} for ids in seen]
    left_out = [set(clusters.tolist()) - one for one in whole]
    assert sum(len(one) for one in left_out) == 100
    assert all(len(ids) == 5 * len(one) for ids, one in zip(seen, whole))


def test_no_order_of_rows_counts() -> None:
    sample = _sample()
    order = np.random.default_rng(3).permutation(500)

    def fit(part: CalibrationSample) -> Any:
        mean = part.truth.mean()
        return lambda values, method: values + mean

    plain, moved = held_out(sample, fit)("lcc"), held_out(sample.take(order), fit)("lcc")
    assert moved == pytest.approx(plain[order])


def test_choose_method_follows_the_diagnosis() -> None:
    rng = np.random.default_rng(0)
    town = np.tile([0, 1], 1000)
    truth = town + rng.normal(size=2000)
    shrunk = 0.7 * truth + 0.3 * rng.normal(size=2000)
    correct = ec.diagnose(shrunk, truth, groups=town)
    leave = ec.diagnose(shrunk + 0.3 * town, truth, groups=town)
    asked: list[str] = []

    def corrected(method: str) -> np.ndarray:
        asked.append(method)
        return truth if method == "tweedie" else truth + 0.5

    assert choose_method(leave, corrected=corrected) == ("none", leave.reasons)
    assert asked == []
    assert choose_method(correct)[0] == "lcc"
    name, reasons = choose_method(correct, corrected=corrected)
    assert name == "tweedie"
    assert reasons[:-1] == correct.reasons
    json.dumps(reasons)


@pytest.mark.parametrize(("kind", "expected"), [("mixture", "tweedie"), ("proxy", "lcc")])
def test_auto_takes_the_correction_that_is_right(kind: str, expected: str) -> None:
    chosen = []
    for seed in range(4):
        made = ec.simulate_map(kind, n=100, n_calibration=600, seed=seed)
        noise = np.random.default_rng(seed).normal(size=600)
        places = made.calibration.assign(rich=made.calibration["truth"] + noise > 0)
        chosen.append(ec.debias(places, prediction="prediction", truth="truth", groups="rich").method)
        fix = ec.debias(places, prediction="prediction", truth="truth")
        assert fix.method == "none"
        assert any("is an assumption" in text for text in fix.warnings)
    assert chosen == [expected] * 4


def test_a_slope_that_falls_leaves_nothing_to_correct_by_and_says_why() -> None:
    assert reading(_level(-0.5), -0.5) == choice.NO_SLOPE
    unit = Attenuation("units", "units", -0.5, 0.01, 998, math.inf, 1000, 1000)
    (told,) = weigh(unit, [], r2=0.6).reasons
    assert told.endswith("is -0.500 (se 0.01), so that predictions fall as the truth rises")
    flat = Attenuation("units", "units", 0.01, 0.01, 998, math.inf, 1000, 1000)
    assert weigh(flat, [], r2=0.6).reasons[0].endswith("is 0.010 (se 0.01), not told from 0")


def test_groups_stand_in_for_arms_only_where_no_arms_tell() -> None:
    assert choice.STAND_IN in weigh(UNIT, [_level(0.71)], r2=0.7).reasons
    arms = _level(0.71, term="treatment", kind="treatment")
    assert choice.STAND_IN not in weigh(UNIT, [arms, _level(0.71)], r2=0.7).reasons


def test_shares_of_differences_that_are_hardly_there_are_not_told_as_percentages() -> None:
    weak = sentence(_level(5.2, strength=0.3), 0.5, choice.HARDLY_DIFFER)
    assert weak == "differences by town are small in the truth (F 0.3, below 10): nothing to go by"
    once = sentence(_level(0.5, math.inf, strength=math.nan), 0.5, choice.TOO_ROUGH)
    assert "single unit or cluster" in once
    assert reading(_level(0.5, math.inf, strength=math.nan), 0.5) == choice.TOO_ROUGH


def test_places_of_one_truth_are_dealt_alike_in_any_order() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=200).astype(float)
    prediction = truth + rng.normal(size=200)
    order = rng.permutation(200)

    def means(part: CalibrationSample) -> choice.Correct:
        return lambda values, method: np.full(values.shape, part.prediction.mean())

    def made(rows: np.ndarray) -> np.ndarray:
        return held_out(CalibrationSample(rows, prediction[rows], truth[rows], np.ones(200)), means)("lcc")

    np.testing.assert_allclose(made(order), made(np.arange(200))[order])


def test_few_clusters_cannot_tell_corrections_apart() -> None:
    made = ec.simulate_map("mixture", n=100, n_calibration=600, seed=1)
    places = made.calibration.assign(
        rich=made.calibration["truth"] + np.random.default_rng(0).normal(size=600) > 0,
        wave=np.arange(600) % 2,
    )
    fix = ec.debias(places, prediction="prediction", truth="truth", groups="rich", cluster="wave")
    assert fix.method == "lcc"
    assert "2 clusters are too few" in fix.reasons[-1]
