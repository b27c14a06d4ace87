"""The joint test before treatment, and the figure of an event study."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from scipy import stats

import eocausal as ec
from eocausal.errors import EstimationError

mpl.use("Agg")
ROLES = {
    "outcome": "outcome",
    "treatment": "treated",
    "unit": "unit",
    "period": "period",
    "cluster": "region",
}


def _made(method: str, **more: object) -> ec.Estimate:
    frame = ec.simulate_panel(n_regions=50, units_per_region=6, seed=9).frame
    return ec.panel(ec.PanelDesign(frame, **ROLES), method=method, **more)


def test_the_test_is_walds_over_its_degrees_of_freedom() -> None:
    made = _made("event_study")
    assert made.terms == ("event -3", "event -2", "event 0", "event 1", "event 2")
    test = ec.pretrends(made)
    values, matrix = made.values[:2], made.variance.matrix[:2, :2]
    wald = values @ np.linalg.inv(matrix) @ values
    assert test.statistic == pytest.approx(wald / 2)
    assert test.df == (2, 49.0)
    assert test.p_value == pytest.approx(1 - stats.f.cdf(wald / 2, 2, 49))
    assert test.terms == ("event -3", "event -2")
    assert repr(test).startswith("PretrendTest(F(2, 49) =")


def test_one_coefficient_is_tested_as_by_its_t() -> None:
    made = _made("event_study", window=(-2, 2))
    before = made.to_frame().iloc[0]
    assert before["term"] == "event <= -2"
    assert ec.pretrends(made).p_value == pytest.approx(before["p_value"])


def test_the_test_follows_the_standard_errors() -> None:
    made = _made("did", aggregate="dynamic")
    other = ec.pretrends(made.with_vcov("iid"))
    assert other.vcov == "iid"
    assert other.statistic != ec.pretrends(made).statistic


def test_a_test_of_more_periods_than_clusters_carry_is_refused() -> None:
    frame = ec.simulate_panel(n_regions=40, units_per_region=2, periods=range(8), seed=1).frame
    frame["zone"] = frame["region"].str[-1].astype(int) % 4
    made = ec.panel(ec.PanelDesign(frame, **{**ROLES, "cluster": "zone"}), method="event_study")
    with pytest.raises(EstimationError, match=r"not full rank under cluster\(zone\)[\s\S]*more clusters"):
        ec.pretrends(made)


def test_results_without_time_since_treatment_are_refused() -> None:
    for result in (_made("twfe"), _made("did"), "made"):
        for ask in (ec.pretrends, ec.event_plot):
            with pytest.raises(EstimationError, match=r"not by time since treatment[\s\S]*event_study"):
                ask(result)
    frame = ec.simulate_panel(n_regions=20, periods=(1, 2), seed=1).frame
    one = ec.panel(ec.PanelDesign(frame, **ROLES), method="event_study")
    with pytest.raises(EstimationError, match="no coefficient of a period before treatment"):
        ec.pretrends(one)


def test_the_figure_shows_each_time_once_and_the_period_compared_with() -> None:
    from matplotlib import pyplot as plt

    made = _made("did", aggregate="dynamic")
    ax = ec.event_plot(made)
    points, reference = ax.containers[0].lines[0], ax.lines[-1]
    assert points.get_xdata().tolist() == [-3, -2, 0, 1, 2]
    assert points.get_ydata() == pytest.approx(made.values[1:])
    assert (list(reference.get_xdata()), list(reference.get_ydata())) == ([-1], [0])
    _, mine = plt.subplots()
    assert ec.event_plot(_made("event_study"), ax=mine) is mine
    with pytest.raises(EstimationError, match="Several coefficients are of the same time"):
        ec.event_plot(_made("did", aggregate="cells"))
    plt.close("all")


def test_contrasts_keep_the_time_of_a_term_alone_and_have_none_of_their_own() -> None:
    from matplotlib import pyplot as plt

    made = _made("did", aggregate="dynamic")
    lead = ec.contrast(made, "event -2")
    assert lead.diagnostics["event_times"] == [-2]
    assert ec.pretrends(lead).p_value == pytest.approx(lead.p_value())
    assert ec.event_plot(ec.contrast(made, "event 1")).containers[0].lines[0].get_xdata().tolist() == [1]
    gap = ec.contrast(made, "event 1", against="event 0")
    assert not any("different units" in text for text in gap.warnings)
    for ask in (ec.pretrends, ec.event_plot):
        with pytest.raises(EstimationError, match="not by time since treatment"):
            ask(gap)
    assert "event_times" in made.diagnostics
    plt.close("all")


def test_a_window_that_nothing_is_beyond_is_not_warned_of() -> None:
    wide, narrow = (_made("event_study", window=window) for window in ((-9, 9), (-2, 1)))
    assert not any("ends of the window" in text for text in wide.warnings)
    assert any("ends of the window" in text for text in narrow.warnings)
    assert wide.to_frame()["estimate"].tolist() == _made("event_study").to_frame()["estimate"].tolist()
