"""FIRE step by step beside jax-md's, the same algorithm written by others."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.particles import jax_md_door
from simsens.particles import system as systems
from simsens.particles.packing import packing
from simsens.particles.potentials import LennardJones
from simsens.particles.structure import Structure
from simsens.particles.system import System
from simsens.response import descent, fire, hessian

BOOST = 1e12  # jax-md adds 1e-6 below the squared norm of the force: too small to matter then


def disks():
    return packing()


def atoms():
    place = np.indices((3, 3, 3)).reshape(3, -1).T * 1.1
    return System(
        Structure(place + 0.05 * np.random.default_rng(0).normal(size=place.shape)), LennardJones()
    )


def jax_md_positions(system, mass, steps):
    def force(x, **unused):
        there = system.with_position(x)
        return BOOST / mass * systems.force(there, systems.list_neighbors(there))

    init, apply = jax_md_door.minimize().fire_descent(force, lambda x, move, **unused: x + move)
    with jax.numpy_dtype_promotion("standard"):  # its time step is a float32
        state = init(jnp.asarray(system.structure.position), mass=BOOST)
        state = state.set(dt=jnp.asarray(0.1), alpha=jnp.asarray(0.1), mass=jnp.asarray(BOOST))
        for _ in range(steps):
            state = state.set(
                dt=jnp.asarray(state.dt, float), alpha=jnp.asarray(state.alpha, float)
            )
            state = APPLY(apply, state)
    return np.asarray(state.position)


APPLY = jax.jit(lambda apply, state: apply(state), static_argnums=0)


@pytest.fixture
def rounded_constants(monkeypatch):
    """jax-md's constants, which it keeps in half precision."""
    from jax_md.util import static_cast

    for name in ("GROW", "DECAY", "DT_MAX", "ALPHA"):
        monkeypatch.setattr(fire, name, float(next(static_cast(getattr(fire, name)))))


@pytest.mark.usefixtures("rounded_constants")
@pytest.mark.parametrize("make", [disks, atoms])
@pytest.mark.parametrize("steps", [1, 7, 30])
def test_steps_are_jax_mds(make, steps):
    system = make()
    everyone = jnp.ones(system.structure.number, bool)
    start = np.asarray(system.structure.position)
    top = hessian.largest_curvature(system, systems.list_neighbors(system), everyone)
    motion = descent.at_rest(start)
    motion = replace(motion, inertia=motion.inertia._replace(dt=np.array(0.1), alpha=np.array(0.1)))
    made = descent.Descent(system, everyone, top, 0.0, np.inf, "fire")
    motion = made.advance(None, motion, steps)
    assert motion.steps == steps
    theirs = jax_md_positions(system, top / fire.STIFFNESS_PER_MASS, steps)
    moved = np.abs(theirs - start).max()
    assert moved > 1e-3
    # It halves its time step in single precision: 6e-8 relative, which a motion uphill and down
    # again multiplies.
    np.testing.assert_allclose(motion.position, theirs, rtol=0, atol=100 * 6e-8 * moved)
