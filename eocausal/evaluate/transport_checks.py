"""What a reader must know of a transported effect: balance, weights, places without a like in the study."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.evaluate.balance_result import BOUNDS
from eocausal.evaluate.two_sample import AFTER, classifier_frame, classifier_test
from eocausal.inference.propensity import FEW_EFFECTIVE
from eocausal.inference.smd import effective_size, standardised_differences
from eocausal.nuisance.columns import ColumnReducer
from eocausal.nuisance.cross_fit import LEADING_COMPONENTS
from eocausal.nuisance.folds import Folds
from eocausal.nuisance.settings import Settings

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.evaluate.sampling import Both, Sampling
    from eocausal.evaluate.support import Support
    from eocausal.inference.estimate import Estimate
    from eocausal.nuisance.learners import Learners

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# A study unit with a larger share of all weight than this is spoken of.
LARGEST_SHARE = 0.1
# Weights average 1 over the study where the odds are right; outside of these bounds they are not.
MEAN_WEIGHT = (0.5, 2.0)
# A classifier that still tells the samples apart with less than this chance of error is spoken of.
TELLS_APART = 0.05


def same_units_told(both: Both) -> list[str]:
    """Return a warning where target units are units of the study."""
    shared = int((both.same >= 0).sum())
    if not shared:
        return []
    return [
        f"{shared:,} of {len(both.target):,} target units are units of the study: they have their effects out of "
        "fold, and count once in the standard error"
    ]


def outside_told(weights: FloatArray, seen: Support, *, kept: bool) -> list[str]:
    """Return a warning with counts and shares of places that the study has seen no like of."""
    gone = ~seen.target_inside
    if not gone.any():
        return []
    far = seen.target_distance > 1
    share = 100 * float(weights @ gone / weights.sum())
    done = (
        "they are kept, and what is said of them is extrapolated"
        if kept
        else "they are left out of the average"
    )
    bound = f"{100 * seen.level:g}%"
    return [
        f"{int(gone.sum()):,} of {gone.size:,} target units ({share:.1f}% by weight) lie outside what the study "
        f"has seen ({int(far.sum()):,} farther from it than {bound} of its units are from one another, "
        f"{int((gone & ~far).sum()):,} others less like it to a model than {bound} of its units); {done}"
    ]


def weights_told(weights: FloatArray, odds: FloatArray, study: Design, balance: pd.DataFrame) -> list[str]:
    """Return warnings of weights that rest on few units, are off, or leave the samples unlike."""
    n, found = weights.size, []
    size = effective_size(weights)
    if size < min(n / 2, FEW_EFFECTIVE):
        found.append(
            f"weighted to the target, {n} study units are worth {size:.1f} (effective sample size); the estimate "
            f"rests on them, and its standard error is too small (below {FEW_EFFECTIVE})"
        )
    share = weights / weights.sum()
    if share.max() > LARGEST_SHARE:
        found.append(
            f"study unit {study.table.ids[int(share.argmax())]!s} has {100 * share.max():.0f}% of all weight"
        )
    mean = float(np.average(odds, weights=study.table.weights))
    if not MEAN_WEIGHT[0] <= mean <= MEAN_WEIGHT[1]:
        found.append(
            f"the odds of the target against the study average {mean:.2g} over the study and not 1: they are "
            "learned badly, or the target has much that the study has not"
        )
    worst = balance["smd_weighted"].abs()
    if (worst > BOUNDS[0]).any():
        name = balance["term"].iloc[int(np.argmax(worst))]
        found.append(
            f"after weighting {int((worst > BOUNDS[0]).sum())} of {len(balance)} columns still differ between "
            f"study and target by more than {BOUNDS[0]} standard deviations, most {name} ({worst.max():.2f})"
        )
    return found


def classifier_told(tested: Estimate) -> list[str]:
    """Return a warning where a model still tells study and target apart after weighting."""
    after = classifier_frame(tested).set_index("term").loc[AFTER]
    if not after["p_value"] < TELLS_APART:
        return []
    return [
        f"after weighting a model still tells study and target apart in units that it has not seen: AUC "
        f"{after['auc']:.3f}, p {after['p_value']:.2g}"
    ]


def balance_of_samples(both: Both, weights: FloatArray, kept: BoolArray, *, seed: int) -> pd.DataFrame:
    """Return means of study and target by column, before and after weighting, in standard deviations of the target.

    Columns are covariates and leading components of the study's features.
    """
    study, target = both.study, both.target
    reducer = ColumnReducer(pca=LEADING_COMPONENTS, seed=seed).fit(study, np.arange(len(study)))
    rows = np.flatnonzero(kept)
    columns = [
        reducer.transform(one, asked) for one, asked in ((study, np.arange(len(study))), (target, rows))
    ]
    names, kinds = list(study.table.covariate_names), ["covariate"] * reducer.n_covariates
    if reducer.covariate_scaler is not None:
        for one in columns:
            # covariates are shown as they are, and not standardised
            covariates = one[:, : len(names)]
            one[:, : len(names)] = reducer.covariate_scaler.inverse_transform(covariates)
    for block, (_, components) in reducer.block_steps.items():
        start, stop = study.table.feature_blocks[block]
        width = stop - start if components is None else int(components.n_components_)
        names += [f"{block} component {number + 1}" for number in range(width)]
        kinds += ["feature"] * width
    values = np.concatenate(columns)
    arm = np.repeat([1.0, 0.0], [len(study), rows.size])
    base = np.concatenate([study.table.weights, target.table.weights[rows]])
    after = np.concatenate([weights, target.table.weights[rows]])
    found: dict[str, object] = {"term": names, "kind": kinds}
    found["mean_study"] = np.average(columns[0], axis=0, weights=study.table.weights)
    found["mean_target"] = np.average(columns[1], axis=0, weights=target.table.weights[rows])
    for suffix, weighs in (("", base), ("_weighted", after)):
        if suffix:
            found["mean_study_weighted"] = np.average(columns[0], axis=0, weights=weights)
        found[f"smd{suffix}"] = standardised_differences(
            values, arm, weights=weighs, base_weights=base, estimand="atc"
        )
    return pd.DataFrame(found)


def apart_by_classifier(
    both: Both, sampling: Sampling, weights: FloatArray, kept: BoolArray, learners: Learners, *, seed: int
) -> Estimate:
    """Return the held-out AUC of a classifier of study and target, before and after weighting."""
    target = both.target.table.weights[sampling.learned] * kept[sampling.learned]
    together = np.concatenate([weights / weights.mean(), target / target.mean()])
    folds = Folds(k=int(both.folds.max()) + 1)
    return classifier_test(sampling.joint, Settings(folds, learners, seed), together)
