"""Predictions by models of the study's own labels: who may learn from whom, arithmetic, bad input."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import eocausal as ec
from eocausal.errors import DebiasError, DesignError, EstimationError

PLAIN = ec.Learners(outcome=LinearRegression())


def world(n: int = 300, share: float = 0.3, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(n, 2)), columns=["green", "light"])
    table["grant"] = np.tile([0, 1], n // 2)
    wealth = table["green"] - 0.5 * table["light"] + 0.5 * table["grant"] + 0.5 * rng.normal(size=n)
    table["wealth"] = wealth.where(rng.random(n) < share)
    table["village"] = rng.integers(0, n // 5, size=n)
    table["guess"] = rng.normal(size=n)
    return table


def design_of(table: pd.DataFrame, **options: object) -> ec.Design:
    named = {"outcome": "guess", "treatment": "grant", "covariates": ["green", "light"], **options}
    return ec.Design(table, **named)


def run(table: pd.DataFrame, **options: object) -> object:
    by_design = {
        one: options.pop(one) for one in ("cluster", "covariates", "outcome", "missing") if one in options
    }
    named = {"truth": "wealth", "learners": PLAIN, **options}
    return ec.cross_predictions(design_of(table, **by_design), **named)


def test_units_with_labels_are_predicted_by_other_folds_and_others_by_the_average_of_models() -> None:
    table = world()
    found = run(table)
    known = table["wealth"].notna().to_numpy()
    assert set(found.folds[known]) == {0, 1, 2, 3, 4}
    assert set(found.folds[~known]) == {-1}
    columns = table[["green", "light"]].to_numpy()
    by_model = []
    for fold in range(5):
        train = known & (found.folds != fold)
        model = LinearRegression().fit(columns[train], table["wealth"].to_numpy()[train])
        own = found.folds == fold
        np.testing.assert_allclose(found.values[own], model.predict(columns[own]), rtol=1e-9)
        by_model.append(model.predict(columns[~known]))
    np.testing.assert_allclose(found.values[~known], np.mean(by_model, axis=0), rtol=1e-9)
    np.testing.assert_allclose(found.spread[~known], np.std(by_model, axis=0, ddof=1), rtol=1e-6)
    assert np.isnan(found.spread[known]).all()
    sizes = np.bincount(found.folds[known])
    assert np.ptp(sizes) <= 2


def test_no_label_reaches_the_prediction_of_its_own_fold() -> None:
    table = world()
    found = run(table, cluster="village")
    first = found.folds == 0
    moved = table.assign(wealth=table["wealth"].where(~first, table["wealth"] + 100))
    again = run(moved, cluster="village")
    np.testing.assert_array_equal(again.folds, found.folds)
    np.testing.assert_allclose(again.values[first], found.values[first], atol=1e-10)
    others = found.folds != 0
    assert (np.abs(again.values[others] - found.values[others]) > 1).all()


def test_units_tied_to_labels_are_predicted_by_the_model_that_has_not_seen_these() -> None:
    table = world()
    found = run(table, cluster="village")
    known = table["wealth"].notna().to_numpy()
    per_village = pd.Series(found.folds).groupby(table["village"]).nunique()
    assert (per_village == 1).all()
    with_labels = table["village"].isin(table["village"][known]).to_numpy()
    assert (found.folds[with_labels] >= 0).all()
    assert (found.folds[~with_labels] == -1).all()
    assert found.diagnostics["n_tied_to_labels"] == int((with_labels & ~known).sum())


def test_the_outcome_of_the_design_does_not_matter_and_may_be_the_truth() -> None:
    table = world()
    by_guess = run(table)
    by_truth = run(table, outcome="wealth", missing="drop")
    np.testing.assert_allclose(by_truth.values, by_guess.values, atol=1e-12)
    assert len(by_truth) == 300


def test_the_order_of_rows_does_not_matter_and_the_seed_does() -> None:
    table = world()
    found = run(table, cluster="village")
    shuffled = run(table.sample(frac=1, random_state=3), cluster="village")
    np.testing.assert_allclose(shuffled.predictions.reindex(table.index), found.values, atol=1e-10)
    assert run(table, cluster="village") == found
    assert not np.array_equal(run(table, cluster="village", seed=1).folds, found.folds)


def test_a_column_says_whose_truth_is_used() -> None:
    table = world()
    table["use"] = table["wealth"].notna() & (np.arange(300) < 200)
    hidden = table.assign(wealth=table["wealth"].where(table["use"]))
    np.testing.assert_allclose(run(table, labelled="use").values, run(hidden).values, atol=1e-12)


def test_predictions_go_onto_the_design_and_into_ppi() -> None:
    table = world(n=1000, share=0.2)
    found = run(table)
    design = found.onto(design_of(table))
    assert design.outcome == "predicted wealth"
    np.testing.assert_allclose(design.table.outcome, found.values)
    effect = ec.ppi(design, truth="wealth")
    frame = effect.fit.to_frame().set_index("term")
    assert frame.loc["ppi++", "std_error"] < 0.8 * frame.loc["classical", "std_error"]
    assert abs(frame.loc["ppi++", "estimate"] - 0.5) < 3 * frame.loc["ppi++", "std_error"]
    # means of arms by hand: averaged predictions without labels, errors out of fold with labels
    known = table["wealth"].notna()
    values = pd.Series(found.values, index=table.index)
    arm = [
        values[~known & (table["grant"] == one)].mean()
        + (table["wealth"] - values)[known & (table["grant"] == one)].mean()
        for one in (0, 1)
    ]
    assert frame.loc["ppi", "estimate"] == pytest.approx(arm[1] - arm[0])
    slope = ec.ppi_regression(
        design.data, prediction=found.name, truth="wealth", covariates=["grant"], method="ppi"
    )
    assert slope.estimate[1] == pytest.approx(arm[1] - arm[0])
    spread = [
        values[~known & (table["grant"] == one)].var() / (~known & (table["grant"] == one)).sum()
        + (table["wealth"] - values)[known & (table["grant"] == one)].var()
        / (known & (table["grant"] == one)).sum()
        for one in (0, 1)
    ]
    assert frame.loc["ppi", "std_error"] == pytest.approx(np.sqrt(sum(spread)), rel=0.02)


def test_features_of_shared_images_keep_units_together() -> None:
    rng = np.random.default_rng(0)
    table = world().assign(id=np.arange(300), place=np.arange(300) // 3, lon=30.0, lat=np.arange(300) / 100)
    units = ec.read_units(table.drop(columns="village"), id="id", lon="lon", lat="lat", image_key="place")
    features = ec.read_embeddings(
        pd.DataFrame(rng.normal(size=(100, 4)), columns=list("abcd")).assign(place=np.arange(100)),
        key="place",
    )
    design = ec.Design(units, outcome="guess", treatment="grant", features=features)
    found = ec.cross_predictions(design, truth="wealth", learners=ec.Learners(outcome="ridge"))
    assert (np.ptp(found.folds.reshape(-1, 3), axis=1) == 0).all()
    assert found.onto(design).outcome == "predicted wealth"
    assert any("no better than the mean" in text for text in found.warnings) == (
        found.diagnostics["out_of_fold_r2"] <= 0
    )


def test_models_that_disagree_are_spoken_of() -> None:
    from sklearn.tree import DecisionTreeRegressor

    unstable = run(world(share=0.05), learners=ec.Learners(outcome=DecisionTreeRegressor(random_state=0)))
    assert any("models of different folds disagree" in text for text in unstable.warnings)
    assert not run(world()).warnings


def test_the_result_is_complete() -> None:
    found = run(world(), cluster="village")
    assert repr(found).startswith("CrossPredictions(wealth: 300 units, ")
    assert len(found.summary().splitlines()) <= 25
    assert found.to_frame().columns.tolist() == ["id", "prediction", "truth", "fold", "spread"]
    again = type(found).from_dict(json.loads(json.dumps(found.to_dict(scores=True))))
    assert again == found
    with pytest.raises(DebiasError, match="holds no values by unit"):
        type(found).from_dict(found.to_dict())
    assert found.provenance["folds"] == {"kind": "cluster", "k": 5}
    assert found.plot().get_ylabel() == "wealth"
    known = world()["wealth"].notna()
    y, f = world()["wealth"][known], found.values[known]
    assert found.diagnostics["out_of_fold_r2"] == pytest.approx(
        1 - ((y - f) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    )
    assert found.diagnostics["slope_of_truth"] == pytest.approx(np.polyfit(f, y, 1)[0])


@pytest.mark.parametrize(
    ("change", "options", "error", "words"),
    [
        ({}, {"truth": "wealt"}, DebiasError, "Did you mean 'wealth'"),
        ({"wealth": np.nan}, {}, DebiasError, "No unit is labelled"),
        ({"wealth": 1.0}, {}, DebiasError, "All 300 units have labels"),
        ({"wealth": "rich"}, {}, DesignError, "not numeric"),
        ({}, {"truth": "grant"}, DebiasError, "among the treatment"),
        ({}, {"truth": "green"}, DebiasError, "among the covariates"),
        ({}, {"covariates": []}, DebiasError, "nothing to predict from"),
        ({"use": True}, {"labelled": "use"}, DebiasError, "labelled by 'use' but have no"),
        ({"use": 3}, {"labelled": "use"}, DebiasError, "is not true or false"),
        (
            {"few": np.arange(300)},
            {"truth": "few", "folds": ec.Folds(k=5)},
            DebiasError,
            "are dealt into 5 folds",
        ),
        ({"one": "a"}, {"cluster": "halves"}, DebiasError, "are dealt into 5 folds"),
        ({}, {"cluster": "village", "folds": ec.Folds("random")}, EstimationError, "would part units"),
        ({}, {"folds": ec.Folds(repeats=3)}, EstimationError, "leave repeats out"),
        ({}, {"learners": ec.Learners(columns="features")}, EstimationError, "the design has no features"),
    ],
)
def test_bad_input_is_named(change: dict, options: dict, error: type, words: str) -> None:
    table = world().assign(halves=np.arange(300) % 4, **change)
    if "few" in change:
        table["few"] = table["few"].astype(float).where(np.arange(300) < 8)
    with pytest.raises(error, match=words):
        run(table, **options)


def test_a_table_is_no_design_and_another_study_is_refused() -> None:
    with pytest.raises(DebiasError, match="design is a DataFrame"):
        ec.cross_predictions(world(), truth="wealth")
    other = world().set_axis(np.arange(1000, 1300))
    with pytest.raises(DebiasError, match="Units of the design were not predicted"):
        run(world()).onto(design_of(other))
