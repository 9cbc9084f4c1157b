"""How the forces fell."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from simsens.plots.style import COLOURS, GREY, SMALL, axes, plain, title
from simsens.response.equilibrium import Equilibrium


def convergence(equilibrium: Equilibrium, *, ax: Axes | None = None) -> Axes:
    """The largest force at each step that was reported, and the one that was asked for.

    Args:
        equilibrium: from ``relax``; a record without a finite force draws the aim alone.
        ax: where to draw, on a new figure by default.

    Example:
        >>> from simsens.particles.packing import packing
        >>> from simsens.response.relaxation import relax
        >>> convergence(relax(packing(number=16), fmax=1e-4)).get_title(loc="left")
        'converged: max force <= fmax'
    """
    step, _, force = np.asarray(equilibrium.history, float).reshape(-1, 3).T
    ax = axes(ax, 5.2, 3.6)
    ax.set_yscale("log")
    ax.plot(step, np.where(force > 0, force, np.nan), "o-", color=COLOURS[4], lw=1.2, ms=3)
    ax.axhline(equilibrium.fmax, color=GREY, lw=0.8, ls=(0, (5, 3)), zorder=0)
    ax.annotate(
        f"fmax {equilibrium.fmax:g}", (0, equilibrium.fmax), (4, 3), color=GREY, fontsize=SMALL,
        xycoords=ax.get_yaxis_transform(), textcoords="offset points",
    )  # fmt: skip
    ax.margins(x=0.03, y=0.08)
    ax.set(xlabel="step", ylabel="max force")
    plain(ax)
    state = "converged" if equilibrium.converged else "NOT CONVERGED"
    title(ax, state, equilibrium.converged, equilibrium.criterion)
    return ax
