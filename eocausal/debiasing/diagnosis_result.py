"""`Diagnosis`: how predictions shrink a measured outcome, at which level, and whether to undo it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from eocausal._checks import require_level
from eocausal._figures import new_figure
from eocausal.debiasing.berkson import Check, bins_by
from eocausal.debiasing.calibration_sample import CalibrationSample
from eocausal.debiasing.choice import reading, threshold
from eocausal.debiasing.contrasts import Attenuation, Pairs
from eocausal.debiasing.prediction_shift import PredictionShift, transport_checks
from eocausal.errors import DebiasError, explain
from eocausal.inference.result_type import result_type
from eocausal.inference.tables import BROOM, jsonable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = TypeVar("Kind", Attenuation, Check)


@result_type
@dataclass(frozen=True, eq=False)
class Diagnosis:
    """How predictions shrink the truth, and whether to undo it. Made by :func:`eocausal.diagnose`.

    Attributes
    ----------
    verdict : str
        ``correct``, ``do not correct``, ``cannot tell``, ``use labels`` (neither the naive nor the corrected
        estimate is right: :func:`eocausal.ppi`), ``nothing to correct``, or ``predictions do not follow the
        truth``.
    corrects : bool
        Whether the corrected estimate is the better guess: what ``debias(method="auto")`` goes by.
    reasons, warnings : tuple of str
    unit : Attenuation
        Of single places: slope ``k`` of the prediction on the truth, with its standard error.
    levels : tuple of Attenuation
        The same of each column of groups, and of the treatment.
    checks : tuple of Check
        What corrections take for granted of the error; :meth:`to_checks` is their table.
    r2 : float
        Share of the variance of the truth that a line in the prediction explains.
    sample : CalibrationSample
    treatment : array of shape (n,) or None
    label_tests : DataFrame or None
        The tests that labels with a treatment allow.
    shift : PredictionShift or None
        How predictions of a trial differ from these, once :meth:`for_trial` was asked.
    provenance : mapping
    """

    verdict: str
    corrects: bool
    reasons: tuple[str, ...]
    unit: Attenuation
    levels: tuple[Attenuation, ...]
    checks: tuple[Check, ...]
    r2: float
    sample: CalibrationSample
    treatment: npt.NDArray[np.float64] | None = None
    label_tests: pd.DataFrame | None = None
    shift: PredictionShift | None = None
    warnings: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def k(self) -> float:
        """Slope of the prediction on the truth over places."""
        return self.unit.estimate

    @property
    def factor(self) -> float:
        """What the linear correction multiplies an effect by: ``1 / k``."""
        return 1 / self.k

    @property
    def n(self) -> int:
        """Number of places."""
        return len(self.sample)

    @property
    def n_clusters(self) -> int | None:
        """Number of clusters, or None."""
        return None if self.sample.clusters is None else self.sample.n_drawn

    @property
    def by_prediction(self) -> pd.DataFrame:
        """Means of prediction, truth and residual in tenths of the prediction."""
        return bins_by(self._pairs, "prediction")

    @property
    def by_truth(self) -> pd.DataFrame:
        """The same in tenths of the truth."""
        return bins_by(self._pairs, "truth")

    def for_trial(self, predictions: npt.ArrayLike, *, weights: npt.ArrayLike | None = None) -> Diagnosis:
        """Return the diagnosis with what the predictions of a trial say of carrying a correction there.

        Parameters
        ----------
        predictions : array of shape (n,)
            Of all arms together.
        weights : array of shape (n,), optional
            Positive.

        Raises
        ------
        DebiasError
            Missing or infinite predictions, or weights that do not fit.
        """
        slopes = (self.k, self.r2 / self.k) if self.k else None
        shift = transport_checks(
            self.sample.prediction, predictions, calibration_weights=self.sample.weights, trial_weights=weights,
            slopes=slopes,
        )  # fmt: skip
        kept = [text for text in self.warnings if self.shift is None or text not in self.shift.warnings]
        return replace(self, shift=shift, warnings=(*kept, *shift.warnings))

    def to_frame(self, level: float = 0.95) -> pd.DataFrame:
        """Return attenuation at each level with broom's columns.

        Statistic and p-value are against 1: no shrinkage.
        """
        require_level(level, error=DebiasError)
        rows = []
        for one in (self.unit, *self.levels):
            half = float(stats.t.ppf(0.5 + level / 2, one.df)) * one.std_error
            statistic = (one.estimate - 1) / one.std_error if one.std_error > 0 else np.nan
            rows.append(
                {
                    "term": one.term, "estimand": "attenuation", "estimate": one.estimate,
                    "std_error": one.std_error, "statistic": statistic,
                    "p_value": float(2 * stats.t.sf(abs(statistic), one.df)),
                    "conf_low": one.estimate - half, "conf_high": one.estimate + half, "n": one.n,
                    "n_clusters": self.n_clusters, "method": one.kind,
                }
            )  # fmt: skip
        frame = pd.DataFrame(rows)
        frame["n_clusters"] = frame["n_clusters"].astype("Int64")
        return frame[list(BROOM)]

    def table(self) -> pd.DataFrame:
        """Return what each level says of naive and corrected contrasts.

        Columns ``term kind n_groups attenuation std_error strength naive_error corrected_error says``: errors
        are relative to the true contrast. The naive error of a contrast that keeps the share ``c`` is ``c -
        1``, the corrected one ``c / k - 1``.
        """
        rows = []
        for one in self.levels:
            rows.append(
                {
                    "term": one.term, "kind": one.kind, "n_groups": one.n_groups, "attenuation": one.estimate,
                    "std_error": one.std_error, "strength": one.strength, "naive_error": one.estimate - 1,
                    "corrected_error": one.estimate / self.k - 1, "says": reading(one, self.k),
                }
            )  # fmt: skip
        columns = [
            "term", "kind", "n_groups", "attenuation", "std_error", "strength", "naive_error", "corrected_error",
            "says",
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=columns)

    def to_checks(self) -> pd.DataFrame:
        """Return the checks of the error: ``check value expected tolerance std_error p_value needed_by holds``."""
        return pd.DataFrame([{**asdict(one), "holds": one.holds} for one in self.checks])

    def summary(self) -> str:
        """Return a text of at most 25 lines: the slope, levels, checks that fail, the verdict and why."""
        drawn = "" if self.n_clusters is None else f", {self.n_clusters} clusters"
        lines = [
            f"diagnosis: {self.verdict}  (n {self.n}{drawn})",
            f"slope of prediction on truth k {self.k:.3f} (se {self.unit.std_error:.2g}), R2 {self.r2:.3f}, "
            f"1 / k {self.factor:.3f}; naive is nearer to a contrast that keeps "
            f"{'more' if self.k <= 1 else 'less'} than {threshold(self.k):.3f}"
            if self.k > 0
            else f"slope of prediction on truth k {self.k:.3f} (se {self.unit.std_error:.2g}), R2 {self.r2:.3f}",
        ]
        if self.levels:
            shown = self.table().drop(columns=["kind", "strength"])
            lines += shown.to_string(index=False, float_format=lambda value: f"{value:.3f}").splitlines()[:8]
        failed = [one for one in self.checks if not one.holds]
        lines += [
            f"check fails: {one.check} {one.value:.3g}, not {one.expected:g} (for {one.needed_by})"
            for one in failed
        ]
        lines += [] if self.shift is None else [f"trial: {self.shift!r}"]
        lines += [f"reason: {text}" for text in self.reasons[:4]]
        lines += [f"WARNING: {text}" for text in self.warnings[:4]]
        return "\n".join(lines[:25])

    def __repr__(self) -> str:
        """One line: the verdict, and the slope it starts from."""
        told = ", ".join(f"{one.term} {one.estimate:.2f}" for one in self.levels[:3])
        beside = f"; {told}" if told else ""
        return (
            f"Diagnosis({self.verdict}: k {self.k:.3f} (se {self.unit.std_error:.2g}), R2 {self.r2:.3f}{beside}; "
            f"n {self.n})"
        )

    def plot(self) -> Figure:
        """Draw predictions on truth, residuals by prediction, what each level keeps, and the residuals' spread."""
        from eocausal.debiasing.diagnosis_figure import draw

        figure = new_figure(9.6, 7.6)
        draw(figure, self)
        return figure

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; places, with their truth, only when ``scores`` is true."""
        tests = None if self.label_tests is None else jsonable(self.label_tests.to_dict(orient="list"))
        content: dict[str, Any] = {
            "type": "Diagnosis",
            "verdict": self.verdict,
            "corrects": self.corrects,
            "reasons": list(self.reasons),
            "unit": _written(self.unit),
            "levels": [_written(one) for one in self.levels],
            "checks": [_written(one) for one in self.checks],
            "r2": self.r2,
            "label_tests": tests,
            "shift": None if self.shift is None else self.shift.to_dict(),
            "warnings": list(self.warnings),
            "provenance": jsonable(self.provenance),
        }
        if scores:
            content["sample"] = self.sample.to_dict()
            content["treatment"] = None if self.treatment is None else self.treatment.tolist()
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Diagnosis:
        """Rebuild the result that ``to_dict(scores=True)`` wrote.

        Raises
        ------
        DebiasError
            The content holds no places, or is not of a Diagnosis.
        """
        if content.get("type") != "Diagnosis" or "sample" not in content:
            raise DebiasError(
                explain(
                    "The content holds no Diagnosis with its places.", fix="diagnosis.to_dict(scores=True)"
                )
            )
        tests = None if content["label_tests"] is None else pd.DataFrame(content["label_tests"])
        if tests is not None:
            numbers = ["estimate", "std_error", "statistic", "p_value", "df"]
            tests[numbers] = tests[numbers].astype(float)
            tests["n_clusters"] = tests["n_clusters"].astype("Int64")
        treatment = content["treatment"]
        return cls(
            verdict=str(content["verdict"]),
            corrects=bool(content["corrects"]),
            reasons=tuple(content["reasons"]),
            unit=_read(Attenuation, content["unit"]),
            levels=tuple(_read(Attenuation, one) for one in content["levels"]),
            checks=tuple(_read(Check, one) for one in content["checks"]),
            r2=float(content["r2"]),
            sample=CalibrationSample.from_dict(content["sample"]),
            treatment=None if treatment is None else np.array(treatment, dtype=float),
            label_tests=tests,
            shift=None if content["shift"] is None else PredictionShift.from_dict(content["shift"]),
            warnings=tuple(content["warnings"]),
            provenance=content["provenance"],
        )

    @property
    def _pairs(self) -> Pairs:
        sample = self.sample
        return Pairs(sample.prediction, sample.truth, sample.weights, sample.clusters)


def _written(one: Attenuation | Check) -> dict[str, Any]:
    """Return fields with numbers that JSON has none of as text."""
    kept = {name: getattr(one, name) for name in (entry.name for entry in fields(one))}
    return {
        name: str(value) if isinstance(value, float) and not np.isfinite(value) else value
        for name, value in kept.items()
    }


def _read(kind: type[Kind], content: Mapping[str, Any]) -> Kind:
    numbers = {entry.name for entry in fields(kind) if entry.type == "float"}
    built: dict[str, Any] = {name: float(one) if name in numbers else one for name, one in content.items()}
    return kind(**built)
