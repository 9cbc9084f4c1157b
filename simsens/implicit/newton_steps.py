"""Where the exact root is: two Newton steps from a point, and whether they contract."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
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
        taken: ``[n]`` the second.
        solved: whether both linear solves converged.
        floor: the length of steps that rounding makes.
    """

    step: Any
    taken: Any
    solved: bool
    floor: float

    @cached_property
    def _lengths(self) -> tuple[float, float]:
        return float(np.linalg.norm(self.step)), float(np.linalg.norm(self.taken))

    @cached_property
    def _ratio(self) -> float:
        one, two = self._lengths
        return two / one if one > 0 else 0.0

    @property
    def _longer(self) -> float:
        """What to lengthen the second by, to what may be left after the first."""
        return 1 / (1 - 2 * self._ratio) if self._ratio < CONTRACTS else 1.0

    @property
    def second(self) -> Any:
        """``[n]`` the second, lengthened to what may be left after the first."""
        return self._longer * self.taken

    @property
    def contracts(self) -> bool:
        """Whether the second is enough shorter to conclude from."""
        one, two = self._lengths
        # Steps at the level of rounding do not contract any more, and need not.
        shorter = self._ratio < CONTRACTS or one <= self.floor
        return bool(np.isfinite(one) and np.isfinite(two) and shorter)

    @property
    def error(self) -> float:
        """The estimated distance of the point from the root."""
        one, two = self._lengths
        return one + self._longer * two


def newton_steps(root: PreparedRoot) -> NewtonSteps:
    """Take both steps with the factors at hand."""
    first = root.solve(-root.linear.residual)
    there = compiled.run(_residual_at, (root.equation,), root.linear, first.value)
    second = root.solve(-there)
    eps = float(jnp.finfo(first.value.dtype).eps)
    floor = 1e3 * eps * float(jnp.linalg.norm(ravel(root.linear.x)[0]))
    solved = bool(first.converged) and bool(second.converged)
    return NewtonSteps(first.value, second.value, solved, floor)


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
