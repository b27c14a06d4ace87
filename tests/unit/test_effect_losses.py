"""Losses of predicted effects of several models."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import eocausal as ec
from eocausal.evaluate.effect_losses_result import EffectLosses
from tests.judged import drawn_cate


@pytest.fixture(scope="module")
def cates() -> dict[str, ec.Cate]:
    good = drawn_cate(6, n=500, per_cluster=2, weighted=True)
    return {"good": good, "reversed": replace(good, effect_values=2 - good.effect_values)}


def test_losses_are_weighted_mean_squares(cates: dict[str, ec.Cate]) -> None:
    found = ec.effect_losses(cates)
    good = cates["good"]
    assert found.names == ("good", "reversed", "one effect for all")
    for place, name in enumerate(("good", "reversed")):
        effect = cates[name].effect_values
        r_loss = np.average(
            (good.centred_outcome - good.centred_treatment * effect) ** 2, weights=good.weights
        )
        dr_loss = np.average((good.dr_scores - effect) ** 2, weights=good.weights)
        assert found.estimate[place] == pytest.approx(r_loss)
        assert found.estimate[3 + place] == pytest.approx(dr_loss)
    constant = np.zeros(good.ids.size)
    for fold in range(5):
        others = good.folds != fold
        constant[~others] = np.average(good.dr_scores[others], weights=good.weights[others])
    assert found.estimate[5] == pytest.approx(
        np.average((good.dr_scores - constant) ** 2, weights=good.weights)
    )


def test_differences_have_paired_clustered_errors(cates: dict[str, ec.Cate]) -> None:
    found = ec.effect_losses(cates)
    good, other = cates["good"], cates["reversed"]
    for loss in ("R-loss", "DR-loss"):
        differences = found.differences(loss)
        assert differences.terms[0] == "good - reversed"
        if loss == "R-loss":
            square = [
                (good.centred_outcome - good.centred_treatment * one.effect_values) ** 2
                for one in (good, other)
            ]
        else:
            square = [(good.dr_scores - one.effect_values) ** 2 for one in (good, other)]
        gap = square[0] - square[1]
        mean = np.average(gap, weights=good.weights)
        sums = (
            np.bincount(good.average.groups["cluster"], weights=good.weights * (gap - mean))
            / good.weights.sum()
        )
        n, g = gap.size, sums.size
        assert differences.estimate[0] == pytest.approx(mean)
        assert differences.std_error[0] == pytest.approx(
            np.sqrt(sums @ sums * g / (g - 1) * (n - 1) / (n - 1))
        )
        assert differences.p_value()[0] < 0.001


def test_the_table_puts_the_least_loss_first_and_gains_against_one_effect_for_all(
    cates: dict[str, ec.Cate],
) -> None:
    table = ec.effect_losses(cates).table().set_index("model")
    assert table.index.tolist() == ["good", "one effect for all", "reversed"]
    assert table["dr_gain"]["one effect for all"] == 0
    assert table["dr_gain_error"]["one effect for all"] == 0
    assert table["r_gain"]["good"] > 0 > table["r_gain"]["reversed"]
    assert table["calibration_r2"]["good"] > 0.7
    assert table["calibration_r2"]["reversed"] < -0.7
    assert np.isnan(table["calibration_r2"]["one effect for all"])


def test_nuisances_of_one_can_judge_all(cates: dict[str, ec.Cate]) -> None:
    other = replace(
        cates["reversed"],
        dr_scores=cates["good"].dr_scores + 1,
        centred_outcome=cates["good"].centred_outcome * 2,
    )
    found = ec.effect_losses({"good": cates["good"], "reversed": other}, nuisances_of="good")
    np.testing.assert_allclose(found.estimate, ec.effect_losses(cates).estimate)
    assert found.diagnostics["nuisances_of"] == "good"


def test_the_result_comes_back_from_a_file_and_is_drawn(cates: dict[str, ec.Cate]) -> None:
    found = ec.effect_losses(cates)
    assert EffectLosses.from_dict(json.loads(json.dumps(found.to_dict(scores=True)))) == found
    assert "\n" not in repr(found)
    assert "'good'" in repr(found)
    assert len(found.summary().splitlines()) <= 25
    assert [tick.get_text() for tick in found.plot().get_yticklabels()] == ["good", "reversed"]
    assert found.with_vcov("iid").vcov == "iid"
