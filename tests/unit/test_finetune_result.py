"""Predictions of networks as a result, and in the hands of estimators."""

from __future__ import annotations

import dataclasses

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch

import eocausal as ec
from eocausal.errors import EstimationError
from eocausal.training import finetune as module
from eocausal.training._fitting import fit_fold
from eocausal.training._targets import TARGETS
from eocausal.training.finetuned import Finetuned
from tests.picture_worlds import (
    QUICK,
    TWO,
    World,
    of,
    small_world,
    world,
)

mpl.use("Agg")


@pytest.fixture(scope="module")
def small() -> World:
    return small_world()


@pytest.fixture(scope="module")
def plain(small: World) -> Finetuned:
    return of(small)


# --- the result


def test_the_result_says_what_it_is(plain: Finetuned) -> None:
    assert repr(plain).startswith("Finetuned(treatment by resnet-tiny: 60 units, 30 images, 2 folds, AUC ")
    assert len(plain) == 60
    assert len(plain.summary().splitlines()) <= 25
    assert plain._repr_html_().startswith("<pre>")
    assert list(plain.to_frame().columns) == ["fold", "propensity"]
    assert set(plain.calibration["of"]) == {"network", "calibrated"}
    assert (plain.calibration.groupby("of")["n"].sum() == 60).all()
    assert plain.provenance["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize("target", ["treatment", "outcome"])
def test_the_reliability_curve_is_drawn(small: World, target: str) -> None:
    ax = of(small, target=target).plot_calibration()
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == (["network", "calibrated"] if target == "treatment" else ["control", "treated"])
    assert "out of fold" in ax.get_xlabel()


def test_the_features_join_a_design(small: World) -> None:
    learned = of(small, target="outcome")
    assert learned.embeddings.columns == ("finetuned_outcome_control", "finetuned_outcome_treated")
    assert learned.embeddings.key_name == "image"
    joined = dataclasses.replace(small.design, features=learned.embeddings)
    np.testing.assert_array_equal(joined.table.features, learned.embeddings.values[small.table["image"]])


def test_recalibration_is_learned_on_the_part_that_stops_training(small: World) -> None:
    from eocausal.training._calibration import platt

    before = of(small)
    after = of(small, network=ec.Network(epochs=3, calibrate=True))
    job = module._job(small.chips, small.design, "treatment", QUICK, TWO, 0, "cpu")
    for fold, parts in enumerate(job.parts):
        assert not set(parts.predict) & {*parts.stop, *parts.learn}
        fit = fit_fold(
            job.study, parts, target=TARGETS["treatment"], network=QUICK,
            seed=np.random.SeedSequence([0, fold]), device="cpu", told=lambda epochs: None,
        )  # fmt: skip
        slope, intercept = platt(
            fit.stopping[:, 0], job.study.treatment[parts.stop], job.study.weights[parts.stop]
        )
        assert slope >= 0
        own = before.folds == fold
        logit = np.log(before.predictions[own] / (1 - before.predictions[own]))
        np.testing.assert_allclose(
            after.predictions[own], 1 / (1 + np.exp(-intercept - slope * logit)), rtol=1e-9
        )
    pd.testing.assert_frame_equal(before.metrics, after.metrics)


@pytest.mark.parametrize("calibrate", [False, True])
def test_constants_of_folds_have_no_slope_and_are_not_called_too_extreme(calibrate: bool) -> None:
    found = world(1, n=120, strength=0.0, shown="nothing")
    # steps so small that the prediction stays what it was
    network = ec.Network(epochs=1, learning_rate=1e-30, calibrate=calibrate)
    learned = of(found, network=network, folds=ec.Folds(k=5))
    assert learned.metrics["slope"].isna().all()
    assert not any("too extreme" in text or "worse than" in text for text in learned.warnings)
    assert any("the prediction without pictures" in text for text in learned.warnings)
    outcome = of(found, network=network, folds=ec.Folds(k=5), target="outcome")
    assert outcome.metrics["slope"].isna().all()
    assert np.isfinite(outcome.metrics["rmse"]).all()
    # where units of a fold differ there is a slope, in whichever fold
    assert of(found, network=ec.Network(epochs=3)).metrics["slope"].notna().sum() > 0


def test_pictures_that_are_mostly_not_valid_are_told_of(small: World, plain: Finetuned) -> None:
    pixels = small.pixels.copy()
    pixels[[3, 7], 5:] = np.nan  # 5 of 12 rows are left
    pixels[7, 1:] = np.nan  # 1 of 12
    pixels[8, :6] = np.nan  # half
    learned = of(
        dataclasses.replace(
            small, chips=ec.chips_from_arrays(small.design.data, pixels, keys=np.arange(len(pixels)))
        )
    )
    (told,) = [text for text in learned.warnings if "less than half" in text]
    assert told.startswith("2 pictures show less than half of their pixels (the least 0.08); ")
    assert not any("less than half" in text for text in plain.warnings)


# --- predictions belong to their units


def test_predictions_follow_units_whatever_their_order(small: World, plain: Finetuned) -> None:
    order = np.random.default_rng(1).permutation(60)
    learners = ec.Learners(propensity=plain)
    one = ec.ate(small.design, method="ipw", folds=TWO, learners=learners)
    two = ec.ate(small.design.take(order), method="ipw", folds=TWO, learners=learners)
    assert two.estimate == pytest.approx(one.estimate, rel=1e-12)
    weight = np.where(
        small.table["grant"] == 1, 1 / plain.predictions[:, 0], 1 / (1 - plain.predictions[:, 0])
    )
    arms = [
        np.average(part["income"], weights=weight[part.index]) for _, part in small.table.groupby("grant")
    ]
    assert one.estimate == pytest.approx(arms[1] - arms[0], rel=1e-12)


def test_predictions_of_other_units_values_or_folds_are_refused(small: World, plain: Finetuned) -> None:
    learners = ec.Learners(propensity=plain)
    table, design = small.table, small.design

    def changed(**columns: object) -> ec.Design:
        units = ec.read_units(table.assign(**columns), id="unit", image_key="image")
        return dataclasses.replace(design, data=units)

    with pytest.raises(EstimationError, match=r"of other units: the design has 50.*lacks 10"):
        ec.ate(design.take(np.arange(50)), folds=TWO, learners=learners)
    with pytest.raises(EstimationError, match=r"(?s)other units.*not among"):
        ec.ate(changed(unit=table["unit"] + 1), folds=TWO, learners=learners)
    with pytest.raises(EstimationError, match=r"(?s)other values.*covariates"):
        ec.ate(changed(age=table["age"] + 1), folds=TWO, learners=learners)
    with pytest.raises(
        EstimationError, match=r"(?s)not those of the predictions.*Folds\('cluster', k=2\), seed=0"
    ):
        ec.ate(design, folds=TWO, learners=learners, seed=1)
    # another outcome of the same units: the propensity is the same
    ec.ate(changed(income=table["income"] ** 2), folds=TWO, learners=learners)
    predicted = of(small, target="outcome")
    with pytest.raises(EstimationError, match=r"(?s)other values.*outcome"):
        ec.ate(changed(income=table["income"] ** 2), folds=TWO, learners=ec.Learners(outcome=predicted))


def test_predictions_of_the_wrong_target_are_refused(plain: Finetuned) -> None:
    with pytest.raises(EstimationError, match=r"(?s)predicts 'treatment', not 'outcome'.*target='outcome'"):
        ec.Learners(outcome=plain)


def test_cate_learns_on_parts_of_the_units_and_refuses_predictions(small: World, plain: Finetuned) -> None:
    design = dataclasses.replace(small.design, features=plain.embeddings)
    with pytest.raises(EstimationError, match=r"(?s)cate learns anew.*finetuned.embeddings"):
        ec.cate(design, folds=TWO, learners=ec.Learners(propensity=plain), learner=ec.Forest(trees=20))
