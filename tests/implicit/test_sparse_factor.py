"""The sparse factorisation against dense linear algebra."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from simsens.implicit.sparse_factor import Singular, SparseFactor, largest


def ring(stiffness):
    """Springs between neighbours on a ring: singular by its translation."""
    n = len(stiffness)
    matrix = np.zeros((n, n))
    for i, k in enumerate(stiffness):
        j = (i + 1) % n
        matrix[i, i] += k
        matrix[j, j] += k
        matrix[i, j] -= k
        matrix[j, i] -= k
    return matrix


N = 40
SPRINGS = np.random.default_rng(3).uniform(0.5, 2.0, N)
TRANSLATION = np.full((1, N), N**-0.5)
ALL = np.ones(N, bool)


def test_pseudo_inverse_of_a_singular_matrix():
    matrix = ring(SPRINGS)
    rhs = np.random.default_rng(4).standard_normal((3, N))
    solution = SparseFactor(csr_array(matrix), TRANSLATION, ALL).solve(rhs)
    expected = rhs @ np.linalg.pinv(matrix, rcond=1e-10)  # off the translation, whose zero is 1e-16
    # Condition number about 1e3 on the range; one refinement leaves some ten roundings of it.
    assert np.abs(solution.value - expected).max() < 1e-12 * np.abs(expected).max()
    assert solution.converged.all()
    assert (solution.residual < 1e-13).all()


def test_a_small_right_hand_side_is_solved_as_well():
    factor = SparseFactor(csr_array(ring(SPRINGS)), TRANSLATION, ALL)
    rhs = np.random.default_rng(5).standard_normal((1, N))
    one, small = factor.solve(rhs).value, factor.solve(1e-12 * rhs).value
    assert np.abs(1e12 * small - one).max() < 1e-13 * np.abs(one).max()


def test_an_unknown_null_vector_is_refused():
    """A null vector that was not named is refused, not inverted."""
    with pytest.raises(Singular):
        SparseFactor(csr_array(np.diag([1.0, 2.0, 0.0])), np.zeros((1, 3)), np.ones(3, bool))


def test_unknowns_left_out_stay_zero():
    kept = ALL.copy()
    kept[[0, 7]] = False
    matrix = np.where(kept[:, None] & kept[None], ring(SPRINGS), 0)
    rhs = np.where(kept, np.random.default_rng(6).standard_normal(N), 0)[None]
    solution = SparseFactor(csr_array(matrix), np.zeros((1, N)), kept).solve(rhs)
    assert (solution.value[0, [0, 7]] == 0).all()
    assert np.abs(solution.value @ matrix - rhs).max() < 1e-12


def test_eigenvalues_next_to_zero():
    matrix = ring(SPRINGS)
    found, sure = SparseFactor(csr_array(matrix), TRANSLATION, ALL).near_zero()
    expected = np.linalg.eigvalsh(matrix)[1:5]
    assert sure
    assert np.abs(found - expected).max() < 1e-6 * expected.max()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_negative_eigenvalues_are_counted_however_large(count):
    matrix = ring(SPRINGS)
    rng = np.random.default_rng(7)
    for _ in range(count):  # a strongly negative direction each, off the translation
        direction = rng.standard_normal(N)
        direction -= direction.mean()
        matrix -= 50 * np.outer(direction, direction) / (direction @ direction)
    factor = SparseFactor(csr_array(matrix), TRANSLATION, ALL)
    assert factor.negative == (np.linalg.eigvalsh(matrix) < -1e-9).sum()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_eigenvalue_is_found_from_below(dtype):
    rng = np.random.default_rng(3)
    for size in (1, 2, 60):
        whole = rng.normal(size=(size, size))
        whole = (whole + whole.T) * np.linspace(1, 9, size)[:, None] * np.linspace(1, 9, size)
        top = np.abs(np.linalg.eigvalsh(whole)).max()
        found = largest(csr_array(whole.astype(dtype)))
        assert 0.8 * top < found <= top * (1 + 1e-5)
    assert largest(csr_array((5, 5))) == 0


def test_nothing_to_solve_for_is_told():
    with pytest.raises(Singular, match="no unknown"):
        SparseFactor(csr_array((4, 4)), np.zeros((0, 4)), np.zeros(4, bool))
