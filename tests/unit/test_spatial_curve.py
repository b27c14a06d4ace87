"""Standard errors against the cutoff: table, drawing, refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import EstimationError
from tests.studies import design, study


@pytest.fixture(scope="module")
def made() -> ec.Estimate:
    """A difference in means on units in a hundred places of two to seven units, eleven km apart."""
    rng = np.random.default_rng(2)
    place = rng.integers(0, 100, size=400)
    table = pd.DataFrame({"id": np.arange(400), "lon": 30 + place % 10 / 10, "lat": place // 10 / 10})
    table["grant"] = rng.integers(0, 2, size=100)[place]
    table["income"] = rng.normal(size=100)[place] + rng.normal(size=400)
    units = ec.read_units(table, id="id", lon="lon", lat="lat")
    return ec.ate(ec.Design(units, outcome="income", treatment="grant"), method="difference")


@pytest.mark.parametrize("kernel", ["uniform", "bartlett"])
def test_the_curve_holds_what_with_vcov_gives(made: ec.Estimate, kernel: str) -> None:
    curve = ec.conley_curve(made, ["12km", 5000, "30km", "5 km"], kernel=kernel)
    assert curve.frame["cutoff_km"].tolist() == [5, 12, 30]
    for row in curve.to_frame().itertuples():
        single = made.with_vcov({"conley": f"{row.cutoff_km}km", "kernel": kernel})
        assert row.std_error == single.std_error
        assert (row.conf_low, row.conf_high) == single.ci()
    assert curve.own == {"grant": made.std_error}


def test_places_count_what_the_cutoff_leaves_apart(made: ec.Estimate) -> None:
    found = ec.conley_curve(made, ["1km", "12km"]).frame["places"]
    lon, lat = made.coordinates.T.round(1) * 10
    same = (lon[:, None] == lon) & (lat[:, None] == lat)
    beside = np.abs(lon[:, None] - lon) + np.abs(lat[:, None] - lat) < 1.5
    assert found.tolist() == pytest.approx([400**2 / same.sum(), 400**2 / beside.sum()], rel=1e-12)


def test_a_variance_that_is_not_positive_has_no_standard_error(made: ec.Estimate) -> None:
    curve = ec.conley_curve(made, ["5km", "900km"], level=0.9)
    assert curve.frame["std_error"].isna().tolist() == [False, True]
    assert curve.frame[["conf_low", "conf_high"]].isna().all(axis=1).tolist() == [False, True]
    assert (curve.frame["conf_low"][0], curve.frame["conf_high"][0]) == made.with_vcov({"conley": 5000}).ci(
        0.9
    )


def test_the_drawing_shows_the_curve_and_the_estimates_own_error(made: ec.Estimate) -> None:
    from matplotlib import pyplot
    from matplotlib.figure import Figure

    curve = ec.conley_curve(made, ["5km", "12km", "30km"])
    ax = curve.plot()
    drawn, own = ax.get_lines()
    np.testing.assert_array_equal(drawn.get_xdata(), [5, 12, 30])
    np.testing.assert_array_equal(drawn.get_ydata(), curve.frame["std_error"])
    assert set(own.get_ydata()) == {made.std_error}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["conley, uniform", "iid"]
    assert ax.get_xlabel() == "cutoff (km)"
    # a notebook shows the figure of such an Axes only where pyplot holds it
    assert ax.figure.number in pyplot.get_fignums()
    pyplot.close(ax.figure)
    given = Figure().subplots()
    both = ec.compare(a=made, b=made)
    assert ec.conley_curve(both, [5000]).plot(given) is given
    assert len(given.get_lines()) == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([],), "There are no cutoffs"),
        ((["5 miles"],), r"'5 miles' is not a cutoff[\s\S]*from 1 m"),
    ],
)
def test_cutoffs_that_cannot_be(made: ec.Estimate, arguments: tuple, words: str) -> None:
    with pytest.raises(EstimationError, match=words):
        ec.conley_curve(made, *arguments)


def test_results_that_have_no_curve(made: ec.Estimate) -> None:
    with pytest.raises(EstimationError, match=r"estimate is a DataFrame[\s\S]*\.average"):
        ec.conley_curve(made.to_frame(), ["5km"])
    with pytest.raises(EstimationError, match=r"kernel='gauss' is not known[\s\S]*uniform, bartlett"):
        ec.conley_curve(made, ["5km"], kernel="gauss")
    plain = ec.ate(design(study()), method="difference")
    with pytest.raises(EstimationError, match=r"does not know where its units are[\s\S]*read_units"):
        ec.conley_curve(plain, ["5km"])


def test_flat_distances_and_time_are_those_of_with_vcov(made: ec.Estimate) -> None:
    from dataclasses import replace

    from eocausal.inference.panel_index import PanelIndex

    flat = ec.conley_curve(made, ["12km"], crs=32636)
    assert flat.frame["std_error"][0] == made.with_vcov({"conley": "12km", "crs": 32636}).std_error
    panel = replace(made, panel=PanelIndex(np.arange(400) // 2, np.arange(400) % 2, unit_effects=199))
    for serial in (0, 1, None):
        found = ec.conley_curve(panel, ["12km"], serial=serial).frame
        single = panel.with_vcov({"conley": "12km", **({} if serial is None else {"serial": serial})})
        assert found["std_error"][0] == single.std_error
    with pytest.raises(EstimationError, match="this result is not of a panel"):
        ec.conley_curve(made, ["12km"], serial=1)


@pytest.mark.parametrize("serial", [0, 2, "all"])
def test_years_do_not_make_places_more(serial: object) -> None:
    rng = np.random.default_rng(4)
    where = np.column_stack([np.repeat(np.arange(12), 10), np.zeros(120)])
    rows = pd.DataFrame(
        {"unit": np.tile(np.arange(120), 4), "year": np.repeat([2003, 2006, 2009, 2012], 120)}
    )
    rows["lon"], rows["lat"] = where[rows["unit"]].T + rng.uniform(0, 0.001, (2, 120))[:, rows["unit"]]
    rows["aid"] = ((rows["unit"] < 60) & (rows["year"] > 2006)).astype(int)
    rows["wealth"] = rng.normal(size=480)
    roles = {"outcome": "wealth", "treatment": "aid", "unit": "unit", "period": "year"}
    made = ec.panel(ec.PanelDesign(rows, **roles, coordinates=("lon", "lat")))
    curve = ec.conley_curve(made, ["5km"], serial=serial)
    # twelve towns a degree apart, of ten units each
    assert curve.frame["places"].tolist() == pytest.approx([12.0])
    told = made.with_vcov({"conley": "5km", "serial": serial}).warnings
    assert any("as if there were 12 separate places" in text for text in told)
