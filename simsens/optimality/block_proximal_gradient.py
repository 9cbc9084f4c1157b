r"""Proximal gradient where every block of unknowns has its own step.

.. math:: [T(x, \theta)]_i = \operatorname{prox}_{\eta_i g_i}\bigl(x_i - \eta_i\,
          [\nabla_1 f(x, \theta)]_i,\ \theta_i\bigr) = x_i

for :math:`f(x) + \sum_i g_i(x_i)`. It is what a block coordinate solver leaves unchanged, with the
steps that this solver takes. If all steps agree it is ``proximal_gradient`` with the sum of the
:math:`g_i`. The solution and its derivative depend on no step. Nothing is declared, see there.

Reference: Blondel et al., arXiv 2105.15183, Table 1, "Block proximal gradient".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from simsens.implicit.structure import declare
from simsens.optimality.gradient_step import checked_step, descended, gradient_of, same_form


def block_proximal_gradient(
    fun: Callable[..., Any],
    block_prox: Callable[..., Any] | Sequence[Callable[..., Any]],
    steps: Any = 1.0,
    hyperparams_axes: Any = None,
    has_aux: bool = False,
) -> Callable[..., Any]:
    r"""The mapping :math:`[T]_i = \operatorname{prox}_{\eta_i g_i}(x_i - \eta_i[\nabla_1 f]_i)`.

    Two forms. With one ``block_prox``, x is a tree of arrays ``[m, ...]`` whose m rows are the
    blocks. With a sequence of m of them, x is a tuple or a list of m blocks, each any tree.

    Args:
        fun: f, ``fun(x, *args, **kwargs)``, one real number.
        block_prox: ``block_prox(x_i, hyperparams, scaling)``, a tree like x_i; or one for each.
        steps: η, positive; one number, or m of them.
        hyperparams_axes: for one ``block_prox``: along which axis ``hyperparams_prox`` holds one
            value for each block, as ``in_axes`` of ``jax.vmap``; None if all blocks share it.
        has_aux: whether ``fun`` returns ``(number, aux)``; T drops ``aux``.

    Returns:
        ``T(x, hyperparams_prox, *args, **kwargs)``, a tree like x. In the second form
        ``hyperparams_prox`` is None or holds m entries, one for each block.

    Raises:
        ValueError: a step that is not positive; ``hyperparams_axes`` in the second form; when
            called: not as many blocks, steps or hyperparameters as proximity operators; ``fun``
            does not return one real number, ``block_prox`` not a tree like its block.

    Example:
        >>> ridge = lambda x, weight, scaling: x / (1 + scaling * weight)
        >>> fun = lambda x, y: 0.5 * jnp.sum((x - y) ** 2)
        >>> T = block_proximal_gradient(fun, ridge, steps=jnp.array([0.5, 2.0]))
        >>> print(T(jnp.array([1.0, 2.0]), 1.0, jnp.array([2.0, 4.0])))  # the solution y / 2
        [1. 2.]
    """
    gradient = gradient_of(fun, has_aux)
    if callable(block_prox):
        image = _rows(block_prox, steps, hyperparams_axes)
    elif hyperparams_axes is None:
        image = _listed(tuple(block_prox), steps)
    else:
        raise ValueError(
            "hyperparams_axes is for one block_prox, found a sequence of them; give"
            " hyperparams_prox as a sequence instead"
        )

    def fixed_point(x: Any, hyperparams_prox: Any, *args: Any, **kwargs: Any) -> Any:
        return image(x, gradient(x, *args, **kwargs), hyperparams_prox)

    return declare(fixed_point)


def _rows(block_prox: Callable[..., Any], steps: Any, axes: Any) -> Callable[..., Any]:
    shape = jnp.shape(steps)
    steps = checked_step(steps, "steps", shape[:1])

    def one(x: Any, slope: Any, hyperparams: Any, step: Any) -> Any:
        moved = descended(x, slope, step)
        return same_form(x, block_prox(moved, hyperparams, step), "block_prox")

    def image(x: Any, slope: Any, hyperparams: Any) -> Any:
        numbers = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(x)}
        if len(numbers) != 1 or numbers == {()} or (shape and {shape} != numbers):
            raise ValueError(
                "every array of x must have one row for each block and steps be one number or as"
                f" many, found {sorted(numbers)} rows and steps of shape {shape}; reshape them"
            )
        mapped = jax.vmap(one, in_axes=(0, 0, axes, 0 if shape else None))
        return mapped(x, slope, hyperparams, steps)

    return image


def _listed(block_prox: tuple[Callable[..., Any], ...], steps: Any) -> Callable[..., Any]:
    number = len(block_prox)
    listed = tuple(steps) if isinstance(steps, (tuple, list)) or jnp.ndim(steps) else None
    if listed is not None and len(listed) != number:
        raise _count_error(number, "steps", len(listed))
    each = [checked_step(step, "steps") for step in listed or (steps,) * number]

    def image(x: Any, slope: Any, hyperparams: Any) -> Any:
        if not isinstance(x, (tuple, list)) or len(x) != number:
            raise _count_error(number, "blocks", len(x) if isinstance(x, (tuple, list)) else 1)
        own = (None,) * number if hyperparams is None else tuple(hyperparams)
        if len(own) != number:
            raise _count_error(number, "hyperparams_prox", len(own))
        moved = map(descended, x, slope, each)
        images = [prox(y, h, s) for prox, y, h, s in zip(block_prox, moved, own, each)]
        for block, found in zip(x, images):
            same_form(block, found, "block_prox", "its block")
        return jax.tree.unflatten(jax.tree.structure(x), jax.tree.leaves(images))

    return image


def _count_error(number: int, what: str, found: int) -> ValueError:
    return ValueError(
        f"{number} proximity operators need as many {what}, found {found}; give one for each block"
    )
