r"""The relaxed structure at other parameters, to first order, and how far that may be believed."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from simsens.particles import parameters
from simsens.particles.structure import Structure
from simsens.response.sensitivity import Sensitivity


class OutsideRange(UserWarning):
    """First order is asked for where the certificate does not vouch for it."""


def predict(
    structure: Structure, sensitivity: Sensitivity, values: Mapping[str, float]
) -> Structure:
    r"""Move the particles to where first order says they come to rest at other parameters.

    .. math:: x(\theta') \approx x^*(\theta) + J\,(\theta' - \theta)

    Args:
        structure: the minimum.
        sensitivity: its derivatives.
        values: the new parameters by name; the others stay.

    Returns:
        The structure, in the box it had.

    Raises:
        UnknownParameter: listing those there are derivatives by.

    Warns:
        OutsideRange: the derivative is not trusted, contacts change on the way, or first order is
            more than one percent off.

    Example:
        >>> from simsens.particles.potentials import LennardJones
        >>> from simsens.particles.system import System
        >>> from simsens.response.relaxation import relax
        >>> from simsens.response.sensitivity import sensitivity
        >>> rest = relax(System(Structure([[0.0, 0.0], [1.2, 0.0]]), LennardJones()), fmax=1e-12)
        >>> slope = sensitivity(rest, wrt="sigma")
        >>> there = predict(rest.system.structure, slope, {"sigma": 1.01}).position
        >>> round(float(there[1, 0] - there[0, 0]), 9) == round(1.01 * 2 ** (1 / 6), 9)
        True
    """
    names = sensitivity.parameters
    step = np.zeros(len(names))
    for name, value in values.items():
        if name not in names:
            raise parameters.unknown(name, names)
        k = names.index(name)
        step[k] = value - sensitivity.values[k]
    for doubt in _doubts(sensitivity, step):
        warnings.warn(doubt, OutsideRange, stacklevel=2)
    return structure.with_position(np.asarray(structure.position) + sensitivity.position @ step)


def _doubts(sensitivity: Sensitivity, step: np.ndarray) -> list[str]:
    trust = sensitivity.certificate
    found = [] if trust.trusted else [f"the derivative is not to be trusted: {trust.reason}"]
    for k in np.flatnonzero(step):
        name, size = sensitivity.parameters[k], abs(step[k])
        reach = trust.validity_radius[k][int(step[k] > 0)]
        if size > reach:
            found.append(f"{name} changes by {step[k]:.3g}, but contacts do at {reach:.3g}")
        elif size > trust.one_percent_step[k]:
            found.append(
                f"{name} changes by {step[k]:.3g}: first order is more than one percent off from"
                f" {trust.one_percent_step[k]:.3g} on"
            )
    return found
