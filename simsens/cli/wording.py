"""Results in words: lists that are not too long, and JSON that every program reads."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any


def few(words: Iterable[str], most: int, none: str = "none") -> str:
    """The first words, and how many more there are.

    Example:
        >>> few(["a", "b", "c"], 2)
        'a, b, and 1 more'
    """
    shown = list(words)
    more = f", and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more if shown else none


def assigned(values: Mapping[str, float]) -> list[str]:
    """Parameters with their values.

    Example:
        >>> assigned({"sigma": 3.405, "epsilon": 1.0})
        ['sigma = 3.405', 'epsilon = 1']
    """
    return [f"{name} = {value:g}" for name, value in values.items()]


def as_json(value: Any) -> str:
    """JSON, in which numbers that are not finite are null.

    Example:
        >>> json.loads(as_json([1.0, math.inf]))
        [1.0, None]
    """
    return json.dumps(_finite(value), indent=2)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
