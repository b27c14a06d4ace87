"""Standard errors by formula against everything drawn and fitted anew, in worlds of the mixture of the paper."""

from __future__ import annotations

import numpy as np
import pytest

import eocausal as ec


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "n_calibration", "clusters"), [(2000, 300, (1, 0.0)), (1000, 100, (1, 0.0)), (1200, 300, (10, 0.2))]
)
def test_standard_errors_by_formula_are_those_of_the_bootstrap(
    n: int, n_calibration: int, clusters: tuple[int, float]
) -> None:
    ratios = []
    for seed in range(6):
        made = ec.simulate_map("mixture", n=n, n_calibration=n_calibration, clusters=clusters, seed=seed)
        group = "cluster" if clusters[0] > 1 else None
        fix = ec.debias(
            made.calibration, prediction="prediction", truth="truth", method="tweedie", cluster=group
        )
        design = ec.Design(made.trial, outcome="prediction", treatment="treatment", cluster=group)
        found = ec.ate(design, method="difference", correct=fix)
        ratios.append(found.refit_bootstrap(draws=200, seed=seed).std_error / found.std_error)
    mean = np.mean(ratios, axis=0)
    print(f"\n{n} and {n_calibration}, clusters {clusters}: bootstrap over formula {mean.round(3).tolist()}")
    assert mean == pytest.approx([1, 1, 1], abs=0.1)
