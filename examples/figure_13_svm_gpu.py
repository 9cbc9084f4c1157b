"""Figure 13: the SVM of figure 3 on a GPU, and the memory that differentiating it takes.

On a GPU the paper's unrolled derivatives ran out of memory: they keep every iterate, and what else
the backward pass of an iteration needs. Whatever the device, the memory of a program can be read
off without running it, from the compiler. It is told here for the inner problem as the paper has
it, which sees the data through X (m x p), and as simsens has it, through K = X X^T (m x m);
unrolled and implicit, against the number of inner iterations and of features. Where there is a GPU,
seconds of one outer iteration are told too; elsewhere that part is left out, with a message.

What comes out: implicit is flat in the iterations, unrolled grows with them, as the paper says. But
the iterations here keep little besides the iterate, a fiftieth of what JAXopt's keep
(`tests/benchmarks/svm.py` tells both), and even unrolled nothing comes near the paper's card.

Programs are compiled for 700 samples and 5 classes, in single precision like the paper's on a GPU,
and not run. The paper's card, a P100, has 16 GB.

Blondel et al., Efficient and modular implicit differentiation, arXiv 2105.15183, figure 13.

    python examples/figure_13_svm_gpu.py [-o figure_13.png] [--full]
"""

import argparse
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from svm_experiment import SIZES, classification

from simsens import plots
from simsens.learning import multiclass_kernel_svm
from simsens.learning.svm import dual_objective
from simsens.projection import projection_simplex
from simsens.solvers import ProjectedGradient, solve

SAMPLES, CLASSES, CARD = 700, 5, 16.0
FORMS = ("X", "K")
MODES = ("unrolled", "implicit")


def through_X(theta, X, Y, **options):
    """The dual point by products with X, as the paper has it."""
    rows = lambda x, _: jax.vmap(projection_simplex)(x)  # noqa: E731
    descent = ProjectedGradient(dual_objective, rows, step=5e-4)
    start = jnp.full(Y.shape, 1 / CLASSES, Y.dtype)
    return solve(descent, start, None, X, Y, theta, **options).value


def through_K(theta, K, Y, **options):
    """The dual point by products with K, formed once."""
    return multiclass_kernel_svm(K, Y, theta, step=5e-4, **options).value


def hypergradient(form, mode, iterations):
    """``(theta, matrix, Y) -> derivative`` of a function of the dual point, compiled when used."""
    fit = through_X if form == "X" else through_K
    options = {"differentiation": mode, "tol": 0, "maxiter": iterations, "on_failure": "keep"}
    return jax.jit(jax.grad(lambda theta, A, Y: jnp.sum(jnp.sin(fit(theta, A, Y, **options)))))


def memory(form, mode, features, iterations):
    """Gigabytes of scratch space of a hypergradient, which is compiled and not run."""
    shape = (SAMPLES, features if form == "X" else SAMPLES)
    kind = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((), shape, (SAMPLES, CLASSES))]
    program = hypergradient(form, mode, iterations).lower(*kind).compile()
    return program.memory_analysis().temp_size_in_bytes / 1e9


def seconds(features, iterations):
    """Of one hypergradient by each form, implicit, on the first device."""
    data = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), classification(features, SAMPLES))
    took = []
    for form in FORMS:
        run = hypergradient(form, "implicit", iterations)
        given = (jnp.float32(np.e), data.X if form == "X" else data.K, data.Y)
        jax.block_until_ready(run(*given))
        began = time.perf_counter()
        jax.block_until_ready(run(*given))
        took.append(time.perf_counter() - began)
    return took


def main(output: Path, full: bool) -> None:
    """Tell memory, and time where there is a GPU; draw, and write the numbers beside the figure."""
    sizes = SIZES if full else (100, 1000, 10_000)
    steps = (100, 500, 2500) if full else (100, 2500)
    cases = [(form, mode, p, 2500) for form in FORMS for mode in MODES
             for p in (sizes if form == "X" else sizes[:1])]  # fmt: skip
    cases += [(form, mode, 1000, t) for form in FORMS for mode in MODES for t in steps]
    table = {}
    for case in cases:
        if case not in table:
            table[case] = memory(*case)
            form, mode, features, iterations = case
            over = "  more than the paper's card" if table[case] > CARD else ""
            print(f"through {form}, {mode}, p = {features:5d}, {iterations:4d} iterations:"
                  f" {table[case]:9.4f} GB{over}", flush=True)  # fmt: skip
    device = jax.devices()[0]
    if device.platform == "gpu":
        for features in sizes:
            print(f"{device.device_kind}, p = {features}: {seconds(features, 2500)} s, by X, by K")
    else:
        print(f"no GPU here, only {device.platform}: its seconds are left out")
    plots.save(figure(table, sizes, steps), output)
    with output.with_suffix(".csv").open("w") as file:
        file.write("form,differentiation,features,iterations,gigabytes\n")
        file.writelines(f"{','.join(map(str, case))},{size:.9g}\n" for case, size in table.items())


STYLE = {
    ("X", "unrolled"): ("^-", plots.COLOURS[5], "through X, unrolled"),
    ("K", "unrolled"): ("v--", plots.COLOURS[0], "through K, unrolled"),
    ("X", "implicit"): ("o-", plots.COLOURS[4], "through X, implicit"),
    ("K", "implicit"): ("s--", plots.COLOURS[1], "through K, implicit"),
}


def figure(table, sizes, steps) -> Figure:
    """Memory against features, and against iterations."""
    picture = Figure((9.0, 4.4), layout="constrained")
    left, right = picture.subplots(1, 2, sharey=True)
    for (form, mode), (marker, colour, label) in STYLE.items():
        by_size = [table[form, mode, p if form == "X" else sizes[0], 2500] for p in sizes]
        left.loglog(sizes, by_size, marker, color=colour, label=label)
        by_step = [table[form, mode, 1000, t] for t in steps]
        right.loglog(steps, by_step, marker, color=colour)
    left.set(xlabel="number of features", ylabel="scratch memory, GB")
    left.set_title("2500 iterations", loc="left", fontsize=9.5)
    right.set_xlabel("inner iterations")
    right.set_title("1000 features", loc="left", fontsize=9.5)
    for ax in (left, right):
        ax.axhline(CARD, color=plots.INK, lw=0.8, ls=":")
        ax.annotate("the paper's card", (1, CARD), (-4, -11), xycoords=("axes fraction", "data"),
                    textcoords="offset points", ha="right", fontsize=8)  # fmt: skip
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8.5)
    picture.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8.5)
    return picture


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("figure_13.png"))
    parser.add_argument("--full", action="store_true", help="all of the paper's sizes")
    given = parser.parse_args()
    main(given.output, given.full)
