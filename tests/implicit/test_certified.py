"""The bound on a derivative's error against the true error, and what a certificate refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.implicit import certified_jvp, certified_vjp, displacement, prepare_root
from simsens.implicit.linear_solve import k_step, one_step, solve_cg, solve_lstsq, solve_neumann
from simsens.implicit.singular_values import singular_values

EPS = np.finfo(float).eps
RNG = np.random.default_rng(5)
FEATURES = RNG.standard_normal((40, 6))
LABELS = np.sign(RNG.standard_normal(40))
DIRECTION = jnp.cos(jnp.arange(6.0))


def logistic(w, theta):
    """Stationarity of l2-regularised logistic regression: the Hessian changes with w."""
    margin = LABELS * (FEATURES @ w)
    return -FEATURES.T @ (LABELS * jax.nn.sigmoid(-margin)) / 40 + theta * w


THETA = jnp.full(6, 0.1)


def exact():
    w = jnp.zeros(6)
    for _ in range(40):
        w = w - jnp.linalg.solve(jax.jacobian(logistic)(w, THETA), logistic(w, THETA))
    a, b = jax.jacobian(logistic, argnums=(0, 1))(w, THETA)
    return w, -jnp.linalg.solve(a, b)


ROOT, JACOBIAN = exact()
OFF = jnp.asarray(RNG.standard_normal(6))


@pytest.mark.parametrize("distance", [1e-1, 1e-2, 1e-4, 1e-6])
def test_the_bound_holds_and_is_not_idle(distance):
    at = ROOT + distance * OFF / jnp.linalg.norm(OFF)
    forward = certified_jvp(logistic, at, (THETA,), (DIRECTION,), symmetric=True)
    error = float(jnp.linalg.norm(forward.value - JACOBIAN @ DIRECTION))
    condition = forward.certificate.largest_curvature / forward.certificate.smallest_curvature
    # |m| / alpha exceeds |A^-1 m| by at most the condition number.
    assert error <= forward.error_bound[0] <= 2 * condition * error
    adjoint = certified_vjp(logistic, at, (THETA,), DIRECTION, symmetric=True)
    wrong = float(jnp.linalg.norm(adjoint.value[0] - JACOBIAN.T @ DIRECTION))
    assert wrong <= adjoint.error_bound[0] <= 10 * condition * wrong
    for found, right in ((forward, JACOBIAN @ DIRECTION), (adjoint, JACOBIAN.T @ DIRECTION)):
        relative = float(found.error_bound[0]) / float(
            jnp.linalg.norm(jax.tree.leaves(found.value)[0])
        )
        assert found.certificate.error_bound[0] == pytest.approx(relative, rel=1e-12)
        # The correction is of second order: the error falls with the square of the distance.
        corrected = jnp.linalg.norm(jax.tree.leaves(found.corrected)[0] - right)
        assert float(corrected) <= 20 * distance**2 + 1e-14
        assert found.certificate.root_error == pytest.approx(distance, rel=0.3)


def test_corrections_converge_with_slope_two():
    errors = []
    for distance in (1e-1, 1e-2, 1e-3):
        at = ROOT + distance * OFF / jnp.linalg.norm(OFF)
        found = certified_jvp(logistic, at, (THETA,), (DIRECTION,), symmetric=True)
        errors.append(
            [
                float(jnp.linalg.norm(found.value - JACOBIAN @ DIRECTION)),
                float(jnp.linalg.norm(found.corrected - JACOBIAN @ DIRECTION)),
            ]
        )
    plain, corrected = np.diff(np.log10(errors), axis=0)[-1]
    assert plain == pytest.approx(-1, abs=0.05)
    assert corrected == pytest.approx(-2, abs=0.1)


def test_ridge_meets_the_theorem_s_bound():
    """F quadratic: Theorem 1's constants are exact, |x - x*| / lambda_min, and ours equals it."""
    theta = jnp.ones(6)
    f = lambda w, t: 2 * (FEATURES.T @ (FEATURES @ w - LABELS) + t * w)  # noqa: E731
    hessian = FEATURES.T @ FEATURES + np.diag(theta)
    root = np.linalg.solve(hessian, FEATURES.T @ LABELS)
    at = root + 1e-3 * np.asarray(OFF)
    found = certified_jvp(f, jnp.asarray(at), (theta,), (jnp.eye(6),), many=True, symmetric=True)
    bound = np.linalg.norm(found.error_bound)
    theorem = np.linalg.norm(at - root) / np.linalg.eigvalsh(hessian).min()
    assert bound == pytest.approx(theorem, rel=1e-9)
    error = np.linalg.norm(found.value.T + np.linalg.solve(hessian, np.diag(root)))
    assert error <= bound


def test_at_the_root_only_rounding_is_left():
    found = certified_jvp(logistic, ROOT, (THETA,), (DIRECTION,), symmetric=True)
    error = float(jnp.linalg.norm(found.value - JACOBIAN @ DIRECTION))
    assert error <= found.error_bound[0] <= 1e-12
    assert found.certificate.trusted
    assert "at most" in found.certificate.reason
    assert "trusted" in str(found.certificate)


def test_the_one_percent_step_is_where_first_order_is_off_by_one_percent():
    found = certified_jvp(logistic, ROOT, (THETA,), (DIRECTION,), symmetric=True)
    step = found.certificate.one_percent_step[0]

    def solve(theta):
        w = ROOT
        for _ in range(20):
            w = w - jnp.linalg.solve(jax.jacobian(logistic)(w, theta), logistic(w, theta))
        return w

    moved = solve(THETA + 0.1 * step * DIRECTION) - ROOT
    predicted = 0.1 * step * found.value
    off = jnp.linalg.norm(moved - predicted) / jnp.linalg.norm(predicted)
    # A tenth of the step is off by a tenth of a percent, and third order changes that little.
    assert float(off) == pytest.approx(1e-3, rel=0.05)


# --- approximate derivatives are measured --------------------------------------------------------

K = 0.7 * np.linalg.qr(RNG.standard_normal((6, 6)))[0]


def contraction(x, b):
    return jnp.tanh(K @ x + b)


B = jnp.asarray(RNG.standard_normal(6))


def fixed_point():
    x = jnp.zeros(6)
    for _ in range(400):
        x = contraction(x, B)
    f = displacement(contraction)
    a, b = jax.jacobian(f, argnums=(0, 1))(x, B)
    return x, -jnp.linalg.solve(a, b)


@pytest.mark.parametrize("solve", [one_step, k_step(3), k_step(8), solve_neumann, solve_lstsq])
def test_the_same_certificate_tells_how_wrong_an_approximation_is(solve):
    x, jacobian = fixed_point()
    f = displacement(contraction)
    for found, right in (
        (certified_jvp(f, x, (B,), (DIRECTION,), solve), jacobian @ DIRECTION),
        (certified_vjp(f, x, (B,), DIRECTION, solve), jacobian.T @ DIRECTION),
    ):
        value = jax.tree.leaves(found.value)[0]
        error = float(jnp.linalg.norm(value - right))
        assert error <= found.error_bound[0] <= 60 * error + 1e-13
        corrected = jax.tree.leaves(found.corrected)[0]
        np.testing.assert_allclose(corrected, right, rtol=0, atol=1e-12)
        if solve is one_step:
            assert not found.certificate.trusted
            assert "the linear solve left" in found.certificate.reason
        if solve in (solve_neumann, solve_lstsq):
            assert found.certificate.trusted


# --- refusals ------------------------------------------------------------------------------------


def refusal(f, x, *args, **options):
    found = certified_jvp(f, x, args, tuple(jnp.ones_like(a) for a in args), **options)
    assert not found.certificate.trusted
    assert "NOT TRUSTED" in str(found.certificate)
    return found.certificate.reason


def test_too_far_to_say_anything():
    reason = refusal(lambda x, t: x**3 - t, jnp.array(0.1), jnp.array(8.0))
    assert "too far from a root" in reason
    assert "does not contract" in reason


def test_off_the_root_is_said_with_its_bound():
    reason = refusal(logistic, ROOT + 0.1 * OFF / jnp.linalg.norm(OFF), THETA, symmetric=True)
    assert "the error bound" in reason
    assert "the root is known to 0.1 only" in reason


def test_a_singular_matrix_is_told():
    reason = refusal(lambda x, t: jnp.array([1.0, 0.0]) * (x - t), jnp.ones(2), jnp.ones(2))
    assert "not unique: A has 1 zero singular value(s)" in reason


def test_a_false_declaration_is_told():
    m = jnp.array([[1.0, 1.0], [0.0, 1.0]])
    x, t = jnp.linalg.solve(m, jnp.ones(2)), jnp.ones(2)
    assert "declared symmetric and is not" in refusal(lambda x, t: m @ x - t, x, t, symmetric=True)
    d = jnp.array([1.0, -2.0])
    reason = refusal(lambda x, t: d * x - t, t / d, t, definite=True)
    assert "declared definite and has 1 negative" in reason


def test_nan_is_told():
    reason = refusal(lambda x, t: x - t + jnp.nan, jnp.ones(2), jnp.ones(2))
    assert reason == "F is not finite at the point"


def test_an_unconverged_solve_shows_in_the_bound():
    hurried = lambda matvec, b: solve_cg(matvec, b, maxiter=2)  # noqa: E731
    found = certified_jvp(logistic, ROOT, (THETA,), (DIRECTION,), hurried, symmetric=True)
    error = float(jnp.linalg.norm(found.value - JACOBIAN @ DIRECTION))
    assert error <= found.error_bound[0]
    assert not bool(found.solution.converged)
    assert not found.certificate.trusted


def test_certificates_are_for_reading():
    with pytest.raises(TypeError, match="outside jit, vmap and grad"):
        jax.jit(lambda x: certified_jvp(logistic, x, (THETA,), (DIRECTION,)).value)(ROOT)


# --- the spectrum --------------------------------------------------------------------------------


@pytest.mark.parametrize("symmetric", [True, False])
def test_singular_values_by_lanczos_are_those_of_the_matrix(symmetric, monkeypatch):
    from simsens.implicit import singular_values as module

    q = np.linalg.qr(RNG.standard_normal((60, 60)))[0]
    p = q if symmetric else np.linalg.qr(RNG.standard_normal((60, 60)))[0]
    values = np.geomspace(0.01, 10, 60)
    matrix = (q * values) @ p.T
    root = prepare_root(lambda x: matrix @ x, jnp.zeros(60), symmetric=symmetric)
    whole = singular_values(root)
    assert (whole.method, whole.zero, whole.sure) == ("dense", 0, True)
    assert whole.smallest == pytest.approx(0.01, rel=1e-10)
    assert whole.largest == pytest.approx(10, rel=1e-12)
    monkeypatch.setattr(module, "WHOLE", 10)
    ends = singular_values(root)
    assert ends.method == "lanczos"
    assert ends.smallest == pytest.approx(0.01, rel=1e-3)
    assert ends.largest == pytest.approx(10, rel=1e-2)
    assert (ends.asymmetry < 1e-12) == symmetric
    np.testing.assert_allclose(np.linalg.norm(matrix @ ends.vector), 0.01, rtol=0.05)


@pytest.mark.parametrize("way", ["forward", "adjoint"])
def test_the_bound_sees_another_direction_grow_soft_on_the_way(way):
    """Between the point and the root the second diagonal entry falls from 1.01 to 0.01."""
    e, eps = 0.01, 1e-3

    def F(x, t):
        y = x[0] - e
        second = (1.01 + 100 * y) * x[1] - eps / (2 * e) * (y * y - e * e)
        return jnp.array([x[0] - t[0], second])

    point, theta = jnp.array([e, 0.0]), jnp.zeros(1)
    if way == "forward":
        found = certified_jvp(F, point, (theta,), (jnp.ones(1),))
        error = np.linalg.norm(np.asarray(found.value) - exact_slope(F, theta))
    else:
        found = certified_vjp(F, point, (theta,), jnp.array([0.0, 1.0]))
        error = abs(float(found.value[0][0]) - exact_slope(F, theta)[1])
    assert error <= found.error_bound[0]


def exact_slope(F, theta):
    root = jnp.array([0.0, 0.0])
    A, B = jax.jacfwd(F, 0)(root, theta), jax.jacfwd(F, 1)(root, theta)
    assert np.abs(F(root, theta)).max() < 1e-15
    return -np.linalg.solve(A, B)[:, 0]
