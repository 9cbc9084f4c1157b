"""Arrows on particles: a vector field in the plane of the figure, and the key to its scale."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.quiver import Quiver

from simsens.particles import space
from simsens.particles.structure import Structure
from simsens.plots.particles import nearness
from simsens.plots.style import INK, SMALL, Array, literally, short


def draw_arrows(
    ax: Axes, structure: Structure, place: Array, arrows: Array, colour: str
) -> Quiver | None:
    """Arrows, nineteen in twenty shorter than the particles' spacing; ``None`` without any."""
    seen = np.where(np.isfinite(arrows), arrows, 0.0)[:, :2]
    length, near = np.linalg.norm(seen, axis=1), nearness(place[: len(seen)])
    moving = np.argsort(near, kind="stable")
    moving = moving[length[moving] > 1e-6 * length.max()]
    if not len(moving):
        return None
    spacing = space.spacing(structure)
    # A few that answer far more than the others are kept from covering the figure.
    scale = max(np.percentile(length[moving], 95), length.max() / 2.5) / spacing
    # Past the edge of a box there is no more than a margin; in free space there is room for all.
    room = spacing if structure.box is not None else 2.5 * spacing
    ax.update_datalim(place[moving, :2] + np.clip(seen[moving] / scale, -room, room))
    ax.autoscale_view()
    wide, high = np.ptp(ax.get_xlim()), np.ptp(ax.get_ylim())
    ink = 1 - near[moving, None] * (1 - np.array(to_rgb(colour)))
    return ax.quiver(
        *place[moving, :2].T, *seen[moving].T, angles="xy", scale_units="xy", scale=scale,
        units="xy", width=min(0.035 * spacing, 0.0032 * max(wide, high)), headwidth=4, minlength=0,
        headlength=4.5, headaxislength=4, minshaft=1.5, zorder=4, color=ink, in_layout=False,
    )  # fmt: skip


def draw_key(ax: Axes, drawn: Quiver, structure: Structure, name: str) -> str:
    """An arrow of one round length beneath the box, with its length in words, which come back."""
    wide, high = np.ptp(ax.get_xlim()), np.ptp(ax.get_ylim())
    scale = float(drawn.scale or 1.0)
    unit = float(f"{scale * min(space.spacing(structure), wide / 5):.0e}")  # one digit
    text, long = f"dx/d {short(name, 40)} = {unit:g}", unit / scale / wide
    start, side = (1 - long, "W") if wide > 0.7 * high else (long, "E")
    key = ax.quiverkey(
        drawn, start, -0.035 * max(1, wide / high), unit, text, labelpos=side, labelsep=0.07,
        labelcolor=INK, color=drawn.get_facecolor()[-1], fontproperties={"size": SMALL},
    )  # fmt: skip
    literally(key.text)
    return text
