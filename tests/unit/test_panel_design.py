"""Panel designs: what is refused, what is counted, and that time is counted by value."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import DesignError, EmbeddingsError, LeakError
from eocausal.inference.periods import grid_of
from eocausal.panels.guards import counts

ROLES = {"outcome": "wealth", "treatment": "aid", "unit": "village", "period": "year"}


def _table() -> pd.DataFrame:
    """Six villages in four years: two treated from 2006, one from 2012, one from the start, two never."""
    first = {"a": 2006, "b": 2006, "c": 2012, "d": 2003, "e": None, "f": None}
    rows = [(village, year) for village in first for year in (2003, 2006, 2009, 2012)]
    table = pd.DataFrame(rows, columns=["village", "year"])
    start = table["village"].map(first)
    table["aid"] = (table["year"] >= start).astype(int)
    table["wealth"] = np.random.default_rng(0).normal(size=len(table))
    table["rain"] = np.random.default_rng(1).normal(size=len(table))
    table["district"] = table["village"].map(dict(zip("abcdef", "NNSSNS")))
    return table


def _design(table: pd.DataFrame | None = None, **more: object) -> ec.PanelDesign:
    return ec.PanelDesign(_table() if table is None else table, **{**ROLES, **more})


def _features(date: str | None) -> ec.Embeddings:
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"village": list("abcdef"), "f0": rng.normal(size=6), "f1": rng.normal(size=6)})
    return ec.read_embeddings(table, key="village", date=date)


def test_who_is_treated_is_counted_and_never_treated_units_stay() -> None:
    design = _design(cluster="district")
    assert len(design) == 24
    assert counts(design.table) == {
        "n_units": 6, "n_periods": 4, "never_treated": 2, "ever_treated": 4, "treated_from_first_period": 1,
        "cohorts": 3, "missing_unit_periods": 0, "treated_assignment_units": 2, "assignment_units": 2,
    }  # fmt: skip
    assert design.table.starts.tolist() == [1, 1, 3, 0, -1, -1]
    assert design.table.always.tolist() == [False, False, False, True, False, False]
    assert repr(design).endswith(
        "6 units in 4 periods, 4 ever treated, 2 never treated, 2 of 2 clusters treated)"
    )
    assert design.notes == ()


def test_rows_stand_by_unit_and_period_whatever_their_order_was() -> None:
    table = _table()
    shuffled = table.sample(frac=1, random_state=3)
    assert _design(shuffled).fingerprint == _design(table).fingerprint
    assert _design(shuffled).table.ids[:3].tolist() == ["a 2003", "a 2006", "a 2009"]


def test_a_period_that_nobody_has_is_a_gap() -> None:
    table = _table()
    (note,) = _design(table[table["year"] != 2009]).notes
    assert "3 apart, but 1 of 4 are missing for all units (2009)" in note
    assert _design(table[table["year"] != 2009]).table.steps[:3].tolist() == [0, 1, 3]


def test_units_that_miss_periods_are_counted() -> None:
    (note,) = _design(_table().drop(index=[1, 2, 21])).notes
    assert note == "2 of 6 units miss 3 unit-periods of 4 periods"


def test_a_unit_keeps_its_start_where_the_row_of_its_start_lacks_an_outcome() -> None:
    table = _table()
    table.loc[1, "wealth"] = np.nan  # village a in 2006
    design = _design(table, missing="drop")
    assert design.table.starts[0] == 1
    assert design.notes[0] == "left out: 1 unit-periods with no outcome 'wealth'"


def test_periods_of_pandas_are_counted_in_their_own_steps() -> None:
    table = _table()
    table["year"] = pd.PeriodIndex(table["year"].astype(str) + "Q1", freq="Q")
    grid = _design(table).table.grid
    assert (grid.step, grid.n_steps) == (12.0, 4)
    assert not grid.in_years


@pytest.mark.parametrize(
    ("frequency", "shown"), [("Y", "2006"), ("Q", "2006Q3"), ("W", "2006-07-03/2006-07-09")]
)
def test_periods_of_pandas_are_shown_by_name(frequency: str, shown: str) -> None:
    table = _table()
    table["year"] = pd.PeriodIndex(table["year"].astype(str) + "-07-07", freq=frequency)
    design = _design(table)
    made = ec.panel(design, method="did", aggregate="group")
    assert f"group {shown}" in made.terms
    assert f"a {shown}" in design.table.ids.tolist()
    # weeks are numbered like years, and are none
    assert design.table.grid.in_years == (frequency == "Y")
    assert (
        made.values.tolist() == ec.panel(_design(_table()), method="did", aggregate="group").values.tolist()
    )


@pytest.mark.parametrize(
    ("periods", "step", "n_steps"),
    [([1, 2, 3], 1, 3), ([2003, 2009, 2012], 3, 4), ([5], 1, 1), ([-4, 0], 4, 2)],
)
def test_the_grid_is_the_widest_that_holds_all_periods(periods: list[int], step: int, n_steps: int) -> None:
    grid = grid_of(np.array(periods, dtype=float))
    assert (grid.step, grid.n_steps) == (step, n_steps)


def test_no_never_treated_unit_and_treatment_that_falls_are_said() -> None:
    table = _table()
    table = table[~table["village"].isin(["e", "f"])]
    table.loc[3, "aid"] = 0  # village a in 2012
    notes = _design(table).notes
    assert any(note.startswith("no unit is never treated") for note in notes)
    assert "treatment falls again in 1 of 4 treated units" in notes


def test_a_sensor_that_changes_as_treatment_starts_is_told_from_one_that_changes_for_all() -> None:
    table = _table()
    table["seen"] = np.where(table["year"] >= 2009, "l8", "l7")
    assert _design(table, sensor="seen").notes == ()  # no unit starts in 2009
    table["seen"] = np.where(table["year"] >= 2006, "l8", "l7")
    (note,) = _design(table, sensor="seen").notes
    assert (
        "sensor changes as treatment starts in 2 of 3 treated units (67%, 67% of others in the same periods)"
        in note
    )
    table["seen"] = np.where(table["aid"] == 1, "l8", "l7")
    first, second = _design(table, sensor="seen").notes
    assert "in 3 of 3 treated units (100%, 0% of others in the same periods)" in first
    assert "several sensors within 4 periods (2003, 2006, 2009, 2012)" in second


def test_images_from_the_first_treated_period_or_later_are_refused() -> None:
    with pytest.raises(
        LeakError, match=r"images of 3 units are from the period in which they are first treated"
    ):
        _design(features=_features("2006-01-15"))
    assert _design(features=_features("2002-06-30")).notes == ()
    (note,) = _design(features=_features(None)).notes
    assert note.startswith("the days of the images of 4 treated units are not known")
    coded = _table()
    coded["year"] = (coded["year"] - 2000) // 3
    (note,) = _design(coded, features=_features("2019-01-01")).notes
    assert "not checked that images are from before treatment" in note


def test_units_without_an_image_are_left_out_only_when_asked() -> None:
    table = _table().assign(village=lambda frame: frame["village"].replace("f", "z"))
    with pytest.raises(DesignError, match=r"4 rows have no usable image[\s\S]*z 2003"):
        _design(table, features=_features("2002-06-30"))
    design = _design(table, features=_features("2002-06-30"), missing="drop")
    assert design.table.units.tolist() == list("abcde")
    assert "left out: 4 unit-periods with no usable image" in design.notes


def _changed(**columns: object) -> pd.DataFrame:
    table = _table()
    for name, value in columns.items():
        table[name] = value
    return table


def _set(column: str, row: int, value: object) -> pd.DataFrame:
    table = _table()
    table[column] = (
        table[column].astype(object) if not isinstance(value, float) else table[column].astype(float)
    )
    table.loc[row, column] = value
    return table


BAD = {
    "columns in the index": (
        lambda: _design(_table().set_index(["village", "year"])),
        r"in the index of the table[\s\S]*2 \(village, year\)[\s\S]*reset_index",
    ),
    "no treated row is complete": (
        lambda: _design(_table().assign(wealth=lambda t: t["wealth"].where(t["aid"] == 0)), missing="drop"),
        r"rows that are complete have the treatment 0[\s\S]*left out: 11 unit-periods with no outcome",
    ),
    "no table": (lambda: _design("panel.csv"), r"data is a str, not a table"),
    "empty": (lambda: _design(_table().head(0)), r"The panel is empty"),
    "no such column": (lambda: _design(unit="vilage"), r"'vilage' is not in the panel[\s\S]*mean 'village'"),
    "two roles": (lambda: _design(outcome="year"), r"two roles[\s\S]*year"),
    "outcome among covariates": (lambda: _design(covariates=["wealth"]), r"outcome 'wealth' is among"),
    "text for covariates": (lambda: _design(covariates="rain"), r"covariates='rain' is no list"),
    "twice": (lambda: _design(covariates=["rain", "rain"]), r"named twice"),
    "duplicates": (
        lambda: _design(pd.concat([_table(), _table().head(2)])),
        r"2 rows have a unit 'village' and a period 'year' that another row has[\s\S]*a 2003, a 2006",
    ),
    "period missing": (lambda: _design(_set("year", 4, np.nan)), r"Period 'year' is missing"),
    "period in parts": (lambda: _design(_set("year", 4, 2003.5)), r"not in whole numbers[\s\S]*2003.5"),
    "period as text": (
        lambda: _design(_table().astype({"year": str})), r"not in whole numbers[\s\S]*astype\(int\)",
    ),
    "period as day": (
        lambda: _design(_changed(year=pd.to_datetime(_table()["year"].astype(str)))), r"numbers[\s\S]*dt\.year",
    ),
    "one period": (lambda: _design(_table().query("year == 2006")), r"single period"),
    "unit missing": (lambda: _design(_set("village", 4, None)), r"Unit 'village' is missing"),
    "treatment missing": (lambda: _design(_set("aid", 20, np.nan)), r"never-treated units are 0 in every period"),
    "treatment by first year": (
        lambda: _design(_changed(aid=2006)), r"not between 0 and 1[\s\S]*first periods becomes one by",
    ),
    "all treated": (lambda: _design(_changed(aid=1)), r"is 1 in all 24 rows"),
    "treatment as text": (lambda: _design(_set("aid", 2, "yes")), r"treatment 'aid' is not numeric"),
    "outcome missing": (lambda: _design(_set("wealth", 2, np.nan)), r"1 rows have no outcome[\s\S]*missing='drop'"),
    "outcome flat": (lambda: _design(_changed(wealth=3.0)), r"same value in all rows"),
    "covariate flat": (lambda: _design(_changed(rain=1.0), covariates=["rain"]), r"'rain' is constant"),
    "covariate is treatment": (
        lambda: _design(_changed(rain=2.0 * _table()["aid"]), covariates=["rain"]), r"'rain' equals the treatment",
    ),
    "cluster moves": (
        lambda: _design(_set("district", 0, "S"), cluster="district"), r"'district' changes within units",
    ),
    "weights": (lambda: _design(_changed(rain=-1.0), weights="rain"), r"Weights 'rain' must be positive"),
    "sensor missing": (lambda: _design(_changed(seen=None), sensor="seen"), r"Sensor 'seen' is missing"),
    "places": (
        lambda: _design(_changed(lon=200.0, lat=1.0), coordinates=("lon", "lat")), r"not degrees[\s\S]*longitude",
    ),
    "one place": (lambda: _design(coordinates="lon"), r"coordinates='lon'"),
    "missing word": (lambda: _design(missing="fill"), r"missing='fill' is not known"),
    "imputed as text": (lambda: _design(outcome_imputed="landsat"), r"ec\.Imputed\(from_sensor="),
    "features as text": (lambda: _design(features="f.parquet"), r"features is a str"),
    "sensor unnamed": (lambda: ec.Imputed(from_sensor=" "), r"Imputed\(from_sensor=' '\)"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(BAD))
def test_bad_panels_are_refused_with_what_mends_them(case: str) -> None:
    make, words = BAD[case]
    with pytest.raises(DesignError, match=words):
        make()


def test_a_covariate_that_is_made_from_the_treatment_is_refused() -> None:
    frame = ec.simulate_panel(n_regions=30, units_per_region=2, seed=1).frame
    roles = {"outcome": "outcome", "treatment": "treated", "unit": "unit", "period": "period"}
    frame["rain"] = np.random.default_rng(0).normal(size=len(frame))
    frame["given"] = frame["rain"] * frame["treated"]
    with pytest.raises(LeakError, match="'given' equals the treatment times 'rain'"):
        ec.PanelDesign(frame, covariates=["rain", "given"], **roles)
    since = frame["period"] - frame["first_treated"]
    for clock in (since, since.clip(lower=0), since.clip(lower=-1), (since + 3).clip(lower=0), since**2):
        for never in (0, -1, 99):
            made = frame.assign(clock=clock.fillna(never))
            with pytest.raises(
                LeakError, match=r"'clock' counts the time since treatment began[\s\S]*made from"
            ):
                ec.PanelDesign(made, covariates=["rain", "clock"], **roles, cluster="region")
    one = frame[frame["first_treated"].isna() | (frame["first_treated"] == 2009)]
    with pytest.raises(LeakError, match="counts the time since treatment began"):
        ec.PanelDesign(one.assign(clock=since.fillna(0)), covariates=["clock"], **roles)
    # what grows with the calendar alone is taken out by the effects of periods
    for table in (frame, one):
        assert ec.PanelDesign(table.assign(year=table["period"]), covariates=["year"], **roles)


def test_keys_of_another_kind_say_so() -> None:
    table = _table().assign(village=lambda frame: frame["village"].map(dict(zip("abcdef", range(6)))))
    with pytest.raises(EmbeddingsError, match="numbers here"):
        _design(table, features=_features("2002-06-30"))
