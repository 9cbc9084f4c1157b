"""Every linear solver on every closed form: value, both modes, Hessian, batches, under jit.

The solver is a callback without derivatives, so a right derivative proves the theorem was used.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from simsens.implicit import custom_root
from simsens.implicit.linear_solve import SOLVERS
from tests.implicit.problems import PROBLEMS

ACCEPTS = {
    "any": ("any",),
    "symmetric": ("any", "symmetric"),
    "definite": ("any", "symmetric", "definite"),
}
CASES = [
    (problem, solver)
    for problem, known in PROBLEMS.items()
    for solver, (_, needs) in SOLVERS.items()
    if needs in ACCEPTS[known.needs] or (needs == "contraction" and known.contraction)
]


def opaque(solution, theta):
    """The formula behind a callback that has no derivative."""
    shape = jax.eval_shape(solution, theta)

    def solver(init, theta):
        call = lambda t: jax.tree.map(np.asarray, solution(t))  # noqa: E731
        return jax.pure_callback(call, shape, theta, vmap_method="sequential")

    return solver


def loss(x):
    flat = ravel_pytree(x)[0]
    return jnp.sum(jnp.cos(flat) * jnp.arange(1.0, flat.size + 1))


def everything(solution):
    """theta -> value, J forward, J reverse, Hessian of a loss: of several theta at once."""

    def compute(theta):
        return {
            "value": solution(theta),
            "forward": jax.jacfwd(solution)(theta),
            "reverse": jax.jacrev(solution)(theta),
            "hessian": jax.hessian(lambda t: loss(solution(t)))(theta),
        }

    return jax.jit(jax.vmap(compute))


EXPECTED = {}


def expected(name):
    if name not in EXPECTED:
        known = PROBLEMS[name]
        batch = jax.tree.map(lambda t: jnp.stack([t * s for s in (1.0, 1.05, 0.97)]), known.theta)
        EXPECTED[name] = batch, everything(known.solution)(batch)
    return EXPECTED[name]


@pytest.mark.parametrize(("name", "solver"), CASES)
def test_closed_forms(name, solver):
    known = PROBLEMS[name]
    chosen = SOLVERS[solver][0]
    if solver == "solve_neumann":  # its default, 1e-8, is for where digits cost too much
        chosen = functools.partial(chosen, tol=1e-12)
    root = custom_root(known.optimality, solve=chosen, **known.structure)(
        opaque(known.solution, known.theta)
    )
    batch, right = expected(name)
    found = everything(lambda theta: root(None, theta))(batch)
    # The problems are of order one with condition numbers below 20; iterations stop at residuals of
    # 1e-12 (1e-11 counts).
    for what, value in right.items():
        for a, b in zip(jax.tree.leaves(found[what]), jax.tree.leaves(value)):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9, err_msg=what)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_default_solver(name):
    known = PROBLEMS[name]
    root = custom_root(known.optimality, **known.structure)(opaque(known.solution, known.theta))
    batch, right = expected(name)
    found = everything(lambda theta: root(None, theta))(batch)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(right)):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_declared_structure_is_true(name):
    known = PROBLEMS[name]
    flat, unravel = ravel_pytree(known.solution(known.theta))
    matrix = jax.jacobian(lambda v: ravel_pytree(known.optimality(unravel(v), known.theta))[0])(
        flat
    )
    assert bool(np.allclose(matrix, matrix.T, atol=1e-14)) == (known.needs != "any")
    if known.needs == "definite":
        assert np.linalg.eigvalsh(matrix).min() > 0
    if known.contraction:
        assert np.abs(np.linalg.eigvals(np.eye(flat.size) - matrix)).max() < 1


@pytest.mark.parametrize("name", ["ridge", "entropy", "equality_qp", "asymmetric"])
def test_taylor_remainders_fall_with_slopes_one_two_three(name):
    """f(t + h d) minus its Taylor polynomial of order 0, 1, 2 falls as h, h^2, h^3."""
    known = PROBLEMS[name]
    root = custom_root(known.optimality, **known.structure)(opaque(known.solution, known.theta))
    flat, unravel = ravel_pytree(known.theta)
    direction = jnp.cos(jnp.arange(1.0, flat.size + 1))

    @jax.jit
    def along(s):
        return loss(root(None, unravel(flat + s * direction)))

    value, first, second = along(0.0), jax.grad(along)(0.0), jax.grad(jax.grad(along))(0.0)
    steps = 0.08 / 2.0 ** np.arange(5)
    values = np.array([float(along(h)) for h in steps])
    remainders = {
        1: values - value,
        2: values - value - steps * first,
        3: values - value - steps * first - steps**2 / 2 * second,
    }
    for order, remainder in remainders.items():
        slopes = np.diff(np.log(np.abs(remainder))) / np.diff(np.log(steps))
        # The next term of the series bends the slope by a term of order h; the last is closest.
        assert slopes[-1] == pytest.approx(order, abs=0.05), (order, slopes)
