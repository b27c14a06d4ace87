"""Shards come out the same wherever they are encoded: here, in processes, on a cluster that loses a worker."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from eocausal.encoding.multi_scale import MultiScale
from eocausal.encoding.random_features import RandomFeatures
from eocausal.errors import EmbeddingsError
from eocausal.runner import embed as runner
from eocausal.runner import engines
from eocausal.runner.embed import embed
from tests.fake_chips import FakeChips, fake_chips

PER_SHARD = 6


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(runner, "shard_size", lambda count: PER_SHARD)


def chips(count: int = 60, *, pause_s: float = 0.0) -> FakeChips:
    return fake_chips(count, holes=(3,), blocks=("480m", "960m"), pause_s=pause_s)


ENCODER = MultiScale(RandomFeatures(16, seed=2), reduce=4)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def run(folder: Path | None, *, workers="auto", source: FakeChips | None = None, **more):
    return embed(
        chips() if source is None else source,
        encoder=ENCODER, out=folder, device="cpu", workers=workers, progress=False, **more,
    )  # fmt: skip


def test_two_processes_give_the_bytes_of_one(tmp_path):
    run(tmp_path / "one", workers=1)
    run(tmp_path / "two", workers=2)
    assert content(tmp_path / "two") == content(tmp_path / "one")


def test_a_run_goes_on_with_another_number_of_workers(tmp_path):
    run(tmp_path / "whole", workers=1)
    run(tmp_path / "mixed", workers=1)
    for number in (1, 4, 7):
        for path in (tmp_path / "mixed").glob(f"part-0000{number}.*"):
            path.unlink()
    (tmp_path / "mixed" / "embeddings.parquet").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "mixed").glob("part-*.parquet")}
    run(tmp_path / "mixed", workers=2)
    assert {k: v for k, v in content(tmp_path / "mixed").items() if k != "manifest.json"} == {
        k: v for k, v in content(tmp_path / "whole").items() if k != "manifest.json"
    }
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "mixed").glob("part-*.parquet")}
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 3


def test_features_do_not_depend_on_the_threads_of_the_process():
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(run(None, workers=1).values)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*found)


def test_a_long_run_goes_over_to_processes_once_that_is_seen(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(engines, "_LOOK_S", 0.2)
    monkeypatch.setattr(engines, "_WORTH_S", 0.1)
    monkeypatch.setattr(engines, "_cores", lambda: 2)
    run(tmp_path / "one", workers=1)
    slow = chips(pause_s=0.02)
    table = embed(slow, encoder=ENCODER, out=tmp_path / "auto", device="cpu", batch=4, progress=True)
    assert len(table) == 60
    told = capsys.readouterr().err
    assert "encoding in 2 processes with one thread each" in told
    assert "60/60" in told  # what was given up is not counted twice
    assert sum(map(len, slow.read)) < 60  # the rest was read elsewhere
    assert {k: v for k, v in content(tmp_path / "auto").items() if k != "manifest.json"} == {
        k: v for k, v in content(tmp_path / "one").items() if k != "manifest.json"
    }


def test_a_short_run_stays_in_this_process(monkeypatch):
    monkeypatch.setattr(engines, "_cores", lambda: 8)
    monkeypatch.setattr(engines, "_in_processes", None)  # calling it would be an error
    assert len(run(None)) == 60


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_process_that_is_ended_from_outside_is_told_and_nothing_is_lost(tmp_path, monkeypatch):
    source = chips(pause_s=0.03)
    stop = threading.Event()

    def kill_one():
        from joblib.externals.loky import reusable_executor

        while not stop.is_set():
            if any(tmp_path.glob("run/part-*.json")):
                os.kill(next(iter(reusable_executor._executor._processes)), signal.SIGKILL)
                return
            time.sleep(0.01)

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        with pytest.raises(EmbeddingsError, match=r"ended from outside[\s\S]*fewer than workers=2"):
            run(tmp_path / "run", workers=2, source=source)
    finally:
        stop.set()
        killer.join()
    kept = {path.name for path in (tmp_path / "run").glob("part-*.json")}
    assert kept
    run(tmp_path / "run", workers=1)
    run(tmp_path / "whole", workers=1)
    assert content(tmp_path / "run") == content(tmp_path / "whole")


@contextmanager
def two_workers():
    distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    settings = {"n_workers": 2, "threads_per_worker": 1, "processes": True}
    with distributed.LocalCluster(**settings, dashboard_address=None, silence_logs=50) as local:
        yield local


@pytest.fixture
def cluster():
    with two_workers() as local:
        yield local


def lose_a_worker(cluster, folder: Path, seed: int) -> bool:
    """Run on the cluster and kill one of its workers in the middle; return whether the kill came in time."""
    from distributed import Client

    rng = np.random.default_rng(seed)
    after, which = int(rng.integers(1, 7)), int(rng.integers(2))
    victim = list(cluster.workers.values())[which].pid
    stop, killed = threading.Event(), []

    def kill():
        while not stop.is_set():
            if len(list(folder.glob("part-*.json"))) >= after:
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)
                return
            time.sleep(0.005)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with Client(cluster) as client:
            run(folder, workers=client, source=chips(pause_s=0.01))
    finally:
        stop.set()
        killer.join()
    return bool(killed)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_cluster_that_loses_a_worker_ends_with_the_same_bytes(cluster, tmp_path):
    run(tmp_path / "whole", workers=1)
    assert lose_a_worker(cluster, tmp_path / "lost", seed=1)
    assert content(tmp_path / "lost") == content(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_twenty_runs_on_a_cluster_that_loses_a_worker(tmp_path):
    run(tmp_path / "whole", workers=1)
    for trial in range(20):
        with two_workers() as cluster:
            assert lose_a_worker(cluster, tmp_path / f"trial{trial}", seed=trial), f"trial {trial}"
        assert content(tmp_path / f"trial{trial}") == content(tmp_path / "whole"), f"trial {trial}"


def test_a_cluster_goes_on_where_another_engine_stopped(cluster, tmp_path):
    from distributed import Client

    run(tmp_path / "whole", workers=1)
    run(tmp_path / "mixed", workers=1)
    for number in (0, 5):
        for path in (tmp_path / "mixed").glob(f"part-0000{number}.*"):
            path.unlink()
    (tmp_path / "mixed" / "embeddings.parquet").unlink()
    with Client(cluster) as client:
        run(tmp_path / "mixed", workers=client)
    for name, data in content(tmp_path / "whole").items():
        assert name == "manifest.json" or content(tmp_path / "mixed")[name] == data


def _other_numpy():
    import numpy

    numpy.__version__ = "1.0.0"


def test_a_worker_with_other_versions_is_refused(cluster, tmp_path):
    from distributed import Client

    with Client(cluster) as client:
        client.run(_other_numpy)
        words = r"something else than the process[\s\S]*versions.numpy[\s\S]*1\.0\.0[\s\S]*same environment"
        with pytest.raises(EmbeddingsError, match=words):
            run(tmp_path / "run", workers=client)
    assert not list((tmp_path / "run").glob("part-*"))


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "many", None, object()])
def test_workers_that_cannot_be(workers):
    with pytest.raises(EmbeddingsError, match=r"workers=.*[\s\S]*a number of processes"):
        run(None, workers=workers)


def test_several_processes_on_a_gpu_are_refused():
    with pytest.raises(EmbeddingsError, match=r"workers=3 processes would share the GPU[\s\S]*workers=1"):
        engines.check_workers(3, device="cuda")
    engines.check_workers("auto", device="cuda")
    engines.check_workers(1, device="cuda")
