"""What may be chosen of an export, and the refusals that its formats share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from simsens.io.stored import Stored
from simsens.particles import parameters


class CannotExport(ValueError):
    """What was chosen does not go with the format, or the result does not hold it."""


@dataclass(frozen=True)
class Choices:
    """How a result is exported; ``None`` leaves it to the format.

    Attributes:
        what: ``"minimum"`` or ``"trajectory"``.
        wrt: the parameter whose derivative is shown, the first by default.
        scale: by which that derivative is multiplied, one by default.
        frames: which of the trajectory, all by default.
        table: which of ``tables.TABLES``, the particles by default.
        overwrite: whether a file of this name may be replaced.
    """

    what: str = "minimum"
    wrt: str | None = None
    scale: float | None = None
    frames: slice | None = None
    table: str | None = None
    overwrite: bool = False

    def only(self, suffix: str, *taken: str) -> None:
        """Refuse what a format does not take, and what excludes each other.

        Raises:
            CannotExport: naming it.
        """
        given = [name for name in ("wrt", "scale", "frames", "table") if self._has(name)]
        given += ["what"] if self.what == "trajectory" else []
        for name in given:
            if name not in taken:
                word = "--what trajectory" if name == "what" else f"--{name}"
                known = ", ".join(f"--{other}" for other in taken) or "none"
                raise CannotExport(f"{word} is not for {suffix}; what can be chosen there: {known}")
        if self.what == "minimum" and self.frames is not None:
            raise CannotExport("--frames chooses from the trajectory: add --what trajectory")
        shown = [name for name in ("wrt", "scale") if self._has(name)]
        if self.what == "trajectory" and shown:
            raise CannotExport(
                f"--{shown[0]} is about derivatives, which are those of the minimum: leave out"
                " --what trajectory"
            )

    def _has(self, name: str) -> bool:
        return getattr(self, name) is not None


def shown_parameter(stored: Stored, choices: Choices) -> str | None:
    """The parameter whose derivative is shown; ``None`` of a result without derivatives.

    Raises:
        CannotExport: one is asked for, and there are none.
        UnknownParameter: listing those that are there.
    """
    if stored.position_derivative is None or not stored.parameters:
        if choices.wrt is not None or choices.scale is not None:
            raise CannotExport(
                "the result holds no derivatives: run simsens relax with --sensitivity"
            )
        return None
    if choices.wrt is None:
        return stored.parameters[0]
    if choices.wrt not in stored.parameters:
        raise parameters.unknown(choices.wrt, stored.parameters)
    return choices.wrt


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'sigma'?``, or nothing where no known word is near."""
    close = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""
