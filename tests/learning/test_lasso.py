"""Lasso and elastic net against scikit-learn, closed forms and the derivative of the whole."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet, Lasso

from simsens.implicit import DerivativeFailed, DerivativeWarning, implicit_fixed_point
from simsens.learning.active_set import minimise
from simsens.learning.lasso import elastic_net, lasso, weighted_lasso
from simsens.learning.ridge import ridge
from simsens.learning.support import on_support, padded, slots
from simsens.learning.support_margin import support_margin
from simsens.optimality import proximal_gradient
from simsens.prox import prox_elastic_net, prox_lasso
from simsens.solvers.solution import CONVERGED, ITERATIONS, NOT_FINITE, STUCK
from tests.finite_difference import derivative
from tests.implicit.test_compiled import work_of

DIABETES = load_diabetes(return_X_y=True)


def correlated(n, p, seed=0):
    """Neighbouring columns correlate by one half; a tenth of them make y."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p + 1))
    X = X[:, 1:] + X[:, :-1]
    w = np.zeros(p)
    w[:: max(1, p // 10)] = rng.normal(size=len(w[:: max(1, p // 10)]))
    return X, X @ w + 0.5 * rng.normal(size=n)


DATA = {"diabetes": DIABETES, "n > p": correlated(120, 20), "p > n": correlated(40, 100)}


def largest(X, y):
    """The penalty from which on all coefficients are zero."""
    return np.abs(X.T @ y).max() / len(y)


def by_scikit_learn(X, y, penalty, ratio=1.0):
    model = ElasticNet(alpha=penalty, l1_ratio=ratio) if ratio < 1 else Lasso(alpha=penalty)
    model.set_params(fit_intercept=False, tol=1e-14, max_iter=1_000_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where its gap cannot be reached: rounding
        return model.fit(X, y).coef_


def residual_of(X, y, w, l1, l2=0.0):
    """The distance of zero from the subdifferential, relative, coefficient by coefficient."""
    left = []
    for j in range(X.shape[1]):
        slope = X[:, j] @ (X @ w - y) / len(y) + l2 * w[j]
        at = max(abs(slope) - l1[j], 0) if w[j] == 0 else abs(slope + l1[j] * np.sign(w[j]))
        left.append(at)
    return np.linalg.norm(left) / largest(X, y)


# ------------------------------------------------------------------------------------- the minimum


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("share", [0.9, 0.5, 0.1, 0.02, 0.002])
@pytest.mark.parametrize("ratio", [1.0, 0.7, 0.1])
def test_coefficients_are_those_of_scikit_learn(name, share, ratio):
    X, y = DATA[name]
    penalty = share * largest(X, y)
    found = elastic_net(X, y, penalty, ratio)
    exact = by_scikit_learn(X, y, penalty, ratio)
    size = np.abs(exact).max(initial=1)
    np.testing.assert_allclose(found.value, exact, rtol=0, atol=1e-6 * size)
    assert found.converged
    assert found.status == CONVERGED
    true = residual_of(X, y, np.asarray(found.value), np.full(X.shape[1], penalty * ratio),
                       penalty * (1 - ratio))  # fmt: skip
    assert found.residual == pytest.approx(true, abs=1e-14)
    assert true < 1e-12


def test_objective_without_a_reference():
    X, y = np.eye(3), np.array([3.0, -1.2, 0.3])  # soft thresholding, n = 3
    np.testing.assert_allclose(lasso(X, y, 0.2).value, [2.4, -0.6, 0], rtol=0, atol=1e-15)
    found = elastic_net(X, y, 0.4, 0.5).value  # (y - 3/5) / (1 + 3/5)
    np.testing.assert_allclose(found, [2.4 / 1.6, -0.6 / 1.6, 0], rtol=0, atol=1e-15)


def test_without_an_l1_penalty_it_is_ridge():
    X, y = DATA["n > p"]
    found = elastic_net(X, y, 0.3, ratio=0.0)
    np.testing.assert_allclose(found.value, ridge(X, y, 0.3 * len(y)).value, rtol=0, atol=1e-12)
    slope = jax.jacfwd(lambda a: elastic_net(X, y, a, ratio=0.0).value)(0.3)
    exact = jax.jacfwd(lambda a: ridge(X, y, a * len(y)).value)(0.3)
    np.testing.assert_allclose(slope, exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", DATA)
def test_weights_are_a_scaling_of_the_columns(name):
    X, y = DATA[name]
    weights = np.random.default_rng(1).uniform(0.5, 2, X.shape[1])
    penalty = 0.1 * largest(X / weights, y)
    found = weighted_lasso(X, y, penalty * weights)
    exact = by_scikit_learn(X / weights, y, penalty) / weights
    size = np.abs(exact).max()
    np.testing.assert_allclose(found.value, exact, rtol=0, atol=1e-6 * size)
    assert found.converged


def test_a_coefficient_without_a_penalty_is_always_in():
    X, y = DATA["n > p"]
    weights = np.full(20, 2 * largest(X, y))
    weights[:2] = 0
    exact = np.linalg.lstsq(X[:, :2], y, rcond=None)[0]
    np.testing.assert_allclose(weighted_lasso(X, y, weights).value[:2], exact, rtol=0, atol=1e-12)
    slope = jax.jacrev(lambda y: weighted_lasso(X, y, weights).value)(jnp.zeros(120) + 0 * y)
    np.testing.assert_allclose(slope[:2], np.linalg.pinv(X[:, :2]), rtol=0, atol=1e-12)
    assert not slope[2:].any()


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 40), (7, 3), (30, 30)])
@pytest.mark.parametrize("kind", ["integers", "low rank", "units"])
def test_ties_and_odd_data(size, kind):
    """Exact ties, dependent columns, zero columns, units twelve orders apart."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        X = {
            "integers": rng.integers(-2, 3, size).astype(float),
            "low rank": rng.normal(size=(size[0], 2)) @ rng.normal(size=(2, size[1])),
            "units": rng.normal(size=size) * 10.0 ** rng.integers(-6, 7, size[1]),
        }[kind]
        X[:, rng.integers(size[1])] *= rng.integers(2)
        y = rng.integers(-3, 4, size[0]).astype(float)
        weights = (largest(X, y) or 1.0) * 10.0 ** rng.uniform(-4, 0.3, size[1])
        weights *= rng.integers(0, 3, size[1]) if rng.integers(2) else 1
        ridge_weight = rng.choice([0.0, 0.01])
        found = minimise(X, y, weights, ridge_weight, 1e-10, 3000)
        assert found.status == CONVERGED
        if largest(X, y) > 0:
            assert residual_of(X, y, found.w, weights, ridge_weight) <= 1e-10


def test_data_that_explain_nothing():
    X = np.ones((4, 3))
    for y in (np.zeros(4), np.array([1.0, -1.0, 1.0, -1.0])):
        found = lasso(X, y, 0.1)
        assert found.converged
        np.testing.assert_array_equal(found.value, np.zeros(3))


# --------------------------------------------------------------------------------- the derivatives


def penalties_between_kinks(X, y):
    """Penalties with room around them, and how much."""
    for share in (0.7, 0.3, 0.1, 0.03):
        penalty = share * largest(X, y)
        margin = support_margin(X, y, penalty, lasso(X, y, penalty).value)
        yield penalty, 0.4 * min(penalty - margin.lower, margin.upper - penalty)


@pytest.mark.parametrize("name", DATA)
def test_hypergradient_of_scikit_learns_lasso(name):
    X, y = DATA[name]
    weight = np.random.default_rng(3).normal(size=X.shape[1])
    for penalty, step in penalties_between_kinks(X, y):
        slope = jax.grad(lambda a: weight @ lasso(X, y, a).value)(penalty)
        exact = derivative(lambda a: weight @ by_scikit_learn(X, y, a), penalty, step)
        assert slope == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("argument", ["penalty", "ratio"])
def test_hypergradient_of_scikit_learns_elastic_net(name, argument):
    X, y = DATA[name]
    at = {"penalty": 0.1 * largest(X, y), "ratio": 0.6}
    weight = np.random.default_rng(3).normal(size=X.shape[1])

    def loss(solver, value):
        return weight @ solver(X, y, **{**at, argument: value})

    slope = jax.grad(lambda v: loss(lambda *a, **k: elastic_net(*a, **k).value, v))(at[argument])
    # The support must not change in between: it is looked at.
    step = 1e-4 * at[argument]
    supports = {tuple(by_scikit_learn(X, y, **{**at, argument: at[argument] + s}) != 0)
                for s in (-step, 0, step)}  # fmt: skip
    assert len(supports) == 1
    exact = derivative(lambda v: loss(by_scikit_learn, v), at[argument], step)
    assert slope == pytest.approx(exact, rel=1e-4)


def least_squares(w, X, y):
    return jnp.sum((X @ w - y) ** 2) / (2 * len(y))


@pytest.mark.parametrize(
    ("kind", "name"),
    [*(("lasso", name) for name in DATA), ("weighted", "n > p"), ("elastic net", "p > n")],
)
def test_restricted_to_the_support_is_the_whole_derivative(name, kind):
    X, y = map(jnp.asarray, DATA[name])
    y = y / jnp.linalg.norm(y)  # so that 1e-9 means the same everywhere
    rng = np.random.default_rng(4)
    penalty = 0.1 * largest(X, y)
    if kind == "weighted":
        penalty = penalty * rng.uniform(0.5, 2, X.shape[1])
    ratio = 0.6 if kind == "elastic net" else 1.0
    w = jax.lax.stop_gradient(elastic_net(X, y, penalty, ratio).value)
    still = np.linalg.norm(X, 2)

    def restricted(X, y, penalty):
        return elastic_net(X, y, penalty, ratio).value

    def whole(X, y, penalty):
        l1, l2 = penalty * ratio, penalty * (1 - ratio)
        prox, hyperparams = (prox_lasso, l1) if ratio == 1 else (prox_elastic_net, (l1, l2 / l1))
        T = proximal_gradient(least_squares, prox, step=len(y) / still**2)
        return implicit_fixed_point(T, w, hyperparams, X, y)

    given = (X, y, jnp.asarray(penalty))
    change = tuple(jnp.asarray(rng.normal(size=jnp.shape(part))) for part in given)
    weight = jnp.asarray(rng.normal(size=X.shape[1]))

    def derivatives(coefficients):
        along = jax.jvp(coefficients, given, change)[1]
        return [along, *jax.vjp(coefficients, *given)[1](weight)]

    for one, other in zip(derivatives(restricted), jax.jit(lambda: derivatives(whole))()):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9 * np.abs(other).max())


def test_transformations_agree():
    X, y = DATA["p > n"]
    penalty = 0.1 * largest(X, y)
    coefficients = lambda a: lasso(X, y, a).value  # noqa: E731
    forward = jax.jacfwd(coefficients)(penalty)
    assert 0 < np.count_nonzero(forward) < 40
    again = {
        "reverse": jax.jacrev(coefficients)(penalty),
        "compiled": jax.jit(jax.jacfwd(coefficients))(penalty),
        "compiled reverse": jax.jit(jax.jacrev(coefficients))(penalty),
        "few slots": jax.jit(jax.jacfwd(lambda a: lasso(X, y, a, nonzeros=30).value))(penalty),
        "batch": jax.vmap(jax.jacfwd(coefficients))(jnp.array([penalty, 2 * penalty]))[0],
        "compiled batch": jax.jit(jax.vmap(jax.jacrev(coefficients)))(jnp.array([penalty]))[0],
    }
    for name, slope in again.items():
        np.testing.assert_allclose(slope, forward, rtol=0, atol=1e-10, err_msg=name)
    np.testing.assert_array_equal(jax.jit(coefficients)(penalty), coefficients(penalty))


def test_second_derivatives():
    X, y = DATA["p > n"]
    penalty = 0.1 * largest(X, y)
    # On a segment of the path the coefficients are straight lines of the penalty,
    bend = jax.hessian(lambda a: lasso(X, y, a).value)(penalty)
    slope = jax.jacfwd(lambda a: lasso(X, y, a).value)(penalty)
    np.testing.assert_allclose(bend, np.zeros(100), rtol=0, atol=1e-9 * np.abs(slope).max())
    # and of y; not of the penalty on the squares.
    for wrapped in (lambda f: f, jax.jit):
        curve = wrapped(jax.hessian(lambda a: elastic_net(X, y, a, 0.5).value))(penalty)
        exact = derivative(jax.jacrev(lambda a: elastic_net(X, y, a, 0.5).value), penalty, 1e-5)
        np.testing.assert_allclose(curve, exact, rtol=0, atol=1e-5 * np.abs(exact).max())


def test_second_derivative_in_the_samples():
    X, y = map(jnp.asarray, DATA["n > p"])
    penalty, direction = 0.1 * largest(X, y), np.random.default_rng(5).normal(size=X.shape)
    loss = lambda t: jnp.sum(lasso(X + t * direction, y, penalty).value ** 2)  # noqa: E731
    for second in (jax.jacfwd(jax.grad(loss)), jax.grad(jax.grad(loss))):
        exact = derivative(jax.grad(loss), 0.0, 1e-4)
        assert second(0.0) == pytest.approx(exact, rel=1e-6)


def test_a_descent_on_the_penalty_in_one_program():
    X, y = DATA["n > p"]
    train, test = slice(0, 80), slice(80, 120)

    def loss(log_penalty):
        w = lasso(X[train], y[train], jnp.exp(log_penalty)).value
        return jnp.mean((X[test] @ w - y[test]) ** 2)

    def step(log_penalty, _):
        value, slope = jax.value_and_grad(loss)(log_penalty)
        return log_penalty - 0.05 * jnp.sign(slope), value

    start = jnp.log(0.5 * largest(X, y))
    values = jax.jit(lambda s: jax.lax.scan(step, s, length=20)[1])(start)
    assert values[-1] < 0.5 * values[0]


def test_derivative_in_the_penalty_by_hand():
    X, y = DATA["diabetes"]
    penalty = 0.1 * largest(X, y)
    w = np.asarray(lasso(X, y, penalty).value)
    S = w != 0
    exact = np.zeros(10)
    exact[S] = -np.linalg.solve(X[:, S].T @ X[:, S] / len(y), np.sign(w[S]))
    slope = jax.jacfwd(lambda a: lasso(X, y, a).value)(penalty)
    np.testing.assert_allclose(slope, exact, rtol=1e-10, atol=0)


# ----------------------------------------------------------------------------------- few non-zeros


@pytest.mark.parametrize("name", DATA)
def test_above_the_largest_penalty_all_is_zero(name):
    X, y = DATA[name]
    top = largest(X, y)
    found = lasso(X, y, 1.01 * top)
    assert found.converged
    assert not found.value.any()
    for slope in (jax.jacfwd, jax.jacrev):
        assert not slope(lambda a: lasso(X, y, a).value)(1.01 * top).any()
    margin = support_margin(X, y, 1.01 * top, found.value)
    assert margin.lower == pytest.approx(top, rel=1e-14)
    assert margin.upper == margin.leaving == np.inf
    assert margin.slack == pytest.approx(1 - 1 / 1.01, rel=1e-12)


@pytest.mark.parametrize("name", DATA)
def test_just_below_there_is_one(name):
    X, y = DATA[name]
    correlations = X.T @ y / len(y)
    j, top = np.argmax(np.abs(correlations)), largest(X, y)
    found = lasso(X, y, 0.999 * top).value
    squares, sign = X[:, j] @ X[:, j] / len(y), np.sign(correlations[j])
    assert np.flatnonzero(found) == [j]
    assert found[j] == pytest.approx(sign * 0.001 * top / squares, rel=1e-10)
    slope = jax.jacrev(lambda a: lasso(X, y, a).value)(0.999 * top)
    assert slope[j] == pytest.approx(-sign / squares, rel=1e-12)


# ------------------------------------------------------------------- the cost follows the support


def shapes_of(jaxpr, name):
    """The shapes that operations of a name work on, however deep."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == name:
            yield eqn.invars[0].aval.shape
        for inner in jax.tree.leaves(
            list(eqn.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")
        ):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from shapes_of(inner, name)


def restricted_slope(X, y, penalty, found):
    def coefficients(penalty):
        return on_support(X, y, penalty * jnp.ones(X.shape[1]), 0.0, found, 1e-9, "nan")

    return jax.grad(lambda penalty: coefficients(penalty).sum())(penalty)


def with_spare_columns(p):
    """A few non-zeros, however many columns."""
    X, y = correlated(200, 20)
    rest = np.random.default_rng(6).normal(size=(200, p - 20))
    X = np.concatenate([X, 1e-3 * rest], axis=1)
    penalty = 0.3 * largest(X, y)
    found = minimise(X, y, np.full(p, penalty), 0.0, 1e-9, 1000)
    return X, y, penalty, padded(found, slots(found.count), dense=True)


def test_the_linear_system_has_the_size_of_the_support():
    X, y, penalty, found = with_spare_columns(1000)
    size = len(found.support)
    assert 2 <= size <= 16
    program = jax.make_jaxpr(lambda a: restricted_slope(X, y, a, found))(penalty)
    assert not set(shapes_of(program.jaxpr, "cholesky"))  # the search for it has factorised
    assert {shape[0] for shape in shapes_of(program.jaxpr, "triangular_solve")} == {size}
    # The whole derivative of the same has a system of all coefficients.
    whole = jax.make_jaxpr(
        jax.grad(
            lambda a: implicit_fixed_point(
                proximal_gradient(least_squares, prox_lasso), found.w, a, X, y
            ).sum()
        )
    )(penalty)
    assert (1000, 1000) in set(shapes_of(whole.jaxpr, "lu"))


def operations(p):
    program = jax.jit(restricted_slope).lower(*with_spare_columns(p)).compile()
    return program.cost_analysis()["flops"]


def test_a_column_more_costs_a_few_operations():
    few, many = operations(500), operations(2000)
    assert many - few < 40 * 1500  # to look for the support; a product with X would be 2 n = 400


def test_eager_code_traces_once():
    X, y = map(jnp.asarray, DATA["diabetes"])
    top = largest(X, y)
    slope = jax.grad(lambda a: lasso(X, y, a).value.sum())
    work_of(slope, 0.1 * top)
    assert work_of(slope, 0.101 * top) == 0
    assert work_of(lambda a: lasso(X, y, a).value, 0.05 * top) == 0


def test_slots_grow_by_doubling():
    assert [slots(k) for k in (0, 1, 2, 3, 4, 5, 1000)] == [1, 1, 2, 4, 4, 8, 1024]


# ------------------------------------------------------------------------------------- the evidence


def signs(X, y, penalty):
    return tuple(np.sign(weighted_lasso(X, y, np.broadcast_to(penalty, X.shape[1])).value))


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("share", [0.8, 0.3, 0.1, 0.02])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_margin_is_where_the_support_changes(name, share, weighted):
    X, y = DATA[name]
    penalty = share * largest(X, y)
    if weighted:
        penalty = penalty * np.random.default_rng(7).uniform(0.9, 1.1, X.shape[1])
    w = weighted_lasso(X, y, np.broadcast_to(penalty, X.shape[1])).value
    margin = support_margin(X, y, penalty, w)
    assert np.all(margin.lower >= 0)
    assert np.all(margin.lower < penalty)
    assert np.all(penalty < margin.upper)
    here, inside, outside = signs(X, y, penalty), 1e-5, 1e-3
    room = margin.upper - penalty
    assert signs(X, y, margin.upper - inside * room) == here
    assert signs(X, y, margin.upper + outside * room) != here
    room = penalty - margin.lower
    assert signs(X, y, margin.lower + inside * room) == here
    if np.all(margin.lower > 0):
        assert signs(X, y, margin.lower - outside * room) != here


def test_within_the_margin_the_derivative_is_exact():
    X, y = DATA["p > n"]
    penalty = 0.1 * largest(X, y)
    w = lasso(X, y, penalty).value
    slope = jax.jacfwd(lambda a: lasso(X, y, a).value)(penalty)
    margin = support_margin(X, y, penalty, w)
    for end in (margin.lower, margin.upper):
        there = w + (end - penalty) * slope
        np.testing.assert_allclose(lasso(X, y, end).value, there, rtol=0, atol=1e-10)
    nearest = np.min(np.abs(w[w != 0] / slope[w != 0])) / penalty
    assert margin.leaving == pytest.approx(nearest, rel=1e-9)


def test_margin_of_an_elastic_net_is_right_to_first_order():
    X, y = DATA["n > p"]
    penalty, ratio = 0.1 * largest(X, y), 0.9
    w = np.asarray(elastic_net(X, y, penalty, ratio).value)
    slope = jax.jacfwd(lambda a: elastic_net(X, y, a, ratio).value)(penalty)
    margin = support_margin(X, y, penalty, w, ratio)
    nearest = np.min(np.abs(w[w != 0] / slope[w != 0])) / penalty
    assert margin.leaving == pytest.approx(nearest, rel=1e-9)
    c = X.T @ (y - X @ w) / len(y)
    assert margin.slack == pytest.approx(1 - np.abs(c[w == 0]).max() / (penalty * ratio), rel=1e-9)


def test_margin_needs_values_it_can_look_at():
    X, y = DATA["n > p"]
    w = lasso(X, y, 0.1).value
    with pytest.raises(ValueError, match="needs known values, found traced ones"):
        jax.jit(lambda a: support_margin(X, y, a, w).slack)(0.1)
    with pytest.raises(ValueError, match="a coefficient for each of 20 features"):
        support_margin(X, y, 0.1, w[:3])


# ------------------------------------------------------------------------------- what is not unique


def with_twins():
    X, y = DATA["n > p"]
    return np.concatenate([X, X[:, :1]], axis=1), y, 0.1 * largest(X, y)


def settled(value):
    jax.block_until_ready(value)
    jax.effects_barrier()
    return value


@pytest.mark.parametrize("sign", [1, -1])
def test_equal_columns_have_a_minimum_and_no_derivative(sign):
    X, y, penalty = with_twins()
    X = X * np.append(np.ones(20), sign)
    found = lasso(X, y, penalty)
    assert found.converged
    assert np.isnan(jax.jacfwd(lambda a: lasso(X, y, a).value)(penalty)).all()
    assert np.isnan(jax.jit(jax.jacrev(lambda a: lasso(X, y, a).value))(penalty)).all()
    margin = support_margin(X, y, penalty, found.value)
    assert margin.lower == margin.upper == penalty
    assert margin.slack < 1e-12


def test_it_is_told_that_there_are_several():
    X, y, penalty = with_twins()

    def slope(policy):
        return settled(jax.grad(lambda a: lasso(X, y, a, on_failure=policy).value.sum())(penalty))

    with pytest.raises(DerivativeFailed, match="the minimum is not unique"):
        slope("raise")
    with pytest.warns(DerivativeWarning, match="linearly dependent; leave some out"):
        slope("warn")
    assert np.isfinite(slope("keep"))


def test_a_penalty_on_the_squares_makes_it_unique():
    X, y, penalty = with_twins()
    coefficients = lambda a: elastic_net(X, y, a, 0.5).value  # noqa: E731
    twins = coefficients(penalty)[0], coefficients(penalty)[-1]
    assert twins[0] == pytest.approx(float(twins[1]), rel=1e-10)
    exact = derivative(coefficients, penalty, 1e-5 * penalty)
    slope = jax.jacfwd(coefficients)(penalty)
    np.testing.assert_allclose(slope, exact, rtol=0, atol=1e-6 * np.abs(exact).max())


def test_columns_of_zeros_stay_zero():
    X, y = DATA["n > p"]
    X, penalty = np.insert(X, 3, 0, axis=1), 0.1 * largest(X, y)
    coefficients = lambda a: lasso(X, y, a).value  # noqa: E731
    slope = jax.jacfwd(coefficients)(penalty)
    assert coefficients(penalty)[3] == slope[3] == 0
    exact = jax.jacfwd(lambda a: lasso(np.delete(X, 3, axis=1), y, a).value)(penalty)
    np.testing.assert_allclose(np.delete(slope, 3), exact, rtol=1e-12, atol=0)
    # Without a penalty any number would do.
    weights = np.full(21, penalty)
    weights[3] = 0
    assert np.isnan(jax.jacfwd(lambda v: weighted_lasso(X, y, v).value)(weights)).all()


def test_nearly_equal_columns_are_judged_by_what_was_reached():
    rng = np.random.default_rng(8)
    verdicts = set()
    for _ in range(20):
        X = rng.normal(size=(25, 1)) + 1e-6 * rng.normal(size=(25, 30))
        y = rng.normal(size=25)
        weights = np.full(30, 1e-7 * largest(X, y))
        found = minimise(X, y, weights, 0.0, 1e-10, 2000)
        verdicts.add(found.status)
        assert (residual_of(X, y, found.w, weights) <= 1e-10) == (found.status == CONVERGED)
    assert STUCK in verdicts


# ---------------------------------------------------------------------------- stopped, refused, NaN


def test_stopping_early_is_told():
    X, y = DATA["p > n"]
    penalty = 0.1 * largest(X, y)
    early = lasso(X, y, penalty, maxiter=2)
    assert not early.converged
    assert (early.status, early.iterations) == (ITERATIONS, 2)
    assert early.residual > 1e-3
    assert "the iteration limit, 2, came first" in early.reason

    def slope(policy):
        coefficients = lambda a: lasso(X, y, a, maxiter=2, on_failure=policy).value  # noqa: E731
        return settled(jax.jacrev(coefficients)(penalty))

    assert np.isnan(slope("nan")).all()  # of the coefficients that are zero too
    with pytest.raises(DerivativeFailed, match="the minimum was not reached: the residual is"):
        slope("raise")
    with pytest.warns(DerivativeWarning, match="the minimum was not reached"):
        slope("warn")
    assert np.isfinite(slope("keep")).all()
    traced = jax.jit(lambda a: lasso(X, y, a, maxiter=2))(penalty)
    assert (int(traced.status), bool(traced.converged)) == (ITERATIONS, False)


def test_a_tolerance_out_of_reach_is_told():
    X, y = DATA["p > n"]
    found = lasso(X, y, 0.1 * largest(X, y), tol=1e-30)
    assert not found.converged
    assert found.status == STUCK
    assert "tol is below what rounding allows" in found.reason
    assert found.residual < 1e-14


def test_too_few_slots_are_told():
    X, y = DATA["p > n"]
    penalty = 0.1 * largest(X, y)
    found = jax.jit(lambda a: lasso(X, y, a, nonzeros=2))(penalty)
    np.testing.assert_array_equal(found.value, lasso(X, y, penalty).value)
    slope = jax.jit(jax.jacrev(lambda a: lasso(X, y, a, nonzeros=2).value))(penalty)
    assert np.isnan(slope).all()
    with pytest.warns(DerivativeWarning, match="there is room for 2; raise nonzeros"):
        settled(
            jax.jit(jax.grad(lambda a: lasso(X, y, a, nonzeros=2, on_failure="warn").value.sum()))(
                penalty
            )
        )


def test_more_non_zeros_than_samples_in_one_program():
    X, y = correlated(8, 30)
    penalty = 0.01 * largest(X, y)
    coefficients = lambda a: elastic_net(X, y, a, 0.2).value  # noqa: E731
    assert np.count_nonzero(coefficients(penalty)) > 8
    slope = jax.jacfwd(coefficients)(penalty)
    compiled = jax.jit(jax.jacfwd(coefficients))(penalty)
    np.testing.assert_allclose(compiled, slope, rtol=0, atol=1e-8 * np.abs(slope).max())


def test_members_of_a_batch_are_judged_alone():
    X, y = DATA["n > p"]
    penalty = 0.1 * largest(X, y)
    batch = jax.vmap(jax.value_and_grad(lambda a: lasso(X, y, a).value.sum()))
    value, slope = batch(jnp.array([penalty, -1.0, 2 * penalty]))
    assert np.isfinite(value[::2]).all()
    assert np.isfinite(slope[::2]).all()
    assert np.isnan(value[1])
    assert np.isnan(slope[1])


@pytest.mark.parametrize("spoiled", ["X", "y", "penalty", "ratio"])
def test_values_that_are_traced_become_nan(spoiled):
    X, y = DATA["n > p"]
    given = {"X": X, "y": y, "penalty": 0.1, "ratio": 0.5}
    given[spoiled] = given[spoiled] * np.nan if spoiled in "Xy" else -0.1
    found = jax.jit(elastic_net)(**given)
    assert np.isnan(found.value).all()
    assert not found.converged
    assert int(found.status) == NOT_FINITE


def test_float32_stays_float32():
    X, y = DATA["n > p"]
    penalty = 0.1 * largest(X, y)
    short = X.astype(np.float32), y.astype(np.float32)
    found = lasso(*short, np.float32(penalty))
    assert found.value.dtype == np.float32
    assert found.converged
    assert 1e-9 < found.residual < 2e-5  # that of the coefficients as they were handed over
    np.testing.assert_allclose(found.value, lasso(X, y, penalty).value, rtol=0, atol=1e-6)
    slope = jax.jacrev(lambda a: lasso(*short, a).value)(jnp.float32(penalty))
    exact = jax.jacrev(lambda a: lasso(X, y, a).value)(penalty)
    assert slope.dtype == np.float32
    np.testing.assert_allclose(slope, exact, rtol=0, atol=1e-5 * np.abs(exact).max())
    compiled = jax.jit(lambda a: lasso(*short, a))(jnp.float32(penalty))
    assert compiled.value.dtype == np.float32
    assert compiled.converged


def test_strict_promotion_of_precisions():
    X, y = (jnp.asarray(part, jnp.float32) for part in DATA["n > p"])
    with jax.numpy_dtype_promotion("strict"):
        slope = jax.grad(lambda a: elastic_net(X, y, a, 0.5).value.sum())(jnp.float32(0.1))
        assert np.isfinite(slope)


def test_whole_numbers_and_lists_are_taken():
    found = lasso([[1, 0], [0, 1], [1, 1]], [1, 2, 3], 1e-3)
    np.testing.assert_allclose(found.value, [1, 2], atol=0.01)


ONES = np.ones((3, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lasso(np.ones(3), np.ones(3), 1.0), r"X must be \[n, p\]"),
        (lambda: lasso(ONES, np.ones(4), 1.0), "a target for each of 3 samples"),
        (lambda: lasso(ONES, ONES, 1.0), "a target for each of 3 samples"),
        (lambda: lasso(ONES, np.ones(3), -2.0), "penalty must not be negative, found -2"),
        (lambda: lasso(ONES, np.ones(3), np.inf), "penalty must not be negative, found inf"),
        (lambda: lasso(ONES, np.ones(3), np.ones(3)), "a number, or 2, one for each feature"),
        (lambda: elastic_net(ONES, np.ones(3), np.ones(2)), "penalty must be one real number"),
        (lambda: elastic_net(ONES, np.ones(3), 1.0, 1.5), r"ratio must lie in 0 \.\. 1, found 1.5"),
        (lambda: weighted_lasso(ONES, np.ones(3), 1.0), "one penalty for each coefficient"),
        (lambda: lasso(ONES * np.nan, np.ones(3), 1.0), "X and y must be finite"),
        (lambda: lasso(ONES, np.array([1, np.inf, 0]), 1.0), "X and y must be finite"),
        (lambda: lasso(ONES * 1j, np.ones(3), 1.0), "must be real, found complex128"),
        (lambda: lasso(ONES, np.ones(3), 1.0, tol=0), "tol must be positive"),
        (lambda: lasso(ONES, np.ones(3), 1.0, maxiter=0), "at least 1, found"),
        (lambda: lasso(ONES, np.ones(3), 1.0, nonzeros=0), "at least 1, found"),
        (lambda: lasso(ONES, np.ones(3), 1.0, on_failure="hope"), "on_failure must be one of"),
    ],
)
def test_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
