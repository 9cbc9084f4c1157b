r"""Figures of a result: each function takes one and returns the ``Axes`` it drew on.

``packing`` shows the particles at their true size in their box, with arrows for
:math:`\partial x^* / \partial \theta`; ``convergence`` shows how the forces fell; ``summary`` sets
both above the certificate in words.

Figures are made of matplotlib's objects, never through ``pyplot``: no backend is chosen, no window
opens, nothing is kept alive. The colours are those of Okabe and Ito, which stay apart for
colour-blind readers (https://jfly.uni-koeln.de/color/).
"""

from __future__ import annotations

import itertools
import os
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerPatch
from matplotlib.patches import Circle, Polygon
from scipy.spatial import ConvexHull

from simsens.io import atomic
from simsens.particles import space
from simsens.particles.potentials import LennardJones, Morse, SoftSphere
from simsens.particles.structure import Structure
from simsens.particles.system import System
from simsens.response.equilibrium import Equilibrium
from simsens.response.sensitivity import Sensitivity

COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#F0E442")
INK, GREY, ALARM = "#1a1a1a", "#767676", "#B03A00"
PALE = 0.45  # how much of its colour the face of a particle has
# Where two particles of a species touch, in units of their sigma: at the edge, or in the well.
TOUCHING = {SoftSphere: 1.0, Morse: 1.0, LennardJones: 2 ** (1 / 6)}
Array = np.ndarray
FORMATS: dict[str, str] = {".png": "Software", ".svg": "Date", ".pdf": "CreationDate"}


def packing(
    equilibrium: Equilibrium,
    sensitivity: Sensitivity | None = None,
    parameter: str | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    r"""The particles in their box, and where each goes when a parameter grows.

    Arrows are :math:`\partial x^* / \partial \theta`, scaled so that nineteen in twenty are shorter
    than the particles' spacing. Rattlers are hollow, fixed particles hatched. Three dimensions are
    seen along z: what lies deeper is paler.

    Args:
        equilibrium: from ``relax``.
        sensitivity: its derivatives; without them there are no arrows and no rattlers known.
        parameter: which one, the first by default.
        ax: where to draw, on a new figure by default.

    Raises:
        UnknownParameter: listing those that are there.
        ValueError: the derivatives are those of another structure.

    Example:
        >>> from simsens.particles import packing as packings
        >>> from simsens.response.relaxation import relax
        >>> packing(relax(packings.packing(number=16), fmax=1e-4)).get_title(loc="left")
        '16 particles at rest: max force <= fmax'
    """
    structure = equilibrium.system.structure
    name = "" if sensitivity is None else parameter or sensitivity.parameters[0]
    arrows = np.zeros(structure.position.shape) if sensitivity is None else sensitivity[name]
    if np.shape(arrows) != np.shape(structure.position):
        raise ValueError(f"derivatives of shape {np.shape(arrows)} are those of another structure")
    radius = _radii(equilibrium.system)
    index, place = _images(structure, radius)
    ax = Figure((5.4, 6.0), layout="constrained").add_subplot() if ax is None else ax
    ax.set_axis_off()
    ax.set_aspect("equal")
    ax.margins(0.01)  # the line of the box is not cut in half
    whole = _draw_box(ax, structure)
    if not all(structure.boundary):
        inside = place[: structure.number, :2]
        ax.update_datalim(np.vstack([inside - radius[:, None], inside + radius[:, None]]))
    loose = np.zeros(0, int) if sensitivity is None else sensitivity.rattlers
    legend = _draw_particles(ax, structure, radius[index], index, place, loose)
    for disks in ax.collections[-3:] if whole else ():
        disks.set_clip_path(whole)
    if sensitivity is None:
        _draw_legend(ax, legend, "")
        state = " particles at rest" if equilibrium.converged else " particles NOT CONVERGED"
        _title(ax, f"{structure.number}{state}", equilibrium.converged, equilibrium.criterion)
        return ax

    certificate, largest = sensitivity.certificate, np.linalg.norm(arrows, axis=1).max()
    # Below this the positions do not change even if the parameter doubles: that is rounding.
    value = abs(sensitivity.values[sensitivity.parameters.index(name)])
    noise = np.sqrt(np.finfo(arrows.dtype).eps) * space.spacing(structure)
    answers = not value or not largest * value <= noise
    key = _draw_arrows(ax, structure, place, arrows, name, certificate.trusted) if answers else ""
    _draw_legend(ax, legend, key)
    subject = f"d(position)/d({name}): {'trusted' if certificate.trusted else 'NOT TRUSTED'}, "
    subject += f"largest {largest:.3g}" if answers else "zero to rounding"
    _title(ax, subject, certificate.trusted, "" if certificate.trusted else certificate.reason)
    return ax


def convergence(equilibrium: Equilibrium, *, ax: Axes | None = None) -> Axes:
    """The largest force at each step that was reported, and the one that was asked for."""
    step, _, force = np.asarray(equilibrium.history, float).reshape(-1, 3).T
    ax = Figure((5.2, 3.6), layout="constrained").add_subplot() if ax is None else ax
    ax.set_yscale("log")
    ax.plot(step, np.where(force > 0, force, np.nan), "o-", color=COLOURS[4], lw=1.2, ms=3)
    ax.axhline(equilibrium.fmax, color=GREY, lw=0.8, ls=(0, (5, 3)), zorder=0)
    ax.annotate(
        f"fmax {equilibrium.fmax:g}", (0, equilibrium.fmax), (4, 3), color=GREY, fontsize=8.5,
        xycoords=ax.get_yaxis_transform(), textcoords="offset points",
    )  # fmt: skip
    ax.margins(x=0.03, y=0.08)
    ax.set(xlabel="step", ylabel="max force")
    ax.tick_params(labelsize=8, color=GREY, which="both", width=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set(linewidth=0.6, color=GREY)
    state = "converged" if equilibrium.converged else "NOT CONVERGED"
    _title(ax, state, equilibrium.converged, equilibrium.criterion)
    return ax


def summary(equilibrium: Equilibrium, sensitivity: Sensitivity | None = None) -> Figure:
    """The packing and its convergence side by side, and the certificate in words beneath."""
    figure = Figure((10.0, 6.3), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=[1.1, 1], height_ratios=[1, 0.2])
    packing(equilibrium, sensitivity, ax=figure.add_subplot(grid[0, 0]))
    convergence(equilibrium, ax=figure.add_subplot(grid[0, 1]))
    words = figure.add_subplot(grid[1, :], frameon=False, xticks=[], yticks=[])
    evidence = None if sensitivity is None else sensitivity.certificate
    said = [str(evidence or equilibrium), *(evidence.notes if evidence else ())]
    text = "\n".join(textwrap.fill(line, 130) for line in "\n".join(said).splitlines())
    words.text(0, 1, text, va="top", fontsize=8.5, color=INK, linespacing=1.5, parse_math=False)
    return figure


FIGURES: dict[str, Callable[..., Axes]] = {"packing": packing, "convergence": convergence}


def save(figure: Figure | Axes, path: str | os.PathLike[str]) -> None:
    """Write a figure to a ``.png``, ``.svg`` or ``.pdf`` file, the same bytes at every time.

    Raises:
        ValueError: another suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"a figure's file ends in {', '.join(FORMATS)}; got {Path(path).name!r}")
    whole: Any = figure.figure.figure  # of axes, perhaps in a part of a figure
    with (
        mpl.rc_context({"svg.hashsalt": "simsens"}),
        atomic.replacing(path, overwrite=True) as temporary,
    ):
        whole.savefig(
            temporary, format=suffix[1:], dpi=150, facecolor="white", bbox_inches="tight",
            pad_inches=0.12, metadata={FORMATS[suffix]: None},
        )  # fmt: skip


def _title(ax: Axes, subject: str, good: bool, reason: str) -> None:
    text = textwrap.fill(f"{subject}: {reason}" if reason else subject, 66)
    ax.set_title(text, loc="left", fontsize=9.5, color=INK if good else ALARM, parse_math=False)


def _radii(system: System) -> Array:
    """The radius of each particle: half of the distance at which two of its species touch."""
    structure, potential = system.structure, system.potential
    if type(potential) not in TOUCHING:
        return np.full(structure.number, 0.4 * space.spacing(structure))
    sigma = np.asarray(potential.tables(structure.species_names)["sigma"], float)
    own = np.diag(sigma) if sigma.ndim else np.full(len(structure.species_names), sigma)
    return TOUCHING[type(potential)] * own[np.asarray(structure.species)] / 2


def _images(structure: Structure, radius: Array) -> tuple[Array, Array]:
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


def _draw_particles(
    ax: Axes, structure: Structure, radius: Array, index: Array, place: Array, loose: Array
) -> list[dict[str, Any]]:
    """Particles and images, what lies deeper first and paler; back come the legend's entries."""
    species, names = np.asarray(structure.species), structure.species_names
    colour = np.array([to_rgb(COLOURS[k % len(COLOURS)]) for k in range(len(names))])
    free = np.isin(np.arange(structure.number), loose)
    held = np.zeros_like(free) if structure.fixed is None else np.asarray(structure.fixed)
    near = _nearness(place)
    legend: list[dict[str, Any]] = [
        {"label": f"{(species == k).sum()} {names[k]}", "fc": PALE * c + 1 - PALE, "ec": 0.8 * c}
        for k, c in enumerate(colour)
    ]
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


def _nearness(place: Array) -> Array:
    """1 in front (and in a plane), 0.25 at the back."""
    depth = place[:, 2] if place.shape[1] == 3 else np.zeros(len(place))
    return np.interp(depth, [depth.min(), depth.max()], [0.25, 1.0])


def _draw_arrows(
    ax: Axes, structure: Structure, place: Array, arrows: Array, name: str, trusted: bool
) -> str:
    """Arrows in the plane of the figure, and a key to their scale, whose text comes back."""
    seen = np.where(np.isfinite(arrows), arrows, 0.0)[:, :2]
    length, near = np.linalg.norm(seen, axis=1), _nearness(place[: len(seen)])
    moving = np.argsort(near, kind="stable")
    moving = moving[length[moving] > 1e-6 * length.max()]
    if not len(moving):
        return ""
    spacing = space.spacing(structure)
    # A few that answer far more than the others are kept from covering the figure.
    scale = max(np.percentile(length[moving], 95), length.max() / 2.5) / spacing
    ax.update_datalim(place[moving, :2] + np.clip(seen[moving] / scale, -spacing, spacing))
    ax.autoscale_view()
    wide, high = np.ptp(ax.get_xlim()), np.ptp(ax.get_ylim())
    ink = 1 - near[moving, None] * (1 - np.array(to_rgb(INK if trusted else ALARM)))
    drawn = ax.quiver(
        *place[moving, :2].T, *seen[moving].T, angles="xy", scale_units="xy", scale=scale,
        units="xy", width=min(0.035 * spacing, 0.0032 * max(wide, high)), headwidth=4, minlength=0,
        headlength=4.5, headaxislength=4, minshaft=1.5, zorder=4, color=ink, in_layout=False,
    )  # fmt: skip
    unit = float(f"{scale * min(spacing, wide / 5):.0e}")  # one digit
    text, long = f"dx/d {name} = {unit:g}", unit / scale / wide
    start, side = (1 - long, "W") if wide > 0.7 * high else (long, "E")
    ax.quiverkey(
        drawn, start, -0.035 * max(1, wide / high), unit, text, labelpos=side, labelsep=0.07,
        labelcolor=INK, color=ink[-1], fontproperties={"size": 8.5},
    )  # fmt: skip
    return text


def _draw_legend(ax: Axes, entries: list[dict[str, Any]], key: str) -> None:
    """Beneath the box, on the line of the arrows' key where both have room."""
    ax.autoscale_view()
    shape = np.ptp(ax.get_xlim()) / np.ptp(ax.get_ylim())
    letters = sum(len(entry["label"]) + 5 for entry in entries) + len(key)
    shape, crowded = max(1, shape), key and letters > 56 * min(1, shape)
    ax.legend(
        handles=[Circle((0, 0), **{"lw": 0.6, **entry}) for entry in entries],
        handler_map={Circle: HandlerPatch(lambda height, **_: Circle((height, height / 2), 3.6))},
        frameon=False, loc="upper left", borderaxespad=0, fontsize=8.5, columnspacing=1.4, ncols=4,
        bbox_to_anchor=(-0.01, -0.055 * shape if crowded else -0.01 * shape), handlelength=1.1,
    )  # fmt: skip
