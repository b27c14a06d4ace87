"""The frozen design of a panel: what was asked of which units in which periods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of
from eocausal._provenance import hash_arrays
from eocausal.errors import DesignError, explain
from eocausal.panels import guards
from eocausal.panels.imputed import Imputed
from eocausal.panels.panel_table import PanelTable, build_panel

if TYPE_CHECKING:
    from eocausal.embeddings import Embeddings

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PanelDesign:
    """Outcome and treatment of units that are seen in several periods.

    Parameters
    ----------
    data : pandas.DataFrame
        One row for each unit and period, in any order.
    outcome : str
        Numeric column.
    treatment : str
        Column of 0 (untreated in that period) and 1 (treated), or of the share of the period that was
        treated. Units that are never treated are 0 throughout, and they stay in.
    unit, period : str
        Columns of unit labels and of periods: whole numbers whose differences are distances in time (years,
        rounds), or pandas Periods. Time is counted by value, so that a gap is a gap and not a neighbour.
    covariates : sequence of str
        ``twfe`` and ``event_study`` take their value in each period, ``did`` that of the last period before
        treatment.
    features : Embeddings, optional
        Image features from before treatment, one image for each unit, joined by image key. Only ``did`` uses them.
    cluster : str, optional
        Column of the units of treatment assignment, the same in all periods of a unit. Standard errors are
        clustered by it, and by unit where there is none.
    weights : str, optional
        Column of positive sampling weights.
    coordinates : (str, str), optional
        Columns of longitude and latitude in degrees, for Conley standard errors.
    missing : {"error", "drop"}
        What to do with rows that miss an outcome, a covariate or an image.
    outcome_imputed : Imputed, optional
        Says that the outcome was predicted from images.
    sensor : str, optional
        Column of what each row's outcome or image was seen with; changes that go with treatment give a warning.

    Raises
    ------
    DesignError
        Columns missing, a unit twice in a period, periods that are not whole numbers, treatment outside 0 to 1 or
        constant, clusters or images that change within units.
    LeakError
        A covariate that is the outcome or the treatment; images from the first treated period or later.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"village": list("aabbccdd"), "year": [2003, 2006] * 4,
    ...     "aid": [0, 1, 0, 1, 0, 0, 0, 0], "wealth": [1.0, 4.0, 2.0, 4.0, 1.0, 2.0, 3.0, 4.0]})
    >>> PanelDesign(table, outcome="wealth", treatment="aid", unit="village", period="year")
    PanelDesign(wealth ~ aid: 4 units in 2 periods, 2 ever treated, 2 never treated)
    """

    data: pd.DataFrame
    _: KW_ONLY
    outcome: str
    treatment: str
    unit: str
    period: str
    covariates: Sequence[str] = ()
    features: Embeddings | None = None
    cluster: str | None = None
    weights: str | None = None
    coordinates: tuple[str, str] | None = None
    missing: Literal["error", "drop"] = "error"
    outcome_imputed: Imputed | None = None
    sensor: str | None = None
    table: PanelTable = field(init=False, repr=False)
    notes: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _require_kinds(self)
        object.__setattr__(self, "covariates", tuple(self.covariates))
        one_of(self.missing, ("error", "drop"), argument="missing", error=DesignError)
        table = build_panel(self)
        if np.unique(table.steps).size < 2:
            raise DesignError(explain("The panel has a single period.", rule="at least two", fix="ec.Design"))
        if np.ptp(table.treatment) == 0:
            text = f"All {table.treatment.size} rows that are complete have the treatment {table.treatment[0]:g}."
            fix = "fill in what rows were left out for, or leave out those columns"
            raise DesignError(
                explain(text, where=table.notes, rule="some treated rows and some not", fix=fix)
            )
        if np.ptp(table.outcome) == 0:
            raise DesignError(explain(f"Outcome {self.outcome!r} has the same value in all rows."))
        guards.refuse_leaks(self, table)
        late = guards.late_images(self, table)
        object.__setattr__(self, "table", table)
        object.__setattr__(self, "notes", (*table.notes, *guards.notes(table), *late))

    def __len__(self) -> int:
        return int(self.table.unit.size)

    def __repr__(self) -> str:
        """One line: the regression in words, and who is treated."""
        found = guards.counts(self.table)
        text = (
            f"PanelDesign({self.outcome} ~ {self.treatment}: {found['n_units']} units in "
            f"{found['n_periods']} periods, {found['ever_treated']} ever treated, {found['never_treated']} "
            "never treated"
        )
        if "assignment_units" in found:
            text += f", {found['treated_assignment_units']} of {found['assignment_units']} clusters treated"
        return f"{text})"

    @property
    def frame(self) -> pd.DataFrame:
        """The table that was handed in."""
        return self.data

    @property
    def fingerprint(self) -> str:
        """Hash of everything that enters an estimate."""
        table = self.table
        parts = [table.unit, table.period, table.outcome, table.treatment, table.weights, table.covariates]
        optional = [part for part in (table.clusters, table.image_keys) if part is not None]
        return hash_arrays(*parts, *optional)

    def with_changed_outcome(self, change: Callable[[FloatArray], FloatArray]) -> Self:
        """Return the same rows with their outcome changed by a function of it.

        Parameters
        ----------
        change : callable
            Outcomes (n,) in, changed outcomes (n,) out.
        """
        return self._with_table(replace(self.table, outcome=change(self.table.outcome)))

    def redrawn(self, counts: npt.NDArray[Any]) -> Self:
        """Return units drawn anew: each weighs as often as it was drawn, and those never drawn are left out.

        Parameters
        ----------
        counts : array of shape (n,)
            Whole numbers from 0 by row, one for all rows of a unit.
        """
        rows = counts > 0
        table = self.table.take_units(rows)
        return self._with_table(replace(table, weights=table.weights * counts[rows]))

    def _with_table(self, table: PanelTable) -> Self:
        # estimators read the table; read anew it would be checked anew, and lose what its units were known by
        part = copy(self)
        object.__setattr__(part, "table", table)
        return part

    def labels(self) -> dict[str, npt.NDArray[Any]]:
        """Return the labels (n,) of rows that standard errors can be clustered by, those of assignment first."""
        own = {} if self.table.clusters is None else {str(self.cluster): self.table.clusters}
        return {**own, self.unit: self.table.unit, self.period: self.table.period}


def _require_kinds(design: PanelDesign) -> None:
    """Raise where what was handed in is no table, no name or no list."""
    given: dict[str, Any] = {one.name: getattr(design, one.name, None) for one in fields(design)}
    if not isinstance(given["data"], pd.DataFrame):
        text = f"data is a {type(given['data']).__name__}, not a table of units and periods."
        raise DesignError(explain(text, fix="pass a pandas DataFrame with one row for each unit and period"))
    if len(design.data) == 0:
        raise DesignError(explain("The panel is empty."))
    if isinstance(given["covariates"], str) or given["covariates"] is None:
        raise DesignError(
            explain(f"covariates={given['covariates']!r} is no list.", fix='covariates=["age"]')
        )
    names: dict[str, Any] = {name: given[name] for name in ("outcome", "treatment", "unit", "period")}
    names |= {f"covariates[{place}]": name for place, name in enumerate(design.covariates)}
    names |= {name: value for name in ("cluster", "weights", "sensor") if (value := given[name]) is not None}
    for role, name in names.items():
        if not isinstance(name, str):
            raise DesignError(explain(f"{role} is a {type(name).__name__}, not the name of a column."))
    indexed = [name for name in names.values() if name in design.data.index.names]
    if any(name not in design.data.columns for name in indexed):
        text = "Columns are in the index of the table."
        raise DesignError(explain(text, where=indexed, fix="data = data.reset_index()"))
    places = given["coordinates"]
    if places is not None and not (isinstance(places, tuple | list) and len(places) == 2):
        raise DesignError(explain(f"coordinates={places!r}.", fix='coordinates=("lon", "lat")'))
    if given["features"] is not None and not hasattr(given["features"], "rows_for"):
        text = f"features is a {type(given['features']).__name__}."
        raise DesignError(explain(text, fix="features=ec.read_embeddings(...) or ec.embed(...)"))
    if given["outcome_imputed"] is not None and not isinstance(given["outcome_imputed"], Imputed):
        text = f"outcome_imputed={given['outcome_imputed']!r}."
        raise DesignError(explain(text, fix='outcome_imputed=ec.Imputed(from_sensor="landsat")'))
