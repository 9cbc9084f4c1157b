"""Cutting peaks: Moreau's identity with the projection on the l1 ball."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.projection.balls import projection_l1_ball
from simsens.prox import prox_linf_norm

EPS = np.finfo(float).eps
X = 2 * np.random.default_rng(0).normal(size=12)


jacobian = jax.jit(jax.jacrev(prox_linf_norm))
of_projection = jax.jit(jax.jacrev(projection_l1_ball))


@pytest.mark.parametrize("weight", [0.01, 0.7, 3.0, 10.0, 1000.0])
def test_moreau(weight):
    y = prox_linf_norm(X, weight, 0.5)
    rest = projection_l1_ball(X, 0.5 * weight)
    np.testing.assert_allclose(y + rest, X, rtol=0, atol=20 * EPS)
    slopes, others = jacobian(X, weight, 0.5), of_projection(X, 0.5 * weight)
    np.testing.assert_allclose(slopes + others, np.eye(12), rtol=0, atol=20 * EPS)


def test_peaks_are_level():
    """Exactly: which the difference of Moreau's identity would not promise."""
    y = np.abs(np.asarray(prox_linf_norm(X, 3.0)))
    top = y == y.max()
    assert top.sum() >= 3
    np.testing.assert_array_equal(y[~top], np.abs(X)[~top])


def test_shape_is_kept():
    y = prox_linf_norm(X.reshape(3, 4), 3.0)
    np.testing.assert_array_equal(y.reshape(-1), prox_linf_norm(X, 3.0))
    assert prox_linf_norm(jnp.array(-3.0), 1.0).tolist() == -2.0


def test_all_is_cut_when_the_weight_exceeds_the_sum():
    total = np.abs(X).sum()
    assert np.all(prox_linf_norm(X, total) == 0) or np.max(prox_linf_norm(X, total)) <= 10 * EPS
    assert np.all(prox_linf_norm(X, 1.01 * total) == 0)
    assert not np.all(prox_linf_norm(X, 0.99 * total) == 0)


@pytest.mark.parametrize("weight", [np.ones(12), [1.0], (1.0, 2.0)])
def test_the_weight_is_one_number(weight):
    with pytest.raises(ValueError, match=r"hyperparams of shape \(\)"):
        prox_linf_norm(X, weight)
