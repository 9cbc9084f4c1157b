"""For every projection a point away from the kinks, its hyperparameters, and what its set asks.

The contract tests read these. ``function(x, *theta)`` takes the hyperparameters as free arrays (of
two marginals with equal sums, all but the last element), so that it can be differentiated in all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from simsens import projection


@dataclass(frozen=True)
class Problem:
    """One projection at a generic point."""

    function: Callable[..., Any]
    x: Any
    theta: tuple[Any, ...]
    violation: Callable[..., Any]  # of the set's conditions by p, with theta
    powers: tuple[int, ...] | None = None  # function(x t^p0, theta t^p1 ...) = t function(...)
    nearest: bool = True  # whether it is the Euclidean projection onto a convex set


def _violation(*excesses):
    return max(float(np.max(np.asarray(e), initial=0.0)) for e in excesses)


def _equal(left, right):
    return np.abs(np.asarray(left) - np.asarray(right))


RNG = np.random.default_rng(7)
X = np.array([0.9, -0.55, 0.42, 0.1, -1.3, 0.63])
A = RNG.normal(size=(2, 6))
B = RNG.normal(size=2) / 2
G = RNG.normal(size=(5, 6))
H = G @ np.linalg.lstsq(A, B)[0] + np.array([0.1, 0.2, 0.05, 0.4, 0.3])
S = RNG.normal(size=(3, 4))
MASS_A = np.array([0.51, 0.27, 0.22])  # no part of one sums to a part of the other
MASS_B = np.array([0.31, 0.17, 0.29])
W = np.array([0.5, 1.5, 0.8, 1.1, 0.7, 1.2])
MATRIX = np.array([[0.9, 0.4, -0.3], [0.4, -0.7, 0.2], [-0.3, 0.2, 0.3]])


def marginals(a, b):
    return a, jnp.append(b, jnp.sum(a) - jnp.sum(b))


def _plan(P, a, b):
    a, b = marginals(a, b)
    return _violation(-P, _equal(P.sum(1), a), _equal(P.sum(0), b))


def _stochastic(P):
    return _violation(-P, _equal(P.sum(1), 1), _equal(P.sum(0), 1))


def _exponential(p):
    r, s, t = p
    return _violation(s * np.exp(r / s) - t, -s) if s != 0 else _violation(r, -t)


POINTS: dict[str, Problem] = {
    "projection_non_negative": Problem(
        projection.projection_non_negative, X, (), lambda p: _violation(-p), (1,)
    ),
    "projection_box": Problem(
        lambda x, lower, upper: projection.projection_box(x, (lower, upper)),
        X,
        (np.full(6, -0.4), np.linspace(0.2, 0.8, 6)),
        lambda p, lower, upper: _violation(lower - p, p - upper),
        (1, 1, 1),
    ),
    "projection_hypercube": Problem(
        projection.projection_hypercube,
        X,
        (np.array(0.6),),
        lambda p, unit: _violation(-p, p - unit),
        (1, 1),
    ),
    "projection_linf_ball": Problem(
        projection.projection_linf_ball,
        X,
        (np.array(0.6),),
        lambda p, r: _violation(abs(p) - r),
        (1, 1),
    ),
    "projection_simplex": Problem(
        projection.projection_simplex,
        X,
        (np.array(0.8),),
        lambda p, v: _violation(-p, _equal(p.sum(), v)),
        (1, 1),
    ),
    "projection_sparse_simplex": Problem(
        lambda x, value: projection.projection_sparse_simplex(x, 3, value=value),
        X,
        (np.array(1.4),),
        lambda p, v: _violation(-p, _equal(p.sum(), v), (p > 0).sum() - 3.0),
        (1, 1),
        nearest=False,
    ),
    "projection_l1_sphere": Problem(
        projection.projection_l1_sphere,
        X,
        (np.array(1.65),),
        lambda p, r: _violation(_equal(abs(p).sum(), r)),
        (1, 1),
        nearest=False,
    ),
    "projection_l1_ball": Problem(
        projection.projection_l1_ball,
        X,
        (np.array(1.65),),
        lambda p, r: _violation(abs(p).sum() - r),
        (1, 1),
    ),
    "projection_l2_sphere": Problem(
        projection.projection_l2_sphere,
        X,
        (np.array(1.1),),
        lambda p, r: _violation(_equal(np.linalg.norm(p), r)),
        (1, 1),
        nearest=False,
    ),
    "projection_l2_ball": Problem(
        projection.projection_l2_ball,
        X,
        (np.array(1.1),),
        lambda p, r: _violation(np.linalg.norm(p) - r),
        (1, 1),
    ),
    "projection_hyperplane": Problem(
        lambda x, a, b: projection.projection_hyperplane(x, (a, b)),
        X,
        (W, np.array(0.7)),
        lambda p, a, b: _violation(_equal(a @ p, b)),
        (1, 0, 1),
    ),
    "projection_halfspace": Problem(
        lambda x, a, b: projection.projection_halfspace(x, (a, b)),
        X,
        (W, np.array(-0.9)),
        lambda p, a, b: _violation(a @ p - b),
        (1, 0, 1),
    ),
    "projection_affine_set": Problem(
        lambda x, a, b: projection.projection_affine_set(x, (a, b)),
        X,
        (A, B),
        lambda p, a, b: _violation(_equal(a @ p, b)),
        (1, 0, 1),
    ),
    "projection_polyhedron": Problem(
        lambda x, a, b, g, h: projection.projection_polyhedron(x, (a, b, g, h)),
        X,
        (A, B, G, H),
        lambda p, a, b, g, h: _violation(_equal(a @ p, b), g @ p - h),
        (1, 0, 1, 0, 1),
    ),
    "projection_box_section": Problem(
        lambda x, *theta: projection.projection_box_section(x, theta),
        X,
        (np.full(6, -0.45), np.linspace(0.3, 0.8, 6), W, np.array(1.1)),
        lambda p, lo, up, w, c: _violation(lo - p, p - up, _equal(w @ p, c)),
        (1, 1, 1, 0, 1),
    ),
    "projection_transport": Problem(
        lambda x, a, b: projection.projection_transport(x, marginals(a, b)),
        S / 3,
        (MASS_A, MASS_B),
        _plan,
        (1, 1, 1),
    ),
    "projection_birkhoff": Problem(projection.projection_birkhoff, S[:, :3] / 3, (), _stochastic),
    "isotonic_l2_pav": Problem(
        projection.isotonic_l2_pav,
        -X,
        (np.array(-0.5), np.array(0.5)),
        lambda p, lo, up: _violation(-np.diff(p), lo - p, p - up),
        (1, 1, 1),
    ),
    "projection_order_simplex": Problem(
        lambda x, lower, upper: projection.projection_order_simplex(x, (lower, upper)),
        X,
        (np.array(-0.3), np.array(0.5)),
        lambda p, lo, up: _violation(np.diff(p), lo - p, p - up),
        (1, 1, 1),
    ),
    "projection_second_order_cone": Problem(
        projection.projection_second_order_cone,
        X,
        (),
        lambda p: _violation(np.linalg.norm(p[1:]) - p[0]),
        (1,),
    ),
    "projection_psd": Problem(
        projection.projection_psd,
        MATRIX,
        (),
        lambda p: _violation(-np.linalg.eigvalsh(p), _equal(p, p.T)),
        (1,),
    ),
    "projection_exponential_cone": Problem(
        projection.projection_exponential_cone,
        np.array([0.7, 0.4, -0.2]),
        (),
        _exponential,
        (1,),
    ),
    "kl_projection_non_negative": Problem(
        projection.kl_projection_non_negative, X, (), lambda p: _violation(-p), nearest=False
    ),
    "kl_projection_simplex": Problem(
        projection.kl_projection_simplex,
        X,
        (np.array(0.8),),
        lambda p, v: _violation(-p, _equal(p.sum(), v)),
        (0, 1),
        nearest=False,
    ),
    "kl_projection_transport": Problem(
        lambda x, a, b: projection.kl_projection_transport(x, marginals(a, b)),
        S,
        (MASS_A, MASS_B),
        _plan,
        (0, 1, 1),
        nearest=False,
    ),
    "kl_projection_birkhoff": Problem(
        projection.kl_projection_birkhoff, S[:, :3], (), _stochastic, nearest=False
    ),
}
