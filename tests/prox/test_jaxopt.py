"""The same names, arguments and values as JAXopt's; and where JAXopt's derivatives fail."""

import inspect
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import simsens.prox

EPS = np.finfo(float).eps
X = np.array([2.3, -1.1, 0.2, -3.0, 0.9])
W = np.array([1.0, 0.5, 2.0, 0.1, 0.7])
NAMES = [
    "prox_none",
    "prox_lasso",
    "prox_non_negative_lasso",
    "prox_elastic_net",
    "prox_group_lasso",
    "prox_ridge",
    "prox_non_negative_ridge",
    "make_prox_from_projection",
]
CALLS = [
    ("prox_none", None),
    ("prox_lasso", 0.7),
    ("prox_lasso", W),
    ("prox_non_negative_lasso", 0.7),
    ("prox_non_negative_lasso", W),
    ("prox_elastic_net", (0.7, 1.3)),
    ("prox_elastic_net", (W, 2.0)),
    ("prox_elastic_net", jnp.array([0.7, 1.3])),
    ("prox_group_lasso", 0.7),
    ("prox_ridge", 0.7),
    ("prox_ridge", W),
    ("prox_non_negative_ridge", 0.7),
]


@pytest.fixture(scope="module")
def theirs():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("jaxopt").prox


@pytest.mark.parametrize("name", NAMES)
def test_signature(theirs, name):
    """Ours may have more arguments behind theirs."""

    def arguments(module):
        parameters = inspect.signature(getattr(module, name)).parameters.values()
        return [(p.name, p.default) for p in parameters]

    old, new = arguments(theirs), arguments(simsens.prox)
    assert new[: len(old)] == old


@pytest.mark.parametrize(("name", "hyperparams"), CALLS)
def test_value_and_derivatives(theirs, name, hyperparams):
    old, new = getattr(theirs, name), getattr(simsens.prox, name)
    arguments = (X, hyperparams, 0.8)
    np.testing.assert_allclose(new(*arguments), old(*arguments), rtol=0, atol=8 * EPS)
    np.testing.assert_allclose(new(X), old(X), rtol=0, atol=8 * EPS)
    if hyperparams is None:
        return
    places = (0, 1, 2)
    slopes = (jax.jit(jax.jacrev(f, argnums=places))(*arguments) for f in (new, old))
    for mine, other in zip(*map(jax.tree.leaves, slopes)):
        np.testing.assert_allclose(mine, other, rtol=0, atol=20 * EPS)


@pytest.mark.parametrize("name", NAMES[:-1])
def test_trees(theirs, name):
    tree = {"a": X, "b": [X[:2].reshape(2, 1), X[0]]}
    hyperparams = (0.7, 1.3) if "net" in name else 0.7
    mine = getattr(simsens.prox, name)(tree, hyperparams, 0.8)
    other = getattr(theirs, name)(tree, hyperparams, 0.8)
    assert jax.tree.structure(mine) == jax.tree.structure(other)
    for a, b in zip(*map(jax.tree.leaves, (mine, other))):
        np.testing.assert_allclose(a, b, rtol=0, atol=8 * EPS)


def test_complex_lasso(theirs):
    x = X + 1j * X[::-1]
    for name in ("prox_lasso", "prox_group_lasso", "prox_ridge"):
        mine, other = getattr(simsens.prox, name)(x, 0.7), getattr(theirs, name)(x, 0.7)
        np.testing.assert_allclose(mine, other, rtol=0, atol=8 * EPS)


# --- where they fail -----------------------------------------------------------------------------


def test_group_lasso_at_zero(theirs):
    at = jnp.zeros(3)
    assert np.isnan(jax.jacrev(theirs.prox_group_lasso)(at, 1.0)).all()
    np.testing.assert_array_equal(
        jax.jacrev(simsens.prox.prox_group_lasso)(at, 1.0), np.zeros((3, 3))
    )


def test_group_lasso_of_small_numbers(theirs):
    """Their norm squares 1e-200 to zero, and everything with it."""
    x = 1e-200 * jnp.array([3.0, 4.0])
    assert np.all(theirs.prox_group_lasso(x, 2.5e-200) == 0)
    np.testing.assert_allclose(
        simsens.prox.prox_group_lasso(x, 2.5e-200) * 1e200, [1.5, 2.0], rtol=4 * EPS
    )


def test_lasso_without_a_penalty_at_zero(theirs):
    """The operator is the identity there, so its derivative is one."""
    assert float(jax.grad(theirs.prox_lasso)(0.0, 0.0)) == 0.0
    assert float(jax.grad(simsens.prox.prox_lasso)(0.0, 0.0)) == 1.0


def test_negative_weights(theirs):
    """Theirs go through and move x away from zero."""
    assert float(theirs.prox_lasso(1.0, -1.0)) == 2.0
    with pytest.raises(ValueError, match="l1reg >= 0"):
        simsens.prox.prox_lasso(1.0, -1.0)


def test_elastic_net_of_a_tree_with_a_zero_dimensional_weight(theirs):
    """Only Python floats are spread over a tree by theirs."""
    tree = {"a": jnp.array([3.0])}
    with pytest.raises((ValueError, TypeError)):
        theirs.prox_elastic_net(tree, (jnp.array(1.0), 1.0))
    assert simsens.prox.prox_elastic_net(tree, (jnp.array(1.0), 1.0))["a"].tolist() == [1.0]


@pytest.mark.parametrize("name", ["prox_ridge", "prox_non_negative_ridge"])
def test_ridge_is_that_of_half_the_square(theirs, name):
    """Their text says l2reg |y|^2; their value, which is kept, minimises with l2reg |y|^2 / 2."""
    y = float(getattr(theirs, name)(3.0, 1.0))
    assert y == float(getattr(simsens.prox, name)(3.0, 1.0)) == 1.5
    slope_with_half, slope_without = (y - 3.0) + y, (y - 3.0) + 2 * y
    assert slope_with_half == 0
    assert slope_without != 0
    assert "tfrac{\\lambda}{2}" in simsens.prox.prox_ridge.__doc__
