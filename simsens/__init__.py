"""simsens: relax a simulated structure, and get the derivative of everything measured on it.

Names are loaded when first used (PEP 562), in the order of the data flow; ``import simsens`` costs
nothing and has no side effects. In particular it never switches JAX to float64: do that first,
with ``jax.config.update("jax_enable_x64", True)``.
"""

import importlib
from typing import TYPE_CHECKING, Any

from simsens.version import __version__

_HOME = {
    "Structure": "simsens.particles.structure",
    "SoftSphere": "simsens.particles.potentials",
    "LennardJones": "simsens.particles.potentials",
    "Morse": "simsens.particles.potentials",
    "HarmonicBonds": "simsens.particles.potentials",
    "EnergyFunction": "simsens.particles.potentials",
    "System": "simsens.particles.system",
    "energy": "simsens.particles.observables",
    "pressure": "simsens.particles.observables",
    "distance": "simsens.particles.observables",
    "packing_fraction": "simsens.particles.observables",
    "packing": "simsens.particles.packing",
    "relax": "simsens.response.relaxation",
    "Equilibrium": "simsens.response.equilibrium",
    "NotConverged": "simsens.response.equilibrium",
    "sensitivity": "simsens.response.sensitivity",
    "Sensitivity": "simsens.response.sensitivity",
    "perturb": "simsens.response.perturbed",
    "Perturbed": "simsens.response.perturbed",
    "elastic_moduli": "simsens.response.elasticity",
    "ElasticModuli": "simsens.response.elasticity",
    "normal_modes": "simsens.response.modes",
    "NormalModes": "simsens.response.modes",
    "Certificate": "simsens.implicit.certificate",
    "relaxed": "simsens.response.relaxed",
    "relax_batch": "simsens.studies.batch",
    "custom_root": "simsens.implicit.root",
    "custom_fixed_point": "simsens.implicit.fixed_point",
    "root_jvp": "simsens.implicit.products",
    "root_vjp": "simsens.implicit.products",
    "prepare_root": "simsens.implicit.prepared",
    "solve": "simsens.solvers.solve",
    "Solution": "simsens.solvers.solution",
}
_FOLDERS = (
    "io", "implicit", "learning", "optimality", "particles", "plots", "projection", "prox",
    "response", "solvers", "studies",
)  # fmt: skip

__all__ = ["__version__", *_HOME, *_FOLDERS]

if TYPE_CHECKING:
    from simsens import (
        implicit,
        io,
        learning,
        optimality,
        particles,
        plots,
        projection,
        prox,
        response,
        solvers,
        studies,
    )
    from simsens.implicit.certificate import Certificate
    from simsens.implicit.fixed_point import custom_fixed_point
    from simsens.implicit.prepared import prepare_root
    from simsens.implicit.products import root_jvp, root_vjp
    from simsens.implicit.root import custom_root
    from simsens.particles.observables import distance, energy, packing_fraction, pressure
    from simsens.particles.packing import packing
    from simsens.particles.potentials import (
        EnergyFunction,
        HarmonicBonds,
        LennardJones,
        Morse,
        SoftSphere,
    )
    from simsens.particles.structure import Structure
    from simsens.particles.system import System
    from simsens.response.elasticity import ElasticModuli, elastic_moduli
    from simsens.response.equilibrium import Equilibrium, NotConverged
    from simsens.response.modes import NormalModes, normal_modes
    from simsens.response.perturbed import Perturbed, perturb
    from simsens.response.relaxation import relax
    from simsens.response.relaxed import relaxed
    from simsens.response.sensitivity import Sensitivity, sensitivity
    from simsens.solvers.solution import Solution
    from simsens.solvers.solve import solve
    from simsens.studies.batch import relax_batch


def __getattr__(name: str) -> Any:
    if name in _FOLDERS:
        return importlib.import_module(f"simsens.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'simsens' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
