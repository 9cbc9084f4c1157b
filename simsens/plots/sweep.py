"""An observable across many members of a study, each with its own derivative."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from simsens.plots.style import (
    ALARM,
    COLOURS,
    INK,
    Array,
    axes,
    labels,
    legend_beneath,
    plain,
    title,
)

REACH = 0.4  # of the usual distance to the next value, to which a tangent goes either way


def sweep(
    values: Any,
    measured: Any,
    slopes: Any,
    parameter: str,
    observable: str,
    *,
    trusted: Any = None,
    ax: Axes | None = None,
) -> Axes:
    r"""An observable over a parameter, with the tangent that each member predicts.

    Tangents that run into each other confirm the derivatives; a tangent that points away from its
    neighbours tells of a jump between them, such as a change of contacts.

    Args:
        values: ``[member]`` of the parameter.
        measured: ``[member]`` of the observable.
        slopes: ``[member]`` total derivatives :math:`dO/d\theta`.
        parameter: its name.
        observable: its name.
        trusted: ``[member]`` whether the certificate trusts the derivative, all by default.
        ax: where to draw, on a new figure by default.

    Raises:
        ValueError: no member, or arrays of different lengths.

    Example:
        >>> theta = np.linspace(0.5, 0.7, 5)
        >>> sweep(theta, theta**2, 2 * theta, "diameter[B]", "pressure").get_title(loc="left")
        'pressure over diameter[B]: 5 members'
    """
    value, found, slope = (np.asarray(a, float) for a in (values, measured, slopes))
    good = np.ones(value.shape, bool) if trusted is None else np.asarray(trusted, bool)
    if value.ndim != 1 or not value.shape == found.shape == slope.shape == good.shape:
        shapes = ", ".join(str(a.shape) for a in (value, found, slope, good))
        raise ValueError(
            f"values, measured, slopes and trusted must be of one length; got {shapes}"
        )
    if not len(value):
        raise ValueError("a sweep needs at least one member; got none")
    ax = axes(ax, 5.2, 4.0)
    there = np.isfinite(value) & np.isfinite(found)
    good &= np.isfinite(slope)
    ax.plot(
        value[there & good], found[there & good], "o", color=COLOURS[4], ms=4, label="measured",
        zorder=3,
    )  # fmt: skip
    if (there & good).any():
        line = _tangents(value, found, slope, there & good)
        ax.add_collection(line, autolim=False)
    doubtful = there & ~good
    if doubtful.any():
        ax.plot(
            value[doubtful], found[doubtful], "o", mfc="none", mec=ALARM, ms=5, zorder=3,
            label=f"derivative not trusted ({doubtful.sum()})",
        )  # fmt: skip
        line = _tangents(value, found, slope, doubtful & np.isfinite(slope))
        line.set(color=ALARM, linestyle=(0, (2, 1.5)), label="")
        ax.add_collection(line, autolim=False)
    ax.margins(0.06)
    labels(ax, parameter, observable)
    plain(ax)
    legend_beneath(ax, 3)
    lost = int((~there).sum())
    subject = f"{observable} over {parameter}: {len(value)} member{'s' * (len(value) != 1)}"
    told = [f"{lost} not a number, left out"] if lost else []
    told += [f"{doubtful.sum()} not to be trusted"] if doubtful.any() else []
    title(ax, subject, not told, "; ".join(told))
    return ax


def _tangents(value: Array, found: Array, slope: Array, chosen: Array) -> LineCollection:
    """A short piece of each tangent; axes are ruled by the points alone, whatever a slope is."""
    apart = np.diff(np.unique(value[np.isfinite(value)]))
    reach = REACH * float(np.median(apart)) if len(apart) else 0.05 * (abs(value[0]) or 1.0)
    step = np.array([-reach, reach])
    x, y, k = (a[chosen, None] for a in (value, found, slope))
    pieces = np.stack([x + step, y + k * step], axis=-1)
    return LineCollection(list(pieces), colors=INK, linewidths=1.3, zorder=2, label="its tangent")
