"""The implicit derivative against central differences of minima."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from simsens.plots.steps import draw_limits, draw_lost, frame, step_axes
from simsens.plots.style import COLOURS, INK, axes, caveat, legend_beneath, title, verdict
from simsens.response.perturbed import Perturbed
from simsens.response.sensitivity import Sensitivity


def check(perturbed: Perturbed, sensitivity: Sensitivity, *, ax: Axes | None = None) -> Axes:
    r"""The error of central differences over their step, a U, and the certificate's bound.

    From above the error falls as :math:`\delta^2`; below, the blur of the minima over
    :math:`\delta` takes over. Agreement at the bottom confirms the derivative to that many digits;
    the bound is what the certificate claims without differences.

    Args:
        perturbed: from ``perturb``.
        sensitivity: the derivatives that it was made with.
        ax: where to draw, on a new figure by default.

    Raises:
        UnknownParameter: the derivatives do not know the parameter.

    Example:
        >>> from simsens.particles.packing import packing
        >>> from simsens.response.perturbed import perturb
        >>> from simsens.response.relaxation import relax
        >>> from simsens.response.sensitivity import sensitivity
        >>> minimum = relax(packing(number=8, seed=1), fmax=1e-10)
        >>> slope = sensitivity(minimum, wrt="diameter[A]")
        >>> check(perturb(minimum, slope, steps=[1e-5]), slope).get_xscale()
        'log'
    """
    name, error = perturbed.parameter, perturbed.difference_error
    ax = step_axes(axes(ax, 5.2, 4.2), perturbed, sensitivity, "relative error")
    bound = float(sensitivity.certificate.error_bound[sensitivity.parameters.index(name)])
    frame(ax, error, bound)
    shown = np.where(error > 0, error, np.nan)
    ax.plot(
        perturbed.steps, shown, "o-", color=COLOURS[4], lw=1.2, ms=4, label="central difference"
    )
    if np.isfinite(bound) and bound > 0:
        ax.axhline(bound, color=INK, lw=1, ls=(0, (5, 3)), label=f"certificate's bound {bound:.1e}")
    draw_limits(ax, perturbed, sensitivity, ("contact",))
    draw_lost(ax, perturbed)
    legend_beneath(ax)
    agreed = (
        f"differences agree to {np.nanmin(error):.1e}"
        if np.isfinite(error).any()
        else "NOT CHECKED"
    )
    subject = f"d(position)/d({name}): {verdict(sensitivity)}, {agreed}"
    good = sensitivity.certificate.trusted and bool(np.isfinite(error).any())
    title(ax, subject, good, caveat(sensitivity))
    return ax
