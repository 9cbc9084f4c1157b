r"""Dictionary learning for a task: atoms chosen so that the codes they give predict something.

A sample :math:`s \in R^p` is coded by k atoms, the rows of D, with few non-zeros,

.. math:: x^*(s, D) = \arg\min_x \; \ell(s - x D) + \lambda_1 |x|_1 + \tfrac{\lambda_2}{2} |x|^2 ,

and the codes are used, here by logistic regression. The atoms, the weights w and the intercept b
are learnt together,

.. math:: \min_{D, w, b} \; \tfrac1n \sum_i \log\bigl(1 + e^{-y_i (x^*(s_i, D) \cdot w + b)}\bigr)
          + \tfrac{\rho}{2} |w|^2 , \qquad |D_j| = 1,

whose gradient in D is the implicit derivative of the codes: every sample is a problem of its own,
and so is its linear system, of the size of a code.

Reference: Mairal, Bach and Ponce, Task-driven dictionary learning, IEEE PAMI 34 (2012); Blondel et
al., arXiv 2105.15183, section 4.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from simsens.projection.balls import projection_l2_sphere
from simsens.prox.separable import prox_lasso
from simsens.solvers.proximal_gradient import ProximalGradient
from simsens.solvers.solution import Solution
from simsens.solvers.solve import solve


def squared(residual: Any) -> Any:
    r""":math:`\ell(r) = |r|^2/2`."""
    return 0.5 * jnp.vdot(residual, residual)


def sparse_codes(
    samples: Any,
    dictionary: Any,
    l1: Any,
    l2: Any = 0.0,
    *,
    loss: Callable[[Any], Any] = squared,
    init: Any = None,
    **options: Any,
) -> Solution:
    r"""The code of every sample, differentiable in samples, dictionary and penalties.

    .. math:: x_i = \arg\min_x \; \ell(s_i - x D) + \lambda_1 |x|_1 + \tfrac{\lambda_2}{2}|x|^2

    Args:
        samples: ``[n, p]``.
        dictionary: D, ``[k, p]``, an atom a row.
        l1: :math:`\lambda_1`, positive.
        l2: :math:`\lambda_2`, not negative. With 0 the atoms in use must be independent, or the
            code is not unique and has no derivative: NaN, where the loss sees which is taken.
        loss: :math:`\ell`, ``loss(residual [p])``, smooth and convex, one real number.
        init: ``[n, k]`` where to start; zeros by default.
        **options: of ``solvers.solve``: ``tol``, ``maxiter``, ``on_failure``, ...

    Returns:
        A ``Solution`` with ``value`` ``[n, k]`` and a verdict for each sample, ``[n]``.

    Raises:
        ValueError: shapes that do not fit, numbers that are not finite, penalties out of range.

    Example:
        >>> D = jnp.array([[1.0, 0.0], [0.0, 1.0]])
        >>> print(sparse_codes(jnp.array([[3.0, 0.5]]), D, 1.0).value)
        [[2. 0.]]
    """
    samples, dictionary = (_floating(a) for a in (samples, dictionary))
    _check(samples, dictionary, l1, l2)
    kind = jnp.result_type(samples, dictionary)
    start = jnp.zeros((len(samples), len(dictionary)), kind) if init is None else init
    algorithm = ProximalGradient(_smooth(loss), prox_lasso)

    def one(sample: Any, start: Any) -> Solution:
        return solve(algorithm, start, l1, l2, sample, dictionary, **options)

    return jax.vmap(one)(samples, start)


def _smooth(loss: Callable[[Any], Any]) -> Callable[..., Any]:
    def objective(x: Any, l2: Any, sample: Any, dictionary: Any) -> Any:
        return loss(sample - x @ dictionary) + 0.5 * l2 * (x @ x)

    return objective


class TaskModel(NamedTuple):
    """What is learnt: atoms ``[k, p]``, weights ``[k]`` of the codes, an intercept."""

    dictionary: Any
    weights: Any
    intercept: Any


def decision(
    model: TaskModel, samples: Any, l1: Any, l2: Any = 0.0, **options: Any
) -> tuple[Any, Solution]:
    """What the model says of samples, ``codes @ weights + intercept``, and their codes.

    Args:
        model: atoms of any length: they are scaled to one.
        samples: ``[n, p]``.
        l1: see ``sparse_codes``.
        l2: see ``sparse_codes``.
        **options: see ``sparse_codes``.

    Returns:
        ``[n]``, positive for the class 1; and the codes with their verdicts.

    Example:
        >>> model = TaskModel(jnp.eye(2), jnp.array([1.0, -1.0]), 0.5)
        >>> print(decision(model, jnp.array([[3.0, 0.5]]), 1.0)[0])
        [2.5]
    """
    atoms = jax.vmap(projection_l2_sphere)(_floating(model.dictionary))
    codes = sparse_codes(samples, atoms, l1, l2, **options)
    return codes.value @ model.weights + model.intercept, codes


def task_loss(
    model: TaskModel, samples: Any, labels: Any, l1: Any, l2: Any = 0.0, *, penalty: Any = 0.0,
    **options: Any,
) -> tuple[Any, Solution]:  # fmt: skip
    r"""The logistic loss of a task model, to be minimised in all of it.

    .. math:: \tfrac1n \sum_i \log\bigl(1 + e^{-y_i z_i}\bigr) + \tfrac{\rho}{2}|w|^2,
              \qquad y_i = \pm 1

    Args:
        model: atoms, weights, intercept.
        samples: ``[n, p]``.
        labels: ``[n]``, 0 or 1.
        l1: see ``sparse_codes``.
        l2: see ``sparse_codes``.
        penalty: :math:`\rho`, not negative.
        **options: see ``sparse_codes``; ``init`` with the last codes makes them cheap.

    Returns:
        The loss, and the codes: for ``jax.value_and_grad(task_loss, has_aux=True)``.

    Raises:
        ValueError: labels other than 0 and 1, or not one a sample.

    Example:
        >>> model = TaskModel(jnp.eye(2), jnp.array([1.0, -1.0]), 0.5)
        >>> loss, codes = task_loss(model, jnp.array([[3.0, 0.5]]), jnp.array([1]), 1.0)
        >>> round(float(loss), 6), bool(codes.converged.all())
        (0.07889, True)
    """
    if jnp.shape(labels) != jnp.shape(samples)[:1]:
        raise ValueError(
            f"labels must be one for each of {jnp.shape(samples)[0]} samples, found shape"
            f" {jnp.shape(labels)}"
        )
    if not isinstance(labels, jax.core.Tracer) and not np.isin(np.asarray(labels), (0, 1)).all():
        raise ValueError(f"labels must be 0 or 1, found {np.unique(np.asarray(labels)).tolist()}")
    said, codes = decision(model, samples, l1, l2, **options)
    signed = jnp.where(jnp.asarray(labels) == 1, said, -said)
    fit = jnp.mean(jnp.logaddexp(0, -signed))
    return fit + 0.5 * penalty * jnp.vdot(model.weights, model.weights), codes


def _floating(array: Any) -> Any:
    array = jnp.asarray(array)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(float)


def _check(samples: Any, dictionary: Any, l1: Any, l2: Any) -> None:
    if samples.ndim != 2 or dictionary.ndim != 2 or samples.shape[1] != dictionary.shape[1]:
        raise ValueError(
            "samples [n, p] and a dictionary [k, p] are needed, found shapes"
            f" {samples.shape} and {dictionary.shape}"
        )
    for name, array in (("samples", samples), ("the dictionary", dictionary)):
        if not isinstance(array, jax.core.Tracer) and not np.isfinite(np.asarray(array)).all():
            raise ValueError(f"{name} must be finite, found NaN or infinity; clean the data")
    for name, value, least in (("l1", l1, "positive"), ("l2", l2, "0 or more")):
        if isinstance(value, jax.core.Tracer):
            continue
        if not (np.isfinite(value) and (value > 0 or (name == "l2" and value == 0))):
            raise ValueError(f"{name} must be {least}, found {value}")
