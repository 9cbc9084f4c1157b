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
    signature: inspect.Signature | None,
    reference: inspect.Signature | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    optimality_fun: Callable[..., Any],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The solver's arguments after ``init``, as the optimality function takes them.

    What was given by position goes by position; what was given by name, and the solver's defaults,
    go by name if the optimality function knows the names, and else in the solver's order.

    Args:
        signature: the solver's.
        reference: of the optimality function, or in its place.
        args: the call, ``init`` first.
        kwargs: the call.
        optimality_fun: for messages.

    Raises:
        TypeError: the two do not take the same arguments.

    Example:
        >>> solver = inspect.signature(lambda init, data, theta: init)
        >>> reference = inspect.signature(lambda x, theta, data: x)
        >>> matched(solver, reference, ("start",), {"data": 2, "theta": 1}, len)
        ((1, 2), {})
    """
    full_args, full_kwargs = called(signature, args, kwargs)
    if not full_args:
        raise TypeError(
            "a solver takes the start first, then the parameters: solver(init, *args); it was"
            " called without positional arguments"
        )
    if reference is None:
        return full_args[1:], full_kwargs
    for position, named in (_by_name(signature, args, kwargs), (full_args[1:], full_kwargs)):
        try:
            bound = reference.bind(full_args[0], *position, **named)
        except TypeError as error:
            failure = error
        else:
            return bound.args[1:], bound.kwargs
    name = getattr(optimality_fun, "__name__", "the optimality function")
    raise TypeError(
        f"{name}{reference} does not take the arguments of the solver, which was called with"
        f" {len(full_args)} by position and {sorted(full_kwargs)} by name: {failure}. Give both the"
        " same arguments after the first, or name a function that tells them as reference_signature"
    )


def _by_name(
    signature: inspect.Signature | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments after ``init``, with everything by name that was not given by position."""
    if signature is None:
        return args[1:], kwargs
    given = signature.bind(*args, **kwargs).arguments
    defaults = {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if name not in given and parameter.default is not inspect.Parameter.empty
    }
    first = next(iter(signature.parameters))
    named = {name: value for name, value in {**defaults, **kwargs}.items() if name != first}
    return args[1:], named
