"""The experiment behind figures 3, 9, 13, 14 and 15: the regularisation of a multiclass SVM.

    min over lambda of  1/2 |X_val W - Y_val|^2,    W = X^T (Y - x*) / theta,  theta = exp(lambda),
    x*(theta) = argmin over simplices of  theta / 2 |W(x, theta)|^2 + <x, Y>

Data: `make_classification` of scikit-learn, 700 samples to train on and 200 to validate, 5 classes,
one feature in ten informative; every sample is scaled to length one, which makes a mirror descent
step of 1 a sensible one. The paper does not say how its data were scaled.

The solvers see X through K = X X^T. It is formed once; where p > m, so is a factor of it with no
more columns than rows.

Blondel et al., Efficient and modular implicit differentiation, arXiv 2105.15183, section 4.1.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from simsens.learning.svm import multiclass_kernel_svm, multiclass_svm
from simsens.solvers import inverse_power

try:
    from sklearn.datasets import make_classification
    from sklearn.preprocessing import normalize
except ModuleNotFoundError:
    raise SystemExit("the data come with scikit-learn: pip install scikit-learn") from None

SIZES = (100, 250, 500, 750, 1000, 2000, 3000, 4000, 5000, 7500, 10000)  # the paper's
START = 1.0  # lambda

# Iterations (epochs, for block coordinate descent) and steps of the paper.
SETTINGS: dict[str, dict[str, Any]] = {
    "mirror_descent": {"step": inverse_power(1.0, after=100), "maxiter": 2500},
    "projected_gradient": {"step": 5e-4, "maxiter": 2500},
    "block_coordinate_descent": {"step": 1.0, "maxiter": 500},
}


class Data(NamedTuple):
    """A split: samples and one-hot classes, and the products that the solvers take."""

    X: Any
    Y: Any
    X_val: Any
    Y_val: Any
    K: Any
    K_val: Any
    factor: Any


def classification(features: int, train: int = 700, validate: int = 200, seed: int = 0) -> Data:
    """The data of one size."""
    X, label = make_classification(
        n_samples=train + validate, n_features=features, n_informative=features // 10,
        n_classes=5, random_state=seed,
    )  # fmt: skip
    X, Y = normalize(X), np.eye(5)[label]
    X, X_val, Y, Y_val = map(jnp.asarray, (X[:train], X[train:], Y[:train], Y[train:]))
    factor = X if features <= train else jnp.linalg.qr(X.T, mode="r").T
    return Data(X, Y, X_val, Y_val, X @ X.T, X_val @ X.T, factor)


class Inputs(NamedTuple):
    """What one outer iteration takes: K, or samples that have it; and the validation."""

    train: Any
    Y: Any
    K_val: Any
    Y_val: Any


def inputs(data: Data, solver: str) -> Inputs:
    """The cheapest form of the data for a solver."""
    m, q = data.factor.shape
    few = solver == "block_coordinate_descent" or 2 * q < m
    return Inputs(data.factor if few else data.K, data.Y, data.K_val, data.Y_val)


def fit(given: Inputs, theta, solver, **options):
    """The dual solution."""
    square = given.train.shape[0] == given.train.shape[1]
    if square and solver != "block_coordinate_descent":
        return multiclass_kernel_svm(given.train, given.Y, theta, solver=solver, **options)
    return multiclass_svm(given.train, given.Y, theta, solver=solver, **options)


def outer_step(solver, **options):
    """``(lambda, inputs) -> ((loss, inner solution), gradient)``: one outer iteration, compiled."""

    def loss(lam, given):
        theta = jnp.exp(lam)
        solution = fit(given, theta, solver, **options)
        scores = given.K_val @ (given.Y - solution.value) / theta
        return jnp.sum((scores - given.Y_val) ** 2) / 2, solution

    return jax.jit(jax.value_and_grad(loss, has_aux=True))
