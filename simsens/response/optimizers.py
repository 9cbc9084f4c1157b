"""The optimizers by name: what the loop of ``descent`` makes its steps with.

To add one, write its module and one line here; the command line, the checks and their messages read
this table. Imports nothing heavy: ``--help`` lists the names, and the steps of an optimizer are
loaded when it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple


class Optimizer(NamedTuple):
    """A line of the table.

    Attributes:
        place: ``module:function`` in this folder, the function ``Setting -> (begin, step)``.
        words: what it is, for the command line.
        of_pairs: whether it needs a potential of pairs.
    """

    place: str
    words: str
    of_pairs: bool = False


OPTIMIZERS = {
    "fire": Optimizer("fire:steps", "FIRE as in jax-md"),
    "gd": Optimizer("gradient_descent:steps", "gradient descent"),
    "fire2": Optimizer("fire2:steps", "FIRE 2.0"),
    "abc-fire": Optimizer("fire2:corrected_steps", "ABC-FIRE, its bias corrected"),
    "precon-fire": Optimizer("precon_fire:steps", "FIRE in the metric of the pairs", of_pairs=True),
}


class UnsuitableOptimizer(ValueError):
    """No optimizer of this name, or one that the system is not for."""


Steps = tuple[Callable[..., Any], Callable[..., Any]]


class Setting(NamedTuple):
    """What an optimizer may know of the descent it makes the steps of.

    Attributes:
        system: structure and potential, where the descent goes on from.
        neighbors: the list, ``None`` for energies without one or to take all pairs.
        mobile: ``[particle]`` mask of those that move.
        stiffness: the largest curvature, positive.
        max_move: the largest displacement of a particle in one step.
    """

    system: Any
    neighbors: Any
    mobile: Any
    stiffness: Any
    max_move: Any


def check(name: str, system: Any) -> None:
    """Refuse a name that is not in the table, and an optimizer that the system is not for.

    Args:
        name: of the optimizer.
        system: what it is to relax; ``None`` where there is none yet.

    Raises:
        UnsuitableOptimizer: telling what to use instead.
    """
    if name not in OPTIMIZERS:
        known = ", ".join(OPTIMIZERS)
        raise UnsuitableOptimizer(f"unknown optimizer {name!r}; known are {known}")
    if system is None:
        return
    if OPTIMIZERS[name].of_pairs and not hasattr(system.potential, "pair_energy"):
        others = [other for other, line in OPTIMIZERS.items() if not line.of_pairs]
        raise UnsuitableOptimizer(
            f"the optimizer {name!r} needs a potential of pairs, and an energy of one's own has"
            f" none: use {', '.join(others[:-1])} or {others[-1]}"
        )


def steps(name: str, setting: Setting) -> Steps:
    """``begin`` and ``step`` of an optimizer: ``(inertia, force) -> (inertia, move)`` each.

    Raises:
        UnsuitableOptimizer: as ``check``.
    """
    check(name, setting.system)
    module, function = OPTIMIZERS[name].place.split(":")
    made: Steps = getattr(importlib.import_module(f"simsens.response.{module}"), function)(setting)
    return made
