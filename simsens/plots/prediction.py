"""How far a prediction to first order holds."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from simsens.plots.steps import draw_limits, draw_lost, frame, step_axes
from simsens.plots.style import COLOURS, GREY, INK, axes, caveat, legend_beneath, title, verdict
from simsens.response.perturbed import Perturbed
from simsens.response.sensitivity import Sensitivity


def prediction(perturbed: Perturbed, sensitivity: Sensitivity, *, ax: Axes | None = None) -> Axes:
    r"""What :math:`x + J \delta` misses of the structure relaxed again, over :math:`\delta`.

    The displacement grows as :math:`\delta`, what is missed as :math:`\delta^2`, until a contact
    opens or closes. The guide is the certificate's forecast: one percent of the displacement at the
    one-percent step, :math:`0.01\, \max_i |J_i|\, \delta^2 / \delta_1`.

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
        >>> prediction(perturb(minimum, slope, steps=[1e-5]), slope).get_yscale()
        'log'
    """
    name, steps, moved = perturbed.parameter, perturbed.steps, perturbed.displacement
    ax = step_axes(axes(ax, 5.2, 4.4), perturbed, sensitivity, "length, of the worst particle")
    missed = perturbed.prediction_error * moved
    frame(ax, missed, moved)
    ax.plot(steps, _positive(moved), ".-", color=GREY, lw=1, ms=4, label="displacement")
    ax.plot(steps, _positive(missed), "o-", color=COLOURS[4], lw=1.2, ms=4, label="missed by it")
    lowest = min((v for v in [*missed, *moved] if v > 0), default=None)
    guide = _forecast(perturbed, sensitivity)
    if guide is not None and lowest is not None:
        seen = np.where(guide > lowest / 3, guide, np.nan)
        ax.plot(steps, seen, color=INK, lw=0.9, ls=(0, (5, 3)), label="forecast, slope 2", zorder=3)
    draw_limits(ax, perturbed, sensitivity, ("percent", "contact"))
    draw_lost(ax, perturbed)
    legend_beneath(ax)
    holds = _holds(perturbed)
    found = f"within 1 % up to {holds:.2g}" if holds else "nowhere within 1 %"
    good = sensitivity.certificate.trusted and bool(holds)
    subject = f"first order in {name}: {verdict(sensitivity)}, {found}"
    title(ax, subject, good, caveat(sensitivity))
    return ax


def _holds(perturbed: Perturbed) -> float:
    """The step up to which the prediction is good to one percent, as far as steps were tried."""
    known = perturbed.converged
    order = np.argsort(perturbed.steps[known], kind="stable")
    good = perturbed.prediction_error[known][order] <= 0.01
    number = int(np.argmin(good)) if not good.all() else len(good)
    return float(perturbed.steps[known][order][number - 1]) if number else 0.0


def _positive(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, np.nan)


def _forecast(perturbed: Perturbed, sensitivity: Sensitivity) -> np.ndarray | None:
    """What should be missed at each step, or ``None`` where the certificate does not say."""
    k = sensitivity.parameters.index(perturbed.parameter)
    one_percent = float(sensitivity.certificate.one_percent_step[k])
    longest = float(np.linalg.norm(sensitivity.position[..., k], axis=1).max(initial=0.0))
    if not (np.isfinite(one_percent) and one_percent > 0 and np.isfinite(longest)):
        return None
    return 0.01 * longest * perturbed.steps**2 / one_percent
