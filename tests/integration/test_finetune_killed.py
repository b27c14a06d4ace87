"""Fine-tuning that is killed by the system between two folds goes on, and ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import eocausal as ec
from tests.picture_worlds import of, same, small_world

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")

NETWORK = ec.Network(epochs=15, patience=15)
CHILD = """
import sys
from tests.integration.test_finetune_killed import NETWORK
from tests.picture_worlds import of, small_world
of(small_world(), network=NETWORK, out=sys.argv[1])
"""


def test_a_run_that_the_system_kills_goes_on(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "killed")],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
    )
    first = tmp_path / "killed" / "fold-00.json"
    until = time.monotonic() + 120
    while not first.exists() and child.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    child.kill()
    assert child.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    assert first.exists()
    assert not (tmp_path / "killed" / "fold-01.json").exists()
    made = first.stat().st_mtime_ns
    resumed = of(small_world(), network=NETWORK, out=tmp_path / "killed")
    assert first.stat().st_mtime_ns == made
    assert same(resumed, of(small_world(), network=NETWORK, out=tmp_path / "whole"))
    contents = [
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("whole", "killed")
    ]
    assert contents[0] == contents[1]
