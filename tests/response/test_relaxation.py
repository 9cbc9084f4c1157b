import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens import packing, relax
from simsens.particles import system as systems
from simsens.particles.potentials import EnergyFunction, HarmonicBonds, LennardJones, SoftSphere
from simsens.particles.structure import InvalidStructure, Structure
from simsens.particles.system import System
from simsens.response import run
from simsens.response.equilibrium import NotConverged
from simsens.response.relaxation import UnreachableTolerance

# Every test below moves twelve disks (or particles) where it can, so that few shapes are compiled.
DISKS = packing(number=12, seed=1)
TILTED = np.array([[3.4, 0.0, 0.0], [0.5, 3.2, 0.0], [-0.4, 0.3, 3.3]])


def spheres(dimension, box, seed=2):
    position = np.random.default_rng(seed).uniform(0, 1, (12, dimension)) @ box
    return System(Structure(position, ["A", "B"] * 6, box=box), SoftSphere({"A": 1.6, "B": 1.3}))


def largest_force(system):
    """The largest force, from the gradient of the energy with a list of its own."""
    listed = systems.list_neighbors(system)
    slope = jax.grad(lambda x: systems.energy(system.with_position(x), listed))(
        jnp.asarray(system.structure.position)
    )
    return float(jnp.linalg.norm(slope, axis=1).max())


# --- at rest ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rest():
    return relax(DISKS, fmax=1e-10)


def test_converged_means_no_force_above_fmax(rest):
    assert rest.converged
    assert rest.criterion.startswith("max force <= fmax")
    assert rest.max_force <= 1e-10
    # Both forces are sums of a dozen terms below one.
    assert largest_force(rest.system) == pytest.approx(rest.max_force, rel=0, abs=1e-14)
    assert rest.energy == pytest.approx(float(systems.energy(rest.system)), rel=1e-13)
    assert rest.energy < float(systems.energy(DISKS))
    assert 0 < rest.iterations < 100_000
    np.testing.assert_array_equal(rest.start, DISKS.structure.position)
    assert "converged" in str(rest)


def test_the_history_tells_the_run(rest):
    step, energy, force = rest.history.T
    assert (np.diff(step) >= 0).all()
    assert step[0] == 0
    assert step[-1] == rest.iterations
    assert energy[0] == pytest.approx(float(systems.energy(DISKS)), rel=1e-13)
    assert force[-1] == rest.max_force
    assert force[0] == pytest.approx(largest_force(DISKS), rel=1e-12)


def test_a_minimum_stays_where_it_is(rest):
    again = relax(rest.system, fmax=1e-10)
    assert again.iterations == 0
    np.testing.assert_array_equal(again.position, rest.position)


def test_it_is_a_minimum(rest):
    # Every small displacement costs energy: the lowest curvature is above 1e-3 here, displacements
    # of norm 1e-3 cost above 1e-9 and rounding is 1e-15.
    rng = np.random.default_rng(0)
    for _ in range(20):
        move = rng.standard_normal(rest.position.shape)
        move -= move.mean(axis=0)
        move *= 1e-3 / np.linalg.norm(move)
        assert float(systems.energy(rest.system.with_position(rest.position + move))) > rest.energy


def test_gradient_descent_reaches_a_minimum_too(rest):
    slow = relax(DISKS, "gd", fmax=1e-10)
    assert slow.converged
    assert slow.optimizer == "gd"
    assert largest_force(slow.system) <= 1e-10 + 1e-14
    # From near a minimum both descend into the same one.
    nudge = np.random.default_rng(3).uniform(-1e-3, 1e-3, rest.position.shape)
    near = rest.system.with_position(rest.position + nudge)
    ends = [relax(near, optimizer, fmax=1e-10).energy for optimizer in ("gd", "fire")]
    # Energies are stationary: a displacement of 1e-7 (force 1e-10 over curvature 1e-3) is 1e-17.
    assert ends == pytest.approx([rest.energy] * 2, rel=0, abs=1e-14)


def test_loose_tolerances_stop_early(rest):
    loose = relax(DISKS, fmax=1e-3)
    assert loose.converged
    assert 1e-5 < loose.max_force <= 1e-3  # FIRE falls by less than a factor of 100 in a step
    assert loose.iterations < rest.iterations


@pytest.mark.parametrize("solver", ["dense", "cg"])
def test_newton_finishes_with_either_solver(solver, rest):
    end = relax(DISKS, fmax=1e-12, solver=solver)
    assert end.max_force <= 1e-12
    assert "Newton" in end.criterion
    assert end.energy == pytest.approx(rest.energy, rel=0, abs=1e-14)


@pytest.mark.parametrize(
    "system",
    [spheres(3, 3.0 * np.eye(3)), spheres(3, TILTED), spheres(2, TILTED[:2, :2])],
    ids=["3-D", "3-D tilted", "2-D tilted"],
)
def test_boxes_of_every_kind(system):
    end = relax(system, fmax=1e-9)
    assert end.max_force <= 1e-9
    assert end.energy < 0.99 * float(systems.energy(system))
    assert largest_force(end.system) <= 1e-9 + 1e-13
    # Forces push in pairs: the centre of mass stays. FIRE adds some 1e3 roundings of it.
    drift = end.position.mean(axis=0) - system.structure.position.mean(axis=0)
    np.testing.assert_allclose(drift, 0, atol=1e-11)


def test_free_lennard_jones_triangle():
    start = Structure([[0.0, 0.0, 0.0], [1.3, 0.0, 0.0], [0.4, 1.0, 0.2]])
    end = relax(System(start, LennardJones()), fmax=1e-11)
    # Three pairs at the bottom of their wells; the energy is stationary.
    assert end.energy == pytest.approx(-3.0, rel=0, abs=1e-14)


# --- particles that do not move --------------------------------------------------------------


def test_fixed_particles_do_not_move():
    fixed = [0, 5, 7]
    end = relax(DISKS, fmax=1e-9, fixed=fixed)
    start = DISKS.structure.position
    np.testing.assert_array_equal(end.position[fixed], start[fixed])
    others = np.setdiff1d(np.arange(12), fixed)
    assert (np.linalg.norm(end.position[others] - start[others], axis=1) > 0).all()
    assert end.converged
    force = np.asarray(systems.force(end.system))
    assert np.linalg.norm(force[others], axis=1).max() <= 1e-9
    assert np.linalg.norm(force[fixed], axis=1).max() > 1e-3  # nobody asked for their rest
    held = System(DISKS.structure.with_fixed(fixed), DISKS.potential)
    np.testing.assert_array_equal(relax(held, fmax=1e-9).position, end.position)


def test_all_fixed_is_at_rest():
    end = relax(DISKS, fixed=list(range(12)))
    assert end.converged
    assert end.iterations == 0
    assert end.max_force == 0.0
    np.testing.assert_array_equal(end.position, DISKS.structure.position)


# --- neighbours that come and go --------------------------------------------------------------


def test_a_long_journey_meets_the_same_energy():
    # From random positions particles move several skins; at the end the list in use must be as
    # good as all pairs.
    system = packing(number=12, seed=5)
    end = relax(system, fmax=1e-9)
    moved = np.linalg.norm(end.position - end.start, axis=1).max()
    assert moved > 0.3 * np.sqrt(np.linalg.det(system.structure.box) / 12)  # more than a skin
    everyone = float(jax.jit(systems.energy)(end.system))
    assert end.energy == pytest.approx(everyone, rel=1e-12)
    assert largest_force(end.system) <= 1e-9 + 1e-13


def test_small_and_large_steps_end_alike(rest):
    # The skin follows the largest move; neither may change what is a minimum.
    near = rest.system.with_position(rest.position + 1e-3 * np.sin(np.arange(24)).reshape(12, 2))
    for max_move in (1e-3, 0.5):
        end = relax(near, fmax=1e-10, max_move=max_move)
        assert end.energy == pytest.approx(rest.energy, rel=0, abs=1e-14)


def test_no_step_is_longer_than_max_move():
    seen = []
    with pytest.raises(NotConverged) as stopped:
        relax(DISKS, steps=1, max_move=1e-4, progress=lambda *a: seen.append(a))
    move = stopped.value.equilibrium.position - DISKS.structure.position
    longest = np.linalg.norm(move, axis=1).max()
    assert 0 < longest <= 1e-4 * (1 + 1e-12)


# --- stops ---------------------------------------------------------------------------------------


def test_a_spent_budget_carries_the_state():
    with pytest.raises(NotConverged, match="the budget of 30 steps was spent") as stopped:
        relax(DISKS, fmax=1e-10, steps=30)
    state = stopped.value.equilibrium
    assert not state.converged
    assert state.iterations == 30
    assert state.max_force == pytest.approx(largest_force(state.system), rel=1e-9)
    assert state.energy < float(systems.energy(DISKS))
    assert "NOT CONVERGED" in str(state)
    assert "more steps" in str(stopped.value)


def test_not_converging_need_not_be_an_error():
    state = relax(DISKS, fmax=1e-10, steps=30, throw=False)
    assert not state.converged
    assert state.iterations == 30


def test_no_steps_at_all():
    state = relax(DISKS, steps=0, throw=False)
    assert state.iterations == 0
    np.testing.assert_array_equal(state.position, DISKS.structure.position)


def test_progress_is_told_and_may_stop():
    told = []

    def progress(step, energy, force):
        told.append((step, energy, force))
        return len(told) == 3

    state = relax(DISKS, fmax=1e-10, throw=False, progress=progress)
    assert len(told) == 3
    assert state.criterion == "stopped on request"
    assert state.iterations == told[-1][0]
    assert told[0][0] == 0
    with pytest.raises(NotConverged, match="stopped on request"):
        relax(DISKS, progress=lambda *a: True)


def pulled(position, curved=1.0):
    """A slope without end, and a little curvature across it."""
    return jnp.sum(position[:, 0]) + curved * jnp.sum(position[:, 1] ** 2)


PAIR = Structure([[0.0, 0.0], [1.0, 0.0]])


def test_a_stalled_run_says_so(monkeypatch):
    monkeypatch.setattr(run, "PATIENCE", 50)
    state = relax(System(PAIR, EnergyFunction(pulled)), throw=False, steps=3000)
    assert state.criterion == "stalled: no progress in 50 steps"
    assert state.max_force == pytest.approx(1.0, rel=1e-12)


def test_constant_forces_are_not_called_infinite(monkeypatch):
    monkeypatch.setattr(run, "PATIENCE", 50)
    state = relax(System(PAIR, EnergyFunction(pulled, {"curved": 0.0})), throw=False, steps=3000)
    assert "infinite" not in state.criterion


def test_forces_that_blow_up_are_told():
    # The slope of a root grows without end towards zero and is NaN beyond.
    cliff = EnergyFunction(lambda position: jnp.sum(jnp.sqrt(position)))
    state = relax(System(Structure([[1.0, 1.0], [2.0, 2.0]]), cliff), throw=False)
    assert not state.converged
    assert "infinite or not a number" in state.criterion
    assert np.isfinite(state.position).all()  # the last state that made sense


def test_an_energy_that_turns_nan_is_told(monkeypatch):
    # Below zero the logarithm is NaN, but its slope 1/x is finite there.
    monkeypatch.setattr(run, "PATIENCE", 500)
    cliff = EnergyFunction(lambda position: jnp.sum(jnp.log(position)))
    state = relax(System(Structure([[1.0, 1.0], [2.0, 2.0]]), cliff), throw=False)
    assert np.isfinite(state.energy)
    assert "not a number" in state.criterion


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "newton"}, "known are fire, gd"),
        ({"fmax": 0.0}, "fmax must be positive"),
        ({"fmax": -1.0}, "fmax must be positive"),
        ({"fmax": np.nan}, "fmax must be positive"),
        ({"steps": -1}, "steps not negative"),
        ({"fixed": [12]}, "below 12"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        relax(DISKS, **change)


def test_an_unknown_solver_is_refused_at_once():
    with pytest.raises(ValueError, match="unknown solver 'lu'; known are auto, dense"):
        relax(DISKS, fmax=1e-10, solver="lu")


def test_bad_structures_are_refused():
    lost = DISKS.structure.position.copy()
    lost[3, 1] = np.nan
    with pytest.raises(InvalidStructure, match="particle 3"):
        relax(DISKS.with_position(lost))


def test_coincident_particles_are_named():
    position = np.random.default_rng(0).uniform(0, 3, (12, 2))
    position[7] = position[4]
    with pytest.raises(InvalidStructure, match="particles 4 and 7 are 0 apart"):
        relax(System(Structure(position), LennardJones()))
    with pytest.raises(InvalidStructure, match="particles 4 and 7 are 0 apart"):
        relax(DISKS.with_position(position))


def test_an_energy_that_is_not_finite_at_the_start_is_refused():
    cliff = EnergyFunction(lambda position: jnp.sum(jnp.log(position)))
    with pytest.raises(InvalidStructure, match="not finite at the start"):
        relax(System(Structure([[-1.0, 1.0], [2.0, 2.0]]), cliff))


def test_traced_systems_are_sent_to_relaxed():
    with pytest.raises(TypeError, match="use relaxed"):
        jax.jit(lambda x: relax(DISKS.with_position(x)).position)(DISKS.structure.position)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tolerances_beyond_the_precision_are_refused(dtype):
    system = DISKS.with_position(DISKS.structure.position.astype(dtype))
    fmax = {np.float32: 1e-10, np.float64: 1e-18}[dtype]
    cure = {np.float32: "use float64", np.float64: "use a larger fmax"}[dtype]
    with pytest.raises(UnreachableTolerance, match=cure):
        relax(system, fmax=fmax)


def test_single_precision_relaxes_as_far_as_it_can():
    system = DISKS.with_position(DISKS.structure.position.astype(np.float32))
    end = relax(system, fmax=1e-5)
    assert end.converged
    assert np.asarray(end.position).dtype == np.float32


def test_a_start_with_overlapping_cores_relaxes():
    # Two Lennard-Jones cores 0.2 apart: forces of 1e10 at first, tamed by max_move.
    position = np.stack(np.indices((3, 4)).reshape(2, -1), axis=1) * 1.1
    position[1] = position[0] + [0.2, 0.0]
    end = relax(System(Structure(position), LennardJones(cutoff=2.5)), fmax=1e-6)
    assert end.converged
    assert end.energy < -10


# --- other energies ------------------------------------------------------------------------------


def chain_energy(position, displacement, length=1.0):
    ends = jax.vmap(displacement)(position[1:], position[:-1])
    return jnp.sum((jnp.sqrt(jnp.sum(ends**2, axis=-1)) - length) ** 2) + 0.1 * jnp.sum(position**2)


def test_a_users_energy_relaxes():
    start = np.random.default_rng(1).uniform(-1, 1, (4, 2))
    end = relax(System(Structure(start), EnergyFunction(chain_energy)), fmax=1e-10)
    assert end.max_force <= 1e-10
    slope = jax.grad(lambda x: chain_energy(x, lambda a, b: a - b))(jnp.asarray(end.position))
    assert float(jnp.linalg.norm(slope, axis=1).max()) <= 1e-10 + 1e-14


def test_springs_between_walls():
    # Two springs, k = 1 and 3, rest length 1, between walls at 0 and 3: the middle settles at
    # x = 1 + 3 / (1 + 3) * (3 - 2) = 1.75.
    line = Structure([[0.0, 0.0], [1.2, 0.0], [3.0, 0.0]], fixed=[0, 2])
    springs = HarmonicBonds([[0, 1], [1, 2]], stiffness=[1.0, 3.0], length=1.0)
    end = relax(System(line, springs), fmax=1e-12)
    # A force of 1e-12 over a stiffness of 4.
    np.testing.assert_allclose(end.position[1], [1.75, 0.0], rtol=0, atol=1e-12)


def test_strict_dtype_promotion():
    # A shape of its own, so that nothing compiled before under standard promotion serves it.
    with jax.numpy_dtype_promotion("strict"):
        assert relax(packing(number=6, seed=1)).converged


@pytest.mark.parametrize("max_move", [0.0, -1.0, np.nan])
def test_a_move_needs_a_length(max_move):
    with pytest.raises(ValueError, match="max_move must be a positive length"):
        relax(packing(number=8), max_move=max_move)
