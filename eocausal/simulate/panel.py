"""A simulated panel: regions adopt a programme at different times, with known effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import whole_number
from eocausal.errors import DesignError, explain

__all__ = ["SimulatedPanel", "simulate_panel"]

# Spread of places, of what is common to a period, and of noise in predictions.
_UNIT_SD, _TREND, _PREDICTION_SD = 1.0, 0.3, 0.1
_DEGREES_APART = 0.5


@dataclass(frozen=True, eq=False)
class SimulatedPanel:
    """A simulated panel and the truth about it.

    Attributes
    ----------
    frame : DataFrame
        One row for each unit and period: ``unit region period treated first_treated outcome lon lat`` and,
        where asked for, ``imputed``. ``first_treated`` is missing for regions that are never treated.
    true_att : float
        Mean effect over all treated unit-periods.
    true_by_event : mapping of int to float
        Mean effect by periods since treatment began.
    """

    frame: pd.DataFrame = field(repr=False)
    true_att: float
    true_by_event: dict[int, float]


def simulate_panel(
    *,
    n_regions: int = 60,
    units_per_region: int = 25,
    periods: Sequence[int] = (2003, 2006, 2009, 2012),
    effect: float = 1.0,
    growth: float = 0.0,
    icc: float = 0.3,
    never: float = 0.4,
    imputed: tuple[float, float, float] | None = None,
    seed: int = 0,
) -> SimulatedPanel:
    """Simulate units in regions that adopt treatment as a whole, at different times or never.

    The outcome is a trait of the unit, a trend, a shock of the region in that period, noise, and the effect.

    Parameters
    ----------
    n_regions, units_per_region : int
        Regions are what is assigned.
    periods : sequence of int
        At least two, ascending; the first is before any treatment.
    effect : float
        Effect in the period in which treatment begins.
    growth : float
        What the effect gains with each further period.
    icc : float
        Share of the variance within units over time that the units of a region have in common.
    never : float
        Share of regions that are never treated; the others start in the later periods in equal numbers.
    imputed : (float, float, float), optional
        Adds a prediction of the outcome that moves by these multiples of the unit's trait (eta_mu), of its
        changes over time (eta_eps) and of the effect (eta_T).
    seed : int

    Returns
    -------
    SimulatedPanel

    Raises
    ------
    DesignError
        Numbers out of range.

    Examples
    --------
    >>> made = simulate_panel(n_regions=10, units_per_region=3, growth=0.5, seed=1)
    >>> made.frame.shape, made.true_by_event
    ((120, 8), {0: 1.0, 1: 1.5, 2: 2.0})
    """
    times = np.asarray(list(periods))
    _require(n_regions, units_per_region, times, icc=icc, never=never)
    rng = np.random.default_rng(seed)
    start = _cohorts(rng, n_regions, times.size, never)
    region = np.repeat(np.arange(n_regions), units_per_region)
    shape = (region.size, times.size)
    trait = _UNIT_SD * rng.normal(size=(region.size, 1))
    shock = np.sqrt(icc) * rng.normal(size=(n_regions, times.size))[region]
    change = _TREND * np.arange(times.size) + shock + np.sqrt(1 - icc) * rng.normal(size=shape)
    since = np.arange(times.size) - start[region][:, None]
    treated = (start[region] >= 0)[:, None] & (since >= 0)
    gain = np.where(treated, effect + growth * since, 0.0)
    places = _places(rng, n_regions, units_per_region)
    first = np.where(start >= 0, times[np.maximum(start, 0)], np.nan)[region]
    columns = {
        "unit": np.repeat(
            [f"r{one:03d}u{unit:03d}" for one in range(n_regions) for unit in range(units_per_region)],
            times.size,
        ),
        "region": np.repeat([f"r{one:03d}" for one in region], times.size),
        "period": np.tile(times, region.size),
        "treated": treated.astype(int).ravel(),
        "first_treated": np.repeat(first, times.size),
        "outcome": (trait + change + gain).ravel(),
        "lon": np.repeat(places[:, 0], times.size),
        "lat": np.repeat(places[:, 1], times.size),
    }
    if imputed is not None:
        by_trait, by_change, by_effect = imputed
        noise = _PREDICTION_SD * rng.normal(size=shape)
        columns["imputed"] = (by_trait * trait + by_change * change + by_effect * gain + noise).ravel()
    events = {
        int(event): float(gain[treated & (since == event)].mean()) for event in np.unique(since[treated])
    }
    return SimulatedPanel(pd.DataFrame(columns), float(gain[treated].mean()), events)


def _require(
    n_regions: int, units_per_region: int, times: npt.NDArray[np.int_], *, icc: float, never: float
) -> None:
    whole_number(n_regions, argument="n_regions", error=DesignError, least=4)
    whole_number(units_per_region, argument="units_per_region", error=DesignError, least=1)
    whole = times.dtype.kind == "i" and times.size > 1 and bool((np.diff(times) > 0).all())
    if not whole:
        raise DesignError(
            explain("periods are not ascending whole numbers.", rule="at least two", fix="(1, 2, 3)")
        )
    for name, share in (("icc", icc), ("never", never)):
        if not 0 <= share < 1:
            raise DesignError(explain(f"{name}={share}.", rule=f"0 <= {name} < 1"))
    if n_regions - round(never * n_regions) < 1:
        raise DesignError(explain(f"never={never} leaves no region to treat."))


def _cohorts(rng: np.random.Generator, n_regions: int, n_periods: int, never: float) -> npt.NDArray[np.int_]:
    """Return the place of the period (n_regions,) in which each region starts, -1 where it never does."""
    untreated = round(never * n_regions)
    start = np.full(n_regions, -1)
    start[untreated:] = 1 + np.arange(n_regions - untreated) % (n_periods - 1)
    return rng.permutation(start)


def _places(rng: np.random.Generator, n_regions: int, units_per_region: int) -> npt.NDArray[np.float64]:
    """Return longitude and latitude (n, 2): regions on a lattice, units scattered within theirs."""
    side = int(np.ceil(np.sqrt(n_regions)))
    corners = _DEGREES_APART * np.column_stack([np.arange(n_regions) % side, np.arange(n_regions) // side])
    within = rng.uniform(0, 0.8 * _DEGREES_APART, size=(n_regions * units_per_region, 2))
    return np.asarray(np.repeat(corners, units_per_region, axis=0) + within + np.array([30.0, -2.0]))
