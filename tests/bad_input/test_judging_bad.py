"""What calibration, groups, projections, policies and losses refuse, in words that say how to mend it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import EocausalError, EstimationError, EvaluationError
from tests.judged import drawn_cate

CATE = drawn_cate(0, n=100)
Z = CATE.design.data[["z"]]
GROUPS = ec.groups(CATE, k=2)
_KINDS = Z.assign(kind=np.where(Z["z"] > 0, "a", "b")).rename(columns={"z": "kind[a]"})
VERBS = ("calibration", "groups", "best_linear_projection", "policy_value")


def _losses(**changes: Any) -> Callable[[], object]:
    return lambda: ec.effect_losses({"one": CATE, "other": replace(CATE, **changes)})


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_refuse_what_is_no_cate(verb: str) -> None:
    with pytest.raises(EvaluationError, match=rf"{verb}\(\) got a DataFrame(.|\n)*ec.cate\(design\)"):
        getattr(ec, verb)(CATE.effects)


@pytest.mark.parametrize("verb", ["calibration", "groups", "policy_value"])
def test_kinds_of_effects_are_checked(verb: str) -> None:
    with pytest.raises(EvaluationError, match=r"effects='out-of-fold' is not known(.|\n)*out_of_fold"):
        getattr(ec, verb)(CATE, effects="out-of-fold")
    none = replace(CATE, sequential_values=np.full(100, np.nan))
    with pytest.raises(EvaluationError, match=r"no sequential predictions(.|\n)*out_of_fold"):
        getattr(ec, verb)(none)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ec.groups(CATE, k=1), EvaluationError, "k=1(.|\n)*at least 2"),
        (lambda: ec.groups(CATE, k=30), EvaluationError, "20 units for 30 groups"),
        (lambda: ec.calibration(CATE, vcov="HC2"), EstimationError, "HC2"),
        (lambda: ec.policy_value(CATE, shares=[0.5, 0.2]), EvaluationError, "not a rising list"),
        (lambda: ec.policy_value(CATE, shares=[0.0, 0.2]), EvaluationError, "above 0"),
        (lambda: ec.policy_value(CATE, shares=[20, 50]), EvaluationError, "at most 1"),
        (lambda: ec.policy_value(CATE, shares=[]), EvaluationError, "shares is empty"),
        (lambda: ec.policy_value(CATE, cost="much"), EvaluationError, "cost='much'"),
        (lambda: ec.policy_value(CATE, cost=np.nan), EvaluationError, "cost=nan"),
        (lambda: ec.policy_value(CATE).against("all"), EvaluationError, "other='all' is not known"),
        (lambda: ec.best_linear_projection(CATE, whom="treated"), EvaluationError, "whom='treated'"),
        (lambda: ec.best_linear_projection(CATE, on=["height"]), EvaluationError, "'height' is not in the table"),
        (lambda: ec.best_linear_projection(CATE, on="outcome"), EvaluationError, "(outcome)(.|\n)*fixed before"),
        (lambda: ec.best_linear_projection(CATE, on=["z", "treatment"]), EvaluationError, "or the treatment"),
        (lambda: ec.best_linear_projection(CATE, on=3), EvaluationError, "on is a int(.|\n)*DataFrame"),
        (lambda: ec.best_linear_projection(CATE, on=[]), EvaluationError, "on is a list"),
        (lambda: ec.best_linear_projection(CATE, on=Z.iloc[:, :0]), EvaluationError, "table without columns"),
        (lambda: ec.best_linear_projection(CATE, on=Z.iloc[1:]), EvaluationError, "no row for some(.|\n)*1000"),
        (lambda: ec.best_linear_projection(CATE, on=pd.concat([Z, Z])), EvaluationError, "several rows"),
        (lambda: ec.best_linear_projection(CATE, on=pd.concat([Z, Z], axis=1)), EvaluationError, "twice"),
        (lambda: ec.best_linear_projection(CATE, on=Z.where(Z > 0)), EvaluationError, "missing or infinite values"),
        (lambda: ec.best_linear_projection(CATE, on=Z * 0), EvaluationError, "same for all units"),
        (lambda: ec.best_linear_projection(CATE, on=Z.assign(y=2 * Z["z"])), EstimationError, "combinations"),
        (lambda: ec.best_linear_projection(CATE, on=Z.set_axis(["(intercept)"], axis=1)), EvaluationError, "added"),
        (lambda: ec.best_linear_projection(CATE, on=Z, by="village"), EvaluationError, "by='village'"),
        (lambda: GROUPS.clan(Z.assign(name=[f"p{one}" for one in range(100)])), EvaluationError, "with 80 values"),
        (lambda: GROUPS.clan(Z.assign(day=pd.Timestamp("2007-06-30"))), EvaluationError, "'day' of table holds"),
        (lambda: GROUPS.clan(_KINDS), EvaluationError, r"one name(.|\n)*kind\[a\](.|\n)*rename"),
        (lambda: GROUPS.clan(Z.assign(**{"1": 0.5}).rename(columns={"z": 1})), EvaluationError, "one name"),
        (lambda: GROUPS.clan(Z, seed=-1), EvaluationError, "seed=-1"),
        (lambda: replace(GROUPS, design=None).clan(["z"]), EvaluationError, "keeps no table(.|\n)*set_index"),
        (lambda: ec.effect_losses({}), EvaluationError, "no mapping of names"),
        (lambda: ec.effect_losses(CATE), EvaluationError, "no mapping of names"),
        (lambda: ec.effect_losses({"one": Z}), EvaluationError, "got a DataFrame"),
        (lambda: ec.effect_losses({"one effect for all": CATE}), EvaluationError, "stands beside them anyway"),
        (lambda: ec.effect_losses({1: CATE}), EvaluationError, "no name of their own(.|\n)*Rule: text"),
        (lambda: ec.effect_losses({"one": CATE}, nuisances_of="two"), EvaluationError, "nuisances_of='two'"),
        (lambda: ec.effect_losses({"one": CATE}).differences("loss"), EvaluationError, "loss='loss'"),
        (_losses(folds=CATE.folds[::-1]), EvaluationError, "Other folds(.|\n)*other(.|\n)*same folds= and seed="),
        (_losses(ids=CATE.ids + 1), EvaluationError, "Other ids"),
        (_losses(ids=CATE.ids[:50]), EvaluationError, "Other ids"),
        (_losses(weights=CATE.weights * 2), EvaluationError, "Other weights"),
        (_losses(dr_scores=CATE.dr_scores + 1), EvaluationError, "Other dr scores(.|\n)*nuisances_of='one'"),
        (_losses(centred_outcome=-CATE.centred_outcome), EvaluationError, "Other centred outcome"),
    ],
)  # fmt: skip
def test_mistakes_are_told(call: Callable[[], object], error: type[EocausalError], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_folds_of_few_clusters_are_refused_where_nothing_can_be_said() -> None:
    few = drawn_cate(1, n=200, per_cluster=20)
    with pytest.raises(
        EvaluationError, match=r"fewer than 4 clusters(.|\n)*4 \(1, 2, 3, 4\)(.|\n)*fewer folds"
    ):
        ec.multi_arm_qini(few)
    by_cluster = replace(few, sequential_values=np.where(few.folds > 0, few.group_codes / 10.0, np.nan))
    with pytest.raises(EvaluationError, match=r"all but one cluster(.|\n)*fewer folds"):
        ec.calibration(by_cluster)


def test_a_table_that_could_be_read_either_way_is_refused() -> None:
    moved = replace(CATE, ids=np.arange(100), image_keys=np.arange(100)[::-1])
    table = pd.DataFrame({"z": np.arange(100.0)})
    with pytest.raises(EvaluationError, match=r"by unit id or by image key(.|\n)*by='id'"):
        ec.best_linear_projection(moved, on=table)
    by_id, by_key = (ec.best_linear_projection(moved, on=table, by=one) for one in ("id", "image_key"))
    assert by_id.estimate[1] == pytest.approx(-by_key.estimate[1])
