import jax
import numpy as np
import pytest

from simsens.particles import system as systems
from simsens.particles.contacts import contact_number, gaps, rattlers
from simsens.particles.potentials import LennardJones, SoftSphere
from simsens.particles.structure import Structure
from simsens.particles.system import System


def listed(system, skin=0.5):
    return systems.list_neighbors(system, skin)


def found(system):
    return np.flatnonzero(jax.jit(rattlers)(system, listed(system))).tolist()


def hexagonal(rows=4, columns=4, lattice=0.95):
    """A periodic triangular lattice of disks of diameter one, each with six contacts."""
    box = np.array([columns * lattice, rows * lattice * np.sqrt(3) / 2])
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    position = np.stack([(x + 0.5 * (y % 2)) * lattice, y * lattice * np.sqrt(3) / 2], axis=-1)
    return position.reshape(-1, 2), box


def test_a_crystal_has_no_rattlers():
    position, box = hexagonal()
    system = System(Structure(position, box=box), SoftSphere())
    assert found(system) == []
    np.testing.assert_array_equal(contact_number(system, listed(system)), 6)


def test_gaps_are_distances_from_touching():
    pair = Structure([[0.0, 0.0], [1.5, 0.0], [0.7, 0.0]], species=["A", "B", "B"])
    system = System(pair, SoftSphere(diameter={"A": 1.0, "B": 0.6}))
    entries = systems.list_neighbors(system, 1.0)
    gap = np.asarray(gaps(system, entries))
    seen = {(int(i), int(entries.index[i, k])): gap[i, k] for i, k in np.argwhere(np.isfinite(gap))}
    # 0.7 and 1.5 from A, contact at 0.8; 0.8 between the Bs, contact at 0.6
    expected = {(0, 1): 0.7, (1, 0): 0.7, (0, 2): -0.1, (2, 0): -0.1, (1, 2): 0.2, (2, 1): 0.2}
    assert seen == pytest.approx(expected, abs=1e-15)
    np.testing.assert_array_equal(contact_number(system, entries), [1, 0, 1])


def test_a_disk_in_a_cage_rattles():
    # One particle taken out, a small one with no contact put into the hole: its six neighbours
    # keep five contacts each.
    position, box = hexagonal()
    names = ["A"] * 16
    names[5] = "small"
    system = System(
        Structure(position, names, box=box), SoftSphere(diameter={"A": 1.0, "small": 0.1})
    )
    assert found(system) == [5]


def test_a_pair_caught_together_rattles_though_it_touches():
    # Both small disks touch each other and one wall: two contacts each in the plane, and after
    # the first is taken away the second has one less.
    position, box = hexagonal()
    position = np.insert(position, 16, position[5] + [0.05, 0.0], axis=0)
    position[5] -= [0.05, 0.0]
    names = ["A"] * 17
    names[5] = names[16] = "small"
    law = SoftSphere(diameter={"A": 1.0, "small": 0.2})
    system = System(Structure(position, names, box=box), law)
    touching = contact_number(system, listed(system))
    assert touching[5] == touching[16] == 1
    assert found(system) == [5, 16]


HALF = np.array([0.45, -0.9 * np.sqrt(3) / 2])  # from a row of disks to the next


def chain(number, **more):
    """A straight chain of touching disks, each but the last with two neighbours."""
    return System(Structure(np.arange(number)[:, None] * [0.9, 0.0], **more), SoftSphere())


def test_taking_one_away_frees_the_next():
    # A fan of three-contact disks hanging on one that has two: the count must be repeated until
    # nothing changes. In the strip below each disk but those at the end has four contacts; the end
    # ones have two, and the strip unravels from there to nothing.
    upper = np.arange(10)[:, None] * [0.9, 0.0]
    lower = upper + HALF
    strip = System(Structure(np.concatenate([upper, lower])), SoftSphere())
    touching = np.asarray(contact_number(strip, listed(strip)))
    assert sorted(touching)[:2] == [2, 2]
    assert (np.sort(touching)[4:] == 4).all()
    assert found(strip) == list(range(20))


def test_fixed_particles_hold_and_never_rattle():
    upper = np.arange(10)[:, None] * [0.9, 0.0]
    lower = upper + HALF
    position = np.concatenate([upper, lower])
    # With its two ends held the strip stands: everybody else has three or four contacts.
    ends = [0, 19]
    assert found(System(Structure(position, fixed=ends), SoftSphere())) == []
    # Held at one end only, it still unravels from the other; the held one is not counted.
    assert found(System(Structure(position, fixed=[0]), SoftSphere())) == list(range(1, 20))


def test_three_dimensions_need_four_contacts():
    # The corners of a regular tetrahedron touch three others each; with its centre, four.
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 0.3
    assert found(System(Structure(corners), SoftSphere())) == [0, 1, 2, 3]
    with_centre = System(Structure(np.vstack([corners, np.zeros(3)])), SoftSphere())
    assert found(with_centre) == []


def test_images_of_one_particle_are_contacts():
    box = [[0.9, 0.0], [0.45, 0.9 * np.sqrt(3) / 2]]
    alone = System(Structure([[0.1, 0.2]], box=box), SoftSphere())
    np.testing.assert_array_equal(contact_number(alone, listed(alone)), 6)
    assert found(alone) == []


def test_only_contact_potentials_have_rattlers():
    system = System(Structure([[0.0, 0.0], [9.0, 0.0]]), LennardJones())
    assert not rattlers(system, listed(system)).any()
    assert not rattlers(chain(3), None).any()


def test_touching_exactly_is_no_contact():
    apart = System(Structure([[0.0, 0.0], [1.0, 0.0]]), SoftSphere())
    np.testing.assert_array_equal(contact_number(apart, listed(apart)), 0)
    assert found(chain(4)) == [0, 1, 2, 3]
