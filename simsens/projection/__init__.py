r"""Projections: the nearest point of a convex set, differentiable in the point and in the set.

.. math:: \mathrm{proj}_C(x) = \arg\min_{y \in C} \|x - y\|_2^2

The functions carry JAXopt's names, arguments and defaults, so that changing the import is enough:
``from simsens.projection import projection_simplex`` or ``from simsens import projection``. All
work under ``jit``, ``vmap``, forward and reverse mode and twice so; x64 is not needed, float32
stays float32. ``feasibility`` tells what is refused, and how.

At kinks, where there is no derivative, the documented element of the generalised Jacobian is given,
never NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simsens.projection.affine import (
    projection_affine_set,
    projection_halfspace,
    projection_hyperplane,
)
from simsens.projection.balls import (
    projection_l1_ball,
    projection_l1_sphere,
    projection_l2_ball,
    projection_l2_sphere,
)
from simsens.projection.box_section import projection_box_section
from simsens.projection.cones import (
    projection_exponential_cone,
    projection_psd,
    projection_second_order_cone,
)
from simsens.projection.isotonic import isotonic_l2_pav, projection_order_simplex
from simsens.projection.orthant_and_box import (
    kl_projection_non_negative,
    projection_box,
    projection_hypercube,
    projection_linf_ball,
    projection_non_negative,
)
from simsens.projection.polyhedron import projection_polyhedron
from simsens.projection.simplex import (
    kl_projection_simplex,
    projection_simplex,
    projection_sparse_simplex,
)
from simsens.projection.transport import (
    kl_projection_birkhoff,
    kl_projection_transport,
    projection_birkhoff,
    projection_transport,
)

PROJECTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        projection_non_negative,
        projection_box,
        projection_hypercube,
        projection_linf_ball,
        projection_simplex,
        projection_sparse_simplex,
        projection_l1_sphere,
        projection_l1_ball,
        projection_l2_sphere,
        projection_l2_ball,
        projection_hyperplane,
        projection_halfspace,
        projection_affine_set,
        projection_polyhedron,
        projection_box_section,
        projection_transport,
        projection_birkhoff,
        isotonic_l2_pav,
        projection_order_simplex,
        projection_second_order_cone,
        projection_psd,
        projection_exponential_cone,
        kl_projection_non_negative,
        kl_projection_simplex,
        kl_projection_transport,
        kl_projection_birkhoff,
    )
}

__all__ = [
    "PROJECTIONS",
    "isotonic_l2_pav",
    "kl_projection_birkhoff",
    "kl_projection_non_negative",
    "kl_projection_simplex",
    "kl_projection_transport",
    "projection_affine_set",
    "projection_birkhoff",
    "projection_box",
    "projection_box_section",
    "projection_exponential_cone",
    "projection_halfspace",
    "projection_hypercube",
    "projection_hyperplane",
    "projection_l1_ball",
    "projection_l1_sphere",
    "projection_l2_ball",
    "projection_l2_sphere",
    "projection_linf_ball",
    "projection_non_negative",
    "projection_order_simplex",
    "projection_polyhedron",
    "projection_psd",
    "projection_second_order_cone",
    "projection_simplex",
    "projection_sparse_simplex",
    "projection_transport",
]
