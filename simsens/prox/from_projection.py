r"""Projections as proximity operators.

The indicator of a set C is 0 in C and infinite outside; scaling it changes nothing, and its
proximity operator is the Euclidean projection on C.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def make_prox_from_projection(projection: Callable[..., Any]) -> Callable[..., Any]:
    r"""Turn ``projection(x, hyperparams)`` into ``prox(x, hyperparams=None, scaling=1.0)``.

    .. math:: \arg\min_y \tfrac12 \|x - y\|^2 + s\, I_C(y) = \operatorname{proj}_C(x)

    Args:
        projection: a function of x and of what describes the set.

    Returns:
        The proximity operator; it ignores ``scaling``.

    Raises:
        TypeError: ``projection`` cannot be called.

    Source: Parikh and Boyd, Proximal algorithms, 2014, section 1.2; JAXopt's function of this
    name.

    Example:
        >>> prox = make_prox_from_projection(lambda x, bounds: min(max(x, bounds[0]), bounds[1]))
        >>> prox(3.0, (0.0, 1.0), scaling=0.1)
        1.0
    """
    if not callable(projection):
        found = type(projection).__name__
        raise TypeError(f"make_prox_from_projection needs a function, found {found}")

    def prox(x: Any, hyperparams: Any = None, scaling: Any = 1.0) -> Any:
        """The projection; ``scaling`` is ignored."""
        del scaling
        return projection(x, hyperparams)

    return prox
