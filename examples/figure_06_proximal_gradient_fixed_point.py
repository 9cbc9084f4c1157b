"""Figure 6: the lasso, differentiated through the fixed point of proximal gradient descent.

    x*(theta) = argmin over x of  |X x - y|^2 / 2 + theta |x|_1

is left unchanged by a gradient step followed by soft thresholding,

    T(x, theta) = prox_{theta |.|_1}(x - grad f(x)) = x.

That equation is all that the derivative needs. The path x*(theta) is piecewise linear; between two
kinks the derivative must be the same at every theta, and the tangent must be the path itself. Both
are checked on every segment. Data: diabetes (Efron et al. 2004), features of unit norm.

Blondel et al., Efficient and modular implicit differentiation, arXiv 2105.15183, figure 6.

    python examples/figure_06_proximal_gradient_fixed_point.py [-o figure_06.png]
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from simsens import custom_fixed_point, plots
from simsens.optimality import proximal_gradient
from simsens.prox import prox_lasso
from simsens.solvers import ProximalGradient, solve

try:
    from sklearn.datasets import load_diabetes
except ModuleNotFoundError:
    raise SystemExit("the diabetes data come with scikit-learn: pip install scikit-learn") from None

DATA = load_diabetes()
X, y = DATA.data, DATA.target - DATA.target.mean()


def f(x):
    """The smooth part of the objective."""
    return jnp.sum((X @ x - y) ** 2) / 2


T = proximal_gradient(f, prox_lasso)


@custom_fixed_point(T)
def lasso(init, theta):
    """The minimiser; any solver would do, its derivative comes from T."""
    return solve(ProximalGradient(f, prox_lasso), init, theta, tol=1e-9).value


def main(output: Path) -> None:
    """Follow the path, differentiate along it, check, draw, write the numbers beside the figure."""
    theta = np.linspace(5.0, 1000.0, 200)
    start = jnp.zeros(X.shape[1])
    path = np.asarray(jax.vmap(lasso, (None, 0))(start, theta))
    slopes = np.asarray(jax.vmap(jax.jacfwd(lasso, argnums=1), (None, 0))(start, theta))
    same = (np.sign(path[1:]) == np.sign(path[:-1])).all(axis=1)  # no kink in between
    change = np.diff(path, axis=0) / np.diff(theta)[:, None]
    wrong = abs(change - slopes[:-1])[same].max()
    print(f"{len(theta)} values of theta, {(~same).sum()} intervals between them with a kink")
    print(f"largest derivative {abs(slopes).max():.4f}")
    print(f"largest |tangent - path| on the {same.sum()} intervals without: {wrong:.1e}")
    reverse = jax.jacrev(lasso, argnums=1)(start, theta[50])
    print(f"forward against reverse mode at one theta: {abs(reverse - slopes[50]).max():.1e}")
    plots.save(figure(theta, path, slopes), output)
    names = DATA.feature_names
    header = ",".join(["theta", *names, *(f"d {name}/d theta" for name in names)])
    table = np.column_stack([theta, path, slopes])
    np.savetxt(output.with_suffix(".csv"), table, "%.12g", ",", header=header, comments="")


def figure(theta: np.ndarray, path: np.ndarray, slopes: np.ndarray) -> Figure:
    """The path with tangents, above the derivative, which is constant between kinks."""
    picture = Figure((6.8, 6.2), layout="constrained")
    above, below = picture.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for k in np.argsort(-abs(path[0])):
        colour, style = plots.COLOURS[k % 7], ("-", (0, (1, 1)))[k // 7]
        name = DATA.feature_names[k]
        there = path[:, k] != 0
        line, slope = (np.where(there, values[:, k], np.nan) for values in (path, slopes))
        above.plot(theta, line, color=colour, lw=1.8, ls=style, label=name)
        below.plot(theta, slope, color=colour, lw=1.6, ls=style)
    at = 60
    near = theta[at] + np.array([-130.0, 130.0])
    for k in np.flatnonzero(path[at]):
        above.plot(near, path[at, k] + slopes[at, k] * (near - theta[at]), color=plots.INK, lw=0.9)
        above.plot(theta[at], path[at, k], "o", ms=3.5, color=plots.INK)
    above.set_ylabel("coefficient")
    above.legend(ncols=5, frameon=False, fontsize=8.5, loc="upper right")
    above.set_title("the path, and tangents at one point", loc="left", fontsize=9.5)
    below.set_title("its derivative, constant between kinks", loc="left", fontsize=9.5)
    below.set_yscale("symlog", linthresh=1.0)
    below.set_ylabel("d coefficient / d theta")
    below.set_xlabel("theta")
    for ax in (above, below):
        ax.axhline(0, color=plots.GREY, lw=0.6)
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8.5)
    return picture


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("figure_06.png"))
    main(parser.parse_args().output)
