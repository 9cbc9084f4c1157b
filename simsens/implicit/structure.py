r"""What a mapping declares about its own linearisation, so that the right solver can be chosen.

For a root the matrix is :math:`A = \partial_1 F`; for a fixed point it is
:math:`A = I - \partial_1 T`. Nobody can see from a product whether A is symmetric, and checking
costs more than solving; whoever writes the mapping knows. A gradient's Jacobian is symmetric; that
of a convex function's gradient is also positive semidefinite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Declared:
    """What is known of A.

    Attributes:
        symmetric: A equals its transpose.
        definite: A is symmetric and positive semidefinite.
    """

    symmetric: bool = False
    definite: bool = False

    def __post_init__(self) -> None:
        if self.definite and not self.symmetric:
            raise ValueError("a definite matrix is symmetric: declare symmetric=True as well")


def declare(function: Function, *, symmetric: bool = False, definite: bool = False) -> Function:
    """Attach to ``F`` or ``T`` what is known of its linearisation, and return it.

    Raises:
        ValueError: definite but not symmetric.

    Example:
        >>> force = declare(lambda x, stiffness: stiffness * x, symmetric=True)
        >>> declared(force)
        Declared(symmetric=True, definite=False)
    """
    function.declared = Declared(symmetric, definite)  # type: ignore[attr-defined]
    return function


def declared(function: Any) -> Declared:
    """What ``function``, or the function under its partials and wrappers, declares."""
    while function is not None:
        found = getattr(function, "declared", None)
        if isinstance(found, Declared):
            return found
        function = getattr(function, "func", None) or getattr(function, "__wrapped__", None)
    return Declared()
