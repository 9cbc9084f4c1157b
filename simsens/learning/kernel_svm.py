r"""The binary support vector machine with an intercept, for any kernel matrix.

With labels :math:`y_i = \pm 1` and :math:`K_{ij} = \kappa(x_i, x_j)`,

.. math:: \min_{w, b} \sum_i \max\bigl(0,\ 1 - y_i (w^T \phi_i + b)\bigr) + \tfrac\theta2 \|w\|^2

has the dual

.. math:: \min_x \tfrac1{2\theta} x^T K x - x^T y \quad\text{subject to}\quad
          \textstyle\sum_i x_i = 0,\quad 0 \le y_i x_i \le 1,

a section of a box: the sum is the intercept's condition. A new sample has the score
:math:`\kappa(x_{new}, \cdot)\, x / \theta + b`. scikit-learn's ``SVC`` has :math:`C = 1/\theta` and
keeps :math:`x / \theta` as its ``dual_coef_``. Written so, the set does not depend on
:math:`\theta`, and the derivative is that of ``learning.face``: differentiable in K, hence in the
kernel's parameters, and in :math:`\theta`.

Reference: Blondel et al., arXiv 2105.15183, appendix C (box sections).
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from simsens.learning.face import on_face
from simsens.learning.gram import half_square, kernel_matrix, regularisation, safe_step
from simsens.projection.box_section import projection_box_section
from simsens.projection.feasibility import known
from simsens.solvers.projected_gradient import ProjectedGradient
from simsens.solvers.solution import Solution
from simsens.solvers.solve import solve


def kernel_svm(
    K: Any, y: Any, theta: Any, *, step: Any = None, init: Any = None, **options: Any
) -> Solution:
    r"""The dual solution of a binary kernel SVM, by projected gradient.

    Args:
        K: ``[m, m]`` the kernel matrix, symmetric and positive semidefinite.
        y: ``[m]`` the labels, -1 or 1, both of them there.
        theta: the regularisation, positive; 1/C elsewhere.
        step: of the projected gradient, a number or a schedule; by default a safe one.
        init: ``[m]`` where to start, 0 by default.
        **options: those of ``solvers.solve``: ``tol``, ``maxiter``, ``differentiation``,
            ``linear_solve``, ``on_failure``.

    Returns:
        The solution; its ``value`` is x ``[m]``, differentiable in K and theta, if the
        ``complementarity_margin`` is not zero.

    Raises:
        ValueError: K is not square, symmetric or finite; y has another length or other
            labels, or one of them is missing; theta is not positive.

    Example:
        >>> K, y = jnp.array([[1.0, -2.0], [-2.0, 4.0]]), jnp.array([1.0, -1.0])
        >>> print(kernel_svm(K, y, 1.0).value.round(6))  # samples 1 and -2 on the line
        [ 0.222222 -0.222222]
    """
    K = kernel_matrix("kernel_svm", K)
    y = _labels(y, len(K)).astype(K.dtype)
    theta = regularisation("kernel_svm", theta, K.dtype)
    fun: Any = _objective
    scale: Any = None
    if step is None:
        fun, step, scale = _scaled, 1.0, safe_step((K,), theta)
    section = (jnp.minimum(y, 0), jnp.maximum(y, 0), 1.0, 0.0)
    algorithm = ProjectedGradient(fun, projection_box_section, step)
    init = jnp.zeros_like(y) if init is None else init
    return solve(
        algorithm, init, section, scale, K, y, theta,
        optimality=on_face(_objective, projection_box_section), **options,
    )  # fmt: skip


def intercept(x: Any, K: Any, y: Any, theta: Any) -> Any:
    r"""b: the mean of :math:`y_i - (K x)_i / \theta` over the samples on the margin.

    These have :math:`0 < y_i x_i < 1`. Where there is none, b is not unique: the middle of its
    interval.

    Example:
        >>> K, y = jnp.array([[1.0, -2.0], [-2.0, 4.0]]), jnp.array([1.0, -1.0])
        >>> float(intercept(kernel_svm(K, y, 1.0).value, K, y, 1.0).round(6))
        0.333333
    """
    room = y - K @ x / theta
    share = x * y
    free = (share > 0) & (share < 1)
    # x may grow where it is at its lower bound, hence b is at least room there.
    lower = jnp.where(y > 0, share <= 0, share >= 1)
    low = jnp.max(jnp.where(lower, room, -jnp.inf))
    high = jnp.min(jnp.where(free | lower, jnp.inf, room))
    mean = jnp.sum(jnp.where(free, room, 0)) / jnp.maximum(jnp.sum(free), 1)
    return jnp.where(jnp.any(free), mean, (low + high) / 2)


def complementarity_margin(x: Any, K: Any, y: Any, theta: Any) -> Any:
    r"""How far the solution is from a kink.

    A sample strictly inside its bounds is as far as the nearer of them; one at a bound as
    :math:`|y_i - (K x)_i/\theta - b|`, by how much it misses or exceeds the margin. Where both
    vanish for some sample, the derivative is that of one side. It is the least over the samples.

    Example:
        >>> K, y = jnp.array([[1.0, -2.0], [-2.0, 4.0]]), jnp.array([1.0, -1.0])
        >>> float(complementarity_margin(kernel_svm(K, y, 1.0).value, K, y, 1.0).round(6))
        0.222222
    """
    beyond = abs(y - K @ x / theta - intercept(x, K, y, theta))
    return jnp.min(jnp.maximum(jnp.minimum(x * y, 1 - x * y), beyond))


def _objective(x: Any, scale: Any, K: Any, y: Any, theta: Any) -> Any:
    return half_square((K,), x) / theta - x @ y


def _scaled(x: Any, scale: Any, K: Any, y: Any, theta: Any) -> Any:
    """The objective times the safe step, so that a step of one is safe."""
    return scale * _objective(x, None, K, y, theta)


def _labels(y: Any, samples: int) -> Any:
    y = jnp.asarray(y)
    if y.shape != (samples,):
        raise ValueError(
            f"kernel_svm needs y of shape ({samples},), a label for each row of K; found {y.shape}"
        )
    if known(y):
        found = np.unique(np.asarray(y)).tolist()
        if found != [-1, 1]:
            raise ValueError(
                f"kernel_svm needs both labels -1 and 1 in y; found {found[:4]}; map yours to them"
            )
    return y
