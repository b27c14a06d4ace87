"""A study with one thing changed: who is treated, what pictures show, which outcome."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.effects.restated import restated
from eocausal.errors import DesignError, EstimationError, SensitivityError, explain
from eocausal.inference.contrast import combined
from eocausal.inference.joint import compare
from eocausal.sensitivities.subject import made_again, origin_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eocausal.design import Design
    from eocausal.inference.estimate import Estimate
    from eocausal.panels.design import PanelDesign

FloatArray = npt.NDArray[np.float64]

# Methods that no picture enters.
BLIND = ("difference", "regression")


def base_of(estimate: Estimate) -> Design:
    """Return the design that placebos are made from.

    The difference in means reads its design anew without columns, which would undo a change; so it starts from
    what it has read.
    """
    origin = origin_of(estimate)
    design: Design = origin.entered if origin.options["method"] == "difference" else origin.design
    return design


def with_treatment(
    design: Design, assigned: FloatArray, *, propensity: FloatArray | None, name: str | None = None
) -> Design:
    """Return the same units with other treatments (n,) of two arms, under another name where one is given."""
    other = restated(design, assigned=assigned, propensity=propensity)
    other.__dict__.pop("groups", None)
    if name is not None:
        object.__setattr__(other, "treatment", name)
    return other


def with_panel_control(design: PanelDesign, values: FloatArray, name: str) -> PanelDesign:
    """Return the same rows of a panel with one more covariate (n,), which may well follow from treatment."""
    table = design.table
    other = copy(design)
    columns = np.column_stack([table.covariates, values])
    names = (*table.covariate_names, name)
    object.__setattr__(other, "table", replace(table, covariates=columns, covariate_names=names))
    object.__setattr__(other, "covariates", (*design.covariates, name))
    return other


def with_pictures_dealt_anew(design: Design, generator: np.random.Generator) -> Design:
    """Return the same units with whole pictures dealt anew; units that share one share another one then."""
    table = design.table
    first, codes = np.unique(table.image_keys, return_index=True, return_inverse=True)[1:]
    dealt = generator.permutation(first)
    return restated(design, features=table.features[dealt][codes])


def without_pictures(estimate: Estimate) -> Estimate:
    """Return the estimate without image features: the difference in means where there are no covariates either."""
    origin = origin_of(estimate)
    learners = origin.options["learners"]
    plain = copy(origin.design.without(features=True))
    object.__setattr__(plain, "min_valid", 0.0)
    if plain.covariates and learners.columns != "features":
        return made_again(estimate, plain, learners=replace(learners, columns="both"))
    return made_again(
        estimate, plain.without(plain.covariates), method="difference", estimand="ate", trim=None, folds=None,
        learners=None,
    )  # fmt: skip


def why_no_pictures(estimate: Estimate) -> str:
    """Return why dealing pictures anew would change nothing, or nothing where it would."""
    origin = origin_of(estimate)
    method, learners = origin.options["method"], origin.options["learners"]
    table = origin.design.table
    if not table.features.shape[1]:
        return "the design has no image features"
    if method in BLIND:
        return f"method={method!r} adjusts for no image features"
    if learners.columns == "covariates":
        return "learners look at covariates alone"
    if table.propensity is not None and method in ("ipw", "horvitz_thompson"):
        return "the propensity is known, so nothing is adjusted for"
    if given_beforehand(estimate):
        return "predictions were made beforehand, from the pictures as they are"
    if np.unique(table.image_keys).size < FEWEST_IMAGES:
        return f"there are fewer than {FEWEST_IMAGES} images to deal"
    return ""


FEWEST_IMAGES = 10


def estimate_or_none(estimate: Estimate, design: Any, **changes: Any) -> Estimate | None:
    """Return the estimate on another design, or None where that design carries none."""
    try:
        return made_again(estimate, design, **changes)
    except (EstimationError, DesignError):
        return None


def difference_of(
    estimates: Mapping[str, Estimate], weights: Sequence[float], name: str
) -> tuple[Estimate, tuple[str, ...]]:
    """Return a linear combination of estimates with its joint standard error, and what to tell of it.

    Of estimates that are nearly the same, some kinds of standard error are not positive; then it is ``iid``.
    """
    column = np.array(weights)[:, None]
    try:
        return combined(compare(**estimates), column, (name,)), ()
    except EstimationError:
        plain = {key: one.with_vcov("iid") for key, one in estimates.items()}
        how = next(iter(estimates.values())).vcov
        told = (
            f"{name}: its variance by {how} is not positive, so its standard error takes units as independent"
        )
        return combined(compare(**plain), column, (name,)), (told,)


def given_beforehand(estimate: Estimate) -> tuple[str, ...]:
    """Return which of outcome and propensity were predicted before the estimate was made."""
    learners = origin_of(estimate).options.get("learners")
    return () if learners is None else tuple(learners.given())


def require_most(found: int, draws: int, *, what: str) -> tuple[str, ...]:
    """Return a warning where draws gave no estimate; raise where half or more of them did not.

    Raises
    ------
    SensitivityError
    """
    failed = draws - found
    if 2 * failed >= draws:
        raise SensitivityError(
            explain(
                f"{failed} of {draws} draws of {what} gave no estimate.",
                rule="in every draw both arms have units in every fold",
                fix="fewer folds, or leave the test out of tests=",
            )
        )
    return (f"{what}: {failed} of {draws} draws gave no estimate and are left out",) if failed else ()
