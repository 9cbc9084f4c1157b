"""For every proximity operator of the table: a generic point, its penalty, its kinks, its limits.

A generic point stays 0.05 or more away from every kink, in all arguments together.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

INF = float("inf")
MATRIX = np.array([[1.0, 2.0, -0.5], [0.3, -1.2, 2.5]])
LABELS = np.array([0, 1, 0, 2, 1])
VECTOR = np.array([2.3, -1.1, 0.2, -3.0, 0.9])


def identity_scale(hyperparams, c):
    return hyperparams


def all_scale(hyperparams, c):
    if isinstance(hyperparams, tuple):
        return tuple(c * np.asarray(h) for h in hyperparams)
    return c * np.asarray(hyperparams)


def slope_penalty(y, w):
    return np.sum(w * np.sort(np.abs(y))[::-1])


def slope_dual(u, w):
    """The norm whose unit ball is {u: sums of the k largest |u| <= sums of the k largest w}."""
    return np.max(np.cumsum(np.sort(np.abs(u))[::-1]) / np.cumsum(w))


def group_norms(y, labels):
    return np.array([np.linalg.norm(y[labels == g]) for g in range(labels.max() + 1)])


def mcp_penalty(y, h):
    lam, gamma = h
    a = np.abs(y)
    return np.sum(np.where(a <= gamma * lam, lam * a - a**2 / (2 * gamma), gamma * lam**2 / 2))


def scad_penalty(y, h):
    lam, a = h
    m = np.abs(y)
    middle = (2 * a * lam * m - m**2 - lam**2) / (2 * (a - 1))
    flat = lam**2 * (a + 1) / 2
    return np.sum(np.where(m <= lam, lam * m, np.where(m <= a * lam, middle, flat)))


def huber_penalty(y, h):
    lam, delta = h
    a = np.abs(y)
    return lam * np.sum(np.where(a <= delta, a**2 / 2, delta * (a - delta / 2)))


@dataclass(frozen=True, eq=False)
class Case:
    """One operator at one generic point.

    ``dual``: for a penalty that is a norm, ``dual(u, hyperparams) <= 1`` says that u is in the
    subdifferential at zero. ``kinks``: (x, hyperparams, scaling) without a derivative, or where
    a careless formula has none. ``infeasible``: the same, with a pattern of the message.
    """

    name: str
    x: Any
    hyperparams: Any
    penalty: Callable
    rescale: Callable
    keywords: dict = field(default_factory=dict)
    scaling: float = 0.7
    convex: bool = True
    dual: Callable | None = None
    kinks: tuple = ()
    infeasible: tuple = ()
    label: str = ""

    @property
    def title(self):
        return self.name + self.label


WEIGHTS = np.array([1.0, 0.5, 2.0, 0.1, 0.7])
ZERO = np.zeros(5)
ONES = np.ones(5)
NEGATIVE_WEIGHT = np.array([1.0, 1.0, -1.0, 1.0, 1.0])

CASES = [
    Case("prox_none", VECTOR, None, lambda y, h: 0.0, identity_scale),
    Case(
        "prox_lasso",
        VECTOR,
        WEIGHTS,
        lambda y, h: np.sum(h * np.abs(y)),
        all_scale,
        dual=lambda u, h: np.max(np.abs(u) / h),
        kinks=((ZERO, 1.0, 1.0), (ONES, 1.0, 1.0), (-ONES, 2.0, 0.5), (ZERO, 0.0, 1.0)),
        infeasible=(
            (VECTOR, -1.0, 1.0, r"l1reg >= 0; found -1\.0; raise it"),
            (VECTOR, NEGATIVE_WEIGHT, 1.0, r"l1reg >= 0; found -1\.0"),
            (VECTOR, INF, 1.0, "finite numbers in l1reg; found inf"),
        ),
    ),
    Case(
        "prox_non_negative_lasso",
        VECTOR,
        WEIGHTS,
        lambda y, h: np.sum(h * y) if np.all(y >= 0) else INF,
        all_scale,
        kinks=((ZERO, 0.0, 1.0), (ONES, 1.0, 1.0)),
        infeasible=((VECTOR, -0.5, 1.0, "l1reg >= 0"), (VECTOR, 1j, 1.0, "real type")),
    ),
    Case(
        "prox_elastic_net",
        VECTOR,
        (WEIGHTS, np.array(1.3)),
        lambda y, h: np.sum(h[0] * (np.abs(y) + h[1] / 2 * y**2)),
        lambda h, c: (c * h[0], h[1] / c),
        kinks=((ZERO, (1.0, 1.0), 1.0), (ONES, (1.0, 2.0), 1.0), (ZERO, (0.0, 1.0), 1.0)),
        infeasible=(
            (VECTOR, (-1.0, 1.0), 1.0, r"hyperparams\[0\] >= 0"),
            (VECTOR, (1.0, -1.0), 1.0, r"hyperparams\[1\] >= 0"),
            (VECTOR, 1.0, 1.0, r"hyperparams = \(l1reg, ratio\)"),
            (VECTOR, (1.0, 1.0, 1.0), 1.0, "give a tuple of two"),
        ),
    ),
    Case(
        "prox_group_lasso",
        VECTOR,
        np.array(1.5),
        lambda y, h: h * np.linalg.norm(y),
        all_scale,
        dual=lambda u, h: np.linalg.norm(u) / h,
        kinks=((ZERO, 1.0, 1.0), (ZERO, 0.0, 1.0), (ONES, np.sqrt(5.0), 1.0), (ONES, 0.0, 1.0)),
        infeasible=(
            (VECTOR, -1.0, 1.0, "l2reg >= 0"),
            (VECTOR, ONES, 1.0, r"l2reg of shape \(\); found shape \(5,\)"),
            (VECTOR, 1.0, ONES, "scaling of shape"),
        ),
    ),
    Case(
        "prox_group_lasso",
        VECTOR,
        np.array([0.8, 3.0, 1.0]),
        lambda y, h: np.sum(h * group_norms(y, LABELS)),
        all_scale,
        keywords={"groups": LABELS},
        dual=lambda u, h: np.max(group_norms(u, LABELS) / h),
        kinks=((ZERO, 1.0, 1.0), (ZERO, np.array([0.0, 1.0, 0.0]), 1.0), (ONES, 1.0, 1.0)),
        infeasible=(
            (VECTOR, np.array([1.0, -1.0, 1.0]), 1.0, "l2reg >= 0"),
            (VECTOR, np.ones(2), 1.0, r"l2reg of shape \(3,\); found shape \(2,\)"),
            (np.ones(4), 1.0, 1.0, r"groups of the shape \(4,\) of x"),
        ),
        label=" by labels",
    ),
    Case(
        "prox_sparse_group_lasso",
        VECTOR,
        (np.array(0.6), np.array([0.5, 2.0, 1.0])),
        lambda y, h: h[0] * np.sum(np.abs(y)) + np.sum(h[1] * group_norms(y, LABELS)),
        all_scale,
        keywords={"groups": LABELS},
        kinks=((ZERO, (1.0, 1.0), 1.0), (ZERO, (0.0, 0.0), 1.0), (ONES, (1.0, 0.0), 1.0)),
        infeasible=(
            (VECTOR, (-1.0, 1.0), 1.0, r"hyperparams\[0\] >= 0"),
            (VECTOR, (1.0, -1.0), 1.0, "l2reg >= 0"),
            (VECTOR, 2.0, 1.0, "give a tuple of two"),
        ),
    ),
    Case(
        "prox_ridge",
        VECTOR,
        WEIGHTS,
        lambda y, h: np.sum(h * y**2) / 2,
        identity_scale,
        kinks=((ZERO, 0.0, 0.0),),
        infeasible=((VECTOR, -1.0, 1.0, "l2reg >= 0"), (VECTOR, np.ones(4), 1.0, "broadcasts")),
    ),
    Case(
        "prox_non_negative_ridge",
        VECTOR,
        WEIGHTS,
        lambda y, h: np.sum(h * y**2) / 2 if np.all(y >= 0) else INF,
        identity_scale,
        kinks=((ZERO, 1.0, 1.0), (ZERO, 0.0, 0.0)),
        infeasible=((VECTOR, -1.0, 1.0, "l2reg >= 0"),),
    ),
    Case(
        "prox_huber",
        VECTOR,
        (np.array(0.8), np.array(1.2)),
        huber_penalty,
        lambda h, c: (h[0], c * h[1]),
        kinks=((2 * ONES, (1.0, 1.0), 1.0), (ZERO, (0.0, 1.0), 1.0)),
        infeasible=(
            (VECTOR, (-1.0, 1.0), 1.0, r"hyperparams\[0\] >= 0"),
            (VECTOR, (1.0, 0.0), 1.0, r"hyperparams\[1\] > 0"),
        ),
    ),
    Case(
        "prox_log_barrier",
        VECTOR,
        WEIGHTS,
        lambda y, h: -np.sum(h * np.log(np.where(y > 0, y, 1))) if np.all(y > 0) else INF,
        lambda h, c: c**2 * h,
        kinks=((ZERO, 1.0, 1.0), (-1e8 * ONES, 1e-8, 1.0)),
        infeasible=(
            (VECTOR, 0.0, 1.0, "hyperparams > 0"),
            (VECTOR, 1.0, 0.0, "scaling > 0"),
        ),
    ),
    Case(
        "prox_mcp",
        VECTOR,
        (np.array(0.9), np.array(2.0)),
        mcp_penalty,
        lambda h, c: (c * h[0], h[1]),
        convex=False,
        kinks=(
            (ZERO, (1.0, 3.0), 1.0),
            (ONES, (1.0, 3.0), 1.0),
            (3 * ONES, (1.0, 3.0), 1.0),
            (ZERO, (0.0, 3.0), 1.0),
        ),
        infeasible=(
            (VECTOR, (1.0, 1.0), 1.0, r"gamma > scaling.*found 1\.0 with scaling 1\.0"),
            (VECTOR, (1.0, 0.5), 0.6, "gamma > scaling"),
            (VECTOR, (1.0, np.array([3, 3, 1.5, 3, 3])), 2.0, r"found 1\.5 with scaling 2\.0"),
            (VECTOR, (-1.0, 3.0), 1.0, r"hyperparams\[0\] >= 0"),
        ),
    ),
    Case(
        "prox_scad",
        np.array([2.3, -1.1, 0.2, -5.0, 0.9]),
        (np.array(1.0), np.array(3.0)),
        scad_penalty,
        lambda h, c: (c * h[0], h[1]),
        convex=False,
        kinks=(
            (ZERO, (1.0, 3.0), 1.0),
            (2 * ONES, (1.0, 3.0), 1.0),
            (3 * ONES, (1.0, 3.0), 1.0),
            (ZERO, (0.0, 3.0), 1.0),
        ),
        infeasible=(
            (VECTOR, (1.0, 2.0), 1.0, r"a > 1 \+ scaling.*found 2\.0 with scaling 1\.0"),
            (VECTOR, (1.0, 1.5), 0.6, "a > 1"),
            (VECTOR, (-1.0, 3.0), 1.0, r"hyperparams\[0\] >= 0"),
        ),
    ),
    Case(
        "prox_slope",
        np.array([2.3, -2.2, 0.2, -3.0, 2.0]),
        np.array([2.0, 1.2, 0.6, 0.5, 0.4]),
        slope_penalty,
        all_scale,
        dual=slope_dual,
        kinks=((ZERO, ONES, 1.0), (ONES, ONES, 1.0), (ZERO, ZERO, 1.0), (-ONES, WEIGHTS * 0, 1.0)),
        infeasible=(
            (VECTOR, WEIGHTS, 1.0, r"weights that do not increase; found 0\.5 before 2\.0"),
            (VECTOR, np.array([2.0, 1.0, 0.0, -1.0, -2.0]), 1.0, "weights >= 0"),
            (VECTOR, np.ones(4), 1.0, r"weights of shape \(5,\)"),
            (np.ones((5, 1)), ONES, 1.0, r"x as an array \[n\]"),
        ),
    ),
    Case(
        "prox_linf_norm",
        VECTOR,
        np.array(1.5),
        lambda y, h: h * np.max(np.abs(y)),
        all_scale,
        dual=lambda u, h: np.sum(np.abs(u)) / h,
        kinks=((ZERO, 1.0, 1.0), (ZERO, 0.0, 1.0), (ONES, 5.0, 1.0), (ONES, 0.0, 1.0)),
        infeasible=((VECTOR, -1.0, 1.0, "hyperparams >= 0"), ([VECTOR], 1.0, 1.0, "a tree")),
    ),
    Case(
        "prox_nuclear_norm",
        MATRIX,
        np.array(2.4),
        lambda y, h: h * np.sum(np.linalg.svd(y, compute_uv=False)),
        all_scale,
        dual=lambda u, h: np.linalg.norm(u, 2) / h,
        kinks=(
            (np.zeros((2, 3)), 1.0, 1.0),
            (np.zeros((2, 3)), 0.0, 1.0),
            (np.eye(2, 3), 1.0, 1.0),
            (np.eye(2, 3), 0.0, 1.0),
            (np.eye(2, 3), 0.5, 1.0),
            (np.ones((2, 3)), 1.0, 1.0),
        ),
        infeasible=((MATRIX, -1.0, 1.0, "hyperparams >= 0"), (VECTOR, 1.0, 1.0, r"\[m, n\]")),
    ),
    Case(
        "prox_total_variation_1d",
        np.array([0.3, 1.1, 0.9, 4.0, 3.0]),
        np.array([0.9, 0.5, 1.0, 0.7]),
        lambda y, h: np.sum(h * np.abs(np.diff(y))),
        all_scale,
        kinks=((ZERO, 1.0, 1.0), (ONES, 0.0, 1.0), (np.arange(5.0), 1.0, 1.0)),
        infeasible=(
            (VECTOR, -1.0, 1.0, "hyperparams >= 0"),
            (VECTOR, ONES, 1.0, r"hyperparams of shape \(4,\)"),
            (MATRIX, 1.0, 1.0, r"x as an array \[n\]"),
            (np.zeros(0), 1.0, 1.0, r"x as an array \[n\]"),
        ),
    ),
]
