"""Solvers that autodiff cannot pass: a right derivative of theirs proves that the theorem was used.

``concrete`` runs plain NumPy and refuses traced values; it serves grad, jacfwd, jacrev, hessian.
``called_back`` hides the same NumPy behind ``jax.pure_callback``, which has no derivative either,
and serves jit and vmap.
"""

import jax
import numpy as np


def concrete(solver):
    """Run ``solver(init, *args)`` on NumPy values only."""

    def run(init, *args):
        traced = [a for a in jax.tree.leaves((init, args)) if isinstance(a, jax.core.Tracer)]
        assert not traced, "an opaque solver was handed traced values"
        return solver(*jax.tree.map(np.asarray, (init, *args)))

    return run


def called_back(solver, shape):
    """Run ``solver(init, *args) -> float64[shape]`` behind a callback without derivatives."""
    result = jax.ShapeDtypeStruct(shape, np.float64)

    def run(init, *args):
        def on_host(*given):
            return np.asarray(solver(*jax.tree.map(np.asarray, given)), float).reshape(shape)

        return jax.pure_callback(on_host, result, init, *args, vmap_method="sequential")

    return run


def bisection(function, low, high):
    """The root of an increasing scalar function, to the last bit."""
    for _ in range(200):
        middle = (low + high) / 2
        if function(middle) < 0:
            low = middle
        else:
            high = middle
    return np.asarray((low + high) / 2, float)
