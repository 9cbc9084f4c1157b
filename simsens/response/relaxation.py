r"""Relax a structure: move the particles until the force on each is at most ``fmax``.

The steps are those of FIRE or of another of the ``optimizers`` (``descent``). This driver decides
when to stop and says why: converged, out of steps, stalled, not a number, or asked to. It renews
the list of neighbours when a particle has moved half its skin, and bounds the largest move of a
particle.

Tight tolerances are reached by Newton's method once FIRE is near (``newton``), through the same
linear solver as the sensitivities; where it does not pay, FIRE goes on.
"""

from __future__ import annotations

from typing import Any

from simsens.particles import system as systems
from simsens.particles.structure import mobile_mask
from simsens.particles.system import System
from simsens.response import optimizers
from simsens.response.equilibrium import Equilibrium, NotConverged
from simsens.response.record import Record, State
from simsens.response.run import Progress, Run, UnreachableTolerance

__all__ = ["UnreachableTolerance", "mobile_mask", "relax"]


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
    record: Record | None = None,
    resume: State | None = None,
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
        record: takes frames and states as the run goes, such as ``io.record``; the run takes
            the same steps with it and without.
        resume: a state that such a record has kept. The run goes on from there, to the result it
            would have had if it had never stopped; everything else must be as it was.

    Returns:
        The equilibrium, which says by which criterion the run ended.

    Raises:
        ValueError: arguments that make no sense, or a state of another system.
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
    if max_move is not None and not max_move > 0:
        raise ValueError(f"max_move must be a positive length; got {max_move}")
    if systems.is_traced(system):
        raise TypeError(
            "relax needs values, not traced arrays: use relaxed inside jit, vmap and grad"
        )
    if fixed is not None:
        system = System(system.structure.with_fixed(fixed), system.potential)
    run = Run(system, optimizer, fmax, steps, max_move, solver, progress, record)
    ended = run.descend() if resume is None else run.go_on(resume)
    equilibrium = run.equilibrium(ended)
    if throw and not equilibrium.converged:
        raise NotConverged(_advice(equilibrium, steps), equilibrium)
    return equilibrium


def _advice(equilibrium: Equilibrium, steps: int) -> str:
    cure = "more steps" if "budget" in equilibrium.criterion else "a better start or a larger fmax"
    return (
        f"not converged: {equilibrium.criterion}; max force {equilibrium.max_force:.3g} >"
        f" fmax {equilibrium.fmax:g} after {equilibrium.iterations} steps; try {cure}"
    )
