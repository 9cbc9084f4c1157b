"""A result at one glance."""

from __future__ import annotations

import textwrap

from matplotlib.figure import Figure

from simsens.plots.convergence import convergence
from simsens.plots.packing import packing
from simsens.plots.style import INK, SMALL, literally
from simsens.response.equilibrium import Equilibrium
from simsens.response.sensitivity import Sensitivity


def summary(equilibrium: Equilibrium, sensitivity: Sensitivity | None = None) -> Figure:
    """The packing and its convergence side by side, and the certificate in words beneath.

    Args:
        equilibrium: from ``relax``.
        sensitivity: its derivatives, of which the first parameter's are drawn.

    Returns:
        A figure of three axes: the one kind that is more than one.

    Raises:
        ValueError: the derivatives are those of another structure.

    Example:
        >>> from simsens.particles import packing as packings
        >>> from simsens.response.relaxation import relax
        >>> len(summary(relax(packings.packing(number=16), fmax=1e-4)).axes)
        3
    """
    figure = Figure((10.0, 6.3), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=[1.1, 1], height_ratios=[1, 0.2])
    packing(equilibrium, sensitivity, ax=figure.add_subplot(grid[0, 0]))
    convergence(equilibrium, ax=figure.add_subplot(grid[0, 1]))
    words = figure.add_subplot(grid[1, :], frameon=False, xticks=[], yticks=[])
    evidence = None if sensitivity is None else sensitivity.certificate
    said = [str(evidence or equilibrium), *(evidence.notes if evidence else ())]
    text = "\n".join(textwrap.fill(line, 130) for line in "\n".join(said).splitlines())
    literally(words.text(0, 1, text, va="top", fontsize=SMALL, color=INK, linespacing=1.5))
    return figure
