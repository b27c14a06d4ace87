"""Trimming: the bounds of each rule, who is left out, and that it is said."""

from __future__ import annotations

import numpy as np
import pytest

import eocausal as ec
from eocausal.errors import EstimationError
from tests.studies import FAST, THREE, design, study


def _asked(**options: object) -> ec.Design:
    return design(study(200, selected=True), **{"propensity": "p", **options})


def test_fixed_bounds_leave_out_just_those_outside_and_count_them() -> None:
    asked = _asked()
    p, t = asked.table.propensity, asked.table.treatment
    low, high = 0.3, 0.75
    inside = (p >= low) & (p <= high)
    for method in ("ipw", "aipw"):
        found = ec.ate(
            asked, method=method, trim=ec.Trim("fixed", low=low, high=high), learners=FAST, folds=THREE
        )
        np.testing.assert_array_equal(found.ids, asked.table.ids[inside])
        assert found.n == inside.sum() < 200
        assert found.estimand == "ate (trimmed)"
        assert found.diagnostics["n_treated"] == t[inside].sum()
        out = [int((~inside & (t == arm)).sum()) for arm in (1, 0)]
        assert min(out) > 0
        words = (
            f"trimming (fixed) left out {out[0]} treated and {out[1]} control units with a propensity outside"
        )
        assert any(text.startswith(words) for text in found.warnings)
        assert (found.diagnostics["trimmed_treated"], found.diagnostics["trimmed_control"]) == tuple(out)
        assert any("[0.3, 0.75]; which they are is taken as given" in text for text in found.assumptions)


def test_a_trimmed_known_propensity_weighs_as_the_design_of_those_who_stay() -> None:
    asked = _asked(weights="weight")
    trim = ec.Trim("fixed", low=0.3, high=0.75)
    kept = asked.take((asked.table.propensity >= 0.3) & (asked.table.propensity <= 0.75))
    for estimand in ("ate", "att", "atc", "ato"):
        found = ec.ate(asked, method="ipw", estimand=estimand, trim=trim)
        by_hand = ec.ate(kept, method="ipw", estimand=estimand)
        assert found.estimand == f"{estimand} (trimmed)"
        assert found.estimate == pytest.approx(by_hand.estimate, rel=1e-12)
        assert found.std_error == pytest.approx(by_hand.std_error, rel=1e-12)


def test_trimmed_aipw_uses_the_nuisances_of_all_units() -> None:
    asked = _asked()
    found = ec.ate(asked, trim=ec.Trim("fixed", low=0.3, high=0.75), learners=FAST, folds=THREE)
    whole = ec.ate(asked, learners=FAST, folds=THREE)
    dr = (whole.score_values[:, 0] + whole.estimate)[np.isin(whole.ids, found.ids)]
    assert found.estimate == pytest.approx(dr.mean(), rel=1e-12)
    np.testing.assert_allclose(found.score_values[:, 0], dr - dr.mean(), atol=1e-12)


def test_learned_propensities_are_trimmed_too_and_clusters_stay() -> None:
    asked = design(study(200, selected=True), cluster="village")
    found = ec.ate(asked, method="ipw", trim=ec.Trim("fixed", low=0.2, high=0.8), learners=FAST, folds=THREE)
    assert found.vcov == "cluster(village)"
    assert 0 < found.n < 200
    assert found.diagnostics["propensity_min"] >= 0.2
    assert found.diagnostics["propensity_max"] <= 0.8
    assert any("takes it as known" in text for text in found.warnings)


def test_bounds_that_leave_nobody_out_change_the_name_and_nothing_else() -> None:
    asked = _asked()
    found = ec.ate(asked, method="ipw", trim=ec.Trim("fixed", low=0, high=1))
    whole = ec.ate(asked, method="ipw")
    assert (found.estimate, found.std_error) == (whole.estimate, whole.std_error)
    assert found.estimand == "ate (trimmed)"
    assert any("left out 0 treated and 0 control" in text for text in found.warnings)


def test_extremes_that_trimming_kept_are_still_told() -> None:
    table = study(200, selected=True)
    table.loc[table.index[table["grant"] == 1][:2], "p"] = 0.03
    found = ec.ate(design(table, propensity="p"), method="ipw", trim=ec.Trim("fixed", low=0.02, high=0.98))
    assert any(
        "2 treated and 0 control" in text and "the trimming kept them" in text for text in found.warnings
    )


def test_quantile_bounds_are_of_treated_below_and_controls_above() -> None:
    e = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    t = np.array([0.0, 0, 1, 0, 1, 0, 1, 1])
    low, high = ec.Trim("quantile", low=0.0, high=1.0).bounds(e, t)
    # where both arms are: the lowest treated and the highest control
    assert (low, high) == (0.3, 0.6)
    assert ec.Trim("quantile", low=1 / 3, high=0.5).bounds(e, t) == pytest.approx((0.5, 0.3))


def test_crump_bounds_by_hand() -> None:
    # variances 4 (three units), 6.25 (0.2), 101.01 (0.01): twice the mean of the first four is 9.125
    e = np.array([0.5, 0.5, 0.5, 0.2, 0.01])
    low, high = ec.Trim("crump").bounds(e, np.array([0.0, 1, 0, 1, 0]))
    assert 1 / (low * (1 - low)) == pytest.approx(9.125, rel=1e-12)
    assert 0.01 < low < 0.2
    assert high == pytest.approx(1 - low, rel=1e-12)


def test_crump_leaves_everybody_where_nobody_is_extreme() -> None:
    e = np.linspace(0.3, 0.7, 30)
    assert ec.Trim("crump").bounds(e, np.arange(30) % 2) == (0.0, 1.0)


BAD = {
    "unknown rule": (lambda: ec.Trim("crumb"), "Did you mean 'crump'"),
    "no bounds": (lambda: ec.Trim("fixed"), r"low=None, high=None[\s\S]*low=0.1, high=0.9"),
    "bounds crossed": (lambda: ec.Trim("fixed", low=0.9, high=0.1), "0 <= low < high <= 1"),
    "bounds in per cent": (lambda: ec.Trim("quantile", low=1, high=99), r"low=0.01, high=0.99"),
    "a bound as text": (lambda: ec.Trim("fixed", low="0.1", high=0.9), "low='0.1'"),
    "not a number": (lambda: ec.Trim("fixed", low=float("nan"), high=0.9), "low=nan"),
    "crump with bounds": (lambda: ec.Trim("crump", low=0.1), "finds its bounds itself"),
    "trim as a number": (lambda: ec.ate(_asked(), method="ipw", trim=0.1), r"trim is 0.1[\s\S]*ec.Trim\("),
    "nobody stays": (
        lambda: ec.ate(_asked(), method="ipw", trim=ec.Trim("fixed", low=0.0, high=0.001)),
        r"leaves 0 treated and 0 control units[\s\S]*estimand='ato'",
    ),
    "a method without a propensity": (
        lambda: ec.ate(_asked(), method="regression", trim=ec.Trim("crump")),
        r"'regression' uses no propensity to trim by[\s\S]*aipw, ipw",
    ),
    "crump for the treated": (
        lambda: ec.ate(_asked(), method="ipw", estimand="att", trim=ec.Trim("crump")),
        r"best trimming for the ate, not for the att[\s\S]*Trim\('fixed'",
    ),
}


@pytest.mark.parametrize("case", list(BAD))
def test_the_words_help(case: str) -> None:
    call, words = BAD[case]
    with pytest.raises(EstimationError, match=words):
        call()
