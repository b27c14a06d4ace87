"""What R's grf 2.6 finds in the Uganda trial, as it was measured once, and the same quantities by this package."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

import eocausal as ec
from eocausal.effects.effect_learners import effect_sample
from eocausal.evaluate.calibration_result import DIFFERENCES
from eocausal.nuisance.settings import settings_for

HALVES, DEALS = 20, 10
# Mean over halves that ours should be near, as far as 20 halves can tell.
WITHIN = 0.3
RAW, OWN, ALL = "512 features", "50 components of the training units", "50 components of all units"
# By quantity: on 512 features, on 50 components of all units. None was not measured.
GRF: dict[str, tuple[float | None, float | None]] = {
    "average effect": (0.7407, 0.7423),
    "average effect, std_error": (0.0744, 0.0748),
    "AUTOC ratio, 20 halves: mean": (1.78, 1.46),
    "AUTOC ratio, 20 halves: SD": (0.93, 1.05),
    "AUTOC ratio, 20 halves: least": (0.27, -0.37),
    "AUTOC ratio, 20 halves: most": (3.04, 4.56),
    "AUTOC, 20 halves: mean": (0.181, 0.146),
    "AUTOC, 20 halves: mean std_error": (0.107, 0.107),
    "QINI ratio, 20 halves: mean": (2.63, 1.81),
    "QINI ratio, 20 halves: SD": (0.93, 0.95),
    "AUTOC ratio, 10 x 5 sequential folds: mean": (None, 2.10),
    "AUTOC ratio, 10 x 5 sequential folds: SD": (None, 0.70),
    "AUTOC, 10 x 5 sequential folds: median p": (None, 0.056),
    "QINI ratio, 10 x 5 sequential folds: mean": (None, 2.11),
    "QINI ratio, 10 x 5 sequential folds: SD": (None, 0.76),
    "QINI, 10 x 5 sequential folds: median p": (None, 0.040),
    "AUTOC out of bag": (0.114, 0.151),
    "AUTOC out of bag, std_error": (0.084, 0.068),
    "AUTOC out of bag, ratio": (1.36, 2.23),
    "calibration out of bag, differences": (2.369, 2.967),
    "calibration out of bag, std_error": (0.557, 0.938),
}


@dataclass(frozen=True)
class Columns:
    """One way of handing the features to the forest."""

    design: ec.Design
    learner: ec.Forest


def kinds(units: ec.Units, clip: ec.Embeddings, *, trees: int) -> dict[str, Columns]:
    """Return the features as they are, as components of the training units, and as components of all units."""
    plain = design_of(units, clip)
    return {
        RAW: Columns(plain, ec.Forest(trees=trees, pca=None)),
        OWN: Columns(plain, ec.Forest(trees=trees, pca=50)),
        ALL: Columns(design_of(units, components(units, clip, 50)), ec.Forest(trees=trees, pca=None)),
    }


def design_of(units: ec.Units, features: ec.Embeddings) -> ec.Design:
    """Return the design whose propensity is the share of the treated, for all units alike, as grf was told."""
    share = float(units.frame["treated"].mean())
    return ec.Design(
        units,
        outcome="outcome",
        treatment="treated",
        features=features,
        cluster="image_key",
        propensity=share,
    )


def components(units: ec.Units, clip: ec.Embeddings, width: int) -> ec.Embeddings:
    """Return leading components of the standardised features of all units, pictures counted once a unit."""
    rows = clip.values[clip.rows_for(units.image_keys)].astype(float)
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    _, _, turn = np.linalg.svd((rows - mean) / spread, full_matrices=False)
    made = ((clip.values - mean) / spread) @ turn[:width].T
    table = pd.DataFrame(made).add_prefix("c").assign(image_key=clip.keys)
    return ec.read_embeddings(table, key="image_key", columns="c")


def halves(columns: Columns, *, repeats: int) -> pd.DataFrame:
    """Return rate and ratio of every split into halves of the pictures: a forest of one half ranks the other."""
    return _over(columns, "half", ec.Folds(repeats=repeats))


def sequential(columns: Columns, *, repeats: int) -> pd.DataFrame:
    """Return rate and ratio of every deal into five folds, each ranked by a forest of the folds before it."""
    forest = replace(columns.learner, trees=max(4, columns.learner.trees // 2))
    return _over(replace(columns, learner=forest), "sequential", ec.Folds(k=5, repeats=repeats))


def _over(columns: Columns, split: Any, folds: ec.Folds) -> pd.DataFrame:
    found = ec.rate_over_splits(
        columns.design, learner=columns.learner, folds=folds, split=split, integration="grf", replicates=200
    )
    return found.splits


def of_halves(splits: pd.DataFrame) -> dict[str, float]:
    """Return what the table of grf has of halves."""
    autoc, qini = (splits[splits["estimand"] == target] for target in ("AUTOC", "QINI"))
    found = {
        "AUTOC ratio, 20 halves: mean": autoc["ratio"].mean(),
        "AUTOC ratio, 20 halves: SD": autoc["ratio"].std(ddof=1),
        "AUTOC ratio, 20 halves: least": autoc["ratio"].min(),
        "AUTOC ratio, 20 halves: most": autoc["ratio"].max(),
        "AUTOC, 20 halves: mean": autoc["estimate"].mean(),
        "AUTOC, 20 halves: mean std_error": autoc["std_error"].mean(),
        "QINI ratio, 20 halves: mean": qini["ratio"].mean(),
        "QINI ratio, 20 halves: SD": qini["ratio"].std(ddof=1),
    }
    return {name: float(value) for name, value in found.items()}


def of_sequential(splits: pd.DataFrame) -> dict[str, float]:
    """Return what the table of grf has of sequential folds."""
    found = {}
    for target, own in splits.groupby("estimand", sort=False):
        found |= {
            f"{target} ratio, 10 x 5 sequential folds: mean": float(own["ratio"].mean()),
            f"{target} ratio, 10 x 5 sequential folds: SD": float(own["ratio"].std(ddof=1)),
            f"{target}, 10 x 5 sequential folds: median p": float(own["p_value"].median()),
        }
    return found


def of_bag(columns: Columns) -> dict[str, float]:
    """Return the average effect, and RATE and calibration of the effects of one forest of all units, out of bag."""
    # scores and residuals are the same whatever learns effects, so something quick does here
    cate = ec.cate(columns.design, learner="linear")
    settings = settings_for(columns.design, folds=None, learners=None, seed=0)
    grown = columns.learner.fit(effect_sample(columns.design, settings), seed=0)
    effects, _ = grown.out_of_bag(columns.design)
    rate = ec.rate_from_scores(
        cate.dr_scores, effects, clusters=cate.group_codes, integration="grf", replicates=200
    )
    # one regression of all units on the effects of one forest: what grf's test_calibration does
    one = replace(cate, effect_values=effects, folds=np.zeros(effects.size, dtype=np.intp))
    tested = ec.calibration(one, effects="out_of_fold", vcov="cluster").to_frame().set_index("term")
    return {
        "average effect": float(cate.estimate),
        "average effect, std_error": float(cate.std_error),
        "AUTOC out of bag": float(rate.estimate),
        "AUTOC out of bag, std_error": float(rate.std_error),
        "AUTOC out of bag, ratio": float(rate.ratio),
        "calibration out of bag, differences": float(tested.loc[DIFFERENCES, "estimate"]),
        "calibration out of bag, std_error": float(tested.loc[DIFFERENCES, "std_error"]),
    }


def beside(ours: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """Return rows of ours beside grf's."""
    rows = []
    for name, (raw, reduced) in GRF.items():
        row: dict[str, Any] = {"quantity": name, RAW: ours[RAW].get(name), "grf: 512": raw}
        row |= {OWN: ours[OWN].get(name), ALL: ours[ALL].get(name), "grf: 50 components": reduced}
        rows.append(row)
    return rows
