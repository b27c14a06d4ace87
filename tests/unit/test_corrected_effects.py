"""Effects by unit on a predicted outcome: corrected effects, an average that holds the error of the calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.effects.corrected_effects import TAKEN_AS_GIVEN
from eocausal.errors import EstimationError

HOW: dict[str, Any] = {"learner": "linear", "folds": ec.Folds(k=3)}


def _calibration(method: str, n: int = 800) -> ec.Corrector:
    rng = np.random.default_rng(5)
    truth = rng.normal(size=n)
    places = pd.DataFrame({"truth": truth, "map": 0.6 * truth + 0.4 * rng.normal(size=n)})
    return ec.debias(places, prediction="map", truth="truth", method=method)


@pytest.fixture(scope="module")
def design() -> ec.Design:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"age": rng.normal(size=600), "aid": np.tile([0, 1], 300)})
    outcome = table["age"] + table["aid"] * (1 + table["age"]) + 0.5 * rng.normal(size=600)
    table["map"] = 0.6 * outcome + 0.4 * rng.normal(size=600)
    return ec.Design(table, outcome="map", treatment="aid", covariates=["age"], propensity=0.5)


def test_effects_by_lcc_are_those_of_the_map_over_k(design: ec.Design) -> None:
    fix = _calibration("lcc")
    plain, found = ec.cate(design, **HOW), ec.cate(design, correct=fix, **HOW)
    np.testing.assert_allclose(found.effect_values, plain.effect_values / fix.k, rtol=1e-6)
    np.testing.assert_allclose(found.dr_scores, plain.dr_scores / fix.k, rtol=1e-6)
    assert found.estimate == pytest.approx(plain.estimate / fix.k, rel=1e-9)
    by_hand = np.hypot(plain.std_error / fix.k, plain.estimate * fix.std_errors["k"] / fix.k**2)
    assert found.std_error == pytest.approx(by_hand, rel=1e-9)
    assert found.average.second.name == "calibration"
    assert found.average.terms == ("aid",)
    assert found.diagnostics["correction"] == "lcc"


def test_effects_by_tweedie_are_learned_of_the_corrected_outcome(design: ec.Design) -> None:
    fix = _calibration("tweedie")
    found = ec.cate(design, correct=fix, **HOW)
    score = fix.score_for(design.table.outcome, design.table.weights)
    by_hand = ec.cate(
        design.with_changed_outcome(lambda y: fix.correct(y, method="tweedie", score=score)), **HOW
    )
    np.testing.assert_array_equal(found.effect_values, by_hand.effect_values)
    assert found.estimate == pytest.approx(found.dr_scores.mean(), rel=1e-12)
    both = ec.ate(design, correct=fix, folds=ec.Folds(k=3))
    assert found.estimate == pytest.approx(both.estimate[2], rel=1e-9)
    assert found.std_error == pytest.approx(both.std_error[2], rel=1e-9)
    assert found.std_error > by_hand.std_error


def test_where_no_correction_is_believed_effects_stay_as_they_are(design: ec.Design) -> None:
    plain, found = ec.cate(design, **HOW), ec.cate(design, correct=_calibration("none"), **HOW)
    np.testing.assert_array_equal(found.effect_values, plain.effect_values)
    assert found.std_error == pytest.approx(plain.std_error, rel=1e-12)
    assert TAKEN_AS_GIVEN not in found.warnings
    assert any(text.startswith("naive: what predictions miss") for text in found.assumptions)


def test_what_is_made_of_single_effects_says_that_the_calibration_is_taken_as_given(
    design: ec.Design,
) -> None:
    found = ec.cate(design, correct=_calibration("lcc"), **HOW)
    plain = ec.cate(design, **HOW)
    rate, uncorrected = ec.rate(found), ec.rate(plain)
    assert TAKEN_AS_GIVEN in rate.warnings
    # a ranking does not move with a line, so that its test is that of the map
    assert rate.p_value() == pytest.approx(uncorrected.p_value(), abs=1e-6)
    assert TAKEN_AS_GIVEN in ec.calibration(found).warnings
    assert "lie outside" not in " ".join(plain.warnings)


def test_a_corrected_average_is_written_and_read_and_compared(design: ec.Design) -> None:
    fix = _calibration("lcc")
    found = ec.cate(design, correct=fix, **HOW)
    again = ec.Cate.from_dict(found.to_dict(scores=True))
    assert again.average == found.average
    assert again.average.second.matrix == pytest.approx(found.average.second.matrix)
    same = ec.ate(design, correct=fix, folds=ec.Folds(k=3)).best
    joint = ec.compare(units=found.average, arms=same)
    # k is the same and so are the units: nothing is left of the error of their difference
    assert (found.average - same).std_error == pytest.approx(0, abs=1e-8)
    assert joint.variance.matrix[0, 1] == pytest.approx(joint.variance.matrix[0, 0], rel=1e-6)


def test_what_is_no_corrector_is_refused(design: ec.Design) -> None:
    with pytest.raises(EstimationError, match=r"correct is a str[\s\S]*ec.debias"):
        ec.cate(design, correct="lcc", **HOW)


def test_what_is_carried_elsewhere_takes_the_calibration_as_given(design: ec.Design) -> None:
    older = pd.DataFrame({"age": np.random.default_rng(1).normal(0.3, 1, 300)})
    fix = _calibration("lcc")
    plain, found = (
        ec.transport(ec.cate(design, correct=correct, **HOW), ec.Target(older)) for correct in (None, fix)
    )
    assert found.estimate == pytest.approx(plain.estimate / fix.k, rel=1e-6)
    assert found.std_error == pytest.approx(plain.std_error / fix.k, rel=1e-6)
    assert found.difference().std_error == pytest.approx(plain.difference().std_error / fix.k, rel=1e-6)
    for told in (found.warnings, found.study.warnings):
        assert any("take the calibration of the predicted outcome as given" in text for text in told)
