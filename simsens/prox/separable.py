r"""Convex proximity operators that act on every coordinate alone.

The proximity operator of :math:`s\,g` is
:math:`\operatorname{prox}_{s g}(x) = \arg\min_y \tfrac12 \|x - y\|^2 + s\,g(y)`, where s is called
``scaling``. Names, arguments and values follow JAXopt's ``prox`` module.

Hyperparameters and scaling may be numbers, arrays that broadcast to every leaf of x, or trees like
x. Derivatives exist in x, in every hyperparameter and in the scaling. At a kink the derivative is
that of the inactive side (zero, where a coordinate is just about to leave zero); where the penalty
vanishes the operator is the identity, and so is its derivative. Under tracing an argument that
would be refused makes the whole result NaN.

References: Parikh and Boyd, Proximal algorithms, 2014 (section 6); Combettes and Pesquet, Proximal
splitting methods in signal processing, 2011 (table 10.2).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from simsens.prox.arguments import Arguments


def prox_none(x: Any, hyperparams: Any = None, scaling: Any = 1.0) -> Any:
    r"""The identity, which is the proximity operator of :math:`g(y) = 0`.

    Args:
        x: any tree; it is returned as it is, unchecked.
        hyperparams: ignored.
        scaling: ignored.

    Example:
        >>> prox_none(3.0)
        3.0
    """
    del hyperparams, scaling
    return x


def prox_lasso(x: Any, l1reg: Any = None, scaling: Any = 1.0) -> Any:
    r"""Soft thresholding, the proximity operator of :math:`g(y) = \lambda \|y\|_1`.

    .. math:: \arg\min_y \tfrac12 \|x - y\|^2 + s \lambda \|y\|_1
        = \operatorname{sign}(x) \max(|x| - s \lambda, 0)

    Args:
        x: tree of arrays, real or complex (then :math:`\operatorname{sign}(x) = x / |x|`).
        l1reg: :math:`\lambda \ge 0`; a number, an array that broadcasts to each leaf (weights), or
            a tree like x (the weighted lasso). None is 1.
        scaling: :math:`s \ge 0`.

    Returns:
        A tree like x.

    Raises:
        ValueError: negative or non-finite arguments, integers for x, shapes that do not fit.

    Source: Donoho, De-noising by soft-thresholding, 1995. With :math:`s \lambda = 0` the
    derivative at x = 0 is 1 here; JAXopt's is 0.

    Example:
        >>> print(prox_lasso(jnp.array([3.0, -0.5, -2.0]), 1.0))
        [ 2.  0. -1.]
    """
    given = Arguments("prox_lasso")
    leaves = given.unknown(x, complex_too=True)
    weights = given.weight("l1reg", 1.0 if l1reg is None else l1reg)
    scales = given.weight("scaling", scaling)
    return given.apply(lambda u, w, s: soft(u, s * w), leaves, weights, scales)


def prox_non_negative_lasso(x: Any, l1reg: Any = None, scaling: Any = 1.0) -> Any:
    r"""One-sided soft thresholding: the lasso on the non-negative orthant.

    .. math:: \arg\min_{y \ge 0} \tfrac12 \|x - y\|^2 + s \lambda \sum_i y_i
        = \max(x - s \lambda, 0)

    Args:
        x: tree of real arrays.
        l1reg: :math:`\lambda \ge 0`, as in ``prox_lasso``.
        scaling: :math:`s \ge 0`.

    Returns:
        A tree like x.

    Raises:
        ValueError: as ``prox_lasso``; complex x.

    Source: Parikh and Boyd, section 6.5.

    Example:
        >>> print(prox_non_negative_lasso(jnp.array([3.0, -2.0]), 1.0))
        [2. 0.]
    """
    given = Arguments("prox_non_negative_lasso")
    leaves = given.unknown(x)
    weights = given.weight("l1reg", 1.0 if l1reg is None else l1reg)
    scales = given.weight("scaling", scaling)
    return given.apply(lambda u, w, s: positive(u - s * w), leaves, weights, scales)


def prox_elastic_net(x: Any, hyperparams: tuple[Any, Any] | None = None, scaling: Any = 1.0) -> Any:
    r"""The elastic net: soft thresholding followed by shrinking.

    .. math:: \arg\min_y \tfrac12 \|x - y\|^2
        + s \lambda \big(\|y\|_1 + \tfrac{\gamma}{2} \|y\|^2\big)
        = \frac{\operatorname{sign}(x) \max(|x| - s \lambda, 0)}{1 + s \lambda \gamma}

    Args:
        x: tree of arrays, real or complex.
        hyperparams: the pair :math:`(\lambda, \gamma)`, both non-negative, each as in
            ``prox_lasso``. None is (1, 1).
        scaling: :math:`s \ge 0`.

    Returns:
        A tree like x.

    Raises:
        ValueError: as ``prox_lasso``; not a pair.

    Source: Zou and Hastie, Regularization and variable selection via the elastic net, 2005.

    Example:
        >>> print(prox_elastic_net(jnp.array([3.0, -0.5, -2.0]), (1.0, 1.0)))
        [ 1.   0.  -0.5]
    """
    given = Arguments("prox_elastic_net")
    lam, gam = given.pair(hyperparams, "(l1reg, ratio)", (1.0, 1.0))
    leaves = given.unknown(x, complex_too=True)
    weights = given.weight("hyperparams[0]", lam)
    ratios = given.weight("hyperparams[1]", gam)
    scales = given.weight("scaling", scaling)

    def coordinate(u: jax.Array, w: jax.Array, r: jax.Array, s: jax.Array) -> jax.Array:
        return soft(u, s * w) / (1 + s * w * r).astype(u.dtype)

    return given.apply(coordinate, leaves, weights, ratios, scales)


def prox_ridge(x: Any, l2reg: Any = 1.0, scaling: Any = 1.0) -> Any:
    r"""Shrinking, the proximity operator of :math:`g(y) = \tfrac{\lambda}{2} \|y\|^2`.

    .. math:: \arg\min_y \tfrac12 \|x - y\|^2 + \frac{s \lambda}{2} \|y\|^2
        = \frac{x}{1 + s \lambda}

    The value is JAXopt's. JAXopt's docstring leaves out the one half of the penalty.

    Args:
        x: tree of arrays, real or complex.
        l2reg: :math:`\lambda \ge 0`, as in ``prox_lasso``; None is 1.
        scaling: :math:`s \ge 0`.

    Returns:
        A tree like x.

    Raises:
        ValueError: as ``prox_lasso``.

    Source: Parikh and Boyd, section 6.1.1.

    Example:
        >>> print(prox_ridge(jnp.array([3.0, -1.0]), 1.0))
        [ 1.5 -0.5]
    """
    given = Arguments("prox_ridge")
    leaves = given.unknown(x, complex_too=True)
    weights = given.weight("l2reg", 1.0 if l2reg is None else l2reg)
    scales = given.weight("scaling", scaling)
    return given.apply(lambda u, w, s: u / (1 + s * w).astype(u.dtype), leaves, weights, scales)


def prox_non_negative_ridge(x: Any, l2reg: Any = 1.0, scaling: Any = 1.0) -> Any:
    r"""Shrinking on the non-negative orthant.

    .. math:: \arg\min_{y \ge 0} \tfrac12 \|x - y\|^2 + \frac{s \lambda}{2} \|y\|^2
        = \frac{\max(x, 0)}{1 + s \lambda}

    The value is JAXopt's. JAXopt's docstring leaves out the one half of the penalty.

    Args:
        x: tree of real arrays.
        l2reg: :math:`\lambda \ge 0`, as in ``prox_lasso``; None is 1.
        scaling: :math:`s \ge 0`.

    Returns:
        A tree like x.

    Raises:
        ValueError: as ``prox_lasso``; complex x.

    Source: Parikh and Boyd, section 6.1.1.

    Example:
        >>> print(prox_non_negative_ridge(jnp.array([3.0, -1.0]), 1.0))
        [1.5 0. ]
    """
    given = Arguments("prox_non_negative_ridge")
    leaves = given.unknown(x)
    weights = given.weight("l2reg", 1.0 if l2reg is None else l2reg)
    scales = given.weight("scaling", scaling)
    return given.apply(lambda u, w, s: positive(u) / (1 + s * w), leaves, weights, scales)


def prox_huber(x: Any, hyperparams: tuple[Any, Any] | None = None, scaling: Any = 1.0) -> Any:
    r"""The proximity operator of the Huber loss: shrinking when small, a constant step when large.

    .. math:: g(y) = \lambda \sum_i h_\delta(y_i), \qquad
        h_\delta(y) = \begin{cases} y^2 / 2 & |y| \le \delta \\
        \delta\,(|y| - \delta / 2) & \text{otherwise} \end{cases}

    With :math:`t = s \lambda` the minimiser is :math:`x / (1 + t)` where
    :math:`|x| \le \delta (1 + t)`, else :math:`x - t \delta \operatorname{sign}(x)`.

    Args:
        x: tree of real arrays.
        hyperparams: the pair :math:`(\lambda, \delta)`: weight :math:`\lambda \ge 0` and width
            :math:`\delta > 0` of the quadratic part, each as in ``prox_lasso``. None is (1, 1).
        scaling: :math:`s \ge 0`.

    Returns:
        A tree like x.

    Raises:
        ValueError: as ``prox_lasso``; not a pair; :math:`\delta` not positive.

    Source: Huber, Robust estimation of a location parameter, 1964; Beck, First-order methods in
    optimization, 2017, example 6.66.

    Example:
        >>> print(prox_huber(jnp.array([1.0, -3.0]), (1.0, 1.0)))
        [ 0.5 -2. ]
    """
    given = Arguments("prox_huber")
    lam, delta = given.pair(hyperparams, "(weight, delta)", (1.0, 1.0))
    leaves = given.unknown(x)
    weights = given.weight("hyperparams[0]", lam)
    widths = given.weight("hyperparams[1]", delta, positive=True)
    scales = given.weight("scaling", scaling)

    def coordinate(u: jax.Array, w: jax.Array, d: jax.Array, s: jax.Array) -> jax.Array:
        t = s * w
        return jnp.where(jnp.abs(u) <= d * (1 + t), u / (1 + t), u - jnp.sign(u) * (t * d))

    return given.apply(coordinate, leaves, weights, widths, scales)


def prox_log_barrier(x: Any, hyperparams: Any = None, scaling: Any = 1.0) -> Any:
    r"""The proximity operator of the logarithmic barrier :math:`g(y) = -\lambda \sum_i \log y_i`.

    The minimiser is the positive root of :math:`y^2 - x y - t = 0`, :math:`t = s \lambda`:

    .. math:: y = \frac{x + \sqrt{x^2 + 4 t}}{2}, \qquad
        \mathrm{d}y = \frac{y\,\mathrm{d}x + \mathrm{d}t}{2 y - x}

    Args:
        x: tree of real arrays.
        hyperparams: :math:`\lambda > 0`, as in ``prox_lasso``; None is 1.
        scaling: :math:`s > 0`. At zero the root would have an infinite slope.

    Returns:
        A tree like x, positive.

    Raises:
        ValueError: as ``prox_lasso``; :math:`\lambda` or s not positive.

    Source: Combettes and Pesquet, table 10.2; the derivative is that of the quadratic equation.

    Example:
        >>> print(prox_log_barrier(jnp.array([0.0, 1.5]), 1.0))
        [1. 2.]
    """
    given = Arguments("prox_log_barrier")
    leaves = given.unknown(x)
    weights = given.weight("hyperparams", 1.0 if hyperparams is None else hyperparams, True)
    scales = given.weight("scaling", scaling, positive=True)
    return given.apply(lambda u, w, s: _barrier(u, s * w), leaves, weights, scales)


@jax.custom_jvp
def _barrier(x: jax.Array, t: jax.Array) -> jax.Array:
    # 2 y = x + r = 4 t / (r - x), r = sqrt(x^2 + 4 t): the form without cancellation for each sign.
    # hypot does not square, so that numbers near the ends of the range pass.
    half = jnp.sqrt(t)
    r = jnp.hypot(x, 2 * half)
    below = jnp.where(x < 0, x, jnp.zeros_like(x))
    return jnp.where(x < 0, half * (2 * half / (r - below)), x / 2 + r / 2)


@_barrier.defjvp
def _barrier_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    x, t = primals
    dx, dt = tangents
    y = _barrier(x, t)  # with this same rule: higher derivatives
    r = 2 * y - x  # no cancellation: y >= x, and y > 0
    return y, y / r * dx + dt / r


def soft(u: jax.Array, t: jax.Array) -> jax.Array:
    """Soft thresholding of an array by t >= 0, without a NaN anywhere.

    Example:
        >>> float(jax.grad(soft)(0.0, 1.0)), float(jax.grad(soft)(0.0, 0.0))
        (0.0, 1.0)
    """
    # Where t = 0 the operator is the identity, at u = 0 too.
    active = (jnp.abs(u) > t) | (t == 0)
    if jnp.issubdtype(jnp.asarray(u).dtype, jnp.complexfloating):
        # |u| has no derivative at zero: there 1 is taken for u, and the result is discarded.
        away = jnp.abs(u) > t
        factor = 1 - t / jnp.abs(jnp.where(away, u, jnp.ones_like(u)))
        factor = jnp.where(away, factor, jnp.ones_like(factor)).astype(u.dtype)
        return jnp.where(active, u * factor, jnp.zeros_like(u))
    return jnp.where(active, u - jnp.sign(u) * t, jnp.zeros_like(u))


def positive(u: jax.Array) -> jax.Array:
    """max(u, 0) with derivative zero at zero.

    Example:
        >>> float(jax.grad(positive)(0.0))
        0.0
    """
    return jnp.where(u > 0, u, jnp.zeros_like(u))
