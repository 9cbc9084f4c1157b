"""A potential from its name and settings in words, as a command line or a configuration gives them.

Settings are ``{"diameter[A]": 1.0, "diameter[B]": 0.6, "alpha": 2.5}``: names as in ``parameters``
for numbers by species, pair or bond, and the constructor's other arguments by their own name.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

from simsens.particles.potentials import POTENTIALS
from simsens.particles.potentials.energy_function import EnergyFunction
from simsens.particles.potentials.errors import InvalidPotential, UnknownSpecies
from simsens.particles.potentials.harmonic_bonds import HarmonicBonds
from simsens.particles.structure import Structure


def build(name: str, settings: Mapping[str, Any], structure: Structure) -> Any:
    """Make the potential ``name`` for a structure.

    Args:
        name: a key of ``POTENTIALS``, or ``module:function`` or ``file.py:function``.
        settings: its numbers and options.
        structure: whose species the settings are checked against.

    Raises:
        InvalidPotential: unknown name or setting; the message lists the known ones.

    Example:
        >>> pair = Structure([[0.0, 0.0], [1.0, 0.0]], species=["A", "B"])
        >>> build("soft-sphere", {"diameter[A]": 1.0, "diameter[B]": 0.6}, pair).diameter
        {'A': 1.0, 'B': 0.6}
    """
    fields = _by_field(settings, structure)
    if ":" in name:
        return EnergyFunction.load(name, fields)
    if name not in POTENTIALS:
        raise InvalidPotential(
            f"unknown potential {name!r}; known are {', '.join(POTENTIALS)}, or module:function"
            + _near(name, POTENTIALS)
        )
    make: Any = POTENTIALS[name]
    if make is HarmonicBonds and "bonds" not in fields:
        if "cutoff" not in fields:
            raise InvalidPotential(
                "harmonic-bonds needs bonds=[[0,1],...] or a cutoff below which pairs are bonded"
            )
        return _called(HarmonicBonds.between_close, name, {"structure": structure, **fields})
    return _called(make, name, fields)


def _called(make: Any, name: str, arguments: dict[str, Any]) -> Any:
    known = [k for k in inspect.signature(make).parameters if k != "structure"]
    for key in arguments:
        if key not in known and key != "structure":
            raise InvalidPotential(
                f"unknown parameter {key!r} of {name}; known are {', '.join(known)}"
                + _near(key, known)
            )
    try:
        return make(**arguments)
    except TypeError as error:
        raise InvalidPotential(f"{name}: {error}") from error


def _by_field(settings: Mapping[str, Any], structure: Structure) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in settings.items():
        field, bracket, rest = key.partition("[")
        if field in fields and isinstance(fields[field], dict) != bool(bracket):
            raise InvalidPotential(f"{field} is given both for all species and by species")
        if not bracket:
            fields[field] = value
            continue
        which = ",".join(part.strip() for part in rest.rstrip("]").split(","))
        for species in which.split(","):
            if species not in structure.species_names:
                raise UnknownSpecies(
                    f"{key}: unknown species {species!r}; the structure holds"
                    f" {', '.join(structure.species_names)}"
                )
        fields.setdefault(field, {})[which] = value
    return fields


def _near(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""
