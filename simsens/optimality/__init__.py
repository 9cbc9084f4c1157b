r"""What "solved" means: the catalogue of optimality mappings, from an objective to F or T.

A *root mapping* :math:`F(x, \theta)` is zero at a solution; a *fixed-point mapping*
:math:`T(x, \theta)` leaves it unchanged. Give the first to ``implicit_root`` or ``custom_root``,
the second to ``implicit_fixed_point`` or ``custom_fixed_point``; the solver may be any. A mapping
declares what is known of its linearisation, so that the linear solver fits.

========================== ===== =================== ======================================
mapping                    kind  parameters          declares of A
========================== ===== =================== ======================================
stationary                 root  \*args              symmetric (definite if convex)
gradient_descent           fixed \*args              symmetric (definite if convex)
kkt                        root  obj, eq, ineq       symmetric
kkt_complementary          root  obj, eq, ineq
proximal_gradient          fixed hyperparams, \*args
projected_gradient         fixed hyperparams, \*args
mirror_descent             fixed hyperparams, \*args
mirror_descent_kl          fixed total, \*args
newton                     fixed \*args              definite
block_proximal_gradient    fixed hyperparams, \*args
conic                      root  (c, E, d)
frank_wolfe                fixed vertices, \*args
========================== ===== =================== ======================================

Reference: Blondel et al., Efficient and Modular Implicit Differentiation, arXiv 2105.15183,
Table 1.
"""

from simsens.optimality.block_proximal_gradient import block_proximal_gradient
from simsens.optimality.conic import (
    ConicSolution,
    conic,
    conic_point,
    conic_solution,
    homogeneous_embedding,
)
from simsens.optimality.frank_wolfe import frank_wolfe, in_hull
from simsens.optimality.kkt import kkt, kkt_complementary
from simsens.optimality.kkt_evidence import KKTEvidence, complementarity_margin, kkt_evidence
from simsens.optimality.mirror_descent import mirror_descent, mirror_descent_kl
from simsens.optimality.newton import newton
from simsens.optimality.projected_gradient import projected_gradient
from simsens.optimality.proximal_gradient import proximal_gradient
from simsens.optimality.stationary import gradient_descent, stationary

#: Every mapping by name: read by the contract tests and the documentation.
MAPPINGS = {
    "stationary": stationary,
    "gradient_descent": gradient_descent,
    "kkt": kkt,
    "kkt_complementary": kkt_complementary,
    "proximal_gradient": proximal_gradient,
    "projected_gradient": projected_gradient,
    "mirror_descent": mirror_descent,
    "mirror_descent_kl": mirror_descent_kl,
    "newton": newton,
    "block_proximal_gradient": block_proximal_gradient,
    "conic": conic,
    "frank_wolfe": frank_wolfe,
}

__all__ = [
    "MAPPINGS",
    "ConicSolution",
    "KKTEvidence",
    "complementarity_margin",
    "conic_point",
    "conic_solution",
    "homogeneous_embedding",
    "in_hull",
    "kkt_evidence",
    *MAPPINGS,
]
