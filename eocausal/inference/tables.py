"""Tables, intervals, p-values and texts that every result shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from eocausal._checks import require_level
from eocausal.errors import EstimationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from eocausal.inference.reference import Reference
    from eocausal.inference.variance import Variance

FloatArray = npt.NDArray[np.float64]

BROOM = (
    "term", "estimand", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "n",
    "n_clusters", "method",
)  # fmt: skip


def confidence_bounds(
    values: FloatArray, std_errors: FloatArray, *, df: float, level: float, reference: Reference | None = None
) -> FloatArray:
    """Return intervals of shape (k, 2) from the t distribution, or from the draws of a bootstrap."""
    require_level(level, error=EstimationError)
    if reference is not None:
        return reference.bounds(values, std_errors, level=level)
    half = stats.t.ppf(0.5 + level / 2, df) * std_errors
    return np.column_stack([values - half, values + half])


def two_sided_p(
    values: FloatArray, std_errors: FloatArray, *, df: float, reference: Reference | None = None
) -> FloatArray:
    """Return two-sided p-values by the survival function; an exact zero with no error has p = 1.

    With the draws of a bootstrap they are shares of draws.
    """
    if reference is not None:
        return reference.p_values(values, std_errors)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(values == 0, 0.0, np.abs(values) / std_errors)
    return np.asarray(2 * stats.t.sf(statistic, df), dtype=float)


def broom_frame(
    *,
    terms: tuple[str, ...],
    estimand: str,
    method: str,
    values: FloatArray,
    std_errors: FloatArray,
    variance: Variance,
    level: float,
    n: int,
) -> pd.DataFrame:
    """Return the table that every result gives: one row a term, broom's column names."""
    by: dict[str, Any] = {"df": variance.df, "reference": variance.reference}
    bounds = confidence_bounds(values, std_errors, level=level, **by)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(values == 0, 0.0, values / std_errors)
    frame = pd.DataFrame(
        {
            "term": list(terms), "estimand": estimand, "estimate": values, "std_error": std_errors,
            "statistic": statistic, "p_value": two_sided_p(values, std_errors, **by),
            "conf_low": bounds[:, 0], "conf_high": bounds[:, 1], "n": n, "n_clusters": variance.n_clusters,
            "method": method,
        }
    )  # fmt: skip
    frame["n_clusters"] = frame["n_clusters"].astype("Int64")
    return frame[list(BROOM)]


def summary_text(
    frame: pd.DataFrame,
    made: str,
    diagnostics: Mapping[str, Any],
    assumptions: tuple[str, ...],
    warnings: tuple[str, ...],
) -> str:
    """Return the printed form that every result shares, at most 25 lines."""
    head = frame.drop(columns=["estimand", "method", "n", "n_clusters"])
    first = frame.iloc[0]
    clusters = "" if pd.isna(first["n_clusters"]) else f", {first['n_clusters']} clusters"
    lines = [f"{first['estimand']} by {first['method']}  (n {first['n']}{clusters})"]
    lines += head.to_string(index=False, float_format=lambda value: f"{value:.4f}").splitlines()[:10]
    lines.append(made)
    plain = {name: value for name, value in diagnostics.items() if isinstance(value, str | int | float)}
    lines += [f"{name}: {_short(value)}" for name, value in list(plain.items())[:6]]
    lines += [f"assumes: {text}" for text in assumptions[:3]]
    lines += [f"WARNING: {text}" for text in warnings[:4]]
    if len(warnings) > 4:
        lines.append(f"... and {len(warnings) - 4} more warnings in .warnings")
    return "\n".join(lines[:25])


def interval_plot(frame: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the rows of a table of estimates as points with intervals and return the Axes."""
    if ax is None:
        from matplotlib import pyplot as plt

        _, ax = plt.subplots(figsize=(6, 0.6 + 0.45 * len(frame)), layout="constrained")
    height = np.arange(len(frame))[::-1]
    below, above = frame["estimate"] - frame["conf_low"], frame["conf_high"] - frame["estimate"]
    ax.axvline(0, color="0.6", linewidth=0.8)
    ax.errorbar(frame["estimate"], height, xerr=[below, above], fmt="o", color="#1f4e79", capsize=3)
    ax.set_yticks(height, labels=[str(term) for term in frame["term"]])
    ax.set_ylim(-0.6, len(frame) - 0.4)
    ax.set_xlabel("estimate with 95% interval")
    return ax


def jsonable(content: Any) -> Any:
    """Return nested content with numpy and pandas values turned into plain JSON types; NaN becomes None."""
    if isinstance(content, Mapping):
        return {str(name): jsonable(value) for name, value in content.items()}
    if isinstance(content, list | tuple | np.ndarray):
        return [jsonable(value) for value in content]
    if isinstance(content, np.generic):
        return jsonable(content.item())
    if isinstance(content, float) and not np.isfinite(content):
        return None
    return content


def _short(value: str | float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
