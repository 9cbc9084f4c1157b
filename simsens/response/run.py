r"""One relaxation in progress: what is fixed about it, and what changes.

The path depends on the system alone. Where the host looks in between, to report, to keep a frame or
a state, or because time is up, leaves no trace in it: the curvature is measured at steps that are
known beforehand, and a list is made when a particle has moved too far. So a run that is repeated,
or goes on from a state that was kept, takes the same steps to the last bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.particles import contacts, space
from simsens.particles import structure as structures
from simsens.particles import system as systems
from simsens.particles.near_order import near_order
from simsens.particles.neighbors import Grid, NeighborList
from simsens.particles.structure import InvalidStructure
from simsens.particles.system import System
from simsens.response import curvature as curvatures
from simsens.response import descent, hessian, newton, states, thresholds
from simsens.response.equilibrium import Equilibrium
from simsens.response.record import Record, State
from simsens.response.states import Course

PATIENCE = 10_000  # steps without a fall of the largest force by one percent
CHUNK_SECONDS = 0.5  # how often a long run reports
REPORTS = 1.02  # ... and how many steps lie between: none at first, a fiftieth of those made later
NEVER = np.iinfo(np.int32).max  # a step that is not reached
STOPPED = "stopped on request"

Progress = Callable[[int, float, float], bool | None]


class UnreachableTolerance(ValueError):
    """The tolerance lies below the rounding error of the forces."""


@partial(jax.jit, static_argnames=("optimizer", "grid"))
def _advance(
    system: System,
    neighbors: Any,
    motion: Any,
    mobile: Any,
    start: Any,
    bounds: Any,
    optimizer: str,
    grid: Grid | None,
) -> Any:
    stiffness, target, max_move, budget, measure_at, tell_at = bounds
    steps = descent.Descent(system, mobile, stiffness, target, max_move, optimizer)
    if grid is None:
        moved = steps.advance(neighbors, motion, budget)
    else:
        moved, neighbors = steps.advance_and_list(neighbors, motion, budget, grid)
    at, dtype = system.with_position(moved.position), moved.max_force.dtype
    top = jax.lax.cond(
        moved.steps >= measure_at,
        lambda: hessian.largest_curvature(at, neighbors, mobile, start),
        lambda: jnp.asarray(stiffness, dtype),
    )
    energy = jax.lax.cond(
        moved.steps >= tell_at,
        lambda: systems.energy(at, neighbors),
        lambda: jnp.asarray(jnp.nan, dtype),
    )
    return moved, energy, top, None if grid is None else neighbors


_scattered = jax.jit(hessian.scattered)


class Run:
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
        record: Record | None,
    ) -> None:
        structures.check(system.structure)
        dtype = jnp.asarray(system.structure.position).dtype
        self.given = system.with_position(np.asarray(system.structure.position, dtype))
        self.order = near_order(self.given)  # in which the particles are moved
        self.place = np.argsort(self.order)
        self.system = replace(system, structure=self.given.structure.reordered(self.order))
        self.optimizer, self.fmax, self.steps, self.solver = optimizer, fmax, steps, solver
        self.progress, self.record = progress, record
        self.mobile = structures.mobile_mask(self.system.structure)
        self.probe = _scattered(self.system.structure.position)  # of the largest curvature
        self.start = np.asarray(self.system.structure.position)
        self.spacing = space.spacing(system.structure)
        self.max_move = 0.1 * self.spacing if max_move is None else max_move
        self.extent = max(float(np.ptp(self.start, axis=0).max()), self.max_move)
        self.skin = thresholds.skin_for(self.start.shape, self.spacing, self.max_move)
        self.course = Course()
        self.history: list[tuple[float, float, float]] = []
        self.neighbors: NeighborList | None = None
        self.asked = False  # whether somebody asked to stop
        self.made = 1  # steps, the last time

    def renew(self, position: Any) -> None:
        """List the neighbours afresh at these positions, in rows no shorter than before."""
        at = self.system.with_position(position)
        self.neighbors = systems.list_neighbors(at, self.skin, self.neighbors)

    def survey(self, position: Any, measure: bool = True) -> tuple[float, float, float]:
        """Energy, largest force, largest curvature at these positions."""
        at_rest, when = descent.at_rest(position), 0 if measure else NEVER
        motion, energy, top = self.advance(at_rest, 1.0, self.fmax, 0, when, 0)
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
        measure_at: int,
        tell_at: int,
    ) -> Any:
        """Some steps: motion, energy, largest curvature. One program serves all calls.

        It makes lists that have become stale itself, where they come from cells. Only on the CPU,
        where that was measured, and for so many particles that it pays.

        The curvature costs as much as many steps, the energy as much as one: each is computed if
        the step is reached from which on it is wanted. Else the first is the last one known, and
        the second not a number.
        """
        bounds = (top, target, self.max_move, budget, measure_at, tell_at)
        within = len(self.start) > thresholds.FEW and jax.default_backend() == "cpu"
        grid = self.neighbors.grid if within and self.neighbors else None
        moved, energy, top, neighbors = _advance(
            self.system, self.neighbors, motion, self.mobile, self.probe, bounds,
            self.optimizer, grid,
        )  # fmt: skip
        if neighbors is not None:
            if neighbors.valid:
                self.neighbors = replace(neighbors, grid=grid)
            else:  # the list that is due has other shapes
                self.renew(moved.position)
                moved = replace(moved, stale=np.asarray(False))
                if moved.steps >= tell_at:
                    energy, *_ = self.survey(moved.position, measure=False)
        return moved, energy, top

    def descend(self) -> tuple[np.ndarray, int, str]:
        """Run from the start to the end: positions, steps, and the criterion that ended it."""
        self.renew(self.start)
        energy, force, top = self.survey(self.start)
        self._check_start(energy, force, top)
        self._check_floor(force, top)
        top = top or force / self.max_move or 1.0  # forces without curvature: a step to the guard
        self.course.top = top
        self.course.target = self._newton_target()
        motion = descent.at_rest(self.start)
        if self.record and self.record.every:
            self.record.frame(0, self.start[self.place], energy, force)
        if self._report(0, energy, force):
            self._keep(motion)
            return self.start, 0, STOPPED
        return self._descend(motion, force)

    def go_on(self, state: State) -> tuple[np.ndarray, int, str]:
        """Run from a state that was kept to the end, as if it had never stopped.

        Raises:
            ValueError: the state is that of another system.
        """
        motion, self.course, self.neighbors = states.unpack(state, self.system, self.order)
        self.history = [tuple(row) for row in np.asarray(state["history"], float).tolist()]
        self.reported = time.perf_counter()
        force = float(motion.max_force)
        if motion.fresh:  # not a step was made, or Newton's method had just led here
            _, force, _ = self.survey(motion.position, measure=False)
        self._check_floor(force, self.course.top)
        return self._descend(motion, force)

    def _descend(self, motion: descent.Motion, force: float) -> tuple[np.ndarray, int, str]:
        course, finish = self.course, self.fmax < thresholds.NEWTON_BELOW
        every = self.record.every if self.record else 0
        position, chunk = motion.position, 20
        while True:
            done = int(motion.steps)
            if force <= self.fmax:
                return np.asarray(position), done, "max force <= fmax"
            if finish and force <= course.target:
                before = self._state(motion)
                there, taken = self._finish(position, done)
                position, force, done = there.position, there.max_force, done + taken
                if force <= self.fmax:
                    return position, done, "max force <= fmax, by Newton steps"
                if taken:  # FIRE starts anew from where Newton left it
                    motion = descent.at_rest(position, done)
                course.target = max(force / 10, self.fmax)
                if (
                    self.asked
                ):  # Newton's method will begin anew: it keeps a factor that is not kept
                    if self.record:
                        self.record.keep(before)
                    return np.asarray(position), done, STOPPED
            left = self.steps - done
            if left <= 0:
                self._keep(motion)
                return np.asarray(position), done, f"the budget of {self.steps} steps was spent"
            began = time.perf_counter()
            frame = (done // every + 1) * every if every else NEVER
            measure_at = course.measured
            tell = self._due(done + self.made, began)  # it will come about as far as the last time
            budget = min(left, chunk, frame - done, measure_at - done)
            moved, energy, seen = self.advance(
                motion, course.top, course.target, budget, measure_at, 0 if tell else frame
            )
            force, stale = float(moved.max_force), bool(moved.stale)
            told, reached = float(energy), int(moved.steps)
            if not np.isfinite(force) or ((tell or reached == frame) and not np.isfinite(told)):
                lost = "the forces became infinite or not a number"
                return np.asarray(position), done, lost
            self.made, motion, position = reached - done, moved, moved.position
            if reached >= measure_at:
                course.top = float(seen) if float(seen) > 0 else course.top
                course.measured = reached + max(20, reached // 2)
                course.target = min(course.target, self._newton_target())
            done = reached
            self._check_floor(force, course.top)
            if stale:
                self.renew(position)
            elif time.perf_counter() - began < CHUNK_SECONDS:
                chunk = min(2 * chunk, 2000)
            if force < 0.99 * course.best:
                course.best, course.best_step = force, done
            elif done - course.best_step > PATIENCE:
                stalled = f"stalled: no progress in {PATIENCE} steps"
                return np.asarray(position), done, stalled
            if self.record and done == frame:
                self.record.frame(done, np.asarray(position)[self.place], told, force)
            if tell and self._report(done, told, force):
                self._keep(motion)
                return np.asarray(position), done, STOPPED
            if self.record and self.record.due():
                self._keep(motion)

    def _newton_target(self) -> float:
        number = self.system.structure.number
        return thresholds.newton_target(self.fmax, self.course.top, self.spacing, number)

    def _keep(self, motion: descent.Motion) -> None:
        """Leave the state with the record, if there is one."""
        if self.record:
            self.record.keep(self._state(motion))

    def _state(self, motion: descent.Motion) -> State:
        if not self.record:
            return {}
        return states.pack(motion, self.course, self.neighbors, self.history, self.place)

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
        self.asked = bool(self.progress and self.progress(step, energy, force))
        return self.asked

    def _check_start(self, energy: float, force: float, top: float) -> None:
        if np.isfinite(energy) and np.isfinite(force) and np.isfinite(top):
            return
        cause = "check its parameters, and the units of the positions"
        *places, apart = contacts.closest_pair(self.system, self.neighbors)
        if apart < 1e-6 * space.spacing(self.system.structure):
            first, second = sorted(self.order[places])
            cause = (
                f"particles {first} and {second} are {apart:.3g} apart, where a force has no"
                " direction; move one of them"
            )
        raise InvalidStructure(f"the energy or its derivative is not finite at the start: {cause}")

    def _check_floor(self, force: float, top: float) -> None:
        """Refuse to go on in the rounding error of the forces."""
        dtype = self.start.dtype
        self.floor = thresholds.rounding(dtype, top, self.extent)
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
        energy, force, _ = self.survey(position, measure=False)
        converged = force <= self.fmax
        if self.history[-1][0] < steps or self.history[-1][2] != force:
            self.history.append((steps, energy, force))
        return Equilibrium(
            system=self.given.with_position(np.asarray(position)[self.place]),
            energy=energy,
            max_force=force,
            iterations=steps,
            converged=converged,
            criterion=criterion,
            fmax=self.fmax,
            optimizer=self.optimizer,
            start=self.given.structure.position,
            history=np.array(self.history),
        )
