"""Balance: how alike the two arms are before treatment, in covariates, features, pictures and places."""

from __future__ import annotations

from itertools import chain, count
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import whole_number
from eocausal.embeddings import Embeddings
from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.balance_result import BOUNDS, Balance
from eocausal.evaluate.balance_weights import estimand_of, read_weights, sizes
from eocausal.evaluate.two_sample import AFTER, classifier_frame, classifier_test
from eocausal.inference import scores
from eocausal.inference.assemble import assemble
from eocausal.inference.estimate import Estimate
from eocausal.inference.propensity import few_effective
from eocausal.inference.simultaneous import jointly_zero
from eocausal.inference.smd import standardised_differences, variance_ratios, weighted_ks
from eocausal.nuisance.cross_fit import LEADING_COMPONENTS, ColumnReducer, Learners
from eocausal.nuisance.folds import Folds
from eocausal.nuisance.settings import Settings, provenance, settings_for

if TYPE_CHECKING:
    from eocausal.design import Design

__all__ = ["BOUNDS", "Balance", "balance"]

FloatArray = npt.NDArray[np.float64]

# A classifier that still tells the arms apart with less than this chance of error is spoken of.
TELLS_APART = 0.05


class _Columns(NamedTuple):
    """What the arms are compared in: values (n, p), names and kinds."""

    values: FloatArray
    names: list[str]
    kinds: list[str]


def balance(
    design: Design,
    *,
    weights: Estimate | pd.Series | None = None,
    estimand: str | None = None,
    indices: pd.DataFrame | Embeddings | None = None,
    n_components: int = LEADING_COMPONENTS,
    classifier: bool | None = None,
    folds: Folds | None = None,
    learners: Learners | None = None,
    seed: int = 0,
) -> Balance:
    """Compare the arms in covariates, components of image features, indices of the pictures, and coordinates.

    Parameters
    ----------
    design : Design
    weights : Estimate or Series, optional
        What each unit weighs after weighting: an estimate that weighs the arms (``ec.ate`` with ``ipw``, ``aipw``
        or ``entropy_balancing``), or a Series by unit id, sampling weights included. Units that the weights lack,
        as after trimming, weigh zero and are counted. Adds the columns after weighting.
    estimand : {"ate", "att", "atc", "ato"}, optional
        Whose standard deviation, before weighting, differences are measured in: of both arms (pooled), of the
        treated (``att``) or of the controls (``atc``). Default: that of the estimate in ``weights``, else ``ate``.
    indices : DataFrame or Embeddings, optional
        Simple numbers of the pictures, such as a greenness: a table by unit id, or by image key what
        ``ec.embed(chips, encoder="image_stats")`` gives. Compared, and seen by no model.
    n_components : int
        Principal components kept of each feature block (computed on all units: they describe, they predict
        nothing).
    classifier : bool, optional
        Whether a model shall try to tell the arms apart, held out, from covariates and features
        (``Balance.classifier``), trained on the folds before the one that it ranks. Default: where there are
        weights.
    folds : Folds, optional
        Of that model; with ``Folds("block", block_m=...)`` it is asked of places that it has not seen.
    learners : Learners, optional
        Of that model, the propensity learner.
    seed : int

    Returns
    -------
    Balance

    Raises
    ------
    EvaluationError
        There is nothing to compare: no covariates, features, indices or coordinates. Or weights that are of other
        units, negative or missing, and indices that are missing for some units.

    Notes
    -----
    Standardised mean differences have fixed denominators (Austin 2009, Statistics in Medicine 28). The variance
    ratio is that of the treated over the controls. ``ks`` is the largest gap between the weighted distribution
    functions; of a column of 0 and 1 it is the raw difference of the shares. P-values are of the differences before
    weighting.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> table = pd.DataFrame({"grant": [0, 0, 1, 1], "age": [0.0, 2, 1, 3], "income": [1.0, 2, 3, 5]})
    >>> design = ec.Design(table, outcome="income", treatment="grant", covariates=["age"])
    >>> ec.balance(design).to_frame()[["term", "smd"]].round(3).to_dict("records")
    [{'term': 'age', 'smd': 0.707}]
    >>> weights = pd.Series([1.0, 3.0, 3.0, 1.0], index=table.index)
    >>> ec.balance(design, weights=weights, classifier=False).to_frame()["smd_weighted"].tolist()
    [0.0]
    """
    settings = settings_for(design, folds=folds, learners=learners, seed=seed)
    design.require_binary("Balance")
    whole_number(n_components, argument="n_components", error=EvaluationError, least=1)
    columns = _columns(design, n_components, settings.seed, indices)
    weighs, left_out = read_weights(design, weights)
    yardstick = estimand_of(weights, estimand)
    frame, warnings, diagnostics = _table(design, columns, weighs, yardstick)
    asked = (weighs is not None) if classifier is None else bool(classifier)
    tested = _classifier(design, settings, weighs) if asked else None
    differences = _differences(
        design,
        columns,
        settings,
        warnings=[*left_out, *warnings, *_still_told(tested)],
        diagnostics={"yardstick": yardstick, **diagnostics},
    )
    frame["p_value"] = np.atleast_1d(differences.p_value())
    order = [name for name in frame if not str(name).endswith("_weighted")]
    frame = frame[[*order, *[name for name in frame if name not in order]]]
    joint = jointly_zero(differences.values, differences.variance.matrix, df=differences.variance.df).p_value
    return Balance(differences, frame, joint, tested)


def _differences(
    design: Design, columns: _Columns, settings: Settings, *, warnings: list[str], diagnostics: dict[str, Any]
) -> Estimate:
    """Return the raw differences in means before weighting, with their influence values."""
    table = design.table
    # measured from the first unit, so that rounding makes no difference out of a constant column
    centred = columns.values - columns.values[0]
    return assemble(
        design,
        [scores.difference(column, table.treatment, table.weights) for column in centred.T],
        estimand="difference before treatment",
        method="difference",
        terms=tuple(columns.names),
        vcov="cluster" if design.cluster_labels() else "hetero",
        warnings=warnings,
        diagnostics=diagnostics,
        provenance=provenance(design, settings, known=False),
    )


def _table(
    design: Design, columns: _Columns, weighs: FloatArray | None, estimand: str
) -> tuple[pd.DataFrame, list[str], dict[str, Any]]:
    """Return the table of balance, and what a reader must know of what weighting did."""
    table, values = design.table, columns.values
    found: dict[str, Any] = {"term": columns.names, "kind": columns.kinds}
    for suffix, weight in (("", table.weights), ("_weighted", weighs)):
        if weight is None:
            continue
        for name, arm in (("treated", table.treatment == 1), ("control", table.treatment == 0)):
            found[f"mean_{name}{suffix}"] = np.average(values[arm], axis=0, weights=weight[arm])
        found[f"smd{suffix}"] = standardised_differences(
            values, table.treatment, weights=weight, base_weights=table.weights, estimand=estimand
        )
        found[f"variance_ratio{suffix}"] = variance_ratios(values, table.treatment, weight)
        found[f"ks{suffix}"] = weighted_ks(values, table.treatment, weight)
    frame = pd.DataFrame(found)
    if weighs is None:
        return frame, [], {}
    effective = sizes(design, weighs)
    before = {f"{name}_unweighted": value for name, value in sizes(design, table.weights).items()}
    worst = frame["smd_weighted"].abs().to_numpy(dtype=float)
    warnings = few_effective(effective, table.treatment)
    if (worst > BOUNDS[0]).any():
        warnings.append(
            f"after weighting {int((worst > BOUNDS[0]).sum())} of {len(frame)} columns still differ by more than "
            f"{BOUNDS[0]} standard deviations, most {frame['term'].iloc[int(np.argmax(worst))]} ({worst.max():.2f})"
        )
    return frame, warnings, {**effective, **before, "largest_smd_after_weighting": float(worst.max())}


def _classifier(design: Design, settings: Settings, weighs: FloatArray | None) -> Estimate:
    table = design.table
    if not table.covariate_names and not table.features.shape[1]:
        raise EvaluationError(
            explain(
                "There is nothing that a classifier could tell the arms apart by.",
                rule="covariates or features; indices and coordinates are compared, but no model sees them",
                fix="classifier=False, or Design(..., covariates=[...]) or features=",
            )
        )
    return classifier_test(design, settings, weighs)


def _still_told(tested: Estimate | None) -> list[str]:
    """Return a warning when a model that has not seen a unit still tells its arm after weighting."""
    if tested is None or AFTER not in tested.terms:
        return []
    after = classifier_frame(tested).set_index("term").loc[AFTER]
    if not after["p_value"] < TELLS_APART:
        return []
    return [
        f"after weighting a model still tells the arms apart in units that it has not seen: AUC "
        f"{after['auc']:.3f}, p {after['p_value']:.2g}"
    ]


def _columns(
    design: Design, n_components: int, seed: int, indices: pd.DataFrame | Embeddings | None
) -> _Columns:
    """Return what is compared: covariates, components of features, indices of pictures, coordinates."""
    table = design.table
    parts, names = [table.covariates], list(table.covariate_names)
    kinds = ["covariate"] * len(names)
    if table.features.shape[1]:
        everyone = np.arange(len(design))
        reducer = ColumnReducer(pca=n_components, seed=seed).fit(design, everyone)
        components = reducer.transform(design, everyone)[:, len(table.covariate_names) :]
        parts.append(components)
        for block, (start, stop) in table.feature_blocks.items():
            components_of = reducer.block_steps[block][1]
            width = stop - start if components_of is None else components_of.n_components_
            names += [f"{block} component {k + 1}" for k in range(width)]
            kinds += ["feature"] * width
    if indices is not None:
        found = _indices(design, indices)
        parts.append(found.to_numpy(dtype=float))
        names += [str(name) for name in found.columns]
        kinds += ["index"] * found.shape[1]
    if table.coordinates is not None:
        parts.append(table.coordinates)
        names += ["longitude", "latitude"]
        kinds += ["place"] * 2
    columns = np.concatenate(parts, axis=1)
    if columns.shape[1] == 0:
        raise EvaluationError(
            explain(
                "There is nothing to compare the arms in.", fix="Design(..., covariates=[...]) or features="
            )
        )
    return _Columns(columns, _told_apart(names, kinds), kinds)


def _told_apart(names: list[str], kinds: list[str]) -> list[str]:
    """Return names that differ: one that came before gets its kind behind it, and then a number.

    A covariate may be an index as well, or the longitude.
    """
    told: list[str] = []
    for name, kind in zip(names, kinds):
        tries = chain([name, f"{name} ({kind})"], (f"{name} ({kind} {number})" for number in count(2)))
        told.append(next(one for one in tries if one not in told))
    return told


def _indices(design: Design, indices: pd.DataFrame | Embeddings) -> pd.DataFrame:
    """Return indices of the pictures by unit (n, q), from a table by unit id or features by image key."""
    ids = design.table.ids
    if isinstance(indices, Embeddings):
        rows = indices.rows_for(design.table.image_keys)
        values = np.where(rows[:, None] >= 0, indices.values[np.maximum(rows, 0)], np.nan)
        found = pd.DataFrame(values.astype(float), index=ids, columns=list(indices.columns))
    elif isinstance(indices, pd.DataFrame):
        text = [str(name) for name, column in indices.items() if not pd.api.types.is_numeric_dtype(column)]
        if text or indices.index.has_duplicates or not indices.shape[1]:
            raise EvaluationError(
                explain(
                    "The table of indices cannot be read.",
                    where=text,
                    rule="numeric columns, one row for each unit id",
                    fix="indices = indices.set_index('id').select_dtypes('number')",
                )
            )
        found = indices.reindex(ids)
    else:
        raise EvaluationError(
            explain(
                f"indices is a {type(indices).__name__}.",
                fix="a DataFrame by unit id, or ec.embed(chips, encoder='image_stats')",
            )
        )
    missing = ~np.isfinite(found.to_numpy(dtype=float)).all(axis=1)
    if missing.any():
        raise EvaluationError(
            explain(
                "Indices are missing for some units of the design.",
                where=ids[missing],
                fix="design.take(rows) with the units that have them",
            )
        )
    return found
