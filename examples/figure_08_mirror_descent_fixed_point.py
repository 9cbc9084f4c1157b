"""Figure 8: the fixed point of mirror descent on a simplex, and the derivative it gives.

    x*(theta) = argmin over the simplex of  f(x, theta) = |R x - theta|^2 / 2 + mu <x, log x>

With the entropy as geometry, one step is a gradient step on the logarithms and a softmax,

    T(x, theta) = softmax(log x - grad f(x, theta)) = x,

written multiplicatively so that nothing is divided by a small x. The minimum is found three ways
(mirror descent, projected gradient, Newton on the logits) and differentiated through two fixed
points (mirror descent's and projected gradient's): the solver and the equation that is
differentiated are independent. All six derivatives are compared.

Blondel et al., Efficient and modular implicit differentiation, arXiv 2105.15183, figure 8.

    python examples/figure_08_mirror_descent_fixed_point.py [-o figure_08.png]
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from simsens import plots
from simsens.implicit import implicit_fixed_point
from simsens.optimality import mirror_descent_kl, projected_gradient
from simsens.projection import projection_simplex
from simsens.solvers import MirrorDescent, Newton, ProjectedGradient, solve

R = np.array([[1.5, -1.5, 0.0], [-0.8, -0.8, 1.6]])
MU = 0.02
TOL = 1e-11
START = np.ones(3) / 3


def f(x, theta):
    """Convex, with an entropy that keeps every coordinate positive."""
    residual = R @ x - theta
    return residual @ residual / 2 + MU * jnp.sum(x * jnp.log(jnp.maximum(x, 1e-300)))


def by_mirror_descent(theta):
    """Multiplicative steps."""
    return solve(MirrorDescent(f, step=0.2), START, None, theta, tol=TOL).value


def by_projected_gradient(theta):
    """Euclidean steps and projections."""
    return solve(ProjectedGradient(f, projection_simplex), START, 1.0, theta, tol=TOL).value


def by_newton(theta):
    """Newton's method on logits, of which the last is zero."""
    newton = Newton(lambda logits, theta: f(jax.nn.softmax(jnp.append(logits, 0.0)), theta))
    return jax.nn.softmax(jnp.append(solve(newton, np.zeros(2), theta, tol=TOL).value, 0.0))


SOLVERS = {
    "mirror descent": by_mirror_descent,
    "projected gradient": by_projected_gradient,
    "Newton on logits": by_newton,
}
FIXED_POINTS = {
    "mirror descent": (mirror_descent_kl(f), None),
    "projected gradient": (projected_gradient(f, projection_simplex), 1.0),
}


def derivative(solver, fixed_point, theta):
    """dx*/dtheta ``[3, 2]`` of the point that one solver found, through one fixed point."""
    T, total = fixed_point
    x = jax.lax.stop_gradient(solver(theta))
    return jax.jacrev(lambda theta: implicit_fixed_point(T, x, total, theta))(theta)


def main(output: Path) -> None:
    """Compare the six derivatives, draw, and write the numbers beside the figure."""
    theta = np.array([0.35, 0.25])
    step = 1e-4
    ends = [[by_newton(theta + s * e) for s in (step, -step)] for e in np.eye(2)]
    measured = np.stack([(a - b) / (2 * step) for a, b in ends], axis=1)
    print(f"x* {np.asarray(by_newton(theta)).round(6)}")
    for name, solver in SOLVERS.items():
        for equation, fixed_point in FIXED_POINTS.items():
            off = abs(derivative(solver, fixed_point, theta) - measured).max()
            print(f"{name:>18} found, {equation:>18} differentiated: off by {off:.1e}")

    angle = np.linspace(0, 2 * np.pi, 49)
    thetas = np.array([0.1, 0.0]) + np.stack([np.cos(angle), 0.9 * np.sin(angle)], axis=1)
    points = np.asarray(jax.vmap(by_mirror_descent)(thetas))
    slope = jax.jit(jax.vmap(jax.jacfwd(by_mirror_descent)))
    slopes = np.asarray(slope(thetas))
    plots.save(figure(thetas, points, slopes), output)
    header = "theta1,theta2,x1,x2,x3," + ",".join(
        f"d x{i}/d theta{j}" for i in (1, 2, 3) for j in (1, 2)
    )
    table = np.column_stack([thetas, points, slopes.reshape(len(points), -1)])
    np.savetxt(output.with_suffix(".csv"), table, "%.12g", ",", header=header, comments="")


CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])


def figure(thetas: np.ndarray, points: np.ndarray, slopes: np.ndarray) -> Figure:
    """The path of theta, and of the solution in the simplex with its derivative along the path."""
    picture = Figure((8.6, 4.4), layout="constrained")
    given, simplex = picture.subplots(1, 2)
    along = np.gradient(thetas, axis=0)
    moved = np.einsum("kij,kj->ki", slopes, along) @ CORNERS
    seen = points @ CORNERS
    given.plot(*thetas.T, color=plots.GREY, lw=1)
    given.scatter(*thetas[::4].T, c=np.arange(0, len(thetas), 4), cmap="viridis", s=26, zorder=3)
    given.set(aspect="equal", xlabel="theta 1", ylabel="theta 2")
    given.set_title("theta goes round", loc="left", fontsize=9.5)
    simplex.fill(*CORNERS.T, facecolor="none", edgecolor=plots.INK, lw=1.2)
    simplex.plot(*seen.T, color=plots.GREY, lw=1)
    simplex.scatter(*seen[::4].T, c=np.arange(0, len(seen), 4), cmap="viridis", s=26, zorder=3)
    simplex.quiver(
        *seen[::4].T, *(2.5 * moved[::4]).T, angles="xy", scale_units="xy", scale=1,
        color=plots.COLOURS[5], width=0.006, zorder=4,
    )  # fmt: skip
    for corner, name, shift in zip(CORNERS, ("x1", "x2", "x3"), ((-12, -10), (4, -10), (-5, 5))):
        simplex.annotate(f"{name} = 1", corner, shift, textcoords="offset points", fontsize=8.5)
    simplex.set(aspect="equal", xlim=(-0.12, 1.12), ylim=(-0.1, 1.0))
    simplex.set_axis_off()
    simplex.set_title(
        "the solution follows; arrows: derivative times step", loc="left", fontsize=9.5
    )
    given.spines[["top", "right"]].set_visible(False)
    given.tick_params(labelsize=8.5)
    return picture


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("figure_08.png"))
    main(parser.parse_args().output)
