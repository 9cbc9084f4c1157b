r"""What a function is: its code, its defaults, and the contents of everything it reads.

Functions are followed through closures and globals, modules and classes, as deep as it goes; two
with equal fingerprints do the same. What cannot be compared (a traced value, an object of unknown
kind) is not guessed at, it raises ``Incomparable``.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import sys
import sysconfig
import types
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

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


def measured(thing: Any) -> tuple[Hashable, int]:
    """The fingerprint, and the bytes of the arrays that are read.

    Raises:
        Incomparable: as ``fingerprint``.
    """
    seen: Seen = {}
    found = _of(thing, seen)
    arrays = (np.ndarray, jax.Array)
    return found, sum(held.nbytes for _, held in seen.values() if isinstance(held, arrays))


def overlook(before: Hashable, after: Hashable) -> None:
    """Leave out from now on where two fingerprints of a function differ, which it changed itself.

    Args:
        before: as it was when the function was traced.
        after: as it was afterwards.
    """
    for reader, path in _changed(before, after):
        _VOLATILE.setdefault(reader, set()).add(path)


# What was met on the way, by identity; held, so that no identity is given out twice.
Seen = dict[Hashable, tuple[int, Any]]


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
        return _of_module(thing, frozenset(), seen)
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
        try:
            read.append(_steady(code, name, _of(cell.cell_contents, seen)))
        except ValueError:  # not yet filled
            raise Incomparable("an empty closure cell") from None
    if not _installed(function.__module__):
        names = frozenset(_names(code))
        for name in sorted(names & function.__globals__.keys()):
            value = _attribute(function.__globals__[name], names, seen)
            read.append(_steady(code, name, value))
    defaults = _of((function.__defaults__, function.__kwdefaults__), seen)
    return ("function", code, defaults, *read)


# What a function changes while it is traced (a counter, a log) is not what it computes with: of the
# fingerprints of what a code object reads by a name, the places that differed after the trace.
Place = tuple[int, ...]
_VOLATILE: dict[tuple[types.CodeType, str], set[Place]] = {}


def _changed(before: Any, after: Any) -> Iterator[tuple[tuple[types.CodeType, str], Place]]:
    """What differs between two fingerprints of the same function: who reads it, and where."""
    if not (isinstance(before, tuple) and isinstance(after, tuple)) or before == after:
        return
    inner = list(zip(before, after)) if len(before) == len(after) else []
    found = [change for pair in inner for change in _changed(*pair)]
    if not found and before[:1] == ("function",):
        for (name, old), (_, new) in inner[3:]:
            found += [((before[1], name), path) for path in _differing(old, new)]
    yield from found


def _differing(before: Any, after: Any, path: Place = ()) -> Iterator[Place]:
    if before == after:
        return
    alike = isinstance(before, tuple) and isinstance(after, tuple) and len(before) == len(after)
    if not alike:
        yield path
        return
    for k, pair in enumerate(zip(before, after)):
        yield from _differing(*pair, (*path, k))


def _steady(code: types.CodeType, name: str, value: Hashable) -> Hashable:
    """A name and the fingerprint of what it holds, without what its reader changes itself."""
    for path in _VOLATILE.get((code, name), ()):
        value = _without(value, path)
    return (name, value)


def _without(value: Any, path: Place) -> Hashable:
    if not path or not isinstance(value, tuple) or path[0] >= len(value):
        return "changed while it is read"
    first, *rest = path
    return (*value[:first], _without(value[first], tuple(rest)), *value[first + 1 :])


def _names(code: types.CodeType) -> Iterator[str]:
    """What the code may read: its names, and words that ``getattr`` may be given."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
        elif isinstance(constant, str) and constant.isidentifier():
            yield constant


def _of_module(module: types.ModuleType, names: frozenset[str], seen: Seen) -> Hashable:
    """A module by those of its attributes, and of its modules', that the code at hand may read."""
    if _installed(module.__name__):
        return module
    mark = (module.__name__, names)
    if mark in seen:
        return ("again", seen[mark][0])
    seen[mark] = (len(seen), module)
    known = sorted(names & vars(module).keys())
    return (module, *((name, _attribute(vars(module)[name], names, seen)) for name in known))


def _attribute(value: Any, names: frozenset[str], seen: Seen) -> Hashable:
    module = isinstance(value, types.ModuleType)
    return _of_module(value, names, seen) if module else _of(value, seen)


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
    if dataclasses.is_dataclass(thing):
        fields = {field.name for field in dataclasses.fields(thing)}
        if not getattr(thing, "__dict__", {}).keys() <= fields:
            raise Incomparable("an object with more attributes than its fields")
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
