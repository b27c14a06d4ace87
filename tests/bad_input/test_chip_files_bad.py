"""Folders of chips that are not what they are said to be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import ImageryError
from eocausal.imagery.chip_files import chips_from_files
from tests.scenes import numbered, read_all, units_on, write_scene


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "chips"
    made.mkdir()
    for key in ("1", "2"):
        write_scene(made / f"{key}.tif", numbered(2, 6, 6))
    return made


def plain_units(*keys):
    table = pd.DataFrame({"id": range(len(keys)), "key": keys})
    return ec.read_units(table, id="id", image_key="key")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "chip_{key}.tif"}, r"No file in .* is called chip_\{key\}\.tif[\s\S]*2 \(1\.tif, 2\.tif\)"),
        ({"name": "chip.tif"}, r"does not say where the key stands[\s\S]*\{key\} once"),
        ({"name": "{key}_{key}.tif"}, r"\{key\} once"),
        ({"name": "../{key}.tif"}, "leads out of the folder"),
        ({"bands": ["swir"]}, "There is no band 'swir'"),
        ({"size_m": -1}, "size_m=-1 is not a size"),
        ({"date": "June"}, "date='June' is not a date"),
        ({"pixel_unit": "reflectance"}, "Pixels of the files in chips are not reflectance"),
    ],
)
def test_what_is_asked_must_fit_the_files(folder, options, words):
    with pytest.raises(ImageryError, match=words):
        read_all(chips_from_files(plain_units(1, 2), folder, **options))


def test_folders_without_chips_are_told(folder, tmp_path):
    with pytest.raises(ImageryError, match=r"is not there[\s\S]*name the folder"):
        chips_from_files(plain_units(1), tmp_path / "nowhere")
    with pytest.raises(ImageryError, match=r"is a file"):
        chips_from_files(plain_units(1), folder / "1.tif")
    with pytest.raises(ImageryError, match=r"has a key of the units: 'key' has '8', '9', the names '1', '2'"):
        chips_from_files(plain_units(8, 9), folder)


def test_files_that_do_not_go_together_are_named(folder):
    write_scene(folder / "2.tif", numbered(2, 6, 7))
    with pytest.raises(ImageryError, match=r"height and width: '1\.tif' has \(6, 6\), '2\.tif' \(6, 7\)"):
        chips_from_files(plain_units(1, 2), folder)
    write_scene(folder / "2.tif", numbered(3, 6, 6))
    with pytest.raises(ImageryError, match="number of bands"):
        chips_from_files(plain_units(1, 2), folder)
    write_scene(folder / "2.tif", numbered(2, 6, 6), descriptions=("red", "nir"))
    with pytest.raises(ImageryError, match="differ in bands or frames"):
        chips_from_files(plain_units(1, 2), folder)


def test_two_files_of_one_key_are_refused(folder):
    write_scene(folder / "%31.tif", numbered(2, 6, 6))
    with pytest.raises(ImageryError, match=r"Two files have the key '1'[\s\S]*%31\.tif"):
        chips_from_files(plain_units(1), folder)


def test_units_outside_the_chip_of_their_key_are_named(tmp_path, folder):
    # the chips span pixels 0 to 6 of the scenes' lattice
    for name in ("u0", "u1"):
        write_scene(folder / f"{name}.tif", numbered(2, 6, 6))
    chips_from_files(units_on([(3.0, 3.0), (6.0, 0.0)]), folder)
    with pytest.raises(
        ImageryError, match=r"up to 4 pixels outside the 6px chips of their keys[\s\S]*1 \(u1\)"
    ):
        chips_from_files(units_on([(3.0, 3.0), (3.0, 10.0)]), folder)


def test_files_that_are_something_else_are_not_opened(folder, tmp_path):
    (folder / "2.tif").write_text('<VRTDataset rasterXSize="6" rasterYSize="6"></VRTDataset>')
    with pytest.raises(ImageryError, match=r"'2\.tif' is not what its name says"):
        chips_from_files(plain_units(1, 2), folder)
    (folder / "2.tif").write_bytes(b"")
    with pytest.raises(ImageryError, match=r"'2\.tif' is empty"):
        chips_from_files(plain_units(1, 2), folder)


def test_a_scene_among_chips_is_not_read_whole(folder):
    import rasterio

    shape = {"width": 20_000, "height": 20_000, "count": 1, "dtype": "uint8"}
    place = rasterio.Affine(30, 0, 0, 0, -30, 0)
    with rasterio.open(
        folder / "2.tif", "w", driver="GTiff", tiled=True, sparse_ok=True, transform=place, **shape
    ):
        pass
    assert (folder / "2.tif").stat().st_size < 2**20
    with pytest.raises(ImageryError, match=r"'2\.tif' has 20,000 x 20,000 pixels: 1\.5 GiB[\s\S]*ec\.chips"):
        chips_from_files(plain_units(1, 2), folder)


def test_complex_numbers_are_no_pixels(folder):
    write_scene(folder / "2.tif", numbered(2, 6, 6).astype("complex64"))
    with pytest.raises(ImageryError, match=r"'2\.tif' has no bands of real numbers"):
        chips_from_files(plain_units(1, 2), folder)


@pytest.mark.parametrize("tag", ["[", '["a", "b", "c"]', "[]", "{}", "[1, 2]"])
def test_a_tag_of_frames_that_lies_is_refused(folder, tag):
    import rasterio

    with rasterio.open(folder / "2.tif", "r+") as file:
        file.update_tags(frames=tag)
    with pytest.raises(ImageryError, match=r"'2\.tif' has 2 bands and the tag frames="):
        chips_from_files(plain_units(1, 2), folder)


def test_damage_after_the_header_is_told_with_the_name(folder):
    chips = chips_from_files(plain_units(1, 2), folder)
    file = folder / "2.tif"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ImageryError, match=r"Chip '2\.tif' cannot be read"):
        read_all(chips)
    write_scene(file, np.zeros((2, 9, 9), dtype="uint8"))
    with pytest.raises(ImageryError, match=r"'2\.tif' has changed since its header was read"):
        read_all(chips)
