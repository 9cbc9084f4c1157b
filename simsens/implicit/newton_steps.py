"""Where the exact root is: two Newton steps from a point, and whether they contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from simsens.implicit import compiled
from simsens.implicit.equation import Equation
from simsens.implicit.prepared import Linearised, PreparedRoot
from simsens.implicit.ravel import ravel

CONTRACTS = 0.25  # the largest ratio of two Newton steps from which a distance is concluded


@dataclass(frozen=True)
class NewtonSteps:
    """Two Newton steps, both with A at the point.

    Attributes:
        step: ``[n]`` the first.
        second: ``[n]`` the second, lengthened to what may be left after the first.
        contracts: whether the second is enough shorter to conclude from.
        error: estimated distance of the point from the root.
        solved: whether both linear solves converged.
    """

    step: Any
    second: Any
    contracts: bool
    error: float
    solved: bool


def newton_steps(root: PreparedRoot) -> NewtonSteps:
    """Take both steps with the factors at hand; the second is scaled to bound what is left."""
    first = root.solve(-root.linear.residual)
    there = compiled.run(_residual_at, (root.equation,), root.linear, first.value)
    second = root.solve(-there)
    one, two = (float(jnp.linalg.norm(s.value)) for s in (first, second))
    eps = float(jnp.finfo(first.value.dtype).eps)
    ratio = two / one if one > 0 else 0.0
    # Steps at the level of rounding do not contract any more, and need not.
    floor = 1e3 * eps * float(jnp.linalg.norm(ravel(root.linear.x)[0]))
    contracts = bool(np.isfinite(one) and (ratio < CONTRACTS or one <= floor))
    scale = 1 / (1 - 2 * ratio) if ratio < CONTRACTS else 1.0
    return NewtonSteps(
        first.value, scale * second.value, contracts, one + scale * two,
        bool(first.converged) and bool(second.converged),
    )  # fmt: skip


def vector_function(equation: Equation, linear: Linearised) -> tuple[Any, Any, Any]:
    """``F(x [n], theta [p])``, with the point and the parameters as vectors."""
    point, unravel = ravel(linear.x)
    flat, unravel_theta = ravel(linear.theta)

    def residual(point: Any, flat: Any) -> Any:
        args, kwargs = unravel_theta(flat)
        return equation.residual(point, args, kwargs, unravel)

    return residual, point, flat


def _residual_at(functions: tuple[Equation], linear: Linearised, step: Any) -> Any:
    residual, point, flat = vector_function(functions[0], linear)
    return residual(point + step, flat)
