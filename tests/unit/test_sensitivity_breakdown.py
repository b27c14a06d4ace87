"""When the sign is in doubt, asked of results: numbers, errors, benchmarks, figures, refusals."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from test_sensitivity_oster import designed, linear_world, panel

import eocausal as ec
from eocausal.errors import SensitivityError
from eocausal.sensitivities.kinds import Call
from eocausal.sensitivities.selection_moments import seen_controls
from eocausal.sensitivities.sign_breakdown import breakdown_strength, flip


@pytest.fixture(scope="module")
def result() -> ec.Estimate:
    return ec.ate(designed(linear_world()), method="ols")


def partial_r2(outcome: np.ndarray, treatment: np.ndarray, controls: np.ndarray) -> float:
    columns = np.column_stack([np.ones(len(outcome)), controls])
    pair = np.column_stack([outcome, treatment])
    left = pair - columns @ np.linalg.lstsq(columns, pair, rcond=None)[0]
    return float(np.corrcoef(left.T)[0, 1] ** 2)


def test_strengths_are_those_of_partial_r2(result):
    table = linear_world()
    controls = table[["age", "land"]].to_numpy()
    p = partial_r2(table["wealth"].to_numpy(), table["grant"].to_numpy(), controls)
    columns = np.column_stack([np.ones(len(table)), controls])
    grant = table["grant"].to_numpy(dtype=float)
    left = grant - columns @ np.linalg.lstsq(columns, grant, rcond=None)[0]
    r = 1 - left.var() / grant.var()
    found = ec.sensitivity(result, kind="breakdown")
    assert found.numbers["strength"] == pytest.approx(np.sqrt(p / (r / (1 - r) + p)))
    assert found.numbers["strength_uncorrelated"] == pytest.approx(np.sqrt(p * (1 - r) / r))
    assert found.numbers["delta_exact"] == pytest.approx(
        ec.sensitivity(result, kind="oster").numbers["delta_star"]
    )
    assert found.numbers["delta_sign"] <= min(1, found.numbers["delta_exact"])
    assert found.numbers["bias_max"] == pytest.approx(2 * result.estimate)


def test_an_unseen_variable_of_that_strength_brings_the_estimate_to_zero():
    """Add a variable, correlated with no control, that is as strong as the table says."""
    table = linear_world(500, seed=7)
    result = ec.ate(designed(table), method="ols")
    found = ec.sensitivity(result, kind="breakdown")
    columns = np.column_stack([np.ones(len(table)), table[["age", "land"]]])
    pair = table[["grant", "wealth"]].to_numpy(dtype=float)
    left = pair - columns @ np.linalg.lstsq(columns, pair, rcond=None)[0]
    # all that is left of the outcome: the strongest it can be with the outcome, and so the weakest with treatment
    table["hidden"] = left[:, 1]
    full = np.column_stack([columns, table["hidden"]])
    gamma = np.linalg.lstsq(full, pair[:, 0], rcond=None)[0]
    strength = gamma[3] * table["hidden"].std(ddof=0) / np.std(columns @ gamma[:3])
    assert strength == pytest.approx(found.numbers["strength_uncorrelated"])
    fitted = np.linalg.lstsq(np.column_stack([pair[:, 0], full]), pair[:, 1], rcond=None)[0]
    assert fitted[0] == pytest.approx(0, abs=1e-9)


def test_errors_are_those_of_a_bootstrap():
    table = linear_world(500, seed=2)
    found = ec.sensitivity(ec.ate(designed(table), method="ols"), kind="breakdown")
    rng, call = np.random.default_rng(0), Call((), False, 0.95, 0, False)
    draws = []
    for _ in range(150):
        drawn = table.iloc[rng.integers(0, len(table), len(table))].reset_index(drop=True)
        moments = seen_controls(ec.ate(designed(drawn), method="ols"), call)[0].moments
        draws.append([breakdown_strength(moments, correlation=one) for one in (1.0, 0.5, 0.0)])
    errors = np.ravel(found.estimates["all controls"].std_error)
    assert errors == pytest.approx(np.std(draws, axis=0), rel=0.2)


def test_a_wider_bias_is_no_harder_and_without_end_it_is_at_most_one(result):
    deltas = [
        ec.sensitivity(result, kind="breakdown", bias_max=one).numbers["delta_sign_limited"]
        for one in (2.0, 4.0, 10.0, 1e3)
    ]
    assert (np.diff(deltas) <= 1e-9).all()
    assert ec.sensitivity(result, kind="breakdown").numbers["delta_sign"] <= deltas[-1] <= 1.05
    narrow = ec.sensitivity(result, kind="breakdown", bias_max=0.5)
    assert np.isnan(narrow.numbers["delta_sign_limited"])
    assert narrow.sentence.endswith("but no bias of at most 0.5 reaches it.")
    wide = ec.sensitivity(result, kind="breakdown", bias_max=50.0)
    limited = f"or {wide.numbers['delta_sign_limited']:.3g} with a bias of at most 50."
    assert wide.sentence.endswith(limited)


def test_benchmarks_are_compared_one_by_one(result):
    found = ec.sensitivity(result, kind="breakdown", benchmark=["age", "land"])
    frame = found.frame
    assert frame["compared_with"].unique().tolist() == ["all controls", "age", "land"]
    of_any = frame[frame["allowed"] == "any correlation"].set_index("compared_with")["value"]
    # the weaker a control, the more times it takes
    assert of_any["land"] > of_any["age"]
    always = ec.sensitivity(result, kind="breakdown", benchmark="land", always="age")
    assert always.numbers["strength"] == pytest.approx(of_any["land"])


def test_another_null_and_a_negative_estimate(result):
    table = linear_world()
    mirrored = ec.ate(designed(table.assign(wealth=-table["wealth"])), method="ols")
    one = ec.sensitivity(result, kind="breakdown", beta=0.4)
    other = ec.sensitivity(mirrored, kind="breakdown", beta=-0.4)
    for name in ("strength", "strength_uncorrelated", "delta_exact", "delta_sign", "delta_sign_limited"):
        assert one.numbers[name] == pytest.approx(other.numbers[name], nan_ok=True)
    plain = ec.sensitivity(result, kind="breakdown")
    assert one.numbers["strength"] < plain.numbers["strength"]
    assert one.numbers["bias_max"] == pytest.approx(2 * (result.estimate - 0.4))
    assert one.estimates["all controls"].values[0] == pytest.approx(one.numbers["strength"])
    assert np.ravel(one.estimates["all controls"].std_error)[2] == pytest.approx(
        np.ravel(other.estimates["all controls"].std_error)[2]
    )
    assert "for one on the other side of 0.4" in one.sentence
    assert "for one of the other sign" in plain.sentence


def test_units_of_the_outcome_do_not_matter(result):
    table = linear_world().sample(frac=1, random_state=0).reset_index(drop=True)
    table["wealth"] *= 1e4
    scaled = ec.sensitivity(ec.ate(designed(table), method="ols"), kind="breakdown").numbers
    plain = ec.sensitivity(result, kind="breakdown").numbers
    for name in ("strength", "strength_low", "strength_uncorrelated", "delta_exact", "delta_sign"):
        assert scaled[name] == pytest.approx(plain[name], rel=1e-6)
    assert scaled["bias_max"] == pytest.approx(1e4 * plain["bias_max"])


def test_it_agrees_with_the_pure_function(result):
    moments = seen_controls(result, Call((), False, 0.95, 0, False))[0].moments
    found = ec.sensitivity(result, kind="breakdown", r2_max=0.9)
    assert found.numbers["delta_sign"] == pytest.approx(flip(moments, r2_max=0.9).delta)


def test_an_estimate_that_is_not_told_from_zero_has_no_interval():
    table = linear_world()
    table["wealth"] = np.random.default_rng(9).normal(size=len(table)) + table["age"]
    found = ec.sensitivity(ec.ate(designed(table), method="ols"), kind="breakdown")
    assert found.sentence.endswith("The estimate itself cannot be told from 0.")
    assert np.isnan(found.numbers["strength_low"])
    assert any(text.startswith("no intervals") for text in found.warnings)
    assert not found.estimates


def test_a_single_control_says_little_of_the_sign_by_delta():
    rng = np.random.default_rng(3)
    age = rng.normal(size=500)
    grant = (age + rng.normal(size=500) > 0).astype(int)
    table = pd.DataFrame({"age": age, "grant": grant, "wealth": grant - 1.2 * age + rng.normal(size=500)})
    found = ec.sensitivity(ec.ate(designed(table, covariates=["age"]), method="ols"), kind="breakdown")
    assert found.numbers["delta_sign"] == 0
    assert "for one of the other sign next to none is enough" in found.sentence
    assert any(text.startswith("delta says little of the sign") for text in found.warnings)
    assert 0 < found.numbers["strength"] < 1


def test_a_strength_has_no_limit_below_zero(result):
    beta = result.estimate - 2.5 * result.std_error
    found = ec.sensitivity(result, kind="breakdown", beta=beta, level=0.9999)
    assert found.numbers["strength_low"] == 0.0


def test_a_strength_of_any_correlation_has_no_limit_above_one():
    table = linear_world()
    dose = {"treatment": "age", "treatment_type": "continuous", "covariates": ["land", "unseen"]}
    made = ec.ate(ec.Design(table, outcome="wealth", **dose), method="ols")
    found = ec.sensitivity(made, kind="breakdown", level=0.999)
    assert found.numbers["strength"] < 1 == found.numbers["strength_high"]
    assert found.numbers["strength_uncorrelated"] > 1


@pytest.mark.parametrize("kind", ["oster", "breakdown", "evalue"])
@pytest.mark.parametrize("options", [{}, {"outcome": "noise"}, {"outcome": "less"}, {"covariates": ["land"]}])
def test_sentences_are_short_enough_to_print(kind, options):
    table = linear_world()
    table["noise"] = table["age"] + np.random.default_rng(9).normal(size=len(table))
    table["less"] = -table["wealth"]
    named = {"outcome": "wealth", "treatment": "grant", "covariates": ["age", "land"], **options}
    found = ec.sensitivity(ec.ate(ec.Design(table, **named), method="ols"), kind=kind)
    assert len(found.sentence.split()) < 70
    assert "kind=" not in found.sentence


def test_of_a_panel():
    named = {
        "outcome": "wealth",
        "treatment": "grant",
        "unit": "unit",
        "period": "year",
        "covariates": ["rain"],
    }
    found = ec.sensitivity(ec.panel(ec.PanelDesign(panel(), **named), method="twfe"), kind="breakdown")
    assert 0 < found.numbers["strength"] < 1
    assert found.subject.vcov.startswith("cluster")


def test_it_is_read_back_as_it_was(result):
    found = ec.sensitivity(result, kind="breakdown", benchmark=["age", "land"], bias_max=0.5)
    content = found.to_dict(scores=True)
    again = type(found).from_dict(json.loads(json.dumps(content, allow_nan=False)))
    assert again.to_dict(scores=True) == content
    for name, curve in found.curves.items():
        pd.testing.assert_frame_equal(again.curves[name], curve)
    figures = [one.plot() for one in (found, again)]
    assert [len(ax.lines) for ax in figures[0].axes] == [len(ax.lines) for ax in figures[1].axes]
    assert len(figures[0].axes) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bias_max": 0}, "more than 0"),
        ({"bias_max": "wide"}, "a finite number"),
        ({"beta": np.inf}, "a finite number"),
        ({"r2_max": 0.2}, "leaves the unseen nothing to explain"),
        ({"delta": 1}, "no option of this name"),
    ],
)
def test_refused(result, options, words):
    with pytest.raises(SensitivityError, match=words):
        ec.sensitivity(result, kind="breakdown", **options)


def test_an_estimate_on_the_null_is_refused(result):
    moments = seen_controls(result, Call((), False, 0.95, 0, False))[0].moments
    with pytest.raises(SensitivityError, match="on no side"):
        ec.sensitivity(result, kind="breakdown", beta=moments.long)
