# ruff: noqa: E501 - a case is a line
"""Evaluations that must be refused, and the words that help."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import EocausalError, EstimationError, EvaluationError
from tests.studies import FAST, FOREST, THREE, design, study

TABLE = study()
D = design(TABLE, propensity=0.5)
C = ec.cate(D, learner=FOREST, learners=FAST, folds=THREE)
SCORES, PRIORITY = np.random.default_rng(0).normal(size=(2, 50))


def scored(
    scores: object = SCORES, priority: object = PRIORITY, **options: object
) -> ec.evaluate.rate_result.Rate:
    return ec.rate_from_scores(scores, priority, **options)


def gap(values: np.ndarray, rows: list[int], value: float) -> np.ndarray:
    changed = values.copy()
    changed[rows] = value
    return changed


CASES: dict[str, tuple[Callable[[], object], type[EocausalError], list[str]]] = {
    "target unknown": (lambda: scored(target="AUC"), EvaluationError, ["target='AUC' is not known", "Did you mean 'AUTOC'?"]),
    "target in small letters": (lambda: ec.rate(C, target="qini"), EvaluationError, ["target='qini'", "'QINI'"]),
    "grid that falls": (lambda: scored(grid=[0.5, 0.2, 1.0]), EvaluationError, ["grid is not a rising list of shares that ends at 1", "[0.1, 0.2, 0.5, 1.0]"]),
    "grid of one number": (lambda: scored(grid=0.5), EvaluationError, ["grid is not a rising list of shares that ends at 1"]),
    "grid that ends early": (lambda: scored(grid=[0.1, 0.9]), EvaluationError, ["ends at 1"]),
    "grid in per cent": (lambda: scored(grid=[10, 50, 100]), EvaluationError, ["ends at 1"]),
    "grid from zero": (lambda: scored(grid=[0, 0.5, 1]), EvaluationError, ["rising list of shares"]),
    "grid empty": (lambda: scored(grid=[]), EvaluationError, ["grid is empty"]),
    "grid of words": (lambda: scored(grid="deciles"), EvaluationError, ["grid is not numeric"]),
    "few replicates": (lambda: scored(replicates=10), EvaluationError, ["replicates=10", "at least 50"]),
    "replicates a fraction": (lambda: scored(replicates=99.5), EvaluationError, ["replicates=99.5", "whole number"]),
    "seed text": (lambda: scored(seed="x"), EvaluationError, ["seed='x'", "whole number"]),
    "seed negative": (lambda: ec.rate(C, seed=-3), EvaluationError, ["seed=-3", "at least 0"]),
    "source a table": (lambda: ec.rate(TABLE), EvaluationError, ["rate() got a DataFrame", "ec.rate(ec.cate(design))"]),
    "nothing to rank by": (lambda: ec.rate(D), EvaluationError, ["needs something to rank by", "priority="]),
    "empty mapping": (lambda: ec.rate(C, priority={}), EvaluationError, ["empty mapping", "{'name': values}"]),
    "empty mapping with scores": (lambda: scored(priority={}), EvaluationError, ["empty mapping"]),
    "priority of another length": (lambda: ec.rate(C, priority=PRIORITY), EvaluationError, ["'priority' has shape (50,)", "one value for each of 120 units"]),
    "priority in two columns": (lambda: scored(priority=np.zeros((50, 2))), EvaluationError, ["shape (50, 2)", "50 units"]),
    "priority missing for some": (lambda: ec.rate(C, priority=gap(TABLE["age"].to_numpy(), [3, 9], np.nan)), EvaluationError, ["missing or infinite values", "Where: 2 (3, 9)"]),
    "priority infinite": (lambda: scored(priority=gap(PRIORITY, [4], np.inf)), EvaluationError, ["missing or infinite", "1 (4)"]),
    "priority of words": (lambda: scored(priority=["high"] * 50), EvaluationError, ["'priority' is not numeric", "one number for each unit"]),
    "column of words": (lambda: ec.rate(design(TABLE.assign(name="a"), propensity=0.5), priority="name"), EvaluationError, ["'name' is not numeric"]),
    "no such column": (lambda: ec.rate(D, priority="agee"), EvaluationError, ["'agee' is not a column of the data"]),
    "column of a cate": (lambda: ec.rate(C, priority="age"), EvaluationError, ["'age' is a column name, but a Cate keeps no columns", "pass the column"]),
    "Series for some units": (lambda: ec.rate(C, priority=TABLE["age"].iloc[2:]), EvaluationError, ["'age' has no value for some units", "Where: 2 (100, 103)", "by unit id"]),
    "Series by row number": (lambda: ec.rate(C, priority=TABLE["age"].reset_index(drop=True)), EvaluationError, ["no value for some units", "by unit id"]),
    "Series with repeats": (lambda: ec.rate(C, priority=pd.concat([TABLE["age"], TABLE["age"].iloc[:1]])), EvaluationError, ["several values for some units", "Where: 1 (100)"]),
    "a table of effects": (lambda: ec.rate(C, priority=C.effects), EvaluationError, ["is a table", "one column"]),
    "its own pooled effects": (lambda: ec.rate(C, priority=C.effects["effect"]), EvaluationError, ["'effect' is made of predictions that were cross-fitted", "about twice too often", "fold by fold"]),
    "another cate of these units": (lambda: ec.rate(C, priority=ec.Cate.from_dict(C.to_dict(scores=True))), EvaluationError, ["another Cate; its predictions saw these units", "held_out_design"]),
    "a cate of these units on the design": (lambda: ec.rate(D, priority=C), EvaluationError, ["trained on units it would be judged on", "Where: 120 (100, 103", "split"]),
    "scores of words": (lambda: scored(["a"] * 50), EvaluationError, ["dr_scores is not numeric"]),
    "no scores": (lambda: scored([], []), EvaluationError, ["dr_scores is empty"]),
    "scores missing": (lambda: scored(gap(SCORES, [0], np.nan)), EvaluationError, ["dr_scores has missing or infinite values", "1 (0)"]),
    "weights negative": (lambda: scored(weights=gap(np.ones(50), [2], -1)), EvaluationError, ["Weights must be positive", "1 (2)"]),
    "weights of another length": (lambda: scored(weights=np.ones(49)), EvaluationError, ["weights has shape (49,)", "50 units"]),
    "clusters of another length": (lambda: scored(clusters=np.arange(10)), EvaluationError, ["clusters has shape (10,)", "one label for each of 50 units"]),
    "clusters missing": (lambda: scored(clusters=gap(np.arange(50.0), [1, 2], np.nan)), EvaluationError, ["clusters has missing labels", "Where: 2 (1, 2)"]),
    "one cluster": (lambda: scored(clusters=np.zeros(50)), EvaluationError, ["All evaluation units are in one cluster", "20 or more", "fewer folds"]),
    "Series in two orders": (lambda: scored(pd.Series(SCORES), pd.Series(PRIORITY).sort_values()), EvaluationError, ["'priority' has another index than 'dr_scores'", "reindex(dr_scores.index)"]),
    "balance of nothing": (lambda: ec.balance(design(TABLE, covariates=[])), EvaluationError, ["nothing to compare", "covariates=[...]"]),
    "balance of no components": (lambda: ec.balance(D, n_components=0), EvaluationError, ["n_components=0", "at least 1"]),
    "balance of a table": (lambda: ec.balance(TABLE), EstimationError, ["design is a DataFrame", "ec.Design("]),
    "overlap of a table": (lambda: ec.overlap(TABLE), EstimationError, ["design is a DataFrame", "ec.Design("]),
    "overlap with a number of folds": (lambda: ec.overlap(D, folds=3), EstimationError, ["folds is 3", "ec.Folds("]),
}  # fmt: skip


@pytest.mark.parametrize("case", list(CASES))
def test_the_words_help(case: str) -> None:
    call, error, words = CASES[case]
    with pytest.raises(error, match="[\\s\\S]*".join(map(re.escape, words))) as caught:
        call()
    assert type(caught.value) is error
    assert len(str(caught.value).splitlines()) <= 4
