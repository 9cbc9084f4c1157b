"""Names of parameters as other programs take them: letters, digits and underscores."""

from __future__ import annotations

import re
from collections.abc import Iterable


def plain_words(names: Iterable[str]) -> dict[str, str]:
    """A plain word for each name, no two alike.

    Example:
        >>> plain_words(["sigma", "epsilon[A,B]", "epsilon[A_B]"])
        {'sigma': 'sigma', 'epsilon[A,B]': 'epsilon_A_B', 'epsilon[A_B]': 'epsilon_A_B_2'}
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        stem = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "parameter"
        word, number = stem, 1
        while word in taken:
            number += 1
            word = f"{stem}_{number}"
        found[name] = word
        taken.add(word)
    return found
