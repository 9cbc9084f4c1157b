r"""The minimum as a differentiable function of the system.

``relaxed(system)`` is the system at rest. Its derivative is that of the implicit function theorem
(``implicit.root``), never that of the steps that led there, so it composes with ``jax.grad``,
``jacfwd``, ``hessian``, ``jit`` and ``vmap``:

    jax.grad(lambda d: pressure(relaxed(system.replace_parameters({"diameter[B]": d}))))(0.6)

costs one relaxation and one linear solve, however many parameters there are.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from simsens.implicit.linear_solve import LinearSolution, automatic, solve_cg
from simsens.implicit.root import implicit_root
from simsens.implicit.structure import Declared
from simsens.particles import contacts, space
from simsens.particles import neighbors as neighbor_lists
from simsens.particles import system as systems
from simsens.particles.neighbors import NeighborList
from simsens.particles.potentials import EnergyFunction
from simsens.particles.structure import Structure
from simsens.particles.system import System
from simsens.response import descent, hessian
from simsens.response.curvature import method_for
from simsens.response.factored import dense_solver, sparse_solver
from simsens.response.relaxation import relax


def relaxed(
    system: System,
    optimizer: str = "fire",
    fmax: float = 1e-10,
    steps: int = 100_000,
    *,
    fixed: Any = None,
) -> System:
    """The system at rest, differentiable in its potential, its box and its fixed particles.

    Args:
        system: may be traced. Positions start the relaxation; those of mobile particles get no
            derivative.
        optimizer: as of ``relax``.
        fmax: largest force on any free particle; tight, since the derivative needs it.
        steps: the budget.
        fixed: indices or mask of particles that do not move; the structure's own by default.

    Returns:
        The system at the minimum. Under ``jit`` and ``vmap``, where nothing can be raised, a
        structure that does not converge has NaN positions. A derivative whose linear solve fails,
        or at a saddle that a factor of the Hessian or conjugate gradients meet, is NaN.

    Raises:
        NotConverged: outside ``jit`` and ``vmap``, with the state that was reached.
        TooManyPairs: under ``jit`` or ``vmap``, which take all pairs, of some 5,000 particles.

    Example:
        >>> from simsens.particles.observables import distance
        >>> from simsens.particles.potentials import LennardJones
        >>> start = Structure([[0.0, 0.0, 0.0], [1.2, 0.0, 0.0]])
        >>> length = lambda sigma: distance(relaxed(System(start, LennardJones(sigma))), 0, 1)
        >>> round(float(jax.grad(length)(1.0)), 6)  # r = 2^(1/6) sigma
        1.122462
    """
    if fixed is not None:
        system = System(system.structure.with_fixed(fixed), system.potential)
    held = lax.stop_gradient(system)
    if systems.is_traced(held):
        position = _descend(held, optimizer, fmax, steps)
    else:
        position = jnp.asarray(relax(held, optimizer, fmax, steps).position)
    at_rest = held.with_position(position)
    return system.with_position(_attach(system, position, systems.list_neighbors(at_rest)))


@jax.jit
def _attach(system: System, position: Any, neighbors: NeighborList | None) -> Any:
    """The positions with the derivative of the implicit function theorem."""
    held = lax.stop_gradient(system).with_position(position)
    still = contacts.rattlers(held, neighbors)
    if system.structure.fixed is not None:
        still = still | jnp.asarray(system.structure.fixed)
    mobile = ~still
    shape = position.shape

    def optimality(x: Any, theta: System) -> Any:
        # Fixed particles follow their given positions; the force on them is nobody's business.
        there = jnp.where(_fixed(theta.structure), jnp.asarray(theta.structure.position), x)
        force = systems.force(theta.with_position(there), neighbors)
        return jnp.where(mobile[:, None], -force, 0)

    product = hessian.operator(held, neighbors, mobile)

    def apply(v: Any) -> Any:
        return product(v.reshape(shape)).reshape(-1)

    top = hessian.largest_curvature(held, neighbors, mobile)
    null = hessian.confirmed(hessian.rigid_modes(held.structure, mobile), apply, top)
    method = "any" if neighbors is None else method_for(held)
    if neighbors is not None and method in _FACTORED:
        solve = _FACTORED[method](held, neighbors, mobile, null, top)
    else:
        smooth = hessian.preconditioner(held, neighbors, mobile)
        # The stiffness of the pairs, stored: products by autodiff would evaluate the law each time.
        solve = partial(_solve_mobile, mobile[:, None], top, null, smooth, product)
    x = implicit_root(optimality, position, system, solve=solve, symmetric=True)
    return jnp.where(_fixed(system.structure), jnp.asarray(system.structure.position), x)


def _solve_mobile(
    mobile: Any, top: Any, null_space: Any, smooth: Any, product: Any, _: Any, b: Any
) -> LinearSolution:
    """Solve for the mobile particles; the rows of the others, which are zero, get a diagonal."""

    def lifted(v: Any) -> Any:
        return product(v) + jnp.where(mobile, 0, top * v)

    rhs = jnp.where(mobile, b, 0)
    if smooth is None:
        return _solve_minimum(lifted, rhs, null_space=null_space)
    return solve_cg(lifted, rhs, null_space=null_space, preconditioner=smooth)


_solve_minimum = automatic(Declared(symmetric=True, definite=True))
_FACTORED = {"dense": dense_solver, "sparse": sparse_solver}


def _fixed(structure: Structure) -> Any:
    if structure.fixed is None:
        return np.zeros((structure.number, 1), bool)
    return jnp.asarray(structure.fixed)[:, None]


def _descend(system: System, optimizer: str, fmax: float, steps: int) -> Any:
    """Relax inside a trace, all pairs at every step; NaN where it does not converge."""
    mobile = jnp.ones(system.structure.number, bool) & ~_fixed(system.structure)[:, 0]
    max_move = 0.1 * _spacing(system)

    def curvature(position: Any) -> Any:
        at = system.with_position(position)
        return hessian.largest_curvature(at, systems.list_neighbors(at), mobile)

    def more(state: Any) -> Any:
        motion, top, chunk, _ = state
        left = jnp.minimum(chunk, steps - motion.steps)
        made = descent.Descent(system, mobile, top, fmax, max_move, optimizer)
        motion = made.advance(None, motion, left)
        force, seen = motion.max_force, curvature(motion.position)
        going = (force > fmax) & jnp.isfinite(force) & (motion.steps < steps)
        return motion, jnp.where(seen > 0, seen, top), jnp.minimum(2 * chunk, 2000), going

    start = descent.at_rest(system.structure.position)
    chunk, going = jnp.asarray(20, jnp.int32), jnp.asarray(True)
    top = curvature(start.position)
    state = (start, jnp.where(top > 0, top, 1), chunk, going)
    motion, *_ = lax.while_loop(lambda state: state[-1], more, state)
    return jnp.where(motion.max_force <= fmax, motion.position, jnp.nan)


def _spacing(system: System) -> Any:
    structure = system.structure
    if structure.box is not None and all(structure.boundary):
        return (space.volume(structure) / structure.number) ** (1 / structure.dimension)
    if isinstance(system.potential, EnergyFunction) or structure.number < 2:
        return 1.0
    pairs = neighbor_lists.all_pairs(structure, jnp.asarray(0.0))
    d = structure.position[pairs.index] - structure.position[:, None]
    return jnp.median(jnp.min(jnp.where(pairs.mask, jnp.linalg.norm(d, axis=-1), jnp.inf), axis=1))
