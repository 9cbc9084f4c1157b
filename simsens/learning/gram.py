r"""What the dual of a support vector machine sees of the data: :math:`K = X X^T`, or any kernel.

K is given as matrices whose product it is, applied one after the other: ``(K,)``, or
``(X.T, X)`` where X has few columns. The transpose is handed over as an array of its own, since a
product that has to walk down the columns of X takes twice as long.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from simsens.projection.feasibility import demand, known, poisoned, real

Matrices = tuple[Any, ...]


def times(matrices: Matrices, d: Any) -> Any:
    """``K d``, d ``[m]`` or ``[m, k]``.

    Example:
        >>> X = jnp.array([[1.0], [2.0]])
        >>> print(times((X.T, X), jnp.array([1.0, 0.0])))
        [1. 2.]
    """
    product = d
    if d.ndim == 2:  # XLA multiplies eight columns in half the time that it takes for five
        product = jnp.pad(d, ((0, 0), (0, -d.shape[1] % 8)))
    for matrix in matrices:
        product = matrix @ product
    return product[:, : d.shape[1]] if d.ndim == 2 else product


@jax.custom_jvp
def half_square(matrices: Matrices, d: Any) -> Any:
    r""":math:`\langle d, K d\rangle / 2`, whose gradient K d autodiff would form twice.

    Example:
        >>> K, d = jnp.array([[2.0, 1.0], [1.0, 2.0]]), jnp.array([1.0, 0.0])
        >>> print(half_square((K,), d), jax.grad(half_square, argnums=1)((K,), d))
        1.0 [2. 1.]
    """
    return jnp.vdot(d, times(matrices, d)) / 2


@half_square.defjvp
def _half_square_jvp(primals: Any, tangents: Any) -> Any:
    (matrices, d), (moved, dd) = primals, tangents
    product, change = jax.jvp(lambda each: times(each, d), (matrices,), (moved,))
    return jnp.vdot(d, product) / 2, jnp.vdot(product, dd) + jnp.vdot(d, change) / 2


def safe_step(matrices: Matrices, theta: Any) -> Any:
    r"""At most :math:`\theta / \lambda_{max}(K)`: theta over the largest row sum of ``|K|``.

    Example:
        >>> float(safe_step((jnp.array([[2.0, -1.0], [-1.0, 2.0]]),), 1.5))
        0.5
    """
    sums = jnp.ones(matrices[0].shape[1], matrices[0].dtype)
    for matrix in lax.stop_gradient(matrices):
        sums = jnp.abs(matrix) @ sums
    largest = jnp.max(sums)
    return lax.stop_gradient(theta) / jnp.where(largest > 0, largest, 1)


def square_root(K: Any) -> Any:
    """``A [m, m]`` with ``A A^T = K``, K singular or not.

    Example:
        >>> A = square_root(jnp.ones((2, 2)))
        >>> print((A @ A.T).round(12))
        [[1. 1.]
         [1. 1.]]
    """
    values, vectors = jnp.linalg.eigh(K)
    return vectors * jnp.sqrt(jnp.maximum(values, 0))


def kernel_matrix(name: str, K: Any) -> Any:
    """The kernel of the samples with each other, as an array.

    Raises:
        ValueError: not finite, not square, not symmetric.

    Example:
        >>> kernel_matrix("kernel_svm", jnp.array([[1.0, 2.0], [0.0, 1.0]]))
        Traceback (most recent call last):
        ...
        ValueError: kernel_svm needs K symmetric; found K[0, 1] = 2 and K[1, 0] = 0; give \
kernel(samples, samples)
    """
    array = real(name, "K", K, ndim=2)
    if array.shape[0] != array.shape[1]:
        raise ValueError(
            f"{name} needs K with as many rows as columns; found {array.shape}; give"
            " kernel(samples, samples)"
        )
    if known(array):
        lopsided = abs(array - array.T)
        i, j = np.unravel_index(lopsided.argmax(), lopsided.shape)
        if lopsided[i, j] > np.sqrt(np.finfo(array.dtype).eps) * abs(array).max():
            raise ValueError(
                f"{name} needs K symmetric; found K[{i}, {j}] = {array[i, j]:g} and K[{j}, {i}] ="
                f" {array[j, i]:g}; give kernel(samples, samples)"
            )
    return jnp.asarray(K)


def regularisation(name: str, theta: Any, dtype: Any) -> Any:
    """A positive number; NaN where a traced one is not.

    Raises:
        ValueError: known and not positive, or not a number.

    Example:
        >>> regularisation("kernel_svm", -1.0, float)
        Traceback (most recent call last):
        ...
        ValueError: kernel_svm needs theta > 0; found -1.0; optimise its logarithm instead
    """
    theta = real(name, "theta", theta, shape=(), dtype=dtype)
    message = f"{name} needs theta > 0; found {{}}; optimise its logarithm instead"
    return poisoned(jnp.asarray(theta), demand(lambda value: value > 0, message, theta))
