r"""The loop, the stopping, the verdict and the derivative of every solver, written once.

An algorithm is a frozen record with three methods on vectors (``solvers.frame``):

- ``optimality()``: the root function :math:`F(x, \theta)` that its fixed points satisfy, from the
  catalogue of ``simsens.optimality``;
- ``start(x, frame)``: the first state, which holds ``x``, ``error`` (its own estimate of
  :math:`|F|`) and ``stuck`` (whether it cannot go on);
- ``advance(state, frame)``: the next state.

Or with ``run(init, args, tol, maxiter)``, returning x and the number of iterations, where somebody
else's loop is called. Where a root of F need not be a solution, ``residual(x, frame)`` is a second
measure of how far x is from one; the larger counts.

**Stopping.** The loop runs until the algorithm's own estimate is within the tolerance. Then
:math:`|F|` is formed anew from x; if it is not within the tolerance, the loop goes on with a
stricter estimate. No algorithm is taken at its word.

**Derivative.** Implicit, of the solution: whatever F the solution is paired with, the algorithm's
own or another of the catalogue, decides the verdict and gives the derivative
(``implicit.root``). Or unrolled: of the iterations that were made, for comparison.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from simsens.implicit import compiled
from simsens.implicit.equation import Equation, equation_of
from simsens.implicit.fixed_point import displacement
from simsens.implicit.ravel import is_unknown, ravel
from simsens.implicit.root import attach, held
from simsens.solvers.frame import Frame
from simsens.solvers.solution import CONVERGED, ITERATIONS, NOT_FINITE, STUCK, Solution

DIFFERENTIATION = ("implicit", "unrolled")


@dataclass(frozen=True)
class _Asked:
    """What ``solve`` was asked for besides the values."""

    algorithm: Any
    equation: Equation
    tol: float
    maxiter: int


def solve(
    algorithm: Any,
    init: Any,
    *args: Any,
    tol: float | None = None,
    maxiter: int = 10_000,
    optimality: Callable[..., Any] | None = None,
    fixed_point: Callable[..., Any] | None = None,
    differentiation: str = "implicit",
    linear_solve: Callable[..., Any] | None = None,
    on_failure: str = "nan",
) -> Solution:
    r"""Run an algorithm from ``init``; the solution is differentiable in ``args``.

    Args:
        algorithm: one of ``simsens.solvers``.
        init: where to start, a tree of floating-point or complex numbers; it gets no derivative.
        *args: theta, as the algorithm's functions take them after x.
        tol: the Euclidean norm of F that counts as zero, in its units; by default 1e-8 in float64,
            1e-4 in float32. 0 makes all ``maxiter`` iterations.
        maxiter: the most iterations.
        optimality: ``F(x, *args)``, another root function to judge and differentiate by; by
            default the algorithm's own.
        fixed_point: ``T(x, *args)`` instead of F.
        differentiation: ``"implicit"``, or ``"unrolled"`` through the iterations.
        linear_solve: for the implicit derivative, see ``implicit_root``.
        on_failure: what becomes of an implicit derivative where the tolerance was not reached or
            the linear solve failed: see ``simsens.implicit.failure``. With ``tol=0`` a solution
            counts when it is within one percent.

    Returns:
        The solution with its verdict. It does not raise where it did not converge: look at
        ``converged`` and ``reason``.

    Raises:
        ValueError: an option that is none of the known; a tolerance below 0 or no iterations; both
            ``optimality`` and ``fixed_point``; an algorithm that cannot be unrolled; no unknowns.

    Example:
        >>> from simsens.solvers import GradientDescent
        >>> bowl = GradientDescent(lambda x, theta: jnp.sum((x - theta**2) ** 2))
        >>> print(solve(bowl, jnp.zeros(2), jnp.array([1.0, 2.0])).converged)
        True
        >>> print(jax.jacrev(lambda t: solve(bowl, jnp.zeros(2), t).value)(jnp.array([1.0, 2.0])))
        [[2. 0.]
         [0. 4.]]
    """
    init = jax.tree.map(_floating, init)
    dtype = ravel(init)[0].dtype
    tol = float(math.sqrt(jnp.finfo(dtype).eps) if tol is None else tol)
    _check(algorithm, init, tol, maxiter, differentiation)
    if optimality is not None and fixed_point is not None:
        raise ValueError("give optimality or fixed_point, found both; they say the same thing")
    function = displacement(fixed_point) if fixed_point is not None else optimality
    equation = equation_of(
        function or algorithm.optimality(), False, linear_solve, None, None,
        on_failure=on_failure, tol=tol or None,
    )  # fmt: skip
    asked = _Asked(algorithm, equation, tol, int(maxiter))
    if differentiation == "unrolled":
        return compiled.run(_unrolled, (asked,), held(init), args)
    found = compiled.run(_found, (asked,), held(init), held(args))
    value = attach(equation, found.value, args, {})
    return Solution(
        value, found.residual, found.iterations, found.converged, found.status, found.stuck
    )


def _floating(leaf: Any) -> Any:
    array = jnp.asarray(leaf)
    return array if is_unknown(array) else array.astype(float)


def _check(algorithm: Any, init: Any, tol: float, maxiter: int, differentiation: str) -> None:
    if not jax.tree.leaves(init):
        raise ValueError("init holds no numbers: there is nothing to solve for")
    if not tol >= 0:
        raise ValueError(f"tol must be 0 or more, found {tol}")
    if maxiter < 1:
        raise ValueError(f"maxiter must be at least 1, found {maxiter}")
    if differentiation not in DIFFERENTIATION:
        known = ", ".join(DIFFERENTIATION)
        raise ValueError(f"differentiation must be one of {known}, found {differentiation!r}")
    if differentiation == "unrolled" and not getattr(
        algorithm, "unrolls", hasattr(algorithm, "advance")
    ):
        raise ValueError(
            f"the iterations of {type(algorithm).__name__} have no derivative; use"
            ' differentiation="implicit"'
        )


def _found(functions: tuple[_Asked], init: Any, args: Any) -> Solution:
    """The solution, without derivatives."""
    (asked,) = functions
    x, unravel = ravel(init)
    frame = Frame(unravel, args)
    if hasattr(asked.algorithm, "run"):
        value, iterations = asked.algorithm.run(init, args, asked.tol, asked.maxiter)
        return _judged(asked, frame, ravel(value)[0].astype(x.dtype), iterations, False)

    def going(carry: Any) -> Any:
        state, k, limit, fresh = carry
        return (fresh | (state.error > limit)) & (k < asked.maxiter) & ~state.stuck

    def one(carry: Any) -> Any:
        state, k, limit, _ = carry
        return asked.algorithm.advance(state, frame), k + 1, limit, jnp.array(False)

    def unfinished(carry: Any) -> Any:
        state, k, _, size = carry
        return (size > asked.tol) & (k < asked.maxiter) & ~state.stuck

    def until_it_seems_so(carry: Any) -> Any:
        state, k, limit, _ = carry
        state, k, limit, _ = lax.while_loop(going, one, (state, k, limit, jnp.array(True)))
        size = _residual(asked, frame, state.x)
        # Not so: believe an estimate that is smaller by as much as this one was too small.
        share = jnp.clip(0.5 * asked.tol / jnp.where(size > 0, size, 1), 1e-3, 0.5)
        return state, k, share * jnp.minimum(limit, state.error), size

    limit, infinite = jnp.asarray(asked.tol, x.dtype), jnp.full((), jnp.inf, x.dtype)
    start = (asked.algorithm.start(x, frame), jnp.array(0), limit, infinite)
    state, k, _, _ = lax.while_loop(unfinished, until_it_seems_so, start)
    return _judged(asked, frame, state.x, k, state.stuck)


def _unrolled(functions: tuple[_Asked], init: Any, args: Any) -> Solution:
    """The last iterate, with the derivative of the iterations."""
    (asked,) = functions
    x, unravel = ravel(init)
    frame = Frame(unravel, args)

    def step(carry: Any, _: Any) -> tuple[Any, None]:
        state, k = carry
        if asked.tol == 0:
            return (asked.algorithm.advance(state, frame), k + 1), None
        done = (state.error <= asked.tol) | state.stuck
        following = lax.cond(done, lambda s: s, lambda s: asked.algorithm.advance(s, frame), state)
        return (following, jnp.where(done, k, k + 1)), None

    start = (asked.algorithm.start(x, frame), jnp.array(0))
    (state, k), _ = lax.scan(step, start, length=asked.maxiter)
    return _judged(asked, frame, state.x, k, state.stuck)


def _residual(asked: _Asked, frame: Frame, x: Any) -> Any:
    size = jnp.linalg.norm(asked.equation.residual(x, frame.args, {}, frame.unravel))
    own = getattr(asked.algorithm, "residual", None)
    return size if own is None else jnp.maximum(size, own(x, frame))


def _judged(asked: _Asked, frame: Frame, x: Any, iterations: Any, stuck: Any) -> Solution:
    still = Frame(frame.unravel, held(frame.args))
    size = lax.stop_gradient(_residual(asked, still, lax.stop_gradient(x)))
    converged = size <= asked.tol
    status = jnp.where(stuck, STUCK, ITERATIONS)
    status = jnp.where(jnp.isfinite(size), status, NOT_FINITE)
    status = jnp.where(converged, CONVERGED, status)
    told = getattr(type(asked.algorithm), "stuck", Solution.stuck)
    iterations = jnp.asarray(iterations)
    return Solution(frame.unravel(x), size, iterations, converged, status, told)
