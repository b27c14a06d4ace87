"""How often it is said that an assumption fails where labels can show it, and how often where nothing is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import eocausal as ec

DRAWS = 200


def _diagnosed(kind: str, seed: int, **asked: Any) -> ec.Diagnosis:
    table = ec.simulate_map(kind, **{"n": 20, "n_calibration": 800, "seed": seed, **asked}).calibration
    return ec.diagnose(table["prediction"], table["truth"], treatment=table["treatment"])


def _said(result: Any, *words: str) -> bool:
    """Whether the summary that is printed has a line of warning, or of a failed check, with all these words."""
    lines = [line for line in result.summary().splitlines() if line.startswith(("WARNING", "check fails"))]
    return any(all(word in line for word in words) for line in lines)


def _surrogate(seed: int) -> bool:
    found = _diagnosed("surrogate", seed, effect=1.0)
    return not found.corrects and _said(found, "overshoot")


def _chosen_none(seed: int) -> bool:
    table = ec.simulate_map("surrogate", n=20, n_calibration=2000, effect=1.0, seed=seed).calibration
    fix = ec.debias(table, prediction="prediction", truth="truth", groups="treatment")
    return fix.method == "none" and bool(fix.reasons)


def _labels(kind: str, rejected: str) -> Callable[[int], bool]:
    def said(seed: int) -> bool:
        made = ec.simulate_map(kind, n=2000, n_calibration=20, effect=1.0, seed=seed)
        some = np.arange(2000) < 600
        trial = made.trial.assign(surveyed=made.trial["outcome"].where(some))
        found = ec.ppi(ec.Design(trial, outcome="prediction", treatment="treatment"), truth="surveyed")
        line = next(one for one in found.summary().splitlines() if one.startswith("labels reject"))
        # one of them, or both, but not what follows "and not"
        return rejected in line.split(" and not ")[0] and "neither" not in line

    return said


def _beyond(seed: int) -> bool:
    made = ec.simulate_map("mixture", n=1000, n_calibration=600, seed=seed)
    seen = made.calibration[made.calibration["prediction"] < 9]
    fix = ec.debias(seen, prediction="prediction", truth="truth", method="tweedie")
    design = ec.Design(made.trial, outcome="prediction", treatment="treatment")
    return any("extrapolate" in text for text in ec.ate(design, method="difference", correct=fix).warnings)


FAILING: dict[str, Callable[[int], bool]] = {
    "surrogate: corrections overshoot": _surrogate,
    "surrogate: none is chosen": _chosen_none,
    "surrogate: labels of the trial reject corrections": _labels("surrogate", "the correction for shrinkage"),
    "gaussian: labels of the trial reject naive": _labels("gaussian", "the plain difference"),
    "mixture: predictions bend, so LCC is wrong": lambda seed: _said(
        _diagnosed("mixture", seed), "bends", "lcc"
    ),
    "over-shrunk: slope on the prediction": lambda seed: _said(
        _diagnosed("over_shrunk", seed), "slope of truth"
    ),
    "over-dispersed: slope on the prediction": lambda seed: _said(
        _diagnosed("over_dispersed", seed), "slope of truth"
    ),
    "heteroscedastic: variance of errors": lambda seed: _said(
        _diagnosed("heteroscedastic", seed, n_calibration=4000), "residual variance"
    ),
    "study beyond the calibration": _beyond,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(FAILING))
def test_it_is_said_where_an_assumption_fails_and_labels_can_show_it(name: str) -> None:
    share = float(np.mean([FAILING[name](seed) for seed in range(DRAWS)]))
    print(f"\n{name}: said in {share:.1%} of {DRAWS} runs")
    assert share >= 0.95


@pytest.mark.slow
def test_where_all_assumptions_hold_little_is_said() -> None:
    found = [_diagnosed("gaussian", 10_000 + seed, effect=1.0) for seed in range(DRAWS)]
    believed = float(np.mean([one.corrects for one in found]))
    quiet = float(np.mean([not one.warnings for one in found]))
    checks = float(np.mean([one.to_checks()["holds"].all() for one in found]))
    print(f"\ncorrects {believed:.1%}, no warning {quiet:.1%}, no failed check {checks:.1%} of {DRAWS} runs")
    assert believed >= 0.93
    assert quiet >= 0.9
    assert checks >= 0.85
