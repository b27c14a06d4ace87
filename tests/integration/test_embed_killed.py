"""Embedding can be killed at any moment, again and again: the run that finishes ends with the same bytes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from eocausal.encoding.image_stats import ImageStats
from eocausal.runner import embed as runner
from tests.fake_chips import FakeChips, fake_chips

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

COUNT, PER_SHARD = 60, 5


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(runner, "shard_size", lambda count: PER_SHARD)


def chips() -> FakeChips:
    return fake_chips(COUNT, holes=(3,), pause_s=0.003)


def embed(folder: Path) -> None:
    # three in a batch: batches end within shards of five
    runner.embed(chips(), encoder=ImageStats(), out=folder, batch=3, device="cpu", progress=False)


def start(folder: Path) -> int:
    """Embed in a child process and return its number; a fork spares each trial the import of everything."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            embed(folder)
            code = 0
        finally:
            os._exit(code)
    return child


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def kill_and_resume(tmp_path: Path, trials: int, seed: int) -> int:
    """Run trials of two kills each and a clean finish; return how many kills came in time."""
    rng = np.random.default_rng(seed)
    embed(tmp_path / "whole")
    whole = content(tmp_path / "whole")
    began = time.monotonic()
    assert os.waitstatus_to_exitcode(os.waitpid(start(tmp_path / "timed"), 0)[1]) == 0
    takes = time.monotonic() - began
    assert content(tmp_path / "timed") == whole
    killed, moments = 0, set()
    for trial in range(trials):
        folder = tmp_path / f"trial{trial}"
        for _ in range(2):
            child = start(folder)
            time.sleep(float(rng.uniform(0, 0.7 * takes)))
            os.kill(child, signal.SIGKILL)
            killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
            finished = {path: path.stat().st_mtime_ns for path in folder.glob("part-*.json")}
            moments.add(len(finished))
        embed(folder)
        assert content(folder) == whole, f"trial {trial}"
        # no finished shard was made again
        assert {path: path.stat().st_mtime_ns for path in finished} == finished, f"trial {trial}"
    assert len(moments) >= 4, "kills did not come at different moments"
    return killed


def test_twenty_killed_runs_end_with_the_bytes_of_an_undisturbed_one(tmp_path):
    assert kill_and_resume(tmp_path, trials=20, seed=1) >= 15


@pytest.mark.slow
def test_two_hundred_killed_runs_end_with_the_bytes_of_an_undisturbed_one(tmp_path):
    assert kill_and_resume(tmp_path, trials=200, seed=2) >= 150
