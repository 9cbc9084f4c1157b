r"""Many systems of one shape, relaxed and differentiated together on one device.

A stack of places is filled with systems, which come and go (``rounds``). Small systems are
factorised there as a batch; the derivatives and their certificates are those of ``sensitivity``,
for each system by itself and several at a time.

As many places are made as keep the device busy and its memory at most half full.

A random start is chaotic: which minimum it falls into may depend, through rounding, on who shares
the stack. Whatever minimum is reached carries its own evidence.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import jax

from simsens.implicit.linear_solve.dense import DENSE_LIMIT
from simsens.particles import parameters
from simsens.particles.system import System
from simsens.response import cost, optimizers, stacked
from simsens.studies.rounds import AT_ONCE, Member, Rounds

BUSY = {"cpu": 8_000, "gpu": 1_000_000}  # particles that keep a device busy
MEMORY_SHARE = 0.5  # of what is free

log = logging.getLogger("simsens")


def relax_batch(
    systems: Iterable[System],
    optimizer: str = "fire",
    fmax: float = 1e-10,
    steps: int = 100_000,
    *,
    wrt: str | Iterable[str] | None = None,
    derivatives: bool = True,
    size: int | None = None,
) -> Iterator[Member]:
    """Relax systems of one shape together, and differentiate each with respect to ``wrt``.

    Args:
        systems: as many particles, the same kind of potential, names and boundary each; positions,
            boxes, parameters and fixed particles differ as they like.
        optimizer: as of ``relax``.
        fmax: largest force on any free particle.
        steps: the budget of each.
        wrt: names of parameters, as of ``sensitivity``; ``None`` for all.
        derivatives: whether they are wanted.
        size: how many stand side by side; by default as many as keep the device busy and fit.

    Yields:
        A ``Member`` for each system, in the order in which they are done. One that does not
        converge, or cannot begin, says so and leaves the others alone.

    Raises:
        DifferentShapes: the systems cannot stand side by side.
        UnknownParameter: listing the known ones.

    Example:
        >>> from simsens.particles.packing import packing
        >>> packings = [packing(number=12, seed=seed) for seed in range(3)]
        >>> done = list(relax_batch(packings, wrt="diameter[B]"))
        >>> sorted(member.index for member in done)
        [0, 1, 2]
        >>> all(member.equilibrium.max_force <= 1e-10 for member in done)
        True
    """
    members = list(systems)
    optimizers.check(optimizer, members[0] if members else None)
    if not fmax > 0 or steps < 0 or (size is not None and size < 1):
        raise ValueError(
            f"fmax and size must be positive and steps not negative; got {fmax}, {size} and {steps}"
        )
    if not members:
        return iter(())
    for number, member in enumerate(members):
        stacked.check_alike(members[0], member, number)
    names = parameters.select(members[0].fields, wrt) if derivatives else None
    size = min(len(members), size or places(members[0]))
    return Rounds(members, optimizer, fmax, steps, names, size).run()


def places(system: System) -> int:
    """How many systems like this keep the device busy, within the memory that is free."""
    number, dimension = system.structure.number, system.structure.dimension
    device = jax.local_devices()[0]
    busy = BUSY["cpu" if device.platform == "cpu" else "gpu"]
    # Rows of some 30 neighbours with a dozen numbers each; a quarter of them has matrices, thrice.
    row, unknowns = 30 * 12 * 8, number * dimension
    matrices = 3 * 8 * unknowns**2 / AT_ONCE if unknowns <= DENSE_LIMIT else 0
    free, each = cost.free_memory(), number * row + matrices
    chosen = max(1, int(min(MEMORY_SHARE * free / each, busy // number)))
    log.info(
        "batches of %d systems: %.3g of %.3g GB free, %.3g MB each",
        chosen, chosen * each / 1e9, free / 1e9, each / 1e6,
    )  # fmt: skip
    return chosen
