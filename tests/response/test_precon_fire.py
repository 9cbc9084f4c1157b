"""FIRE in the metric of the neighbours, beside jax-md's on a table of all pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens import relax, relax_batch, relaxed
from simsens.particles import jax_md_door, space
from simsens.particles import system as systems
from simsens.particles.potentials import EnergyFunction, HarmonicBonds, LennardJones
from simsens.particles.structure import Structure
from simsens.particles.system import System
from simsens.response import descent, hessian, precon_fire
from simsens.response.optimizers import Setting


def cluster():
    place = np.indices((3, 3, 3)).reshape(3, -1).T * 1.1
    noise = 0.05 * np.random.default_rng(0).normal(size=place.shape)
    return System(Structure(place + noise), LennardJones())


def crystal():
    """A crystal with a vacancy in a tilted box; its rows reach beyond twice a neighbour."""
    face_centred = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2
    cells = np.indices((3, 3, 3)).reshape(3, -1).T
    fractions = (cells[:, None] + face_centred).reshape(-1, 3)[1:] / 3
    box = np.array([[4.7, 0, 0], [0.3, 4.7, 0], [0, -0.2, 4.7]])
    noise = 0.03 * np.random.default_rng(1).normal(size=fractions.shape)
    return System(Structure(fractions @ box + noise, box=box), LennardJones(cutoff=2.4))


def setting(system, stiffness=50.0, skin=0.3):
    everyone = jnp.ones(system.structure.number, bool)
    listed = systems.list_neighbors(system, skin)
    return Setting(system, listed, everyone, jnp.asarray(stiffness), np.inf)


def theirs(system, scale):
    return jax_md_door.minimize().exp_preconditioner(
        space.displacement(system.structure), mu=scale, solver="dense"
    )


@pytest.fixture
def exact(monkeypatch):
    """Directions to rounding."""
    monkeypatch.setattr(precon_fire, "TOLERANCE", 1e-13)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("make", [cluster, crystal])
def test_the_metric_is_jax_mds(make):
    system = make()
    graph = precon_fire.metric(setting(system))
    position = jnp.asarray(system.structure.position)
    direction, dot = theirs(system, graph.scale)
    force = jnp.asarray(np.random.default_rng(2).normal(size=position.shape))
    expected = np.asarray(direction(position, force))
    found = np.asarray(jax.jit(graph.direction)(force))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())
    length = float(jnp.sum(force * graph.product(force)))
    assert length == pytest.approx(float(dot(position, force, force)), rel=1e-12)


@pytest.mark.parametrize("make", [cluster, crystal])
def test_its_largest_eigenvalue_is_the_largest_curvature(make):
    system = make()
    graph = precon_fire.metric(setting(system, stiffness=50.0))
    unit = jnp.eye(system.structure.number)
    columns = jax.vmap(lambda v: graph.product(jnp.tile(v[:, None], 3))[:, 0])(unit)
    np.testing.assert_allclose(columns, columns.T, atol=1e-12)
    # Power iterations come from below.
    assert 50.0 <= np.linalg.eigvalsh(columns)[-1] < 60.0


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("make", [cluster, crystal])
def test_steps_are_jax_mds(make):
    system = make()
    everyone = jnp.ones(system.structure.number, bool)
    listed = systems.list_neighbors(system, 1.0)
    top = hessian.largest_curvature(system, listed, everyone)
    scale = precon_fire.metric(setting(system, top, 1.0)).scale
    direction, dot = theirs(system, scale)

    def force(x, **unused):
        return systems.force(system.with_position(x), listed)

    init, apply = jax_md_door.minimize().precon_fire_descent(
        force, lambda x, move, **unused: x + move, max_move=np.inf, use_armijo=False,
        preconditioner=direction, preconditioner_dot=dot,
    )  # fmt: skip
    state, apply = init(jnp.asarray(system.structure.position)), jax.jit(apply)

    @jax.jit
    def ours(steps):
        motion = descent.at_rest(np.asarray(system.structure.position))
        made = descent.Descent(system, everyone, top, 0.0, np.inf, "precon-fire")
        return made.advance(listed, motion, steps)

    falls, last = 0, float(state.dt)
    for steps in range(1, 61):
        state = apply(state)
        falls, last = falls + (float(state.dt) < last), float(state.dt)
        if steps not in (1, 2, 20, 60):
            continue
        motion = ours(steps)
        assert motion.steps == steps
        np.testing.assert_allclose(motion.position, state.position, rtol=0, atol=1e-11)
    assert falls >= 1


def test_what_is_fixed_stays_and_a_bond_is_a_neighbour():
    place = np.array([[0.0, 0.0], [1.3, 0.1], [2.1, -0.2], [3.0, 0.0]])
    bonds = HarmonicBonds([[0, 1], [1, 2], [2, 3]], 2.0, 0.9)
    system = System(Structure(place, fixed=[0, 3]), bonds)
    ends = [relax(system, name, fmax=1e-10) for name in ("fire", "precon-fire")]
    for end in ends:
        np.testing.assert_array_equal(end.position[[0, 3]], place[[0, 3]])
    np.testing.assert_allclose(ends[0].position, ends[1].position, rtol=0, atol=1e-9)


def test_an_energy_without_pairs_is_refused_at_once():
    own = System(Structure(np.ones((3, 2))), EnergyFunction(lambda position: jnp.sum(position**2)))
    words = "use fire, gd, fire2 or abc-fire"
    with pytest.raises(ValueError, match=words):
        relax(own, "precon-fire")
    with pytest.raises(ValueError, match=words):
        relax_batch([own], "precon-fire")
    with pytest.raises(ValueError, match=words):
        jax.jit(lambda x: relaxed(own.with_position(x), "precon-fire").structure.position)(
            jnp.ones((3, 2))
        )
