"""Boxes in which an edge that is not periodic was given no length.

Slabs and wires are often written with a zero vector for the open direction. Fractional coordinates
need three independent edges, so the missing ones become unit vectors perpendicular to the others:
nothing is repeated along them, their length is without meaning.
"""

from __future__ import annotations

import numpy as np


def complete(box: np.ndarray, boundary: tuple[bool, ...]) -> np.ndarray | None:
    """The box with unit vectors for its open zero edges; ``None`` when every edge is one.

    Example:
        >>> complete(np.diag([4.0, 5.0, 0.0]), (True, True, False)).diagonal().tolist()
        [4.0, 5.0, 1.0]
        >>> complete(np.zeros((3, 3)), (False, False, False)) is None
        True
    """
    missing = ~box.any(axis=1) & ~np.array(boundary)
    if missing.all():
        return None
    if not missing.any():
        return box
    completed = box.astype(float)
    for k in np.flatnonzero(missing):
        completed[k] = _perpendicular(completed[completed.any(axis=1)], int(k))
    return completed


def _perpendicular(edges: np.ndarray, favourite: int) -> np.ndarray:
    """A unit vector perpendicular to the edges, along the axis ``favourite`` where it can be."""
    basis = np.linalg.qr(edges.T)[0]
    outside = np.eye(len(basis)) - basis @ basis.T  # projects onto what the edges leave out
    share = np.diag(outside)
    axis = favourite if share[favourite] > 0.1 else int(np.argmax(share))
    return outside[axis] / np.linalg.norm(outside[axis])
