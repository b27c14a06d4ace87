"""Predictions of a trial beside those of the calibration."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from eocausal.debiasing.prediction_shift import PredictionShift, transport_checks
from eocausal.errors import DebiasError


def test_numbers_are_those_of_scipy_and_by_hand() -> None:
    rng = np.random.default_rng(0)
    here, there = rng.normal(size=500), 0.5 + 1.5 * rng.normal(size=800)
    found = transport_checks(here, there)
    assert found.ks == pytest.approx(stats.ks_2samp(here, there).statistic)
    assert found.variance_ratio == pytest.approx(there.var() / here.var())
    assert found.mean_shift == pytest.approx((there.mean() - here.mean()) / here.std())
    assert found.share_outside == pytest.approx(((there < here.min()) | (there > here.max())).mean())
    assert found.variance_differs


def test_weights_count_as_repeated_units() -> None:
    rng = np.random.default_rng(0)
    here, there = rng.normal(size=50).round(1), rng.normal(size=40).round(1)
    weights = rng.integers(1, 4, size=40)
    one = transport_checks(here, there, trial_weights=weights)
    other = transport_checks(here, np.repeat(there, weights))
    for name in ("share_outside", "mean_shift", "variance_ratio", "ks"):
        assert getattr(one, name) == pytest.approx(getattr(other, name))


def test_where_predictions_vary_more_the_two_corrections_part() -> None:
    """Berkson: the slope moves with the variance of predictions, to v / (v + sigma2)."""
    rng = np.random.default_rng(0)
    here, there = rng.normal(size=4000), 2 * rng.normal(size=4000)
    found = transport_checks(here, there, slopes=(1 / 1.5, 1.0))
    assert found.k_if_error_stays == pytest.approx(4 / 4.5, abs=0.01)
    assert any("cannot both be right" in text for text in found.sentences)
    same = transport_checks(here, rng.normal(size=4000), slopes=(1 / 1.5, 1.0))
    assert not same.variance_differs
    assert same.k_if_error_stays == pytest.approx(same.k, abs=0.03)
    assert any("nothing speaks for lcc or Tweedie" in text for text in same.sentences)


def test_few_units_are_not_told_to_vary_more_than_by_chance() -> None:
    rng = np.random.default_rng(4)
    assert not transport_checks(rng.normal(size=12), 1.3 * rng.normal(size=12)).variance_differs


def test_what_lies_outside_is_told() -> None:
    found = transport_checks(np.linspace(0, 1, 100), np.linspace(0, 1.2, 100), support=(0.0, 1.0))
    assert found.share_outside == pytest.approx(0.17, abs=0.01)
    assert "did not see" in found.sentences[0]


def test_it_is_written_and_read() -> None:
    found = transport_checks(np.linspace(0, 1, 100), np.linspace(0, 2, 100), slopes=(0.7, 0.9))
    assert PredictionShift.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False))) == found
    assert "\n" not in repr(found)


@pytest.mark.parametrize(
    ("trial", "weights", "words"),
    [
        ([1.0, np.nan, 2.0], None, "prediction of the trial is missing for 1"),
        ([1.0, np.inf], None, "prediction of the trial is infinite for 1"),
        ([1.0], None, "two or more"),
        ([[1.0, 2.0]], None, "2 dimensions"),
        (["low", "high"], None, "not a number for 2"),
        (np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]"), None, "holds days"),
        (np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False]), None, "missing for 1"),
        ([1.0, 1.0], None, "are all 1"),
        ([1.0, 2.0], [1.0], "weights of the trial do not fit"),
        ([1.0, 2.0], [1.0, -1.0], "positive number"),
        ([1.0, 2.0], [1.0, np.nan], "weights of the trial is missing for 1"),
    ],
)
def test_what_cannot_be_compared_is_refused(trial: list, weights: list | None, words: str) -> None:
    with pytest.raises(DebiasError, match=words):
        transport_checks(np.arange(10.0), trial, trial_weights=weights)
