"""Balance: how alike the two arms were before treatment, in covariates, features and places."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from eocausal._checks import whole_number
from eocausal.errors import EvaluationError, explain
from eocausal.inference import scores
from eocausal.inference.assemble import assemble
from eocausal.inference.delegate import Delegated
from eocausal.inference.estimate import Estimate
from eocausal.inference.nuisance import LEADING_COMPONENTS, ColumnReducer
from eocausal.inference.settings import provenance, settings_for
from eocausal.inference.smd import standardised_differences, weighted_variance
from eocausal.inference.tables import jsonable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from eocausal.design import Design

FloatArray = npt.NDArray[np.float64]

# The usual bound above which an arm difference is called an imbalance, and the strict one.
BOUNDS = (0.1, 0.05)
# Smaller, relative to the largest, is rounding: the columns are collinear in that direction.
SMALLEST_EIGENVALUE = 1e-10


@dataclass(frozen=True, eq=False)
class Balance:
    """Differences between the arms before treatment.

    Made by :func:`eocausal.balance`.

    Attributes
    ----------
    differences : Estimate
        Raw difference in means of each column, with (clustered) standard errors.
    table : DataFrame
        Columns ``term kind mean_treated mean_control smd variance_ratio p_value``.
    joint_p_value : float
        Wald test that no column differs, with an F reference when clusters are few.
    """

    differences: Estimate
    table: pd.DataFrame
    joint_p_value: float

    estimand = Delegated("differences")
    method = Delegated("differences")
    terms = Delegated("differences")
    n = Delegated("differences")
    n_clusters = Delegated("differences")
    estimate = Delegated("differences")
    std_error = Delegated("differences")
    ci = Delegated("differences")
    p_value = Delegated("differences")
    scores = Delegated("differences")
    assumptions = Delegated("differences")
    warnings = Delegated("differences")
    diagnostics = Delegated("differences")
    provenance = Delegated("differences")

    def to_frame(self) -> pd.DataFrame:
        """Return the balance table, one row per column compared."""
        return self.table.copy()

    def worst(self, count: int = 5) -> pd.DataFrame:
        """Return the rows with the largest standardised mean differences."""
        return self.table.reindex(self.table["smd"].abs().sort_values(ascending=False).index[:count])

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        over = int((self.table["smd"].abs() > BOUNDS[0]).sum())
        lines = [
            f"balance of {len(self.table)} columns  (n {self.n})",
            f"|smd| above {BOUNDS[0]}: {over}; joint p-value {self.joint_p_value:.4f}",
            *self.worst(15).to_string(index=False, float_format=lambda value: f"{value:.3f}").splitlines(),
            *[f"WARNING: {text}" for text in self.warnings[:4]],
        ]
        return "\n".join(lines[:25])

    def __repr__(self) -> str:
        """One line: the worst column and the joint test."""
        worst = self.worst(1).iloc[0]
        return (
            f"Balance({len(self.table)} columns, largest smd {worst['smd']:.3f} ({worst['term']}), "
            f"joint p {self.joint_p_value:.3g})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Balance):
            return NotImplemented
        return self.to_dict(scores=True) == other.to_dict(scores=True)

    __hash__ = None  # type: ignore[assignment]

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.summary())}</pre>"

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        return {
            "type": "Balance",
            "differences": self.differences.to_dict(scores=scores),
            "table": jsonable(self.table.to_dict(orient="list")),
            "joint_p_value": jsonable(self.joint_p_value),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Balance:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        return cls(
            differences=Estimate.from_dict(content["differences"]),
            table=pd.DataFrame({name: _as_numbers(values) for name, values in content["table"].items()}),
            joint_p_value=float(_as_numbers([content["joint_p_value"]])[0]),
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the standardised mean differences (a love plot) and return the Axes."""
        frame = self.table
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(figsize=(6, 1.2 + 0.24 * len(frame)), layout="constrained")
        height = np.arange(len(frame))[::-1]
        ax.axvline(0, color="0.5", linewidth=0.8)
        for bound in BOUNDS[:1]:
            ax.axvspan(-bound, bound, color="#7fa6c9", alpha=0.18, linewidth=0)
        ax.plot(frame["smd"], height, "o", color="#1f4e79")
        ax.set_yticks(height, labels=frame["term"].tolist(), fontsize=8)
        ax.set_xlabel("standardised mean difference, treated minus control")
        return ax


def balance(design: Design, *, n_components: int = LEADING_COMPONENTS, seed: int = 0) -> Balance:
    """Compare the arms in covariates, leading components of the image features, and coordinates.

    Parameters
    ----------
    design : Design
    n_components : int
        Principal components kept of each feature block (computed on all units: they describe, they predict
        nothing).
    seed : int

    Returns
    -------
    Balance

    Raises
    ------
    EvaluationError
        There is nothing to compare: no covariates, features or coordinates.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> table = pd.DataFrame({"grant": [0, 0, 1, 1], "age": [0.0, 2, 1, 3], "income": [1.0, 2, 3, 5]})
    >>> design = ec.Design(table, outcome="income", treatment="grant", covariates=["age"])
    >>> ec.balance(design).to_frame()[["term", "smd"]].round(3).to_dict("records")
    [{'term': 'age', 'smd': 0.707}]
    """
    settings = settings_for(design, folds=None, learners=None, seed=seed)
    whole_number(n_components, argument="n_components", error=EvaluationError, least=1)
    columns, names, kinds = _columns(design, n_components, settings.seed)
    table = design.table
    # measured from the first unit, so that rounding makes no difference out of a constant column
    centred = columns - columns[0]
    scored = [
        scores.difference(centred[:, k], table.treatment, table.weights) for k in range(columns.shape[1])
    ]
    differences = assemble(
        design,
        scored,
        estimand="difference before treatment",
        method="difference",
        terms=tuple(names),
        vcov="cluster" if design.cluster_labels() else "hetero",
        provenance=provenance(design, settings),
    )
    treated, control = table.treatment == 1, table.treatment == 0
    spread = [weighted_variance(centred[arm], table.weights[arm]) for arm in (treated, control)]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = spread[0] / spread[1]
    frame = pd.DataFrame(
        {
            "term": names,
            "kind": kinds,
            "mean_treated": np.average(columns[treated], axis=0, weights=table.weights[treated]),
            "mean_control": np.average(columns[control], axis=0, weights=table.weights[control]),
            "smd": standardised_differences(centred, table.treatment, weights=table.weights,
                                            base_weights=table.weights),
            "variance_ratio": ratio,
            "p_value": np.atleast_1d(differences.p_value()),
        }
    )  # fmt: skip
    return Balance(
        differences, frame, _wald_p(differences.values, differences.variance.matrix, differences.variance.df)
    )


def _columns(design: Design, n_components: int, seed: int) -> tuple[FloatArray, list[str], list[str]]:
    """Return what is compared (n, p), with names and kinds."""
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
    return columns, names, kinds


def _as_numbers(values: list[Any]) -> list[Any]:
    """Return a column read from JSON, which writes NaN and infinity as None."""
    return [float("nan") if value is None else value for value in values]


def _wald_p(values: FloatArray, matrix: FloatArray, df: float) -> float:
    """Return the p-value of no difference in any column: Hotelling's F with the variance's degrees of freedom.

    Works on correlations, so that the units a column is measured in do not matter.
    """
    scale = np.sqrt(np.diag(matrix))
    varies = scale > 0
    size, direction = np.linalg.eigh(matrix[np.ix_(varies, varies)] / np.outer(scale[varies], scale[varies]))
    kept = size > SMALLEST_EIGENVALUE * size.max(initial=0.0)
    rank = int(kept.sum())
    wald = float(
        (((values / np.where(varies, scale, 1.0))[varies] @ direction)[kept] ** 2 / size[kept]).sum()
    )
    if rank == 0 or df <= rank:
        return float("nan")
    return float(stats.f.sf(wald * (df - rank + 1) / (df * rank), rank, df - rank + 1))
