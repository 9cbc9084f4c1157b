"""The shapes of lists: enough, few, and the same whether the host or a program on its way asks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.particles import long_rows, pair
from simsens.particles import system as systems
from simsens.particles.list_shapes import Shapes, fitting, suit
from simsens.particles.potentials import SoftSphere
from simsens.particles.structure import Structure
from simsens.particles.system import System
from simsens.response import hessian


def some_counts():
    """Rows of many kinds: alike, of two kinds, with a few that are very long."""
    rng = np.random.default_rng(0)
    for mean in (0, 3, 7, 12, 40, 90):
        for longer in (0, 0.02, 0.1, 0.3):
            count = rng.poisson(mean, 600)
            count[rng.uniform(size=600) < longer] += rng.integers(1, 30)
            yield count


SHAPES = [Shapes(c, s, k) for c, s in [(8, 12), (24, 32), (12, 96)] for k in (8, 16, s) if k <= s]


def test_what_suits_is_kept_and_what_does_not_is_changed():
    traced = jax.jit(suit, static_argnums=0)
    kept = 0
    for count in some_counts():
        for before in SHAPES:
            for members in (3, 11, 23):
                same = fitting(before, members, count) == before
                assert bool(suit(before, members, count)) == same
                assert bool(traced(before, members, jnp.asarray(count))) == same
                kept += same
    assert 20 < kept < 300  # of 576: both happen


def test_the_shapes_that_are_chosen_hold_the_list_and_stay():
    for count in some_counts():
        for before in [*SHAPES, Shapes(24, 16, None)]:
            shapes = fitting(before, 11, count)
            if shapes.common is None:  # it had to grow: the list is tried again
                shapes = fitting(shapes, 11, count)
            assert shapes.capacity >= 11
            assert shapes.slots >= count.max()
            assert (count > shapes.common).sum() <= 100
            assert suit(shapes, 11, count)


def test_many_starts_meet_the_same_shapes():
    met = set()
    for seed in range(8):
        place = np.random.default_rng(seed).uniform(0, 50, (2500, 2))
        listed = systems.list_neighbors(System(Structure(place, box=50.0), SoftSphere(1.4)), 0.6)
        met.add(listed.shapes)
    assert len(met) == 1


def gas(clusters):
    """1600 disks far apart, but for those in clusters of a dozen."""
    rng = np.random.default_rng(3)
    grid = np.indices((40, 40)).reshape(2, -1).T[: 1600 - 12 * clusters] + 0.5
    centre = rng.uniform(0, 40, (clusters, 1, 2))
    crowd = (centre + rng.normal(0, 0.4, (clusters, 12, 2))).reshape(-1, 2)
    return System(Structure(np.concatenate([grid, crowd]) % 40, box=40.0), SoftSphere(1.2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_two_tables_give_the_sums_of_one(dtype):
    system = gas(8)
    system = system.with_position(system.structure.position.astype(dtype))
    listed = systems.list_neighbors(system, 0.3)
    assert listed.common < listed.index.shape[1]
    longer = np.asarray(listed.mask).sum(axis=1) > listed.common
    assert longer.sum() > 50
    x = jnp.asarray(system.structure.position)
    expected = np.asarray(systems.force(system, listed))
    found = np.asarray(pair.force_function(system.potential, system.structure, listed)(x))
    tight = 1e-13 if dtype == np.float64 else 1e-5
    assert found.dtype == dtype
    assert np.abs(expected[longer]).max() > 0.1
    np.testing.assert_allclose(found, expected, rtol=0, atol=tight * np.abs(expected).max())
    v = np.random.default_rng(1).normal(size=x.shape).astype(dtype)
    stiffness = pair.stiffness(system.potential, system.structure, x, listed)
    expected = np.asarray(stiffness.product(v))
    found = np.asarray(hessian.operator(system, listed, np.ones(len(x), bool))(v))
    np.testing.assert_allclose(found, expected, rtol=0, atol=tight * np.abs(expected).max())


def test_more_long_rows_than_fit_the_second_table_are_not_valid():
    few, many = gas(8), gas(60)
    like = systems.list_neighbors(few, 0.3)
    there = few.with_position(many.structure.position)
    again = jax.jit(systems.renewed_list, static_argnames="grid")(there, like, grid=like.grid)
    assert not again.valid
    anew = systems.list_neighbors(there, 0.3, like)
    assert anew.common > like.common
    count = np.asarray(anew.mask).sum(axis=1)
    roomy = like.shapes._replace(capacity=99, slots=int(count.max()))
    assert not suit(roomy, 9, count)  # for its long rows alone
    assert (count > roomy.common).sum() > 1600 / long_rows.SHARE


def test_a_position_that_is_not_a_number_is_not_a_force_of_zero():
    system = gas(8)
    listed = systems.list_neighbors(system, 0.3)
    lost = jnp.asarray(system.structure.position).at[7].set(jnp.nan)
    assert np.isnan(pair.force_function(system.potential, system.structure, listed)(lost)).all()
