"""Linear solvers against NumPy's pseudo-inverse, on matrices whose spectra are chosen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.implicit.linear_solve import solve_cg, solve_lu, solve_symmetric
from simsens.implicit.linear_solve.dense import materialise
from simsens.implicit.linear_solve.spectrum import spectrum

EPS = np.finfo(float).eps
N, NULLITY = 24, 3
CONDITIONS = [1e2, 1e4, 1e6]


def singular_matrix(condition, negative=0):
    """A symmetric [N, N] matrix with NULLITY zero eigenvalues, and its orthonormal null rows."""
    rng = np.random.default_rng(int(np.log10(condition)))
    q, _ = np.linalg.qr(rng.standard_normal((N, N)))
    values = np.concatenate([np.zeros(NULLITY), np.geomspace(1, condition, N - NULLITY)])
    values[N - negative :] *= -1
    return (q * values) @ q.T, q[:, :NULLITY].T


def right_hand_side():
    return np.random.default_rng(99).standard_normal(N)


@jax.jit
def by_cg(matrix, b, null_space):
    return solve_cg(lambda v: matrix @ v, b, null_space=null_space)


@jax.jit
def by_dense(matrix, b, null_space):
    return solve_symmetric(lambda v: matrix @ v, b, null_space=null_space)


SOLVERS = {"cg": by_cg, "dense": by_dense}


def error_allowed(solver, condition, size):
    """|x - A^+ b| <= |A^+| |residual|, plus what rounding of A itself does to the answer.

    Both solvers leave a residual of at most 1e-11 |b| (cg: ten times its tolerance; dense: refined
    once, about eps condition) or of the floor 100 eps |A| |x|; |A^+| = 1, |b| <= |A| |x|. The
    product of a random basis with itself adds about N eps |A|.
    """
    floor = (100 + N) * EPS * condition * size
    return max(1e-11 * np.sqrt(N) * 2, floor) if solver == "cg" else floor


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_pseudo_inverse(solver, condition):
    matrix, null = singular_matrix(condition)
    b = right_hand_side()
    solution = SOLVERS[solver](matrix, b, null)
    expected = np.linalg.pinv(matrix, rcond=1e-10) @ b
    assert bool(solution.converged)
    size = np.linalg.norm(expected)
    error = np.linalg.norm(solution.value - expected)
    assert error <= error_allowed(solver, condition, size)
    np.testing.assert_allclose(
        null @ np.asarray(solution.value), 0, atol=100 * EPS * size * condition
    )


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_dense_solver_finds_the_null_space_itself(condition):
    matrix, null = singular_matrix(condition)
    b = matrix @ right_hand_side()
    solution = solve_symmetric(lambda v: matrix @ v, b)
    expected = np.linalg.pinv(matrix, rcond=1e-10) @ b
    error = np.linalg.norm(solution.value - expected)
    assert error <= error_allowed("dense", condition, np.linalg.norm(expected))
    assert bool(solution.converged)
    # One part in a million that no x can match is told, although A^+ b has not changed.
    off = b + 1e-6 * np.linalg.norm(b) * null[0]
    told = solve_symmetric(lambda v: matrix @ v, off)
    assert not bool(told.converged)
    assert float(told.residual) == pytest.approx(1e-6, rel=1e-3)


def test_cg_needs_no_null_space_when_b_lies_in_the_range():
    matrix, _ = singular_matrix(1e2)
    b = matrix @ right_hand_side()
    solution = solve_cg(lambda v: matrix @ v, b)
    expected = np.linalg.pinv(matrix, rcond=1e-10) @ b
    error = np.linalg.norm(solution.value - expected)
    assert bool(solution.converged)
    assert error <= 1e-11 * np.linalg.norm(b)  # the smallest eigenvalue is one


def test_cg_tells_when_b_is_out_of_reach():
    # Without a null space to project out, half of b cannot be matched: the residual stays.
    matrix, null = singular_matrix(1e2)
    solution = solve_cg(lambda v: matrix @ v, jnp.asarray(null.sum(axis=0)))
    assert not bool(solution.converged)


@pytest.mark.parametrize("scale", [1e-12, 1e-150, 1e12])
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_size_of_b_does_not_matter(solver, scale):
    matrix, null = singular_matrix(1e4)
    b = right_hand_side()
    one = SOLVERS[solver](matrix, b, null)
    other = SOLVERS[solver](matrix, b * scale, null)
    assert bool(other.converged)
    assert int(other.iterations) == pytest.approx(
        int(one.iterations), abs=max(3, int(one.iterations) // 10)
    )
    size = np.linalg.norm(one.value)
    error = np.linalg.norm(np.asarray(other.value) / scale - one.value)
    # The same steps but for the rounding of b * scale: both err within what is allowed.
    assert error <= 2 * error_allowed(solver, 1e4, size)
    assert size > 0.1


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_units_of_the_matrix_do_not_matter(solver):
    matrix, null = singular_matrix(1e4)
    b = right_hand_side()
    one = SOLVERS[solver](matrix, b, null)
    tiny = SOLVERS[solver](matrix * 1e-20, b, null)
    assert bool(tiny.converged)
    error = np.linalg.norm(np.asarray(tiny.value) * 1e-20 - one.value)
    assert error <= 2 * error_allowed(solver, 1e4, np.linalg.norm(one.value))


@pytest.mark.parametrize("solver", SOLVERS)
def test_nothing_asked_nothing_answered(solver):
    matrix, null = singular_matrix(1e2)
    solution = SOLVERS[solver](matrix, np.zeros(N), null)
    np.testing.assert_array_equal(solution.value, 0.0)
    assert bool(solution.converged)
    assert float(solution.residual) == 0.0


def test_null_components_of_b_are_left_out_and_told():
    matrix, null = singular_matrix(1e2)
    b = matrix @ right_hand_side()
    lost = np.linalg.norm(5 * null.sum(axis=0)) / np.linalg.norm(b + 5 * null.sum(axis=0))
    for name, solve in SOLVERS.items():
        one, other = solve(matrix, b, null), solve(matrix, b + 5 * null.sum(axis=0), null)
        difference = np.linalg.norm(one.value - other.value)
        # Projecting leaves some eps of what was added; CG stops at 1e-11 of b.
        assert difference <= 2e-11 * np.linalg.norm(b), name
        assert bool(other.converged), name
        assert float(other.discarded) == pytest.approx(lost, rel=1e-12)
        assert float(one.discarded) <= 100 * EPS


@pytest.mark.parametrize("negative", [1, 5])
def test_cg_tells_an_indefinite_matrix(negative):
    matrix, null = singular_matrix(1e2, negative)
    solution = by_cg(matrix, right_hand_side(), null)
    assert not bool(solution.converged)


def test_the_dense_solver_takes_an_indefinite_matrix():
    matrix, null = singular_matrix(1e2, negative=5)
    b = right_hand_side()
    expected = np.linalg.pinv(matrix, rcond=1e-10) @ b
    solution = by_dense(matrix, b, null)
    assert bool(solution.converged)
    error = np.linalg.norm(solution.value - expected)
    assert error <= error_allowed("dense", 1e2, np.linalg.norm(expected))


def test_cg_tells_a_spent_budget_and_does_not_overspend():
    matrix, null = singular_matrix(1e6)
    few = solve_cg(lambda v: matrix @ v, right_hand_side(), null_space=null, maxiter=5)
    assert not bool(few.converged)
    assert int(few.iterations) == 5


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_residual_is_the_true_one(solver, condition):
    matrix, null = singular_matrix(condition)
    b = right_hand_side()
    solution = SOLVERS[solver](matrix, b, null)
    projected = b - null.T @ (null @ b)
    true = np.linalg.norm(projected - matrix @ np.asarray(solution.value)) / np.linalg.norm(
        projected
    )
    # Forming b - A x in another order rounds by N eps |A| |x| / |b|.
    size = N * EPS * condition * np.linalg.norm(solution.value) / np.linalg.norm(projected)
    assert float(solution.residual) == pytest.approx(true, rel=0, abs=4 * size)


def test_a_residual_of_an_unfinished_solve_is_true_too():
    matrix, null = singular_matrix(1e4)
    b = right_hand_side()
    few = solve_cg(lambda v: matrix @ v, b, null_space=null, maxiter=8)
    projected = b - null.T @ (null @ b)
    true = np.linalg.norm(projected - matrix @ np.asarray(few.value)) / np.linalg.norm(projected)
    assert float(few.residual) == pytest.approx(true, rel=1e-9)
    assert true > 1e-3  # far from solved, and told so


def test_asymmetric_products_are_not_believed():
    # The recurrence would claim convergence; the true residual, recomputed, does not.
    rng = np.random.default_rng(2)
    matrix = np.eye(N) + 0.9 * np.triu(rng.standard_normal((N, N)), 1)
    b = right_hand_side()
    solution = solve_cg(lambda v: matrix @ v, b)
    true = np.linalg.norm(b - matrix @ np.asarray(solution.value)) / np.linalg.norm(b)
    assert float(solution.residual) == pytest.approx(true, rel=1e-6)
    assert bool(solution.converged) == (true <= 1e-11)


@pytest.mark.parametrize("solver", SOLVERS)
def test_vmap(solver):
    matrix, null = singular_matrix(1e2)
    many = np.random.default_rng(5).standard_normal((4, N))
    together = jax.vmap(lambda b: SOLVERS[solver](matrix, b, null))(many)
    assert np.asarray(together.converged).all()
    for k, b in enumerate(many):
        alone = SOLVERS[solver](matrix, b, null)
        error = np.linalg.norm(together.value[k] - alone.value)
        assert error <= 2 * error_allowed(solver, 1e2, np.linalg.norm(alone.value))
    each = jnp.stack([matrix, 2 * matrix])
    halves = jax.vmap(lambda m: SOLVERS[solver](m, many[0], null).value)(each)
    np.testing.assert_allclose(halves[0], 2 * halves[1], rtol=0, atol=1e-10)


def test_vmap_of_one_failure_among_successes():
    matrix, null = singular_matrix(1e2)
    bad, _ = singular_matrix(1e2, negative=1)
    told = jax.vmap(lambda m: by_cg(m, right_hand_side(), null).converged)
    np.testing.assert_array_equal(told(jnp.stack([matrix, bad, matrix])), [True, False, True])


def test_lu_for_matrices_without_structure():
    rng = np.random.default_rng(1)
    matrix = np.eye(N) * 5 + rng.standard_normal((N, N)) / 2
    b = right_hand_side()
    solution = solve_lu(lambda v: matrix @ v, b)
    expected = np.linalg.solve(matrix, b)
    assert bool(solution.converged)
    np.testing.assert_allclose(solution.value, expected, rtol=0, atol=1e3 * EPS)  # condition < 10
    with np.errstate(all="ignore"):
        singular = solve_lu(lambda v: jnp.zeros((N, N)) @ v, b)
    assert not bool(singular.converged)


def test_nan_is_not_converged():
    b = jnp.asarray(right_hand_side()).at[3].set(jnp.nan)
    matrix, null = singular_matrix(1e2)
    for name, solve in SOLVERS.items():
        assert not bool(solve(matrix, b, null).converged), name


def test_spectrum():
    matrix, _ = singular_matrix(1e4)
    known = spectrum(matrix)
    expected = np.linalg.eigvalsh(matrix)
    # Eigenvalues move by no more than the rounding of the matrix.
    np.testing.assert_allclose(known.eigenvalues, expected, rtol=0, atol=N * EPS * 1e4)
    assert int(np.asarray(known.kept()).sum()) == N - NULLITY
    product = materialise(lambda v: matrix @ v, N, jnp.float64)
    np.testing.assert_allclose(product, matrix, rtol=0, atol=N * EPS * 1e4)
