"""Networks trained on pixels: what they predict they have not seen, and the same seed predicts the same."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

import eocausal as ec
from eocausal.errors import EstimationError
from eocausal.evaluate.overlap import auc_with_influence
from eocausal.training import finetune as module
from eocausal.training._fitting import Parts, fit_fold
from eocausal.training._study_units import parts_of
from eocausal.training.finetuned import Finetuned
from tests.picture_worlds import (
    TRUE_ATE,
    World,
    finetune,
    fit,
    of,
    same,
    small_world,
    study_of,
    world,
)


@pytest.fixture(scope="module")
def small() -> World:
    return small_world()


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
    # a result names the predictions that it was made with, and IPW claims none that it does not use
    given = {"outcome": outcome.fingerprint, "propensity": propensity.fingerprint}
    assert both.provenance["predictions_given"] == given
    assert "predictions_given" not in ec.ate(design, folds=folds).provenance
    plain = ec.ate(design, method="ipw", folds=folds, learners=ec.Learners(outcome=outcome))
    assert "pictures" not in plain.assumptions[0]


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
    study = study_of(null)
    everyone = np.arange(len(study.ids))
    seen = fit(study, Parts(everyone, everyone, everyone), network)
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
    assert "..." in told


def test_a_warning_of_two_pictures_names_both_and_no_more() -> None:
    plain = world(4, n=40)
    before = of(plain)
    one, two = 0, int(np.flatnonzero(before.folds != before.folds[0])[0])
    pixels = plain.pixels.copy()
    pixels[two] = pixels[one]
    learned = finetune(ec.chips_from_arrays(plain.design.data, pixels, keys=np.arange(40)), plain.design)
    (told,) = [text for text in learned.warnings if "same pixels" in text]
    assert told.startswith(f"2 pictures are the same pixels under other keys in other folds ({one}, {two}): ")


# --- reproducible


def test_the_same_seed_gives_the_same_bytes_and_moves_no_global_generator(
    small: World, plain: Finetuned
) -> None:
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert same(of(small), plain)
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
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


def test_a_folder_of_other_clusters_is_refused_even_where_the_folds_are_the_same(tmp_path: object) -> None:
    # two ways to pair sixteen units that end in the same two folds, where other units stop the training
    found = world(1, n=16)
    pairs = (
        [0, 1, 2, 3, 2, 4, 1, 4, 5, 3, 0, 6, 5, 7, 6, 7],
        [0, 1, 1, 2, 3, 4, 5, 4, 2, 3, 6, 7, 5, 0, 6, 7],
    )
    designs = [
        dataclasses.replace(
            found.design,
            data=ec.read_units(found.table.assign(village=one), id="unit", image_key="image"),
            cluster="village",
        )
        for one in pairs
    ]
    first, second = (finetune(found.chips, one) for one in designs)
    np.testing.assert_array_equal(first.folds, second.folds)
    assert not np.array_equal(first.predictions, second.predictions)
    finetune(found.chips, designs[0], out=tmp_path)
    with pytest.raises(EstimationError, match=r"(?s)made from something else.*groups: "):
        finetune(found.chips, designs[1], out=tmp_path)


@pytest.mark.parametrize("out", [5, "a\0b"])
def test_a_folder_that_no_path_names_is_refused(small: World, out: object) -> None:
    with pytest.raises(EstimationError, match=r"(?i)folder"):
        of(small, out=out)


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


def test_neighbours_in_one_block_do_not_stop_the_training_that_they_take_part_in(tmp_path: object) -> None:
    found = world(4, n=48)
    rng = np.random.default_rng(0)
    block = rng.permutation(np.arange(48) % 12)
    table = found.table.assign(lon=30.0 + block + 0.01 * rng.uniform(size=48), lat=0.5)
    units = ec.read_units(table, id="unit", lon="lon", lat="lat", image_key="image")
    asked = dataclasses.replace(found.design, data=units)
    folds = ec.Folds(kind="block", k=2, block_m=50_000)
    tied = folds.groups(asked)
    dealt = folds.assign(asked, seed=0)
    for fold in range(2):
        parts = parts_of(asked.table.treatment, dealt, fold, tied=tied, seed=0)
        assert not set(tied[parts.learn]) & set(tied[parts.stop])
    job = module._job(found.chips, asked, "treatment", ec.Network(epochs=1), folds, 0, "cpu")
    np.testing.assert_array_equal(job.tied, tied)
    for parts in job.parts:
        assert not set(tied[parts.learn]) & set(tied[parts.stop])
    assert job.recipe(found.chips, asked)["folds"]["block_m"] == 50_000


def test_repeated_folds_are_refused_and_other_blocks_are_named(small: World, plain: Finetuned) -> None:
    with pytest.raises(EstimationError, match=r"(?s)repeats=3.*leave repeats out"):
        of(small, folds=ec.Folds(k=2, repeats=3))
    made = {**plain.provenance, "folds": {"kind": "block", "k": 2, "block_m": 2e4, "hash": ""}}
    blocked = dataclasses.replace(plain, provenance=made, folds=1 - plain.folds)
    with pytest.raises(EstimationError, match=r"ec\.Folds\('block', k=2, block_m=20000\.0\)"):
        blocked.out_of_fold(small.design, plain.folds)
