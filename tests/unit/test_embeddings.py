"""The table of features: what it keeps, how it joins, and what comes back from a file."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from eocausal._image_info import worst_info
from eocausal.embeddings import Embeddings, read_embeddings
from eocausal.errors import EmbeddingsError


def table(keys, *, block="a", width=2, status=None, date=None, key_name="village", start=0.0):
    n = len(keys)
    values = start + np.arange(n * width, dtype=np.float32).reshape(n, width)
    status = status or ["ok"] * n
    for row, word in enumerate(status):
        if word not in ("ok", "partial"):
            values[row] = np.nan
    return Embeddings(
        keys=np.asarray(keys),
        key_name=key_name,
        values=values,
        columns=tuple(f"{block}_{i}" for i in range(width)),
        blocks={block: (0, width)},
        info=pd.DataFrame({"status": status, "valid_fraction": [0.5] * n}),
        date=date,
        recipe={"made": block},
    )


def test_rows_are_found_by_key_and_absent_keys_are_minus_one():
    found = table([10, 20, 30]).rows_for([30, 10, 99, 30])
    assert found.tolist() == [2, 0, -1, 2]


def test_take_reorders_rows_with_their_info():
    taken = table([10, 20, 30], status=["ok", "outside", "partial"]).take([30, 20])
    assert taken.keys.tolist() == [30, 20]
    assert taken.info["status"].tolist() == ["partial", "outside"]
    np.testing.assert_array_equal(taken.values, [[4, 5], [np.nan, np.nan]])


def test_select_keeps_the_blocks_that_are_named_and_what_made_them():
    whole = table([1, 2, 3]).with_block(table([1, 2, 3], block="wide", width=3))
    part = whole.select("wide")
    assert part.blocks == {"wide": (0, 3)}
    assert np.array_equal(part.values, whole.block("wide"))
    assert part.columns == whole.columns[-3:]
    assert part.info.equals(whole.info)
    assert part.recipe_hash != whole.recipe_hash
    turned = whole.select("wide", *(name for name in whole.blocks if name != "wide"))
    assert np.array_equal(turned.block("wide"), whole.block("wide"))
    assert turned.shape == whole.shape
    with pytest.raises(EmbeddingsError, match="no block 'wid'"):
        whole.select("wid")


def test_with_block_aligns_by_key_and_keeps_the_worst_of_both():
    left = table([1, 2], date="2005-01-01", status=["ok", "partial"])
    right = table([2, 1], block="b", width=1, date="2006-01-01", status=["nodata", "ok"])
    both = left.with_block(right)
    assert both.blocks == {"a": (0, 2), "b": (2, 3)}
    np.testing.assert_array_equal(both.block("b"), [[1], [np.nan]])
    np.testing.assert_array_equal(both.block("a"), left.values)
    assert both.info["status"].tolist() == ["ok", "nodata"]
    assert both.date == "2006-01-01"
    assert both.recipe["joined"] == [{"made": "a"}, {"made": "b"}]


def test_worst_info_takes_the_worst_status_and_the_smallest_known_fraction():
    one = pd.DataFrame({"status": ["ok", "outside", "ok"], "valid_fraction": [1.0, 0.0, np.nan]})
    two = pd.DataFrame({"status": ["partial", "nodata", "missing"], "valid_fraction": [0.7, 0.2, np.nan]})
    worst = worst_info([one, two])
    assert worst["status"].tolist() == ["partial", "outside", "missing"]
    np.testing.assert_array_equal(worst["valid_fraction"], [0.7, 0.0, np.nan])


def test_the_table_is_frozen():
    found = table([1, 2])
    with pytest.raises(FrozenInstanceError):
        found.date = "2000-01-01"
    with pytest.raises(ValueError, match="read-only"):
        found.values[0, 0] = 9


def test_fingerprint_moves_with_values_keys_date_and_recipe_only():
    base = table([1, 2])
    assert base.fingerprint == table([1, 2]).fingerprint
    others = [
        table([1, 3]),
        table([1, 2], start=1e-3),
        table([1, 2], date="2001-01-01"),
        table([1, 2], block="c"),
    ]
    assert len({base.fingerprint, *(other.fingerprint for other in others)}) == 5
    assert base.recipe_hash == table([5, 6]).recipe_hash


def test_repr_is_one_line_and_counts_rows_without_features():
    text = repr(table([1, 2, 3], status=["ok", "outside", "missing"]))
    assert "\n" not in text
    assert "3 images" in text
    assert "2 without features" in text


@pytest.mark.parametrize(
    "keys",
    [
        np.array([7, 3], dtype=np.int32),
        np.array([7, 3], dtype=np.int64),
        np.array(["007", "é b"]),
        np.array([0.5, 2]),
    ],
    ids=["int32", "int64", "text", "float"],
)
def test_a_written_table_comes_back_whole(tmp_path: Path, keys):
    first = table(keys, date="2007-06-30", status=["ok", "nodata"])
    path = first.write(tmp_path / "deep" / "x.parquet")
    second = read_embeddings(path, key="village")
    assert second.keys.dtype == first.keys.dtype
    assert second.keys.tolist() == first.keys.tolist()
    assert second.fingerprint == first.fingerprint
    assert (second.date, second.blocks, second.recipe) == (first.date, first.blocks, first.recipe)
    pd.testing.assert_frame_equal(second.info, first.info, check_dtype=False)
    assert list((tmp_path / "deep").iterdir()) == [path]


def test_the_file_is_plain_parquet_with_the_recipe_in_its_metadata(tmp_path: Path):
    path = table([1, 2]).write(tmp_path / "x.parquet")
    assert pd.read_parquet(path).columns.tolist() == [
        "village",
        "status",
        "valid_fraction",
        "last_date",
        "a_0",
        "a_1",
    ]
    about = json.loads(pq.read_schema(path).metadata[b"eocausal"])
    assert about["format"] == 1
    assert about["blocks"] == {"a": [0, 2]}


def test_the_same_table_gives_the_same_bytes(tmp_path: Path):
    one, two = (table([1, 2]).write(tmp_path / name).read_bytes() for name in ("a.parquet", "b.parquet"))
    assert one == two


def test_columns_of_our_own_file_keep_their_blocks(tmp_path: Path):
    path = table([1, 2]).with_block(table([1, 2], block="b", width=3)).write(tmp_path / "x.parquet")
    some = read_embeddings(path, key="village", columns=["b_2", "a_1", "b_0"])
    assert some.columns == ("a_1", "b_0", "b_2")
    assert some.blocks == {"a": (0, 1), "b": (1, 3)}
    assert read_embeddings(path, key="village", columns="b_").blocks == {"b": (0, 3)}


def test_to_frame_holds_key_info_and_features():
    frame = table([1, 2], status=["ok", "outside"]).to_frame()
    assert frame.columns.tolist() == ["village", "status", "valid_fraction", "last_date", "a_0", "a_1"]
    assert frame["a_1"].isna().tolist() == [False, True]


def test_a_frame_made_elsewhere_takes_all_numeric_columns_and_notes_the_rest():
    frame = pd.DataFrame({"k": ["b", "a"], "x": [1, 2], "name": ["u", "v"], "y": [0.5, np.pi]})
    found = read_embeddings(frame, key="k", date="2001-02-03")
    assert found.columns == ("x", "y")
    assert found.blocks == {"features": (0, 2)}
    assert found.values.dtype == np.float32
    assert found.recipe["notes"] == ["columns without numbers were left out: name"]
    assert found.date == "2001-02-03"


def test_identical_repeats_collapse_with_a_note():
    frame = pd.DataFrame({"k": [5, 4, 5, 6, 6], "x": [1.0, 2.0, 1.0, np.nan, np.nan]})
    found = read_embeddings(frame, key="k")
    assert found.keys.tolist() == [5, 4, 6]
    assert found.values[:2].tolist() == [[1.0], [2.0]]
    assert "2 rows that repeat a key" in found.recipe["notes"][0]
    assert found.info["status"].tolist() == ["ok", "ok", "missing"]


def test_csv_keeps_leading_zeros_and_reads_plain_integers(tmp_path: Path):
    (tmp_path / "a.csv").write_text("k,x\n007,1\n10,2\n")
    (tmp_path / "b.csv").write_text("k,x\n7,1\n10,2\n")
    assert read_embeddings(tmp_path / "a.csv", key="k").keys.tolist() == ["007", "10"]
    numbers = read_embeddings(tmp_path / "b.csv", key="k")
    assert numbers.keys.tolist() == [7, 10]
    assert numbers.blocks == {"b": (0, 1)}


def test_clip_embeddings_of_the_uganda_trial(shared: Path):
    path = shared / "data/uganda_yop/embeddings_clip_rsicd.parquet"
    found = read_embeddings(path, key="image_key", date="2000-01-01")
    raw = pd.read_parquet(path)
    assert found.shape == (327, 512)
    assert list(found.blocks) == ["embeddings_clip_rsicd"]
    assert (found.info["status"] == "ok").all()
    key = int(raw["image_key"].iloc[100])
    np.testing.assert_array_equal(found.take([key]).values[0], raw.iloc[100, 1:].to_numpy(np.float32))


def test_plot_draws_the_first_two_principal_components():
    import matplotlib as mpl

    mpl.use("Agg")
    rng = np.random.default_rng(0)
    values = (
        rng.normal(size=(30, 1)) * np.array([[3.0, 4.0, 0.0]]) + 0.01 * rng.normal(size=(30, 3))
    ).astype("f4")
    frame = pd.DataFrame(values, columns=["x", "y", "z"]).assign(k=range(30))
    axes = read_embeddings(frame, key="k").plot()
    points = np.asarray(axes.collections[0].get_offsets())
    along = (values - values.mean(axis=0)) @ np.array([0.6, 0.8, 0.0])
    assert points.shape == (30, 2)
    assert abs(np.corrcoef(points[:, 0], along)[0, 1]) > 0.999
    np.testing.assert_allclose(np.abs(points[:, 0]), np.abs(along), atol=0.05)
    assert axes.get_xlabel().startswith("First principal component (100%")
