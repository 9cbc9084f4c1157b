r"""Which parameters move the structure, and which of them do so alike."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from simsens.particles import space
from simsens.plots.style import (
    ALARM,
    COLOURS,
    GREY,
    INK,
    Array,
    axes,
    caveat,
    labels,
    literally,
    plain,
    short,
    title,
    verdict,
)  # fmt: skip
from simsens.response.equilibrium import Equilibrium
from simsens.response.sensitivity import Sensitivity

MOST = 24  # parameters that are shown
TICKS = 8  # most numbers under the columns
PRINTED = 8  # up to which the cosines are printed in their cells
SHORTEST = 1e-8  # of the strongest response: below this a direction is rounding
# Opposite, unrelated, alike: blue, white, orange stay apart for every kind of sight.
COSINES = LinearSegmentedColormap.from_list("cosines", [COLOURS[4], "#ffffff", COLOURS[5]])


def matrix(equilibrium: Equilibrium, sensitivity: Sensitivity, *, ax: Axes | None = None) -> Axes:
    r"""Parameters ranked by how far they move the structure, and the cosines of their responses.

    A bar is the root mean square of :math:`\theta_k\, \partial x^* / \partial \theta_k` over
    the particles in spacings, what a relative change of the parameter moves; a dot is the particle
    that answers most. The matrix holds the cosine of each two responses: parameters of cosine
    :math:`\pm 1` cannot be told apart by positions. A parameter that is zero is taken as one.

    Args:
        equilibrium: from ``relax``.
        sensitivity: its derivatives.
        ax: where to draw, on a new figure by default. It holds the axes of the bars and, of more
            than one parameter, those of the cosines.

    Raises:
        ValueError: no parameter, or the derivatives are those of another structure.

    Example:
        >>> from simsens.particles.packing import packing
        >>> from simsens.response.relaxation import relax
        >>> from simsens.response.sensitivity import sensitivity
        >>> minimum = relax(packing(number=8, seed=1), fmax=1e-10)
        >>> drawn = matrix(minimum, sensitivity(minimum))
        >>> [text.get_text() for text in drawn.child_axes[0].get_yticklabels()][-1]
        'epsilon  3'
    """
    if not sensitivity.parameters:
        raise ValueError("a ranking needs at least one parameter; got none")
    if sensitivity.position.shape[:2] != np.shape(equilibrium.position):
        shape = sensitivity.position.shape[:2]
        raise ValueError(f"derivatives of shape {shape} are those of another structure")
    rms, largest = strengths(equilibrium, sensitivity)
    order = np.argsort(-np.nan_to_num(rms, nan=np.inf), kind="stable")[:MOST]
    ax = axes(ax, 7.6, 1.9 + 0.24 * len(order))
    ax.set_axis_off()
    several = len(rms) > 1
    bars = ax.inset_axes((0.0, 0.0, 0.57 if several else 1.0, 1.0), label="bars")
    names = [f"{short(sensitivity.parameters[k], 28)}  {row + 1}" for row, k in enumerate(order)]
    _draw_bars(bars, names, rms[order], largest[order])
    if several:
        beside = ax.inset_axes((0.6, 0.0, 0.4, 1.0), sharey=bars, label="cosines")
        _draw_cosines(beside, cosines(sensitivity)[np.ix_(order, order)])
    hidden = len(rms) - len(order)
    subject = f"what {len(rms)} parameters move: " if several else "what 1 parameter moves: "
    subject += verdict(sensitivity) + (f", the {hidden} weakest not shown" if hidden else "")
    taken = max(0, max(map(len, names)) - 16)
    title(ax, subject, sensitivity.certificate.trusted, caveat(sensitivity), taken)
    return ax


def strengths(equilibrium: Equilibrium, sensitivity: Sensitivity) -> tuple[Array, Array]:
    """``[parameter]`` displacements in spacings for a relative change of each: rms, largest."""
    theta = np.abs(np.where(sensitivity.values == 0, 1.0, sensitivity.values))
    theta = theta / space.spacing(equilibrium.system.structure)
    length = np.linalg.norm(sensitivity.position, axis=1) * theta
    return np.sqrt((length**2).mean(axis=0)), length.max(axis=0)


def cosines(sensitivity: Sensitivity) -> Array:
    """``[parameter, parameter]`` cosines of the responses; not a number where nothing moves."""
    flat = sensitivity.position.reshape(-1, len(sensitivity.parameters))
    size = np.linalg.norm(flat, axis=0)
    # Compared for the same relative change: epsilon's response is rounding beside a diameter's.
    weight = size * np.where(sensitivity.values == 0, 1.0, np.abs(sensitivity.values))
    moves = np.isfinite(size) & (weight > SHORTEST * np.nanmax(weight, initial=0.0))
    unit = np.where(moves, flat / np.where(moves, size, 1.0), np.nan)
    return np.clip(unit.T @ unit, -1.0, 1.0)


def _draw_bars(ax: Axes, names: list[str], rms: Array, largest: Array) -> None:
    rows = np.arange(len(names))
    ax.barh(rows, np.nan_to_num(rms), 0.62, color=COLOURS[1], label="root mean square")
    ax.plot(largest, rows, "o", color=COLOURS[4], ms=4, label="largest of a particle")
    for row in rows[~np.isfinite(rms)]:
        ax.text(0, row, " not a number", color=ALARM, va="center", fontsize=8)
    ax.set_yticks(rows, names)
    literally(*ax.get_yticklabels())
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(0, 1.06 * (np.nanmax(largest, initial=0.0) or 1.0))
    labels(ax, "θ dx/dθ over spacing\nbar: rms, dot: largest", "")
    plain(ax)
    ax.tick_params(axis="y", length=0)


def _draw_cosines(ax: Axes, cosine: Array) -> None:
    """The matrix beside the bars, its rows those of the bars."""
    number = len(cosine)
    edges = np.arange(number + 1) - 0.5
    ax.pcolormesh(edges, edges, np.ma.masked_invalid(cosine), cmap=COSINES, vmin=-1, vmax=1)
    for row, column in zip(*np.nonzero(np.isfinite(cosine))):
        if number <= PRINTED:
            value = cosine[row, column]
            ink = "w" if abs(value) > 0.75 else INK
            text = f"{value:+.2f}".replace("-", "−")
            ax.text(column, row, text, ha="center", va="center", color=ink, fontsize=7.5)
    for row, column in zip(*np.nonzero(~np.isfinite(cosine))):
        ax.plot(column, row, "x", color=GREY, ms=3, mew=0.7)
    told = range(0, number, int(np.ceil(number / TICKS)))
    ax.set_xticks(list(told), [str(k + 1) for k in told])
    ax.tick_params(labelleft=False, labelsize=8, length=0)
    ax.spines[:].set(linewidth=0.6, color=GREY)
    labels(ax, "cosine of two responses\n−1 blue, +1 orange", "")
