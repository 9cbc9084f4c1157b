r"""A derivative put to the test: the structure relaxed again beside where it was taken.

With the parameter at :math:`\theta \pm \delta` and both structures at rest again,

.. math:: e_p(\delta) = \frac{\max_i |x_i(\theta \pm \delta) - x_i \mp J_i \delta|}
                             {\max_i |x_i(\theta \pm \delta) - x_i|}, \qquad
          e_d(\delta) = \frac{\| (x(\theta + \delta) - x(\theta - \delta)) / 2\delta - J \|}
                             {\| J \|} .

The first is what a prediction to first order misses; it grows as :math:`\delta`. The second is the
error of a central difference: :math:`\delta^2` from above and the blur of the minima over
:math:`\delta` from below, a U, whose bottom says to how many digits the derivative was confirmed.

The structures are relaxed from :math:`x` and not from the prediction :math:`x + J \delta`: for a
small step that is at rest already, and the derivative would be compared with itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from simsens.particles import space
from simsens.particles import system as systems
from simsens.particles.structure import InvalidStructure, mobile_mask
from simsens.response import hessian, relaxation, validity
from simsens.response.equilibrium import Equilibrium
from simsens.response.sensitivity import Sensitivity

A_DECADE = 2  # default steps
FEWEST, MOST = 7, 17


@dataclass(frozen=True)
class Perturbed:
    r"""What came of a parameter's steps up and down; not a number where no minimum was reached.

    Positions are compared without rigid motion (zero mean displacement) and without the particles
    that have no derivative: the fixed ones and the rattlers.

    Attributes:
        parameter: its name.
        steps: ``[step]`` changes of the parameter, positive.
        displacement: ``[step]`` the largest displacement of a particle, up or down.
        prediction_error: ``[step]`` the largest error of :math:`x + J \delta`, up or down, over
            ``displacement``.
        difference_error: ``[step]`` the error of the central difference relative to J, in the norm
            of the certificate's bound.
        converged: ``[step]`` whether both structures came to rest, and had to move to do so.
    """

    parameter: str
    steps: np.ndarray
    displacement: np.ndarray
    prediction_error: np.ndarray
    difference_error: np.ndarray
    converged: np.ndarray


def perturb(
    equilibrium: Equilibrium,
    sensitivity: Sensitivity,
    parameter: str | None = None,
    steps: Sequence[float] | np.ndarray | None = None,
) -> Perturbed:
    """Relax again with a parameter a little larger and a little smaller, at the same ``fmax``.

    Args:
        equilibrium: from ``relax``.
        sensitivity: its derivatives.
        parameter: which one, the first by default.
        steps: changes of the parameter, in its unit. By default from where the minima are known
            too coarsely for a difference to where first order has failed: past the one-percent
            step and the first change of contacts, at most a tenth of the parameter.

    Returns:
        The errors of prediction and difference at each step.

    Raises:
        UnknownParameter: listing those that are there.
        ValueError: the derivatives are of another structure or zero; a step is not positive.

    Example:
        >>> from simsens.particles.potentials import LennardJones
        >>> from simsens.particles.structure import Structure
        >>> from simsens.particles.system import System
        >>> from simsens.response.relaxation import relax
        >>> from simsens.response.sensitivity import sensitivity
        >>> pair = System(Structure([[0.0, 0.0], [1.2, 0.0]]), LennardJones())
        >>> minimum = relax(pair, fmax=1e-12)
        >>> tried = perturb(minimum, sensitivity(minimum, wrt="sigma"), steps=[1e-3])
        >>> bool(tried.converged[0]), bool(tried.difference_error[0] < 1e-9)
        (True, True)
    """
    name = parameter or sensitivity.parameters[0]
    response = np.asarray(sensitivity[name])
    at_rest = np.asarray(equilibrium.position)
    if response.shape != at_rest.shape:
        raise ValueError(f"derivatives of shape {response.shape} are those of another structure")
    k = sensitivity.parameters.index(name)
    if not _answers(equilibrium, sensitivity, k):
        raise ValueError(f"nothing moves with {name!r}: its derivative is zero, or not a number")
    chosen = _default_steps(equilibrium, sensitivity, k) if steps is None else np.asarray(steps)
    chosen = np.atleast_1d(chosen).astype(float)
    if chosen.ndim > 1 or not (np.isfinite(chosen) & (chosen > 0)).all():
        raise ValueError(f"steps must be positive numbers; got {np.asarray(steps).tolist()}")

    moving = mobile_mask(equilibrium.system.structure)
    moving[sensitivity.rattlers] = False
    gauge = _Gauge(equilibrium, sensitivity, moving)
    rows = [
        _try(equilibrium, name, sensitivity.values[k], step, gauge, response) for step in chosen
    ]
    displacement, missed, difference = np.array(rows).reshape(-1, 3).T
    return Perturbed(name, chosen, displacement, missed, difference, np.isfinite(displacement))


def _answers(equilibrium: Equilibrium, sensitivity: Sensitivity, k: int) -> bool:
    """Whether positions depend on the parameter; below this a derivative is rounding."""
    longest = np.linalg.norm(sensitivity.position[..., k], axis=1).max(initial=0.0)
    value = abs(float(sensitivity.values[k])) or 1.0
    noise = np.sqrt(np.finfo(np.asarray(equilibrium.position).dtype).eps)
    size = space.spacing(equilibrium.system.structure)
    return bool(np.isfinite(longest) and longest * value > noise * size)


def _default_steps(equilibrium: Equilibrium, sensitivity: Sensitivity, k: int) -> np.ndarray:
    certificate = sensitivity.certificate
    position = np.asarray(equilibrium.position)
    longest = np.linalg.norm(sensitivity.position[..., k], axis=1).max()
    # The minima are blurred: forces known to rounding, over the softest curvature. And nothing
    # moves before its force exceeds fmax, with a stiffness between the softest and the stiffest.
    soft, stiff = np.float64(certificate.smallest_curvature), certificate.largest_curvature
    rounding = np.finfo(position.dtype).eps * float(np.ptp(position, axis=0).max())
    with np.errstate(divide="ignore", invalid="ignore"):
        blur = rounding * stiff / soft + certificate.root_error
        still = equilibrium.fmax / np.sqrt(soft * stiff)
    low = max(10 * blur, 2 * still) / longest
    # Past where first order is off by ten percent, and past the change of contacts.
    limits = [10 * certificate.one_percent_step[k], 3 * certificate.validity_radius[k].min()]
    limits = [limit for limit in limits if np.isfinite(limit) and limit > 0]
    tenth = 0.1 * (abs(float(sensitivity.values[k])) or 1.0)
    high = min(max(limits, default=tenth), tenth)
    low = min(low, 1e-3 * high) if np.isfinite(low) and low > 0 else 1e-6 * high
    number = int(np.clip(round(A_DECADE * np.log10(high / low)) + 1, FEWEST, MOST))
    return np.geomspace(low, high, number)


class _Gauge:
    """Displacements without rigid motion, of the particles that have a derivative."""

    def __init__(
        self, equilibrium: Equilibrium, sensitivity: Sensitivity, moving: np.ndarray
    ) -> None:
        system = equilibrium.system
        listed = systems.list_neighbors(system, validity.reach(system))
        top = max(sensitivity.certificate.largest_curvature, np.finfo(float).tiny)
        # An outer field knows where the particles are: only a motion that costs nothing is gauge.
        self.modes = np.asarray(_rigid_modes(system, listed, moving, top))
        self.moving = moving

    def __call__(self, displacement: np.ndarray) -> np.ndarray:
        flat = np.where(self.moving[:, None], displacement, 0).reshape(-1)
        return (flat - (self.modes @ flat) @ self.modes).reshape(displacement.shape)


@jax.jit
def _rigid_modes(system: Any, neighbors: Any, mobile: Any, top: Any) -> Any:
    modes = hessian.rigid_modes(system.structure, mobile)
    return hessian.confirmed(modes, hessian.flat_operator(system, neighbors, mobile), top)


def _try(
    equilibrium: Equilibrium,
    name: str,
    value: float,
    step: float,
    gauge: _Gauge,
    response: np.ndarray,
) -> tuple[float, float, float]:
    """Largest displacement, error of the prediction, error of the difference at one step."""
    up = _move(equilibrium, {name: float(value + step)}, gauge)
    down = _move(equilibrium, {name: float(value - step)}, gauge)
    if up is None or down is None:
        return np.nan, np.nan, np.nan
    longest = max(_longest(up), _longest(down))
    missed = max(_longest(up - step * response), _longest(down + step * response))
    difference = (up - down) / (2 * step)
    error = np.linalg.norm(difference - response) / np.linalg.norm(response)
    return longest, missed / longest if longest else np.nan, float(error)


def _longest(displacement: np.ndarray) -> float:
    return float(np.linalg.norm(displacement, axis=1).max())


def _move(equilibrium: Equilibrium, new: dict[str, float], gauge: _Gauge) -> np.ndarray | None:
    """Where the particles go with the new parameter, or ``None`` if they come to no rest.

    At a step so small that the structure is at rest to ``fmax`` as it stands, nothing moves, and
    nothing was learnt.
    """
    try:
        again = relaxation.relax(
            equilibrium.system.replace_parameters(new), equilibrium.optimizer, equilibrium.fmax,
            throw=False,
        )  # fmt: skip
    except (InvalidStructure, relaxation.UnreachableTolerance):
        return None
    if not again.converged or not again.iterations:
        return None
    return gauge(np.asarray(again.position) - np.asarray(equilibrium.position))
