"""Results made by hand, so that what is tested here is the files and not the relaxation."""

import numpy as np
import pytest

from simsens.implicit.certificate import Certificate
from simsens.particles.potentials import SoftSphere
from simsens.particles.structure import Structure
from simsens.particles.system import System
from simsens.response.equilibrium import Equilibrium
from simsens.response.sensitivity import Sensitivity

TILTED = np.array([[7.0, 0.25, 0.5], [0.0, 6.0, 0.125], [0.0, 0.0, 5.0]])


def make_structure(dimension=3, periodic=True, names=("A", "B"), fixed=None, number=6):
    rng = np.random.default_rng(20 + dimension)
    box = None
    if periodic:
        box = np.array([[7.0, 0.0], [0.5, 6.0]]) if dimension == 2 else TILTED
    return Structure(
        rng.uniform(-1.0, 8.0, (number, dimension)),
        species=[names[k % len(names)] for k in range(number)],
        box=box,
        fixed=fixed,
    )


def make_equilibrium(structure, iterations=12, converged=True, history=True):
    names = structure.species_names
    system = System(structure, SoftSphere(diameter=dict.fromkeys(names, 1.25), epsilon=2.0))
    start = np.asarray(structure.position) + (0.1 if iterations else 0.0)
    rows = [[0.0, 3.5, 0.75], [float(iterations), 1.0 / 3.0, 1e-11]]
    return Equilibrium(
        system=system,
        energy=1.0 / 3.0,
        max_force=1e-11,
        iterations=iterations,
        converged=converged,
        criterion="max force below fmax" if converged else "no steps left",
        fmax=1e-10,
        optimizer="fire",
        start=start,
        history=np.array(rows) if history else np.zeros((0, 3)),
    )


def make_certificate(count, trusted=True):
    rng = np.random.default_rng(5)
    return Certificate(
        optimality_residual=1e-11,
        root_error=2e-11,
        linear_residual=rng.uniform(0, 1e-12, count),
        error_bound=rng.uniform(0, 1e-9, count),
        smallest_curvature=0.1,
        largest_curvature=9.0,
        zero_modes=3,
        expected_zero_modes=3,
        negative_modes=0,
        validity_radius=np.stack([np.full(count, 0.25), np.full(count, np.inf)], axis=1),
        one_percent_step=rng.uniform(0.01, 0.1, count),
        method="cg",
        iterations=17,
        trusted=trusted,
        reason="the residuals are below the tolerance" if trusted else "a negative mode",
        notes=("one rattler is left out", "the contact of 1 and 2 is near"),
    )


def make_sensitivity(equilibrium, names=None, trusted=True):
    rng = np.random.default_rng(7)
    names = equilibrium.system.parameter_names if names is None else tuple(names)
    shape = np.shape(equilibrium.position)
    return Sensitivity(
        parameters=names,
        values=rng.uniform(0.5, 1.5, len(names)),
        position=rng.normal(size=(*shape, len(names))),
        observables={
            "energy": (1.0 / 3.0, rng.normal(size=len(names))),
            "distance[0,1]": (1.5, rng.normal(size=len(names))),
        },
        rattlers=np.array([4]),
        certificate=make_certificate(len(names), trusted),
    )


@pytest.fixture
def structure_of():
    return make_structure


@pytest.fixture
def equilibrium_of():
    return make_equilibrium


@pytest.fixture
def sensitivity_of():
    return make_sensitivity


@pytest.fixture
def same_structure():
    """A comparison that forgives nothing: every number, every name."""

    def compare(a, b):
        assert a.names() == b.names()
        assert a.boundary == b.boundary
        assert a.position.dtype == b.position.dtype == np.float64
        assert np.array_equal(a.position, b.position)
        for one, other in ((a.box, b.box), (a.fixed, b.fixed)):
            assert (one is None) == (other is None)
            assert one is None or np.array_equal(one, other)

    return compare
