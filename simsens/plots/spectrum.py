"""The curvatures of a minimum, as the frequencies of unit masses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from simsens.plots.style import ALARM, COLOURS, GREY, SMALL, Array, axes, labels, plain, title

if TYPE_CHECKING:
    from simsens.response.modes import NormalModes

MANY = 40  # modes from which on a histogram says more than a line for each
SURE = 1e-6  # a residual, of the largest curvature, beyond which the title is one of alarm


def spectrum(modes: NormalModes, *, ax: Axes | None = None) -> Axes:
    r"""The density of :math:`\omega = \sqrt{\lambda}`, and beneath it how many take part.

    Few modes are a line each, many a histogram. Those that are zero are counted at zero; those of
    negative curvature stand left of it at :math:`-\sqrt{|\lambda|}` in red. A participation ratio
    of one is a motion of all particles alike, of 1/N the motion of one.

    Args:
        modes: from ``normal_modes``.
        ax: where to draw, on a new figure by default. It holds the axes of the density and those
            of the participation.

    Raises:
        ValueError: no modes.

    Example:
        >>> from types import SimpleNamespace
        >>> found = SimpleNamespace(
        ...     curvature=np.array([0.0, 0.0, 1.0, 4.0]), zero_modes=2,
        ...     participation=np.array([1.0, 1.0, 0.5, 0.6]), residual=np.zeros(4),
        ... )
        >>> spectrum(found).get_title(loc="left")
        '4 modes, 2 zero; lowest curvature 1, residual 0'
    """
    curvature = np.asarray(modes.curvature, float)
    if not len(curvature):
        raise ValueError("a spectrum needs at least one mode; got none")
    zero, negative = kinds(modes)
    frequency = np.sign(curvature) * np.sqrt(np.abs(curvature))
    ax = axes(ax, 5.2, 4.8)
    ax.set_axis_off()
    above = ax.inset_axes((0.0, 0.45, 1.0, 0.55), label="density")
    beneath = ax.inset_axes((0.0, 0.0, 1.0, 0.37), sharex=above, label="participation")
    _draw_density(above, frequency, ~zero & ~negative, negative)
    if zero.any():
        words = f"{zero.sum()} zero mode" + ("s" if zero.sum() != 1 else "")
        above.axvline(0, color=GREY, lw=2.5, zorder=0)
        above.annotate(
            words, (0, 1), (5, -3), color=GREY, fontsize=SMALL, va="top",
            xycoords=above.get_xaxis_transform(), textcoords="offset points",
        )  # fmt: skip
    share = np.asarray(modes.participation, float)
    for chosen, colour, label in (
        (~zero & ~negative, COLOURS[4], "positive"),
        (negative, ALARM, "negative"),
        (zero, GREY, "zero"),
    ):
        beneath.plot(
            np.where(zero, 0, frequency)[chosen], share[chosen], "o", ms=3, mew=0.8, mfc="none",
            color=colour, label=label,
        )  # fmt: skip
    beneath.set_ylim(0, 1.05)
    labels(beneath, "√curvature (frequency of unit masses)", "participation")
    plain(beneath)
    plain(above)
    above.tick_params(labelbottom=False)
    lowest = curvature[~zero].min() if (~zero).any() else 0.0
    residual = float(np.max(modes.residual, initial=0.0))
    sure = residual <= SURE
    subject = f"{len(curvature)} modes, {zero.sum()} zero; lowest curvature {lowest:.3g}, "
    subject += f"residual {residual:.1g}"
    reason = f"NOT A MINIMUM, {negative.sum()} negative" if negative.any() else ""
    title(ax, subject, sure and not negative.any(), reason)
    return ax


def kinds(modes: NormalModes) -> tuple[Array, Array]:
    """Which modes are zero (the smallest in size, as many as were counted), which negative."""
    curvature = np.asarray(modes.curvature, float)
    zero = np.zeros(len(curvature), bool)
    zero[np.argsort(np.abs(curvature), kind="stable")[: modes.zero_modes]] = True
    return zero, ~zero & (curvature < 0)


def _draw_density(ax: Axes, frequency: Array, positive: Array, negative: Array) -> None:
    held = frequency[positive]
    if len(held) < MANY:
        ax.vlines(held, 0, 1, color=COLOURS[4], lw=1)
        ax.vlines(frequency[negative], 0, 1, color=ALARM, lw=1)
        ax.set_ylim(0, 1.25)
        ax.set_yticks([])
        labels(ax, "", "a line a mode")
        return
    # Bins of the square root rule, fixed by the data alone.
    edges = np.linspace(0, held.max() * (1 + 1e-12), int(np.ceil(np.sqrt(len(held)))) + 1)
    heights, _ = np.histogram(held, edges)
    density = heights / (len(held) * np.diff(edges))
    ax.stairs(density, edges, fill=True, color=COLOURS[1], alpha=0.55)
    ax.stairs(density, edges, color=COLOURS[4], lw=1.2)
    ax.vlines(frequency[negative], 0, density.max(), color=ALARM, lw=1)
    ax.set_ylim(0, 1.15 * density.max())
    labels(ax, "", "density")
