"""Whether a run is gone on with by the system it was begun with.

A file says once, at the beginning, what its result is of: the parameters, the law, and all of the
structure but the positions. A minimum of another system would contradict it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import h5py
import numpy as np

from simsens.io import guarded, h5md_read, potential_group, simsens_group
from simsens.particles.structure import Structure, mobile_mask
from simsens.particles.system import System


def difference(root: h5py.Group, system: System) -> str:
    """The first thing in which the system of a file and another differ, in words; empty if none.

    Args:
        root: the group ``/simsens`` of the file.
        system: the other one; where its particles are does not matter.

    Raises:
        Refused: the file is damaged.
    """
    return next(_differences(root, system), "")


def _differences(root: h5py.Group, system: System) -> Iterator[str]:
    yield from _of_structures(h5md_read.rest(root)[0], system.structure)
    law = str(guarded.attribute(guarded.group(root, "theta"), "potential"))
    yield from _of_values("the potential", law, type(system.potential).__name__)
    before = dict(zip(*h5md_read.theta(root)))
    names, values = simsens_group.theta(system)
    yield from _of_tables(before, dict(zip(names, values.tolist())))
    yield from _of_laws(guarded.group(root, "potential"), system)


def _of_structures(before: Structure, now: Structure) -> Iterator[str]:
    yield from _of_values("the number of particles", before.number, now.number)
    yield from _of_values("the dimension", before.dimension, now.dimension)
    yield from _of_particles("species", before.names(), now.names())
    # Their order too: a trajectory holds numbers for the names.
    yield from _of_values("species_names", before.species_names, tuple(now.species_names))
    yield from _of_values("the box", _edges(before), _edges(now))
    yield from _of_values("the boundary", before.boundary, tuple(now.boundary))
    held = [(~mobile_mask(structure)).tolist() for structure in (before, now)]
    yield from _of_particles("fixed", *held)


def _of_tables(before: Mapping[str, float], now: Mapping[str, float]) -> Iterator[str]:
    """Of parameters, in whatever order they stand."""
    for name in [*before, *(name for name in now if name not in before)]:
        yield from _of_values(name, before.get(name, "missing"), now.get(name, "missing"))


def _of_laws(group: h5py.Group, system: System) -> Iterator[str]:
    """Of what a law has beside its parameters: cutoff, exponent, bonds."""
    potential = system.potential
    if "function" in group.attrs:
        function = potential_group.function_name(potential)
        yield from _of_values("the function", str(guarded.attribute(group, "function")), function)
    stored = potential_group.read(group)
    if stored is None:  # an energy of one's own: more is not known of it
        return
    for field in fields(stored):
        if field.name not in system.fields:
            before, now = (getattr(one, field.name) for one in (stored, potential))
            if hasattr(before, "pairs"):
                yield from _of_particles("bonds", before.pairs.tolist(), now.pairs.tolist())
            else:
                yield from _of_values(field.name, before, now)


def _of_particles(name: str, before: list[Any], now: list[Any]) -> Iterator[str]:
    """Of lists with an entry a particle, or a bond."""
    yield from _of_values(f"the number of {name}", len(before), len(now))
    for k, (one, other) in enumerate(zip(before, now)):
        if one != other:
            yield from _of_values(f"{name}[{k}]", one, other)


def _of_values(name: str, before: Any, now: Any) -> Iterator[str]:
    if before != now:
        yield f"{name} is {before} in the file and {now} in the system given"


def _edges(structure: Structure) -> list[list[float]] | None:
    return None if structure.box is None else np.asarray(structure.box, float).tolist()
