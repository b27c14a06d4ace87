"""The account of chips: every unit ends with a row, and arms that lose different pictures are told apart."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import eocausal as ec
from eocausal.errors import ImageryError
from eocausal.imagery.account_report import difference
from tests.scenes import numbered, units_on, write_scene

# Four places with two units each: all valid, half valid, none valid, on no raster.
PLACES = [(30.0, 20.0), (30.0, 40.0), (30.0, 60.0), (-500.0, 20.0)]
KEYS = ["all", "half", "none", "off"]
ARM = pd.Series([1, 0, 1, 0, 0, 0, 1, 1], index=[f"u{i}" for i in range(8)])


@pytest.fixture
def chips(tmp_path: Path) -> ec.Chips:
    pixels = numbered(1) / 4
    pixels[0, :, 40:] = np.nan
    west = write_scene(tmp_path / "west.tif", pixels[:, :, :50])
    east = write_scene(tmp_path / "east.tif", pixels[:, :, 50:], corner=(600_000.0 + 1500, 200_000.0))
    units = units_on(
        [place for place in PLACES for _ in range(2)], key=np.repeat(KEYS, 2), grant=ARM.to_numpy()
    )
    unit = ec.Radiometry("s2_l2a_dn", convert_to="reflectance", offset_applied=False)
    return ec.chips(units, [west, east], size_px=[4, 20], date="2007-06-30", pixel_unit=unit)


def test_every_key_and_block_has_a_row(chips: ec.Chips) -> None:
    table = chips.account()
    assert table[["key", "block"]].to_numpy().tolist() == [[k, b] for b in ("4px", "20px") for k in KEYS]
    assert table["status"].tolist() == ["ok", "partial", "nodata", "outside"] * 2
    assert table["valid_fraction"].tolist() == [1.0, 0.5, 0.0, 0.0] * 2
    assert table["n_units"].tolist() == [2] * 8
    # the largest window of "half" spans columns 30 to 49, that of "none" 50 to 69, that of "all" 10 to 29
    assert table["scenes"].tolist() == ["west.tif", "west.tif", "east.tif", ""] * 2
    assert table["n_scenes"].tolist() == [1, 1, 1, 0] * 2
    for name in ("first_date", "last_date"):
        assert table[name].fillna("").tolist() == (["2007-06-30"] * 3 + [""]) * 2
    assert table["frames"].tolist() == [1, 1, 0, 0] * 2
    assert table["observations"].tolist() == table["valid_fraction"].tolist()
    for name, value in {"pixel_unit": "reflectance", "stored_unit": "s2_l2a_dn",
                        "offset_added": -1000.0, "crs": "EPSG:32636"}.items():  # fmt: skip
        assert set(table[name]) == {value}, name
    assert "n_treated" not in table


def test_a_window_over_two_files_names_both(tmp_path: Path) -> None:
    pixels = numbered(1)
    files = [
        write_scene(tmp_path / f"{n}.tif", pixels, corner=(600_000.0 + 2400 * n, 200_000.0)) for n in (0, 1)
    ]
    cut = ec.chips(units_on([(30, 80)]), files, size_px=4)
    assert cut.account()["scenes"].tolist() == ["0.tif; 1.tif"]


def test_nothing_declared_is_said_to_be_nothing() -> None:
    units = units_on([(0, 0), (0, 1)])
    table = ec.chips_from_arrays(units, np.ones((2, 4, 4, 3))).account()
    assert table["stored_unit"].isna().all()
    assert table["last_date"].isna().all()
    assert table["offset_added"].tolist() == [0.0, 0.0]
    assert not {"scenes", "n_scenes", "sensors", "observations"} & set(table)


@pytest.mark.parametrize("treatment", [ARM, ARM[::-1], ARM.astype(bool), ARM.astype(float), "grant"])
def test_arms_are_found_by_unit_id_or_by_column(chips: ec.Chips, treatment: pd.Series | str) -> None:
    table = chips.account(treatment)
    assert table["n_treated"].tolist() == [1, 1, 0, 2] * 2
    assert table["n_control"].tolist() == [1, 1, 2, 0] * 2


def test_counts_by_arm(chips: ec.Chips) -> None:
    found = chips.report(ARM).by_arm
    assert found["block"].tolist() == ["4px", "4px", "20px", "20px"]
    small = found[found["block"] == "4px"].set_index("arm")
    assert small["n_units"].to_dict() == {"control": 4, "treated": 4}
    wanted = {
        "ok": [1, 1], "partial": [1, 1], "nodata": [2, 0], "outside": [0, 2], "missing": [0, 0],
        "valid_fraction": [0.375, 0.375],
    }  # fmt: skip
    for name, values in wanted.items():
        assert small.loc[["control", "treated"], name].tolist() == values, name


def test_without_treatment_there_is_one_group_and_no_test(chips: ec.Chips) -> None:
    found = chips.report()
    assert found.by_arm["arm"].tolist() == ["all", "all"]
    assert found.by_arm["n_units"].tolist() == [8, 8]
    assert found.tests.empty
    assert found.warnings == ("4 units have no usable 4px chip", "4 units have no usable 20px chip")


def test_units_without_a_picture_are_counted_by_arm(chips: ec.Chips) -> None:
    found = chips.report("grant")
    # both arms lose half of their pictures: counted, and no difference claimed
    assert found.warnings == (
        "4 of 8 units (50.0%) lie where a unit of the other arm lies too: their pictures are the same, so "
        "features cannot tell them apart",
        "4 units (2 treated, 2 control) have no usable 4px chip",
        "4 units (2 treated, 2 control) have no usable 20px chip",
    )
    assert "Warning: 4 units (2 treated, 2 control) have no usable 4px chip" in repr(found)


def _clouded(share: float, *, n: int = 120, seed: int = 0) -> tuple[ec.Chips, pd.Series]:
    """Return chips of images with three units each; treated images lose ``share`` of their pixels' rows."""
    rng = np.random.default_rng(seed)
    images = np.repeat(np.arange(n // 3), 3)
    treated = images % 2
    array = 1 + rng.random((n // 3, 10, 10, 1))
    for image in range(n // 3):
        rows = rng.binomial(10, 0.1 + share * (image % 2))
        array[image, :rows] = np.nan
    table = pd.DataFrame({"id": np.arange(n), "image": images})
    units = ec.read_units(table, id="id", image_key="image")
    return ec.chips_from_arrays(units, array, keys=np.arange(n // 3), axes="nhwc"), pd.Series(treated)


def test_arms_that_lose_different_shares_are_told_apart() -> None:
    chips, treatment = _clouded(0.4)
    found = chips.report(treatment)
    (text,) = [one for one in found.warnings if "valid fraction" in one]
    by_arm = found.by_arm.set_index("arm")["valid_fraction"]
    assert text.startswith(
        f"the arms differ in the mean valid fraction of 10px chips: treated {by_arm['treated']:.1%}, "
        f"control {by_arm['control']:.1%} (p = "
    )
    assert "clustered by image" in text
    test = found.tests.set_index("term").loc["valid_fraction"]
    assert test["estimate"] == pytest.approx(by_arm["treated"] - by_arm["control"])
    assert test["n"] == 120
    assert test["n_clusters"] == 40


def test_arms_that_lose_the_same_are_not() -> None:
    rejected = [bool(_found.warnings) for seed in range(20) for _found in [_report(seed)]]
    # at the 5% level; 20 draws above 5 would have probability 0.0003
    assert sum(rejected) <= 5


def _report(seed: int) -> object:
    chips, treatment = _clouded(0.0, seed=seed)
    return chips.report(treatment)


def test_the_difference_is_that_of_regression_with_clusters() -> None:
    rng = np.random.default_rng(4)
    images = rng.integers(0, 25, size=200)
    treated = rng.random(200) < 0.4
    values = rng.random(25)[images] + 0.2 * treated
    fit = sm.OLS(values, sm.add_constant(treated.astype(float))).fit(
        cov_type="cluster", cov_kwds={"groups": images, "df_correction": True}, use_t=True
    )
    found = difference(values, treated, images)
    for name, theirs in (("estimate", fit.params), ("std_error", fit.bse), ("statistic", fit.tvalues),
                         ("p_value", fit.pvalues)):  # fmt: skip
        assert found[name] == pytest.approx(theirs[1], rel=1e-10), name


def test_arms_wholly_apart_and_wholly_alike() -> None:
    arms, images = np.arange(8) % 2 == 1, np.arange(8)
    apart = difference(arms.astype(float), arms, images)
    assert (apart["estimate"], apart["std_error"], apart["p_value"]) == (1.0, 0.0, 0.0)
    alike = difference(np.ones(8), arms, images)
    assert (alike["estimate"], alike["p_value"]) == (0.0, 1.0)
    few = difference(np.array([0.0, 1.0, 1.0]), np.array([True, False, False]), np.array([0, 1, 1]))
    assert few["estimate"] == -1.0
    assert np.isnan(few["p_value"])


@pytest.mark.parametrize(
    ("treatment", "words"),
    [
        (ARM.iloc[:5], ["treatment has no value for 3 of 8 units", "u5, u6, u7", "set_index('id')"]),
        (ARM.reset_index(drop=True), ["no value for 8 of 8 units", "found by unit id"]),
        (ARM.replace(0, np.nan), ["no value for 4 of 8 units"]),
        (ARM + 1, ["treatment is not 0 and 1", "2 (1, 2)"]),
        (ARM * 0, ["treatment is not 0 and 1", "1 (0)"]),
        (pd.concat([ARM, ARM.iloc[:1]]), ["index of treatment holds duplicates", "u0"]),
        (ARM.to_numpy(), ["treatment is a ndarray", "index=units.ids"]),
        ("grants", ["'grants' is not in the units", "'grant'"]),
    ],
)
def test_bad_treatment_says_what_to_mend(chips: ec.Chips, treatment: object, words: list[str]) -> None:
    with pytest.raises(ImageryError, match=r"[\s\S]*".join(map(re.escape, words))):
        chips.report(treatment)


def test_the_plot_shows_a_map_where_places_are_known_and_the_shares_by_arm(chips: ec.Chips) -> None:
    figure = chips.report(ARM).plot(block="20px")
    on_map, shares = figure.axes
    assert on_map.get_title(loc="left") == "8 units, chips of 20px"
    assert [text.get_text() for text in on_map.get_legend().get_texts()] == [
        "ok (2)", "partial (2)", "outside (2)", "nodata (2)",
    ]  # fmt: skip
    # two units of four in each arm have nothing valid, one half, one all
    heights = [[bar.get_height() for bar in bars] for bars in shares.containers]
    assert heights == [[50, 0, 0, 25, 0, 25], [50, 0, 0, 25, 0, 25]]
    placeless, treatment = _clouded(0.2)
    assert len(placeless.report(treatment).plot().axes) == 1
    with pytest.raises(ImageryError, match=r"block='20m' is not known[\s\S]*4px, 20px"):
        chips.report(ARM).plot(block="20m")


def test_shares_that_are_alike_but_for_rounding_do_not_differ():
    # 0.6 cannot be written in binary: the means of 175 and of 125 of them differ in the last digit
    values = np.full(300, 0.6)
    apart = difference(values, np.arange(300) < 125, np.arange(300))
    assert (apart["estimate"], apart["std_error"], apart["statistic"], apart["p_value"]) == (
        0.0,
        0.0,
        0.0,
        1.0,
    )
