"""Figure 9: a multiclass SVM whose regularisation is chosen by gradient descent.

    x*(theta) = argmin over rows in simplices of  theta / 2 |W(x, theta)|^2 + <x, Y>,
    W(x, theta) = X^T (Y - x) / theta,
    min over lambda of  1/2 |X_val W(x*(theta), theta) - Y_val|^2,   theta = exp(lambda)

The inner problem is written out, as in the paper: an objective, a projection, a solver, and the
fixed point that its solution is differentiated by, which is another one's. The same number comes
from `simsens.learning.multiclass_svm`, which is faster, and from central differences.

Data: digits (Alpaydin and Kaynak 1998, 8 x 8 pixels), from scikit-learn: 60 to train on, 200 to
validate.

Blondel et al., Efficient and modular implicit differentiation, arXiv 2105.15183, figure 9.

    python examples/figure_09_svm.py [-o figure_09.png]
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from simsens import plots
from simsens.learning import multiclass_svm
from simsens.optimality import mirror_descent_kl
from simsens.projection import projection_simplex
from simsens.solvers import ProjectedGradient, inverse_power, solve

try:
    from sklearn.datasets import load_digits
except ModuleNotFoundError:
    raise SystemExit("the digits come with scikit-learn: pip install scikit-learn") from None

PIXELS, LABELS = load_digits(return_X_y=True)
X, X_val = PIXELS[:60] / 16, PIXELS[60:260] / 16
Y, Y_val = np.eye(10)[LABELS[:60]], np.eye(10)[LABELS[60:260]]
START, OUTER = 2.0, 25


def weights(x, theta):
    """The primal weights of a dual point."""
    return X.T @ (Y - x) / theta


def objective(x, theta):
    """The dual objective."""
    return theta / 2 * jnp.sum(weights(x, theta) ** 2) + jnp.vdot(x, Y)


T = mirror_descent_kl(objective)


def dual(theta):
    """The dual solution by projected gradient, differentiated by mirror descent."""
    rows = lambda x, _: jax.vmap(projection_simplex)(x)  # noqa: E731
    descent, start = ProjectedGradient(objective, rows), jnp.full(Y.shape, 0.1)
    return solve(descent, start, None, theta, fixed_point=T, tol=1e-8)


def outer(lam, solution=dual):
    """The validation loss."""
    theta = jnp.exp(lam)
    return jnp.sum((X_val @ weights(solution(theta).value, theta) - Y_val) ** 2) / 2


def main(output: Path) -> None:
    """Compare the hypergradients, descend, draw, and write the numbers beside the figure."""
    packaged = lambda theta: multiclass_svm(X, Y, theta, tol=1e-9)  # noqa: E731
    found = dual(jnp.exp(START))
    print(found.reason)
    step = 1e-4
    ends = [outer(START + s, packaged) for s in (step, -step)]
    numbers = {
        "written out": jax.grad(outer)(START),
        "multiclass_svm": jax.grad(outer)(START, packaged),
        "central difference": (ends[0] - ends[1]) / (2 * step),
    }
    for name, slope in numbers.items():
        print(f"{name:>20}: d loss / d lambda = {slope:.7f}")

    slope = jax.jit(jax.value_and_grad(lambda lam: outer(lam, packaged)))
    schedule, lam, rows = inverse_power(0.01, after=10), START, []
    for k in range(OUTER):
        loss, gradient = slope(lam)
        W = weights(packaged(jnp.exp(lam)).value, jnp.exp(lam))
        accuracy = float(np.mean(np.argmax(X_val @ W, axis=1) == LABELS[60:260]))
        rows.append((k, float(jnp.exp(lam)), float(loss), float(gradient), accuracy))
        lam = lam - float(schedule(k)) * gradient
    rows = np.array(rows)
    print(
        f"loss {rows[0, 2]:.3f} -> {rows[-1, 2]:.3f}, theta {rows[0, 1]:.3f} -> {rows[-1, 1]:.3f}"
    )
    print(f"accuracy {rows[0, 4]:.3f} -> {rows[-1, 4]:.3f}")
    thetas = np.exp(np.linspace(np.log(rows[:, 1].min()) - 0.7, np.log(rows[:, 1].max()) + 0.7, 31))
    curve = np.array([outer(jnp.log(theta), packaged) for theta in thetas])
    plots.save(figure(rows, thetas, curve), output)
    header = "iteration,theta,loss,gradient,accuracy"
    np.savetxt(output.with_suffix(".csv"), rows, "%.12g", ",", header=header, comments="")


def figure(rows: np.ndarray, thetas: np.ndarray, curve: np.ndarray) -> Figure:
    """The loss against theta with tangents on the way, and the norm of the gradient."""
    picture = Figure((8.8, 4.0), layout="constrained")
    left, right = picture.subplots(1, 2)
    left.plot(thetas, curve, color=plots.GREY, lw=1.6)
    left.plot(rows[:, 1], rows[:, 2], "o", color=plots.COLOURS[4], ms=4, zorder=3)
    for _, theta, loss, gradient, _ in rows[:4]:
        near = theta * np.exp(np.array([-0.25, 0.25]))
        left.plot(near, loss + gradient * np.log(near / theta), color=plots.COLOURS[5], lw=1.2)
    left.set(xscale="log", xlabel="theta", ylabel="validation loss")
    left.set_title("the descent, with the first tangents", loc="left", fontsize=9.5)
    right.semilogy(rows[:, 0], abs(rows[:, 3]), "o-", color=plots.COLOURS[4], ms=3.5, lw=1)
    right.set(xlabel="outer iteration", ylabel="|d loss / d lambda|")
    right.set_title("the hypergradient", loc="left", fontsize=9.5)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8.5, which="both")
    return picture


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("figure_09.png"))
    main(parser.parse_args().output)
