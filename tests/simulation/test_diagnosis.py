"""How often evidence decides rightly: worlds where undoing shrinkage is right, and where it overshoots.

A calibration knows towns and twelve regions that differ in truth. *Blind*: predictions shrink the truth alike
everywhere. *Surrogate*: the truth follows from what is seen, so differences in predictions are right as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.debiasing.calibration_sample import CalibrationColumns, CalibrationSample, read_sample
from eocausal.debiasing.choice import held_out, nearer_at_each_truth
from eocausal.debiasing.diagnosis_result import Diagnosis

DRAWS = 200
COLUMNS = CalibrationColumns("prediction", "truth")


def _world(seed: int, *, n: int, k: float, surrogate: bool) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"town": rng.integers(2, size=n), "region": rng.integers(20, size=n)})
    level = frame["town"] + 0.5 * rng.normal(size=20)[frame["region"]]
    core = level + rng.normal(size=n)
    spread = core.var()
    if surrogate:
        return frame.assign(map=core, truth=core + np.sqrt(spread * (1 / k - 1)) * rng.normal(size=n))
    return frame.assign(map=k * core + np.sqrt(spread * k * (1 - k)) * rng.normal(size=n), truth=core)


def _found(frame: pd.DataFrame, *, labels: bool) -> Diagnosis:
    if labels:
        return ec.diagnose(frame["map"], frame["truth"], treatment=frame["town"])
    return ec.diagnose(frame["map"], frame["truth"], groups=frame[["town", "region"]])


def _draws(*, labels: bool = False, draws: int = DRAWS, **world: object) -> tuple[float, float, Counter[str]]:
    """Return shares of draws that correct, and that warn, and how often each verdict was given."""
    found = [_found(_world(seed, **world), labels=labels) for seed in range(draws)]
    corrects = float(np.mean([one.corrects for one in found]))
    warns = float(np.mean([bool(one.warnings) for one in found]))
    return corrects, warns, Counter(one.verdict for one in found)


@pytest.mark.slow
@pytest.mark.parametrize("n", [1000, 3000])
@pytest.mark.parametrize("k", [0.6, 0.7, 0.8])
@pytest.mark.parametrize("labels", [False, True])
def test_where_shrinkage_is_blind_it_is_undone(k: float, n: int, labels: bool) -> None:
    corrects, _, _ = _draws(n=n, k=k, surrogate=False, labels=labels)
    assert corrects >= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("n", [1000, 3000])
@pytest.mark.parametrize("k", [0.4, 0.6, 0.7, 0.8])
@pytest.mark.parametrize("labels", [False, True])
def test_where_predictions_are_surrogates_they_are_left_and_it_is_said(
    k: float, n: int, labels: bool
) -> None:
    corrects, warns, _ = _draws(n=n, k=k, surrogate=True, labels=labels)
    assert corrects <= 0.02
    assert warns >= 0.97


@pytest.mark.slow
def test_small_calibrations_say_that_they_cannot_tell() -> None:
    """With 300 places and a slope of 0.8 the poles lie 0.2 apart, and groups are about half as rough."""
    corrects, warns, verdicts = _draws(n=300, k=0.8, surrogate=True)
    assert warns >= 0.97
    assert verdicts["correct"] <= 0.03 * DRAWS
    # where nothing tells, nothing is corrected
    corrects, _, verdicts = _draws(n=300, k=0.8, surrogate=False)
    assert corrects == pytest.approx(1 - verdicts["cannot tell"] / DRAWS)
    assert 0.5 <= corrects <= 0.8


@pytest.mark.slow
def test_a_weak_map_is_corrected_only_where_groups_vouch_for_it() -> None:
    corrects, _, _ = _draws(n=3000, k=0.4, surrogate=False)
    assert corrects >= 0.85
    corrects, warns, _ = _draws(n=300, k=0.4, surrogate=False)
    assert corrects <= 0.7
    assert warns >= 0.3


def _fitted(part: CalibrationSample) -> Callable[[np.ndarray, str], np.ndarray]:
    table = pd.DataFrame({"prediction": part.prediction, "truth": part.truth})
    fix = ec.debias(table, prediction="prediction", truth="truth", method="lcc")
    return lambda values, method: fix.correct(values, method=method)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "least", "most"), [("mixture", 0.97, 1.0), ("gaussian", 0.0, 0.2), ("proxy", 0.0, 0.2)]
)
def test_tweedie_is_chosen_where_the_linear_correction_is_biased(
    kind: str, least: float, most: float
) -> None:
    """In normal worlds both are right, and the linear one, with fewer assumptions, is taken."""
    chosen = []
    for seed in range(60):
        made = ec.simulate_map(kind, n=100, n_calibration=600, seed=seed)
        sample = read_sample(made.calibration, COLUMNS)
        corrected = held_out(sample, _fitted)
        chosen.append(
            nearer_at_each_truth(sample, {name: corrected(name) for name in ("lcc", "tweedie")})[0]
            == "tweedie"
        )
    assert least <= np.mean(chosen) <= most


def test_one_draw_of_either_world() -> None:
    for surrogate, verdict in ((False, "correct"), (True, "do not correct")):
        frame = _world(0, n=1000, k=0.7, surrogate=surrogate)
        assert {_found(frame, labels=labels).verdict for labels in (False, True)} == {verdict}
