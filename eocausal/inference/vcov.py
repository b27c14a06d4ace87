"""A user's choice of standard errors: read and checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of, require_one_kind, whole_number
from eocausal.errors import EstimationError, explain
from eocausal.inference.arms import Arms, nested
from eocausal.inference.blocks import cells
from eocausal.inference.bootstrap import WEIGHTS, usual_weights
from eocausal.inference.how import distance_text
from eocausal.inference.panel_index import PanelIndex
from eocausal.inference.projected import read_crs
from eocausal.inference.serial import ALL_PERIODS
from eocausal.inference.spatial import KERNELS
from eocausal.inference.variance import FEW_CLUSTERS, Variance, Vcov, score_variance

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]
Groups = Mapping[str, Labels]
VcovChoice = str | Mapping[str, Any] | Vcov

# Half of the way around the Earth.
_FARTHEST_M = 20_037_500.0
_DISTANCE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(km|m)\s*", re.ASCII)
# What clusters without a name are called; each that is given takes the place of the one before.
_UNNAMED = "given"
_METRES = {"km": 1000.0, "m": 1.0}


def resolve_vcov(
    choice: VcovChoice, *, groups: Groups, ids: Labels, units: Labels | None = None
) -> tuple[Vcov, dict[str, Labels]]:
    """Return what a user's choice of standard errors means, and the cluster labels (n,) by name with those given.

    Parameters
    ----------
    choice : str, mapping or Vcov
        As in :meth:`eocausal.Estimate.with_vcov`; that of another result, whose clusters are known here by name.
    groups : mapping of str to array of shape (n,)
        Labels that the result holds already.
    ids : array of shape (n,)
        Unit ids, which a Series of labels is matched to.
    units : array of shape (n,), optional
        Of a panel the unit of each row, which a Series of labels by unit is matched to.
    """
    known = dict(groups)
    if isinstance(choice, Vcov):
        return _as_elsewhere(choice, known), known
    if isinstance(choice, Mapping):
        choice = choice if units is None else _by_row(choice, ids, units)
        kind = next((name for name in _READERS if name in choice), None)
        if kind is None:
            raise _not_known(choice)
        reader, options = _READERS[kind]
        strange = [str(name) for name in choice if name not in (kind, *options)]
        if strange:
            goes = ", ".join(repr(one) for one in options)
            fix = f"with {kind!r} goes only {goes}" if options else f"leave them out: {kind!r} has no options"
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


def _as_elsewhere(how: Vcov, known: Groups) -> Vcov:
    """Return how the variance of another result was made, where all it needs is known here."""
    missing = [name for name in how.names if name not in known]
    if missing:
        raise EstimationError(
            explain(f"Clusters of {how.label} are not known here.", where=missing, fix="cluster= in Design")
        )
    return how


def variance_of(
    scores: FloatArray,
    how: Vcov,
    *,
    groups: Groups,
    coordinates: FloatArray | None,
    n_params: int,
    panel: PanelIndex | None = None,
    arms: Arms | None = None,
    weights: FloatArray | None = None,
) -> Variance:
    """Return the covariance of estimates from influence values (n, k), labels by name and coordinates (n, 2).

    With the arms, what there is to say of the clusters stands in its notes, and bootstraps recentre influence
    values arm by arm, with ``weights`` (n,) those of the means of the arms.
    """
    made = score_variance(
        scores, vcov=how, clusters=[groups[name] for name in how.names], coordinates=coordinates, n_params=n_params,
        panel=panel, recentring=None if arms is None else arms.recentring(weights, panel),
    )  # fmt: skip
    if arms is None:
        return replace(made, notes=(*_few(made), *made.notes))
    told = arms.notes(*_with_blocks(how, groups, coordinates))
    return replace(made, notes=(*told, *made.notes))


def _few(made: Variance) -> tuple[str, ...]:
    """Say where there are few clusters, of results that have no arms to count them by."""
    if made.n_clusters is None or made.n_clusters >= FEW_CLUSTERS:
        return ()
    text = f"{made.n_clusters} clusters: with fewer than {FEW_CLUSTERS} "
    if made.how.kind == "cluster":
        rests = "{'bootstrap': 'wild'} rests less on their number"
        return (f"{text}clustered standard errors are too small; {rests}",)
    return (f"{text}bootstraps too may reject too often",)


def _with_blocks(how: Vcov, groups: Groups, coordinates: FloatArray | None) -> tuple[Vcov, Groups]:
    """Return blocks of ground as clusters like others, so that they are counted and compared as those are."""
    if how.block_m is None or coordinates is None:
        return how, groups
    name = f"blocks of {distance_text(how.block_m)}"
    blocks = cells(coordinates, block_m=how.block_m)
    return replace(how, names=(name,), block_m=None), {**groups, name: blocks}


def read_cutoff(cutoff: object, *, what: str = "a cutoff", fix: str = "{'conley': '50km'}") -> float:
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
                f"{cutoff!r} is not {what}.",
                rule="text such as '50km' or '800 m', or a number of metres, from 1 m to half around the Earth",
                fix=fix,
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
        if isinstance(one, pd.Series):
            name = str(one.name or _UNNAMED)
            labels = _labels_by_id(one, ids)
            _require_own_name(name, labels, known)
            known[name] = labels
        else:
            name = _stored(one, known)
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


def _by_row(choice: Mapping[str, Any], ids: Labels, units: Labels) -> Mapping[str, Any]:
    """Return a choice whose Series of labels are by row of a panel, also where they were by unit."""

    def one_by_row(one: Any) -> Any:
        if not isinstance(one, pd.Series) or one.index.has_duplicates:
            return one
        if (one.index.get_indexer(pd.Index(units)) < 0).any():
            return one
        return pd.Series(one.reindex(units).to_numpy(), index=ids, name=one.name)

    wanted = choice.get("cluster")
    made = [one_by_row(one) for one in wanted] if isinstance(wanted, list | tuple) else one_by_row(wanted)
    return {**choice, "cluster": made} if "cluster" in choice else choice


def _require_own_name(name: str, labels: Labels, known: Groups) -> None:
    """Raise where labels would take the place of others, such as those that treatment was assigned by."""
    if name == _UNNAMED or name not in known:
        return
    if nested(labels, known[name]) and nested(known[name], labels):
        return
    raise EstimationError(
        explain(
            f"The Series is called {name!r}, as clusters that the result holds, and parts units otherwise.",
            rule="one name for one kind of clusters",
            fix="labels.rename('other')",
        )
    )


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


def _stored(name: object, known: Groups) -> str:
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
    return name


def _read_conley(
    choice: Mapping[str, Any], known: dict[str, Labels], ids: Labels
) -> tuple[Vcov, dict[str, Labels]]:
    kernel = one_of(choice.get("kernel", "uniform"), tuple(KERNELS), argument="kernel", error=EstimationError)
    serial = choice.get("serial")
    if serial not in (None, ALL_PERIODS):
        serial = whole_number(serial, argument="serial", error=EstimationError)
    crs = None if choice.get("crs") is None else read_crs(choice["crs"])
    how = Vcov("conley", cutoff_m=read_cutoff(choice["conley"]), kernel=kernel, serial=serial, crs=crs)
    return how, known


def _read_bootstrap(
    choice: Mapping[str, Any], known: dict[str, Labels], ids: Labels
) -> tuple[Vcov, dict[str, Labels]]:
    kind = one_of(choice["bootstrap"], BOOTSTRAPS, argument="bootstrap", error=EstimationError)
    seed = whole_number(choice.get("seed", 0), argument="seed", error=EstimationError)
    default = 1999 if kind == "wild" else 999
    draws = whole_number(choice.get("draws", default), argument="draws", error=EstimationError, least=99)
    drawn = Vcov("wild" if kind == "wild" else "bootstrap", draws=draws, seed=seed)
    if kind == "block" or (kind == "wild" and "block" in choice):
        _refuse_options(choice, ("cluster",), f"{kind!r} with blocks of its own")
        size = read_cutoff(choice.get("block"), what="the size of a block", fix=_BLOCK_FIX)
        drawn = replace(drawn, block_m=size)
    else:
        _refuse_options(choice, ("block",), f"{kind!r}")
        drawn, known = _with_one_cluster(drawn, choice, known, ids)
    if kind != "wild":
        _refuse_options(choice, ("weights",), f"{kind!r}, which draws whole clusters")
        return drawn, known
    # how many blocks there are is not known here
    usual = usual_weights(np.unique(known[drawn.names[0]]).size) if drawn.names else None
    if "weights" not in choice:
        return replace(drawn, weights=usual), known
    weights = one_of(choice["weights"], tuple(WEIGHTS), argument="weights", error=EstimationError)
    return replace(drawn, weights=weights), known


def _with_one_cluster(
    drawn: Vcov, choice: Mapping[str, Any], known: dict[str, Labels], ids: Labels
) -> tuple[Vcov, dict[str, Labels]]:
    if "cluster" not in choice and not known:
        text = "A bootstrap of clusters was asked for, but the design has no clusters."
        fix = "cluster= in Design, {'bootstrap': 'cluster', 'cluster': series_by_unit_id}, or " + _BLOCK_FIX
        raise EstimationError(explain(text, fix=fix))
    wanted = choice.get("cluster", next(iter(known), None))
    how, known = _read_clusters({"cluster": wanted}, known, ids)
    if len(how.names) > 1:
        raise EstimationError(
            explain(
                "A bootstrap draws clusters of one kind, and several were named.",
                where=list(how.names),
                fix="name the units of assignment",
            )
        )
    return replace(drawn, names=how.names), known


def _refuse_options(choice: Mapping[str, Any], options: tuple[str, ...], kind: str) -> None:
    strange = [name for name in options if name in choice]
    if strange:
        raise EstimationError(
            explain(
                f"vcov={choice!r} holds options that do not go with {kind}.",
                where=strange,
                fix="leave them out",
            )
        )


BOOTSTRAPS = ("cluster", "block", "wild")
_BLOCK_FIX = "{'bootstrap': 'block', 'block': '50km'}"

_Reader = Callable[[Mapping[str, Any], dict[str, Labels], Labels], tuple[Vcov, dict[str, Labels]]]

# Kinds that need more than their name: how each is read, and the options that go with it.
_READERS: dict[str, tuple[_Reader, tuple[str, ...]]] = {
    # first, since clusters are an option of it
    "bootstrap": (_read_bootstrap, ("cluster", "block", "draws", "seed", "weights")),
    "cluster": (_read_clusters, ()),
    "conley": (_read_conley, ("kernel", "serial", "crs")),
}


def _not_known(choice: object) -> EstimationError:
    fix = "'iid', 'hetero', 'cluster', {'cluster': name}, {'cluster': [name, name]}, {'conley': '50km'} or "
    fix += "{'bootstrap': 'wild'}"
    return EstimationError(explain(f"vcov={choice!r} is not known.", fix=fix))
