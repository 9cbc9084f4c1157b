r"""The rounds of a batch: who stands in the stack, who waits, who is about to finish.

All who stand take FIRE's steps at once; one that has come near its minimum leaves for Newton's
finish, which takes a quarter of a stack at a time, and another enters in its place. A round is as
long as most lists of neighbours serve. Derivatives are taken beside the rounds, in threads.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from simsens.implicit.linear_solve.dense import DENSE_LIMIT
from simsens.particles import image_table, space
from simsens.particles import system as systems
from simsens.particles.list_limits import CutoffTooLong
from simsens.particles.structure import InvalidStructure, check
from simsens.particles.system import System
from simsens.response import descent, relaxation, run, stacked, thresholds
from simsens.response.equilibrium import Equilibrium
from simsens.response.sensitivity import Sensitivity, sensitivity

AT_ONCE = 4  # a stack's share that takes Newton steps together, or that must be free to fill it
FIRST_STEPS, MOST_STEPS = 4, 200  # of a round
SURVEYED = (5, 15, 45, 135)  # rounds without anybody new after which curvatures are measured
FAR = 50  # boxes from home, beyond which a system's lists are not made beside others
NEAR, ALONE = "near", "alone"  # why a system leaves the stack: for Newton's steps, for ``relax``
REFUSALS = (InvalidStructure, CutoffTooLong, run.UnreachableTolerance)  # of one member


@dataclass(frozen=True)
class Member:
    """One system of a batch, done.

    Attributes:
        index: its place in what was given.
        equilibrium: where it came to rest, or why it did not; ``None`` if it could not begin.
        sensitivity: its derivatives, where they were asked for.
        failure: why there is no equilibrium.
    """

    index: int
    equilibrium: Equilibrium | None
    sensitivity: Sensitivity | None
    failure: str | None = None


@dataclass
class _Task:
    """A system on its way: what is known of it, and what it is heading for."""

    index: int
    system: System
    spacing: float
    extent: float
    position: np.ndarray
    history: list[tuple[int, float, float]]
    top: float = 0.0
    target: float = 0.0
    best: float = np.inf
    best_step: int = 0
    criterion: str = ""

    @property
    def done(self) -> int:
        """Steps made."""
        return self.history[-1][0] if self.history else 0

    @property
    def force(self) -> float:
        """The largest force where it stands."""
        return self.history[-1][2]

    @property
    def max_move(self) -> float:
        """The largest displacement of a particle in a step."""
        return 0.1 * self.spacing

    @property
    def skin(self) -> float:
        """How much further than the interaction its lists look."""
        return thresholds.skin_for(self.position.shape, self.spacing, self.max_move)

    @property
    def floor(self) -> float:
        """The largest force that rounding alone can make."""
        return thresholds.rounding(self.position.dtype, self.top, self.extent)


class Rounds:
    """The stack, who stands in it, who waits and who is about to finish."""

    def __init__(
        self,
        members: list[System],
        optimizer: str,
        fmax: float,
        steps: int,
        names: tuple[str, ...] | None,
        size: int,
    ) -> None:
        self.optimizer, self.fmax, self.steps, self.names = optimizer, fmax, steps, names
        self.refused: list[Member] = []
        self.alone: list[_Task] = []
        self.waiting: deque[_Task] = deque()
        for index, member in enumerate(members):
            try:
                task = _task(index, member)
                far = np.abs(image_table.wrap(member.structure, task.position)[1]).max(initial=0)
                (self.alone if far > FAR else self.waiting).append(task)
            except REFUSALS as error:
                self.refused.append(Member(index, None, None, str(error)))
        self.finishing: list[_Task] = []
        self.places: list[_Task | None] = [None] * size
        self.stack = stacked.stack(members[:1] * size)
        self.finishers = stacked.stack(members[:1] * -(-size // AT_ONCE))
        rows = [descent.at_rest(position) for position in self.stack.position]
        self.motion = jax.tree.map(lambda *values: np.stack(values), *rows)
        self.neighbors: Any = None
        self.skin, self.chunk, self.rounds = 0.0, FIRST_STEPS, 0

    def run(self) -> Iterator[Member]:
        """Round after round, until everybody is done; derivatives are taken beside the rounds."""
        yield from self.refused
        quota, done = len(self.finishers.position), deque[Future[Member]]()
        with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1)) as beside:
            settings = _settings()
            done += [beside.submit(self._member, task, settings) for task in self.alone]
            while self.waiting or self.finishing or any(self.places):
                ended = self._fill()
                if any(self.places):
                    ended += self._step()
                idle = not any(self.places)
                if self.finishing and (idle or len(self.finishing) >= quota):
                    group, self.finishing = self.finishing[:quota], self.finishing[quota:]
                    ended += self._finish(group) if self.dense else group
                done += [beside.submit(self._member, task, settings) for task in ended]
                while done and (done[0].done() or len(done) > len(self.places)):
                    yield done.popleft().result()
            while done:
                yield done.popleft().result()

    @property
    def dense(self) -> bool:
        """Whether Newton's steps go by dense matrices, several systems at a time."""
        return self.stack.position[0].size <= DENSE_LIMIT

    def _fill(self) -> list[_Task]:
        """Let those who wait take the free places, once a quarter of the places is free."""
        free = [k for k, task in enumerate(self.places) if task is None]
        if not self.waiting or AT_ONCE * len(free) < len(self.places):
            return []
        for place in free[: len(self.waiting)]:
            task = self.places[place] = self.waiting.popleft()
            self.stack.put(place, task.system.with_position(task.position))
            start = jax.tree.leaves(descent.at_rest(task.position, task.done))
            for rows, value in zip(jax.tree.leaves(self.motion), start):
                rows[place] = value
        self.reach = stacked.reach(self.stack)
        self.skin = max(task.skin for task in self.places if task)
        self.chunk = FIRST_STEPS
        self._list()
        return self._survey()

    def _list(self) -> None:
        self.neighbors = stacked.list_neighbors(self.stack, self.reach, self.skin)

    def _survey(self) -> list[_Task]:
        """Measure everybody's curvature; who has just come must stand at a sound place."""
        stack, lost = self.stack, []
        found = stacked.survey(stack.leaves, stack.form, self.neighbors, stack.mobile)
        for place, values in enumerate(zip(*(np.asarray(part).tolist() for part in found))):
            task, (energy, force, top) = self.places[place], values
            if task is None:
                continue
            if not task.history:
                task.history.append((0, energy, force))
                if not np.isfinite(values).all():
                    lost.append(task)  # which ``relax`` will refuse, with the reason
                    self.places[place] = None
                    continue
            if top > 0 or not task.top:
                task.top = top or force / task.max_move or 1.0
            number = len(task.position)
            target = thresholds.newton_target(self.fmax, task.top, task.spacing, number)
            task.target = min(task.target or target, target)
        self.rounds = 0
        return lost

    def _step(self) -> list[_Task]:
        """A round of steps; who has arrived, or will not, leaves the stack."""
        stack, places = self.stack, self.places
        bounds = np.array([self._bounds(task) for task in places]).T
        top, target, max_move = bounds[:3].astype(stack.position.dtype)
        given = (top, target, max_move, bounds[3].astype(np.int32))
        before = self.motion.steps
        moved, energies = stacked.advance(
            stack.leaves, stack.form, self.neighbors, self.motion, stack.mobile, given,
            self.optimizer,
        )  # fmt: skip
        self.motion = jax.tree.map(np.array, moved)
        energies = np.asarray(energies)
        ended: list[_Task] = []
        busy: list[int] = []
        for place, task in enumerate(places):
            if task is None:
                continue
            energy, force = float(energies[place]), float(self.motion.max_force[place])
            if np.isfinite(energy) and np.isfinite(force):
                task.position = self.motion.position[place].copy()
                task.history.append((int(self.motion.steps[place]), energy, force))
                task.criterion = self._verdict(task)
            else:
                task.criterion = "the forces became infinite or not a number"
            if not task.criterion:
                busy.append(place)
                continue
            places[place] = None
            (self.finishing if task.criterion == NEAR else ended).append(task)
        stack.position[:] = self.motion.position
        self.rounds += 1
        if busy:
            self._adapt((self.motion.steps - before)[busy], self.motion.stale[busy])
        return ended

    def _bounds(self, task: _Task | None) -> tuple[float, float, float, int]:
        if task is None:
            return 1.0, np.inf, 1.0, 0
        return task.top, task.target, task.max_move, min(self.chunk, self.steps - task.done)

    def _verdict(self, task: _Task) -> str:
        """Why a system leaves the stack; empty if it does not."""
        force = task.force
        if force <= self.fmax:
            return "max force <= fmax"
        if force <= task.target:
            return NEAR
        if self.fmax < task.floor and force < 100 * task.floor:
            return ALONE
        if task.done >= self.steps:
            return f"the budget of {self.steps} steps was spent"
        if force < 0.99 * task.best:
            task.best, task.best_step = force, task.done
        elif task.done - task.best_step > run.PATIENCE:
            return f"stalled: no progress in {run.PATIENCE} steps"
        return ""

    def _adapt(self, made: np.ndarray, stale: np.ndarray) -> None:
        """As many steps a round as most lists serve; lists renewed where one is used up."""
        if not stale.any():
            self.chunk = min(2 * self.chunk, MOST_STEPS)
        else:
            typical = float(np.median(made))
            self.chunk = int(np.clip(1.5 * typical, FIRST_STEPS, MOST_STEPS))
            self._list()
        if self.rounds in SURVEYED:
            self._survey()

    def _finish(self, group: list[_Task]) -> list[_Task]:
        """Newton steps for a group; who is not at rest then goes back among those who wait."""
        stack = self.finishers
        padded = group + group[:1] * (len(stack.position) - len(group))
        for place, task in enumerate(padded):
            stack.put(place, task.system.with_position(task.position))
        skin = max(task.skin for task in group)
        neighbors = stacked.list_neighbors(stack, stacked.reach(stack), skin)
        bounds = [(task.floor, task.max_move, self.steps - task.done) for task in padded]
        floor, max_move, budget = np.array(bounds).T
        dtype = stack.position.dtype
        given = (floor.astype(dtype), max_move.astype(dtype), budget.astype(np.int32))
        found = stacked.finish(stack.leaves, stack.form, neighbors, stack.mobile, given)
        found = jax.tree.map(np.asarray, found)
        ended = []
        for place, task in enumerate(group):
            taken = int(found.taken[place])
            if taken:
                task.position = found.position[place].copy()
                row = (task.done + taken, float(found.energy[place]), float(found.max_force[place]))
                task.history.append(row)
            if task.force <= self.fmax:
                task.criterion = "max force <= fmax, by Newton steps"
                ended.append(task)
            elif task.done >= self.steps:
                task.criterion = f"the budget of {self.steps} steps was spent"
                ended.append(task)
            elif found.stale[place]:
                self.finishing.append(task)
            else:
                task.target = max(task.force / 10, self.fmax)
                self.waiting.appendleft(task)
        return ended

    def _member(self, task: _Task, settings: dict[str, Any]) -> Member:
        """What is handed out, differentiated."""
        with _with_settings(**settings):
            try:
                equilibrium = self._equilibrium(task)
            except REFUSALS as error:
                return Member(task.index, None, None, str(error))
            if self.names is None:
                return Member(task.index, equilibrium, None)
            return Member(task.index, equilibrium, sensitivity(equilibrium, self.names))

    def _equilibrium(self, task: _Task) -> Equilibrium:
        """The record of the run, as ``relax`` gives it."""
        if not task.history:
            return relaxation.relax(task.system, self.optimizer, self.fmax, self.steps, throw=False)
        system = task.system.with_position(task.position)
        ended = Equilibrium(
            system=system,
            energy=task.history[-1][1],
            max_force=task.force,
            iterations=task.done,
            converged=task.force <= self.fmax,
            criterion=task.criterion,
            fmax=self.fmax,
            optimizer=self.optimizer,
            start=np.asarray(task.system.structure.position),
            history=np.array(task.history),
        )
        if task.criterion not in ("", NEAR, ALONE):
            return ended
        # What cannot begin or arrive is refused here, with its reason; large ones are finished.
        left = self.steps - task.done
        rest = relaxation.relax(system, self.optimizer, self.fmax, left, throw=False)
        history = rest.history + np.array([task.done, 0, 0])
        return replace(
            rest,
            iterations=task.done + rest.iterations,
            start=ended.start,
            history=np.concatenate([ended.history, history[1:]]),
        )


def _task(index: int, system: System) -> _Task:
    check(system.structure)
    systems.check_range(system)
    position = np.array(system.structure.position)
    spacing = space.spacing(system.structure)
    extent = max(float(np.ptp(position, axis=0).max()), 0.1 * spacing)
    return _Task(index, system, spacing, extent, position, [])


def _settings() -> dict[str, Any]:
    """Those of JAX that a ``with`` may have changed, which another thread would not see."""
    known: Any = jax.config
    return {
        "x64": known.jax_enable_x64,
        "promotion": known.jax_numpy_dtype_promotion,
        "device": known.jax_default_device,
    }


@contextlib.contextmanager
def _with_settings(x64: bool, promotion: str, device: Any) -> Iterator[None]:
    face: Any = jax  # older versions of JAX have it elsewhere
    enable_x64 = face.enable_x64 if hasattr(jax, "enable_x64") else face.experimental.enable_x64
    with enable_x64(x64), jax.numpy_dtype_promotion(promotion), jax.default_device(device):
        yield
