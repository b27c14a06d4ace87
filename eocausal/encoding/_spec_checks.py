"""What adapters refuse of a specification: families, poolings and bands that their networks do not have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from eocausal.encoding.spec import EncoderSpec
from eocausal.errors import EncoderError, explain

__all__ = ["check_bands", "check_loader", "check_named_bands", "check_one_date", "check_pooling"]


def check_loader(spec: EncoderSpec, families: Iterable[str]) -> None:
    """Refuse a family that there is not."""
    known = tuple(families)
    if spec.loader not in known:
        text = f"loader={spec.loader!r} of encoder {spec.name!r} is not known."
        raise EncoderError(explain(text, fix=f"one of {', '.join(known)}"))


def check_pooling(spec: EncoderSpec, pools: Collection[str], *, why: str = "") -> None:
    """Refuse ways of pooling that the network does not have; ``why`` says more of those it has."""
    wrong = [pool for pool in spec.pooling if pool not in pools]
    if wrong:
        text = f"Networks such as {spec.loader!r} cannot be pooled so."
        raise EncoderError(explain(text, where=wrong, rule=f"pooling is one of {', '.join(pools)}{why}"))


def check_named_bands(spec: EncoderSpec) -> None:
    """Refuse ``bands: any``."""
    if spec.bands is None:
        text = f"Networks such as {spec.loader!r} cannot read any bands."
        raise EncoderError(explain(text, fix="name the bands in the specification"))


def check_bands(spec: EncoderSpec, bands: Sequence[str]) -> None:
    """Refuse other bands than those that the network was trained on, by common name and in order."""
    if spec.common_names != tuple(bands):
        text = f"The bands of encoder {spec.name!r} are not those that {spec.loader!r} was trained on."
        rule = f"in this order: {', '.join(bands)}"
        raise EncoderError(explain(text, where=spec.common_names or ("any",), rule=rule))


def check_one_date(spec: EncoderSpec) -> None:
    """Refuse several dates for a network that reads one."""
    if spec.frames_max > 1:
        text = f"frames_max={spec.frames_max} of encoder {spec.name!r} does not go with {spec.loader!r}."
        raise EncoderError(explain(text, rule="it reads one date", fix="leave frames_max out"))
