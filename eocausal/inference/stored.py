"""A result as JSON-safe content, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from eocausal.errors import EstimationError, explain
from eocausal.inference.arms import Arms
from eocausal.inference.panel_index import PanelIndex
from eocausal.inference.reference import Reference
from eocausal.inference.repeats import Repeats
from eocausal.inference.second_sample import SecondSample
from eocausal.inference.tables import jsonable
from eocausal.inference.variance import Variance, Vcov

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate


def content_of(result: Estimate, *, scores: bool) -> dict[str, Any]:
    """Return JSON-safe content; unit-level values only when ``scores`` is true."""
    content: dict[str, Any] = {
        "type": "Estimate", "estimand": result.estimand, "method": result.method, "terms": list(result.terms),
        "values": result.values.tolist(), "n": result.n, "vcov": result.vcov, "n_params": result.n_params,
        "variance": _variance_content(result.variance, scores=scores),
        "assumptions": list(result.assumptions), "warnings": list(result.warnings),
        "diagnostics": jsonable(result.diagnostics), "provenance": jsonable(result.provenance),
    }  # fmt: skip
    if scores:
        content["ids"] = result.ids.tolist()
        content["score_values"] = result.score_values.tolist()
        content["groups"] = {name: labels.tolist() for name, labels in result.groups.items()}
        content["coordinates"] = None if result.coordinates is None else result.coordinates.tolist()
        content["weights"] = None if result.weights is None else result.weights.tolist()
        content["arms"] = None if result.arms is None else result.arms.to_dict()
        content["panel"] = None if result.panel is None else result.panel.to_dict()
        content["repeats"] = None if result.repeats is None else result.repeats.to_dict()
        content["second"] = None if result.second is None else result.second.to_dict()
    return content


def fields_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the result that ``content_of(result, scores=True)`` is of.

    Raises
    ------
    EstimationError
        The content holds no unit-level scores.
    """
    if "score_values" not in content:
        raise EstimationError(
            explain("The content holds no unit-level scores.", fix="write it with to_dict(scores=True)")
        )
    places, weights = content["coordinates"], content["weights"]
    # results written before these were kept have neither
    arms, panel, repeats, second = (content.get(name) for name in ("arms", "panel", "repeats", "second"))
    return {
        "estimand": content["estimand"],
        "method": content["method"],
        "terms": tuple(content["terms"]),
        "values": np.array(content["values"], dtype=float),
        "ids": np.array(content["ids"]),
        "score_values": np.array(content["score_values"], dtype=float),
        "variance": _variance_of(content["variance"]),
        "groups": {name: np.array(labels) for name, labels in content["groups"].items()},
        "coordinates": None if places is None else np.array(places, dtype=float),
        "weights": None if weights is None else np.array(weights, dtype=float),
        "arms": None if arms is None else Arms.from_dict(arms),
        "panel": None if panel is None else PanelIndex.from_dict(panel),
        "repeats": None if repeats is None else Repeats.from_dict(repeats),
        "second": None if second is None else SecondSample.from_dict(second),
        "n_params": content["n_params"],
        "assumptions": tuple(content["assumptions"]),
        "warnings": tuple(content["warnings"]),
        "diagnostics": content["diagnostics"],
        "provenance": content["provenance"],
    }


def _variance_content(variance: Variance, *, scores: bool) -> dict[str, Any]:
    drawn = {} if variance.reference is None or not scores else {"reference": variance.reference.to_dict()}
    return {
        "matrix": variance.matrix.tolist(),
        "df": variance.df,
        "factor": variance.factor,
        "n_clusters": variance.n_clusters,
        "how": jsonable(asdict(variance.how)),
        "notes": list(variance.notes),
        **drawn,
    }


def _variance_of(content: Mapping[str, Any]) -> Variance:
    return Variance(
        np.array(content["matrix"]),
        content["df"],
        content["factor"],
        content["n_clusters"],
        Vcov(**{**content["how"], "names": tuple(content["how"]["names"])}),
        tuple(content["notes"]),
        Reference.from_dict(content["reference"]) if "reference" in content else None,
    )
