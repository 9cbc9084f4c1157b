"""Many particles are moved in an order of their own; whoever looks sees them in theirs."""

import numpy as np
import pytest

from simsens import packing, relax
from simsens.particles.near_order import by_strips, near_order
from simsens.particles.potentials import HarmonicBonds, SoftSphere
from simsens.particles.structure import InvalidStructure, Structure
from simsens.particles.system import System
from tests.response.test_states import Kept, same

MANY = packing(number=1200, seed=4)


def shuffled(system, seed=1):
    order = np.random.default_rng(seed).permutation(system.structure.number)
    return System(system.structure.reordered(order), system.potential), order


@pytest.mark.parametrize("dimension", [2, 3])
def test_neighbours_in_space_are_near_in_memory(dimension):
    system = packing(number=4000, dimension=dimension)
    order = near_order(system)
    assert sorted(order) == list(range(4000))
    place = system.structure.position[order]
    apart = np.linalg.norm(place[:, None] - place[None], axis=-1)
    first, second = np.nonzero(apart < 1.0)
    near = np.median(np.abs(first - second)[first != second])
    assert near < (60 if dimension == 2 else 200)  # a third of 4000 where all is random


def test_few_and_those_known_by_number_stay():
    assert list(near_order(packing(number=50))) == list(range(50))
    chain = Structure(np.random.default_rng(0).uniform(0, 9, (1200, 2)))
    assert (by_strips(chain) != np.arange(1200)).any()
    bonds = np.stack([np.arange(1199), np.arange(1, 1200)], axis=1)
    assert list(near_order(System(chain, HarmonicBonds(bonds=bonds)))) == list(range(1200))


def test_the_order_that_is_given_makes_no_difference():
    mixed, order = shuffled(MANY)
    one, other = (relax(system, steps=60, throw=False) for system in (MANY, mixed))
    np.testing.assert_array_equal(other.position, one.position[order])
    np.testing.assert_array_equal(other.start, one.start[order])
    assert (other.energy, other.max_force) == (one.energy, one.max_force)
    assert np.abs(one.position - one.start).max() > 0.1


def test_what_is_fixed_stays_and_frames_are_in_order():
    fixed = np.arange(0, 1200, 7)
    kept = Kept(every=10)
    end = relax(MANY, steps=40, fixed=fixed, record=kept, throw=False)
    start = MANY.structure.position
    np.testing.assert_array_equal(end.start, start)
    np.testing.assert_array_equal(kept.frames[0][1], start)
    np.testing.assert_array_equal(kept.frames[-1][1], end.position)
    for _, position, _, _ in kept.frames:
        np.testing.assert_array_equal(position[fixed], start[fixed])
    moved = np.linalg.norm(end.position - start, axis=1) > 1e-3
    assert moved.sum() > 900
    state = kept.states[1]
    np.testing.assert_array_equal(state["position"][fixed], start[fixed])
    assert not state["velocity"][fixed].any()
    same(relax(MANY, steps=40, fixed=fixed, resume=state, throw=False), end)


def test_particles_that_lie_on_each_other_are_called_by_their_number():
    position = np.random.default_rng(5).uniform(0, 40, (1200, 2))
    position[931] = position[17]
    with pytest.raises(InvalidStructure, match="particles 17 and 931 are 0 apart"):
        relax(System(Structure(position, box=40.0), SoftSphere(1.0)))
