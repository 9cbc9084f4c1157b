"""A rattler changes nothing, wherever it lies: not even where it just touches."""

from dataclasses import replace

import numpy as np

from simsens import sensitivity
from simsens.particles import contacts, space
from simsens.particles import system as systems
from simsens.response import rattlers


def touching(equilibrium, loose, overlap=1e-12):
    """The packing with a rattler pushed against its nearest neighbour that bears load."""
    structure = equilibrium.system.structure
    position = np.array(structure.position)
    bearing = np.setdiff1d(np.arange(structure.number), loose)
    apart = position[bearing] - position[loose[0]]
    apart = apart + np.asarray(space.nearest_image(structure, apart)) @ structure.box
    radius = np.where(np.array(structure.names()) == "A", 0.5, 0.3)
    gap = np.linalg.norm(apart, axis=1) - radius[bearing] - radius[loose[0]]
    nearest = int(np.argmin(gap))
    way = apart[nearest] / np.linalg.norm(apart[nearest])
    position[loose[0]] += (gap[nearest] + overlap) * way
    return replace(equilibrium, system=equilibrium.system.with_position(position))


def test_one_that_just_touches_bears_nothing(loose_packing):
    equilibrium, slope = loose_packing
    pushed = touching(equilibrium, slope.rattlers)
    listed = systems.list_neighbors(pushed.system)
    assert np.asarray(contacts.gaps(pushed.system, listed))[slope.rattlers[0]].min() < 0
    found = sensitivity(pushed, wrt="diameter")
    assert found.rattlers.tolist() == slope.rattlers.tolist()
    assert found.certificate.trusted, found.certificate.reason
    # The same linear system to rounding, of a condition that the certificate tells.
    condition = slope.certificate.largest_curvature / slope.certificate.smallest_curvature
    scale = np.abs(slope.position).max()
    assert np.abs(found.position - slope.position).max() < 1e-13 * condition * scale


def test_without_rattlers_the_list_is_the_same(packings):
    system = packings[0].system
    listed = systems.list_neighbors(system)
    nobody = np.zeros(system.structure.number, bool)
    assert rattlers.without(listed, nobody) is listed
    assert rattlers.without(None, ~nobody) is None


def test_the_pairs_of_a_rattler_are_left_out(loose_packing):
    equilibrium, slope = loose_packing
    listed = systems.list_neighbors(equilibrium.system, 0.5)
    loose = np.isin(np.arange(equilibrium.system.structure.number), slope.rattlers)
    kept = rattlers.without(listed, loose)
    assert not np.asarray(kept.mask)[slope.rattlers].any()
    index = np.asarray(kept.index)[np.asarray(kept.mask)]
    assert not np.isin(index, slope.rattlers).any()
    assert np.isinf(kept.skin)
