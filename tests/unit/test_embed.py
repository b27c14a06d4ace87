"""The runner: rows, blocks, statuses, folders that continue, and folders that refuse."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from eocausal.embeddings import read_embeddings
from eocausal.encoding.image_stats import ImageStats
from eocausal.encoding.random_features import RandomFeatures
from eocausal.errors import EmbeddingsError, EncoderError
from eocausal.runner import embed as runner
from eocausal.runner.embed import embed
from tests.fake_chips import fake_chips

RCF = RandomFeatures(n_features=16)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(runner, "shard_size", lambda count: 4)


def run(chips, **more):
    return embed(chips, **{"encoder": RCF, "device": "cpu", "progress": False, "batch": 64, **more})


@dataclass(frozen=True)
class MeanPixel:
    """An encoder made elsewhere: one feature, the mean of valid pixels plus an offset it learned."""

    fits: ClassVar[list] = []
    name: ClassVar[str] = "mean"

    def recipe(self):
        return {"encoder": "mean"}

    def fit(self, chips, *, keys=None, device="cpu"):
        MeanPixel.fits.append(list(keys))
        return FittedMean(1000.0)

    def restore(self, state, *, chips, device="cpu"):
        return FittedMean(float(state["offset"][0]))


@dataclass(frozen=True)
class FittedMean:
    offset: float

    def columns(self, block):
        return (f"mean_{block}_0",)

    def state(self):
        return {"offset": np.array([self.offset])}

    def encode(self, pixels, mask, block):
        return (np.nanmean(pixels, axis=(1, 2, 3, 4))[:, None] + self.offset).astype(np.float32)


def test_rows_follow_the_keys_and_blocks_the_sizes():
    chips = fake_chips(10, blocks=("960m", "3840m"))
    found = run(chips, encoder=MeanPixel())
    assert found.keys.tolist() == chips.keys.tolist()
    assert found.blocks == {"mean_960m": (0, 1), "mean_3840m": (1, 2)}
    assert found.columns == ("mean_960m_0", "mean_3840m_0")
    for column, block in enumerate(chips.blocks):
        want = chips.pixels[block].mean(axis=(1, 2, 3, 4)) + 1000
        np.testing.assert_allclose(found.values[:, column], want, rtol=1e-6)
    assert found.date == "2007-06-30"
    assert found.recipe["encoder"] == {"encoder": "mean"}
    assert found.recipe["chips"]["source"] == "fake"


@pytest.mark.parametrize("encoder", ["image_stats", RCF])
def test_features_do_not_depend_on_batch_size_shards_or_folder(tmp_path, encoder, monkeypatch):
    chips = fake_chips(9, holes=(2,))
    base = run(chips, encoder=encoder)
    for size in (1, 7, 64):
        np.testing.assert_array_equal(run(chips, encoder=encoder, batch=size).values, base.values)
    stored = run(chips, encoder=encoder, out=tmp_path / "a")
    assert stored.fingerprint == base.fingerprint
    monkeypatch.setattr(runner, "shard_size", lambda count: 100)
    assert run(chips, encoder=encoder).fingerprint == base.fingerprint


def test_chips_that_cannot_be_used_keep_their_row():
    chips = fake_chips(6, blocks=("960m", "3840m"), holes=(1,))
    chips.status["960m"][4] = "outside"
    chips.mask["960m"][4] = False
    chips.mask["3840m"][5, 0, :6] = False
    chips.status["3840m"][5] = "partial"
    found = run(chips)
    assert found.info["status"].tolist() == ["ok", "nodata", "ok", "ok", "outside", "partial"]
    assert found.info["valid_fraction"].tolist() == [1, 0, 1, 1, 0, 0.5]
    assert np.isnan(found.values[1]).all()
    assert np.isnan(found.block("rcf_960m")[4]).all()
    assert np.isfinite(found.block("rcf_3840m")[4]).all()
    assert np.isfinite(found.values[5]).all()


def test_too_few_valid_pixels_for_the_encoder_is_nodata():
    chips = fake_chips(4)
    chips.mask["960m"][2] = False
    chips.mask["960m"][2, 0, 0, :2] = True
    chips.status["960m"][2] = "partial"
    found = run(chips)
    assert found.info["status"].tolist() == ["ok", "ok", "nodata", "ok"]
    assert found.info["valid_fraction"][2] == pytest.approx(2 / 144)


def test_fit_keys_limit_what_is_learned():
    chips, marked = fake_chips(10), fake_chips(10)
    marked.pixels["960m"][5:] = 1e6
    few = chips.keys[:5]
    one, two = run(chips, fit_keys=few), run(marked, fit_keys=few[::-1])
    np.testing.assert_array_equal(one.values[:5], two.values[:5])
    assert one.recipe["fit_keys"] == two.recipe["fit_keys"]
    assert one.recipe["fit_keys"]["count"] == 5


def test_a_finished_folder_is_read_back_without_reading_chips(tmp_path):
    chips = fake_chips(10)
    first = run(chips, out=tmp_path / "s")
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "s").iterdir()}
    chips.read.clear()
    second = run(chips, out=tmp_path / "s", batch=3)
    assert chips.read == []
    assert second.fingerprint == first.fingerprint
    assert {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "s").iterdir()
    } == before
    assert (
        read_embeddings(tmp_path / "s" / "embeddings.parquet", key="village").fingerprint == first.fingerprint
    )
    assert sorted(before) == [
        "embeddings.parquet",
        "encoder.json",
        "encoder.safetensors",
        "manifest.json",
        *(f"part-0000{i}.{kind}" for i in range(3) for kind in ("json", "parquet")),
    ]


def interrupt(chips, folder, after):
    """Run into an error when ``after`` batches have been read, as a crash would."""
    real = chips.batches

    def failing(**more):
        for batch in real(**more):
            if len(chips.read) > after:
                raise KeyboardInterrupt
            yield batch

    chips.batches = failing
    with pytest.raises(KeyboardInterrupt):
        run(chips, encoder=MeanPixel(), out=folder, batch=4)
    chips.batches = real
    chips.read.clear()


def test_a_stopped_run_continues_with_the_saved_encoder_and_reads_only_what_is_left(tmp_path):
    chips = fake_chips(10)
    interrupt(chips, tmp_path / "s", after=2)
    assert not (tmp_path / "s" / "lock").exists()
    MeanPixel.fits.clear()
    found = run(chips, encoder=MeanPixel(), out=tmp_path / "s")
    assert MeanPixel.fits == []
    assert chips.read == [chips.keys[8:].tolist()]
    run(chips, encoder=MeanPixel(), out=tmp_path / "whole")
    one, two = ((tmp_path / name / "embeddings.parquet").read_bytes() for name in ("s", "whole"))
    assert one == two
    assert found.fingerprint == run(chips, encoder=MeanPixel()).fingerprint


def test_shards_follow_the_reading_order_and_rows_the_keys(tmp_path):
    order = np.array([7, 2, 9, 0, 4, 1, 8, 3, 6, 5])
    plain, ordered = fake_chips(10, holes=(2,)), fake_chips(10, holes=(2,), order=order)
    want = run(plain, encoder=MeanPixel(), out=tmp_path / "plain")
    found = run(ordered, encoder=MeanPixel(), out=tmp_path / "ordered")
    assert found.keys.tolist() == plain.keys.tolist()
    assert found.fingerprint == want.fingerprint
    assert found.info.equals(want.info)
    tables = [(tmp_path / name / "embeddings.parquet").read_bytes() for name in ("plain", "ordered")]
    assert tables[0] == tables[1]
    first = read_embeddings(tmp_path / "ordered" / "part-00000.parquet", key="village")
    assert first.keys.tolist() == ordered.keys[order[:4]].tolist()
    # A run that was stopped reads the rest of the same order and ends with the same bytes.
    ordered.read.clear()
    interrupt(ordered, tmp_path / "s", after=2)
    run(ordered, encoder=MeanPixel(), out=tmp_path / "s")
    assert ordered.read == [ordered.keys[order[8:]].tolist()]
    assert (tmp_path / "s" / "embeddings.parquet").read_bytes() == tables[0]


@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_a_damaged_shard_is_computed_again_with_a_note(tmp_path, damage, capsys):
    chips = fake_chips(10)
    interrupt(chips, tmp_path / "s", after=2)
    part = tmp_path / "s" / "part-00000.parquet"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "delete":
        part.unlink()
    else:
        part.write_bytes(content if damage == "flip" else content[:-20])
    found = run(chips, encoder=MeanPixel(), out=tmp_path / "s", progress=True)
    assert chips.read == [chips.keys[[0, 1, 2, 3, 8, 9]].tolist()]
    assert found.fingerprint == run(chips, encoder=MeanPixel()).fingerprint
    note = "part-00000.parquet was damaged and is made again"
    assert json.loads((tmp_path / "s" / "manifest.json").read_text())["notes"] == [note]
    assert note in capsys.readouterr().err


def test_a_damaged_result_is_made_again_from_its_shards(tmp_path):
    chips = fake_chips(10)
    run(chips, out=tmp_path / "s")
    result = tmp_path / "s" / "embeddings.parquet"
    whole = result.read_bytes()
    result.write_bytes(whole[:100])
    chips.read.clear()
    run(chips, out=tmp_path / "s")
    assert result.read_bytes() == whole
    assert chips.read == []


def test_a_damaged_encoder_is_fitted_again_to_the_same_features(tmp_path):
    chips = fake_chips(10)
    whole = run(chips)
    run(chips, out=tmp_path / "s")
    for name in ("embeddings.parquet", "part-00002.parquet"):
        (tmp_path / "s" / name).unlink()
    (tmp_path / "s" / "encoder.safetensors").write_bytes(b"broken")
    assert run(chips, out=tmp_path / "s").fingerprint == whole.fingerprint


def test_another_run_key_is_refused_and_named(tmp_path):
    chips = fake_chips(10)
    run(chips, out=tmp_path / "s")
    with pytest.raises(EmbeddingsError, match=r"encoder\.seed: 0 -> 3") as caught:
        run(chips, out=tmp_path / "s", encoder=dataclasses.replace(RCF, seed=3))
    assert "another folder as out=, or delete" in str(caught.value)
    with pytest.raises(EmbeddingsError, match=r"fit_keys\.count: 10 -> 4"):
        run(chips, out=tmp_path / "s", fit_keys=chips.keys[:4])
    with pytest.raises(EmbeddingsError, match=r'date: "2007-06-30" -> "2008-01-01"'):
        run(dataclasses.replace(chips, date="2008-01-01"), out=tmp_path / "s")
    with pytest.raises(EmbeddingsError, match=r'encoder\.encoder: "rcf" -> "image_stats"'):
        run(chips, out=tmp_path / "s", encoder=ImageStats())


def test_a_lock_of_a_living_process_is_respected_and_of_a_dead_one_taken_over(tmp_path):
    import socket
    import subprocess
    import sys

    chips = fake_chips(5)
    folder = tmp_path / "s"
    folder.mkdir()
    lock = folder / "lock"
    lock.write_text(json.dumps({"pid": os.getppid(), "host": socket.gethostname()}))
    with pytest.raises(EmbeddingsError, match=rf"Process {os.getppid()} on .* is writing"):
        run(chips, out=folder)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for content in (json.dumps({"pid": dead.pid, "host": socket.gethostname()}), "", "{"):
        lock.write_text(content)
        assert len(run(chips, out=folder)) == 5
        assert not list(folder.glob("lock*"))
        for path in folder.iterdir():
            path.unlink()
    lock.write_text(json.dumps({"pid": dead.pid, "host": "elsewhere"}))
    with pytest.raises(EmbeddingsError, match="on elsewhere is writing"):
        run(chips, out=folder)


def test_leftovers_of_a_killed_write_are_cleared(tmp_path):
    (tmp_path / "s").mkdir()
    leftover = tmp_path / "s" / ".part-00000.parquet.abc.partial"
    leftover.write_bytes(b"half")
    run(fake_chips(5), out=tmp_path / "s")
    assert not leftover.exists()


def test_the_progress_bar_counts_chips(capsys):
    run(fake_chips(5), progress=True)
    assert "5/5" in capsys.readouterr().err
    run(fake_chips(5))
    assert capsys.readouterr().err == ""


def test_embeddings_join_over_encoders():
    chips = fake_chips(5)
    both = run(chips).with_block(run(chips, encoder="image_stats"))
    assert list(both.blocks) == ["rcf_960m", "image_stats_960m"]


@pytest.mark.parametrize("kind", [object, "U20"])
def test_text_keys_work_throughout(tmp_path: Path, kind):
    chips = fake_chips(6, keys=np.array(["f", "b", "é", "a", "10", "02"], dtype=kind))
    found = run(chips, out=tmp_path / "s", fit_keys=["a", "f"])
    (tmp_path / "s" / "embeddings.parquet").unlink()
    chips.read.clear()
    assert run(chips, out=tmp_path / "s", fit_keys=["a", "f"]).fingerprint == found.fingerprint
    assert chips.read == []
    assert run(chips, out=tmp_path / "s", fit_keys=["f", "a"]).keys.tolist() == found.keys.tolist()
    np.testing.assert_array_equal(found.take(["02"]).values[0], found.values[5])


@dataclass
class Greedy:
    """An encoder that has room for so many chips at a time, and says so as PyTorch does."""

    room: int
    error: str = "CUDA out of memory. Tried to allocate 2.00 GiB"
    tried: list = field(default_factory=list)
    name: ClassVar[str] = "mean"
    inner: ClassVar[FittedMean] = FittedMean(1000.0)

    def recipe(self):
        return {"encoder": "mean"}

    def fit(self, chips, *, keys=None, device="cpu"):
        return self

    restore = fit

    def columns(self, block):
        return self.inner.columns(block)

    def state(self):
        return self.inner.state()

    def encode(self, pixels, mask, block):
        self.tried.append(len(pixels))
        if len(pixels) > self.room:
            raise RuntimeError(self.error)
        return self.inner.encode(pixels, mask, block)


def test_out_of_memory_halves_the_batch_once_and_says_so(capsys):
    chips, greedy = fake_chips(10), Greedy(room=3)
    found = run(chips, encoder=greedy, batch=10, progress=True)
    np.testing.assert_array_equal(found.values, run(chips, encoder=MeanPixel()).values)
    # 10, then 5, then 2 at a time: what is known by then is not tried again
    assert greedy.tried == [10, 5, 2, 2, 2, 2, 2]
    told = capsys.readouterr().err
    assert "out of memory with 10 chips at a time: going on with 5" in told
    assert "out of memory with 5 chips at a time: going on with 2" in told


def test_a_chip_that_never_fits_is_an_error_and_other_errors_are_not_swallowed():
    with pytest.raises(EncoderError, match=r"One chip of block '960m' does not fit[\s\S]*CUDA out of memory"):
        run(fake_chips(4), encoder=Greedy(room=0))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        run(fake_chips(4), encoder=Greedy(room=0, error="mat1 and mat2 shapes cannot be multiplied"))


def test_batches_that_end_within_shards_give_the_same_files(tmp_path):
    chips = fake_chips(11)
    for name, size in (("a", 4), ("b", 3), ("c", 64)):
        run(chips, out=tmp_path / name, batch=size)
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "abc"]
    assert files[0] == files[1] == files[2]
