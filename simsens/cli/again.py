"""A result file as commands go on with it: its minimum, what computes on it, what it lacks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from simsens import io
from simsens.io.errors import one_line
from simsens.io.stored import Stored
from simsens.particles import parameters
from simsens.particles import system as systems
from simsens.particles.potentials import EnergyFunction
from simsens.particles.potentials.errors import InvalidPotential
from simsens.response.equilibrium import Equilibrium
from simsens.response.modes import NormalModes, normal_modes
from simsens.response.perturbed import Perturbed, perturb
from simsens.response.sensitivity import Sensitivity

RERUN = "run simsens relax with --sensitivity"
AGREES = 1e-5  # relative difference of two energies that are the same, one of them of float32


def load(path: Path) -> Stored:
    """All that the file holds; of a run that has not ended, the history by its frames.

    Raises:
        UnknownFormat: another end of the name than that of a result.
        UnreadableFile: damaged, or not written by simsens.
    """
    with io.open(path) as result:
        stored = result.load()
        if not len(stored.history) and len(result.trajectory):
            frames = result.trajectory
            history = np.column_stack([frames.step, frames.energy, frames.max_force])
            stored = replace(stored, history=history)
    return stored


def shown(stored: Stored) -> Equilibrium:
    """The minimum to be shown; an energy that the file does not hold is there by its numbers."""
    if stored.potential is None:
        return stored.with_potential(EnergyFunction(_not_stored, dict(stored.theta)))
    return stored.equilibrium


def _not_stored(position: Any, **numbers: Any) -> Any:
    raise InvalidPotential("the energy was one of your own, which a file does not hold")


def computed(stored: Stored, path: Path, reference: str | None) -> Equilibrium:
    """The minimum to compute on, with the energy ``file.py:name`` where it was one's own.

    Raises:
        ClickException: it is not given, needless, or another one.
        InvalidPotential: it cannot be loaded.
    """
    if stored.potential is not None:
        if reference is not None:
            raise click.ClickException(
                f"{path} holds its potential, {type(stored.potential).__name__}:"
                " leave out --potential"
            )
        return stored.equilibrium
    if reference is None:
        raise click.ClickException(
            f"the energy of {path} was one of your own, which a file does not hold: give it,"
            " --potential file.py:name"
        )
    if ":" not in reference:
        raise click.ClickException(
            f"needed an energy of your own, file.py:name or module:name; got {reference!r}"
        )
    equilibrium = stored.with_potential(_with_theta(reference, stored))
    try:
        energy = float(systems.energy(equilibrium.system))
    except InvalidPotential:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {one_line(error)}"
        raise click.ClickException(f"the energy {reference} fails: {said}") from error
    size = max(abs(energy), abs(stored.energy))
    if not math.isclose(energy, stored.energy, rel_tol=AGREES, abs_tol=1e-12 * (1 + size)):
        raise click.ClickException(
            f"{reference} is not the energy of {path}: it gives {energy:.10g} at the minimum, where"
            f" {stored.energy:.10g} is stored"
        )
    return equilibrium


def _with_theta(reference: str, stored: Stored) -> EnergyFunction:
    """The energy with the parameters of the file; names in brackets are parts of a field."""
    own = EnergyFunction.load(reference)
    known = parameters.names(own.parameters)
    parts = {name: value for name, value in stored.theta.items() if name in known}
    rest = {name: value for name, value in stored.theta.items() if name not in known}
    return replace(own, parameters={**parameters.replaced(own.parameters, parts), **rest})


def doubt(stored: Stored) -> str | None:
    """Why the derivatives are not to be trusted, or ``None``."""
    trust = stored.certificate
    return None if trust is None or trust.trusted else trust.reason


def derivatives(stored: Stored, path: Path, what: str) -> Sensitivity:
    """The derivatives that ``what`` needs.

    Raises:
        ClickException: there are none.
    """
    found = stored.sensitivity
    if found is None or not found.parameters:
        raise click.ClickException(f"{what} needs derivatives, and {path} holds none: {RERUN}")
    return found


def parameter(slope: Sensitivity, name: str | None) -> str:
    """The parameter that is meant, the first by default.

    Raises:
        UnknownParameter: listing those there are derivatives by.
    """
    if name is not None and name not in slope.parameters:
        raise parameters.unknown(name, slope.parameters)
    return name or slope.parameters[0]


def modes(
    stored: Stored, path: Path, reference: str | None, least: int | None, count: int | None,
    progress: Any,
) -> NormalModes:  # fmt: skip
    """The stored modes, if there are all or at least so many; else ``count`` are computed.

    Raises:
        ClickException: they cannot be computed.
    """
    found = stored.modes
    if found is not None:
        motions = found.moving * stored.structure.dimension
        if len(found.curvature) >= min(motions, found.zero_modes + (least or 0)):
            return found
    equilibrium = computed(stored, path, reference)
    progress.say("looking for modes ...")
    with refusals():
        return normal_modes(equilibrium, count)


def perturbed(
    stored: Stored, path: Path, reference: str | None, slope: Sensitivity, name: str | None,
    progress: Any,
) -> Perturbed:  # fmt: skip
    """The structures relaxed again around the minimum.

    Raises:
        ClickException: nothing moves with the parameter, or the energy is missing.
        UnknownParameter: listing those there are derivatives by.
    """
    chosen, equilibrium = parameter(slope, name), computed(stored, path, reference)
    progress.say("relaxing again ...")
    with refusals():
        return perturb(equilibrium, slope, chosen)


@contextmanager
def refusals() -> Iterator[None]:
    """What cannot be computed or drawn of such a result is told as it is said, in one line."""
    try:
        yield
    except ValueError as error:
        raise click.ClickException(str(error)) from error
