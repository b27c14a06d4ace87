"""A simulated map: predictions of an outcome that lost part of it, labels to judge them by, and a trial."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from eocausal._checks import one_of, whole_number
from eocausal.errors import DesignError, explain
from eocausal.simulate._map_worlds import (
    Graded,
    LinkedDraws,
    Population,
    Shifted,
    World,
    heteroscedastic,
    mixture,
)

__all__ = ["SimulatedMap", "simulate_map"]

_REGIONS, _LATTICE, _DEGREES_APART = 20, 5, 0.5


@dataclass(frozen=True)
class _Kind:
    """What a kind of map is unless asked otherwise; ``noise_sd`` None where it cannot be asked for."""

    effect: float
    noise_sd: float | None
    build: Callable[[float, float, float], World]
    confounded: bool


_KINDS = {
    "gaussian": _Kind(
        0.5,
        math.sqrt(0.5),
        lambda effect, noise, confounding: Shifted(effect, confounding, 1.5, error_variance=noise**2),
        True,
    ),
    "surrogate": _Kind(
        0.5,
        math.sqrt(0.5),
        lambda effect, noise, confounding: Shifted(
            effect, confounding, 1.0, error_variance=noise**2, surrogate=True
        ),
        True,
    ),
    "proxy": _Kind(
        2.0,
        5.0,
        lambda effect, noise, confounding: Shifted(effect, confounding, 2.0, proxy_variance=noise**2 / 29),
        True,
    ),
    "mixture": _Kind(2.0, 2.0, lambda effect, noise, _: mixture(effect, error_sd=noise), False),
    "over_shrunk": _Kind(
        2.0, 2.0, lambda effect, noise, _: mixture(effect, error_sd=noise, dispersion=0.6), False
    ),
    "over_dispersed": _Kind(
        2.0, 2.0, lambda effect, noise, _: mixture(effect, error_sd=noise, dispersion=1.2), False
    ),
    "heteroscedastic": _Kind(0.5, None, lambda effect, noise, _: heteroscedastic(effect), False),
}


@dataclass(frozen=True, eq=False)
class SimulatedMap:
    """A simulated map, units with measured outcomes, a trial, and the truth about them.

    Attributes
    ----------
    calibration : DataFrame
        ``prediction truth treatment cluster region lon lat``, and ``covariate`` where there is one.
    trial : DataFrame
        ``prediction outcome treatment cluster region lon lat``, and ``covariate`` where there is one. ``outcome``
        is the true one, to check against or to reveal in part. Clusters are not those of ``calibration``.
    kind : str
    true_effect : float
    naive, lcc, tweedie : float
        What the difference in predictions, and both corrections, tend to in large samples: predictions are
        recalibrated, labels exact, the density of predictions known and, where treatment is confounded, units
        weighted by the true propensity.
    slope : float
        Of predictions on outcomes.
    prediction_variance, outcome_variance : float
    error_variance : float
        Of outcomes about their regression on predictions.
    """

    calibration: pd.DataFrame = field(repr=False)
    trial: pd.DataFrame = field(repr=False)
    kind: str
    true_effect: float
    naive: float
    lcc: float
    tweedie: float
    slope: float
    prediction_variance: float
    outcome_variance: float
    error_variance: float


def simulate_map(
    kind: str = "gaussian",
    *,
    n: int = 2000,
    n_calibration: int = 300,
    effect: float | None = None,
    noise_sd: float | None = None,
    clusters: tuple[int, float] = (1, 0.0),
    confounding: float = 0.0,
    label_noise_var: float = 0.0,
    seed: int = 0,
) -> SimulatedMap:
    """Simulate predictions of an outcome, labels to calibrate them by, and a trial that has predictions alone.

    Parameters
    ----------
    kind : {"gaussian", "surrogate", "proxy", "mixture", "over_shrunk", "over_dispersed", "heteroscedastic"}
        ``gaussian``: treatment moves the outcome, predictions follow it, all normal. ``surrogate``: treatment moves
        what is seen from above and the outcome follows from that, so differences in predictions are right as they
        are. ``proxy``: the best linear prediction from ``(2 Y, 3 Y, -4 Y)`` plus noise. ``mixture``: four normal
        parts, the outcome a prediction plus an error. ``over_shrunk``, ``over_dispersed``: the same with
        predictions pulled together by 0.6, or apart by 1.2. ``heteroscedastic``: errors have variance
        ``0.3 + 0.15 tanh(u)`` at prediction ``u``. Of the last four, treatment goes by the outcome alone.
    n, n_calibration : int
        Units of the trial, and with labels.
    effect : float, optional
        Default: 0.5, and 2 for ``proxy``, ``mixture``, ``over_shrunk`` and ``over_dispersed``. A mixture has
        effects between 0 and 2, the heteroscedastic world between 0 and 1.63.
    noise_sd : float, optional
        SD of the outcome's error about its prediction (default 0.71; in mixtures 2), in ``proxy`` of the noise of
        each of its three columns (default 5). Not for ``heteroscedastic``.
    clusters : (int, float)
        Units in a cluster, and the share of the variance of each part of them that they have in common. In
        ``gaussian``, ``surrogate`` and ``proxy`` the covariate and treatment are the same in a whole cluster,
        whatever that share is, so that outcomes have more in common than it says.
    confounding : float
        Treatment has probability ``1 / (1 + exp(-confounding * covariate))``; for ``gaussian``, ``surrogate`` and
        ``proxy`` only, where the covariate is half the variance of the outcome.
    label_noise_var : float
        Variance of error in ``truth``; outcomes of the trial have none.
    seed : int

    Returns
    -------
    SimulatedMap

    Raises
    ------
    DesignError
        Numbers out of range.

    References
    ----------
    .. [1] Pettersson, Jerzak and Daoud (2025). One map, many trials. arXiv 2508.01341.

    Examples
    --------
    >>> made = simulate_map("mixture", n=500, n_calibration=100, seed=1)
    >>> made.trial.shape, made.true_effect, round(made.naive, 3), round(made.lcc, 3), round(made.tweedie, 3)
    ((500, 7), 2.0, 1.315, 1.66, 2.0)
    """
    for name, value in (("effect", effect), ("noise_sd", noise_sd), ("confounding", confounding)):
        if value is not None:
            _between(value, name, least=-math.inf)
    one_of(kind, tuple(_KINDS), argument="kind", error=DesignError)
    world, of = _world(kind, effect, noise_sd, confounding)
    for name, value in (("n", n), ("n_calibration", n_calibration)):
        whole_number(value, argument=name, error=DesignError, least=10)
    size, icc = _pair(clusters)
    whole_number(size, argument="clusters[0]", error=DesignError, least=1)
    _between(icc, "clusters[1]", least=0.0, most=1.0)
    _between(label_noise_var, "label_noise_var", least=0.0)
    whole_number(seed, argument="seed", error=DesignError)
    first, second = np.random.default_rng(seed).spawn(2)
    trial = _sample(world, first, n=n, size=size, icc=icc, prefix="t")
    calibration = _sample(world, second, n=n_calibration, size=size, icc=icc, prefix="c")
    truth = calibration.pop("outcome") + math.sqrt(label_noise_var) * second.normal(size=n_calibration)
    calibration.insert(1, "truth", truth)
    return SimulatedMap(
        calibration,
        trial,
        kind,
        true_effect=of.true_effect,
        naive=of.naive,
        lcc=of.lcc,
        tweedie=of.tweedie,
        slope=of.slope,
        prediction_variance=of.prediction_variance,
        outcome_variance=of.outcome_variance,
        error_variance=of.error_variance,
    )


@lru_cache(maxsize=32)
def _world(
    kind: str, effect: float | None, noise_sd: float | None, confounding: float
) -> tuple[World, Population]:
    """Return a world and its closed forms, which are the same for all seeds."""
    made = _KINDS[kind]
    if noise_sd is not None and made.noise_sd is None:
        raise DesignError(
            explain(f"noise_sd={noise_sd}, but errors of {kind!r} have a variance of their own.")
        )
    if confounding and not made.confounded:
        rule = "in this kind, treatment goes by the outcome alone"
        fix = 'kind="gaussian", "surrogate" or "proxy"'
        raise DesignError(explain(f"confounding={confounding} with kind={kind!r}.", rule=rule, fix=fix))
    asked = made.effect if effect is None else effect
    noise = made.noise_sd if noise_sd is None else _between(noise_sd, "noise_sd", least=0.0)
    if kind == "gaussian" and noise is not None and noise**2 >= 1.5:
        raise DesignError(explain(f"noise_sd={noise}.", rule="below 1.22, the SD of the outcome"))
    world = made.build(asked, noise or 0.0, confounding)
    if isinstance(world, Graded) and not 0 <= asked <= world.largest_effect + 1e-9:
        rule = f"between 0 and {world.largest_effect:.2f} with kind={kind!r}"
        raise DesignError(explain(f"effect={asked}.", rule=rule))
    return world, world.population()


def _pair(clusters: object) -> tuple[Any, Any]:
    if not isinstance(clusters, tuple | list) or len(clusters) != 2:
        rule = "units in a cluster, and the share of variance that they have in common"
        raise DesignError(explain(f"clusters={clusters!r}.", rule=rule, fix="clusters=(10, 0.2)"))
    return clusters[0], clusters[1]


def _between(value: object, name: str, *, least: float, most: float = math.inf) -> float:
    if not isinstance(value, int | float | np.number) or isinstance(value, bool):
        raise DesignError(explain(f"{name}={value!r}.", rule="a number"))
    if not (least <= value <= most and math.isfinite(value)):
        bound = f"{least} <= {name} <= {most}" if math.isfinite(most) else f"finite, at least {least}"
        raise DesignError(explain(f"{name}={value}.", rule="finite" if math.isinf(least) else bound))
    return float(value)


def _sample(
    world: World, rng: np.random.Generator, *, n: int, size: int, icc: float, prefix: str
) -> pd.DataFrame:
    """Return a sample of the world with clusters, in regions, at places."""
    cluster = np.arange(n) // size
    columns = world.draw(LinkedDraws(rng, cluster, icc))
    frame = pd.DataFrame(columns).astype({"treatment": int})
    count = int(cluster.max()) + 1
    region = cluster * _REGIONS // count
    corners = _DEGREES_APART * np.column_stack([region % _LATTICE, region // _LATTICE])
    places = corners + rng.uniform(0, 0.8 * _DEGREES_APART, size=(count, 2))[cluster]
    frame["cluster"] = [f"{prefix}{one:05d}" for one in cluster]
    frame["region"] = [f"r{one:02d}" for one in region]
    frame["lon"], frame["lat"] = 30.0 + places[:, 0], -2.0 + places[:, 1]
    return frame
