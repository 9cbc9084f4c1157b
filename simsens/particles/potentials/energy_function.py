"""Any energy written in JAX, the user's own or jax-md's, as a potential.

The function's own signature says what it gets. The first argument is the position ``[particle,
dimension]``; arguments named ``displacement``, ``box``, ``species`` or ``structure`` are handed
the structure's; every other argument with a number as its default is a parameter:

    def energy(position, displacement, sigma=1.0, epsilon=1.0): ...

A function whose first argument is called ``displacement`` (or ``displacement_or_metric``,
``displacement_fn``), as those of ``jax_md.energy``, is taken as a maker of energy functions:
``make(displacement, sigma=...)(position)``.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

from simsens.particles import jax_md_door, space
from simsens.particles.potentials.errors import InvalidPotential
from simsens.particles.structure import Structure

MAKERS = ("displacement", "displacement_or_metric", "displacement_fn")
GIVEN = ("displacement", "box", "species", "structure")


@dataclass(frozen=True)
class EnergyFunction:
    """A potential made of a function.

    Args:
        function: see the module's text for the signature.
        parameters: numbers by name; those not given keep the function's own defaults.

    Raises:
        InvalidPotential: a parameter the function does not take.

    Example:
        >>> def spring(position, displacement, length=1.0):
        ...     stretch = (displacement(position[0], position[1]) ** 2).sum() ** 0.5 - length
        ...     return stretch**2 / 2
        >>> EnergyFunction(spring).parameters
        {'length': 1.0}
    """

    function: Callable[..., Any]
    parameters: dict[str, Any] = field(default_factory=dict)

    contact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.parameters, Mapping) or not callable(self.function):
            return
        taken = inspect.signature(self.function).parameters
        if not taken or inspect.isclass(self.function):
            raise InvalidPotential(
                f"the energy {_name(self.function)} must be a function of the positions:"
                " def energy(position, ...)"
            )
        defaults = _defaults(self.function)
        given = (next(iter(taken)), *GIVEN)
        unknown = [k for k in self.parameters if k not in taken or k in given]
        if unknown and not any(p.kind is p.VAR_KEYWORD for p in taken.values()):
            known = ", ".join(defaults) or "none"
            raise InvalidPotential(
                f"unknown parameter {unknown[0]!r} of the energy {_name(self.function)};"
                f" known are {known}"
            )
        object.__setattr__(self, "parameters", {**defaults, **self.parameters})

    @classmethod
    def load(cls, reference: str, parameters: Mapping[str, Any] | None = None) -> EnergyFunction:
        """Load ``package.module:function`` or ``path/to/file.py:function``.

        Raises:
            InvalidPotential: no such module, file or function.
        """
        place, _, name = reference.rpartition(":")
        jax_md_door.open_door()
        module = _module(place)
        function = getattr(module, name, None)
        if not callable(function):
            raise InvalidPotential(f"{place} has no function {name!r}")
        return cls(function, dict(parameters or {}))

    def energy(self, structure: Structure, position: Any) -> Any:
        """The energy of the structure at these positions, a scalar."""
        at = structure.with_position(position)
        if next(iter(inspect.signature(self.function).parameters)) in MAKERS:
            value = self.function(space.displacement(at), **self.parameters)(position)
        else:
            taken = inspect.signature(self.function).parameters
            offered = {
                "displacement": lambda: space.displacement(at),
                "box": lambda: at.box,
                "species": lambda: at.species,
                "structure": lambda: at,
            }
            given = {name: make() for name, make in offered.items() if name in taken}
            value = self.function(position, **given, **self.parameters)
        if getattr(value, "shape", None) != ():
            raise InvalidPotential(
                f"the energy {_name(self.function)} must return one number; it returned"
                f" {getattr(value, 'shape', type(value).__name__)}"
            )
        return value


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", repr(function))


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    found = {}
    for position, (name, argument) in enumerate(inspect.signature(function).parameters.items()):
        number = isinstance(argument.default, (int, float, np.ndarray, jax.Array))
        if position and name not in GIVEN and number and not isinstance(argument.default, bool):
            value = argument.default
            found[name] = float(value) if isinstance(value, int) else value
    return found


def _module(place: str) -> Any:
    if not place.endswith(".py"):
        try:
            return importlib.import_module(place)
        except ImportError as error:
            raise InvalidPotential(f"cannot import the module {place!r}: {error}") from error
    path = Path(place)
    if not path.is_file():
        raise InvalidPotential(f"no such file: {place}")
    spec = importlib.util.spec_from_file_location(f"simsens_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InvalidPotential(f"cannot read {place} as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InvalidPotential(f"{place} fails when imported: {error!r}") from error
    return module


jax.tree_util.register_dataclass(
    EnergyFunction, data_fields=["parameters"], meta_fields=["function"]
)
