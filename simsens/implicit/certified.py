r"""A derivative of a root together with a bound on its error: Theorem 1 made computable.

The derivative :math:`\hat J = -A^{-1} B` is taken at a point :math:`\hat x` that is only nearly the
root :math:`x^*`, by a linear solve that is only nearly exact. Blondel et al. (arXiv 2105.15183,
Theorem 1) bound its error by :math:`(\beta / \alpha + \gamma R / \alpha^2)\, |\hat x - x^*|`, with
constants that nobody has: how fast A and B change, how small A can get. Here each is measured,
where it matters and in the direction that matters:

* one Newton step :math:`\delta = -A^{-1} F(\hat x)` says where the root is; a second one,
  :math:`\delta_2`, how well it was said; together they bound the distance of what is left when they
  contract, :math:`\kappa = |\delta_2| / |\delta| < 1/4`. For a quadratic F, and both with A at
  :math:`\hat x`, the next would be shorter by :math:`2 \kappa`, so that
  :math:`|\delta_2| / (1 - 2 \kappa)` is left; of small systems the second is taken with A at
  :math:`\hat x + \delta`, lest what grows soft on the way is missed;
* the imbalance :math:`m = A \hat J + B` at :math:`\hat x + \delta` holds both the change of A and B
  (the Lipschitz terms) and the residual of the linear solve; the directional second derivative
  :math:`\partial_\delta (A \hat J + B)` says how fast it changes, for the part that is left;
* the smallest singular value :math:`\alpha` of A: of small matrices the least of those at
  :math:`\hat x` and at :math:`\hat x + \delta`; of large ones by a Lanczos iteration on the
  inverse, less what A changes by along :math:`\delta`, on the vector of the smallest.

.. math:: |\hat J - J^*| \le \frac{1}{\alpha} \left( |m| + \ell\,
          \frac{|\delta_2|}{1 - 2 \kappa} \right) + 10\, \varepsilon\, \mathrm{cond}(A)\, |\hat J| .

One more solve with m gives the corrected derivative, whose error is of second order in
:math:`\delta`. The evidence is found with the most reliable solver for the size, whatever solver
gave the derivative, so that an approximate one (``one_step``, ``k_step``) is measured, not
believed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.implicit import compiled
from simsens.implicit.certificate import Certificate
from simsens.implicit.equation import Equation
from simsens.implicit.linear_solve.solution import LinearSolution, Solve
from simsens.implicit.newton_steps import NewtonSteps, newton_steps, vector_function
from simsens.implicit.prepared import Linearised, PreparedRoot, prepare_root
from simsens.implicit.ravel import ravel
from simsens.implicit.singular_values import Singular, singular_values
from simsens.implicit.verdict import certify


@dataclass(frozen=True)
class CertifiedDerivative:
    """A derivative with its evidence.

    Attributes:
        value: the derivative: a tree like x (forward) or a tuple like the arguments (adjoint).
        corrected: the same after one Newton correction, its error of second order.
        error_bound: ``[direction]`` bound on the Euclidean norm of the error of ``value``.
        solution: the linear solve that gave ``value``.
        certificate: the verdict, with relative bounds.
    """

    value: Any
    corrected: Any
    error_bound: np.ndarray
    solution: LinearSolution
    certificate: Certificate


def certified_jvp(
    optimality_fun: Callable[..., Any],
    x: Any,
    args: tuple[Any, ...],
    tangents: tuple[Any, ...],
    solve: Solve | None = None,
    *,
    many: bool = False,
    **options: Any,
) -> CertifiedDerivative:
    r"""The directional derivative :math:`J \dot\theta` of a root, with a bound on its error.

    Args:
        optimality_fun: F; for a fixed point give ``displacement(T)``.
        x: the point, nearly a root; not traced.
        args: tuple of arguments.
        tangents: one for each argument.
        solve: the solver of ``value``, under scrutiny; by default chosen by size and structure.
        many: every tangent has a leading axis of directions, each with its bound.
        **options: ``symmetric``, ``definite``, ``has_aux`` as for ``implicit_root``.

    Raises:
        TypeError: traced values: a certificate is for reading, not for a compiled program.

    Example:
        >>> found = certified_jvp(lambda x, a: x**2 - a, jnp.array(3.0001), (9.0,), (1.0,))
        >>> error = abs(float(found.value) - 1 / 6)
        >>> bool(error <= found.error_bound[0] <= 2 * error), found.certificate.trusted
        (True, True)
        >>> abs(float(found.corrected) - 1 / 6) < 1e-4 * error
        True
    """
    _refuse_traced(x, args, tangents)
    root = prepare_root(optimality_fun, x, *args, solve=solve, **options)
    sure = root if solve is None else prepare_root(optimality_fun, x, *args, **options)
    value, solution = root.jvp(tangents, many=many)
    rows = jnp.atleast_2d(_rows(solution.value, many))
    direction = jnp.atleast_2d(sure.direction(tangents, many))
    values = singular_values(sure)
    near, alpha = _on_the_way(sure, values, newton_steps(sure))
    moved = compiled.run(
        _forward, (sure.equation,), sure.linear, rows, direction, near.step, near.second
    )
    imbalance, left, second_order = (np.asarray(part) for part in moved)
    size = np.linalg.norm(rows, axis=1)
    left_over = np.linalg.norm(imbalance, axis=1) + np.linalg.norm(left, axis=1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rounding = 10 * np.finfo(rows.dtype).eps * values.largest / alpha * size
        bound = np.where(near.contracts, left_over / alpha + rounding, np.inf)
    correction = sure.solve(jnp.asarray(imbalance))
    fixed = rows - correction.value
    curve = np.linalg.norm(np.asarray(sure.solve(jnp.asarray(second_order)).value), axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        one_percent = np.where(curve > 0, 0.02 * size / curve, np.inf)
    certificate = certify(sure, values, near, solution, bound, size, one_percent)
    unravel = ravel(root.linear.x)[1]
    corrected = jax.vmap(unravel)(fixed) if many else unravel(fixed[0])
    return CertifiedDerivative(value, corrected, bound, solution, certificate)


def certified_vjp(
    optimality_fun: Callable[..., Any],
    x: Any,
    args: tuple[Any, ...],
    cotangent: Any,
    solve: Solve | None = None,
    **options: Any,
) -> CertifiedDerivative:
    r"""The adjoint :math:`J^T \bar x` of a root, with a bound on its error.

    With :math:`A^T \hat u = -\bar x` the error of :math:`B^T \hat u` is at most
    :math:`|(B^* - B)^T \hat u| + |B^*|\, |\bar x + A^{*T} \hat u| / \alpha`. Arguments as
    ``certified_jvp``, with a cotangent like x.

    Example:
        >>> found = certified_vjp(lambda x, a: x**2 - a, jnp.array(3.0001), (9.0,), 1.0)
        >>> error = abs(float(found.value[0]) - 1 / 6)
        >>> bool(error <= found.error_bound[0] <= 2 * error)
        True
    """
    _refuse_traced(x, args, cotangent)
    root = prepare_root(optimality_fun, x, *args, solve=solve, **options)
    sure = root if solve is None else prepare_root(optimality_fun, x, *args, **options)
    value, solution = root.vjp(cotangent)
    adjoint = _rows(solution.value, False)
    values = singular_values(sure)
    near, alpha = _on_the_way(sure, values, newton_steps(sure))
    found = compiled.run(
        _backward, (sure.equation,), sure.linear, adjoint, cotangent, near.step, near.second
    )
    imbalance, left, pulled, pulled_there, pulled_left, norm = found
    correction = sure.solve(imbalance, transposed=True).value
    fixed = compiled.run(
        _pull_there, (sure.equation,), sure.linear, adjoint - correction, near.step
    )
    size = np.atleast_1d(np.linalg.norm(pulled))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        off = np.linalg.norm(imbalance) + np.linalg.norm(left)
        own = np.linalg.norm(pulled_there - pulled) + np.linalg.norm(pulled_left)
        rounding = 10 * np.finfo(adjoint.dtype).eps * values.largest / alpha * size
        bound = np.where(near.contracts, float(norm) * off / alpha + own + rounding, np.inf)
    unknown = np.full(1, np.inf)
    certificate = certify(sure, values, near, solution, bound, size, unknown)
    return CertifiedDerivative(value, root.arguments(fixed), bound, solution, certificate)


def _on_the_way(
    root: PreparedRoot, values: Singular, near: NewtonSteps
) -> tuple[NewtonSteps, float]:
    """The second step, and the least singular value of A between the point and the root."""
    if values.vector is None:
        return near, values.smallest
    functions, there = (root.equation,), None
    if values.method == "dense":
        there = compiled.run(_linearised_after, functions, root.linear, near.step)
        residual, matrix = (np.asarray(part) for part in there)
        if not np.isfinite(matrix).all():
            return replace(near, taken=np.full_like(near.taken, np.nan)), 0.0
        u, sizes, rows = np.linalg.svd(matrix)
        kept = len(sizes) - values.zero
        second = -rows[:kept].T @ ((residual @ u[:, :kept]) / sizes[:kept])
        near = replace(near, taken=second)

    def changes(v: Any) -> tuple[float, float]:
        steps = near.step, near.second
        found = compiled.run(_changes_of_a, functions, root.linear, jnp.asarray(v), *steps)
        return float(found[0]), float(found[1])

    least = values.smallest - sum(changes(values.vector))
    if there is not None:  # another vector may be the one where the step leads
        least = min(least, sizes[kept - 1] - changes(rows[kept - 1])[1])
    return near, max(float(least), 0.0)


def _linearised_after(functions: tuple[Equation], linear: Linearised, step: Any) -> tuple[Any, Any]:
    residual, point, flat = vector_function(functions[0], linear)

    def there(at: Any) -> Any:
        return residual(at, flat)

    return there(point + step), jax.jacfwd(there)(point + step)


def _changes_of_a(
    functions: tuple[Equation], linear: Linearised, v: Any, step: Any, more: Any
) -> tuple[Any, Any]:
    """What A changes by on a vector along the first Newton step, and then along the second."""
    residual, point, flat = vector_function(functions[0], linear)

    def product(at: Any) -> Any:
        return jax.jvp(lambda p: residual(p, flat), (at,), (v,))[1]

    there, left = jax.jvp(product, (point + step,), (more,))
    return jnp.linalg.norm(there - product(point)), jnp.linalg.norm(left)


def _forward(
    functions: tuple[Equation], linear: Linearised, rows: Any, direction: Any, step: Any, more: Any
) -> Any:
    residual, point, flat = vector_function(functions[0], linear)

    def along(row: Any, t: Any) -> Any:
        def balance(at: Any, theta: Any) -> Any:
            return jax.jvp(residual, (at, theta), (row, t))[1]

        imbalance = balance(point + step, flat)
        # How fast the imbalance changes: along what the second step leaves.
        left = jax.jvp(lambda at: balance(at, flat), (point + step,), (more,))[1]
        second_order = jax.jvp(balance, (point, flat), (row, t))[1]
        return imbalance, left, second_order

    return jax.vmap(along)(rows, direction)


def _backward(
    functions: tuple[Equation], linear: Linearised, u: Any, cotangent: Any, step: Any, more: Any
) -> Any:
    residual, point, flat = vector_function(functions[0], linear)
    bar = ravel(jax.tree.map(jnp.conj, cotangent))[0].astype(point.dtype)

    def pull(at: Any, theta: Any) -> tuple[Any, Any]:
        return jax.vjp(residual, at, theta)[1](u)

    (of_x, there), (left_x, left) = jax.jvp(lambda at: pull(at, flat), (point + step,), (more,))
    here = pull(point, flat)[1]
    return of_x + bar, left_x, here, there, left, _norm_of_b(residual, point + step, flat)


def _norm_of_b(residual: Any, point: Any, flat: Any) -> Any:
    """The largest singular value of B, by power iterations on B B^T."""
    _, push = jax.linearize(lambda theta: residual(point, theta), flat)
    pull = jax.linear_transpose(push, flat)

    def iterate(_: int, v: Any) -> Any:
        w = push(pull(v)[0])
        return w / jnp.maximum(jnp.linalg.norm(w), jnp.finfo(w.dtype).tiny)

    start = jnp.cos(2.399963 * jnp.arange(point.size, dtype=point.dtype))
    start = start / jnp.linalg.norm(start)
    return jnp.linalg.norm(pull(jax.lax.fori_loop(0, 20, iterate, start))[0])


def _pull_there(functions: tuple[Equation], linear: Linearised, u: Any, step: Any) -> Any:
    residual, point, flat = vector_function(functions[0], linear)
    return jax.vjp(lambda theta: residual(point + step, theta), flat)[1](u)[0]


def _rows(tree: Any, many: bool) -> Any:
    flatten = lambda t: ravel(t)[0]  # noqa: E731
    return jax.vmap(flatten)(tree) if many else flatten(tree)


def _refuse_traced(*trees: Any) -> None:
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(trees)):
        raise TypeError(
            "a certificate needs concrete values: call it outside jit, vmap and grad, at the point"
            " in question"
        )
