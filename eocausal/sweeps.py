"""One call through many sets of features: given, or made from chips by resolution, footprint and kernel width."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from eocausal._checks import whole_number
from eocausal.embeddings import Embeddings
from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.sweep import check_options, check_sets, sweep_features

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.encoding.protocol import Encoder
    from eocausal.evaluate.sweep_result import Sweep
    from eocausal.imagery.chips import Chips

Made = dict[str, Callable[[], Embeddings]]


def sweep(
    design: Design,
    *,
    features: Mapping[str, Embeddings] | None = None,
    chips: Chips | None = None,
    encoder: str | Encoder = "rcf",
    coarsen: Sequence[int] = (),
    size_m: Sequence[float | str] = (),
    crop_px: Sequence[int] = (),
    kernel_px: Sequence[int] = (),
    **estimating: Any,
) -> Sweep:
    """Estimate with one set of features after another, on the same units, and set overlap and balance beside it.

    How much adjusting for pictures does may depend on how fine they are, how far around a place they reach and how
    wide the patterns are that an encoder sees. An estimate that moves with these settings rests on them. A sweep
    changes features alone; :func:`eocausal.robustness` goes over combinations of features, methods and learners.

    Parameters
    ----------
    design : Design
        Its own features are set aside.
    features : dict of str to Embeddings, optional
        Sets of features by the name they shall have.
    chips : Chips, optional
        Pictures to make sets of features from, one setting changed at a time. With none of the four below, the
        encoder's features of the chips as they are.
    encoder : str or Encoder
        As in :func:`eocausal.embed`.
    coarsen : sequence of int
        Resolution: pixels that are as many times as wide and high, by averaging. Chips are brought back to their
        number of pixels, so that windows of an encoder stay as wide on the ground and only detail is lost. 1 is
        the chips as they are.
    size_m : sequence of float or str
        Footprint: sizes that the chips have, metres or names of blocks.
    crop_px : sequence of int
        Footprint: the middle of the chips, pixels along a side.
    kernel_px : sequence of int
        Width of the windows of random features (``encoder="rcf"`` or ``RandomFeatures``), pixels.
    **estimating
        ``method, estimand, trim, folds, learners, vcov, seed``, as in :func:`eocausal.ate`.

    Returns
    -------
    Sweep
        A table with one row for each set, and one for the covariates alone where there are any: estimate with
        standard error and interval, AUC of treatment and R2 of the outcome out of fold, the largest standardised
        difference before and after weighting, effective units by arm. Units that lack an image in one of the sets
        are left out of all, and counted.

    Raises
    ------
    EvaluationError
        Neither features nor chips, settings without chips, names that repeat, or options that ``ec.ate`` does not
        take.

    Notes
    -----
    Jerzak, Johansson and Daoud (2023), Integrating Earth observation data into causal inference: challenges and
    opportunities, arXiv 2301.12985, on resolution and on patterns of another width than those that confound.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"village": np.arange(120), "grant": np.tile([0, 1], 60)})
    >>> table["income"] = table["grant"] + rng.normal(size=120)
    >>> units = ec.read_units(table, id="village", image_key="village")
    >>> chips = ec.chips_from_arrays(units, rng.random((120, 12, 12, 1)))
    >>> design = ec.Design(units, outcome="income", treatment="grant")
    >>> found = ec.sweep(design, chips=chips, encoder="image_stats", coarsen=(1, 2), folds=ec.Folds(k=2))
    >>> found.to_frame()["setting"].tolist()
    ['as they are', '2 times as coarse']
    """
    varied = {"coarsen": coarsen, "size_m": size_m, "crop_px": crop_px, "kernel_px": kernel_px}
    for name, values in varied.items():
        if isinstance(values, str | bytes) or not isinstance(values, Sequence):
            raise EvaluationError(explain(f"{name}={values!r} is not a list.", fix=f"{name}=({values!r},)"))
    check_options(design, estimating)
    if features or not isinstance(features, Mapping | None):
        check_sets(features)
    if chips is None:
        asked = [name for name, values in varied.items() if values]
        if asked:
            raise EvaluationError(
                explain("Settings of pictures need pictures.", where=asked, fix="chips=ec.chips(...)")
            )
        return sweep_features(design, dict(features or {}), estimating)
    todo = _sets(chips, encoder, coarsen=coarsen, size_m=size_m, crop_px=crop_px, kernel_px=kernel_px)
    repeated = [name for name in todo if name in (features or {})]
    if repeated:
        raise EvaluationError(explain("Sets of features have names that are made here.", where=repeated))
    sets = {**dict(features or {}), **{name: make() for name, make in todo.items()}}
    return sweep_features(design, sets, estimating)


def _sets(
    chips: Chips,
    encoder: str | Encoder,
    *,
    coarsen: Sequence[int],
    size_m: Sequence[float | str],
    crop_px: Sequence[int],
    kernel_px: Sequence[int],
) -> Made:
    """Return what makes each set of features, by its name; nothing is encoded yet."""
    from eocausal.encoding.multi_scale import MultiScale
    from eocausal.encoding.random_features import RandomFeatures
    from eocausal.encoding.registry import get_encoder
    from eocausal.imagery.cropping import cropped
    from eocausal.runner.embed import embed

    def made(pictures: Chips, config: str | Encoder) -> Callable[[], Embeddings]:
        return lambda: embed(pictures, encoder=config, progress=False)

    found: Made = {}
    for times in coarsen:
        whole_number(times, argument="coarsen", error=EvaluationError, least=1)
        name = "as they are" if times == 1 else f"{times} times as coarse"
        found[name] = made(_coarsened(chips, int(times)), encoder)
    for size in size_m:
        one = MultiScale(encoder, size_m=[size])
        found[one.blocks[0] if one.blocks else str(size)] = made(chips, one)
    for side in crop_px:
        found[f"middle {side} px"] = made(cropped(chips, side), encoder)
    if kernel_px:
        base = get_encoder(encoder)
        if not isinstance(base, RandomFeatures):
            raise EvaluationError(
                explain(
                    f"The encoder {base.name!r} has no windows whose width could be set.",
                    rule="kernel_px is for random features",
                    fix='encoder="rcf"',
                )
            )
        for width in kernel_px:
            found[f"windows of {width} px"] = made(chips, replace(base, patch_px=(width,)))
    return found or {"as they are": made(chips, encoder)}


def _coarsened(chips: Chips, times: int) -> Chips:
    """Return chips whose detail is lost below so many pixels, on as many pixels as before."""
    if times == 1:
        return chips
    small = {block: side // times for block, side in chips.sides.items()}
    if min(small.values()) < 1:
        raise EvaluationError(
            explain(
                f"Chips {times} times as coarse have no pixel left.",
                where=[f"{block} ({side} pixels)" for block, side in chips.sides.items()],
            )
        )
    return chips.resampled(small).resampled(chips.sides)
