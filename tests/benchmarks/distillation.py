"""One outer gradient of dataset distillation, and a run to the same loss: implicit and unrolled.

    OPENBLAS_NUM_THREADS=1 python tests/benchmarks/distillation.py [--rows 60000] [--steps 60]

Ten images are learnt on which logistic regression, penalty 0.1 |W|^2, becomes a classifier of a
training set (Blondel et al., arXiv 2105.15183, section 4.2). The inner solvers:

    simsens    what ``multiclass_logistic`` chooses: Newton's method, one row of unknowns for each
               image; tolerance 1e-8, or 1e-3 ("loose")
    descent    accelerated gradient descent with backtracking on all p k weights, 500 iterations at
               most, tolerance 1e-3: the settings of the paper's public program; ours and JAXopt's,
               each differentiated implicitly (by CG) and unrolled
    tight      the same with tolerance 1e-8

Each starts where the last fit ended, as the outer loop does. Timed, compiled, are the whole
gradient, and the inner part alone: the fit, and one product with its derivative. The rest of the
whole is the outer loss, which all methods pay alike. The residual is |grad f| at the weights that
were used, formed anew; the error is that of the gradient, relative to the one of a fit to 1e-12.

Data: scikit-learn's digits (8 x 8), and the same enlarged to 28 x 28 and shifted at random to as
many rows as MNIST has, which is not packaged. All in one process, calls interleaved, medians.

Needs jaxopt, scikit-learn.
"""

import argparse
import functools
import os
import platform
import statistics
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import zoom
from sklearn.datasets import load_digits

from simsens.implicit.linear_solve import solve_cg
from simsens.learning.distillation import distilled_loss
from simsens.learning.logistic import multiclass_logistic, penalised_loss
from simsens.solvers import GradientDescent, Solution, solve

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import jaxopt

PENALTY, CLASSES = 0.1, 10
LABELS = np.eye(CLASSES)


def training_set(side, rows, dtype):
    """``[rows, side^2]`` images in [0, 1] and their labels."""
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 8, 8) / 16
    if side == 8:
        return X.reshape(-1, 64).astype(dtype), y
    rng, large = np.random.default_rng(0), np.zeros((len(X), 28, 28))
    large[:, 4:24, 4:24] = [zoom(image, 2.5, order=1) for image in X]
    chosen, shifts = rng.integers(0, len(X), rows), rng.integers(-2, 3, (rows, 2))
    images = [np.roll(large[k], shift, (0, 1)) for k, shift in zip(chosen, shifts)]
    return np.asarray(images, dtype).reshape(rows, -1), y[chosen]


# -------------------------------------------------------------------------------------- the fits


def newton(tol=None):
    def fit(images, labels, penalty, init=None):
        return multiclass_logistic(images, labels, penalty, init=init, tol=tol)

    return fit


def descent(differentiation, tol=1e-3, maxiter=500):
    def fit(images, labels, penalty, init=None):
        labels = labels.astype(images.dtype)
        return solve(
            GradientDescent(penalised_loss), init, images, labels, penalty, tol=tol,
            maxiter=maxiter, differentiation=differentiation, linear_solve=solve_cg,
        )  # fmt: skip

    return fit


def by_jaxopt(implicit, tol=1e-3, maxiter=500):
    algorithm = jaxopt.GradientDescent(
        penalised_loss, tol=tol, maxiter=maxiter, implicit_diff=implicit
    )

    def fit(images, labels, penalty, init=None):
        found = algorithm.run(init, images, labels.astype(images.dtype), penalty)
        done, error = found.state.iter_num, found.state.error
        return Solution(found.params, error, done, error <= tol, done)

    return fit


def methods(dtype):
    found = {
        "simsens": newton(),
        "simsens, loose": newton(1e-3),
        "descent, implicit": descent("implicit"),
        "descent, unrolled": descent("unrolled"),
        "JAXopt, implicit": by_jaxopt(True),
        "JAXopt, unrolled": by_jaxopt(False),
    }
    if dtype == np.float64:
        found |= {
            "descent, implicit, tight": descent("implicit", 1e-8),
            "descent, unrolled, tight": descent("unrolled", 1e-8),
            "JAXopt, implicit, tight": by_jaxopt(True, 1e-8),
            "JAXopt, unrolled, tight": by_jaxopt(False, 1e-8),
        }
    return found


def gradient_of(fit):
    """``(images, weights, X, y) -> (loss, weights, |grad f|, iterations), gradient``."""

    def function(images, weights, X, y):
        loss, found = distilled_loss(images, X, y, PENALTY, init=weights, fit=fit)
        left = jax.grad(penalised_loss)(found.value, images, LABELS.astype(images.dtype), PENALTY)
        return loss, (loss, found.value, jnp.linalg.norm(left), found.iterations)

    def swapped(*given):
        slope, told = jax.grad(function, has_aux=True)(*given)
        return told, slope

    return jax.jit(swapped)


# ------------------------------------------------------------------------------------ the timing


def seconds(call):
    began = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - began


def interleaved(calls, repeats):
    """The median seconds of each call, all in turn, in an order that changes.

    What comes after a call that moves much memory would be slow in every round.
    """
    for call in calls.values():
        jax.block_until_ready(call())
    times, order, rng = {name: [] for name in calls}, list(calls), np.random.default_rng(0)
    for _ in range(repeats):
        rng.shuffle(order)
        for name in order:
            times[name].append(seconds(calls[name]))
    return {name: statistics.median(values) for name, values in times.items()}


def beginning(p, dtype):
    return np.asarray(jax.random.normal(jax.random.key(0), (CLASSES, p)) / p, dtype)


def later(images, X, y, steps):
    """Images and weights after a few steps of the heavy ball, and the images that come next."""
    step = gradient_of(newton())
    velocity, weights = np.zeros_like(images), np.zeros((images.shape[1], CLASSES), images.dtype)
    for _ in range(steps):
        (_, weights, *_), slope = step(images, weights, X, y)
        velocity = 0.9 * velocity - slope
        images = images + velocity
    return images, weights


def one_gradient(X, y, repeats):
    """For each method: seconds of the whole and of the inner part, residual, error, iterations."""
    images, weights = later(beginning(X.shape[1], X.dtype), X, y, 30)
    fits = methods(X.dtype)
    programs = {name: gradient_of(fit) for name, fit in fits.items()}
    whole = {n: functools.partial(f, images, weights, X, y) for n, f in programs.items()}
    inner = {n: functools.partial(jax.jit(inner_of(f)), images, weights) for n, f in fits.items()}
    wide = [np.asarray(each, np.float64) for each in (images, weights)]
    exact = gradient_of(newton(1e-12))(*wide, jnp.asarray(X, np.float64), y)[1]
    evidence = {}
    for name, call in whole.items():
        (_, _, residual, done), slope = call()
        error = np.linalg.norm(slope - exact) / np.linalg.norm(exact)
        evidence[name] = (float(residual), error, int(done))
    inner = interleaved(inner, 5 * repeats)  # short calls, on a machine that may be shared
    whole = interleaved(whole, repeats if X.size > 1e7 else 5 * repeats)
    return {name: (whole[name], inner[name], *evidence[name]) for name in fits}


def inner_of(fit):
    """``(images, weights) -> gradient`` of a linear function of the fitted weights."""

    def function(images, weights):
        labels = LABELS.astype(images.dtype)
        return jnp.vdot(weights, fit(images, labels, PENALTY, init=weights).value)

    return jax.grad(function)


class Run:
    """One method's descent by the heavy ball, and the seconds that it has taken."""

    def __init__(self, fit, X, y):
        self.program, self.data, self.velocity = gradient_of(fit), (X, y), 0.0
        self.images = jnp.asarray(beginning(X.shape[1], X.dtype))
        self.weights = jnp.ones((X.shape[1], CLASSES), X.dtype)  # as the public program starts
        self.loss, self.steps, self.took, self.worst = np.inf, 0, 0.0, 0.0
        jax.block_until_ready(self.program(self.images, self.weights, *self.data))

    def step(self):
        began = time.perf_counter()
        (loss, self.weights, residual, _), slope = jax.block_until_ready(
            self.program(self.images, self.weights, *self.data)
        )
        self.took += time.perf_counter() - began
        self.velocity = 0.9 * self.velocity - slope
        self.images = self.images + self.velocity
        self.loss, self.steps = float(loss), self.steps + 1
        self.worst = max(self.worst, float(residual))


def whole_runs(X, y, steps):
    """For each method the run to the loss that the exact gradient reaches in ``steps``.

    The methods take turns, one outer step each, in an order that changes.
    """
    first = Run(newton(), X, y)
    for _ in range(steps):
        first.step()
    runs = {name: Run(fit, X, y) for name, fit in methods(X.dtype).items()}
    rng = np.random.default_rng(0)
    for _ in range(2 * steps):
        going = [run for run in runs.values() if run.loss > first.loss]  # not where it is NaN
        rng.shuffle(going)
        for run in going:
            run.step()
    return first.loss, runs


def scratch(p, limits):
    """Bytes of scratch space of one compiled inner fit and its derivative, by its iteration limit.

    Of the fit alone: the outer loss needs the same whatever the method.
    """
    images, weights = beginning(p, np.float64), jnp.ones((p, CLASSES))

    def of(fit):
        program = jax.jit(inner_of(fit)).lower(images, weights).compile()
        return program.memory_analysis().temp_size_in_bytes

    makers = {
        "simsens": lambda limit: newton(),
        "descent, implicit": lambda limit: descent("implicit", maxiter=limit),
        "descent, unrolled": lambda limit: descent("unrolled", maxiter=limit),
        "JAXopt, implicit": lambda limit: by_jaxopt(True, maxiter=limit),
        "JAXopt, unrolled": lambda limit: by_jaxopt(False, maxiter=limit),
    }
    return {name: [of(make(limit)) for limit in limits] for name, make in makers.items()}


# ------------------------------------------------------------------------------------ the report


def table(title, head, rows):
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


GRADIENT = ["method", "whole ms", "ratio", "inner ms", "ratio", "iterations", "residual", "error"]
RUN = ["method", "outer steps", "s", "ratio", "loss", "worst residual"]


def gradient_rows(found):
    whole, inner, *_ = found["simsens"]
    return [
        [name, f"{1e3 * w:.3g}", f"{w / whole:.2f}", f"{1e3 * i:.3g}", f"{i / inner:.2f}",
         str(done), f"{residual:.0e}", f"{error:.0e}"]
        for name, (w, i, residual, error, done) in found.items()
    ]  # fmt: skip


def run_rows(runs):
    own = runs["simsens"].took
    return [
        [name, str(run.steps), f"{run.took:.3g}", f"{run.took / own:.2f}", f"{run.loss:.6f}",
         f"{run.worst:.0e}"]
        for name, run in runs.items()
    ]  # fmt: skip


def processor():
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--only", choices=("gradient", "run", "memory"))
    chosen = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    print(f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()},", end=" ")
    print(", ".join(f"{p} {version(p)}" for p in ("jax", "jaxopt", "scikit-learn")), end=", ")
    print(f"{jax.default_backend()}; {chosen.repeats} interleaved repeats, medians", end="; ")
    print(f"OPENBLAS_NUM_THREADS={os.environ.get('OPENBLAS_NUM_THREADS', 'unset')}")

    sizes = ((8, 1797, np.float64), (28, 1797, np.float64), (28, chosen.rows, np.float64),
             (28, chosen.rows, np.float32))  # fmt: skip
    for side, rows, dtype in sizes if chosen.only != "memory" else ():
        X, y = training_set(side, rows, dtype)
        X = jnp.asarray(X)
        label = f"{X.shape[0]} x {X.shape[1]}, {X.dtype}"
        if chosen.only in (None, "gradient"):
            found = one_gradient(X, y, chosen.repeats)
            table(f"One outer gradient, {label}", GRADIENT, gradient_rows(found))
        if chosen.only in (None, "run"):
            target, found = whole_runs(X, y, chosen.steps)
            table(f"To the outer loss {target:.6f}, {label}", RUN, run_rows(found))
    if chosen.only in (None, "memory"):
        limits = (50, 500, 5000)
        rows = [[name, *(f"{size / 1e6:.3g}" for size in sizes)]
                for name, sizes in scratch(784, limits).items()]  # fmt: skip
        table("MB of scratch space, inner fit and derivative, p = 784, by the limit of iterations",
              ["method", *map(str, limits)], rows)  # fmt: skip


if __name__ == "__main__":
    main()
