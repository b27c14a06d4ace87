"""A user's choice of standard errors: read, checked, and printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import pandas as pd

from eocausal.errors import EstimationError, explain
from eocausal.inference.variance import Vcov

VcovChoice = str | Mapping[str, Any]


def resolve_vcov(
    vcov: VcovChoice, *, groups: Mapping[str, npt.NDArray[Any]], ids: npt.NDArray[Any]
) -> tuple[Vcov, str, npt.NDArray[Any] | None]:
    """Turn a user's choice of standard errors into its kind, cluster name and labels (n,)."""
    if isinstance(vcov, Mapping):
        if list(vcov) != ["cluster"]:
            raise EstimationError(explain(f"vcov={vcov!r} is not known.", fix="{'cluster': name or Series}"))
        wanted = vcov["cluster"]
        if isinstance(wanted, pd.Series):
            if wanted.index.has_duplicates:
                raise EstimationError(
                    explain(
                        "The Series of cluster labels has several values for some units.",
                        where=wanted.index[wanted.index.duplicated()],
                        fix="one label for each unit id",
                    )
                )
            labels = wanted.reindex(ids)
            if labels.isna().any():
                raise EstimationError(
                    explain(
                        "Cluster labels are missing for some units.",
                        where=ids[labels.isna().to_numpy()],
                        fix="index the Series by unit id",
                    )
                )
            return "cluster", str(wanted.name or "given"), labels.to_numpy()
        if not isinstance(wanted, str):
            raise EstimationError(
                explain(
                    f"cluster is a {type(wanted).__name__}.", fix="a name, or a Series of labels by unit id"
                )
            )
        if wanted not in groups:
            raise EstimationError(
                explain(
                    f"Cluster {wanted!r} is not stored with this result.",
                    fix=f"choose from {sorted(groups)} or pass a Series of labels by unit id",
                )
            )
        return "cluster", str(wanted), groups[wanted]
    if vcov == "cluster":
        if not groups:
            raise EstimationError(
                explain(
                    "vcov='cluster' was asked for, but the design has no clusters.", fix="cluster= in Design"
                )
            )
        name = next(iter(groups))
        return "cluster", name, groups[name]
    if vcov == "iid":
        return "iid", "", None
    if vcov == "hetero":
        return "hetero", "", None
    raise EstimationError(
        explain(f"vcov={vcov!r} is not known.", fix="'iid', 'hetero', 'cluster' or {'cluster': name}")
    )


def vcov_label(kind: Vcov, name: str) -> str:
    """Return how a kind of standard error is printed: ``iid``, ``hetero``, ``cluster(village)``."""
    return f"cluster({name})" if kind == "cluster" else kind


def split_label(label: str) -> tuple[Vcov, str]:
    """Return the kind and the cluster name of a printed label."""
    if label.startswith("cluster("):
        return "cluster", label[len("cluster(") : -1]
    return ("hetero" if label == "hetero" else "iid"), ""
