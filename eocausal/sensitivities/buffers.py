"""The estimate without the controls that lie near treated units, for one distance after another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.errors import EocausalError, EstimationError, SensitivityError, explain
from eocausal.inference.joint import compare
from eocausal.inference.simultaneous import equality_p
from eocausal.sensitivities.near_places import distances_to
from eocausal.sensitivities.spatial_parts import (
    Part,
    counts_of,
    km,
    read_distances,
    rounded,
    row_of,
)
from eocausal.sensitivities.subject import is_panel, made_again, origin_of

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.spatial_parts import Distances

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Shares of the controls that the default buffers leave out.
_SHARES = (0.1, 0.25, 0.4, 0.55, 0.7)
FLAT = (
    "buffers: controls far from treated units are like those near them, so that without spillovers the estimate "
    "does not move; a move may also come from effects or confounders that differ by place; whether it is more than "
    "chance is judged by the estimate's own kind of standard error"
)


def buffers_part(estimate: Estimate, buffers: Distances, *, level: float, progress: bool) -> Part:
    """Return the estimate on all units, and without the controls within each distance of any treated unit.

    Treated are units with treatment 1, of a panel those that are ever treated. Differences from the estimate on all
    units are of overlapping units, with the standard error that this has.

    Raises
    ------
    SensitivityError
        The treatment is a dose, all controls share places with treated units, or no buffer leaves enough.
    """
    from tqdm.auto import tqdm

    design = origin_of(estimate).design
    apart, control = _distance_to_treated(estimate)
    asked = _by_default(apart[control]) if buffers is None else read_distances(buffers, argument="buffers")
    whole = estimate if estimate.second is None else made_again(estimate, design)
    made, warnings = {}, []
    for metres in tqdm(asked, desc="buffers", unit="buffer", disable=not progress):
        out = control & (apart <= metres)
        try:
            made[metres] = made_again(estimate, _kept(design, ~out))
        except EocausalError as cause:
            left = np.unique(_units(design)[control & ~out]).size
            warnings.append(f"buffer of {km(metres)} leaves {left} controls: {str(cause).splitlines()[0]}")
    if not made:
        raise SensitivityError(
            explain("No buffer leaves an estimate.", where=warnings, fix="shorter buffers")
        )
    if estimate.second is not None:
        warnings.append(
            "buffers take the calibration of the outcome as given: their errors do not hold its error"
        )
    points = [(0.0, whole), *made.items()]
    curve = pd.DataFrame([_point(metres, one, whole, level) for metres, one in points])
    rows = [_row(whole, "all units", 0.0, level)]
    rows += [_row(one, f"controls beyond {km(metres)}", metres, level) for metres, one in made.items()]
    joint = _joint_p(whole, list(made.values()))
    numbers = {"buffers_joint_p": joint, **_told(curve)}
    named = {f"controls beyond {km(metres)}": one for metres, one in made.items()}
    return Part(tuple(rows), numbers, {"buffers": curve}, named, (FLAT,), tuple(warnings))


def _distance_to_treated(estimate: Estimate) -> tuple[FloatArray, Mask]:
    """Return for each row the metres to the nearest treated unit, and which rows are of controls."""
    table = origin_of(estimate).design.table
    if is_panel(estimate):
        treated = ~table.never[table.unit_codes]
    elif table.treatment_type == "continuous":
        text = "Of a dose there are no controls to leave out."
        raise SensitivityError(
            explain(text, rule="buffers= needs two arms", fix='tests=["moran", "conley", "rings"]')
        )
    else:
        treated = table.treatment == 1
    return distances_to(table.coordinates, table.coordinates[treated]), np.asarray(~treated)


def _by_default(apart: FloatArray) -> list[float]:
    """Return buffers that leave out more and more controls, by their distances (m,) to treated units."""
    if (apart <= 1).mean() >= _SHARES[-1]:
        raise SensitivityError(
            explain(
                f"{100 * (apart <= 1).mean():.0f}% of the controls share their place with a treated unit, so that "
                "distance does not tell them apart.",
                rule="controls at some distance from treated units",
                fix='buffers=["5km"] leaves out those within 5 km nevertheless',
            )
        )
    found = {rounded(float(np.quantile(apart, share))) for share in _SHARES}
    return sorted(one for one in found if apart.min() <= one < apart.max())


def _kept(design: Any, rows: Mask) -> Any:
    return design.redrawn(rows.astype(int)) if hasattr(design, "period") else design.take(rows)


def _units(design: Any) -> npt.NDArray[Any]:
    return np.asarray(design.table.unit if hasattr(design, "period") else design.table.ids)


def _point(metres: float, made: Estimate, whole: Estimate, level: float) -> dict[str, float]:
    """Return a point of the curve: the estimate, and how far it moved from that on all units."""
    low, high = np.ravel(made.ci(level))
    moved, error, p_value = 0.0, 0.0, float("nan")
    if made is not whole:
        moved = float(made.values[0] - whole.values[0])
        try:
            gap = replace(made, origin=None) - replace(whole, origin=None)
            error, p_value = float(np.ravel(gap.std_error)[0]), float(np.ravel(gap.p_value())[0])
        except EstimationError:
            # the joint variance of nearly the same units need not be positive
            error = float("nan")
    return {
        "distance_km": metres / 1000, "estimate": float(made.values[0]),
        "std_error": float(np.ravel(made.std_error)[0]), "conf_low": float(low), "conf_high": float(high),
        "difference": moved, "difference_error": error, "difference_p": p_value,
        **{name: float(count) for name, count in counts_of(made).items()},
    }  # fmt: skip


def _row(made: Estimate, what: str, metres: float, level: float) -> dict[str, Any]:
    told = row_of(made, test="buffers", what=what, level=level)
    return {**told, "distance_km": metres / 1000, **counts_of(made)}


def _joint_p(whole: Estimate, others: list[Estimate]) -> float:
    """Return the p-value that the estimate is the same with every buffer."""
    try:
        joint = compare(**{f"at {place}": one for place, one in enumerate([whole, *others])})
    except EstimationError:
        return float("nan")
    return equality_p(joint.values, joint.variance.matrix, df=joint.variance.df)


def _told(curve: pd.DataFrame) -> dict[str, float]:
    """Return the numbers of the farthest buffer that leaves at least half of the controls, else of the nearest."""
    others = curve.iloc[1:]
    half = others[others["n_control"] >= curve["n_control"].iloc[0] / 2]
    at = half.iloc[-1] if len(half) else others.iloc[0]
    return {
        "buffer_km": float(at["distance_km"]), "buffer_estimate": float(at["estimate"]),
        "buffer_difference": float(at["difference"]), "buffer_difference_error": float(at["difference_error"]),
        "buffer_difference_p": float(at["difference_p"]), "buffer_n_control": float(at["n_control"]),
    }  # fmt: skip
