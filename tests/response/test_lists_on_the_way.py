"""Lists made inside the program of the steps are those that the host would have made."""

import jax
import numpy as np
import pytest

from simsens import packing, relax
from simsens.particles import system as systems
from simsens.particles.neighbors import Grid
from simsens.particles.potentials import LennardJones
from simsens.particles.structure import Structure
from simsens.particles.system import System
from simsens.response import descent, run, thresholds


def gas():
    """Atoms that draw together: their rows grow."""
    place = np.indices((11,) * 3).reshape(3, -1).T[:1100] * 1.6
    noise = np.random.default_rng(3).normal(size=place.shape)
    return System(Structure(place + 0.2 * noise, box=11 * 1.6), LennardJones(cutoff=2.5))


FLOWING = {"disks": lambda: packing(number=1100, seed=5), "gas": gas}
STEPS = {"disks": 150, "gas": 300}


@pytest.fixture
def lists(monkeypatch):
    """The lists that the host has made, as they are made."""
    made, renew = [], run.Run.renew

    def counted(self, position):
        renew(self, position)
        made.append(self.neighbors)

    monkeypatch.setattr(run.Run, "renew", counted)
    return made


@pytest.mark.parametrize("kind", FLOWING)
def test_the_path_is_that_of_lists_made_by_the_host(kind, lists, monkeypatch):
    system, steps = FLOWING[kind](), STEPS[kind]
    within = relax(system, fmax=1e-9, steps=steps, throw=False)
    few = len(lists)
    monkeypatch.setattr(thresholds, "FEW", 10**6)  # as if it did not pay
    monkeypatch.setattr(thresholds, "WIDEST", thresholds.SKIN[system.structure.dimension])
    lists.clear()
    outside = relax(system, fmax=1e-9, steps=steps, throw=False)
    np.testing.assert_array_equal(within.position, outside.position)
    assert (within.energy, within.max_force) == (outside.energy, outside.max_force)
    assert few < len(lists) / 2  # most of them were made on the way
    lengths = [listed.index.shape[1] for listed in lists]
    assert kind != "gas" or lengths[-1] > lengths[0]  # and those that grew were not


def listed(system, skin=0.3):
    found = systems.list_neighbors(system, skin)
    assert isinstance(found.grid, Grid)
    return found


renewed = jax.jit(systems.renewed_list, static_argnames="grid")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", FLOWING)
def test_a_list_made_again_is_the_list_made_anew(kind, dtype):
    system = FLOWING[kind]()
    start = system.structure.position.astype(dtype)
    before = listed(system.with_position(start))
    moved = start + np.random.default_rng(0).normal(size=start.shape).astype(dtype) * dtype(0.05)
    moved[0] += 1000  # some way from home
    there = system.with_position(moved)
    again = renewed(there, before, grid=before.grid)
    anew = systems.list_neighbors(there, 0.3, before)
    assert again.valid
    assert anew.index.shape == before.index.shape
    for name in ("index", "shift", "mask", "reference"):
        one, other = np.asarray(getattr(again, name)), np.asarray(getattr(anew, name))
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_what_does_not_suit_the_shapes_is_not_valid():
    system = gas()
    before, place = listed(system), system.structure.position
    assert renewed(system, before, grid=before.grid).valid
    box = system.structure.box
    dense, thin = (Structure(place * by, box=box * by) for by in (0.7, 2.0))
    longer = System(dense, system.potential)  # three times as many neighbours
    assert not renewed(longer, before, grid=before.grid).valid
    wide = before.grid._replace(capacity=2)  # ... of a cell are looked at
    assert not renewed(system, before, grid=wide).valid
    shorter = System(thin, system.potential)  # rows that the host would make shorter
    assert not renewed(shorter, before, grid=before.grid).valid
    assert systems.list_neighbors(shorter, 0.3, before).index.shape[1] < before.index.shape[1]
    far = place + 300 * np.asarray(box)[0] * (np.arange(len(place)) % 2)[:, None]
    assert not renewed(system.with_position(far), before, grid=before.grid).valid


def test_a_list_is_kept_while_it_serves():
    """No list is made where none is due, nor for steps that are not to be made."""
    system = packing(number=1100, seed=5)
    mobile, before = np.ones(1100, bool), listed(system)
    for budget, far in ((0, 10.0), (3, 1e-6)):
        made = descent.Descent(system, mobile, 300.0, 0.0, far, "fire")
        start = descent.at_rest(system.structure.position)
        motion, after = made.advance_and_list(before, start, budget, before.grid)
        assert int(motion.steps) == budget
        np.testing.assert_array_equal(after.index, before.index)
        np.testing.assert_array_equal(after.reference, before.reference)


def test_the_skin_of_few_does_not_make_a_long_range_too_long():
    lattice = np.indices((3, 3, 3)).reshape(3, -1).T + 0.5
    system = System(Structure(lattice, box=3.0), LennardJones(sigma=0.9, cutoff=9.9))
    found = systems.list_neighbors(system, thresholds.skin_for(lattice.shape, 1.0, 0.1))
    assert found.mask.sum(axis=1).min() > 5000
