"""Wrong input to encoders, to embed and to read_embeddings: each says what a user needs to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eocausal.embeddings import Embeddings, read_embeddings
from eocausal.encoding.image_stats import ImageStats
from eocausal.encoding.random_features import RandomFeatures
from eocausal.encoding.registry import get_encoder
from eocausal.errors import EmbeddingsError, EncoderError
from eocausal.runner.embed import embed
from tests.fake_chips import fake_chips


def run(chips, **more):
    return embed(chips, **{"encoder": "image_stats", "device": "cpu", "progress": False, **more})


def frame(**columns):
    return pd.DataFrame({"image_key": [1, 2, 3], "e0": [0.1, 0.2, 0.3], "e1": [1.0, 2.0, 3.0], **columns})


TABLES = {
    "key misspelt": (frame(), {"key": "image_ky"}, "'image_ky' is not in the embeddings.*'image_key'"),
    "key missing": (frame(image_key=[1, np.nan, 3]), {}, r"'image_key' has missing values.*1 \(1\).*dropna"),
    "keys mixed": (frame(image_key=[1, "b", 3]), {}, "all numbers or all text.*astype"),
    "words asked for": (
        frame(e1=["a", "b", "c"]),
        {"columns": ["e0", "e1"]},
        r"not numeric.*1 \(e1\).*to_numeric",
    ),
    "unknown column": (frame(), {"columns": ["e0", "e11"]}, "'e11' is not in the embeddings.*'e1'"),
    "no such prefix": (frame(), {"columns": "rcf"}, "no columns that start with 'rcf'.*e0, e1"),
    "infinite": (
        frame(e1=[1.0, np.inf, -np.inf]),
        {},
        r"2 feature values are infinite.*e1.*2 \(2, 3\).*replace",
    ),
    "too large": (frame(e0=[1e39, 0, 0]), {}, "1 feature values are infinite or too large for float32"),
    "part of a row": (frame(e1=[1.0, np.nan, 3.0]), {}, r"1 rows miss some.*e1.*1 \(2\).*dropna"),
    "two answers": (frame(image_key=[1, 1, 3]), {}, r"'image_key' appears more than once.*1 \(1\).*groupby"),
    "no rows": (frame().iloc[:0], {}, "no rows"),
    "only words": (frame()[["image_key"]].assign(a="x"), {}, "no numeric columns besides the key.*: a"),
    "date": (frame(), {"date": "30/06/2007"}, "'30/06/2007' is not a date.*2007-06-30"),
    "key twice": (pd.concat([frame(), frame()], axis=1), {}, "'image_key' appears 2 times.*duplicated"),
}


@pytest.mark.parametrize(("table", "more", "words"), TABLES.values(), ids=TABLES.keys())
def test_tables_made_elsewhere(table, more, words):
    with pytest.raises(EmbeddingsError, match=f"(?s){words}"):
        read_embeddings(table, **{"key": "image_key", **more})


def test_files_that_are_not_there_or_not_readable(tmp_path: Path):
    frame().to_csv(tmp_path / "clip_features.csv", index=False)
    with pytest.raises(EmbeddingsError, match=r"(?s)clip_feature\.csv' is not there.*clip_features\.csv'"):
        read_embeddings(tmp_path / "clip_feature.csv", key="image_key")
    with pytest.raises(EmbeddingsError, match=r"(?s)is not there.*no folder"):
        read_embeddings(tmp_path / "nowhere" / "x.parquet", key="image_key")
    (tmp_path / "x.xlsx").write_bytes(b"x")
    with pytest.raises(EmbeddingsError, match=r"(?s)\.csv, \.parquet.*DataFrame"):
        read_embeddings(tmp_path / "x.xlsx", key="image_key")
    (tmp_path / "x.parquet").write_bytes(b"not parquet")
    with pytest.raises(EmbeddingsError, match=r"x\.parquet' is damaged or not a Parquet file"):
        read_embeddings(tmp_path / "x.parquet", key="image_key")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(EmbeddingsError, match=r"empty\.csv' is not a CSV table"):
        read_embeddings(tmp_path / "empty.csv", key="image_key")


def test_a_flipped_byte_in_a_page_is_found(tmp_path: Path):
    values = np.random.default_rng(0).normal(size=(400, 3))
    table = pd.DataFrame(values, columns=["a", "b", "c"]).assign(k=range(400))
    path = read_embeddings(table, key="k").write(tmp_path / "x.parquet")
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 1
    path.write_bytes(content)
    with pytest.raises(EmbeddingsError, match=r"x\.parquet' is damaged or not a Parquet file"):
        read_embeddings(path, key="k")


def test_our_own_file_with_another_key_date_or_column(tmp_path: Path):
    path = read_embeddings(frame(), key="image_key", date="2007-06-30").write(tmp_path / "x.parquet")
    with pytest.raises(EmbeddingsError, match="The key of this file is 'image_key'"):
        read_embeddings(path, key="e0")
    with pytest.raises(EmbeddingsError, match=r"(?s)2009-01-01.*its imagery is of 2007-06-30"):
        read_embeddings(path, key="image_key", date="2009-01-01")
    with pytest.raises(EmbeddingsError, match=r"(?s)not features of this file.*1 \(e2\)"):
        read_embeddings(path, key="image_key", columns=["e0", "e2"])


def test_joins_that_do_not_fit():
    one = read_embeddings(frame(), key="image_key")
    with pytest.raises(EmbeddingsError, match=r"(?s)not in the embeddings.*2 \(8, 9\)"):
        one.take([1, 8, 9])
    with pytest.raises(EmbeddingsError, match=r"(?s)numbers in the embeddings but text here.*astype"):
        one.rows_for(["1", "2"])
    with pytest.raises(EmbeddingsError, match=r"(?s)do not have the same keys.*1 \(3\).*take"):
        one.with_block(one.take([1, 2]))
    with pytest.raises(EmbeddingsError, match=r"(?s)Both tables have.*features"):
        one.with_block(one)
    with pytest.raises(EmbeddingsError, match=r"(?s)no block 'feature'.*'features'"):
        one.block("feature")
    with pytest.raises(EmbeddingsError, match=r"(?s)more than once.*1 \(2\)"):
        one.take([2, 2])
    with pytest.raises(EmbeddingsError, match="2 images and 2 features; there are 1 images"):
        one.take([1]).plot()


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"columns": ("a",)}, "1 column names for 2 columns"),
        ({"columns": ("a", "a")}, "column names repeat"),
        ({"columns": ("a", "status")}, "name of the key or of status"),
        ({"blocks": {"x": (0, 1)}}, "do not cover 2 columns"),
        ({"keys": np.array([1, 1])}, "(?s)more than once.*one row per image key"),
        ({"keys": np.array([1, 2, 3])}, "3 keys for 2 rows"),
        ({"info": pd.DataFrame({"status": ["ok", "fine"], "valid_fraction": [1, 1]})}, "status is one of ok"),
        ({"values": np.array([[1, np.nan], [1, 2]])}, r"(?s)NaN in part of a row.*1 \(7\)"),
        ({"recipe": {"x": object()}}, "recipe cannot be written as JSON"),
    ],
)
def test_embeddings_whose_parts_do_not_fit(part, words):
    good = {
        "keys": np.array([7, 8]),
        "key_name": "k",
        "values": np.ones((2, 2)),
        "columns": ("a", "b"),
        "blocks": {"x": (0, 2)},
        "info": pd.DataFrame({"status": ["ok", "ok"], "valid_fraction": [1, 1]}),
        "date": None,
        "recipe": {},
    }
    with pytest.raises(EmbeddingsError, match=words):
        Embeddings(**{**good, **part})


def test_encoders_that_are_not_known():
    with pytest.raises(EncoderError, match=r"(?s)'rfc' is not known.*'rcf'"):
        get_encoder("rfc")
    words = r"(?s)'prithvi' is not known.*prithvi-eo-2-300m-tl.*image_stats, pixel_mean, rcf"
    with pytest.raises(EncoderError, match=words):
        run(fake_chips(3), encoder="prithvi")
    with pytest.raises(EncoderError, match=r"(?s)is not an encoder.*RandomFeatures"):
        get_encoder(3)
    with pytest.raises(EncoderError, match="is not an encoder"):
        get_encoder(ImageStats)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"n_features": 510}, "(?s)n_features=510.*multiple of 4.*such as 512"),
        ({"n_features": 0}, "n_features=0"),
        ({"n_features": 64.0}, "n_features=64.0"),
        ({"patch_px": ()}, r"patch_px=\(\)"),
        ({"patch_px": (3, 3)}, "(?s)patch_px.*distinct"),
        ({"patch_px": (1,)}, "(?s)patch_px.*2 or more"),
        ({"bias": np.inf}, "bias=inf"),
        ({"whitening": 0.0}, "(?s)whitening=0.0.*positive"),
        ({"seed": -1}, "(?s)seed=-1.*0 or more"),
        ({"seed": None}, "seed=None"),
    ],
)
def test_settings_of_random_features(setting, words):
    with pytest.raises(EncoderError, match=words):
        RandomFeatures(**setting)


def test_chips_that_an_encoder_cannot_take():
    chips = fake_chips(3, px=4)
    with pytest.raises(
        EncoderError, match=r"(?s)patch_px=5 does not fit.*'960m' \(4 x 4 pixels\).*patch_px=\(3,\)"
    ):
        run(chips, encoder="rcf")
    with pytest.raises(EncoderError, match=r"(?s)2 x 2 pixels.*texture needs 3 x 3"):
        run(fake_chips(3, px=2))
    fitted = ImageStats().fit(chips)
    pixels, mask = np.ones((2, 1, 2, 4, 4), np.float32), np.ones((2, 1, 4, 4), bool)
    with pytest.raises(EncoderError, match="fitted to 2 bands and is given 1"):
        fitted.encode(pixels[:, :, :1], mask, "960m")
    with pytest.raises(EncoderError, match=r"(?s)pixels are .n, dates, bands, height, width"):
        fitted.encode(pixels, mask[:, :, :3], "960m")
    pixels[1, 0, 1, 2, 2] = np.nan
    with pytest.raises(EncoderError, match=r"(?s)1 chips hold NaN.*1 \(1\).*mask &= "):
        fitted.encode(pixels, mask, "960m")
    random = RandomFeatures(8, patch_px=(3,)).fit(chips)
    with pytest.raises(EncoderError, match=r"(?s)not drawn for block '99m'.*960m"):
        random.encode(pixels, mask, "99m")
    with pytest.raises(EncoderError, match=r"(?s)saved filters are not those.*960m/filters_3"):
        RandomFeatures(8, patch_px=(3,)).restore({}, chips=chips)


def test_no_chip_can_be_used():
    chips = fake_chips(5, holes=range(5))
    chips.status["960m"][:3] = "outside"
    with pytest.raises(EmbeddingsError, match=r"(?s)None of the 5 chips.*nodata 2, outside 3.*5 \(100"):
        run(chips)
    with pytest.raises(EncoderError, match=r"(?s)No chip of block '960m'.*nodata 2, outside 3.*nodata value"):
        run(chips, encoder="rcf")
    flat = fake_chips(4)
    flat.pixels["960m"][:] = 5
    with pytest.raises(EncoderError, match=r"(?s)window that varies; chips by status: ok 4"):
        run(flat, encoder="rcf")
    with pytest.raises(EmbeddingsError, match="no chips to embed"):
        run(fake_chips(0))


def test_arguments_of_embed(tmp_path: Path):
    chips = fake_chips(4)
    with pytest.raises(EncoderError, match=r"(?s)2 of the 3 fit_keys are not 'village'.*2 \(7, 8\)"):
        run(chips, fit_keys=[100, 7, 8])
    with pytest.raises(EncoderError, match=r"(?s)fit_keys is empty.*one or more"):
        run(chips, fit_keys=[])
    with pytest.raises(EmbeddingsError, match=r"(?s)device='gpu' is not known.*'cuda'"):
        run(chips, device="gpu")
    with pytest.raises(EmbeddingsError, match=r"(?s)device='cuda:99' is not there.*'cpu'"):
        run(chips, device="cuda:99")
    for size in (0, 2.5, True):
        with pytest.raises(EmbeddingsError, match=r"(?s)batch=.*1 or more"):
            run(chips, batch=size)
    (tmp_path / "taken.parquet").write_text("")
    with pytest.raises(EmbeddingsError, match=r"(?s)taken\.parquet' is a file.*out='.*taken_store'"):
        run(chips, out=tmp_path / "taken.parquet")
    with pytest.raises(EmbeddingsError, match="cannot be made"):
        run(chips, out=tmp_path / "taken.parquet" / "below")


@pytest.mark.parametrize("content", ["{}", "[1]", "not json", '{"format": 99, "run": {}}'])
def test_a_manifest_of_something_else(tmp_path: Path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(EmbeddingsError, match=r"(?s)not of a run of embed of format 1.*another folder"):
        run(fake_chips(4), out=tmp_path)


@dataclass(frozen=True)
class Broken:
    """An encoder whose output is wrong in a chosen way."""

    values: np.ndarray
    name: str = "broken"

    def recipe(self):
        return {}

    def fit(self, chips, *, keys=None, device="cpu"):
        return self

    restore = fit

    def columns(self, block):
        return ("broken_0", "broken_1")

    def state(self):
        return {}

    def encode(self, pixels, mask, block):
        return self.values


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([[1, 2], [3, np.inf], [1, 2]]), r"not finite for 1 chips of block '960m'.*1 \(101\)"),
        (np.array([[1, np.nan], [3, 4], [1, 2]]), r"not finite for 1 chips.*1 \(100\)"),
        (np.full((3, 2), np.nan), r"not finite for 3 chips.*3 \(100, 101, 102\)"),
        (np.ones((3, 5)), r"shape \(3, 5\) for 3 chips.*float32 of shape \(3, 2\)"),
    ],
)
def test_output_that_is_not_features(values, words):
    with pytest.raises(EncoderError, match=f"(?s)'broken' gave.*{words}"):
        run(fake_chips(3), encoder=Broken(values.astype(np.float32)))
