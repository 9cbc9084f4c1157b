r"""The transportation polytope and the Birkhoff polytope, Euclidean and Kullback-Leibler.

The plans are the non-negative matrices P [m, n] with row sums a and column sums b. The Euclidean
projection of S and the entropic one have the forms

.. math:: P_{ij} = \max(S_{ij} + \alpha_i + \beta_j, 0), \qquad
          P_{ij} = \exp(S_{ij} + \alpha_i + \beta_j),

with multipliers that make the sums right: the optimum of a concave dual problem (Blondel, Seguy and
Rolet, AISTATS 2018, arXiv 1710.06276). It is climbed by exact sweeps over the rows and over the
columns (for the entropy these are Sinkhorn's) and Newton steps between them, the Euclidean
dual being piecewise quadratic; sweeps get there from afar, Newton's steps end it at rounding.
Where S is large against the plan (nearly a linear program) either would be slow: then
:math:`t S` is projected for t = ..., 1/4, 1/2, 1, each from twice the multipliers before.

**Derivatives.** Let :math:`M = \begin{pmatrix} D(T1) & T \\ T^T & D(T^T 1)\end{pmatrix}`, with T
the 0/1 support of P (Euclidean) or P itself (entropic), D the diagonal matrix of a vector. The sums
stay right if

.. math:: \dot P = T \circ (\dot S + \dot\alpha 1^T + 1 \dot\beta^T), \qquad
          M \begin{pmatrix}\dot\alpha \\ \dot\beta\end{pmatrix} =
          \begin{pmatrix}\dot a - (T \circ \dot S) 1 \\ \dot b - (T \circ \dot S)^T 1\end{pmatrix}.

M is singular along (1, -1) at least, which does not change P. Only changes of a and b that keep
their sums equal make sense; of others the derivative follows the least-squares part (Euclidean) or
keeps the column sums (entropic). Entries exactly at zero are outside the support, and a row or
column whose marginal is zero stays zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import logsumexp

from simsens.projection.feasibility import all_finite, demand, parts, poisoned, real
from simsens.projection.simplex import threshold

SWEEPS = 1000  # a hundred are many
LENGTHS = np.concatenate([[0.0], 0.5 ** np.arange(20)])  # of Newton's step
DAMPINGS = 0.25 ** np.arange(26)  # added to the eigenvalues of M, integers at most m + n in size
TINY = 30  # times the precision: the eigenvalues of M that are zero


def _matrix(T: jax.Array) -> jax.Array:
    """M of the module's head."""
    return jnp.block([[jnp.diag(T.sum(1)), T], [T.T, jnp.diag(T.sum(0))]])


def _centred(S: jax.Array) -> jax.Array:
    """S less constants of rows and columns, which P does not feel; the largest entries are 0."""
    rows = lax.stop_gradient(jnp.max(S, axis=1, keepdims=True))
    S = S - rows
    return S - lax.stop_gradient(jnp.max(S, axis=0, keepdims=True))


def _level(V: jax.Array, total: jax.Array) -> jax.Array:
    """What to add to the vector V so that its positive part sums to ``total``."""
    top = jnp.argmax(V)
    return threshold(V, total)[top] - V[top]


def _support(
    whole: jax.Array, a: jax.Array, b: jax.Array, start: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """The 0/1 support of the Euclidean projection; whether it was found."""
    m, n = whole.shape
    eps = jnp.finfo(whole.dtype).eps
    level = jax.vmap(_level)

    def plan(S: jax.Array, alpha: jax.Array, beta: jax.Array) -> jax.Array:
        return jnp.maximum(S + alpha[:, None] + beta, 0)

    def loss(S: jax.Array, alpha: jax.Array, beta: jax.Array) -> jax.Array:
        return (plan(S, alpha, beta) ** 2).sum() / 2 - alpha @ a - beta @ b

    def defect(S: jax.Array, alpha: jax.Array, beta: jax.Array) -> tuple[jax.Array, jax.Array]:
        P = plan(S, alpha, beta)
        return a - P.sum(1), b - P.sum(0)

    def largest(S: jax.Array, alpha: jax.Array, beta: jax.Array) -> jax.Array:
        rows, columns = defect(S, alpha, beta)
        return jnp.maximum(jnp.max(jnp.abs(rows)), jnp.max(jnp.abs(columns)))

    along = (None, 0, 0)

    def improve(state: Any) -> Any:
        (alpha, beta), part, there, count = state
        grown = jnp.where(there, jnp.minimum(2 * part, 1), part)
        beta, part = beta * (grown / part), grown
        S = part * whole
        alpha = level(S + beta, a)
        beta = level((S + alpha[:, None]).T, b)
        T = (plan(S, alpha, beta) > 0).astype(S.dtype)
        # Newton's steps, and Levenberg's: masses that differ between parts of the support which
        # do not touch ask for long steps along the null vectors of M, until the parts touch.
        values, vectors = jnp.linalg.eigh(_matrix(T))
        values = jnp.where(values > TINY * eps * values[-1], values, jnp.zeros_like(values))
        inverse = jnp.where(values > 0, 1 / jnp.where(values > 0, values, 1).astype(S.dtype), 0.0)
        newton = jnp.asarray(LENGTHS, S.dtype)[:, None] * inverse.astype(S.dtype)
        levenberg = 1 / (values + jnp.asarray(DAMPINGS, S.dtype)[:, None])
        weights = jnp.concatenate([newton, levenberg])
        steps = (weights * (vectors.T @ jnp.concatenate(defect(S, alpha, beta)))) @ vectors.T
        alphas, betas = alpha + steps[:, :m], beta + steps[:, m:]
        errors = jax.vmap(largest, along)(S, alphas, betas)
        size = jnp.max(jnp.abs(S)) + jnp.max(jnp.abs(alpha)) + jnp.max(jnp.abs(beta))
        small = (m + n) * eps * (size + jnp.sum(a))
        small = jnp.where(part < 1, jnp.maximum(small, 1e-3 * jnp.sum(a) / max(m, n)), small)
        # The dual decides until its differences drown in rounding: then a point that is right.
        there = jnp.min(errors) <= small
        best = jnp.where(
            there, jnp.argmin(errors), jnp.argmin(jax.vmap(loss, along)(S, alphas, betas))
        )
        return (alphas[best], betas[best]), part, there, count + 1

    def unfinished(state: Any) -> jax.Array:
        (alpha, _), part, there, count = state
        sane = jnp.all(jnp.isfinite(alpha))
        return ~(there & (part == 1)) & (count < SWEEPS) & sane

    part = _first_part(whole, jnp.sum(a) / (m + n))
    start = (start[0] * part, start[1] * part)
    beginning = start, part, jnp.array(False), jnp.array(0)
    (alpha, beta), part, there, _ = lax.while_loop(unfinished, improve, beginning)
    return (plan(whole, alpha, beta) > 0).astype(whole.dtype), there & (part == 1)


def _first_part(S: jax.Array, harmless: jax.Array) -> jax.Array:
    """The power of two by which S is multiplied at first, so that it is not large."""
    largest = jnp.max(jnp.abs(S))
    ratio = jnp.where(harmless > 0, largest / jnp.where(harmless > 0, harmless, 1), 1)
    return 2.0 ** -jnp.ceil(jnp.log2(jnp.maximum(ratio, 1))).astype(S.dtype)


@jax.jit
def _euclidean(
    S: jax.Array, a: jax.Array, b: jax.Array, start: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """The Euclidean plan, linear in S, a and b as long as the support stays."""
    m = S.shape[0]
    S = _centred(S)
    T, solved = _support(*lax.stop_gradient((S, a, b)), start)
    rounding = TINY * jnp.finfo(S.dtype).eps.astype(S.dtype)
    inverse = jnp.linalg.pinv(_matrix(T), rtol=rounding, hermitian=True)

    def add(P: jax.Array) -> jax.Array:
        change = inverse @ jnp.concatenate([a - P.sum(1), b - P.sum(0)])
        return P + T * (change[:m, None] + change[m:])

    P = add(T * S)
    P = P + lax.stop_gradient(add(P) - P)  # against the rounding of the first
    # Below zero by rounding only; kept in the derivative.
    return P - lax.stop_gradient(jnp.minimum(P, 0)), solved


def _entropic_multipliers(
    whole: jax.Array, a: jax.Array, b: jax.Array, alpha: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Multipliers of the entropic plan for marginals that sum to one; whether they are right."""
    m, n = whole.shape
    inf = jnp.array(jnp.inf, whole.dtype)
    small = 2 * jnp.finfo(whole.dtype).eps * (m + n + 4 * jnp.max(jnp.abs(whole)))

    def logarithm(v: jax.Array) -> jax.Array:
        return jnp.where(v > 0, jnp.log(jnp.where(v > 0, v, jnp.ones_like(v))), -inf)

    def columns(S: jax.Array, alpha: jax.Array) -> jax.Array:
        return logarithm(b) - logsumexp(S + alpha[:, None], axis=0)

    def plan(S: jax.Array, alpha: jax.Array) -> jax.Array:
        return jnp.exp(S + alpha[:, None] + columns(S, alpha))

    def error(S: jax.Array, alpha: jax.Array) -> jax.Array:
        found = jnp.sum(jnp.abs(plan(S, alpha).sum(1) - a))
        return jnp.where(jnp.isnan(found), inf, found)

    def improve(state: Any) -> Any:
        alpha, part, found, count = state
        grown = jnp.where(found <= 1e-3, jnp.minimum(2 * part, 1), part)
        alpha, part = alpha * (grown / part), grown
        S = part * whole
        rows = logarithm(a) - logsumexp(S + columns(S, alpha), axis=1)
        alpha = jnp.where(a > 0, rows, -inf)
        P = plan(S, alpha)
        step = _eliminated(P, a - P.sum(1))
        step = jnp.where(jnp.isfinite(step), step, jnp.zeros_like(step))
        lengths = jnp.asarray(LENGTHS, S.dtype)
        alphas = alpha + lengths[:, None] * step
        errors = jax.vmap(error, (None, 0))(S, alphas)
        best = jnp.argmin(errors)
        return alphas[best], part, errors[best], count + 1

    def unfinished(state: Any) -> jax.Array:
        alpha, part, found, count = state
        sane = ~jnp.any(jnp.isnan(alpha))
        return ~((found <= small) & (part == 1)) & (count < SWEEPS) & sane

    part = _first_part(whole, jnp.ones((), whole.dtype))
    beginning = jnp.where(a > 0, alpha * part, -inf), part, inf, jnp.array(0)
    alpha, part, found, _ = lax.while_loop(unfinished, improve, beginning)
    right = (found <= 100 * small) & (part == 1) & (small < 1e-3)
    return alpha, columns(whole, alpha), right


def _eliminated(P: jax.Array, rows: jax.Array) -> jax.Array:
    r"""The alpha of :math:`(D(r) - P D(c)^{-1} P^T)\, \alpha = rows`, with r and c P's sums.

    In units of :math:`\sqrt r` the matrix has the null vector :math:`\sqrt r`; its square is
    added, which does not change the plan.
    """
    r, c = P.sum(1), P.sum(0)
    r, c = jnp.where(r > 0, r, jnp.ones_like(r)), jnp.where(c > 0, c, jnp.ones_like(c))
    root = jnp.sqrt(r)
    scaled = P / root[:, None]
    null = root / jnp.sqrt(r.sum())
    A = jnp.eye(r.shape[0], dtype=P.dtype) - (scaled / c) @ scaled.T + jnp.outer(null, null)
    return jnp.linalg.solve(A, rows / root) / root


@jax.custom_jvp
@jax.jit
def _entropic(
    S: jax.Array, a: jax.Array, b: jax.Array, start: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The entropic plan, and 1 or 0 for solved or not."""
    total = jnp.sum(a)
    # Without any mass the plan of any other marginals, times zero.
    a, b = (jnp.where(total > 0, v, jnp.ones_like(v)) for v in (a, b))
    a, b = a / jnp.sum(a), b / jnp.sum(b)
    alpha, beta, solved = _entropic_multipliers(S, a, b, start)
    return total * jnp.exp(S + alpha[:, None] + beta), solved.astype(S.dtype)


@_entropic.defjvp
def _entropic_jvp(primals: Any, tangents: Any) -> Any:
    S, a, b, start = primals
    dS, da, db, _ = tangents
    P, solved = _entropic(S, a, b, start)
    c = P.sum(0)
    c = jnp.where(c > 0, c, jnp.ones_like(c))
    moved = P * dS
    rows, columns = da - moved.sum(1), (db - moved.sum(0)) / c
    dalpha = _eliminated(P, rows - P @ columns)
    dbeta = columns - (P.T @ dalpha) / c
    return (P, solved), (moved + P * (dalpha[:, None] + dbeta), jnp.zeros_like(solved))


def _problem(function: str, sim_matrix: Any, marginals: Any) -> tuple[Any, Any, Any, list[Any]]:
    """S, a, b (brought to the sum of a, which rounding may miss) and whether they make sense."""
    a, b = parts(function, "marginals_a, marginals_b", marginals)
    S = real(function, "sim_matrix", sim_matrix, ndim=2)
    if 0 in S.shape:
        raise ValueError(f"{function} needs a sim_matrix with entries; found {S.shape}; drop it")
    a = real(function, "marginals_a", a, shape=S.shape[:1], dtype=S.dtype)
    b = real(function, "marginals_b", b, shape=S.shape[1:], dtype=S.dtype)
    well = [all_finite((S, a, b))]
    for name, v in (("marginals_a", a), ("marginals_b", b)):
        message = f"{function} needs {name} >= 0; found {{}}; give masses"
        right = demand(lambda v: v >= 0, message, v)
        well.append(right if right is True else jnp.all(right))
    slack = float(jnp.finfo(S.dtype).eps) ** 0.5
    sums = a.sum(), b.sum()
    well.append(
        demand(
            lambda p, q: abs(p - q) <= slack * (p + q),
            f"{function} needs marginals of equal sums; found {{}} and {{}}; scale one of them",
            *sums,
        )
    )
    S, a, b = jnp.asarray(S), jnp.asarray(a), jnp.asarray(b)
    ratio = lax.stop_gradient(a.sum() / jnp.where(b.sum() > 0, b.sum(), 1).astype(b.dtype))
    return S, a, b * jnp.where(b.sum() > 0, ratio, jnp.ones_like(ratio)), well


def _semi_dual(entropic: bool) -> Callable[..., jax.Array]:
    """The objective of equation (10): a function of alpha alone."""

    def fun(alpha: Any, cost_matrix: Any, marginals_a: Any, marginals_b: Any) -> jax.Array:
        X = alpha[:, None] - cost_matrix
        if entropic:
            b = marginals_b
            logarithm = jnp.log(jnp.where(b > 0, b, jnp.ones_like(b)))
            return b @ (logsumexp(X, axis=0) - logarithm) - alpha @ marginals_a
        # By Danskin's theorem the maximiser needs no derivative.
        P = lax.stop_gradient(jax.vmap(threshold, (1, 0), 1)(X, marginals_b))
        return (P * X).sum() - (P**2).sum() / 2 - alpha @ marginals_a

    return fun


def _dual(entropic: bool) -> Callable[..., jax.Array]:
    """The objective of equation (7): a function of (alpha, beta)."""

    def fun(alpha_beta: Any, cost_matrix: Any, marginals_a: Any, marginals_b: Any) -> jax.Array:
        alpha, beta = alpha_beta
        X = alpha[:, None] + beta - cost_matrix
        value = jnp.exp(X - 1).sum() if entropic else (jnp.maximum(X, 0) ** 2).sum() / 2
        return value - alpha @ marginals_a - beta @ marginals_b

    return fun


def _start(
    function: str, make_solver: Any, semi: bool, entropic: bool, S: Any, a: Any, b: Any
) -> tuple[jax.Array, jax.Array]:
    """Multipliers for the centred S to begin with: zeros, or what the user's solver finds."""
    S, a, b = lax.stop_gradient((S, a, b))
    zeros = jnp.zeros_like(a), jnp.zeros_like(b)
    if make_solver is None:
        return zeros
    if not callable(make_solver):
        raise ValueError(
            f"{function} needs make_solver as a function make_solver(fun); found "
            f"{type(make_solver).__name__}; give one, or None"
        )
    solver = make_solver(_semi_dual(entropic) if semi else _dual(entropic))
    if not callable(getattr(solver, "run", None)):
        raise ValueError(
            f"{function} needs make_solver(fun) with a method run(init, **data); found "
            f"{type(solver).__name__}; return a solver object"
        )
    init = zeros[0] if semi else zeros
    data = {"cost_matrix": -S, "marginals_a": a, "marginals_b": b}
    found = solver.run(init, **data)
    if not hasattr(found, "params"):
        raise ValueError(
            f"{function} needs the solver's result to have params; found {type(found).__name__}; "
            "return an object with params"
        )
    shapes = jax.tree.map(jnp.shape, found.params)
    if shapes != jax.tree.map(jnp.shape, init):
        raise ValueError(
            f"{function} needs params shaped as the init, {jax.tree.map(jnp.shape, init)}; found "
            f"{shapes}; return what was started from"
        )
    params = jax.tree.map(lambda v: lax.stop_gradient(jnp.asarray(v, S.dtype)), found.params)
    # A solver that did not get there must not spoil ours.
    params = jax.tree.map(lambda v: jnp.where(jnp.isfinite(v), v, 0).astype(S.dtype), params)
    alpha, beta = (params, zeros[1]) if semi else params
    moved = S - _centred(S)  # a row constant plus a column constant
    return alpha + moved[:, 0], beta + moved[0] - moved[0, 0]


def projection_transport(
    sim_matrix: Any,
    marginals: tuple[Any, Any],
    make_solver: Callable[..., Any] | None = None,
    use_semi_dual: bool = True,
) -> jax.Array:
    r"""The nearest matrix with given row sums a, column sums b and no negative entry.

    .. math:: \arg\min_{P \ge 0} \|P - S\|_2^2 \quad\text{subject to}\quad P 1 = a,\ P^T 1 = b

    Args:
        sim_matrix: S [m, n], minus the cost matrix.
        marginals: ``(marginals_a, marginals_b)``, [m] and [n], of equal sums.
        make_solver: ``make_solver(fun)`` returns an object whose ``run(init, cost_matrix=...,
            marginals_a=..., marginals_b=...)`` minimises the dual function fun, and whose result
            has ``params``, as in JAXopt. What it finds is where our own method starts, which ends
            at rounding whatever it finds. None needs no other solver.
        use_semi_dual: which function ``make_solver`` gets: equation (10) of the source, of alpha
            alone, or equation (7), of (alpha, beta). Without ``make_solver`` there is no
            difference.

    Returns:
        P [m, n]; NaN if traced arguments make no sense, or in 1000 sweeps nothing was found.

    Raises:
        ValueError: negative marginals or unequal sums (beyond the square root of the precision),
            integers, not finite, wrong shapes, a make_solver that makes none.

    Source: Blondel, Seguy and Rolet, AISTATS 2018, arXiv 1710.06276.

    Example:
        >>> S, half = jnp.array([[1.0, 0.5], [0.0, 0.0]]), jnp.array([0.5, 0.5])
        >>> projection_transport(S, (half, half)).round(12).tolist()
        [[0.375, 0.125], [0.125, 0.375]]
    """
    name = "projection_transport"
    return _projected(name, sim_matrix, marginals, make_solver, use_semi_dual)


def _projected(
    name: str, sim_matrix: Any, marginals: Any, make_solver: Any, semi: bool
) -> jax.Array:
    S, a, b, well = _problem(name, sim_matrix, marginals)
    start = _start(name, make_solver, semi, False, S, a, b)
    P, solved = _euclidean(poisoned(S, *well), a, b, start)  # nothing is sought where all is NaN
    return poisoned(P, solved, *well)


def kl_projection_transport(
    sim_matrix: Any,
    marginals: tuple[Any, Any],
    make_solver: Callable[..., Any] | None = None,
    use_semi_dual: bool = True,
) -> jax.Array:
    r"""The plan nearest to exp(S) in the Kullback-Leibler sense: entropic transport.

    .. math:: \arg\min_{P > 0} \mathrm{KL}(P, e^S) \quad\text{subject to}\quad
              P 1 = a,\ P^T 1 = b

    Args:
        sim_matrix: S [m, n], minus the cost matrix divided by the temperature.
        marginals: ``(marginals_a, marginals_b)``, [m] and [n], of equal sums.
        make_solver: as in ``projection_transport``.
        use_semi_dual: as in ``projection_transport``.

    Returns:
        P [m, n]; NaN if traced arguments make no sense, or in 1000 sweeps the sums did not come
        out right, or S is beyond 1e11 in float64, where its exponentials mean nothing.

    Raises:
        ValueError: as ``projection_transport``.

    Source: Cuturi, NeurIPS 2013; Blondel, Seguy and Rolet, AISTATS 2018, arXiv 1710.06276.

    Example:
        >>> S, half = jnp.zeros((2, 2)), jnp.array([0.5, 0.5])
        >>> kl_projection_transport(S, (half, half)).round(12).tolist()
        [[0.25, 0.25], [0.25, 0.25]]
    """
    name = "kl_projection_transport"
    return _kl_projected(name, sim_matrix, marginals, make_solver, use_semi_dual)


def _kl_projected(
    name: str, sim_matrix: Any, marginals: Any, make_solver: Any, semi: bool
) -> jax.Array:
    S, a, b, well = _problem(name, sim_matrix, marginals)
    start = _start(name, make_solver, semi, True, S, a, b)
    P, solved = _entropic(_centred(poisoned(S, *well)), a, b, start[0])
    return poisoned(P, solved > 0, *well)


def _ones(name: str, sim_matrix: Any) -> tuple[Any, tuple[Any, Any]]:
    S = real(name, "sim_matrix", sim_matrix, ndim=2)
    if S.shape[0] != S.shape[1]:
        raise ValueError(f"{name} needs a square sim_matrix; found shape {S.shape}; pad it")
    ones = jnp.ones(S.shape[:1], S.dtype)
    return S, (ones, ones)


def projection_birkhoff(
    sim_matrix: Any,
    make_solver: Callable[..., Any] | None = None,
    use_semi_dual: bool = True,
) -> jax.Array:
    r"""The nearest doubly stochastic matrix: all rows and columns sum to one.

    .. math:: \arg\min_{P \ge 0} \|P - S\|_2^2 \quad\text{subject to}\quad P 1 = 1,\ P^T 1 = 1

    Args:
        sim_matrix: S [n, n].
        make_solver: as in ``projection_transport``.
        use_semi_dual: as in ``projection_transport``.

    Returns:
        P [n, n].

    Raises:
        ValueError: not square, integers, not finite (NaN when traced).

    Source: Blondel, Seguy and Rolet, AISTATS 2018, arXiv 1710.06276.

    Example:
        >>> projection_birkhoff(jnp.array([[3.0, 0.0], [0.0, 0.0]])).round(12).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    S, ones = _ones("projection_birkhoff", sim_matrix)
    return _projected("projection_birkhoff", S, ones, make_solver, use_semi_dual)


def kl_projection_birkhoff(
    sim_matrix: Any,
    make_solver: Callable[..., Any] | None = None,
    use_semi_dual: bool = True,
) -> jax.Array:
    r"""The doubly stochastic matrix nearest to exp(S) in the Kullback-Leibler sense.

    .. math:: \arg\min_{P > 0} \mathrm{KL}(P, e^S) \quad\text{subject to}\quad
              P 1 = 1,\ P^T 1 = 1

    Args:
        sim_matrix: S [n, n].
        make_solver: as in ``projection_transport``.
        use_semi_dual: as in ``projection_transport``.

    Returns:
        P [n, n].

    Raises:
        ValueError: not square, integers, not finite (NaN when traced).

    Source: Sinkhorn and Knopp (1967); Blondel, Seguy and Rolet, AISTATS 2018, arXiv 1710.06276.

    Example:
        >>> kl_projection_birkhoff(jnp.zeros((2, 2))).round(12).tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """
    S, ones = _ones("kl_projection_birkhoff", sim_matrix)
    return _kl_projected("kl_projection_birkhoff", S, ones, make_solver, use_semi_dual)
