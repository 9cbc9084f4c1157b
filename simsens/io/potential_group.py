"""The law of a result, so that the system can be made again: its class by name, and its fields.

Only the potentials of the shelf are made again: nothing of a file is ever called. An energy of
one's own is stored by its name, for a person, and must be given by whoever wants to compute on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import h5py
import numpy as np

from simsens.io import guarded
from simsens.particles.potentials import POTENTIALS, EnergyFunction, HarmonicBonds

TEXT = h5py.string_dtype()


def write(group: h5py.Group, potential: Any) -> None:
    """Write the fields of a potential of the shelf; of another one its name and its numbers."""
    known = {kind: name for name, kind in POTENTIALS.items()}
    group.attrs["name"] = known.get(type(potential), "")
    if isinstance(potential, EnergyFunction):
        group.attrs["function"] = function_name(potential)
    if type(potential) not in known:
        return
    for field in fields(potential):
        _write(group, field.name, getattr(potential, field.name))


def function_name(potential: EnergyFunction) -> str:
    """What the function of an energy of one's own is called."""
    function = potential.function
    return str(getattr(function, "__qualname__", type(function).__name__))


def _write(group: h5py.Group, name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, Mapping):
        inner, numbers = group.create_group(name), [float(number) for number in value.values()]
        inner.create_dataset("key", data=list(value), shape=(len(value),), dtype=TEXT)
        inner.create_dataset("value", data=np.array(numbers), dtype="f8")
    elif isinstance(value, str):
        group.attrs[name] = value
    elif hasattr(value, "pairs"):
        group.create_dataset(name, data=value.pairs, dtype="i8")
    elif np.ndim(value):
        group.create_dataset(name, data=np.asarray(value, float), dtype="f8")
    else:
        group.attrs[name] = float(value)


def read(group: h5py.Group) -> Any:
    """Make the potential again; ``None`` where it is not of the shelf.

    Raises:
        Refused: fields that the potential does not have, or that make none.
    """
    name = guarded.attribute(group, "name")
    if name == "":
        return None
    if name not in POTENTIALS:
        raise guarded.Refused(f"unknown potential {name!r}; known are {', '.join(POTENTIALS)}")
    kind: Any = POTENTIALS[name]
    given: dict[str, Any] = {}
    for field in fields(kind):
        if field.name in group.attrs:
            given[field.name] = guarded.attribute(group, field.name)
        elif guarded.has(group, field.name):
            given[field.name] = _read(group, field.name, kind)
    try:
        return kind(**given)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise guarded.Refused(f"the potential {name} cannot be made again: {error}") from None


def _read(group: h5py.Group, name: str, kind: Any) -> Any:
    if isinstance(group[name], h5py.Group):
        keys = guarded.texts(group, f"{name}/key", (None,))
        numbers = guarded.numbers(group, f"{name}/value", (len(keys),))
        if len(set(keys)) < len(keys):
            raise guarded.Refused(f"{name} of the potential holds a key twice")
        return dict(zip(keys, numbers.tolist()))
    if kind is HarmonicBonds and name == "bonds":
        return guarded.numbers(group, name, (None, 2), "i")
    return guarded.numbers(group, name, (None,))
