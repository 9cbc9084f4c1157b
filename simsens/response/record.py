"""What a relaxation tells whoever keeps it: its frames, and the states it can go on from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

State = Mapping[str, Any]
"""Named arrays: everything a relaxation needs to go on as if it had never stopped."""


class Record(Protocol):
    """Where a relaxation leaves its frames, such as ``io.Recording``.

    Attributes:
        every: steps from one frame to the next, counted from 0; 0 for none.
    """

    every: int

    def frame(self, step: int, position: Any, energy: float, max_force: float) -> None:
        """Take a frame: ``position [particle, dimension]``, not wrapped into the box."""

    def due(self) -> bool:
        """Whether the state is wanted now."""

    def keep(self, state: State) -> None:
        """Take the state, of the step that was reached; earlier ones are of no more use."""
