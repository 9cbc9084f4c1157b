"""What happens when a derivative cannot be trusted: one policy for both ways to fail.

A derivative fails when the point is not a root, and when the linear system was not solved. Then

- ``"nan"`` (the default) makes it NaN: nothing is ever silently wrong, and a batch keeps its good
  members;
- ``"raise"`` raises ``DerivativeFailed``: at once in eager code; under ``jit`` JAX reports it as a
  ``JaxRuntimeError`` that ends in the same line, when the result is waited for;
- ``"warn"`` keeps the number and issues a ``DerivativeWarning``;
- ``"keep"`` keeps the number and says nothing.

Under ``vmap`` each member is judged alone. The messages leave a compiled program through
``jax.debug.callback``, which no device waits for: several devices cannot deadlock on it.
"""

from __future__ import annotations

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.implicit.ravel import is_unknown

POLICIES = ("nan", "raise", "warn", "keep")


class DerivativeFailed(ArithmeticError):
    """A derivative that is not to be trusted was asked for under ``on_failure="raise"``."""


class DerivativeWarning(UserWarning):
    """A derivative that is not to be trusted was kept under ``on_failure="warn"``."""


def check_policy(on_failure: str) -> None:
    """Refuse an unknown policy.

    Raises:
        ValueError: listing the known ones.
    """
    if on_failure not in POLICIES:
        raise ValueError(f"on_failure must be one of {', '.join(POLICIES)}; got {on_failure!r}")


def enforced(on_failure: str, value: Any, fine: Any, message: str, *numbers: Any) -> Any:
    """``value``, dealt with by the policy where it is not ``fine``.

    Args:
        on_failure: one of ``POLICIES``.
        value: the derivative, a tree.
        fine: a flag.
        message: one line with a field in braces for each of ``numbers``.
        *numbers: scalars to be told.
    """
    if on_failure == "keep":
        return value
    if on_failure in ("raise", "warn"):

        def tell(fine: Any, *numbers: Any) -> None:
            if not np.all(fine):
                text = message.format(*(float(np.asarray(n)) for n in numbers))
                if on_failure == "raise":
                    raise DerivativeFailed(text)
                warnings.warn(text, DerivativeWarning, stacklevel=2)

        jax.debug.callback(tell, fine, *numbers)
    if on_failure == "warn":
        return value
    return jax.tree.map(
        lambda leaf: jnp.where(fine, leaf, jnp.nan) if is_unknown(leaf) else leaf, value
    )
