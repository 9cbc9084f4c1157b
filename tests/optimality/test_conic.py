"""Conic programmes: a linear one against linprog, a ball in closed form, a cone against diffcp."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from simsens.implicit import custom_root, implicit_root
from simsens.implicit.structure import Declared, declared
from simsens.optimality import conic, conic_point, conic_solution, homogeneous_embedding
from tests import finite_difference
from tests.opaque import concrete
from tests.optimality.catalogue import PROGRAMME, orthant, plain_solve, vertex_solution

EPS = np.finfo(float).eps


def second_order(v):
    """Projection on |v_1..| <= v_0, its own dual, by cases."""
    t, rest = v[0], v[1:]
    size = jnp.linalg.norm(rest)
    half = (1 + t / size) / 2
    outside = half * jnp.append(size, rest)
    return jnp.where(size <= t, v, jnp.where(size <= -t, jnp.zeros_like(v), outside))


# --- a linear programme --------------------------------------------------------------------------


def programme(c, E, d):
    found = linprog(c, A_ub=E, b_ub=d, bounds=(None, None), method="highs-ds")
    return found.x, found.slack, -found.ineqlin.marginals


def test_vertex_is_the_best_of_all():
    c, E, d = map(np.asarray, PROGRAMME)
    corners = [
        np.linalg.solve(E[[i, j]], d[[i, j]]) for i, j in itertools.combinations(range(4), 2)
    ]
    best = min((z for z in corners if np.all(E @ z <= d + 1e-12)), key=lambda z: c @ z)
    np.testing.assert_allclose(vertex_solution(PROGRAMME)[0], best, rtol=0, atol=10 * EPS)


def test_linear_programme_with_an_opaque_solver():
    @custom_root(conic(orthant))
    @concrete
    def solver(init, theta):
        return jax.tree.map(np.asarray, conic_point(*programme(*theta)))

    def primal(theta):
        return conic_solution(orthant, solver(None, theta)).z

    c, E, d = map(np.asarray, PROGRAMME)
    by_c, by_E, by_d = jax.jacrev(primal)((c, E, d))
    # The solution is linear in d up to the next vertex; rounding 10 eps / h with h = 1e-3.
    numeric = finite_difference.gradient(lambda d: programme(c, E, d)[0], d, 1e-3)
    np.testing.assert_allclose(by_d, numeric, rtol=0, atol=1e-11)
    numeric = finite_difference.gradient(lambda E: programme(c, E, d)[0], E, 1e-3)
    np.testing.assert_allclose(by_E, numeric, rtol=0, atol=1e-10)  # and h^4 E^-5 / 480
    np.testing.assert_allclose(by_c, 0, atol=10 * EPS)  # a vertex stays where it is
    idle = [1, 3]
    np.testing.assert_allclose(by_d[:, idle], 0, atol=10 * EPS)


def test_all_three_parts_are_read_from_the_root():
    c, E, d = map(np.asarray, PROGRAMME)
    z, s, y = programme(c, E, d)
    found = conic_solution(orthant, vertex_solution(PROGRAMME))
    for a, b in ((found.z, z), (found.s, s), (found.y, y)):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e2 * EPS)
    np.testing.assert_allclose(E @ found.z + found.s, d, rtol=0, atol=10 * EPS)
    assert float(found.s @ found.y) == 0


def test_degenerate_vertex_lies_on_a_kink():
    """Three constraints meet in a corner of the plane: a root, but no derivative exists."""
    c, E, d = PROGRAMME
    z = vertex_solution(PROGRAMME)[0]
    theta = (c, E, d.at[1].set(E[1] @ z))
    x = (z, vertex_solution(PROGRAMME)[1].at[1].set(0.0))
    F = conic(orthant)
    assert max(float(jnp.max(jnp.abs(part))) for part in F(x, theta)) < 10 * EPS
    one_sided = [orthant(jnp.array(h)) / h for h in (-1e-9, 1e-9)]
    assert one_sided[0] != one_sided[1]  # a kink of the projection exactly at the root


# --- a second-order cone -------------------------------------------------------------------------
# min c z under |z| <= r: z = -r c / |c|, slack (r, z), dual (|c|, c).


def ball(c, r):
    p = c.size
    E = jnp.concatenate([jnp.zeros((1, p)), -jnp.eye(p)])
    return c, E, jnp.append(r, jnp.zeros(p))


def ball_point(c, r):
    z = -r * c / jnp.linalg.norm(c)
    return conic_point(z, jnp.append(r, z), jnp.append(jnp.linalg.norm(c), c))


def test_ball_in_closed_form_to_second_order():
    c, r = jnp.array([1.0, -2.0, 0.5]), 1.5
    x = ball_point(c, r)

    def by_theorem(c, r):
        return implicit_root(
            lambda x, c, r: conic(second_order)(x, ball(c, r)), x, c, r, solve=plain_solve
        )[0]

    def derivatives(f):
        def loss(c, r):
            return jnp.sin(f(c, r)) @ jnp.arange(1.0, 4)

        first = jax.jvp(f, (c, r), (jnp.ones(3), 1.0))[1]
        return first, jax.jvp(jax.grad(loss, (0, 1)), (c, r), (jnp.ones(3), 1.0))

    found = jax.jit(lambda: derivatives(by_theorem))()
    expected = jax.jit(lambda: derivatives(lambda c, r: ball_point(c, r)[0]))()
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e4 * EPS)


def test_random_cone_against_diffcp():
    """min t under |M z - b| <= t, z_0 <= 0.1: the solution and its derivative in b."""
    diffcp = pytest.importorskip("diffcp")
    from scipy import sparse

    rng = np.random.default_rng(3)
    M, b = rng.normal(size=(4, 2)), rng.normal(size=4)
    E = np.zeros((6, 3))
    E[0, 0] = 1
    E[1, 2] = -1
    E[2:, :2] = -M
    d = np.concatenate([[0.1, 0.0], -b])
    c = np.array([0.0, 0.0, 1.0])
    z, y, s, forward, _ = diffcp.solve_and_derivative(
        sparse.csc_matrix(E), d, c, {"l": 1, "q": [5]}, solve_method="SCS",
        eps_abs=1e-12, eps_rel=1e-12,
    )  # fmt: skip

    def dual(v):
        return jnp.concatenate([orthant(v[:1]), second_order(v[1:])])

    x = conic_point(z, s, y)
    residual = np.concatenate(conic(dual)(x, (c, E, d)))
    assert np.max(np.abs(residual)) < 1e-7  # what SCS reaches at a tolerance of 1e-12
    direction = np.concatenate([[0.0, 0.0], rng.normal(size=4)])
    theirs = forward(sparse.csc_matrix(E.shape), direction, np.zeros(3))[0]
    ours = jax.jvp(
        lambda d: implicit_root(conic(dual), x, (c, E, d), solve=plain_solve)[0],
        (d,), (direction,),
    )[1]  # fmt: skip
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)  # their LSQR stops at 1e-6 or so


# --- the embedding itself ------------------------------------------------------------------------


def ray(scale):
    u, v = vertex_solution(PROGRAMME)
    return scale * u, scale * v, jnp.asarray(scale)


@pytest.mark.parametrize("scale", [0.2, 1.0, 30.0])
def test_every_point_of_the_ray_is_a_root_and_the_same_solution(scale):
    F = homogeneous_embedding(orthant)
    for part in F(ray(scale), PROGRAMME):
        assert np.max(np.abs(part)) < 1e2 * EPS * max(scale, 1)
    found = conic_solution(orthant, ray(scale))
    np.testing.assert_allclose(found.z, vertex_solution(PROGRAMME)[0], rtol=1e-14)


def test_homogeneous_and_hence_singular_along_the_root_from_both_sides():
    F = homogeneous_embedding(orthant)
    point = (jnp.array([0.3, -1.0]), jnp.array([1.0, -0.5, 0.2, -2.0]), jnp.array(0.7))
    once, scaled = F(point, PROGRAMME), F(jax.tree.map(lambda a: 3 * a, point), PROGRAMME)
    for a, b in zip(once, scaled):
        np.testing.assert_allclose(3 * a, b, rtol=0, atol=1e2 * EPS)
    flat = np.concatenate([np.atleast_1d(part) for part in ray(1.0)])

    def function(v):
        u, w, k = F((v[:2], v[2:6], v[6]), PROGRAMME)
        return jnp.concatenate([u, w, k[None]])

    A = np.asarray(jax.jit(jax.jacfwd(function))(flat))
    projected = np.concatenate([flat[:2], np.maximum(flat[2:], 0)])
    np.testing.assert_allclose(A @ flat, 0, atol=1e2 * EPS)
    np.testing.assert_allclose(projected @ A, 0, atol=1e2 * EPS)
    values = np.linalg.svd(A, compute_uv=False)
    assert values[-1] < 1e2 * EPS < 1e-3 < values[-2]  # along the ray only


def test_normalised_mapping_is_the_first_two_rows():
    x = (jnp.array([0.3, -1.0]), jnp.array([1.0, -0.5, 0.2, -2.0]))
    rows = homogeneous_embedding(orthant)((*x, jnp.array(1.0)), PROGRAMME)
    for a, b in zip(conic(orthant)(x, PROGRAMME), rows):
        np.testing.assert_allclose(a, b, rtol=0, atol=10 * EPS)
    assert abs(float(rows[2])) > 0.1  # the gap, which vanishes only with the others
    assert declared(conic(orthant)) == declared(homogeneous_embedding(orthant)) == Declared()


def test_no_solution_is_nan():
    """min -z under z >= 0: unbounded, whose certificate is a root with w = 0."""
    theta = (jnp.array([-1.0]), jnp.array([[-1.0]]), jnp.array([0.0]))
    found = conic_solution(orthant, (jnp.array([1.0]), jnp.array([-1.0]), jnp.array(0.0)))
    assert np.isnan(found.z).all()
    assert np.isnan(conic_solution(orthant, (jnp.ones(1), jnp.ones(1), -1.0)).y).all()
    u, v = jnp.array([3.0]), jnp.array([-3.0])
    assert np.max(np.abs(conic(orthant)((u, v), theta)[0])) == 1.0  # never zero: E y = 1 > 0


def test_wrong_sign_of_the_dual_shows():
    z, s, y = (jnp.asarray(part) for part in programme(*map(np.asarray, PROGRAMME)))
    right, wrong = (conic(orthant)(conic_point(z, s, sign * y), PROGRAMME) for sign in (1, -1))
    assert max(np.max(np.abs(part)) for part in right) < 1e2 * EPS
    assert max(np.max(np.abs(part)) for part in wrong) > 0.1


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: conic(orthant)((jnp.ones(2),), PROGRAMME), r"needs x = \(u, v\)"),
        (lambda: conic(orthant)(jnp.ones(6), PROGRAMME), r"needs x = \(u, v\)"),
        (lambda: conic(orthant)((jnp.ones(2), jnp.ones(4)), PROGRAMME[:2]), "theta = "),
        (lambda: conic(orthant)((jnp.ones(4), jnp.ones(2)), PROGRAMME), r"found u \(4,\)"),
        (
            lambda: homogeneous_embedding(orthant)(
                (jnp.ones(2), jnp.ones(4), jnp.ones(1)), PROGRAMME
            ),
            "w a number",
        ),
        (lambda: conic(lambda v: v[:1])((jnp.ones(2), jnp.ones(4)), PROGRAMME), "keep the shape"),
        (lambda: conic_point(jnp.ones(2), jnp.ones(3), jnp.ones(4)), "have one shape"),
        (lambda: conic_solution(orthant, jnp.ones(3)), r"is \(u, v\) or \(u, v, w\)"),
    ],
)
def test_refuses(call, told):
    with pytest.raises(ValueError, match=told):
        call()
