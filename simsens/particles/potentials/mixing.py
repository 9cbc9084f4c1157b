"""From the fields of a potential to tables over pairs of species.

A field is one number for all, a dict by species (``{"A": 1.0, "B": 0.6}``, mixed by a rule), or a
dict by pairs of species (``{"A,A": 1.0, "A,B": 0.7, "B,B": 0.6}``, nothing mixed).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.particles.potentials.errors import InvalidPotential, UnknownSpecies


def arithmetic(a: Any, b: Any) -> Any:
    """``(a + b) / 2``: lengths of hard cores add (Lorentz)."""
    return (a + b) / 2


def geometric(a: Any, b: Any) -> Any:
    """``sqrt(a b)``: depths of wells multiply (Berthelot)."""
    return (a * b) ** 0.5


def field(name: str, value: Any, *, positive: bool = False) -> Any:
    """A field as it is kept: pair keys ``("A", "B")`` become ``"A,B"``, numbers stay numbers.

    Raises:
        InvalidPotential: no number, or one that is not finite or not positive where it must be.
    """
    if isinstance(value, Mapping):
        keys = [",".join(k) if isinstance(k, tuple) else str(k) for k in value]
        return {
            k: field(f"{name}[{k}]", v, positive=positive) for k, v in zip(keys, value.values())
        }
    # Only what a person writes is judged; JAX rebuilds potentials around arrays and placeholders.
    if isinstance(value, (str, list, tuple)) or (isinstance(value, np.ndarray) and value.ndim):
        dicts = "" if "[" in name else ", or a dict of them by species or pair"
        raise InvalidPotential(f"{name} must be a number{dicts}; got {value!r}")
    if isinstance(value, (int, float, np.generic)):
        if not np.isfinite(value) or (positive and not float(value) > 0):
            kind = "a positive number" if positive else "a finite number"
            raise InvalidPotential(f"{name} must be {kind}; got {value!r}")
        return float(value)
    return value


def table(value: Any, species: Sequence[str], rule: Callable[[Any, Any], Any], field: str) -> Any:
    """The field over pairs of species, ``[species, species]``, or the one number for all.

    Raises:
        UnknownSpecies: a species without a number; the message names both sides.
    """
    if not isinstance(value, Mapping):
        return value if isinstance(value, (jax.Array, jax.core.Tracer)) else np.asarray(value)
    # Plain numbers make a NumPy table: nothing to compile before the first list of neighbours.
    numbers = jnp if any(isinstance(v, jax.Array) for v in value.values()) else np
    if any("," in key for key in value):
        rows = [[_pair(value, a, b, field) for b in species] for a in species]
        return numbers.stack([numbers.stack([numbers.asarray(v) for v in row]) for row in rows])
    missing = [s for s in species if s not in value]
    if missing:
        raise UnknownSpecies(
            f"the structure holds species {', '.join(missing)}, but {field} is given for"
            f" {', '.join(value) or 'none'}: add {field}[{missing[0]}]"
        )
    single = numbers.stack([numbers.asarray(value[s]) for s in species])
    return rule(single[:, None], single[None, :])


def _pair(value: Mapping[str, Any], a: str, b: str, field: str) -> Any:
    one, other = f"{a},{b}", f"{b},{a}"
    if a != b and one in value and other in value:
        raise InvalidPotential(
            f"{field}[{one}] and {field}[{other}] are one pair: give one of them"
        )
    for key in (one, other):
        if key in value:
            return value[key]
    raise UnknownSpecies(
        f"the structure holds the pair {a},{b}, but {field} is given for {', '.join(value)}:"
        f" add {field}[{a},{b}]"
    )
