"""How often labels contradict estimates without labels: seldom where those are right, nearly always where not.

Long: run by `make slow`.
"""

import numpy as np
import pandas as pd
import pytest

import eocausal as ec

DRAWS = 200


def drawn(rng, size, effect, *, differential):
    treated, age = np.tile([0, 1], size // 2), rng.normal(size=size)
    if differential:
        # the outcome is the prediction and noise, so that the map knows treatment as well as the outcome does
        mapped = effect * treated + 0.8 * age + 0.6 * rng.normal(size=size)
        outcome = mapped + 0.9 * rng.normal(size=size)
    else:
        outcome = effect * treated + age + rng.normal(size=size)
        mapped = 0.6 * outcome + 0.5 * rng.normal(size=size)
    return pd.DataFrame({"treated": treated, "mapped": mapped, "outcome": outcome})


@pytest.mark.slow
@pytest.mark.parametrize("differential", [False, True])
def test_labels_contradict_what_is_wrong_and_seldom_what_is_right(differential):
    contradicted = {term: np.zeros(DRAWS, dtype=bool) for term in ("naive", "lcc", "tweedie")}
    rejected = np.zeros((DRAWS, 2), dtype=bool)
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        calibration = drawn(rng, 600, 0.0, differential=differential).rename(index=lambda row: f"c{row}")
        trial = drawn(rng, 3000, 0.8, differential=differential)
        trial["measured"] = trial["outcome"].where(rng.random(3000) < 0.2)
        fix = ec.debias(calibration, prediction="mapped", truth="outcome")
        design = ec.Design(trial, outcome="mapped", treatment="treated")
        result = ec.ppi(design, truth="measured", correct=fix)
        p_values = result.table().set_index("term")["difference_p"]
        for term, found in contradicted.items():
            found[seed] = p_values[term] < 0.05
        rejected[seed] = result.label_tests["p_value"].to_numpy()[:2] < 0.05
    shares = {term: found.mean() for term, found in contradicted.items()}
    print("differential" if differential else "through the outcome", shares, "tests", rejected.mean(axis=0))
    wrong, right = (("lcc", "tweedie"), ("naive",)) if differential else (("naive",), ("lcc", "tweedie"))
    assert min(shares[term] for term in wrong) >= 0.95
    # 5% and two standard errors of a share of 200
    assert max(shares[term] for term in right) <= 0.081
    assert rejected.mean(axis=0)[0 if not differential else 1] >= 0.95
    assert rejected.mean(axis=0)[1 if not differential else 0] <= 0.081
