"""Sweeps: the same units in every row, each row what single calls give, sets of features made from chips."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import DesignError, EocausalError, EvaluationError
from eocausal.evaluate.sweep_result import Sweep, draw_sweep
from eocausal.reporting.figures import WIDTH
from eocausal.sweeps import _coarsened, _sets
from tests.studies import FAST, THREE, design, images, study


def _sets_of_features(table: pd.DataFrame) -> dict[str, ec.Embeddings]:
    """One that shows a confounder beside age, one that shows noise and lacks three images."""
    rng = np.random.default_rng(5)
    ids = table.index.to_numpy()
    good = pd.DataFrame({"id": ids, "f0": table["wealth"].to_numpy(), "f1": rng.normal(size=ids.size)})
    noise = pd.DataFrame({"id": ids[3:], "g0": rng.normal(size=ids.size - 3)})
    return {"near": ec.read_embeddings(good, key="id"), "far": ec.read_embeddings(noise, key="id")}


def _confounded() -> pd.DataFrame:
    table = study(300)
    rng = np.random.default_rng(1)
    p = 1 / (1 + np.exp(-1.5 * table["wealth"]))
    table["grant"] = (rng.uniform(size=300) < p).astype(int)
    table["income"] = table["grant"] - 2 * table["wealth"] + table["age"] + rng.normal(size=300)
    return table


def test_each_row_is_what_single_calls_give_on_the_same_units() -> None:
    table = _confounded()
    sets = _sets_of_features(table)
    asked = design(table, covariates=["age"])
    found = ec.sweep(asked, features=sets, method="ipw", folds=THREE, learners=FAST, seed=2)
    frame = found.to_frame().set_index("setting")
    assert list(frame.index) == ["covariates alone", "near", "far"]
    assert (frame["n"] == 297).all()
    gone = table.iloc[:3]["grant"]
    counted = f"left out of all: 3 units ({gone.sum()} treated, {3 - gone.sum()} control)"
    assert found.warnings[0].startswith(counted)
    kept = table.iloc[3:]
    single = design(kept, covariates=["age"], features=sets["near"])
    estimate = ec.ate(single, method="ipw", folds=THREE, learners=FAST, seed=2)
    assert frame.loc["near", "estimate"] == pytest.approx(estimate.estimate, rel=1e-12)
    assert frame.loc["near", "std_error"] == pytest.approx(estimate.std_error, rel=1e-12)
    seen = ec.overlap(single, folds=THREE, learners=FAST, seed=2)
    assert frame.loc["near", "auc"] == pytest.approx(seen.estimate, rel=1e-12)
    balance = ec.balance(single, weights=estimate, classifier=False).to_frame()
    assert frame.loc["near", "worst_smd"] == pytest.approx(balance["smd_weighted"].abs().max(), rel=1e-9)
    assert frame.loc["near", "worst_smd_unweighted"] == pytest.approx(balance["smd"].abs().max(), rel=1e-9)
    assert frame.loc["near", "ess_treated"] == pytest.approx(
        estimate.weights[single.table.treatment == 1].sum() ** 2
        / (estimate.weights[single.table.treatment == 1] ** 2).sum(),
        rel=1e-9,
    )
    alone = ec.ate(design(kept, covariates=["age"]), method="ipw", folds=THREE, learners=FAST, seed=2)
    assert frame.loc["covariates alone", "estimate"] == pytest.approx(alone.estimate, rel=1e-9)
    assert frame.loc["covariates alone", "n_features"] == 0


def test_the_set_that_shows_the_confounder_moves_the_estimate() -> None:
    table = _confounded()
    found = ec.sweep(
        design(table, covariates=["age"]), features=_sets_of_features(table), folds=THREE, learners=FAST
    )
    frame = found.to_frame().set_index("setting")
    assert abs(frame.loc["near", "estimate"] - 1) < 0.5
    assert frame.loc["far", "estimate"] < 0
    assert frame.loc["near", "auc"] > 0.75 > frame.loc["far", "auc"]
    assert frame.loc["near", "outcome_r2"] > frame.loc["far", "outcome_r2"] + 0.2
    joint = found.compare()
    assert joint.terms == ("covariates alone", "near", "far")
    assert joint.ci()[1, 0] > joint.ci()[2, 1]


def test_a_method_that_weighs_nobody_has_no_balance_after_weighting() -> None:
    table = study()
    found = ec.sweep(
        design(table), features={"one": _sets_of_features(table)["near"]}, method="regression", learners=FAST
    )
    assert found.to_frame()["worst_smd"].isna().all()
    assert found.warnings[0].startswith("the estimate by 'regression' is the same in every row")
    assert found.to_frame()["worst_smd_unweighted"].notna().all()
    back = Sweep.from_dict(json.loads(json.dumps(found.to_dict(scores=True), allow_nan=False)))
    assert back == found


def test_a_result_is_told_and_drawn() -> None:
    table = _confounded()
    found = ec.sweep(
        design(table, covariates=["age"]), features=_sets_of_features(table), folds=THREE, learners=FAST
    )
    assert len(found.summary().splitlines()) <= 25
    assert "3 settings" in repr(found)
    top, below = found.plot().axes
    drawn = np.concatenate([line.get_ydata() for line in top.lines if line.get_marker() == "o"])
    np.testing.assert_allclose(drawn, found.to_frame()["estimate"])
    shown = [tick.get_text().replace("\n", " ") for tick in below.get_xticklabels()]
    assert shown == ["covariates alone", "near", "far"]


@pytest.mark.parametrize("count", [4, 5, 7, 9])
def test_names_of_settings_do_not_run_into_each_other_on_a_page(count: int) -> None:
    from matplotlib.figure import Figure

    names = ["covariates alone", "4 times as coarse", "middle 32 px", "windows of 3 px", "windows of 7 px"]
    names = [*names, "windows of 9 px", "imagery_rcf_3840m", "960 m", "7680 m"][:count]
    numbers = ["estimate", "conf_low", "conf_high", "auc", "auc_low", "auc_high"]
    table = pd.DataFrame(
        {"setting": names, "n_features": 1, **{name: np.arange(1.0, count + 1) for name in numbers}}
    )
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    draw_sweep(figure, table)
    figure.draw_without_rendering()
    labels = figure.axes[1].get_xticklabels()
    if labels[0].get_rotation():
        # turned lines of text stand apart by what a line is high
        apart = np.diff([label.get_window_extent().x1 for label in labels]).min() * np.sin(np.pi / 6)
        assert apart > labels[0].get_fontsize() / 72 * figure.dpi
    else:
        ends = [label.get_window_extent() for label in labels]
        assert min(right.x0 - left.x1 for left, right in pairwise(ends)) > 0


def _pictures(n: int = 40, side: int = 12) -> tuple[ec.Units, ec.Chips]:
    table = pd.DataFrame({"village": np.arange(n), "grant": np.arange(n) % 2})
    table["income"] = np.random.default_rng(0).normal(size=n) + table["grant"]
    units = ec.read_units(table, id="village", image_key="village")
    pixels = np.random.default_rng(1).random((n, side, side, 2)).astype("float32")
    return units, ec.chips_from_arrays(units, pixels)


def test_chips_become_coarser_on_the_same_pixels() -> None:
    _, chips = _pictures(4)
    (fine,), (coarse,) = (list(one.batches()) for one in (chips, _coarsened(chips, 3)))
    pixels, blurred = fine.pixels["12px"], coarse.pixels["12px"]
    assert blurred.shape == pixels.shape
    means = pixels.reshape(4, 1, 2, 4, 3, 4, 3).mean(axis=(4, 6))
    # the middle of each large pixel is its mean, as enlarging is bilinear between middles
    np.testing.assert_allclose(blurred[..., 1::3, 1::3], means, rtol=1e-5)
    assert _coarsened(chips, 1) is chips


def test_sets_are_made_by_resolution_footprint_and_window() -> None:
    _, chips = _pictures(12)
    encoder = ec.RandomFeatures(n_features=8, patch_px=(3,))
    todo = _sets(chips, encoder, coarsen=(1, 2), size_m=("12px",), crop_px=(6,), kernel_px=(2, 5))
    assert list(todo) == [
        "as they are", "2 times as coarse", "12px", "middle 6 px", "windows of 2 px", "windows of 5 px"
    ]  # fmt: skip
    plain = ec.embed(chips, encoder=encoder, progress=False)
    np.testing.assert_array_equal(todo["as they are"]().values, plain.values)
    np.testing.assert_array_equal(todo["12px"]().values, plain.values)
    stats = _sets(chips, "image_stats", coarsen=(), size_m=(), crop_px=(6,), kernel_px=())
    pixels = next(chips.batches()).pixels["12px"][:, 0, :, 3:9, 3:9]
    made = stats["middle 6 px"]()
    np.testing.assert_allclose(made.values[:, 0], pixels[:, 0].mean(axis=(1, 2)), rtol=1e-5)


def test_one_call_goes_from_chips_to_a_table() -> None:
    units, chips = _pictures()
    asked = ec.Design(units, outcome="income", treatment="grant")
    given = ec.embed(chips, encoder="image_stats", progress=False)
    found = ec.sweep(
        asked, features={"given": given}, chips=chips, encoder="image_stats", coarsen=(1, 4),
        folds=ec.Folds(k=2), learners=FAST,
    )  # fmt: skip
    frame = found.to_frame().set_index("setting")
    assert list(frame.index) == ["given", "as they are", "4 times as coarse"]
    assert frame.loc["given", "estimate"] == frame.loc["as they are", "estimate"]
    assert frame.loc["given", "estimate"] != frame.loc["4 times as coarse", "estimate"]
    assert found.provenance["features_by_setting"]["given"] == given.recipe_hash


BAD = {
    "nothing": ({}, "no sets of features"),
    "no table": ({"features": {"one": np.zeros(3)}}, r"tables of features by name[\s\S]*one"),
    "no chips": ({"coarsen": (1, 2)}, r"need pictures[\s\S]*coarsen"),
    "one number": ({"crop_px": 8}, r"crop_px=8 is not a list[\s\S]*crop_px=\(8,\)"),
    "features without a name": ({"features": images()}, r"by name[\s\S]*960 m"),
    "features that no learner sees": (
        {"features": {"near": images()}, "learners": ec.Learners(columns="covariates")},
        "covariates alone have a row anyway",
    ),
    "not an option": ({"features": {}, "methods": "ipw"}, r"does not take[\s\S]*'method'"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_swept_is_refused(name: str) -> None:
    options, words = BAD[name]
    with pytest.raises(EvaluationError, match=words):
        ec.sweep(design(study()), **options)


def test_settings_that_pictures_cannot_have_are_refused() -> None:
    units, chips = _pictures(12)
    asked = ec.Design(units, outcome="income", treatment="grant")
    for options, words in (
        ({"crop_px": (20,)}, r"larger than chips[\s\S]*at most 12"),
        ({"coarsen": (20,)}, "no pixel left"),
        ({"kernel_px": (3,), "encoder": "image_stats"}, r"no windows[\s\S]*rcf"),
        ({"size_m": (480,)}, r"do not have these sizes"),
    ):
        with pytest.raises(EocausalError, match=words):
            ec.sweep(asked, chips=chips, **options)
    # before anything is encoded
    for options, words in (
        ({"method": "apiw"}, "'aipw'"),
        ({"methods": "ipw"}, "does not take"),
        ({"features": images()}, "by name"),
    ):
        with pytest.raises(EvaluationError, match=words):
            ec.sweep(asked, chips=chips, encoder="no such encoder", **options)
    several = ec.Design(
        units.with_columns(aid=["a", "b", "c"] * 4), outcome="income", treatment="aid",
        treatment_type="categorical", control="a",
    )  # fmt: skip
    with pytest.raises(DesignError, match="two arms"):
        ec.sweep(several, chips=chips, encoder="image_stats")
