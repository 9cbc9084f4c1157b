"""Figure 1: ridge regression, differentiated by adding one line above its solver.

    x*(theta) = argmin over x of f(x, theta) = (|X x - y|^2 + theta |x|^2) / 2

is found by solving (X^T X + theta I) x = X^T y. The decorator says what holds at the solution, that
the gradient of f vanishes, and from that alone the Jacobian dx*/dtheta follows, in forward and in
reverse mode; the solver is never differentiated. It is drawn as the tangent of the regularisation
path, on the diabetes data of Efron et al. (Annals of Statistics 32 (2004) 407; 442 patients, 10
features).

Blondel et al., Efficient and modular implicit differentiation, arXiv 2105.15183, figure 1.

    python examples/figure_01_ridge_custom_root.py [-o figure_01.png]
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from simsens import custom_root, plots
from simsens.implicit import certified_jvp
from simsens.optimality import stationary

try:
    from sklearn.datasets import load_diabetes
except ModuleNotFoundError:
    raise SystemExit("the diabetes data come with scikit-learn: pip install scikit-learn") from None

DATA = load_diabetes()
X, y = DATA.data, DATA.target
THETA = 10.0


def f(x, theta):
    """The objective."""
    return (jnp.sum((X @ x - y) ** 2) + theta * jnp.sum(x**2)) / 2


F = stationary(f, convex=True)


@custom_root(F)
def ridge_solver(init, theta):
    """The minimiser, by a linear solve: nothing to start from."""
    return jnp.linalg.solve(X.T @ X + theta * jnp.eye(X.shape[1]), X.T @ y)


def main(output: Path) -> None:
    """Differentiate at theta = 10, draw the path and its tangent, write the numbers beside it."""
    x = ridge_solver(None, THETA)
    forward = jax.jacfwd(ridge_solver, argnums=1)(None, THETA)
    reverse = jax.jacrev(ridge_solver, argnums=1)(None, THETA)
    print(f"|x*|                  {jnp.linalg.norm(x):.8f}")
    print(f"|dx*/dtheta| forward  {jnp.linalg.norm(forward):.8f}")
    print(f"|dx*/dtheta| reverse  {jnp.linalg.norm(reverse):.8f}")
    print(certified_jvp(F, x, (THETA,), (1.0,)).certificate)

    theta = np.linspace(1, 20, 96)
    path = np.asarray(jax.vmap(ridge_solver, (None, 0))(None, theta))
    slopes = jax.vmap(jax.jacfwd(ridge_solver, argnums=1), (None, 0))(None, theta)
    plots.save(figure(theta, path, np.asarray(x), np.asarray(forward)), output)
    table = np.column_stack([theta, path, slopes])
    names = DATA.feature_names
    header = ",".join(["theta", *names, *(f"d {name}/d theta" for name in names)])
    np.savetxt(output.with_suffix(".csv"), table, "%.12g", ",", header=header, comments="")


def figure(theta: np.ndarray, path: np.ndarray, x: np.ndarray, slope: np.ndarray) -> Figure:
    """The coefficients against theta, and the tangent of each at theta = 10."""
    picture = Figure((6.8, 4.4), layout="constrained")
    ax = picture.add_subplot()
    near = np.array([THETA - 5, THETA + 5])
    for k in np.argsort(-path[0]):
        colour, style = plots.COLOURS[k % 7], ("-", (0, (1, 1)))[k // 7]
        ax.plot(theta, path[:, k], color=colour, lw=1.8, ls=style, label=DATA.feature_names[k])
        ax.plot(near, x[k] + slope[k] * (near - THETA), color=plots.INK, lw=0.9)
    ax.plot(np.full(len(x), THETA), x, "o", color=plots.INK, ms=3)
    ax.plot([], [], "o-", color=plots.INK, lw=0.9, ms=3, label="tangent at 10")
    ax.axhline(0, color=plots.GREY, lw=0.6, zorder=0)
    ax.set(xlabel="theta", ylabel="coefficients x*(theta)", xlim=theta[[0, -1]])
    ax.set_title("ridge on the diabetes data: the path and dx*/dtheta", loc="left", fontsize=9.5)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8.5, loc="center left", bbox_to_anchor=(1, 0.5))
    return picture


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("figure_01.png"))
    main(parser.parse_args().output)
