"""FIRE 2.0 and ABC-FIRE step by step, beside the published pseudo-code and beside ASE's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize.fire2 import FIRE2

from simsens.particles import system as systems
from simsens.particles.packing import packing
from simsens.particles.potentials import LennardJones
from simsens.particles.structure import Structure
from simsens.particles.system import System
from simsens.response import descent, fire, fire2, hessian

MAX_MOVE = 0.03  # short enough to be met


def disks():
    return packing(number=12, seed=2)


def atoms():
    place = np.indices((3, 3, 3)).reshape(3, -1).T * 1.1
    return System(
        Structure(place + 0.05 * np.random.default_rng(0).normal(size=place.shape)), LennardJones()
    )


def accelerations(system):
    """The function, and the largest curvature that it supposes."""
    everyone = jnp.ones(system.structure.number, bool)
    top = float(hessian.largest_curvature(system, systems.list_neighbors(system), everyone))

    @jax.jit
    def force(x):
        there = system.with_position(x)
        return systems.force(there, systems.list_neighbors(there))

    mass = top / fire.STIFFNESS_PER_MASS
    return lambda x: np.asarray(force(x)) / mass, top


def published(acceleration, x, steps, corrected):
    """The pseudo-code: Guénolé et al., Algorithm 2; Echeverri Restrepo and Andric, Algorithm 1."""
    v, dt, alpha, n, uphill = np.zeros_like(x), 0.1, 0.25, 0, []
    for i in range(steps):
        a = acceleration(x)
        back = 0.0
        if np.vdot(a, v) > 0:
            n += 1
            if n > 20:
                dt = min(1.1 * dt, fire2.DT_MAX)
                alpha *= 0.99
        elif i > 0:
            uphill.append(i)
            n, alpha = 0, 0.25
            dt = max(0.5 * dt, 0.002)
            back = -0.5 * dt * v
            v = np.zeros_like(x)
        v = v + dt * a
        v = (1 - alpha) * v + alpha * a / np.linalg.norm(a) * np.linalg.norm(v)
        if corrected:
            v = v / (1 - (1 - alpha) ** (n + 1))
            cap = MAX_MOVE / x.shape[1] ** 0.5 / dt
            v = np.minimum(np.maximum(v, -cap), cap)
        move = back + dt * v
        x = x + move * min(1, MAX_MOVE / np.linalg.norm(move, axis=1).max())
    return x, uphill


def ours(system, top, name, longest=MAX_MOVE):
    """The motion after so many steps, compiled once."""
    everyone = jnp.ones(system.structure.number, bool)

    @jax.jit
    def after(steps):
        motion = descent.at_rest(np.asarray(system.structure.position))
        made = descent.Descent(system, everyone, top, 0.0, longest, name)
        return made.advance(None, motion, steps)

    return after


@pytest.mark.parametrize("make", [disks, atoms])
@pytest.mark.parametrize("name", ["fire2", "abc-fire"])
def test_steps_are_the_published(make, name):
    system = make()
    acceleration, top = accelerations(system)
    start = np.asarray(system.structure.position)
    after = ours(system, top, name)
    for steps in (1, 7, 40, 300):
        expected, uphill = published(acceleration, start, steps, name == "abc-fire")
        motion = after(steps)
        assert motion.steps == steps
        # Rounding, 1e-16 a step, grows along the way to the minimum and shrinks once there.
        np.testing.assert_allclose(motion.position, expected, rtol=0, atol=1e-11)
    assert len(uphill) >= 2
    assert max(np.diff([*uphill, steps])) > fire2.DOWNHILL + 2  # the time step has grown


class Given(Calculator):
    """Accelerations as the forces of ASE."""

    implemented_properties = ("energy", "forces")

    def __init__(self, acceleration):
        super().__init__()
        self.acceleration = acceleration

    def calculate(self, atoms=None, properties=("forces",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": self.acceleration(atoms.positions)}


@pytest.mark.parametrize("name", ["fire2", "abc-fire"])
def test_steps_are_ases_until_one_goes_uphill(name):
    """ASE takes the force after its half step back, at the price of another force."""
    system = atoms()
    acceleration, top = accelerations(system)
    start, corrected = np.asarray(system.structure.position), name == "abc-fire"
    _, uphill = published(acceleration, start, 300, corrected)
    steps = uphill[0]
    assert steps >= 4
    there = Atoms(positions=start, calculator=Given(acceleration))
    cap = MAX_MOVE / 3**0.5 if corrected else np.inf  # of a component
    run = FIRE2(there, logfile=None, dtmax=fire2.DT_MAX, use_abc=corrected, maxstep=cap)
    for _ in range(steps):
        run.step()
    expected = there.positions
    longest = MAX_MOVE if corrected else np.inf  # ASE bounds the move of all together
    found = ours(system, top, name, longest)(steps)
    np.testing.assert_allclose(found.position, expected, rtol=0, atol=1e-13)


def test_a_mean_of_no_weight_is_still_a_mean():
    """Where alpha is spent the correction is 1/(n + 1) of its least, in either precision."""
    for dtype in (np.float32, np.float64):
        start = fire.at_rest(np.ones((2, 3), dtype))
        spent = start._replace(
            velocity=np.full((2, 3), 1e-8, dtype),
            alpha=np.asarray(1e-30, dtype),
            n_pos=np.asarray(3, np.int32),
        )
        after, _ = fire2.step(spent, np.full((2, 3), 1e-8, dtype), np.inf)
        assert after.velocity.dtype == dtype
        grown = 1e-8 + 0.1 * 1e-8  # by dt a, n_pos being small
        np.testing.assert_allclose(after.velocity, grown / (5 * fire2.LEAST_ALPHA), rtol=1e-5)


def test_without_force_nothing_moves():
    start = fire.at_rest(np.zeros((2, 2)))
    for longest in (None, 0.1):
        after, move = fire2.begin(start, np.zeros((2, 2)), longest)
        after, again = fire2.step(after, np.zeros((2, 2)), longest)
        assert (np.asarray([move, again, after.velocity]) == 0).all()
