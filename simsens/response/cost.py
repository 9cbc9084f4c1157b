r"""What a way of solving will cost, in seconds and bytes, before it is done.

Orders of magnitude, for a choice and for who watches the log. With n unknowns and z entries of the
matrix:

* *dense*: the eigenvalues of a matrix, some :math:`10\,n^3` operations on three matrices;
* *sparse*, in two dimensions: a factor of about :math:`5\,n \log_2 n` entries, made in
  :math:`n^{3/2}` (George, SIAM J. Numer. Anal. 10 (1973) 345; the constants are measured with
  SuperLU, CHOLMOD takes a quarter of the time);
* *cg*: a product reads the stiffness of all pairs; it takes some hundreds of them, more where modes
  are soft.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax

OPERATIONS = 5e9  # a second, of dense linear algebra on a core
BANDWIDTH = 2e10  # bytes a second that a product reads, on two cores
PRODUCTS = 500  # that conjugate gradients take


class Cost(NamedTuple):
    """Seconds and bytes."""

    seconds: float
    memory: float

    def __str__(self) -> str:
        return f"some {self.seconds:.2g} s and {self.memory / 1e9:.2g} GB"


def predict(method: str, unknowns: int, entries: int) -> Cost:
    """The cost of ``"dense"``, ``"sparse"`` (of a flat packing) or ``"cg"``.

    Args:
        method: the way of solving.
        unknowns: of the linear system.
        entries: of its matrix that are not zero.

    Example:
        >>> predict("dense", 1000, 10**6).memory / 1e6
        24.0
        >>> predict("sparse", 20_000, 140_000).seconds < predict("dense", 20_000, 140_000).seconds
        True
    """
    if method == "dense":
        return Cost(10 * unknowns**3 / OPERATIONS, 24.0 * unknowns**2)
    if method == "sparse":
        fill = 5 * unknowns * math.log2(max(unknowns, 2))
        return Cost(6e-8 * unknowns**1.5, 24 * fill + 12 * entries)
    return Cost(PRODUCTS * 8 * entries / BANDWIDTH, 20 * entries + 160 * unknowns)


def free_memory() -> float:
    """Bytes that are free where arrays live."""
    device = jax.local_devices()[0]
    told: Any = device.memory_stats() if device.platform != "cpu" else None
    if told:
        return float(told["bytes_limit"] - told["bytes_in_use"])
    return _available()


def _available() -> float:
    """Bytes that the system would give; no limit where it does not tell, as on macOS."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, size = line.partition(":")
            if name == "MemAvailable":  # what the system keeps of files it would give up
                return 1024.0 * int(size.split()[0])
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, AttributeError):
        return math.inf
