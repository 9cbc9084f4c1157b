"""Codes against scikit-learn's, their derivatives, and the task that they are learnt for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import make_sparse_coded_signal
from sklearn.linear_model import ElasticNet

from simsens.learning.dictionary_learning import TaskModel, decision, sparse_codes, task_loss
from simsens.optimality import proximal_gradient
from simsens.prox import prox_lasso

RNG = np.random.default_rng(0)
K, P, N = 4, 7, 5
D = RNG.standard_normal((K, P))
D /= np.linalg.norm(D, axis=1)[:, None]
S = RNG.standard_normal((N, P)) + 2 * RNG.standard_normal((N, K)) @ D
LABELS = np.array([0, 1, 1, 0, 1])
L1, L2 = 0.6, 0.1


def reference(samples, dictionary, l1, l2):
    """By scikit-learn, whose objective is divided by the number of rows."""
    net = ElasticNet(
        alpha=(l1 + l2) / P, l1_ratio=l1 / (l1 + l2), fit_intercept=False, tol=1e-14,
        max_iter=100_000,
    )  # fmt: skip
    return np.array([net.fit(dictionary.T, sample).coef_ for sample in samples])


@pytest.mark.parametrize("l2", [0.1, 1.0])
def test_codes_are_those_of_scikit_learn(l2):
    found = sparse_codes(S, D, L1, l2, tol=1e-10)
    assert found.converged.all()
    assert found.value.shape == (N, K)
    expected = reference(S, D, L1, l2)
    assert 0 < (expected == 0).sum() < N * K
    np.testing.assert_allclose(found.value, expected, atol=1e-8)


@pytest.mark.parametrize("argument", range(4))
def test_derivatives_against_central_differences(argument):
    theta = [S, D, L1, L2]

    def loss(moving):
        given = [*theta[:argument], moving, *theta[argument + 1 :]]
        return jnp.sum(jnp.sin(sparse_codes(*given, tol=1e-12).value))

    point = np.asarray(theta[argument], float)
    direction = RNG.standard_normal(point.shape)
    step = 1e-5  # eps^(1/3): cancellation and the third derivative weigh alike
    ends = [float(loss(point + s * direction)) for s in (step, -step)]
    slope = np.vdot(jax.grad(loss)(jnp.asarray(point)), direction)
    noise = 2 * 1e-12 / step  # of codes that are good to their tolerance
    assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-7, abs=noise)
    forward = jax.jvp(loss, (jnp.asarray(point),), (jnp.asarray(direction),))[1]
    assert forward == pytest.approx(slope, rel=1e-10)


def huber(residual, delta=0.5):
    size = abs(residual)
    return jnp.sum(jnp.where(size < delta, size**2 / 2, delta * (size - delta / 2)))


def power(residual):
    return jnp.sum(jnp.maximum(abs(residual), 1e-300) ** 2.1)


@pytest.mark.parametrize("loss", [huber, power])
def test_other_losses(loss):
    found = sparse_codes(S, D, L1, L2, loss=loss, tol=1e-9)
    assert found.converged.all()
    T = proximal_gradient(
        lambda x, s: loss(s - x @ D) + L2 / 2 * x @ x, prox_lasso, step=0.1
    )  # fmt: skip
    for code, sample in zip(found.value, S):
        np.testing.assert_allclose(T(code, L1, sample), code, atol=1e-9)


def test_a_code_that_did_not_converge_spoils_its_own_derivative_only():
    start = sparse_codes(S, D, L1, L2, tol=1e-12).value.at[2].set(5.0)

    def codes(dictionary):
        return sparse_codes(S, dictionary, L1, L2, init=start, maxiter=3, tol=1e-9)

    verdict = codes(D).converged
    assert verdict.tolist() == [True, True, False, True, True]
    slope = jax.jacfwd(lambda d: codes(d).value)(jnp.asarray(D))
    assert np.isnan(slope[2]).all()
    assert np.isfinite(np.delete(np.asarray(slope), 2, axis=0)).all()


def test_dependent_atoms_without_a_ridge_have_no_derivative():
    twice = np.vstack([D, D[:1]])

    def loss(dictionary):
        codes = sparse_codes(S, dictionary, 1e-3, tol=1e-8, maxiter=2000).value
        return jnp.sum(codes * jnp.arange(codes.shape[1]))  # tells equal atoms apart

    assert np.isnan(jax.grad(loss)(jnp.asarray(twice))).any()
    assert np.isfinite(jax.grad(loss)(jnp.asarray(D))).all()


MODEL = TaskModel(jnp.asarray(D), jnp.array([1.0, -0.5, 0.3, 0.8]), jnp.asarray(0.2))


def test_the_task_has_the_gradient_of_all_it_learns():
    def loss(model):
        return task_loss(model, S, LABELS, L1, L2, penalty=0.3, tol=1e-12)[0]

    slope = jax.jit(jax.grad(loss))(MODEL)
    direction = jax.tree.map(lambda leaf: RNG.standard_normal(leaf.shape), MODEL)
    step = 1e-5
    ends = [
        float(loss(jax.tree.map(lambda a, b, s=s: a + s * b, MODEL, direction)))
        for s in (step, -step)
    ]
    along = sum(np.vdot(a, b) for a, b in zip(slope, direction))
    assert along == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-7)


def test_atoms_count_by_their_direction():
    longer = MODEL._replace(dictionary=3.0 * MODEL.dictionary)
    np.testing.assert_allclose(decision(longer, S, L1, L2)[0], decision(MODEL, S, L1, L2)[0])
    slope = jax.grad(lambda m: task_loss(m, S, LABELS, L1, L2)[0])(MODEL).dictionary
    along = np.einsum("kp,kp->k", slope, MODEL.dictionary)
    np.testing.assert_allclose(along, 0, atol=1e-10)


def test_learning_for_the_task_beats_the_atoms_that_only_reconstruct():
    samples, atoms, codes = make_sparse_coded_signal(
        n_samples=74, n_components=7, n_features=13, n_nonzero_coefs=3, random_state=0
    )
    labels = (codes @ RNG.standard_normal(7) > 0).astype(int)
    model = TaskModel(jnp.asarray(atoms), jnp.zeros(7), jnp.zeros(()))
    step = jax.jit(
        jax.value_and_grad(
            lambda m: task_loss(m, samples, labels, 0.05, 0.01, penalty=1e-3, maxiter=5000)[0]
        )
    )

    def descend(model, moving, steps=60):
        for _ in range(steps):
            loss, slope = step(model)
            model = TaskModel(
                *(leaf - 1.0 * g if name in moving else leaf
                  for name, leaf, g in zip(TaskModel._fields, model, slope))
            )  # fmt: skip
        return loss

    fixed = descend(model, ("weights", "intercept"))
    learnt = descend(model, TaskModel._fields)
    assert learnt < 0.9 * fixed
    assert fixed < 0.65  # below log 2, that of no model


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((S[0], D, L1), "samples .* and a dictionary .* are needed, found shapes"),
        ((S, D[:, 1:], L1), "are needed, found shapes"),
        ((np.full_like(S, np.nan), D, L1), "samples must be finite"),
        ((S, np.full_like(D, np.inf), L1), "the dictionary must be finite"),
        ((S, D, 0.0), "l1 must be positive, found 0.0"),
        ((S, D, -1.0), "l1 must be positive"),
        ((S, D, L1, -1.0), "l2 must be 0 or more"),
        ((S, D, float("nan")), "l1 must be positive, found nan"),
    ],
)
def test_bad_input_is_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        sparse_codes(*arguments)


@pytest.mark.parametrize(
    ("labels", "message"),
    [(LABELS[:2], "one for each of 5 samples"), (2 * LABELS - 1, r"0 or 1, found \[-1, 1\]")],
)
def test_bad_labels_are_told(labels, message):
    with pytest.raises(ValueError, match=message):
        task_loss(MODEL, S, labels, L1)


def test_single_precision():
    found = sparse_codes(np.float32(S), np.float32(D), np.float32(L1), np.float32(L2), tol=1e-3)
    assert found.value.dtype == jnp.float32
    np.testing.assert_allclose(found.value, reference(S, D, L1, L2), atol=2e-3)
