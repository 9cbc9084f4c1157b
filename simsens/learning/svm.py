r"""Multiclass support vector machines, differentiable in the data and the regularisation.

The machine of Crammer and Singer (JMLR 2, 2001) has a weight vector for each of k classes and pays
for every sample whose own class does not win by a margin of one,

.. math:: \min_W \sum_i \max_j \bigl(1 - Y_{ij} + x_i^T w_j - x_i^T w_{y_i}\bigr)
          + \tfrac\theta2 \|W\|_F^2 .

Its dual has a distribution over the classes for each of the m samples, a row of x,

.. math:: \min_{x \in \triangle^m} \tfrac\theta2 \|W(x, \theta)\|_F^2 + \langle x, Y\rangle, \qquad
          W(x, \theta) = X^T (Y - x) / \theta ,

which sees the data through :math:`K = X X^T` alone. A product with K costs :math:`m^2 k`, one with
X and one with its transpose :math:`2 m p k`; the cheaper is taken.

**The solver and the fixed point are independent.** Mirror descent, projected gradient and block
coordinate descent find the same x, and each can be differentiated by the fixed point of another:
the projected gradient's, in the symmetric form of ``learning.face``, or mirror descent's
(Blondel et al., arXiv 2105.15183, section 4.1).

**What may go wrong.** A sample that just touches its margin without holding it
(``complementarity_margin`` near zero) has two derivatives. Where the data are of low rank x may not
be unique; W is, and so are its derivatives.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from simsens.implicit.fixed_point import displacement
from simsens.implicit.linear_solve.general import solve_gmres
from simsens.implicit.linear_solve.symmetric import solve_cg
from simsens.learning.face import on_face
from simsens.learning.gram import (
    Matrices,
    half_square,
    kernel_matrix,
    regularisation,
    safe_step,
    square_root,
    times,
)
from simsens.optimality.gradient_step import checked_step
from simsens.optimality.mirror_descent import mirror_descent_kl
from simsens.projection.feasibility import known, real
from simsens.solvers.block_coordinate_descent import BlockCoordinateDescent
from simsens.solvers.mirror_descent import MirrorDescent
from simsens.solvers.projected_gradient import ProjectedGradient
from simsens.solvers.solution import Solution
from simsens.solvers.solve import solve

SOLVERS = ("projected_gradient", "mirror_descent", "block_coordinate_descent")
FIXED_POINTS = ("projected_gradient", "mirror_descent")


def multiclass_svm(X: Any, Y: Any, theta: Any, **options: Any) -> Solution:
    r"""The dual solution of a linear multiclass SVM.

    Where p is not small against m this forms :math:`X X^T`; for many theta form it once, and call
    ``multiclass_kernel_svm``.

    Args:
        X: ``[m, p]`` the data, a sample a row.
        Y: ``[m, k]`` the classes, one-hot.
        theta: the regularisation, positive; 1/C elsewhere.
        **options: as ``multiclass_kernel_svm``.

    Returns:
        The solution; its ``value`` is x ``[m, k]``, differentiable in X, Y and theta.

    Raises:
        ValueError: X is not finite; and see ``multiclass_kernel_svm``.

    Example:
        >>> X, Y = jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.eye(2)
        >>> W = lambda theta: primal_weights(multiclass_svm(X, Y, theta).value, X, Y, theta)
        >>> print(W(0.5).round(6))
        [[ 0.5  -0.5 ]
         [-0.25  0.25]]
    """
    real("multiclass_svm", "X", X, ndim=2)
    X = jnp.asarray(X)
    m, p = X.shape
    blocks = options.get("solver") == "block_coordinate_descent"
    if p <= m if blocks else 2 * p < m:
        return _solved("multiclass_svm", (X.T, X), Y, theta, **options)
    return _solved("multiclass_svm", (X @ X.T,), Y, theta, **options)


def multiclass_kernel_svm(K: Any, Y: Any, theta: Any, **options: Any) -> Solution:
    r"""The dual solution of a multiclass SVM that is given the products of its samples.

    Args:
        K: ``[m, m]`` the kernel matrix, symmetric and positive semidefinite; :math:`X X^T` for a
            linear machine, formed once for all theta.
        Y: ``[m, k]`` the classes, one-hot.
        theta: the regularisation, positive.
        **options: ``solver``, one of ``SOLVERS``; ``fixed_point`` to judge and differentiate by,
            one of ``FIXED_POINTS``; ``step``, a number or a schedule (``solvers.schedule``), by
            default a safe one; of block coordinate descent a number, in units of
            :math:`1/K_{ii}`, by default theta, which minimises over a block; ``init`` ``[m, k]``,
            by default 1/k; and those of ``solvers.solve``: ``tol``, ``maxiter``,
            ``differentiation``, ``linear_solve``, ``on_failure``.

    Returns:
        The solution; its ``value`` is x ``[m, k]``, differentiable in K, Y and theta. Scores of
        other samples are :math:`K_{new} (Y - x) / \theta`.

    Raises:
        ValueError: K is not square, symmetric or finite; Y is not one-hot or has another
            number of rows; theta or the step is not positive; an unknown solver or fixed point.

    Example:
        >>> K, Y = jnp.array([[1.0, 0.0], [0.0, 4.0]]), jnp.eye(2)
        >>> print(multiclass_kernel_svm(K, Y, 0.5).value.round(6))
        [[0.75   0.25  ]
         [0.0625 0.9375]]
    """
    K = kernel_matrix("multiclass_kernel_svm", K)
    return _solved("multiclass_kernel_svm", (K,), Y, theta, **options)


def primal_weights(x: Any, X: Any, Y: Any, theta: Any) -> Any:
    r"""The weights of the machine, :math:`W = X^T (Y - x) / \theta`, ``[p, k]``.

    Example:
        >>> print(primal_weights(jnp.zeros((2, 2)), 3 * jnp.eye(2), jnp.eye(2), 1.5))
        [[2. 0.]
         [0. 2.]]
    """
    return X.T @ (Y - x) / theta


def dual_objective(x: Any, X: Any, Y: Any, theta: Any) -> Any:
    r""":math:`\tfrac\theta2 \|W(x, \theta)\|_F^2 + \langle x, Y\rangle`, to be minimised.

    Example:
        >>> float(dual_objective(jnp.zeros((2, 2)), jnp.eye(2), jnp.eye(2), 0.5))
        2.0
    """
    return jnp.sum((X.T @ (Y - x)) ** 2) / (2 * theta) + jnp.vdot(x, Y)


def duality_gap(x: Any, X: Any, Y: Any, theta: Any) -> Any:
    r"""What the primal loss at W(x) exceeds its smallest value by, at most; 0 at the solution.

    The minimum of the dual objective is m less the minimum of the primal one.

    Example:
        >>> X, Y = jnp.eye(2), jnp.eye(2)
        >>> round(float(duality_gap(multiclass_svm(X, Y, 1.0).value, X, Y, 1.0)), 12)
        0.0
    """
    W = primal_weights(x, X, Y, theta)
    scores = X @ W
    hinge = jnp.max(scores + 1 - Y, axis=1) - jnp.sum(scores * Y, axis=1)
    primal = jnp.sum(hinge) + theta / 2 * jnp.sum(W**2)
    return primal + dual_objective(x, X, Y, theta) - len(Y)


def complementarity_margin(x: Any, X: Any, Y: Any, theta: Any) -> Any:
    r"""How far the solution is from a kink: the least of :math:`\max(x_{ij}, s_{ij})`.

    :math:`s_{ij}` is by how much the gradient of the dual objective at a class exceeds its mean
    :math:`\sum_j x_{ij} g_{ij}` over the sample's own classes. At a solution each entry has
    x = 0 or s = 0. Where both vanish, a change of theta one way and the other has different
    derivatives; where both are small, the derivative holds for small changes.

    Example:
        >>> X, Y = jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.eye(2)
        >>> [round(float(complementarity_margin(multiclass_svm(X, Y, t).value, X, Y, t)), 6)
        ...  for t in (1.0, 2.0, 3.0)]  # at theta = 2 the rows of x reach a corner
        [0.5, 0.0, 0.333333]
    """
    slack = _slack(x, jax.grad(dual_objective)(x, X, Y, theta))
    return jnp.min(jnp.maximum(x, slack))


def _objective(x: Any, extra: Any, matrices: Matrices, Y: Any, theta: Any) -> Any:
    return half_square(matrices, Y - x) / theta + jnp.vdot(x, Y)


def _scaled(x: Any, scale: Any, matrices: Matrices, Y: Any, theta: Any) -> Any:
    """The objective times the safe step, so that a step of one is safe."""
    return scale * _objective(x, None, matrices, Y, theta)


def _slack(x: Any, gradient: Any) -> Any:
    """By how much the gradient exceeds its mean over each row of x."""
    return gradient - jnp.sum(x * gradient, axis=1, keepdims=True)


def _mirror_displacement(x: Any, hyperparams: Any, *args: Any) -> Any:
    r"""What a mirror descent step moves, each entry in its own unit.

    With slack s the step multiplies an entry by about :math:`e^{-s}`: one that is to vanish moves
    by :math:`x (1 - e^{-s})`, one that stays by x times a change of s. Divided by the larger of
    x and :math:`1 - e^{-s}` neither row of the linear system is small, and its solution, which no
    factor of a row changes, takes GMRES a few times fewer products.
    """
    still, held = lax.stop_gradient((x, args))
    slack = _slack(still, jax.grad(_objective)(still, *held))
    unit = jnp.maximum(still, jnp.abs(jnp.expm1(-slack)))
    tiny = jnp.finfo(x.dtype).eps
    return _mirror_moved(x, hyperparams, *args) / jnp.maximum(unit, tiny)


_mirror_moved = displacement(mirror_descent_kl(_objective))


def _simplices(y: Any, _: Any = None) -> Any:
    """The nearest point of every row on the simplex.

    An entry is above the threshold if the others exceed it by less than one in total; for few
    classes comparing all pairs is faster than sorting.
    """
    y = y - lax.stop_gradient(jnp.max(y, axis=-1, keepdims=True))
    excess = jnp.maximum(y[..., None, :] - y[..., :, None], 0).sum(axis=-1)
    support = lax.stop_gradient(~(excess >= 1))  # NaN belongs to it, and is handed on
    total = jnp.sum(jnp.where(support, y, 0), axis=-1, keepdims=True)
    return jnp.where(support, y - (total - 1) / support.sum(axis=-1, keepdims=True), 0)


def _solved(
    name: str,
    matrices: Matrices,
    Y: Any,
    theta: Any,
    *,
    solver: str = "projected_gradient",
    fixed_point: str = "projected_gradient",
    step: Any = None,
    init: Any = None,
    differentiation: str = "implicit",
    **options: Any,
) -> Solution:
    for what, chosen, names in (
        ("solver", solver, SOLVERS),
        ("fixed_point", fixed_point, FIXED_POINTS),
    ):
        if chosen not in names:
            raise ValueError(f"{what} must be one of {', '.join(names)}; found {chosen!r}")
    dtype = matrices[0].dtype
    Y = _classes(name, Y, len(matrices[-1])).astype(dtype)
    theta = regularisation(name, theta, dtype)
    init = jnp.full(Y.shape, 1 / Y.shape[1], dtype) if init is None else init
    algorithm, extra = _algorithm(solver, step, matrices, theta, differentiation)
    maps = {
        "projected_gradient": on_face(_objective, _simplices),
        "mirror_descent": _mirror_displacement,
    }
    # Few unknowns move, so that iterations are few. The matrix of mirror descent is not symmetric.
    by_mirror = fixed_point == "mirror_descent"
    options.setdefault("linear_solve", solve_gmres if by_mirror else solve_cg)
    return solve(
        algorithm, init, None, extra, matrices, Y, theta,
        optimality=maps[fixed_point], differentiation=differentiation, **options,
    )  # fmt: skip


def _algorithm(
    solver: str, step: Any, matrices: Matrices, theta: Any, differentiation: str
) -> tuple[Any, Any]:
    """The algorithm, and what it needs besides the matrices."""
    blocks = solver == "block_coordinate_descent"
    if step is not None and (blocks or not callable(step)):
        checked_step(step)
    if blocks:
        algorithm = _block_descent(step)
        if len(matrices) > 1:
            return algorithm, matrices[1]
        # The implicit derivative goes through K: a root of equal eigenvalues has none.
        (K,) = matrices if differentiation == "unrolled" else lax.stop_gradient(matrices)
        return algorithm, square_root(K)
    fun: Any = _objective
    extra: Any = None
    if step is None:
        # In the geometry of the entropy L is half as large: a change v of a row sums to zero, and
        # hence has |v|_1^2 >= 2 |v|_2^2.
        step = 2.0 if solver == "mirror_descent" else 1.0
        fun, extra = _scaled, safe_step(matrices, theta)
    if solver == "mirror_descent":
        return MirrorDescent(fun, step), extra
    return ProjectedGradient(fun, _simplices, step), extra


def _block_descent(step: float | None) -> BlockCoordinateDescent:
    r"""With :math:`A A^T = K`, f is :math:`|A^T x|^2 / 2\theta + \langle x, \nabla f(0)\rangle`."""

    def outer(z: Any, matrices: Matrices, Y: Any, theta: Any) -> Any:
        return jnp.sum(z**2) / (2 * theta)

    def linear(matrices: Matrices, Y: Any, theta: Any) -> Any:
        return Y - times(matrices, Y) / theta

    def block_prox(row: Any, hyperparams: Any, scaling: Any) -> Any:
        return _simplices(row)

    def smoothness(matrices: Matrices, Y: Any, theta: Any) -> Any:
        return 1 / (theta if step is None else step)

    return BlockCoordinateDescent(outer, block_prox, smoothness, linear)


def _classes(name: str, Y: Any, samples: int) -> Any:
    Y = jnp.asarray(Y)
    if Y.ndim != 2 or Y.shape[0] != samples or Y.shape[1] < 2:
        raise ValueError(
            f"{name} needs Y of shape [{samples}, k], k >= 2, a class a column; found"
            f" {Y.shape}; give a row for each sample, one-hot"
        )
    if known(Y):
        array = np.asarray(Y)
        wrong = np.flatnonzero(~(np.isin(array, (0, 1)).all(axis=1) & (array.sum(axis=1) == 1)))
        if len(wrong):
            raise ValueError(
                f"{name} needs Y one-hot; found row {wrong[0]} = {array[wrong[0]].tolist()}; give a"
                " single 1 and zeros in every row"
            )
    return Y
