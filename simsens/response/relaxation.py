r"""Relax a structure: move the particles until the force on each is at most ``fmax``.

The steps are those of FIRE or of another of the ``optimizers`` (``descent``). This driver decides
when to stop and says why: converged, out of steps, stalled, not a number, or asked to. It renews
the list of neighbours when a particle has moved half its skin, and bounds the largest move of a
particle.

Tight tolerances are reached by Newton's method once FIRE is near (``newton``), through the same
linear solver as the sensitivities; where it does not pay, FIRE goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.particles import contacts, space
from simsens.particles import structure as structures
from simsens.particles import system as systems
from simsens.particles.neighbors import NeighborList
from simsens.particles.structure import InvalidStructure
from simsens.particles.system import System
from simsens.response import curvature as curvatures
from simsens.response import descent, hessian, newton, optimizers
from simsens.response.equilibrium import Equilibrium, NotConverged

NEWTON_BELOW = 1e-6  # tolerances tighter than the default finish with Newton steps
NEWTON_NEAR = 1e-5  # ... once the largest force is this fraction of what a spacing would make
PATIENCE = 10_000  # steps without a fall of the largest force by one percent
FEW_STEPS, MANY_STEPS = 8, 40  # that a list of neighbours serves, before the skin is adapted
LEAST_SKIN = 0.3  # spacings
WIDEST_SKIN = {2: 0.45, 3: 0.3}  # by dimension: rows grow with its square and its cube
CHUNK_SECONDS = 0.5  # how often a long run reports
REPORTS = 1.02  # ... and how many steps lie between: none at first, a fiftieth of those made later

Progress = Callable[[int, float, float], bool | None]


class UnreachableTolerance(ValueError):
    """The tolerance lies below the rounding error of the forces."""


def relax(
    system: System,
    optimizer: str = "fire",
    fmax: float = 1e-6,
    steps: int = 100_000,
    *,
    fixed: Any = None,
    max_move: float | None = None,
    solver: str = "auto",
    throw: bool = True,
    progress: Progress | None = None,
) -> Equilibrium:
    r"""Move the particles to a minimum of the energy: :math:`\max_i |f_i| \le` ``fmax``.

    Args:
        system: structure and potential, with values (see ``relaxed`` for traced ones).
        optimizer: ``"fire"``, ``"gd"`` (gradient descent), ``"fire2"``, ``"abc-fire"`` or, for
            potentials of pairs, ``"precon-fire"``; see ``optimizers``.
        fmax: largest force on any free particle, in the potential's energy over length. Below
            1e-6 the run finishes with guarded Newton steps.
        steps: the budget.
        fixed: indices or mask of particles that do not move; the structure's own by default.
        max_move: largest displacement of a particle in a step, a tenth of their spacing by default.
        solver: of the Newton steps, ``"auto"``, ``"dense"``, ``"sparse"`` or ``"cg"``.
        throw: whether not converging is an error.
        progress: called with ``(step, energy, max_force)`` now and then; true stops the run.

    Returns:
        The equilibrium, which says by which criterion the run ended.

    Raises:
        NotConverged: with the state that was reached, unless ``throw=False``.
        InvalidStructure: the input cannot be simulated.
        UnsuitableOptimizer: no optimizer of this name, or one that the system is not for.
        UnreachableTolerance: rounding in this precision makes larger forces than ``fmax``.

    Example:
        >>> from simsens.particles.potentials import LennardJones
        >>> from simsens.particles.structure import Structure
        >>> dimer = System(Structure([[0.0, 0.0, 0.0], [1.2, 0.0, 0.0]]), LennardJones())
        >>> equilibrium = relax(dimer, fmax=1e-10)
        >>> round(equilibrium.energy, 10), equilibrium.converged
        (-1.0, True)
    """
    optimizers.check(optimizer, system)
    if not fmax > 0 or steps < 0:
        raise ValueError(f"fmax must be positive and steps not negative; got {fmax} and {steps}")
    if systems.is_traced(system):
        raise TypeError(
            "relax needs values, not traced arrays: use relaxed inside jit, vmap and grad"
        )
    if fixed is not None:
        system = System(system.structure.with_fixed(fixed), system.potential)
    run = _Run(system, optimizer, fmax, steps, max_move, solver, progress)
    equilibrium = run.equilibrium(run.descend())
    if throw and not equilibrium.converged:
        raise NotConverged(_advice(equilibrium, steps), equilibrium)
    return equilibrium


def mobile_mask(structure: structures.Structure) -> np.ndarray:
    """Mask ``[particle]`` of those not fixed."""
    if structure.fixed is None:
        return np.ones(structure.number, bool)
    return ~np.asarray(structure.fixed)


def rounding(dtype: Any, top: float, extent: float) -> float:
    """Forces that rounding alone can make: some ``eps`` of the curvature times the coordinates."""
    return 0.5 * float(np.finfo(dtype).eps) * top * extent


def adapted_skin(skin: float, made: float, spacing: float, dimension: int) -> float:
    """Look further where a list has served few steps, less far where it has served many."""
    if made < FEW_STEPS:
        return min(1.5 * skin, max(WIDEST_SKIN[dimension], LEAST_SKIN) * spacing)
    return max(skin / 1.5, LEAST_SKIN * spacing) if made > MANY_STEPS else skin


@partial(jax.jit, static_argnames="optimizer")
def _advance(
    system: System, neighbors: Any, motion: Any, mobile: Any, bounds: Any, optimizer: str
) -> Any:
    stiffness, target, max_move, budget, measure, tell = bounds
    moved = descent.advance(
        system, neighbors, motion, mobile, stiffness, target, max_move, budget, optimizer
    )
    at, dtype = system.with_position(moved.position), moved.max_force.dtype
    top = jax.lax.cond(
        measure,
        lambda: hessian.largest_curvature(at, neighbors, mobile),
        lambda: jnp.asarray(stiffness, dtype),
    )
    energy = jax.lax.cond(
        tell, lambda: systems.energy(at, neighbors), lambda: jnp.asarray(jnp.nan, dtype)
    )
    return moved, energy, top


class _Run:
    """One relaxation in progress: what is fixed about it, and what changes."""

    def __init__(
        self,
        system: System,
        optimizer: str,
        fmax: float,
        steps: int,
        max_move: float | None,
        solver: str,
        progress: Progress | None,
    ) -> None:
        structures.check(system.structure)
        dtype = jnp.asarray(system.structure.position).dtype
        self.system = system.with_position(np.asarray(system.structure.position, dtype))
        self.optimizer, self.fmax, self.steps, self.solver = optimizer, fmax, steps, solver
        self.progress = progress
        self.mobile = mobile_mask(system.structure)
        self.start = np.asarray(self.system.structure.position)
        self.spacing = space.spacing(system.structure)
        self.max_move = 0.1 * self.spacing if max_move is None else max_move
        self.extent = max(float(np.ptp(self.start, axis=0).max()), self.max_move)
        self.least_skin = max(LEAST_SKIN * self.spacing, 2.5 * self.max_move)
        self.skin = self.least_skin
        self.history: list[tuple[float, float, float]] = []
        self.neighbors: NeighborList | None = None
        self.renew(self.start)

    def renew(self, position: Any) -> None:
        """List the neighbours afresh at these positions, in rows no shorter than before."""
        at = self.system.with_position(position)
        self.neighbors = systems.list_neighbors(at, self.skin, self.neighbors)

    def survey(self, position: Any, measure: bool = True) -> tuple[float, float, float]:
        """Energy, largest force, largest curvature at these positions."""
        at_rest = descent.at_rest(position)
        motion, energy, top = self.advance(at_rest, 1.0, self.fmax, 0, measure, True)
        return float(energy), float(motion.max_force), float(top)

    def cover(self, position: np.ndarray) -> System:
        """The system there, with a list of neighbours that holds."""
        listed = self.neighbors
        if listed is not None:
            moved = np.linalg.norm(position - np.asarray(listed.reference), axis=1).max()
            if moved > listed.skin / 2:
                self.renew(position)
        return self.system.with_position(position)

    def visit(self, position: np.ndarray) -> newton.Visited:
        """What Newton's method needs to know of a point."""
        at = self.cover(position)
        energy, max_force, _ = self.survey(position, measure=False)
        force = np.asarray(curvatures.masked_force(at, self.neighbors, self.mobile))
        return newton.Visited(position, energy, force.reshape(position.shape), max_force)

    def curvature_at(self, here: newton.Visited, shift: float) -> curvatures.Curvature:
        """The Hessian at a point that was visited, shifted."""
        at = self.cover(here.position)
        return curvatures.Curvature(at, self.neighbors, self.mobile, self.solver, shift)

    def advance(
        self,
        motion: descent.Motion,
        top: float,
        target: float,
        budget: int,
        measure: bool,
        tell: bool,
    ) -> Any:
        """Some steps: motion, energy, largest curvature. One program serves all calls.

        The curvature costs as much as many steps, the energy as much as one: where the first is not
        to be measured the last one is kept, where the second is not to be told it is not a number.
        """
        bounds = (top, target, self.max_move, budget, measure, tell)
        return _advance(self.system, self.neighbors, motion, self.mobile, bounds, self.optimizer)

    def descend(self) -> tuple[np.ndarray, int, str]:
        """Run to the end: positions, steps, and the criterion that ended it."""
        position = self.start
        energy, force, top = self.survey(position)
        self._check_start(energy, force, top)
        self._check_floor(force, top)
        if self._report(0, energy, force):
            return position, 0, "stopped on request"
        top = top or force / self.max_move or 1.0  # forces without curvature: a step to the guard
        finish = self.fmax < NEWTON_BELOW
        target = max(self.fmax, NEWTON_NEAR * top * self.spacing) if finish else self.fmax
        motion, chunk, measured = descent.at_rest(position), 20, 0
        best, best_step, made = np.inf, 0, 1
        while True:
            done = int(motion.steps)
            if force <= self.fmax:
                return np.asarray(position), done, "max force <= fmax"
            if finish and force <= target:
                there, taken = self._finish(position, done)
                position, force, done = there.position, there.max_force, done + taken
                if force <= self.fmax:
                    return position, done, "max force <= fmax, by Newton steps"
                if taken:  # FIRE starts anew from where Newton left it
                    motion = descent.at_rest(position, done)
                target = max(force / 10, self.fmax)
            left = self.steps - done
            if left <= 0:
                return np.asarray(position), done, f"the budget of {self.steps} steps was spent"
            began, measure = time.perf_counter(), done >= measured
            tell = self._due(done + made, began)  # it will come about as far as the last time
            budget = min(left, chunk)
            moved, energy, seen = self.advance(motion, top, target, budget, measure, tell)
            force, stale = float(moved.max_force), bool(moved.stale)
            if not np.isfinite(force) or (tell and not np.isfinite(float(energy))):
                lost = "the forces became infinite or not a number"
                return np.asarray(position), done, lost
            made = int(moved.steps) - done
            motion, top = moved, float(seen) if float(seen) > 0 else top
            position, done = motion.position, done + made
            self._check_floor(force, top)
            if measure:
                measured = done + max(20, done // 2)
            if stale:
                dimension = self.start.shape[1]
                skin = adapted_skin(self.skin, made, self.spacing, dimension)
                self.skin = max(skin, self.least_skin)
                self.renew(position)
            elif time.perf_counter() - began < CHUNK_SECONDS:
                chunk = min(2 * chunk, 2000)
            if tell and self._report(done, float(energy), force):
                return np.asarray(position), done, "stopped on request"
            if force < 0.99 * best:
                best, best_step = force, done
            elif done - best_step > PATIENCE:
                stalled = f"stalled: no progress in {PATIENCE} steps"
                return np.asarray(position), done, stalled

    def _finish(self, position: Any, done: int) -> tuple[newton.Visited, int]:
        """Newton steps from here: every digit of the minimum is a digit of its derivative."""

        def report(taken: int, there: newton.Visited) -> bool:
            return self._report(done + taken, there.energy, there.max_force)

        return newton.finish(
            self.visit(np.asarray(position)), self.visit, self.curvature_at,
            floor=self.floor, max_move=self.max_move, budget=self.steps - done, report=report,
        )  # fmt: skip

    def _due(self, step: int, now: float) -> bool:
        """Whether it is time for a report: a few in a hundred steps, and some in a long second."""
        return step >= REPORTS * self.history[-1][0] or now - self.reported > CHUNK_SECONDS

    def _report(self, step: int, energy: float, force: float) -> bool:
        self.reported = time.perf_counter()
        self.history.append((step, energy, force))
        return bool(self.progress and self.progress(step, energy, force))

    def _check_start(self, energy: float, force: float, top: float) -> None:
        if np.isfinite(energy) and np.isfinite(force) and np.isfinite(top):
            return
        cause = "check its parameters, and the units of the positions"
        first, second, apart = contacts.closest_pair(self.system, self.neighbors)
        if apart < 1e-6 * space.spacing(self.system.structure):
            cause = (
                f"particles {first} and {second} are {apart:.3g} apart, where a force has no"
                " direction; move one of them"
            )
        raise InvalidStructure(f"the energy or its derivative is not finite at the start: {cause}")

    def _check_floor(self, force: float, top: float) -> None:
        """Refuse to go on in the rounding error of the forces."""
        dtype = self.start.dtype
        self.floor = rounding(dtype, top, self.extent)
        if self.fmax < self.floor and force < 100 * self.floor:
            cure = "use a larger fmax"
            if dtype == np.float32:
                cure = "use float64 (--dtype float64; jax.config.update('jax_enable_x64', True))"
            raise UnreachableTolerance(
                f"fmax {self.fmax:g} cannot be reached in {dtype}: rounding alone makes forces of"
                f" about {self.floor:.1g}; {cure}"
            )

    def equilibrium(self, ended: tuple[np.ndarray, int, str]) -> Equilibrium:
        """The record of the run, with the final energy and force on a fresh list."""
        position, steps, criterion = ended
        self.renew(position)
        energy, force, _ = self.survey(position)
        converged = force <= self.fmax
        if self.history[-1][0] < steps or self.history[-1][2] != force:
            self.history.append((steps, energy, force))
        return Equilibrium(
            system=self.system.with_position(position),
            energy=energy,
            max_force=force,
            iterations=steps,
            converged=converged,
            criterion=criterion,
            fmax=self.fmax,
            optimizer=self.optimizer,
            start=self.start,
            history=np.array(self.history),
        )


def _advice(equilibrium: Equilibrium, steps: int) -> str:
    cure = "more steps" if "budget" in equilibrium.criterion else "a better start or a larger fmax"
    return (
        f"not converged: {equilibrium.criterion}; max force {equilibrium.max_force:.3g} >"
        f" fmax {equilibrium.fmax:g} after {equilibrium.iterations} steps; try {cure}"
    )
