"""How every figure looks: inks, axes, titles, and text that is taken as it stands.

Figures are made of matplotlib's objects, never through ``pyplot``: no backend is chosen, no window
opens, nothing is kept alive. The colours are those of Okabe and Ito, which stay apart for
colour-blind readers (https://jfly.uni-koeln.de/color/).
"""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from simsens.response.sensitivity import Sensitivity

COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#F0E442")
INK, GREY, ALARM = "#1a1a1a", "#767676", "#B03A00"
PALE = 0.45  # how much of its colour the face of a particle has
SMALL = 8.5  # points
Array = np.ndarray


def axes(ax: Axes | None, width: float, height: float) -> Axes:
    """The axes that were given, or new ones on a figure of this many inches."""
    return Figure((width, height), layout="constrained").add_subplot() if ax is None else ax


def plain(ax: Axes) -> None:
    """Two thin grey lines instead of a frame, and small ticks."""
    ax.tick_params(labelsize=8, color=GREY, which="both", width=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set(linewidth=0.6, color=GREY)


def title(ax: Axes, subject: str, good: bool, reason: str = "", taken: int = 0) -> None:
    """A title at the left, in the colour of an alarm when something is not good.

    Its lines fit over the axes, less the letters ``taken`` by what stands at their left.
    """
    text = printable(f"{subject}: {reason}" if reason else subject)
    text = textwrap.fill(text, max(24, _letters(ax) - taken))
    ink = INK if good else ALARM
    ax.set_title(text, loc="left", fontsize=9.5, color=ink, parse_math=False)


def _letters(ax: Axes) -> int:
    """Of a title that fit above the axes."""
    return min(66, round(16 * inches(ax)[0]))


def inches(ax: Axes) -> Array:
    """Width and height of the place of the axes, before anything is laid out."""
    whole: Any = ax.figure.figure  # of axes, perhaps in a part of a figure
    return np.array(whole.get_size_inches()) * ax.get_position().bounds[2:]


def verdict(sensitivity: Sensitivity) -> str:
    """``trusted`` or ``NOT TRUSTED``."""
    return "trusted" if sensitivity.certificate.trusted else "NOT TRUSTED"


def caveat(sensitivity: Sensitivity) -> str:
    """Why derivatives are not to be trusted; nothing to say of those that are."""
    return "" if sensitivity.certificate.trusted else sensitivity.certificate.reason


def literally(*texts: Text) -> None:
    r"""Take texts as they stand: a name from a file may hold ``$``, ``\`` or what no font has."""
    for text in texts:
        text.set_parse_math(False)
        text.set_text(printable(text.get_text()))


def printable(text: str) -> str:
    """The text without control characters, which neither a font nor XML knows."""
    return "".join(map(_printable, text))


def short(name: str, letters: int) -> str:
    """A name that leaves room for the figure, cut with an ellipsis.

    Example:
        >>> short("stiffness[1000]", 20), short("stiffness[1000]", 10)
        ('stiffness[1000]', 'stiffness…')
    """
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def _printable(letter: str) -> str:
    if letter.isprintable() or letter == "\n":
        return letter
    return " " if letter.isspace() else "\N{REPLACEMENT CHARACTER}"


def labels(ax: Axes, x: str, y: str) -> None:
    """Names of the axes, taken as they stand."""
    x, y = (short(name, 60) for name in (x, y))
    literally(ax.set_xlabel(x, fontsize=9), ax.set_ylabel(y, fontsize=9))


def legend_beneath(ax: Axes, columns: int = 2, **more: Any) -> None:
    """A legend under the axes, where it covers no data."""
    drawn = ax.legend(
        loc="upper left", bbox_to_anchor=(-0.02, -0.19), frameon=False, fontsize=SMALL,
        ncols=columns, borderaxespad=0, handlelength=1.8, columnspacing=1.6, **more,
    )  # fmt: skip
    literally(*drawn.get_texts())
