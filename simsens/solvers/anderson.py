r"""Anderson acceleration of a fixed-point iteration.

From the last h points :math:`x_i` and their displacements :math:`f_i = T(x_i) - x_i` it takes the
combination whose displacement is smallest,

.. math:: \min_{\sum_i \alpha_i = 1} \Bigl|\sum_i \alpha_i f_i\Bigr|^2, \qquad
          x \leftarrow \sum_i \alpha_i\, (x_i + \beta f_i) .

For linear T this is GMRES. The small least squares problem is written in differences to the newest
point and regularised by :math:`10^{-10}` of its trace, which keeps it solvable where the
differences become parallel. Where the displacement grows more than tenfold over the smallest seen,
the memory is dropped and plain iteration goes on.

Reference: Walker and Ni, SIAM J. Numer. Anal. 49 (2011).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from simsens.implicit.fixed_point import displacement
from simsens.solvers.frame import Frame

REGULARISATION = 1e-10
WORSE = 10.0


class State(NamedTuple):
    """The iterate; points and displacements ``[memory, n]``, the newest last, and their number."""

    x: Any
    points: Any
    moves: Any
    known: Any
    smallest: Any
    error: Any
    stuck: Any


@dataclass(frozen=True)
class AndersonAcceleration:
    r"""Anderson acceleration of ``fixed_point_fun(x, *args)``.

    Attributes:
        fixed_point_fun: T, a tree like x.
        memory: h, how many points are combined.
        mixing: :math:`\beta`, how far along the displacement to go.

    Raises:
        ValueError: a memory below 1.

    Example:
        >>> from simsens.solvers import solve
        >>> map_ = AndersonAcceleration(lambda x, theta: jnp.cos(x) * theta)
        >>> round(float(solve(map_, jnp.array(1.0), 1.0).value), 6)
        0.739085
    """

    fixed_point_fun: Callable[..., Any]
    memory: int = 5
    mixing: float = 1.0

    def __post_init__(self) -> None:
        if self.memory < 1:
            raise ValueError(f"memory must be at least 1 point, found {self.memory}")

    def optimality(self) -> Callable[..., Any]:
        """:math:`F = x - T`."""
        return displacement(self.fixed_point_fun)

    def start(self, x: Any, frame: Frame) -> State:
        """With nothing remembered."""
        empty = jnp.zeros((self.memory, x.size), x.dtype)
        infinite = jnp.full((), jnp.inf, x.dtype)
        return State(x, empty, empty, jnp.array(0), infinite, infinite, jnp.array(False))

    def advance(self, state: State, frame: Frame) -> State:
        """One step."""
        move = frame.image(self.fixed_point_fun)(state.x) - state.x
        error = jnp.linalg.norm(lax.stop_gradient(move))
        known = jnp.where(error > WORSE * state.smallest, 1, state.known + 1)
        known = jnp.minimum(known, self.memory)
        points = jnp.concatenate([state.points[1:], state.x[None]])
        moves = jnp.concatenate([state.moves[1:], move[None]])
        weights = _weights(moves, known)
        x = weights @ (points + self.mixing * moves)
        smallest = jnp.minimum(error, state.smallest)
        return State(x, points, moves, known, smallest, error, state.stuck)


def _weights(moves: Any, known: Any) -> Any:
    r""":math:`\alpha`, zero for what is not known; the newest takes what the others leave."""
    memory = moves.shape[0]
    if memory == 1:
        return jnp.ones(1, moves.dtype)
    used = jnp.arange(memory - 1) >= memory - known
    differences = jnp.where(used[:, None], moves[:-1] - moves[-1], 0)
    gram = differences @ differences.T
    trace = jnp.trace(gram)
    gram = gram + jnp.diag(jnp.where(used, REGULARISATION * trace, 1))
    gram = gram + jnp.where(trace > 0, 0, 1) * jnp.eye(memory - 1, dtype=moves.dtype)
    others = -jnp.linalg.solve(gram, differences @ moves[-1])
    return jnp.append(others, 1 - others.sum())
