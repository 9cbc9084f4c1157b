"""Figure 7: a quadratic programme, differentiated through its KKT conditions.

    z*(theta) = argmin over z of  z^T Q z / 2 + c^T z   under  E z = d,  M z <= h,
    theta = (Q, c, E, d, M, h),

solved by SciPy and differentiated through the root of its optimality conditions in z and the
multipliers nu, lambda. One adjoint solve gives the derivatives in all six arguments. Checked: the
derivative of the optimal value in d and h is minus the multipliers (the envelope theorem), central
differences in every argument, and that a constraint which does not hold the point moves nothing.

Drawn is the solution as the bound of one constraint is moved: it follows, meets another constraint,
slides along that, and lets go.

Blondel et al., Efficient and modular implicit differentiation, arXiv 2105.15183, figure 7.

    python examples/figure_07_kkt_conditions.py [-o figure_07.png]
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import minimize

from simsens import custom_root, plots
from simsens.optimality import kkt, kkt_evidence

Q = np.array([[2.0, 0.4, 0.0], [0.4, 1.0, 0.0], [0.0, 0.0, 1.5]])
c = np.array([-2.0, -2.0, -0.3])
E, d = np.array([[0.2, 0.3, 1.0]]), np.array([0.7])
M = np.array([[1.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
h = np.array([1.5, 0.5, 1.2])  # two of them do not hold the solution


def objective(z, params):
    """The quadratic function."""
    Q, c = params
    return z @ Q @ z / 2 + c @ z


def equality(z, params):
    """E z = d."""
    E, d = params
    return E @ z - d


def inequality(z, params):
    """M z <= h."""
    M, h = params
    return M @ z - h


@custom_root(kkt(objective, equality, inequality), tol=1e-7)
def quadratic_programme(init, params_obj, params_eq, params_ineq):
    """The minimum by SciPy, then its multipliers: (z, nu, lambda)."""
    (Q, c), (E, d), (M, h) = jax.tree.map(np.asarray, (params_obj, params_eq, params_ineq))
    Q = (Q + Q.T) / 2  # all that a quadratic form sees
    limits = (
        {"type": "eq", "fun": lambda z: E @ z - d, "jac": lambda z: E},
        {"type": "ineq", "fun": lambda z: h - M @ z, "jac": lambda z: -M},
    )
    found = minimize(
        lambda z: z @ Q @ z / 2 + c @ z, np.zeros(len(c)), jac=lambda z: Q @ z + c,
        method="SLSQP", constraints=limits, options={"ftol": 1e-15, "maxiter": 200},
    )  # fmt: skip
    holding = h - M @ found.x < 1e-7
    # Polished: the equations of the constraints that hold the point, solved exactly.
    rows = np.vstack([E, M[holding]])
    system = np.block([[Q, rows.T], [rows, np.zeros((len(rows), len(rows)))]])
    solution = np.linalg.solve(system, np.concatenate([-c, d, h[holding]]))
    lam = np.zeros(len(h))
    lam[holding] = solution[len(c) + len(d) :]
    return solution[: len(c)], solution[len(c) : len(c) + len(d)], lam


def point(theta):
    """z* as a function of theta = ((Q, c), (E, d), (M, h))."""
    return quadratic_programme(None, *theta)[0]


def value(theta):
    """The optimal value."""
    return objective(point(theta), theta[0])


def differences(theta):
    """The derivative of the sum of z* by central differences, in every number of theta."""
    flat, unravel = jax.flatten_util.ravel_pytree(theta)
    step = 1e-5
    rows = []
    for one in np.eye(flat.size) * step:
        ends = [point(unravel(flat + s * one)).sum() for s in (1, -1)]
        rows.append((ends[0] - ends[1]) / (2 * step))
    return unravel(jnp.array(rows))


def main(output: Path) -> None:
    """Differentiate in every argument, check, draw, write the numbers beside the figure."""
    theta = ((Q, c), (E, d), (M, h))
    z, nu, lam = quadratic_programme(None, *theta)
    evidence = kkt_evidence(objective, equality, inequality)((z, nu, lam), *theta)
    for name, numbers in (("z*", z), ("nu", nu), ("lambda", lam)):
        print(f"{name} {np.asarray(numbers).round(6)}", end=", ")
    print(f"residual {float(evidence.residual):.1e}, margin {float(evidence.smallest_margin):.3f}")
    slopes = jax.grad(lambda theta: point(theta).sum())(theta)
    measured = differences(theta)
    wrong = max(float(abs(a - b).max()) for a, b in zip(*map(jax.tree.leaves, (slopes, measured))))
    print(f"all six derivatives against central differences: {wrong:.1e}")
    envelope = jax.grad(value)(theta)
    off = max(abs(envelope[1][1] + nu).max(), abs(envelope[2][1] + lam).max())
    print(f"d value / d (d, h) + (nu, lambda): {float(off):.1e}")
    print(f"of the bounds that do not hold the point: {np.asarray(slopes[2][1])[1:].tolist()}")

    bounds = np.linspace(0.4, 2.6, 56)
    table = []
    for bound in bounds:
        moved = (theta[0], theta[1], (M, np.array([bound, *h[1:]])))
        x, _, multipliers = quadratic_programme(None, *moved)
        slope = jax.jacrev(lambda t: quadratic_programme(None, *t)[0])(moved)[2][1][:, 0]
        table.append((bound, *x, *multipliers, *slope))
    table = np.array(table)
    plots.save(figure(table), output)
    header = "bound,z1,z2,z3,lambda1,lambda2,lambda3,d z1/d bound,d z2/d bound,d z3/d bound"
    np.savetxt(output.with_suffix(".csv"), table, "%.12g", ",", header=header, comments="")


def figure(table: np.ndarray) -> Figure:
    """The path of the solution in the plane of z1 and z2, and its coordinates with tangents."""
    picture = Figure((9.2, 4.4), layout="constrained")
    plane, along = picture.subplots(1, 2)
    first, second = np.meshgrid(np.linspace(-0.6, 2.4, 121), np.linspace(-0.2, 2.8, 121))
    third = d[0] - E[0, 0] * first - E[0, 1] * second
    grid = np.stack([first, second, third])
    levels = np.einsum("iab,ij,jab->ab", grid, Q, grid) / 2 + np.einsum("i,iab->ab", c, grid)
    plane.contour(first, second, levels, 14, colors=plots.GREY, linewidths=0.6, alpha=0.6)
    bound, z, slope = table[:, 0], table[:, 1:4], table[:, 7:]
    for k in range(0, len(table), 5):
        line = np.array([-0.6, 2.4])
        plane.plot(line, bound[k] - line, color=plots.COLOURS[1], lw=0.8)
    plane.axvline(-h[1], color=plots.COLOURS[2], lw=1.2)
    plane.axhline(h[2], color=plots.COLOURS[2], lw=1.2)
    plane.plot(z[:, 0], z[:, 1], color=plots.INK, lw=1.8)
    plane.quiver(
        *z[::5, :2].T, *slope[::5, :2].T, angles="xy", scale_units="xy", scale=6,
        color=plots.COLOURS[5], width=0.007, zorder=3,
    )  # fmt: skip
    plane.set(xlim=(-0.6, 1.8), ylim=(-0.2, 2.2), xlabel="z1", ylabel="z2", aspect="equal")
    plane.set_title("the solution as the bound moves; arrows: derivative", loc="left", fontsize=9.5)
    names = ("z1", "z2", "z3")
    for k, name in enumerate(names):
        colour = plots.COLOURS[(0, 4, 3)[k]]
        along.plot(bound, z[:, k], color=colour, lw=1.8, label=name)
        for at in range(5, len(bound), 12):
            near = bound[at] + np.array([-0.12, 0.12])
            along.plot(near, z[at, k] + slope[at, k] * (near - bound[at]), color=plots.INK, lw=0.9)
    along.plot(bound, table[:, 4], color=plots.GREY, lw=1.2, ls="--", label="its multiplier")
    along.set_xlabel("bound of z1 + z2")
    along.legend(frameon=False, fontsize=8.5)
    along.set_title("coordinates, with tangents", loc="left", fontsize=9.5)
    for ax in (plane, along):
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8.5)
    return picture


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("figure_07.png"))
    main(parser.parse_args().output)
