r"""Multiclass logistic regression with an l2 penalty, differentiable in its data.

.. math:: W^*(X, Y, \varepsilon) = \operatorname*{argmin}_{W \in \mathbb{R}^{p \times k}}
          \frac1n \sum_{i=1}^n \ell(W^T x_i, y_i) + \varepsilon\, |W|^2, \qquad
          \ell(z, y) = -\sum_c y_c \log\operatorname{softmax}(z)_c

with n samples :math:`x_i` of p features, and k classes. **The penalty has no factor 1/2 and stands
beside the mean of the losses**: scikit-learn's ``C`` is :math:`1/(2 n \varepsilon)`. There is no
intercept; a feature that is always 1 makes a penalised one.

**The smaller of two problems is solved.** The gradient is zero only where
:math:`W = X^T V` (the representer theorem). So the n k numbers V are the root of

.. math:: F(V) = 2 \varepsilon V + R(X X^T V), \qquad
          R(Z) = \frac1n (\operatorname{softmax}(Z) - Y),

which knows the features by their products :math:`X X^T` alone. A step of Newton's method on F is
one on W. With D the derivative of R, :math:`\partial F = 2 \varepsilon I + D\, X X^T` has no
eigenvalue below :math:`2 \varepsilon`, since D and :math:`X X^T` are positive semidefinite: V is
unique and its derivative regular whatever the rank of X, also where samples coincide.

================== ======== ========== ======== ==========
size               unknowns solver     mapping  derivative
================== ======== ========== ======== ==========
n < p, n k <= 1500 V        NewtonRoot F        LU
p k <= 1500        W        NewtonRoot gradient Cholesky
beyond             W        LBFGS      gradient CG
================== ======== ========== ======== ==========

Newton's steps are shortened until the norm of the gradient, or of F, falls; unlike the objective it
is known to full precision near the solution.

Reference: Bishop, *Pattern Recognition and Machine Learning*, 2006, section 4.3.4.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.implicit.linear_solve.dense import DENSE_LIMIT
from simsens.implicit.root import held
from simsens.optimality.gradient_step import checked_step
from simsens.optimality.stationary import stationary
from simsens.solvers.lbfgs import LBFGS
from simsens.solvers.newton import NewtonRoot
from simsens.solvers.solution import Solution
from simsens.solvers.solve import solve


def logistic_loss(W: Any, X: Any, y: Any) -> Any:
    r"""The mean logistic loss :math:`\frac1n \sum_i \ell(W^T x_i, y_i)`.

    Args:
        W: ``[p, k]`` weights.
        X: ``[n, p]`` samples.
        y: ``[n]`` labels 0 .. k-1, or ``[n, k]`` rows of probabilities; a row whose sum is t counts
            t times. A label out of range that nobody can see while tracing makes the loss NaN.

    Raises:
        ValueError: shapes that do not fit, labels out of range, probabilities that are none.

    Example:
        >>> round(float(logistic_loss(jnp.zeros((3, 4)), jnp.ones((2, 3)), np.array([0, 3]))), 6)
        1.386294
    """
    W, X = _array(W), _array(X)
    if W.ndim != 2 or X.ndim != 2 or X.shape[1] != len(W):
        raise ValueError(
            f"the loss needs weights [p, k] and samples [n, p], found shapes {W.shape} and"
            f" {X.shape}"
        )
    Z = jnp.asarray(X @ W)
    Y = class_probabilities(y, *Z.shape).astype(Z.dtype)
    return (Y.sum(axis=1) @ jax.nn.logsumexp(Z, axis=1) - jnp.vdot(Y, Z)) / len(Z)


def penalised_loss(W: Any, X: Any, y: Any, penalty: Any) -> Any:
    r"""What is minimised over W: the mean logistic loss plus :math:`\varepsilon |W|^2`.

    For any algorithm of ``simsens.solvers``; ``multiclass_logistic`` chooses one itself.

    Example:
        >>> from simsens.solvers import GradientDescent, solve
        >>> X, y = jnp.array([[1.0], [-1.0]]), np.array([0, 1])
        >>> descent = GradientDescent(penalised_loss)
        >>> print(solve(descent, jnp.zeros((1, 2)), X, y, 0.1).value.round(4))
        [[ 0.8168 -0.8168]]
    """
    return logistic_loss(W, X, y) + penalty * jnp.vdot(W, W)


def multiclass_logistic(
    X: Any,
    y: Any,
    penalty: Any,
    *,
    classes: int | None = None,
    init: Any = None,
    tol: float | None = None,
    maxiter: int = 500,
    on_failure: str = "nan",
) -> Solution:
    r"""The weights W ``[p, k]`` that minimise ``penalised_loss``, differentiable in the data.

    Args:
        X: ``[n, p]`` samples.
        y: ``[n]`` labels, or ``[n, k]`` rows of probabilities, which get derivatives.
        penalty: :math:`\varepsilon > 0`; NaN where a traced one is not.
        classes: k; by default one more than the largest label.
        init: ``[p, k]`` weights to start from, by default zero; they get no derivative.
        tol: the Euclidean norm of the gradient that counts as zero; by default 1e-8 in float64,
            1e-4 in float32.
        maxiter: the most iterations.
        on_failure: what becomes of the derivative where the tolerance was not reached: see
            ``simsens.implicit.failure``.

    Returns:
        The weights with their verdict. ``residual`` is the norm of the gradient, or, where there
        are fewer samples than features, its bound :math:`|X|\, |F|`.

    Raises:
        ValueError: shapes that do not fit, labels out of range, probabilities that are none,
            a penalty that is not positive, numbers that are not finite.

    Example:
        >>> X, y = jnp.array([[1.0, 0.5, 0.0], [-1.0, 0.5, 0.0]]), np.array([0, 1])
        >>> print(multiclass_logistic(X, y, 0.1).value.round(4))
        [[ 0.8168 -0.8168]
         [ 0.      0.    ]
         [ 0.      0.    ]]
        >>> slope = jax.grad(lambda penalty: multiclass_logistic(X, y, penalty).value[0, 0])(0.1)
        >>> round(float(slope), 4)
        -3.4511
    """
    X = checked_samples(X)
    n, p = X.shape
    y = class_probabilities(y, n, classes).astype(X.dtype)
    k = y.shape[1]
    penalty = jnp.asarray(checked_step(penalty, "penalty"), X.dtype)
    start = jnp.zeros((p, k), X.dtype) if init is None else jnp.asarray(init, X.dtype)
    if start.shape != (p, k):
        raise ValueError(f"init must have the shape ({p}, {k}) of the weights, found {start.shape}")
    options: dict[str, Any] = {"tol": tol, "maxiter": maxiter, "on_failure": on_failure}
    if n < p and n * k <= DENSE_LIMIT:
        return _by_samples(X, y, penalty, None if init is None else start, options)
    gradient = stationary(penalised_loss, convex=True)
    algorithm: Any = NewtonRoot(gradient) if p * k <= DENSE_LIMIT else LBFGS(penalised_loss)
    return solve(algorithm, start, X, y, penalty, optimality=gradient, **options)


def class_probabilities(y: Any, n: int, classes: int | None = None) -> Any:
    """Labels ``[n]`` as rows ``[n, k]`` that are 1 at the label; rows of probabilities as they are.

    Args:
        y: labels, or rows of numbers that are not negative.
        n: how many there must be.
        classes: k; by default one more than the largest label.

    Raises:
        ValueError: another shape or kind; a label out of range, a negative probability, where they
            can be seen. While tracing they cannot, and the row of such a label is NaN.

    Example:
        >>> print(class_probabilities(np.array([1, 0]), 2))
        [[0. 1.]
         [1. 0.]]
    """
    y = _array(y)
    shape, known = y.shape, not isinstance(y, jax.core.Tracer)
    if len(shape) not in (1, 2) or shape[0] != n or not _is_real(y):
        raise ValueError(
            f"y must hold a label or a row of probabilities for each of {n} samples, found"
            f" {y.dtype} of shape {shape}"
        )
    k = shape[1] if len(shape) == 2 else _number_of_classes(y, known, classes)
    if k < 2 or classes not in (None, k):
        raise ValueError(f"y must tell {classes or 'at least 2'} classes apart, found {k}")
    if known:
        _check_range(np.asarray(y), k)  # NumPy's: operations on a jax array could be traced
    if len(shape) == 1:
        outside = jnp.asarray((y < 0) | (y >= k))
        return jnp.where(outside[:, None], jnp.nan, jax.nn.one_hot(y, k))
    return jnp.asarray(y)


def _check_range(y: np.ndarray, k: int) -> None:
    least, most = y.min(), y.max()
    if y.ndim == 1 and (least < 0 or most >= k):
        raise ValueError(f"labels must lie in 0 .. {k - 1}, found {least} .. {most}")
    if not (least >= 0 and most < np.inf):
        raise ValueError(f"probabilities must be finite and not negative, found {least} .. {most}")


def _number_of_classes(y: Any, known: bool, classes: int | None) -> int:
    if not jnp.issubdtype(y.dtype, jnp.integer):
        raise ValueError(
            f"labels must be whole numbers, found {y.dtype}; give integers, or rows of"
            " probabilities"
        )
    if classes is None and not known:
        raise ValueError("labels that are traced do not tell how many classes there are: say so")
    return int(np.asarray(y).max()) + 1 if classes is None else classes


def checked_samples(X: Any) -> Any:
    """Samples ``[n, p]`` as floating-point numbers.

    Raises:
        ValueError: another shape, none at all, complex, or, where that can be seen, not finite.

    Example:
        >>> print(checked_samples([[1, 0], [0, 1]]))
        [[1. 0.]
         [0. 1.]]
    """
    X = _array(X)
    if X.ndim != 2 or X.size == 0 or not _is_real(X):
        raise ValueError(
            f"samples must be real numbers [n, p], at least one, found {X.dtype} of shape {X.shape}"
        )
    if not isinstance(X, jax.core.Tracer) and not np.isfinite(np.asarray(X)).all():
        raise ValueError("samples must be finite, found NaN or infinity; leave those out")
    return jnp.asarray(X, X.dtype if jnp.issubdtype(X.dtype, jnp.floating) else float)


def _array(x: Any) -> Any:
    return x if isinstance(x, jax.Array) else np.asarray(x)


def _is_real(x: Any) -> bool:
    return any(jnp.issubdtype(x.dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_))


def _by_samples(X: Any, Y: Any, penalty: Any, start: Any, options: Any) -> Solution:
    """By one row of unknowns for each sample; the gradient of W is ``X^T F``."""
    gram, still = X @ X.T, held(X)
    size = jnp.linalg.norm(still)
    V = jnp.zeros_like(Y) if start is None else _rows_of(start, still)
    scale = jnp.where(size > 0, size, 1)
    found = solve(NewtonRoot(_by_sample), V, gram, Y, penalty, scale, **options)
    return replace(found, value=X.T @ found.value)


def _by_sample(V: Any, gram: Any, Y: Any, penalty: Any, scale: Any) -> Any:
    """``scale * F``, whose norm bounds that of the gradient."""
    P = jax.nn.softmax(gram @ V, axis=1) * Y.sum(axis=1, keepdims=True)
    return scale * (2 * penalty * V + (P - Y) / len(Y))


def _rows_of(W: Any, X: Any) -> Any:
    """V with ``X X^T V = X W``, nearly: it is only where to start."""
    gram = X @ X.T
    ridge = jnp.sqrt(jnp.finfo(X.dtype).eps) * jnp.trace(gram) / len(X) + jnp.finfo(X.dtype).tiny
    return jnp.linalg.solve(gram + ridge * jnp.eye(len(X), dtype=X.dtype), X @ held(W))
