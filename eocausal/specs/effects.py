"""What a specification may ask to be estimated: average effects, what predicts, folds, effects by unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from eocausal._checks import did_you_mean
from eocausal.specs._block import Block
from eocausal.specs._fields import Count, Distance, Positive, Share, all_different, as_many, mistake

__all__ = ["AteSpec", "CateSpec", "EffectsSpec", "FoldsSpec", "LearnersSpec", "TrimSpec", "VcovSpec"]

Method = Literal[
    "aipw", "difference", "regression", "ols", "ipw", "horvitz_thompson", "partially_linear", "entropy_balancing",
    "cbps",
]  # fmt: skip
Target = Literal["AUTOC", "QINI"]
Plain = Literal["iid", "hetero", "cluster"]


def _block_with(field: str, known: tuple[str, ...]) -> Callable[[Any], Any]:
    """Return a reader that takes a name alone for the block that holds it in a field."""

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in known:
            raise mistake(f"{value!r} is not known. {did_you_mean(value, known)}")
        return {field: value}

    return read


class TrimSpec(Block):
    """Units to leave out for want of overlap."""

    rule: Literal["fixed", "crump", "quantile"] = Field(
        description="By bounds that are given, by those of Crump et al. (2009), or by quantiles."
    )
    low: Share | None = Field(
        None, description="Lowest propensity, or quantile of the treated; not for crump."
    )
    high: Share | None = Field(
        None, description="Highest propensity, or quantile of the controls; not for crump."
    )


class AteSpec(Block):
    """One estimate of an average effect."""

    method: Method = Field(description="How the arms are made comparable.")
    estimand: Literal["ate", "att", "atc", "ato"] | None = Field(
        None, description="Whose effect is averaged. Default: ate, or ato where the method has no other."
    )
    trim: TrimSpec | None = Field(None, description="Units left out for want of overlap; null for none.")
    repeats: Count = Field(
        1, description="How often units are dealt into folds anew; the median is reported."
    )

    @property
    def name(self) -> str:
        """What the estimate is called among others: its method, and what is unusual about it.

        Examples
        --------
        >>> AteSpec(method="aipw", estimand="att").name, AteSpec(method="ipw", trim={"rule": "crump"}).name
        ('aipw_att', 'ipw_trimmed')
        """
        estimand = [] if self.estimand in (None, "ate") else [self.estimand]
        trimmed = [] if self.trim is None else ["trimmed"]
        repeated = [] if self.repeats == 1 else ["repeated"]
        return "_".join([self.method, *estimand, *trimmed, *repeated])


Estimates = Annotated[
    tuple[
        Annotated[
            AteSpec,
            BeforeValidator(_block_with("method", get_args(Method)), json_schema_input_type=Method | AteSpec),
        ],
        ...,
    ],
    Field(min_length=1),
    AfterValidator(lambda asked: _names_differ(asked)),
    BeforeValidator(
        lambda value: (value,) if isinstance(value, dict) else as_many(value),
        json_schema_input_type=Method | AteSpec | list[Method | AteSpec],
    ),
]
Targets = Annotated[
    tuple[Target, ...],
    AfterValidator(all_different),
    BeforeValidator(as_many, json_schema_input_type=Target | list[Target]),
]


def _names_differ(asked: tuple[AteSpec, ...]) -> tuple[AteSpec, ...]:
    all_different(tuple(one.name for one in asked))
    return asked


class CateSpec(Block):
    """How effects by unit are learned; which options go with which learner is told where they do not."""

    learner: Literal["causal_forest", "r_learner", "dr_learner", "x_learner", "linear"] = Field(
        "causal_forest",
        description="Learner of effects by unit: a causal forest, the R-, DR- or X-learner, or effects that are "
        "linear in covariates and components.",
    )
    engine: Literal["fast", "econml"] = Field(
        "fast", description="What grows the forest: compiled code that draws whole clusters, or econml."
    )
    trees: Count = Field(2000, description="Trees of the forest; a multiple of 4.", multiple_of=4)
    min_leaf: Count = Field(5, description="Smallest number of units in a leaf of the forest.")
    sample_share: float = Field(
        0.5, gt=0, le=0.5, description="Share of the units, or clusters, drawn for a tree."
    )
    pca: Count | None = Field(
        10,
        description="Components each block of features is reduced to; null for none. Of all learners but linear.",
    )
    candidates: Count | None = Field(
        None, description="Columns that the forest tries at each cut; null for all."
    )
    screen: Count | None = Field(
        None,
        description="In place of components of the forest: columns of features that are kept, those along which "
        "effects seem to vary most among the units that are learned from.",
    )
    model: Literal["ridge", "boosting"] = Field(
        "ridge", description="What r_learner, dr_learner and x_learner predict effects with."
    )
    components: Count | None = Field(
        10, description="Components each block of features is reduced to by linear; null for none."
    )
    columns: Literal["both", "covariates", "features"] = Field(
        "both", description="What effects are predicted from; the forest sees both."
    )


class GroupsSpec(Block):
    """Groups of units by predicted effect, each with its average effect."""

    k: Annotated[Count, Field(ge=2)] = Field(5, description="Number of groups, of equal size.")


class FoldsSpec(Block):
    """Which parts of the data a prediction may not have seen."""

    kind: Literal["cluster", "random", "block"] = Field(
        "cluster",
        description="What stays in one fold: units that share a cluster or picture, single units, or these and all "
        "units in one square of the ground.",
    )
    k: int = Field(5, ge=2, description="Number of folds.")
    block_m: Positive | None = Field(None, description="Side of the squares of kind block, in metres.")


class LearnersSpec(Block):
    """What predicts outcome and treatment."""

    outcome: Literal["ridge", "boosting", "stacking"] = Field(
        "ridge", description="What predicts the outcome."
    )
    propensity: Literal["penalised_logit", "boosting", "stacking", "logit", "probit"] = Field(
        "penalised_logit",
        description="What predicts the treatment; logit and probit are maximum likelihood without penalty.",
    )
    columns: Literal["both", "covariates", "features"] = Field(
        "both", description="What they predict from: covariates, image features, or both."
    )
    pca: Count | None = Field(
        50, description="Components each wider block of features is reduced to, fold by fold; null for none."
    )
    calibration: Literal["isotonic", "platt"] | None = Field(
        None, description="How propensities are calibrated before they weigh; null for none."
    )


class VcovSpec(Block):
    """How standard errors of average effects are made."""

    kind: Plain | None = Field(
        None,
        description="Units as independent draws, or the clusters of the design; may stand without its name.",
    )
    conley: Distance | None = Field(
        None, description="Units vary together up to this distance on the ground, such as 50km."
    )
    kernel: Literal["uniform", "bartlett"] | None = Field(
        None,
        description="How the weight of a pair of units falls with distance, of conley. Default: uniform.",
    )
    bootstrap: Literal["cluster", "block", "wild"] | None = Field(
        None,
        description="Clusters, or squares of the ground, are drawn anew; wild: their signs, for few clusters.",
    )
    block: Distance | None = Field(None, description="Side of the squares of bootstrap, such as 50km.")
    draws: Count | None = Field(None, description="Draws of bootstrap. Default: 999, of wild 1999.")

    @property
    def choice(self) -> str | dict[str, Any]:
        """What :meth:`eocausal.Estimate.with_vcov` takes.

        Examples
        --------
        >>> VcovSpec(kind="iid").choice, VcovSpec(conley="50km").choice
        ('iid', {'conley': '50km'})
        """
        return self.kind if self.kind is not None else self.model_dump(exclude_none=True)


class EffectsSpec(Block):
    """What is estimated."""

    ate: Estimates = Field(
        description="Estimates of the average effect, each a method or a block such as "
        "{method: aipw, estimand: att}; the first is the headline of the report."
    )
    learners: LearnersSpec | None = Field(None, description="What predicts outcome and treatment.")
    vcov: Annotated[
        VcovSpec | None,
        BeforeValidator(_block_with("kind", get_args(Plain)), json_schema_input_type=Plain | VcovSpec | None),
    ] = Field(
        None,
        description="Standard errors of average effects. Default: by cluster or picture where there are any.",
    )
    cate: CateSpec | None = Field(None, description="Effects by unit; null for none.")
    rate: Targets = Field((), description="Whether the ranking by effect finds those who gain.")
    calibration: bool = Field(False, description="Whether predicted effects are tested for their size.")
    groups: GroupsSpec | None = Field(
        None, description="Average effects of groups of units by predicted effect, such as {k: 5}."
    )
    folds: FoldsSpec | None = Field(
        None, description="Folds of cross-fitting. Default: clusters or pictures."
    )
