"""The report on chips: what was lost, and how pictures differ between the arms, with warnings and a figure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of
from eocausal._coordinates import shared_across_arms
from eocausal.errors import ImageryError
from eocausal.imagery.account import account, arms_of
from eocausal.imagery.batches import STATUSES
from eocausal.imagery.origins import Origins, origins_of
from eocausal.imagery.suspects import suspects

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from eocausal.imagery.chips import Chips

__all__ = ["ChipsReport", "difference", "report"]

Floats = npt.NDArray[np.float64]

# Arms are said to differ when the test is below this level and the gap is large enough to matter: of shares a
# percentage point, of days a month, of clear observations a tenth of their mean.
LEVEL = 0.05
SMALLEST_SHARE, SMALLEST_DAYS, SMALLEST_PART = 0.01, 30.0, 0.10
USABLE = ("ok", "partial")
ARMS = ("control", "treated")
SENSOR = "sensor "
# Where pictures come from is the same for all sizes, so it is told once.
_WORDS = {
    "usable": "the share of usable {block} chips",
    "valid_fraction": "the mean valid fraction of {block} chips",
    "observations": "the mean number of clear observations a pixel of {block} chips",
    "last_date": "the mean day of the last scene",
    "days_before_treatment": "the mean number of days from the last scene to treatment",
    SENSOR: "the share of scenes of {sensor}",
}
# Shares of the largest value below which a difference of means is rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class ChipsReport:
    """What became of the units' pictures, and what they were made from.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per image key and block, as ``Chips.account`` gives it.
    by_unit : pandas.DataFrame
        One row per unit and block: ``<id> image arm longitude latitude block status valid_fraction``, and where
        they are known ``observations``, ``last_date``, ``days_before_treatment`` and one column
        ``sensor <name>`` for each sensor, the share of the unit's scenes that it took.
    by_arm : pandas.DataFrame
        One row per block and arm: ``n_units``, units of each status, and means of the other columns.
    tests : pandas.DataFrame
        One row per block and term, treated minus control with ``treated control estimate std_error statistic
        p_value n n_clusters``, clustered by image; empty without arms. Terms are ``usable`` (share of pictures
        with a valid pixel), ``valid_fraction``, of sequences ``observations``, where days differ ``last_date``
        (days since 1970-01-01), where all units have a day of treatment and not all the same
        ``days_before_treatment``, and of two sensors or more ``sensor <name>``. Units without a value are left
        out of a term, so ``n`` may differ.
    warnings : tuple of str
        Units without a usable picture; pixels that are suspect (zeros where a file does not say what stands for
        no data, one value everywhere, whole numbers too large for float32); units of both arms at one place;
        and differences between the arms with p below 0.05 and a gap of at least a percentage point (shares),
        30 days (dates) or a tenth of the mean (observations). Where there are too few images to test, the gap
        alone is a warning.
    """

    table: pd.DataFrame
    by_unit: pd.DataFrame
    by_arm: pd.DataFrame
    tests: pd.DataFrame
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        """Give the counts by arm, then the warnings."""
        return "\n".join([self.by_arm.to_string(index=False), *(f"Warning: {w}" for w in self.warnings)])

    def plot(self, *, block: str | None = None) -> Figure:
        """Draw, for one block (default the first), a map of statuses and the valid fraction by arm.

        Where scenes are of several days or sensors, also the days of the last scene and the share of each
        sensor, by arm.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from eocausal.imagery.account_figure import draw

        blocks = self.by_arm["block"].unique().tolist()
        block = one_of(block or blocks[0], blocks, argument="block", error=ImageryError)
        return draw(self.by_unit[self.by_unit["block"] == block], block)


def report(chips: Chips, treatment: pd.Series | str | None = None) -> ChipsReport:
    """Return the account with counts and tests by arm."""
    table = account(chips, treatment)
    origins = origins_of(chips.source)
    units = _by_unit(chips, table, origins, treatment)
    rows: list[dict[str, Any]] = []
    tests: list[dict[str, Any]] = []
    warnings = list(_shared_places(chips, treatment))
    for block, some in units.groupby("block", sort=False):
        rows += _rows(str(block), some)
        usable = some["status"].isin(USABLE)
        if not usable.all():
            warnings.append(f"{_counted(some[~usable])} have no usable {block} chip")
        warnings += suspects(chips, str(block), origins)
        if treatment is not None:
            found = list(_compared(str(block), some, sequence=chips.frames != ("",)))
            tests += found
            # the share of one of two sensors says that of the other
            sensors = [one["term"] for one in found if one["term"].startswith(SENSOR)]
            said = [one for one in found if len(sensors) != 2 or one["term"] != sensors[1]]
            texts = [text for one in said if (text := _difference(one)) is not None]
            warnings += [text for text in texts if text not in warnings]
    return ChipsReport(table, units, pd.DataFrame(rows), pd.DataFrame(tests), tuple(warnings))


def difference(values: Floats, treated: npt.NDArray[np.bool_], images: npt.NDArray[Any]) -> dict[str, float]:
    """Return treated minus control with a standard error clustered by image, as regression on the arm gives it.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (n,).
    treated : numpy.ndarray
        bool, shape (n,).
    images : numpy.ndarray
        Image keys, shape (n,).

    Examples
    --------
    >>> apart = difference(np.array([0.0, 1.0, 1.0, 1.0]), np.array([0, 0, 1, 1], bool), np.arange(4))
    >>> apart["estimate"], round(apart["std_error"], 4)
    (0.5, 0.5)
    """
    from scipy import stats

    n, n_clusters = len(values), len(np.unique(images))
    means = [values[treated].mean(), values[~treated].mean()]
    estimate = float(means[0] - means[1])
    influence = np.where(
        treated, (values - means[0]) / treated.sum(), -(values - means[1]) / (~treated).sum()
    )
    sums = np.bincount(np.unique(images, return_inverse=True)[1], weights=influence)
    found = {"estimate": estimate, "n": n, "n_clusters": n_clusters}
    if n_clusters < 3 or n < 3:
        return {**found, "std_error": np.nan, "statistic": np.nan, "p_value": np.nan}
    error = float(np.sqrt(n_clusters / (n_clusters - 1) * (n - 1) / (n - 2) * (sums**2).sum()))
    # what is only rounding of the means is no difference and no spread
    rounding = _ROUNDING * float(np.abs(values).max())
    estimate, error = (0.0 if abs(part) <= rounding else part for part in (estimate, error))
    found["estimate"] = estimate
    # arms that are wholly alike, or wholly apart, leave no spread to divide by
    statistic = estimate / error if error > 0 else float(np.copysign(np.inf, estimate)) if estimate else 0.0
    p_value = float(2 * stats.t.sf(abs(statistic), n_clusters - 1))
    return {**found, "std_error": error, "statistic": statistic, "p_value": p_value}


def _by_unit(
    chips: Chips, table: pd.DataFrame, origins: Origins | None, treatment: pd.Series | str | None
) -> pd.DataFrame:
    units = chips.units
    row: dict[str, Any] = {units.id: units.ids, "image": units.image_keys}
    row["arm"] = "all" if treatment is None else np.take(ARMS, arms_of(chips, treatment))
    if units.longitude is not None and units.latitude is not None:
        row |= {"longitude": units.longitude, "latitude": units.latitude}
    places = pd.Index(chips.keys).get_indexer(pd.Index(units.image_keys))
    shares: dict[str, Any] = {}
    if origins is not None:
        whole = origins.whole()
        shares = {SENSOR + name: whole.shares(name)[places] for name in whole.sensors}
    tables = []
    for block, some in table.groupby("block", sort=False):
        told = [name for name in ("status", "valid_fraction", "observations", "last_date") if name in some]
        judged = {name: some[name].to_numpy()[places] for name in told}
        if units.dates is not None:
            days = _days(units.dates) - _days(judged["last_date"])
            judged["days_before_treatment"] = days
        tables.append(pd.DataFrame({**row, "block": block, **judged, **shares}))
    return pd.concat(tables, ignore_index=True)


def _rows(block: str, units: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield counts of statuses and means of what is known, arm by arm."""
    for arm, some in units.groupby("arm", sort=True):
        row: dict[str, Any] = {"block": block, "arm": arm, "n_units": len(some)}
        counts = some["status"].value_counts().reindex(STATUSES, fill_value=0)
        row |= {status: int(counts[status]) for status in STATUSES}
        days = _days(some["last_date"])
        known = np.isfinite(days)
        row |= {name: some[name].mean() for name in ("valid_fraction", "observations") if name in some}
        row["last_date"] = _day(float(days[known].mean())) if known.any() else None
        others = ["days_before_treatment", *(name for name in some.columns if name.startswith(SENSOR))]
        row |= {name: some[name].mean() for name in others if name in some}
        yield row


def _compared(block: str, units: pd.DataFrame, *, sequence: bool) -> Iterator[dict[str, Any]]:
    """Yield the test of each term, of those units that have a value."""
    treated = (units["arm"] == "treated").to_numpy()
    images = units["image"].to_numpy()
    for term, values in _terms(units, sequence=sequence).items():
        known = np.isfinite(values)
        some, arm = values[known], treated[known]
        if not arm.any() or arm.all():
            continue
        means = {"treated": some[arm].mean(), "control": some[~arm].mean()}
        yield {"block": block, "term": term, **means, **difference(some, arm, images[known])}


def _terms(units: pd.DataFrame, *, sequence: bool) -> dict[str, Floats]:
    """Return what is compared: what every picture has, and what differs among them."""
    found = {"usable": units["status"].isin(USABLE), "valid_fraction": units["valid_fraction"]}
    if sequence and "observations" in units:
        found["observations"] = units["observations"]
    terms = {term: np.asarray(values, dtype=float) for term, values in found.items()}
    days = _days(units["last_date"])
    known = np.isfinite(days)
    if len(np.unique(days[known])) > 1:
        terms["last_date"] = days
    if "days_before_treatment" in units:
        ahead = units["days_before_treatment"].to_numpy(dtype=float)
        # of units that were never treated it is not known, and where all are treated on one day the date says it
        if np.isfinite(ahead[known]).all() and len(np.unique((ahead + days)[known])) > 1:
            terms["days_before_treatment"] = ahead
    sensors = [name for name in units.columns if name.startswith(SENSOR)]
    if len(sensors) > 1:
        terms |= {name: units[name].to_numpy(dtype=float) for name in sensors}
    return terms


def _difference(test: dict[str, Any]) -> str | None:
    """Return the warning that a test deserves, None for none."""
    term = test["term"]
    share = term in ("usable", "valid_fraction") or term.startswith(SENSOR)
    gap = SMALLEST_SHARE if share else SMALLEST_DAYS
    if term == "observations":
        gap = SMALLEST_PART * abs(test["treated"] + test["control"]) / 2
    distinct = np.isnan(test["p_value"]) or test["p_value"] < LEVEL
    if abs(test["estimate"]) < gap or test["estimate"] == 0 or not distinct:
        return None
    show = {"last_date": _day, "days_before_treatment": "{:,.0f}".format, "observations": "{:.2f}".format}
    shown = {arm: show.get(term, "{:.1%}".format)(test[arm]) for arm in ARMS}
    words = _WORDS[SENSOR if term.startswith(SENSOR) else term]
    what = words.format(block=test["block"], sensor=term.removeprefix(SENSOR))
    known = "too few images to test" if np.isnan(test["p_value"]) else f"p = {test['p_value']:.2g}"
    return (
        f"the arms differ in {what}: treated {shown['treated']}, control {shown['control']} "
        f"({known}, clustered by image)"
    )


def _shared_places(chips: Chips, treatment: pd.Series | str | None) -> Iterator[str]:
    units = chips.units
    if treatment is None or units.longitude is None or units.latitude is None:
        return
    shared = shared_across_arms(units.longitude, units.latitude, arms_of(chips, treatment))
    if shared.any():
        yield (
            f"{int(shared.sum())} of {len(shared)} units ({shared.mean():.1%}) lie where a unit of the other arm "
            "lies too: their pictures are the same, so features cannot tell them apart"
        )


def _counted(units: pd.DataFrame) -> str:
    arms = units["arm"].value_counts()
    split = "" if "all" in arms else f" ({arms.get('treated', 0)} treated, {arms.get('control', 0)} control)"
    return f"{len(units)} units{split}"


def _days(days: Any) -> Floats:
    """Return days since 1970-01-01, NaN for none."""
    found = np.asarray(days)
    if found.dtype.kind != "M":
        found = np.array(
            [np.datetime64("NaT") if day is None or day != day else day for day in found], dtype="M8[D]"
        )
    numbers: Floats = found.astype("M8[D]").astype(np.float64)
    return np.where(np.isnat(found), np.nan, numbers)


def _day(number: float) -> str:
    """Return the day that is nearest to a number of days since 1970-01-01.

    Examples
    --------
    >>> _day(365.4)
    '1971-01-01'
    """
    return str(np.datetime64(round(number), "D"))
