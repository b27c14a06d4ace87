# ruff: noqa: E501 - a case is a line
"""Effects that must be refused, and the words that help."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeClassifier

import eocausal as ec
from eocausal.errors import EstimationError
from tests.studies import FAST, FOREST, THREE, by_village, design, images, study

D = design(study())
R = ec.ate(D, method="difference")
V = design(by_village(n_villages=4), cluster="village")


def _collinear() -> ec.Design:
    table = study()
    return design(table.assign(sum=table["age"] + table["wealth"]), covariates=["age", "wealth", "sum"])


def _few_treated() -> ec.Design:
    extra = np.random.default_rng(0).normal(size=120)
    table = study().assign(grant=(np.arange(120) % 40 == 0).astype(int), extra=extra)
    return design(table, covariates=["age", "wealth", "extra"])


CASES: dict[str, tuple[Callable[[], object], list[str]]] = {
    "method unknown": (lambda: ec.ate(D, method="aipww"), ["method='aipww' is not known", "Did you mean 'aipw'?"]),
    "method far from any": (lambda: ec.ate(D, method="psm"), ["method='psm'", "aipw, difference, regression, ols, ipw"]),
    "no design but a table": (lambda: ec.ate(study()), ["design is a DataFrame", "ec.Design(table, outcome=..., treatment=...)"]),
    "a table for cate": (lambda: ec.cate(study()), ["design is a DataFrame"]),
    "folds a number": (lambda: ec.ate(D, folds=5), ["folds is 5", "ec.Folds(k=5)"]),
    "learners a word": (lambda: ec.ate(D, learners="ridge"), ["learners is 'ridge'", "ec.Learners("]),
    "learners a model": (lambda: ec.ate(D, learners=LinearRegression()), ["learners is a LinearRegression", "ec.Learners("]),
    "seed text": (lambda: ec.ate(D, seed="1"), ["seed='1'", "whole number of at least 0"]),
    "seed negative": (lambda: ec.cate(D, learner=FOREST, seed=-1), ["seed=-1", "whole number of at least 0"]),
    "seed a fraction": (lambda: ec.ate(D, seed=0.5), ["seed=0.5"]),
    "vcov unknown": (lambda: ec.ate(D, vcov="HC3"), ["vcov='HC3' is not known", "'iid', 'hetero', 'cluster'"]),
    "clusters the design lacks": (lambda: ec.ate(D, vcov="cluster", learners=FAST), ["the design has no clusters", "cluster= in Design"]),
    "one fold": (lambda: ec.Folds(k=1), ["k=1", "whole number of at least 2"]),
    "folds unknown": (lambda: ec.Folds("spatial"), ["kind='spatial'", "cluster, random"]),
    "more folds than clusters": (lambda: ec.ate(V, learners=FAST), ["5 folds were asked for, but there are 4 groups", "Folds(k=4)"]),
    "random folds through clusters": (lambda: ec.ate(V, folds=ec.Folds("random")), ["would part units that share", "120 units, 4 groups", "Folds('cluster')"]),
    "a fold that needs an arm": (lambda: ec.ate(design(by_village(20, n_villages=2), cluster="village"), folds=ec.Folds(k=2), learners=FAST), ["Outside fold 0 there are 0", "at least 2 of each arm"]),
    "collinear covariates": (lambda: ec.ate(_collinear(), method="regression"), ["collinear among the treated units", "Where: 1 (", "method='aipw'"]),
    "more columns than treated units": (lambda: ec.ate(_few_treated(), method="regression"), ["collinear among the treated units (3 units)", "full rank in each arm"]),
    "propensity of zero or one": (lambda: ec.ate(D, learners=ec.Learners(propensity=DecisionTreeClassifier())), ["exactly 0 or 1", "Where: ", "0 < propensity < 1", "default logit"]),
    "learner without weights": (lambda: ec.ate(design(study(), weights="weight"), learners=ec.Learners(outcome=KNeighborsRegressor(), propensity=LogisticRegression())), ["KNeighborsRegressor takes no sample weights", "sample_weight"]),
    "learner without probabilities": (lambda: ec.Learners(propensity=LinearRegression()), ["LinearRegression has no predict_proba()"]),
    "learner a class": (lambda: ec.Learners(outcome=LinearRegression), ["outcome learner is a class", "LinearRegression()"]),
    "components not a number": (lambda: ec.Learners(pca="all"), ["pca='all'", "at least 1"]),
    "forest unknown": (lambda: ec.cate(D, learner="causal_forrest"), ["learner='causal_forrest'", "Did you mean 'causal_forest'?"]),
    "trees not of bags": (lambda: ec.Forest(trees=50), ["trees=50", "multiple of 4"]),
    "trees a fraction": (lambda: ec.Forest(trees=40.0), ["trees=40.0", "whole number"]),
    "sample beyond a half": (lambda: ec.Forest(sample_share=0.7), ["sample_share=0.7", "0.5"]),
    "leaves of nobody": (lambda: ec.Forest(min_leaf=0), ["min_leaf=0", "at least 1"]),
    "engine unknown": (lambda: ec.Forest(engine="grf"), ["engine='grf'", "econml"]),
    "nothing to tell units apart by": (lambda: ec.cate(design(study(), covariates=[]), learner=FOREST, learners=FAST, folds=THREE), ["no covariates and no features", "features=embeddings"]),
    "level in per cent": (lambda: R.ci(95), ["level=95", "0 < level < 1", "level=0.95"]),
    "cluster not stored": (lambda: R.with_vcov({"cluster": "district"}), ["'district' is not stored", "Series of labels"]),
    "labels for some units": (lambda: R.with_vcov({"cluster": pd.Series(1, index=R.ids[:118])}), ["missing for some units", "Where: 2 (454, 457)"]),
    "nothing to compare": (lambda: ec.compare(), ["got no estimates", "compare(naive=a, adjusted=b)"]),
    "a table to compare": (lambda: ec.compare(a=R, b=R.to_frame()), ["Only Estimates can be compared", "1 (b is a DataFrame)"]),
    "errors of two kinds": (lambda: R - R.with_vcov("hetero"), ["different standard errors: ['hetero', 'iid']", "with_vcov"]),
    "a file without scores": (lambda: ec.Estimate.from_dict(R.to_dict()), ["no unit-level scores", "to_dict(scores=True)"]),
    "other columns than learned": (lambda: ec.cate(D, learner=FOREST, learners=FAST, folds=THREE).predict(design(study(), features=images())), ["features (width 6)", "fitted on ['age', 'wealth']"]),
}  # fmt: skip


@pytest.mark.parametrize("case", list(CASES))
def test_the_words_help(case: str) -> None:
    call, words = CASES[case]
    with pytest.raises(EstimationError, match="[\\s\\S]*".join(map(re.escape, words))) as caught:
        call()
    assert len(str(caught.value).splitlines()) <= 4


def test_results_subtract_from_results_only() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = R - 3
