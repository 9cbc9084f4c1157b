"""Groups: optimality conditions, loops over groups, and what happens at zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.prox import prox_group_lasso, prox_lasso, prox_sparse_group_lasso
from tests import finite_difference

EPS = np.finfo(float).eps
X = np.random.default_rng(0).normal(size=8)
jit_slope = jax.jit(jax.jacrev(prox_group_lasso))
LABELS = np.array([0, 2, 1, 0, 2, 2, 1, 4])  # nothing has the label 3


def test_labels_are_a_loop_over_groups():
    weights = np.array([0.3, 5.0, 0.7, 1.0, 0.1])
    y = prox_group_lasso(X, weights, 0.9, groups=LABELS)
    for g, weight in enumerate(weights):
        if g != 3:
            alone = prox_group_lasso(X[g == LABELS], weight, 0.9)
            np.testing.assert_allclose(y[g == LABELS], alone, rtol=0, atol=4 * EPS)
    assert np.all(y[LABELS == 1] == 0)


def test_labels_of_a_matrix_and_vmap():
    x = X.reshape(2, 4)
    y = prox_group_lasso(x, 0.5, groups=LABELS.reshape(2, 4))
    np.testing.assert_array_equal(y.reshape(-1), prox_group_lasso(X, 0.5, groups=LABELS))
    rows = jax.vmap(lambda row: prox_group_lasso(row, 0.5))(x)  # JAXopt's way for equal groups
    same = prox_group_lasso(x, 0.5, groups=np.array([[0] * 4, [1] * 4]))
    np.testing.assert_allclose(rows, same, rtol=0, atol=4 * EPS)


def test_a_tree_is_one_group():
    tree = {"a": X[:3], "b": X[3:].reshape(5, 1)}
    y = prox_group_lasso(tree, 1.0)
    whole = prox_group_lasso(X, 1.0)
    np.testing.assert_allclose(y["a"], whole[:3], rtol=0, atol=4 * EPS)
    np.testing.assert_allclose(y["b"][:, 0], whole[3:], rtol=0, atol=4 * EPS)


@pytest.mark.parametrize(("l1", "l2"), [(0.3, 0.2), (0.1, 0.9), (0.7, 0.0), (0.0, 0.5), (2.0, 1.0)])
def test_sparse_groups_meet_their_optimality_condition(l1, l2):
    """x - y is in s (l1 sign(y) + l2 y / |y|), with intervals and balls where y is zero."""
    s = 0.8
    y = np.asarray(prox_sparse_group_lasso(X, (l1, l2), s, groups=LABELS))
    for g in np.unique(LABELS):
        inside, x = y[g == LABELS], X[g == LABELS]
        rest = (x - inside) / s
        if np.all(inside == 0):
            # The ball must reach what the interval leaves: |soft(rest, l1)| <= l2.
            assert np.linalg.norm(np.maximum(np.abs(rest) - l1, 0)) <= l2 + 10 * EPS
            continue
        on = inside != 0
        pull = l1 * np.sign(inside[on]) + l2 * inside[on] / np.linalg.norm(inside)
        np.testing.assert_allclose(rest[on], pull, rtol=0, atol=20 * EPS)
        assert np.all(np.abs(rest[~on]) <= l1 + 10 * EPS)


def test_sparse_group_without_one_part_is_the_other():
    np.testing.assert_array_equal(prox_sparse_group_lasso(X, (0.0, 0.7)), prox_group_lasso(X, 0.7))
    np.testing.assert_array_equal(prox_sparse_group_lasso(X, (0.7, 0.0)), prox_lasso(X, 0.7))


def test_weights_of_coordinates():
    weights = np.abs(X) + 0.1
    assert np.all(prox_sparse_group_lasso(X, (weights, 0.1)) == 0)
    value = jax.jit(lambda w: prox_sparse_group_lasso(X, (w, 0.3), groups=LABELS))
    at = np.full(8, 0.05)
    expected = finite_difference.gradient(value, at)
    # finite_difference.py: 3e-13 times derivatives below 1e3.
    np.testing.assert_allclose(jax.jacfwd(value)(at), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e200, 1e300])
def test_squares_neither_vanish_nor_overflow(scale):
    y = prox_group_lasso(scale * np.array([3.0, 4.0]), 2.5 * scale)
    np.testing.assert_allclose(np.asarray(y) / scale, [1.5, 2.0], rtol=4 * EPS)
    jacobian = jit_slope(scale * jnp.array([3.0, 4.0]), 2.5 * scale)
    same = jit_slope(jnp.array([3.0, 4.0]), 2.5)
    np.testing.assert_allclose(jacobian, same, rtol=0, atol=10 * EPS)


@pytest.mark.parametrize(
    ("groups", "pattern"),
    [
        (LABELS.astype(float), "integers in groups; found float64"),
        (LABELS - 1, "groups >= 0; found -1"),
        (LABELS[:5], r"groups of the shape \(8,\) of x"),
        (LABELS.reshape(2, 4), r"groups of the shape \(8,\) of x"),
        (LABELS > 1, "integers in groups; found bool"),
    ],
)
@pytest.mark.parametrize("prox", [prox_group_lasso, prox_sparse_group_lasso])
def test_labels_are_checked(prox, groups, pattern):
    with pytest.raises(ValueError, match=pattern):
        prox(X, groups=groups)


def test_traced_labels_and_trees_with_labels_are_refused():
    with pytest.raises(ValueError, match="groups known when compiled; found a traced array"):
        jax.jit(lambda g: prox_group_lasso(X, groups=g))(LABELS)
    with pytest.raises(ValueError, match="x as one array when groups are given; found a tree"):
        prox_group_lasso([X], groups=LABELS)
