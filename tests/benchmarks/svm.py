"""One outer iteration of the SVM experiment: simsens against JAXopt, implicit and unrolled.

    OPENBLAS_NUM_THREADS=1 python tests/benchmarks/svm.py [--sizes 100 1000] [--repeats 5]
    python tests/benchmarks/svm.py --memory

The value and the derivative of the validation loss in lambda (``examples/svm_experiment.py``), with
the paper's steps and numbers of iterations, all of them made (tolerance 0). JAXopt solves the same
problem from the same start with the same steps; its linear solver is its default, conjugate
gradients on the normal equations, with the paper's limit of 2500. It is measured with its own
objective, which sees X, and with ours, which sees K = X X^T. K is formed once: its time is told.

All in one process, calls interleaved, medians of wall and of processor seconds. What an unrolled
derivative needs is read off the compiled program; what exceeds --limit is told and not run.

Where the inner problem is not solved, gradients differ: they stand beside the gradient at a
solution that converged to 1e-10, with the residual (of the projected gradient) and the duality gap.

Needs jaxopt, scikit-learn.
"""

import argparse
import functools
import os
import platform
import statistics
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from svm_experiment import SETTINGS, START, classification, inputs, outer_step

from simsens.learning.svm import duality_gap
from simsens.optimality import projected_gradient
from simsens.projection import projection_simplex

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import jaxopt

SLOW = 60.0  # seconds that all repeats of one call may take
INIT = 0.2  # one in five classes

# ---------------------------------------------------------------------------------- the libraries

onto_simplices = jax.vmap(jaxopt.projection.projection_simplex)


def kl_step(x, gradient, step, _):
    return jax.nn.softmax(jnp.log(x) - step * gradient, axis=-1)


def gram_objective(x, theta, data):
    K, Y = data
    return jnp.vdot(Y - x, K @ (Y - x)) / (2 * theta) + jnp.vdot(x, Y)


def by_jaxopt(solver, implicit, gram):
    settings = SETTINGS[solver]
    fun = gram_objective if gram else jaxopt.objective.multiclass_linear_svm_dual
    solve = functools.partial(jaxopt.linear_solve.solve_normal_cg, maxiter=2500)
    options = {"maxiter": settings["maxiter"], "tol": 0.0, "implicit_diff": implicit,
               "implicit_diff_solve": solve}  # fmt: skip
    if solver == "mirror_descent":
        return jaxopt.MirrorDescent(fun, kl_step, settings["step"], **options)
    if solver == "projected_gradient":
        project = lambda x, _: onto_simplices(x)  # noqa: E731
        return jaxopt.ProjectedGradient(fun, project, stepsize=settings["step"], **options)
    prox = jaxopt.prox.make_prox_from_projection(jaxopt.projection.projection_simplex)
    return jaxopt.BlockCoordinateDescent(fun, prox, **options)


def jaxopt_step(solver, implicit, gram=False):
    """``(lambda, data) -> ((loss, x), gradient)``."""
    machine = by_jaxopt(solver, implicit, gram)

    def loss(lam, data):
        theta = jnp.exp(lam)
        init = jnp.full(data.Y.shape, INIT)
        x = machine.run(init, None, theta, (data.K if gram else data.X, data.Y)).params
        if gram:
            scores = data.K_val @ (data.Y - x) / theta
        else:
            scores = data.X_val @ (data.X.T @ (data.Y - x) / theta)
        return jnp.sum((scores - data.Y_val) ** 2) / 2, x

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def methods(solver):
    """Name and outer step of each way to differentiate."""
    ours = functools.partial(outer_step, solver, tol=0, **SETTINGS[solver])
    found = {
        "simsens implicit": ours(),
        "simsens implicit, mirror descent's": ours(fixed_point="mirror_descent"),
        "simsens unrolled": ours(differentiation="unrolled"),
        "JAXopt implicit": jaxopt_step(solver, True),
        "JAXopt unrolled": jaxopt_step(solver, False),
    }
    if solver != "block_coordinate_descent":
        found["JAXopt implicit, given K"] = jaxopt_step(solver, True, gram=True)
    return found


# ------------------------------------------------------------------------------------- measuring


def program(step, data):
    """The compiled program, the seconds it took to compile, and the bytes of scratch space."""
    began = time.perf_counter()
    compiled = step.lower(START, data).compile()
    took = time.perf_counter() - began
    return compiled, took, compiled.memory_analysis().temp_size_in_bytes


def seconds(call):
    wall, busy = time.perf_counter(), time.process_time()
    result = jax.block_until_ready(call())
    return result, time.perf_counter() - wall, time.process_time() - busy


def interleaved(calls, repeats):
    """The result, and the median wall and processor seconds, of each call."""
    first = {name: seconds(call) for name, call in calls.items()}
    times = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            if (1 + len(times[name])) * first[name][1] <= SLOW:
                times[name].append(seconds(call)[1:])
    medians = {}
    for name, (result, *once) in first.items():
        medians[name] = (result, *map(statistics.median, zip(*(times[name] or [once]))))
    return medians


def residual(x, data):
    """The displacement of the projected gradient."""
    K, theta = np.asarray(data.K), np.exp(START)
    fixed = projected_gradient(
        lambda x: gram_objective(x, theta, (K, data.Y)),
        lambda x, _: jax.vmap(projection_simplex)(x),
    )
    return float(jnp.linalg.norm(x - fixed(x, None)))


def reference(data):
    """The gradient at a solution that converged."""
    solver = "projected_gradient"
    step = outer_step(solver, tol=1e-10, maxiter=100_000)
    (loss, solution), slope = step(START, inputs(data, solver))
    return float(loss), float(slope), solution.reason


def measure(data, solver, repeats, limit):
    """Rows of (method, wall, busy, compile seconds, scratch MB, loss, gradient, residual, gap)."""
    calls, told = {}, {}
    for name, step in methods(solver).items():
        given = data if name.startswith("JAXopt") else inputs(data, solver)
        compiled, *told[name] = program(step, given)
        if told[name][1] <= limit:
            calls[name] = functools.partial(compiled, START, given)
    rows, medians = [], interleaved(calls, repeats)
    for name, (compiling, scratch) in told.items():
        row = [name, np.nan, np.nan, compiling, scratch / 1e6, np.nan, np.nan, np.nan, np.nan]
        if name in medians:
            ((loss, found), slope), wall, busy = medians[name]
            x = getattr(found, "value", found)
            gap = duality_gap(x, data.X, data.Y, np.exp(START))
            row[1:3], row[5:] = (wall, busy), map(float, (loss, slope, residual(x, data), gap))
        rows.append(row)
    return rows


# ------------------------------------------------------------------------------------ the report


def header(packages):
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    print(f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores,", end=" ")
    print(f"Python {platform.python_version()}, float64, {jax.default_backend()},", end=" ")
    print(", ".join(f"{name} {version(name)}" for name in packages), end=", ")
    print(f"OPENBLAS_NUM_THREADS={os.environ.get('OPENBLAS_NUM_THREADS', 'unset')}")


COLUMNS = ("wall s", "cpu s", "ratio", "compile s", "scratch MB", "loss", "gradient", "residual",
           "gap")  # fmt: skip


def report(solver, features, rows, known):
    loss, slope, reason = known
    print(f"\n{solver}, p = {features}; at the solution loss {loss:.6f}, gradient {slope:.6f}")
    print(f"({reason})")
    print(f"| {'method':38} | {' | '.join(f'{c:>10}' for c in COLUMNS)} |")
    first = rows[0][1]
    for name, wall, busy, *rest in rows:
        cells = (wall, busy, wall / first, *rest)
        print(f"| {name:38} | {' | '.join(f'{c:10.4g}' for c in cells)} |", flush=True)


def memory(features, counts):
    """Scratch space against the number of inner iterations."""
    data = classification(features)
    print(f"\nMB of scratch space, p = {features}, by the number of inner iterations")
    print(f"| {'method':60} | {' | '.join(f'{count:>7}' for count in counts)} |")
    for solver in SETTINGS:
        for how in ("implicit", "unrolled"):
            cells = []
            for count in counts:
                settings = {**SETTINGS[solver], "maxiter": count}
                step = outer_step(solver, tol=0, differentiation=how, **settings)
                cells.append(program(step, inputs(data, solver))[2] / 1e6)
            numbers = " | ".join(f"{c:7.4g}" for c in cells)
            print(f"| {f'{solver}, {how}':60} | {numbers} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--solvers", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=4.0, help="GB of scratch space")
    parser.add_argument("--memory", action="store_true", help="only the scratch space")
    chosen = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    header(("jax", "jaxopt", "scikit-learn"))
    if chosen.memory:
        return memory(1000, (50, 100, 200, 400))
    print(f"{chosen.repeats} interleaved repeats, medians; lambda = {START:g}")
    for features in chosen.sizes:
        data = classification(features)
        product = jax.jit(lambda X: X @ X.T)
        took = min(seconds(lambda p=product, X=data.X: p(X))[1] for _ in range(3))
        print(f"\np = {features}: K = X X^T takes {took:.3f} s, once")
        known = reference(data)
        for solver in chosen.solvers:
            report(
                solver, features, measure(data, solver, chosen.repeats, chosen.limit * 1e9), known
            )
    return None


if __name__ == "__main__":
    main()
