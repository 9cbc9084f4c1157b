"""The softest motions of a minimum, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.colors import to_rgb

from simsens.plots.arrows import draw_arrows
from simsens.plots.particles import images, nearness, radii, stage
from simsens.plots.spectrum import kinds
from simsens.plots.style import ALARM, INK, Array, axes, inches, title
from simsens.response.equilibrium import Equilibrium

if TYPE_CHECKING:
    from simsens.response.modes import NormalModes

DISK = "#c9d3dc"  # what arrows are read against


def modes(
    equilibrium: Equilibrium, modes: NormalModes, count: int = 6, *, ax: Axes | None = None
) -> Axes:
    """The lowest modes as arrows, one panel each; zero modes are left out.

    A mode has no size: arrows are scaled panel by panel.

    Args:
        equilibrium: from ``relax``.
        modes: its normal modes, from ``normal_modes``.
        count: how many at most.
        ax: whose place the panels take, a new figure's by default.

    Raises:
        ValueError: the modes are those of another structure, or there is none but zero modes.

    Example:
        >>> from types import SimpleNamespace
        >>> from simsens.particles.packing import packing
        >>> from simsens.response.relaxation import relax
        >>> minimum = relax(packing(number=8, seed=1), fmax=1e-4)
        >>> unit = np.eye(16).reshape(8, 2, 16)
        >>> found = SimpleNamespace(
        ...     curvature=np.arange(16.0), zero_modes=2, mode=unit, participation=np.ones(16) / 8,
        ... )
        >>> len(modes(minimum, found, 4).child_axes)
        4
    """
    structure = equilibrium.system.structure
    vectors = np.asarray(modes.mode, float)
    if vectors.shape[:2] != np.shape(structure.position):
        raise ValueError(f"modes of shape {vectors.shape[:2]} are those of another structure")
    if count < 1:
        raise ValueError(f"at least one mode is needed; got count={count}")
    zero, negative = kinds(modes)
    chosen = np.flatnonzero(~zero)
    chosen = chosen[np.argsort(np.asarray(modes.curvature, float)[chosen], kind="stable")][:count]
    if not len(chosen):
        raise ValueError(f"all {len(zero)} modes are zero: there is nothing to show")
    ax = axes(ax, 7.2, 5.4)
    ax.set_axis_off()
    panels = []
    for number, place in enumerate(_cells(ax, len(chosen))):
        k = chosen[number]
        panel = ax.inset_axes(place)
        panels.append(panel)
        _draw(panel, equilibrium, vectors[..., k], ALARM if negative[k] else INK)
        curvature, share = float(modes.curvature[k]), float(modes.participation[k])
        panel.set_title(
            f"λ = {curvature:.3g},  {share:.0%} take part", fontsize=8, loc="left",
            color=ALARM if negative[k] else INK, pad=3,
        )  # fmt: skip
    # Arrows make room for themselves; every panel makes the same.
    limits = np.array([[panel.get_xlim(), panel.get_ylim()] for panel in panels])
    for panel in panels:
        panel.set_xlim(limits[:, 0, 0].min(), limits[:, 0, 1].max())
        panel.set_ylim(limits[:, 1, 0].min(), limits[:, 1, 1].max())
    subject = f"the {len(chosen)} lowest of {len(zero) - zero.sum()} modes"
    reason = f"NOT A MINIMUM, {negative.sum()} negative" if negative.any() else ""
    title(ax, subject, not negative.any(), reason)
    return ax


def _cells(ax: Axes, number: int) -> list[tuple[float, float, float, float]]:
    """Places of panels, in as many columns as make them largest, row by row from the top."""
    wide, high = inches(ax)
    columns = max(range(1, number + 1), key=lambda c: min(wide / c, high / np.ceil(number / c)))
    rows = int(np.ceil(number / columns))
    line = min(0.22 / high, 0.3 / rows)  # above each, for its own title
    return [
        ((k % columns) / columns, 1 - (k // columns + 1) / rows, 0.96 / columns, 1 / rows - line)
        for k in range(number)
    ]


def _draw(ax: Axes, equilibrium: Equilibrium, mode: Array, ink: str) -> None:
    structure, radius = equilibrium.system.structure, radii(equilibrium.system)
    index, place = images(structure, radius)
    whole = stage(ax, structure, radius, place)
    near = nearness(place)
    order = np.argsort(near, kind="stable")
    size = 2 * radius[index[order]]
    disks = EllipseCollection(
        size, size, np.zeros(len(size)), units="xy", offsets=place[order, :2],
        offset_transform=ax.transData, facecolors=1 - near[order, None] * (1 - _rgb(DISK)) * 0.6,
        edgecolors="w", lw=0.5, in_layout=False, label="particles",
    )  # fmt: skip
    ax.add_collection(disks, autolim=False)
    if whole:
        disks.set_clip_path(whole)
    draw_arrows(ax, structure, place, mode, ink)
    ax.autoscale_view()


def _rgb(colour: str) -> Array:
    return np.array(to_rgb(colour))
