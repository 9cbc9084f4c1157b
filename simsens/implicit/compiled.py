r"""One compiled program for functions that are the same, also outside ``jit``.

JAX compiles a function once for each function *object*. An implicit derivative taken in eager code
would be traced and compiled at every call, since the closures it is made of are new every time;
that costs seconds where the mathematics costs microseconds. On the other hand, a program cached by
the identity of a user's function goes stale, silently, as soon as something the function reads (a
global array, an attribute, a closure's cell) is changed.

So functions are compared by what they are (``fingerprint``). Equal means that the same program may
be used. A function that cannot be compared is traced anew each time, which is always right and only
slower.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import jax

from simsens.implicit.fingerprint import Incomparable, measured, overlook
from simsens.implicit.ravel import is_array


class _Program:
    """A compiled program, and the functions and constants that it was last asked for with.

    It is traced with those for arrays of another shape. What it was made with may have changed
    since, and then is equal to them no more.
    """

    def __init__(self, body: Callable[..., Any], size: int) -> None:
        self.body, self.size, self.traces = body, size, 0  # bytes that are captured
        self.compiled = jax.jit(self._traced)

    def run(self, functions: Any, frame: tuple[Any, list[Any]], arrays: list[Any]) -> Any:
        self.functions, self.frame = functions, frame
        return self.compiled(arrays)

    def _traced(self, arrays: list[Any]) -> Any:
        self.traces += 1
        treedef, constants = self.frame
        return self.body(self.functions, *_join(treedef, constants, arrays))


_PROGRAMS: OrderedDict[Hashable, _Program] = OrderedDict()
KEPT = 512  # programs; the oldest is forgotten
HELD = 1 << 28  # bytes that they may have captured


def run(body: Callable[..., Any], functions: Any, *trees: Any) -> Any:
    """``body(functions, *trees)``, compiled once for all functions that are the same.

    Args:
        body: a function of a module, which reads nothing but its arguments.
        functions: a tuple of functions and constants, compared by ``fingerprint``.
        *trees: what it is applied to; arrays and numbers of any kind, texts, keys, ``None``.
    """
    leaves, treedef = jax.tree.flatten(trees)
    dynamic = [is_array(leaf) for leaf in leaves]
    arrays = [leaf for leaf, here in zip(leaves, dynamic) if here]
    constants = [_HOLE if here else leaf for leaf, here in zip(leaves, dynamic)]
    fixed = [leaf for leaf in constants if leaf is not _HOLE]

    def key() -> tuple[Hashable, int]:
        known, size = measured((functions, fixed))
        return (body, treedef, tuple(dynamic), known), size

    try:
        before, size = key()
        program = _PROGRAMS.get(before)
    except (Incomparable, TypeError):  # TypeError: a treedef or constant without a hash
        return body(functions, *_join(treedef, constants, arrays))
    if program is None:
        program = _remember(before, _Program(body, size))
    traces = program.traces
    result = program.run(functions, (treedef, constants), arrays)
    if program.traces > traces:
        try:
            after, _ = key()
        except Incomparable:  # a log of traced values: it will not be the same again
            _PROGRAMS.pop(before, None)
            return result
        if after != before:
            overlook(before, after)
            _PROGRAMS.pop(before, None)  # nobody asks by this key again
            _remember(key()[0], program)
    return result


def _remember(key: Hashable, program: _Program) -> _Program:
    _PROGRAMS[key] = program
    held = sum(kept.size for kept in _PROGRAMS.values())
    while len(_PROGRAMS) > KEPT or (held > HELD and len(_PROGRAMS) > 1):
        held -= _PROGRAMS.popitem(last=False)[1].size
    return program


_HOLE = object()


def _join(treedef: Any, constants: list[Any], arrays: list[Any]) -> Any:
    rest = iter(arrays)
    return jax.tree.unflatten(treedef, [next(rest) if c is _HOLE else c for c in constants])
