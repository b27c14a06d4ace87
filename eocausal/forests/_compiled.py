"""What compiled code of forests is made with: the decorator, random numbers by counter, bits of a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def _stamp_of(*files: Path) -> tuple[tuple[str, int, int], ...]:
    """Return names, times and sizes of files."""
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


_STAMP = _stamp_of(*sorted(Path(__file__).parent.glob("*.py")))


def compiled(function: F) -> F:
    """Compile a function on its first call, keep what was compiled on disk, and run it outside Python's lock.

    What is kept holds the functions that it calls, of other files too, and is made anew once any file changes, of
    this package or the function's own: numba by itself looks at the latter alone. Where nothing can be written,
    every process compiles.
    """
    try:
        found = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
        own = Path(function.__code__.co_filename)
        elsewhere = own.parent != Path(__file__).parent
        found._cache._cache_file._source_stamp = (*_STAMP, *_stamp_of(own)) if elsewhere else _STAMP
    except (RuntimeError, AttributeError):
        found = numba.njit(nogil=True, error_model="numpy")(function)
    return cast(F, found)


def _cttz(context: Any, word: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), build


# position of the lowest bit that is set
lowest_bit = intrinsic(_cttz)


def _add_pair(context: Any, sums: Any, place: Any, words: Any, other: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pair = ir.VectorType(ir.IntType(64), 2)
        at = []
        for kind, array, number in ((0, arguments[0], arguments[1]), (2, arguments[2], arguments[3])):
            data = context.make_array(signature.args[kind])(context, builder, array).data
            twice = builder.mul(number, ir.Constant(number.type, 2))
            at.append(builder.bitcast(builder.gep(data, [twice]), ir.PointerType(pair)))
        total = builder.add(builder.load(at[0], align=8), builder.load(at[1], align=8))
        builder.store(total, at[0], align=8)
        return context.get_dummy_value()

    return types.void(sums, types.uint64, words, types.uint64), build


# add a row of one array of shape (n, 2), of whole numbers of 64 bits, to a row of another
add_pair = intrinsic(_add_pair)


def _prefetch(context: Any, values: Any, place: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        byte, word = ir.IntType(8), ir.IntType(32)
        pointer = byte.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, word, word, word])
        call = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        at = builder.bitcast(builder.gep(data, [arguments[1]]), pointer)
        builder.call(call, [at, *(ir.Constant(word, value) for value in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(values, types.uint64), build


# ask for a value of an array that is read soon
prefetch = intrinsic(_prefetch)


def _nonzero(context: Any, marks: Any, word: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        many = ir.VectorType(ir.IntType(8), 64)
        place = builder.mul(arguments[1], ir.Constant(arguments[1].type, 64))
        at = builder.bitcast(builder.gep(data, [place]), ir.PointerType(many))
        found = builder.icmp_unsigned("!=", builder.load(at, align=1), ir.Constant(many, [0] * 64))
        return builder.bitcast(found, ir.IntType(64))

    return types.uint64(marks, types.int64), build


# bits for the bytes that are not zero among the 64 bytes of an array from 64 times a number on
where_set = intrinsic(_nonzero)


@compiled
def mix(word: np.uint64) -> np.uint64:
    """Return 64 bits that depend on all bits of a word: the finaliser of SplitMix64 (Steele et al. 2014)."""
    word = (word ^ (word >> np.uint64(30))) * _FIRST
    word = (word ^ (word >> np.uint64(27))) * _SECOND
    return word ^ (word >> np.uint64(31))


@compiled
def stream(seed: np.uint64, kind: np.uint64, number: np.uint64) -> npt.NDArray[np.uint64]:
    """Return the state of the random numbers of one tree or bag, which do not depend on any other's."""
    state = np.empty(1, np.uint64)
    state[0] = mix(mix(mix(seed + _GOLDEN) + kind * _GOLDEN) + number * _GOLDEN)
    return state


@compiled
def below(state: npt.NDArray[np.uint64], bound: int) -> Any:
    """Return a whole number from 0 to ``bound - 1``, for bounds under 2**32, and move the state on."""
    state[0] = state[0] + _GOLDEN
    high = mix(state[0]) >> np.uint64(32)
    return np.int64((high * np.uint64(bound)) >> np.uint64(32))


@compiled
def shuffle_first(values: npt.NDArray[Any], count: int, state: npt.NDArray[np.uint64]) -> None:
    """Bring ``count`` values, drawn without replacement, to the front."""
    for place in range(count):
        other = place + below(state, values.size - place)
        kept = values[place]
        values[place] = values[other]
        values[other] = kept
