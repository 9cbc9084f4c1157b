"""Cholesky factors by CHOLMOD, and what happens without them."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csc_array, diags_array

from simsens.implicit import cholesky
from simsens.implicit.sparse_factor import SparseFactor

N = 60
CHAIN = csc_array(
    diags_array([-np.ones(N - 1), np.full(N, 2.5), -np.ones(N - 1)], offsets=[-1, 0, 1])
)
NO_NULL, ALL = np.zeros((1, N)), np.ones(N, bool)


@pytest.fixture
def without_package(monkeypatch):
    monkeypatch.setattr(cholesky.importlib.util, "find_spec", lambda name: None)


def test_solves_many():
    rhs = np.random.default_rng(0).normal(size=(N, 70))
    solve = cholesky.factorise(CHAIN)
    np.testing.assert_allclose(CHAIN @ solve(rhs), rhs, rtol=0, atol=1e-13)
    np.testing.assert_allclose(CHAIN @ solve(np.asfortranarray(rhs)), rhs, rtol=0, atol=1e-13)


def test_indefinite_is_told_in_silence(capfd):
    assert cholesky.factorise(csc_array(CHAIN - 3 * diags_array(np.ones(N)))) is None
    assert capfd.readouterr() == ("", "")
    sys.stdout.write("heard again")
    assert capfd.readouterr().out == "heard again"


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
    matrices = {"definite": CHAIN, "indefinite": csc_array(CHAIN - 3 * diags_array(np.ones(N)))}
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


INDEFINITE = csc_array(CHAIN - 3 * diags_array(np.ones(N)))


def test_what_others_write_meanwhile_is_written(capfd, monkeypatch):
    from cholespy import CholeskySolverD

    def loud(*arguments):
        os.write(1, b"another thread\n")
        return CholeskySolverD(*arguments)

    monkeypatch.setattr("cholespy.CholeskySolverD", loud)
    assert cholesky.factorise(INDEFINITE) is None
    assert capfd.readouterr().out == "another thread\n"


def test_threads_leave_the_output_where_it_was(capfd):
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(cholesky.factorise, [CHAIN, INDEFINITE] * 20))
    os.write(1, b"still heard\n")
    assert capfd.readouterr().out == "still heard\n"


def test_without_an_output_there_is_nothing_to_turn_aside():
    code = (
        "import os; os.close(1); from tests.implicit.test_cholesky import CHAIN, INDEFINITE\n"
        "from simsens.implicit import cholesky\n"
        "assert cholesky.factorise(CHAIN) and cholesky.factorise(INDEFINITE) is None"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
