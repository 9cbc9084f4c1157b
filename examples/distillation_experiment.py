"""What figures 4, 11 and 16 share: the digits, where the images start, and how they are drawn.

By default the digits are those of scikit-learn (8 x 8 pixels, 1,797 images, every fifth kept for
testing); with ``--mnist FOLDER`` those of MNIST, from the four IDX files of its publication, plain
or as ``.gz``. Pixels lie in [0, 1]. The paper's text has the penalty 0.001 |x|^2, its program
0.1 |x|^2, which is used here.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simsens import plots
from simsens.learning.idx import read_idx
from simsens.learning.logistic import multiclass_logistic

PENALTY, CLASSES = 0.1, 10


class Digits(NamedTuple):
    """Images ``[n, p]`` and labels ``[n]``, to train with and to test with."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    name: str

    @property
    def side(self):
        """Pixels along an edge."""
        return int(self.X.shape[1] ** 0.5)


def digits(mnist: Path | None) -> Digits:
    """Those of scikit-learn, or MNIST's from a folder; ends the program where there are none."""
    return _packaged() if mnist is None else _mnist(mnist)


def _packaged() -> Digits:
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise SystemExit("the digits come with scikit-learn: pip install scikit-learn") from None
    X, y = load_digits(return_X_y=True)
    test = np.arange(len(y)) % 5 == 4
    return Digits(X[~test] / 16, y[~test], X[test] / 16, y[test], "digits of scikit-learn")


def _mnist(folder: Path) -> Digits:
    try:
        files = [
            read_idx(_file(folder, f"{part}-{kind}"))
            for part in ("train", "t10k")
            for kind in ("images?idx3-ubyte", "labels?idx1-ubyte")
        ]
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None
    X, y, X_test, y_test = files
    fits = len(X) == len(y) and len(X_test) == len(y_test) and X.shape[1:] == X_test.shape[1:]
    if not fits or X.ndim != 3 or X.shape[1] != X.shape[2] or y.ndim != 1 or y_test.ndim != 1:
        shapes = ", ".join(str(each.shape) for each in files)
        raise SystemExit(f"{folder}: square images and a label for each are needed, found {shapes}")
    flat = [images.reshape(len(images), -1) / 255 for images in (X, X_test)]
    return Digits(flat[0], y, flat[1], y_test, "MNIST")


def _file(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern)) + sorted(folder.glob(f"{pattern}.gz"))
    if not found:
        raise FileNotFoundError(f"{folder}: no {pattern.replace('?', '-')}, plain or .gz; the four"
                                " IDX files of MNIST are needed")  # fmt: skip
    return found[0]


def noise(pixels: int) -> np.ndarray:
    """Where the images start, as in the paper's program: N(0, 1) / p, key 0."""
    return np.asarray(jax.random.normal(jax.random.key(0), (CLASSES, pixels))) / pixels


def accuracy(images, X, y) -> float:
    """The share of X that a classifier trained on nothing but the images gets right."""
    weights = multiclass_logistic(images, np.arange(CLASSES), PENALTY).value
    return float(np.mean(np.argmax(X @ np.asarray(weights), axis=1) == y))


def draw_images(axes, images: np.ndarray, limit: float | None = None) -> None:
    """One image an axis; red is positive, blue negative, up to ``limit`` for all alike.

    By default an image is as bright as its own largest pixel allows.
    """
    side = int(images.shape[1] ** 0.5)
    for ax, image in zip(axes, images):
        most = np.abs(image).max() if limit is None else limit
        ax.imshow(image.reshape(side, side), cmap="RdBu_r", vmin=-most, vmax=most)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set(color=plots.GREY, linewidth=0.6)


def tidy(ax: Axes, title: str) -> None:
    """The look of a plot beside images."""
    ax.set_title(title, loc="left", fontsize=9.5)
    ax.tick_params(labelsize=8.5)
    ax.spines[["top", "right"]].set_visible(False)


def write(picture: Figure, output: Path, header: str, rows) -> None:
    """The figure, and its numbers beside it."""
    plots.save(picture, output)
    np.savetxt(output.with_suffix(".csv"), rows, "%.12g", ",", header=header, comments="")


def arguments(description: str, number: int, steps: int, full: int) -> argparse.Namespace:
    """``output``, ``mnist`` and ``steps``, as the command line says; sets float64."""
    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path(f"figure_{number:02d}.png"))
    parser.add_argument("--mnist", type=Path, metavar="FOLDER", help="the IDX files of MNIST")
    parser.add_argument(
        "--full", action="store_const", dest="steps", const=full, default=steps,
        help=f"{full} outer iterations, as in the paper, instead of {steps}",
    )  # fmt: skip
    return parser.parse_args()
