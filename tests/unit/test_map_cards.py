"""Map cards: written beside a map, read by anyone, and refused where the map or the card is another."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.shutil import copy as rasterio_copy

import eocausal as ec
from eocausal import _io
from eocausal._io import hash_content
from eocausal.debiasing.corrector_content import wider_range
from eocausal.errors import DebiasError, ImageryError
from eocausal.map_cards.card_files import LARGEST
from eocausal.map_cards.content import DEFAULT_PATH, card_schema
from tests.scenes import WEST, units_on, write_scene

HEIGHT, WIDTH = 60, 80
ROOT = Path(__file__).parents[2]


def _pixels(seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(1, HEIGHT, WIDTH)).astype("float32")
    values[0, :3] = np.nan
    return values


def _places(n: int, seed: int, **columns: Any) -> ec.Units:
    rng = np.random.default_rng(seed)
    at = np.column_stack([rng.uniform(3, HEIGHT, n), rng.uniform(0, WIDTH, n)])
    return units_on([tuple(one) for one in at], **columns)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return np.random.default_rng(8).normal(scale=0.7, size=400)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("maps") / "wealth_2015.tif", _pixels())


@pytest.fixture(scope="module")
def calibration(world: Path, truth: np.ndarray) -> pd.DataFrame:
    sampled = ec.sample_map(world, _places(400, seed=1)).prediction
    return pd.DataFrame({"map": sampled, "survey": 5 + 2 * sampled + truth})


@pytest.fixture(scope="module")
def corrector(calibration: pd.DataFrame) -> ec.Corrector:
    return ec.debias(calibration, prediction="map", truth="survey", method="lcc")


@pytest.fixture
def map_file(world: Path, tmp_path: Path) -> Path:
    copied = tmp_path / "wealth_2015.tif"
    copied.write_bytes(world.read_bytes())
    return copied


@pytest.fixture
def card_file(corrector: ec.Corrector, map_file: Path) -> Path:
    corrector.to_map_card(map_file, period=2015, unit="assets", note="by region", progress=False)
    return map_file.with_name("wealth_2015.card.json")


def _rewritten(source: Path, target: Path, pixels: np.ndarray | None = None, **profile: Any) -> Path:
    with rasterio.open(source) as old:
        values = old.read() if pixels is None else pixels
        kept = {**old.profile, **profile}
    with rasterio.open(target, "w", **kept) as new:
        new.write(values.astype(kept["dtype"]))
    return target


def test_a_card_comes_back_as_it_was_and_corrects_as_its_corrector(
    corrector: ec.Corrector, card_file: Path, map_file: Path
) -> None:
    card = ec.read_map_card(card_file)
    assert card.key == corrector.key
    assert card == ec.MapCard.from_dict(card.to_dict())
    assert (card.unit, card.note, card.radius_m) == ("assets", "by region", None)
    assert card.period == (np.datetime64("2015-01-01"), np.datetime64("2015-12-31"))
    assert (
        repr(card) == f"MapCard(wealth_2015.tif, 2015-01-01 to 2015-12-31: lcc, k {corrector.k:.3f}, n 400)"
    )
    assert "unit: assets" in card.summary()
    units = _places(400, seed=1).take(np.arange(50))
    found = card.sample(map_file, units)
    raw = ec.sample_map(map_file, units).prediction
    assert found.frame["prediction"].tolist() == raw.tolist()
    assert found.frame["lcc"].to_numpy() == pytest.approx(
        (raw.to_numpy() - corrector.m) / corrector.k, rel=1e-12
    )
    assert found.frame["causal"].tolist() == found.frame["lcc"].tolist()
    assert found.frame["tweedie"].tolist() == corrector.apply(raw)["tweedie"].tolist()
    assert found.warnings == ()
    assert repr(found) == "CardedUnits(50 of 50 units, lcc)"
    pd.testing.assert_frame_equal(card.apply(raw).frame, found.frame[list(card.apply(raw).frame)])


def test_an_effect_by_the_card_is_that_by_the_corrector(
    corrector: ec.Corrector, card_file: Path, map_file: Path
) -> None:
    card = ec.read_map_card(card_file)
    units = _places(120, seed=3, w=np.tile([0, 1], 60))
    trial = units.with_columns(wealth=card.sample(map_file, units).frame["prediction"].to_numpy())
    design = ec.Design(trial, outcome="wealth", treatment="w")
    by_card = ec.ate(design, method="difference", correct=card.corrector)
    by_corrector = ec.ate(design, method="difference", correct=corrector)
    pd.testing.assert_frame_equal(by_card.to_frame(), by_corrector.to_frame())


def test_no_measured_outcome_stands_in_a_card(
    calibration: pd.DataFrame, card_file: Path, corrector: ec.Corrector
) -> None:
    def numbers(content: Any) -> list[float]:
        if isinstance(content, dict):
            return [one for part in content.values() for one in numbers(part)]
        if isinstance(content, list):
            return [one for part in content for one in numbers(part)]
        return [float(content)] if isinstance(content, int | float) else []

    text = card_file.read_text()
    outcomes = calibration["survey"].to_numpy()
    found = np.array(numbers(json.loads(text)))
    assert found.size > 100
    assert np.abs(found[:, None] - outcomes[None, :]).min() > 1e-7
    assert not [one for one in outcomes if f"{one:.9f}" in text or repr(float(one)) in text]
    assert not set(calibration.index.astype(str)) & set(text.replace('"', " ").split())
    low, high = ec.read_map_card(card_file).corrector.truth_range
    assert low < outcomes.min() < outcomes.max() < high
    assert high - low < 1.25 * np.ptp(outcomes)


@pytest.mark.parametrize(
    ("ends", "wide"),
    [
        ((0.31, 7.4), (0.3, 7.5)),
        ((0.0, 100.0), (-10.0, 110.0)),
        ((-2.5, -1.5), (-2.6, -1.4)),
        ((3e4, 9e4), (29e3, 91e3)),
    ],
)
def test_ranges_for_display_are_round_and_hold_no_outcome(
    ends: tuple[float, float], wide: tuple[float, float]
) -> None:
    assert wider_range(*ends) == pytest.approx(wide)
    assert wider_range(*ends)[0] < ends[0] < ends[1] < wider_range(*ends)[1]


@given(st.integers(-(10**6), 10**6), st.integers(1, 10**6), st.integers(-4, 3))
def test_no_end_of_a_range_for_display_is_an_outcome(low: int, width: int, digits: int) -> None:
    ends = (float(f"{low}e{digits}"), float(f"{low + width}e{digits}"))
    below, above = wider_range(*ends)
    assert below < ends[0] < ends[1] < above
    assert above - below <= 1.41 * (ends[1] - ends[0])


def test_the_hash_is_the_one_that_the_schema_describes(tmp_path: Path, corrector: ec.Corrector) -> None:
    values = np.random.default_rng(5).normal(size=(1, 600, 9)).astype("float32")
    values[0, 500:520, 3] = np.nan
    values[0, 0, 0] = -0.0
    file = write_scene(tmp_path / "tall.tif", values)
    card = corrector.to_map_card(file, progress=False)
    expected = hashlib.sha256(b"eocausal map pixels 1 600 9\n")
    # 512 rows and then 88, of a map that is narrower than a part
    expected.update(np.where(values[0] == 0, 0.0, values[0].astype("<f8")).tobytes())
    assert card.map.pixels == expected.hexdigest()
    assert card.map.valid == 600 * 9 - 20
    assert (card.map.low, card.map.high) == (np.nanmin(values), np.nanmax(values))


@pytest.mark.parametrize(
    "profile",
    [
        {"compress": "deflate", "predictor": 3},
        {"compress": "lzw", "tiled": True, "blockxsize": 16, "blockysize": 32},
        {"dtype": "float64"},
        {"driver": "COG", "compress": "deflate"},
    ],
    ids=lambda one: "_".join(map(str, one)),
)
def test_a_map_that_was_recompressed_or_renamed_is_the_same_map(
    card_file: Path, map_file: Path, tmp_path: Path, profile: dict[str, Any]
) -> None:
    kept = {} if profile.get("driver") != "COG" else {"blockxsize": None, "blockysize": None, "tiled": None}
    other = _rewritten(map_file, tmp_path / "renamed.tif", **{**profile, **kept})
    assert other.read_bytes() != map_file.read_bytes()
    assert len(ec.read_map_card(card_file).sample(other, _places(5, seed=4)).frame) == 5


def test_missing_pixels_may_be_marked_in_another_way(card_file: Path, map_file: Path, tmp_path: Path) -> None:
    values = np.nan_to_num(_pixels(), nan=-9999)
    other = _rewritten(map_file, tmp_path / "marked.tif", values, nodata=-9999)
    assert len(ec.read_map_card(card_file).sample(other, _places(5, seed=4)).frame) == 5
    # the same numbers without the mark are another map
    other = _rewritten(map_file, tmp_path / "unmarked.tif", values, nodata=None)
    with pytest.raises(DebiasError, match="other values in its pixels: 4,800 of them, from -9999"):
        ec.read_map_card(card_file).sample(other, _places(5, seed=4))


def test_a_vrt_of_the_map_is_the_map(card_file: Path, map_file: Path) -> None:
    vrt = map_file.with_suffix(".vrt")
    with rasterio.open(map_file) as source:
        west, step = source.transform.c, source.transform.a
        north, wkt = source.transform.f, source.crs.to_wkt()
    vrt.write_text(
        f'<VRTDataset rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}"><SRS>{wkt}</SRS>'
        f"<GeoTransform>{west}, {step}, 0, {north}, 0, {-step}</GeoTransform>"
        '<VRTRasterBand dataType="Float32" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{map_file.name}</SourceFilename><SourceBand>1</SourceBand>'
        f'<SrcRect xOff="0" yOff="0" xSize="{WIDTH}" ySize="{HEIGHT}"/>'
        f'<DstRect xOff="0" yOff="0" xSize="{WIDTH}" ySize="{HEIGHT}"/>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    assert len(ec.read_map_card(card_file).sample(vrt, _places(5, seed=4)).frame) == 5


def test_one_changed_pixel_is_another_map(card_file: Path, map_file: Path) -> None:
    values = _pixels()
    values[0, 31, 17] = np.nextafter(values[0, 31, 17], np.float32(9))
    _rewritten(map_file, map_file.with_name("changed.tif"), values)
    told = (
        r"'changed.tif' is not the map that this card was made for \('wealth_2015.tif'\)[\s\S]*other values"
    )
    with pytest.raises(DebiasError, match=told):
        ec.read_map_card(card_file).sample(map_file.with_name("changed.tif"), _places(5, seed=4))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"crs": "EPSG:32637"}, "reference system WGS 84 / UTM zone 37N, not WGS 84 / UTM zone 36N"),
        ({"corner": (WEST + 30, 200_000.0)}, "pixels in other places"),
        ({"pixel": 60.0}, "pixels in other places"),
        ({"rows": HEIGHT - 1}, "59 x 80 pixels, not 60 x 80"),
    ],
)
def test_another_grid_is_another_map(
    card_file: Path, tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    values = _pixels()[:, : change.pop("rows", HEIGHT)]
    other = write_scene(tmp_path / "other.tif", values, **change)
    with pytest.raises(DebiasError, match=told):
        ec.read_map_card(card_file).sample(other, _places(5, seed=4))


def test_a_card_for_another_map_of_the_same_grid_is_refused(card_file: Path, tmp_path: Path) -> None:
    other = write_scene(tmp_path / "consumption.tif", _pixels(seed=9))
    with pytest.raises(DebiasError, match=r"'consumption.tif' is not the map[\s\S]*a card holds for one map"):
        ec.read_map_card(card_file).sample(other, _places(5, seed=4))


def test_units_without_a_prediction_are_counted_and_kept(card_file: Path, map_file: Path) -> None:
    card = ec.read_map_card(card_file)
    units = units_on([(10.5, 10.5), (0.5, 10.5), (-5.0, 10.5)])
    with pytest.raises(ImageryError, match=r"outside of the map 'wealth_2015.tif': 1 of 3[\s\S]*u2"):
        card.sample(map_file, units)
    found = card.sample(map_file, units, missing="keep")
    assert found.frame["causal"].isna().tolist() == [False, True, True]
    assert found.frame["in_support"].tolist() == [True, False, False]
    assert found.frame["in_support"].dtype == bool
    assert [text.split(" lie")[0] for text in found.warnings] == ["1 of 3 units", "1 of 3 units"]


def test_predictions_out_of_support_are_told(corrector: ec.Corrector, card_file: Path) -> None:
    card = ec.read_map_card(card_file)
    low, high = corrector.density.low, corrector.density.high
    inside = np.linspace(low, high, 98)
    assert card.apply(inside).warnings == ()
    assert card.apply(np.append(inside, high + 1)).warnings == ()
    given = pd.Series([*inside, low - 1, high + 1, high + 2], index=[f"v{i}" for i in range(101)])
    (told,) = card.apply(given).warnings
    assert told == (
        f"3 of 101 units have predictions outside of what the calibration saw ({low:.3g} to {high:.3g}; first: "
        "v98, v99, v100): there corrections extrapolate"
    )
    with pytest.raises(DebiasError, match=r"prediction is missing for 1 places[\s\S]*Where: 1 \(1\)"):
        card.apply([0.1, np.nan])


def test_units_out_of_period_are_told(card_file: Path, map_file: Path) -> None:
    card = ec.read_map_card(card_file)
    years = _places(
        4, seed=4, seen=[2014, 2015, 2016, 2015], day=["2015-06-30", "2015-06", "2014/2015", "2016-01-01"]
    )
    (told,) = card.sample(map_file, years, outcome_date="seen").warnings
    assert told == (
        "2 of 4 units have an outcome_date outside of the map's period, 2015-01-01 to 2015-12-31 (first: u0, u2)"
    )
    (told,) = card.sample(map_file, years, outcome_date="day").warnings
    assert told.endswith("(first: u3)")
    table = pd.DataFrame(years.frame).assign(grant=["2014-03-01", None, "2015-01-02", "2014-12-31"])
    dated = ec.read_units(table, id="id", lon="x", lat="y", crs="EPSG:32636", date="grant")
    found = card.sample(map_file, dated).warnings
    assert found[-1] == (
        "1 of 4 units were treated after 2015-01-01, where the map's period begins, so that it shows them at least "
        "partly before treatment (first: u2)"
    )
    with pytest.raises(DebiasError, match=r"Column 'id' is missing, or no period[\s\S]*a year, month or day"):
        card.sample(map_file, years, outcome_date="id")


def test_a_card_without_a_period_says_that_days_are_not_checked(
    corrector: ec.Corrector, map_file: Path
) -> None:
    card = corrector.to_map_card(map_file, progress=False)
    units = _places(2, seed=4, seen=[2014, 2015])
    assert card.sample(map_file, units).warnings == ()
    (told,) = card.sample(map_file, units, outcome_date="seen").warnings
    assert "does not say what period" in told


def test_how_the_calibration_was_read_is_how_units_are(corrector: ec.Corrector, map_file: Path) -> None:
    card = corrector.to_map_card(map_file, radius_m=50, progress=False)
    units = _places(20, seed=4)
    found = ec.read_map_card(map_file.with_name("wealth_2015.card.json")).sample(
        map_file, units, missing="keep"
    )
    assert card.radius_m == 50
    expected = ec.sample_map(map_file, units, radius_m=50, missing="keep").prediction
    assert found.frame["prediction"].tolist() == expected.tolist()
    assert (found.frame["pixels"] > 1).all()


def test_a_calibration_of_another_map_or_of_part_of_it_is_told(
    corrector: ec.Corrector, tmp_path: Path
) -> None:
    with pytest.raises(DebiasError, match=r"No pixel of 'cents.tif' has a value that the calibration saw"):
        corrector.to_map_card(write_scene(tmp_path / "cents.tif", _pixels() + 1000), progress=False)
    card = corrector.to_map_card(write_scene(tmp_path / "wide.tif", 3 * _pixels()), progress=False)
    (told,) = card.warnings
    values = 3 * _pixels()[0, 3:]
    share = np.mean((values < corrector.density.low) | (values > corrector.density.high))
    assert told.startswith(f"{share:.0%} of the map's pixels have values outside of what the calibration saw")
    assert ec.read_map_card(tmp_path / "wide.card.json").warnings == card.warnings


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"period": "2015-13"}, "period='2015-13' is not a period"),
        ({"period": True}, "period=True is not a period"),
        ({"unit": 3}, "unit=3 is no line of text"),
        ({"note": "a\x1b[31mb"}, "is no line of text"),
        ({"radius_m": 0}, r"radius_m=0[\s\S]*positive metres"),
    ],
)
def test_what_cannot_stand_in_a_card_is_told(
    corrector: ec.Corrector, map_file: Path, how: dict[str, Any], told: str
) -> None:
    with pytest.raises(DebiasError, match=told):
        corrector.to_map_card(map_file, **how)
    assert not map_file.with_name("wealth_2015.card.json").exists()


def test_a_map_without_values_has_no_card(corrector: ec.Corrector, tmp_path: Path) -> None:
    empty = write_scene(tmp_path / "empty.tif", np.full((1, 4, 4), np.nan, dtype="float32"))
    with pytest.raises(ImageryError, match="has no pixel with a value"):
        corrector.to_map_card(empty, progress=False)


def test_the_card_goes_where_it_is_asked_to(corrector: ec.Corrector, map_file: Path, tmp_path: Path) -> None:
    card = corrector.to_map_card(map_file, card=tmp_path / "cards" / "v1.json", progress=False)
    assert ec.read_map_card(tmp_path / "cards" / "v1.json") == card
    assert not map_file.with_name("wealth_2015.card.json").exists()


def test_a_write_that_fails_leaves_the_card_that_was_there(
    corrector: ec.Corrector, card_file: Path, map_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = card_file.read_bytes()

    def full(*paths: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(_io.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        corrector.to_map_card(map_file, note="another", progress=False)
    assert card_file.read_bytes() == before
    assert sorted(one.name for one in map_file.parent.iterdir()) == [
        "wealth_2015.card.json",
        "wealth_2015.tif",
    ]


def test_a_card_in_tags_travels_inside_the_map(
    corrector: ec.Corrector, map_file: Path, tmp_path: Path
) -> None:
    file = _rewritten(map_file, tmp_path / "tagged.tif", compress="deflate")
    with rasterio.open(file, "r") as before:
        pixels, tags = before.read(), before.tags()
    card = corrector.to_map_card(file, period="2015-06", tags=True, progress=False)
    assert ec.read_map_card(file) == card
    assert ec.read_map_card(file).sample(file, _places(5, seed=4)).warnings == ()
    with rasterio.open(file) as after:
        np.testing.assert_array_equal(after.read(), pixels)
        assert after.tags() == tags
    left = sorted(one.name for one in tmp_path.iterdir())
    assert left == ["tagged.card.json", "tagged.tif", "wealth_2015.tif"]


def test_tags_that_would_break_a_file_are_refused_before_anything_is_written(
    corrector: ec.Corrector, map_file: Path, tmp_path: Path
) -> None:
    rasterio_copy(map_file, tmp_path / "cloud.tif", driver="COG")
    before = (tmp_path / "cloud.tif").read_bytes()
    with pytest.raises(ImageryError, match="would be one no longer"):
        corrector.to_map_card(tmp_path / "cloud.tif", tags=True, progress=False)
    assert (tmp_path / "cloud.tif").read_bytes() == before
    assert not (tmp_path / "cloud.card.json").exists()
    corrector.to_map_card(tmp_path / "cloud.tif", progress=False)


def test_tags_are_for_geotiff_and_a_map_without_them_says_where_its_card_is(
    corrector: ec.Corrector, map_file: Path, card_file: Path
) -> None:
    with pytest.raises(DebiasError, match=r"no card among its tags[\s\S]*wealth_2015.card.json"):
        ec.read_map_card(map_file)
    vrt = map_file.with_suffix(".vrt")
    rasterio_copy(map_file, vrt, driver="VRT")
    with pytest.raises(ImageryError, match=r"Tags cannot be written into 'wealth_2015.vrt'"):
        corrector.to_map_card(vrt, tags=True, progress=False)


def _resealed(content: dict[str, Any]) -> dict[str, Any]:
    whole = {name: part for name, part in content.items() if name != "seal"}
    return {**whole, "seal": hash_content(whole)}


def _changed(content: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    made = copy.deepcopy(content)
    *outer, last = place.split(".")
    inner = made
    for name in outer:
        inner = inner[name]
    if value is None and last in inner:
        del inner[last]
    else:
        inner[last] = value
    return made


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        ("card_version", 2, r"version 2[\s\S]*reads version 1[\s\S]*upgrade"),
        ("card_version", True, "version True"),
        ("card_version", None, "version None"),
        ("type", "Corrector", "is no map card"),
        ("surprise", 1, r"form of a map card[\s\S]*surprise"),
        ("map.pixels", "abc", "map.pixels"),
        ("map.name", "a\x1b[2J", "map.name"),
        ("map.height", 0, "map.height"),
        ("map.transform", [1.0, 2.0], "map.transform"),
        ("corrector.k", "0.7", "corrector.k"),
        ("corrector.method", "magic", "corrector.method"),
        ("corrector.noise", {}, "corrector, a period or a grid that cannot be read[\\s\\S]*lacks"),
        ("corrector.density", {"kind": "lindsey"}, "corrector, a period or a grid that cannot be read"),
        ("corrector.k", 0.123, "do not match its key"),
        ("period", ["2015", "2016"], "period"),
        ("period", ["2015-19-19", "2016-01-01"], "cannot be read"),
        ("map", None, "map: Field required"),
    ],
)
def test_cards_of_another_form_or_version_are_refused(
    card_file: Path, place: str, value: Any, told: str
) -> None:
    content = _changed(json.loads(card_file.read_text()), place, value)
    card_file.write_text(json.dumps(_resealed(content)))
    with pytest.raises(DebiasError, match=told):
        ec.read_map_card(card_file)


def test_a_digit_that_changed_breaks_the_seal(card_file: Path) -> None:
    content = json.loads(card_file.read_text())
    for place in ("corrector.k", "map.low", "corrector.truth_range"):
        card_file.write_text(json.dumps(_changed(content, place, [0.0, 1.0] if "range" in place else 0.5)))
        with pytest.raises(DebiasError, match="damaged, or was changed by hand"):
            ec.read_map_card(card_file)
    card_file.write_text(json.dumps(content, sort_keys=True, indent=None))
    assert ec.read_map_card(card_file).map.name == "wealth_2015.tif"


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: text[: len(text) // 2], "not JSON, or was cut off"),
        (lambda text: "", "not JSON"),
        (lambda text: "[1, 2]", "is no map card"),
        (lambda text: text.replace('"low": ', '"low": NaN, "was": ', 1), "NaN is no number of JSON"),
        (lambda text: "[" * 100_000, "not JSON"),
        (lambda text: " " * (LARGEST + 1), "too large"),
    ],
    ids=["cut", "empty", "list", "nan", "deep", "large"],
)
def test_damaged_files_are_refused(card_file: Path, damage: Any, told: str) -> None:
    card_file.write_text(damage(card_file.read_text()))
    with pytest.raises(DebiasError, match=told):
        ec.read_map_card(card_file)


def test_files_that_are_not_there_or_not_text_are_refused(tmp_path: Path, card_file: Path) -> None:
    with pytest.raises(DebiasError, match=r"is not there[\s\S]*Did you mean"):
        ec.read_map_card(card_file.with_name("wealth_2015.cards.json"))
    with pytest.raises(DebiasError, match="cannot be read from a dict"):
        ec.read_map_card({})
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DebiasError, match="not JSON"):
        ec.read_map_card(tmp_path / "binary.json")


def test_a_corrector_of_changes_has_no_card(corrector: ec.Corrector, map_file: Path) -> None:
    from dataclasses import replace

    with pytest.raises(DebiasError, match="of changes, and a card corrects the levels of one map"):
        replace(corrector, level="changes").to_map_card(map_file)


def test_the_published_schema_is_that_of_the_code_and_cards_follow_it(card_file: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    published = json.loads((ROOT / DEFAULT_PATH).read_text())
    assert published == card_schema()
    jsonschema.Draft202012Validator.check_schema(published)
    validator = jsonschema.Draft202012Validator(published)
    content = json.loads(card_file.read_text())
    validator.validate(content)
    for place, value in (("card_version", 2), ("map.pixels", "abc"), ("corrector.k", None), ("more", 1)):
        assert not validator.is_valid(_changed(content, place, value)), place
