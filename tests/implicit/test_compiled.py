"""Eager code compiles once for the same functions, and never uses a program that went stale."""

import dataclasses
import functools
import math
import types

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.implicit import compiled, custom_root, prepare_root
from simsens.implicit.fingerprint import LARGEST, Incomparable, fingerprint

EVENTS = []


def _count(name, seconds, **_):
    if "trace_duration" in name or "compile_duration" in name:
        EVENTS.append(name)


jax.monitoring.register_event_duration_secs_listener(_count)


def work_of(function, *args):
    """How many traces and compilations a call takes."""
    EVENTS.clear()
    jax.block_until_ready(function(*args))
    return len(EVENTS)


calls = []
scale = 1.0


def counted(x, t):
    calls.append(1)
    return x**3 - t


@pytest.mark.parametrize("mode", [jax.grad, jax.jacfwd, jax.jacrev, jax.hessian])
def test_the_second_eager_call_traces_nothing(mode):
    root = custom_root(counted)(lambda init, t: jnp.cbrt(t))
    slope = mode(lambda t: root(None, t))
    assert work_of(slope, 8.0) > 0
    seen = len(calls)
    assert work_of(slope, 9.0) == 0
    assert work_of(slope, 10.0) == 0
    assert len(calls) == seen  # not even the user's function is entered


def test_nor_does_one_with_functions_made_anew():
    def slope(t, factor):
        data = np.array([1.0, 2.0])
        root = custom_root(lambda x, t: factor * data * x - t)(lambda init, t: t / (factor * data))
        return jax.grad(lambda t: jnp.sum(root(None, t)))(t)

    first = slope(jnp.ones(2), 2.0)
    assert work_of(slope, jnp.ones(2), 2.0) == 0
    np.testing.assert_allclose(first, [0.5, 0.25], rtol=1e-15)
    np.testing.assert_allclose(slope(jnp.ones(2), 4.0), [0.25, 0.125], rtol=1e-15)


def test_nor_do_prepared_roots():
    root = prepare_root(counted, jnp.array(2.0), 8.0)
    root.jvp((1.0,)), root.vjp(1.0)

    def again():
        root = prepare_root(counted, jnp.array(3.0), 27.0)
        return root.jvp((1.0,))[0], root.vjp(1.0)[0]

    assert work_of(again) == 0


# --- what a function reads may change ------------------------------------------------------------


def slope_of(optimality, solver, t=3.0):
    return float(jax.grad(custom_root(optimality)(solver), argnums=1)(None, t))


def test_a_global_that_changes(monkeypatch):
    def optimality(x, t):
        return scale * x - t

    for value in (1.0, 4.0, 5.0):
        monkeypatch.setitem(globals(), "scale", value)
        assert slope_of(optimality, lambda init, t: t / scale) == pytest.approx(1 / value)


def test_an_array_changed_in_place():
    weights = np.array([2.0])

    def optimality(x, t):
        return weights[0] * x - t

    for value in (2.0, 8.0):
        weights[0] = value
        assert slope_of(optimality, lambda init, t: t / weights[0]) == pytest.approx(1 / value)


def test_a_cell_a_default_an_attribute_a_list_and_a_function_of_a_function():
    factor = 2.0

    def inner(x):
        return factor * x

    def outer(x, t):
        return inner(x) - t

    assert slope_of(outer, lambda init, t: t / factor) == 0.5
    factor = 4.0
    assert slope_of(outer, lambda init, t: t / factor) == 0.25
    layers = [2.0]
    held = types.SimpleNamespace(k=2.0)

    def listed(x, t):
        return layers[0] * held.k * x - t

    assert slope_of(listed, lambda init, t: t / (layers[0] * held.k)) == 0.25
    layers[0] = 4.0
    assert slope_of(listed, lambda init, t: t / (layers[0] * held.k)) == 0.125
    held.k = 4.0
    assert slope_of(listed, lambda init, t: t / (layers[0] * held.k)) == 0.0625


def test_what_a_function_writes_while_traced_does_not_count():
    log = {"n": 0}

    def noisy(x, t):
        log["n"] += 1
        return x**2 - t

    root = custom_root(noisy)(lambda init, t: jnp.sqrt(t))
    slope = jax.grad(lambda t: root(None, t))
    slope(4.0)
    assert work_of(slope, 9.0) == 0
    assert float(slope(16.0)) == 0.125


# --- fingerprints --------------------------------------------------------------------------------


def make(value):
    return lambda x: value


SAME = {
    "numbers": lambda: make(2.0),
    "arrays": lambda: make(np.arange(3.0)),
    "jax arrays": lambda: make(jnp.arange(3.0)),
    "keys": lambda: make(jax.random.key(1)),
    "functions": lambda: make(make(1)),
    "partials": lambda: functools.partial(make, np.ones(2)),
    "grad": lambda: jax.grad(make(1.0)),
    "jit": lambda: jax.jit(make(1.0)),
    "vmap": lambda: jax.vmap(make(1.0)),
    "modules": lambda: make(math),
    "trees": lambda: make({"a": [1, (2.0, "x")], "b": None}),
}
DIFFERENT = [
    (make(2.0), make(3.0)),
    (make(2.0), make(2)),
    (make(1), make(True)),
    (make(0.0), make(-0.0)),
    (make("a"), make(b"a")),
    (make(np.arange(3.0)), make(np.arange(3))),
    (make(np.arange(4.0)), make(np.arange(4.0).reshape(2, 2))),
    (make(np.zeros(2, np.float32)), make(np.zeros(2))),
    (make([1]), make((1,))),
    (jax.grad(make(1.0)), jax.grad(make(2.0))),
    (jax.jit(make(1.0)), jax.jit(make(2.0))),
    (lambda x: x + 1, lambda x: x + 2),
]


@pytest.mark.parametrize("kind", SAME)
def test_equal_contents_are_the_same(kind):
    assert fingerprint(SAME[kind]()) == fingerprint(SAME[kind]())
    hash(fingerprint(SAME[kind]()))


@pytest.mark.parametrize("pair", DIFFERENT)
def test_different_contents_are_not(pair):
    assert fingerprint(pair[0]) != fingerprint(pair[1])


def test_what_cannot_be_compared_is_not_guessed_at():
    for value in (object, types.SimpleNamespace(a=1), open, iter([1])):
        if value is object or value is open:
            fingerprint(make(value))
            continue
        with pytest.raises(Incomparable):
            fingerprint(make(value))
    with pytest.raises(Incomparable, match="traced"):
        jax.jit(lambda t: fingerprint(make(t)))(1.0)
    with pytest.raises(Incomparable, match="large array"):
        fingerprint(make(np.zeros(LARGEST // 8 + 1)))
    with pytest.raises(Incomparable, match="objects"):
        fingerprint(make(np.array([None])))


def test_no_identity_is_given_out_twice():
    # Temporaries (bound methods, tuples of defaults) are freed while a fingerprint is made; a new
    # one at the same address is not the same thing.
    class Held:
        def __init__(self, k):
            self.parts = [functools.partial(make(k * j), np.full(2, k), key=k) for j in range(30)]

        def __call__(self, x):
            return [part(x) for part in self.parts]

    jax.tree_util.register_pytree_node(
        Held, lambda h: (tuple(h.parts), None), lambda _, parts: Held(1)
    )
    keys = {fingerprint(make(Held(float(k)))) for k in range(20)}
    assert len(keys) == 20


def test_recursion_ends():
    def even(n):
        return n == 0 or odd(n - 1)

    def odd(n):
        return n != 0 and even(n - 1)

    assert fingerprint(even) == fingerprint(even)


def test_programs_are_forgotten_in_the_end(monkeypatch):
    monkeypatch.setattr(compiled, "KEPT", 3)
    for k in range(6):
        prepare_root(make_equation(float(k + 1)), jnp.array(1.0), 1.0)
    assert len(compiled._PROGRAMS) <= 3


def make_equation(k):
    return lambda x, t: k * x - t


def solved(F, init=1.0, theta=1.0):
    return prepare_root(F, jnp.asarray(init), theta).jvp((1.0,))[0]


@pytest.mark.parametrize("read", ["package.config.K", "getattr(package.config, 'K')"])
def test_what_a_module_of_a_module_holds_is_read_anew(read):
    package, config = types.ModuleType("package"), types.ModuleType("package.config")
    package.config, config.package, config.K = config, package, 2.0
    F = eval(f"lambda x, t: {read} * x - t", {"package": package})
    assert float(solved(F, 0.5)) == 0.5
    config.K = 4.0
    assert float(solved(F, 0.25)) == 0.25


def test_what_a_dataclass_holds_beside_its_fields_is_not_guessed_at():
    @dataclasses.dataclass
    class Model:
        shift: float = 0.0

    model = Model()
    model.slope = 2.0
    with pytest.raises(Incomparable, match="more attributes"):
        fingerprint(lambda x: model.slope * x)


def test_what_is_counted_does_not_hide_what_is_read_beside_it():
    state = {"count": 0, "slope": 2.0}

    def F(x, t):
        state["count"] += 1
        return state["slope"] * x - t

    assert float(solved(F, 0.5)) == 0.5
    made = state["count"]
    assert float(solved(F, 0.5)) == 0.5
    assert state["count"] == made  # the same program
    state["slope"] = 4.0
    assert float(solved(F, 0.25)) == 0.25


def test_another_shape_is_traced_with_the_function_at_hand():
    def make(factors):
        return lambda x, t: factors[0] * x - t

    first = [2.0]
    assert float(solved(make(first), 0.5)) == 0.5
    first[0] = 4.0
    slope = prepare_root(make([2.0]), jnp.array([0.5]), jnp.ones(1)).jvp((jnp.ones(1),))[0]
    assert slope.tolist() == [0.5]


def test_a_log_of_traced_values_is_nobodys_business():
    log = []

    def F(x, t):
        log.append(x)
        return 2 * x - t

    assert float(solved(F, 0.5)) == float(solved(F, 0.5)) == 0.5


def test_programs_hold_so_many_bytes(monkeypatch):
    monkeypatch.setattr(compiled, "HELD", 1000 * 8)
    for k in range(8):
        data = np.full(300, k + 1.0)
        solved(lambda x, t, data=data: jnp.mean(data) * x - t, 1 / (k + 1))
    held = [program.size for program in compiled._PROGRAMS.values()]
    assert 0 < sum(held) <= 1000 * 8
