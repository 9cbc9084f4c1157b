"""Projections as proximity operators."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.projection.orthant_and_box import projection_box, projection_non_negative
from simsens.prox import make_prox_from_projection, prox_non_negative_lasso


def test_is_the_projection_whatever_the_scaling():
    prox = make_prox_from_projection(projection_box)
    x = jnp.array([-1.0, 0.5, 3.0])
    for scaling in (1.0, 0.1, 7.0):
        assert prox(x, (0.0, 2.0), scaling).tolist() == [0.0, 0.5, 2.0]
    assert prox(x, hyperparams=(0.0, 2.0), scaling=0.5).tolist() == [0.0, 0.5, 2.0]


def test_hyperparams_may_be_left_out():
    prox = make_prox_from_projection(projection_non_negative)
    x = jnp.array([-1.0, 2.0])
    np.testing.assert_array_equal(prox(x), prox_non_negative_lasso(x, 0.0))


def test_derivative_passes():
    prox = make_prox_from_projection(projection_box)
    slope = jax.grad(lambda high: jnp.sum(prox(jnp.array([1.0, 3.0]), (0.0, high))))
    assert float(slope(2.0)) == 1.0


@pytest.mark.parametrize("no_function", [None, "simplex", 3.0])
def test_what_is_no_function_is_refused(no_function):
    with pytest.raises(TypeError, match="needs a function, found"):
        make_prox_from_projection(no_function)


def test_the_projections_own_refusals_pass():
    with pytest.raises(ValueError, match="projection_box"):
        make_prox_from_projection(projection_box)(jnp.ones(2), (2.0, 1.0))
