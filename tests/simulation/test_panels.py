"""Panels over many draws: clusters of assignment, effects that grow, few treated regions, outcomes from images."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec

DRAWS = 400
ROLES = {
    "outcome": "outcome",
    "treatment": "treated",
    "unit": "unit",
    "period": "period",
    "cluster": "region",
}


def _design(made: object) -> ec.PanelDesign:
    return ec.PanelDesign(made.frame, **ROLES)


def _said(name: str, **numbers: float) -> None:
    print(f"\n{name}: " + ", ".join(f"{what} {value:.3f}" for what, value in numbers.items()))


@pytest.mark.slow
def test_units_as_clusters_reject_a_true_null_far_too_often_where_regions_were_assigned() -> None:
    rejected = dict.fromkeys(("twfe by unit", "twfe by region", "did by unit", "did by region"), 0.0)
    for seed in range(DRAWS):
        design = _design(
            ec.simulate_panel(n_regions=60, units_per_region=25, effect=0.0, icc=0.3, never=0.5, seed=seed)
        )
        for method in ("twfe", "did"):
            made = ec.panel(design, method=method)
            for by in ("unit", "region"):
                rejected[f"{method} by {by}"] += (made.with_vcov({"cluster": by}).p_value() < 0.05) / DRAWS
    _said("rejected at 5%", **rejected)
    for method in ("twfe", "did"):
        assert rejected[f"{method} by unit"] > 0.30
        assert 0.02 < rejected[f"{method} by region"] < 0.09


@pytest.mark.slow
def test_effects_that_grow_bias_twfe_and_not_did() -> None:
    found: dict[str, list[float]] = {"twfe": [], "simple": [], "dynamic": [], "group": [], "event 2": []}
    covered = dict.fromkeys(found, 0.0)
    for seed in range(DRAWS):
        made = ec.simulate_panel(n_regions=90, units_per_region=5, growth=1.0, never=0.3, seed=seed)
        design, truth = _design(made), made.true_by_event
        targets = {
            "simple": made.true_att,
            "dynamic": np.mean(list(truth.values())),
            "group": _by_group(made),
        }
        results = {name: ec.panel(design, method="did", aggregate=name).to_frame() for name in targets}
        results["twfe"], targets["twfe"] = ec.panel(design).to_frame(), made.true_att
        results["event 2"], targets["event 2"] = results["dynamic"].query("term == 'event 2'"), truth[2]
        for name, target in targets.items():
            first = results[name].iloc[0]
            found[name].append(first["estimate"] - target)
            covered[name] += (first["conf_low"] <= target <= first["conf_high"]) / DRAWS
    bias = {name: float(np.mean(errors)) for name, errors in found.items()}
    _said("bias", **bias)
    _said("covered at 95%", **covered)
    assert bias["twfe"] < -0.3
    assert covered["twfe"] < 0.5
    for name in ("simple", "dynamic", "group", "event 2"):
        noise = np.std(found[name]) / np.sqrt(DRAWS)
        assert abs(bias[name]) < 4 * noise
        assert 0.92 <= covered[name] <= 0.98


@pytest.mark.slow
def test_predictions_out_of_fold_cover_where_trends_follow_the_image() -> None:
    draws, n = 150, 500
    covered, errors = dict.fromkeys(("did", "did with features"), 0.0), []
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        seen = rng.normal(size=(n, 3))
        treated = rng.uniform(size=n) < 1 / (1 + np.exp(-0.7 * seen[:, 0]))
        change = seen[:, 0] + 0.5 * seen[:, 1] + treated + rng.normal(size=n)
        before = rng.normal(size=n)
        frame = pd.DataFrame({"unit": np.tile(np.arange(n), 2), "period": np.repeat([2003, 2006], n)})
        frame["outcome"] = np.concatenate([before, before + change])
        frame["treated"] = np.concatenate([np.zeros(n), treated]).astype(int)
        mixed = (seen @ rng.normal(size=(3, 12)) + 0.1 * rng.normal(size=(n, 12))).astype(np.float32)
        columns = {f"f{place:02d}": mixed[:, place] for place in range(12)}
        features = ec.read_embeddings(
            pd.DataFrame({"unit": np.arange(n), **columns}), key="unit", date="2002-06-30"
        )
        roles = {name: ROLES[name] for name in ("outcome", "treatment", "unit", "period")}
        for name, more in (("did", {}), ("did with features", {"features": features})):
            made = ec.panel(ec.PanelDesign(frame, **roles, **more), method="did")
            low, high = made.ci()
            covered[name] += (low <= 1 <= high) / draws
        errors.append(made.estimate - 1)
    _said("trends that follow the image", bias=float(np.mean(errors)), **covered)
    assert covered["did"] < 0.2
    assert 0.90 <= covered["did with features"] <= 0.99
    assert abs(np.mean(errors)) < 0.05


def _by_group(made: object) -> float:
    """Return the mean over treated units of each one's mean effect; cohorts are equally large."""
    effects = list(made.true_by_event.values())
    return float(np.mean([np.mean(effects[:length]) for length in range(1, len(effects) + 1)]))


@pytest.mark.slow
def test_few_treated_regions_make_clustered_errors_too_small_and_the_result_says_so() -> None:
    covered, warned, draws = dict.fromkeys(("clustered", "wild bootstrap"), 0.0), 0, 200
    for seed in range(draws):
        made = ec.simulate_panel(n_regions=60, units_per_region=5, periods=(1, 2), never=0.95, seed=seed)
        result = ec.panel(_design(made), method="did")
        for name, one in (("clustered", result), ("wild bootstrap", result.with_vcov({"bootstrap": "wild"}))):
            low, high = one.ci()
            covered[name] += (low <= 1 <= high) / draws
        warned += any("3 clusters with treated" in text for text in result.warnings)
    _said("covered with three treated regions", **covered)
    assert covered["clustered"] < 0.90
    assert covered["wild bootstrap"] > 0.92
    assert warned == draws


@pytest.mark.slow
def test_scaled_effects_cover_where_images_answer_to_treatment_as_to_all_else() -> None:
    covered = dict.fromkeys(("predictions alone", "scaled"), 0.0)
    for seed in range(200):
        frame = ec.simulate_panel(n_regions=60, units_per_region=5, imputed=(0.9, 0.3, 0.3), seed=seed).frame
        imputed = ec.Imputed(from_sensor="landsat")
        design = ec.PanelDesign(frame, **{**ROLES, "outcome": "imputed"}, outcome_imputed=imputed)
        fix = ec.debias(
            frame[frame["first_treated"].isna()], prediction="imputed", truth="outcome", unit="unit",
            period="period", cluster="region",
        )  # fmt: skip
        made = ec.panel(design, correct=fix)
        for name, (low, high) in zip(covered, made.ci()):
            covered[name] += (low <= 1 <= high) / 200
    _said("covered with an imputed outcome", **covered)
    assert covered["predictions alone"] < 0.05
    assert covered["scaled"] > 0.90
