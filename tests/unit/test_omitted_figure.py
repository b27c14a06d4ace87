"""The contours of omitted variables: what is drawn where, and names that do not lie on one another."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

import eocausal as ec
from eocausal.sensitivities.omitted_figure import draw
from eocausal.sensitivities.result import Sensitivity
from tests.studies import by_village, design, images, study


@pytest.fixture(scope="module")
def found() -> Sensitivity:
    estimate = ec.ate(design(by_village(240), features=images()), method="ols", learners=ec.Learners(pca=3))
    return ec.sensitivity(estimate, benchmark=["features", "age"], r2_treatment=0.1)


def _drawn(found: Sensitivity, wide: float = 9.0) -> object:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(wide, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure, found)
    figure.canvas.draw()
    return figure


def _red(ax: object) -> np.ndarray:
    """Points of the dashed line where the null is."""
    lines = [one for one in ax.collections if one.get_linestyle()[0][1] is not None]
    return np.concatenate([path.vertices for one in lines for path in one.get_paths()])


def test_the_line_of_zero_is_where_the_bias_is_all_of_the_estimate(found: Sensitivity) -> None:
    figure = _drawn(found)
    estimate, limit = figure.axes
    numbers = found.numbers
    treatment, outcome = _red(estimate).T
    bias = numbers["scale"] * np.sqrt(outcome * treatment / (1 - treatment))
    np.testing.assert_allclose(bias, numbers["estimate"], rtol=0.01)
    treatment, outcome = _red(limit).T
    bias = numbers["scale"] * np.sqrt(outcome * treatment / (1 - treatment))
    end = numbers["estimate"] - bias - numbers["reach"] / np.sqrt(1 - treatment)
    np.testing.assert_allclose(end, 0, atol=0.01 * numbers["estimate"])


def test_a_negative_estimate_is_drawn_alike_with_its_upper_end(found: Sensitivity) -> None:
    table = by_village(240)
    table["income"] = -table["income"]
    estimate = ec.ate(design(table, features=images()), method="ols", learners=ec.Learners(pca=3))
    turned = ec.sensitivity(estimate, benchmark=["features", "age"], r2_treatment=0.1)
    one, other = _drawn(found), _drawn(turned)
    assert [ax.get_title() for ax in one.axes] == ["Estimate", "Lower end of its 95% interval"]
    assert [ax.get_title() for ax in other.axes] == ["Estimate", "Upper end of its 95% interval"]
    treatment, outcome = _red(other.axes[1]).T
    bias = turned.numbers["scale"] * np.sqrt(outcome * treatment / (1 - treatment))
    end = turned.numbers["estimate"] + bias + turned.numbers["reach"] / np.sqrt(1 - treatment)
    np.testing.assert_allclose(end, 0, atol=0.01 * abs(turned.numbers["estimate"]))


@pytest.mark.parametrize("wide", [9.0, 7.0])
def test_names_do_not_lie_on_one_another_nor_outside(found: Sensitivity, wide: float) -> None:
    figure = _drawn(found, wide)
    names = [*found.curves["points"]["name"], f"as it is: {found.numbers['estimate']:.3g}"]
    for ax in figure.axes:
        written = {text.get_text(): text for text in ax.texts if text.get_text() in names}
        assert set(written) == set(names)
        # without the line to the point
        boxes = {name: Text.get_window_extent(text) for name, text in written.items()}
        inside = ax.get_window_extent()
        for name, box in boxes.items():
            assert box.x1 <= inside.x1 + 6, name
            assert box.y1 <= inside.y1 + 6, name
        for (first, one), (second, other) in combinations(boxes.items(), 2):
            # letters are estimated wide, but for a pixel or two
            width = min(one.x1, other.x1) - max(one.x0, other.x0)
            height = min(one.y1, other.y1) - max(one.y0, other.y0)
            assert min(width, height) <= 2, (first, second)


def test_points_lie_where_the_table_says(found: Sensitivity) -> None:
    ax = _drawn(found).axes[0]
    drawn = {tuple(np.round(np.ravel(line.get_xydata()), 9)) for line in ax.lines}
    points = found.curves["points"]
    for across, up in zip(points["r2_treatment"], points["r2_outcome"]):
        assert (round(across, 9), round(up, 9)) in drawn
    needed = round(found.numbers["robustness_value"], 9)
    assert (needed, needed) in drawn
    assert (0.0, 0.0) in drawn


def test_without_an_interval_there_is_one_panel_and_a_grid_of_limits_makes_two(found: Sensitivity) -> None:
    numbers = {name: value for name, value in found.numbers.items() if name != "reach"}
    bare = replace(found, numbers=numbers)
    assert len(_drawn(bare).axes) == 1
    shares = np.linspace(0, 0.99, 34)
    grid = pd.DataFrame(
        [(one, other, 1 - 2 * one - 0.5 * other) for one in shares for other in shares],
        columns=["r2_treatment", "r2_outcome", "limit"],
    )
    two = _drawn(replace(bare, curves={**bare.curves, "limits": grid}))
    treatment, outcome = _red(two.axes[1]).T
    np.testing.assert_allclose(2 * treatment + 0.5 * outcome, 1, atol=1e-6)


def test_another_null_and_a_correlation_below_one_are_drawn(found: Sensitivity) -> None:
    half = replace(found, numbers={**found.numbers, "null": found.numbers["estimate"] / 2, "rho": 0.5})
    treatment, outcome = _red(_drawn(half).axes[0]).T
    bias = 0.5 * found.numbers["scale"] * np.sqrt(outcome * treatment / (1 - treatment))
    np.testing.assert_allclose(bias, found.numbers["estimate"] / 2, rtol=0.01)


def test_nothing_to_compare_with_is_drawn_too() -> None:
    bare = ec.sensitivity(ec.ate(design(study()), method="difference"))
    figure = _drawn(bare)
    assert len(figure.axes) == 2
    assert any(text.get_text().startswith("as it is") for text in figure.axes[0].texts)
