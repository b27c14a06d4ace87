"""What the results say, in plain words that follow the intervals and claim no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from eocausal.reporting.blocks import Fact
from eocausal.reporting.study import METHOD_NAMES, TRIMMED, Study
from eocausal.reporting.tables import count, decimals_for, interval, number, p_value

if TYPE_CHECKING:
    from eocausal.evaluate.balance_result import Balance
    from eocausal.evaluate.overlap_result import Overlap
    from eocausal.evaluate.rate_result import Rate
    from eocausal.inference.estimate import Estimate

__all__ = [
    "answer",
    "assignment_sentence",
    "average_sentence",
    "balance_sentence",
    "chips_sentence",
    "classifier_sentences",
    "facts",
    "overlap_sentence",
    "plural",
    "question",
    "rate_sentence",
    "rate_sentences",
    "scale_sentence",
    "title",
]


NO_INTERVAL = "No interval could be computed, so nothing can be said."


def title(study: Study) -> str:
    """Return the title given, or one made of the names of treatment and outcome."""
    if study.title:
        return study.title
    if study.design is not None:
        return f"The effect of {study.treatment} on {study.outcome}"
    return "Causal analysis with satellite imagery"


def question(study: Study) -> str | None:
    """Return the question given, or the one that the design asks."""
    if study.question:
        return study.question
    if study.design is None:
        return None
    asked = f"What is the effect of “{study.treatment}” on “{study.outcome}”"
    if study.cate is None and not study.rates:
        return f"{asked}?"
    return f"{asked}, and does {sources(study)} tell who gains more?"


def answer(study: Study) -> str:
    """Return the paragraph at the head: what was found, with intervals, in the order of importance."""
    parts = []
    headline = study.headline
    if headline is not None:
        parts += [average_sentence(study, headline), in_deviations(study, headline), _other_methods(study)]
    if study.rates:
        parts += [rate_sentence(study, study.rates[0]), _other_targets(study)]
    parts.append(size_sentence(study))
    return " ".join(part for part in parts if part)


def average_sentence(study: Study, estimate: Estimate) -> str:
    """Say the average effect, its interval, and whether it differs from zero."""
    low, high = (float(bound) for bound in np.ravel(estimate.ci()))
    decimals = decimals_for(np.ravel(estimate.std_error))
    name = {
        "ate": "effect", "att": "effect on the treated", "atc": "effect on the untreated",
        "ols coefficient": "effect, as the coefficient of least squares,",
    }  # fmt: skip
    whose, trimmed, _ = estimate.estimand.partition(TRIMMED)
    of = name.get(whose, f"effect ({whose.upper()})")
    among = ", among the units that trimming kept," if trimmed else ""
    method = METHOD_NAMES.get(estimate.method, estimate.method)
    unit = "the outcome" if study.design is None else f"“{study.outcome}”"
    found = (
        f"The estimated average {of} of “{study.treatment}” on {unit}{among} is "
        f"{number(float(estimate.values[0]), decimals)} in the outcome's own units "
        f"(95% interval {interval(low, high, decimals)}; {method})."
    )
    if low > 0:
        return f"{found} The interval lies above zero: the data show that the average effect is positive."
    if high < 0:
        return f"{found} The interval lies below zero: the data show that the average effect is negative."
    if np.isfinite([low, high]).all():
        return f"{found} The interval includes zero: the data do not show that there is an average effect."
    return f"{found} {NO_INTERVAL}"


def in_deviations(study: Study, estimate: Estimate) -> str:
    """Say the effect in standard deviations of the control units' outcome, when a design holds the outcome."""
    _, spread = _control_outcome(study)
    if not spread:
        return ""
    share = number(float(estimate.values[0]) / spread, 2)
    return f"It is {share} standard deviations of the outcome among control units."


def scale_sentence(study: Study, estimate: Estimate) -> str:
    """Say how the outcome is spread among the control units, when a design holds the outcome."""
    mean, spread = _control_outcome(study)
    if not spread:
        return ""
    decimals = decimals_for(np.ravel(estimate.std_error))
    return (
        f"For scale: among the control units the outcome has mean {number(mean, decimals)} and standard deviation "
        f"{number(spread, decimals)}."
    )


def _control_outcome(study: Study) -> tuple[float, float]:
    """Return weighted mean and standard deviation of the control units' outcome; zeros without a design."""
    if study.design is None:
        return 0.0, 0.0
    table = study.design.table
    control = table.treatment == 0
    outcome, weights = table.outcome[control], table.weights[control]
    mean = float(np.average(outcome, weights=weights))
    return mean, float(np.sqrt(np.average((outcome - mean) ** 2, weights=weights)))


def rate_sentence(study: Study, rate: Rate) -> str:
    """Say whether the ranking finds those who gain more, exactly as far as the interval allows."""
    values, errors = np.ravel(rate.estimate), np.ravel(rate.std_error)
    low, high = (float(bound) for bound in np.atleast_2d(rate.ci())[0])
    decimals = decimals_for(errors[:1])
    found = (
        f"RATE ({rate.target}) {number(float(values[0]), decimals)}, 95% interval "
        f"{interval(low, high, decimals)}, p\N{NO-BREAK SPACE}{p_value(float(np.ravel(rate.p_value())[0]))}"
    )
    by = ranking(study, rate)
    if low > 0:
        return (
            f"The data show that ranking units by {by} finds those who gain more ({found}): units ranked high "
            "gain more than the average unit."
        )
    if high < 0:
        return (
            f"Ranking units by {by} points the wrong way ({found}): units ranked high gain less than the average "
            "unit, and the ranking should not be used."
        )
    return (
        f"The data do not show that ranking units by {by} finds those who gain more ({found}): the interval "
        "includes zero."
        if np.isfinite([low, high]).all()
        else f"Ranking units by {by}: {found}. {NO_INTERVAL}"
    )


def rate_sentences(study: Study) -> list[str]:
    """Return a sentence for each RATE; one that agrees with the first on the same ranking is said shortly."""
    first, *others = study.rate_views
    found = [rate_sentence(study, first)]
    for rate in others:
        same = _verdict(rate) == _verdict(first) and rate.terms[0] == first.terms[0]
        if not same:
            found.append(rate_sentence(study, rate))
            continue
        low, high = (float(bound) for bound in np.atleast_2d(rate.ci())[0])
        decimals = decimals_for(np.ravel(rate.std_error)[:1])
        found.append(
            f"With the target {rate.target} the verdict is the same: "
            f"{number(float(np.ravel(rate.estimate)[0]), decimals)} (95% interval {interval(low, high, decimals)}, "
            f"p\N{NO-BREAK SPACE}{p_value(float(np.ravel(rate.p_value())[0]))})."
        )
    return found


def ranking(study: Study, rate: Rate) -> str:
    """Return what units are ranked by, in words."""
    name = str(rate.terms[0])
    if name != "predicted effect":
        return f"“{name}”"
    return (
        f"the effect predicted from {sources(study)}" if study.design is not None else "the predicted effect"
    )


def sources(study: Study) -> str:
    """Return what effects are predicted from."""
    if study.design is None:
        return "satellite imagery"
    table = study.design.table
    parts = ["satellite imagery"] if table.features.shape[1] else []
    parts += ["covariates"] if table.covariate_names else []
    return " and ".join(parts) or "nothing"


def size_sentence(study: Study) -> str:
    """Say how many units, clusters and images the results rest on."""
    used = study.used
    if not len(used):
        shown = study.averages or study.rates
        return "" if not shown else f"The results rest on {plural(shown[0].n, 'unit')}."
    parts = [plural(len(used), "unit")]
    if study.has_arms:
        parts[0] += f" ({int(used['arm'].sum()):,} treated)"
    if used["cluster"].notna().any():
        parts.append(plural(used["cluster"].nunique(), "cluster"))
    if used["image_key"].notna().any() and _has_imagery(study):
        parts.append(plural(used["image_key"].nunique(), "image"))
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"The study has {listed}."


def facts(study: Study, n_warnings: int) -> tuple[Fact, ...]:
    """Return the few numbers that stand at the head."""
    found = []
    if study.headline is not None:
        found.append(_first_term("Average effect", study.headline))
    if study.rates:
        found.append(_first_term(f"RATE ({study.rates[0].target})", study.rates[0]))
    advice = "read them first" if n_warnings else "none raised"
    return (*found, *_size_facts(study), Fact("Warnings", count(n_warnings), advice, "warnings"))


def _first_term(name: str, result: Estimate | Rate) -> Fact:
    decimals = decimals_for(np.ravel(result.std_error)[:1])
    low, high = (float(bound) for bound in np.atleast_2d(result.ci())[0])
    value = number(float(np.ravel(result.estimate)[0]), decimals)
    return Fact(name, value, f"{interval(low, high, decimals)}\n95% interval")


def _size_facts(study: Study) -> list[Fact]:
    used, found = study.used, []
    if len(used):
        detail = f"{int(used['arm'].sum()):,} treated" if study.has_arms else ""
        found.append(Fact("Units", count(len(used)), detail))
        images = used["image_key"].nunique() if _has_imagery(study) else 0
        if used["cluster"].notna().any():
            shown = plural(images, "image") if images else ""
            found.append(Fact("Clusters", count(used["cluster"].nunique()), shown))
        elif images:
            found.append(Fact("Images", count(images)))
    elif study.averages or study.rates:
        first: Estimate | Rate = study.averages[0] if study.averages else study.rates[0]
        clusters = "" if first.n_clusters is None else plural(first.n_clusters, "cluster")
        found.append(Fact("Units", count(first.n), clusters))
    return found


def balance_sentence(balance: Balance, bound: float) -> str:
    """Say how alike the arms were, and whether that is more than chance."""
    table = balance.table
    over = int((table["smd"].abs() > bound).sum())
    worst = balance.worst(1).iloc[0]
    alike = (
        f"None of the {len(table)} columns compared differs between the arms by more than {bound} standard "
        "deviations."
        if over == 0
        else f"{over} of the {len(table)} columns compared differ between the arms by more than {bound} standard "
        f"deviations; the largest difference is {number(float(worst['smd']), 2)} ({worst['term']})."
    )
    if balance.weighted:
        alike += f" {_after_weighting(balance, bound)}"
    p = balance.joint_p_value
    if not np.isfinite(p):
        return f"{alike} There are too few clusters to test all columns together."
    verdict = "more than chance alone would explain" if p < 0.05 else "no more than chance could explain"
    before = "before weighting " if balance.weighted else ""
    return (
        f"{alike} Taken together the arms differ {before}{verdict} (joint p\N{NO-BREAK SPACE}{p_value(p)})."
    )


def _after_weighting(balance: Balance, bound: float) -> str:
    worst = balance.worst(1, weighted=True).iloc[0]
    over = int((balance.table["smd_weighted"].abs() > bound).sum())
    left = number(float(worst["smd_weighted"]), 2)
    if over == 0:
        return f"After weighting none does; the largest difference is {left} ({worst['term']})."
    return f"After weighting {over} still {'does' if over == 1 else 'do'}, most {worst['term']} ({left})."


def classifier_sentences(balance: Balance) -> list[str]:
    """Say whether a model that has not seen a unit can tell its arm, before and after weighting."""
    frame = balance.classifier_frame()
    if frame.empty:
        return []
    told = [
        f"{number(float(row['auc']), 2)} {row['term']} (95% interval "
        f"{interval(float(row['conf_low']), float(row['conf_high']), 2)}, p\N{NO-BREAK SPACE}"
        f"{p_value(float(row['p_value']))})"
        for _, row in frame.iterrows()
    ]
    last = frame.iloc[-1]
    can = "can still tell" if float(last["p_value"]) < 0.05 else "cannot tell"
    return [
        f"A model that has not seen a unit {can} its arm {last['term']}: its AUC is {' and '.join(told)}, where "
        "0.5 is a coin."
    ]


def assignment_sentence(rows: pd.DataFrame, name: str) -> str:
    """Say how well each source predicts treatment, and what pictures add to tables."""
    auc = {str(row["source"]): row for _, row in rows[rows["measure"] == "auc"].iterrows()}
    sources = {"covariates": "tables", "features": "pictures", "both": "both"}
    told = [
        f"{number(float(auc[source]['estimate']), 2)} from {word}"
        for source, word in sources.items()
        if source in auc
    ]
    found = f"For units that the model has not seen, “{name}” is predicted with an AUC of {', '.join(told)}."
    if "features given covariates" not in auc:
        return found
    row = auc["features given covariates"]
    low, high = float(row["conf_low"]), float(row["conf_high"])
    verdict = (
        "pictures tell of the assignment what tables do not"
        if low > 0
        else "the data do not show that pictures tell more of the assignment than tables do"
    )
    added = f"{number(float(row['estimate']), 3)} (95% interval {interval(low, high, 3)})"
    tables = float(auc["covariates"]["estimate"])
    over = (
        "to the AUC of tables" if tables >= 0.5 else "to that of a coin, because tables rank worse than one"
    )
    return f"{found} Pictures add {added} {over}: {verdict}."


def overlap_sentence(overlap: Overlap) -> str:
    """Say how predictable treatment is."""
    auc = float(overlap.auc.values[0])
    low, high = (float(bound) for bound in np.ravel(overlap.ci()))
    bands = (
        (0.55, "hardly better than tossing a coin, as in a randomised trial"),
        (0.65, "only slightly better than tossing a coin"),
        (0.8, "clearly better than tossing a coin, so adjustment matters"),
        (0.9, "well, so that results lean on adjustment and on the units that overlap"),
        (np.inf, "so well that the arms can hardly be compared"),
    )
    word = next(text for bound, text in bands if auc < bound)
    return (
        f"What is known before treatment predicts who is treated {word}: the AUC is {number(auc, 2)} (95% interval "
        f"{interval(low, high, 2)}), where 0.5 is a coin and 1 is certainty."
    )


def chips_sentence(table: pd.DataFrame) -> str:
    """Say how many chips can be used."""
    worst = (
        table.assign(usable=table["status"].isin(["ok", "partial"])).groupby(table.columns[0])["usable"].all()
    )
    usable, total = int(worst.sum()), len(worst)
    if usable == total:
        return f"All {total:,} images have a usable chip of every size."
    return f"{usable:,} of {plural(total, 'image')} have a usable chip of every size; {total - usable:,} have not."


def plural(number_of: int, noun: str) -> str:
    """Return a count with its noun.

    Examples
    --------
    >>> plural(1, "unit"), plural(2075, "unit")
    ('1 unit', '2,075 units')
    """
    return f"{number_of:,} {noun}" + ("" if number_of == 1 else "s")


def _other_methods(study: Study) -> str:
    """Say how far the other estimates of the same average effect lie from the first."""
    if study.headline is None:
        return ""
    same = [one for one in study.averages if one.estimand == study.headline.estimand]
    values = [float(value) for one in same if one is not study.headline for value in one.values]
    if not values:
        return ""
    decimals = decimals_for(np.ravel(study.headline.std_error))
    low, high = number(min(values), decimals), number(max(values), decimals)
    return f"Other methods give {low}." if low == high else f"Other methods give {low} to {high}."


def _other_targets(study: Study) -> str:
    """Say whether the other results on the same ranking agree with the first."""
    verdicts = [_verdict(rate) for rate in study.rate_views]
    others = [rate.target for rate in study.rate_views[1:]]
    if not others:
        return ""
    if len(set(verdicts)) == 1:
        return f"The other target shown ({', '.join(dict.fromkeys(others))}) gives the same verdict."
    return "Not all rankings and targets shown give the same verdict; see “Who gains more”."


def _verdict(rate: Rate) -> int:
    low, high = np.atleast_2d(rate.ci())[0]
    return int(low > 0) - int(high < 0)


def _has_imagery(study: Study) -> bool:
    return study.chips is not None or (study.design is not None and study.design.features is not None)
