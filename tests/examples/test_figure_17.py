import importlib.util
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.particles import jax_md_door
from tests.examples.example import ROOT, figure


@pytest.fixture(scope="module")
def example():
    path = ROOT / "examples" / "figure_17_unrolled_fire.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def start(example):
    return example.SIDE * jax.random.uniform(jax.random.key(5), (example.N, 2))


def begin(example, start):
    numbers = (jnp.asarray(0.1), jnp.asarray(0.1), jnp.asarray(0))
    return (start, jnp.zeros_like(start), example.force(start, 0.6), *numbers)


@pytest.mark.slow
def test_unrolled_fire(tmp_path):
    said, header, rows = figure(17, tmp_path)
    assert "\ntrusted: " in said
    assert float(re.search(r"implicit is (\S+) from sensitivity", said)[1]) < 1e-8
    assert float(re.search(r"unrolled is at most (\S+) from implicit", said)[1]) < 1e-5
    assert header == ["c", "start", "steps", "max force", "implicit", "unrolled"]
    table = np.array(rows, float).reshape(2, 10, -1, 6)
    steps = table[0, 0, :, 2]
    for c, block in zip((0.5, 1.0), table):
        assert (block[..., 0] == c).all()
        assert (block[..., 1] == np.arange(10)[:, None]).all()
        assert (block[..., 2] == steps).all()
    force, implicit, unrolled = np.moveaxis(table[..., 3:], -1, 0)
    large = unrolled > 10 * implicit
    # Today's FIRE: large on the way, never at the end, where every start has relaxed.
    assert large[0][:, steps <= 500].any()
    assert not large[0][:, steps == 2000].any()
    assert force[0, :, -1].max() < 1e-9
    # The old one: large to the end, where not every start has relaxed.
    assert large[1][:, steps >= 1000].any()
    assert force[1, :, -1].max() > 1e-8


@pytest.mark.slow
def test_todays_variant_is_that_of_jax_md(example, start):
    init, apply = jax_md_door.minimize().fire_descent(
        lambda x: example.force(x, 0.6), lambda x, move: x + move
    )
    step, apply = jax.jit(example.fire), jax.jit(apply)
    theirs, turned, adapted = init(start), 0, 0
    for _ in range(60):
        numbers = (jnp.asarray(number, float) for number in (theirs.dt, theirs.alpha))
        state = (theirs.position, theirs.momentum, theirs.force, *numbers, theirs.n_pos)
        ours, theirs = step(0.6, 0.5, state), apply(theirs)
        np.testing.assert_allclose(ours[0], theirs.position, atol=1e-13)
        np.testing.assert_allclose(ours[1], theirs.momentum, atol=1e-13)
        # jax-md keeps its constants (0.1, 1.1, 0.99, 0.4) in half precision.
        np.testing.assert_allclose(ours[3], np.float64(theirs.dt), rtol=2e-3)
        np.testing.assert_allclose(ours[4], np.float64(theirs.alpha), rtol=2e-3)
        assert ours[5] == theirs.n_pos
        turned += not np.any(theirs.momentum)
        adapted += float(ours[3]) > float(state[3])
    assert turned  # both branches were taken
    assert adapted


@pytest.mark.slow
def test_variants_differ_by_half_a_push(example, start):
    state = begin(example, start)
    for _ in range(3):
        state = example.fire(0.6, 0.5, state)
    today, old = (example.fire(0.6, c, state)[0] for c in (0.5, 1.0))
    np.testing.assert_allclose(old - today, state[3] ** 2 / 2 * state[2], atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("c", [0.5, 1.0])
def test_unrolled_derivative_is_that_of_the_steps(example, start, optimised, c):
    _, tangent = example.unrolled(start[None], c)
    path = jax.jit(example.trajectory)
    change = path(start, 0.6 + 1e-6, c) - path(start, 0.6 - 1e-6, c)
    for record in (0, 2):  # 10 and 20 steps: later a branch may be taken at another step
        assert example.apart(tangent[0, record], change[record] / 2e-6) < 1e-5
