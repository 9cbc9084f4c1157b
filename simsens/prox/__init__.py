r"""Proximity operators: :math:`\arg\min_y \tfrac12 \|x - y\|^2 + s\,g(y)`, with their derivatives.

A home for code that used JAXopt's ``prox`` module: the same names, arguments and values, and more
of them. Every operator has the signature ``prox(x, hyperparams, scaling=1.0)`` that proximal
gradient methods expect, works under ``jit`` and ``vmap``, and has derivatives of any order in both
modes in x, in its hyperparameters and in ``scaling``. Infeasible arguments are refused where their
value is known, and give NaN where it is traced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simsens.prox.from_projection import make_prox_from_projection
from simsens.prox.group import prox_group_lasso, prox_sparse_group_lasso
from simsens.prox.max_norm import prox_linf_norm
from simsens.prox.nonconvex import prox_mcp, prox_scad
from simsens.prox.separable import (
    prox_elastic_net,
    prox_huber,
    prox_lasso,
    prox_log_barrier,
    prox_non_negative_lasso,
    prox_non_negative_ridge,
    prox_none,
    prox_ridge,
)
from simsens.prox.sorted_l1 import prox_slope
from simsens.prox.spectral import prox_nuclear_norm
from simsens.prox.total_variation import prox_total_variation_1d

PROXES: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        prox_none,
        prox_lasso,
        prox_non_negative_lasso,
        prox_elastic_net,
        prox_group_lasso,
        prox_sparse_group_lasso,
        prox_ridge,
        prox_non_negative_ridge,
        prox_huber,
        prox_log_barrier,
        prox_mcp,
        prox_scad,
        prox_slope,
        prox_linf_norm,
        prox_nuclear_norm,
        prox_total_variation_1d,
    )
}

__all__ = [
    "PROXES",
    "make_prox_from_projection",
    "prox_elastic_net",
    "prox_group_lasso",
    "prox_huber",
    "prox_lasso",
    "prox_linf_norm",
    "prox_log_barrier",
    "prox_mcp",
    "prox_non_negative_lasso",
    "prox_non_negative_ridge",
    "prox_none",
    "prox_nuclear_norm",
    "prox_ridge",
    "prox_scad",
    "prox_slope",
    "prox_sparse_group_lasso",
    "prox_total_variation_1d",
]
