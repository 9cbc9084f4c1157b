import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.particles.structure import InvalidStructure, Structure, check

PAIR = [[0.0, 0.0], [1.5, 0.5]]
TRIPLE = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


def test_defaults_in_free_space():
    structure = Structure(PAIR)
    assert structure.position.dtype == np.float64
    assert structure.box is None
    assert structure.boundary == (False, False)
    assert structure.fixed is None
    assert structure.names() == ["A", "A"]
    assert (structure.number, structure.dimension) == (2, 2)


@pytest.mark.parametrize(
    ("box", "edges"),
    [
        (4, [[4.0, 0.0], [0.0, 4.0]]),
        (np.float64(4.0), [[4.0, 0.0], [0.0, 4.0]]),
        ([4.0, 3.0], [[4.0, 0.0], [0.0, 3.0]]),
        ([[4.0, 0.0], [1.0, 3.0]], [[4.0, 0.0], [1.0, 3.0]]),
        ([[1.0, 3.0], [4.0, 0.0]], [[1.0, 3.0], [4.0, 0.0]]),  # left-handed boxes are boxes
    ],
)
def test_boxes(box, edges):
    structure = Structure(PAIR, box=box)
    np.testing.assert_array_equal(structure.box, edges)
    assert structure.boundary == (True, True)


def test_species_are_numbered_in_the_order_of_first_use():
    structure = Structure(TRIPLE, species=["Cu", "Al", "Cu"])
    assert structure.species_names == ("Cu", "Al")
    np.testing.assert_array_equal(structure.species, [0, 1, 0])
    assert structure.names() == ["Cu", "Al", "Cu"]


def test_species_names_may_be_given_first():
    structure = Structure(TRIPLE, species=["B", "A", "B"], species_names=("A", "B", "C"))
    np.testing.assert_array_equal(structure.species, [1, 0, 1])
    by_index = Structure(TRIPLE, species=[1, 0, 1], species_names=("A", "B", "C"))
    assert by_index.names() == structure.names()


def test_whole_numbers_without_names_are_labels():
    assert Structure(TRIPLE, species=[7, 3, 7]).species_names == ("7", "3")


def test_one_boundary_may_stand_for_all():
    assert Structure(PAIR, box=3.0, boundary=False).boundary == (False, False)
    assert Structure(PAIR, box=3.0, boundary=[True, False]).boundary == (True, False)


@pytest.mark.parametrize("fixed", [[0], [-2], np.array([True, False]), [True, False]])
def test_fixed_by_index_and_by_mask(fixed):
    np.testing.assert_array_equal(Structure(PAIR, fixed=fixed).fixed, [True, False])
    np.testing.assert_array_equal(Structure(PAIR).with_fixed(fixed).fixed, [True, False])


def test_nobody_fixed():
    assert not Structure(PAIR, fixed=[]).fixed.any()
    assert Structure(PAIR, fixed=[0]).with_fixed(None).fixed is None


def test_with_position_moves_and_keeps_the_rest():
    structure = Structure(PAIR, species=["A", "B"], box=4.0, fixed=[1])
    moved = structure.with_position(structure.position + 1.0)
    np.testing.assert_array_equal(moved.position, np.array(PAIR) + 1.0)
    assert moved.names() == ["A", "B"]
    np.testing.assert_array_equal(moved.fixed, structure.fixed)


def test_it_is_a_pytree():
    structure = Structure(PAIR, species=["A", "B"], box=4.0)
    doubled = jax.jit(lambda s: jax.tree.map(lambda x: 2 * x, s))(structure)
    np.testing.assert_array_equal(doubled.position, 2 * np.array(PAIR))
    assert doubled.species_names == ("A", "B")
    batch = jax.vmap(structure.with_position)(jnp.zeros((5, 2, 2)))
    assert batch.position.shape == (5, 2, 2)
    assert (batch.number, batch.dimension) == (2, 2)


def test_a_batch_comes_back_from_the_device():
    batch = jax.vmap(Structure(PAIR, box=4.0).with_position)(jnp.zeros((5, 2, 2)))
    assert jax.device_get(batch).position.shape == (5, 2, 2)


def test_a_mixed_box_is_not_mistaken_for_lengths():
    left_handed = Structure(PAIR, box=[[0.0, 3.0], [4.0, 0.0]])
    assert np.linalg.det(left_handed.box) == -12.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Structure([]), "at least one particle"),
        (lambda: Structure(np.zeros((0, 3))), "at least one particle"),
        (lambda: Structure([1.0, 2.0]), r"\[particle, 2\] or \[particle, 3\]"),
        (lambda: Structure([[1.0]]), r"got \(1, 1\)"),
        (lambda: Structure(np.zeros((2, 4))), r"got \(2, 4\)"),
        (lambda: Structure(PAIR, species=["A"]), "2 particles, 1 species"),
        (lambda: Structure(PAIR, species=["A", "B", "A"]), "2 particles, 3 species"),
        (lambda: Structure(PAIR, species=[0, 2], species_names=("A", "B")), "0..1"),
        (lambda: Structure(PAIR, species=[-1, 0], species_names=("A", "B")), "0..1"),
        (lambda: Structure(PAIR, species=["A", "X"], species_names=("A", "B")), "'X'"),
        (lambda: Structure(PAIR, box=0.0), "positive"),
        (lambda: Structure(PAIR, box=-4.0), "positive"),
        (lambda: Structure(PAIR, box=[4.0, 0.0]), "positive"),
        (lambda: Structure(PAIR, box=np.diag([4.0, -3.0])), "positive"),
        (lambda: Structure(PAIR, box=[1.0, 2.0, 3.0]), r"got shape \(3,\)"),
        (lambda: Structure(PAIR, box=np.eye(3) * 4), r"got shape \(3, 3\)"),
        (lambda: Structure(PAIR, box=np.ones((2, 2, 2))), r"got shape \(2, 2, 2\)"),
        (lambda: Structure(PAIR, box=4.0, boundary=[True]), "one boundary an edge"),
        (lambda: Structure(PAIR, box=4.0, boundary=(True,) * 3), "one boundary an edge"),
        (lambda: Structure(PAIR, boundary=True), "periodic boundary needs a box"),
        (lambda: Structure(PAIR, fixed=[2]), "below 2"),
        (lambda: Structure(PAIR, fixed=[-3]), "below 2"),
        (lambda: Structure(PAIR, fixed=[0.5]), "fixed must be"),
        (lambda: Structure(PAIR, fixed=[True]), "fixed must be"),
        (lambda: Structure(PAIR, fixed=np.array([True, False, True])), "fixed must be"),
    ],
)
def test_refused_when_made(make, message):
    with pytest.raises(InvalidStructure, match=message):
        make()


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (Structure([[0.0, 0.0], [np.nan, 1.0]]), "particle 1 is at"),
        (Structure([[0.0, np.inf], [0.0, 1.0]]), r"1 of 2 are not finite"),
        (Structure(PAIR, box=[[1.0, 2.0], [2.0, 4.0]]), "must enclose a volume"),
        (Structure(PAIR, box=[[1.0, 1.0], [1.0, np.nan]]), "must enclose a volume"),
        (Structure(PAIR, box=[np.inf, 1.0]), "must enclose a volume"),
    ],
)
def test_refused_when_simulated(structure, message):
    with pytest.raises(InvalidStructure, match=message):
        check(structure)


def test_what_can_be_simulated_passes():
    check(Structure(PAIR))
    # Small boxes are boxes: the volume is judged against the edges, not against a number.
    check(Structure(PAIR, box=1e-8))


def test_edges_are_told_by_flags_or_by_words():
    x = np.zeros((1, 2))
    assert Structure(x, box=5.0, boundary=["periodic", "none"]).boundary == (True, False)
    assert Structure(x, box=5.0, boundary="periodic").boundary == (True, True)
    for wrong in (["foo", "none"], "p", [2, 0], [None, True]):
        with pytest.raises(InvalidStructure, match="'periodic' or 'none'"):
            Structure(x, box=5.0, boundary=wrong)
