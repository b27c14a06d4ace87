"""Images that are typical of a type, and images that could be of any."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._nearest_places import sphere_distance

FloatArray = npt.NDArray[np.float64]

AMBIGUOUS = "ambiguous"


def typical_and_ambiguous(
    images: pd.DataFrame, terms: tuple[str, ...], *, each: int, apart_m: float
) -> pd.DataFrame:
    """Return images that show each type best, and those that are hardest to tell.

    Parameters
    ----------
    images : DataFrame
        One row for each image: ``image_key n_units lon lat``, and for each type its name with the probability and
        ``sd <name>``; ``lon`` and ``lat`` may be missing.
    terms : tuple of str
        Names of the types.
    each : int
        At most so many of each.
    apart_m : float
        Images of one kind are at least so many metres apart.

    Returns
    -------
    DataFrame
        ``kind image_key probability std_dev n_units lon lat``. Typical images are in the order of probability less
        its SD, ambiguous ones in the order of how evenly the types share them; their probability is the largest of
        the types.
    """
    probability = images[list(terms)].to_numpy()
    spread = images[[f"sd {term}" for term in terms]].to_numpy()
    taken: set[int] = set()
    parts: list[tuple[str, list[int], int | None]] = []
    for number, term in enumerate(terms):
        sure = probability[:, number] - spread[:, number]
        parts.append((term, _pick(images, np.argsort(-sure, kind="stable"), each, apart_m, taken), number))
    if len(terms) > 1:
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.where(probability > 0, np.log(probability), 0.0)
        entropy = -(probability * logs).sum(axis=1)
        parts.append(
            (AMBIGUOUS, _pick(images, np.argsort(-entropy, kind="stable"), each, apart_m, taken), None)
        )
    made = []
    for kind, chosen, of_type in parts:
        of = probability[chosen].argmax(axis=1) if of_type is None else np.full(len(chosen), of_type)
        part = images.iloc[chosen]
        made.append(
            pd.DataFrame(
                {
                    "kind": kind,
                    "image_key": part["image_key"].to_numpy(),
                    "probability": probability[chosen, of],
                    "std_dev": spread[chosen, of],
                    "n_units": part["n_units"].to_numpy(),
                    "lon": part["lon"].to_numpy(),
                    "lat": part["lat"].to_numpy(),
                }
            )
        )
    return pd.concat(made, ignore_index=True)


def _pick(
    images: pd.DataFrame, order: npt.NDArray[np.intp], each: int, apart_m: float, taken: set[int]
) -> list[int]:
    """Return positions of the first images in an order that are far from one another and not taken; take them."""
    lon, lat = images["lon"].to_numpy(dtype=float), images["lat"].to_numpy(dtype=float)
    known = np.isfinite(lon).all() and np.isfinite(lat).all()
    chosen: list[int] = []
    for place in order.tolist():
        if len(chosen) == each:
            break
        if place in taken:
            continue
        if known and chosen:
            here = np.full(len(chosen), lon[place]), np.full(len(chosen), lat[place])
            if sphere_distance(*here, lon[chosen], lat[chosen]).min() < apart_m:
                continue
        chosen.append(place)
    taken.update(chosen)
    return chosen
