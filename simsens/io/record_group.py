"""A frozen dataclass as a group: every field under its own name, and back.

Numbers and words are attributes, arrays and tuples of words data sets, a dataclass within is a
group. What a field is not given (``None``) is not there. No class is named in the file: the reader
knows which one it wants, and that its fields are what they should be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import h5py
import numpy as np

from simsens.io import guarded

TEXT = h5py.string_dtype()
AXES = 4  # of an array, at most
T = TypeVar("T")


def write(group: h5py.Group, record: Any) -> None:
    """Write every field of a dataclass into a group.

    Raises:
        ValueError: a field of a kind that is not stored.
    """
    for field in fields(record):
        value = getattr(record, field.name)
        if value is None:
            continue
        if is_dataclass(value):
            write(group.create_group(field.name), value)
        elif isinstance(value, tuple) and all(isinstance(word, str) for word in value):
            group.create_dataset(field.name, data=list(value), shape=(len(value),), dtype=TEXT)
        elif isinstance(value, (str, bool, int, float, np.generic)) or np.ndim(value) == 0:
            group.attrs[field.name] = value if isinstance(value, str) else np.asarray(value).item()
        elif np.asarray(value).dtype.kind in "biuf":
            array = np.asarray(value)
            packed: dict[str, Any] = {}
            if array.size > 2**13:
                packed = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
            group.create_dataset(field.name, data=array, dtype=array.dtype, **packed)
        else:
            raise ValueError(f"{field.name} of {type(record).__name__} cannot be stored")


def read(group: h5py.Group, kind: type[T], within: Mapping[str, type] | None = None) -> T:
    """Make a dataclass of a group that ``write`` has filled.

    Args:
        group: where to read.
        kind: the class.
        within: the classes of its fields that are dataclasses themselves.

    Raises:
        Refused: a field is missing or of another kind.
    """
    found: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]
        name = field.name
        if within and name in within:
            if guarded.has(group, name):
                found[name] = read(guarded.group(group, name), within[name])
        elif name in group.attrs:
            found[name] = guarded.attribute(group, name)
        elif guarded.has(group, name):
            if "str" in str(field.type):
                found[name] = guarded.texts(group, name, (None,))
            else:
                found[name] = guarded.array(group, name, AXES)
        elif "None" in str(field.type):
            found[name] = None
        else:
            raise guarded.Refused(f"{name} is missing from {group.name}")
        _check_kind(group, name, str(field.type), found.get(name))
    return kind(**found)


def _check_kind(group: h5py.Group, name: str, wanted: str, value: Any) -> None:
    kinds: dict[str, Any] = {
        "float": (float, int), "int": int, "bool": bool, "str": str, "np.ndarray": np.ndarray,
    }  # fmt: skip
    needed = kinds.get(wanted)
    wrong = needed is not None and not isinstance(value, needed)
    if wrong or (wanted in ("float", "int") and isinstance(value, bool)):
        raise guarded.Refused(f"{name} of {group.name} must be a {wanted}; found {value!r:.60}")
