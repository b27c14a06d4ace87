"""Text of users made fit to be shown: no characters that steer a terminal, a page or the direction of reading."""

from __future__ import annotations

import re

__all__ = ["clean", "one_line"]

# Control characters (but for tab and line ends), marks that turn the direction of text, halves of characters, and
# the two code points that XML has no place for.
_UNFIT = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def clean(text: str) -> str:
    r"""Return text with every unfit character shown as a replacement mark.

    Examples
    --------
    >>> clean("a\x1b[31mb")
    'a�[31mb'
    """
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)


def one_line(text: str) -> str:
    r"""Return clean text on one line.

    Examples
    --------
    >>> one_line("two\n  lines")
    'two lines'
    """
    return " ".join(clean(text).split())
