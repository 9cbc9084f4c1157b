"""Code written for JAXopt runs here after its imports are changed, and does what it could not.

A program is a function of a library, that is of a namespace with JAXopt's names. Each is run twice,
with JAXopt behind the names and with simsens, and must give the same numbers. Where JAXopt fails,
or is wrong, a closed form says what is right.
"""

import warnings
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import simsens.implicit
import simsens.projection
import simsens.prox
from simsens.implicit import linear_solve

OURS = SimpleNamespace(
    name="simsens",
    custom_root=simsens.implicit.custom_root,
    custom_fixed_point=simsens.implicit.custom_fixed_point,
    root_jvp=simsens.implicit.root_jvp,
    root_vjp=simsens.implicit.root_vjp,
    linear_solve=linear_solve,
    projection=simsens.projection,
    prox=simsens.prox,
    isotonic=simsens.projection,
)


@pytest.fixture(scope="module")
def jaxopt():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("jaxopt")


@pytest.fixture(scope="module")
def theirs(jaxopt):
    """JAXopt under the same names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jaxopt.isotonic
    functions = ("custom_root", "custom_fixed_point", "root_jvp", "root_vjp")
    modules = ("linear_solve", "projection", "prox", "isotonic")
    return SimpleNamespace(
        name="jaxopt",
        **{name: getattr(jaxopt.implicit_diff, name) for name in functions},
        **{name: getattr(jaxopt, name) for name in modules},
    )


def quietly(program, *args):
    """What a program returns, without the warnings that JAXopt's age brings."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="jaxopt")
        warnings.filterwarnings("ignore", "Numba could not be imported")
        warnings.filterwarnings("ignore", "jax.nn.one_hot input should be integer-typed")
        return program(*args)


def assert_close(found, right, rtol=1e-9):
    found, right = jax.tree.leaves(found), jax.tree.leaves(right)
    assert len(found) == len(right)
    for a, b in zip(found, right):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


rng = np.random.default_rng(7)
X, Y = jnp.asarray(rng.standard_normal((12, 4))), jnp.asarray(rng.standard_normal(12))
START = jnp.zeros(4)


def objective(w, theta, data=(X, Y)):
    features, target = data
    return 0.5 * jnp.sum((features @ w - target) ** 2) + 0.5 * theta * jnp.sum(w**2)


def ridge(w, theta):
    """The optimality function: the gradient of the objective."""
    return X.T @ (X @ w - Y) + theta * w


def formula(theta, data=(X, Y)):
    """Its root."""
    features, target = data
    return jnp.linalg.solve(features.T @ features + theta * jnp.eye(4), features.T @ target)


def solver(init, theta):
    return formula(theta)


def weighted(tree):
    """One number that every leaf enters in another way."""
    leaves = jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])
    return jnp.sum(leaves * jnp.cos(jnp.arange(leaves.size)))


def iterated(step, init, times=600):
    """A solver as JAXopt's users write them."""
    return jax.lax.fori_loop(0, times, lambda _, x: step(x), init)


# ---------------------------------------------------------------------------------------- programs

PROGRAMS: dict[str, Any] = {}


def program(function):
    PROGRAMS[function.__name__] = function
    return function


def exact(lib):
    """JAXopt's default is accurate to 1e-5: programs ask for a direct solve, as its tests do."""
    return {"solve": lib.linear_solve.solve_lu}


def dense(matvec, b):
    """A solver of the user's own, quickly compiled, where the solver is not what is compared."""
    return jnp.linalg.solve(jax.jacfwd(matvec)(jnp.zeros_like(b)), b)


@program
def products_of_a_known_root(lib):
    x = formula(0.3)
    forward = lib.root_jvp(ridge, x, (0.3,), (1.0,), **exact(lib))
    (reverse,) = lib.root_vjp(ridge, x, (0.3,), jnp.arange(4.0), **exact(lib))
    return forward, reverse


@program
def products_with_several_arguments(lib):
    def optimality(w, theta, data):
        return jax.grad(objective)(w, theta, data)

    x, args = formula(0.3), (0.3, (X, Y))
    forward = lib.root_jvp(optimality, x, args, (1.0, (0.1 * X, jnp.cos(Y))), **exact(lib))
    return forward, lib.root_vjp(optimality, x, args, jnp.arange(4.0), **exact(lib))


@program
def a_jacobian_from_products(lib):
    """Rows by vmap over cotangents, under jit."""
    x, theta = formula(0.3), jnp.full(4, 0.3)
    pull = lambda c: lib.root_vjp(ridge, x, (theta,), c, **exact(lib))[0]  # noqa: E731
    push = lambda t: lib.root_jvp(ridge, x, (theta,), (t,), **exact(lib))  # noqa: E731
    return jax.jit(jax.vmap(pull))(jnp.eye(4)), jax.jit(jax.vmap(push, out_axes=1))(jnp.eye(4))


@program
def the_decorator(lib):
    decorated = lib.custom_root(ridge, **exact(lib))(solver)
    return decorated(START, 0.3), jax.jacrev(decorated, argnums=1)(START, 0.3)


@program
def arguments_of_the_decorator_by_position(lib):
    decorated = lib.custom_root(ridge, False, lib.linear_solve.solve_lu, None)(solver)
    return jax.jacrev(decorated, argnums=1)(START, 0.3)


@program
def the_gradient_of_an_objective_as_it_stands(lib):
    decorated = lib.custom_root(jax.grad(objective), **exact(lib))(
        lambda init, theta, data: formula(theta, data)
    )
    return jax.jacrev(decorated, argnums=(1, 2))(START, 0.3, (X, Y))


@program
def the_start_gets_zeros(lib):
    decorated = lib.custom_root(ridge)(lambda init, theta: formula(theta) + 0 * init)
    return jax.grad(lambda init: jnp.sum(decorated(init, 0.3)))(START)


@program
def the_start_may_be_none(lib):
    decorated = lib.custom_root(ridge, solve=dense)(solver)
    return jax.jacrev(lambda theta: decorated(None, theta))(0.3)


@program
def arguments_by_name(lib):
    def optimality(w, theta, scale):
        return scale * ridge(w, theta)

    decorated = lib.custom_root(optimality, solve=dense)(lambda init, theta, scale: formula(theta))
    by_name = lambda theta: decorated(START, scale=2.0, theta=theta)  # noqa: E731
    all_by_name = lambda theta: decorated(theta=theta, init=START, scale=2.0)  # noqa: E731
    return jax.jacrev(by_name)(0.3), jax.jacrev(all_by_name)(0.3)


@program
def arguments_by_name_only(lib):
    def optimality(w, theta):
        return ridge(w, theta)

    decorated = lib.custom_root(optimality, solve=dense)(lambda init, *, theta: formula(theta))
    return jax.jacrev(lambda theta: decorated(START, theta=theta))(0.3)


@program
def defaults_of_the_solver(lib):
    decorated = lib.custom_root(ridge, solve=dense)(lambda init, theta=0.3: formula(theta))
    return decorated(START), jax.jacrev(lambda theta: decorated(START, theta=theta))(0.5)


@program
def catch_alls_resolved_by_a_reference_signature(lib):
    def optimality(w, *parameters):
        return ridge(w, parameters[0])

    decorated = lib.custom_root(optimality, reference_signature=ridge, solve=dense)(
        lambda init, **parameters: formula(parameters["theta"])
    )
    return jax.jacrev(lambda theta: decorated(START, theta=theta))(0.3)


@program
def flags_whole_numbers_keys_and_none(lib):
    def optimality(w, theta, flag, count, key, nothing):
        assert nothing is None
        return ridge(w, theta)

    decorated = lib.custom_root(optimality, solve=dense)(lambda init, theta, *rest: formula(theta))
    key = jax.random.key(0)
    return jax.jacrev(decorated, argnums=1)(START, 0.3, True, 3, key, None)


@program
def whole_numbers_in_arrays(lib):
    labels = jnp.array([0, 1, 3])

    def optimality(w, theta, which):
        return w - theta * jnp.zeros(4).at[which].add(1.0)

    decorated = lib.custom_root(optimality, solve=dense)(
        lambda init, theta, which: theta * jnp.zeros(4).at[which].add(1.0)
    )
    return jax.grad(lambda t: jnp.sum(decorated(None, t, labels)))(2.0)


@program
def aux_of_the_solver(lib):
    @lib.custom_root(ridge, has_aux=True, solve=dense)
    def decorated(init, theta):
        return formula(theta), {"iterations": jnp.asarray(7), "value": theta**2}

    def loss(theta):
        x, aux = decorated(START, theta)
        return jnp.sum(x) + aux["value"], aux  # aux gets no derivative

    return jax.grad(loss, has_aux=True)(0.3)


@program
def under_jit_and_vmap(lib):
    decorated = lib.custom_root(ridge, solve=dense)(solver)
    slope = jax.jacrev(decorated, argnums=1)
    thetas = jnp.array([0.1, 0.3, 1.0])
    return jax.jit(jax.vmap(slope, in_axes=(None, 0)))(START, thetas)


@program
def a_batch_of_data(lib):
    decorated = lib.custom_root(jax.grad(objective), **exact(lib))(
        lambda init, theta, data: formula(theta, data)
    )
    batch = (jnp.stack([X, X + 0.1, 2 * X]), jnp.stack([Y, Y, Y + 1]))
    loss = lambda theta, data: jnp.sum(decorated(START, theta, data))  # noqa: E731
    return jax.vmap(jax.grad(loss, argnums=(0, 1)), in_axes=(None, 0))(0.3, batch)


@program
def trees_in_and_out(lib):
    def optimality(x, theta):
        return {
            "a": x["a"] ** 2 - theta["p"],
            "b": (x["b"][0] * jnp.sum(x["a"]) - theta["q"][0],),
        }

    def solve(init, theta):
        a = jnp.sqrt(theta["p"])
        return {"a": a, "b": (theta["q"][0] / jnp.sum(a),)}

    decorated = lib.custom_root(optimality, solve=lib.linear_solve.solve_gmres)(solve)
    theta = {"p": jnp.array([1.0, 4.0]), "q": [jnp.array([2.0, -1.0, 0.5])]}
    return jax.grad(lambda theta: weighted(decorated(None, theta)))(theta)


@program
def the_solver_is_a_loop(lib):
    step = 1 / jnp.linalg.norm(X.T @ X, 2)

    @lib.custom_root(ridge, solve=dense)
    def descent(init, theta):
        return iterated(lambda w: w - step * ridge(w, theta), init)

    return jax.jacrev(descent, argnums=1)(START, 0.3)


@program
def second_derivatives_by_reverse_over_reverse(lib):
    decorated = lib.custom_root(ridge, **exact(lib))(solver)
    loss = lambda theta: jnp.sum(jnp.cos(decorated(START, theta)))  # noqa: E731
    return jax.jacrev(jax.jacrev(loss))(0.3)


@program
def the_default_solver(lib):
    """To what JAXopt's default can do: 1e-5 of the residual, on a well conditioned system."""
    found = [
        jax.jacrev(lib.custom_root(ridge, **given)(solver), argnums=1)(START, 0.3)
        for given in ({}, {"solve": None})
    ]
    return jax.tree.map(lambda a: jnp.round(a, 8), found)


@program
def a_proximal_gradient_fixed_point(lib):
    step = 1 / jnp.linalg.norm(X.T @ X, 2)

    def T(w, level):
        return lib.prox.prox_lasso(w - step * (X.T @ (X @ w - Y)), level, step)

    @lib.custom_fixed_point(T, **exact(lib))
    def lasso(init, level):
        return iterated(lambda w: T(w, level), init)

    return lasso(START, 1.0), jax.jacrev(lasso, argnums=1)(START, 1.0)


@program
def an_elastic_net_with_two_parameters(lib):
    step = 1 / jnp.linalg.norm(X.T @ X, 2)

    def T(w, hyperparams, data):
        features, target = data
        gradient = features.T @ (features @ w - target)
        return lib.prox.prox_elastic_net(w - step * gradient, hyperparams, step)

    @lib.custom_fixed_point(T, **exact(lib))
    def net(init, hyperparams, data):
        return iterated(lambda w: T(w, hyperparams, data), init)

    return jax.jacrev(net, argnums=(1, 2))(START, (0.5, 0.2), (X, Y))


@program
def a_projected_gradient_fixed_point(lib):
    def T(p, total, target):
        return lib.projection.projection_simplex(p - 0.3 * (p - target), total)

    @lib.custom_fixed_point(T, solve=dense)
    def nearest(init, total, target):
        return lib.projection.projection_simplex(target, total)

    target = jnp.array([0.5, -0.2, 0.6, 0.4])
    return jax.jacrev(nearest, argnums=(1, 2))(jnp.ones(4) / 4, 1.0, target)


@program
def a_box_that_is_differentiated(lib):
    def T(x, box, target):
        return lib.projection.projection_box(x - 0.5 * (x - target), box)

    decorated = lib.custom_fixed_point(T, solve=dense)(
        lambda init, box, target: lib.projection.projection_box(target, box)
    )
    box, target = (jnp.full(4, -1.0), jnp.full(4, 0.7)), jnp.array([2.0, 0.3, -3.0, 0.1])
    return jax.jacrev(decorated, argnums=(1, 2))(None, box, target)


@program
def a_mirror_descent_fixed_point(lib):
    def T(p, theta):
        return jax.nn.softmax(jnp.log(p) - 0.5 * (jnp.log(p) + 1 - theta))  # entropy, KL geometry

    decorated = lib.custom_fixed_point(T, solve=dense)(lambda init, theta: jax.nn.softmax(theta))
    return jax.jacrev(decorated, argnums=1)(None, jnp.array([0.3, -0.5, 1.1, 0.0]))


@program
def an_isotonic_fixed_point(lib):
    def T(v, target):
        return lib.isotonic.isotonic_l2_pav(v - 0.5 * (v - target))

    decorated = lib.custom_fixed_point(T, **exact(lib))(
        lambda init, target: lib.isotonic.isotonic_l2_pav(target)
    )
    found = jax.jacrev(decorated, argnums=1)(None, jnp.array([1.0, 3.0, 2.0, 4.0]))
    return jnp.round(found, 6)  # JAXopt adds 1e-8 to the size of a block


@program
def a_fixed_point_with_aux_and_names(lib):
    def T(x, theta, scale):
        return 0.5 * x + scale * theta

    decorated = lib.custom_fixed_point(T, has_aux=True, solve=dense)(
        lambda init, scale, theta: (2 * scale * theta, scale)
    )
    return jax.jacrev(lambda t: decorated(None, theta=t, scale=3.0)[0])(jnp.array([1.0, 2.0]))


class Solution(NamedTuple):
    primal: Any
    dual_eq: Any = None
    dual_ineq: Any = None


@program
def kkt_conditions_in_a_named_tuple(lib):
    q, a = jnp.array([[3.0, 0.5], [0.5, 1.0]]), jnp.array([[1.0, 1.0]])

    def optimality(x, c, b):
        return Solution(q @ x.primal + c + a.T @ x.dual_eq, a @ x.primal - b)

    def solve(init, c, b):
        both = jnp.block([[q, a.T], [a, jnp.zeros((1, 1))]])
        found = jnp.linalg.solve(both, jnp.concatenate([-c, b]))
        return Solution(found[:2], found[2:])

    gmres = partial(lib.linear_solve.solve_gmres, tol=1e-12)
    decorated = lib.custom_root(optimality, solve=gmres)(solve)
    args = (None, jnp.array([1.0, -1.0]), jnp.array([0.5]))
    assert isinstance(decorated(*args), Solution)
    slopes = jax.grad(lambda *args: weighted(decorated(*args)), argnums=(1, 2))(*args)
    return decorated(*args), slopes


@program
def inside_a_larger_program(lib):
    """The outer loss of a bilevel problem, trained for a few steps."""
    decorated = lib.custom_root(ridge, solve=dense)(solver)
    held_out = X[::-1] * 0.9

    def loss(log_theta):
        w = decorated(START, jnp.exp(log_theta))
        return jnp.mean((held_out @ w - Y) ** 2)

    slope = jax.jit(jax.grad(loss))
    log_theta = jnp.asarray(0.0)
    for _ in range(5):
        log_theta = log_theta - slope(log_theta)
    return log_theta


EAGER = ("products_of_a_known_root", "the_decorator", "arguments_by_name", "aux_of_the_solver")


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_program(name, theirs):
    """One compiled program each, which is quickest; a few as they are typed."""

    def run(lib):
        function = partial(PROGRAMS[name], lib)
        return quietly(function if name in EAGER else jax.jit(function))

    assert_close(run(OURS), run(theirs))


# --------------------------------------------------------------------------------- linear solvers

THEIR_SOLVERS = ("lu", "cholesky", "inv", "qr", "cg", "normal_cg", "gmres", "bicgstab")
SHARED = ("lu", "cholesky", "cg", "normal_cg", "gmres", "bicgstab")
ITERATIVE = ("cg", "normal_cg", "gmres", "bicgstab")
RIGHT = jax.jacfwd(formula)(0.3)
WEIGHTS = jnp.array([1.0, -2.0, 0.5, 3.0])
RIGHT_SLOPE = WEIGHTS @ RIGHT


def slope_with(lib, solve):
    """The derivative of a weighted sum, by one adjoint solve."""
    root = lib.custom_root(ridge, solve=solve)(solver)
    return jax.jit(jax.grad(lambda theta: WEIGHTS @ root(START, theta)))(0.3)


@pytest.mark.parametrize("name", THEIR_SOLVERS)
def test_their_solvers_under_our_decorator(name, theirs):
    """An array is as good an answer as a LinearSolution; its residual is formed here."""
    given = {"tol": 1e-12} if name in ITERATIVE else {}
    solve = partial(getattr(theirs.linear_solve, f"solve_{name}"), **given)
    assert_close(quietly(slope_with, OURS, solve), RIGHT_SLOPE)
    assert_close(quietly(slope_with, theirs, solve), RIGHT_SLOPE)


@pytest.mark.parametrize("name", linear_solve.SOLVERS)
def test_our_solvers_under_our_decorator(name):
    if name == "solve_neumann":  # for contractions
        root = simsens.implicit.custom_fixed_point(
            lambda x, t: 0.5 * x + t, solve=linear_solve.solve_neumann
        )(lambda init, t: 2 * t)
        assert float(jax.grad(root, argnums=1)(None, 3.0)) == pytest.approx(2, rel=1e-7)
    else:
        assert_close(slope_with(OURS, linear_solve.SOLVERS[name][0]), RIGHT_SLOPE)


@pytest.mark.parametrize("name", SHARED)
def test_options_of_the_solvers(name, theirs):
    """By partial, as JAXopt's users give them; the ridge of the normal equations is below."""
    given: dict[str, Any] = {} if name == "normal_cg" else {"ridge": 0.1}
    if name in ITERATIVE:
        given |= {"init": jnp.ones(4), "tol": 1e-12, "maxiter": 50}
    found, right = (
        quietly(slope_with, lib, partial(getattr(lib.linear_solve, f"solve_{name}"), **given))
        for lib in (OURS, theirs)
    )
    assert_close(found, right)
    assert (name == "normal_cg") == np.isclose(found, RIGHT_SLOPE, rtol=1e-6)


@pytest.mark.parametrize("name", SHARED)
def test_a_solver_called_by_itself_has_its_answer_in_value(name, theirs):
    matrix, b = X.T @ X, jnp.arange(1.0, 5.0)
    ours = getattr(linear_solve, f"solve_{name}")(lambda v: matrix @ v, b)
    given = {"tol": 1e-12} if name in ITERATIVE else {}
    old = getattr(theirs.linear_solve, f"solve_{name}")
    assert bool(ours.converged)
    assert_close(ours.value, quietly(lambda: old(lambda v: matrix @ v, b, **given)), 1e-8)


def test_a_solve_of_ones_own():
    """Users wrap JAXopt's solvers; a function that hands on what they return works as it did."""

    def solve(matvec, b):
        return linear_solve.solve_cg(matvec, b, maxiter=50)

    def inverse(matvec, b):
        return jnp.linalg.solve(jax.jacfwd(matvec)(b), b)

    assert_close(slope_with(OURS, solve), RIGHT_SLOPE)
    assert_close(slope_with(OURS, inverse), RIGHT_SLOPE)


# ----------------------------------------------------------- JAXopt's objectives and solver classes


def newton(function, init, *args):
    """The minimum of a smooth objective."""
    shape = init.shape

    def step(w):
        hessian = jax.hessian(function)(w, *args).reshape(w.size, w.size)
        move = jnp.linalg.solve(hessian, jax.grad(function)(w, *args).reshape(-1))
        return w - move.reshape(shape)

    return iterated(step, init, 12)


CLASSES = jnp.asarray(rng.integers(0, 3, 12))
OBJECTIVES = {
    "ridge_regression": (START, (X, Y)),
    "l2_multiclass_logreg": (jnp.zeros((4, 3)), (X, CLASSES)),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_their_objectives(name, jaxopt, theirs):
    function = getattr(jaxopt.objective, name)
    init, data = OBJECTIVES[name]

    def slopes(lib):
        decorated = lib.custom_root(jax.grad(function), solve=lib.linear_solve.solve_lu)(
            lambda init, theta, data: newton(function, init, theta, data)
        )

        def loss(theta, data):
            x = decorated(init, theta, data)
            return jnp.sum(jnp.cos(x + jnp.arange(x.size).reshape(x.shape)))

        return jax.jit(jax.grad(loss))(0.5, data)

    assert_close(quietly(slopes, OURS), quietly(slopes, theirs))


def test_a_minimum_that_is_flat_in_one_direction(jaxopt, theirs):
    """Softmax weights without penalty on their mean: singular, and the derivative exists."""

    def function(w, weights):
        centred = w - jnp.mean(w, axis=1, keepdims=True)
        losses = jax.vmap(jaxopt.loss.multiclass_logistic_loss)(CLASSES, X @ w)
        return jnp.sum(weights * losses) / 12 + 0.05 * jnp.sum(centred**2)

    def solve(init, weights):
        flat = lambda w, p: function(w, p) + jnp.sum(jnp.mean(w, axis=1) ** 2)  # noqa: E731
        return newton(flat, init, weights)

    def slope(lib, **given):
        decorated = lib.custom_root(jax.grad(function), **given)(solve)
        centre = lambda w: w - jnp.mean(w, axis=1, keepdims=True)  # noqa: E731
        loss = lambda p: jnp.sum(jnp.cos(centre(decorated(jnp.zeros((4, 3)), p))))  # noqa: E731
        return jax.jit(jax.grad(loss))(jnp.ones(12))

    krylov = partial(theirs.linear_solve.solve_cg, tol=1e-12)
    assert_close(quietly(slope, OURS), quietly(partial(slope, theirs, solve=krylov)), 1e-7)


def classes(jaxopt, lib):
    """JAXopt's solver classes, their start, and the arguments of ``run``."""
    least_squares = jaxopt.objective.least_squares
    settings = {"tol": 1e-12, "maxiter": 3000, "implicit_diff": False, "unroll": False}
    data = (X, Y)
    return {
        "GradientDescent": (
            jaxopt.GradientDescent(jaxopt.objective.ridge_regression, **settings),
            START, (0.5, data),
        ),
        "ProximalGradient": (
            jaxopt.ProximalGradient(least_squares, prox=lib.prox.prox_lasso, **settings),
            START, (0.1, data),
        ),
        "ProjectedGradient": (
            jaxopt.ProjectedGradient(
                least_squares, projection=lib.projection.projection_l2_ball, **settings
            ),
            START, (0.3, data),
        ),
        "FixedPointIteration": (
            jaxopt.FixedPointIteration(lambda x, t: 0.5 * jnp.cos(x) + t, **settings),
            jnp.zeros(2), (0.3,),
        ),
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["GradientDescent", "ProximalGradient", "ProjectedGradient", "FixedPointIteration"]
)
def test_their_solver_classes(name, jaxopt, theirs):
    """``run`` finds the point, ``optimality_fun`` says what it is, ours differentiates."""

    def slope(lib, prox_of):
        old, init, args = classes(jaxopt, prox_of)[name]

        def run(init, *args):
            return tuple(old.run(init, *args))

        decorated = lib.custom_root(
            old.optimality_fun, has_aux=True, solve=lib.linear_solve.solve_lu
        )(run)
        return jax.jit(jax.jacrev(lambda theta: decorated(init, theta, *args[1:])[0]))(args[0])

    right = quietly(slope, theirs, theirs)
    assert np.all(np.isfinite(right))
    assert_close(quietly(slope, OURS, OURS), right, 1e-7)


def test_their_equality_constrained_qp(jaxopt, theirs):
    """Their optimality function, on their KKTSolution, which stays one."""
    q, c = jnp.array([[2.0, 0.5], [0.5, 1.0]]), jnp.array([1.0, -1.0])
    a, b = jnp.array([[1.0, 1.0]]), jnp.array([1.0])
    old = jaxopt.EqualityConstrainedQP(implicit_diff_solve=theirs.linear_solve.solve_lu)

    x = quietly(lambda: old.run(None, (q, c), (a, b)).params)

    def slope(lib):
        gmres = partial(lib.linear_solve.solve_gmres, tol=1e-12)
        decorated = lib.custom_root(old.optimality_fun, solve=gmres)(lambda init, *params: x)
        assert type(decorated(None, (q, c), (a, b))).__name__ == "KKTSolution"
        z = lambda c, b: WEIGHTS[:2] @ decorated(None, (q, c), (a, b)).primal  # noqa: E731
        return jax.jit(jax.grad(z, argnums=(0, 1)))(c, b)

    assert_close(quietly(slope, OURS), quietly(slope, theirs))


# --------------------------------------------------------------- what JAXopt fails at or gets wrong


def decorated_ridge(lib, **given):
    return partial(lib.custom_root(ridge, **given)(solver), START)


@pytest.mark.parametrize("transform", [jax.jacfwd, jax.hessian], ids=["jacfwd", "hessian"])
def test_forward_mode_and_hessians(transform, theirs):
    loss = lambda theta, root: jnp.sum(jnp.cos(root(theta)))  # noqa: E731
    with pytest.raises(TypeError, match="custom_vjp"):
        quietly(lambda: transform(loss)(0.3, decorated_ridge(theirs)))
    right = transform(loss)(0.3, formula)
    found = jax.jit(lambda theta: transform(loss)(theta, decorated_ridge(OURS)))(0.3)
    assert_close(found, right, 1e-12)


def closing_over_theta(lib):
    """Everything about theta comes by closure, and the solver is a loop."""

    def root(theta):
        def optimality(x):
            return x**2 - theta

        @lib.custom_root(optimality)
        def babylonian(init):
            return iterated(lambda x: (x + theta / x) / 2, init, 8)

        return babylonian(jnp.asarray(1.0))

    return root


def test_closures_over_traced_values(theirs):
    with pytest.raises(jax.errors.UnexpectedTracerError):
        quietly(lambda: jax.grad(closing_over_theta(theirs))(4.0))
    root = closing_over_theta(OURS)
    assert float(jax.grad(root)(4.0)) == pytest.approx(1 / 4, rel=1e-12)
    assert float(jax.jit(jax.hessian(root))(4.0)) == pytest.approx(-1 / 32, rel=1e-12)


def test_a_closure_of_the_optimality_function_alone(theirs):
    """JAXopt raises nothing: the derivative is silently zero."""

    def slope(lib):
        def root(theta):
            optimality = lambda x, unit: ridge(x, unit * theta)  # noqa: E731
            decorated = lib.custom_root(optimality)(lambda init, unit: formula(0.3 * unit))
            return decorated(START, 1.0)

        return jax.jacrev(root)(0.3)

    assert np.all(quietly(slope, theirs) == 0)
    assert_close(slope(OURS), RIGHT)


def texts(lib):
    def optimality(w, theta, penalty):
        assert penalty == "ridge"
        return ridge(w, theta)

    decorated = lib.custom_root(optimality)(lambda init, theta, penalty: formula(theta))
    return jax.jacrev(decorated, argnums=1)(START, 0.3, "ridge")


def catch_alls(lib):
    def optimality(w, **parameters):
        return ridge(w, parameters["theta"])

    decorated = lib.custom_root(optimality)(lambda init, **p: formula(p["theta"]))
    return jax.jacrev(lambda theta: decorated(START, theta=theta))(0.3)


def objects_beside_the_solution(lib):
    @lib.custom_root(ridge, has_aux=True)
    def found(init, theta):
        return formula(theta), {"message": "converged"}

    return jax.jacrev(lambda theta: found(START, theta)[0])(0.3)


def another_tree_of_equations(lib):
    """As many equations as unknowns, in a list instead of x's dictionary."""
    decorated = lib.custom_root(lambda x, t: [x["a"] - t, 2 * x["b"] - t])(
        lambda init, t: {"a": t, "b": t / 2}
    )
    found = jax.grad(lambda t: decorated(None, t)["a"] + decorated(None, t)["b"])(1.0)
    return found / 1.5 * RIGHT


@pytest.mark.parametrize(
    "function", [texts, catch_alls, objects_beside_the_solution, another_tree_of_equations]
)
def test_arguments_and_results_that_were_refused(function, theirs):
    with pytest.raises((TypeError, ValueError)):
        quietly(function, theirs)
    assert_close(function(OURS), RIGHT)


@pytest.mark.parametrize(("condition", "wrong"), [(1e3, 1e-3), (1e5, 0.2)])
def test_the_default_on_an_ill_conditioned_system(condition, wrong, theirs):
    """The normal equations square the condition number; nothing told so."""
    left = np.linalg.qr(np.random.default_rng(1).standard_normal((30, 30)))[0]
    values = np.geomspace(1, 1 / condition, 30)
    matrix, inverse = left * values @ left.T, left / values @ left.T

    def error(lib):
        decorated = lib.custom_root(lambda x, t: matrix @ x - t)(lambda init, t: inverse @ t)
        found = jax.jit(jax.jacrev(decorated, argnums=1))(None, jnp.ones(30))
        return np.linalg.norm(found - inverse) / np.linalg.norm(inverse)

    assert quietly(error, theirs) > wrong
    assert error(OURS) < 1e-10


def complex_root(lib):
    matrix = jnp.array([[2 + 1j, 0.5], [0.3j, 1 - 2j]])
    force = jnp.array([1 + 1j, 2.0])
    decorated = lib.custom_root(lambda z, t: matrix @ z - t * force)(
        lambda init, t: jnp.linalg.solve(matrix, t * force)
    )
    right = jnp.sum(jnp.real(jnp.linalg.solve(matrix, force)))
    return jax.grad(lambda t: jnp.sum(jnp.real(decorated(None, t))))(2.0), right


def test_complex_unknowns(theirs):
    found, right = complex_root(OURS)
    assert float(found) == pytest.approx(float(right), rel=1e-12)
    found, right = quietly(complex_root, theirs)
    assert abs(found - right) > right


def test_a_mapping_that_is_not_holomorphic(theirs):
    def slope(lib):
        decorated = lib.custom_root(lambda z, t: z * jnp.abs(z) - t * (3 + 4j))(
            lambda init, t: jnp.sqrt(5 * t) * (0.6 + 0.8j)
        )
        return jax.grad(lambda t: jnp.real(decorated(None, t)))(2.0)

    right = 0.6 * np.sqrt(5 / 8)
    assert float(slope(OURS)) == pytest.approx(right, rel=1e-12)
    assert abs(quietly(slope, theirs) - right) > 1e-6


def half_way(lib):
    """The solver stops far from the root."""
    return lib.custom_root(ridge)(lambda init, theta: 0.5 * formula(theta))


def two_iterations(lib):
    """The adjoint solver stops far from its solution."""
    return lib.custom_root(ridge, solve=partial(lib.linear_solve.solve_cg, maxiter=2))(solver)


def a_system_without_solution(lib):
    diagonal = jnp.array([2.0, 0.0, 1.0, 1.0])
    return lib.custom_root(lambda x, t: diagonal * x - t * jnp.ones(4) * diagonal)(
        lambda init, t: t * jnp.ones(4)
    )


@pytest.mark.parametrize("function", [half_way, two_iterations, a_system_without_solution])
def test_what_did_not_converge_is_nan_and_not_a_number_that_looks_right(function, theirs):
    slope = lambda lib: jax.grad(lambda t: jnp.sum(function(lib)(START, t)))(0.3)  # noqa: E731
    assert np.isfinite(quietly(slope, theirs))
    assert np.isnan(slope(OURS))


def test_a_singular_system_with_a_solution(theirs):
    def slope(lib):
        diagonal = jnp.array([2.0, 0.0])
        decorated = lib.custom_root(
            lambda x, t: diagonal * x - t * jnp.array([1.0, 0.0]), solve=lib.linear_solve.solve_lu
        )(lambda init, t: t * jnp.array([0.5, 0.0]))
        return jax.grad(lambda t: decorated(None, t)[0])(1.0)

    assert np.isnan(quietly(slope, theirs))
    assert float(slope(OURS)) == 0.5


# ---------------------------------------------------------- where changing the import is not enough


def test_an_optimality_function_is_traced():
    """A Python branch on a value works in JAXopt outside jit, and nowhere here."""

    def optimality(w, theta):
        return ridge(w, theta) if theta > 0 else w

    decorated = simsens.implicit.custom_root(optimality)(solver)
    with pytest.raises(jax.errors.TracerBoolConversionError):
        jax.grad(lambda t: jnp.sum(decorated(START, t)))(0.3)


def test_a_linear_solver_is_traced():
    def on_the_host(matvec, b):
        matrix = np.stack([np.asarray(matvec(e)) for e in np.eye(4)], 1)
        return np.linalg.solve(matrix, np.asarray(b))

    with pytest.raises(jax.errors.TracerArrayConversionError):
        slope_with(OURS, on_the_host)


def test_a_rule_for_reverse_mode_alone_inside_the_optimality_function(theirs):
    @jax.custom_vjp
    def square(x):
        return x**2

    square.defvjp(lambda x: (x**2, x), lambda x, g: (2 * x * g,))

    def slope(lib):
        root = lib.custom_root(lambda x, t: square(x) - t, solve=lib.linear_solve.solve_lu)(
            lambda _, t: jnp.sqrt(t)
        )
        return jax.jacrev(root, argnums=1)(None, jnp.array([4.0, 9.0]))

    assert_close(quietly(slope, theirs), jnp.diag(jnp.array([1 / 4, 1 / 6])))
    with pytest.raises(TypeError, match="custom_vjp"):
        slope(OURS)


def test_a_root_at_zero_that_is_only_nearly_found_needs_a_tolerance(theirs):
    """One percent of what should be nothing: no scale to measure the distance by."""

    def slope(lib, **given):
        decorated = lib.custom_root(lambda x, t: x - t, **given)(lambda init, t: t + 1e-9)
        return jax.grad(decorated, argnums=1)(None, 0.0)

    assert float(quietly(slope, theirs)) == pytest.approx(1)
    assert np.isnan(slope(OURS))
    assert float(slope(OURS, tol=1e-8)) == 1


@pytest.mark.parametrize("option", [{"atol": 1e-9}, {"M": None}, {"solve_method": "batched"}])
def test_options_of_jax_scipy_are_not_taken(option):
    with pytest.raises(TypeError, match="unexpected keyword"):
        slope_with(OURS, partial(linear_solve.solve_gmres, **option))


# ----------------------------------------------------------------- what a first version got wrong


def test_run_keeps_its_named_tuple(jaxopt):
    """``custom_root(..., has_aux=True)(old.run)(...).params``."""
    old, init, args = classes(jaxopt, OURS)["FixedPointIteration"]
    decorated = simsens.implicit.custom_root(old.optimality_fun, has_aux=True)(old.run)
    assert np.all(np.isfinite(quietly(lambda: decorated(init, *args).params)))


def test_more_than_one_aux():
    decorated = simsens.implicit.custom_root(ridge, has_aux=True)(
        lambda init, theta: (formula(theta), 7, "converged")
    )
    assert_close(jax.jacrev(lambda theta: decorated(START, theta)[0])(0.3), RIGHT)


def test_another_objective_in_a_solver_of_theirs(jaxopt):
    def slope(k):
        old = jaxopt.GradientDescent(lambda x, t: 0.5 * k * (x - 1) ** 2 - (t - 1) * x)
        decorated = simsens.implicit.custom_root(old.optimality_fun)(
            lambda init, t: 1 + (t - 1) / k
        )
        return float(jax.grad(decorated, argnums=1)(None, 1.0))

    assert [slope(k) for k in (1.0, 2.0, 4.0)] == [1.0, 0.5, 0.25]


def test_the_ridge_of_the_normal_equations(theirs):
    found, right = (
        quietly(slope_with, lib, partial(lib.linear_solve.solve_normal_cg, ridge=0.1, tol=1e-12))
        for lib in (OURS, theirs)
    )
    assert_close(found, right)


def names_in_another_order(lib):
    def optimality(w, theta, scale):
        return scale * ridge(w, theta)

    decorated = lib.custom_root(optimality, solve=lib.linear_solve.solve_lu)(
        lambda init, scale, theta: formula(theta)
    )
    return jax.grad(lambda theta: WEIGHTS @ decorated(START, scale=2.0, theta=theta))(0.3)


def test_names_in_another_order_are_silently_exchanged_by_jaxopt(theirs):
    found = quietly(names_in_another_order, theirs)
    assert np.all(np.isfinite(found))
    assert not np.allclose(found, RIGHT_SLOPE, rtol=0.1)


def test_names_in_another_order():
    assert_close(names_in_another_order(OURS), RIGHT_SLOPE)
