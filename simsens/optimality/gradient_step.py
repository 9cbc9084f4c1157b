r"""What every first-order mapping starts with: a checked gradient and one step along it.

.. math:: x \mapsto x - \eta\, \nabla_1 f(x, \theta), \qquad \eta > 0

x is any tree of real or complex numbers. JAX returns the conjugate of the steepest ascent where x
is complex; here it is conjugated back, so that the step descends and the Jacobian of the gradient,
written with real and imaginary parts, is the symmetric Hessian.

The step takes the precision of x: float32 stays float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def gradient_of(fun: Callable[..., Any], has_aux: bool = False) -> Callable[..., Any]:
    r"""The steepest ascent :math:`\nabla_1 f(x, \theta)`, a tree like x.

    Args:
        fun: ``fun(x, *args, **kwargs)``, one real number, or ``(number, aux)``.
        has_aux: whether ``fun`` returns ``(number, aux)``; ``aux`` is dropped.

    Raises:
        ValueError: when called: ``fun`` returns something else.

    Example:
        >>> print(gradient_of(lambda x, theta: theta * jnp.sum(x**2))(jnp.array([1.0, 2.0]), 3.0))
        [ 6. 12.]
    """

    def value(x: Any, *args: Any, **kwargs: Any) -> Any:
        found = fun(x, *args, **kwargs)
        if has_aux:
            if not isinstance(found, tuple) or len(found) != 2:
                raise ValueError(
                    "with has_aux the objective must return (number, aux), found"
                    f" {type(found).__name__}; return two things or drop has_aux"
                )
            found = found[0]
        shapes = forms(found)
        if shapes != "()" or jnp.iscomplexobj(found):
            kind = "a complex number" if shapes == "()" else f"shapes {shapes}"
            raise ValueError(
                f"the objective must return one real number, found {kind}; sum it up, and if it"
                " returns (number, aux) say has_aux=True"
            )
        return found

    derivative = jax.grad(value)

    def gradient(x: Any, *args: Any, **kwargs: Any) -> Any:
        return jax.tree.map(jnp.conj, derivative(x, *args, **kwargs))

    return gradient


def checked_step(step: Any, name: str = "step", shape: tuple[int, ...] = ()) -> Any:
    """A positive step; NaN where a traced one is not positive, since nobody can raise then.

    Args:
        step: a number, or an array of ``shape``.
        name: what it is called where it was given.
        shape: the only shape besides ``()``.

    Raises:
        ValueError: a known step that is not real, not finite or not positive; another shape.

    Example:
        >>> checked_step(0.5)
        0.5
    """
    found: Any = step
    if not isinstance(step, jax.core.Tracer):
        try:
            found = np.asarray(step, float)
        except (TypeError, ValueError):
            raise _step_error(name, type(step).__name__) from None
    if found.shape not in ((), shape):
        raise _step_error(name, f"shape {found.shape}")
    if isinstance(step, jax.core.Tracer):
        return jnp.where(step > 0, step, jnp.nan)
    if not np.all(np.isfinite(found) & (found > 0)):
        raise _step_error(name, str(step))
    return step


def _step_error(name: str, found: str) -> ValueError:
    return ValueError(f"{name} must be a positive number, found {found}; give e.g. {name}=1.0")


def descended(x: Any, gradient: Any, step: Any) -> Any:
    r""":math:`x - \eta\, g`, leaf by leaf in the precision of x.

    Example:
        >>> print(descended(jnp.array([1.0, 2.0]), jnp.array([2.0, 2.0]), 0.5))
        [0. 1.]
    """

    def move(leaf: Any, slope: Any) -> Any:
        kind = jnp.finfo(jnp.result_type(leaf)).dtype  # of a complex number: that of its parts
        return leaf - jnp.asarray(step).astype(kind) * slope

    return jax.tree.map(move, x, gradient)


def same_form(x: Any, image: Any, what: str, like: str = "x") -> Any:
    """``image``, which must have the structure and the shapes of ``x``.

    Raises:
        ValueError: another structure or shape, which ``what`` returned.

    Example:
        >>> same_form(jnp.zeros(2), jnp.zeros(3), "prox")
        Traceback (most recent call last):
        ...
        ValueError: prox must return a tree like x, of shapes (2,), found (3,); change prox or x
    """
    wanted, found = forms(x), forms(image)
    kinds: list[Any] = [jax.tree.structure(tree) for tree in (x, image)]
    if wanted != found or kinds[0] != kinds[1]:
        raise ValueError(
            f"{what} must return a tree like {like}, of shapes {wanted}, found {found};"
            f" change {what} or {like}"
        )
    return image


def forms(tree: Any) -> str:
    """The shapes of a tree's leaves in its structure, as text.

    Example:
        >>> forms({"a": jnp.zeros((2, 3)), "b": 1.0})
        "{'a': (2, 3), 'b': ()}"
    """
    return str(jax.tree.map(lambda leaf: np.shape(leaf), tree))
