"""Outcomes from images: what results say, how predictions follow changes, and when scaling by it is wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import EstimationError

ROLES = {"treatment": "treated", "unit": "unit", "period": "period", "cluster": "region"}
COLUMNS = {
    "measured": "outcome",
    "predicted": "imputed",
    "unit": "unit",
    "period": "period",
    "cluster": "region",
}


def _effect(frame: pd.DataFrame, **more: object) -> ec.Estimate:
    imputed = ec.Imputed(from_sensor="landsat", model="wealth net")
    return ec.panel(ec.PanelDesign(frame, outcome="imputed", outcome_imputed=imputed, **ROLES, **more))


def _response(frame: pd.DataFrame) -> ec.Estimate:
    return ec.prediction_response(frame[frame["first_treated"].isna()], **COLUMNS)


@pytest.mark.parametrize(("by_effect", "seen", "corrected"), [(0.3, 0.3, 1.0), (0.6, 0.6, 2.0)])
def test_fixed_effects_give_what_predictions_answer_and_scaling_helps_only_where_both_answers_are_one(
    by_effect: float, seen: float, corrected: float
) -> None:
    # eta_mu 0.9 plays no part; without regional shocks and with many units the numbers are near their limits
    made = ec.simulate_panel(
        n_regions=200, units_per_region=40, icc=0.0, imputed=(0.9, 0.3, by_effect), effect=1.0, seed=4
    )
    effect, response = _effect(made.frame), _response(made.frame)
    assert effect.estimate == pytest.approx(seen, abs=0.01)
    assert response.estimate == pytest.approx(0.3, abs=0.003)
    scaled = ec.undo_shrinkage(effect, response)
    assert scaled.estimate == pytest.approx(corrected, abs=0.03)
    assert scaled.estimate == pytest.approx(effect.estimate / response.estimate, abs=1e-12)
    assert "eta_T / eta_eps times the effect" in scaled.assumptions[0]


def test_results_say_what_an_outcome_from_images_means() -> None:
    made = ec.simulate_panel(n_regions=40, imputed=(0.9, 0.3, 0.3), seed=1)
    effect = _effect(made.frame)
    assert effect.warnings[0].startswith("the outcome was predicted from landsat images (wealth net)")
    assert "eta_T times the effect" in effect.warnings[0]
    assert any("answer to treatment as the outcome itself does" in text for text in effect.assumptions)
    assert effect.diagnostics["outcome_imputed_from"] == "landsat images (wealth net)"
    plain = ec.panel(ec.PanelDesign(made.frame, outcome="outcome", **ROLES))
    assert not any("predicted" in text for text in (*plain.warnings, *plain.assumptions))


def test_features_beside_an_imputed_outcome_are_warned_of() -> None:
    made = ec.simulate_panel(
        n_regions=40, units_per_region=4, periods=(2003, 2006), imputed=(0.9, 0.3, 0.3), seed=1
    )
    names = sorted(made.frame["unit"].unique())
    table = pd.DataFrame({"unit": names, "f0": np.random.default_rng(0).normal(size=len(names))})
    features = ec.read_embeddings(table, key="unit", date="2001-01-01")
    design = ec.PanelDesign(
        made.frame,
        outcome="imputed",
        outcome_imputed=ec.Imputed(from_sensor="landsat"),
        features=features,
        **ROLES,
    )
    told = ec.panel(design, method="did", folds=ec.Folds(k=2)).warnings
    assert any("their errors go together and look like a confounder" in text for text in told)


def test_the_standard_error_is_that_of_a_ratio() -> None:
    made = ec.simulate_panel(n_regions=60, imputed=(0.9, 0.3, 0.3), seed=2)
    effect = _effect(made.frame)
    # measured elsewhere, so that both are independent
    elsewhere = ec.simulate_panel(n_regions=50, imputed=(0.9, 0.3, 0.3), effect=0.0, seed=3).frame
    elsewhere["unit"], elsewhere["region"] = "x" + elsewhere["unit"], "x" + elsewhere["region"]
    response = ec.prediction_response(elsewhere, **COLUMNS)
    scaled = ec.undo_shrinkage(effect, response)
    top, bottom = effect.estimate, response.estimate
    bare = [one.std_error / np.sqrt(one.variance.factor) for one in (effect, response)]
    by_hand = np.sqrt((bare[0] / bottom) ** 2 + (top * bare[1] / bottom**2) ** 2)
    assert scaled.std_error / np.sqrt(scaled.variance.factor) == pytest.approx(by_hand, rel=1e-10)
    assert scaled.terms == ("treated",)


def test_the_response_is_the_slope_of_changes_by_hand() -> None:
    rng = np.random.default_rng(0)
    places = pd.DataFrame({"unit": np.arange(30)})
    rounds = [places.assign(period=period, outcome=rng.normal(size=30)) for period in (2000, 2010)]
    table = pd.concat(rounds, ignore_index=True)
    table["imputed"] = 5 * table["unit"] + 0.4 * table["outcome"] + rng.normal(size=60)
    found = ec.prediction_response(table.sample(frac=1, random_state=1), **{**COLUMNS, "cluster": None})
    wide = table.pivot_table(index="unit", columns="period", values=["outcome", "imputed"])
    change = wide.xs(2010, axis=1, level=1) - wide.xs(2000, axis=1, level=1)
    assert found.estimate == pytest.approx(np.polyfit(change["outcome"], change["imputed"], 1)[0], abs=1e-12)
    assert found.vcov == "cluster(unit)"
    assert (found.diagnostics["places"], found.diagnostics["rounds"]) == (30, 2)


@pytest.mark.parametrize(
    "vcov", ["iid", "hetero", {"bootstrap": "wild", "draws": 99}, {"cluster": "period"}, {"cluster": "unit"}]
)
def test_standard_errors_asked_for_at_once_or_later_are_the_same(vcov: object) -> None:
    made = ec.simulate_panel(
        n_regions=20, units_per_region=4, imputed=(0.9, 0.3, 0.3), effect=0.0, seed=2
    ).frame
    later = ec.prediction_response(made, **COLUMNS).with_vcov(vcov)
    at_once = ec.prediction_response(made, **COLUMNS, vcov=vcov)
    assert later.std_error == at_once.std_error
    assert later.variance.factor == at_once.variance.factor
    assert later.variance.df == at_once.variance.df
    # 80 places in 4 rounds: the slope, the rounds, and the places where they are not kept whole
    if vcov == "hetero":
        assert later.variance.factor == pytest.approx(320 / (320 - 1 - 4 - 79))
    if vcov == {"cluster": "unit"}:
        assert later.variance.factor == pytest.approx(80 / 79 * 319 / (320 - 5))
    if vcov == {"cluster": "period"}:
        assert later.variance.factor == pytest.approx(4 / 3 * 319 / (320 - 5 - 79))


def test_rows_that_are_independent_count_unit_effects_in_the_ratio_too() -> None:
    made = ec.simulate_panel(n_regions=40, units_per_region=4, imputed=(0.9, 0.3, 0.3), seed=2).frame
    effect, response = _effect(made).with_vcov("hetero"), _response(made).with_vcov("hetero")
    scaled = ec.undo_shrinkage(effect, response)
    assert scaled.variance.factor == effect.variance.factor
    assert scaled.with_vcov("hetero").std_error == scaled.std_error


def test_places_measured_once_are_counted() -> None:
    made = ec.simulate_panel(n_regions=20, imputed=(0.9, 0.3, 0.3), seed=2).frame
    once = made[(made["period"] == 2003) | (made["region"] > "r005")]
    found = ec.prediction_response(once, **COLUMNS)
    assert found.warnings[0].startswith("150 places are measured in one round only")
    with pytest.raises(EstimationError, match="0 places are measured in more than one round"):
        ec.prediction_response(made[made["period"] == 2003], **COLUMNS)


def _bad_pairs() -> dict[str, tuple[object, object, str]]:
    made = ec.simulate_panel(n_regions=40, imputed=(0.9, 0.3, 0.3), seed=1).frame
    noise = made.assign(imputed=np.random.default_rng(0).normal(size=len(made)))
    effect, response = _effect(made), _response(made)
    several = ec.panel(ec.PanelDesign(made, outcome="imputed", **ROLES), method="event_study")
    return {
        "several terms": (several, response, "effect is no Estimate with one term"),
        "no estimate": (effect, 0.3, "response is no Estimate"),
        "swapped": (effect, effect, r"response is an estimate of 'twfe coefficient'"),
        "weak": (effect, _response(noise), r"hardly move with the outcome[\s\S]*at least 3 standard errors"),
        "kinds": (effect.with_vcov("iid"), response, "different standard errors"),
    }


@pytest.mark.parametrize("case", ["several terms", "no estimate", "swapped", "weak", "kinds"])
def test_what_cannot_be_scaled_is_refused(case: str) -> None:
    effect, response, words = _bad_pairs()[case]
    with pytest.raises(EstimationError, match=words):
        ec.undo_shrinkage(effect, response)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.assign(imputed=np.nan), "Column 'imputed' is missing"),
        (lambda table: table.drop(columns="outcome"), "'outcome' is not in the data"),
        (lambda table: pd.concat([table, table]), "have a unit and a period that another row has"),
        (lambda table: table.assign(outcome=1.0), "leave nothing of these columns"),
        (lambda table: table.to_dict(), "data is a dict"),
    ],
)
def test_bad_measurements_are_refused(change: object, words: str) -> None:
    made = ec.simulate_panel(n_regions=10, units_per_region=2, imputed=(0.9, 0.3, 0.3), seed=2).frame
    with pytest.raises(EstimationError, match=words):
        ec.prediction_response(change(made), **COLUMNS)


def test_few_clusters_of_either_are_told_by_the_ratio() -> None:
    made = ec.simulate_panel(n_regions=40, imputed=(0.9, 0.3, 0.3), seed=1).frame
    effect, response = _effect(made), _response(made)
    few = [text for text in effect.warnings if "clusters with treated" in text]
    assert len(few) == 1
    assert few[0] in ec.undo_shrinkage(effect, response).warnings
    regions = made.loc[made["first_treated"].isna(), "region"].nunique()
    assert any(text.startswith(f"{regions} clusters: with fewer than 30") for text in response.warnings)
