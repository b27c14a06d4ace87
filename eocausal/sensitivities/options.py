"""Options that one kind of sensitivity analysis has and others have not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import pandas as pd


class KindOptions(TypedDict, total=False):
    """Options of :func:`eocausal.sensitivity`, by kind; each kind refuses those of others.

    Attributes
    ----------
    r2_treatment, r2_outcome : float or sequence of float
        ``omitted``, ``dml``: strengths to show, as shares of what is left of treatment (below 1) and of
        the outcome; the
        second is the first by default. For ``aipw`` the first is ``1 - E alpha_short^2 / E alpha_long^2``.
    times : float or sequence of float
        ``omitted``, ``dml``: multiples of each benchmark; default 1, 2, 3.
    q : float
        ``omitted``, ``dml``: share of the estimate to be explained away; default 1.
    rho : float
        ``dml``: correlation of what confounders change in the outcome and in the weights, above 0; default 1.
    lambdas : sequence of float
        ``marginal``: factors from 1 to 100 by which odds of treatment may be off; default 1, 1.25, 1.5, 2, 3, 5.
    bounds : {"both", "zsb", "sharp"}
        ``marginal``, of weighted results: the bounds of Zhao, Small and Bhattacharya, those of Dorn and
        Guo, or both.
    quantile : {"out_of_fold", "linear", "boosting"}
        ``marginal``: how quantiles of the outcome are predicted.
    draws : int
        ``marginal``: of the bootstrap, default 200. ``placebo``: how often treatment is moved (99) and
        images are dealt
        anew (20).
    r2_max : float
        ``oster``, ``breakdown``: share of the outcome that all variables together, seen and unseen,
        would explain;
        default 1.3 times that of the regression, at most 1.
    always : str or sequence of str
        ``oster``, ``breakdown``: controls that are in the short regression too.
    delta : float
        ``oster``: selection on the unseen as a multiple of that on the controls, at which effects are
        given; default 1.
    beta : float
        ``oster``, ``breakdown``: the effect to be reached, or to lie beyond; default 0.
    bias_max : float
        ``breakdown``: largest bias thought possible; default twice the distance to ``beta``.
    scale : {"auto", "risk_ratio", "difference"}
        ``evalue``: of 0/1 outcomes risk ratios, else differences in standard deviations.
    null : float
        ``evalue``: risk ratio to be reached, default 1, or the effect, default 0.
    gammas : sequence of float
        ``rosenbaum``: largest odds ratios of treatment within a pair or stratum; default 1, 1.25, 1.5,
        2, 3, 4, 5.
    strata : str or Series
        ``rosenbaum``: pairs or strata, a column or labels by unit id; default optimal pairs by propensity.
    statistic : {"auto", "signed_rank", "mcnemar", "aligned_rank", "mean", "mantel_haenszel"}
        ``rosenbaum``.
    caliper : float or None
        ``rosenbaum``: largest distance within a pair, in standard deviations of the logit; default 0.2.
    adjust : bool
        ``rosenbaum``: whether what columns predict of the outcome is taken off; default for pairs that
        are made here.
    tests : str or sequence of str
        ``placebo``: some of ``outcomes``, ``future``, ``shifted_treatment``, ``permuted_images``.
        ``spatial``: some of
        ``moran``, ``conley``, ``buffers``, ``rings``. Default: all that can be run.
    outcomes : str or sequence of str
        ``placebo``: columns that treatment cannot have changed.
    future : str
        ``placebo``: 0/1 column of treatment that came later.
    shift_m : float
        ``placebo``: least distance in metres that treatment is moved; default a tenth of the shorter
        side of the map.
    neighbours : int or str
        ``spatial``: how many nearest units are neighbours, default 8, or a distance such as ``"10km"``.
    cutoffs, buffers, rings : sequence of (str or float)
        ``spatial``: distances of Conley's errors, distances from treated units within which controls
        are left out, and
        outer edges of the rings of exposure; text such as ``"5km"`` or metres.
    """

    r2_treatment: float | Sequence[float] | None
    r2_outcome: float | Sequence[float] | None
    times: float | Sequence[float] | None
    q: float
    rho: float
    lambdas: Sequence[float]
    bounds: str | None
    quantile: str | None
    draws: int | None
    r2_max: float | None
    always: str | Sequence[str] | None
    delta: float
    beta: float
    bias_max: float | None
    scale: str
    null: float | None
    gammas: Sequence[float]
    strata: str | pd.Series | None
    statistic: str
    caliper: float | None
    adjust: bool | None
    tests: str | Sequence[str] | None
    outcomes: str | Sequence[str]
    future: str | None
    shift_m: float | None
    neighbours: int | str
    cutoffs: Sequence[str | float] | None
    buffers: Sequence[str | float] | None
    rings: Sequence[str | float] | None
