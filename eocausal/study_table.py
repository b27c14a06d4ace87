"""The columns of a study read into checked arrays: coding, missing values, joins, weights, clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import require_columns, require_one_kind
from eocausal._study_columns import (
    Covariates,
    expand_covariates,
    indicator_of,
    keep_missing,
    read_clusters,
    read_numbers,
    read_propensity,
    read_weights,
)
from eocausal._treatments import Treatment, alike, read_treatment, two_arms_only
from eocausal.embeddings import Embeddings
from eocausal.errors import DesignError, LeakError, explain
from eocausal.units import Units

if TYPE_CHECKING:
    from eocausal.design import Design

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class StudyTable:
    """The columns of a design as arrays, rows in the order of the units that entered.

    Attributes
    ----------
    ids : array of shape (n,)
    outcome, weights : array of shape (n,)
    assigned : array of shape (n,)
        What each unit got: 0 and 1 for two arms, codes 0 to K - 1 of ``arms`` for several, else the dose.
    covariates : array of shape (n, p)
        With the mean of all units where ``missing``.
    missing : boolean array of shape (n, p) or None
        Which covariates are missing; None where none is.
    covariate_names : tuple of str, length p
    features : array of shape (n, d), float32
    feature_blocks : mapping of block name to (start, stop)
    image_keys : array of shape (n,)
    clusters : array of shape (n,) or None
    arms : tuple of str
        Names of the arms, the control first; empty where the treatment is a dose.
    treatment_type : {"binary", "categorical", "continuous"}
    propensity : array of shape (n,) or None
        The known propensity.
    coordinates : array of shape (n, 2) or None
        Longitude and latitude in degrees.
    rows : array of shape (n,)
        Positions in the data that was handed in.
    notes : tuple of str
        What a reader must know: rows left out, constant features.
    """

    ids: npt.NDArray[Any]
    outcome: FloatArray
    assigned: FloatArray
    weights: FloatArray
    covariates: FloatArray
    covariate_names: tuple[str, ...]
    features: npt.NDArray[np.float32]
    feature_blocks: dict[str, tuple[int, int]]
    image_keys: npt.NDArray[Any]
    clusters: npt.NDArray[Any] | None
    propensity: FloatArray | None
    coordinates: FloatArray | None
    rows: npt.NDArray[np.intp]
    notes: tuple[str, ...]
    arms: tuple[str, ...] = ("control", "treated")
    treatment_type: str = "binary"
    missing: npt.NDArray[np.bool_] | None = None

    @property
    def treatment(self) -> FloatArray:
        """Treatment (n,) of two arms, 0 and 1; raise for other types, whose codes or doses are no such thing."""
        if self.treatment_type != "binary":
            raise two_arms_only("What was asked for", self.treatment_type)
        return self.assigned

    @property
    def alike(self) -> npt.NDArray[np.intp]:
        """Codes (n,) of units that got alike: the arm, or the quarter of the doses."""
        return alike(Treatment(self.assigned, self.arms))

    def by_arm(self, rows: npt.NDArray[np.bool_]) -> str:
        """Return how many units a boolean array (n,) picks, in all and by arm."""
        return by_arm(rows, self.assigned, self.arms)

    def take(self, chosen: npt.NDArray[np.intp]) -> StudyTable:
        """Return the table of some units, by position, for the data of just these units."""
        by_unit = {name: value[chosen] for name in _BY_UNIT if (value := getattr(self, name)) is not None}
        return replace(self, **by_unit, rows=np.arange(chosen.size))


_BY_UNIT = (
    "ids", "outcome", "assigned", "weights", "covariates", "features", "image_keys", "clusters", "propensity",
    "coordinates", "missing",
)  # fmt: skip


def build_table(design: Design) -> StudyTable:
    """Read, check and join the columns that a design names."""
    frame, ids, image_keys = frame_of(design)
    named = [design.outcome, design.treatment, *design.covariates, design.cluster, design.weights]
    if isinstance(design.propensity, str):
        named.append(design.propensity)
    require_columns(frame, [name for name in named if name is not None], table="data", error=DesignError)
    _refuse_double_roles(design)
    treatment = read_treatment(
        frame[design.treatment], ids, treatment_type=design.treatment_type, control=design.control
    )
    _refuse_known_propensity(design)
    features, blocks, no_image = _join_features(design.features, image_keys)
    outcome = read_numbers(frame[design.outcome], ids, role="outcome")
    reasons = {f"no outcome {design.outcome!r}": np.isnan(outcome), "no usable image": no_image}
    if design.min_valid > 0:
        bound = f"less than {100 * design.min_valid:.10g}% valid pixels"
        reasons[bound] = _valid_share(design.features, image_keys, no_image) < design.min_valid
    covariates = expand_covariates(frame, list(design.covariates), ids)
    if design.missing != "keep":
        reasons |= {
            f"no covariate {name!r}": covariates[name].isna().to_numpy() for name in covariates.columns
        }
    keep, notes = _keep_complete(design, ids, treatment, reasons)
    rows = np.flatnonzero(keep)
    read = Covariates(covariates.to_numpy(dtype=float)[rows], tuple(covariates.columns))
    if design.missing == "keep":
        read = keep_missing(frame, design.covariates, ids, rows)
        notes += _kept_notes(read, treatment.assigned[rows], treatment.arms)
    return StudyTable(
        ids=ids[rows],
        outcome=outcome[rows],
        assigned=treatment.assigned[rows],
        weights=read_weights(frame, design.weights, ids)[rows],
        covariates=read.values,
        covariate_names=read.names,
        missing=read.missing,
        features=features[rows],
        feature_blocks=blocks,
        image_keys=image_keys[rows],
        clusters=read_clusters(frame, design.cluster, ids, rows),
        propensity=read_propensity(frame, design.propensity, ids, rows),
        coordinates=_coordinates(design.data, rows),
        rows=rows,
        notes=tuple(notes),
        arms=treatment.arms,
        treatment_type=design.treatment_type,
    )


def frame_of(design: Design) -> tuple[pd.DataFrame, npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the attribute table, the unit ids and the image keys."""
    data = design.data
    if isinstance(data, Units):
        return data.frame, data.ids, data.image_keys
    if not isinstance(data, pd.DataFrame):
        raise DesignError(
            explain(f"data is a {type(data).__name__}.", fix="pass ec.read_units(...) or a pandas DataFrame")
        )
    if len(data) == 0:
        raise DesignError(explain("The table of units is empty."))
    if data.index.nlevels > 1 or data.index.hasnans:
        raise DesignError(
            explain(
                "The index of the data, which is the unit id, has several levels or missing values.",
                fix="data = data.set_index('your_id') with one id for each unit",
            )
        )
    ids = data.index.to_numpy()
    require_one_kind(
        ids,
        what="The index of the data, which is the unit id,",
        error=DesignError,
        fix="data.index = data.index.astype(str)",
    )
    duplicated = data.index.duplicated()
    if duplicated.any():
        raise DesignError(
            explain(
                "The index of the data, which is the unit id, holds duplicates.",
                where=ids[duplicated],
                fix="data = data.set_index('your_id'), or pass ec.read_units(...)",
            )
        )
    if design.features is None or not isinstance(design.features, Embeddings):
        return data, ids, ids
    key = design.features.key_name
    if key not in data.columns and data.index.name != key:
        require_columns(data, [key], table="data (needed to join the features)", error=DesignError)
    return data, ids, data[key].to_numpy() if key in data.columns else ids


def _refuse_double_roles(design: Design) -> None:
    if design.outcome == design.treatment:
        raise LeakError(explain(f"Outcome and treatment are the same column {design.outcome!r}."))
    for role, name in (("outcome", design.outcome), ("treatment", design.treatment)):
        if name in design.covariates:
            raise LeakError(
                explain(
                    f"The {role} {name!r} is among the covariates.",
                    fix=f"covariates=[c for c in covariates if c != {name!r}]",
                )
            )
    repeated = pd.Index(design.covariates)
    if repeated.has_duplicates:
        raise DesignError(
            explain("A covariate is named twice.", where=repeated[repeated.duplicated()].tolist())
        )


def _join_features(
    features: Embeddings | None, image_keys: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.float32], dict[str, tuple[int, int]], npt.NDArray[np.bool_]]:
    """Return features by unit (n, d), their blocks, and which units have no usable image."""
    n = image_keys.size
    if features is None:
        return np.zeros((n, 0), dtype=np.float32), {}, np.zeros(n, dtype=bool)
    if not isinstance(features, Embeddings):
        raise DesignError(
            explain(
                f"features is a {type(features).__name__}.",
                fix="features=ec.read_embeddings(table, key='image_key') or ec.embed(...)",
            )
        )
    positions = features.rows_for(image_keys)
    if (positions < 0).all():
        raise DesignError(
            explain(
                "No unit has an image: the image keys of units and features do not meet.",
                where=[repr(key) for key in np.unique(image_keys)[:3].tolist()],
                rule=f"keys of the features look like {features.keys[:3].tolist()!r}",
                fix="give both the same type: data['key'] = data['key'].astype(str)",
            )
        )
    joined = np.where(positions[:, None] >= 0, features.values[np.maximum(positions, 0)], np.nan)
    incomplete = np.asarray(~np.isfinite(joined).all(axis=1))
    return joined.astype(np.float32), dict(features.blocks), incomplete


def _valid_share(
    features: Embeddings | None, image_keys: npt.NDArray[Any], no_image: npt.NDArray[np.bool_]
) -> FloatArray:
    """Return the share of valid pixels of each unit's picture, 1 where there is no usable picture to judge."""
    if features is None:
        raise DesignError(explain("min_valid is given, but no features.", fix="features=ec.embed(chips)"))
    known = features.info["valid_fraction"].to_numpy(dtype=float)[features.rows_for(image_keys)]
    share = np.where(no_image, 1.0, known)
    if np.isnan(share).any():
        raise DesignError(
            explain(
                "The features do not say how much of each picture is valid, which min_valid needs.",
                where=image_keys[np.isnan(share)],
                fix="leave min_valid out, or make the features with ec.embed",
            )
        )
    return share


def _keep_complete(
    design: Design,
    ids: npt.NDArray[Any],
    treatment: Treatment,
    reasons: dict[str, npt.NDArray[np.bool_]],
) -> tuple[npt.NDArray[np.bool_], list[str]]:
    """Return which units are complete, with one note for each reason to leave units out."""
    notes: list[str] = []
    keep = np.ones(ids.size, dtype=bool)
    for reason, missing in reasons.items():
        if not missing.any():
            continue
        counted = by_arm(missing, treatment.assigned, treatment.arms)
        if design.missing == "error":
            raise DesignError(
                explain(
                    f"{counted} have {reason}.",
                    where=ids[missing],
                    fix="missing='drop' leaves them out and says so in every result"
                    + ("; missing='keep' keeps units without a covariate" if "covariate" in reason else ""),
                )
            )
        notes.append(f"left out: {counted} with {reason}")
        keep &= ~missing
    if not keep.any():
        raise DesignError(explain("No unit is complete.", where=notes))
    return keep, notes


def _kept_notes(read: Covariates, assigned: FloatArray, arms: Sequence[str]) -> list[str]:
    """Return what a reader must know of units that were kept without a covariate."""
    if not read.gaps:
        return []
    named = [name for name in read.names if name in map(indicator_of, read.gaps)]
    return [
        *(
            f"kept: {by_arm(without, assigned, arms)} with no covariate {name!r}"
            for name, without in read.gaps.items()
        ),
        f"missing numbers count as the mean of units that have them, missing text as a level of its own, marked by "
        f"{', '.join(named)}; trees of causal forests part units by what is missing",
    ]


def by_arm(
    rows: npt.NDArray[np.bool_], assigned: FloatArray, arms: Sequence[str] = ("control", "treated")
) -> str:
    """Return how many units a boolean array (n,) picks, in all and by arm.

    Examples
    --------
    >>> by_arm(np.array([True, True, False]), np.array([1.0, 0.0, 0.0]))
    '2 units (1 treated, 1 control)'
    >>> by_arm(np.array([True, True, False]), np.array([2.0, 0.0, 0.0]), ("none", "China", "both"))
    '2 units (0 China, 1 both, 1 none)'
    >>> by_arm(np.array([True, True, False]), np.array([2.5, 0.1, 7.0]), ())
    '2 units'
    """
    total = f"{int(rows.sum())} units"
    if not arms:
        return total
    in_order = [*range(1, len(arms)), 0]
    return f"{total} ({', '.join(f'{int(rows[assigned == code].sum())} {arms[code]}' for code in in_order)})"


def _refuse_known_propensity(design: Design) -> None:
    if design.propensity is not None and design.treatment_type != "binary":
        raise DesignError(
            explain(
                f"A known propensity goes with two arms, and the treatment is {design.treatment_type}.",
                fix="leave propensity= out; the probabilities of the arms, or the density of the dose, are learned",
            )
        )


def _coordinates(data: Units | pd.DataFrame, rows: npt.NDArray[np.intp]) -> FloatArray | None:
    if isinstance(data, pd.DataFrame) or data.longitude is None or data.latitude is None:
        return None
    return np.column_stack([data.longitude, data.latitude])[rows]
