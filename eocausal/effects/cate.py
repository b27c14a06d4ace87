"""Conditional effects: what each unit is predicted to gain, out of fold, and the scores to judge it by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from eocausal.effects.corrected_effects import average_effect, corrected_design
from eocausal.effects.effect_learners import (
    EffectLearner,
    EffectModel,
    about_errors,
    effect_sample,
    effects_out_of_fold,
    mean_importance,
    require_columns,
)
from eocausal.effects.known_learners import known_learner
from eocausal.effects.weighting import doubly_robust_scores
from eocausal.errors import EstimationError, explain
from eocausal.inference.delegate import Delegated
from eocausal.inference.estimate import Estimate
from eocausal.inference.result_type import result_type
from eocausal.nuisance.cross_fit import Learners
from eocausal.nuisance.folds import Folds
from eocausal.nuisance.settings import settings_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from eocausal.debiasing.corrector import Corrector
    from eocausal.design import Design

FloatArray = npt.NDArray[np.float64]


@result_type
@dataclass(frozen=True, eq=False)
class Cate:
    """Out-of-fold conditional effects of a treatment, with doubly robust scores.

    Made by :func:`eocausal.cate`. ``estimate``, ``std_error`` and the other members of every result speak of the
    average of the doubly robust scores; the conditional effects are in :attr:`effects`.

    Attributes
    ----------
    average : Estimate
        The average effect from the doubly robust scores.
    ids : array of shape (n,)
    effect_values, effect_errors : array of shape (n,)
        Predicted effect and its standard error, from a model that saw neither the unit nor its cluster or image.
    folds : array of shape (n,)
    sequential_values : array of shape (n,)
        Predicted effect from a model trained on earlier folds only; NaN in fold 0. These are the priorities
        that :func:`eocausal.rate` can test.
    dr_scores, weights : array of shape (n,)
    centred_outcome, centred_treatment : array of shape (n,)
        Outcome and treatment less what is expected of them, out of fold: what tests of calibration regress.
    propensity : array of shape (n,)
    group_codes : array of shape (n,)
        Units that share a cluster or an image.
    coordinates : array of shape (n, 2) or None
        Longitude and latitude.
    image_keys : array of shape (n,)
    learn : callable or None
        Fits the model on all units, once; what :meth:`predict` calls. Not part of ``to_dict``.
    design : Design or None
        What was asked of which units, for verbs that need their columns. Not part of ``to_dict``.
    models : tuple of EffectModel
        The model of all folds but the first, but the second, ... Not part of ``to_dict``.
    shares : tuple of (str, str, float)
        What :meth:`importance` says; empty where the learner grows no trees.
    """

    average: Estimate
    ids: npt.NDArray[Any]
    effect_values: FloatArray
    effect_errors: FloatArray
    folds: npt.NDArray[np.intp]
    sequential_values: FloatArray
    dr_scores: FloatArray
    centred_outcome: FloatArray
    centred_treatment: FloatArray
    propensity: FloatArray
    weights: FloatArray
    group_codes: npt.NDArray[np.intp]
    image_keys: npt.NDArray[Any]
    coordinates: FloatArray | None = None
    learn: Callable[[], EffectModel] | None = field(default=None, repr=False)
    design: Design | None = field(default=None, repr=False)
    models: tuple[EffectModel, ...] = field(default=(), repr=False)
    shares: tuple[tuple[str, str, float], ...] = field(default=(), repr=False)

    estimand = Delegated("average")
    method = Delegated("average")
    n = Delegated("average")
    n_clusters = Delegated("average")
    estimate = Delegated("average")
    std_error = Delegated("average")
    ci = Delegated("average")
    p_value = Delegated("average")
    scores = Delegated("average")
    assumptions = Delegated("average")
    warnings = Delegated("average")
    diagnostics = Delegated("average")
    provenance = Delegated("average")
    to_frame = Delegated("average")

    @property
    def effects(self) -> pd.DataFrame:
        """One row per unit: effect, standard error, 95% interval, fold, doubly robust score, coordinates.

        The table is marked as trained on its units, so that :func:`eocausal.rate` refuses it as a priority.
        """
        half = stats.norm.ppf(0.975) * self.effect_errors
        frame = pd.DataFrame(
            {
                "effect": self.effect_values,
                "std_error": self.effect_errors,
                "conf_low": self.effect_values - half,
                "conf_high": self.effect_values + half,
                "fold": self.folds,
                "dr_score": self.dr_scores,
                "image_key": self.image_keys,
            },
            index=pd.Index(self.ids, name="id"),
        )
        if self.coordinates is not None:
            frame["lon"], frame["lat"] = self.coordinates.T
        frame.attrs["trained_on"] = self.provenance["design_hash"]
        return frame

    def predict(self, design: Design) -> pd.Series:
        """Return the predicted effect by unit id for another design, from a model of all units here.

        The series is marked as trained: to judge it, hand the ``Cate`` itself to :func:`eocausal.rate`, which can
        see whether training and evaluation share units, clusters or images.

        Raises
        ------
        EstimationError
            The result was read from a file, which holds no model.
        """
        effect, _ = self._model().predict(design)
        predicted = pd.Series(effect, index=pd.Index(design.table.ids, name="id"), name="effect")
        predicted.attrs["trained_on"] = self.provenance["design_hash"]
        return predicted

    def out_of_bag(self) -> pd.DataFrame:
        """Return the effect of each unit from one forest of all units, by trees that drew none of its group.

        More is learned from than out of fold, where a model sees all folds but one. They are to describe units: the
        unit's outcome is in the nuisances of others, so what is to be judged, as by :func:`eocausal.rate`, are
        effects out of fold. The engine ``"econml"`` has no errors for them (NaN).

        Returns
        -------
        pandas.DataFrame
            ``effect`` and ``std_error`` by unit id. It is marked as trained on its units.

        Raises
        ------
        EstimationError
            The result was read from a file, the learner has no bags, or some unit is in all of them.
        """
        model = self._model()
        if self.design is None or not hasattr(model, "out_of_bag"):
            raise EstimationError(
                explain(
                    "This learner draws no bags of units, so no effect is out of bag.",
                    fix="ec.cate(design, learner=ec.Forest()), or the effects out of fold: cate.effects",
                )
            )
        effect, error = model.out_of_bag(self.design)
        frame = pd.DataFrame({"effect": effect, "std_error": error}, index=pd.Index(self.ids, name="id"))
        frame.attrs["trained_on"] = self.provenance["design_hash"]
        return frame

    def importance(self) -> pd.DataFrame:
        """Return how much the forests of the folds cut on each covariate and block of features.

        Cuts at depths 1 to 4 count, each by one over the square of its depth, and by the engine ``"econml"`` by the
        difference of effects that they make too. A block of many columns has more chances to be cut on than a
        covariate, so compare blocks of like width. ``importance().plot.barh(x="block", y="importance")`` draws it.

        Returns
        -------
        pandas.DataFrame
            ``block``, ``kind`` (covariate or features) and ``importance``, the largest first, summing to one, or to
            zero where no tree has a cut. Levels and gaps of a covariate count for it.

        Raises
        ------
        EstimationError
            The learner grows no trees.
        """
        if not self.shares:
            raise EstimationError(
                explain(
                    "This learner grows no trees, so there are no cuts to count.",
                    fix="ec.cate(design, learner=ec.Forest())",
                )
            )
        return pd.DataFrame(list(self.shares), columns=["block", "kind", "importance"])

    def _model(self) -> EffectModel:
        """Return the model of all units."""
        if self.learn is None:
            raise EstimationError(
                explain("This result was read from a file and holds no model.", fix="run ec.cate() again")
            )
        return self.learn()

    def __repr__(self) -> str:
        """One line: how effects spread and what they average to."""
        low, high = np.quantile(self.effect_values, [0.1, 0.9])
        return (
            f"Cate({self.n} units, effects {low:.3g} to {high:.3g} (10th to 90th percentile), "
            f"average {self.estimate:.3g} (se {self.std_error:.2g}))"
        )

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        deciles = np.quantile(self.effect_values, [0.1, 0.25, 0.5, 0.75, 0.9])
        spread = "  ".join(f"{share}%: {value:.3f}" for share, value in zip((10, 25, 50, 75, 90), deciles))
        return f"out-of-fold effects  {spread}\n" + "\n".join(self.average.summary().splitlines()[:24])

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        content: dict[str, Any] = {"type": "Cate", "average": self.average.to_dict(scores=scores)}
        content["shares"] = [list(share) for share in self.shares]
        if scores:
            content |= {name: _column(getattr(self, name)) for name in _UNIT_FIELDS}
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Cate:
        """Rebuild the result that ``to_dict(scores=True)`` wrote; it cannot predict for new units."""
        average = Estimate.from_dict(content["average"])
        arrays: dict[str, Any] = {
            name: None if content[name] is None else np.array(content[name]) for name in _UNIT_FIELDS
        }
        for name in ("effect_errors", "sequential_values"):  # NaN is written as null
            arrays[name] = np.array(content[name], dtype=float)
        shares = tuple((str(name), str(kind), float(share)) for name, kind, share in content["shares"])
        return cls(average=average, shares=shares, **arrays)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the distribution of predicted effects with the average effect, and return the Axes."""
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
        low, high = self.ci()
        ax.hist(self.effect_values, bins=40, weights=self.weights, color="#7fa6c9", edgecolor="white")
        ax.axvspan(low, high, color="#c55a11", alpha=0.18, linewidth=0)
        ax.axvline(self.estimate, color="#c55a11", label="average effect with 95% interval")
        ax.axvline(0, color="0.5", linewidth=0.8)
        ax.set_xlabel("predicted effect (out of fold)")
        ax.set_ylabel("units")
        ax.legend(frameon=False)
        return ax


_UNIT_FIELDS = (
    "ids", "effect_values", "effect_errors", "folds", "sequential_values", "dr_scores",
    "centred_outcome", "centred_treatment", "propensity", "weights", "group_codes", "image_keys", "coordinates",
)  # fmt: skip


def cate(
    design: Design,
    *,
    learner: str | EffectLearner = "causal_forest",
    folds: Folds | None = None,
    learners: Learners | None = None,
    correct: Corrector | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Cate:
    """Predict each unit's effect from a model that saw neither the unit nor its cluster or image.

    For each fold, nuisances, principal components and trees are learned on the other folds. A second set of
    models is trained on earlier folds only; :func:`eocausal.rate` needs it for a valid test.

    Parameters
    ----------
    design : Design
        With covariates, features or both to tell units apart by.
    learner : {"causal_forest", "r_learner", "dr_learner", "x_learner", "linear"} or settings of a learner
        :class:`eocausal.Forest`, :class:`eocausal.RLearner`, :class:`eocausal.DRLearner`,
        :class:`eocausal.XLearner`, :class:`eocausal.LinearEffects`, :class:`eocausal.ImageNetwork`, or any object
        with ``fit`` and ``describe``.
    folds : Folds, optional
        Default five folds with clusters and shared images kept whole.
    learners : Learners, optional
        Nuisance learners; the forest's own reduction is ``Forest(pca=...)``.
    correct : Corrector, optional
        From :func:`eocausal.debias`, where the outcome was predicted from images: effects are learned of the
        outcome as the believed correction has it. The average holds the error of the calibration; effects by unit,
        and what is made of them, take it as given.
    seed : int
    progress : bool
        Show a progress bar.

    Returns
    -------
    Cate

    Raises
    ------
    EstimationError
        Unknown learner, nothing to tell units apart by, or ``correct`` that is no corrector.

    Notes
    -----
    Standard errors of single effects come from the forest's bags of trees. They are too small when features are
    many, and by the engine ``"econml"`` where units share clusters; make claims from averages, groups and RATE.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grant": np.tile([0, 1], 100), "age": rng.normal(size=200)})
    >>> table["income"] = table["grant"] * (table["age"] > 0) + rng.normal(size=200)
    >>> import eocausal as ec
    >>> design = ec.Design(table, outcome="income", treatment="grant", covariates=["age"], propensity=0.5)
    >>> effects = ec.cate(design, learner=ec.Forest(trees=40), folds=ec.Folds(k=3)).effects
    >>> list(effects.columns)
    ['effect', 'std_error', 'conf_low', 'conf_high', 'fold', 'dr_score', 'image_key']
    """
    chosen = known_learner(learner)
    settings = settings_for(design, folds=folds, learners=learners, seed=seed)
    design.require_binary("An effect by unit")
    require_columns(design, chosen)
    raw, design = design, corrected_design(design, correct)
    fold_of = settings.folds.assign(design, seed=settings.seed)

    def learn(rows: npt.NDArray[np.bool_] | None) -> EffectModel:
        training = design if rows is None else design.take(rows)
        return chosen.fit(effect_sample(training, settings), seed=settings.seed)

    found = effects_out_of_fold(design, fold_of, learn, progress=progress)
    judged = doubly_robust_scores(design, settings)
    table, nuisance = design.table, judged.nuisance

    return Cate(
        average=average_effect(
            design,
            judged,
            settings,
            raw=raw,
            corrector=correct,
            warnings=about_errors(found),
            diagnostics={**chosen.describe(), "sd_of_effects": float(found.effects.std())},
        ),
        ids=table.ids,
        effect_values=found.effects,
        effect_errors=found.errors,
        folds=fold_of,
        sequential_values=found.sequential,
        dr_scores=judged.scores,
        centred_outcome=table.outcome - nuisance.outcome_mean,
        centred_treatment=table.treatment - nuisance.propensity,
        propensity=nuisance.propensity,
        weights=table.weights,
        group_codes=design.groups,
        image_keys=table.image_keys,
        coordinates=table.coordinates,
        learn=cache(lambda: learn(None)),
        design=design,
        models=found.models,
        shares=mean_importance(found.models),
    )


def _column(values: npt.NDArray[Any] | None) -> list[Any] | None:
    if values is None:
        return None
    return [None if isinstance(value, float) and np.isnan(value) else value for value in values.tolist()]
