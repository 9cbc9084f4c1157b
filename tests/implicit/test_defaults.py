"""What the defaults do where others go wrong: ill-conditioned, tiny, singular, large."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.implicit import custom_root
from simsens.implicit.linear_solve import solve_cg, solve_minres

RNG = np.random.default_rng(3)


def linear_root(matrix, **options):
    """x = A^-1 t, found outside of JAX."""
    inverse = np.linalg.pinv(matrix, rcond=1e-10)
    f = lambda x, t: matrix @ x - t  # noqa: E731
    return custom_root(f, **options)(lambda init, t: inverse @ np.asarray(t)), inverse


def spectrum_of(condition, n=60, symmetric=True):
    q = np.linalg.qr(RNG.standard_normal((n, n)))[0]
    p = q if symmetric else np.linalg.qr(RNG.standard_normal((n, n)))[0]
    return (q * np.geomspace(1 / condition, 1, n)) @ p.T


@pytest.mark.parametrize("kind", ["any", "symmetric", "definite"])
def test_condition_number_1e5(kind):
    matrix = spectrum_of(1e5, symmetric=kind != "any")
    root, inverse = linear_root(matrix, symmetric=kind != "any", definite=kind == "definite")
    t, weight = RNG.standard_normal(60), RNG.standard_normal(60)
    found = jax.grad(lambda t: root(None, t) @ weight)(t)
    exact = np.linalg.solve(matrix.T, weight)
    assert np.linalg.norm(found - exact) <= 1e-8 * np.linalg.norm(exact)
    pushed = jax.jvp(lambda t: root(None, t), (t,), (weight,))[1]
    assert np.linalg.norm(pushed - inverse @ weight) <= 1e-8 * np.linalg.norm(inverse @ weight)


@pytest.mark.parametrize("solve", [None, solve_cg, solve_minres])
@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_size_of_a_cotangent_does_not_matter(solve, scale):
    matrix = spectrum_of(1e2)
    root, _ = linear_root(matrix, solve=solve, symmetric=True, definite=True)
    t, weight = jnp.asarray(RNG.standard_normal(60)), RNG.standard_normal(60)
    one = jax.grad(lambda t: root(None, t) @ weight)(t)
    other = jax.grad(lambda t: scale * (root(None, t) @ weight))(t) / scale
    # The same steps but for the rounding of the scale: both err by 1e-11 times the condition.
    assert np.linalg.norm(other - one) <= 2e-9 * np.linalg.norm(one)


@pytest.mark.parametrize("solve", [None, solve_cg, solve_minres])
def test_singular_and_symmetric(solve):
    q = np.linalg.qr(RNG.standard_normal((20, 20)))[0]
    matrix = (q * np.concatenate([[0.0, 0.0], np.geomspace(1, 50, 18)])) @ q.T
    root, inverse = linear_root(matrix, solve=solve, symmetric=True)
    t = matrix @ RNG.standard_normal(20)
    within = matrix @ RNG.standard_normal(20)
    # Consistent: the answer of minimum norm, in both modes.
    pushed = jax.jvp(lambda t: root(None, t), (t,), (within,))[1]
    np.testing.assert_allclose(pushed, inverse @ within, rtol=0, atol=1e-9)
    pulled = jax.grad(lambda t: root(None, t) @ within)(t)
    np.testing.assert_allclose(pulled, inverse @ within, rtol=0, atol=1e-9)
    # Inconsistent: told.
    outside = within + q[:, 0]
    assert np.isnan(jax.jvp(lambda t: root(None, t), (t,), (outside,))[1]).all()
    assert np.isnan(jax.grad(lambda t: root(None, t) @ outside)(t)).all()


@pytest.mark.parametrize("kind", ["any", "symmetric", "definite"])
def test_beyond_the_dense_limit(kind):
    # A chain of 3,000 springs: stiff, of alternating sign (indefinite), or with a drift.
    n = 3000
    own = 3.0 * (1 - 2 * (np.arange(n) % 2)) if kind == "symmetric" else 2.5 * np.ones(n)

    def f(x, t):
        left, right = jnp.roll(x, 1).at[0].set(0), jnp.roll(x, -1).at[-1].set(0)
        drift = 0.3 * (left - right) if kind == "any" else 0
        return own * x - left - right + drift - t * jnp.cos(jnp.arange(n))

    bands = np.zeros((3, n))
    bands[0], bands[2] = (-1.3, -0.7) if kind == "any" else (-1.0, -1.0)
    bands[1] = own
    from scipy.linalg import solve_banded

    def solver(init, t):
        return solve_banded((1, 1), bands, float(t) * np.cos(np.arange(n)))

    root = custom_root(f, symmetric=kind != "any", definite=kind == "definite")(solver)
    expected = solver(None, 1.0)
    for mode in (jax.jacfwd, jax.jacrev):
        if mode is jax.jacrev:
            found = jax.grad(lambda t: root(None, t)[7])(2.0)
            assert float(found) == pytest.approx(expected[7], rel=1e-9)
        else:
            np.testing.assert_allclose(mode(lambda t: root(None, t))(2.0), expected, atol=1e-9)


@pytest.mark.parametrize("options", [{}, {"symmetric": True}, {"definite": True}])
def test_memory_grows_with_n_and_not_with_its_square(options):
    def held(n):
        diagonal = jnp.linspace(1.0, 2.0, n)
        root = custom_root(lambda x, t: diagonal * x**3 - t, **options)(
            lambda init, t: jnp.cbrt(t / diagonal)
        )
        slope = jax.jit(jax.grad(lambda t: jnp.sum(root(None, t))))
        compiled = slope.lower(jax.ShapeDtypeStruct((n,), float)).compile()
        return slope, compiled.memory_analysis().temp_size_in_bytes / (8 * n)

    slope, vectors = held(1_000_000)
    # Conjugate gradients and MINRES keep a dozen vectors, GMRES a basis of twenty; the program
    # around them as many again.
    assert vectors < 150
    t = jnp.linspace(1.0, 2.0, 1_000_000)
    exact = 1 / (3 * jnp.linspace(1.0, 2.0, 1_000_000) ** (1 / 3) * t ** (2 / 3))
    np.testing.assert_allclose(slope(t), exact, rtol=1e-9)
