"""Contours of an estimate over the strength of what was omitted, with benchmarks as points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eocausal.sensitivities.omitted_words import share

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from eocausal.sensitivities.result import Sensitivity

FloatArray = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]

BLUE, RED, GREY = "#1f4e79", "#b3261e", "0.45"
_STEPS, _LINES = 161, 9
# Beyond these an axis does not go, and before it does not end.
_MOST, _LEAST = {"r2_treatment": 0.99, "r2_outcome": 1.0}, 0.02
# Points of a letter's width and height in labels of this size, and of the gap to a point.
_LETTER, _WIDTH, _HEIGHT, _GAP = 7.5, 0.52, 1.35, 5.0


def draw(figure: Figure, found: Sensitivity) -> None:
    """Draw the estimate, and the end of its interval that faces the null, over both strengths.

    It reads ``numbers``: ``estimate``, ``scale``, ``robustness_value`` and, where they are there, ``null``, ``rho``
    and ``reach`` (distance from the estimate to the end of its interval; without it there is one panel, or
    the second is interpolated from ``curves["limits"]`` with columns ``r2_treatment r2_outcome limit`` on a grid).
    ``curves["points"]`` has columns ``name r2_treatment r2_outcome``.
    """
    numbers = found.numbers
    across, up = _reaches(found)
    treatment, outcome = np.meshgrid(np.linspace(0, across, _STEPS), np.linspace(0, up, _STEPS))
    bias = numbers["scale"] * abs(numbers.get("rho", 1.0))
    moved = -_sign(found) * bias * np.sqrt(outcome * treatment / (1 - treatment))
    panels = [("Estimate", numbers["estimate"] + moved)]
    second = _second(found, panels[0][1], treatment, outcome)
    level = 100 * numbers.get("level", 0.95)
    if second is not None:
        end = "Lower" if _sign(found) > 0 else "Upper"
        panels.append((f"{end} end of its {level:g}% interval", second))
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for ax, (title, values) in zip(axes, panels):
        _contours(ax, treatment, outcome, values, numbers.get("null", 0.0))
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("share explained of what is left\nof treatment", fontsize=9)
        _mark(ax, found, figure, len(panels))
    axes[0].set_ylabel("share explained of what is left of the outcome", fontsize=9)


def _sign(found: Sensitivity) -> float:
    return -1.0 if found.numbers["estimate"] < found.numbers.get("null", 0.0) else 1.0


def _reaches(found: Sensitivity) -> tuple[float, float]:
    """Return how far the axes go: to all points and, if that is not much farther, to the robustness value."""
    points, needed = found.curves["points"], found.numbers["robustness_value"]
    ends = []
    for name, most in _MOST.items():
        farthest = float(points[name].max()) if len(points) else 0.0
        ends.append(min(max(1.3 * farthest, 1.35 * needed, _LEAST), most))
    return ends[0], ends[1]


def _second(
    found: Sensitivity, estimate: FloatArray, treatment: FloatArray, outcome: FloatArray
) -> FloatArray | None:
    """Return the end of the interval that faces the null, where it is known."""
    reach = found.numbers.get("reach")
    if reach is not None and np.isfinite(reach):
        return np.asarray(estimate - _sign(found) * reach / np.sqrt(1 - treatment))
    if "limits" not in found.curves:
        return None
    from scipy.interpolate import RegularGridInterpolator

    grid = found.curves["limits"].pivot_table(index="r2_outcome", columns="r2_treatment", values="limit")
    known = (grid.index.to_numpy(dtype=float), grid.columns.to_numpy(dtype=float))
    at = RegularGridInterpolator(known, grid.to_numpy(), bounds_error=False, fill_value=np.nan)
    return np.asarray(at((outcome, treatment)))


def _contours(ax: Axes, treatment: FloatArray, outcome: FloatArray, values: FloatArray, null: float) -> None:
    """Draw lines of equal values, and a dashed one where the null is."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    levels = MaxNLocator(_LINES).tick_values(low, high)
    step = float(levels[1] - levels[0])
    levels = [one for one in levels if low < one < high and abs(one - null) > 0.3 * step]
    if levels:
        lines = ax.contour(
            treatment, outcome, values, levels=levels, colors=GREY, linewidths=0.8, linestyles="solid"
        )
        ax.clabel(lines, fontsize=7, fmt="%.3g")
    if low < null < high:
        how = {"colors": RED, "linewidths": 1.6, "linestyles": "dashed"}
        zero = ax.contour(treatment, outcome, values, levels=[null], **how)
        ax.clabel(zero, fontsize=8, fmt="%.3g")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    ax.tick_params(labelsize=8)


def _mark(ax: Axes, found: Sensitivity, figure: Figure, panels: int) -> None:
    """Draw the benchmarks, the estimate as it is and the robustness value, with names that do not overlap."""
    points = found.curves["points"]
    places = [(0.0, 0.0, f"as it is: {found.numbers['estimate']:.3g}", "s")]
    places += [
        (float(across), float(up), str(name), "o")
        for name, across, up in zip(points["name"], points["r2_treatment"], points["r2_outcome"])
    ]
    needed = found.numbers["robustness_value"]
    right, top = ax.get_xlim()[1], ax.get_ylim()[1]
    if ax is figure.axes[0]:
        places.append((needed, needed, share(needed), "D"))
    # those in the corner are crowded, and go around the others
    places = sorted(
        (one for one in places if one[0] <= right and one[1] <= top), key=lambda one: -one[0] - one[1]
    )
    size = (0.8 * 72 * figure.get_figwidth() / panels, 0.72 * 72 * figure.get_figheight())
    anchors = [(across / right * size[0], up / top * size[1]) for across, up, _, _ in places]
    offsets = _beside(anchors, [name for _, _, name, _ in places], size)
    for (across, up, name, marker), offset in zip(places, offsets):
        color = RED if marker == "D" else BLUE
        ax.plot(across, up, marker, color=color, markersize=4.5, clip_on=False, zorder=4)
        far = _is_far(offset, _LETTER * _WIDTH * len(name))
        side = 0.0 if offset[0] > 0 else 1.0
        ax.annotate(
            name,
            (across, up),
            xytext=offset,
            textcoords="offset points",
            fontsize=_LETTER,
            color=color,
            va="center",
            zorder=5,
            annotation_clip=False,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
            arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.5, "relpos": (side, 0.5)}
            if far
            else None,
        )


def _beside(
    anchors: list[tuple[float, float]], names: list[str], size: tuple[float, float]
) -> list[tuple[float, float]]:
    """Return for each point where its name starts, in points from it, so that no name lies on another or a point.

    Examples
    --------
    >>> _beside([(0.0, 0.0), (2.0, 0.0)], ["a", "b"], (300.0, 200.0))
    [(5.0, 8.0), (5.0, 30.0)]
    """
    taken: list[Box] = [(x - 2.5, y - 2.5, x + 2.5, y + 2.5) for x, y in anchors]
    found = []
    for (x, y), name in zip(anchors, names):
        width, height = _LETTER * _WIDTH * len(name), _LETTER * _HEIGHT
        best, least = (_GAP, 0.0), np.inf
        for offset in _offsets(width):
            left, middle = x + offset[0], y + offset[1]
            box = (left, middle - height / 2, left + width, middle + height / 2)
            covered = [box, *_leader((x, y), offset, width)]
            lost = sum(_common(one, other) for one in covered for other in taken) + 5 * _outside(box, size)
            if lost < least - 1e-9:
                best, least = offset, lost
            if lost == 0:
                break
        left, middle = x + best[0], y + best[1]
        taken.append((left, middle - height / 2, left + width, middle + height / 2))
        taken += _leader((x, y), best, width)
        found.append(best)
    return found


def _is_far(offset: tuple[float, float], width: float) -> bool:
    """Whether a name is so far from its point that a line must join them."""
    beside = min(abs(offset[0]), abs(offset[0] + width))
    return max(beside, abs(offset[1])) > 3 * _GAP


def _leader(point: tuple[float, float], offset: tuple[float, float], width: float) -> list[Box]:
    """Return small boxes along the line from a point to its name, none where the name is near."""
    if not _is_far(offset, width):
        return []
    end = offset[0] if offset[0] > 0 else offset[0] + width
    shares = np.linspace(0.15, 0.95, 12)
    return [
        (float(x) - 0.7, float(y) - 0.7, float(x) + 0.7, float(y) + 0.7)
        for x, y in zip(point[0] + shares * end, point[1] + shares * offset[1])
    ]


def _offsets(width: float) -> list[tuple[float, float]]:
    """Return where a name of a width may start, nearest first."""
    rows = [0.0, 8.0, -8.0, 19.0, -19.0, 30.0, -30.0, 41.0, -41.0, 52.0, 63.0, 74.0]
    sides = [_GAP, -_GAP - width, 4 * _GAP, 12 * _GAP, -4 * _GAP - width]
    return sorted(
        ((side, row) for side in sides for row in rows),
        key=lambda one: abs(one[1]) + (one[0] if one[0] > 0 else -one[0] - width + 1),
    )


def _common(first: Box, second: Box) -> float:
    """Return the area that two boxes have in common."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return width * height if width > 0 and height > 0 else 0.0


def _outside(box: Box, size: tuple[float, float]) -> float:
    """Return the area of a box that is outside of the axes."""
    inside = _common(box, (0.0, 0.0, *size))
    return (box[2] - box[0]) * (box[3] - box[1]) - inside
