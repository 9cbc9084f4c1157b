"""Cholesky factors by CHOLMOD, and what happens without them."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.sparse import csc_array, diags_array

from simsens.implicit import cholesky
from simsens.implicit.sparse_factor import SparseFactor

N = 60
CHAIN = csc_array(
    diags_array([-np.ones(N - 1), np.full(N, 2.5), -np.ones(N - 1)], offsets=[-1, 0, 1])
)
INDEFINITE = csc_array(CHAIN - 3 * diags_array(np.ones(N)))
NO_NULL, ALL = np.zeros((1, N)), np.ones(N, bool)


@pytest.fixture
def without_package(monkeypatch):
    monkeypatch.setattr(cholesky.importlib.util, "find_spec", lambda name: None)


def test_solves_many():
    rhs = np.random.default_rng(0).normal(size=(N, 70))
    solve = cholesky.factorise(CHAIN)
    for given in (rhs, np.asfortranarray(rhs), rhs[:, ::3]):
        kept = given.copy()
        np.testing.assert_allclose(CHAIN @ solve(given), kept, rtol=0, atol=1e-13)
        np.testing.assert_array_equal(given, kept)


def test_indefinite_is_told_in_silence(capfd):
    assert cholesky.factorise(INDEFINITE) is None
    assert cholesky.factorise(csc_array(np.ones((2, 2)))) is None
    assert capfd.readouterr() == ("", "")


def test_single_precision_is_left_to_superlu():
    single = csc_array(CHAIN.astype(np.float32))
    assert cholesky.factorise(single) is None
    assert not cholesky.installed(single)


@pytest.mark.usefixtures("without_package")
def test_without_the_package_there_is_none():
    assert cholesky.factorise(CHAIN) is None


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_both_factors_tell_the_same(shift, monkeypatch):
    rhs = np.random.default_rng(1).normal(size=(3, N))
    matrices = {"definite": CHAIN, "indefinite": INDEFINITE}
    fast = {k: SparseFactor(m, NO_NULL, ALL, shift) for k, m in matrices.items()}
    monkeypatch.setattr(cholesky.importlib.util, "find_spec", lambda name: None)
    slow = {k: SparseFactor(m, NO_NULL, ALL, shift) for k, m in matrices.items()}
    for kind, matrix in matrices.items():
        exact = np.linalg.solve(matrix.toarray() + shift * np.eye(N), rhs.T).T
        values = np.linalg.eigvalsh(matrix.toarray()) + shift
        for factor in (fast[kind], slow[kind]):
            np.testing.assert_allclose(factor.solve(rhs).value, exact, rtol=1e-10, atol=1e-12)
            assert factor.definite == (kind == "definite")
            assert factor.negative == (values < 0).sum()
            near, sure = factor.near_zero()
            assert sure
            np.testing.assert_allclose(
                near, np.sort(values[np.argsort(np.abs(values))[: len(near)]]), rtol=1e-6
            )


def test_threads_do_not_disturb_each_other():
    rhs = np.random.default_rng(2).normal(size=(N, 1))
    matrices = [csc_array(CHAIN * scale) for scale in np.linspace(1, 2, 40)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda matrix: cholesky.factorise(matrix)(rhs), matrices))
    for matrix, x in zip(matrices, found):
        np.testing.assert_allclose(matrix @ x, rhs, rtol=0, atol=1e-13)
