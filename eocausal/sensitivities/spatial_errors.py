"""The standard error of an estimate against how far units may vary together, and how far they seem to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eocausal.inference.spatial_curve import conley_curve
from eocausal.inference.tables import two_sided_p
from eocausal.inference.variance import FEW_CLUSTERS
from eocausal.sensitivities.correlogram import correlogram, reach_km
from eocausal.sensitivities.spatial_entries import influence
from eocausal.sensitivities.spatial_parts import Part, counts_of, km, read_distances, row_of, steps_of

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.spatial_parts import Distances

RULE = (
    "the distance at which influence values stop being alike is read off the correlogram (Lehner 2026): a rule of "
    "thumb that says where to look, not a test, and noisy where units are few; report the curve"
)


def errors_part(estimate: Estimate, cutoffs: Distances, *, level: float) -> Part:
    """Return Conley standard errors by cutoff, the correlogram of influence values, and the cutoff it points to.

    Raises
    ------
    SensitivityError
        Cutoffs that are no distances.
    """
    entries = influence(estimate)
    steps = steps_of(entries.places)
    asked = steps if cutoffs is None else read_distances(cutoffs, argument="cutoffs")
    how: Any = estimate.variance.how
    same = {} if how.kind != "conley" else {"kernel": how.kernel, "serial": how.serial, "crs": how.crs}
    curve = conley_curve(estimate, asked, level=level, **same)
    frame = curve.to_frame().drop(columns="term")
    by_distance = correlogram(entries.values, _places_of(estimate), steps)
    reach = reach_km(by_distance)
    chosen = _chosen(frame, reach)
    own = float(np.ravel(estimate.std_error)[0])
    numbers = {"std_error": own, "reach_km": reach}
    if chosen is not None:
        error = float(chosen["std_error"])
        numbers |= {
            "conley_cutoff_km": float(chosen["cutoff_km"]), "conley_std_error": error,
            "conley_ratio": error / own if own > 0 else float("nan"), "conley_places": float(chosen["places"]),
        }  # fmt: skip
    rows = [row_of(estimate, test="conley", what=f"own standard error: {estimate.vcov}", level=level)]
    rows = [
        {**rows[0], **counts_of(estimate)},
        *(_row(estimate, one, curve.kernel) for _, one in frame.iterrows()),
    ]
    curves = {"conley": frame, "correlogram": by_distance}
    return Part(
        tuple(rows), numbers, curves, assumptions=(RULE,), warnings=_notes(frame, curve.kernel),
        diagnostics={"conley_kernel": curve.kernel},
    )  # fmt: skip


def _places_of(estimate: Estimate) -> Any:
    if estimate.panel is None or estimate.coordinates is None:
        return estimate.coordinates
    return estimate.coordinates[np.unique(estimate.panel.unit, return_index=True)[1]]


def _chosen(frame: pd.DataFrame, reach: float) -> pd.Series | None:
    """Return the first cutoff that takes in the distance, but none that leaves too few places if others do not."""
    known = frame[frame["std_error"].notna()]
    if not len(known):
        return None
    enough = known[known["places"] >= FEW_CLUSTERS]
    held = enough if len(enough) else known.head(1)
    far = held[held["cutoff_km"] >= reach]
    return far.iloc[0] if len(far) else held.iloc[-1]


def _row(estimate: Estimate, at: pd.Series, kernel: str) -> dict[str, Any]:
    error, value = float(at["std_error"]), float(estimate.values[0])
    df = estimate.n - estimate.n_params
    p_value = (
        float(two_sided_p(np.array([value]), np.array([error]), df=df)[0]) if error > 0 else float("nan")
    )
    return {
        "test": "conley", "what": f"Conley standard error, cutoff {km(1000 * at['cutoff_km'])} ({kernel})",
        "distance_km": float(at["cutoff_km"]), "estimate": value, "std_error": error,
        "conf_low": float(at["conf_low"]), "conf_high": float(at["conf_high"]), "p_value": p_value,
    }  # fmt: skip


def _notes(frame: pd.DataFrame, kernel: str) -> tuple[str, ...]:
    told = []
    gone = frame["std_error"].isna()
    if gone.any():
        cutoffs = ", ".join(f"{one:.4g}" for one in frame.loc[gone, "cutoff_km"])
        told.append(
            f"Conley's variance is not positive at {cutoffs} km ({kernel} kernel), where there is no error"
        )
    few = frame["places"] < FEW_CLUSTERS
    if few.any():
        told.append(
            f"from {frame.loc[few, 'cutoff_km'].iloc[0]:.4g} km on a cutoff leaves fewer than {FEW_CLUSTERS} "
            "separate places, and Conley standard errors are too small there"
        )
    return tuple(told)
