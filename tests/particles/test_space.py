"""Lengths of vectors by the bits of their squares."""

import jax
import numpy as np
import pytest

from simsens.particles import space


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_longest_is_the_longest(dtype):
    vectors = np.random.default_rng(0).normal(size=(50, 3)).astype(dtype)
    found = jax.jit(space.longest)(vectors)
    assert found.dtype == dtype
    longest = np.linalg.norm(vectors, axis=1).max()
    np.testing.assert_allclose(found, longest, rtol=4 * np.finfo(dtype).eps)
    assert space.longest(np.zeros((3, 2), dtype)) == 0
    assert space.longest(np.zeros((0, 2), dtype)) == 0
    assert space.longest(np.array([[np.finfo(dtype).tiny, 0]], dtype) * 0) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("place", [0, 7, 49])
def test_what_is_no_number_is_not_overlooked(dtype, place):
    vectors = np.ones((50, 2), dtype)
    for lost in (np.nan, -np.nan, np.copysign(np.nan, -1)):
        vectors[place, 1] = lost
        assert np.isnan(jax.jit(space.longest)(vectors))
    vectors[place, 1] = -np.inf
    assert np.isinf(jax.jit(space.longest)(vectors))
    vectors[place - 1, 0] = np.nan
    assert np.isnan(jax.jit(space.longest)(vectors))
