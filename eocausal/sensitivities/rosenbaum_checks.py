"""What hidden bias is asked of: bounds of its options, and results that it can be asked of."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING

import numpy as np

from eocausal.design import Design
from eocausal.errors import SensitivityError, explain
from eocausal.sensitivities.subject import origin_of

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate


def cross_section(estimate: Estimate) -> Design:
    """Return the design of the units that entered; raise where it has no two arms of units."""
    entered = origin_of(estimate).entered
    if not isinstance(entered, Design):
        raise SensitivityError(
            explain(
                f"kind='rosenbaum' compares units that are seen once, and this is a {type(entered).__name__}.",
                rule="a result of ec.ate",
                fix="kind='omitted', or kind='placebo'",
            )
        )
    if entered.treatment_type != "binary":
        raise SensitivityError(
            explain(
                f"kind='rosenbaum' compares treated units with controls, and the treatment is "
                f"{entered.treatment_type}.",
                rule="a treatment of 0 and 1",
                fix="kind='dml'",
            )
        )
    return entered


def read_gammas(gammas: object) -> tuple[float, ...]:
    """Return odds ratios in ascending order, each once."""
    values = np.atleast_1d(np.asarray(gammas))
    numeric = values.dtype.kind in "iuf" and values.ndim == 1 and values.size > 0
    if not numeric or not np.isfinite(values).all() or (values < 1).any():
        raise SensitivityError(
            explain(
                f"gammas={gammas!r}.",
                rule="odds ratios of at least 1, the larger of the odds over the smaller",
                fix="gammas=(1, 1.5, 2, 3)",
            )
        )
    return tuple(float(one) for one in np.unique(values))


def require_caliper(caliper: object) -> None:
    """Raise unless it is a positive number, or None."""
    if caliper is None:
        return
    if isinstance(caliper, bool) or not isinstance(caliper, numbers.Real) or not 0 < float(caliper) < np.inf:
        raise SensitivityError(
            explain(
                f"caliper={caliper!r}.",
                rule="positive standard deviations of the logit of the propensity, or None",
                fix="caliper=0.2",
            )
        )


def require_adjust(adjust: object) -> None:
    """Raise unless it is one of True, False and None."""
    if adjust is not None and not isinstance(adjust, bool | np.bool_):
        raise SensitivityError(explain(f"adjust={adjust!r}.", rule="True, False or None"))


def require_enough(n_informative: int) -> None:
    """Raise where fewer than two pairs or strata say anything."""
    if n_informative < 2:
        kind = "pairs or strata with treated and control units whose outcomes differ"
        raise SensitivityError(
            explain(
                f"There are {n_informative} {kind}.", rule="at least 2", fix="a wider caliper=, or strata="
            )
        )
