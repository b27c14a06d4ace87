"""How treatment was assigned: the same folds for all sources, intervals from blocks, and what pictures add."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import DesignError, EvaluationError
from eocausal.evaluate.assignment import default_folds
from eocausal.evaluate.assignment_result import INCREMENT, Assignment
from eocausal.evaluate.roc import auc_by_fold
from eocausal.nuisance.cross_fit import propensities
from tests.studies import FAST, THREE, design, images, study


def _world(n: int = 300, *, seed: int = 0, seen: float = 1.0, matters: float = 1.0) -> ec.Design:
    """Officials look at the first feature (``seen``), which may matter for the outcome."""
    rng = np.random.default_rng(seed)
    age, picture = rng.normal(size=n), rng.normal(size=(n, 4))
    table = pd.DataFrame({"id": np.arange(n), "age": age})
    table["grant"] = (rng.uniform(size=n) < 1 / (1 + np.exp(-age - seen * picture[:, 0]))).astype(int)
    table["income"] = age + matters * picture[:, 0] + rng.normal(size=n)
    frame = pd.DataFrame(picture, columns=list("abcd")).assign(id=np.arange(n))
    table["lon"], table["lat"] = 33 + rng.uniform(0, 2, n), 1 + rng.uniform(0, 1.4, n)
    units = ec.read_units(table, id="id", lon="lon", lat="lat")
    return ec.Design(
        units, outcome="income", treatment="grant", covariates=["age"],
        features=ec.read_embeddings(frame, key="id"),
    )  # fmt: skip


def _of(found: Assignment, source: str) -> pd.DataFrame:
    frame = found.to_frame()
    return frame[frame["source"] == source].set_index("measure")


def test_all_sources_are_predicted_on_the_same_folds() -> None:
    asked = _world()
    folds = ec.Folds("block", block_m=40_000, k=3)
    found = ec.assignment(asked, folds=folds, learners=FAST, replicates=50, seed=4)
    (arm,) = found.arms
    dealt = folds.assign(asked, seed=4)
    np.testing.assert_array_equal(arm.folds, dealt)
    np.testing.assert_array_equal(arm.blocks, folds.groups(asked))
    for source in ("covariates", "features", "both"):
        learners = replace(FAST, columns=source)
        expected = propensities(asked, dealt, learners, seed=4, groups=folds.groups(asked)).values
        np.testing.assert_array_equal(arm.predicted[source], expected)
        auc = auc_by_fold(expected, asked.table.treatment, dealt).estimate
        assert _of(found, source).loc["auc", "estimate"] == pytest.approx(auc, abs=1e-12)
    added = _of(found, INCREMENT)["estimate"]
    gain = _of(found, "both")["estimate"] - _of(found, "covariates")["estimate"]
    np.testing.assert_allclose(added, gain[added.index], atol=1e-14)
    assert list(added.index) == ["auc", "skill", "outcome_r2"]


def test_features_that_confound_are_found_without_a_warning() -> None:
    found = ec.assignment(_world(500), learners=FAST, replicates=100)
    assert (_of(found, INCREMENT)["conf_low"] > 0).all()
    assert found.warnings == ()


def test_features_that_only_officials_look_at_are_called_like_an_instrument() -> None:
    found = ec.assignment(_world(500, matters=0.0), learners=FAST, replicates=100)
    assert _of(found, INCREMENT).loc["auc", "conf_low"] > 0
    (text,) = found.warnings
    assert "as an instrument would" in text
    assert "Learners(columns='covariates')" in text


def test_features_that_carry_nothing_add_nothing() -> None:
    found = ec.assignment(_world(500, seen=0.0, matters=0.0), learners=FAST, replicates=100)
    assert (_of(found, INCREMENT)["conf_low"] <= 0).all()
    assert found.warnings == ()


def test_what_features_add_is_not_what_covariates_are_worse_than_a_coin() -> None:
    """Whole villages are treated and covariates are village noise: out of fold they rank below 0.5."""
    rng = np.random.default_rng(21)
    village, n = np.repeat(np.arange(40), 10), 400
    table = pd.DataFrame({"village": village, "income": rng.normal(size=n)})
    table["grant"] = rng.permutation(np.tile([0, 1], 20))[village]
    table["age"] = rng.normal(size=40)[village] + 0.1 * rng.normal(size=n)
    asked = design(table, covariates=["age"], features=images(40), cluster="village")
    found = ec.assignment(asked, learners=FAST, replicates=50)
    auc = {source: _of(found, source).loc["auc"] for source in ("covariates", "both", INCREMENT)}
    assert auc["covariates"]["conf_high"] < 0.5
    assert auc[INCREMENT]["estimate"] == pytest.approx(auc["both"]["estimate"] - 0.5, abs=1e-12)
    assert auc[INCREMENT]["conf_low"] == 0.0
    assert found.warnings == ()


def test_intervals_come_of_blocks_and_not_of_units() -> None:
    rng = np.random.default_rng(0)
    n = 600
    village = np.repeat(np.arange(30), 20)
    level = rng.normal(size=30)[village]
    table = pd.DataFrame({"village": village, "age": level + 0.1 * rng.normal(size=n)})
    table["grant"] = (level + rng.normal(size=30)[village] > 0).astype(int)
    table["income"] = rng.normal(size=n)
    alone = ec.Design(table, outcome="income", treatment="grant", covariates=["age"])
    together = ec.Design(table, outcome="income", treatment="grant", covariates=["age"], cluster="village")
    errors = [
        _of(ec.assignment(one, learners=FAST, replicates=200), "covariates").loc["auc", "std_error"]
        for one in (alone, together)
    ]
    assert errors[1] > 2.5 * errors[0]


def test_the_default_grid_has_cells_enough_and_needs_places() -> None:
    folds = default_folds(_world())
    assert folds.kind == "block"
    assert int(folds.groups(_world()).max()) + 1 >= 50
    assert default_folds(design(study())) == ec.Folds()
    table = study().reset_index().assign(lon=30.0, lat=2.0)
    units = ec.read_units(table, id="id", lon="lon", lat="lat", image_key="village")
    assert default_folds(design(units)) == ec.Folds()


def _placed(lon: np.ndarray, lat: np.ndarray) -> ec.Design:
    table = study(lon.size * 3, n_villages=lon.size)
    table = table.assign(lon=lon[table["village"]], lat=lat[table["village"]])
    return design(ec.read_units(table.reset_index(), id="id", lon="lon", lat="lat", image_key="village"))


def test_neighbouring_villages_stay_together_where_there_are_few() -> None:
    rng = np.random.default_rng(3)
    lon, lat = 30 + rng.uniform(0, 1, 36), rng.uniform(0, 1, 36)
    asked = _placed(lon, lat)
    folds = default_folds(asked)
    assert folds.kind == "block"
    assert 20 <= int(folds.groups(asked).max()) + 1 < 36
    assert default_folds(_placed(lon[:19], lat[:19])) == ec.Folds()


def test_the_default_grid_is_as_fine_across_the_date_line() -> None:
    rng = np.random.default_rng(3)
    lon, lat = rng.uniform(-0.5, 0.5, 90), rng.uniform(0, 1, 90)
    across = default_folds(_placed((lon + 360) % 360 - 180, lat))
    assert across.kind == "block"
    assert across.block_m == default_folds(_placed(lon + 30, lat)).block_m


def test_one_source_alone_has_no_increments() -> None:
    found = ec.assignment(design(study()), learners=FAST, folds=THREE, replicates=50)
    assert set(found.to_frame()["source"]) == {"covariates"}
    assert len(found.plot().axes) == 2
    only = ec.assignment(
        design(study(), covariates=[], features=images()), learners=FAST, folds=THREE, replicates=50
    )
    assert set(only.to_frame()["source"]) == {"features"}


def test_each_of_several_arms_is_set_against_the_control() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"age": rng.normal(size=300)})
    table["aid"] = np.where(table["age"] + rng.normal(size=300) > 0.8, "China", "none")
    table.loc[rng.uniform(size=300) < 0.3, "aid"] = "Bank"
    table["wealth"] = rng.normal(size=300)
    asked = ec.Design(
        table, outcome="wealth", treatment="aid", covariates=["age"], treatment_type="categorical", control="none"
    )  # fmt: skip
    found = ec.assignment(asked, learners=FAST, replicates=50)
    assert [arm.name for arm in found.arms] == [f"aid[{name}]" for name in asked.table.arms[1:]]
    auc = found.to_frame().query("measure == 'auc'").set_index("arm")["estimate"]
    assert auc["aid[China]"] > 0.65 > auc["aid[Bank]"]
    assert found.n == 300
    assert len(found.plot("aid[Bank]").axes) == 2
    with pytest.raises(EvaluationError, match=r"arm='Bank'"):
        found.plot("Bank")
    for verb in (ec.balance, ec.overlap):
        with pytest.raises(DesignError, match="two arms"):
            verb(asked)


def test_a_result_goes_through_json_and_is_drawn() -> None:
    found = ec.assignment(_world(200), learners=FAST, folds=THREE, replicates=50)
    back = Assignment.from_dict(json.loads(json.dumps(found.to_dict(scores=True), allow_nan=False)))
    assert back == found
    pd.testing.assert_frame_equal(back.to_frame(), found.to_frame())
    assert "arms" not in found.to_dict()
    with pytest.raises(EvaluationError, match=r"scores=True"):
        Assignment.from_dict(found.to_dict())
    assert len(found.summary().splitlines()) <= 25
    assert "both" in repr(found)
    figure = found.plot()
    assert len(figure.axes) == 3
    (dots,) = (line for line in figure.axes[2].lines if line.get_marker() == "o")
    np.testing.assert_allclose(dots.get_xdata(), _of(found, INCREMENT)["estimate"])
    assert list(found.wide().index[:2]) == ["covariates", "features"]


def test_the_same_seed_gives_the_same_intervals() -> None:
    asked = _world(200)
    first, again, other = (
        ec.assignment(asked, learners=FAST, folds=THREE, replicates=50, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_few_blocks_are_warned_of() -> None:
    found = ec.assignment(
        _world(), folds=ec.Folds("block", block_m=80_000, k=2), learners=FAST, replicates=50
    )
    assert any("blocks, and intervals from fewer than 20" in text for text in found.warnings)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(EvaluationError, match=r"nothing to predict treatment from"):
        ec.assignment(design(study(), covariates=[]))
    with pytest.raises(EvaluationError, match=r"all three are compared"):
        ec.assignment(design(study()), learners=ec.Learners(columns="covariates"))
    with pytest.raises(EvaluationError, match=r"replicates=10[\s\S]*50"):
        ec.assignment(design(study()), replicates=10)
