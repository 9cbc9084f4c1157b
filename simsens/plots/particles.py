"""Particles at their true size in their box, seen along z in three dimensions."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.colors import to_rgb
from matplotlib.legend_handler import HandlerPatch
from matplotlib.patches import Circle, Polygon
from scipy.spatial import ConvexHull

from simsens.particles import space
from simsens.particles.potentials import LennardJones, Morse, SoftSphere
from simsens.particles.structure import Structure
from simsens.particles.system import System
from simsens.plots.style import COLOURS, GREY, INK, PALE, SMALL, Array, literally, short

# Where two particles of a species touch, in units of their sigma: at the edge, or in the well.
TOUCHING = {SoftSphere: 1.0, Morse: 1.0, LennardJones: 2 ** (1 / 6)}


def radii(system: System) -> Array:
    """The radius of each particle: half of the distance at which two of its species touch."""
    structure, potential = system.structure, system.potential
    if type(potential) not in TOUCHING:
        return np.full(structure.number, 0.4 * space.spacing(structure))
    sigma = np.asarray(potential.tables(structure.species_names)["sigma"], float)
    own = np.diag(sigma) if sigma.ndim else np.full(len(structure.species_names), sigma)
    return TOUCHING[type(potential)] * own[np.asarray(structure.species)] / 2


def images(structure: Structure, radius: Array) -> tuple[Array, Array]:
    """Every particle in the box, then the images of those that stick out: index, position."""
    position = np.asarray(structure.position, float)
    if structure.box is None:
        return np.arange(structure.number), position
    box = np.asarray(structure.box, float)
    inverse, width = np.linalg.inv(box), np.asarray(space.widths(box))
    place = position - np.floor(position @ inverse) * structure.boundary @ box
    # An edge along the line of sight takes an image to where its particle is seen already.
    seen = np.linalg.norm(box[:, :2], axis=1) > 1e-9 * np.abs(box).max()
    steps = [(0, -1, 1) if b and s else (0,) for b, s in zip(structure.boundary, seen)]
    index, at = [np.arange(structure.number)], [place]
    for step in list(itertools.product(*steps))[1:]:
        moved = place + np.array(step) @ box
        depth, reach = moved @ inverse * width, radius[:, None]
        near = ((np.array(step) == 0) | (depth > -reach) & (depth < width + reach)).all(axis=1)
        index.append(np.flatnonzero(near))
        at.append(moved[near])
    return np.concatenate(index), np.vstack(at)


def nearness(place: Array) -> Array:
    """1 in front (and in a plane), 0.25 at the back."""
    depth = place[:, 2] if place.shape[1] == 3 else np.zeros(len(place))
    return np.interp(depth, [depth.min(), depth.max()], [0.25, 1.0])


def stage(ax: Axes, structure: Structure, radius: Array, place: Array) -> Polygon | None:
    """Make room for the particles and draw their box; back comes the outline of a closed one."""
    ax.set_axis_off()
    ax.set_aspect("equal")
    ax.margins(0.01)  # the line of the box is not cut in half
    whole = _draw_box(ax, structure)
    if not all(structure.boundary):
        inside = place[: structure.number, :2]
        ax.update_datalim(np.vstack([inside - radius[:, None], inside + radius[:, None]]))
    return whole


def _draw_box(ax: Axes, structure: Structure) -> Polygon | None:
    """Draw the box, dashed when an edge is open; back comes the outline of a closed one."""
    if structure.box is None:
        return None
    edges = np.asarray(structure.box, float)[:, :2]
    corners = np.array(list(itertools.product((0, 1), repeat=len(edges)))) @ edges
    around, closed = corners[ConvexHull(corners).vertices], all(structure.boundary)
    outline = Polygon(around, fill=False, ec=INK, lw=0.8, ls="-" if closed else "--", zorder=3)
    ax.add_patch(outline)
    return outline if closed else None


def draw_particles(
    ax: Axes, structure: Structure, radius: Array, index: Array, place: Array, loose: Array
) -> list[dict[str, Any]]:
    """Particles and images, what lies deeper first and paler; back come the legend's entries."""
    species, names = np.asarray(structure.species), structure.species_names
    colour = np.array([to_rgb(COLOURS[k % len(COLOURS)]) for k in range(len(names))])
    free = np.isin(np.arange(structure.number), loose)
    held = np.zeros_like(free) if structure.fixed is None else np.asarray(structure.fixed)
    near = nearness(place)
    legend: list[dict[str, Any]] = []
    for k, c in enumerate(colour):
        label = f"{(species == k).sum()} {short(names[k], 24)}"
        legend.append({"label": label, "fc": PALE * c + 1 - PALE, "ec": 0.8 * c})
    for chosen, label, style in (
        (~held & ~free, "particles", {"lw": 0.6}),
        (held & ~free, "fixed", {"lw": 0.6, "hatch": "//////"}),
        (free, "rattler" if free.sum() == 1 else "rattlers", {"lw": 0.8, "ls": (0, (3, 2))}),
    ):
        order = np.argsort(near, kind="stable")
        order = order[chosen[index[order]]]
        rgb, tone = colour[species[index[order]]], near[order, None]
        disks = EllipseCollection(
            2 * radius[order], 2 * radius[order], np.zeros(len(order)), units="xy",
            offsets=place[order, :2], offset_transform=ax.transData, label=label,
            facecolors="none" if chosen is free else 1 - tone * PALE * (1 - rgb),
            edgecolors=1 - tone * (1 - 0.8 * rgb), in_layout=False, **style,
        )  # fmt: skip
        ax.add_collection(disks, autolim=False)
        if chosen.any() and label != "particles":
            legend.append({"label": f"{chosen.sum()} {label}", "fc": "w", "ec": GREY, **style})
    return legend


def draw_legend(ax: Axes, entries: list[dict[str, Any]], key: str) -> None:
    """Beneath the box, on the line of the arrows' key where both have room."""
    ax.autoscale_view()
    shape = np.ptp(ax.get_xlim()) / np.ptp(ax.get_ylim())
    letters = sum(len(entry["label"]) + 5 for entry in entries) + len(key)
    shape, crowded = max(1, shape), key and letters > 56 * min(1, shape)
    drawn = ax.legend(
        handles=[Circle((0, 0), **{"lw": 0.6, **entry}) for entry in entries],
        handler_map={Circle: HandlerPatch(lambda height, **_: Circle((height, height / 2), 3.6))},
        frameon=False, loc="upper left", borderaxespad=0, fontsize=SMALL, columnspacing=1.4,
        bbox_to_anchor=(-0.01, -0.055 * shape if crowded else -0.01 * shape), handlelength=1.1,
        ncols=4,
    )  # fmt: skip
    literally(*drawn.get_texts())
