"""SciPy's minimisers and root finders, on the host, with gradients by JAX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.implicit.fixed_point import displacement
from simsens.implicit.host import on_host
from simsens.implicit.ravel import ravel
from simsens.optimality.projected_gradient import projected_gradient
from simsens.optimality.stationary import stationary
from simsens.projection.orthant_and_box import projection_box
from simsens.solvers.frame import Frame


@dataclass(frozen=True)
class ScipyMinimize:
    r"""``scipy.optimize.minimize`` on ``fun(x, *args)``.

    Attributes:
        fun: f, one real number; x is any tree.
        method: SciPy's name of a method that takes gradients and no constraints.
        bounds: ``(lower, upper)``, numbers or trees like x, for the methods that take bounds; the
            solution then satisfies the fixed point of projected gradient on the box.

    Example:
        >>> from simsens.solvers import solve
        >>> bfgs = ScipyMinimize(lambda x, theta: jnp.sum((x - theta) ** 2), bounds=(0.0, 1.0))
        >>> print(solve(bfgs, jnp.zeros(2), jnp.array([0.5, 2.0])).value)
        [0.5 1. ]
    """

    fun: Callable[..., Any]
    method: str = "L-BFGS-B"
    bounds: Any = None

    def optimality(self) -> Callable[..., Any]:
        """The gradient, or with bounds the displacement of projected gradient."""
        if self.bounds is None:
            return stationary(self.fun)
        step = projected_gradient(self.fun, lambda x, _: projection_box(x, self.bounds))
        return displacement(lambda x, *args: step(x, None, *args))

    def run(self, init: Any, args: Any, tol: float, maxiter: int) -> tuple[Any, Any]:
        """By SciPy, with ``tol`` as its gradient tolerance."""

        def solver(init: Any, *args: Any) -> Any:
            from scipy.optimize import Bounds, minimize

            x, unravel = ravel(init)
            slope = jax.jit(Frame(unravel, args).slope(self.fun))
            limits = None if self.bounds is None else Bounds(*(_like(b, init) for b in self.bounds))
            options = {"maxiter": maxiter, **_TIGHT.get(self.method, {})}
            if "gtol" in options:
                options["gtol"] = 0.1 * tol / max(1, x.size) ** 0.5
            found = minimize(
                lambda x: tuple(np.asarray(part, float) for part in slope(x)), np.asarray(x),
                jac=True, method=self.method, bounds=limits, options=options,
            )  # fmt: skip
            return unravel(jnp.asarray(found.x, x.dtype)), np.asarray(found.nit)

        return on_host(solver, like=(init, np.array(0)))(init, *args)


@dataclass(frozen=True)
class ScipyRoot:
    r"""``scipy.optimize.root`` on ``optimality_fun(x, *args)``.

    Attributes:
        optimality_fun: F, as many numbers as x holds.
        method: SciPy's name of a method.

    Example:
        >>> from simsens.solvers import solve
        >>> root = ScipyRoot(lambda x, theta: x**3 - theta)
        >>> round(float(solve(root, 1.0, 8.0).value), 6)
        2.0
    """

    optimality_fun: Callable[..., Any]
    method: str = "hybr"

    def optimality(self) -> Callable[..., Any]:
        """F."""
        return self.optimality_fun

    def run(self, init: Any, args: Any, tol: float, maxiter: int) -> tuple[Any, Any]:
        """By SciPy, with the Jacobian by JAX."""

        def solver(init: Any, *args: Any) -> Any:
            from scipy.optimize import root

            x, unravel = ravel(init)
            residual = jax.jit(Frame(unravel, args).image(self.optimality_fun))
            jacobian = jax.jit(jax.jacfwd(residual))
            found = root(
                lambda x: np.asarray(residual(x), float), np.asarray(x),
                jac=lambda x: np.asarray(jacobian(x), float), method=self.method, tol=1e-3 * tol,
            )  # fmt: skip
            return unravel(jnp.asarray(found.x, x.dtype)), np.asarray(found.nfev)

        return on_host(solver, like=(init, np.array(0)))(init, *args)


# The defaults stop where the objective no longer changes, long before the gradient is zero.
_TIGHT: dict[str, dict[str, float]] = {
    "L-BFGS-B": {"ftol": 0.0, "gtol": 0.0, "maxls": 50},
    "BFGS": {"gtol": 0.0},
    "CG": {"gtol": 0.0},
    "trust-exact": {"gtol": 0.0},
    "TNC": {"ftol": 0.0, "gtol": 0.0},
    "SLSQP": {"ftol": 0.0},
}


def _like(bound: Any, init: Any) -> Any:
    if jnp.ndim(bound) == 0 and not isinstance(bound, (tuple, list, dict)):
        return float(bound)
    return np.asarray(
        ravel(jax.tree.map(lambda b, x: jnp.broadcast_to(b, x.shape), bound, init))[0]
    )
