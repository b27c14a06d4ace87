"""How rates are computed: the target declared beforehand, the integration, the standard errors, the grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypedDict

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of, whole_number
from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.rate_weighting import Weighting
from eocausal.evaluate.toc import DEFAULT_GRID, INTEGRATIONS, TARGETS

FloatArray = npt.NDArray[np.float64]

STD_ERRORS = ("influence", "half_sample")


class RateOptions(TypedDict, total=False):
    """The same as keywords of a call."""

    target: str | Weighting
    integration: Literal["exact", "grf"]
    std_errors: Literal["influence", "half_sample"]
    grid: npt.ArrayLike | None
    replicates: int
    seed: int


@dataclass(frozen=True)
class RateSettings:
    """How rates are computed, checked once; see :func:`eocausal.rate` for what each means.

    Parameters
    ----------
    target : {"AUTOC", "QINI"} or Weighting
    integration : {"exact", "grf"}
    std_errors : {"influence", "half_sample"}
    grid : array-like, optional
        Shares at which the TOC is given; kept as a tuple.
    replicates : int
    seed : int

    Raises
    ------
    EvaluationError
        Unknown choices, or a grid that does not rise from above 0 to 1.

    Examples
    --------
    >>> RateSettings(target="QINI").targets
    ('QINI', 'AUTOC')
    """

    target: str | Weighting = "AUTOC"
    integration: Literal["exact", "grf"] = "exact"
    std_errors: Literal["influence", "half_sample"] = "half_sample"
    grid: npt.ArrayLike | None = field(default=None)
    replicates: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if callable(self.target):
            raise EvaluationError(
                explain(
                    "target is a function.",
                    fix="target=ec.Weighting('first fifth', lambda q: (q <= 0.2) / 0.2)",
                )
            )
        if not isinstance(self.target, Weighting):
            one_of(self.target, TARGETS, argument="target", error=EvaluationError)
        one_of(self.integration, INTEGRATIONS, argument="integration", error=EvaluationError)
        one_of(self.std_errors, STD_ERRORS, argument="std_errors", error=EvaluationError)
        shares = _numbers(DEFAULT_GRID if self.grid is None else self.grid)
        if not (np.diff(shares) > 0).all() or not shares[0] > 0 or shares[-1] != 1:
            raise EvaluationError(
                explain(
                    "grid is not a rising list of shares that ends at 1.", fix="grid=[0.1, 0.2, 0.5, 1.0]"
                )
            )
        object.__setattr__(self, "grid", tuple(shares.tolist()))
        whole_number(self.replicates, argument="replicates", error=EvaluationError, least=50)
        whole_number(self.seed, argument="seed", error=EvaluationError)

    @property
    def shares(self) -> FloatArray:
        """The grid as an array (q,)."""
        return np.asarray(self.grid, dtype=float)

    @property
    def weighting(self) -> Weighting | None:
        """The weighting declared as target, if it is one of one's own."""
        return self.target if isinstance(self.target, Weighting) else None

    @property
    def targets(self) -> tuple[str, ...]:
        """The target declared beforehand, then AUTOC and QINI or the other of the two."""
        first = self.target.name if isinstance(self.target, Weighting) else self.target
        return (first, *[one for one in TARGETS if one != first])

    @property
    def columns(self) -> list[int]:
        """Where each of the targets stands in AUTOC, QINI and the weighting."""
        made = TARGETS if self.weighting is None else (*TARGETS, self.weighting.name)
        return [made.index(one) for one in self.targets]


def _numbers(grid: npt.ArrayLike) -> FloatArray:
    """Return the grid as an array (q,), or raise."""
    try:
        shares = np.asarray(grid, dtype=float).ravel()
    except (TypeError, ValueError) as error:
        raise EvaluationError(
            explain("grid is not numeric.", fix="shares such as grid=[0.1, 0.5, 1.0]")
        ) from error
    if not shares.size:
        raise EvaluationError(explain("grid is empty.", fix="leave it out, or grid=[0.1, 0.5, 1.0]"))
    return shares
