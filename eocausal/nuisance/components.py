"""How many principal components each block of features becomes, where its encoder said so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eocausal.embeddings import Embeddings

__all__ = ["components_asked"]

# Where a recipe holds the recipes of what it was made from: joined tables, draws that were averaged, some blocks.
_JOINED, _AVERAGED, _SELECTED_OF = "joined", "averaged", "of"


def components_asked(features: Embeddings | None) -> dict[str, int]:
    """Return the components that encoders asked for, by name of block, for the blocks that there are.

    Read from the recipe, which stays with the features when they are written, joined or averaged.
    """
    if features is None:
        return {}
    found = _asked(features.recipe)
    return {block: found[block] for block in features.blocks if block in found}


def _asked(recipe: Any) -> dict[str, int]:
    """Return the components that a recipe names, by block.

    Examples
    --------
    >>> encoder = {"encoder": "multi_scale", "name": "rcf", "reduce": 32}
    >>> _asked({"joined": [{"source": "a.csv"}, {"encoder": encoder, "blocks": ["480m", "960m"]}]})
    {'rcf_480m': 32, 'rcf_960m': 32}
    """
    if not isinstance(recipe, Mapping):
        return {}
    found: dict[str, int] = {}
    joined = recipe.get(_JOINED)
    for part in [
        *(joined if isinstance(joined, list) else []),
        recipe.get(_AVERAGED),
        recipe.get(_SELECTED_OF),
    ]:
        found |= _asked(part)
    encoder, blocks = recipe.get("encoder"), recipe.get("blocks")
    if isinstance(encoder, Mapping) and encoder.get("encoder") == "multi_scale" and isinstance(blocks, list):
        reduce = encoder.get("reduce")
        if isinstance(reduce, int) and not isinstance(reduce, bool) and reduce > 0:
            found |= {f"{encoder.get('name')}_{block}": reduce for block in blocks}
    return found
