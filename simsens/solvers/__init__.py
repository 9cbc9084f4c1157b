r"""How to get there: algorithms that find roots, minima and fixed points.

An algorithm is a record of a problem and the way to solve it; ``solve`` runs it, stops it, judges
it and makes the solution differentiable. What an algorithm *finds* is told by the optimality
mapping that it declares, and the two are independent: any may be paired with another mapping of the
same solutions (Blondel et al., arXiv 2105.15183).

====================== ========================== ======================== =====================
algorithm              for                        declares                 theta
====================== ========================== ======================== =====================
GradientDescent        min f                      stationary               \*args
Newton                 min f                      stationary               \*args
LBFGS                  min f                      stationary               \*args
ProximalGradient       min f + g                  proximal_gradient        hyperparams, \*args
ProjectedGradient      min f on C                 projected_gradient       hyperparams, \*args
MirrorDescent          min f on C                 mirror_descent(_kl)      hyperparams, \*args
BlockCoordinateDescent min phi(A^T x) + sum g_i   block_proximal_gradient  hyperparams, A, \*args
NewtonRoot             F = 0                      F                        \*args
Bisection              F = 0, one unknown each    F                        \*args
FixedPointIteration    T(x) = x                   T                        \*args
AndersonAcceleration   T(x) = x                   T                        \*args
Optax                  min f                      stationary               \*args
Optimistix             min f, F = 0, T(x) = x     stationary, F, T         \*args
ScipyMinimize          min f, in bounds           stationary or projected  \*args
ScipyRoot              F = 0                      F                        \*args
====================== ========================== ======================== =====================
"""

from simsens.solvers.anderson import AndersonAcceleration
from simsens.solvers.bisection import Bisection
from simsens.solvers.block_coordinate_descent import BlockCoordinateDescent
from simsens.solvers.fixed_point_iteration import FixedPointIteration
from simsens.solvers.from_optax import Optax
from simsens.solvers.from_optimistix import Optimistix
from simsens.solvers.from_scipy import ScipyMinimize, ScipyRoot
from simsens.solvers.gradient_descent import GradientDescent
from simsens.solvers.lbfgs import LBFGS
from simsens.solvers.mirror_descent import MirrorDescent
from simsens.solvers.newton import Newton, NewtonRoot
from simsens.solvers.projected_gradient import ProjectedGradient
from simsens.solvers.proximal_gradient import ProximalGradient
from simsens.solvers.schedule import inverse_power
from simsens.solvers.solution import Solution
from simsens.solvers.solve import solve

#: Every algorithm by name: read by the contract tests and the documentation.
ALGORITHMS = {
    kind.__name__: kind
    for kind in (
        GradientDescent,
        Newton,
        LBFGS,
        ProximalGradient,
        ProjectedGradient,
        MirrorDescent,
        BlockCoordinateDescent,
        NewtonRoot,
        Bisection,
        FixedPointIteration,
        AndersonAcceleration,
        Optax,
        Optimistix,
        ScipyMinimize,
        ScipyRoot,
    )
}

__all__ = ["ALGORITHMS", "Solution", "inverse_power", "solve", *ALGORITHMS]
