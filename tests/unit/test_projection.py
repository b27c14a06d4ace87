"""The best linear projection of effects on columns, and how tables come to the units that are judged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from tests.judged import drawn_cate


@pytest.fixture(scope="module")
def cate() -> ec.Cate:
    return drawn_cate(7, n=300, per_cluster=3, weighted=True)


def test_without_columns_it_is_the_average_effect(cate: ec.Cate) -> None:
    found = ec.best_linear_projection(cate, vcov="cluster")
    assert found.terms == ("(intercept)",)
    assert found.estimate == pytest.approx(cate.estimate)
    assert found.std_error == pytest.approx(cate.std_error)


def test_slopes_are_those_of_weighted_least_squares_on_the_scores(cate: ec.Cate) -> None:
    z = cate.design.data["z"].to_numpy()
    found = ec.best_linear_projection(cate, on=["z"])
    expected = np.polynomial.polynomial.polyfit(z, cate.dr_scores, 1, w=np.sqrt(cate.weights))
    np.testing.assert_allclose(found.estimate, expected, rtol=1e-8)
    assert found.vcov == "HC3(cluster)"
    assert found.n_clusters == 100


def test_centred_columns_leave_the_average_effect_as_intercept(cate: ec.Cate) -> None:
    plain, centred = (ec.best_linear_projection(cate, on=["z"], centred=one) for one in (False, True))
    assert centred.estimate[0] == pytest.approx(cate.estimate)
    assert centred.estimate[1] == pytest.approx(plain.estimate[1])
    assert centred.std_error[1] == pytest.approx(plain.std_error[1])


def test_the_overlap_weighs_units_by_their_propensity(cate: ec.Cate) -> None:
    from dataclasses import replace

    propensity = np.linspace(0.05, 0.95, 300)
    uneven = replace(cate, propensity=propensity)
    found = ec.best_linear_projection(uneven, whom="overlap")
    assert found.estimate == pytest.approx(
        np.average(cate.dr_scores, weights=cate.weights * propensity * (1 - propensity))
    )
    assert found.estimand == "best linear projection (overlap)"


def test_text_becomes_levels_without_the_first(cate: ec.Cate) -> None:
    cover = pd.Series(np.array(["crops", "forest", "town"])[np.arange(300) % 3], index=cate.ids, name="cover")
    found = ec.best_linear_projection(cate, on=cover)
    assert found.terms == ("(intercept)", "cover[forest]", "cover[town]")
    means = [
        np.average(cate.dr_scores[cover == one], weights=cate.weights[cover == one]) for one in cover.unique()
    ]
    np.testing.assert_allclose(
        found.estimate, [means[0], means[1] - means[0], means[2] - means[0]], rtol=1e-8
    )


def test_tables_may_be_in_any_order_and_hold_more_rows(cate: ec.Cate) -> None:
    table = cate.design.data[["z"]]
    more = pd.concat([table.sample(frac=1, random_state=0), pd.DataFrame({"z": [np.nan]}, index=[5])])
    assert ec.best_linear_projection(cate, on=more) == ec.best_linear_projection(cate, on=table)


def test_terms_can_be_compared_once_errors_are_made_from_influence_values(cate: ec.Cate) -> None:
    found = ec.best_linear_projection(cate, on=["z", "weight"], vcov="cluster")
    gap = ec.contrast(found, "z", against="weight")
    assert gap.estimate == pytest.approx(found.estimate[1] - found.estimate[2])
    with pytest.raises(ec.errors.EstimationError, match="with_vcov"):
        ec.contrast(ec.best_linear_projection(cate, on=["z"]), "z")
