"""The hypergradient of a known root: simsens against JAXopt and optimistix with lineax.

    OPENBLAS_NUM_THREADS=1 python tests/benchmarks/root_gradients.py [--sizes 10] [--repeats 15]

The root is computed once, to 1e-14, and given to all three, which differentiate a linear function
of it by reverse mode: what is timed is the derivative and nothing else. Each library runs with its
default linear solver and with the one that suits the matrix best. The optimality function is the
same, its data are arguments, not constants. For optimistix the root enters through
``optimistix._ad.implicit_jvp``, which is what its ``ImplicitAdjoint`` calls: no solver is run.

All in one process, calls interleaved, medians. The error is relative, against the closed form
solved by iterative refinement in extended precision.

One thread of OpenBLAS, whose threads contend with those of XLA: on a busy machine a triangular
solve of 0.1 ms may take 20, and whoever makes two of them loses to whoever makes one.

Needs jaxopt, optimistix, lineax.
"""

import argparse
import functools
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import lineax
import numpy as np
import optimistix
from jax.flatten_util import ravel_pytree
from optimistix._ad import implicit_jvp

from simsens.implicit import custom_root

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import jaxopt

SLOW = 4.0  # seconds that all repeats of one call may take
SAMPLE = 0.02  # seconds that one timing lasts at least


@dataclass(frozen=True)
class Problem:
    """F(x, theta, data) with a root, a cotangent, and the gradient of ``<cotangent, x>``."""

    name: str
    size: int
    condition: float
    optimality: Callable[..., Any]
    definite: bool
    x: Any
    theta: Any
    data: Any
    cotangent: Any
    gradient: Any


# ---------------------------------------------------------------------------------- the problems


def ridge_optimality(x, theta, data):
    X, y = data
    return X.T @ (X @ x - y) + theta * x


def logistic_optimality(x, theta, data):
    X, y = data
    return X.T @ (jax.nn.sigmoid(X @ x) - y) + theta * x


def qp_optimality(x, theta, data):
    (c, d), (Q, E) = theta, data
    z, nu = x[: len(c)], x[len(c) :]
    return jnp.concatenate([Q @ z + c + E.T @ nu, E @ z - d])


def design(rng, n, condition):
    """``[2 n, n]`` with singular values such that ``X^T X + I`` has the condition, largest 1."""
    u = np.linalg.qr(rng.standard_normal((2 * n, n)))[0]
    v = np.linalg.qr(rng.standard_normal((n, n)))[0]
    return u * np.sqrt(np.geomspace(1, condition, n) - 1) @ v.T


def refined(product, matrix, b):
    """``matrix^-1 b``, the residual being formed by ``product`` in extended precision."""
    x, inverse = np.zeros_like(b), np.linalg.inv(matrix)
    for _ in range(8):
        x = x + inverse @ (b - product(x)).astype(float)
    return x


def ridge(n, condition, many=False):
    rng = np.random.default_rng(0)
    X, y, c = design(rng, n, condition), rng.standard_normal(2 * n), rng.standard_normal(n)
    long, theta = X.astype(np.longdouble), np.ones(n) if many else 1.0

    def product(v):
        return long.T @ (long @ v) + v

    matrix = X.T @ X + np.eye(n)
    x = refined(product, matrix, long.T @ y.astype(np.longdouble))
    u = refined(product, matrix, c.astype(np.longdouble))
    gradient = -u * x if many else -(u @ x)
    return Problem(
        "ridge", n, condition, ridge_optimality, True, x.astype(float), theta, (X, y), c, gradient
    )


def logistic(n, condition):
    rng = np.random.default_rng(0)
    X, c = 2 * design(rng, n, condition), rng.standard_normal(n)  # the curvature is at most 1/4
    y = (X @ rng.standard_normal(n) / np.sqrt(n) + rng.standard_normal(2 * n) > 0) * 1.0
    theta, long = 1.0, X.astype(np.longdouble)

    def probability(w):
        return 1 / (1 + np.exp(-(long @ w)))

    def slope(w):
        return long.T @ (probability(w) - y) + theta * w

    def objective(w):
        return np.logaddexp(0, X @ w).sum() - y @ (X @ w) + theta * w @ w / 2

    def curvature(w):
        p = probability(w).astype(float)
        return (X.T * (p * (1 - p))) @ X + theta * np.eye(n)

    w = np.zeros(n, np.longdouble)
    for _ in range(60):
        step, length = np.linalg.solve(curvature(w), slope(w).astype(float)), 1.0
        while length > 1e-6 and objective(w - length * step) > objective(w) + 1e-12:
            length /= 2
        w = w - length * step
        if np.linalg.norm(step) < 1e-15 * np.linalg.norm(w):
            break
    p = probability(w)

    def product(v):
        return long.T @ (p * (1 - p) * (long @ v)) + theta * v

    matrix = curvature(w)
    gradient = -(refined(product, matrix, c.astype(np.longdouble)) @ w)
    reached = np.linalg.cond(matrix)
    return Problem(
        "logistic", n, reached, logistic_optimality, True, w.astype(float), theta, (X, y), c,
        gradient,
    )  # fmt: skip


def quadratic_program(n, condition):
    rng = np.random.default_rng(0)
    v = np.linalg.qr(rng.standard_normal((n, n)))[0]
    Q = v * np.geomspace(1, condition, n) @ v.T
    m = n // 5
    E = np.linalg.qr(rng.standard_normal((n, m)))[0].T
    c, d, a = rng.standard_normal(n), rng.standard_normal(m), rng.standard_normal(n)
    K = np.block([[Q, E.T], [E, np.zeros((m, m))]])
    long = K.astype(np.longdouble)
    x = refined(lambda v: long @ v, K, np.concatenate([-c, d]).astype(np.longdouble))
    a = np.concatenate([a, np.zeros(m)])
    u = refined(lambda v: long @ v, K, a.astype(np.longdouble))
    return Problem(
        "QP (KKT)", n + m, np.linalg.cond(K), qp_optimality, False, x.astype(float),
        (c, d), (Q, E), a, np.concatenate([-u[:n], u[n:]]),
    )  # fmt: skip


# --------------------------------------------------------------------------------- the libraries


def by_simsens(problem, **options):
    @custom_root(problem.optimality, **options)
    def root(x, theta, data):
        return x

    return root


def by_jaxopt(problem, **options):
    @jaxopt.implicit_diff.custom_root(problem.optimality, **options)
    def root(x, theta, data):
        return x

    return root


def given(inputs):
    return inputs[1], None


def rewritten(root, _, inputs):
    optimality, _, theta, data = inputs
    return optimality(root, theta, data)


def by_optimistix(problem, solver=lineax.AutoLinearSolver(well_posed=None), tags=()):  # noqa: B008
    def root(x, theta, data):
        inputs = (problem.optimality, x, theta, data)
        return implicit_jvp(given, rewritten, inputs, frozenset(tags), solver)[0]

    return root


def methods(problem):
    """Name and ``root(x, theta, data)`` for each way to differentiate."""
    solve, tags = jaxopt.linear_solve, (lineax.symmetric_tag,)
    if problem.definite:
        known, best = {"definite": True}, solve.solve_cholesky
        solver, tags = lineax.Cholesky(), (*tags, lineax.positive_semidefinite_tag)
    else:
        known, best, solver = {"symmetric": True}, solve.solve_lu, lineax.LU()
    return {
        "simsens": by_simsens(problem, **known),
        "simsens undeclared": by_simsens(problem),
        "simsens keep": by_simsens(problem, **known, on_failure="keep"),
        "JAXopt": by_jaxopt(problem),
        "JAXopt best": by_jaxopt(problem, solve=best),
        "optimistix": by_optimistix(problem),
        "optimistix best": by_optimistix(problem, solver, tags),
    }


def hypergradient(problem, root):
    def loss(theta, x, data):
        return problem.cotangent @ root(x, theta, data)

    return jax.grad(loss)


# ------------------------------------------------------------------------------------ the timing


def seconds(call):
    began = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - began


def interleaved(calls, repeats):
    """The median seconds of each call, all in turn; slow ones are repeated less often."""
    once = {name: seconds(call) for name, call in calls.items()}  # eager ones compile here
    once = {n: min(t, seconds(calls[n])) if t < 2 * SLOW else t for n, t in once.items()}
    times = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            if (1 + len(times[name])) * once[name] > SLOW:
                continue
            number = max(1, int(SAMPLE / once[name]))
            began = time.perf_counter()
            for _ in range(number):
                result = call()
            jax.block_until_ready(result)
            times[name].append((time.perf_counter() - began) / number)
    return {name: statistics.median(values or [once[name]]) for name, values in times.items()}


def compiled_in(function, arguments):
    """Seconds to trace and compile from nothing, and the bytes of scratch space."""
    jax.clear_caches()
    began = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    took = time.perf_counter() - began
    return took, program.memory_analysis().temp_size_in_bytes


def measure(problem, repeats):
    """For each method: compile s, scratch bytes, jit s, eager s, relative error."""
    arguments = jax.tree.map(jnp.asarray, (problem.theta, problem.x, problem.data))
    functions = {name: hypergradient(problem, root) for name, root in methods(problem).items()}
    compiling = {name: compiled_in(f, arguments) for name, f in functions.items()}
    jitted = {name: functools.partial(jax.jit(f), *arguments) for name, f in functions.items()}
    errors = {name: relative_error(call(), problem.gradient) for name, call in jitted.items()}
    calls = interleaved(jitted, repeats)
    direct = {name: functools.partial(f, *arguments) for name, f in functions.items()}
    eager = interleaved({n: c for n, c in direct.items() if calls[n] < SLOW}, max(3, repeats // 3))
    return {
        name: (*compiling[name], calls[name], eager.get(name, np.nan), errors[name])
        for name in functions
    }


def relative_error(found, exact):
    found = np.asarray(ravel_pytree(found)[0], np.longdouble)
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def jacobians(n, condition, repeats):
    """The whole Jacobian by n parameters: forward and reverse mode, seconds and error."""
    problem = ridge(n, condition, many=True)
    arguments = jax.tree.map(jnp.asarray, (problem.theta, problem.x, problem.data))
    exact = -np.linalg.solve(problem.data[0].T @ problem.data[0] + np.eye(n), np.diag(problem.x))
    solve = jaxopt.linear_solve.solve_cholesky

    def jaxopt_forward(x, theta, data):
        def along(t):
            return jaxopt.implicit_diff.root_jvp(
                lambda x, theta: problem.optimality(x, theta, data), x, (theta,), (t,), solve=solve
            )

        return jax.vmap(along, out_axes=1)(jnp.eye(n))

    functions = {"JAXopt best, vmap(root_jvp)": lambda t, x, data: jaxopt_forward(x, t, data)}
    for name, root in methods(problem).items():
        of_theta = lambda t, x, data, root=root: root(x, t, data)  # noqa: E731
        functions[f"{name}, jacrev"] = jax.jacrev(of_theta)
        if "JAXopt" not in name:
            functions[f"{name}, jacfwd"] = jax.jacfwd(of_theta)
    calls = {name: functools.partial(jax.jit(f), *arguments) for name, f in functions.items()}
    errors = {name: relative_error(call(), exact.ravel()) for name, call in calls.items()}
    times = interleaved(calls, repeats)
    return {name: (times[name], errors[name]) for name in calls}


def logistic_objective(x, theta, data):
    X, y = data
    return jnp.sum(jax.nn.softplus(X @ x)) - y @ (X @ x) + theta * x @ x / 2


def whole_fits(n, condition, repeats):
    """Fit and derivative, as each library does it by itself; simsens decorates JAXopt's solver."""
    problem = logistic(n, condition)
    arguments = jax.tree.map(jnp.asarray, (problem.theta, jnp.zeros(n), problem.data))
    by_jaxopt = jaxopt.LBFGS(logistic_objective, tol=1e-10, maxiter=1000)
    plain = jaxopt.LBFGS(logistic_objective, tol=1e-10, maxiter=1000, implicit_diff=False)

    @custom_root(problem.optimality, definite=True)
    def decorated(init, theta, data):
        return plain.run(init, theta, data).params

    def by_optimistix(init, theta, data):
        solver = optimistix.BFGS(rtol=1e-10, atol=1e-10)
        objective = lambda x, args: logistic_objective(x, *args)  # noqa: E731
        return optimistix.minimise(objective, solver, init, (theta, data), max_steps=1000).value

    fits = {
        "simsens around JAXopt's LBFGS": decorated,
        "JAXopt's LBFGS": lambda init, theta, data: by_jaxopt.run(init, theta, data).params,
        "optimistix's BFGS": by_optimistix,
    }
    programs = {name: jax.jit(hypergradient(problem, fit)) for name, fit in fits.items()}
    calls = {name: functools.partial(f, *arguments) for name, f in programs.items()}
    errors = {name: relative_error(call(), problem.gradient) for name, call in calls.items()}
    alone = {f"{name}, the fit alone": functools.partial(jax.jit(fit), arguments[1],
             arguments[0], arguments[2]) for name, fit in fits.items()}  # fmt: skip
    times = interleaved({**calls, **alone}, repeats)
    return {k: (time, f"{errors[k]:.0e}" if k in errors else "") for k, time in times.items()}


# ------------------------------------------------------------------------------------ the report


def table(title, head, rows):
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def duration(value):
    return "-" if np.isnan(value) else f"{1e3 * value:.3g}"


def processor():
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--conditions", type=float, nargs="+", default=[1e1, 1e5])
    parser.add_argument("--repeats", type=int, default=15)
    chosen = parser.parse_args()
    jax.config.update("jax_enable_x64", True)

    print(f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()},", end=" ")
    print(", ".join(f"{p} {version(p)}" for p in ("jax", "jaxopt", "optimistix", "lineax")))
    print(
        f"float64, {jax.default_backend()}, {chosen.repeats} interleaved repeats, medians", end=""
    )
    print(f", OPENBLAS_NUM_THREADS={os.environ.get('OPENBLAS_NUM_THREADS', 'unset')}")

    measured = []
    for problem in (ridge, logistic, quadratic_program):
        for n in chosen.sizes:
            for condition in chosen.conditions:
                case = problem(n, condition)
                label = [case.name, str(case.size), f"{case.condition:.0e}"]
                measured.append((label, measure(case, chosen.repeats)))
                print(*label, flush=True)
                for name, values in measured[-1][1].items():
                    print(f"    {name:20}", *(f"{v:10.3g}" for v in values), flush=True)
    names = list(measured[0][1])
    head = ["problem", "unknowns", "cond", *names]

    def rows(cell):
        return [label + [cell(of[name], of) for name in names] for label, of in measured]

    table("Milliseconds a call under jit, and relative error", head,
          rows(lambda v, of: f"{duration(v[2])} ({v[4]:.0e})"))  # fmt: skip
    table("Time under jit, relative to simsens", head,
          rows(lambda v, of: f"{v[2] / of['simsens'][2]:.2f}"))  # fmt: skip
    table("Seconds to trace and compile; milliseconds an eager call, not the first", head,
          rows(lambda v, of: f"{v[0]:.2f}; {duration(v[3])}"))  # fmt: skip
    table("MB of scratch space", head, rows(lambda v, of: f"{v[1] / 1e6:.3g}"))

    n = 100
    found = jacobians(n, 1e3, chosen.repeats)
    table(f"Ridge, {n} unknowns, {n} parameters, cond 1e3: the whole Jacobian under jit",
          ["method", "ms", "error"],
          [[name, duration(t), f"{e:.0e}"] for name, (t, e) in found.items()])  # fmt: skip
    fits = whole_fits(n, 1e1, chosen.repeats)
    table(f"Logistic regression, {n} unknowns: fit and derivative under jit",
          ["method", "ms", "error"],
          [[name, duration(t), e] for name, (t, e) in fits.items()])  # fmt: skip


if __name__ == "__main__":
    main()
