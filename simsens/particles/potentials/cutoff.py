r"""Ends of long-ranged pair laws: truncated, shifted, or switched off smoothly.

``smooth`` multiplies the law by jax-md's (and HOOMD's XPLOR) switch between onset :math:`r_o` and
cutoff :math:`r_c`,

.. math:: S(r) = \frac{(r_c^2 - r^2)^2 (r_c^2 + 2 r^2 - 3 r_o^2)}{(r_c^2 - r_o^2)^3},

which is C¹: forces are continuous, the stiffness jumps at onset and cutoff. ``shift`` subtracts
the energy at the cutoff (force still jumps); ``truncate`` cuts (energy jumps).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from simsens.particles.potentials.errors import InvalidPotential

MODES = ("smooth", "shift", "truncate")


def check(cutoff: float | None, onset: float | None, mode: str) -> None:
    """Refuse an end that is none.

    Raises:
        InvalidPotential: unknown mode, or onset and cutoff out of order.
    """
    if mode not in MODES:
        raise InvalidPotential(f"unknown mode {mode!r} of the cutoff; known are {', '.join(MODES)}")
    for name, length in (("cutoff", cutoff), ("onset", onset)):
        if length is not None and not isinstance(length, (int, float)):
            raise InvalidPotential(f"the {name} must be one length; got {length!r}")
    if cutoff is not None and not cutoff > 0:
        raise InvalidPotential(f"the cutoff must be a positive length; got {cutoff}")
    if onset is not None and cutoff is None:
        raise InvalidPotential("an onset needs a cutoff")
    if onset is not None and cutoff is not None and not 0 < onset < cutoff:
        raise InvalidPotential(f"the onset must lie between 0 and the cutoff {cutoff}; got {onset}")


def reach(cutoff: float | None) -> float:
    """How far the interaction goes."""
    return math.inf if cutoff is None else cutoff


def apply(
    law: Callable[[Any], Any], r: Any, cutoff: float | None, onset: float | None, mode: str
) -> Any:
    """The law ``law(r)`` ended at the cutoff; onset is 0.9 of the cutoff when not given."""
    if cutoff is None:
        return law(r)
    inside = r < cutoff
    if mode == "shift":
        ended = law(r) - law(jnp.full_like(r, cutoff))
    elif mode == "truncate":
        ended = law(r)
    else:
        begin = 0.9 * cutoff if onset is None else onset
        rr, cc, oo = r * r, cutoff**2, begin**2
        switch = (cc - rr) ** 2 * (cc + 2 * rr - 3 * oo) / (cc - oo) ** 3
        ended = law(r) * jnp.where(r < begin, 1.0, switch)
    return jnp.where(inside, ended, 0.0)
