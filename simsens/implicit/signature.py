"""Which argument of the solver is which argument of the optimality function.

As in JAXopt: the solver is ``solver(init, *args, **kwargs)``, the optimality function takes a point
in the place of ``init`` and the same arguments after it, by position or by name, in its own order.
Unlike there, both may be catch-all (``**kwargs``).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def signature_of(function: Any) -> inspect.Signature | None:
    """The signature, or ``None`` for what has none (some functions written in C)."""
    if isinstance(function, inspect.Signature) or function is None:
        return function
    function = getattr(function, "subfun", function)  # JAXopt's composite functions
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def called(
    signature: inspect.Signature | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The call in the solver's own terms: names resolved to positions, defaults filled in."""
    if signature is None:
        return args, kwargs
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.args, bound.kwargs


def matched(
    reference: inspect.Signature | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    optimality_fun: Callable[..., Any],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The solver's arguments after ``init`` in the order of the optimality function.

    Raises:
        TypeError: the two do not take the same arguments.

    Example:
        >>> reference = inspect.signature(lambda x, theta, data: x)
        >>> matched(reference, ("start",), {"data": 2, "theta": 1}, len)
        ((1, 2), {})
    """
    if not args:
        raise TypeError(
            "a solver takes the start first, then the parameters: solver(init, *args); it was"
            " called without positional arguments"
        )
    if reference is None:
        return args[1:], kwargs
    try:
        bound = reference.bind(*args, **kwargs)
    except TypeError as error:
        name = getattr(optimality_fun, "__name__", "the optimality function")
        raise TypeError(
            f"{name}{reference} does not take the arguments of the solver, which was called with"
            f" {len(args)} by position and {sorted(kwargs)} by name: {error}. Give both the same"
            " arguments after the first, or name a function that tells them as reference_signature"
        ) from None
    return bound.args[1:], bound.kwargs
