"""Every optimizer of the table, in every place where one is taken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens import distance, packing, relax, relax_batch, relaxed
from simsens.particles.potentials import LennardJones
from simsens.particles.structure import Structure
from simsens.particles.system import System
from simsens.response.optimizers import OPTIMIZERS, UnsuitableOptimizer, check

NEW = ("fire2", "abc-fire", "precon-fire")


def nudged(system, seed):
    """From near a minimum everybody descends into the same one."""
    rest = relax(system, fmax=1e-10).system
    noise = 1e-3 * np.random.default_rng(seed).normal(size=rest.structure.position.shape)
    return rest.with_position(np.asarray(rest.structure.position) + noise)


@pytest.fixture(scope="module")
def disks():
    return nudged(packing(number=12, seed=1), 1)


@pytest.fixture(scope="module")
def cluster():
    corners = [[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1], [2, 1, 1], [1, 2, 1], [1, 1, 2]]
    return nudged(System(Structure(0.8 * np.array(corners)), LennardJones()), 2)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("start", ["disks", "cluster"])
def test_each_comes_to_the_same_minimum(name, start, request):
    system = request.getfixturevalue(start)
    end = relax(system, name, fmax=1e-10)
    assert end.converged
    assert end.max_force <= 1e-10
    assert end.optimizer == name
    assert end.energy == pytest.approx(relax(system, fmax=1e-10).energy, rel=1e-13, abs=1e-15)


@pytest.mark.parametrize("name", NEW)
def test_each_comes_down_from_a_random_start_without_newtons_help(name):
    end = relax(packing(number=12, seed=4), name, fmax=1e-6)
    assert end.criterion == "max force <= fmax"


@pytest.mark.parametrize("name", NEW)
def test_each_is_taken_by_relaxed(name):
    start = Structure([[0.0, 0.0, 0.0], [1.2, 0.0, 0.0], [0.5, 1.0, 0.1]])

    def side(sigma):
        return distance(relaxed(System(start, LennardJones(sigma)), name), 0, 1)

    value, slope = jax.jit(jax.value_and_grad(side))(1.1)
    # A triangle of pairs at their minimum, r = 2^(1/6) sigma; forces of 1e-10 over curvatures of 57
    assert float(value) == pytest.approx(2 ** (1 / 6) * 1.1, abs=1e-10)
    assert float(slope) == pytest.approx(2 ** (1 / 6), abs=1e-9)


@pytest.mark.parametrize("name", NEW)
def test_each_is_taken_by_batches(name, disks):
    members = [disks.replace_parameters({"epsilon": 1.0 + 0.2 * k}) for k in range(3)]
    for member in relax_batch(members, name, size=2, derivatives=False):
        alone = relax(members[member.index], fmax=1e-10)
        assert member.equilibrium.converged
        assert member.equilibrium.optimizer == name
        assert member.equilibrium.energy == pytest.approx(alone.energy, rel=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_single_precision_stays_single(name, disks):
    single = disks.with_position(np.asarray(disks.structure.position, np.float32))
    with jax.numpy_dtype_promotion("strict"):
        end = relax(single, name, fmax=1e-4)
    assert end.converged
    assert np.asarray(end.position).dtype == np.float32


@pytest.mark.parametrize("name", ["bfgs", "", "FIRE"])
def test_an_unknown_name_is_refused_with_the_known_ones(name, disks):
    with pytest.raises(UnsuitableOptimizer, match="known are fire, gd, fire2, abc-fire, precon-f"):
        check(name, None)
    with pytest.raises(ValueError, match="unknown optimizer"):
        relax(disks, name)
    with pytest.raises(ValueError, match="unknown optimizer"):
        relax_batch([], name)
    with pytest.raises(ValueError, match="unknown optimizer"):
        jax.jit(lambda x: relaxed(disks.with_position(x), name))(jnp.zeros((12, 2)))
