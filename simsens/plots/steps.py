"""What the figures over a parameter's step share: logarithmic axes, limits, lost steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from simsens.plots.style import ALARM, COLOURS, labels, plain
from simsens.response.perturbed import Perturbed
from simsens.response.sensitivity import Sensitivity


def step_axes(ax: Axes, perturbed: Perturbed, sensitivity: Sensitivity, quantity: str) -> Axes:
    """Logarithmic axes: the step of the parameter, and a quantity that grows with it.

    Raises:
        UnknownParameter: the derivatives do not know the parameter.
    """
    sensitivity[perturbed.parameter]  # refuses a stranger
    ax.set_xscale("log")
    ax.set_yscale("log")
    labels(ax, f"change of {perturbed.parameter}, up and down", quantity)
    plain(ax)
    steps = perturbed.steps
    if len(steps):
        ax.set_xlim(steps.min() / 2, steps.max() * 2)
    return ax


def frame(ax: Axes, *shown: Any) -> None:
    """Set the upright axis by what will be shown, before it is: a single value is no range."""
    found = np.concatenate([np.ravel(values) for values in shown])
    found = found[np.isfinite(found) & (found > 0)]
    if len(found):
        ax.set_ylim(found.min() / 4, found.max() * 4)


def draw_limits(
    ax: Axes, perturbed: Perturbed, sensitivity: Sensitivity, which: Iterable[str]
) -> None:
    """Upright lines where a contact is expected to change, and where first order misses a percent.

    Those outside the steps are told in the legend and not drawn.
    """
    certificate, k = sensitivity.certificate, sensitivity.parameters.index(perturbed.parameter)
    known = {
        "percent": (float(certificate.one_percent_step[k]), "one-percent step", (0, (1, 1.5))),
        "contact": (float(certificate.validity_radius[k].min()), "contact change", (0, (6, 2))),
    }
    low, high = ax.get_xlim()
    for limit in which:
        at, words, dashes = known[limit]
        if not np.isfinite(at):
            continue
        label, colour = f"{words} {at:.2g}", COLOURS[2] if limit == "percent" else COLOURS[5]
        if low < at < high:
            ax.axvline(at, color=colour, lw=1.3, ls=dashes, label=label, zorder=1)
        else:
            ax.plot([], [], color=colour, lw=1.3, ls=dashes, label=f"{label} (outside)")


def draw_lost(ax: Axes, perturbed: Perturbed) -> None:
    """Crosses at the foot for steps that led to no new minimum."""
    lost = perturbed.steps[~perturbed.converged]
    if len(lost):
        ax.plot(
            lost, np.full(len(lost), 0.02), "x", color=ALARM, ms=6, clip_on=False,
            transform=ax.get_xaxis_transform(), label=f"no new minimum ({len(lost)})",
        )  # fmt: skip
