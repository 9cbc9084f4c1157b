r"""Systems of one shape side by side: lists, steps and Newton's finish of all of them at once.

Every function is the one of a single system under ``vmap``, compiled for so many members. A member
that is done, or whose list does not hold, rests until the others of its round are; who comes and
who goes is decided elsewhere (``studies.rounds``).

Newton's steps are ``newton``'s, with the same rule for what a step must gain. Matrices are small,
factorised densely (Cholesky) and anew in each step:

.. math:: (H + \mu)\, p = f, \qquad \mu = 10^{-10} \lambda_{\max} .

The forces of a system without outer field have no component along its rigid motions, so that these
need no other care than the shift.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import cho_solve

from simsens.particles import cell_list, list_shapes, space
from simsens.particles import neighbors as neighbor_lists
from simsens.particles import system as systems
from simsens.particles.neighbors import NeighborList
from simsens.particles.potentials import EnergyFunction, HarmonicBonds
from simsens.particles.structure import InvalidStructure, mobile_mask
from simsens.particles.system import System
from simsens.response import descent, hessian, newton


class DifferentShapes(ValueError):
    """Systems that cannot stand side by side."""


@dataclass
class Stack:
    """Systems of one shape, a leading axis over all their numbers.

    Attributes:
        leaves: arrays ``[member, ...]``, the positions first.
        form: the tree they belong to.
        mobile: ``[member, particle]`` mask of those that move.
        slots: length of the rows of the last lists.
        capacity: members of a strip of cells that were looked at.
    """

    leaves: list[np.ndarray]
    form: Any
    mobile: np.ndarray
    slots: int = 12
    capacity: int = 24

    @property
    def position(self) -> np.ndarray:
        """``[member, particle, dimension]``."""
        return self.leaves[0]

    def system(self, place: int) -> System:
        """The system in a place."""
        return self.form.unflatten([leaf[place] for leaf in self.leaves])

    def put(self, place: int, system: System) -> None:
        """Let a system take the place of another."""
        for leaf, value in zip(self.leaves, jax.tree.leaves(system)):
            leaf[place] = value
        self.mobile[place] = mobile_mask(system.structure)


def stack(members: list[System]) -> Stack:
    """Put systems side by side; ``DifferentShapes`` where they do not fit.

    Raises:
        DifferentShapes: naming the first that differs from the first of all.
    """
    for k, member in enumerate(members[1:], 1):
        check_alike(members[0], member, k)
    dtype = np.asarray(members[0].structure.position).dtype

    def array(value: Any) -> np.ndarray:  # a plain number has no precision of its own
        return np.asarray(value, dtype if isinstance(value, float) else None)

    columns = zip(*(jax.tree.leaves(member) for member in members))
    leaves = [np.stack([array(value) for value in column]) for column in columns]
    mobile = np.stack([mobile_mask(member.structure) for member in members])
    return Stack(leaves, jax.tree.structure(members[0]), mobile)


def check_alike(first: System, other: System, number: int) -> None:
    """Refuse a system that cannot stand beside the first.

    Raises:
        DifferentShapes: telling what differs.
    """
    ours, theirs = ([np.shape(leaf) for leaf in jax.tree.leaves(s)] for s in (first, other))
    forms: list[Any] = [jax.tree.structure(s) for s in (first, other)]
    if ours[:1] != theirs[:1]:
        raise DifferentShapes(
            "the systems of a batch need as many particles each; system 0 has"
            f" {first.structure.number} and system {number} {other.structure.number}: make a batch"
            " of each size"
        )
    if ours != theirs or forms[0] != forms[1]:
        raise DifferentShapes(
            "the systems of a batch need the same kind of potential, the same names of parameters"
            f" and species, boxes and boundaries alike; system {number} differs from system 0"
        )


def reach(stack: Stack) -> Any:
    """``[member, species, species]`` how far the potential reaches; ``None`` if not by distance."""
    system = stack.system(0)
    if isinstance(system.potential, (EnergyFunction, HarmonicBonds)):
        return None
    found = np.asarray(_reach(stack.leaves, stack.form))
    return found if np.isfinite(found).all() else None


def list_neighbors(stack: Stack, reach: Any, skin: float) -> NeighborList | None:
    """The lists of all members, ``[member, ...]``, complete.

    Args:
        stack: the systems.
        reach: from the function of this name.
        skin: how much further to look.
    """
    if reach is None:
        return _lists_without_skin(stack.leaves, stack.form)
    first, count = stack.system(0).structure, len(stack.position)
    box = None if first.box is None else stack.leaves[2]
    stencil = cell_list.stencil_for(box, first.boundary, float(reach.max()) + skin)
    if box is None:
        box = np.broadcast_to(np.eye(first.dimension), (count, first.dimension, first.dimension))
    position, species = np.asarray(stack.position, float), stack.leaves[1]
    given = (position, species, np.asarray(box, float), reach + skin, first.boundary, stencil)
    while True:
        found = cell_list.fill(*given, stack.capacity, stack.slots)
        members, longest = int(np.max(found.members)), int(np.max(found.count))
        if np.any(found.far):
            place = int(np.argmax(found.far))
            raise InvalidStructure(
                f"particles of system {place} lie more than a hundred boxes from their box: wrap"
                " the positions"
            )
        if members <= stack.capacity and longest <= stack.slots:
            break
        stack.capacity = max(stack.capacity, list_shapes.rounded(members))
        stack.slots = max(stack.slots, list_shapes.rounded(longest))
    return NeighborList(
        index=found.index, shift=found.shift, mask=found.mask, bond=None,
        reference=stack.position.copy(), skin=np.full(count, skin), valid=np.ones(count, bool),
        upright=neighbor_lists.is_upright(given[2]),
    )  # fmt: skip


@partial(jax.jit, static_argnames="form")
def _reach(leaves: Any, form: Any) -> Any:
    def of(leaves: Any) -> Any:
        system = form.unflatten(leaves)
        names = system.structure.species_names
        reach = system.potential.reach(system.potential.tables(names))
        return jnp.broadcast_to(jnp.asarray(reach, float), (len(names),) * 2)

    return jax.vmap(of)(leaves)


@partial(jax.jit, static_argnames="form")
def _lists_without_skin(leaves: Any, form: Any) -> Any:
    return jax.vmap(lambda leaves: systems.list_neighbors(form.unflatten(leaves)))(leaves)


@partial(jax.jit, static_argnames="form")
def survey(leaves: Any, form: Any, neighbors: Any, mobile: Any) -> tuple[Any, Any, Any]:
    """Energies, largest forces and largest curvatures, ``[member]``."""

    def of(leaves: Any, neighbors: Any, mobile: Any) -> Any:
        system = form.unflatten(leaves)
        energy, _, size = _visit(system, neighbors, mobile, system.structure.position)
        return energy, size, hessian.largest_curvature(system, neighbors, mobile)

    return jax.vmap(of)(leaves, neighbors, mobile)


@partial(jax.jit, static_argnames=("form", "optimizer"))
def advance(
    leaves: Any, form: Any, neighbors: Any, motion: Any, mobile: Any, bounds: Any, optimizer: str
) -> tuple[descent.Motion, Any]:
    """Some steps of every member, and the energies they lead to.

    Args:
        leaves: of the stack; their positions are not read.
        form: of the stack.
        neighbors: the lists.
        motion: where the members stand.
        mobile: the masks.
        bounds: ``[member]`` each: largest curvature, force to stop at, largest move, budget.
        optimizer: as of ``relax``.
    """

    def of(leaves: Any, neighbors: Any, motion: Any, mobile: Any, bounds: Any) -> Any:
        system = form.unflatten(leaves)
        top, target, max_move, budget = bounds
        steps = descent.Descent(system, mobile, top, target, max_move, optimizer)
        moved = steps.advance(neighbors, motion, budget)
        return moved, systems.energy(system.with_position(moved.position), neighbors)

    return jax.vmap(of)(leaves, neighbors, motion, mobile, bounds)


@dataclass(frozen=True)
class Finished:
    """Where Newton's method has led; a frozen pytree.

    Attributes:
        position: ``[particle, dimension]``.
        energy: there.
        max_force: there.
        taken: steps that were made.
        stale: whether it would have gone on with a new list.
    """

    position: Any
    energy: Any
    max_force: Any
    taken: Any
    stale: Any


jax.tree_util.register_dataclass(
    Finished, data_fields=["position", "energy", "max_force", "taken", "stale"], meta_fields=[]
)


@partial(jax.jit, static_argnames="form")
def finish(leaves: Any, form: Any, neighbors: Any, mobile: Any, bounds: Any) -> Finished:
    """Newton steps of every member for as long as they pay; see ``newton.finish``.

    Args:
        leaves: of the stack.
        form: of the stack.
        neighbors: the lists.
        mobile: the masks.
        bounds: ``[member]`` each: smallest force to go on at, largest move, budget.
    """

    def of(leaves: Any, neighbors: Any, mobile: Any, bounds: Any) -> Finished:
        return _finish(form.unflatten(leaves), neighbors, mobile, *bounds)

    return jax.vmap(of)(leaves, neighbors, mobile, bounds)


def _visit(system: System, neighbors: Any, mobile: Any, position: Any) -> tuple[Any, Any, Any]:
    """Energy, masked force and its largest size."""
    at = system.with_position(position)
    force = jnp.where(mobile[:, None], systems.force(at, neighbors), 0)
    return systems.energy(at, neighbors), force, space.longest(force)


def _finish(
    system: System, neighbors: Any, mobile: Any, floor: Any, max_move: Any, budget: Any
) -> Finished:
    position = jnp.asarray(system.structure.position)
    visit = partial(_visit, system, neighbors, mobile)
    still = ~jnp.repeat(mobile, position.shape[1])

    def direction(position: Any, force: Any) -> Any:
        """The Newton step; not a number where the matrix is not positive definite."""
        matrix = hessian.dense(system.with_position(position), neighbors, mobile)
        top = jnp.max(jnp.sum(jnp.abs(matrix), axis=1))
        lift = jnp.where(still, 1, newton.SHIFT) * top
        factor = jnp.linalg.cholesky(matrix + jnp.diag(lift.astype(matrix.dtype)))
        return cho_solve((factor, True), force.reshape(-1)).reshape(position.shape)

    def descend(position: Any, known: Any, step: Any) -> Any:
        """The first point along the step that is low enough, and whether there is one."""
        energy, force, size = known
        promised, reach = jnp.vdot(force, step), space.longest(step)
        scale = jnp.minimum(1, max_move / jnp.where(reach > 0, reach, 1))

        def shorter(state: Any) -> Any:
            scale, *_ = state
            there = position + scale * step
            found = visit(there)
            good = newton.gains(energy, size, found[0], found[2], scale * promised)
            return jnp.where(good, scale, scale / 2), there, found, good

        first = (scale, position, known, jnp.zeros_like(going(start)))
        _, there, found, good = lax.while_loop(
            lambda s: ~s[-1] & (s[0] >= newton.SHORTEST), shorter, first
        )
        return there, found, good

    def going(state: Any) -> Any:
        _, (_, _, size), taken, slow, useful, _ = state
        more = (size > floor) & (taken < jnp.minimum(budget, newton.MOST))
        return more & (slow < newton.PATIENCE) & useful

    def body(state: Any) -> Any:
        position, known, taken, slow, _, _ = state
        _, _, size = known
        step = direction(position, known[1])
        gone = 0.0 if neighbors is None else space.longest(position - neighbors.reference)
        skin = jnp.inf if neighbors is None else neighbors.skin
        stale = gone + jnp.minimum(space.longest(step), max_move) > skin / 2
        there, found, good = descend(position, known, jnp.where(stale, jnp.nan, step))
        position, known = jax.tree.map(partial(jnp.where, good), (there, found), (position, known))
        slow = jnp.where(found[2] > 0.5 * size, slow + 1, 0)
        return position, known, taken + good, slow, good, stale

    no = jnp.asarray(False)
    start = (position, visit(position), jnp.asarray(0), jnp.asarray(0), ~no, no)
    position, (energy, _, size), taken, _, _, stale = lax.while_loop(going, body, start)
    return Finished(position, energy, size, taken, stale)
