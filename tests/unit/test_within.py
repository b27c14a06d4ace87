"""Regressions without unit and period effects, against regressions on indicators of both."""

from __future__ import annotations

import numpy as np
import pytest

from eocausal.errors import EstimationError
from eocausal.inference import within


def _unbalanced(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    units, periods = np.repeat(np.arange(15), 5), np.tile(np.arange(5), 15)
    keep = rng.uniform(size=75) < 0.8
    units, periods = units[keep], periods[keep]
    regressors = rng.normal(size=(units.size, 2)) + units[:, None]
    outcome = regressors @ [1.0, -2.0] + units - periods**2 + rng.normal(size=units.size)
    weights = rng.uniform(0.5, 3, size=units.size)
    return {
        "outcome": outcome,
        "regressors": regressors,
        "units": units,
        "periods": periods,
        "weights": weights,
    }


def _by_indicators(data: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients of the regressors and the sandwich by unit without a factor."""
    indicators = [
        data[name][:, None] == np.unique(data[name])[start:] for name, start in (("units", 0), ("periods", 1))
    ]
    columns = np.column_stack([data["regressors"], *indicators]).astype(float)
    root = np.sqrt(data["weights"])[:, None]
    inverse = np.linalg.inv((root * columns).T @ (root * columns))
    found = inverse @ ((root * columns).T @ (root[:, 0] * data["outcome"]))
    pull = columns * (data["weights"] * (data["outcome"] - columns @ found))[:, None]
    sums = np.array([pull[data["units"] == unit].sum(axis=0) for unit in np.unique(data["units"])])
    return found[:2], (inverse @ sums.T @ sums @ inverse)[:2, :2]


@pytest.mark.parametrize("most", [within.MOST_INDICATORS, 0])
@pytest.mark.parametrize("weighted", [True, False])
def test_it_is_the_regression_on_indicators(
    most: int, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(within, "MOST_INDICATORS", most)
    data = _unbalanced()
    if not weighted:
        data["weights"] = np.full(data["units"].size, 7.0)
    fit = within.within_fit(names=["a", "b"], **data)
    coefficients, sandwich = _by_indicators(data)
    near = 1e-10 if most else 1e-6
    np.testing.assert_allclose(fit.coefficients, coefficients, rtol=near)
    sums = np.array([fit.scores[data["units"] == unit].sum(axis=0) for unit in np.unique(data["units"])])
    np.testing.assert_allclose(sums.T @ sums / data["units"].size ** 2, sandwich, rtol=10 * near)
    assert (fit.n_units, fit.n_periods) == (15, 5)


def test_columns_that_follow_from_the_effects_or_from_one_another_are_named() -> None:
    data = _unbalanced()
    data["regressors"] = np.column_stack([data["regressors"], data["units"] + 3.0 * data["periods"]])
    with pytest.raises(EstimationError, match=r"leave nothing of these columns[\s\S]*1 \(trait\)"):
        within.within_fit(names=["a", "b", "trait"], **data)
    data["regressors"][:, 2] = 2 * data["regressors"][:, 0] - data["regressors"][:, 1] + data["units"]
    with pytest.raises(EstimationError, match="follow from others"):
        within.within_fit(names=["a", "b", "mix"], **data)
