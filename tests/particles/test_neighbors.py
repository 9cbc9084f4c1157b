"""Lists of neighbours against a sum over images written as plainly as possible."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.particles import cell_list, image_table, list_limits, list_shapes, pair
from simsens.particles import system as systems
from simsens.particles.list_limits import CutoffTooLong
from simsens.particles.neighbors import all_pairs, list_bonds, list_pairs
from simsens.particles.potentials import LennardJones, SoftSphere
from simsens.particles.structure import Structure
from simsens.particles.system import System

# As a user's programs are compiled: an optimised one once lost what a plain one kept.
pytestmark = pytest.mark.usefixtures("optimised")

TILTED = np.array([[4.0, 0.0, 0.0], [1.7, 3.5, 0.0], [-1.2, 0.8, 4.2]])
SHEARED = np.array([[4.0, 0.3], [1.9, 3.1]])

ENERGY = jax.jit(systems.energy)


def scattered(number, box, dimension, boundary=None, species=None, low=-6.0, high=9.0):
    """Particles anywhere, some of them several boxes away from home."""
    rng = np.random.default_rng(1234 + number)
    return Structure(
        rng.uniform(low, high, (number, dimension)),
        box=box,
        boundary=boundary,
        species=species or ["A", "B"] * (number // 2),
    )


CASES = {
    "free 2-D": (scattered(24, None, 2), 5.0),
    "free 3-D": (scattered(24, None, 3), 6.0),
    "square": (scattered(24, 4.0, 2), 1.9),
    "square, beyond half the box": (scattered(24, 4.0, 2), 3.1),
    "sheared": (scattered(24, SHEARED, 2), 2.0),
    "cube": (scattered(24, 4.0, 3), 1.9),
    "tilted": (scattered(24, TILTED, 3), 2.5),
    "slab": (scattered(24, 4.0, 3, (True, True, False)), 2.5),
    "tilted slab": (scattered(24, TILTED, 3, (True, False, True)), 2.5),
    "channel": (scattered(24, SHEARED, 2, (False, True)), 2.5),
    "box without periods": (scattered(24, 4.0, 2, (False, False)), 3.0),
    "box smaller than the range": (scattered(4, 1.3, 2, low=-1, high=2), 3.0),
    "tilted and smaller": (scattered(4, TILTED / 4, 3, low=-1, high=2), 2.2),
    "one particle and its images": (scattered(1, 1.0, 2, species=["A"]), 2.5),
}


def listed_entries(listed, box):
    """Rows, neighbours, shifts and vectors of the filled slots."""
    row, slot = np.nonzero(listed.mask)
    index, shift = np.asarray(listed.index)[row, slot], np.asarray(listed.shift)[:, row, slot].T
    position = np.asarray(listed.reference)
    vector = position[index] - position[row]
    if box is not None:
        vector = vector + shift @ box
    return row, index, shift, vector


def image_entries(structure, reach):
    """All pairs closer than reach, from every image that could be: ``(i, j, *image)``."""
    position, dimension = np.asarray(structure.position), structure.dimension
    box = np.eye(dimension) if structure.box is None else structure.box
    # image @ box is a vector no longer than reach plus the extent of the cloud; its k-th fraction
    # is that vector times column k of the inverse.
    longest = reach + np.linalg.norm(np.ptp(position, axis=0))
    most = np.ceil(longest * np.linalg.norm(np.linalg.inv(box), axis=0)).astype(int)
    ranges = [range(-m, m + 1) if p else range(1) for m, p in zip(most, structure.boundary)]
    images = np.array(list(itertools.product(*ranges)))
    vector = (images @ box)[:, None, None] + position[None] - position[:, None]
    close = np.sum(vector**2, axis=-1) < reach**2
    close[~images.any(axis=1)] &= ~np.eye(len(position), dtype=bool)
    return {(int(i), int(j), *map(int, images[k])) for k, i, j in np.argwhere(close)}


@pytest.mark.parametrize("case", CASES)
def test_pairs_against_all_images(case):
    structure, reach = CASES[case]
    listed = list_pairs(structure, reach)
    row, index, shift, vector = listed_entries(listed, structure.box)
    found = [(int(i), int(j), *map(int, s)) for i, j, s in zip(row, index, shift)]
    assert len(found) == len(set(found))  # nobody twice
    assert set(found) == image_entries(structure, reach)
    assert found  # the case is a case
    assert (np.linalg.norm(vector, axis=1) < reach).all()
    empty = ~listed.mask
    own = np.broadcast_to(np.arange(structure.number)[:, None], listed.index.shape)
    np.testing.assert_array_equal(listed.index[empty], own[empty])


def entries(listed):
    row, index, shift, _ = listed_entries(listed, None)
    found = [(int(i), int(j), *map(int, s)) for i, j, s in zip(row, index, shift)]
    assert len(found) == len(set(found))
    return set(found)


def same_by_cells(structure, reach, monkeypatch, far=False, **options):
    """The list by cells, which is the list by the table in another order."""
    monkeypatch.setattr(image_table, "BRUTE_FORCE", 10**9)
    by_table = list_pairs(structure, reach, **options)
    monkeypatch.setattr(image_table, "BRUTE_FORCE", 0)
    by_cells = list_pairs(structure, reach, **options)
    assert (by_cells.grid is None) == far  # at home it was made by cells too
    assert by_table.grid is None
    assert entries(by_cells) == entries(by_table)
    own = np.arange(structure.number)[:, None]
    assert ((by_cells.index == own) | by_cells.mask).all()
    assert not np.asarray(by_cells.shift)[:, ~np.asarray(by_cells.mask)].any()
    return by_cells


@pytest.mark.parametrize("case", CASES)
def test_cells_find_what_the_table_finds(case, monkeypatch):
    structure, reach = CASES[case]
    same_by_cells(structure, reach, monkeypatch)


@pytest.mark.parametrize("kinds", [2, 7])  # few are compared, many are looked up
@pytest.mark.parametrize("dimension", [2, 3])
def test_cells_know_the_ranges_of_species(kinds, dimension, monkeypatch):
    rng = np.random.default_rng(5)
    names = [chr(65 + k) for k in range(kinds)]
    side = 9.0
    structure = Structure(
        rng.uniform(0, side, (300, dimension)), box=side, species=list(rng.choice(names, 300))
    )
    reach = rng.uniform(0.5, 1.5, (kinds, kinds))
    listed = same_by_cells(structure, reach + reach.T, monkeypatch, skin=0.2)
    assert listed.mask.sum() > 300


@pytest.mark.parametrize("dimension", [2, 3])
def test_cells_in_lines_of_any_length(dimension, monkeypatch):
    """From lines shorter than the range, which are met as many images, to lines of many cells."""
    rng = np.random.default_rng(dimension)
    for edge in (0.45, 0.99, 1.0, 1.3, 2.0, 2.1, 7.0):
        box = np.diag([2.4] * (dimension - 1) + [edge])
        box[-1, 0] = 0.7 * edge
        place = rng.uniform(-0.5, 1.5, (20, dimension)) @ box
        place[::4] = np.round(4 * place[::4]) / 4  # on the edges of cells
        for periodic in (True, False):
            boundary = (True,) * (dimension - 1) + (periodic,)
            same_by_cells(Structure(place, box=box, boundary=boundary), 1.0, monkeypatch)


def test_crowded_cells_take_several_words(monkeypatch):
    rng = np.random.default_rng(6)
    crowd = np.concatenate([rng.normal(0, 0.3, (150, 3)), rng.uniform(-20, 20, (150, 3))])
    listed = same_by_cells(Structure(crowd), 1.0, monkeypatch)
    assert listed.grid.capacity > 32


def test_many_boxes_from_home(monkeypatch):
    rng = np.random.default_rng(7)
    away = 4.0 * rng.integers(-300, 300, (60, 2))
    structure = Structure(rng.uniform(0, 4, (60, 2)) + away, box=4.0)
    listed = same_by_cells(structure, 1.2, monkeypatch, far=True)
    assert np.abs(listed.shift).max() > 127


@pytest.mark.parametrize("cells", [41, 47, 55, 61])
def test_the_last_cell_meets_the_first_however_many_there_are(cells, monkeypatch):
    # A quotient by way of a reciprocal, as optimised programs take it, fell short of one for these.
    monkeypatch.setattr(image_table, "BRUTE_FORCE", 0)
    box = np.array([1.01 * cells, 3.03])
    position = np.random.default_rng(cells).uniform(0, 1, (300, 2)) * box
    listed = list_pairs(Structure(position, box=box), 1.0)
    apart = position[:, None] - position
    apart -= box * np.round(apart / box)
    near = np.linalg.norm(apart, axis=-1) < 1.0
    assert int(np.asarray(listed.mask).sum()) == near.sum() - len(position)


def test_single_precision_by_cells(monkeypatch):
    rng = np.random.default_rng(8)
    structure = Structure(rng.uniform(0, 9, (200, 2)).astype(np.float32), box=9.0)
    same_by_cells(structure, 1.1, monkeypatch)


def test_shapes_are_kept_where_they_suffice(monkeypatch):
    rng = np.random.default_rng(9)
    place = rng.uniform(0, 30, (800, 2))
    monkeypatch.setattr(image_table, "BRUTE_FORCE", 0)
    first = list_pairs(Structure(place, box=30.0), 2.0)
    moved = Structure(place + rng.normal(0, 1e-3, place.shape), box=30.0)
    second = list_pairs(moved, 2.0, like=first)
    assert (second.index.shape, second.grid) == (first.index.shape, first.grid)
    apart = Structure(np.indices((28, 28)).reshape(2, -1).T * 1.07, box=30.0)
    assert list_pairs(apart, 1.2, like=first).index.shape[1] < first.index.shape[1]


def test_a_list_from_cells_may_follow_one_from_the_table(monkeypatch):
    """As where ghosts become more on the way, or particles were far from home."""
    structure = Structure(np.random.default_rng(0).uniform(0, 20, (400, 2)), box=20.0)
    table = list_pairs(structure, 1.0, 0.3)
    assert table.grid is None
    monkeypatch.setattr(image_table, "BRUTE_FORCE", 0)
    cells = list_pairs(structure, 1.0, 0.3, like=table)
    assert cells.grid is not None
    assert entries(cells) == entries(table)


def test_dilute_and_large_needs_few_cells(monkeypatch):
    """The table of cells is no longer than the list of particles, however large the box."""
    rng = np.random.default_rng(10)
    structure = Structure(rng.uniform(0, 1e6, (100, 3)), box=1e6)
    pair = structure.position.copy()
    pair[1] = pair[0] + 0.5
    same_by_cells(structure.with_position(pair), 1.0, monkeypatch)


FEW = ["free 3-D", "square, beyond half the box", "tilted slab", "tilted and smaller"]


@pytest.mark.parametrize("case", FEW)
def test_all_pairs_give_the_energy_of_the_list(case):
    structure, reach = CASES[case]
    system = System(structure, SoftSphere(diameter=reach, epsilon={"A": 1.0, "B": 0.5}))
    everyone = all_pairs(structure, reach)
    assert bool(everyone.valid)
    # At most some 1e4 positive terms in another order: relative rounding below 1e4 eps = 2e-12.
    listed = ENERGY(system, list_pairs(structure, reach))
    np.testing.assert_allclose(ENERGY(system, everyone), listed, rtol=2e-12)


def test_ranges_differ_by_species():
    structure = Structure([[0.0, 0.0], [0.9, 0.0], [1.8, 0.0]], species=["A", "B", "B"])
    reach = np.array([[2.0, 0.8], [0.8, 1.0]])
    row, index, _, _ = listed_entries(list_pairs(structure, reach), None)
    assert set(zip(row.tolist(), index.tolist())) == {(1, 2), (2, 1)}


@pytest.mark.parametrize("case", ["square", "tilted", "slab"])
def test_the_skin_lists_what_may_come(case):
    structure, reach = CASES[case]
    skin = 0.4
    listed = list_pairs(structure, reach, skin)
    assert listed.skin == skin
    rng = np.random.default_rng(7)
    step = rng.standard_normal(structure.position.shape)
    # The longest allowed step: half the skin for every particle, in the worst of directions.
    step *= 0.4999 * skin / np.linalg.norm(step, axis=1, keepdims=True)
    moved = structure.with_position(structure.position + step)
    system = System(moved, SoftSphere(diameter=reach))
    fresh = float(ENERGY(system, list_pairs(moved, reach)))
    # The same positive terms, some 300 of them, in another order.
    np.testing.assert_allclose(ENERGY(system, listed), fresh, rtol=300 * 2.2e-16)
    bare = float(ENERGY(system, list_pairs(structure, reach)))
    assert abs(bare - fresh) > 1e-6  # without the skin something is missed


def test_rows_keep_the_length_asked_for():
    structure, reach = CASES["square"]
    long, short = list_pairs(structure, 3.9), list_pairs(structure, 0.5)
    assert long.index.shape[1] > list_pairs(structure, reach).index.shape[1]
    assert list_pairs(structure, reach, like=long).index.shape == long.index.shape
    assert entries(list_pairs(structure, reach, like=short)) == entries(
        list_pairs(structure, reach)
    )


def test_row_lengths_are_few_and_fit():
    widths = [list_shapes.rounded(k) for k in range(1, 200)]
    assert all(width >= k for k, width in enumerate(widths, 1))
    assert all(width <= max(widths[0], 2 * k) for k, width in enumerate(widths, 1))
    assert len(set(widths)) < 20


def test_bonds_join_nearest_images_and_are_never_stale():
    structure = Structure([[0.1, 2.0], [3.8, 2.0], [2.0, 2.0]], box=4.0)
    listed = list_bonds(structure, np.array([[0, 1], [1, 2]]))
    row, index, _, vector = listed_entries(listed, structure.box)
    length = dict(zip(zip(row.tolist(), index.tolist()), np.linalg.norm(vector, axis=1)))
    # 0.3 through the wall and 1.8 inside, as differences of numbers of size 4.
    expected = {(0, 1): 0.3, (1, 0): 0.3, (1, 2): 1.8, (2, 1): 1.8}
    assert length == pytest.approx(expected, abs=1e-14)
    assert listed.skin == np.inf
    bond = np.asarray(listed.bond)[np.nonzero(listed.mask)]
    np.testing.assert_array_equal(bond, [0, 0, 1, 1])


def test_under_jit_all_pairs_are_taken():
    structure, reach = CASES["square"]
    potential = SoftSphere(diameter=reach)
    compiled = jax.jit(lambda s: systems.energy(System(s, potential)))(structure)
    np.testing.assert_allclose(compiled, systems.energy(System(structure, potential)), rtol=1e-12)


def test_traced_box_too_small_gives_nan():
    structure, _ = CASES["square"]  # half the width is 2

    def energy(cutoff):
        potential = SoftSphere(diameter=cutoff)
        return jax.jit(lambda s, p: systems.energy(System(s, p)))(structure, potential)

    def force(cutoff):
        potential = SoftSphere(diameter=cutoff)
        return jax.jit(lambda s, p: systems.force(System(s, p)))(structure, potential)

    assert np.isfinite(energy(1.99))
    assert np.isnan(energy(2.01))
    assert np.isfinite(force(1.99)).all()
    assert np.isnan(force(2.01)).all()


def test_nan_positions_give_nan_not_silence():
    structure, reach = CASES["square"]
    listed = list_pairs(structure, reach)
    potential = SoftSphere(diameter=reach)
    lost = jnp.asarray(structure.position).at[3, 1].set(jnp.nan)
    assert np.isnan(pair.energy(potential, structure, lost, listed))
    assert np.isnan(pair.force(potential, structure, lost, listed)).all()
    assert np.isnan(pair.force_function(potential, structure, listed)(lost)).all()


@pytest.mark.parametrize("make", [list_pairs, all_pairs])
def test_endless_range_in_a_periodic_box_is_refused(make):
    structure, _ = CASES["square"]
    with pytest.raises(CutoffTooLong, match="needs a potential with a cutoff"):
        make(structure, np.inf)


def test_endless_range_in_free_space_takes_everyone():
    structure, _ = CASES["free 3-D"]
    assert list_pairs(structure, np.inf).mask.sum() == 24 * 23


def test_range_of_many_boxes_is_refused_and_suspects_the_units():
    structure, _ = CASES["cube"]
    with pytest.raises(CutoffTooLong, match="are the units of cutoff"):
        list_pairs(structure, 4000.0)


def test_too_many_neighbors_are_refused(monkeypatch):
    structure, _ = CASES["free 3-D"]
    monkeypatch.setattr(list_limits, "MAX_PAIRS", 100)
    with pytest.raises(CutoffTooLong, match="set a cutoff"):
        list_pairs(structure, np.inf)
    monkeypatch.setattr(list_limits, "MAX_ENTRIES", 100)
    monkeypatch.setattr(image_table, "BRUTE_FORCE", 0)
    with pytest.raises(CutoffTooLong, match="neighbours a particle"):
        list_pairs(structure, 50.0)


def test_more_pairs_than_memory_holds_are_refused_under_jit():
    number = 6000  # before anything of that size is made
    structure = Structure(np.random.default_rng(0).uniform(0, 70, (number, 2)), box=70.0)
    energy = jax.jit(lambda d: systems.energy(System(structure, SoftSphere(diameter=d))))
    with pytest.raises(list_limits.TooManyPairs, match="of them: call it outside"):
        energy(1.0)
    derivative = jax.grad(lambda d: systems.energy(System(structure, SoftSphere(diameter=d))))
    assert derivative(1.0) > 0


def test_periodic_lennard_jones_without_cutoff_is_refused():
    structure, _ = CASES["square"]
    with pytest.raises(CutoffTooLong, match="cutoff"):
        systems.energy(System(structure, LennardJones()))


def test_bonds_are_listed_in_a_box_that_has_no_value_yet():
    structure = Structure([[0.1, 0.2], [1.9, 0.3], [1.0, 1.0]], box=2.0)
    bonds = np.array([[0, 1], [1, 2]])

    def stretch(box):
        listed = list_bonds(replace(structure, box=box), bonds)
        return jnp.sum(listed.shift[..., :1])

    assert jax.jit(stretch)(jnp.eye(2) * 2.0) == stretch(structure.box)


@pytest.mark.parametrize("many", [False, True])
def test_cells_under_jit_fill_the_same_rows(many):
    """Stages that are branches of one program, of one system or of each of several."""
    rng = np.random.default_rng(12)
    place, kind = rng.uniform(0, 9.0, (2, 150, 2)), np.arange(150) % 2
    reach = np.array([[1.0, 1.2], [1.2, 1.4]])
    boundary = (True, True)
    stencil = cell_list.stencil_for(np.eye(2) * 9.0, boundary, 1.4)
    given = [
        place,
        np.tile(kind, (2, 1)),
        np.tile(9.0 * np.eye(2), (2, 1, 1)),
        np.tile(reach, (2, 1, 1)),
    ]
    if not many:
        given = [part[0] for part in given]
    rows = cell_list.fill(*given, boundary, stencil, 12, 16)
    within = jax.jit(lambda *parts: cell_list.fill(*parts, boundary, stencil, 12, 16))(*given)
    assert np.asarray(rows.mask).sum() > 300
    for one, other in zip(rows, within):
        np.testing.assert_array_equal(one, other)
