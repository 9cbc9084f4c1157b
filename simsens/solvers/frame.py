r"""What a step of an algorithm is given: the unknowns as one real vector, and :math:`\theta`.

Algorithms are written for vectors; the user's functions take trees. The frame stands between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from simsens.implicit.ravel import Unravel, ravel


@dataclass(frozen=True)
class Frame:
    """How a vector becomes x again, and the arguments that go with it.

    Attributes:
        unravel: ``vector -> x``.
        args: theta.
    """

    unravel: Unravel
    args: tuple[Any, ...]

    def value(self, fun: Callable[..., Any]) -> Callable[[Any], Any]:
        """``vector -> fun(x, *args)``, one real number.

        Raises:
            ValueError: when called: ``fun`` returns something else.
        """

        def objective(point: Any) -> Any:
            found = fun(self.unravel(point), *self.args)
            if jnp.shape(found) != () or jnp.iscomplexobj(found):
                raise ValueError(
                    "the objective must return one real number, found shape"
                    f" {jnp.shape(found)} of {jnp.result_type(found)}; sum it up"
                )
            return jnp.asarray(found, point.dtype)

        return objective

    def slope(self, fun: Callable[..., Any]) -> Callable[[Any], tuple[Any, Any]]:
        """``vector -> (fun, its gradient)``."""
        return jax.value_and_grad(self.value(fun))

    def image(self, mapping: Callable[..., Any], *options: Any) -> Callable[..., Any]:
        """``vector -> F(x, *args)`` as a vector, of a mapping of trees to trees like x.

        Raises:
            ValueError: when called: the mapping returns another number of numbers.
        """

        def mapped(point: Any) -> Any:
            found = ravel(mapping(self.unravel(point), *self.args, *options))[0]
            if found.shape != point.shape:
                raise ValueError(
                    f"the mapping must return as many numbers as x holds, {point.size}, found"
                    f" {found.size}"
                )
            return found.astype(point.dtype)

        return mapped
