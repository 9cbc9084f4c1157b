r"""Dataset distillation: a few images from which a classifier learns what a whole set teaches.

.. math:: \min_{\theta \in \mathbb{R}^{m \times p}} L(x^*(\theta); X, y), \qquad
          x^*(\theta) = \operatorname*{argmin}_{x \in \mathbb{R}^{p \times k}}
          L(x; \theta, c) + \varepsilon\, |x|^2

with L the mean logistic loss (``learning.logistic``), m images :math:`\theta` of p pixels with the
labels c, by default one image a class, and X ``[n, p]`` the training set with its labels y. The
inner problem is multiclass logistic regression on the images, the outer one is descended along

.. math:: v \leftarrow \beta v - \eta\, \nabla_\theta L(x^*(\theta)), \qquad
          \theta \leftarrow \theta + v

(Polyak's heavy ball). The gradient needs the derivative of :math:`x^*`, which is implicit: a system
of m k unknowns, whatever the number of pixels, and two products with X, whatever their number of
iterations.

**The penalty.** Here it is :math:`\varepsilon |x|^2`, without 1/2. The paper's text says 0.001, the
program published with it 0.1. With steps of one from images of small noise 0.1 works; at 0.001 the
first gradient is so large that the images are thrown far away, where the loss is flat.

Reference: Blondel et al., Efficient and Modular Implicit Differentiation, arXiv 2105.15183, section
4.2; Wang et al., Dataset Distillation, arXiv 1811.10959.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from simsens.implicit import compiled
from simsens.learning.logistic import (
    checked_samples,
    class_probabilities,
    logistic_loss,
    multiclass_logistic,
)
from simsens.optimality.gradient_step import checked_step
from simsens.solvers.schedule import step_at
from simsens.solvers.solution import Solution

Fit = Callable[..., Solution]  # (images, probabilities [m, k], penalty, init=weights [p, k])


@dataclass(frozen=True)
class Distilled:
    """Where the descent stands, and how it came there; a frozen pytree.

    Attributes:
        images: ``[m, p]``.
        velocity: ``[m, p]`` v, the last change of the images.
        weights: ``[p, k]`` of the images before the last step; the next fit starts there.
        iterations: how many steps were made in all.
        loss: ``[t]`` the outer loss before each of the last t steps.
        converged: ``[t]`` whether the inner problem was solved each time.
    """

    images: Any
    velocity: Any
    weights: Any
    iterations: Any
    loss: Any
    converged: Any


jax.tree_util.register_dataclass(
    Distilled,
    data_fields=["images", "velocity", "weights", "iterations", "loss", "converged"],
    meta_fields=[],
)


def distilled_loss(
    images: Any,
    X: Any,
    y: Any,
    penalty: Any,
    *,
    labels: Any = None,
    init: Any = None,
    fit: Fit = multiclass_logistic,
) -> tuple[Any, Solution]:
    r"""The outer loss :math:`L(x^*(\theta); X, y)`, differentiable, and the inner solution.

    Args:
        images: :math:`\theta`, ``[m, p]``.
        X: ``[n, p]`` the training set.
        y: ``[n]`` its labels 0 .. k-1, or ``[n, k]`` rows of probabilities.
        penalty: :math:`\varepsilon`.
        labels: of the images, ``[m]`` or ``[m, k]``; probabilities get derivatives. By default
            image i is of class i.
        init: ``[p, k]`` weights from which the inner solver starts.
        fit: the inner solver, ``fit(images, labels, penalty, init=init)``; its labels are rows of
            probabilities ``[m, k]``.

    Returns:
        The loss and the inner ``Solution``, as ``jax.value_and_grad(..., has_aux=True)`` takes it.

    Raises:
        ValueError: see ``multiclass_logistic`` and ``logistic_loss``.

    Example:
        >>> X, y = jnp.array([[1.0, 0.2], [0.8, -0.2], [-1.0, 0.1]]), np.array([0, 0, 1])
        >>> loss = jax.value_and_grad(distilled_loss, has_aux=True)
        >>> (value, found), slope = loss(jnp.array([[0.5, 0.0], [-0.5, 0.0]]), X, y, 0.1)
        >>> round(float(value), 6), bool(found.converged), slope.shape
        (0.209963, True, (2, 2))
    """
    found = fit(images, _rows(labels, len(images)), penalty, init=init)
    return logistic_loss(found.value, X, y), found


def distill(
    images: Any,
    X: Any,
    y: Any,
    penalty: Any,
    iterations: int,
    *,
    step: Any = 1.0,
    momentum: float = 0.9,
    labels: Any = None,
    fit: Fit = multiclass_logistic,
) -> Distilled:
    r"""Descend the outer loss by the heavy ball; each inner fit starts where the last one ended.

    Args:
        images: where to start, ``[m, p]``; or a ``Distilled`` to go on from.
        X: see ``distilled_loss``.
        y: see ``distilled_loss``.
        penalty: see ``distilled_loss``.
        iterations: how many steps to make.
        step: :math:`\eta`, a number or a function of the iteration (``solvers.schedule``).
        momentum: :math:`\beta`, from 0 up to, but not, 1.
        labels: see ``distilled_loss``.
        fit: see ``distilled_loss``.

    Raises:
        ValueError: no iterations, a momentum out of range; see ``distilled_loss``.

    Example:
        >>> X, y = jnp.array([[1.0, 0.2], [0.8, -0.2], [-1.0, 0.1]]), np.array([0, 0, 1])
        >>> found = distill(jnp.zeros((2, 2)), X, y, 0.1, iterations=50)
        >>> [round(float(loss), 4) for loss in found.loss[jnp.array([0, -1])]]
        [0.6931, 0.4415]
    """
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, found {iterations}")
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must lie in 0 <= momentum < 1, found {momentum}")
    X, penalty = checked_samples(X), checked_step(penalty, "penalty")
    step = step if callable(step) else checked_step(step)
    still = isinstance(images, Distilled)
    start = images.images if still else checked_samples(images).astype(X.dtype)
    if start.shape[1] != X.shape[1]:
        raise ValueError(
            f"images must have as many pixels as the training set, {X.shape[1]}, found"
            f" {start.shape[1]}"
        )
    labels = _rows(labels, len(start)).astype(X.dtype)
    y = class_probabilities(y, len(X), labels.shape[1]).astype(X.dtype)
    if still:
        carry = (start, images.velocity, images.weights, images.iterations)
    else:
        weights = jnp.zeros((X.shape[1], labels.shape[1]), X.dtype)
        carry = (start, jnp.zeros_like(start), weights, jnp.array(0))
    return compiled.run(_descended, (fit, step, momentum, iterations), carry, X, y, labels, penalty)


def _rows(labels: Any, number: int) -> Any:
    return class_probabilities(np.arange(number) if labels is None else labels, number)


def _descended(asked: Any, carry: Any, X: Any, y: Any, labels: Any, penalty: Any) -> Distilled:
    fit, step, momentum, iterations = asked
    slope = jax.value_and_grad(distilled_loss, has_aux=True)

    def one(carry: Any, _: Any) -> Any:
        images, velocity, weights, k = carry
        (loss, found), gradient = slope(images, X, y, penalty, labels=labels, init=weights, fit=fit)
        velocity = momentum * velocity - step_at(step, k, X.dtype) * gradient
        following = (images + velocity, velocity, found.value, k + 1)
        return following, (loss, found.converged)

    (images, velocity, weights, k), path = lax.scan(one, carry, length=iterations)
    return Distilled(images, velocity, weights, k, *path)
