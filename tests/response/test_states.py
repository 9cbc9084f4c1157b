"""A run that is watched, cut short or resumed takes the steps it would have taken, to the bit."""

import jax.numpy as jnp
import numpy as np
import pytest

from simsens import packing, relax
from simsens.particles.potentials import EnergyFunction, HarmonicBonds, LennardJones
from simsens.particles.structure import Structure
from simsens.particles.system import System
from simsens.response.optimizers import OPTIMIZERS

DISKS = packing(number=24, seed=3)
FMAX = 1e-9  # Newton's method finishes


class Kept:
    """Keeps every frame, and a state whenever it is asked whether it wants one."""

    def __init__(self, every=0, wanted=True):
        self.every, self.wanted = every, wanted
        self.frames, self.states = [], []

    def frame(self, step, position, energy, max_force):
        self.frames.append((step, np.array(position), energy, max_force))

    def due(self):
        return self.wanted

    def keep(self, state):
        self.states.append({name: np.array(value) for name, value in state.items()})


def springs():
    position = np.random.default_rng(0).uniform(0, 2, (8, 2))
    bonds = [[k, k + 1] for k in range(7)]
    return System(Structure(position), HarmonicBonds(bonds=bonds, length=0.5))


def well():
    law = EnergyFunction(lambda position, k=2.0: jnp.sum(k * position**2 + position**4))
    return System(Structure(np.random.default_rng(1).uniform(-1, 1, (5, 3))), law)


def crystal():
    """More than a thousand atoms: their list is made from cells."""
    place = np.indices((11,) * 3).reshape(3, -1).T * 1.1
    noise = np.random.default_rng(2).normal(size=place.shape)
    return System(Structure(place + 0.1 * noise, box=12.1), LennardJones(cutoff=2.5))


SYSTEMS = {"disks": lambda: DISKS, "springs": springs, "well": well, "crystal": crystal}


def same(one, other):
    np.testing.assert_array_equal(one.position, other.position)
    assert (one.energy, one.max_force) == (other.energy, other.max_force)
    assert (one.iterations, one.criterion) == (other.iterations, other.criterion)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_run_goes_on_from_any_state_as_if_it_had_never_stopped(name):
    system = SYSTEMS[name]()
    kept = Kept(every=7)
    whole = relax(system, fmax=FMAX, record=kept)
    assert whole.converged
    assert len(kept.states) >= 3
    for state in kept.states[:: max(1, len(kept.states) // 3)]:
        again = Kept(every=7)
        same(relax(system, fmax=FMAX, record=again, resume=state), whole)
        # The frames that come after are those that came after.
        later = [frame for frame in kept.frames if frame[0] > state["steps"]]
        assert [frame[0] for frame in again.frames] == [frame[0] for frame in later]
        for one, other in zip(again.frames, later):
            np.testing.assert_array_equal(one[1], other[1])
            assert one[2:] == other[2:]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_goes_on(optimizer):
    kept = Kept()
    whole = relax(DISKS, optimizer, fmax=1e-4, record=kept)
    same(relax(DISKS, optimizer, fmax=1e-4, resume=kept.states[len(kept.states) // 2]), whole)


def test_watching_leaves_no_trace():
    whole = relax(DISKS, fmax=FMAX)
    for every in (1, 13, 100):
        same(relax(DISKS, fmax=FMAX, record=Kept(every)), whole)


def test_frames_are_those_asked_for():
    kept = Kept(every=10, wanted=False)
    whole = relax(DISKS, fmax=FMAX, record=kept)
    steps = [frame[0] for frame in kept.frames]
    assert steps == list(range(0, steps[-1] + 1, 10))
    assert steps[-1] <= whole.iterations
    np.testing.assert_array_equal(kept.frames[0][1], DISKS.structure.position)
    for step, position, energy, max_force in kept.frames[1:4]:
        there = relax(DISKS, fmax=FMAX, steps=step, throw=False)
        np.testing.assert_array_equal(there.position, position)
        # A fresh list: the same terms in another order.
        assert energy == pytest.approx(there.energy, rel=1e-13)
        assert max_force == pytest.approx(there.max_force, rel=1e-10)
    assert kept.states == []


def test_a_budget_that_is_spent_leaves_a_state_to_go_on_from():
    kept = Kept(wanted=False)
    short = relax(DISKS, fmax=FMAX, steps=50, throw=False, record=kept)
    assert (short.iterations, len(kept.states)) == (50, 1)
    same(relax(DISKS, fmax=FMAX, resume=kept.states[0]), relax(DISKS, fmax=FMAX))


@pytest.mark.parametrize("when", [0, 30, 1_000_000])
def test_a_request_to_stop_leaves_a_state_to_go_on_from(when):
    kept, told = Kept(wanted=False), []

    def stop(step, energy, force):
        told.append(force)
        return step >= when or (when == 1_000_000 and force < 1e-6)  # among Newton's steps

    stopped = relax(DISKS, fmax=1e-12, throw=False, record=kept, progress=stop)
    assert stopped.criterion == "stopped on request"
    assert len(kept.states) == 1
    same(relax(DISKS, fmax=1e-12, resume=kept.states[0]), relax(DISKS, fmax=1e-12))


def test_the_history_is_whole():
    kept = Kept(wanted=False)
    relax(DISKS, fmax=FMAX, steps=50, throw=False, record=kept)
    history = relax(DISKS, fmax=FMAX, resume=kept.states[0]).history
    assert history[0, 0] == 0
    assert (np.diff(history[:, 0]) >= 0).all()


def test_a_state_of_another_system_is_refused():
    kept = Kept()
    relax(DISKS, fmax=1e-4, record=kept)
    with pytest.raises(ValueError, match=r"shape \(24, 2\), the system .* shape \(8, 2\)"):
        relax(springs(), resume=kept.states[0])
