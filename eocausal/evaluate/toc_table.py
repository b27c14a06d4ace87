"""The TOC curve as a table, with pointwise intervals and a band that holds at all shares at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from eocausal.inference.simultaneous import band_factor

FloatArray = npt.NDArray[np.float64]

LEVEL = 0.95


def toc_frame(
    names: Sequence[str],
    grid: FloatArray,
    curves: Sequence[FloatArray],
    covariances: Sequence[FloatArray],
    *,
    df: float,
    seed: int,
) -> pd.DataFrame:
    """Return one row for each priority and share: ``estimate std_error conf_low conf_high band_low band_high``.

    Parameters
    ----------
    names : sequence of str, length p
    grid : array of shape (q,)
    curves : sequence of array of shape (q,)
    covariances : sequence of array of shape (q, q)
    df : float
        Of the t distribution.
    seed : int
        Of the draws that say how far the curve strays from the truth at the share where it strays most.
    """
    pointwise = float(stats.t.ppf(0.5 + LEVEL / 2, df))
    frames = []
    for name, curve, covariance in zip(names, curves, covariances):
        error = np.sqrt(np.diag(covariance))
        uniform = band_factor(covariance, df=df, level=LEVEL, seed=seed)
        frames.append(
            pd.DataFrame(
                {
                    "priority": name, "q": grid, "estimate": curve, "std_error": error,
                    "conf_low": curve - pointwise * error, "conf_high": curve + pointwise * error,
                    "band_low": curve - uniform * error, "band_high": curve + uniform * error,
                }
            )
        )  # fmt: skip
    return pd.concat(frames, ignore_index=True)
