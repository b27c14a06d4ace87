"""How alike influence values are by distance, and how far that reaches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.inference.spatial import kernel_sum

FloatArray = npt.NDArray[np.float64]

# Units this near to one another are at one place.
SAME_PLACE_M = 1.0


def correlogram(values: FloatArray, coordinates: FloatArray, edges_m: Sequence[float]) -> pd.DataFrame:
    """Return the mean product of centred values of pairs of units by class of distance, over their mean square.

    Parameters
    ----------
    values : array of shape (n,)
    coordinates : array of shape (n, 2)
        Longitude and latitude in degrees.
    edges_m : sequence of float
        Outer edges of the classes in metres, rising. Pairs at one place, if any, are a class of their own.

    Returns
    -------
    DataFrame
        ``from_km to_km pairs correlation std_error``: the error is that of independent values, each with its own
        variance. Classes without pairs are left out.

    Examples
    --------
    >>> places = np.array([[34.0, 1.0], [34.01, 1.0], [36.0, 1.0], [36.01, 1.0]])
    >>> correlogram(np.array([1.0, 1.0, -1.0, -1.0]), places, [2000.0]).round(3).values.tolist()
    [[0.0, 2.0, 2.0, 1.0, 0.707]]
    """
    columns = np.column_stack([values, np.ones(values.size), values**2])
    diagonal = np.array([values @ values, values.size, float(np.sum(values**4))])
    edges = [SAME_PLACE_M, *(edge for edge in edges_m if edge > SAME_PLACE_M)]
    reached = [np.diag(kernel_sum(columns, coordinates, cutoff_m=edge)) for edge in edges]
    # each pair is counted in both directions
    sums = np.diff(np.array([diagonal, *reached]), axis=0) / 2
    square = float(values @ values) / values.size
    starts = [0.0, 0.0, *edges[1:-1]]
    ends = [0.0, *edges[1:]]
    pairs = sums[:, 1].round()
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = sums[:, 0] / pairs / square
        error = np.sqrt(np.maximum(sums[:, 2], 0.0)) / pairs / square
    frame = pd.DataFrame(
        {
            "from_km": np.array(starts[: len(ends)]) / 1000, "to_km": np.array(ends) / 1000,
            "pairs": pairs.astype(int), "correlation": correlation, "std_error": error,
        }
    )  # fmt: skip
    return frame[pairs > 0].reset_index(drop=True)


def reach_km(frame: pd.DataFrame) -> float:
    """Return the distance at which the correlation first falls to zero, between the middles of two classes.

    0 where it is not positive in the nearest class, missing where it is in all of them. The class of pairs at one
    place, often few, does not end it.

    Examples
    --------
    >>> reach_km(pd.DataFrame({"from_km": [0.0, 5.0], "to_km": [5.0, 10.0], "correlation": [0.3, -0.1]}))
    6.25
    """
    here = (frame["to_km"] == 0) & (frame["correlation"] <= 0)
    frame = frame[~here]
    middle = frame[["from_km", "to_km"]].mean(axis=1).to_numpy()
    height = frame["correlation"].to_numpy()
    below = np.flatnonzero(height <= 0)
    if not below.size:
        return float("nan")
    first = int(below[0])
    if first == 0:
        return 0.0
    share = height[first - 1] / (height[first - 1] - height[first])
    return float(middle[first - 1] + share * (middle[first] - middle[first - 1]))
