"""What a run has found, as far as it came."""

from __future__ import annotations

from typing import NamedTuple

from simsens.response.elasticity import ElasticModuli
from simsens.response.equilibrium import Equilibrium
from simsens.response.modes import NormalModes
from simsens.response.sensitivity import Sensitivity


class Found(NamedTuple):
    """The minimum, or what was reached, and what was asked of it.

    Attributes:
        equilibrium: where the relaxation ended.
        slope: its derivatives.
        moduli: its elastic moduli.
        modes: its normal modes.
        advice: why it did not converge, and what to do.
        failure: why something that was asked for could not be computed.
    """

    equilibrium: Equilibrium
    slope: Sensitivity | None = None
    moduli: ElasticModuli | None = None
    modes: NormalModes | None = None
    advice: str | None = None
    failure: Exception | None = None
