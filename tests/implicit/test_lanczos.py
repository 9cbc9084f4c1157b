"""The lowest eigenvalues, against matrices whose spectrum is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.implicit import lanczos

START = np.random.default_rng(0).standard_normal(400)


def lowest(matrix, start=START, floor=1e-12, **options):
    product = functools.partial(jnp.matmul, jnp.asarray(matrix))
    advance = jax.jit(lambda state: lanczos.steps(product, state, 50))
    return lanczos.lowest(advance, start[: len(matrix)], floor, **options)


def with_spectrum(values, seed=1):
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values),) * 2))
    return (rotation * values) @ rotation.T


@pytest.mark.parametrize("bottom", [1e-3, 0.5, -2.0])
def test_the_lowest_is_found_and_sure(bottom):
    values = np.concatenate([[bottom], np.linspace(1.0, 1000.0, 399)])
    found, sure = lowest(with_spectrum(values))
    assert sure
    # The error of a Ritz value is at most its squared residual over the gap to the next.
    assert found[0] == pytest.approx(bottom, rel=1e-3)


def test_a_zero_is_told_to_rounding_and_once():
    values = np.concatenate([[0.0, 0.0], np.linspace(1.0, 100.0, 398)])
    found, sure = lowest(with_spectrum(values), floor=1e-9)
    assert sure
    assert abs(found[0]) < 1e-9
    assert (found[1:] > 0.5).all()


def test_copies_of_what_has_converged_are_not_counted():
    # Far more steps than unknowns: rounding brings every value up again and again.
    values = np.array([1.0, 2.0, 3.0, *np.linspace(10.0, 20.0, 37)])
    found, sure = lowest(with_spectrum(values), count=3)
    assert sure
    assert len(np.unique(np.round(found, 6))) == len(found)
    assert found[0] == pytest.approx(1.0, rel=1e-9)


def test_an_exhausted_space_ends_it():
    found, sure = lowest(np.diag([3.0, 3.0, 5.0]), np.array([1.0, 2.0, 1.0]))
    assert sure
    np.testing.assert_allclose(found, [3.0, 5.0], rtol=1e-12)


def test_what_does_not_converge_is_not_sure(monkeypatch):
    monkeypatch.setattr(lanczos, "MOST", 50)
    values = np.geomspace(1e-9, 1.0, 400)
    _, sure = lowest(with_spectrum(values), floor=1e-15)
    assert not sure


def test_not_a_number_is_not_sure():
    found, sure = lowest(np.full((3, 3), np.nan))
    assert not sure
    assert len(found) == 0
