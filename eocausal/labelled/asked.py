"""How outcomes were labelled, how predictions are powered, and how effects are adjusted: small frozen settings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from eocausal._checks import one_of, whole_number
from eocausal.errors import DebiasError, explain
from eocausal.labelled.rectified import BOUNDS
from eocausal.nuisance.folds import Folds
from eocausal.nuisance.learners import Learners

AVERAGES = ("unlabelled", "all")


@dataclass(frozen=True)
class Labelling:
    """How it was decided whose outcome is measured.

    Parameters
    ----------
    probability : float or str, optional
        Known probability of being labelled, of all units or a column of it, above 0 and at most 1. Without it all
        units of an arm, and of a stratum, had the same.
    strata : str, optional
        Column of groups within which labels were drawn at random. Predictions are then powered by stratum and arm,
        and strata count by how many units of the arm they hold.
    cluster : str, optional
        Column of groups that were labelled whole or not at all, such as villages. Standard errors are clustered by
        it, besides the clusters that treatment was assigned by.
    trained_on : str, optional
        Boolean column of units that the model of the predictions learned from. Their predictions are nearer to the
        truth than those of others, so these units are left out, and counted.

    Examples
    --------
    >>> Labelling(probability="chance", cluster="village")
    Labelling(probability='chance', strata=None, cluster='village', trained_on=None)
    """

    probability: float | str | None = None
    strata: str | None = None
    cluster: str | None = None
    trained_on: str | None = None

    def __post_init__(self) -> None:
        for name in ("strata", "cluster", "trained_on"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                text = f"{name} is a {type(value).__name__}, not the name of a column."
                raise DebiasError(
                    explain(text, fix=f"data['{name}'] = values, then Labelling({name}='{name}')")
                )
        if self.probability is None or isinstance(self.probability, str):
            return
        share = _number(self.probability)
        if not 0 < share <= 1:
            text = f"The probability of being labelled is {self.probability!r}."
            raise DebiasError(
                explain(text, rule="above 0 and at most 1, or the name of a column of such numbers")
            )
        object.__setattr__(self, "probability", share)


@dataclass(frozen=True)
class PowerTuning:
    """How much of the predictions is used.

    Parameters
    ----------
    lam : float, optional
        This much in every arm and stratum, such as 1 for plain prediction-powered inference. Default: what makes
        the variance smallest, by arm and stratum.
    average : {"unlabelled", "all"}, optional
        Whose predictions are averaged: of units without a label, as in ppi_py, or of all units. Tuned estimates are
        the same either way; plain ones (``lam=1``) are not. Default ``unlabelled``, and ``all`` where units had
        different probabilities of being labelled.
    pooled : bool
        Tune as ppi_py does, with one variance of predictions over labelled and other units, which takes units as
        independent and equally weighted. Default: by the influence values that standard errors are made of, so
        weights count, and clusters where there are 30 with labels in each arm, and the tuned standard error is then
        never above those of ``classical`` and ``ppi``.
    ddof : {0, 1}
        Variances of ``m`` units are over ``m - ddof``. ppi_py has 0 (and 1 in its variance of predictions).
    bounds : (low, high)
        What tuned numbers are brought into. Default 0 to 1.

    Examples
    --------
    >>> PowerTuning(pooled=True, ddof=0)
    PowerTuning(lam=None, average=None, pooled=True, ddof=0, bounds=(0.0, 1.0))
    """

    lam: float | None = None
    average: str | None = None
    pooled: bool = False
    ddof: int = 1
    bounds: tuple[float, float] = BOUNDS

    def __post_init__(self) -> None:
        if self.lam is not None:
            if not math.isfinite(_number(self.lam)):
                raise DebiasError(explain(f"lam={self.lam!r}.", rule="a finite number, or None to tune it"))
            object.__setattr__(self, "lam", float(self.lam))
        if self.average is not None:
            one_of(self.average, AVERAGES, argument="average", error=DebiasError)
        if whole_number(self.ddof, argument="ddof", error=DebiasError) > 1:
            raise DebiasError(explain(f"ddof={self.ddof!r}.", rule="0 or 1"))
        if not isinstance(self.pooled, bool):
            raise DebiasError(explain(f"pooled={self.pooled!r}.", rule="True or False"))
        object.__setattr__(self, "bounds", _bounds_of(self.bounds))


@dataclass(frozen=True)
class Aipw:
    """Effects adjusted for covariates and image features by doubly robust scores.

    Parameters
    ----------
    folds : Folds, optional
    learners : Learners, optional
    seed : int

    Examples
    --------
    >>> Aipw(seed=1).seed
    1
    """

    folds: Folds | None = None
    learners: Learners | None = None
    seed: int = 0


def _bounds_of(given: object) -> tuple[float, float]:
    """Return two numbers that rise, or raise."""
    pair = [_number(one) for one in given] if isinstance(given, list | tuple) else []
    if len(pair) != 2 or not pair[0] < pair[1]:
        raise DebiasError(explain(f"bounds={given!r}.", rule="two numbers, the lower before the higher"))
    return pair[0], pair[1]


def _number(value: object) -> float:
    """Return a number, or NaN for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return math.nan
    return float(value)


def labelling_of(given: object) -> Labelling:
    """Return what was said of the labelling as settings: a number, the name of a column, settings or nothing."""
    if given is None:
        return Labelling()
    if isinstance(given, Labelling):
        return given
    if isinstance(given, str | int | float | np.number) and not isinstance(given, bool):
        return Labelling(probability=given if isinstance(given, str) else float(given))
    text = f"labelling is a {type(given).__name__}."
    fix = "a probability, the name of a column of them, or ec.Labelling(...)"
    raise DebiasError(explain(text, fix=fix))


def tuning_of(method: object, named: tuple[str, ...]) -> tuple[str, PowerTuning]:
    """Return the name of the estimate that was chosen, and how predictions are powered.

    Examples
    --------
    >>> tuning_of(PowerTuning(lam=0.5), ("ppi", "ppi++"))[0]
    'ppi(0.5)'
    """
    if not isinstance(method, str):
        method = method if isinstance(method, PowerTuning) else PowerTuning(lam=_number(method))
        return ("ppi++" if method.lam is None else f"ppi({method.lam:g})"), method
    return one_of(method, named, argument="method", error=DebiasError), PowerTuning()


def adjusting_of(adjust: object) -> Aipw | None:
    """Return settings of doubly robust scores, or None for differences in means."""
    if isinstance(adjust, Aipw):
        return adjust
    name = one_of(str(adjust), ("difference", "aipw"), argument="adjust", error=DebiasError)
    return Aipw() if name == "aipw" else None
