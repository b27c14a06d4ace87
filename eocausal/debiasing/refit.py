"""`refit_bootstrap`: the study and the calibration drawn anew, and everything fitted again in each draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from eocausal._checks import one_of, require_level, whole_number
from eocausal.debiasing.calibration_sample import CalibrationSample
from eocausal.debiasing.corrected import corrected_values
from eocausal.debiasing.corrector import TWEEDIE, Corrector
from eocausal.debiasing.density_score import DensityScore, fit_density_score
from eocausal.debiasing.fitted_parts import fitted_parts
from eocausal.debiasing.predicted_study import PredictedStudy, as_it_is
from eocausal.errors import DebiasError, EocausalError, explain
from eocausal.inference.arms import nested
from eocausal.inference.result_type import result_type
from eocausal.inference.tables import jsonable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from eocausal.debiasing.corrected_result import Corrected
    from eocausal.inference.estimate import Estimate

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
Labels = npt.NDArray[Any]

LEAST_DRAWS = 50
# Draws that cannot be estimated are those with the most peculiar samples: more of them and errors are too small.
MOST_FAILED = 0.05


@result_type
@dataclass(frozen=True, eq=False)
class RefitBootstrap:
    """Draws of naive and corrected estimates. Made by ``ec.ate(design, correct=corrector).refit_bootstrap()``.

    Attributes
    ----------
    terms : tuple of str, length k
    values : array of shape (k,)
        The estimates themselves.
    draws : array of shape (B, k)
    estimand, method : str
    study, calibration : str
        What was drawn: units or clusters, and how many.
    seed : int
    failed : int
        Draws that could not be estimated, which are left out.
    warnings : tuple of str
    """

    terms: tuple[str, ...]
    values: FloatArray
    draws: FloatArray
    estimand: str
    method: str
    study: str
    calibration: str
    seed: int
    failed: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def matrix(self) -> FloatArray:
        """Covariance (k, k) of the draws."""
        return np.atleast_2d(np.cov(self.draws, rowvar=False))

    @property
    def std_error(self) -> FloatArray:
        """Standard deviation of the draws (k,)."""
        return np.asarray(self.draws.std(axis=0, ddof=1))

    def ci(self, level: float = 0.95, *, kind: str = "normal") -> FloatArray:
        """Return intervals (k, 2).

        Parameters
        ----------
        level : float
        kind : {"normal", "percentile"}
            The estimate and its standard error, or quantiles of the draws.
        """
        require_level(level, error=DebiasError)
        one_of(kind, ("normal", "percentile"), argument="kind", error=DebiasError)
        if kind == "percentile":
            return np.quantile(self.draws, [0.5 - level / 2, 0.5 + level / 2], axis=0).T
        half = stats.norm.ppf(0.5 + level / 2) * self.std_error
        return np.column_stack([self.values - half, self.values + half])

    def to_frame(self, level: float = 0.95) -> pd.DataFrame:
        """Return ``term estimate std_error conf_low conf_high percentile_low percentile_high draws``."""
        normal, percentile = self.ci(level), self.ci(level, kind="percentile")
        return pd.DataFrame(
            {
                "term": list(self.terms),
                "estimate": self.values,
                "std_error": self.std_error,
                "conf_low": normal[:, 0],
                "conf_high": normal[:, 1],
                "percentile_low": percentile[:, 0],
                "percentile_high": percentile[:, 1],
                "draws": len(self.draws),
            }
        )

    def __repr__(self) -> str:
        """One line: the estimates with the standard deviations of their draws."""
        shown = ", ".join(
            f"{term} {value:.4g} (se {error:.3g})"
            for term, value, error in zip(self.terms, self.values, self.std_error)
        )
        noted = f", {len(self.warnings)} warning{'s' * (len(self.warnings) != 1)}" if self.warnings else ""
        return f"RefitBootstrap({self.estimand} by {self.method}: {shown}; {len(self.draws)} draws{noted})"

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        shown = self.to_frame().to_string(index=False, float_format=lambda value: f"{value:.4f}")
        drawn = f"drawn: {self.study}; {self.calibration}; {len(self.draws)} draws, seed {self.seed}"
        head = f"{self.estimand} by {self.method}, everything fitted anew in each draw"
        told = [f"WARNING: {text}" for text in self.warnings]
        return "\n".join([head, *shown.splitlines(), drawn, *told][:25])

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the estimates with their 95% percentile intervals, and return the Axes."""
        from eocausal.inference.tables import interval_plot

        frame = self.to_frame()
        shown = frame.assign(conf_low=frame["percentile_low"], conf_high=frame["percentile_high"])
        ax = interval_plot(shown, ax=ax)
        ax.set_xlabel(f"estimate with 95% of {len(self.draws)} draws")
        return ax

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; it holds no value of a unit."""
        return {"type": "RefitBootstrap", **jsonable(vars(self))}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild what ``to_dict`` wrote."""
        named = {name: value for name, value in content.items() if name != "type"}
        named |= {name: np.array(content[name], dtype=float) for name in ("values", "draws")}
        named |= {name: tuple(content[name]) for name in ("terms", "warnings")}
        return cls(**named)


def refit_bootstrap(
    result: Corrected,
    corrector: Corrector,
    study: PredictedStudy,
    *,
    draws: int,
    seed: int,
    progress: bool,
) -> RefitBootstrap:
    """Draw study and calibration anew, each by itself; see :meth:`Corrected.refit_bootstrap`."""
    from tqdm import tqdm

    whole_number(draws, argument="draws", error=DebiasError, least=LEAST_DRAWS)
    whole_number(seed, argument="seed", error=DebiasError)
    sample, redrawn = _drawable(corrector, study)
    codes, named = _codes_of(result, study)
    places = np.arange(len(sample)) if sample.clusters is None else _coded(sample.clusters)
    first = _first_score(corrector, study)
    generator = np.random.default_rng(seed)
    made, causes = [], []
    for _ in tqdm(range(draws), desc="refit", unit="draw", disable=not progress):
        counts, again = (_counts(generator, one) for one in (codes, places))
        try:
            made.append(_once(corrector, sample, again, redrawn(counts), first))
        except EocausalError as cause:
            causes.append(str(cause))
    kind = "places" if sample.clusters is None else "clusters"
    return RefitBootstrap(
        result.terms,
        result.fit.values,
        np.array(_enough(made, causes, draws)),
        result.estimand,
        result.method,
        f"{int(codes.max()) + 1} {named} of the study",
        f"{int(places.max()) + 1} {kind} of the calibration",
        seed,
        len(causes),
        (f"{len(causes)} of {draws} draws could not be estimated and are left out: {causes[0]}",)
        if causes
        else (),
    )


def _drawable(corrector: Corrector, study: PredictedStudy) -> tuple[CalibrationSample, Any]:
    if corrector.sample is None:
        raise DebiasError(
            explain(
                "The corrector was read from a file, which holds no measured outcomes to draw anew.",
                rule="standard errors by formula need only what the file holds",
                fix="correct=ec.debias(calibration, ...) where the places themselves are at hand",
            )
        )
    if study.redrawn is None:
        raise DebiasError(
            explain("This study cannot be drawn anew.", fix="ec.ate(design, correct=corrector)")
        )
    return corrector.sample, study.redrawn


def _codes_of(result: Corrected, study: PredictedStudy) -> tuple[Codes, str]:
    """Return which rows (n,) are drawn together, and what these are called: those of the standard errors."""
    how = result.fit.variance.how
    if how.kind in ("iid", "hetero"):
        whole = np.arange(study.n) if study.together is None else _coded(study.together)
        return whole, "units"
    known = dict(study.labels)
    if result.fit.n == study.n:
        known |= result.fit.groups
    if how.kind != "cluster" or len(how.names) != 1 or how.names[0] not in known:
        raise DebiasError(
            explain(
                f"Standard errors are by {how.label}, and a bootstrap draws clusters of one kind.",
                fix="result.with_vcov('cluster').refit_bootstrap(), with the cluster in the design",
            )
        )
    labels = known[how.names[0]]
    if study.together is not None and not nested(study.together, labels):
        raise DebiasError(
            explain(
                f"Clusters by {how.names[0]!r} part the rows of units.",
                rule="a unit is drawn with all of its periods",
                fix="result.with_vcov('cluster').refit_bootstrap()",
            )
        )
    return _coded(labels), f"clusters ({how.names[0]})"


def _coded(labels: Labels) -> Codes:
    return np.asarray(np.unique(labels, return_inverse=True)[1])


def _counts(generator: np.random.Generator, codes: Codes) -> Codes:
    """Return how often each row (n,) is drawn, with its whole cluster; clusters that come twice count twice."""
    size = int(codes.max()) + 1
    return np.asarray(np.bincount(generator.integers(size, size=size), minlength=size)[codes])


def _first_score(corrector: Corrector, study: PredictedStudy) -> tuple[DensityScore, bool] | None:
    """Return the density score of the estimate itself, and whether it is of the study's own predictions."""
    if TWEEDIE not in corrector.kinds:
        return None
    predicted = study.predicted(study.estimate(as_it_is))
    score = corrector.score_for(predicted.values, predicted.weights)
    return score, score is not corrector.density


def _once(
    corrector: Corrector,
    sample: CalibrationSample,
    counts: Codes,
    study: PredictedStudy,
    first: tuple[DensityScore, bool] | None,
) -> FloatArray:
    """Return the estimates (k,) of one draw."""
    rows = np.flatnonzero(counts)
    part = sample.take(rows, sample.weights[rows] * counts[rows])
    fitted = fitted_parts(part, corrector.provenance["options"], corrector.label_noise_var)
    again = replace(
        corrector, k=fitted.shrunk.slope, m=fitted.shrunk.intercept, a=fitted.back.intercept,
        b=fitted.back.slope, noise=fitted.noise,
    )  # fmt: skip
    if again.k <= 0:
        raise DebiasError(explain(f"k is {again.k:.3g} in a draw.", rule="above zero"))

    def score(naive: Estimate) -> DensityScore | None:
        if first is None:
            return None
        density, own = first
        if not own:
            return _refitted(density, fitted.prediction, part.weights)
        predicted = study.predicted(naive)
        return _refitted(density, predicted.values, predicted.weights)

    return corrected_values(again, study, score=score)


def _refitted(first: DensityScore, values: FloatArray, weights: FloatArray) -> DensityScore:
    """Return a density fitted anew with the freedom of the first: repeated rows would look like misfit."""
    smooth: dict[str, Any] = {} if first.bandwidth is None else {"bandwidth": first.bandwidth}
    return fit_density_score(values, weights=weights, kind=first.kind, df=first.df, **smooth)


def _enough(made: list[FloatArray], causes: list[str], draws: int) -> list[FloatArray]:
    if len(causes) > MOST_FAILED * draws:
        raise DebiasError(
            explain(
                f"{len(causes)} of {draws} draws cannot be estimated, the first because: {causes[0]}",
                rule=f"at most {MOST_FAILED:.0%}, since what is left says too little of the error",
                fix="a method that asks less of few units, or standard errors by formula",
            )
        )
    return made
