"""Two dimensions in files that know only three.

Written: ``z = 0``, and the box gets a third edge of length one along z that is not periodic
(zero would make readers drop the box). Read: the same is demanded, since a structure whose
particles leave the plane, or whose plane is tilted, is not the two-dimensional one asked for.
"""

from __future__ import annotations

import numpy as np

from simsens.particles.structure import InvalidStructure


def lift_position(position: np.ndarray) -> np.ndarray:
    """``[..., 2]`` with a third component of zero; ``[..., 3]`` as it is.

    Example:
        >>> lift_position(np.array([[1.0, 2.0]])).tolist()
        [[1.0, 2.0, 0.0]]
    """
    missing = 3 - position.shape[-1]
    return np.concatenate([position, np.zeros((*position.shape[:-1], missing))], axis=-1)


def lift_box(box: np.ndarray) -> np.ndarray:
    """Two edge vectors with a third of length one along z; three as they are.

    Example:
        >>> lift_box(np.eye(2) * 4).diagonal().tolist()
        [4.0, 4.0, 1.0]
    """
    lifted = np.eye(3)
    lifted[: len(box), : len(box)] = box
    return lifted


def lift_boundary(boundary: tuple[bool, ...]) -> tuple[bool, ...]:
    """The boundary with a third edge that is not periodic."""
    return (*boundary, False)[:3]


def flatten_position(position: np.ndarray) -> np.ndarray:
    """The first two of three components.

    Raises:
        InvalidStructure: a particle outside the plane z = 0.
    """
    outside = np.flatnonzero(position[:, 2:].any(axis=1))
    if len(outside):
        raise InvalidStructure(
            f"two dimensions need z = 0; particle {outside[0]} has z = {position[outside[0], 2]:g}"
            f" ({len(outside)} of {len(position)} particles leave the plane)"
        )
    return position[:, :2].copy()


def flatten_box(box: np.ndarray) -> np.ndarray:
    """The two edges in the plane.

    Raises:
        InvalidStructure: the third edge is not perpendicular to the plane.
    """
    if box.shape == (3, 3) and (box[2, :2].any() or box[:2, 2].any()):
        raise InvalidStructure(
            "in two dimensions the third edge of the box must be perpendicular to the plane;"
            f" the edges are {box.tolist()}"
        )
    return box[:2, :2].copy()
