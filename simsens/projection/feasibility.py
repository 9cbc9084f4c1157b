r"""What a projection may be asked for, and how it refuses the rest.

A projection onto an empty set does not exist. Where the values are known (eager calls, constants
under ``jit``) every function of this package raises ``ValueError`` with one line: what was needed,
what was found, what to do. Where they are traced nothing can be raised, and the members concerned
come out as NaN, as do their derivatives. Under ``jax.grad`` or ``jax.vmap`` the arguments that
are transformed are traced, the others are known and still checked.

Every function computes in the dtype of ``x``: hyperparameters are cast to it, so that float32
stays float32, and integers are refused rather than rounded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def known(value: Any) -> bool:
    """Whether the numbers can be looked at here and now."""
    if isinstance(value, jax.core.Tracer):
        return False
    return not isinstance(value, jax.Array) or value.is_fully_addressable


def real(
    function: str,
    name: str,
    value: Any,
    *,
    ndim: int | None = None,
    shape: tuple[int, ...] | None = None,
    dtype: Any = None,
    infinite: bool = False,
) -> Any:
    """The argument as an array of a floating dtype, its shape and its values checked.

    Args:
        function: who asks, for the message.
        name: the argument's name, for the message.
        value: an array or number.
        ndim: the number of axes needed.
        shape: the shape needed.
        dtype: cast to this; the argument's own dtype by default.
        infinite: whether infinities are allowed.

    Returns:
        A NumPy array where the values are known, a traced array otherwise.

    Raises:
        ValueError: not real floating-point, of another shape, empty, not finite.

    Example:
        >>> real("projection_simplex", "x", np.ones(3, int))
        Traceback (most recent call last):
        ...
        ValueError: projection_simplex needs x in floating point; found int64; convert it with \
astype(float)
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and dtype is not None:
        value = float(value)
    array = value if hasattr(value, "dtype") else np.asarray(value)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(
            f"{function} needs {name} in floating point; found {array.dtype}; "
            "convert it with astype(float)"
        )
    found = tuple(np.shape(array))
    if ndim is not None and len(found) != ndim:
        raise ValueError(
            f"{function} needs {name} with {ndim} axes; found shape {found}; "
            "reshape it, or use jax.vmap for several at once"
        )
    if shape is not None and found != shape:
        raise ValueError(
            f"{function} needs {name} of shape {shape}; found {found}; reshape or broadcast it"
        )
    dtype = jax.dtypes.canonicalize_dtype(array.dtype if dtype is None else dtype)
    if known(array):
        array = np.asarray(array).astype(dtype)
        right = ~np.isnan(array) if infinite else np.isfinite(array)
        if not right.all():
            raise ValueError(
                f"{function} needs finite numbers in {name}; found {array[~right].flat[0]}; "
                "look at what produced it"
            )
        return array
    return array if array.dtype == dtype else array.astype(dtype)


def real_vector(function: str, name: str, value: Any) -> Any:
    """``real`` with one axis and at least one element."""
    array = real(function, name, value, ndim=1)
    if array.shape[0] == 0:
        raise ValueError(f"{function} needs {name} with at least one element; found none; drop it")
    return array


def real_tree(function: str, name: str, tree: Any) -> Any:
    """``real`` on every leaf, which the message names."""

    def leaf(path: Any, value: Any) -> Any:
        return real(function, name + jax.tree_util.keystr(path), value)

    leaves = jax.tree.leaves(tree)
    if not leaves:
        raise ValueError(f"{function} needs {name} with at least one array; found none; drop it")
    return jax.tree_util.tree_map_with_path(leaf, tree)


def widest(tree: Any) -> Any:
    """The dtype that holds every leaf, in which numbers shared by the leaves are computed."""
    return max((leaf.dtype for leaf in jax.tree.leaves(tree)), key=lambda d: d.itemsize)


def parts(function: str, names: str, hyperparams: Any) -> tuple[Any, ...]:
    """The hyperparameters, as many as there are names."""
    many = names.count(",") + 1
    if not isinstance(hyperparams, tuple | list) or len(hyperparams) != many:
        found = (
            f"{len(hyperparams)} of them"
            if isinstance(hyperparams, tuple | list)
            else type(hyperparams).__name__
        )
        raise ValueError(
            f"{function} needs hyperparams = ({names}); found {found}; give a tuple of {many}"
        )
    return tuple(hyperparams)


def same_tree(function: str, name: str, tree: Any, like: Any) -> None:
    """Refuse a tree of another structure."""
    found: Any = jax.tree.structure(tree)
    needed: Any = jax.tree.structure(like)
    if found != needed:
        raise ValueError(
            f"{function} needs {name} with the structure of x, {needed}; found {found}; "
            "give one array for each array of x"
        )


def demand(condition: Callable[..., Any], message: str, *values: Any) -> Any:
    """Refuse values that do not meet the condition, or tell which of them do when traced.

    Args:
        condition: a function of the values, elementwise true where all is well; false for NaN.
        message: what is needed, with ``{}`` for the values found.
        *values: arrays.

    Returns:
        True where all is known and well, else a traced array of truth values.

    Raises:
        ValueError: the condition is known to be broken.

    Example:
        >>> demand(lambda v: v >= 0, "value >= 0 is needed; found {}; raise it", np.array(-1.0))
        Traceback (most recent call last):
        ...
        ValueError: value >= 0 is needed; found -1.0; raise it
    """
    if not all(known(value) for value in values):
        return condition(*map(jnp.asarray, values))
    arrays = [np.asarray(value) for value in values]
    right = np.asarray(condition(*arrays))
    if not right.all():
        places = [
            np.broadcast_to(array, right.shape)[~right][0] if array.ndim <= right.ndim else array
            for array in arrays
        ]
        raise ValueError(message.format(*(float(place) for place in places if place.ndim == 0)))
    return True


def finite(value: Any) -> Any:
    """True for known numbers (``real`` has looked at them); elsewhere whether they are finite."""
    return True if known(value) else jnp.isfinite(value)


def all_finite(tree: Any) -> Any:
    """``finite`` for all arrays of a tree together: True, or one traced truth value."""
    traced = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree) if not known(leaf)]
    return jnp.all(jnp.stack(traced)) if traced else True


def poisoned(value: jax.Array, *conditions: Any) -> jax.Array:
    """The value where all conditions hold; NaN elsewhere, in the derivatives as well.

    Multiplying by one is exact; a ``where`` would leave zero derivatives behind.

    Example:
        >>> poisoned(jnp.ones(2), jnp.array([True, False])).tolist()
        [1.0, nan]
    """
    for condition in conditions:
        if condition is not True:
            one, nan = jnp.ones((), value.dtype), jnp.full((), jnp.nan, value.dtype)
            value = value * jnp.where(condition, one, nan)
    return value
