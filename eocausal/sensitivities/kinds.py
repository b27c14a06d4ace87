"""`sensitivity`: one verb, a table of kinds."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from eocausal._checks import did_you_mean, one_of, require_level, whole_number
from eocausal.errors import SensitivityError, explain
from eocausal.sensitivities import linear_model
from eocausal.sensitivities.benchmarks import Benchmark, read_benchmarks
from eocausal.sensitivities.options import KindOptions
from eocausal.sensitivities.result import HIGH, WIDE, Sensitivity
from eocausal.sensitivities.subject import one_estimate, origin_of

if TYPE_CHECKING:
    from eocausal.debiasing.corrected_result import Corrected
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.benchmarks import Asked


@dataclass(frozen=True)
class Call:
    """What every kind of analysis is told beside the estimate.

    Attributes
    ----------
    benchmarks : tuple of Benchmark
    named : bool
        Whether benchmarks were asked for by name.
    level : float
    seed : int
    progress : bool
    """

    benchmarks: tuple[Benchmark, ...]
    named: bool
    level: float
    seed: int
    progress: bool


@dataclass(frozen=True)
class Kind:
    """A kind of analysis: what it asks, who answers and draws (``module:function``), and its own options.

    ``size`` is that of the figure in inches; ``measured`` says whether it is measured against benchmarks.
    """

    question: str
    run: str
    draw: str
    options: tuple[str, ...] = ()
    size: tuple[float, float] = (WIDE, HIGH)
    measured: bool = True


# A new kind is one module and one row here.
KINDS: dict[str, Kind] = {
    "omitted": Kind(
        "How strong would an omitted variable have to be?",
        "omitted:omitted",
        "omitted_figure:draw",
        ("r2_treatment", "r2_outcome", "times", "q"),
        (9.0, 4.2),
    ),
    "dml": Kind(
        "How strong would an unobserved confounder have to be?",
        "dml:dml",
        "dml_figure:draw",
        ("r2_treatment", "r2_outcome", "rho", "times", "q"),
        (9.6, 4.4),
    ),
    "marginal": Kind(
        "How far could the odds of treatment be off?",
        "marginal:marginal",
        "marginal_figure:draw",
        ("lambdas", "bounds", "draws", "quantile"),
    ),
    "oster": Kind(
        "How much more would selection on the unseen have to matter than on the seen?",
        "oster:oster",
        "oster_figure:draw",
        ("r2_max", "delta", "beta", "always"),
    ),
    "breakdown": Kind(
        "When would the sign of the effect be in doubt?",
        "breakdown:breakdown",
        "breakdown_figure:draw",
        ("r2_max", "always", "beta", "bias_max"),
        (9.0, 4.2),
    ),
    "evalue": Kind(
        "How strong would associations with an unseen confounder have to be, as risk ratios?",
        "evalue:evalue",
        "evalue_figure:draw",
        ("scale", "null"),
    ),
    "rosenbaum": Kind(
        "How unequal could the chances of treatment be within pairs or strata?",
        "rosenbaum:rosenbaum",
        "rosenbaum_figure:draw",
        ("gammas", "strata", "statistic", "caliper", "adjust"),
        (9.0, 4.2),
    ),
    "placebo": Kind(
        "Does the estimate find effects where there can be none?",
        "placebo:placebo",
        "placebo_figure:draw",
        ("tests", "outcomes", "future", "draws", "shift_m"),
        measured=False,
    ),
    "spatial": Kind(
        "Is something left that neighbours share?",
        "spatial:spatial",
        "spatial_figure:draw",
        ("tests", "neighbours", "cutoffs", "buffers", "rings"),
        (9.0, 6.4),
        measured=False,
    ),
    "robustness": Kind(
        "Does the estimate hinge on how it was made?",
        "robustness:of_one_result",
        "robustness_figure:draw",
        size=(7.2, 5.6),
        measured=False,
    ),
}
# What is asked of a result where no kind is named.
_USUAL = {
    **dict.fromkeys(linear_model.METHODS, "omitted"),
    **dict.fromkeys(("aipw", "partially_linear"), "dml"),
    **dict.fromkeys(("ipw", "cbps"), "marginal"),
}


def usual_kind(method: str) -> str:
    """Return the kind that goes with a method where none is named; placebos go with all.

    Examples
    --------
    >>> usual_kind("ols"), usual_kind("aipw"), usual_kind("did")
    ('omitted', 'dml', 'placebo')
    """
    return _USUAL.get(method, "placebo")


def load(name: str) -> Callable[..., Any]:
    """Return the function ``module:function`` of this package."""
    module, function = name.split(":")
    found: Callable[..., Any] = getattr(importlib.import_module(f"eocausal.sensitivities.{module}"), function)
    return found


def sensitivity(
    result: Estimate | Corrected,
    *,
    kind: str | None = None,
    benchmark: Asked = None,
    term: str | None = None,
    level: float = 0.95,
    seed: int = 0,
    progress: bool = False,
    **options: Unpack[KindOptions],
) -> Sensitivity:
    """Say how strong what was not seen would have to be to change an estimate, or test what it assumes.

    Parameters
    ----------
    result : Estimate or Corrected
        From :func:`eocausal.ate` or :func:`eocausal.panel`, in the session that made it. Of effects on a predicted
        outcome it is the estimate that is believed.
    kind : str, optional
        ``omitted``: bounds and robustness values for a regression (``ols``, ``regression``, ``difference``,
        ``twfe``, ``event_study``). ``dml``: the same for ``aipw`` and ``partially_linear``. ``marginal``: bounds by
        how far the odds of treatment may be off, for ``ipw``, ``cbps`` and ``aipw``. ``oster``: selection on the
        unseen relative to the seen. ``breakdown``: when the sign is in doubt. ``evalue``: associations as risk
        ratios. ``rosenbaum``: unequal chances within pairs or strata. ``placebo``: effects where there can be none.
        ``spatial``: what neighbours share. Default: the one that goes with the method.
    benchmark : str, sequence of str, or mapping of str to (str or sequence of str), optional
        What the unseen is measured against: names of covariates, ``"covariates"`` (all), ``"features"`` (all image
        features), names of blocks of features, ``"coordinates"``. Each of a sequence by itself; of a mapping those
        of an entry together. Default: all image features, and all covariates.
    term : str, optional
        The term of a result with several, such as an event study.
    level : float
        Of intervals and tests.
    seed : int
        Of draws.
    progress : bool
        Show a progress bar where there is much to do.
    **options
        Of one kind each: :class:`eocausal.sensitivities.options.KindOptions` lists them, and the pages
        ``docs/omitted_confounders.md``, ``docs/unequal_odds.md`` and ``docs/placebos.md`` explain them.

    Returns
    -------
    Sensitivity
        With ``sentence``, ``to_frame()``, ``plot()``, ``numbers``:
        :class:`eocausal.sensitivities.result.Sensitivity`.

    Raises
    ------
    SensitivityError
        A kind that is not for the result, unknown options, a benchmark that the design does not have, or a result
        that does not hold what it was made from.

    Notes
    -----
    Cinelli and Hazlett (2020), JRSS B 82; Chernozhukov, Cinelli, Newey, Sharma and Syrgkanis (2022), arXiv
    2112.13398; Zhao, Small and Bhattacharya (2019), JRSS B 81; Dorn and Guo (2023), JASA 118; Dorn, Guo and Kallus
    (2024), arXiv 2112.11449; Oster (2019), Journal of Business and Economic Statistics 37; Masten and Poirier
    (2022), arXiv 2208.00552; VanderWeele and Ding (2017), Annals of Internal Medicine 167; Rosenbaum (2002),
    Observational Studies, chapter 4.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"age": rng.normal(size=400)})
    >>> table["grant"] = (table["age"] + rng.normal(size=400) > 0).astype(int)
    >>> table["income"] = table["grant"] + table["age"] + rng.normal(size=400)
    >>> design = ec.Design(table, outcome="income", treatment="grant", covariates=["age"])
    >>> found = ec.sensitivity(ec.ate(design, method="ols"), benchmark="age")
    >>> bool(0 < found.numbers["robustness_value"] < 1)
    True
    """
    estimate = one_estimate(result, term)
    usual = usual_kind(str(origin_of(estimate).options["method"]))
    kind = one_of(usual if kind is None else kind, tuple(KINDS), argument="kind", error=SensitivityError)
    require_level(level, error=SensitivityError)
    seed = whole_number(seed, argument="seed", error=SensitivityError)
    _refuse_other_options(kind, list(options))
    if benchmark is not None and not KINDS[kind].measured:
        able = ", ".join(name for name, row in KINDS.items() if row.measured)
        raise SensitivityError(
            explain(
                f"kind={kind!r} is compared with no benchmark.",
                rule=f"kinds that are: {able}",
                fix="leave it out",
            )
        )
    benchmarks = read_benchmarks(benchmark, origin_of(estimate).design)
    call = Call(benchmarks, benchmark is not None, level, seed, progress)
    found: Sensitivity = load(KINDS[kind].run)(estimate, call, **options)
    return found


def _refuse_other_options(kind: str, options: Sequence[str]) -> None:
    strange = [name for name in options if name not in KINDS[kind].options]
    if not strange:
        return
    able = [other for other, row in KINDS.items() if strange[0] in row.options]
    goes = ", ".join(KINDS[kind].options) or "nothing"
    raise SensitivityError(
        explain(
            f"kind={kind!r} has no option of this name.",
            where=strange,
            rule=f"with it goes: {goes}",
            fix=f"kind={able[0]!r}" if able else did_you_mean(strange[0], KINDS[kind].options),
        )
    )
