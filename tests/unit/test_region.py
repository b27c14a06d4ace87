"""The simulated region: files as promised, effects that are what they are said to be, the same from one seed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from pyproj import Transformer

from eocausal.errors import ImageryError, UnitsError
from eocausal.simulate import _drawing as draw
from eocausal.simulate.landscape import BANDS, make_landscape
from eocausal.simulate.region import Region, simulate_region
from eocausal.specs.inputs import check_inputs
from eocausal.specs.load import load_spec

SMALL = {"n_units": 240, "n_villages": 30, "size_px": 420}


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Region:
    return simulate_region(tmp_path_factory.mktemp("region"), seed=4, **SMALL)


@pytest.fixture(scope="module")
def units(region: Region) -> pd.DataFrame:
    return pd.read_csv(region.units)


def test_the_scene_is_a_geotiff_with_named_bands_in_utm(region: Region) -> None:
    with rasterio.open(region.raster) as scene:
        assert scene.crs.to_epsg() == 32636
        assert scene.descriptions == BANDS
        assert scene.dtypes == ("uint16",) * 6
        assert scene.nodata == 0
        assert scene.res == (30, 30)
        assert scene.shape == (420, 420)
        assert scene.profile["tiled"]
        assert scene.profile["compress"] == "deflate"
        assert "not real data" in scene.tags()["DESCRIPTION"]
        pixels = scene.read()
        lon, lat = scene.lnglat()
    assert 32 < lon < 33
    assert 2 < lat < 3
    missing = pixels == 0
    # all bands or none, and only in the corner that was cut off
    assert (missing.all(axis=0) == missing.any(axis=0)).all()
    assert 0.005 < missing[0].mean() < 0.1
    assert missing[0, 0, -1]
    assert not missing[0, :, :210].any()
    assert pixels[pixels > 0].min() > 50
    assert pixels.max() < 6000


def test_half_of_the_villages_are_treated_and_villages_are_wholly_in_one_arm(units: pd.DataFrame) -> None:
    arms = units.groupby("village")["treated"]
    assert (arms.min() == arms.max()).all()
    assert arms.first().sum() == 15
    assert len(units) == 240
    assert units["unit"].is_unique
    assert units["village"].nunique() == 30
    assert arms.size().min() >= 2


def test_the_truth_is_the_mean_and_spread_of_the_effects(region: Region, units: pd.DataFrame) -> None:
    truth = json.loads(region.truth.read_text())
    assert truth["simulated"] is True
    assert region.true_ate == truth["true_ate"] == units["true_effect"].mean()
    assert region.true_ate == pytest.approx(0.5, abs=1e-6)
    assert units["true_effect"].std(ddof=0) == pytest.approx(0.5, abs=1e-5)
    pd.testing.assert_series_equal(region.effects["true_effect"], units["true_effect"])


def test_effects_are_the_stated_sum_of_settlement_and_woods(region: Region) -> None:
    truth = json.loads(region.truth.read_text())
    effects = region.effects

    def standard(values: pd.Series) -> pd.Series:
        return (values - values.mean()) / values.std(ddof=0)

    rebuilt = (
        0.5
        + truth["effect_of_settlement_share_within_480_m"] * standard(effects["settlement_share"])
        + truth["effect_of_woods_share_within_1920_m"] * standard(effects["woods_share"])
    )
    np.testing.assert_allclose(effects["true_effect"], rebuilt, atol=1e-5)
    assert effects["settlement_share"].between(0, 1).all()
    assert effects["woods_share"].between(0, 1).all()


def _chips(region: Region, units: pd.DataFrame, *, reach_m: float) -> list[np.ndarray]:
    to_utm = Transformer.from_crs("EPSG:4326", "EPSG:32636", always_xy=True)
    easting, northing = to_utm.transform(units["lon"].to_numpy(), units["lat"].to_numpy())
    with rasterio.open(region.raster) as scene:
        pixels = scene.read().astype(float)
        rows, columns = rasterio.transform.rowcol(scene.transform, easting, northing, op=float)
    reach = int(reach_m / 30)
    chips = []
    for row, column in zip(np.asarray(rows).astype(int), np.asarray(columns).astype(int), strict=True):
        chips.append(
            pixels[:, max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1]
        )
    return chips


def test_settlement_and_woods_can_be_seen_at_the_places_written_down(
    region: Region, units: pd.DataFrame
) -> None:
    # independent of how places became pixels inside: from lon and lat in the file to pixels in the file
    bright_blue = [(chip[0] > 850).mean() for chip in _chips(region, units, reach_m=480)]
    assert np.corrcoef(bright_blue, region.effects["settlement_share"])[0, 1] > 0.9
    dark_red = [-np.median(chip[2][chip[2] > 0]) for chip in _chips(region, units, reach_m=1920)]
    assert np.corrcoef(dark_red, region.effects["woods_share"])[0, 1] > 0.7


def test_units_stand_on_data_and_a_few_wide_chips_are_partial(region: Region, units: pd.DataFrame) -> None:
    whole = {
        reach_m: np.mean(
            [
                chip[0].size == (2 * side + 1) ** 2 and (chip[0] > 0).all()
                for chip in _chips(region, units, reach_m=reach_m)
            ]
        )
        for reach_m, side in ((480, 16), (1920, 64))
    }
    assert whole[480] > 0.95
    assert 0.3 < whole[1920] < 1


def test_controls_have_no_effect_and_outcomes_have_unit_scale(tmp_path: Path) -> None:
    # one landscape, enough people that a slope of 1 on the effect among the treated is told from 0
    region = simulate_region(tmp_path, n_units=6000, n_villages=30, size_px=420, seed=9)
    table = pd.read_csv(region.units)
    control = table[table["treated"] == 0]
    assert control["outcome"].std() == pytest.approx(1, abs=0.1)
    interaction = table["treated"] * table["true_effect"]
    columns = [np.ones(len(table)), interaction, table["age"], table["baseline_income"]]
    columns += [region.effects["settlement_share"], region.effects["woods_share"]]
    slopes, *_ = np.linalg.lstsq(np.column_stack(columns), table["outcome"], rcond=None)
    assert slopes[1] == pytest.approx(1, abs=0.35)
    # the slope of age is 0.15 for each SD of age
    assert slopes[2] * table["age"].std() == pytest.approx(0.15, abs=0.04)


def test_dates_run_from_picture_to_treatment_to_survey(region: Region, units: pd.DataFrame) -> None:
    spec = load_spec(region.spec).spec
    assert spec.imagery is not None
    taken = pd.Timestamp(spec.imagery.date)
    assert (pd.to_datetime(units["treatment_date"]) > taken).all()
    assert (pd.to_datetime(units["survey_date"]) > pd.to_datetime(units["treatment_date"])).all()


def test_the_written_specification_fits_the_written_files(region: Region) -> None:
    loaded = load_spec(region.spec)
    check_inputs(loaded)
    spec = loaded.spec
    assert spec.imagery is not None
    assert spec.imagery.size_m == (960, 3840)
    assert [one.name for one in spec.effects.ate] == ["aipw", "difference", "regression", "ipw"]
    assert spec.truth is not None
    assert spec.truth.ate == pytest.approx(region.true_ate, abs=1e-6)
    assert "true_effect" not in spec.design.covariates


def test_one_seed_gives_the_same_bytes_and_another_gives_others(region: Region, tmp_path: Path) -> None:
    again = simulate_region(tmp_path / "again", seed=4, **SMALL)
    other = simulate_region(tmp_path / "other", seed=5, **SMALL)
    for name in ("raster", "units", "spec", "truth"):
        assert getattr(again, name).read_bytes() == getattr(region, name).read_bytes(), name
        assert getattr(other, name).read_bytes() != getattr(region, name).read_bytes(), name


def test_randomness_outside_is_left_alone(tmp_path: Path) -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what is looked at
    simulate_region(tmp_path, seed=4, **SMALL)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


@pytest.mark.parametrize(
    ("sizes", "error", "words"),
    [
        ({"n_villages": 9}, UnitsError, r"n_villages=9(.|\n)*at least 10 villages(.|\n)*n_villages=10"),
        ({"n_units": 59}, UnitsError, r"n_units=59(.|\n)*2 units for each village(.|\n)*n_units=240"),
        ({"size_px": 399}, ImageryError, r"size_px=399 is too small(.|\n)*size_px=400"),
        ({"n_units": 800, "n_villages": 400}, ImageryError, r"for 400 villages(.|\n)*size_px=1265"),
    ],
)
def test_sizes_that_cannot_be_are_refused(
    tmp_path: Path, sizes: dict[str, int], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        simulate_region(tmp_path, **(SMALL | sizes))
    assert not list(tmp_path.iterdir())


def test_villages_keep_apart_and_on_dry_land() -> None:
    landscape = make_landscape(np.random.default_rng(2), size=500, n_villages=20)
    villages = landscape.villages
    apart = np.hypot(*(villages[:, None] - villages[None]).transpose(2, 0, 1))
    assert apart[np.triu_indices(20, 1)].min() * 30 > 800
    rows, columns = villages.astype(int).T
    assert (landscape.water[rows, columns] <= 0.1).all()
    assert (landscape.pixels[:, rows, columns] > 0).all()
    assert landscape.edge.sum() == 1


def test_rough_fields_hold_no_wavelength_beyond_the_bounds() -> None:
    field = draw.rough_field(np.random.default_rng(0), 256, roughness=1.0, longest_px=64, shortest_px=16)
    assert field.mean() == pytest.approx(0, abs=1e-5)
    assert field.std() == pytest.approx(1, abs=1e-5)
    power = np.abs(np.fft.rfft2(field * np.hanning(256)[:, None] * np.hanning(256))) ** 2
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None, :])
    inside = (frequency > 1 / 80) & (frequency < 1 / 14)
    assert power[inside].sum() / power.sum() > 0.97


def test_least_cost_trees_go_round_what_is_dear() -> None:
    cost = np.ones((5, 5))
    cost[:4, 2] = 100
    tree = draw.least_cost_tree(cost, sources=[(0, 4)])
    way = draw.trace(tree, (0, 0), columns=5, taken=set())
    assert tuple(way[0]) == (0, 0)
    assert tuple(way[-1]) == (0, 4)
    assert (4, 2) in {tuple(cell) for cell in way}
    assert tree[4] == -1


def test_a_way_ends_soon_after_it_joins_another() -> None:
    tree = draw.least_cost_tree(np.ones((1, 30)), sources=[(0, 0)])
    taken = {int(cell) for cell in range(20)}
    way = draw.trace(tree, (0, 25), columns=30, taken=taken, overlap=3)
    assert way[:, 1].tolist() == [25, 24, 23, 22, 21, 20, 19, 18, 17, 16]


def test_discs_have_the_area_of_discs() -> None:
    canvas = np.zeros((41, 41), dtype=np.float32)
    draw.paint(canvas, np.array([[20.0, 20.0]]), radius=8.0)
    assert canvas.sum() == pytest.approx(np.pi * 64, rel=0.02)
    assert canvas[20, 28] == pytest.approx(0.5)
    assert canvas.max() == 1
