r"""The derivative of a root, however the root was found.

Let :math:`F(x^*(\theta), \theta) = 0`. Differentiating this identity gives the linear system

.. math:: A\, J = -B, \qquad A = \partial_1 F(x^*, \theta), \quad
          B = \partial_2 F(x^*, \theta), \quad J = \partial x^*(\theta)

(the implicit function theorem; Blondel et al., arXiv 2105.15183, section 2.1, where A has the other
sign). The solver is never differentiated, nor is the linear solver. Everything rests on one
primitive (``implicit.attached``) with one ``lax.custom_linear_solve`` in its tangent, hence forward
mode, reverse mode, higher orders, ``vmap``, ``jit`` and closures over traced values all work.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from simsens.implicit import compiled
from simsens.implicit.attached import attach_root
from simsens.implicit.equation import Equation, distance, equation_of
from simsens.implicit.failure import enforced
from simsens.implicit.linear_solve.choice import kept_factors
from simsens.implicit.linear_solve.solution import LinearSolution, Product, Solve
from simsens.implicit.ravel import is_unknown, ravel
from simsens.implicit.signature import called, matched, signature_of


def implicit_root(
    optimality_fun: Callable[..., Any],
    x: Any,
    *args: Any,
    solve: Solve | None = None,
    symmetric: bool | None = None,
    definite: bool | None = None,
    has_aux: bool = False,
    on_failure: str = "nan",
    tol: float | None = None,
) -> Any:
    r"""A known root ``x`` of ``optimality_fun(x, *args) = 0``, made differentiable in ``args``.

    Args:
        optimality_fun: F, returning as many numbers as x holds; it may close over traced values,
            which then get derivatives like ``args``.
        x: the root, a tree; what it was computed from gets no derivative through it.
        *args: theta: trees of numbers, which get derivatives; texts, flags, keys, ``None``, which
            have none.
        solve: ``solve(matvec, b)``, JAXopt's, lineax's through ``from_lineax``, or one of
            ``linear_solve``; by default chosen by size and structure.
        symmetric: whether :math:`\partial_1 F` is symmetric (F is a gradient); by default what F
            declares.
        definite: whether it is positive semidefinite too.
        has_aux: whether F returns ``(value, aux)``.
        on_failure: ``"nan"``, ``"raise"``, ``"warn"`` or ``"keep"``; see ``implicit.failure``.
        tol: norm of F up to which x counts as a root; by default the distance to the root is
            estimated, and one percent of x is refused.

    Returns:
        x itself, with the derivative of the implicit function theorem.

    Raises:
        ValueError: an unknown policy, or F has not as many equations as x unknowns.

    Example:
        >>> root = lambda theta: implicit_root(lambda x, t: x**2 - t, jnp.sqrt(theta), theta)
        >>> float(jax.grad(root)(4.0)), float(jax.grad(jax.grad(root))(4.0))
        (0.25, -0.03125)
    """
    equation = equation_of(
        optimality_fun, has_aux, solve, symmetric, definite, on_failure=on_failure, tol=tol
    )
    return attach(equation, x, args, {})


def attach(equation: Equation, x: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The root with its derivative; compiled once for equations that are the same."""
    if equation.on_failure == "raise":  # inside a program of its own JAX would wrap the exception
        return _attached((equation,), x, args, kwargs)
    return compiled.run(_attached, (equation,), x, args, kwargs)


def _attached(functions: tuple[Equation], x: Any, args: Any, kwargs: Any) -> Any:
    (equation,) = functions
    point, unravel = ravel(held(x))
    if point.size == 0:
        raise ValueError("x holds no real or complex numbers: there is nothing to differentiate")

    def residual(point: Any) -> Any:
        return equation.residual(point, args, kwargs, unravel)

    # Beside counters the unknowns are no tree like x: then the solver sees vectors.
    whole = all(map(is_unknown, jax.tree.leaves(x)))
    like = unravel if whole else None

    def solve(point: Any, b: Any) -> Any:
        value, product = jax.linearize(residual, point)
        still, here = lax.stop_gradient(point), _still(product)
        factors = kept_factors(equation.solve, equation.structure, here, b.size, b.dtype)
        size, near = None, None
        if equation.on_failure != "keep":
            known = here if factors is None else lambda v: factors.matrix @ v
            size, near = distance(equation, lax.stop_gradient(value), known, still)

        def solution(operator: Product, rhs: Any, transposed: bool) -> Any:
            if factors is not None:  # of the primal value: the same for derivatives of any order
                found = factors.solve(rhs, transposed)
            else:
                found = equation.linear_solve(operator, rhs, like, transposed)
            return _judge(equation, found, size, near)

        return lax.custom_linear_solve(
            product,
            b,
            solve=functools.partial(solution, transposed=False),
            transpose_solve=functools.partial(solution, transposed=True),
            symmetric=equation.structure.symmetric,
        )

    return unravel(attach_root(residual, solve, point))


def _still(product: Product) -> Product:
    return lambda v: lax.stop_gradient(product(v))


NOT_A_ROOT = (
    "the point is not a root: the norm of F is {:.3g} there; let the solver converge further, or"
    " say with tol which norm counts as zero"
)
NOT_SOLVED = (
    "the linear solve of the derivative did not converge: relative residual {:.3g} after {:.0f}"
    " products; the matrix is singular, or choose another solve"
)


def _judge(equation: Equation, found: LinearSolution, size: Any, near: Any) -> Any:
    value = found.value
    if equation.on_failure == "keep":
        return value
    fine = found.converged & jnp.all(jnp.isfinite(value))
    value = enforced(equation.on_failure, value, fine, NOT_SOLVED, found.residual, found.iterations)
    return enforced(equation.on_failure, value, near, NOT_A_ROOT, size)


def held(tree: Any) -> Any:
    """The same values without derivatives; in eager code they are concrete."""

    def stop(leaf: Any) -> Any:
        return lax.stop_gradient(leaf) if isinstance(leaf, jax.core.Tracer) else leaf

    return jax.tree.map(stop, tree)


def custom_root(
    optimality_fun: Callable[..., Any],
    has_aux: bool = False,
    solve: Solve | None = None,
    reference_signature: Any = None,
    *,
    optimality_has_aux: bool = False,
    symmetric: bool | None = None,
    definite: bool | None = None,
    on_failure: str = "nan",
    tol: float | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate ``solver(init, *args, **kwargs)`` with the derivative of the root that it finds.

    JAXopt's ``custom_root`` with the same arguments; those after the fourth are new.

    Args:
        optimality_fun: ``F(x, *args, **kwargs)``, zero at what the solver returns.
        has_aux: whether the solver returns ``(x, aux)``, or a tuple that begins with x; ``aux``
            may be anything and gets no derivative.
        solve: see ``implicit_root``.
        reference_signature: a function (or signature) that tells the arguments when those of
            ``optimality_fun`` do not.
        optimality_has_aux: whether ``optimality_fun`` returns ``(value, aux)``.
        symmetric: see ``implicit_root``.
        definite: see ``implicit_root``.
        on_failure: see ``implicit_root``.
        tol: see ``implicit_root``.

    Returns:
        A decorator. The solver sees values without derivatives, so it may be anything that runs;
        under ``jit`` and ``vmap`` what JAX cannot trace needs ``on_host``. ``init`` gets no
        derivative.

    Raises:
        ValueError: an unknown policy.
        TypeError: when called: the two functions do not take the same arguments.

    Example:
        >>> @custom_root(lambda x, theta: x**3 - theta)
        ... def cube_root(init, theta):
        ...     return theta ** (1 / 3)
        >>> round(float(jax.grad(cube_root, argnums=1)(None, 8.0)), 6)
        0.083333
    """
    equation = equation_of(
        optimality_fun, optimality_has_aux, solve, symmetric, definite,
        on_failure=on_failure, tol=tol,
    )  # fmt: skip
    reference = signature_of(reference_signature or optimality_fun)

    def decorate(solver: Callable[..., Any]) -> Callable[..., Any]:
        signature = signature_of(solver)

        @functools.wraps(solver)
        def solved(*args: Any, **kwargs: Any) -> Any:
            theta, named = matched(signature, reference, args, kwargs, optimality_fun)
            args, kwargs = called(signature, args, kwargs)
            found = solver(*held(args), **held(kwargs))
            x, *aux = found if has_aux else (found,)
            root = attach(equation, jax.tree.map(jnp.asarray, x), theta, named)
            if not has_aux:
                return root
            # As it came: a pair, more, or a named tuple.
            return getattr(found, "_make", tuple)([root, *held(aux)])

        return solved

    return decorate
