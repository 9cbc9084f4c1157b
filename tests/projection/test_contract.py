"""What every projection promises, read from the table."""

import doctest
import functools
import importlib
import inspect
import pkgutil
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from simsens import projection
from simsens.projection import PROJECTIONS
from tests.finite_difference import gradient
from tests.projection.generic_points import POINTS

NAMES = sorted(PROJECTIONS)
NEAREST = [name for name in NAMES if POINTS[name].nearest]
SCALED = [name for name in NAMES if POINTS[name].powers]
EPS = np.finfo(float).eps
BATCH = 21  # most time goes into compilation: one size, one program


@functools.cache
def flat(name):
    """The projection as a function of one vector, point and hyperparameters together."""
    problem = POINTS[name]
    at, unravel = ravel_pytree((problem.x, problem.theta))

    def function(vector):
        x, theta = unravel(vector)
        return ravel_pytree(problem.function(x, *theta))[0]

    return function, at


@functools.cache
def slopes(name):
    """Its Jacobians by forward and by reverse mode, compiled once."""
    function, _ = flat(name)
    return jax.jit(lambda v: (jax.jacfwd(function)(v), jax.jacrev(function)(v)))


@functools.cache
def batched(name):
    """The projections of BATCH vectors: the one compiled program for all values."""
    function, _ = flat(name)
    return jax.jit(jax.vmap(function))


def value(name):
    return lambda v: np.asarray(batched(name)(np.tile(v, (BATCH, 1)))[0])


def image(name):
    """The projection of the generic point, by the compiled program."""
    at = flat(name)[1]
    shape = jax.eval_shape(POINTS[name].function, POINTS[name].x, *POINTS[name].theta).shape
    return value(name)(at).reshape(shape)


def test_every_projection_has_its_point():
    assert set(POINTS) == set(PROJECTIONS)
    assert set(projection.__all__) == {"PROJECTIONS", *PROJECTIONS}


@pytest.mark.parametrize("name", NAMES)
def test_lies_in_its_set(name):
    problem, p = POINTS[name], image(name)
    # Sums of some ten numbers of the order of one, after some ten operations each.
    assert problem.violation(p, *problem.theta) <= 200 * EPS


@pytest.mark.parametrize("name", NAMES)
def test_a_point_beside_is_not_in_the_set(name):
    """The instrument of the test above can say no."""
    problem, p = POINTS[name], image(name)
    beside = p + 0.9 * (problem.x - p)
    if name.startswith("kl_"):
        beside = p - 2.0
    assert problem.violation(beside, *problem.theta) > 1e-3


@pytest.mark.parametrize("name", NEAREST)
def test_nearest_idempotent_and_nonexpansive(name):
    r"""<x - p, y - p> <= 0 for all y in the set characterises p; y are projections of others."""
    problem = POINTS[name]
    others = np.random.default_rng(3).normal(size=(BATCH - 1, *np.shape(problem.x)))
    if name == "projection_psd":
        others = others + others.swapaxes(1, 2)
    points = np.concatenate([np.asarray(problem.x)[None], others]).reshape(len(others) + 1, -1)
    rest = np.tile(flat(name)[1][points.shape[1] :], (len(points), 1))

    def project(x):
        return np.asarray(batched(name)(np.concatenate([x, rest], axis=1)))

    x, p = points, project(points)
    product = np.sum((x - p)[:, None] * (p[None] - p[:, None]), axis=-1)
    assert product.max() <= 1e-12  # products of some ten numbers up to 3
    before = np.linalg.norm(x[:, None] - x[None], axis=-1)
    after = np.linalg.norm(p[:, None] - p[None], axis=-1)
    assert (after <= before + 1e-13).all()
    np.testing.assert_allclose(project(p), p, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_jacobian_in_everything_and_both_modes(name):
    at = flat(name)[1]
    forward, reverse = slopes(name)(at)
    # Differences of functions of the order of one are good to some 1e-12; those that stop at
    # 1e-14 (entropic transport) to that divided by the step, 1e-11.
    np.testing.assert_allclose(forward, gradient(value(name), at), rtol=0, atol=1e-9)
    np.testing.assert_allclose(forward, reverse, rtol=0, atol=1e-13)  # <u, J v> = <J^T u, v>
    assert np.abs(forward).max() > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_hessian(name):
    function, at = flat(name)
    weights = np.cos(np.arange(image(name).size) ** 2 + 0.3)

    def slope(v):  # of the loss, by the Jacobian that the test above has checked
        return 2 * np.asarray(slopes(name)(v)[0]).T @ (weights * value(name)(v))

    hessian = jax.jit(jax.hessian(lambda v: weights @ function(v) ** 2))(at)
    np.testing.assert_allclose(hessian, gradient(slope, at), rtol=0, atol=1e-8)
    np.testing.assert_allclose(hessian, hessian.T, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_vmap_is_a_loop_and_jit_changes_nothing(name):
    function, at = flat(name)
    noise = np.random.default_rng(0).normal(size=(BATCH, at.size))
    batch = np.asarray(at) * (1 + 0.01 * noise)
    together = batched(name)(batch)
    alone = np.stack([function(v) for v in batch[:3]])
    np.testing.assert_allclose(together[:3], alone, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("t", [1e-12, 1e12])
def test_scale(name, t):
    problem = POINTS[name]
    function, at = value(name), flat(name)[1]
    first, *rest = problem.powers
    theta = tuple(v * t**power for v, power in zip(problem.theta, rest))
    scaled, _ = ravel_pytree((problem.x * t**first, theta))
    np.testing.assert_allclose(function(scaled) / t, function(at), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_float32_stays_under_strict_promotion(name):
    problem = POINTS[name]
    x, theta = jax.tree.map(lambda v: jnp.asarray(v, jnp.float32), (problem.x, problem.theta))

    def loss(x, *theta):
        p = problem.function(x, *theta)
        return jnp.sum(p**2), p

    with jax.numpy_dtype_promotion("strict"):
        both = jax.jit(jax.grad(loss, tuple(range(1 + len(theta))), has_aux=True))
        slopes, p = both(x, *theta)
    assert {leaf.dtype for leaf in jax.tree.leaves((p, slopes))} == {jnp.dtype("float32")}
    exact = image(name)
    # Some ten operations on numbers of the order of one, the systems being well conditioned.
    np.testing.assert_allclose(p, exact, rtol=0, atol=100 * float(np.finfo(np.float32).eps))
    assert all(np.isfinite(s).all() for s in slopes)


@pytest.mark.parametrize("name", NAMES)
def test_float64_hyperparameters_follow_x(name):
    problem = POINTS[name]
    x = jnp.asarray(problem.x, jnp.float32)
    assert jax.eval_shape(lambda x: problem.function(x, *problem.theta), x).dtype == jnp.float32


@pytest.mark.parametrize("name", NAMES)
def test_not_finite_is_refused_or_told(name):
    problem, at = POINTS[name], flat(name)[1]
    for bad in (np.nan, np.inf, -np.inf):
        x = np.array(problem.x)
        x[(0,) * x.ndim] = bad
        with pytest.raises(ValueError, match=f"{name} needs finite numbers in"):
            problem.function(x, *problem.theta)
        told = value(name)(np.asarray(at.at[0].set(bad)))  # traced
        assert np.isnan(told[0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [int, bool, complex])
def test_other_numbers_are_refused(name, dtype):
    problem = POINTS[name]
    found = np.dtype(dtype).name
    for function in (problem.function, jax.jit(problem.function)):
        with pytest.raises(ValueError, match=f"{name} needs .* floating point; found {found}"):
            function(np.asarray(problem.x).astype(dtype), *problem.theta)


@pytest.mark.parametrize("name", [n for n in NAMES if POINTS[n].theta])
def test_integer_hyperparameters_are_refused(name):
    problem = POINTS[name]
    if "marginals" in str(inspect.signature(PROJECTIONS[name])):
        theta = ([1, 1, 1], [0, 1, 1, 1])
        with pytest.raises(ValueError, match="marginals_a in floating point; found int64"):
            PROJECTIONS[name](problem.x, tuple(map(np.array, theta)))
        return
    for k in range(len(problem.theta)):
        theta = list(problem.theta)
        theta[k] = np.ones_like(theta[k]).astype(int)
        with pytest.raises(ValueError, match=f"{name} needs .* floating point; found int64"):
            problem.function(problem.x, *theta)


@pytest.mark.parametrize("name", [n for n in NAMES if not isinstance(POINTS[n].x, dict)])
def test_wrong_axes_are_refused(name):
    anything = {"projection_non_negative", "projection_box", "projection_hypercube"}
    anything |= {"projection_linf_ball", "projection_l2_sphere", "projection_l2_ball"}
    anything |= {"kl_projection_non_negative", "projection_hyperplane", "projection_halfspace"}
    problem = POINTS[name]
    x = np.stack([problem.x, problem.x])
    if name in anything:  # they take arrays of any shape, but hyperparameters must fit
        theta = [np.stack([v, v]) if np.ndim(v) else v for v in problem.theta]
        assert problem.function(x, *theta).shape == x.shape
    else:
        with pytest.raises(ValueError, match=f"{name} needs (x|y|sim_matrix)"):
            problem.function(x, *problem.theta)


@pytest.mark.parametrize("name", NAMES)
def test_signature_is_jaxopts(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        jaxopt = pytest.importorskip("jaxopt")
    ours = inspect.signature(PROJECTIONS[name])
    theirs = getattr(jaxopt.projection, name, None) or getattr(jaxopt.isotonic, name, None)
    if theirs is None:
        assert name in {
            "projection_order_simplex",
            "projection_second_order_cone",
            "projection_psd",
            "projection_exponential_cone",
            "kl_projection_simplex",
            "kl_projection_non_negative",
        }
        return
    theirs = inspect.signature(theirs)
    assert [(p.name, p.default) for p in ours.parameters.values()] == [
        (p.name, p.default) for p in theirs.parameters.values()
    ]


MODULES = [m.name for m in pkgutil.iter_modules(projection.__path__)]


@pytest.mark.parametrize("module", MODULES)
def test_examples(module):
    held = importlib.import_module(f"simsens.projection.{module}")
    result = doctest.testmod(held)
    assert result.failed == 0
    assert result.attempted > 0


def test_every_projection_has_an_example():
    texts = {name: function.__doc__ for name, function in PROJECTIONS.items()}
    assert [n for n, text in texts.items() if ">>>" not in text or "Raises:" not in text] == []
