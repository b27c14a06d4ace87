"""The account of chips: what became of every unit's picture, and whether that differs by arm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of, require_columns
from eocausal.errors import ImageryError, explain
from eocausal.imagery.batches import STATUSES
from eocausal.imagery.mosaic import RasterSource

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from eocausal.imagery.chips import Chips

__all__ = ["LEVEL", "SMALLEST_GAP", "ChipsReport", "account", "report"]

Floats = npt.NDArray[np.float64]

# Arms are said to differ when the test is below this level and the gap is large enough to matter.
LEVEL = 0.05
SMALLEST_GAP = 0.01
USABLE = ("ok", "partial")
ARMS = ("control", "treated")
# Colours that readers who do not tell red from green can tell apart; the arms' are those of reports.
_COLOURS = dict(
    zip(STATUSES, ("#3d8b7d", "#d9a441", "#1d2430", "#8c4b7e", "#7fa8c9", "#9aa1ab"), strict=True)
)
_ARM_COLOURS = {"control": "#1f4e79", "treated": "#c55a11", "all": "#5b6472"}
_CLASSES = ("0", "1\N{EN DASH}24", "25\N{EN DASH}49", "50\N{EN DASH}74", "75\N{EN DASH}99", "100")


@dataclass(frozen=True, eq=False)
class ChipsReport:
    """What became of the units' pictures.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per image key and block, as ``Chips.account`` gives it.
    by_unit : pandas.DataFrame
        One row per unit and block: ``<id> block arm status valid_fraction longitude latitude``.
    by_arm : pandas.DataFrame
        One row per block and arm: ``n_units``, units of each status, and the mean ``valid_fraction``.
    tests : pandas.DataFrame
        One row per block and term (share of usable pictures, valid fraction): treated minus control with
        ``estimate std_error statistic p_value n n_clusters``, clustered by image; empty without arms.
    warnings : tuple of str
        Units without a usable picture, and differences between the arms.
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
        """Draw a map of statuses beside the valid fraction by arm, for one block (default the first).

        Returns
        -------
        matplotlib.figure.Figure
        """
        import matplotlib as mpl
        from matplotlib.figure import Figure

        blocks = self.by_arm["block"].unique().tolist()
        block = one_of(block or blocks[0], blocks, argument="block", error=ImageryError)
        units = self.by_unit[self.by_unit["block"] == block]
        placed = "longitude" in units
        with mpl.rc_context({"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}):
            figure = Figure(figsize=(9.0 if placed else 4.8, 3.8), layout="constrained")
            axes = figure.subplots(1, 2 if placed else 1, squeeze=False)[0]
            if placed:
                _draw_map(axes[0], units)
            _draw_shares(axes[-1], units)
            axes[0].set_title(f"{len(units):,} units, chips of {block}", loc="left")
        return figure


def account(chips: Chips, treatment: pd.Series | str | None = None) -> pd.DataFrame:
    """Return one row per image key and block: what became of it and where it came from."""
    table = chips.table().assign(date=chips.date, pixel_unit=chips.pixel_unit)
    said = chips.radiometry
    table["stored_unit"] = None if said is None else said.unit
    table["offset_added"] = 0.0 if said is None or said.given_out == said.unit else said.subtracted
    files = files_of(chips)
    if files is not None:
        table["files"] = np.tile(files, len(chips.blocks))
    if treatment is not None:
        arm = _arms(chips, treatment)
        treated = pd.Series(arm).groupby(chips.units.image_keys).sum().reindex(chips.keys).to_numpy()
        table["n_treated"] = np.tile(treated, len(chips.blocks)).astype(int)
        table["n_control"] = table["n_units"] - table["n_treated"]
    return table


def report(chips: Chips, treatment: pd.Series | str | None = None) -> ChipsReport:
    """Return the account with counts and tests by arm."""
    table = account(chips, treatment)
    units = _by_unit(chips, table, treatment)
    rows, tests, warnings = [], [], []
    for block, some in units.groupby("block", sort=False):
        for arm, members in some.groupby("arm", sort=True):
            counts = members["status"].value_counts().reindex(STATUSES, fill_value=0)
            shares = {"valid_fraction": members["valid_fraction"].mean()}
            rows.append({"block": block, "arm": arm, "n_units": len(members), **counts, **shares})
        usable = some["status"].isin(USABLE)
        if not usable.all():
            warnings.append(f"{_counted(some[~usable])} have no usable {block} chip")
        if treatment is not None:
            found = [_compare(str(block), term, some) for term in ("usable", "valid_fraction")]
            tests += found
            warnings += [text for one in found if (text := _difference(one)) is not None]
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
    # arms that are wholly alike, or wholly apart, leave no spread to divide by
    statistic = estimate / error if error > 0 else float(np.copysign(np.inf, estimate)) if estimate else 0.0
    p_value = float(2 * stats.t.sf(abs(statistic), n_clusters - 1))
    return {**found, "std_error": error, "statistic": statistic, "p_value": p_value}


def _compare(block: str, term: str, units: pd.DataFrame) -> dict[str, Any]:
    column = units["status"].isin(USABLE) if term == "usable" else units["valid_fraction"]
    values: Floats = np.asarray(column, dtype=float)
    treated = (units["arm"] == "treated").to_numpy()
    means = {"treated": values[treated].mean(), "control": values[~treated].mean()}
    return {"block": block, "term": term, **means, **difference(values, treated, units["image"].to_numpy())}


def _difference(test: dict[str, Any]) -> str | None:
    if abs(test["estimate"]) < SMALLEST_GAP or not (np.isnan(test["p_value"]) or test["p_value"] < LEVEL):
        return None
    what = {"usable": "the share of usable", "valid_fraction": "the mean valid fraction of"}[test["term"]]
    known = "too few images to test" if np.isnan(test["p_value"]) else f"p = {test['p_value']:.2g}"
    return (
        f"the arms differ in {what} {test['block']} chips: treated {test['treated']:.1%}, "
        f"control {test['control']:.1%} ({known}, clustered by image)"
    )


def _counted(units: pd.DataFrame) -> str:
    arms = units["arm"].value_counts()
    split = "" if "all" in arms else f" ({arms.get('treated', 0)} treated, {arms.get('control', 0)} control)"
    return f"{len(units)} units{split}"


def _by_unit(chips: Chips, table: pd.DataFrame, treatment: pd.Series | str | None) -> pd.DataFrame:
    units = chips.units
    row: dict[str, Any] = {units.id: units.ids, "image": units.image_keys}
    row["arm"] = "all" if treatment is None else np.take(ARMS, _arms(chips, treatment))
    if units.longitude is not None and units.latitude is not None:
        row |= {"longitude": units.longitude, "latitude": units.latitude}
    places = pd.Index(chips.keys).get_indexer(pd.Index(units.image_keys))
    tables = []
    for block, some in table.groupby("block", sort=False):
        judged = {name: some[name].to_numpy()[places] for name in ("status", "valid_fraction")}
        tables.append(pd.DataFrame({**row, "block": block, **judged}))
    return pd.concat(tables, ignore_index=True)


def _arms(chips: Chips, treatment: object) -> npt.NDArray[np.intp]:
    """Return 0 or 1 for each unit, from a column of the units or a series by unit id."""
    units = chips.units
    if isinstance(treatment, str):
        require_columns(units.frame, [treatment], table="units", error=ImageryError)
        values = units.frame[treatment]
    elif isinstance(treatment, pd.Series):
        if treatment.index.has_duplicates:
            twice = treatment.index[treatment.index.duplicated()]
            raise ImageryError(explain("The index of treatment holds duplicates.", where=twice.tolist()))
        values = treatment.reindex(units.ids)
    else:
        fix = "pd.Series(values, index=units.ids), or the name of a column of the units"
        raise ImageryError(explain(f"treatment is a {type(treatment).__name__}.", fix=fix))
    absent = values.isna().to_numpy()
    if absent.any():
        raise ImageryError(
            explain(
                f"treatment has no value for {int(absent.sum())} of {len(units)} units.",
                where=units.ids[absent].tolist(),
                rule="0 = control, 1 = treated, for every unit, found by unit id",
                fix=f"treatment = frame.set_index({units.id!r})['treated']",
            )
        )
    if set(values.unique().tolist()) != {0, 1}:
        shown = sorted(values.unique().tolist(), key=str)
        raise ImageryError(explain("treatment is not 0 and 1.", where=shown, rule="0 = control, 1 = treated"))
    return values.to_numpy().astype(np.intp)


def files_of(chips: Chips) -> npt.NDArray[np.object_] | None:
    """Return, for each key, the names of the rasters that its largest window touches."""
    source: Any = getattr(chips.source, "inner", chips.source)
    stored = getattr(source, "stored_files", None)
    if stored is not None:
        found: npt.NDArray[np.object_] | None = stored()
        return found
    if not isinstance(source, RasterSource):
        return None
    names = [tile.name for tile in source.plan.tiles]
    touches = source.plan.touches
    known: dict[tuple[int, ...], str] = {}
    texts = np.empty(len(chips), dtype=object)
    for chip in range(len(chips)):
        some = touches.of(chip)
        if tuple(some) not in known:
            known[tuple(some)] = "; ".join(dict.fromkeys(names[number] for number in some))
        texts[chip] = known[tuple(some)]
    return texts


def _draw_map(ax: Axes, units: pd.DataFrame) -> None:
    from matplotlib.ticker import MaxNLocator

    # what went wrong is drawn over what went well
    for status in STATUSES:
        some = units[units["status"] == status]
        if len(some):
            ax.scatter(
                some["longitude"], some["latitude"], s=14, color=_COLOURS[status], linewidths=0,
                label=f"{status} ({len(some):,})",
            )  # fmt: skip
    middle = float(np.clip(units["latitude"].median(), -80, 80))
    ax.set_aspect(1 / np.cos(np.radians(middle)), adjustable="datalim")
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.set(xlabel="longitude", ylabel="latitude")
    ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3, columnspacing=1)


def _draw_shares(ax: Axes, units: pd.DataFrame) -> None:
    groups = [(str(arm), some["valid_fraction"].to_numpy()) for arm, some in units.groupby("arm", sort=True)]
    width = 0.8 / len(groups)
    for number, (arm, share) in enumerate(groups):
        # 0 and 1 are classes of their own: nothing valid, all valid
        found = np.digitize(share, [np.nextafter(0, 1), 0.25, 0.5, 0.75, 1.0])
        heights = np.bincount(found, minlength=len(_CLASSES)) / len(share)
        label = f"{arm} ({len(share):,} units, mean {share.mean():.0%})"
        places = np.arange(len(_CLASSES)) + (number - (len(groups) - 1) / 2) * width
        ax.bar(places, 100 * heights, width, color=_ARM_COLOURS[arm], label=label)
    ax.set_xticks(range(len(_CLASSES)), _CLASSES)
    ax.set(xlabel="valid pixels of the chip, %", ylabel="units of the arm, %", ylim=(0, 100))
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1))
