"""Networks trained on pixels: what they predict they have not seen, and what they are given is what is said."""

from __future__ import annotations

import dataclasses
import importlib.util

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch

import eocausal as ec
from eocausal.errors import EncoderError, EstimationError, ImageryError, LeakError
from eocausal.evaluate.overlap import auc_with_influence
from eocausal.training import finetune as module
from eocausal.training._fitting import Parts, Study, fit_fold
from eocausal.training._targets import TARGETS
from eocausal.training.finetuned import Finetuned
from tests.fake_chips import FakeChips
from tests.picture_worlds import TRUE_ATE, World, world

mpl.use("Agg")

TWO = ec.Folds(k=2)
QUICK = ec.Network(epochs=3)


def finetune(chips: object, design: ec.Design, **options: object) -> Finetuned:
    asked = {"network": QUICK, "folds": TWO, "device": "cpu", "progress": False, **options}
    return ec.finetune(chips, design, **asked)


def of(small: World, **options: object) -> Finetuned:
    return finetune(small.chips, small.design, **options)


def same(one: Finetuned, two: Finetuned) -> bool:
    return (
        one.predictions.tobytes() == two.predictions.tobytes()
        and one.embeddings.values.tobytes() == two.embeddings.values.tobytes()
        and one.history.equals(two.history)
    )


@pytest.fixture(scope="module")
def small() -> World:
    return world(0, n=60, per_image=2, covariates=["age"])


@pytest.fixture(scope="module")
def plain(small: World) -> Finetuned:
    return of(small)


@pytest.fixture(scope="module")
def confounded() -> World:
    return world(3, n=300)


@pytest.fixture(scope="module")
def propensity(confounded: World) -> Finetuned:
    return of(confounded, network="resnet-tiny", folds=ec.Folds(k=3))


@pytest.fixture(scope="module")
def outcome(confounded: World) -> Finetuned:
    return of(confounded, network="resnet-tiny", folds=ec.Folds(k=3), target="outcome")


# --- what is learned


def test_treatment_that_pictures_show_is_predicted_nearly_as_well_as_can_be(
    confounded: World, propensity: Finetuned
) -> None:
    treatment = confounded.design.table.treatment
    best, _ = auc_with_influence(confounded.latent, treatment)
    metrics = propensity.metrics
    assert best - 0.06 < metrics.loc["network", "auc"] <= best + 0.02
    assert metrics.loc["constant", "auc"] == 0.5
    oracle = -np.mean(np.log(np.where(treatment == 1, confounded.table["e"], 1 - confounded.table["e"])))
    assert metrics.loc["network", "log_loss"] < oracle + 0.5 * (metrics.loc["constant", "log_loss"] - oracle)
    assert np.corrcoef(propensity.predictions[:, 0], confounded.table["e"])[0, 1] > 0.85


def test_estimates_with_the_networks_are_less_biased(
    confounded: World, propensity: Finetuned, outcome: Finetuned
) -> None:
    design, folds = confounded.design, ec.Folds(k=3)
    naive = ec.ate(design, method="difference").estimate - TRUE_ATE
    weighted = ec.ate(design, method="ipw", folds=folds, learners=ec.Learners(propensity=propensity))
    both = ec.ate(design, folds=folds, learners=ec.Learners(propensity=propensity, outcome=outcome))
    assert naive > 0.8
    assert abs(weighted.estimate - TRUE_ATE) < 0.4 * naive
    assert abs(both.estimate - TRUE_ATE) < 0.2 * naive
    assert both.assumptions == (
        "given the pictures, treatment is as good as random, and both arms are possible",
    )
    assert (outcome.metrics.loc["network", "r2"] > 0.5).all()


def test_the_overlap_of_a_network_is_the_auc_of_its_predictions(
    confounded: World, propensity: Finetuned
) -> None:
    found = ec.overlap(confounded.design, folds=ec.Folds(k=3), learners=ec.Learners(propensity=propensity))
    expected, _ = auc_with_influence(propensity.predictions[:, 0], confounded.design.table.treatment)
    assert found.estimate == expected
    assert expected == pytest.approx(propensity.metrics.loc["network", "auc"], abs=0.03)


def test_a_covariate_enters_the_prediction_and_not_the_features_of_pictures() -> None:
    found = world(1, n=200, shown="nothing", strength=0.0)
    table = found.table.assign(grant=(found.table["age"] + 0.3 * np.sin(np.arange(200)) > 0).astype(int))
    units = ec.read_units(table, id="unit", image_key="image")
    design = ec.Design(units, outcome="income", treatment="grant", covariates=["age"])
    learned = finetune(found.chips, design, network=ec.Network(epochs=40, learning_rate=0.01))
    assert learned.metrics.loc["network", "auc"] > 0.9
    pictures, _ = auc_with_influence(learned.embeddings.values[:, 0].astype(float), design.table.treatment)
    assert abs(pictures - 0.5) < 0.12


# --- nothing leaks


@pytest.fixture(scope="module")
def null() -> World:
    """Treatment by picture at random, pictures of noise: a network that sees the fold knows them by heart."""
    return world(5, n=240, per_image=4, by_image=True, strength=0.0, shown="nothing")


def test_where_pictures_say_nothing_the_auc_is_one_half_within_its_error(null: World) -> None:
    network = ec.Network(epochs=25, patience=25, augment=False)
    learned = of(null, network=network, folds=ec.Folds(k=3))
    overlap = ec.overlap(null.design, folds=ec.Folds(k=3), learners=ec.Learners(propensity=learned))
    assert overlap.auc.vcov == "cluster(image)"
    assert abs(overlap.estimate - 0.5) < 3 * overlap.std_error
    # the same network with its own fold among what it learns from: the test above would find this out
    study = _study(null)
    everyone = np.arange(len(study.ids))
    seen = _fit(study, Parts(everyone, everyone, everyone), network)
    leaked, _ = auc_with_influence(seen.outputs[:, 0], study.treatment)
    assert leaked > 0.9 > 0.5 + 3 * overlap.std_error


def test_units_that_share_a_picture_are_in_one_fold_and_get_one_prediction() -> None:
    shared = world(2, n=80, per_image=4)
    assert pd.Series(shared.table["grant"]).groupby(shared.table["image"]).nunique().max() == 2
    learned = of(shared)
    by_image = learned.to_frame().groupby(shared.table["image"].to_numpy())
    assert (by_image["fold"].max() == by_image["fold"].min()).all()
    assert (by_image["propensity"].max() == by_image["propensity"].min()).all()
    expected = 1 / (1 + np.exp(-learned.embeddings.values[shared.table["image"], 0].astype(float)))
    np.testing.assert_allclose(learned.predictions[:, 0], expected, rtol=1e-6)


def test_outcomes_of_a_fold_do_not_move_its_own_predictions(small: World) -> None:
    before = of(small, target="outcome")
    own = before.folds == 1
    table = small.table.assign(income=small.table["income"] + 50 * np.sin(np.arange(60)) * own)
    units = ec.read_units(table, id="unit", image_key="image")
    after = finetune(small.chips, dataclasses.replace(small.design, data=units), target="outcome")
    np.testing.assert_array_equal(after.folds, before.folds)
    np.testing.assert_array_equal(after.predictions[own], before.predictions[own])
    assert (after.predictions[~own] != before.predictions[~own]).all()


def test_pixels_of_a_fold_do_not_enter_the_training_or_the_stopping_of_its_network(
    small: World, plain: Finetuned
) -> None:
    images = np.unique(small.table["image"][plain.folds == 0])
    pixels = small.pixels.copy()
    pixels[images] = 1000 * np.sign(pixels[images])
    changed = ec.chips_from_arrays(small.design.data, pixels, keys=np.arange(len(pixels)))
    after = finetune(changed, small.design)
    own, others = (after.history["fold"] == 0, after.history["fold"] == 1)
    pd.testing.assert_frame_equal(after.history[own], plain.history[own])
    assert not after.history[others].equals(plain.history[others])


def test_the_same_pixels_under_two_keys_in_two_folds_are_a_warning() -> None:
    plain = world(4, n=40)
    pixels = plain.pixels.copy()
    pixels[20:] = pixels[:20]
    learned = finetune(ec.chips_from_arrays(plain.design.data, pixels, keys=np.arange(40)), plain.design)
    (told,) = [text for text in learned.warnings if "same pixels" in text]
    twins = learned.folds[:20] != learned.folds[20:]
    assert told.startswith(f"{2 * int(twins.sum())} pictures")


# --- reproducible


def test_the_same_seed_gives_the_same_bytes_and_moves_no_global_generator(
    small: World, plain: Finetuned
) -> None:
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    assert same(of(small), plain)
    assert torch.equal(torch.get_rng_state(), torch_before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert not same(of(small, seed=1), plain)


@pytest.mark.parametrize("target", ["treatment", "outcome"])
def test_the_order_of_units_moves_nothing(small: World, target: str) -> None:
    before = of(small, target=target).to_frame()
    order = np.random.default_rng(0).permutation(60)
    after = finetune(small.chips, small.design.take(order), target=target).to_frame()
    assert not after.index.equals(before.index)
    pd.testing.assert_frame_equal(after.loc[before.index], before, check_exact=True)


class Killed(BaseException):
    pass


def _killed_in_fold_one(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let training die in its second fold; return the list in which the seeds of folds are noted."""
    began: list[int] = []

    def dying(*args: object, **named: object) -> object:
        began.append(len(began))
        if len(began) == 2:
            raise Killed
        return fit_fold(*args, **named)

    monkeypatch.setattr(module, "fit_fold", dying)
    return began


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    small: World, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = of(small, out=tmp_path / "whole")
    began = _killed_in_fold_one(monkeypatch)
    with pytest.raises(Killed):
        of(small, out=tmp_path / "killed")
    assert [path.name for path in sorted((tmp_path / "killed").glob("*.safetensors"))] == [
        "fold-00.safetensors"
    ]
    resumed = of(small, out=tmp_path / "killed")
    assert len(began) == 3  # fold 0, fold 1 that died, fold 1 again
    assert same(resumed, whole)
    contents = [
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("whole", "killed")
    ]
    assert contents[0] == contents[1]


def test_a_finished_run_is_read_back_and_a_damaged_fold_is_made_again(
    small: World, plain: Finetuned, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert same(of(small, out=tmp_path), plain)
    began: list[int] = []

    def counted(*args: object, **named: object) -> object:
        began.append(1)
        return fit_fold(*args, **named)

    monkeypatch.setattr(module, "fit_fold", counted)
    assert same(of(small, out=tmp_path), plain)
    assert began == []
    (tmp_path / "fold-01.safetensors").write_bytes(b"half of it")
    assert same(of(small, out=tmp_path), plain)
    assert began == [1]


def test_a_folder_of_another_run_is_refused_by_what_differs(small: World, tmp_path: object) -> None:
    of(small, out=tmp_path / "run")
    with pytest.raises(EstimationError, match=r"(?s)made from something else.*network\.epochs: 3 -> 4"):
        of(small, out=tmp_path / "run", network=ec.Network(epochs=4))
    calibrated = of(small, out=tmp_path / "run", network=ec.Network(epochs=3, calibrate=True))
    assert calibrated.provenance["network"]["calibrate"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text('{"format": 1, "run": {}}')
    with pytest.raises(EstimationError, match="not of a run of finetune"):
        of(small, out=tmp_path / "other")


# --- what a network is given


def _study(found: World) -> Study:
    from eocausal.training._fold_pixels import read_chips

    table = found.design.table
    return Study(
        table.ids, table.outcome, table.treatment, table.weights, table.covariates, found.design.groups,
        table.image_keys.astype(np.intp), read_chips(found.chips, found.chips.keys, None),
    )  # fmt: skip


def _fit(study: Study, parts: Parts, network: ec.Network, target: str = "treatment") -> object:
    return fit_fold(
        study, parts, target=TARGETS[target], network=network, seed=np.random.SeedSequence(0), device="cpu",
        told=lambda epochs: None,
    )  # fmt: skip


@pytest.mark.parametrize("target", ["treatment", "outcome"])
def test_a_unit_of_weight_two_counts_like_two_units(target: str) -> None:
    study = _study(world(6, n=40, per_image=2))
    learn, stop, predict = np.arange(24), np.arange(24, 32), np.arange(32, 40)
    heavy = dataclasses.replace(study, weights=np.where(study.ids == 5, 2.0, 1.0))
    twice = np.append(np.arange(40), 5)
    arrays = {
        name: getattr(study, name)[twice] for name in ("ids", "outcome", "treatment", "groups", "image_of")
    }
    double = Study(**arrays, weights=np.ones(41), covariates=np.zeros((41, 0)), chips=study.chips)
    network = ec.Network(epochs=3, augment=False)
    one = _fit(heavy, Parts(learn, stop, predict), network, target)
    two = _fit(double, Parts(np.append(learn, 40), stop, predict), network, target)
    unweighted = _fit(study, Parts(learn, stop, predict), network, target)
    # Adam makes steps of the last digits of small gradients, so the two are not equal to the last digit
    assert np.abs(two.outputs - one.outputs).max() < 2e-3
    assert np.abs(unweighted.outputs - one.outputs).max() > 0.05
    np.testing.assert_allclose(one.losses, two.losses, atol=2e-4)


def test_before_training_the_prediction_is_the_constant_of_the_units_learned_from() -> None:
    study = _study(world(7, n=40))
    learn, stop, predict = np.arange(20), np.arange(20, 30), np.arange(30, 40)
    parts = Parts(learn, stop, predict)
    # steps so small that nothing is learned
    network = ec.Network(epochs=1, learning_rate=1e-30)
    treatment = _fit(study, parts, network)
    share = study.treatment[learn].mean()
    np.testing.assert_allclose(treatment.outputs, np.log(share / (1 - share)), rtol=1e-6)
    mine = study.treatment[stop]
    np.testing.assert_allclose(
        treatment.losses[0, 1], -np.mean(mine * np.log(share) + (1 - mine) * np.log(1 - share)), rtol=1e-6
    )
    outcome = _fit(study, parts, network, "outcome")
    for arm in (0, 1):
        mean = study.outcome[learn][study.treatment[learn] == arm].mean()
        np.testing.assert_allclose(outcome.outputs[:, arm], mean, rtol=1e-5)


def test_each_outcome_head_is_taught_by_its_own_arm() -> None:
    outputs = torch.tensor([[1.0, 5.0], [2.0, 7.0]], requires_grad=True)
    losses = TARGETS["outcome"].loss(outputs, torch.tensor([3.0, 4.0]), torch.tensor([0.0, 1.0]))
    assert losses.tolist() == [4.0, 9.0]
    losses.sum().backward()
    assert outputs.grad.tolist() == [[-4.0, 0.0], [0.0, 6.0]]


def test_pixels_that_are_not_valid_are_zero_after_scaling_and_do_not_enter_the_scale() -> None:
    from eocausal.training._fold_pixels import read_chips

    rng = np.random.default_rng(0)
    pixels = rng.normal(100, 20, size=(4, 1, 2, 3, 3)).astype(np.float32)
    mask = rng.uniform(size=(4, 1, 3, 3)) < 0.7
    chips = FakeChips(np.array(list("dbca")), {"3px": pixels}, {"3px": mask}, order=np.array([2, 0, 3, 1]))
    table = read_chips(chips, np.array(list("abc")), None)
    place = {"a": 3, "b": 1, "c": 2}
    scale = table.scale(np.array([0, 2]))
    for band in range(2):
        valid = np.concatenate([pixels[place[key], 0, band][mask[place[key], 0]] for key in "ac"])
        np.testing.assert_allclose([scale[0][band], scale[1][band]], [valid.mean(), valid.std()], rtol=1e-5)
    for row, key in enumerate("abc"):
        expected = np.where(
            mask[place[key]],
            (pixels[place[key], 0] - scale[0][:, None, None]) / scale[1][:, None, None],
            0.0,
        )
        np.testing.assert_allclose(table.pictures(np.array([row]), scale)[0], expected, rtol=1e-5, atol=1e-6)
    assert [key for batch in chips.read for key in batch] == ["c", "a", "b"]


def test_chips_too_large_for_memory_give_the_same_numbers(
    small: World, plain: Finetuned, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eocausal.training import _fold_pixels

    monkeypatch.setattr(_fold_pixels, "_IN_MEMORY", 1000)
    table = _fold_pixels.read_chips(small.chips, small.chips.keys, None)
    assert isinstance(table.pixels, np.memmap)
    assert same(of(small), plain)


@pytest.mark.parametrize("name", ["resnet-tiny", "convnext-tiny", "vit-tiny"])
@pytest.mark.parametrize("shape", [(1, 9, 9), (5, 17, 13), (2, 70, 66)])
def test_every_network_takes_any_bands_and_sizes(name: str, shape: tuple[int, int, int]) -> None:
    bands, height, width = shape
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(16, 1, bands, height, width)).astype(np.float32)
    names = tuple(f"b{i}" for i in range(bands))
    mask = np.ones((16, 1, height, width), dtype=bool)
    chips = FakeChips(np.arange(16), {"a": pixels}, {"a": mask}, bands=names, key_name="unit")
    units = pd.DataFrame(
        {"grant": [0, 1] * 8, "income": rng.normal(size=16)}, index=pd.RangeIndex(16, name="unit")
    )
    design = ec.Design(units, outcome="income", treatment="grant")
    learned = finetune(chips, design, network=ec.Network(name, epochs=1, batch_size=2))
    assert learned.predictions.shape == (16, 1)
    assert ((learned.predictions > 0) & (learned.predictions < 1)).all()


def test_pictures_are_flipped_and_turned_in_the_eight_ways() -> None:
    from eocausal.training._fitting import turned

    rng = np.random.default_rng(0)
    square = np.repeat(np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3), 200, axis=0)
    ways = {one.tobytes() for one in turned(square, rng)}
    picture = square[0, 0]
    assert ways == {
        np.ascontiguousarray(np.rot90(flipped, quarters)).tobytes()
        for flipped in (picture, picture.T)
        for quarters in range(4)
    }
    oblong = np.repeat(np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3), 200, axis=0)
    assert {one.tobytes() for one in turned(oblong, rng)} == {
        np.ascontiguousarray(one).tobytes()
        for one in (oblong[0], oblong[0, :, ::-1], oblong[0, :, :, ::-1], oblong[0, :, ::-1, ::-1])
    }


def test_training_stops_after_patience_and_keeps_the_best_epoch(small: World) -> None:
    learned = of(small, network=ec.Network(epochs=40, patience=2, augment=False))
    for _, fold in learned.history.groupby("fold"):
        best = int(fold.loc[fold["kept"], "epoch"].iloc[0])
        assert fold["validation"].to_numpy().argmin() == best
        assert len(fold) - 1 == min(best + 2, 40)


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


# --- what cannot be done


def test_pictures_of_the_day_of_treatment_are_refused_and_earlier_ones_taken() -> None:
    found = world(8, n=40)
    table = found.table.assign(day="2007-07-01")
    units = ec.read_units(table, id="unit", image_key="image", date="day")
    design = ec.Design(units, outcome="income", treatment="grant")

    def dated(day: str | None) -> ec.Chips:
        return ec.chips_from_arrays(units, found.pixels, keys=np.arange(40), date=day)

    for target in ("treatment", "outcome"):
        with pytest.raises(LeakError, match=r"(?s)2007-07-01 was taken on or after treatment"):
            finetune(dated("2007-07-01"), design, target=target)
    assert not any("when they were taken" in text for text in finetune(dated("2007-06-30"), design).warnings)
    assert any(
        "40 pictures do not say when they were taken" in text
        for text in finetune(dated(None), design).warnings
    )


BAD = {
    "target": ({"target": "propensity"}, EstimationError, r"target='propensity' is not known"),
    "network": ({"network": "resnet-tiney"}, EncoderError, r"(?s)network='resnet-tiney'.*'resnet-tiny'"),
    "folds": ({"folds": 5}, EstimationError, r"(?s)folds is a int.*ec.Folds\(k=5\)"),
    "seed": ({"seed": -1}, EstimationError, r"seed=-1"),
    "device": ({"device": "tpu"}, EncoderError, r"device='tpu' is not known"),
    "too many folds": ({"folds": ec.Folds(k=31)}, EstimationError, r"31 folds .* there are 30 groups"),
    "block": ({"network": ec.Network(block="960m")}, ImageryError, r"block='960m' is not known"),
    "divergence": (
        {"network": ec.Network(epochs=5, learning_rate=1e30)}, EstimationError,
        r"(?s)diverged.*learning_rate=1e\+29",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(BAD))
def test_what_cannot_be_done_is_said(small: World, name: str) -> None:
    options, error, match = BAD[name]
    with pytest.raises(error, match=match):
        of(small, **options)


@pytest.mark.parametrize(("settings", "match"), [
    ({"epochs": 0}, "epochs=0"), ({"patience": 1.5}, "patience=1.5"), ({"batch_size": 1}, "at least 2"),
    ({"learning_rate": 0}, "learning_rate=0"), ({"augment": "yes"}, "augment='yes'"),
    ({"calibrate": 1}, "calibrate=1"),
])  # fmt: skip
def test_settings_out_of_range_are_refused(settings: dict, match: str) -> None:
    with pytest.raises(EncoderError, match=match):
        ec.Network(**settings)


def test_a_design_is_asked_for(small: World) -> None:
    with pytest.raises(EstimationError, match=r"design is a DataFrame"):
        finetune(small.chips, small.table)


def test_an_arm_that_is_too_small_in_a_training_part_is_refused() -> None:
    found = world(0, n=40)
    table = found.table.assign(grant=(found.table["unit"] < 3).astype(int))
    units = ec.read_units(table, id="unit", image_key="image")
    design = ec.Design(units, outcome="income", treatment="grant")
    with pytest.raises(
        EstimationError, match=r"(?s)Outside fold \d there are [12] treated, \d+ control.*fewer folds"
    ):
        finetune(found.chips, design, folds=TWO)


def test_chips_of_other_places_are_refused(small: World) -> None:
    few = ec.chips_from_arrays(small.design.data.take(np.arange(40)), small.pixels[:20], keys=np.arange(20))
    with pytest.raises(
        EstimationError, match=r"(?s)do not hold the pictures of 20 units.*look like \[0, 1, 2\]"
    ):
        finetune(few, small.design)


def test_units_without_a_usable_picture_are_refused_by_arm(small: World) -> None:
    pixels = small.pixels.copy()
    pixels[3] = np.nan
    blank = ec.chips_from_arrays(small.design.data, pixels, keys=np.arange(30))
    with pytest.raises(
        EstimationError, match=r"(?s)2 units \(\d treated, \d control\) have no usable picture.*6, 7"
    ):
        finetune(blank, small.design)
    rest = small.design.take(~np.isin(small.design.table.ids, [6, 7]))
    assert len(finetune(blank, rest)) == 58


def test_several_sizes_need_a_choice_and_several_frames_are_refused(small: World) -> None:
    pixels = np.moveaxis(small.pixels, 3, 1)[:, None].astype(np.float32)
    mask = np.ones((30, 1, 12, 12), dtype=bool)
    sizes = FakeChips(
        np.arange(30),
        {"a": pixels[..., :6, :6], "b": pixels},
        {"a": mask[..., :6, :6], "b": mask},
        key_name="image",
    )
    with pytest.raises(ImageryError, match=r"(?s)several sizes.*block='a'"):
        finetune(sizes, small.design)
    chosen = finetune(sizes, small.design, network=ec.Network(epochs=3, block="b"))
    np.testing.assert_array_equal(chosen.predictions, of(small).predictions)
    frames = FakeChips(np.arange(30), {"b": pixels.repeat(3, 1)}, {"b": mask.repeat(3, 1)}, key_name="image")
    with pytest.raises(ImageryError, match=r"(?s)3 frames.*one picture of each place"):
        finetune(frames, small.design)


def test_a_table_that_does_not_know_that_units_share_pictures_is_refused(small: World) -> None:
    table = small.table.set_index("unit")
    with pytest.raises(EstimationError, match=r"(?s)30 pictures are shared.*image_key='image'"):
        finetune(small.chips, ec.Design(table, outcome="income", treatment="grant"))
    tied = ec.Design(table, outcome="income", treatment="grant", cluster="image")
    assert len(finetune(small.chips, tied)) == 60


def test_a_missing_library_names_the_line_that_installs_it(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "transformers" else found(name, *rest),
    )
    with pytest.raises(EncoderError, match=r'pip install "eocausal\[encoders\]"'):
        of(small)
