"""What ``simsens relax`` is asked: the system to relax, the parameters to differentiate by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import jax
import numpy as np

from simsens import io
from simsens.io import result_name
from simsens.particles import parameters
from simsens.particles import system as systems
from simsens.particles.packing import packing
from simsens.particles.potentials import EnergyFunction
from simsens.particles.potentials.build import build
from simsens.particles.potentials.errors import InvalidPotential
from simsens.particles.structure import check, mobile_mask
from simsens.particles.system import System
from simsens.response.curvature import method_for


def system(settings: dict[str, Any], path: str | None) -> tuple[System, str]:
    """The structure with its potential, and where it comes from in words.

    Raises:
        ClickException: settings that do not fit together; files and potentials raise their own.
    """
    name, dimension = settings["potential"], settings["dimension"]
    if path:
        law, _ = _brought(settings, path)
        if not name and law is None:
            raise click.UsageError("a structure needs a --potential (and its --param NAME=VALUE)")
        structure = io.read(path, dimension=dimension)
        check(structure)
        if name:
            posed = System(structure, build(name, settings["param"], structure))
        else:
            posed = System(structure, law).replace_parameters(settings["param"])
        origin = Path(path).name
    else:
        if name not in (None, "soft-sphere"):
            raise click.UsageError(f"--potential {name} needs a structure: give STRUCT")
        structure = packing(seed=settings["seed"], dimension=dimension or 2).structure
        diameters = {"diameter[B]": 0.6, "diameter[A]": 1.0}
        if "diameter" in settings["param"]:
            diameters = {}
        potential = build("soft-sphere", {**diameters, **settings["param"]}, structure)
        posed = System(structure, potential)
        origin = f"packing, seed {settings['seed']}"
    if settings["fixed"] is not None:
        posed = System(posed.structure.with_fixed(settings["fixed"]), posed.potential)
    _try(posed, settings)
    return posed, origin


def units(settings: dict[str, Any], path: str | None) -> str:
    """Those that were asked for, else those of the result whose law is taken, else reduced ones."""
    return settings["units"] or _brought(settings, path)[1] or "reduced"


def _brought(settings: dict[str, Any], path: str | None) -> tuple[Any, str | None]:
    """The law and the units of the earlier result, where no law is named; ``None`` if none."""
    if settings["potential"] or not path or Path(path).suffix.lower() not in result_name.RESULTS:
        return None, None
    with io.open(path) as result:
        law = result.potential
        return law, result.units if law is not None else None


def _try(system: System, settings: dict[str, Any]) -> None:
    """Refuse what does not fit together before anything is compiled."""
    for field, value in system.fields.items():
        for number in value.values() if isinstance(value, dict) else [value]:
            if not isinstance(number, (int, float, np.ndarray, jax.Array)):
                raise click.ClickException(f"{field} must be a number; got {number!r}")
    if settings["moduli"] and not all(system.structure.boundary):
        raise click.UsageError("--moduli needs a box that is periodic along every edge")
    if not mobile_mask(system.structure).any():
        raise click.ClickException("every particle is fixed: there is nothing to relax")
    try:
        method_for(system, settings["solver"])
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    systems.list_neighbors(system)
    if isinstance(system.potential, EnergyFunction):
        try:
            jax.eval_shape(systems.force, system)
        except InvalidPotential:
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {io.errors.one_line(error)}"
            raise click.ClickException(
                f"the energy {settings['potential']} fails: {said}"
            ) from error


def wrt(settings: dict[str, Any], posed: System) -> tuple[str, ...]:
    """The parameters to differentiate by; none without ``--sensitivity``.

    Raises:
        UsageError: names that select none.
        UnknownParameter: listing those there are.
    """
    asked = settings["sensitivity"]
    if asked in (None, "none"):
        return ()
    if asked == "default":
        asked = "all" if settings["structure"] else "diameter[B]"
    chosen = parameters.select(posed.fields, asked if asked == "all" else _split(asked))
    if not chosen:
        raise click.UsageError(
            f"--sensitivity={asked} names no parameter; known are"
            f" {', '.join(posed.parameter_names) or 'none: the potential has no parameters'}"
        )
    return chosen


def _split(text: str) -> list[str]:
    """``"sigma,epsilon[A,B]"`` at the commas outside brackets."""
    names, depth = [""], 0
    for letter in text:
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            names.append("")
        else:
            names[-1] += letter
    return [name.strip() for name in names if name.strip()]
