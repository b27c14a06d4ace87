"""The simulated panel is what it says."""

from __future__ import annotations

import numpy as np
import pytest

import eocausal as ec
from eocausal.errors import DesignError


def test_regions_adopt_as_a_whole_and_the_truth_is_known() -> None:
    made = ec.simulate_panel(n_regions=20, units_per_region=5, effect=2.0, growth=0.5, never=0.4, seed=7)
    frame = made.frame
    assert frame.groupby(["region", "period"])["treated"].nunique().max() == 1
    first = frame.groupby("region")["first_treated"].first()
    assert first.isna().sum() == 8
    assert first.value_counts().to_dict() == {2006.0: 4, 2009.0: 4, 2012.0: 4}
    assert (frame["treated"] == (frame["period"] >= frame["first_treated"])).all()
    assert made.true_by_event == {0: 2.0, 1: 2.5, 2: 3.0}
    assert made.true_att == pytest.approx((3 * 2.0 + 2 * 2.5 + 3.0) / 6)
    assert "imputed" not in frame


def test_the_same_seed_gives_the_same_panel_and_effects_only_shift_treated_rows() -> None:
    asked = {"n_regions": 10, "units_per_region": 3, "seed": 1}
    with_effect, without = (ec.simulate_panel(effect=effect, **asked).frame for effect in (1.0, 0.0))
    np.testing.assert_allclose(with_effect["outcome"] - without["outcome"], with_effect["treated"])
    assert with_effect.equals(ec.simulate_panel(effect=1.0, **asked).frame)


def test_units_of_a_region_share_what_icc_says() -> None:
    frame = ec.simulate_panel(n_regions=400, units_per_region=20, effect=0.0, icc=0.3, seed=2).frame
    wide = frame.pivot_table(index=["region", "unit"], columns="period", values="outcome")
    change = wide[2012] - wide[2003]
    between = change.groupby("region").mean().var() - change.groupby("region").var().mean() / 20
    assert between / change.var() == pytest.approx(0.3, abs=0.03)


def test_predictions_move_by_the_multiples_asked_for() -> None:
    asked = {"n_regions": 10, "units_per_region": 3, "seed": 1}
    strong = ec.simulate_panel(imputed=(0.9, 0.3, 0.6), **asked).frame
    weak = ec.simulate_panel(imputed=(0.9, 0.3, 0.0), **asked).frame
    np.testing.assert_allclose(strong["imputed"] - weak["imputed"], 0.6 * strong["treated"], atol=1e-12)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"n_regions": 3}, "n_regions=3"),
        ({"units_per_region": 0}, "units_per_region=0"),
        ({"periods": (2003,)}, "periods are not ascending"),
        ({"periods": (2006, 2003)}, "periods are not ascending"),
        ({"icc": 1.0}, "icc=1.0"),
        ({"never": -0.1}, "never=-0.1"),
        ({"never": 0.99, "n_regions": 10}, "leaves no region to treat"),
    ],
)
def test_bad_worlds_are_refused(asked: dict, words: str) -> None:
    with pytest.raises(DesignError, match=words):
        ec.simulate_panel(**asked)
