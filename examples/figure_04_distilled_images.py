"""Figure 4: ten images from which a classifier learns to read digits, by implicit differentiation.

    min over theta of  L(x*(theta); X, y)
    x*(theta) = argmin over x of  L(x; theta, 0 .. 9) + eps |x|^2

with L the mean logistic loss. Each image theta_i is all that logistic regression ever sees of its
class. The outer loss over the whole training set is descended by the heavy ball, momentum 0.9 and
steps of one; its gradient goes through x* by the implicit function theorem: 100 unknowns, whatever
the number of pixels. Test images are never used but to count.

Blondel et al., Efficient and modular implicit differentiation, arXiv 2105.15183, figure 4.

    python examples/figure_04_distilled_images.py [--mnist FOLDER] [--full] [-o figure_04.png]
"""

import time
from pathlib import Path

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
from simsens.learning.distillation import distill
from simsens.learning.logistic import multiclass_logistic

PORTION = 4  # iterations between two counts of the test images


def descend(data, steps):
    """The images, the outer loss at each iteration, and rows (iteration, test accuracy)."""
    images = state = noise(data.X.shape[1])
    losses, scores = [], []
    began = time.perf_counter()
    while len(losses) < steps:
        scores.append((len(losses), accuracy(images, data.X_test, data.y_test)))
        state = distill(state, data.X, data.y, PENALTY, PORTION)
        if not state.converged.all():
            raise SystemExit("an inner fit did not converge")
        losses += state.loss.tolist()
        images = state.images
    took = time.perf_counter() - began
    print(f"{len(losses)} outer iterations in {took:.1f} s, compiling and counting included")
    scores.append((len(losses), accuracy(images, data.X_test, data.y_test)))
    return np.asarray(images), np.array(losses), np.array(scores)


def draw(data, images, losses, scores, best):
    """The images beside the descent that made them."""
    picture = Figure((9.6, 3.5), layout="constrained")
    left, right = picture.subfigures(1, 2, width_ratios=(1.75, 1), wspace=0.04)
    tiles = left.subplots(2, 5)
    draw_images(tiles.flat, images)
    for label, ax in enumerate(tiles.flat):
        ax.set_title(str(label), fontsize=9.5, pad=3)
    left.suptitle(f"all that the classifier was trained on ({data.name})", fontsize=9.5)
    loss, score = right.subplots(2, 1, sharex=True)
    loss.plot(1 + np.arange(len(losses)), losses, color=plots.COLOURS[4], lw=1.4)
    tidy(loss, "outer loss, over the training set")
    level(loss, np.log(10), "chance", len(losses), above=False)
    score.plot(1 + scores[:, 0], 100 * scores[:, 1], color=plots.COLOURS[2], lw=1.4)
    tidy(score, "test images read rightly, %")
    level(score, 100 * best, f"trained on all {len(data.y):,} images", len(losses), above=True)
    score.set_ylim(0, 118)
    score.set_yticks([0, 50, 100])
    score.set_xscale("log")
    score.set_xlabel("outer iteration", fontsize=9)
    return picture


def level(ax, height, text, right, above):
    """A dashed line with a word on what it means."""
    ax.axhline(height, color=plots.GREY, lw=0.8, ls=(0, (4, 3)))
    ax.annotate(text, (right, height), (0, 2 if above else -3), textcoords="offset points",
                ha="right", va="bottom" if above else "top", fontsize=8.5,
                color=plots.GREY)  # fmt: skip


def main(output: Path, mnist: Path | None, steps: int) -> None:
    """Distil the digits, draw them, and write the numbers beside the figure."""
    data = digits(mnist)
    print(f"{data.name}: {len(data.y)} training images of {data.side} x {data.side} pixels")
    images, losses, scores = descend(data, steps)
    whole = multiclass_logistic(data.X, data.y, 1e-4, tol=1e-3).value  # enough to count by
    best = np.mean(np.argmax(data.X_test @ np.asarray(whole), axis=1) == data.y_test)
    print(f"outer loss {losses[0]:.4f} -> {losses[-1]:.4f}")
    print(f"test accuracy {scores[0, 1]:.3f} -> {scores[-1, 1]:.3f}; trained on all {best:.3f}")
    header = ",".join(["label", *(f"pixel_{k}" for k in range(images.shape[1]))])
    picture = draw(data, images, losses, scores, best)
    write(picture, output, header, np.column_stack([np.arange(len(images)), images]))


if __name__ == "__main__":
    chosen = arguments(__doc__, 4, steps=300, full=4000)
    main(chosen.output, chosen.mnist, chosen.steps)
