"""Numbers as text, and the tables of the report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eocausal.reporting.blocks import Table
from eocausal.reporting.study import METHOD_NAMES, Study

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate

__all__ = [
    "arms_table",
    "chips_table",
    "count",
    "decimals_for",
    "errors_table",
    "estimate_rows",
    "estimates_table",
    "interval",
    "number",
    "p_value",
    "rate_rows",
    "rate_table",
    "rows_of",
    "sentence_case",
]

MINUS = "\N{MINUS SIGN}"
MISSING = "\N{EN DASH}"
# A table longer than this shows its most telling rows and says so.
LONGEST_TABLE = 40
UNEQUAL_UNITS = (
    "Numbers of units differ because methods with covariates or images leave out units that miss them."
)


def decimals_for(errors: Iterable[float], *, digits: int = 2) -> int | None:
    """Return how many decimals show the smallest error with so many digits.

    Below zero it says to which ten or hundred to round; None when plain decimals will not do.

    Examples
    --------
    >>> decimals_for([0.0755, 0.2]), decimals_for([0.0755], digits=3), decimals_for([1234.0])
    (3, 4, -2)
    """
    sizes = np.abs(np.asarray(list(errors), dtype=float))
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    if sizes.size == 0:
        return None
    needed = digits - 1 - int(np.floor(np.log10(sizes.min())))
    return None if needed > 6 else needed


def number(value: float | None, decimals: int | None = None) -> str:
    """Return a number for readers: thousands set off, a true minus sign, a dash where there is none.

    Examples
    --------
    >>> number(-1234.5, 1), number(193_037.0, -3), number(0.00001234), number(float("nan"), 2)
    ('−1,234.5', '193,000', '1.234e-05', '–')
    """
    if value is None or not np.isfinite(value):
        return MISSING
    if decimals is None and 1e4 <= abs(value) < 1e15:
        decimals = 3 - int(np.floor(np.log10(abs(value))))
    text = f"{value:.4g}" if decimals is None else f"{round(value, decimals):,.{max(decimals, 0)}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return MINUS + text[1:] if text.startswith("-") else text


def count(value: float | None) -> str:
    """Return a whole number with thousands set off."""
    return MISSING if value is None or pd.isna(value) else f"{int(value):,}"


def p_value(value: float | None) -> str:
    """Return a p-value with three decimals, never zero.

    Examples
    --------
    >>> p_value(0.00004), p_value(0.0381), p_value(1.0)
    ('<0.001', '0.038', '1.000')
    """
    if value is None or not np.isfinite(value):
        return MISSING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def interval(low: float, high: float, decimals: int | None = None) -> str:
    """Return an interval in words that cannot be read as a minus sign: ``−0.1 to 0.2``."""
    return f"{number(low, decimals)} to {number(high, decimals)}"


def sentence_case(text: str) -> str:
    """Return text with its first letter as a capital and the rest as it is."""
    return text[:1].upper() + text[1:]


def rows_of(frame: pd.DataFrame) -> Iterable[Any]:
    """Return the rows of a table as tuples with the names of its columns."""
    return frame.itertuples()


def estimate_rows(estimates: Iterable[Estimate]) -> pd.DataFrame:
    """Return the broom rows of all estimates with a ``label`` that tells them apart."""
    frames = []
    for one in estimates:
        frame = one.to_frame().assign(vcov=one.vcov, df=one.variance.df, factor=one.variance.factor)
        name = METHOD_NAMES.get(one.method, one.method)
        frame["label"] = sentence_case(name) if len(one.terms) == 1 else [str(term) for term in one.terms]
        for key in ("clusters_treated_only", "clusters_control_only", "clusters_with_both_arms"):
            frame[key] = one.diagnostics.get(key)
        frames.append(frame)
    rows = pd.concat([frame.astype(object) for frame in frames], ignore_index=True)
    estimands = rows["estimand"].map(capitals).tolist()
    rows["label"] = _told_apart(rows["label"].tolist(), estimands, rows["vcov"].tolist())
    return rows


def capitals(estimand: str) -> str:
    """Return an average effect as it is written: its letters as capitals, other words as they are.

    Examples
    --------
    >>> capitals("att (trimmed)"), capitals("ato"), capitals("slope")
    ('ATT (trimmed)', 'ATO', 'slope')
    """
    first, space, rest = estimand.partition(" ")
    return f"{first.upper()}{space}{rest}" if len(first) == 3 else estimand


def _told_apart(labels: list[str], *more: list[str]) -> list[str]:
    """Return the labels, those that repeat with the words that differ, and with a number where none do."""
    for extras in more:
        found: dict[str, set[str]] = {}
        for label, extra in zip(labels, extras):
            found.setdefault(label, set()).add(extra)
        labels = [
            f"{label}, {extra}" if len(found[label]) > 1 else label for label, extra in zip(labels, extras)
        ]
    seen: dict[str, int] = {}
    told = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        told.append(label if labels.count(label) == 1 else f"{label} ({seen[label]})")
    return told


def estimates_table(rows: pd.DataFrame, *, truth: float | None) -> Table:
    """Return the table of average effects."""
    decimals = decimals_for(rows["std_error"], digits=3)
    estimands = rows["estimand"].map(capitals)
    several = len(set(estimands)) > 1
    columns = [
        "Method", *(["Estimand"] if several else []), "Estimate", "Std. error", "t", "p", "95% interval", "Units",
        "Clusters",
    ]  # fmt: skip
    body = []
    for row, estimand in zip(rows_of(rows), estimands):
        cells = [
            row.label, *([estimand] if several else []),
            number(row.estimate, decimals), number(row.std_error, decimals), number(row.statistic, 2),
            p_value(row.p_value), interval(row.conf_low, row.conf_high, decimals), count(row.n),
            count(row.n_clusters),
        ]  # fmt: skip
        if truth is not None:
            cells.append("yes" if row.conf_low <= truth <= row.conf_high else "no")
        body.append(tuple(cells))
    if truth is not None:
        columns.append("Truth inside interval")
    numeric = tuple(name not in ("Method", "Estimand") for name in columns)
    caption = "Average effects" if several else f"Average effects ({estimands.iloc[0]})"
    caption += "" if truth is None else f"; the truth is {number(truth)}"
    note = "" if len(set(rows["n"])) == 1 else UNEQUAL_UNITS
    return Table(caption, tuple(columns), tuple(body), numeric, note)


def errors_table(rows: pd.DataFrame) -> Table:
    """Return how the standard errors were made, one row an estimate."""
    columns = (
        "Method", "Standard errors", "Finite-sample factor", "Degrees of freedom", "Clusters treated",
        "Clusters control", "Clusters with both",
    )  # fmt: skip
    body = tuple(
        (
            row.label, row.vcov, number(row.factor, 4), count(row.df), count(row.clusters_treated_only),
            count(row.clusters_control_only), count(row.clusters_with_both_arms),
        )
        for row in rows_of(rows)
    )  # fmt: skip
    note = (
        "The variance of an estimate is that of its influence values, summed within clusters where clusters are "
        "named and over pairs of units within the cutoff where a distance is named, times the factor; intervals "
        "and p-values use the t distribution with these degrees of freedom."
    )
    numeric = (False, False, True, True, True, True, True)
    return Table("How the standard errors were made", columns, body, numeric, note)


def rate_rows(study: Study) -> pd.DataFrame:
    """Return the broom rows of every RATE, with its target."""
    frames: list[pd.DataFrame] = [
        one.rates.to_frame().assign(target=one.target, vcov=one.rates.vcov) for one in study.rate_views
    ]
    return pd.concat(frames, ignore_index=True)


def rate_table(rows: pd.DataFrame) -> Table:
    """Return the table of rank-weighted average effects."""
    decimals = decimals_for(rows["std_error"], digits=3)
    columns = ("Ranked by", "Target", "Estimate", "Std. error", "p", "95% interval", "Units", "Clusters")
    body = tuple(
        (
            str(row.term), row.target, number(row.estimate, decimals), number(row.std_error, decimals),
            p_value(row.p_value), interval(row.conf_low, row.conf_high, decimals), count(row.n),
            count(row.n_clusters),
        )
        for row in rows_of(rows)
    )  # fmt: skip
    note = (
        "AUTOC weighs large gains of a few more, QINI small gains of many; they are on different scales and are "
        f"not to be compared with one another. Standard errors: {', '.join(dict.fromkeys(rows['vcov']))}."
    )
    return Table("Rank-weighted average effects (RATE)", columns, body, (False, False) + (True,) * 6, note)


def arms_table(study: Study) -> Table:
    """Return units, clusters and images by arm."""
    used = study.used
    groups = [("All", used)]
    if study.has_arms:
        groups = [("Treated", used[used["arm"] == 1]), ("Control", used[used["arm"] == 0]), *groups]
    has_clusters = bool(used["cluster"].notna().any())
    has_images = bool(used["image_key"].notna().any())
    body = [
        (
            name, count(len(rows)),
            *([count(rows["cluster"].nunique())] if has_clusters else []),
            *([count(rows["image_key"].nunique())] if has_images else []),
        )
        for name, rows in groups
    ]  # fmt: skip
    columns = ("Arm", "Units", *(["Clusters"] if has_clusters else []), *(["Images"] if has_images else []))
    note = _shared_note(used) if study.has_arms else ""
    return Table("Units by arm", columns, tuple(body), (False,) + (True,) * (len(columns) - 1), note)


def _shared_note(used: pd.DataFrame) -> str:
    """Say how many clusters and images hold both arms, which is why rows need not add up."""
    parts = []
    for column, name in (("cluster", "clusters"), ("image_key", "images")):
        if used[column].notna().any():
            share = used.groupby(column)["arm"].mean()
            both = int(((share > 0) & (share < 1)).sum())
            if both:
                parts.append(f"{both:,} {name}")
    return "" if not parts else f"{' and '.join(parts)} hold units of both arms and are counted in both rows."


def chips_table(table: pd.DataFrame, statuses: tuple[str, ...]) -> Table:
    """Return how many chips of each size are usable."""
    body = tuple(
        (str(block), *(count((rows["status"] == status).sum()) for status in statuses))
        for block, rows in table.groupby("block", sort=False)
    )
    columns = ("Size", *(sentence_case(status) for status in statuses))
    note = (
        "Ok: every pixel is valid. Partial: some pixels are missing. Outside: no raster covers the place. "
        "Nodata: a raster covers it, without a valid pixel. Cloudy: no pixel is clear of clouds. "
        "Missing: there is no chip for the image, or no scene of the days asked for."
    )
    return Table("Chips by status", columns, body, (False,) + (True,) * len(statuses), note)
