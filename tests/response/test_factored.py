"""The sparse factor in the derivative of ``relaxed``, beside the dense one of small systems."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.implicit import cholesky
from simsens.particles.observables import pressure
from simsens.particles.packing import packing
from simsens.response import hessian
from simsens.response import relaxed as module
from simsens.response.factored import _solve
from simsens.response.relaxation import relax
from simsens.response.relaxed import relaxed

SYSTEM = relax(packing(number=40, seed=3), fmax=1e-12).system


def observed(theta, system=SYSTEM):
    """Two numbers that depend on positions and on parameters."""
    names = {"diameter[A]": theta[0], "diameter[B]": theta[1], "epsilon": theta[2]}
    there = relaxed(system.replace_parameters(names))
    spread = jnp.sum(jnp.sin(there.structure.position) ** 2)
    return jnp.stack([pressure(there), spread])


THETA = jnp.array([1.0, 0.6, 1.3])


@pytest.fixture
def sparse(monkeypatch):
    """A derivative as large systems have it."""
    jax.clear_caches()
    monkeypatch.setattr(module, "method_for", lambda system: "sparse")
    yield
    jax.clear_caches()


@pytest.fixture
def superlu(monkeypatch):
    monkeypatch.setattr(cholesky.importlib.util, "find_spec", lambda name: None)


def derivatives():
    return {
        "forward": jax.jacfwd(observed)(THETA),
        "reverse": jax.jacrev(observed)(THETA),
        "jit": jax.jit(jax.jacrev(observed))(THETA),
        "second": jax.jacfwd(jax.jacrev(observed))(THETA),
        "batch": jax.vmap(jax.jacrev(observed))(THETA * jnp.array([[1.0], [1.0001]])),
        "both": jax.vmap(jax.jacfwd(observed))(THETA * jnp.array([[1.0], [1.0001]])),
    }


DENSE = derivatives()


def compare(found):
    for name, dense in DENSE.items():
        scale = np.abs(dense).max()
        # Positions that are known to 1e-13 are differentiated up to twice.
        np.testing.assert_allclose(found[name], dense, rtol=0, atol=1e-8 * scale, err_msg=name)


@pytest.mark.usefixtures("sparse")
def test_all_transformations_agree_with_the_dense_solve():
    compare(derivatives())


@pytest.mark.usefixtures("sparse", "superlu")
def test_and_without_cholesky():
    compare(derivatives())


def springs(stiffness):
    """A ring of masses on a line, their blocks and list."""
    n = len(stiffness)
    blocks = np.stack([stiffness, np.roll(stiffness, 1)], axis=1)[:, :, None, None]
    index = np.stack([np.roll(np.arange(n), -1), np.roll(np.arange(n), 1)], axis=1)
    return blocks, index, np.ones((n, 2), bool), np.ones(n, bool), np.full((1, n), n**-0.5), 4.0


def test_a_floppy_mode_that_is_not_met_does_no_harm():
    stiffness = np.array([1.0, 2.0, 0.0, 3.0, 0.0])  # two pieces that slide freely
    rhs = np.array([[1.0, 0.5, -1.5, 1.0, -1.0]])
    found = _solve(rhs, *springs(stiffness))
    assert found.converged.all()
    matrix = np.diag(stiffness + np.roll(stiffness, 1))
    for k, s in enumerate(stiffness):
        matrix[k, (k + 1) % 5] -= s
        matrix[(k + 1) % 5, k] -= s
    exact = np.linalg.pinv(matrix) @ rhs[0]
    # Along the floppy mode rounding is amplified by the inverse of the lift, 1e7.
    np.testing.assert_allclose(found.value[0], exact, rtol=0, atol=1e7 * 2e-16 * 5)


def test_one_that_is_met_is_told():
    found = _solve(np.array([[1.0, 1.0, 1.0, -1.5, -1.5]]), *springs(np.array([1, 2.0, 0, 3, 0])))
    assert not found.converged.any()


def test_nan_is_handed_on():
    found = _solve(np.full((1, 5), np.nan), *springs(np.ones(5)))
    assert not found.converged.any()
    assert np.isnan(found.value).all()


def test_pairs_without_stiffness_are_no_entries():
    # A list of all pairs, as under jit, must not make the factor a dense one.
    n = 30
    everyone = np.array([[j for j in range(n) if j != i] for i in range(n)])
    near = np.isin((everyone - np.arange(n)[:, None]) % n, (1, n - 1))
    blocks = np.where(near, 1.0, 0.0)[..., None, None]
    matrix = hessian.sparse(blocks, everyone, np.ones_like(near), np.ones(n, bool))
    assert matrix.nnz == 3 * n
    np.testing.assert_array_equal(matrix.toarray()[0, [0, 1, 2, n - 1]], [2, -1, 0, -1])
