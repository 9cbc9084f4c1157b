"""Figure 11: dataset distillation in a dozen lines, with any solver: here SciPy's.

The inner problem is an objective, its gradient the root function F, and ``custom_root`` gives the
derivative of whatever solver it decorates. The outer gradient is then ``jax.grad``. All p k weights
are unknowns of the linear system, which conjugate gradients solve by products with the Hessian;
``simsens.learning.distillation`` finds the same with 100 unknowns, which is checked.

The picture is the descent: images that begin as noise, and what a classifier can do that has seen
nothing else.

Blondel et al., Efficient and modular implicit differentiation, arXiv 2105.15183, figure 11.

    python examples/figure_11_distillation.py [--mnist FOLDER] [--full] [-o figure_11.png]
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from distillation_experiment import (
    CLASSES,
    PENALTY,
    accuracy,
    arguments,
    digits,
    draw_images,
    noise,
    write,
)
from matplotlib.figure import Figure

from simsens.implicit import custom_root
from simsens.implicit.linear_solve import solve_cg
from simsens.learning.distillation import distilled_loss
from simsens.optimality import stationary

SHOWN = (0, 1, 2, 4, 8)  # iterations whose images are drawn


def loss(W, X, y):
    """The mean multiclass logistic loss."""
    Z = X @ W
    return jnp.mean(jax.nn.logsumexp(Z, axis=1) - Z[jnp.arange(len(y)), y])


# The dozen lines ------------------------------------------------------------------------------


def inner(x, theta):
    """What the classifier minimises: flat weights, ten images with the labels 0 .. 9."""
    W = x.reshape(theta.shape[1], CLASSES)
    return loss(W, theta, jnp.arange(CLASSES)) + PENALTY * jnp.sum(x**2)


slope = jax.jit(jax.value_and_grad(inner))


@custom_root(stationary(inner, convex=True), solve=solve_cg)
def train(init, theta):
    """Any solver: JAX does not look inside."""
    return scipy.optimize.minimize(slope, init, args=(theta,), jac=True, method="L-BFGS-B",
                                   options={"ftol": 0, "gtol": 1e-9}).x  # fmt: skip


def outer(theta, init, X, y):
    """The loss over the whole training set of a classifier that has seen only theta."""
    x = train(init, theta)
    return loss(x.reshape(-1, CLASSES), X, y), x


# ----------------------------------------------------------------------------------------------


def descend(data, steps):
    """The images and the outer loss at each iteration of the heavy ball."""
    theta = noise(data.X.shape[1])
    velocity, x, path = np.zeros_like(theta), np.zeros(theta.size), []
    X, y = jnp.asarray(data.X), jnp.asarray(data.y)
    for _ in range(steps + 1):
        (value, x), gradient = jax.value_and_grad(outer, has_aux=True)(theta, x, X, y)
        path.append((theta, float(value), gradient))
        velocity = 0.9 * velocity - gradient
        theta = theta + velocity
    return path


def check(data, path):
    """Compare the last gradient with that of ``distilled_loss``, and end if they differ."""
    theta, value, gradient = path[-1]
    other = jax.value_and_grad(distilled_loss, has_aux=True)
    (again, _), same = other(theta, data.X, data.y, PENALTY)
    off = np.linalg.norm(gradient - same) / np.linalg.norm(same)
    print(
        f"outer loss {value:.6f}, by distilled_loss {again:.6f}; the gradients differ by {off:.1e}"
    )
    if not off < 1e-6:
        raise SystemExit("the two gradients must be the same")


def draw(path, shown, scores):
    """A row of ten images for each iteration that is shown."""
    picture = Figure((9.6, 0.86 * len(shown) + 0.3), layout="constrained")
    tiles = picture.subplots(len(shown), CLASSES)
    for row, k, score in zip(tiles, shown, scores):
        theta, value, _ = path[k]
        draw_images(row, np.asarray(theta))
        text = f"iteration {k}\nloss {value:.2f}\nreads {100 * score:.0f} %"
        row[0].set_ylabel(text, rotation=0, ha="right", va="center", fontsize=8.5, labelpad=6)
    for label, ax in enumerate(tiles[0]):
        ax.set_title(str(label), fontsize=9.5, pad=3)
    return picture


def main(output: Path, mnist: Path | None, steps: int) -> None:
    """Descend, check, draw, and write the numbers beside the figure."""
    data = digits(mnist)
    print(f"{data.name}: {len(data.y)} training images of {data.side} x {data.side} pixels")
    path = descend(data, steps)
    check(data, path)
    shown = [*(k for k in SHOWN if k < steps), steps]
    scores = [accuracy(path[k][0], data.X_test, data.y_test) for k in shown]
    for k, score in zip(shown, scores):
        print(f"iteration {k:4d}: outer loss {path[k][1]:.4f}, test accuracy {score:.3f}")
    pixels = (f"pixel_{k}" for k in range(data.X.shape[1]))
    table = [
        (k, path[k][1], score, label, *image)
        for k, score in zip(shown, scores)
        for label, image in enumerate(path[k][0])
    ]
    header = ",".join(["iteration", "loss", "accuracy", "label", *pixels])
    write(draw(path, shown, scores), output, header, table)


if __name__ == "__main__":
    chosen = arguments(__doc__, 11, steps=100, full=4000)
    main(chosen.output, chosen.mnist, chosen.steps)
