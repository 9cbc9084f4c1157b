"""Where the exact root is: two Newton steps from a point, and whether they contract."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    """Two Newton steps, the first with A at the point.

    Attributes:
        step: ``[n]`` the first.
        second: ``[n]`` the second, lengthened to what may be left after the first.
        contracts: whether the second is enough shorter to conclude from.
        error: estimated distance of the point from the root.
        solved: whether both linear solves converged.
        floor: the length of steps that rounding makes.
    """

    step: Any
    second: Any
    contracts: bool
    error: float
    solved: bool
    floor: float

    def with_second(self, second: Any) -> NewtonSteps:
        """The same with another second step, which is lengthened."""
        one, two = (float(np.linalg.norm(step)) for step in (self.step, second))
        contracts, scale = _contraction(one, two, self.floor)
        return replace(self, second=scale * second, contracts=contracts, error=one + scale * two)


def newton_steps(root: PreparedRoot) -> NewtonSteps:
    """Take both steps with the factors at hand; the second is scaled to bound what is left."""
    first = root.solve(-root.linear.residual)
    there = compiled.run(_residual_at, (root.equation,), root.linear, first.value)
    second = root.solve(-there)
    eps = float(jnp.finfo(first.value.dtype).eps)
    floor = 1e3 * eps * float(jnp.linalg.norm(ravel(root.linear.x)[0]))
    solved = bool(first.converged) and bool(second.converged)
    return NewtonSteps(first.value, second.value, False, 0.0, solved, floor).with_second(
        second.value
    )


def _contraction(one: float, two: float, floor: float) -> tuple[bool, float]:
    """Whether two steps of such lengths contract, and what to lengthen the second by."""
    ratio = two / one if one > 0 else 0.0
    # Steps at the level of rounding do not contract any more, and need not.
    contracts = bool(np.isfinite(one) and (ratio < CONTRACTS or one <= floor))
    return contracts, 1 / (1 - 2 * ratio) if ratio < CONTRACTS else 1.0


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
