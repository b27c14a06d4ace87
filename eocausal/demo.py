"""The demonstration: a simulated region, run through the same job as any user's data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from eocausal.simulate.region import simulate_region

if TYPE_CHECKING:
    from eocausal.pipeline import Run


def run_demo(out: str | Path, *, seed: int = 1, progress: bool = True) -> Run:
    """Write a simulated region with known effects and run the main job on it.

    Parameters
    ----------
    out : path
        Folder; the region goes to ``region/`` in it, the results beside it.
    seed : int
        Seed of the region, its trial and the analysis.
    progress : bool

    Returns
    -------
    Run
        Its ``truth`` holds the estimates against the truth.
    """
    from eocausal.pipeline import run

    region = simulate_region(Path(out) / "region", seed=seed)
    return run(region.spec, out=out, progress=progress)
