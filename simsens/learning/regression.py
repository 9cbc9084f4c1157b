"""What every linear model is given: samples, targets, penalties; checked before anything else."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def regression_data(X: Any, y: Any, targets: int = 2) -> tuple[Any, Any]:
    """Samples and targets as arrays of one floating-point precision.

    Args:
        X: ``[n, p]`` samples.
        y: ``[n]`` targets, or ``[n, k]``.
        targets: the most axes that y may have.

    Raises:
        ValueError: shapes that do not fit, no samples or features, complex numbers.

    Example:
        >>> X, y = regression_data([[1, 2], [3, 4]], [1.0, 0.0])
        >>> X.dtype, y.shape
        (dtype('float64'), (2,))
    """
    X, y = as_array(X), as_array(y)
    shapes = f"found shapes {X.shape} and {y.shape}"
    if X.ndim != 2 or X.size == 0:
        raise ValueError(f"X must be [n, p] with at least one sample and feature, {shapes}")
    if not 1 <= y.ndim <= targets or y.shape[0] != X.shape[0]:
        more = " or a row of them" if targets > 1 else ""
        raise ValueError(f"y must hold a target{more} for each of {X.shape[0]} samples, {shapes}")
    if jnp.iscomplexobj(X) or jnp.iscomplexobj(y):
        raise ValueError(f"X and y must be real, found {X.dtype} and {y.dtype}; split the parts")
    dtype = jnp.result_type(X, y)
    dtype = dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.result_type(float)
    return _in(dtype, X), _in(dtype, y)


def weights(name: str, value: Any, X: Any, *, each: bool = False, most: float = np.inf) -> Any:
    """A number that is not negative, or one for each feature, in the precision of X.

    Args:
        name: what it is called where it was given.
        value: the number or ``[p]`` numbers.
        X: ``[n, p]``.
        each: whether there may be one for each feature.
        most: the largest allowed.

    Raises:
        ValueError: another shape, complex; negative, too large or NaN where that can be seen.

    Example:
        >>> weights("penalty", -1, np.ones((2, 2)))
        Traceback (most recent call last):
        ...
        ValueError: penalty must not be negative, found -1
    """
    value = as_array(value)
    shapes = ((), (X.shape[1],)) if each else ((),)
    if value.shape not in shapes or jnp.iscomplexobj(value):
        wanted = f"a number, or {X.shape[1]}, one for each feature" if each else "one real number"
        raise ValueError(f"{name} must be {wanted}, found {value.dtype} of shape {value.shape}")
    if not isinstance(value, jax.core.Tracer):
        numbers = np.asarray(value)
        wrong = numbers[~((numbers >= 0) & (numbers <= most) & np.isfinite(numbers))]
        if wrong.size:
            limits = "not be negative" if most == np.inf else f"lie in 0 .. {most:g}"
            raise ValueError(f"{name} must {limits}, found {wrong.flat[0]:g}")
    return _in(X.dtype, value)


def _in(dtype: Any, x: Any) -> Any:
    return x if x.dtype == dtype else x.astype(dtype)


def as_array(x: Any) -> Any:
    """A JAX array as it is, anything else by NumPy, so that nothing is copied to a device."""
    return x if isinstance(x, jax.Array) else np.asarray(x)
