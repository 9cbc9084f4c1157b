"""Figures of a result: each function takes one and returns the ``Axes`` it drew on.

Every kind is a file, a function and a line in ``FIGURES``. Arguments bear the names of the nouns:
``equilibrium``, ``sensitivity``, ``modes``, ``perturbed``; ``ax`` is where to draw, on a new figure
by default. ``summary`` alone is more than one and returns the ``Figure``. ``save`` writes a file;
``report`` puts everything about a minimum on one page.

Nothing here goes through ``pyplot``: no backend is chosen, no window opens (``style``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simsens.plots.check import check
from simsens.plots.convergence import convergence
from simsens.plots.formats import FORMATS, save
from simsens.plots.matrix import matrix
from simsens.plots.modes import modes
from simsens.plots.packing import packing
from simsens.plots.prediction import prediction
from simsens.plots.report import report
from simsens.plots.spectrum import spectrum
from simsens.plots.style import ALARM, COLOURS, GREY, INK
from simsens.plots.summary import summary
from simsens.plots.sweep import sweep

__all__ = [
    "ALARM",
    "COLOURS",
    "FIGURES",
    "FORMATS",
    "GREY",
    "INK",
    "check",
    "convergence",
    "matrix",
    "modes",
    "packing",
    "prediction",
    "report",
    "save",
    "spectrum",
    "summary",
    "sweep",
]

#: The kinds of figures; each returns ``Axes``, ``summary`` a ``Figure``.
FIGURES: dict[str, Callable[..., Any]] = {
    "summary": summary,
    "convergence": convergence,
    "quiver": packing,
    "spectrum": spectrum,
    "modes": modes,
    "matrix": matrix,
    "check": check,
    "prediction": prediction,
    "sweep": sweep,
}
