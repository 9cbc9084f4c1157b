"""One policy for two failures: in eager code, under jit, in batches, on two devices."""

import re
import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.implicit import DerivativeFailed, DerivativeWarning, custom_root, root_jvp, root_vjp
from simsens.implicit.failure import POLICIES
from simsens.implicit.linear_solve import solve_cg


def off_the_root(policy, **options):
    """x = sqrt(t), but above t = 5 the solver stops ten percent too far."""
    solver = lambda init, t: jnp.where(t > 5, 1.1, 1.0) * jnp.sqrt(t)  # noqa: E731
    return custom_root(lambda x, t: x**2 - t, on_failure=policy, **options)(solver)


def badly_solved(policy):
    """x = t / (1, 2, 3), but conjugate gradients may take two steps only; they need one at 0."""
    a = jnp.array([1.0, 2.0, 3.0])

    def hurried(matvec, b):
        return solve_cg(matvec, b, maxiter=2)

    return custom_root(lambda x, t: a * x - t, solve=hurried, symmetric=True, on_failure=policy)(
        lambda init, t: t / a
    )


CASES = {
    "not a root": (off_the_root, 4.0, 9.0, 0.25, 1 / 6.6),
    "not solved": (badly_solved, jnp.array([1.0, 0, 0]), jnp.array([1.0, 1, 1]), None, None),
}
SAID = {
    "not a root": "the point is not a root: the norm of F is 1.89",
    "not solved": r"the linear solve of the derivative did not converge: relative residual 0\.141",
}


def gradient(case, policy):
    root = CASES[case][0](policy)
    direction = {"not a root": lambda t: t, "not solved": lambda t: t}[case]
    if case == "not a root":
        return jax.grad(lambda t: root(None, direction(t)))
    # The direction decides how many steps the solve needs.
    return lambda d: jax.jvp(lambda t: root(None, t), (jnp.ones(3),), (d,))[1]


def settled(value):
    """The value, once every message of the program has been delivered."""
    jax.block_until_ready(value)
    jax.effects_barrier()
    return value


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("under", [lambda f: f, jax.jit])
def test_nan(case, under):
    _, good, bad, right, _ = CASES[case]
    function = under(gradient(case, "nan"))
    assert np.isfinite(function(good)).all()
    assert np.isnan(function(bad)).all()
    if right is not None:
        assert float(function(good)) == pytest.approx(right, rel=1e-14)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("under", [lambda f: f, jax.jit])
def test_keep(case, under):
    _, _, bad, _, wrong = CASES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = settled(under(gradient(case, "keep"))(bad))
    assert np.isfinite(found).all()
    if wrong is not None:
        assert float(found) == pytest.approx(wrong, rel=1e-14)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("under", [lambda f: f, jax.jit])
def test_warn(case, under):
    _, good, bad, _, _ = CASES[case]
    function = under(gradient(case, "warn"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        settled(function(good))
    with pytest.warns(DerivativeWarning, match=SAID[case]):
        found = settled(function(bad))
    assert np.isfinite(found).all()


@pytest.mark.parametrize("case", CASES)
def test_raise(case):
    _, good, bad, _, _ = CASES[case]
    function = gradient(case, "raise")
    assert np.isfinite(function(good)).all()
    with pytest.raises(DerivativeFailed, match=SAID[case]):
        jax.block_until_ready(function(bad))


@pytest.mark.parametrize("case", CASES)
def test_each_member_of_a_batch_is_judged_alone(case):
    _, good, bad, _, _ = CASES[case]
    both = jnp.stack([jnp.asarray(good), jnp.asarray(bad)])
    for under in (lambda f: f, jax.jit):
        found = under(jax.vmap(gradient(case, "nan")))(both)
        assert np.isfinite(found[0]).all()
        assert np.isnan(found[1]).all()
    with pytest.warns(DerivativeWarning) as record:
        settled(jax.vmap(gradient(case, "warn"))(both))
    assert len(record) == 1
    with pytest.raises(DerivativeFailed, match=SAID[case]):
        jax.block_until_ready(jax.vmap(gradient(case, "raise"))(both))


def test_a_tolerance_of_ones_own():
    strict = jax.grad(off_the_root("nan", tol=1e-12), argnums=1)
    assert float(strict(None, 4.0)) == 0.25
    assert np.isnan(strict(None, 9.0))
    # Ten percent of 3 leave |F| = 1.89.
    lenient = jax.grad(off_the_root("nan", tol=2.0), argnums=1)
    assert float(lenient(None, 9.0)) == pytest.approx(1 / 6.6, rel=1e-14)


def by_factor(factor):
    return lambda init, t: factor * jnp.sqrt(t)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_the_judgement_of_a_root_has_no_unit(unit):
    # The same relative error is told (ten percent) or let pass (a tenth of one) in every unit.
    for factor, fine in ((1.1, False), (1.001, True)):
        root = custom_root(lambda x, t: x**2 - t)(by_factor(factor))
        found = jax.grad(root, argnums=1)(None, 4.0 * unit**2)
        assert bool(np.isfinite(found)) == fine


def test_a_root_at_zero_is_a_root():
    root = custom_root(lambda x, t: x - t)(lambda init, t: 0.0 * t + 1e-17)
    assert float(jax.grad(root, argnums=1)(None, 0.0)) == 1.0


def test_nan_at_the_point_is_not_trusted():
    root = custom_root(lambda x, t: x**2 - t)(lambda init, t: jnp.nan * t)
    assert np.isnan(jax.grad(root, argnums=1)(None, 4.0))


def test_unknown_policies_list_the_known():
    with pytest.raises(ValueError, match=r"nan, raise, warn, keep; got 'ignore'"):
        custom_root(lambda x, t: x - t, on_failure="ignore")
    assert POLICIES[0] == "nan"


def test_the_functions_follow_the_policy_too():
    f, bad = (lambda x, t: x**2 - t), jnp.array(3.3)
    assert np.isnan(root_jvp(f, bad, (9.0,), (1.0,)))
    assert np.isnan(root_vjp(f, bad, (9.0,), 1.0)[0])
    assert float(root_jvp(f, bad, (9.0,), (1.0,), on_failure="keep")) == pytest.approx(1 / 6.6)
    with pytest.raises(DerivativeFailed, match="not a root"):
        root_jvp(f, bad, (9.0,), (1.0,), on_failure="raise")
    with pytest.warns(DerivativeWarning, match="not a root"):
        root_vjp(f, bad, (9.0,), 1.0, on_failure="warn")
    singular = lambda x, t: jnp.array([1.0, 0.0]) * x - t  # noqa: E731
    at, dt = jnp.array([1.0, 0.0]), (jnp.ones(2),)
    with pytest.raises(DerivativeFailed, match="did not converge"):
        root_jvp(singular, at, (at,), dt, on_failure="raise")


# --- compiled programs and two devices: in processes of their own, which may be left in ruins -----

PROGRAM = """
import jax, jax.numpy as jnp
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 2)
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from simsens.implicit import custom_root

root = custom_root(lambda x, t: x**2 - t, on_failure={policy!r})(
    lambda init, t: jnp.where(t > 5, 1.1, 1.0) * jnp.sqrt(t))
slope = jax.vmap(jax.grad(lambda t: root(None, t)))
mesh = jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Auto,))
t = jnp.array([4.0, 9.0, 1.0, 16.0])
t = jax.device_put(t, NamedSharding(mesh, PartitionSpec({axis})))
function = jax.jit({function})
try:
    print(jax.block_until_ready(function(t)).tolist())
    jax.effects_barrier()
except Exception as error:
    print(type(error).__name__, str(error).strip().splitlines()[-1])
print("alive", float(jax.jit(jnp.sum)(t)))
"""
PROGRAMS = {
    "spread": ("'batch'", "slope"),
    "replicated": ("", "slope"),
    "collective": ("'batch'", "lambda t: jnp.sum(slope(t)) + t"),
}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("policy", POLICIES)
def test_two_devices_do_not_deadlock(program, policy):
    axis, function = PROGRAMS[program]
    code = PROGRAM.format(policy=policy, axis=axis, function=function)
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "alive 30.0" in done.stdout
    if policy == "raise":
        assert "DerivativeFailed: the point is not a root" in done.stdout
        return
    assert ("DerivativeWarning" in done.stderr) == (policy == "warn")
    printed = re.search(r"\[.*\]", done.stdout).group()
    bad = printed.count("nan")
    assert bad == (0 if policy != "nan" else {"collective": 4}.get(program, 2))
