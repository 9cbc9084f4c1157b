"""Systems relaxed together: what each would get alone, whoever it shares the stack with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens import packing, relax, relax_batch, sensitivity
from simsens.particles import system as systems
from simsens.particles.parameters import UnknownParameter
from simsens.particles.potentials import EnergyFunction, HarmonicBonds, LennardJones, SoftSphere
from simsens.particles.structure import Structure
from simsens.particles.system import System
from simsens.response.stacked import DifferentShapes
from simsens.studies import batch, rounds

TILTED = np.array([[3.1, 0.0, 0.0], [0.2, 3.1, 0.0], [-0.1, 0.15, 3.1]])


def disks(seed):
    """Disks near a minimum of their own, in a box and with a stiffness of their own."""
    rest = relax(packing(number=12, seed=seed), fmax=1e-10).system
    noise = 1e-3 * np.random.default_rng(seed).normal(size=(12, 2))
    moved = rest.with_position(np.asarray(rest.structure.position) + noise)
    return moved.replace_parameters({"epsilon": 1.0 + 0.1 * seed})


def crystal(seed):
    """A tilted crystal of Lennard-Jones atoms with a vacancy, narrower than twice the cutoff."""
    face_centred = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 4
    cells = np.indices((2, 2, 2)).reshape(3, -1).T / 2
    lattice = (cells[:, None] + face_centred).reshape(-1, 3)[1:]
    noise = 0.02 * np.random.default_rng(seed).normal(size=(31, 3))
    box, fixed = TILTED * (1 + 0.01 * seed), np.arange(31) == seed
    return System(Structure(lattice @ box + noise, box=box, fixed=fixed), LennardJones(cutoff=2.0))


def cluster(seed):
    """Seven atoms in free space, without cutoff."""
    corners = np.array(
        [[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1], [2, 1, 1], [1, 2, 1], [1, 1, 2]]
    )
    noise = 0.03 * np.random.default_rng(seed).normal(size=(7, 3))
    return System(Structure(0.8 * corners + noise), LennardJones(sigma=1.0 + 0.02 * seed))


def springs(seed):
    """A square of springs with its diagonals."""
    square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    bonds = [[0, 1], [1, 2], [2, 3], [3, 0], [0, 2], [1, 3]]
    noise = 0.05 * np.random.default_rng(seed).normal(size=(4, 2))
    return System(Structure(square + noise), HarmonicBonds(bonds, 1.0, 0.9 + 0.02 * seed))


def wells(position, depth=1.0, stretch=1.3):
    return depth * jnp.sum((position - jnp.array([1.0, 2.0])) ** 2) + jnp.sum(position**4) * stretch


def in_wells(seed):
    start = np.random.default_rng(seed).normal(size=(3, 2))
    return System(Structure(start), EnergyFunction(wells, {"depth": 1.0 + 0.1 * seed}))


MAKERS = [disks, crystal, cluster, springs, in_wells]


@pytest.mark.parametrize("make", MAKERS, ids=[make.__name__ for make in MAKERS])
def test_each_gets_what_it_would_get_alone(make):
    members = [make(seed) for seed in range(5)]
    found = {member.index: member for member in relax_batch(members, size=2)}
    assert sorted(found) == list(range(5))
    for index, system in enumerate(members):
        alone = relax(system, fmax=1e-10)
        slopes = sensitivity(alone)
        together, shared = found[index].equilibrium, found[index].sensitivity
        assert together.converged
        assert together.max_force <= 1e-10
        low, high = slopes.certificate.smallest_curvature, slopes.certificate.largest_curvature
        apart = np.asarray(together.position) - np.asarray(alone.position)
        if make is disks:  # free to drift
            apart -= apart.mean(axis=0)
        if make in (cluster, springs):  # free to turn: compared by what does not turn
            between = [np.linalg.norm(x[:, None] - x, axis=-1) for x in
                       (np.asarray(together.position), np.asarray(alone.position))]  # fmt: skip
            apart = between[0] - between[1]
        # Forces of at most 1e-10 on each particle, over the softest mode.
        assert np.abs(apart).max() < 1e-10 * len(apart) / low
        assert together.energy == pytest.approx(alone.energy, rel=1e-12, abs=1e-15 * high)
        assert shared.certificate.trusted == slopes.certificate.trusted
        for name, (value, slope) in slopes.observables.items():
            ours, our_slope = shared.observables[name]
            assert ours == pytest.approx(value, rel=1e-9, abs=1e-9), name
            np.testing.assert_allclose(our_slope, slope, rtol=1e-6, atol=1e-7, err_msg=name)
        assert (np.diff(together.history[:, 0]) >= 0).all()
        assert together.history[-1, 0] == together.iterations
        np.testing.assert_array_equal(together.start, system.structure.position)


def test_random_starts_come_to_rest_whoever_comes_and_goes():
    members = [packing(number=16, seed=seed) for seed in range(9)]
    found = list(relax_batch(members, wrt="diameter[B]", size=4))
    assert sorted(member.index for member in found) == list(range(9))
    for member in found:
        rest = member.equilibrium
        assert rest.converged
        system = rest.system
        force = systems.force(system)
        assert float(jnp.linalg.norm(force, axis=1).max()) <= 1.01e-10
        assert member.sensitivity.parameters == ("diameter[B]",)
        assert rest.energy < float(systems.energy(members[member.index]))


def test_large_systems_step_together_and_finish_alone(monkeypatch):
    monkeypatch.setattr(rounds, "DENSE_LIMIT", 3)
    members = [disks(seed) for seed in range(3)]
    for member in relax_batch(members, size=2, derivatives=False):
        alone = relax(members[member.index], fmax=1e-10)
        assert member.equilibrium.converged
        assert member.sensitivity is None
        assert "Newton" in member.equilibrium.criterion
        assert member.equilibrium.energy == pytest.approx(alone.energy, rel=1e-12)
        assert member.equilibrium.history[-1, 0] == member.equilibrium.iterations


def test_one_that_cannot_begin_leaves_the_others_alone():
    good = crystal(1)
    on_top = np.array(good.structure.position)
    on_top[5] = on_top[6]
    lost = np.array(good.structure.position)
    lost[3, 0] = np.nan
    members = [good, good.with_position(on_top), good.with_position(lost)]
    found = {member.index: member for member in relax_batch(members, size=2)}
    assert found[0].equilibrium.converged
    assert found[0].failure is None
    for index, part in ((1, "particles 5 and 6"), (2, "particle 3")):
        assert found[index].equilibrium is None
        assert found[index].sensitivity is None
        assert part in found[index].failure


def test_a_range_in_the_wrong_unit_is_refused_member_by_member():
    start = disks(1)
    angstroms = start.replace_parameters({"diameter[B]": 2000.0})
    found = {member.index: member for member in relax_batch([start, angstroms], derivatives=False)}
    assert found[0].equilibrium.converged
    assert "the units" in found[1].failure
    (endless,) = relax_batch([System(crystal(0).structure, LennardJones())])
    assert "needs a potential with a cutoff" in endless.failure


def test_who_does_not_arrive_says_why():
    members = [packing(number=12, seed=seed) for seed in range(2)]
    for member in relax_batch(members, steps=3):
        assert not member.equilibrium.converged
        assert member.equilibrium.criterion == "the budget of 3 steps was spent"
        assert member.equilibrium.iterations == 3
        assert not member.sensitivity.certificate.trusted
        assert "not at rest" in member.sensitivity.certificate.reason


def test_a_tolerance_below_rounding_is_refused_member_by_member():
    (member,) = relax_batch([crystal(0)], fmax=1e-18)
    assert member.equilibrium is None
    assert "cannot be reached" in member.failure


def test_loose_tolerances_need_no_newton_step():
    (member,) = relax_batch([packing(number=12, seed=3)], fmax=1e-4, derivatives=False)
    assert member.equilibrium.criterion == "max force <= fmax"


def test_gradient_descent_arrives_too():
    (member,) = relax_batch([disks(1)], optimizer="gd", fmax=1e-8, derivatives=False)
    assert member.equilibrium.converged
    assert member.equilibrium.optimizer == "gd"


def test_settings_of_a_context_hold_beside_too():
    jax.config.update("jax_enable_x64", False)
    try:
        with jax.enable_x64(True):
            (member,) = relax_batch([disks(1)])
    finally:
        jax.config.update("jax_enable_x64", True)
    assert member.sensitivity.position.dtype == np.float64
    assert member.sensitivity.certificate.trusted


def test_single_precision_stays_single():
    start = disks(1)
    single = start.with_position(np.asarray(start.structure.position, np.float32))
    (member,) = relax_batch([single], fmax=1e-4)
    assert member.equilibrium.converged
    assert np.asarray(member.equilibrium.position).dtype == np.float32


@pytest.mark.parametrize(
    ("second", "part"),
    [
        (packing(number=13, seed=1), "has 12 and system 1 13"),
        (System(disks(0).structure, LennardJones(cutoff=2.0)), "same kind of potential"),
        (System(disks(0).structure, SoftSphere(1.0)), "same kind of potential"),
    ],
)
def test_systems_that_do_not_fit_are_refused(second, part):
    with pytest.raises(DifferentShapes, match=part):
        relax_batch([packing(number=12, seed=0), second])


def test_what_is_asked_wrongly_is_refused_at_once():
    one = [packing(number=12, seed=0)]
    with pytest.raises(UnknownParameter, match="did you mean 'epsilon'"):
        relax_batch(one, wrt="epsilom")
    with pytest.raises(ValueError, match="known are fire, gd"):
        relax_batch(one, "bfgs")
    with pytest.raises(ValueError, match="must be positive"):
        relax_batch(one, size=0)
    assert list(relax_batch([])) == []


def test_no_more_stand_side_by_side_than_memory_holds(monkeypatch, caplog):
    small, large = packing(number=12, seed=0), crystal(0)
    assert batch.places(small) == batch.BUSY["cpu"] // 12
    monkeypatch.setattr(batch.cost, "free_memory", lambda: 2e6)
    with caplog.at_level("INFO", logger="simsens"):
        assert 1 <= batch.places(large) < batch.places(small) < 100
    assert "GB free" in caplog.text


def test_who_is_far_from_home_is_relaxed_alone():
    near, edge = disks(0), np.asarray(disks(0).structure.box)[0]
    away = np.where(np.arange(12)[:, None] == 3, 70.0 * edge, 0.0)
    far = near.with_position(np.asarray(near.structure.position) + away)
    found = {member.index: member for member in relax_batch([near, far], fmax=1e-10)}
    assert found[0].equilibrium.converged
    assert found[1].equilibrium.converged
    alone = relax(far, fmax=1e-10)
    np.testing.assert_array_equal(found[1].equilibrium.position, alone.position)
