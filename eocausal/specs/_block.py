"""What every block of a specification is: fields with bounds, and rules between fields, all told at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails

from eocausal._checks import did_you_mean
from eocausal.specs._fields import mistake
from eocausal.specs._rules import RULES, Place

__all__ = ["Block"]


class Block(BaseModel):
    """A block of a specification: no unknown fields, frozen, numbers and text never taken for each other."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="wrap")
    @classmethod
    def _find_all_mistakes(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        # pydantic would stop at the fields; the rules between fields are looked at in the same pass, so that
        # one reading of the file finds every mistake
        found = _block_mistakes(cls, given) if isinstance(given, Mapping) else []
        try:
            block = handler(given)
        except ValidationError as error:
            found += [_again(one) for one in error.errors() if one["type"] != "extra_forbidden"]
            raise ValidationError.from_exception_data(cls.__name__, found) from None
        if found:
            raise ValidationError.from_exception_data(cls.__name__, found)
        return block


def _block_mistakes(block: type[BaseModel], given: Mapping[str, Any]) -> list[InitErrorDetails]:
    """Return unknown fields and broken rules between fields of one block."""
    known = list(block.model_fields)
    found: list[tuple[Place, str]] = [
        ((str(name),), f"unknown field. {did_you_mean(str(name), known)}")
        for name in given
        if name not in known
    ]
    if block.__name__ in RULES:
        found += RULES[block.__name__](given)
    return [InitErrorDetails(type=mistake(text), loc=place, input=given) for place, text in found]


def _again(error: ErrorDetails) -> InitErrorDetails:
    """Turn a reported mistake back into one that can be raised together with others."""
    context = error.get("ctx", {})
    if error["type"] == "eocausal":
        return InitErrorDetails(type=mistake(context["text"]), loc=error["loc"], input=error["input"])
    return InitErrorDetails(type=error["type"], loc=error["loc"], input=error["input"], ctx=context)
