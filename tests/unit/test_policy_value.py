"""What treating the top of a ranking is worth."""

from __future__ import annotations

import json

import numpy as np
import pytest

import eocausal as ec
from eocausal.errors import EvaluationError
from eocausal.evaluate.policy_result import PolicyValue
from tests.judged import drawn_cate


@pytest.fixture(scope="module")
def cate() -> ec.Cate:
    return drawn_cate(4, n=500, noise=0.5)


def test_values_are_sums_of_scores_less_cost_over_all_units(cate: ec.Cate) -> None:
    found = ec.policy_value(cate, shares=[0.2, 0.5], cost=0.3)
    assert found.terms == ("top 20%", "top 50%", "top 100%")
    expected = []
    for count in (20, 50, 100):
        tops = []
        for fold in range(1, 5):
            rows = np.flatnonzero(cate.folds == fold)
            top = rows[np.argsort(-cate.sequential_values[rows])][:count]
            tops.append((cate.dr_scores[top] - 0.3).sum() / 100)
        expected.append(np.mean(tops))
    np.testing.assert_allclose(found.estimate, expected, rtol=1e-10)


def test_against_random_it_is_the_toc_curve_times_the_share() -> None:
    one_part = drawn_cate(4, n=500, noise=0.5, n_folds=2)
    found = ec.policy_value(one_part, shares=[0.1, 0.4, 0.7], cost=0.8)
    toc = ec.rate(one_part, grid=[0.1, 0.4, 0.7, 1.0], replicates=50).toc
    np.testing.assert_allclose(
        found.against("random").estimate, toc["estimate"][:3] * toc["q"][:3], rtol=1e-9
    )


def test_other_rules_are_subtracted_with_their_joint_errors(cate: ec.Cate) -> None:
    found = ec.policy_value(cate, shares=[0.3])
    top, everybody = found.estimate
    matrix = found.values.variance.matrix
    assert found.against("nobody") == found.values
    assert found.against("everybody").estimate == pytest.approx(top - everybody)
    assert found.against("random").estimate == pytest.approx(top - 0.3 * everybody)
    for other, less in (("everybody", 1.0), ("random", 0.3)):
        joint = matrix[0, 0] + less**2 * matrix[1, 1] - 2 * less * matrix[0, 1]
        assert found.against(other).std_error == pytest.approx(np.sqrt(joint), rel=1e-9)
    # treating at random costs as much
    costly = ec.policy_value(cate, shares=[0.3], cost=2.0)
    assert costly.against("random").estimate == pytest.approx(found.against("random").estimate)
    assert costly.against("random").std_error == pytest.approx(found.against("random").std_error)


def test_the_table_has_three_curves_with_bands(cate: ec.Cate) -> None:
    table = ec.policy_value(cate, shares=[0.2, 0.5]).table()
    assert table.groupby("against", sort=False)["share"].apply(list).to_dict() == {
        "nobody": [0.2, 0.5, 1.0],
        "everybody": [0.2, 0.5],
        "random": [0.2, 0.5],
    }
    assert (table["band_low"] <= table["conf_low"]).all()
    assert (table["band_high"] >= table["conf_high"]).all()


def test_the_value_of_everybody_is_the_average_effect_of_judged_units_less_cost(cate: ec.Cate) -> None:
    found = ec.policy_value(cate, shares=[1.0], cost=0.25)
    judged = cate.dr_scores[cate.folds > 0]
    assert found.estimate == pytest.approx(judged.mean() - 0.25)
    assert found.std_error == pytest.approx(judged.std(ddof=1) / np.sqrt(judged.size), rel=1e-9)


def test_the_result_comes_back_from_a_file_and_is_drawn(cate: ec.Cate) -> None:
    found = ec.policy_value(cate, cost=1)
    assert PolicyValue.from_dict(json.loads(json.dumps(found.to_dict(scores=True)))) == found
    assert "\n" not in repr(found)
    assert "everybody" in repr(found)
    assert len(found.summary().splitlines()) <= 25
    assert f"{found.estimate[-1]:.4f}" in found.summary()
    assert len(ec.policy_value(cate, shares=np.arange(1, 51) / 50).summary().splitlines()) <= 25
    ax = found.plot()
    assert ax.get_xlim() == (0, 100)
    assert ax.get_ylabel() == "gain less cost, per unit"
    clustered = found.with_vcov("hetero")
    np.testing.assert_array_equal(clustered.estimate, found.estimate)
    assert clustered.vcov == "hetero"


def test_with_no_share_but_all_there_is_nothing_to_compare(cate: ec.Cate) -> None:
    found = ec.policy_value(cate, shares=[1.0])
    assert found.table()["against"].tolist() == ["nobody"]
    assert repr(found).count("(se") == 1
    assert "everybody" in repr(found)
    assert "1.0" in found.summary()
    for other in ("everybody", "random"):
        with pytest.raises(EvaluationError, match=r"only share is all[\s\S]*shares=\[0.5\]"):
            found.against(other)
