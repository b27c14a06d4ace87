"""A run that is killed without warning continues to the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import eocausal as ec
from eocausal.encoding.random_features import RandomFeatures
from eocausal.errors import EmbeddingsError
from eocausal.runner import embed as runner
from tests.fake_chips import fake_chips

SCRIPT = """
import sys
sys.path.insert(0, {root!r})
from tests.fake_chips import fake_chips
from eocausal.encoding.random_features import RandomFeatures
from eocausal.runner import embed as runner
runner.shard_size = lambda count: 6
print("ready", flush=True)
runner.embed(fake_chips(60, holes=(3,), pause_s=0.05), encoder=RandomFeatures(16), out={out!r}, batch=2,
             device="cpu", progress=False)
"""


def start(folder: Path) -> subprocess.Popen:
    script = SCRIPT.format(root=str(Path(__file__).parents[2]), out=str(folder))
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)


def kill_after(process: subprocess.Popen, folder: Path, parts: int) -> None:
    """Kill a run once it has finished some shards, wherever in the next one it is."""
    deadline = time.monotonic() + 60
    while len(list(folder.glob("part-*.json"))) < parts:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "the run made no shard in a minute"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_run_killed_twice_ends_with_the_bytes_of_an_undisturbed_one(tmp_path, monkeypatch):
    folder = tmp_path / "killed"
    for parts in (2, 4):
        kill_after(start(folder), folder, parts)
        assert (folder / "lock").exists()
        assert not (folder / "embeddings.parquet").exists()
    finished = {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*.parquet")}

    monkeypatch.setattr(runner, "shard_size", lambda count: 6)
    chips = fake_chips(60, holes=(3,))
    settings = {"encoder": RandomFeatures(16), "device": "cpu", "batch": 64, "progress": False}
    resumed = runner.embed(chips, out=folder, **settings)
    assert 0 < sum(len(keys) for keys in chips.read) <= 60 - 4 * 6
    whole = runner.embed(fake_chips(60, holes=(3,)), out=tmp_path / "whole", **settings)

    assert resumed.fingerprint == whole.fingerprint
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert sorted(path.name for path in folder.iterdir()) == names
    for name in names:
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    kept = [name for name, time_ns in finished.items() if (folder / name).stat().st_mtime_ns == time_ns]
    assert len(kept) >= 4

    with pytest.raises(EmbeddingsError, match=r"encoder\.seed: 0 -> 1"):
        runner.embed(chips, out=folder, **{**settings, "encoder": RandomFeatures(16, seed=1)})


def test_a_second_writer_is_refused_while_the_first_is_alive(tmp_path):
    folder = tmp_path / "busy"
    process = start(folder)
    try:
        deadline = time.monotonic() + 60
        while not list(folder.glob("part-*.json")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runner, "shard_size", lambda count: 6)
            with pytest.raises(EmbeddingsError, match=f"Process {process.pid} on .* is writing in .*busy"):
                runner.embed(
                    fake_chips(60, holes=(3,)),
                    encoder=RandomFeatures(16),
                    out=folder,
                    device="cpu",
                    progress=False,
                )
    finally:
        process.kill()
        process.wait()


def test_the_chips_of_the_uganda_trial_one_row_an_image(shared, tmp_path):
    folder = shared / "data/uganda_yop"
    units = ec.read_units(
        folder / "units.csv", id="unit_id", lon="geo_long", lat="geo_lat", image_key="image_key"
    )
    chips = ec.chips_from_arrays(units, folder / "chips.npz", date="2000-01-01")
    found = ec.embed(chips, encoder="image_stats", out=tmp_path / "s", device="cpu", progress=False)
    assert len(found) == 327
    assert (found.info["status"] == "ok").all()
    with np.load(folder / "chips.npz") as stored:
        key, chip = int(stored["image_key"][200]), stored["chips"][200].astype(float)
    row = found.take([key]).to_frame().iloc[0]
    assert row["image_stats_35px_band2_mean"] == pytest.approx(chip[:, :, 1].mean(), rel=1e-6)
    assert row["image_stats_35px_band3_sd"] == pytest.approx(chip[:, :, 2].std(), rel=1e-6)
    gradient = np.abs(np.diff(chip[:, :, 0], axis=1)).mean()
    assert row["image_stats_35px_band1_grad_h"] == pytest.approx(gradient, rel=1e-6)
