"""Figure 2: the error of a derivative against the error of the solution it was taken at.

    x*(theta) = argmin over x of  |Phi x - y|^2 + sum over i of theta_i x_i^2      (left)
    x*(theta) = argmin over x of  mean log(1 + exp(-y Phi x)) + 1/2 sum theta_i x_i^2    (right)

Gradient descent is stopped after t steps, at an iterate xh. The implicit Jacobian is taken at xh;
the unrolled one is that of the t steps themselves. Theorem 1 bounds the error of the first by

    (beta / alpha + gamma R / alpha^2) |xh - x*|,

with constants of the problem and an x* that nobody knows in earnest. `certified_jvp` bounds it from
xh alone, and corrects it: where f is quadratic (gamma = 0) the corrected derivative is exact,
elsewhere its error is of second order. What is printed is checked at every iterate.

Data: diabetes (Efron et al. 2004, 442 x 10) and breast cancer Wisconsin (Wolberg et al. 1995,
569 x 30, standardised), from scikit-learn.

Blondel et al., Efficient and modular implicit differentiation, arXiv 2105.15183, figure 2.

    python examples/figure_02_jacobian_error.py [-o figure_02.png]
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simsens import plots
from simsens.implicit import certified_jvp
from simsens.optimality import stationary

try:
    from sklearn.datasets import load_breast_cancer, load_diabetes
except ModuleNotFoundError:
    raise SystemExit("the data come with scikit-learn: pip install scikit-learn") from None

COLUMNS = ("iterate", "implicit", "theorem", "certified", "corrected", "unrolled")


def ridge():
    """The quadratic problem: f, theta, step, and alpha, beta, gamma of Theorem 1."""
    phi, y = load_diabetes(return_X_y=True)
    theta = np.ones(phi.shape[1])

    def f(x, theta):
        return jnp.sum((phi @ x - y) ** 2) + jnp.sum(theta * x**2)

    least, *_, most = np.linalg.eigvalsh(phi.T @ phi + np.diag(theta))
    return f, theta, 0.5 / most, (2 * least, 2.0, 0.0)


def logistic():
    """The same for a problem whose Hessian changes with x."""
    phi, label = load_breast_cancer(return_X_y=True)
    phi = (phi - phi.mean(axis=0)) / phi.std(axis=0)
    signed = phi * np.where(label, 1, -1)[:, None]
    theta = np.full(phi.shape[1], 0.1)

    def f(x, theta):
        return jnp.mean(jax.nn.softplus(-signed @ x)) + jnp.sum(theta * x**2) / 2

    # The derivative of the logistic function is at most 1/4, its second at most 1 / (6 sqrt 3).
    most = np.linalg.eigvalsh(phi.T @ phi / len(phi))[-1]
    gamma = most * np.linalg.norm(phi, axis=1).max() / (6 * np.sqrt(3))
    return f, theta, 1 / (most / 4 + theta.max()), (theta.min(), 1.0, gamma)


def errors(f, theta, step, constants, times):
    """A row of COLUMNS for each number of steps in ``times``."""
    gradient, hessian = jax.jit(jax.grad(f)), jax.jit(jax.hessian(f))
    x = np.zeros(len(theta))
    for _ in range(12):  # Newton's method
        x = x - np.linalg.solve(hessian(x, theta), gradient(x, theta))
    mixed = jax.jacfwd(gradient, argnums=1)(x, theta)
    exact = -np.linalg.solve(hessian(x, theta), mixed)
    alpha, beta, gamma = constants
    rate = beta / alpha + gamma * np.linalg.norm(mixed) / alpha**2
    print(f"|x*| {np.linalg.norm(x):.4f}, |dx*/dtheta| {np.linalg.norm(exact):.4f}")

    @jax.jit
    def iterates(theta):
        def descend(x, _):
            x = x - step * gradient(x, theta)
            return x, x

        return jax.lax.scan(descend, jnp.zeros_like(theta), length=max(times))[1]

    path, unrolled = iterates(theta), jax.jit(jax.jacfwd(iterates))(theta)
    root, each = stationary(f, convex=True), np.eye(len(theta))
    rows = []
    for t in times:
        found = certified_jvp(root, path[t - 1], (theta,), (each,), many=True)
        off = np.linalg.norm(path[t - 1] - x)
        wrong = [np.linalg.norm(jacobian.T - exact) for jacobian in (found.value, found.corrected)]
        bound = np.linalg.norm(found.error_bound)
        late = np.linalg.norm(unrolled[t - 1] - exact)
        rows.append([off, wrong[0], rate * off, bound, wrong[1], late])
    return np.array(rows)


def report(times, rows):
    """Print a few rows, and whether the bounds hold at every one."""
    print(f"{'t':>5}" + "".join(f"{name:>11}" for name in COLUMNS))
    for t, row in zip(times, rows):
        if t in (10, 20, 50, 100, 200, times[-1]):
            print(f"{t:5d}" + "".join(f"{value:11.3g}" for value in row))
    off, implicit, theorem, certified, corrected, unrolled = rows.T
    known, ratio = np.isfinite(certified), unrolled / implicit
    excess = (certified / implicit)[known]
    print(f"implicit <= theorem at every iterate: {(implicit <= theorem).all()}")
    print(f"implicit <= certified at every iterate: {(implicit <= certified).all()}", end=", ")
    print(f"{excess.min():.2f} to {excess.max():.2f} times; at {(~known).sum()} there is none")
    print(f"unrolled / implicit: {ratio.min():.1f} to {ratio.max():.1f}")
    clear = (off < 0.01) & (corrected > 1e-12)  # near the root, above rounding
    if clear.sum() > 10:
        order = np.polyfit(np.log(off[clear]), np.log(corrected[clear]), 1)[0]
        print(f"corrected: of order {order:.2f} in the iterate error\n")
    else:
        print(f"corrected: exact, {corrected.max():.1e} at most\n")


def draw(ax: Axes, rows: np.ndarray, title: str) -> None:
    """The errors and bounds against the error of the iterate, both axes logarithmic."""
    off, implicit, theorem, certified, corrected, unrolled = rows.T
    colour = plots.COLOURS
    ax.loglog(off, unrolled, "^-", color=colour[5], ms=3.5, lw=0.8, label="unrolled")
    ax.loglog(off, theorem, color=plots.GREY, lw=5, alpha=0.4, label="bound of Theorem 1")
    ax.loglog(off, certified, color=plots.INK, lw=1.2, label="bound of certified_jvp")
    ax.loglog(off, implicit, "o", color=colour[4], ms=3.2, label="implicit")
    ax.loglog(off, corrected, "s", color=colour[2], ms=3.2, label="implicit, corrected")
    ax.set_xlabel("error of the iterate, |xh - x*|")
    ax.set_title(title, loc="left", fontsize=9.5)
    ax.tick_params(labelsize=8.5)
    ax.spines[["top", "right"]].set_visible(False)


def slope(ax: Axes, start: tuple[float, float], decades: int, order: int) -> None:
    """A guide to the eye, labelled with its slope."""
    end = (start[0] * 10**decades, start[1] * 10 ** (order * decades))
    ax.loglog(*zip(start, end), color=plots.INK, lw=0.7, ls=(0, (4, 3)))
    middle = np.sqrt(np.multiply(start, end))
    ax.annotate(
        f"slope {order}", middle, (6, -5), textcoords="offset points", va="top", fontsize=8.5
    )


def main(output: Path) -> None:
    """Measure both problems, draw them, and write the numbers beside the figure."""
    picture = Figure((9.6, 4.8), layout="constrained")
    left, right = picture.subplots(1, 2)
    problems = (
        (ridge, range(1, 81), left, "ridge: quadratic"),
        (logistic, [1, 2, 5, *range(10, 401, 10)], right, "logistic regression: not quadratic"),
    )
    table = []
    for number, (problem, times, ax, title) in enumerate(problems):
        print(title)
        rows = errors(*problem(), times)
        report(times, rows)
        draw(ax, rows, title)
        table += [(number, t, *row) for t, row in zip(times, rows)]
    left.set_ylabel("error of the Jacobian, Frobenius norm")
    slope(left, (1e-5, 3e-7), 3, 1)
    slope(right, (1e-5, 1.5e-6), 2, 1)
    slope(right, (1e-5, 2e-13), 2, 2)
    handles, labels = left.get_legend_handles_labels()
    picture.legend(
        handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=8.5
    )
    plots.save(picture, output)
    header = ",".join(("problem", "t", *COLUMNS))
    np.savetxt(output.with_suffix(".csv"), table, "%.12g", ",", header=header, comments="")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("figure_02.png"))
    main(parser.parse_args().output)
