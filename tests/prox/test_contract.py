"""What every proximity operator of the table must do, at every case of ``cases.py``."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from simsens.prox import PROXES
from tests import finite_difference
from tests.prox.cases import CASES

EPS = np.finfo(float).eps
IDS = [case.title for case in CASES]
every = pytest.mark.parametrize("case", CASES, ids=IDS)
every_but_none = pytest.mark.parametrize("case", CASES[1:], ids=IDS[1:])
KINKS = [(case, k) for case in CASES for k in range(len(case.kinks))]
every_kink = pytest.mark.parametrize(
    ("case", "k"), KINKS, ids=[f"{case.title}-{k}" for case, k in KINKS]
)
INFEASIBLE = [(case, k) for case in CASES for k in range(len(case.infeasible))]


def operator(case):
    return functools.partial(PROXES[case.name], **case.keywords)


@functools.cache
def compiled(case):
    """One program a case, a function of one vector of all arguments; and one for batches.

    Gives J by forward mode, a cotangent u, J^T u by reverse mode, and its derivative, the Hessian
    of a number whose gradient in y is u.
    """
    prox = operator(case)
    start, unravel = ravel_pytree((jnp.asarray(case.x), case.hyperparams, case.scaling))
    weights = jnp.cos(jnp.arange(1.0, case.x.size + 1))

    def value(z):
        return prox(*unravel(z)).reshape(-1)

    def number(z):
        return jnp.sum(weights * jnp.sin(value(z)))

    @jax.jit
    def derivatives(z):
        def gradient(z):
            slope = jax.grad(number)(z)
            return slope, slope

        hessian, slope = jax.jacfwd(gradient, has_aux=True)(z)
        return jax.jacfwd(value)(z), weights * jnp.cos(value(z)), slope, hessian

    return start, value, jax.jit(jax.vmap(value)), derivatives


def values(case, batch):
    """The operator at vectors of all arguments, padded to one size of batch: compiled once."""
    batch = np.asarray(batch)
    padded = np.concatenate([batch, np.repeat(batch[:1], 200 - len(batch), axis=0)])
    return np.asarray(compiled(case)[2](padded))[: len(batch)]


def vector(case, x, hyperparams, scaling):
    """Arguments as one vector, hyperparameters broadcast to the shapes of the case."""
    hyperparams = jax.tree.map(
        lambda like, h: np.broadcast_to(h, np.shape(like)), case.hyperparams, hyperparams
    )
    return np.asarray(ravel_pytree((np.asarray(x, float), hyperparams, float(scaling)))[0])


def test_table_and_cases_name_the_same_operators():
    assert {case.name for case in CASES} == set(PROXES)
    assert all(name == function.__name__ for name, function in PROXES.items())


def test_public_names_are_the_table_and_the_factory():
    import simsens.prox

    assert set(simsens.prox.__all__) == {*PROXES, "PROXES", "make_prox_from_projection"}


# --- values --------------------------------------------------------------------------------------


def objective(case, z):
    return np.sum((z - case.x) ** 2) / 2 + case.scaling * case.penalty(z, case.hyperparams)


@every
def test_no_point_is_better(case):
    """y minimises the strongly convex phi iff phi(z) >= phi(y) + |z - y|^2 / 2 for all z.

    For the two non-convex penalties phi is strongly convex with a smaller constant (1 - s/gamma,
    1 - s/(a-1) >= 0.6 here).
    """
    y = np.asarray(operator(case)(case.x, case.hyperparams, case.scaling))
    modulus = 1.0 if case.convex else 0.6
    best = objective(case, y)
    assert np.isfinite(best)
    rng = np.random.default_rng(0)
    for k in range(200):
        z = y + 10.0 ** -(k % 6) * rng.normal(size=y.shape)
        for point in (z, np.maximum(z, 0)):
            gain = objective(case, point) - best - modulus * np.sum((point - y) ** 2) / 2
            # phi is below 100 and a sum of about ten terms.
            assert gain >= -1000 * EPS


@pytest.mark.parametrize("case", [c for c in CASES if c.dual], ids=lambda c: c.title)
def test_of_a_norm_the_rest_is_a_subgradient(case):
    """Moreau: u = x - y has dual norm <= s, and <u, y> = s g(y). This determines y."""
    y = np.asarray(operator(case)(case.x, case.hyperparams, case.scaling))
    u = case.x - y
    # A few dozen roundings of numbers below ten.
    assert case.dual(u, case.hyperparams) <= case.scaling * (1 + 50 * EPS)
    pull = case.scaling * case.penalty(y, case.hyperparams)
    assert abs(np.sum(u * y) - pull) <= 500 * EPS


@pytest.mark.parametrize("case", [c for c in CASES if c.convex], ids=lambda c: c.title)
def test_firmly_non_expansive(case):
    x = 3 * np.random.default_rng(1).normal(size=(200, *case.x.shape))
    y = values(case, [vector(case, each, case.hyperparams, case.scaling) for each in x])
    x = x.reshape(200, -1)
    given, difference = x[:100] - x[100:], y[:100] - y[100:]
    slack = np.sum(difference * given, axis=1) - np.sum(difference**2, axis=1)
    assert np.all(slack >= -1000 * EPS)  # of numbers up to 100
    assert np.any(difference != 0)


@every
@pytest.mark.parametrize("exponent", [-40, 40])  # 1e-12, 1e12
def test_knows_no_unit(case, exponent):
    c = 2.0**exponent  # a power of two: scaling is exact, and changes no decision
    y = np.asarray(operator(case)(case.x, case.hyperparams, case.scaling))
    moved = operator(case)(c * case.x, case.rescale(case.hyperparams, c), case.scaling)
    np.testing.assert_allclose(np.asarray(moved) / c, y, rtol=0, atol=20 * EPS)


@every
def test_zero_scaling_gives_x_back(case):
    if case.name == "prox_log_barrier":
        return  # refuses zero: cases.py
    y = operator(case)(np.abs(case.x), case.hyperparams, 0.0)
    # At most a division and a product.
    np.testing.assert_allclose(y, np.abs(case.x), rtol=4 * EPS)


@every
def test_float32_stays_float32_under_strict_promotion(case):
    x = jnp.asarray(case.x, np.float32)
    hyperparams = jax.tree.map(lambda h: np.asarray(h, np.float64), case.hyperparams)

    @jax.jit
    def value_and_slopes(*arguments):
        y, pull = jax.vjp(operator(case), *arguments)
        return y, pull(jnp.ones_like(y))

    with jax.numpy_dtype_promotion("strict"):
        single, slopes = value_and_slopes(x, hyperparams, case.scaling)
    assert single.dtype == slopes[0].dtype == np.float32
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
    y = operator(case)(case.x, case.hyperparams, case.scaling)
    # Numbers up to five, conditioned below 20.
    np.testing.assert_allclose(single, y, rtol=0, atol=100 * np.finfo(np.float32).eps)


@every
def test_jit_and_vmap_change_nothing(case):
    batch = compiled(case)[0] * (1 + 0.02 * np.arange(3))[:, None]
    prox, unravel = (
        operator(case),
        ravel_pytree((jnp.asarray(case.x), case.hyperparams, case.scaling))[1],
    )
    rows = np.stack([np.ravel(prox(*unravel(z))) for z in batch])
    np.testing.assert_allclose(values(case, batch), rows, rtol=0, atol=20 * EPS)


# --- derivatives in x, in the hyperparameters and in the scaling, all at once -----------------


@every
def test_jacobian_in_everything_both_modes(case):
    start, _, _, derivatives = compiled(case)
    expected = finite_difference.gradient(lambda z: values(case, [z])[0], start)
    forward, cotangent, reverse, _ = derivatives(start)
    # finite_difference.py promises 3e-13 for functions of order one; derivatives up to the fifth
    # are below 1e3 here.
    np.testing.assert_allclose(forward, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(reverse, cotangent @ expected, rtol=0, atol=1e-9)
    if case.name != "prox_none":
        assert np.all(np.any(expected != 0, axis=0)[-1:])  # the scaling matters


@every
def test_transposition(case):
    """<u, J v> = <J^T u, v>."""
    start, *_, derivatives = compiled(case)
    forward, u, pulled, _ = derivatives(start)
    v = np.random.default_rng(2).normal(size=start.size)
    assert abs(np.vdot(u, forward @ v) - np.vdot(pulled, v)) <= 500 * EPS


@every
def test_hessian(case):
    start, *_, derivatives = compiled(case)
    hessian = np.asarray(derivatives(start)[3])
    direction = np.random.default_rng(3).normal(size=start.size)
    expected = finite_difference.along(lambda z: derivatives(z)[2], start, direction)
    # As for the Jacobian; the direction has norm about three.
    np.testing.assert_allclose(hessian @ direction, expected, rtol=0, atol=1e-8)
    np.testing.assert_allclose(hessian, hessian.T, rtol=0, atol=1000 * EPS)


@every_kink
def test_at_kinks_derivatives_are_finite_and_like_a_projector(case, k):
    """Elements of the generalised Jacobian of a convex prox are symmetric, between 0 and 1."""
    *_, derivatives = compiled(case)
    forward, cotangent, reverse, hessian = derivatives(vector(case, *case.kinks[k]))
    assert all(np.isfinite(leaf).all() for leaf in (forward, reverse, hessian))
    # Entries below ten, but for the barrier at -1e8 with its slope of 1e8.
    scale = 1 + np.abs(forward).max()
    np.testing.assert_allclose(cotangent @ forward, reverse, rtol=0, atol=50 * EPS * scale)
    square = np.asarray(forward)[:, : case.x.size]
    np.testing.assert_allclose(square, square.T, rtol=0, atol=50 * EPS)
    eigenvalues = np.linalg.eigvalsh(square)
    assert eigenvalues.min() >= -50 * EPS
    assert not case.convex or eigenvalues.max() <= 1 + 50 * EPS


@pytest.mark.parametrize(
    "case", [c for c in CASES if "barrier" not in c.name], ids=lambda c: c.title
)
def test_where_the_penalty_vanishes_the_derivative_is_the_identity(case):
    """At x = 0 too, where formulas with a sign or a norm see nothing."""
    if "non_negative" in case.name:
        return  # keeps its constraint
    for x in (0 * case.x, case.x):
        jacobian = compiled(case)[3](vector(case, x, case.hyperparams, 0.0))[0]
        square = np.asarray(jacobian)[:, : case.x.size]
        np.testing.assert_allclose(square, np.eye(case.x.size), rtol=0, atol=50 * EPS)


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "k"), INFEASIBLE, ids=[f"{case.title}-{k}" for case, k in INFEASIBLE]
)
def test_infeasible_is_refused_in_one_line(case, k):
    x, hyperparams, scaling, pattern = case.infeasible[k]
    with pytest.raises(ValueError, match=pattern) as refusal:
        operator(case)(x, hyperparams, scaling)
    text = str(refusal.value)
    assert text.startswith(f"{case.name} needs ")
    assert "; found " in text
    assert "\n" not in text


TRACEABLE = [
    (case, k)
    for case, k in INFEASIBLE
    if any(sign in case.infeasible[k][3] for sign in (">= 0", "> ", "increase", "finite"))
]


@pytest.mark.parametrize(
    ("case", "k"), TRACEABLE, ids=[f"{case.title}-{k}" for case, k in TRACEABLE]
)
def test_infeasible_is_not_a_number_when_traced(case, k):
    z = vector(case, *case.infeasible[k][:3])
    start, *_, derivatives = compiled(case)
    # No finite derivative may pass for one; zeros would.
    forward, _, reverse, _ = derivatives(z)
    assert np.isnan(forward).all()
    assert np.isnan(reverse).all()
    y = values(case, [start, z, start])
    assert np.isnan(y[1]).all()
    assert np.isfinite(y[0]).all()  # the others of the batch are untouched
    np.testing.assert_array_equal(y[0], y[2])


@every_but_none
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_x_that_is_not_finite(case, bad):
    x = case.x.copy()
    x.flat[1] = bad
    with pytest.raises(ValueError, match=f"{case.name} needs finite numbers in x; found {bad}"):
        operator(case)(x, case.hyperparams, case.scaling)
    assert np.isnan(values(case, [vector(case, x, case.hyperparams, case.scaling)])).all()


@every_but_none
def test_integers_strings_and_wrong_numbers(case):
    prox = operator(case)
    with pytest.raises(ValueError, match="floating type; found int64"):
        prox(np.ones(case.x.shape, int), case.hyperparams)
    with pytest.raises(ValueError, match="needs numbers for x; found"):
        prox("text", case.hyperparams)
    for scaling in (-0.1, np.nan, np.inf, True, 1j, "text", [1.0]):
        with pytest.raises(ValueError, match=f"{case.name} needs .*scaling.*; found "):
            prox(case.x, case.hyperparams, scaling)


@every_but_none
def test_known_arguments_are_refused_inside_traced_functions(case):
    """Only x is traced; the scaling is a number of the program."""
    with pytest.raises(ValueError, match="scaling"):
        jax.jit(lambda x: operator(case)(x, case.hyperparams, -1.0))(case.x)
