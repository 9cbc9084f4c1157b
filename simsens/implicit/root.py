r"""The derivative of a root, however the root was found.

Let :math:`F(x^*(\theta), \theta) = 0`. Differentiating this identity gives the linear system

.. math:: A\, J = -B, \qquad A = \partial_1 F(x^*, \theta), \quad
          B = \partial_2 F(x^*, \theta), \quad J = \partial x^*(\theta)

(the implicit function theorem; Blondel et al., arXiv 2105.15183, section 2.1, where A has the other
sign). The solver is never differentiated, nor is the linear solver. Everything rests on one
primitive (``implicit.attached``) with one ``lax.custom_linear_solve`` in its tangent, hence forward
mode, reverse mode, higher orders, ``vmap``, ``jit`` and closures over traced values all work.

A fixed point :math:`x = T(x, \theta)` is a root of :math:`F = x - T`, with
:math:`A = I - \partial_1 T`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from simsens.implicit import compiled
from simsens.implicit.attached import attach_root
from simsens.implicit.failure import check_policy, enforced
from simsens.implicit.linear_solve.choice import automatic, kept_factors
from simsens.implicit.linear_solve.solution import LinearSolution, Product, Solve, judged, ratio
from simsens.implicit.ravel import is_unknown, ravel
from simsens.implicit.signature import called, matched, signature_of
from simsens.implicit.structure import Declared, declare, declared

FAR = 1e-2  # how far, relative to x, the root may seem to be when no tolerance is given


@dataclass(frozen=True)
class Equation:
    r"""F with what is known and asked of it.

    Attributes:
        optimality_fun: ``F(x, *args, **kwargs)``.
        has_aux: whether F returns ``(value, aux)``.
        solve: the linear solver, or ``None``.
        structure: what is known of :math:`\partial_1 F`.
        on_failure: the policy.
        tol: norm of F up to which x counts as a root, or ``None``.
    """

    optimality_fun: Callable[..., Any]
    has_aux: bool = False
    solve: Solve | None = None
    structure: Declared = field(default_factory=Declared)
    on_failure: str = "nan"
    tol: float | None = None

    def residual(self, point: Any, args: Any, kwargs: Any, unravel: Any) -> Any:
        """F at the vector ``point``, as a vector of the same length.

        Raises:
            ValueError: another number of equations than unknowns.
        """
        value = self.optimality_fun(unravel(point), *args, **kwargs)
        image = ravel(value[0] if self.has_aux else value)[0]
        if image.shape != point.shape:
            raise ValueError(
                f"a root needs as many equations as unknowns; x holds {point.size} numbers and"
                f" the optimality function returned {image.size}"
                + ("" if self.has_aux else " (if it returns (value, aux), say so)")
            )
        return image.astype(point.dtype)

    def linear_solve(self, product: Product, b: Any, unravel: Any, transposed: bool) -> Any:
        """Solve for a vector with the chosen solver, which sees trees like x.

        Without ``unravel`` it sees vectors.
        """
        solve = self.solve or automatic(self.structure)
        if transposed and not self.structure.symmetric:
            like = b if unravel is None else unravel(b)
            solve = _with_transposed_preconditioner(solve, like)
        if unravel is None:
            return judged(product, b, solve(product, b))
        tree = unravel(b)

        def matvec(v: Any) -> Any:
            return unravel(product(ravel(v)[0]))

        found = judged(matvec, tree, solve(matvec, tree))
        return LinearSolution(
            ravel(found.value)[0].astype(b.dtype), found.residual, found.iterations,
            found.converged, found.discarded,
        )  # fmt: skip


def _with_transposed_preconditioner(solve: Any, like: Any) -> Any:
    given = getattr(solve, "keywords", {}).get("preconditioner")
    if given is None:
        return solve

    def transposed(r: Any) -> Any:
        return jax.linear_transpose(given, like)(r)[0]

    return functools.partial(
        solve.func, *solve.args, **{**solve.keywords, "preconditioner": transposed}
    )


def distance(equation: Equation, residual: Any, product: Product, point: Any) -> tuple[Any, Any]:
    r"""The norm of F at a point, and whether the point is near enough to a root.

    Without a tolerance the distance to the root is estimated as :math:`|F|^2 / |A F|`, the step
    along F that reduces it most, and must be below one percent of x. That costs one product and
    depends on no unit; it tells a point that was left early, not one that is a little off, whose
    derivative a certificate bounds.
    """
    size = jnp.linalg.norm(residual)
    if equation.tol is not None:
        return size, size <= equation.tol
    turned = jnp.linalg.norm(product(ratio(residual, size)))
    step = jnp.where(size > 0, size / turned, 0)
    eps = float(jnp.finfo(point.dtype).eps)
    return size, step <= FAR * jnp.linalg.norm(point) + eps**0.75


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


def equation_of(
    optimality_fun: Callable[..., Any],
    has_aux: bool,
    solve: Solve | None,
    symmetric: bool | None,
    definite: bool | None,
    *,
    on_failure: str,
    tol: float | None,
) -> Equation:
    """Check what was asked and put it with what F declares."""
    check_policy(on_failure)
    own = declared(optimality_fun)
    definite = own.definite if definite is None else definite
    symmetric = (own.symmetric if symmetric is None else symmetric) or definite
    structure = Declared(bool(symmetric), bool(definite))
    return Equation(optimality_fun, has_aux, solve, structure, on_failure, tol)


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
            size, near = distance(equation, lax.stop_gradient(value), here, still)

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
        has_aux: whether the solver returns ``(x, aux)``; ``aux`` may be anything and gets no
            derivative.
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
            args, kwargs = called(signature, args, kwargs)
            theta, named = matched(reference, args, kwargs, optimality_fun)
            found = solver(*held(args), **held(kwargs))
            x, aux = found if has_aux else (found, None)
            root = attach(equation, jax.tree.map(jnp.asarray, x), theta, named)
            return (root, held(aux)) if has_aux else root

        return solved

    return decorate


def custom_fixed_point(
    fixed_point_fun: Callable[..., Any],
    has_aux: bool = False,
    solve: Solve | None = None,
    reference_signature: Any = None,
    **options: Any,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    r"""Decorate ``solver(init, *args)`` with the derivative of the fixed point that it finds.

    A root of :math:`F = x - T(x, \theta)`; arguments as ``custom_root``, with ``T(x, *args)``
    in the place of F. What T declares is taken for :math:`I - \partial_1 T`.

    Example:
        >>> @custom_fixed_point(lambda x, theta: 0.5 * x + theta)
        ... def solver(init, theta):
        ...     return 2 * theta
        >>> float(jax.grad(solver, argnums=1)(None, 3.0))
        2.0
    """
    aux = options.get("optimality_has_aux", False)
    function = displacement(fixed_point_fun, aux)
    return custom_root(function, has_aux, solve, reference_signature, **options)


def implicit_fixed_point(
    fixed_point_fun: Callable[..., Any], x: Any, *args: Any, **options: Any
) -> Any:
    r"""A known fixed point ``x = T(x, *args)``, made differentiable in ``args``.

    Options as ``implicit_root``.

    Example:
        >>> point = lambda t: implicit_fixed_point(lambda x, t: 0.5 * x + t, 2 * t, t)
        >>> float(jax.grad(point)(3.0))
        2.0
    """
    function = displacement(fixed_point_fun, options.get("has_aux", False))
    return implicit_root(function, x, *args, **options)


def displacement(fixed_point_fun: Callable[..., Any], has_aux: bool = False) -> Callable[..., Any]:
    r""":math:`F = x - T`, whose root is the fixed point, declaring what T declares.

    Raises:
        ValueError: when called: T returns another tree than x.
    """

    @functools.wraps(fixed_point_fun)
    def function(x: Any, *args: Any, **kwargs: Any) -> Any:
        image = fixed_point_fun(x, *args, **kwargs)
        image, aux = image if has_aux else (image, None)
        wanted, returned = str(jax.tree.structure(x)), str(jax.tree.structure(image))
        if wanted != returned:
            raise ValueError(
                f"a fixed-point function must return a tree like x, {wanted}; it returned"
                f" {returned}"
            )
        moved = jax.tree.map(lambda a, b: a - b if is_unknown(a) else a, x, image)
        return (moved, aux) if has_aux else moved

    known = declared(fixed_point_fun)
    return declare(function, symmetric=known.symmetric, definite=known.definite)
