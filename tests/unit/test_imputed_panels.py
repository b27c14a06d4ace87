"""Outcomes from images: what results say, how predictions follow changes, and when dividing by it is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.debiasing.corrected_result import Corrected
from eocausal.errors import DebiasError, DesignError, EstimationError

ROLES = {"treatment": "treated", "unit": "unit", "period": "period", "cluster": "region"}
COLUMNS = {
    "prediction": "imputed",
    "truth": "outcome",
    "unit": "unit",
    "period": "period",
    "cluster": "region",
}


def _design(frame: pd.DataFrame, **more: Any) -> ec.PanelDesign:
    imputed = ec.Imputed(from_sensor="landsat", model="wealth net")
    return ec.PanelDesign(frame, outcome="imputed", outcome_imputed=imputed, **ROLES, **more)


def _untreated(frame: pd.DataFrame) -> ec.Corrector:
    return ec.debias(frame[frame["first_treated"].isna()], **COLUMNS)


def _elsewhere(**more: Any) -> pd.DataFrame:
    """Places of another country, which share no name with those of a study."""
    asked = {"n_regions": 50, "imputed": (0.9, 0.3, 0.3), "effect": 0.0, "seed": 3, **more}
    made = ec.simulate_panel(**asked).frame
    return made.assign(unit="x" + made["unit"], region="x" + made["region"])


@pytest.mark.parametrize(("by_effect", "seen", "corrected"), [(0.3, 0.3, 1.0), (0.6, 0.6, 2.0)])
def test_fixed_effects_give_what_predictions_answer_and_dividing_helps_only_where_both_answers_are_one(
    by_effect: float, seen: float, corrected: float
) -> None:
    # eta_mu 0.9 plays no part; without regional shocks and with many units the numbers are near their limits
    made = ec.simulate_panel(
        n_regions=200, units_per_region=40, icc=0.0, imputed=(0.9, 0.3, by_effect), effect=1.0, seed=4
    )
    fix = _untreated(made.frame)
    found = ec.panel(_design(made.frame), correct=fix)
    assert fix.k == pytest.approx(0.3, abs=0.003)
    assert found.terms == ("naive", "lcc")
    assert found.estimate == pytest.approx([seen, corrected], abs=0.03)
    assert found.estimate[1] == pytest.approx(found.estimate[0] / fix.k, rel=1e-12)
    assert found.chosen == "lcc"
    assert any("eta_T / eta_eps times the effect" in text for text in found.assumptions)


def test_results_say_what_an_outcome_from_images_means() -> None:
    made = ec.simulate_panel(n_regions=40, imputed=(0.9, 0.3, 0.3), seed=1)
    effect = ec.panel(_design(made.frame))
    assert effect.warnings[0].startswith("the outcome was predicted from landsat images (wealth net)")
    assert "eta_T times the effect" in effect.warnings[0]
    assert "ec.debias(..., unit=, period=)" in effect.warnings[0]
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
    told = ec.panel(_design(made.frame, features=features), method="did", folds=ec.Folds(k=2)).warnings
    assert any("their errors go together and look like a confounder" in text for text in told)


def test_the_standard_error_is_that_of_a_ratio() -> None:
    made = ec.simulate_panel(n_regions=60, imputed=(0.9, 0.3, 0.3), seed=2)
    fix = ec.debias(_elsewhere(), **COLUMNS)
    effect, found = ec.panel(_design(made.frame)), ec.panel(_design(made.frame), correct=fix)
    top, bottom = effect.estimate, fix.k
    by_hand = np.hypot(effect.std_error / bottom, top * fix.std_errors["k"] / bottom**2)
    assert found.std_error == pytest.approx([effect.std_error, by_hand], rel=1e-10)
    assert found.best.to_frame()["term"].tolist() == ["lcc"]


def test_k_is_the_slope_of_changes_by_hand() -> None:
    rng = np.random.default_rng(0)
    places = pd.DataFrame({"unit": np.arange(30)})
    rounds = [places.assign(period=period, outcome=rng.normal(size=30)) for period in (2000, 2010)]
    table = pd.concat(rounds, ignore_index=True)
    table["imputed"] = 5 * table["unit"] + 0.4 * table["outcome"] + 0.3 * rng.normal(size=60)
    fix = ec.debias(table.sample(frac=1, random_state=1), **{**COLUMNS, "cluster": None})
    wide = table.pivot_table(index="unit", columns="period", values=["outcome", "imputed"])
    change = wide.xs(2010, axis=1, level=1) - wide.xs(2000, axis=1, level=1)
    slope, at_zero = np.polyfit(change["outcome"], change["imputed"], 1)
    assert fix.k == pytest.approx(slope, abs=1e-12)
    assert (fix.level, fix.n, fix.n_drawn, fix.method) == ("changes", 60, 30, "lcc")
    assert fix.r2 == pytest.approx(np.corrcoef(change["outcome"], change["imputed"])[0, 1] ** 2)
    # clustered by place: the slope and two rounds, G / (G - 1) (n - 1) / (n - 3)
    centred = change["outcome"] - change["outcome"].mean()
    left = change["imputed"] - at_zero - slope * change["outcome"]
    bare = np.sqrt(((centred * left) ** 2).sum()) / (centred**2).sum()
    assert fix.std_errors["k"] == pytest.approx(bare * np.sqrt(30 / 29 * 59 / 57), rel=1e-10)


def test_k_is_that_of_a_regression_with_dummies_and_weights() -> None:
    rng = np.random.default_rng(1)
    frame = _elsewhere(n_regions=12, units_per_region=4, periods=(2003, 2006, 2009))
    frame["w"] = rng.uniform(0.5, 2, len(frame))
    frame = frame.drop(frame.index[[3, 20, 41]])
    fix = ec.debias(frame, **COLUMNS, weights="w")
    dummies = pd.get_dummies(frame[["unit", "period"]].astype(str), dtype=float, drop_first=True)
    columns = np.column_stack([frame["outcome"], np.ones(len(frame)), dummies])
    root = np.sqrt(frame["w"].to_numpy())[:, None]
    slope = np.linalg.lstsq(columns * root, frame["imputed"].to_numpy() * root[:, 0], rcond=None)[0][0]
    assert fix.k == pytest.approx(slope, rel=1e-9)


def test_noise_in_measured_changes_is_taken_off() -> None:
    made = _elsewhere(n_regions=200, units_per_region=20)
    noisy = made.assign(outcome=made["outcome"] + np.random.default_rng(0).normal(0, 0.6, len(made)))
    clean, shrunk = ec.debias(made, **COLUMNS), ec.debias(noisy, **COLUMNS)
    assert shrunk.k < 0.9 * clean.k
    assert any(
        "errors in measured outcomes make the slope of changes too small" in text for text in shrunk.warnings
    )
    mended = ec.debias(noisy, **COLUMNS, label_noise_var=0.36)
    assert mended.k == pytest.approx(clean.k, rel=0.02)
    assert not any("too small, and effects scaled" in text for text in mended.warnings)


@pytest.mark.parametrize("method", ["event_study", "did"])
def test_every_term_stands_beside_its_correction(method: str) -> None:
    made = ec.simulate_panel(n_regions=60, units_per_region=10, imputed=(0.9, 0.3, 0.3), seed=1)
    design, fix = _design(made.frame), ec.debias(_elsewhere(), **COLUMNS)
    options = {"aggregate": "dynamic"} if method == "did" else {}
    plain = ec.panel(design, method=method, **options)
    found = ec.panel(design, method=method, correct=fix, **options)
    assert found.terms == tuple(f"{kind}: {term}" for kind in ("naive", "lcc") for term in plain.terms)
    both = np.concatenate([plain.values, plain.values / fix.k])
    np.testing.assert_allclose(found.estimate, both, rtol=1e-12)
    best = found.best
    assert best.terms == plain.terms
    assert best.diagnostics["event_times"] == plain.diagnostics["event_times"]
    # k is one number, so that a test of periods before treatment is nearly the same
    assert ec.pretrends(best).statistic == pytest.approx(ec.pretrends(plain).statistic, rel=0.02)
    assert found.bounds().shape == found.fieller().shape == (len(plain.terms), 2)
    assert ec.event_plot(best).get_xlabel() == "periods since treatment began"
    assert Corrected.from_dict(found.to_dict(scores=True)) == found
    for ask in (ec.pretrends, ec.event_plot):
        with pytest.raises(EstimationError, match=r"not by time since treatment[\s\S]*effect.best"):
            ask(found)
    lines = found.summary().splitlines()
    assert len(lines) <= 25
    # nothing is left out unsaid, and what is believed comes first
    shown = [line.strip() for line in lines if line.strip().startswith(("naive: ", "lcc: "))]
    believed = [f"lcc: {term}" for term in plain.terms][:8]
    assert [line.split("  ")[0] for line in shown[: len(believed)]] == believed
    assert len(shown) == 8
    assert f"... and {2 * len(plain.terms) - 8} more rows in .table()" in lines
    assert [line for line in lines if line.startswith("WARNING:")]
    assert found.plot().get_title() == "believed: lcc"


def test_a_calibration_of_levels_is_told_and_has_tweedie_too() -> None:
    made = ec.simulate_panel(n_regions=60, units_per_region=10, imputed=(0.9, 0.3, 0.3), seed=1)
    levels = {name: one for name, one in COLUMNS.items() if name not in ("unit", "period")}
    fix = ec.debias(_elsewhere(), **levels, method="tweedie", score="gaussian")
    found = ec.panel(_design(made.frame), method="did", correct=fix)
    assert found.terms == ("naive", "lcc", "tweedie")
    assert any(text.startswith("the calibration is of levels across places") for text in found.warnings)
    # of a normal density the correction is a line in the prediction, whose variance is that of all rows
    y = made.frame["imputed"]
    assert found.estimate[2] == pytest.approx(
        found.estimate[0] * (fix.b + fix.noise.coefficients[0] / y.var(ddof=0) / fix.b), rel=1e-9
    )
    changes = ec.panel(_design(made.frame), correct=ec.debias(_elsewhere(), **COLUMNS))
    assert not any("calibration is of levels" in text for text in changes.warnings)


def test_errors_of_the_density_count_rows_for_their_units() -> None:
    made = ec.simulate_panel(n_regions=30, units_per_region=8, imputed=(0.9, 0.3, 0.3), seed=1)
    levels = {name: one for name, one in COLUMNS.items() if name not in ("unit", "period")}
    fix = ec.debias(_elsewhere(), **levels, method="tweedie", score="gaussian")
    design = _design(made.frame)
    found = ec.panel(design, method="did", correct=fix)
    study = found.source[1]
    regions = np.unique(study.labels["region"])
    moved = []
    for region in regions:
        ends = []
        for side in (1, -1):
            counts = 1 + side * 1e-4 * (study.labels["region"] == region)
            part = study.redrawn(counts)
            score = fix.score_for(*_values(part))
            ends.append(part.estimate(lambda y, s=score: fix.correct(y, method="tweedie", score=s)).values[0])
        moved.append((ends[0] - ends[1]) / 2e-4)
    by_scores = found.scores["tweedie"].groupby(found.fit.groups["region"]).sum() / found.n
    np.testing.assert_allclose(by_scores.to_numpy(), moved, atol=1e-6)


def _values(study: Any) -> tuple[np.ndarray, np.ndarray]:
    found = study.predicted(study.estimate(lambda y: y))
    return found.values, found.weights


def test_places_in_both_samples_are_counted() -> None:
    made = ec.simulate_panel(n_regions=40, units_per_region=5, imputed=(0.9, 0.3, 0.3), seed=1)
    found = ec.panel(_design(made.frame), correct=_untreated(made.frame))
    rows = int(made.frame["first_treated"].isna().sum())
    assert any(text.startswith(f"{rows} rows of the calibration have names") for text in found.warnings)
    apart = ec.panel(_design(made.frame), correct=ec.debias(_elsewhere(), **COLUMNS))
    assert not any("have names of the study's" in text for text in apart.warnings)


def test_places_measured_once_are_counted() -> None:
    made = ec.simulate_panel(n_regions=20, imputed=(0.9, 0.3, 0.3), seed=2).frame
    once = made[(made["period"] == 2003) | (made["region"] > "r005")]
    assert ec.debias(once, **COLUMNS).warnings[0].startswith("150 places are measured in one round only")
    with pytest.raises(DebiasError, match="0 places are measured in more than one round"):
        ec.debias(made[made["period"] == 2003], **COLUMNS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.assign(imputed=np.nan), "Column 'imputed' has missing values"),
        (lambda table: table.drop(columns="outcome"), "'outcome' is not in the calibration"),
        (lambda table: pd.concat([table, table]), "have a unit and a period that another row has"),
        (lambda table: table.assign(outcome=table["period"] / 3.0), "leave nothing of the measured outcomes"),
        (lambda table: table.assign(unit=None), "Unit 'unit' is missing in some rows"),
        (lambda table: table.assign(period=table["period"] + 0.5), "not in whole numbers"),
        (lambda table: table.to_dict(), "The calibration is a dict"),
        (
            lambda table: table.assign(imputed=np.random.default_rng(2).normal(size=len(table))),
            r"hardly follow the truth[\s\S]*at least 3 standard errors",
        ),
    ],
)
def test_bad_measurements_are_refused(change: Any, words: str) -> None:
    made = _elsewhere(n_regions=10, units_per_region=2)
    with pytest.raises((DebiasError, DesignError, EstimationError), match=words):
        ec.debias(change(made), **COLUMNS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"period": None}, r"unit='unit' and period=None[\s\S]*both"),
        ({"method": "tweedie"}, r"'tweedie' is not made of changes[\s\S]*one row for each place"),
        ({"noise": "spline"}, r"Options of levels were given with unit and period[\s\S]*noise"),
        ({"groups": "region"}, r"Options of levels[\s\S]*groups"),
    ],
)
def test_what_has_no_meaning_for_changes_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(DebiasError, match=words):
        ec.debias(_elsewhere(n_regions=10), **{**COLUMNS, **options})


def test_a_calibration_of_changes_corrects_no_map_of_levels() -> None:
    fix = ec.debias(_elsewhere(), **COLUMNS)
    for ask in (lambda: fix.apply([1.0]), lambda: fix.correct([1.0], method="tweedie"), fix.diagnose):
        with pytest.raises(DebiasError, match="cannot be made from a calibration of changes"):
            ask()
    assert "Tweedie" not in fix.summary()
    again = ec.Corrector.from_dict(fix.to_dict(scores=True))
    assert again == fix
    assert again.sample.panel.unit.tolist() == fix.sample.panel.unit.tolist()


def test_what_is_no_corrector_is_refused() -> None:
    made = ec.simulate_panel(n_regions=10, units_per_region=2, imputed=(0.9, 0.3, 0.3), seed=2).frame
    with pytest.raises(EstimationError, match=r"correct is a float[\s\S]*unit=..., period=..."):
        ec.panel(_design(made), correct=0.3)


def test_few_clusters_of_either_are_told() -> None:
    made = ec.simulate_panel(n_regions=40, imputed=(0.9, 0.3, 0.3), seed=1).frame
    few = [text for text in ec.panel(_design(made)).warnings if "clusters with treated" in text]
    fix = _untreated(made)
    told = ec.panel(_design(made), correct=fix).warnings
    assert len(few) == 1
    assert few[0] in told
    assert any(text.startswith(f"the calibration has {fix.n_drawn} clusters") for text in told)


def test_units_are_drawn_anew_with_all_of_their_periods() -> None:
    made = ec.simulate_panel(n_regions=24, units_per_region=3, imputed=(0.9, 0.3, 0.3), seed=1).frame
    found = ec.panel(
        _design(made), correct=ec.debias(_elsewhere(n_regions=30, units_per_region=3), **COLUMNS)
    )
    drawn = found.refit_bootstrap(draws=50, seed=1)
    assert drawn.study == "24 clusters (region) of the study"
    assert drawn.calibration == "30 clusters of the calibration"
    assert drawn.std_error == pytest.approx(found.std_error, rel=0.4)
    assert "24" not in found.with_vcov("iid").refit_bootstrap(draws=50, seed=1).study
    with pytest.raises(DebiasError, match=r"part the rows of units[\s\S]*all of its periods"):
        found.with_vcov({"cluster": "period"}).refit_bootstrap()


def test_options_that_no_method_has_are_refused() -> None:
    made = ec.simulate_panel(n_regions=10, units_per_region=2, imputed=(0.9, 0.3, 0.3), seed=2).frame
    with pytest.raises(
        EstimationError, match=r"no option of this name[\s\S]*agregate[\s\S]*aggregate, control"
    ):
        ec.panel(_design(made), method="did", agregate="dynamic")
