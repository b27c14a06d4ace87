"""A user's choice of standard errors: read and checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of, require_one_kind
from eocausal.errors import EstimationError, explain
from eocausal.inference.spatial import KERNELS
from eocausal.inference.variance import Variance, Vcov, score_variance

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]
Groups = Mapping[str, Labels]
VcovChoice = str | Mapping[str, Any]

# Half of the way around the Earth.
_FARTHEST_M = 20_037_500.0
_DISTANCE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(km|m)\s*", re.ASCII)
_METRES = {"km": 1000.0, "m": 1.0}


def resolve_vcov(choice: VcovChoice, *, groups: Groups, ids: Labels) -> tuple[Vcov, dict[str, Labels]]:
    """Return what a user's choice of standard errors means, and the cluster labels (n,) by name with those given.

    Parameters
    ----------
    choice : str or mapping
        As in :meth:`eocausal.Estimate.with_vcov`.
    groups : mapping of str to array of shape (n,)
        Labels that the result holds already.
    ids : array of shape (n,)
        Unit ids, which a Series of labels is matched to.
    """
    known = dict(groups)
    if isinstance(choice, Mapping):
        kind = next((name for name in _READERS if name in choice), None)
        if kind is None:
            raise _not_known(choice)
        reader, options = _READERS[kind]
        strange = [str(name) for name in choice if name not in (kind, *options)]
        if strange:
            fix = (
                f"with {kind!r} goes only {options[0]!r}"
                if options
                else f"leave them out: {kind!r} has no options"
            )
            raise EstimationError(
                explain(f"vcov={choice!r} holds options that are not known.", where=strange, fix=fix)
            )
        return reader(choice, known, ids)
    if choice == "cluster":
        if not known:
            text = "vcov='cluster' was asked for, but the design has no clusters."
            raise EstimationError(explain(text, fix="cluster= in Design"))
        return Vcov("cluster", (next(iter(known)),)), known
    if choice in ("iid", "hetero"):
        return Vcov(choice), known
    raise _not_known(choice)


def variance_of(
    scores: FloatArray, how: Vcov, *, groups: Groups, coordinates: FloatArray | None, n_params: int
) -> Variance:
    """Return the covariance of estimates from influence values (n, k), labels by name and coordinates (n, 2)."""
    clusters = [groups[name] for name in how.names]
    return score_variance(scores, vcov=how, clusters=clusters, coordinates=coordinates, n_params=n_params)


def read_cutoff(cutoff: object) -> float:
    """Return a distance in metres, from a number of metres or from text.

    Examples
    --------
    >>> read_cutoff("50km"), read_cutoff("2.5 km"), read_cutoff("800 m"), read_cutoff(50_000)
    (50000.0, 2500.0, 800.0, 50000.0)
    """
    metres = np.nan
    if isinstance(cutoff, str):
        found = _DISTANCE.fullmatch(cutoff)
        metres = float(found[1]) * _METRES[found[2]] if found else np.nan
    elif isinstance(cutoff, int | float | np.integer | np.floating) and not isinstance(cutoff, bool):
        metres = float(cutoff)
    if not 1 <= metres <= _FARTHEST_M:
        raise EstimationError(
            explain(
                f"{cutoff!r} is not a cutoff.",
                rule="text such as '50km' or '800 m', or a number of metres, from 1 m to half around the Earth",
                fix="{'conley': '50km'}",
            )
        )
    return round(metres, 3)


def _read_clusters(
    choice: Mapping[str, Any], known: dict[str, Labels], ids: Labels
) -> tuple[Vcov, dict[str, Labels]]:
    wanted = choice["cluster"]
    several = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    if not several:
        raise EstimationError(explain("{'cluster': []} names no cluster.", fix="vcov='iid'"))
    names: list[str] = []
    for one in several:
        name = str(one.name or "given") if isinstance(one, pd.Series) else one
        known[name] = _labels_by_id(one, ids) if isinstance(one, pd.Series) else _stored(one, known)
        names.append(name)
    if len(set(names)) < len(names):
        raise EstimationError(
            explain(
                "A cluster is named twice.",
                where=names,
                fix="give each Series its own name: labels.rename('image')",
            )
        )
    return Vcov("cluster", tuple(names)), known


def _labels_by_id(given: pd.Series, ids: Labels) -> Labels:
    if given.index.has_duplicates:
        raise EstimationError(
            explain(
                "The Series of cluster labels has several values for some units.",
                where=given.index[given.index.duplicated()],
                fix="one label for each unit id",
            )
        )
    labels = given.reindex(ids)
    if labels.isna().any():
        raise EstimationError(
            explain(
                "Cluster labels are missing for some units.",
                where=ids[labels.isna().to_numpy()],
                fix="index the Series by unit id",
            )
        )
    found = labels.to_numpy()
    require_one_kind(
        found, what=f"The Series of cluster labels {given.name!r}", error=EstimationError,
        fix="labels.astype(str)",
    )  # fmt: skip
    return found


def _stored(name: object, known: Groups) -> Labels:
    if not isinstance(name, str):
        raise EstimationError(
            explain(
                f"cluster is a {type(name).__name__}.",
                fix="a name, a Series of labels by unit id, or a list of these",
            )
        )
    if name not in known:
        raise EstimationError(
            explain(
                f"Cluster {name!r} is not stored with this result.",
                fix=f"choose from {sorted(known)} or pass a Series of labels by unit id",
            )
        )
    return known[name]


def _read_conley(
    choice: Mapping[str, Any], known: dict[str, Labels], ids: Labels
) -> tuple[Vcov, dict[str, Labels]]:
    kernel = one_of(choice.get("kernel", "uniform"), tuple(KERNELS), argument="kernel", error=EstimationError)
    return Vcov("conley", cutoff_m=read_cutoff(choice["conley"]), kernel=kernel), known


_Reader = Callable[[Mapping[str, Any], dict[str, Labels], Labels], tuple[Vcov, dict[str, Labels]]]

# Kinds that need more than their name: how each is read, and the options that go with it.
_READERS: dict[str, tuple[_Reader, tuple[str, ...]]] = {
    "cluster": (_read_clusters, ()),
    "conley": (_read_conley, ("kernel",)),
}


def _not_known(choice: object) -> EstimationError:
    fix = "'iid', 'hetero', 'cluster', {'cluster': name}, {'cluster': [name, name]} or {'conley': '50km'}"
    return EstimationError(explain(f"vcov={choice!r} is not known.", fix=fix))
