"""Which scales are put side by side in a search: each alone, each two, and each with a second view of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from eocausal.embeddings import Embeddings
from eocausal.errors import EvaluationError, explain

# Noise in a made-up second view, as a share of the standard deviation of each feature.
NOISE = 0.5
SINGLE, PAIR, CONTROL = "single", "pair", "control"


@dataclass(frozen=True)
class ScaleSet:
    """Sources whose columns are put side by side, and what for: a single scale, a pair, or the control arm."""

    kind: str
    sources: tuple[str, ...]

    @property
    def name(self) -> str:
        """Their names, as they are printed."""
        return " + ".join(self.sources)


def sets_of(
    scales: Sequence[str],
    *,
    pairs: bool | Sequence[Sequence[str]],
    views: Mapping[str, Sequence[str]],
) -> list[ScaleSet]:
    """Return single scales, pairs of different ones, and each scale with its second views."""
    singles = [ScaleSet(SINGLE, (name,)) for name in scales]
    joined = [ScaleSet(PAIR, pair) for pair in _pairs(scales, pairs)]
    control = [ScaleSet(CONTROL, (name, view)) for name in scales for view in views.get(name, ())]
    return [*singles, *joined, *control]


def _pairs(scales: Sequence[str], pairs: bool | Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    every = list(combinations(scales, 2))
    if pairs is True:
        return every
    if isinstance(pairs, bool | str) or not isinstance(pairs, Sequence) or not pairs:
        raise EvaluationError(
            explain(
                f"pairs={pairs!r}.", rule="True for all pairs of scales, or a list of pairs", fix="pairs=True"
            )
        )
    place = {name: number for number, name in enumerate(scales)}
    wrong = [pair for pair in pairs if isinstance(pair, str) or len(pair) != 2 or not set(pair) <= set(place)]
    if wrong:
        raise EvaluationError(
            explain(
                "Pairs that are not two of the scales.",
                where=wrong,
                rule=f"two of {', '.join(scales)}",
                fix=f"pairs=[({scales[0]!r}, {scales[-1]!r})]",
            )
        )
    # a scale with itself is in every search: it is the single scale
    asked = {tuple(sorted(pair, key=place.__getitem__)) for pair in pairs if pair[0] != pair[1]}
    return [pair for pair in every if pair in asked]


def second_views(
    scales: Mapping[str, Embeddings],
    control: bool | Mapping[str, Embeddings],
    *,
    n_pairs: int,
    seed: int,
) -> tuple[dict[str, Embeddings], dict[str, tuple[str, ...]]]:
    """Return second views of scales as sources, and which are of which scale.

    Views that were given are taken. Else each scale gets copies with independent noise of half the spread of each
    feature: they hold nothing that the scale does not, and there are as many sets of the two as there are pairs.
    """
    if isinstance(control, Mapping):
        return _given(scales, control)
    if not isinstance(control, bool):
        raise EvaluationError(
            explain(
                f"control={control!r}.",
                rule="True, False, or a second view of scales: features of other pictures of the same size",
            )
        )
    if not control:
        return {}, {}
    made: dict[str, Embeddings] = {}
    of: dict[str, tuple[str, ...]] = dict.fromkeys(scales, ())
    names = list(scales)
    generators = np.random.default_rng(seed).spawn(n_pairs)
    for number, generator in enumerate(generators):
        scale = names[number % len(names)]
        name = f"{scale} (noisy copy {1 + number // len(names)})"
        made[name] = _noisy(scales[scale], generator)
        of[scale] = (*of[scale], name)
    return made, of


def _given(
    scales: Mapping[str, Embeddings], control: Mapping[str, Embeddings]
) -> tuple[dict[str, Embeddings], dict[str, tuple[str, ...]]]:
    unknown = [name for name in control if name not in scales]
    wrong = [name for name, one in control.items() if not isinstance(one, Embeddings)]
    if unknown or wrong or not control:
        raise EvaluationError(
            explain(
                "control holds what is no second view of a scale.",
                where=unknown or wrong,
                rule="features by the name of a scale that is searched",
                fix="control={" + repr(next(iter(scales))) + ": ec.embed(displaced_chips)}",
            )
        )
    views = {f"{name} (second view)": one for name, one in control.items()}
    return views, {name: (f"{name} (second view)",) for name in control}


def _noisy(features: Embeddings, generator: np.random.Generator) -> Embeddings:
    values = features.values.astype(float)
    with np.errstate(invalid="ignore"):
        spread = np.nanstd(values, axis=0)
    noise = NOISE * spread * generator.standard_normal(values.shape)
    return replace(features, values=(values + noise).astype(np.float32))
