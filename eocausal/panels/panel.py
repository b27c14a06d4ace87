"""Effects in panels: one verb, a table of methods, one way to standard errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, Unpack, overload

import numpy as np

from eocausal._checks import one_of, whole_number
from eocausal.errors import EstimationError, explain
from eocausal.inference.estimate import Estimate
from eocausal.inference.origin import Origin
from eocausal.inference.vcov import VcovChoice
from eocausal.nuisance.cross_fit import Learners
from eocausal.nuisance.folds import Folds
from eocausal.nuisance.settings import Settings
from eocausal.panels.aggregate import AGGREGATES
from eocausal.panels.design import PanelDesign
from eocausal.panels.fixed_effects import REFERENCE, event_study, twfe
from eocausal.panels.predicted_panel import predicted_panel
from eocausal.panels.results import assemble, row_entries, unit_entries
from eocausal.panels.staggered import CONTROLS, did

if TYPE_CHECKING:
    from eocausal.debiasing.corrected_result import Corrected
    from eocausal.debiasing.corrector import Corrector

# Which options each method has, besides vcov and seed.
OPTIONS: dict[str, tuple[str, ...]] = {
    "twfe": (),
    "event_study": ("window",),
    "did": ("aggregate", "control", "folds", "learners"),
}


class MethodOptions(TypedDict, total=False):
    """Options of :func:`panel` that one method has and others have not."""

    aggregate: str | None
    control: str | None
    window: tuple[int, int] | None


@overload
def panel(
    design: PanelDesign,
    *,
    method: str = "twfe",
    vcov: VcovChoice | None = None,
    folds: Folds | None = None,
    learners: Learners | None = None,
    correct: None = None,
    seed: int = 0,
    **options: Unpack[MethodOptions],
) -> Estimate: ...
@overload
def panel(
    design: PanelDesign,
    *,
    method: str = "twfe",
    vcov: VcovChoice | None = None,
    folds: Folds | None = None,
    learners: Learners | None = None,
    correct: Corrector,
    seed: int = 0,
    **options: Unpack[MethodOptions],
) -> Corrected: ...
def panel(
    design: PanelDesign,
    *,
    method: str = "twfe",
    vcov: VcovChoice | None = None,
    folds: Folds | None = None,
    learners: Learners | None = None,
    correct: Corrector | None = None,
    seed: int = 0,
    **options: Unpack[MethodOptions],
) -> Estimate | Corrected:
    """Estimate effects from units that are seen in several periods.

    Parameters
    ----------
    design : PanelDesign
    method : {"twfe", "event_study", "did"}
        ``twfe``: the coefficient of treatment with unit and period effects. ``event_study``: one coefficient
        for each
        period since treatment began, compared with the period before it. ``did``: the effect on each cohort in each
        period, compared with units not yet treated (Callaway and Sant'Anna 2021), then averaged.
    aggregate : {"simple", "dynamic", "group", "calendar", "cells"}
        Of ``did``: the average over all treated unit-periods (default); by time since treatment, by cohort
        or by period, each with an overall mean first; or every cohort in every period.
    control : {"not_yet", "never"}
        Of ``did``: compare with units not yet treated, never-treated ones among them (default), or with
        those alone.
    window : (int, int), optional
        Of ``event_study``: the first and the last period since treatment that have a coefficient of their
        own; what is farther counts with them.
    vcov : optional
        As in :func:`eocausal.ate`. Default: clustered by the design's cluster, else by unit.
    folds, learners : Folds, Learners, optional
        Of ``did``: predict change and treatment out of fold. Default where the design has features; with
        covariates alone they are least squares and a logit (Sant'Anna and Zhao 2020).
    correct : Corrector, optional
        From :func:`eocausal.debias`, where the outcome was predicted from images: naive and corrected estimates of
        every term side by side, with the error of the calibration in theirs. One of changes
        (``ec.debias(..., unit=, period=)``) is what a panel asks for; with one of levels the result says so.
    seed : int
        Fixes the folds.

    Returns
    -------
    Estimate
        Influence values by unit and period (``twfe``, ``event_study``) or by unit (``did``). With ``correct`` a
        :class:`eocausal.debiasing.corrected_result.Corrected`.

    Raises
    ------
    EstimationError
        Unknown options, columns that unit and period effects absorb, cohorts without controls.
    DesignError
        Treatment that turns off, or shares of periods, where the method needs the period in which it starts.

    Notes
    -----
    Callaway and Sant'Anna (2021), Journal of Econometrics 225; Sant'Anna and Zhao (2020), Journal of
    Econometrics 219.

    Examples
    --------
    >>> import pandas as pd, eocausal as ec
    >>> table = pd.DataFrame({"village": list("aabbccdd"), "year": [2003, 2006] * 4,
    ...     "aid": [0, 1, 0, 1, 0, 0, 0, 0], "wealth": [1.0, 4.0, 2.0, 4.0, 1.0, 2.0, 3.0, 4.0]})
    >>> design = ec.PanelDesign(table, outcome="wealth", treatment="aid", unit="village", period="year")
    >>> [round(ec.panel(design, method=method).estimate, 6) for method in ("twfe", "did")]
    [1.5, 1.5]
    """
    _require_panel_design(design)
    one_of(method, tuple(OPTIONS), argument="method", error=EstimationError)
    whole_number(seed, argument="seed", error=EstimationError)
    asked: dict[str, Any] = {**options, "folds": folds, "learners": learners}
    called = {**asked, "method": method, "vcov": vcov, "seed": seed}
    _refuse_other_options(method, asked)
    if correct is not None:
        return _corrected(design, correct, called)
    if method == "did":
        chosen = one_of(
            asked.get("aggregate") or "simple", tuple(AGGREGATES), argument="aggregate", error=EstimationError
        )
        against = one_of(
            asked.get("control") or "not_yet", tuple(CONTROLS), argument="control", error=EstimationError
        )
        settings = _settings(design, folds, learners, seed)
        scored, units = did(design, aggregate=chosen, control=against, settings=settings)
        return assemble(
            design, unit_entries(design, units), scored, origin=Origin(design, design, panel, called)
        )
    if method == "event_study":
        scored, rows = event_study(design, window=_read_window(asked.get("window")))
    else:
        scored, rows = twfe(design)
    return assemble(design, row_entries(design, rows), scored, origin=Origin(design, design, panel, called))


def _corrected(design: PanelDesign, corrector: object, options: dict[str, Any]) -> Corrected:
    """Return naive and corrected estimates of effects on a predicted outcome."""
    from eocausal.debiasing.corrected import corrected, require_corrector

    known = require_corrector(corrector, made_by="correct=ec.debias(calibration, unit=..., period=..., ...)")
    study = predicted_panel(design, lambda other: panel(other, **options), level=known.level)
    return corrected(known, study)


def _require_panel_design(design: object) -> None:
    if not isinstance(design, PanelDesign):
        fix = "ec.PanelDesign(table, outcome=..., treatment=..., unit=..., period=...)"
        raise EstimationError(explain(f"design is a {type(design).__name__}.", fix=fix))


def _refuse_other_options(method: str, asked: dict[str, Any]) -> None:
    known = list(dict.fromkeys(name for names in OPTIONS.values() for name in names))
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise EstimationError(
            explain("panel has no option of this name.", where=unknown, fix=", ".join(known))
        )
    strange = [name for name, value in asked.items() if value is not None and name not in OPTIONS[method]]
    if strange:
        able = [other for other, names in OPTIONS.items() if strange[0] in names]
        raise EstimationError(
            explain(
                f"method={method!r} has no option of this name.", where=strange, fix=f"method={able[0]!r}"
            )
        )


def _settings(
    design: PanelDesign, folds: Folds | None, learners: Learners | None, seed: int
) -> Settings | None:
    """Return how to predict out of fold, or None where least squares and a logit do."""
    if folds is None and learners is None and design.features is None:
        return None
    for name, value, kind in (("folds", folds, Folds), ("learners", learners, Learners)):
        if value is not None and not isinstance(value, kind):
            raise EstimationError(
                explain(f"{name} is a {type(value).__name__}.", fix=f"ec.{kind.__name__}()")
            )
    if folds is not None and folds.repeats > 1:
        raise EstimationError(
            explain(
                "Panels are not dealt into folds several times.",
                fix="Folds(k=...), and compare several seeds",
            )
        )
    return Settings(folds or Folds(), learners or Learners(), seed)


def _read_window(window: tuple[int, int] | None) -> tuple[int, int] | None:
    if window is None:
        return None
    whole = isinstance(window, tuple | list) and len(window) == 2
    if whole:
        whole = all(isinstance(one, int | np.integer) and not isinstance(one, bool) for one in window)
    if not whole or not window[0] < REFERENCE < 0 <= window[1]:
        raise EstimationError(
            explain(
                f"window={window!r}.",
                rule="two whole numbers: the first below -1, the last at least 0",
                fix="window=(-4, 4)",
            )
        )
    return int(window[0]), int(window[1])
