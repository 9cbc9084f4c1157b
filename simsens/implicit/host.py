"""Solvers that JAX cannot trace: SciPy, scikit-learn, a subprocess."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def on_host(solver: Callable[..., Any], like: Any = None) -> Callable[..., Any]:
    """Let ``solver(init, *args, **kwargs)`` run on NumPy values, also inside ``jit`` and ``vmap``.

    In eager code the solver is simply called with NumPy arrays in place of JAX's. Inside a trace it
    becomes a callback, for which the shape of the result must be known: that of ``init``, unless
    ``like`` tells it. Batches are solved one after the other. Such a solver has no derivative of
    its own: ``custom_root`` gives it one.

    Args:
        solver: any Python function.
        like: a tree with the shapes and types of the result, when they are not those of ``init``.

    Raises:
        TypeError: when traced, and neither ``init`` nor ``like`` tells the shape.

    Example:
        >>> cube_root = on_host(lambda init, theta: np.cbrt(theta))
        >>> float(jax.jit(cube_root)(jax.numpy.zeros(()), 8.0))
        2.0
    """

    @functools.wraps(solver)
    def run(*args: Any, **kwargs: Any) -> Any:
        leaves, treedef = jax.tree.flatten((args, kwargs))
        traced = [isinstance(leaf, jax.core.Tracer) for leaf in leaves]

        def call(values: Any) -> Any:
            given = iter(values)
            filled = [next(given) if here else leaf for leaf, here in zip(leaves, traced)]
            filled = [np.asarray(v) if isinstance(v, jax.Array) else v for v in filled]
            args, kwargs = jax.tree.unflatten(treedef, filled)
            return solver(*args, **kwargs)

        if not any(traced):
            return call(())
        model = like if like is not None else (args[0] if args else None)
        if model is None:
            raise TypeError(
                "inside jit or vmap a solver on the host must say what it returns: give init the"
                " shape of the solution, or on_host(solver, like=...) an example of the result"
            )
        shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(np.shape(a), _dtype(a)), model)

        def callback(values: Any) -> Any:
            return jax.tree.map(lambda s, v: np.asarray(v, s.dtype), shapes, call(values))

        values = [leaf for leaf, here in zip(leaves, traced) if here]
        return jax.pure_callback(callback, shapes, values, vmap_method="sequential")

    return run


def _dtype(a: Any) -> Any:
    return jax.dtypes.canonicalize_dtype(a.dtype if hasattr(a, "dtype") else np.result_type(a))
