"""The lasso and its hypergradient: simsens against scikit-learn, skglm and JAXopt.

    OPENBLAS_NUM_THREADS=1 python tests/benchmarks/lasso.py [--repeats 7] [--cases diabetes]

Who solves to another accuracy solves another problem. So each library runs with the loosest of its
tolerances at which the measured duality gap, relative to the objective at w = 0, is below 1e-8, and
the gap that it reached stands beside its time. simsens has one accuracy, that of rounding. Each
gets X in the order of memory that it prefers (scikit-learn and skglm by columns, and no copy).

1. The minimum. simsens in eager code; scikit-learn's Lasso and skglm's, fit anew, no intercept.
2. Its derivative: a linear function of the coefficients, differentiated by the penalty in reverse
   mode, the fit included. JAXopt's proximal gradient (accelerated, the step 1/L given) and block
   coordinate descent, under jit; simsens in eager code, under jit, and under jit with as many slots
   as are needed. The error is relative, against the closed form on the support by QR.

All in one process, calls interleaved, medians. A call that would take longer than --limit seconds
to converge is stopped there, as its gap tells, and not made in the cases that follow.

Needs jaxopt and scikit-learn; skglm (which brings numba) is left out where it is missing.
"""

import argparse
import functools
import os
import platform
import statistics
import time
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Lasso

from simsens.learning.lasso import lasso
from simsens.learning.support import slots

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import jaxopt

TARGET = 1e-8  # relative duality gap
SAMPLE = 0.05  # seconds that the repeats of a fast call take each time
TOLERANCES = [10.0**-k for k in range(2, 16)]
SIZES = {"diabetes": (442, 10), "200 x 2000": (200, 2000), "1000 x 10000": (1000, 10000)}


@dataclass(frozen=True)
class Case:
    """A lasso, and the gradient of ``cotangent @ w`` by its penalty."""

    name: str
    share: int
    X: Any
    y: Any
    penalty: float
    cotangent: Any

    def gap(self, w):
        """Relative to the objective at zero; the dual point is the scaled residual."""
        X, y, n = self.X, self.y, len(self.y)
        r = y - X @ w
        u = r * min(1, n * self.penalty / np.abs(X.T @ r).max())
        primal = r @ r / (2 * n) + self.penalty * np.abs(w).sum()
        return max(0.0, primal - (y @ y - (y - u) @ (y - u)) / (2 * n)) / (y @ y / (2 * n))

    def gradient(self, w):
        """-c_S (X_S^T X_S / n)^-1 sign(w_S), by QR."""
        S = w != 0
        R = np.linalg.qr(self.X[:, S], mode="r") / len(self.y) ** 0.5
        return -self.cotangent[S] @ np.linalg.solve(R, np.linalg.solve(R.T, np.sign(w[S])))


def data(name):
    """Diabetes; or columns whose neighbours correlate by one half, n / 20 of them making y."""
    if name == "diabetes":
        return load_diabetes(return_X_y=True)
    n, p = SIZES[name]
    rng = np.random.default_rng(0)
    X = rng.standard_normal((p, n))
    for j in range(1, p):
        X[j] = 0.5 * X[j - 1] + 0.75**0.5 * X[j]
    w = np.zeros(p)
    w[rng.choice(p, n // 20, replace=False)] = rng.standard_normal(n // 20)
    y = X.T @ w
    return np.ascontiguousarray(X.T), y + 0.3 * np.std(y) * rng.standard_normal(n)


def case(name, share):
    X, y = data(name)
    penalty = np.abs(X.T @ y).max() / len(y) / share
    cotangent = np.random.default_rng(1).standard_normal(X.shape[1])
    return Case(name, share, X, y, penalty, cotangent)


# --------------------------------------------------------------------------------- the libraries


def minima(case):
    """Name and ``(tol) -> a call`` that returns the coefficients."""
    columns = np.asfortranarray(case.X)
    X, y = jnp.asarray(case.X), jnp.asarray(case.y)

    def by_simsens(tol):
        return lambda: lasso(X, y, case.penalty).value

    def by_scikit_learn(tol):
        model = Lasso(alpha=case.penalty, fit_intercept=False, copy_X=False, tol=tol,
                      max_iter=1_000_000)  # fmt: skip
        return lambda: model.fit(columns, case.y).coef_

    found = {"simsens": by_simsens, "scikit-learn": by_scikit_learn}
    if find_spec("skglm") is not None:
        from skglm import Lasso as Skglm

        def by_skglm(tol):
            model = Skglm(alpha=case.penalty, fit_intercept=False, tol=tol, max_iter=1000)
            return lambda: model.fit(columns, case.y).coef_

        found["skglm"] = by_skglm
    return found


def hypergradients(case, limit):
    """Name and ``(tol) -> (coefficients, a call)`` that returns the gradient."""
    data = jnp.asarray(case.X), jnp.asarray(case.y)
    c, n = jnp.asarray(case.cotangent), len(case.y)
    step = n / np.linalg.norm(case.X, 2) ** 2

    def objective(w, X, y):
        return jnp.sum((X @ w - y) ** 2) / (2 * n)

    def by_simsens(tol, wrap=jax.jit, **options):
        def coefficients(penalty, data):
            return lasso(*data, penalty, **options).value

        slope = wrap(jax.grad(lambda penalty, data: c @ coefficients(penalty, data)))
        return coefficients(case.penalty, data), lambda: slope(case.penalty, data)

    def by_jaxopt(solver, *split):
        def at(tol):
            def coefficients(penalty, data, maxiter, tol=tol):
                made = solver(maxiter=maxiter, tol=tol)
                return made.run(jnp.zeros(len(c)), penalty, *(data if split else (data,))).params

            timed = jax.jit(functools.partial(coefficients, tol=0.0), static_argnums=2)
            seconds(lambda: timed(case.penalty, data, 5))
            each = seconds(lambda: timed(case.penalty, data, 5)) / 5
            most = max(10, int(limit / each))
            fit = jax.jit(coefficients, static_argnums=2)
            slope = jax.jit(jax.grad(lambda penalty, data: c @ coefficients(penalty, data, most)))
            return fit(case.penalty, data, most), lambda: slope(case.penalty, data)

        return at

    proximal = functools.partial(jaxopt.ProximalGradient, objective, jaxopt.prox.prox_lasso,
                                 stepsize=step)  # fmt: skip
    block = functools.partial(jaxopt.BlockCoordinateDescent, jaxopt.objective.least_squares,
                              jaxopt.prox.prox_lasso)  # fmt: skip
    room = slots(int(np.count_nonzero(lasso(*data, case.penalty).value)))
    return {
        "simsens eager": functools.partial(by_simsens, wrap=lambda f: f),
        "simsens": by_simsens,
        "simsens, slots": functools.partial(by_simsens, nonzeros=room),
        "JAXopt, proximal gradient": by_jaxopt(proximal, True),
        "JAXopt, block coordinates": by_jaxopt(block),
    }


# ------------------------------------------------------------------------------------ the timing


def seconds(call):
    began = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - began


def interleaved(calls, repeats, limit):
    """The median seconds of each call, all in turn; slow ones are repeated less often."""
    once = {name: seconds(call) for name, call in calls.items()}  # compiles
    once = {n: min(t, seconds(calls[n])) if t < limit else t for n, t in once.items()}
    times = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            if (1 + len(times[name])) * once[name] < limit:
                times[name] += [seconds(call) for _ in range(max(1, int(SAMPLE / once[name])))]
    return {name: statistics.median(values or [once[name]]) for name, values in times.items()}


def loosest(case, make, limit):
    """What the loosest tolerance gives that reaches the target, or the best within the limit."""
    for tol in TOLERANCES:
        began = time.perf_counter()
        found = make(tol)
        w, call = found if isinstance(found, tuple) else (found(), found)
        gap = case.gap(np.asarray(w))
        if gap <= TARGET or time.perf_counter() - began > limit:
            break
    return gap, call


def primal(case, repeats, limit):
    """For each library: seconds, gap."""
    found = {name: loosest(case, make, limit) for name, make in minima(case).items()}
    times = interleaved({name: call for name, (_, call) in found.items()}, repeats, limit)
    return {name: (times[name], found[name][0]) for name in found}


def gradients(case, repeats, limit, given_up):
    """For each library: seconds, gap, relative error of the hypergradient.

    Who did not reach the target in time is not asked again, in cases that are larger.
    """
    makers = hypergradients(case, limit)
    asked = {name: make for name, make in makers.items() if name not in given_up}
    found = {name: loosest(case, make, limit) for name, make in asked.items()}
    given_up |= {name for name, (gap, _) in found.items() if gap > TARGET}
    exact = case.gradient(np.asarray(lasso(case.X, case.y, case.penalty).value))
    errors = {name: abs(float(call()) / exact - 1) for name, (_, call) in found.items()}
    times = interleaved({name: call for name, (_, call) in found.items()}, repeats, limit)
    print(case.name, case.share, {name: f"{t:.3g} s" for name, t in times.items()}, flush=True)
    missing = dict.fromkeys(makers, (np.nan, np.nan, np.nan))
    return missing | {name: (times[name], found[name][0], errors[name]) for name in found}


# ------------------------------------------------------------------------------------ the report


def table(title, head, rows):
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def processor():
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--shares", type=int, nargs="+", default=[10, 50])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--limit", type=float, default=60.0)
    chosen = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    warnings.simplefilter("ignore")  # scikit-learn's, of gaps that rounding hides

    packages = ["jax", "jaxopt", "scikit-learn", *(["skglm"] if find_spec("skglm") else [])]
    print(f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()},", end=" ")
    print(", ".join(f"{p} {version(p)}" for p in packages))
    print(f"float64, {jax.default_backend()}, {chosen.repeats} interleaved repeats, medians,",
          f"OPENBLAS_NUM_THREADS={os.environ.get('OPENBLAS_NUM_THREADS', 'unset')}")  # fmt: skip
    if "skglm" not in packages:
        print("skglm is not installed: left out")

    cases = [case(name, share) for name in chosen.cases for share in chosen.shares]
    fits = [primal(case, chosen.repeats, chosen.limit) for case in cases]
    label = [[c.name, f"1/{c.share}", str(np.count_nonzero(lasso(c.X, c.y, c.penalty).value))]
             for c in cases]  # fmt: skip
    head = ["data", "penalty / largest", "non-zeros"]
    table("The minimum: ms (duality gap reached)", head + list(fits[0]),
          [a + [f"{1e3 * t:.3g} ({g:.0e})" for t, g in f.values()] for a, f in zip(label, fits)],
    )  # fmt: skip
    table("The same, time relative to simsens", head + list(fits[0]),
          [a + [f"{t / f['simsens'][0]:.2f}" for t, _ in f.values()] for a, f in zip(label, fits)],
    )  # fmt: skip
    given_up = set()
    slopes = [gradients(case, chosen.repeats, chosen.limit, given_up) for case in cases]
    table("Minimum and hypergradient: ms (gap; error of the hypergradient)", head + list(slopes[0]),
          [a + [f"{1e3 * t:.3g} ({g:.0e}; {e:.0e})" if t > 0 else "-" for t, g, e in f.values()]
           for a, f in zip(label, slopes)])  # fmt: skip
    table("The same, time relative to simsens under jit", head + list(slopes[0]),
          [a + [f"{t / f['simsens'][0]:.2f}" if t > 0 else "-" for t, *_ in f.values()]
           for a, f in zip(label, slopes)])  # fmt: skip


if __name__ == "__main__":
    main()
