r"""One compiled program for functions that are the same, also outside ``jit``.

JAX compiles a function once for each function *object*. An implicit derivative taken in eager code
would be traced and compiled at every call, since the closures it is made of are new every time;
that costs seconds where the mathematics costs microseconds. On the other hand, a program cached by
the identity of a user's function goes stale, silently, as soon as something the function reads (a
global array, an attribute, a closure's cell) is changed.

So functions are compared by what they are: their code, their defaults, and the *contents* of
everything they read, through closures and globals, as deep as it goes. Equal means that the same
program may be used. What cannot be compared (a traced value, an object of unknown kind) is not
guessed at: such a function is traced anew each time, which is always right and only slower.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import sys
import sysconfig
import types
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from simsens.implicit.ravel import is_array

LARGEST = 1 << 26  # bytes of a captured array beyond which reading it costs more than tracing
CONSTANTS = (bool, int, float, complex, str, bytes, type(None), type(...), np.dtype, np.generic)
# Installed code does not change while a program runs: what its functions read is not followed.
INSTALLED = tuple(
    {sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    | {str(Path(__file__).parents[1])}
)
# Attributes of a class that say nothing about what its code does.
INERT = frozenset({"__dict__", "__weakref__", "__doc__", "__module__", "__annotations__"})


class Incomparable(Exception):
    """Something is read that cannot be compared with what it will be next time."""


def fingerprint(thing: Any) -> Hashable:
    """What must be equal for two functions (or constants) to be the same.

    Raises:
        Incomparable: it, or something it reads, has no contents that could be compared.

    Example:
        >>> def scaled(factor):
        ...     return lambda x: factor * x
        >>> fingerprint(scaled(2.0)) == fingerprint(scaled(2.0))
        True
        >>> fingerprint(scaled(2.0)) == fingerprint(scaled(3.0))
        False
    """
    return _of(thing, {})


# What was met on the way, by identity; held, so that no identity is given out twice.
Seen = dict[int, tuple[int, Any]]


def _of(thing: Any, seen: Seen) -> Hashable:
    if isinstance(thing, CONSTANTS):
        return (type(thing), thing, np.signbit(thing) if isinstance(thing, float) else None)
    if isinstance(thing, jax.core.Tracer):
        raise Incomparable("a traced value")
    if id(thing) in seen:  # a function that calls itself
        return ("again", seen[id(thing)][0])
    seen[id(thing)] = (len(seen), thing)
    if isinstance(thing, (np.ndarray, jax.Array)):
        return _of_array(thing)
    if isinstance(thing, types.FunctionType):
        return _of_function(thing, seen)
    if isinstance(thing, types.MethodType):
        return ("method", _of(thing.__func__, seen), _of(thing.__self__, seen))
    if isinstance(thing, functools.partial):
        return ("partial", *(_of(part, seen) for part in (thing.func, thing.args, thing.keywords)))
    if isinstance(thing, (types.BuiltinFunctionType, np.ufunc)) or type(thing) is object:
        return thing
    if isinstance(thing, types.ModuleType):
        return _of_module(thing, (), seen)
    if isinstance(thing, type):
        return _of_class(thing, seen)
    if isinstance(thing, (tuple, list, set, frozenset)):
        items = sorted(thing, key=repr) if isinstance(thing, (set, frozenset)) else thing
        return (type(thing), *(_of(item, seen) for item in items))
    if isinstance(thing, dict):
        return (dict, *((_of(k, seen), _of(v, seen)) for k, v in thing.items()))
    return _of_object(thing, seen)


def _of_array(array: Any) -> Hashable:
    if array.size * array.dtype.itemsize > LARGEST:
        raise Incomparable("a large array")
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.extended):
        array = jax.random.key_data(array)
    if array.dtype == object:
        raise Incomparable("an array of objects")
    raw = np.ascontiguousarray(np.asarray(array))
    digest = hashlib.blake2b(raw.view(np.uint8).data, digest_size=16).digest()
    weak = getattr(array, "weak_type", False)
    return (type(array), array.shape, str(array.dtype), weak, digest)


def _of_function(function: types.FunctionType, seen: Seen) -> Hashable:
    code, read = function.__code__, []
    for name, cell in zip(code.co_freevars, function.__closure__ or ()):
        if (code, name) in _VOLATILE:
            continue
        try:
            read.append((name, _of(cell.cell_contents, seen)))
        except ValueError:  # not yet filled
            raise Incomparable("an empty closure cell") from None
    if not _installed(function.__module__):
        names = sorted(set(_names(code)))
        for name in names:
            if name in function.__globals__ and (code, name) not in _VOLATILE:
                value = function.__globals__[name]
                if isinstance(value, types.ModuleType):
                    read.append((name, _of_module(value, names, seen)))
                else:
                    read.append((name, _of(value, seen)))
    defaults = _of((function.__defaults__, function.__kwdefaults__), seen)
    return ("function", code, defaults, *read)


# What a function changes while it is traced (a counter, a log) is not what it computes with: names
# that held something else after the trace than before, by code object.
_VOLATILE: set[tuple[types.CodeType, str]] = set()


def _changed(before: Any, after: Any) -> Iterator[tuple[types.CodeType, str]]:
    """The captured names that differ between two fingerprints of the same function."""
    if not (isinstance(before, tuple) and isinstance(after, tuple)) or before == after:
        return
    inner = list(zip(before, after)) if len(before) == len(after) else []
    found = [name for pair in inner for name in _changed(*pair)]
    if not found and before[:1] == ("function",):
        differs = [a for a, b in inner[3:] if a != b]
        found = [(before[1], name) for name, _ in differs]
    yield from found


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _of_module(module: types.ModuleType, names: Iterable[str], seen: Seen) -> Hashable:
    """A module by those of its attributes that the code at hand may read."""
    if _installed(module.__name__):
        return module
    read = [(name, _of(vars(module)[name], seen)) for name in names if name in vars(module)]
    return (module, *read)


@functools.cache
def _installed(name: str | None) -> bool:
    if name in sys.builtin_module_names:
        return True
    file = getattr(sys.modules.get(name or ""), "__file__", None) or ""
    return file.startswith(INSTALLED)


def _of_class(kind: Any, seen: Seen) -> Hashable:
    if _installed(kind.__module__):
        return (kind,)
    bases = [_of(base, seen) for base in kind.__bases__]
    read = [(name, _of_attribute(value, seen)) for name, value in sorted(vars(kind).items())
            if name not in INERT and not name.startswith("__dataclass")]  # fmt: skip
    return ("class", kind, *bases, *read)


def _of_attribute(value: Any, seen: Seen) -> Hashable:
    if isinstance(value, (staticmethod, classmethod)):
        return _of(value.__func__, seen)
    if isinstance(value, property):
        return _of((value.fget,), seen)
    if not isinstance(value, types.FunctionType) and hasattr(type(value), "__get__"):
        return (type(value),)  # slots, the fields of a named tuple
    return _of(value, seen)


def _of_object(thing: Any, seen: Seen) -> Hashable:
    installed = _installed(type(thing).__module__)
    wrapped = getattr(thing, "__wrapped__", None)
    if installed and wrapped is not None:  # jit, lru_cache, and functions with rules of their own
        rules = [getattr(thing, name, None) for name in ("jvp", "fwd", "bwd")]
        return (type(thing), _of((wrapped, *rules), seen))
    if isinstance(thing, Iterator):
        raise Incomparable("an iterator")
    leaves, treedef = jax.tree.flatten(thing)
    if not (len(leaves) == 1 and leaves[0] is thing):
        try:
            hash(treedef)
        except TypeError:
            raise Incomparable(f"an object of type {type(thing).__name__}") from None
        return ("tree", treedef, *(_of(leaf, seen) for leaf in leaves))
    if dataclasses.is_dataclass(thing):
        values = [(field.name, getattr(thing, field.name)) for field in dataclasses.fields(thing)]
        return (_of(type(thing), seen), _of(values, seen))
    if installed and callable(thing):
        return (type(thing), id(thing))
    raise Incomparable(f"an object of type {type(thing).__name__}")


class _Program:
    """Functions and constants that one compiled program stands for."""

    def __init__(self, body: Callable[..., Any], functions: Any, frame: Any) -> None:
        self.body, self.functions, self.frame = body, functions, frame
        self.traced = False


_PROGRAMS: OrderedDict[Hashable, _Program] = OrderedDict()
KEPT = 512  # programs; the oldest is forgotten


@functools.partial(jax.jit, static_argnums=0)
def _run(program: _Program, arrays: list[Any]) -> Any:
    program.traced = True
    treedef, constants = program.frame
    return program.body(program.functions, *_join(treedef, constants, arrays))


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

    def key() -> Hashable:
        return (body, treedef, tuple(dynamic), fingerprint((functions, fixed)))

    try:
        before = key()
        program = _PROGRAMS.get(before)
    except (Incomparable, TypeError):  # TypeError: a treedef or constant without a hash
        return body(functions, *_join(treedef, constants, arrays))
    if program is None:
        program = _remember(before, _Program(body, functions, (treedef, constants)))
    program.traced = False
    result = _run(program, arrays)
    if program.traced and (after := key()) != before:
        _VOLATILE.update(_changed(before, after))
        _remember(key(), program)
    return result


def _remember(key: Hashable, program: _Program) -> _Program:
    _PROGRAMS[key] = program
    while len(_PROGRAMS) > KEPT:
        _PROGRAMS.popitem(last=False)
    return program


_HOLE = object()


def _join(treedef: Any, constants: list[Any], arrays: list[Any]) -> Any:
    rest = iter(arrays)
    return jax.tree.unflatten(treedef, [next(rest) if c is _HOLE else c for c in constants])
