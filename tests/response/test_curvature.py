"""The three ways of solving with the Hessian give one answer, and tell what they will cost."""

import logging

import jax.numpy as jnp
import numpy as np
import pytest

from simsens import packing, relax
from simsens.particles import system as systems
from simsens.particles.contacts import rattlers
from simsens.particles.potentials import LennardJones
from simsens.particles.structure import Structure, mobile_mask
from simsens.particles.system import System
from simsens.response import cost, hessian
from simsens.response.curvature import Curvature, method_for


def crystal():
    """Thirty-one atoms around a vacancy, in a tilted box."""
    face_centred = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 4
    cells = np.indices((2, 2, 2)).reshape(3, -1).T / 2
    lattice = (cells[:, None] + face_centred).reshape(-1, 3)[1:]
    box = np.array([[3.1, 0.0, 0.0], [0.2, 3.1, 0.0], [-0.1, 0.15, 3.1]])
    return System(Structure(lattice @ box, box=box), LennardJones(cutoff=2.0))


REST = {
    "disks": relax(packing(number=30, seed=2), fmax=1e-12).system,
    "crystal": relax(crystal(), fmax=1e-12).system,
}


def curvature(name, solver, **options):
    system = REST[name]
    listed = systems.list_neighbors(system, 0.3)
    loose = np.asarray(rattlers(system, listed))
    return Curvature(system, listed, mobile_mask(system.structure) & ~loose, solver, **options)


@pytest.mark.parametrize("name", REST)
@pytest.mark.parametrize("count", [1, 2, 9])
def test_all_ways_solve_alike(name, count):
    dense, others = curvature(name, "dense"), {s: curvature(name, s) for s in ("sparse", "cg")}
    rhs = np.random.default_rng(count).normal(size=(count, dense.force.size))
    rhs *= np.repeat(dense.mobile, REST[name].structure.dimension)
    rhs -= (rhs @ dense.rigid_modes.T) @ dense.rigid_modes
    exact = dense.solve(rhs)
    for solver, other in others.items():
        found = other.solve(rhs)
        assert np.all(found.converged), solver
        assert np.max(found.residual) < 2e-12, solver
        assert np.shape(found.value) == rhs.shape
        # Relative residuals of 1e-12, amplified by the condition number.
        scale = np.linalg.norm(exact.value, axis=1).max()
        assert np.abs(found.value - exact.value).max() < 1e-12 * dense.condition * scale, solver
        rough = other.estimate(rhs)
        assert np.abs(rough - exact.value).max() < 1e-3 * dense.condition * scale


@pytest.mark.parametrize("name", REST)
def test_all_ways_see_the_same_spectrum(name):
    dense = curvature(name, "dense")
    for solver in ("sparse", "cg"):
        other = curvature(name, solver)
        assert other.smallest == pytest.approx(dense.smallest, rel=1e-3), solver
        assert other.zero_modes == dense.zero_modes
        assert other.negative_modes == dense.negative_modes == 0
        # Power iterations approach the largest from below.
        assert 0.8 * dense.largest < other.largest <= dense.largest * (1 + 1e-12)


@pytest.mark.parametrize("name", REST)
@pytest.mark.parametrize("solver", ["dense", "sparse", "cg"])
def test_a_step_balances_the_force(name, solver):
    """Newton's step is what the spectrum gives, though no spectrum is computed for it."""
    shifted, exact = curvature(name, solver, shift=1e-10), curvature(name, "dense")
    force = np.random.default_rng(3).normal(size=exact.force.size)
    force *= np.repeat(exact.mobile, REST[name].structure.dimension)
    force -= exact.rigid_modes.T @ (exact.rigid_modes @ force)
    step = shifted.step(force.reshape(REST[name].structure.position.shape))
    assert "_spectrum" not in vars(shifted)
    there = np.asarray(exact.solve(force[None]).value)[0]
    digits = 1e-3 if solver == "cg" else 1e-9
    scale = exact.condition * np.linalg.norm(there)
    assert np.linalg.norm(step.ravel() - there) < digits * scale
    assert np.all(step[~exact.mobile] == 0)


@pytest.mark.parametrize("solver", ["dense", "sparse"])
def test_no_step_is_made_from_a_saddle(solver):
    """Three atoms in a row, drawn further apart than the pairs bear."""
    place = np.array([[0.0, 0.0, 0.0], [1.6, 0.0, 0.0], [3.2, 0.0, 0.0]])
    system = System(Structure(place), LennardJones(cutoff=3.0))
    listed = systems.list_neighbors(system, 0.3)
    found = Curvature(system, listed, np.ones(3, bool), solver, shift=1e-10)
    assert found.negative_modes > 0
    assert found.step(np.asarray(place) * [1.0, 0.0, 0.0]) is None


def test_the_diagonal_blocks_are_those_of_the_matrix():
    for name, system in REST.items():
        listed = systems.list_neighbors(system)
        mobile = np.ones(system.structure.number, bool)
        matrix = np.asarray(hessian.dense(system, listed, mobile))
        smooth = hessian.preconditioner(system, listed, jnp.asarray(mobile))
        dimension = system.structure.dimension
        v = np.random.default_rng(0).normal(size=system.structure.position.shape)
        found = np.asarray(smooth(jnp.asarray(v)))
        for i in range(len(v)):
            block = matrix[i * dimension :, i * dimension :][:dimension, :dimension]
            if np.linalg.eigvalsh(block)[0] > 1e-9:
                np.testing.assert_allclose(found[i], np.linalg.solve(block, v[i]), rtol=1e-9)
            else:  # a rattler that touches nothing, or not enough
                assert np.vdot(found[i], v[i]) > 0, name


def test_what_nothing_holds_has_a_preconditioner_too():
    apart = System(Structure([[0.0, 0.0], [9.0, 0.0]]), LennardJones(cutoff=2.0))
    smooth = hessian.preconditioner(apart, systems.list_neighbors(apart), jnp.ones(2, bool))
    np.testing.assert_array_equal(smooth(jnp.ones((2, 2))), np.ones((2, 2)))


@pytest.mark.parametrize("solver", ["dense", "sparse", "cg"])
@pytest.mark.parametrize("moving", [True, False])
def test_where_nothing_is_stiff_every_mode_costs_nothing(solver, moving):
    apart = System(Structure([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]]), LennardJones(cutoff=2.0))
    listed = systems.list_neighbors(apart, 0.3)
    found = Curvature(apart, listed, np.full(3, moving), solver)
    assert (found.zero_modes, found.negative_modes, found.smallest) == (6, 0, 0)


def test_the_choice_and_its_cost_are_told(caplog):
    with caplog.at_level(logging.INFO, logger="simsens"):
        curvature("disks", "auto")
    assert "60 unknowns by dense: some" in caplog.text
    assert "GB predicted" in caplog.text


def test_a_factor_that_does_not_fit_is_not_made(monkeypatch):
    system = packing(number=1000, seed=0)
    assert method_for(system) == "sparse"
    monkeypatch.setattr(cost, "free_memory", lambda: 1e6)
    assert method_for(system) == "cg"


def test_costs_grow_as_their_methods_do():
    for method, power in (("dense", 3.0), ("sparse", 1.5), ("cg", 1.0)):
        small, large = (cost.predict(method, n, 14 * n) for n in (10_000, 80_000))
        assert large.seconds / small.seconds == pytest.approx(8**power, rel=0.01)
        assert large.memory > 7 * small.memory
    assert cost.free_memory() > 1e6


def test_where_the_system_does_not_tell_there_is_no_limit(monkeypatch):
    def unknown(*_):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(cost.Path, "read_text", lambda _: "")
    monkeypatch.setattr(cost.os, "sysconf", unknown)
    assert cost.free_memory() == np.inf
