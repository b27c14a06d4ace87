"""How treatment was assigned, as far as it can be seen: predicted from pictures, from tables, and from both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import whole_number
from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.assignment_result import (
    BOTH,
    COVARIATES,
    FEATURES,
    INCREMENT,
    Arm,
    Assignment,
    Source,
)
from eocausal.evaluate.prediction_measures import measures_of
from eocausal.nuisance.cross_fit import Learners, OutOfFold, cross_fit
from eocausal.nuisance.folds import Folds
from eocausal.nuisance.settings import Settings, provenance, settings_for

if TYPE_CHECKING:
    from eocausal.design import Design

FloatArray = npt.NDArray[np.float64]
Measure = Callable[[FloatArray], dict[str, float]]

LEVEL = 0.95
# What features add to covariates is told of these, of which more is better.
INCREMENTS = ("auc", "skill", "outcome_r2")
# Columns that say nothing are ranked out of fold below this, because what is too much in one fold is too little in
# the others. What is added is counted from here, or features would be praised for what covariates lack.
COIN = 0.5
# Intervals from fewer blocks than this are too short.
FEW_BLOCKS = 20
# Blocks for each fold that the default grid should at least have, and how often its cells are halved to get there.
BLOCKS_A_FOLD, HALVINGS = 10, 8


def assignment(
    design: Design,
    *,
    folds: Folds | None = None,
    learners: Learners | None = None,
    replicates: int = 500,
    seed: int = 0,
) -> Assignment:
    """Say how well treatment is predicted from covariates, from image features and from both, on the same folds.

    For a treatment with several arms each is set against the control by itself.

    Parameters
    ----------
    design : Design
    folds : Folds, optional
        Default: cells of a grid on the ground that stay whole (``Folds("block", block_m=...)``), as large as leaves
        about ten of them for each of five folds (four where there are no more), where the design knows
        coordinates; else clusters and images.
    learners : Learners, optional
        The same for all three; its ``columns`` must stay ``"both"``. Known propensities are set aside.
    replicates : int
        Replicates of the block bootstrap.
    seed : int

    Returns
    -------
    Assignment
        A table with one row for each source of predictions and measure, and what features add to covariates:

        * ``auc``: how often a treated unit is ranked above a control of the same fold;
        * ``log_loss``, and ``skill``: the share of the loss of a constant prediction that is saved;
        * ``calibration_intercept`` (0 is right), ``calibration_slope`` (1 is right; below it predictions are too
          extreme; none where they hardly differ) and ``ici``, the mean distance of predictions from a smooth curve
          of the share treated;
        * ``outcome_r2``: the share of the outcome's variance within arms that the same columns explain, out of
          fold.

    Raises
    ------
    EvaluationError
        The design has neither covariates nor features, or predictions were made beforehand.

    Notes
    -----
    Intervals are percentiles over random weights of blocks (exponential, the Bayesian bootstrap of Rubin 1981,
    Annals of Statistics 9): blocks are the units that no fold parts. They are for given predictions: they say how
    the measures would move on other places, not how the models would change with other places to learn from. Draws
    of the ``ici``, a distance that noise can only make larger, are first moved so that their middle is the
    estimate. What features add to the AUC is counted from 0.5 where an AUC is lower: out of fold, covariates that
    say nothing of treatment rank worse than a coin, and that is no merit of the features.

    Features that predict treatment given the covariates and not the outcome are no confounders: adjusting for them
    makes estimates noisier, and amplifies the bias of whatever else is not adjusted for, as adjusting for an
    instrument does (Pearl 2010; Myers et al. 2011, American Journal of Epidemiology 174). The result warns of it.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"village": np.arange(300), "age": rng.normal(size=300)})
    >>> picture = rng.normal(size=(300, 4))
    >>> table["grant"] = (table["age"] + picture[:, 0] + rng.normal(size=300) > 0).astype(int)
    >>> table["income"] = picture[:, 0] + rng.normal(size=300)
    >>> frame = pd.DataFrame(picture, columns=list("abcd")).assign(village=np.arange(300))
    >>> design = ec.Design(table, outcome="income", treatment="grant", covariates=["age"],
    ...                    features=ec.read_embeddings(frame, key="village"))
    >>> found = ec.assignment(design, replicates=100)
    >>> auc = found.to_frame().query("measure == 'auc'").set_index("source")
    >>> bool(auc.loc["features given covariates", "conf_low"] > 0)
    True
    """
    settings = _settings(design, folds, learners, seed)
    whole_number(replicates, argument="replicates", error=EvaluationError, least=50)
    pairs = [design] if design.treatment_type == "binary" else _pairs(design)
    arms, tables, warnings = [], [], list(design.table.notes)
    for pair in pairs:
        arm, measures, told = _predict(pair, settings)
        rows = _table(arm, measures, replicates=replicates, seed=settings.seed)
        arms.append(arm)
        tables.append(rows)
        warnings += [*told, *_few_blocks(arm), *_like_an_instrument(arm, rows)]
    frame = pd.concat(tables, ignore_index=True)
    said = settings.learners.describe()
    said |= {"folds": repr(settings.folds), "replicates": replicates, "blocks": int(arms[0].blocks.max()) + 1}
    return Assignment(frame, tuple(arms), tuple(warnings), said, provenance(design, settings, known=False))


def _settings(design: Design, folds: Folds | None, learners: Learners | None, seed: int) -> Settings:
    settings = settings_for(design, folds=folds, learners=learners, seed=seed)
    asked = settings.learners
    if isinstance(asked.propensity, OutOfFold) or isinstance(asked.outcome, OutOfFold):
        raise EvaluationError(
            explain(
                "Predictions that were made beforehand cannot be made again from other columns.",
                fix="learners=ec.Learners(propensity='penalised_logit')",
            )
        )
    if asked.columns != "both":
        raise EvaluationError(
            explain(f"columns={asked.columns!r}.", rule="all three are compared", fix="leave columns= out")
        )
    if not design.table.covariate_names and not design.table.features.shape[1]:
        raise EvaluationError(
            explain(
                "There is nothing to predict treatment from.",
                fix="Design(..., covariates=[...]) or features=ec.embed(chips)",
            )
        )
    return replace(settings, folds=default_folds(design)) if folds is None else settings


def default_folds(design: Design) -> Folds:
    """Return five folds of whole cells, ten cells a fold where units lie so far apart, else four a fold.

    Without places, or with fewer cells than that whatever their size, folds are of whole clusters and images.
    """
    places, plain = design.table.coordinates, Folds()
    if places is None:
        return plain
    # across the date line the shorter way round
    east = min(np.ptp(places[:, 0]), np.ptp(places[:, 0] % 360)) * np.cos(np.radians(places[:, 1].mean()))
    side = max(float(east), float(np.ptp(places[:, 1]))) * 111_320 / 4
    few = plain
    for _ in range(HALVINGS):
        side /= 2
        if side < 1:
            break
        # two digits, so that the size can be said
        blocks = Folds("block", block_m=float(f"{side:.2g}"))
        count = int(blocks.groups(design).max()) + 1
        if count >= BLOCKS_A_FOLD * blocks.k:
            return blocks
        if count >= FEW_BLOCKS and few is plain:
            few = blocks
    return few


def _pairs(design: Design) -> list[Design]:
    if design.treatment_type != "categorical":
        design.require_binary("Assignment")
    return [design.pair(arm) for arm in design.table.arms[1:]]


def _predict(design: Design, settings: Settings) -> tuple[Arm, dict[str, Measure], list[str]]:
    """Return predictions from each source on the same folds, how they are measured, and what to tell of them."""
    table, seed = design.table, settings.seed
    groups, fold_of = settings.folds.groups(design), settings.folds.assign(design, seed=seed)
    given: dict[Source, bool] = {
        COVARIATES: bool(table.covariate_names),
        FEATURES: bool(table.features.shape[1]),
    }
    sources: list[Source] = [name for name, there in given.items() if there]
    if len(sources) == 2:
        sources.append(BOTH)
    constant = np.empty(len(design))
    for fold in range(int(fold_of.max()) + 1):
        rest = fold_of != fold
        constant[~rest] = np.average(table.treatment[rest], weights=table.weights[rest])
    predicted: dict[str, FloatArray] = {}
    measures: dict[str, Measure] = {}
    told: list[str] = []
    for source in sources:
        learners = replace(settings.learners, columns=source)
        made = cross_fit(design, fold_of, learners, seed=seed, groups=groups, known=False)
        predicted[source] = made.propensity
        told += [f"{source}: {text}" for text in made.warnings]
        own = np.where(table.treatment == 1, made.outcome_treated, made.outcome_control)
        measures[source] = measures_of(
            predicted[source], constant, table.treatment, fold_of, (table.outcome, own)
        )
    arm = Arm(design.treatment, table.ids, table.treatment, table.weights, fold_of, groups, predicted)
    return arm, measures, told


def _table(arm: Arm, measures: dict[str, Measure], *, replicates: int, seed: int) -> pd.DataFrame:
    """Return estimates with intervals from random weights of blocks."""
    rng = np.random.default_rng(seed)
    n_blocks = int(arm.blocks.max()) + 1
    draws = [
        _measured(measures, arm.weights * rng.exponential(size=n_blocks)[arm.blocks])
        for _ in range(replicates)
    ]
    found = _measured(measures, arm.weights)
    rows = []
    for (source, measure), value in found.items():
        spread = np.array([draw[source, measure] for draw in draws])
        spread = spread[np.isfinite(spread)]
        low, high = _interval(spread, value, never_negative=measure == "ici")
        rows.append(
            {
                "arm": arm.name, "source": source, "measure": measure, "estimate": value,
                "std_error": float(spread.std(ddof=1)) if spread.size > 1 else np.nan,
                "conf_low": low, "conf_high": high,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _interval(draws: FloatArray, estimate: float, *, never_negative: bool) -> tuple[float, float]:
    """Return percentiles of the draws; of a distance they are moved, so that their middle is the estimate."""
    if draws.size < 2:
        return float("nan"), float("nan")
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    if not never_negative:
        return float(low), float(high)
    above = float(np.median(draws)) - estimate
    return max(0.0, float(low) - above), max(0.0, float(high) - above)


def _measured(measures: dict[str, Measure], weights: FloatArray) -> dict[tuple[str, str], float]:
    by_source = {source: measure(weights) for source, measure in measures.items()}
    found = {(source, name): value for source, of in by_source.items() for name, value in of.items()}
    if BOTH in by_source:
        for name in INCREMENTS:
            before, after = (by_source[source][name] for source in (COVARIATES, BOTH))
            if name == "auc":
                before, after = np.maximum(before, COIN), np.maximum(after, COIN)
            found[INCREMENT, name] = float(after - before)
    return found


def _few_blocks(arm: Arm) -> list[str]:
    count = int(arm.blocks.max()) + 1
    if count >= FEW_BLOCKS:
        return []
    return [f"{arm.name}: {count} blocks, and intervals from fewer than {FEW_BLOCKS} are too short"]


def _like_an_instrument(arm: Arm, rows: pd.DataFrame) -> list[str]:
    """Return a warning where features add to what predicts treatment and not to what predicts the outcome."""
    added = rows[rows["source"] == INCREMENT].set_index("measure")
    if added.empty:
        return []
    low, found = added["conf_low"], added["estimate"]
    if not (low["auc"] > 0 and low["outcome_r2"] <= 0):
        return []
    gain, explained = float(found["auc"]), float(found["outcome_r2"])
    return [
        f"{arm.name}: given the covariates, features predict treatment (AUC {gain:+.3f}) but not the outcome "
        f"(R2 {explained:+.3f}), as an instrument would: adjusting for them makes estimates noisier and amplifies "
        "the bias of what is left unadjusted; compare with Learners(columns='covariates')"
    ]
