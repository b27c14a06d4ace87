"""`robustness`: the estimate over all reasonable ways of making it, and whether chance would show as much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import as_folder, whole_number
from eocausal.design import Design
from eocausal.errors import EstimationError, SensitivityError, explain
from eocausal.panels.design import PanelDesign
from eocausal.sensitivities.result import Sensitivity
from eocausal.sensitivities.robustness_words import sentence
from eocausal.sensitivities.specification_grid import read_grid, read_options, specifications
from eocausal.sensitivities.specification_store import SpecificationStore
from eocausal.sensitivities.specification_tests import (
    SIGNIFICANT,
    adjusted_p,
    critical_of,
    in_direction,
    joint_of,
    joint_tests,
    null_of,
    same_value_p,
    spread_explained,
)
from eocausal.sensitivities.specifications import Specified, Workbench
from eocausal.sensitivities.subject import Subject

if TYPE_CHECKING:
    from pathlib import Path

    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.kinds import Call
    from eocausal.sensitivities.specification_grid import Choice

FloatArray = npt.NDArray[np.float64]

# Ways that change how an estimand is computed, and not what is estimated.
TECHNICAL = ("learners", "folds", "seed", "vcov")
# Names of choices, and reasons, that a warning shows.
SHOWN = 3
UNTESTED = ("p_median", "p_significant", "p_average", "p_largest", "p_equal")
AGREEMENT = (
    "every specification identifies the effect: what all of them leave out biases all, and that they agree does "
    "not show that nothing is left out"
)


def robustness(
    design: Design | PanelDesign,
    grid: Mapping[str, Any],
    *,
    term: str | None = None,
    most: int = 200,
    draws: int = 9999,
    seed: int = 0,
    folder: str | Path | None = None,
    progress: bool = False,
    **options: Any,
) -> Sensitivity:
    """Estimate under every combination of choices, and test what the specifications show together.

    A specification curve: for effects that might rest on an encoder, a footprint, a learner or a seed. Where the
    question is what one set of features after another does to overlap and balance, and where sets are to be made
    from chips, :func:`eocausal.sweep` answers it.

    Parameters
    ----------
    design : Design or PanelDesign
    grid : mapping of str to list, or to mapping of names to ways
        What is varied; all combinations are estimated, the first way of each choice being the main specification.
        ``features``: mapping of names to Embeddings, or to None for covariates alone. ``blocks``: names of blocks
        of features to keep (``[["960m"], ["240m", "960m"], None]``, None for all). ``covariates``: covariates to
        keep, by list. ``method``, ``estimand``, ``trim`` (Trim or None), ``learners``, ``folds``, ``seed`` and
        ``vcov`` as in :func:`eocausal.ate`. Of a PanelDesign ``method``, ``aggregate``, ``control``, ``window``,
        ``learners``, ``folds``, ``seed`` and ``vcov`` as in :func:`eocausal.panel`. None is what is usual, also
        for methods that have no such option.
    term : str, optional
        Which term, where estimates have several.
    most : int
        Of more combinations than these the first and others drawn at random are estimated.
    draws : int
        Draws of all estimates together, were there no effect.
    seed : int
        For folds and learners where the grid names no seeds, and for what is drawn.
    folder : str or Path, optional
        Where finished specifications are kept, so that a run that was killed goes on, also with a larger grid.
    progress : bool
    **options
        What all specifications share, by the names of the grid: ``method="ipw", folds=ec.Folds(k=3)``.

    Returns
    -------
    Sensitivity
        Its table has a row for each specification, ``.estimates`` the estimates themselves, with their influence
        values (for :func:`eocausal.sensitivity` of one, make it again by ``ec.ate``). ``.numbers`` are range,
        median and quartiles, the share that is positive and that is significant in the direction of the median, and
        p-values. ``.curves["shares"]`` says how much of the variance of estimates each choice goes with,
        ``.curves["under_null"]`` where the ordered estimates would lie were there no effect, and
        ``.curves["left_out"]`` which combinations have no estimate of their own, and why.

    Raises
    ------
    SensitivityError
        A grid with names or values that are not known, one specification only, several arms, or no specification
        that can be estimated.

    Notes
    -----
    Simonsohn, Simmons and Nelson (2020), Nature Human Behaviour 4. They draw data anew under the null and estimate
    all specifications in each draw. Here the joint distribution is that of the influence values, of all
    specifications on the same units, which needs no refit: multiplied by normal weights, by cluster or by place as
    the standard errors are made. P-values of single specifications among many: Romano and Wolf (2005), JASA 100.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grant": np.tile([0, 1], 100), "age": rng.normal(size=200)})
    >>> table["size"] = rng.normal(size=200)
    >>> table["income"] = table["grant"] + table["age"] + rng.normal(size=200)
    >>> design = ec.Design(table, outcome="income", treatment="grant", covariates=["age", "size"])
    >>> grid = {"method": ["regression", "ols"], "covariates": {"both": ["age", "size"], "age": ["age"]}}
    >>> found = ec.robustness(design, grid)
    >>> found.to_frame()[["method", "covariates", "significant"]].values.tolist()
    [['regression', 'both', True], ['regression', 'age', True], ['ols', 'both', True], ['ols', 'age', True]]
    """
    _require_design(design)
    most = whole_number(most, argument="most", error=SensitivityError, least=2)
    draws = whole_number(draws, argument="draws", error=SensitivityError, least=99)
    seed = whole_number(seed, argument="seed", error=SensitivityError)
    choices = read_grid(grid, design)
    shared = read_options(options, choices, design)
    if "seed" not in shared and "seed" not in [one.name for one in choices]:
        shared["seed"] = seed
    place = None if folder is None else as_folder(folder, error=SensitivityError)
    store = SpecificationStore(place, design.fingerprint)
    every, total = specifications(choices, most=most, seed=seed)
    with store.writing():
        bench = Workbench(design, choices, shared, term, store)
        made = bench.specified(every, progress=progress)
    drawn = (
        [f"{len(every)} of {total:,} combinations were estimated, the first and others drawn at random"]
        if total > len(every)
        else []
    )
    return _result(design, choices, made, draws=draws, seed=seed, drawn=drawn)


def of_one_result(estimate: Estimate, call: Call) -> Sensitivity:
    """Refuse: over which specifications to go is not known from one result."""
    raise SensitivityError(
        explain(
            "kind='robustness' is of a design and a grid, not of one result.",
            fix='ec.robustness(design, grid), with a grid such as {"method": ["aipw", "ols"], "seed": [0, 1, 2]}',
        )
    )


def _require_design(design: object) -> None:
    if not isinstance(design, Design | PanelDesign):
        fix = 'ec.robustness(design, {"method": ["aipw", "ols"]})'
        raise SensitivityError(explain(f"design is a {type(design).__name__}.", fix=fix))
    if isinstance(design, Design) and design.treatment_type == "categorical":
        text = "A specification curve is of one effect, and the treatment has several arms."
        raise SensitivityError(explain(text, fix="design.pair(arm) of one arm after another"))


def _result(
    design: Design | PanelDesign,
    choices: Sequence[Choice],
    made: Specified,
    *,
    draws: int,
    seed: int,
    drawn: Sequence[str],
) -> Sensitivity:
    """Return what the estimates show, one by one and together."""
    estimates = made.estimates
    labels = pd.DataFrame(list(made.labels.values()), columns=[one.name for one in choices])
    frame = _table(labels, estimates)
    values, significant = frame["estimate"].to_numpy(), frame["significant"].to_numpy()
    varied = [one.name for one in choices if len(one.ways) > 1 and one.name != "vcov"]
    shares = spread_explained(values, labels[varied])
    own = frame["p_value"].to_numpy()
    tested = _together(estimates, labels, own, draws=draws, seed=seed)
    frame["p_adjusted"] = tested.adjusted
    numbers = {**_spread_of(values, significant), **tested.numbers}
    left = _left_out(made)
    curves = {"shares": shares, "under_null": tested.under_null, "left_out": left}
    main = next(iter(estimates.values()))
    words = {one.name: one.in_words for one in choices}
    return Sensitivity(
        kind="robustness",
        subject=replace(Subject.of(main), outcome=str(design.outcome)),
        sentence=sentence(numbers, shares, words, least=tested.least),
        frame=frame,
        numbers=numbers,
        curves={name: one for name, one in curves.items() if len(one)},
        estimates=estimates,
        assumptions=(AGREEMENT, *_of_tests(estimates)),
        warnings=(*made.notes, *drawn, *_told(made), *tested.told, *_gathered(estimates)),
        diagnostics={"draws": draws, "left_out": len(left)},
        provenance={**main.provenance, "specifications": len(estimates), "null_seed": seed},
    )


@dataclass(frozen=True, eq=False)
class _Together:
    """Joint p-values, adjusted ones (k,), the curve under the null, and what there is to say of them."""

    numbers: Mapping[str, float]
    adjusted: FloatArray
    under_null: pd.DataFrame
    told: Sequence[str]
    least: float = np.nan


def _together(
    estimates: Mapping[str, Estimate], labels: pd.DataFrame, own: FloatArray, *, draws: int, seed: int
) -> _Together:
    """Return what the specifications, with p-values ``own`` (k,), show together; NaN where it cannot be tested."""
    try:
        joint = joint_of(estimates)
    except EstimationError as cause:
        told = f"the specifications could not be tested together: {str(cause).splitlines()[0]}"
        nothing = np.full(len(estimates), np.nan)
        return _Together(dict.fromkeys(UNTESTED, np.nan), nothing, pd.DataFrame(), [told])
    null = null_of(joint, draws=draws, seed=seed)
    critical = critical_of(list(estimates.values()), joint, null)
    tests = joint_tests(joint, null, own < SIGNIFICANT, critical)
    tests["p_equal"] = same_value_p(joint, _questions(labels))
    known = {text for one in estimates.values() for text in one.warnings}
    more = [f"of all specifications together: {text}" for text in joint.warnings if text not in known]
    return _Together(tests, adjusted_p(joint, null, own), null.curve(), more, null.least)


def _table(labels: pd.DataFrame, estimates: Mapping[str, Estimate]) -> pd.DataFrame:
    """Return one row for each specification."""
    rows = []
    for name, one in estimates.items():
        low, high = np.ravel(one.ci())
        p_value, value = float(np.ravel(one.p_value())[0]), float(one.values[0])
        rows.append(
            {
                "estimate": value,
                "std_error": float(np.ravel(one.std_error)[0]),
                "conf_low": float(low),
                "conf_high": float(high),
                "p_value": p_value,
                "n": one.n,
                "ess_treated": float(one.diagnostics.get("ess_treated", np.nan)),
                "ess_control": float(one.diagnostics.get("ess_control", np.nan)),
                "significant": p_value < SIGNIFICANT,
                "sign": int(np.sign(value)),
                "specification": name,
            }
        )
    return pd.concat([labels, pd.DataFrame(rows)], axis=1)


def _spread_of(values: FloatArray, significant: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Return range, median, quartiles and shares of signs."""
    low, first, middle, third, high = np.quantile(values, [0.0, 0.25, 0.5, 0.75, 1.0])
    along = float(in_direction(values[None, :], significant[None, :])[0])
    return {
        "specifications": float(values.size),
        "median": float(middle),
        "lowest": float(low),
        "highest": float(high),
        "quartile_low": float(first),
        "quartile_high": float(third),
        "interquartile_range": float(third - first),
        "share_positive": float((values > 0).mean()),
        "share_significant": along / values.size,
        "share_significant_opposite": float(significant.sum() - along) / values.size,
    }


def _questions(labels: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Return of each specification what it estimates, without how it is computed."""
    names = [name for name in labels if name not in TECHNICAL]
    return [tuple(row) for row in labels[names].to_numpy().tolist()]


def _left_out(made: Specified) -> pd.DataFrame:
    rows = [(name, why) for name, why in made.undefined.items()]
    rows += [(name, f"the same as: {other}") for name, other in made.repeated.items()]
    return pd.DataFrame(rows, columns=["specification", "reason"])


def _told(made: Specified) -> list[str]:
    """Return warnings of combinations without an estimate of their own."""
    told = []
    if made.undefined:
        reasons = list(dict.fromkeys(made.undefined.values()))
        more = ", ..." if len(reasons) > SHOWN else ""
        said = "; ".join(reasons[:SHOWN])
        told.append(f"{_combinations(made.undefined, 'has', 'have')} no estimate: {said}{more}")
    if made.repeated:
        told.append(
            f"{_combinations(made.repeated, 'gives', 'give')} to the last digit the estimate of another, mostly "
            "because the method does not look at what differs, and counts once (see .curves['left_out'])"
        )
    return told


def _combinations(those: Mapping[str, str], one: str, several: str) -> str:
    return f"1 combination {one}" if len(those) == 1 else f"{len(those)} combinations {several}"


def _of_tests(estimates: Mapping[str, Estimate]) -> list[str]:
    """Return what the tests take for granted, and what the specifications may differ in by right."""
    kinds = list(dict.fromkeys(one.vcov for one in estimates.values()))
    told = [
        "tests of all specifications: their errors are jointly normal, as influence values say, with standard "
        f"errors {kinds[0]}; the null is that the effect is zero in every specification"
    ]
    asked = list(dict.fromkeys(one.estimand for one in estimates.values()))
    if len(asked) > 1:
        told.append(f"specifications differ in whose effect they average: {', '.join(asked)}")
    return told


def _gathered(estimates: Mapping[str, Estimate]) -> list[str]:
    """Return warnings that all estimates share, and how many have others."""
    noted = [one.warnings for one in estimates.values()]
    shared = [text for text in noted[0] if all(text in of for of in noted)]
    own = [name for name, one in estimates.items() if any(text not in shared for text in one.warnings)]
    if not own:
        return shared
    return [
        *shared,
        f"{len(own)} specification{'s have' if len(own) > 1 else ' has'} warnings of "
        f"{'their' if len(own) > 1 else 'its'} own, such as .estimates[{own[0]!r}].warnings",
    ]
