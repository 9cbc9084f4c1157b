r"""Proximity operators that switch whole groups of coordinates on and off.

The penalty is a sum of Euclidean norms of groups. A group whose norm does not exceed the threshold
becomes zero as a whole; any other keeps its direction. The group is all of x, or, with ``groups``,
each set of coordinates that carry the same integer label. Derivatives stay finite at x = 0 and
where a norm meets the threshold (there that of the inactive side, zero, is taken).
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from simsens.prox.arguments import Arguments
from simsens.prox.separable import soft


def prox_group_lasso(x: Any, l2reg: Any = 1.0, scaling: Any = 1.0, groups: Any = None) -> Any:
    r"""Block soft thresholding, the proximity operator of a sum of Euclidean norms.

    .. math:: \arg\min_y \tfrac12 \|x - y\|^2 + s \sum_g \lambda_g \|y_g\|_2, \qquad
        y_g = \max\!\Big(1 - \frac{s \lambda_g}{\|x_g\|_2}, 0\Big)\, x_g

    Args:
        x: tree of arrays, real or complex, that is one group; with ``groups`` one array.
        l2reg: :math:`\lambda \ge 0`, a number; with ``groups`` also an array ``[G]``, one weight
            for each label. None is 1.
        scaling: :math:`s \ge 0`, a number.
        groups: labels 0 .. G-1, integers of the shape of x, known when compiled. None: one group.

    Returns:
        A tree like x; NaN where a traced argument is infeasible.

    Raises:
        ValueError: negative or non-finite arguments, integers for x, shapes that do not fit,
            labels that are traced, negative or no integers.

    Source: Yuan and Lin, Model selection and estimation in regression with grouped variables,
    2006. The first three arguments are JAXopt's, whose derivative is NaN at x = 0.

    Example:
        >>> print(prox_group_lasso(jnp.array([3.0, 4.0]), 2.5))
        [1.5 2. ]
        >>> labels = np.array([0, 1, 0])
        >>> print(prox_group_lasso(jnp.array([3.0, 0.5, 4.0]), 2.5, groups=labels))
        [1.5 0.  2. ]
    """
    given = Arguments("prox_group_lasso")
    return _grouped(given, x, None, 1.0 if l2reg is None else l2reg, scaling, groups)


def prox_sparse_group_lasso(
    x: Any, hyperparams: tuple[Any, Any] | None = None, scaling: Any = 1.0, groups: Any = None
) -> Any:
    r"""Sparse groups: soft thresholding of the coordinates, then of the groups.

    .. math:: \arg\min_y \tfrac12 \|x - y\|^2
        + s\, \lambda_1 \|y\|_1 + s \sum_g \lambda_{2,g} \|y_g\|_2

    The operator is the composition of the two (in this order), not a sum.

    Args:
        x: as in ``prox_group_lasso``.
        hyperparams: the pair :math:`(\lambda_1, \lambda_2)`: :math:`\lambda_1` as in
            ``prox_lasso`` (weights allowed), :math:`\lambda_2` as in ``prox_group_lasso``. None is
            (1, 1).
        scaling: :math:`s \ge 0`, a number.
        groups: as in ``prox_group_lasso``.

    Returns:
        A tree like x; NaN where a traced argument is infeasible.

    Raises:
        ValueError: as ``prox_group_lasso``; not a pair.

    Source: Simon, Friedman, Hastie, Tibshirani, A sparse-group lasso, 2013; Yu, On decomposing the
    proximal map, 2013 (why the composition is exact).

    Example:
        >>> print(prox_sparse_group_lasso(jnp.array([4.0, -5.0, 0.5]), (1.0, 2.5)))
        [ 1.5 -2.   0. ]
    """
    given = Arguments("prox_sparse_group_lasso")
    l1reg, l2reg = given.pair(hyperparams, "(l1reg, l2reg)", (1.0, 1.0))
    return _grouped(given, x, l1reg, l2reg, scaling, groups)


def _grouped(given: Arguments, x: Any, l1reg: Any, l2reg: Any, scaling: Any, groups: Any) -> Any:
    """Soft thresholding of coordinates (unless ``l1reg`` is None), then of groups."""
    shape: tuple[int, ...]
    if groups is None:
        leaves = given.unknown(x, complex_too=True)
        number, labels, shape = 1, None, ()
    else:
        leaves = [given.single(x, None, "when groups are given", complex_too=True)]
        labels = _labels(given, groups, leaves[0].shape)
        number = int(labels.max()) + 1
        shape = (number,) if np.ndim(l2reg) else ()
    if not leaves:
        return x
    # One norm is taken over all leaves: in the widest precision among them.
    like = jnp.zeros((), max((_real_type(leaf) for leaf in leaves), key=lambda k: k.itemsize))
    weight, scale = (
        given.vector("l2reg", l2reg, like, shape),
        given.number("scaling", scaling, like),
    )
    thinning = None if l1reg is None else given.weight("hyperparams[0]", l1reg)

    leaves = given.marked(leaves)
    weight, scale = given.marked([weight, scale])
    if thinning is not None:
        weights = given.marked(thinning)
        leaves = [soft(u, scale.astype(w.dtype) * w) for u, w in zip(leaves, weights)]
    flat = jnp.concatenate([_parts(leaf).astype(like.dtype) for leaf in leaves])
    t = jnp.broadcast_to(scale * weight, (number,))
    if labels is None:
        factor = _factor(flat, jnp.zeros(flat.size, int), 1, t)[0]
    else:
        many = flat.size // labels.size  # of a complex number two parts
        factor = _factor(flat, np.repeat(labels.ravel(), many), number, t)[labels]
    return given.result([leaf * factor.astype(leaf.dtype) for leaf in leaves])


@functools.partial(jax.jit, static_argnums=2)
def _factor(parts: jax.Array, labels: Any, number: int, t: jax.Array) -> jax.Array:
    """max(1 - t / norm, 0) for each group; 1 where t = 0; never NaN."""
    # The factor depends on (x, t) only through their ratio. Both are taken in units of the group's
    # largest entry, so that no square overflows or vanishes; the unit may be held fixed under
    # differentiation.
    largest = jax.ops.segment_max(jnp.abs(lax.stop_gradient(parts)), labels, number)
    present = largest > 0
    unit = jnp.where(present, largest, jnp.ones_like(largest))
    squares = jax.ops.segment_sum((parts / unit[labels]) ** 2, labels, number)
    norm = jnp.sqrt(jnp.where(present, squares, jnp.ones_like(squares)))
    t = t / unit
    active = present & (norm > t)
    kept = 1 - t / jnp.where(active, norm, jnp.ones_like(norm))
    # At x = 0 and t = 0 the operator is the identity: the factor is one.
    return jnp.where(active, kept, jnp.where(t == 0, jnp.ones_like(t), jnp.zeros_like(t)))


def _labels(given: Arguments, groups: Any, shape: tuple[int, ...]) -> np.ndarray:
    if isinstance(groups, jax.core.Tracer):
        raise given.error("groups known when compiled", "a traced array", "close over it")
    labels = np.asarray(groups)
    if not np.issubdtype(labels.dtype, np.integer):
        raise given.error("integers in groups", str(labels.dtype), "label them 0 .. G-1")
    if labels.shape != shape:
        found = f"shape {labels.shape}"
        raise given.error(f"groups of the shape {shape} of x", found, "label every entry")
    if labels.min() < 0:
        raise given.error("groups >= 0", str(labels.min()), "label them 0 .. G-1")
    return labels


def _parts(x: jax.Array) -> jax.Array:
    """The real numbers of x in one row; of a complex one two."""
    if not jnp.issubdtype(x.dtype, jnp.complexfloating):
        return x.reshape(-1)
    return jnp.stack([x.real, x.imag], axis=-1).reshape(-1)


def _real_type(x: jax.Array) -> np.dtype:
    return np.dtype(jnp.finfo(x.dtype).dtype)
