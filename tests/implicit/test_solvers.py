"""The contract of every linear solver, read from the table, and what each promises beyond it."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.implicit.linear_solve import (
    SOLVERS,
    block_jacobi,
    diagonal_of,
    factorised,
    from_lineax,
    jacobi,
    k_step,
    one_step,
    solve_bicgstab,
    solve_block_cg,
    solve_cg,
    solve_gmres,
    solve_lstsq,
    solve_lu,
    solve_minres,
    solve_neumann,
    solve_normal_cg,
    solve_symmetric,
    solver_for,
)
from simsens.implicit.linear_solve.dense import DENSE_LIMIT
from simsens.implicit.structure import Declared, declare, declared

EPS = np.finfo(float).eps
N = 20
RNG = np.random.default_rng(7)
Q = np.linalg.qr(RNG.standard_normal((N, N)))[0]
P = np.linalg.qr(RNG.standard_normal((N, N)))[0]
B = RNG.standard_normal(N)


def matrix_for(needs, condition=50.0):
    values = np.geomspace(1, condition, N)
    if needs == "definite":
        return (Q * values) @ Q.T
    if needs == "symmetric":
        return (Q * values * np.where(np.arange(N) % 3, 1, -1)) @ Q.T
    if needs == "contraction":
        return np.eye(N) - 0.6 * Q @ P / np.linalg.norm(Q @ P, 2)
    return (Q * values) @ Q.T + 3 * np.triu(Q, 1)


@functools.cache
def compiled(name):
    solve = SOLVERS[name][0]
    return jax.jit(lambda matrix, b: solve(lambda v: matrix @ v, b))


ALL = pytest.mark.parametrize("name", SOLVERS)
ITERATIVE = {
    "solve_cg": solve_cg,
    "solve_minres": solve_minres,
    "solve_gmres": solve_gmres,
    "solve_bicgstab": solve_bicgstab,
    "solve_normal_cg": solve_normal_cg,
}


def residual_of(matrix, x, b):
    return np.linalg.norm(b - matrix @ np.asarray(x)) / np.linalg.norm(b)


@ALL
def test_solves_and_tells_the_true_residual(name):
    matrix = matrix_for(SOLVERS[name][1])
    found = compiled(name)(matrix, B)
    true = residual_of(matrix, found.value, B)
    assert bool(found.converged)
    # Iterations are asked for 1e-12 and 1e-11 counts; Neumann's series for 1e-8.
    assert true <= (1e-8 if name == "solve_neumann" else 1e-11)
    # Formed in another order the residual rounds by N eps |A| |x| / |b|.
    size = np.linalg.norm(matrix, 2) * np.linalg.norm(found.value) / np.linalg.norm(B)
    assert float(found.residual) == pytest.approx(true, rel=0, abs=4 * N * EPS * size)
    assert (int(found.iterations) == 0) == (SOLVERS[name][0] in DIRECT)
    assert float(found.discarded) == 0.0


DIRECT = {SOLVERS[k][0] for k in ("solve_lu", "solve_lstsq", "solve_symmetric", "solve_cholesky")}


@ALL
@pytest.mark.parametrize("scale", [1e-12, 1e-150, 1e12])
def test_the_size_of_the_right_hand_side_does_not_matter(name, scale):
    matrix = matrix_for(SOLVERS[name][1])
    one, other = compiled(name)(matrix, B), compiled(name)(matrix, scale * B)
    assert bool(other.converged)
    error = np.linalg.norm(np.asarray(other.value) / scale - one.value)
    allowed = 2e-8 if name == "solve_neumann" else 2e-11  # both residuals, times |A^-1| <= 2.5
    assert error <= 2.5 * allowed * np.linalg.norm(B)


@ALL
def test_zero_gives_zero(name):
    found = compiled(name)(matrix_for(SOLVERS[name][1]), np.zeros(N))
    np.testing.assert_array_equal(found.value, 0.0)
    assert bool(found.converged)
    assert float(found.residual) == 0.0


@ALL
def test_nan_is_not_converged(name):
    b = jnp.asarray(B).at[2].set(jnp.nan)
    assert not bool(compiled(name)(matrix_for(SOLVERS[name][1]), b).converged)
    matrix = jnp.asarray(matrix_for(SOLVERS[name][1])).at[1, 1].set(jnp.nan)
    assert not bool(compiled(name)(matrix, B).converged)


@ALL
def test_single_precision_stays_single(name):
    matrix = np.float32(matrix_for(SOLVERS[name][1], 10.0))
    with jax.numpy_dtype_promotion("strict"):
        found = compiled(name)(matrix, np.float32(B))
    assert found.value.dtype == np.float32
    assert bool(found.converged)
    assert residual_of(matrix, found.value, B) < 1e-4


@ALL
def test_batches_are_solved_member_by_member(name):
    matrix = matrix_for(SOLVERS[name][1])
    stack = jnp.stack([matrix, jnp.eye(N), 0 * matrix + jnp.eye(N)])
    found = jax.jit(jax.vmap(lambda m: SOLVERS[name][0](lambda v: m @ v, jnp.asarray(B))))(stack)
    assert np.asarray(found.converged).all()
    np.testing.assert_allclose(found.value[1], B, rtol=0, atol=1e-10)
    alone = compiled(name)(matrix, B)
    np.testing.assert_allclose(found.value[0], alone.value, rtol=0, atol=2e-8)


@ALL
def test_trees_of_real_and_complex_numbers(name):
    # (2 + i) z = c as a real matrix is not symmetric: only for solvers that take any matrix. The
    # symmetric ones get a real multiple, Neumann's series one below 2.
    needs = SOLVERS[name][1]
    factor = 2 + 1j if needs == "any" else 1.5

    def matvec(v):
        return {"z": factor * v["z"], "r": [0.5 * v["r"][0]]}

    b = {"z": jnp.array([1.0 + 2j, 3j]), "r": [jnp.array(4.0)]}
    found = SOLVERS[name][0](matvec, b)
    assert bool(found.converged)
    np.testing.assert_allclose(found.value["z"], b["z"] / factor, atol=1e-7)
    np.testing.assert_allclose(found.value["r"][0], 8.0, atol=1e-7)
    assert found.value["z"].dtype == complex


@ALL
def test_a_ridge_is_added_to_the_diagonal(name):
    matrix = matrix_for(SOLVERS[name][1])
    ridge = 0.1
    found = SOLVERS[name][0](lambda v: matrix @ v, jnp.asarray(B), ridge=ridge)
    assert bool(found.converged)
    shifted, b = matrix + ridge * np.eye(N), B
    if name == "solve_normal_cg":  # there it is added to A^T A, as in JAXopt
        shifted, b = matrix.T @ matrix + ridge * np.eye(N), matrix.T @ B
    assert residual_of(shifted, found.value, b) <= 1e-8


def test_an_empty_right_hand_side_is_refused():
    with pytest.raises(ValueError, match="holds no real or complex numbers"):
        solve_lu(lambda v: v, {"count": np.array([1, 2])})


# --- what is singular ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["solve_lu", "solve_symmetric", "solve_cholesky", "solve_cg", "solve_minres"]
)
def test_singular_and_consistent_is_the_minimum_norm_answer(name):
    values = np.concatenate([np.zeros(3), np.geomspace(1, 50, N - 3)])
    matrix = (Q * values) @ Q.T
    b = matrix @ B
    found = compiled(name)(matrix, b)
    assert bool(found.converged)
    expected = np.linalg.pinv(matrix, rcond=1e-10) @ b
    np.testing.assert_allclose(found.value, expected, rtol=0, atol=1e-9)
    # And inconsistent is told, by everyone but the one that is asked for least squares.
    told = compiled(name)(matrix, b + np.linalg.norm(b) * Q[:, 0])
    assert not bool(told.converged)
    squares = compiled("solve_lstsq")(matrix, b + np.linalg.norm(b) * Q[:, 0])
    assert bool(squares.converged)
    assert float(squares.residual) == pytest.approx(2**-0.5, rel=1e-9)
    np.testing.assert_allclose(squares.value, expected, rtol=0, atol=1e-9)


def test_units_do_not_look_like_singularity():
    # The same regular matrix with its unknowns in metres and in angstroms.
    units = np.where(np.arange(N) % 2, 1.0, 1e-10)
    matrix = units[:, None] * matrix_for("definite") * units
    b = units * B
    for name in ("solve_lu", "solve_symmetric", "solve_cholesky"):
        found = compiled(name)(matrix, b)
        assert bool(found.converged)
        expected = np.linalg.solve(matrix_for("definite"), B)
        np.testing.assert_allclose(units * np.asarray(found.value), expected, rtol=0, atol=1e-11)


def test_a_factorisation_serves_both_modes_and_many():
    matrix = matrix_for("any")
    known = jax.jit(factorised)(matrix)
    rows = RNG.standard_normal((4, N))
    for transposed in (False, True):
        found = known.solve(rows, transposed)
        a = matrix.T if transposed else matrix
        np.testing.assert_allclose(a @ np.asarray(found.value).T, rows.T, rtol=0, atol=1e-12)
        assert found.residual.shape == (4,)
        assert np.asarray(found.converged).all()


def test_members_of_a_batch_fall_back_alone():
    regular = matrix_for("definite")
    singular = (Q * np.concatenate([[0.0], np.geomspace(1, 50, N - 1)])) @ Q.T
    b = singular @ B
    solve = jax.jit(jax.vmap(lambda m: solve_symmetric(lambda v: m @ v, jnp.asarray(b))))
    found = solve(jnp.stack([regular, singular]))
    assert np.asarray(found.converged).all()
    np.testing.assert_allclose(found.value[0], np.linalg.solve(regular, b), atol=1e-12)
    np.testing.assert_allclose(
        found.value[1], np.linalg.pinv(singular, rcond=1e-10) @ b, atol=1e-12
    )


# --- iterations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ITERATIVE)
def test_a_spent_budget_is_told(name):
    matrix = matrix_for(SOLVERS[name][1], 1e6)
    found = ITERATIVE[name](lambda v: matrix @ v, jnp.asarray(B), maxiter=6)
    assert not bool(found.converged)
    assert 6 <= int(found.iterations) <= 7
    assert float(found.residual) == pytest.approx(residual_of(matrix, found.value, B), rel=1e-6)


@pytest.mark.parametrize("name", ITERATIVE)
def test_a_warm_start_saves_products(name):
    matrix = matrix_for(SOLVERS[name][1])
    solve = ITERATIVE[name]
    solve = functools.partial(solve, lambda v: matrix @ v, jnp.asarray(B), tol=1e-9)
    cold = solve()
    near = cold.value + 1e-7 * jnp.asarray(RNG.standard_normal(N))
    warm = solve(init=near)
    assert bool(warm.converged)
    # Most of the digits are there already.
    assert int(warm.iterations) < int(cold.iterations)
    np.testing.assert_allclose(warm.value, cold.value, rtol=0, atol=1e-7)
    # A start that is worse than none is not used.
    far = solve(init=1e8 * jnp.ones(N))
    assert int(far.iterations) == int(cold.iterations)


@pytest.mark.parametrize("name", ["solve_cg", "solve_minres", "solve_gmres", "solve_bicgstab"])
def test_preconditioners_save_products(name):
    scale = np.geomspace(1, 1e4, N)
    matrix = scale[:, None] * matrix_for("definite", 4.0) * scale
    solve = functools.partial(ITERATIVE[name], lambda v: matrix @ v, jnp.asarray(B))
    plain, helped = solve(), solve(preconditioner=jacobi(diagonal_of(lambda v: matrix @ v, B)))
    assert bool(helped.converged)
    assert int(helped.iterations) < 0.7 * int(plain.iterations)
    assert residual_of(matrix, helped.value, B) <= 1e-11
    blocks = np.stack([matrix[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] for k in range(N // 2)])
    apply = block_jacobi(blocks)
    by_blocks = solve(preconditioner=lambda r: apply(r.reshape(-1, 2)).reshape(-1))
    assert bool(by_blocks.converged)
    assert int(by_blocks.iterations) < 0.7 * int(plain.iterations)


def test_block_cg_shares_its_space():
    # Ten tiny eigenvalues among clustered ones: each system alone has to find all of them.
    values = np.concatenate([np.geomspace(1e-4, 1e-3, 10), np.ones(N - 10)])
    matrix = (Q * values) @ Q.T
    rows = RNG.standard_normal((8, N))
    together = jax.jit(lambda b: solve_block_cg(lambda v: matrix @ v, b))(rows)
    assert np.asarray(together.converged).all()
    expected = np.linalg.solve(matrix, rows.T).T
    # A residual of 1e-11, times the condition number.
    assert np.abs(together.value - expected).max() <= 1e-7 * np.abs(expected).max()
    alone = solve_cg(lambda v: matrix @ v, jnp.asarray(rows[0]))
    assert int(together.iterations) < 0.5 * int(alone.iterations)


def test_block_cg_stands_dependent_and_zero_right_hand_sides():
    matrix = matrix_for("definite")
    rows = np.stack([B, 2 * B, np.zeros(N), RNG.standard_normal(N)])
    found = solve_block_cg(lambda v: matrix @ v, jnp.asarray(rows))
    assert np.asarray(found.converged).all()
    np.testing.assert_allclose(found.value, np.linalg.solve(matrix, rows.T).T, atol=1e-10)
    null = Q[:, :1].T
    singular = (Q * np.concatenate([[0.0], np.geomspace(1, 50, N - 1)])) @ Q.T
    found = solve_block_cg(lambda v: singular @ v, jnp.asarray(rows), null_space=null)
    assert np.asarray(found.converged).all()
    expected = (np.linalg.pinv(singular, rcond=1e-10) @ rows.T).T
    np.testing.assert_allclose(found.value, expected, atol=1e-10)
    broken = solve_block_cg(lambda v: matrix @ v, jnp.asarray(rows), maxiter=2)
    assert not np.asarray(broken.converged).all()


def test_minres_takes_what_cg_refuses():
    matrix = matrix_for("symmetric")
    assert not bool(solve_cg(lambda v: matrix @ v, jnp.asarray(B)).converged)
    assert bool(solve_minres(lambda v: matrix @ v, jnp.asarray(B)).converged)
    # Conjugate gradients stand the wrong sign of the whole matrix: a force in place of a gradient.
    negative = -matrix_for("definite")
    found = solve_cg(lambda v: negative @ v, jnp.asarray(B))
    assert bool(found.converged)
    assert residual_of(negative, found.value, B) <= 1e-11


def test_gmres_that_stagnates_is_told():
    # A cyclic shift: no progress before the last vector of the basis.
    shift = np.roll(np.eye(N), 1, axis=0)
    stuck = solve_gmres(lambda v: shift @ v, jnp.eye(N)[0], restart=5)
    assert not bool(stuck.converged)
    assert bool(solve_gmres(lambda v: shift @ v, jnp.eye(N)[0]).converged)


# --- approximations ------------------------------------------------------------------------------


def test_k_terms_of_the_series_leave_the_kth_power():
    matrix = matrix_for("contraction")
    k = np.eye(N) - matrix
    for steps in (1, 2, 5):
        found = k_step(steps)(lambda v: matrix @ v, jnp.asarray(B))
        expected = np.linalg.norm(np.linalg.matrix_power(k, steps) @ B) / np.linalg.norm(B)
        assert float(found.residual) == pytest.approx(expected, rel=1e-10)
        assert int(found.iterations) == steps
        assert bool(found.converged)
    np.testing.assert_array_equal(one_step(lambda v: matrix @ v, jnp.asarray(B)).value, B)


def test_a_series_that_diverges_is_told():
    matrix = np.eye(N) - 1.5 * Q @ P
    assert not bool(solve_neumann(lambda v: matrix @ v, jnp.asarray(B)).converged)
    assert not bool(one_step(lambda v: matrix @ v, jnp.asarray(B)).converged)
    with pytest.raises(ValueError, match="at least one term"):
        k_step(0)


# --- solvers of others ---------------------------------------------------------------------------


def test_lineax_through_the_adapter():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lineax = pytest.importorskip("lineax")
    for solver, needs in [
        (lineax.LU(), "any"),
        (lineax.GMRES(rtol=1e-11, atol=1e-11), "any"),
        (lineax.SVD(), "any"),
        (lineax.CG(rtol=1e-11, atol=1e-11), "definite"),
    ]:
        matrix = matrix_for(needs)
        solve = from_lineax(solver, symmetric=needs != "any", definite=needs == "definite")
        for scale in (1.0, 1e-12):
            found = jax.jit(lambda b, m=matrix, s=solve: s(lambda v: m @ v, b))(scale * B)
            assert bool(found.converged)
            assert residual_of(matrix, found.value, scale * B) <= 1e-8
    tired = from_lineax(lineax.CG(rtol=1e-11, atol=1e-11, max_steps=2), definite=True)
    matrix = matrix_for("definite")
    assert not bool(tired(lambda v: matrix @ v, jnp.asarray(B)).converged)


# --- the choice ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "structure", "name"),
    [
        (DENSE_LIMIT, Declared(True, True), "solve_cholesky"),
        (DENSE_LIMIT, Declared(True), "solve_symmetric"),
        (DENSE_LIMIT, Declared(), "solve_lu"),
        (DENSE_LIMIT + 1, Declared(True, True), "solve_cg"),
        (DENSE_LIMIT + 1, Declared(True), "solve_minres"),
        (DENSE_LIMIT + 1, Declared(), "solve_gmres"),
    ],
)
def test_size_and_structure_choose(size, structure, name):
    assert solver_for(size, structure).__name__ == name


def test_declarations_are_found_through_wrappers():
    @functools.wraps(declare(lambda x: x, symmetric=True))
    def wrapped(x):
        return x

    assert declared(wrapped).symmetric
    assert declared(functools.partial(declare(lambda a, x: x, symmetric=True), 1)).symmetric
    assert declared(lambda x: x) == Declared()
    with pytest.raises(ValueError, match="symmetric=True as well"):
        declare(lambda x: x, definite=True)


def test_least_squares_never_claims_more_than_it_found():
    found = solve_lstsq(lambda v: jnp.zeros((N, N)) @ v, jnp.asarray(B))
    np.testing.assert_array_equal(found.value, 0.0)
    assert float(found.residual) == 1.0


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", [*ITERATIVE, "solve_block_cg"])
def test_a_system_without_solution_is_not_solved(name, seed):
    """The iterates of some methods grow along the null vector, and rounding with them."""
    rng = np.random.default_rng(seed)
    symmetric = SOLVERS.get(name, (None, "definite"))[1] != "any"
    half = rng.standard_normal((6, 5))
    matrix = half @ half.T if symmetric else np.hstack([half[:, :1], half])
    b = rng.standard_normal(6)
    if name == "solve_block_cg":
        found = solve_block_cg(lambda v: matrix @ v, jnp.asarray(b[None]))
    else:
        found = compiled(name)(matrix, b)
    assert not np.any(found.converged)
    assert np.all(np.asarray(found.residual) > 1e-3)


def test_what_grows_along_a_null_vector_is_no_solution():
    found = solve_minres(lambda v: jnp.array([0.0, 1.0, 2.0]) * v, jnp.ones(3))
    assert not found.converged
