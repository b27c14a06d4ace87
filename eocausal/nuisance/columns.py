"""The columns that learners see: covariates and features, standardised and made narrow on training rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of
from eocausal._threads import one_blas_thread
from eocausal.errors import EstimationError, explain
from eocausal.nuisance.components import components_asked
from eocausal.nuisance.learners import COLUMNS
from eocausal.nuisance.linear import pieces

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.study_table import StudyTable

FloatArray = npt.NDArray[np.float64]


class ColumnReducer:
    """Standardise covariates and features on training rows; wide feature blocks become principal components.

    With ``by_block`` a block whose encoder asked for a number of components gets it, others ``pca``. ``columns``
    leaves out the features or the covariates. Missing covariates become the mean of the training rows, or stay
    NaN with ``missing``.
    """

    def __init__(
        self,
        *,
        pca: int | None,
        seed: int,
        by_block: bool = False,
        columns: str = "both",
        missing: bool = False,
    ) -> None:
        one_of(columns, COLUMNS, argument="columns", error=EstimationError)
        self.pca = pca
        self.seed = seed
        self.by_block = by_block
        self.columns = columns
        self.missing = missing

    @one_blas_thread()
    def fit(self, design: Design, rows: npt.NDArray[Any]) -> ColumnReducer:
        """Learn means, scales and components from the rows of a design."""
        from sklearn.decomposition import PCA
        from sklearn.preprocessing import StandardScaler

        table = design.table
        self.fitted_on = (table.covariate_names, table.feature_blocks)
        own = np.arange(len(design))[rows]
        covariates = table.covariate_names if self.columns != "features" else ()
        blocks = table.feature_blocks if self.columns != "covariates" else {}
        self.covariate_scaler = None
        if covariates:
            seen = _with_gaps(table, own)
            _require_some(seen, covariates)
            # means and spreads are of the values that are there
            self.covariate_scaler = StandardScaler().fit(seen)
        asked = components_asked(design.features) if self.by_block and self.pca is not None else {}
        self.block_steps: dict[str, tuple[Any, Any]] = {}
        for name, (start, stop) in blocks.items():
            scaler = StandardScaler()
            for piece in pieces(own.size, stop - start):
                scaler.partial_fit(table.features[own[piece], start:stop].astype(float))
            most = asked.get(name, self.pca)
            width = min(most or stop - start, own.size - 1)
            reducer = None
            if most is not None and stop - start > most:
                # of more rows than columns, the products are small and as exact as components need
                solver = "covariance_eigh" if own.size > stop - start else "full"
                block = np.empty((own.size, stop - start))
                _standardise(table.features[:, start:stop], own, scaler, into=block)
                reducer = PCA(width, svd_solver=solver).fit(block)
            self.block_steps[name] = (scaler, reducer)
        return self

    @property
    def n_covariates(self) -> int:
        """How many of the columns, the first ones, are covariates."""
        return 0 if self.covariate_scaler is None else int(self.covariate_scaler.n_features_in_)

    @property
    def widths(self) -> dict[str, int]:
        """How many columns each block of features becomes."""
        blocks = self.fitted_on[1]
        return {
            name: blocks[name][1] - blocks[name][0] if reducer is None else int(reducer.n_components_)
            for name, (_, reducer) in self.block_steps.items()
        }

    @one_blas_thread()
    def transform(self, design: Design, rows: npt.NDArray[Any]) -> FloatArray:
        """Return the columns (rows, p) that learners see: covariates first, then features block by block."""
        table = design.table
        if (table.covariate_names, table.feature_blocks) != self.fitted_on:
            raise EstimationError(
                explain(
                    f"The design has the columns {_columns_of(table.covariate_names, table.feature_blocks)}, but "
                    f"the model was fitted on {_columns_of(*self.fitted_on)}.",
                    rule="the same covariates, levels of text covariates, and feature blocks",
                    fix="make one design and part it: design.split() or design.take(rows)",
                )
            )
        own = np.arange(len(design))[rows]
        ends = np.cumsum([self.n_covariates, *self.widths.values()])
        columns = np.empty((own.size, ends[-1]))
        if self.covariate_scaler is not None:
            covariates = self.covariate_scaler.transform(_with_gaps(table, own))
            if table.missing is not None and not self.missing:
                covariates[table.missing[own]] = 0.0  # the mean, on the standard scale
            columns[:, : ends[0]] = covariates
        for number, (name, (scaler, reducer)) in enumerate(self.block_steps.items()):
            features = table.features[:, slice(*table.feature_blocks[name])]
            _standardise(
                features, own, scaler, into=columns[:, ends[number] : ends[number + 1]], reducer=reducer
            )
        return columns


def _with_gaps(table: StudyTable, rows: npt.NDArray[np.intp]) -> FloatArray:
    """Return covariates of some rows, NaN where missing."""
    if table.missing is None:
        return table.covariates[rows]
    return np.where(table.missing[rows], np.nan, table.covariates[rows])


def _require_some(seen: FloatArray, names: tuple[str, ...]) -> None:
    empty = np.isnan(seen).all(axis=0)
    if empty.any():
        raise EstimationError(
            explain(
                f"Covariates that all {len(seen)} units of a training fold miss.",
                where=np.array(names)[empty],
                fix="leave them out, or fewer folds",
            )
        )


def _standardise(
    features: npt.NDArray[np.float32],
    rows: npt.NDArray[np.intp],
    scaler: Any,
    *,
    into: FloatArray,
    reducer: Any = None,
) -> None:
    """Write standardised rows, or their components, a piece at a time: no second copy of all of them is held."""
    for piece in pieces(rows.size, features.shape[1]):
        values = (features[rows[piece]] - scaler.mean_) / scaler.scale_
        into[piece] = values if reducer is None else reducer.transform(values)


def _columns_of(covariates: tuple[str, ...], blocks: Mapping[str, tuple[int, int]]) -> list[str]:
    return [*covariates, *(f"{name} (width {stop - start})" for name, (start, stop) in blocks.items())]


def has_columns(design: Design, columns: str) -> bool:
    """Say whether learners that look at ``columns`` ("both", "covariates", "features") see any of the design's."""
    table = design.table
    covariates = bool(table.covariate_names) and columns != "features"
    return covariates or (bool(table.features.shape[1]) and columns != "covariates")


def require_columns_asked(design: Design, columns: str) -> None:
    """Raise where learners are to see the covariates, or the features, of a design that has none."""
    table = design.table
    lacking = {
        "covariates": not table.covariate_names and "covariates=[...]",
        "features": not table.features.shape[1] and "features=embeddings",
    }.get(columns)
    if lacking:
        raise EstimationError(
            explain(
                f"columns={columns!r}, but the design has no {columns}.",
                fix=f"ec.Design(..., {lacking}), or Learners(columns='both')",
            )
        )
