"""What effects may be told apart by: sources of columns by name, read for one and the same units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import did_you_mean
from eocausal.embeddings import Embeddings
from eocausal.errors import DesignError, EmbeddingsError, EvaluationError, explain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eocausal.design import Design

    Source = Embeddings | str | Sequence[Embeddings | str] | None

# Stands for the covariates of the design in a source, alone or in a list.
COVARIATES = "covariates"
Parts = tuple[tuple[str, Embeddings], ...]


@dataclass(frozen=True, eq=False)
class Sources:
    """A design for each source, all of the same units in the same order.

    Attributes
    ----------
    base : Design
        The design as it was given, on these units: what is adjusted for.
    designs : dict of str to Design
        By source: the same units, with the columns that effects are told apart by.
    notes : tuple of str
        Who was left out.
    """

    base: Design
    designs: dict[str, Design]
    notes: tuple[str, ...]

    def columns(self) -> dict[str, str]:
        """Return in words what each source holds."""
        return {name: _in_words(one) for name, one in self.designs.items()}

    def fingerprints(self) -> dict[str, str]:
        """Return a hash of all that each source holds."""
        return {name: one.fingerprint for name, one in self.designs.items()}


def read_sources(design: Design, sources: Mapping[str, Source]) -> Sources:
    """Read each source for the units that all of them know.

    Raises
    ------
    EvaluationError
        No sources, names that are no text, a source that is neither features nor covariates, units without an image
        in a source where the design does not leave units out, or images that tie units which the design holds to
        be independent.
    DesignError, LeakError
        What a design refuses, with the name of the source.
    """
    design.require_binary("A comparison of sources")
    _check_names(sources)
    read = {name: _read(design, name, _resolved(name, sources)) for name in sources}
    rows, notes = _shared_rows(design, read)
    base = design if rows.all() else design.take(rows)
    ids = pd.Index(base.table.ids)
    designs = {name: one.take(pd.Index(one.table.ids).get_indexer(ids)) for name, one in read.items()}
    _refuse_ties(base, designs)
    return Sources(base, designs, notes)


def joined(parts: Parts) -> Embeddings:
    """Put features side by side for the images that all parts hold; blocks of one name get that of their source.

    Examples
    --------
    >>> import pandas as pd
    >>> from eocausal.embeddings import read_embeddings
    >>> near, far = (read_embeddings(pd.DataFrame({"place": [1, 2], "f": [0.1, v]}), key="place") for v in (1, 2))
    >>> list(joined((("near", near), ("far", far))).blocks)
    ['near: features', 'far: features']
    """
    if len(parts) == 1:
        return parts[0][1]
    labels = _distinct([label for label, _ in parts])
    names = pd.Series([name for _, one in parts for name in (*one.blocks, *one.columns)])
    tables = [one for _, one in parts]
    if names.duplicated().any():
        tables = [_renamed(one, label) for label, one in zip(labels, tables)]
    keys = reduce(lambda have, one: have[np.isin(have, one.keys)], tables[1:], tables[0].keys)
    return reduce(lambda left, right: left.with_block(right), [one.take(keys) for one in tables])


def _renamed(features: Embeddings, label: str) -> Embeddings:
    return replace(
        features,
        columns=tuple(f"{label}: {name}" for name in features.columns),
        blocks={f"{label}: {name}": span for name, span in features.blocks.items()},
    )


def _distinct(labels: list[str]) -> list[str]:
    """Return labels with a number where one is there already."""
    seen: dict[str, int] = {}
    found = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        found.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return found


def _check_names(sources: Mapping[str, Source]) -> None:
    if not isinstance(sources, Mapping) or not sources:
        raise EvaluationError(
            explain(
                "There are no sources, by name, to compare.",
                fix='{"480 m": near, "7.7 km": far, "both": ["480 m", "7.7 km"], "tabular": None}',
            )
        )
    wrong = [name for name in sources if not isinstance(name, str) or not name.strip() or name == COVARIATES]
    if wrong:
        raise EvaluationError(
            explain(
                "Sources have names that cannot be used.",
                where=[repr(name) for name in wrong],
                rule=f"text that is not empty and not {COVARIATES!r}, which stands for the design's covariates",
            )
        )


def _resolved(name: str, sources: Mapping[str, Source], path: tuple[str, ...] = ()) -> tuple[bool, Parts]:
    """Return whether a source holds the covariates, and its tables of features with a label each."""
    if name in path:
        raise EvaluationError(
            explain("Sources are made of one another.", where=[*path, name], rule="no source holds itself")
        )
    source = sources[name]
    if source is None:
        return True, ()
    if isinstance(source, Embeddings):
        return False, ((name, source),)
    listed = [source] if isinstance(source, str) else source
    if not isinstance(listed, list | tuple) or not listed:
        raise EvaluationError(_not_a_source(name, source))
    covariates, parts = False, []
    for number, part in enumerate(listed, start=1):
        if isinstance(part, Embeddings):
            parts.append((f"{name} {number}", part))
        elif part is None or part == COVARIATES:
            covariates = True
        elif isinstance(part, str):
            if part not in sources:
                raise EvaluationError(
                    explain(
                        f"Source {name!r} names {part!r}, which is no source.",
                        fix=did_you_mean(part, [COVARIATES, *(one for one in sources if one != name)]),
                    )
                )
            with_covariates, more = _resolved(part, sources, (*path, name))
            covariates, parts = covariates or with_covariates, [*parts, *more]
        else:
            raise EvaluationError(_not_a_source(name, part))
    return covariates, tuple(parts)


def _not_a_source(name: str, source: object) -> str:
    return explain(
        f"Source {name!r} is a {type(source).__name__}.",
        rule="features, the name of another source, 'covariates', a list of these, or None for covariates alone",
        fix="ec.read_embeddings(table, key='image_key') makes features of a table",
    )


def _read(design: Design, name: str, source: tuple[bool, Parts]) -> Design:
    """Return the design whose columns are those of one source; what it refuses is told with the source's name."""
    covariates, parts = source
    if covariates and not design.covariates:
        raise EvaluationError(
            explain(
                f"Source {name!r} holds the covariates, and the design has none.",
                fix="ec.Design(..., covariates=[...])",
            )
        )
    try:
        return replace(
            design,
            features=joined(parts) if parts else None,
            covariates=design.covariates if covariates else (),
            missing="keep" if design.missing == "keep" else "drop",
            min_valid=design.min_valid if parts else 0.0,
        )
    except (DesignError, EmbeddingsError) as error:
        raise type(error)(f"Source {name!r}: {error}") from error


def _shared_rows(design: Design, read: Mapping[str, Design]) -> tuple[npt.NDArray[np.bool_], tuple[str, ...]]:
    """Return which units of the design every source knows, and a note of who was left out."""
    ids = design.table.ids
    known = {name: np.isin(ids, one.table.ids) for name, one in read.items()}
    rows = np.logical_and.reduce(list(known.values()))
    if rows.all():
        return rows, ()
    lacking = {name: int((~one).sum()) for name, one in known.items() if not one.all()}
    text = f"{design.table.by_arm(~rows)} lack a usable image in {', '.join(map(repr, lacking))}"
    if not rows.any():
        raise EvaluationError(explain("No unit has an image in every source."))
    if design.missing != "drop":
        raise EvaluationError(
            explain(
                f"{text}.",
                where=ids[~rows],
                rule="sources are compared on the same units",
                fix="Design(..., missing='drop') leaves them out of all sources and says so",
            )
        )
    return rows, (f"left out of all sources: {text}",)


def _refuse_ties(base: Design, designs: Mapping[str, Design]) -> None:
    """Raise where units share an image in a source, and the design would let folds part them."""
    for name, one in designs.items():
        first = np.full(int(one.groups.max()) + 1, -1)
        first[one.groups[::-1]] = base.groups[::-1]
        parted = base.groups != first[one.groups]
        if parted.any():
            key = one.features.key_name if one.features is not None else "the image key"
            raise EvaluationError(
                explain(
                    f"Units share images in source {name!r}, and the design holds them to be independent.",
                    where=base.table.ids[parted],
                    rule="folds and standard errors keep units of one image together, the same for all sources",
                    fix=f"ec.Design(..., cluster={key!r})",
                )
            )


def _in_words(design: Design) -> str:
    table = design.table
    told = [f"{len(table.covariate_names)} covariates"] if table.covariate_names else []
    blocks = {name: stop - start for name, (start, stop) in table.feature_blocks.items()}
    told += [f"{width} features ({name})" for name, width in blocks.items()]
    return " + ".join(told)


def given_columns(design: Design) -> dict[str, Any]:
    """Return what nuisances see, for ``diagnostics``."""
    return {"nuisance_columns": _in_words(design) or "none: means of the arms"}
