"""The unit systems a result can be stored in: the strings of the ``unit`` attributes.

A reduced system (lengths in sigma, energies in epsilon) carries no ``unit`` attribute at all:
readers refuse units they do not know, and nobody can convert a sigma. ``metal`` is LAMMPS' word
for angstrom, electronvolt and picosecond, the units of ASE.
"""

from __future__ import annotations

UNITS: dict[str, dict[str, str]] = {
    "reduced": {},
    "metal": {"length": "Angstrom", "time": "ps", "energy": "eV", "force": "eV Angstrom-1"},
}


def check_units(units: str) -> None:
    """Refuse a unit system that is not in the table.

    Raises:
        ValueError: listing the known ones.
    """
    if units not in UNITS:
        raise ValueError(f"unknown units {units!r}; known are {', '.join(UNITS)}")
