"""Figure 16: the images of figure 4 once more, by unrolling: they look the same, and take longer.

The same outer descent from the same start, with three gradients:

    implicit               the inner problem by Newton's method (figure 4)
    implicit, descent      by accelerated gradient descent: at most 500 iterations, tolerance 1e-3,
                           started where the last fit ended (the settings of the paper's program)
    unrolled, descent      the same, differentiated through its iterations

The three take turns, a few outer iterations each, so that a busy machine is unfair to none; only
then are the seconds compared in which they reach the same outer loss. Compilation is not counted.

Blondel et al., Efficient and modular implicit differentiation, arXiv 2105.15183, figure 16.

    python examples/figure_16_distilled_unrolled.py [--mnist FOLDER] [--full] [-o figure_16.png]
"""

import functools
import time
from pathlib import Path

import jax
import numpy as np
from distillation_experiment import (
    PENALTY,
    accuracy,
    arguments,
    digits,
    draw_images,
    noise,
    tidy,
    write,
)
from matplotlib.figure import Figure

from simsens import plots
from simsens.implicit.linear_solve import solve_cg
from simsens.learning.distillation import distill
from simsens.learning.logistic import multiclass_logistic, penalised_loss
from simsens.solvers import GradientDescent, solve

PORTION = 10  # outer iterations of one turn


def descent(images, labels, penalty, init, differentiation):
    """The inner problem as in the paper's program."""
    return solve(
        GradientDescent(penalised_loss), init, images, labels, penalty, tol=1e-3, maxiter=500,
        differentiation=differentiation, linear_solve=solve_cg,
    )  # fmt: skip


FITS = {
    "implicit": multiclass_logistic,
    "implicit, descent": functools.partial(descent, differentiation="implicit"),
    "unrolled, descent": functools.partial(descent, differentiation="unrolled"),
}


def descend(data, steps):
    """For each gradient: the images, the outer losses, and the seconds at which each was known."""
    start = noise(data.X.shape[1])

    def turn(state, fit):
        return jax.block_until_ready(distill(state, data.X, data.y, PENALTY, PORTION, fit=fit))

    for fit in FITS.values():  # compiles the first turn and the others
        turn(turn(start, fit), fit)
    states, paths = dict.fromkeys(FITS, start), {name: ([], []) for name in FITS}
    for _ in range(steps // PORTION):
        for name, fit in FITS.items():
            losses, seconds = paths[name]
            began, before = time.perf_counter(), seconds[-1] if seconds else 0.0
            states[name] = turn(states[name], fit)
            took = time.perf_counter() - began
            losses += states[name].loss.tolist()
            seconds += (before + took * np.arange(1, PORTION + 1) / PORTION).tolist()
    return {name: (np.asarray(states[name].images), *map(np.array, paths[name])) for name in FITS}


def report(data, found):
    """Print when each reaches the loss that all reach, and how far the images are apart."""
    common = max(losses[-1] for _, losses, _ in found.values())
    print(f"seconds to the outer loss {common:.5f}:")
    reached = {}
    for name, (images, losses, seconds) in found.items():
        at = np.argmax(losses <= common)
        reached[name] = seconds[at]
        score = accuracy(images, data.X_test, data.y_test)
        print(f"    {name:20}{seconds[at]:8.3f}, {at + 1} iterations, test accuracy {score:.3f}")
    exact, unrolled = (found[name][0] for name in ("implicit", "unrolled, descent"))
    ratios = {name: reached["unrolled, descent"] / when for name, when in reached.items()}
    print(f"unrolled / implicit: {ratios['implicit']:.1f}, by the same inner solver"
          f" {ratios['implicit, descent']:.1f}")  # fmt: skip
    apart = np.linalg.norm(unrolled - exact) / np.linalg.norm(exact)
    print(f"the images differ by {100 * apart:.2f} %")
    return ratios["implicit"]


def round_number(x):
    """The largest of 1, 2, 5, 10, 20, ... up to x."""
    decade = 10.0 ** np.floor(np.log10(x))
    return decade * max(k for k in (1, 2, 5) if k * decade <= x)


def draw(found, ratio):
    """Both sets of images and their difference, above the losses against time."""
    exact, unrolled = (found[name][0] for name in ("implicit", "unrolled, descent"))
    apart = unrolled - exact
    most = np.abs(exact).max()
    times = round_number(most / np.abs(apart).max())
    picture = Figure((9.6, 5.2), layout="constrained")
    above, below = picture.subfigures(2, 1, height_ratios=(1.45, 1))
    tiles = above.subplots(3, 10)
    rows = (
        ("implicit", exact),
        ("unrolled", unrolled),
        (f"difference\nx {times:g}", times * apart),
    )
    for axes, (title, images) in zip(tiles, rows):
        draw_images(axes, images, most)
        axes[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=9.5, labelpad=6)
    for label, ax in enumerate(tiles[0]):
        ax.set_title(str(label), fontsize=9.5, pad=3)
    ax = below.subplots()
    for colour, (name, (_, losses, seconds)) in zip((4, 2, 5), found.items()):
        ax.semilogx(seconds, losses, color=plots.COLOURS[colour], lw=1.6, label=name)
    tidy(ax, f"outer loss: the same by unrolling, {ratio:.1f} times later")
    ax.set_xlabel("seconds, without compilation", fontsize=9)
    ax.legend(frameon=False, fontsize=8.5)
    return picture


def main(output: Path, mnist: Path | None, steps: int) -> None:
    """Distil the digits three times, draw them, and write the numbers beside the figure."""
    data = digits(mnist)
    print(f"{data.name}: {len(data.y)} training images of {data.side} x {data.side} pixels")
    found = descend(data, steps)
    picture = draw(found, report(data, found))
    table = [
        (number, label, *image)
        for number, (images, *_) in enumerate(found.values())
        for label, image in enumerate(images)
    ]
    pixels = (f"pixel_{k}" for k in range(data.X.shape[1]))
    write(picture, output, ",".join(["gradient", "label", *pixels]), table)


if __name__ == "__main__":
    chosen = arguments(__doc__, 16, steps=100, full=4000)
    main(chosen.output, chosen.mnist, chosen.steps)
