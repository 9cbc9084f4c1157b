r"""The particles in their box, with arrows for :math:`\partial x^* / \partial \theta`."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from simsens.particles import space
from simsens.plots.arrows import draw_arrows, draw_key
from simsens.plots.particles import draw_legend, draw_particles, images, radii, stage
from simsens.plots.style import ALARM, INK, axes, caveat, title, verdict
from simsens.response.equilibrium import Equilibrium
from simsens.response.sensitivity import Sensitivity


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
    radius = radii(equilibrium.system)
    index, place = images(structure, radius)
    ax = axes(ax, 5.4, 6.0)
    whole = stage(ax, structure, radius, place)
    loose = np.zeros(0, int) if sensitivity is None else sensitivity.rattlers
    legend = draw_particles(ax, structure, radius[index], index, place, loose)
    for disks in ax.collections[-3:] if whole else ():
        disks.set_clip_path(whole)
    if sensitivity is None:
        draw_legend(ax, legend, "")
        state = " particles at rest" if equilibrium.converged else " particles NOT CONVERGED"
        title(ax, f"{structure.number}{state}", equilibrium.converged, equilibrium.criterion)
        return ax

    trusted, largest = sensitivity.certificate.trusted, np.linalg.norm(arrows, axis=1).max()
    # Below this the positions do not change even if the parameter doubles: that is rounding.
    value = abs(sensitivity.values[sensitivity.parameters.index(name)])
    noise = np.sqrt(np.finfo(arrows.dtype).eps) * space.spacing(structure)
    answers = not value or not largest * value <= noise
    ink = INK if trusted else ALARM
    drawn = draw_arrows(ax, structure, place, arrows, ink) if answers else None
    draw_legend(ax, legend, draw_key(ax, drawn, structure, name) if drawn else "")
    subject = f"d(position)/d({name}): {verdict(sensitivity)}, "
    subject += f"largest {largest:.3g}" if answers else "zero to rounding"
    title(ax, subject, trusted, caveat(sensitivity))
    return ax
