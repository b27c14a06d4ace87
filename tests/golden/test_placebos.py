"""Placebo tests against a trial and its comparison groups, and against a known confounder in pictures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from tests.known_tables import lalonde

COVARIATES = ["age", "education", "black", "hispanic", "married", "nodegree", "re74", "u74"]


def earnings_before(table: pd.DataFrame, **options) -> tuple[pd.Series, str]:
    """Estimate on earnings of 1978, and test it on those of 1975, before the programme."""
    design = ec.Design(table, outcome="re78", treatment="treat", covariates=options.pop("covariates"))
    found = ec.sensitivity(ec.ate(design, **options), kind="placebo", outcomes="re75")
    return found.frame.iloc[0], found.sentence


def test_the_trial_passes_and_says_that_it_says_little(shared):
    table = pd.read_csv(shared / "data/lalonde/lalonde.csv")
    row, sentence = earnings_before(
        table[table["sample"] == "nsw_dw"].reset_index(drop=True), covariates=[], method="difference"
    )
    # the experimental difference of earnings before, as published
    assert row["estimate"] == pytest.approx(265.1, abs=0.05)
    assert row["p_value"] > 0.3
    assert row["verdict"].startswith("says little")
    assert "says little" in sentence


@pytest.mark.parametrize(
    ("controls", "method", "options", "found"),
    [
        # -1097 is the published end of the range over adjusted estimators
        ("cps_controls", "regression", {"estimand": "att"}, -1096.70),
        ("cps_controls", "ols", {}, -1134.82),
        ("cps_controls", "entropy_balancing", {"estimand": "att"}, -1227.21),
        ("psid_controls", "ols", {}, -2757.40),
        ("psid_controls", "entropy_balancing", {"estimand": "att"}, -2250.58),
    ],
)
def test_comparison_groups_of_surveys_do_not(shared, controls, method, options, found):
    row, sentence = earnings_before(
        lalonde(shared, controls), covariates=COVARIATES, method=method, **options
    )
    assert row["estimate"] == pytest.approx(found, abs=0.01)
    assert row["verdict"] == "sign of bias"
    assert "a sign of bias" in sentence


def test_the_placebo_of_a_regression_is_its_coefficient(shared):
    table = lalonde(shared, "cps_controls")
    row, _ = earnings_before(table, covariates=COVARIATES, method="ols")
    columns = np.column_stack([np.ones(len(table)), table["treat"], table[COVARIATES]]).astype(float)
    by_hand = np.linalg.lstsq(columns, table["re75"].to_numpy(), rcond=None)[0][1]
    assert row["estimate"] == pytest.approx(by_hand, rel=1e-8)


def test_images_dealt_anew_give_back_the_bias_of_a_pattern_in_pictures():
    world = ec.simulate_kernel_confounding(n_units=1500, size_px=40, kernel_px=4, pool="centre", seed=2)
    seen = {f"k{width}": world.feature(width) for width in (1, 2, 4, 8)}
    seen |= {f"noise{one}": np.random.default_rng(one).normal(size=1500) for one in range(12)}
    frame = world.units.frame
    features = ec.read_embeddings(pd.DataFrame(seen).assign(unit=frame["unit"]), key="unit")
    design = ec.Design(
        world.units, outcome="outcome", treatment="treated", covariates=["income_before"], features=features
    )
    made = ec.ate(design)
    found = ec.sensitivity(made, kind="placebo", tests="permuted_images", draws=5).numbers
    assert made.estimate == pytest.approx(1.0, abs=0.1)
    # closed form of the bias of who does not look: 0.8252
    assert world.naive_bias == pytest.approx(0.825239, abs=1e-6)
    assert found["permuted_images_mean"] == pytest.approx(1 + world.naive_bias, abs=0.12)
    assert abs(found["permuted_images_difference"]) < 0.02
    assert found["moved_by_images"] == pytest.approx(-world.naive_bias, abs=0.12)
