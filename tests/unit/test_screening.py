"""Quality bands, declared units and conversions on their way from rasters and arrays to chips."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

import eocausal as ec
from eocausal.errors import ImageryError
from eocausal.imagery.screening import said_of
from eocausal.imagery.sources import read_tile
from tests.scenes import read_all, units_lonlat, units_on, write_scene

CLEAR, CLOUD, FILL = 21_824, 22_280, 1
NAMES = ("red", "QA_PIXEL", "nir")


def _landsat(folder: Path, name: str = "landsat.tif", **options: object) -> Path:
    """Write red 8000 + 20 row, nir 12000 + 20 column; cloud in the first five columns, fill in row 0."""
    row, column = np.mgrid[0:60, 0:80]
    flags = np.full((60, 80), CLEAR)
    flags[:, :5], flags[0] = CLOUD, FILL
    pixels = np.stack([8000 + 20 * row, flags, 12_000 + 20 * column]).astype("uint16")
    pixels[:, 0] = np.array([0, FILL, 0])[:, None]
    return write_scene(folder / name, pixels, descriptions=NAMES, **options)


QA = ec.Quality("QA_PIXEL", scheme="landsat_qa_pixel")


def test_pixels_under_cloud_are_not_valid_and_the_quality_band_is_not_handed_out(tmp_path: Path) -> None:
    units = units_on([(30, 7), (30, 40), (30, 2)])
    cut = ec.chips(units, _landsat(tmp_path), size_px=[4, 10], pixel_unit="landsat_c2_dn", quality=QA)
    assert cut.bands == ("red", "nir")
    assert repr(cut) == "Chips(3 keys, 4px 10px, 2 bands, 1 raster, native grid)".replace("native", "pixels")
    batch = read_all(cut)
    assert batch.pixels["4px"].shape == (3, 1, 2, 4, 4)
    # columns 5 to 8 are clear; of 2 to 11 the first three are cloud; 0 to 3 all cloud; -3 to 6 has two clear
    assert batch.status["4px"].tolist() == ["ok", "ok", "cloudy"]
    assert batch.status["10px"].tolist() == ["partial", "ok", "partial"]
    assert batch.valid_fraction["10px"].tolist() == [0.7, 1.0, 0.2]
    cloudy = batch.pixels["10px"][0, 0]
    assert np.isnan(cloudy[:, :, :3]).all()
    np.testing.assert_array_equal(cloudy[1, :, 3:], np.tile(12_000 + 20 * np.arange(5, 12), (10, 1)))
    np.testing.assert_array_equal(batch.mask["10px"][0, 0], ~np.isnan(cloudy[0]))
    assert cut.table().status.tolist() == [*batch.status["4px"], *batch.status["10px"]]


def test_without_quality_the_clouds_stay(tmp_path: Path) -> None:
    units = units_on([(30, 2)])
    batch = read_all(ec.chips(units, _landsat(tmp_path), size_px=4, bands=["red"]))
    assert batch.status["4px"].tolist() == ["ok"]


def test_what_is_dropped_is_chosen_and_fill_is_dropped_anyway(tmp_path: Path) -> None:
    units = units_on([(2, 2), (30, 30)])
    snow = ec.Quality(2, scheme="landsat_qa_pixel", drop=["snow"])
    batch = read_all(ec.chips(units, _landsat(tmp_path), size_px=4, quality=snow))
    assert batch.valid_fraction["4px"].tolist() == [0.75, 1.0]
    assert np.isnan(batch.pixels["4px"][0, 0, :, 0]).all()


def test_fill_of_the_product_is_not_valid_even_where_the_file_does_not_say_so(tmp_path: Path) -> None:
    units = units_on([(2, 10), (30, 30)])
    plain = {"bands": ["red", "nir"], "size_px": 4}
    file = _landsat(tmp_path)
    assert read_all(ec.chips(units, file, **plain)).pixels["4px"].min() == 0
    typed = read_all(ec.chips(units, file, **plain, pixel_unit="landsat_c2_dn"))
    assert typed.valid_fraction["4px"].tolist() == [0.75, 1.0]
    assert np.nanmin(typed.pixels["4px"]) == 8020


def test_fill_does_not_bleed_into_neighbours_by_interpolation(tmp_path: Path) -> None:
    pixels = np.full((1, 80, 80), 9000, dtype="uint16")
    pixels[0, :40] = 0
    place = Affine(3e-4, 0, 33.0, 0, -3e-4, 1.0)
    file = write_scene(tmp_path / "degrees.tif", pixels, crs="EPSG:4326", transform=place)
    units = units_lonlat([33.012], [0.98809])
    mixed = read_all(ec.chips(units, file, size_m=990))
    assert ((mixed.pixels["990m"] > 0) & (mixed.pixels["990m"] < 9000)).any()
    clean = read_all(ec.chips(units, file, size_m=990, pixel_unit="landsat_c2_dn"))
    assert 0.4 < clean.valid_fraction["990m"][0] < 0.6
    # bilinear weights sum to one in float32
    np.testing.assert_allclose(clean.pixels["990m"][clean.mask["990m"][:, :, None]], 9000, rtol=1e-6)


def test_conversion_is_by_the_published_formula(tmp_path: Path) -> None:
    units = units_on([(30, 30)])
    unit = ec.Radiometry("landsat_c2_dn", convert_to="reflectance")
    cut = ec.chips(units, _landsat(tmp_path), size_px=1, quality=QA, pixel_unit=unit)
    assert cut.pixel_unit == "reflectance"
    # red 8000 + 20 * 30 = 8600 and nir 12600: 2.75e-5 * 8600 - 0.2 = 0.0365, 2.75e-5 * 12600 - 0.2 = 0.1465
    np.testing.assert_allclose(read_all(cut).pixels["1px"].ravel(), [0.0365, 0.1465], atol=1e-7)


def test_arrays_are_checked_and_converted_too() -> None:
    units = units_on([(0, 0), (0, 1)])
    array = np.full((2, 4, 4, 3), 3000.0)
    array[0, 0, 0] = 0
    array[1, :, :, 0] = np.nan
    unit = ec.Radiometry("s2_l2a_dn", convert_to="reflectance", offset_applied=False)
    batch = read_all(ec.chips_from_arrays(units, array, pixel_unit=unit))
    np.testing.assert_allclose(batch.pixels["4px"][0, 0, :, 1:], 0.2, atol=1e-7)
    assert batch.valid_fraction["4px"].tolist() == [15 / 16, 0.0]
    assert batch.status["4px"].tolist() == ["partial", "nodata"]
    with pytest.raises(ImageryError, match="Pixels of the array are not uint8"):
        read_all(ec.chips_from_arrays(units, array, pixel_unit="uint8"))


def test_chips_outside_and_missing_keep_their_status(tmp_path: Path) -> None:
    units = units_on([(30, 30), (-500, 0)])
    cut = ec.chips(units, _landsat(tmp_path), size_px=4, quality=QA, pixel_unit="landsat_c2_dn")
    assert read_all(cut).status["4px"].tolist() == ["ok", "outside"]
    some = ec.chips_from_arrays(units, np.full((1, 4, 4, 3), 9000), keys=["u1"], pixel_unit="landsat_c2_dn")
    assert read_all(some).status["4px"].tolist() == ["missing", "ok"]


def test_a_wrong_unit_is_refused_at_the_first_reading_whatever_is_read_first(tmp_path: Path) -> None:
    units = units_on([(row, column) for row in range(5, 55, 10) for column in range(10, 75, 8)])
    cut = ec.chips(units, _landsat(tmp_path), size_px=4, bands=["red"], pixel_unit="s2_l2a_dn")
    words = r"Pixels of landsat\.tif are not s2_l2a_dn[\s\S]*pixel_unit='landsat_c2_dn'"
    for key in ("u0", "u44"):
        with pytest.raises(ImageryError, match=words):
            read_all(cut, keys=[key])
    with pytest.raises(ImageryError, match=words):
        cut.table()


def test_one_file_of_several_in_another_unit_is_found_and_named(tmp_path: Path) -> None:
    pixels = np.full((1, 60, 80), 3000.0, dtype="float32")
    stored = write_scene(tmp_path / "stored.tif", pixels)
    scaled = write_scene(tmp_path / "scaled.tif", pixels / 1e4, corner=(602_400.0, 200_000.0))
    units = units_on([(30, 10), (30, 20), (30, 100), (30, 60)])
    cut = ec.chips(units, [stored, scaled], size_px=4, pixel_unit="reflectance_x10000")
    with pytest.raises(ImageryError, match=r"scaled\.tif are not reflectance_x10000[\s\S]*0\.3 to 0\.3"):
        read_all(cut, keys=["u0"])


def test_the_sample_is_spread_and_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from eocausal.imagery.screening import Screen

    units = units_on([(50, 10 + column / 2) for column in range(100)])
    cut = ec.chips(units, _landsat(tmp_path), size_px=2, bands=["nir"], pixel_unit="landsat_c2_dn")
    sampled: list[np.ndarray] = []
    values = Screen.values

    def count(self, window):
        sampled.append(values(self, window))
        return sampled[-1]

    monkeypatch.setattr(Screen, "values", count)
    list(cut.batches(keys=["u3"]))
    list(cut.batches(keys=["u4"]))
    assert len(sampled) == 32
    # pixels say their column: the chips of the first unit and of the last are in the sample
    found = np.concatenate(sampled)
    assert (found.min(), found.max()) == (12_000 + 20 * 9, 12_000 + 20 * 60)


def test_where_the_sample_is_cloud_every_batch_is_checked(tmp_path: Path) -> None:
    units = units_on([(30.5, column + 0.5) for column in range(80)])
    pixels = np.stack([np.full((60, 80), 0.2), np.full((60, 80), CLOUD)]).astype("float32")
    declared = {"quality": ec.Quality(2, scheme="landsat_qa_pixel"), "pixel_unit": "landsat_c2_dn"}
    # the sample is every 79/31st unit, so the second of all is not in it
    cloudy, clear = "u0", "u1"
    pixels[1, 30, int(clear[1:])] = CLEAR
    cut = ec.chips(units, write_scene(tmp_path / "cloudy.tif", pixels), size_px=1, **declared)
    assert read_all(cut, keys=[cloudy]).status["1px"].tolist() == ["cloudy"]
    with pytest.raises(ImageryError, match="are not landsat_c2_dn"):
        read_all(cut, keys=[cloudy, clear])


def test_the_recipe_names_what_was_done_and_stays_as_it_was_without(tmp_path: Path) -> None:
    units, file = units_on([(30, 30)]), _landsat(tmp_path)
    plain = ec.chips(units, file, size_px=4).recipe()
    assert not {"quality", "radiometry"} & set(plain)
    assert ec.chips(units, file, size_px=4, pixel_unit="dn").recipe() == {**plain, "pixel_unit": "dn"}
    unit = ec.Radiometry("landsat_c2_dn", convert_to="reflectance")
    done = ec.chips(units, file, size_px=4, quality=QA, pixel_unit=unit).recipe()
    assert done["quality"]["drop"] == ["dilated_cloud", "cirrus", "cloud", "cloud_shadow"]
    assert done["radiometry"] == {
        "unit": "landsat_c2_dn",
        "convert_to": "reflectance",
        "offset_applied": None,
    }
    assert done["pixel_unit"] == "reflectance"


def test_flags_are_never_interpolated_where_pixels_are(tmp_path: Path) -> None:
    first = _landsat(tmp_path, "first.tif")
    # half a pixel to the east: its pixels do not coincide, and columns 0 to 4 of it are cloud
    second = _landsat(tmp_path, "second.tif", corner=(600_000.0 + 30 * 75.5, 200_000.0))
    units = units_on([(30, 78)])
    both = read_all(ec.chips(units, [first, second], size_m=240))
    assert both.status["240m"].tolist() == ["ok"]
    screened = read_all(ec.chips(units, [first, second], size_m=240, quality=QA))
    # columns 74 to 79 are the first tile's; 80.5 and 81.5 of it are 5 and 6 of the second: clear of cloud
    found = screened.pixels["240m"][0, 0, 1]
    assert screened.status["240m"].tolist() == ["ok"]
    # the pixel beside a cloud is not mixed with it: its neighbour to the west does not count
    np.testing.assert_allclose(found[0, 6:], [12_000 + 20 * 5, 12_000 + 20 * 5.5])


def test_a_cloud_is_filled_from_an_overlapping_raster_that_is_clear(tmp_path: Path) -> None:
    cloudy = _landsat(tmp_path, "cloudy.tif")
    pixels = np.full((3, 60, 80), 9000, dtype="uint16")
    pixels[1] = CLEAR
    clear = write_scene(tmp_path / "clear.tif", pixels, descriptions=NAMES)
    batch = read_all(ec.chips(units_on([(30, 6)]), [cloudy, clear], size_px=4, quality=QA))
    assert batch.status["4px"].tolist() == ["ok"]
    # columns 4 to 7: the first is cloud in the first raster
    assert batch.pixels["4px"][0, 0, 1, 0].tolist() == [9000, 12_100, 12_120, 12_140]


def test_flags_are_screened_before_a_raster_in_degrees_is_resampled(tmp_path: Path) -> None:
    units = units_lonlat([33.89 + 3e-4 * 30], [1.81 - 3e-4 * 30])
    batch = read_all(ec.chips(units, _in_degrees(tmp_path), size_m=990, quality=QA))
    assert batch.status["990m"].tolist() == ["ok"]
    # interpolated columns, and no flag among them
    assert (
        12_000 + 20 * 13 < batch.pixels["990m"][0, 0, 1].min() < batch.pixels["990m"][0, 0, 1].max() < 13_000
    )


def _in_degrees(folder: Path) -> Path:
    return _landsat(folder, crs="EPSG:4326", transform=Affine(3e-4, 0, 33.89, 0, -3e-4, 1.81))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pixel_unit": "landsat_dn"}, ["pixel_unit='landsat_dn' is not known", "'landsat_c2_dn'"]),
        ({"pixel_unit": 3}, ["pixel_unit=3 is not the name of a unit", "s2_l2a_dn"]),
        (
            {"quality": ec.Quality("QA_PIXELS", scheme="landsat_qa_pixel")},
            ["There is no quality band 'QA_PIXELS'", "'QA_PIXEL'"],
        ),
        ({"quality": ec.Quality(4, scheme="landsat_qa_pixel")}, ["no band 4", "1 to 3"]),
        ({"quality": QA, "bands": ["red", "QA_PIXEL"]}, ["'QA_PIXEL' is the quality band", "bands="]),
    ],
)
def test_what_cannot_be_screened_is_refused(tmp_path: Path, options, words) -> None:
    units = units_lonlat([33.9], [1.8])
    with pytest.raises(ImageryError, match=r"[\s\S]*".join(map(re.escape, words))):
        ec.chips(units, _in_degrees(tmp_path), **{"size_px": 4, **options})


def test_a_band_that_holds_no_flags_of_the_scheme_is_refused_when_read(tmp_path: Path) -> None:
    wrong = ec.Quality("nir", scheme="sentinel2_scl")
    with pytest.raises(ImageryError, match=r"'sentinel2_scl' does not have[\s\S]*0 to 11"):
        read_all(ec.chips(units_on([(30, 30)]), _landsat(tmp_path), size_px=4, quality=wrong))


def test_a_single_band_of_flags_leaves_nothing_to_hand_out(tmp_path: Path) -> None:
    file = write_scene(tmp_path / "qa.tif", np.full((1, 60, 80), CLEAR, dtype="uint16"))
    with rasterio.open(file) as scene:
        assert scene.count == 1
    with pytest.raises(ImageryError, match="'band1' is the quality band"):
        ec.chips(units_on([(30, 30)]), file, size_px=4, quality=ec.Quality(1, scheme="landsat_qa_pixel"))


def test_each_scene_tells_of_its_own_offset(tmp_path) -> None:
    written = np.full((1, 40, 40), 4000, "uint16")
    tiles = [
        replace(
            read_tile(write_scene(tmp_path / f"{day}.tif", written)),
            date=np.datetime64(day),
            offset_applied=told,
        )
        for day, told in (("2021-05-01", True), ("2022-05-01", False))
    ]
    unit = ec.Radiometry("s2_l2a_dn", convert_to="reflectance", offset_applied="scene")
    scenes = ec.Scenes(tuple(tiles), unit)
    cut = ec.chips(units_on([(20, 20)]), scenes, size_px=4, frames=ec.Frames("each"))
    assert read_all(cut).pixels["4px"][0, :, 0, 0, 0].tolist() == pytest.approx([0.4, 0.3])
    with pytest.raises(
        ImageryError, match=r"do not say[\s\S]*1 \(2021-05-01\.tif\)[\s\S]*offset_applied=True or"
    ):
        ec.Scenes((replace(tiles[0], offset_applied=None), tiles[1]), unit)
    with pytest.raises(
        ImageryError, match=r"Some scenes still carry[\s\S]*2022-05-01\.tif[\s\S]*convert_to="
    ):
        ec.Scenes(tuple(tiles), ec.Radiometry("s2_l2a_dn"))
    # what the user says outright goes before what the scenes say
    told = ec.Radiometry("s2_l2a_dn", convert_to="reflectance", offset_applied=True)
    assert said_of(told, tiles[1]).offset_applied is True


def test_an_offset_by_scene_is_refused_where_there_are_no_scenes() -> None:
    unit = ec.Radiometry("s2_l2a_dn", convert_to="reflectance", offset_applied="scene")
    assert np.isnan(unit.subtracted)
    with pytest.raises(ImageryError, match=r"these pixels are of no scene[\s\S]*offset_applied=True or"):
        unit.convert(np.ones((1, 2, 2), "float32"))
