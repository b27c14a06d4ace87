"""Writing a store of chips can be killed at any moment: the next call ends with the bytes of an undisturbed one."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import ImageryError
from eocausal.imagery import _zarr_layout
from eocausal.imagery.batches import ChipBatch
from eocausal.imagery.store import write_chips

pytest.importorskip("zarr")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

PER_SHARD, COUNT = 4, 30
# Each range is held up so long in a child, so that kills come at all stages however busy the machine is.
PAUSE_S = 0.02


def arrays(count: int = COUNT) -> ec.Chips:
    ids = np.arange(count)
    units = ec.read_units(pd.DataFrame({"id": ids, "key": ids}), id="id", image_key="key")
    pictures = np.random.default_rng(0).normal(size=(COUNT, 12, 12, 2)).astype("float32")
    pictures[::7, :3] = np.nan
    return ec.chips_from_arrays(units, pictures[:count], keys=ids)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(_zarr_layout, "MOST_CHIPS_PER_SHARD", PER_SHARD)


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def start(chips: ec.Chips, folder: Path, **options: bool) -> int:
    """Write in a child process and return its number; a fork spares each trial the import of everything."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            encode = _zarr_layout.Encoder.encode
            _zarr_layout.Encoder.encode = lambda *args: (time.sleep(PAUSE_S), encode(*args))[1]
            write_chips(chips, folder, progress=False, **options)
            code = 0
        finally:
            os._exit(code)
    return child


def kill_at_random(
    chips: ec.Chips, folder: Path, within_s: float, rng: np.random.Generator, **options: bool
) -> bool:
    """Kill a write at a random moment; return whether it died before it was done."""
    child = start(chips, folder, **options)
    time.sleep(float(rng.uniform(0, within_s)))
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def finished_ranges(folder: Path) -> dict[str, int]:
    """Return when the files of finished ranges were written, in nanoseconds."""
    numbers = [path.stem for path in folder.glob("ranges/*.json")]
    return {
        str(path): path.stat().st_mtime_ns
        for number in numbers
        for path in folder.glob(f"12px/*/c/{int(number)}/**/*")
        if path.is_file()
    }


def kill_and_resume(tmp_path: Path, trials: int, seed: int) -> int:
    """Run trials of two kills each and a clean finish; return how many kills came in time."""
    chips, rng = arrays(), np.random.default_rng(seed)
    chips.write(tmp_path / "whole", progress=False)
    began = time.monotonic()
    child = start(chips, tmp_path / "timed")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    takes = time.monotonic() - began
    whole = content(tmp_path / "whole")
    assert content(tmp_path / "timed") == whole
    killed, moments = 0, set()
    for trial in range(trials):
        folder = tmp_path / f"trial{trial}"
        for _ in range(2):
            killed += kill_at_random(chips, folder, 0.8 * takes, rng)
            before = finished_ranges(folder)
            moments.add(len(before))
            if (
                not (folder / "manifest.json").is_file()
                or b'"ranges"' not in (folder / "manifest.json").read_bytes()
            ):
                with pytest.raises(ImageryError, match=r"is not finished|is not a store"):
                    ec.open_chips(folder, chips.units)
        chips.write(folder, progress=False)
        assert content(folder) == whole, f"trial {trial}"
        # No finished range was written again.
        after = finished_ranges(folder)
        assert before.items() <= after.items(), f"trial {trial}"
    assert len(moments) >= 4, "kills did not come at different moments"
    return killed


def test_twenty_killed_writes_end_with_the_bytes_of_an_undisturbed_one(tmp_path):
    assert kill_and_resume(tmp_path, trials=20, seed=1) >= 15


@pytest.mark.slow
def test_a_hundred_killed_writes_end_with_the_bytes_of_an_undisturbed_one(tmp_path):
    assert kill_and_resume(tmp_path, trials=100, seed=2) >= 75


def append_killed(tmp_path: Path, trials: int, seed: int) -> int:
    """Kill appends at random moments; return how many died before they were done."""
    chips, rng = arrays(), np.random.default_rng(seed)
    first = arrays(13)
    first.write(tmp_path / "first", progress=False)
    shutil.copytree(tmp_path / "first", tmp_path / "whole")
    began = time.monotonic()
    child = start(chips, tmp_path / "whole", append=True)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    takes = time.monotonic() - began
    whole, before = content(tmp_path / "whole"), content(tmp_path / "first")
    stored = first_batch(first)
    killed, moments = 0, set()
    for trial in range(trials):
        folder = tmp_path / f"append{trial}"
        shutil.copytree(tmp_path / "first", folder)
        died = kill_at_random(chips, folder, takes, rng, append=True)
        killed += died
        # what was there is there, and opens, however far the append came
        now = content(folder)
        assert all(now[name] == kept for name, kept in before.items() if name != "manifest.json")
        opened = first_batch(ec.open_chips(folder, first.units))
        assert opened.pixels["12px"].tobytes() == stored.pixels["12px"].tobytes()
        known = (ec.open_chips(folder, chips.units).table()["status"] != "missing").sum()
        assert known == 13 or not died or now["manifest.json"] == whole["manifest.json"]
        finished = finished_ranges(folder / "part00001")
        moments.add(len(finished))
        chips.write(folder, append=True, progress=False)
        assert content(folder) == whole, f"trial {trial}"
        # what the killed append had finished was not written again
        assert finished.items() <= finished_ranges(folder / "part00001").items(), f"trial {trial}"
    assert len(moments) >= 3, "kills did not come at different moments"
    return killed


def first_batch(chips: ec.Chips) -> ChipBatch:
    return next(chips.batches(size=COUNT))


def test_twenty_killed_appends_open_as_before_and_end_alike(tmp_path):
    assert append_killed(tmp_path, trials=20, seed=3) >= 12


@pytest.mark.slow
def test_a_hundred_killed_appends_open_as_before_and_end_alike(tmp_path):
    assert append_killed(tmp_path, trials=100, seed=4) >= 60


def test_a_second_writer_is_refused_while_the_first_is_alive(tmp_path, monkeypatch):
    chips, folder = arrays(), tmp_path / "busy"
    encode = _zarr_layout.Encoder.encode

    def slow(*arguments):
        time.sleep(0.2)
        return encode(*arguments)

    monkeypatch.setattr(_zarr_layout.Encoder, "encode", slow)
    child = start(chips, folder)
    try:
        deadline = time.monotonic() + 30
        while not list(folder.glob("ranges/*.json")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with pytest.raises(ImageryError, match=f"Process {child} on .* is writing in .*busy"):
            chips.write(folder, progress=False)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    chips.write(folder, progress=False)
    assert ec.open_chips(folder, chips.units).keys.tolist() == list(range(COUNT))
