"""Names for a potential's numbers: ``sigma``, ``diameter[B]``, ``epsilon[A,B]``, ``stiffness[7]``.

A potential's parameters are its array fields. A field is a number, a dict from species (or pairs
``"A,B"`` of them) to numbers, or an array; each number has a name, the same in Python, on the
command line and in files.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np


class UnknownParameter(ValueError):
    """A name that the potential does not know; the message lists those it does."""


def names(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of all numbers in the fields of a potential, in the order of the fields.

    Example:
        >>> names({"diameter": {"A": 1.0, "B": 0.6}, "epsilon": 1.0, "stiffness": np.ones(2)})
        ('diameter[A]', 'diameter[B]', 'epsilon', 'stiffness[0]', 'stiffness[1]')
    """
    found: list[str] = []
    for field, value in fields.items():
        if isinstance(value, Mapping):
            found += [f"{field}[{key}]" for key in value]
        elif np.ndim(value):
            indices = np.ndindex(np.shape(value))
            found += [f"{field}[{','.join(map(str, index))}]" for index in indices]
        else:
            found.append(field)
    return tuple(found)


def select(fields: Mapping[str, Any], wrt: str | Iterable[str] | None) -> tuple[str, ...]:
    """The names meant by ``wrt``: names, whole fields (``"diameter"``), or everything (``None``).

    Raises:
        UnknownParameter: listing the known names.
    """
    known = names(fields)
    if wrt is None or wrt == "all":
        return known
    asked = [wrt] if isinstance(wrt, str) else list(wrt)
    chosen: dict[str, None] = {}
    for name in asked:
        if name in known:
            chosen[name] = None
        elif name in fields:
            chosen |= dict.fromkeys(k for k in known if k.startswith(f"{name}["))
        else:
            raise unknown(name, known)
    return tuple(chosen)


def values(fields: Mapping[str, Any], chosen: Sequence[str]) -> np.ndarray:
    """The numbers behind the names, ``[parameter]``."""
    return np.array([float(_entry(fields, name)) for name in chosen])


def replaced(fields: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with some numbers replaced; a whole field may be named with a value for all.

    Raises:
        UnknownParameter: listing the known names.
    """
    result = {k: dict(v) if isinstance(v, Mapping) else v for k, v in fields.items()}
    for name, value in new.items():
        field, key = _split(name)
        if field not in result or (key is not None and name not in names(fields)):
            raise unknown(name, names(fields))
        if key is None:
            result[field] = value
        elif isinstance(result[field], dict):
            result[field][key] = value
        else:
            result[field] = jnp.asarray(result[field]).at[_index(key)].set(value)
    return result


def with_values(fields: Mapping[str, Any], chosen: Sequence[str], vector: Any) -> dict[str, Any]:
    """The fields with the named numbers taken from ``vector [parameter]``, which may be traced.

    An array is written in one operation however many of its numbers are named.
    """
    result = {k: dict(v) if isinstance(v, Mapping) else v for k, v in fields.items()}
    into_array: dict[str, list[tuple[int, tuple[int, ...]]]] = {}
    for place, name in enumerate(chosen):
        field, key = _split(name)
        if key is None:
            result[field] = vector[place]
        elif isinstance(result[field], dict):
            result[field][key] = vector[place]
        else:
            into_array.setdefault(field, []).append((place, _index(key)))
    for field, entries in into_array.items():
        places = np.array([place for place, _ in entries])
        where = tuple(np.array([index for _, index in entries]).T)
        result[field] = jnp.asarray(result[field]).at[where].set(vector[places])
    return result


def unknown(name: str, known: Sequence[str]) -> UnknownParameter:
    """The error for a name that is not there, with the nearest known one."""
    near = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return UnknownParameter(f"unknown parameter {name!r}; known are {', '.join(known)}{hint}")


def _split(name: str) -> tuple[str, str | None]:
    field, bracket, key = name.partition("[")
    return field, key.rstrip("]") if bracket else None


def _entry(fields: Mapping[str, Any], name: str) -> Any:
    field, key = _split(name)
    value = fields[field]
    if key is None:
        return value
    return value[key] if isinstance(value, Mapping) else value[_index(key)]


def _index(key: str) -> tuple[int, ...]:
    return tuple(int(part) for part in key.split(","))
