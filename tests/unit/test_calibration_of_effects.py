"""The test of calibration: by hand, fold by fold, one-sided."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import eocausal as ec
from eocausal.errors import EvaluationError
from eocausal.evaluate.calibration_result import Calibration, p_above
from eocausal.inference.least_squares import hc3_matrix, least_squares
from tests.judged import drawn_cate


@pytest.fixture(scope="module")
def cate() -> ec.Cate:
    return drawn_cate(1, n=400, per_cluster=4, weighted=True)


def test_sequential_coefficients_are_those_of_folds_weighted_by_the_inverse_of_their_errors(
    cate: ec.Cate,
) -> None:
    found = ec.calibration(cate)
    values, errors, matrices = [], [], []
    for fold in range(1, 5):
        rows = cate.folds == fold
        effect, weight = cate.sequential_values[rows], cate.weights[rows]
        mean = np.average(effect, weights=weight)
        treatment = cate.centred_treatment[rows]
        columns = treatment[:, None] * np.column_stack([np.full(effect.size, mean), effect - mean])
        fit = least_squares(cate.centred_outcome[rows], columns, weight)
        matrices.append(hc3_matrix(fit, cate.average.groups["cluster"][rows]))
        values.append(fit.coefficients)
        errors.append(np.sqrt(np.diag(matrices[-1])))
    share = (1 / np.array(errors)) / (1 / np.array(errors)).sum(axis=0)
    np.testing.assert_allclose(found.estimate, (share * values).sum(axis=0), rtol=1e-10)
    np.testing.assert_allclose(
        found.std_error, np.sqrt((share**2 * np.array(errors) ** 2).sum(axis=0)), rtol=1e-10
    )
    joint = sum(np.outer(one, one) * matrix for one, matrix in zip(share, matrices))
    np.testing.assert_allclose(found.fit.variance.matrix, joint, rtol=1e-10)
    assert found.n == int((cate.folds > 0).sum())
    assert found.by_fold.groupby("term")["share"].sum().tolist() == pytest.approx([1.0, 1.0])


def test_the_tests_are_two_sided_against_one_and_one_sided_above_zero(cate: ec.Cate) -> None:
    found = ec.calibration(cate)
    tests, df = found.tests(), 19
    # the smallest fold has 20 clusters
    assert (
        min(np.unique(cate.average.groups["cluster"][cate.folds == fold]).size for fold in range(1, 5)) == 20
    )
    (mean, apart), (error, spread) = found.estimate, found.std_error
    assert found.vcov == "HC3(cluster)"
    assert tests["p_value"][0] == pytest.approx(2 * stats.t.sf(abs(mean - 1) / error, df))
    assert tests["p_value"][1] == pytest.approx(stats.t.sf(apart / spread, df))
    assert tests["alternative"].tolist() == ["two-sided", "greater"]


@pytest.mark.parametrize("effects", ["sequential", "out_of_fold"])
def test_other_standard_errors_are_made_from_influence_values(cate: ec.Cate, effects: str) -> None:
    found = ec.calibration(cate, effects=effects)
    clustered = found.with_vcov("cluster")
    np.testing.assert_array_equal(clustered.estimate, found.estimate)
    assert (clustered.std_error < found.std_error).all()
    np.testing.assert_allclose(clustered.std_error, found.std_error, rtol=0.3)
    asked = ec.calibration(cate, effects=effects, vcov="cluster")
    np.testing.assert_allclose(asked.std_error, clustered.std_error, rtol=1e-12)
    assert asked.vcov == "cluster(cluster)"
    wild = found.with_vcov({"bootstrap": "wild", "draws": 199})
    assert 0 < wild.tests()["p_value"][1] <= 0.02


def test_the_one_sided_p_value_by_draws_is_near_that_of_the_t_distribution() -> None:
    cate = drawn_cate(2, n=600, spread=0.2, noise=2.0, per_cluster=3)
    found = ec.calibration(cate, vcov="cluster")
    wild = found.with_vcov({"bootstrap": "wild", "draws": 1999})
    assert p_above(wild.fit, 1) == pytest.approx(p_above(found.fit, 1), abs=0.04)


def test_out_of_fold_effects_are_less_their_mean_in_the_fold(cate: ec.Cate) -> None:
    moved = replace(cate, effect_values=cate.effect_values + 10.0 * cate.folds)
    one, other = (ec.calibration(each, effects="out_of_fold") for each in (cate, moved))
    slopes = [each.estimate[1] for each in (one, other)]
    assert slopes[0] == pytest.approx(slopes[1], rel=0.2)
    assert any("reject a true null too often" in text for text in one.warnings)


def test_a_fold_of_one_predicted_effect_counts_for_the_mean_alone(cate: ec.Cate) -> None:
    flat = np.where(cate.folds == 2, 1.0, cate.sequential_values)
    found = ec.calibration(replace(cate, sequential_values=flat))
    shares = found.by_fold.set_index(["fold", "term"])["share"]
    assert shares[2, "differences in effects"] == 0
    assert shares[2, "mean effect"] > 0.1
    assert any("1 folds do not count for the differences" in text for text in found.warnings)


def test_effects_that_are_the_same_for_all_have_no_differences_to_test(cate: ec.Cate) -> None:
    flat = np.where(cate.folds == 0, np.nan, 1.0)
    with pytest.raises(EvaluationError, match="one predicted effect, so there are no"):
        ec.calibration(replace(cate, sequential_values=flat))


def test_the_result_has_all_members_and_comes_back_from_a_file(cate: ec.Cate) -> None:
    found = ec.calibration(cate)
    again = Calibration.from_dict(json.loads(json.dumps(found.to_dict(scores=True))))
    assert again == found
    assert found.terms == ("mean effect", "differences in effects")
    assert found.scores.shape == (found.n, 2)
    assert len(found.summary().splitlines()) <= 25
    assert "\n" not in repr(found)
    assert "Calibration(" in repr(found)
    assert found.to_frame()["estimate"].tolist() == found.estimate.tolist()


def test_the_figure_shows_the_one_that_both_should_be(cate: ec.Cate) -> None:
    ax = ec.calibration(cate).plot()
    assert [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"] == [1]


def test_a_fold_in_which_one_cluster_alone_differs_does_not_count_for_the_differences(cate: ec.Cate) -> None:
    labels = cate.average.groups["cluster"]
    one = labels[np.flatnonzero(cate.folds == 3)[0]]
    alone = np.where(cate.folds == 3, np.where(labels == one, 2.0, 1.0), cate.sequential_values)
    found = ec.calibration(replace(cate, sequential_values=alone))
    shares = found.by_fold.set_index(["fold", "term"])["share"]
    assert shares[3, "differences in effects"] == 0
    assert shares[3, "mean effect"] > 0
    assert any("all clusters but one" in text for text in found.warnings)


def test_predictions_whose_mean_is_zero_have_no_test_of_it(cate: ec.Cate) -> None:
    turned = np.tile([1.0, -1.0], 200)
    even = replace(cate, effect_values=turned, weights=np.ones(400), folds=np.arange(400) // 2 % 5)
    found = ec.calibration(even, effects="out_of_fold")
    tests = found.tests()
    assert tests[["statistic", "p_value"]].isna().all(axis=1).tolist() == [True, False]
    assert any("1 of 1 regressions do not count for the mean effect" in text for text in found.warnings)
    assert "nan" in found.summary().lower()
    # the other coefficient is that of one column alone
    outcome, column = even.centred_outcome, even.centred_treatment * turned
    assert found.estimate[1] == pytest.approx(column @ outcome / (column @ column))
