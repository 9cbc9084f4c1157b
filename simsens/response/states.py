"""The state of a relaxation as named arrays, and back: what a file can keep.

The list of neighbours is not among them. It is made again where it was made, in rows as long: the
same list, of which a sum is the same to the last bit.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from simsens.particles import system as systems
from simsens.particles.neighbors import Grid, NeighborList
from simsens.particles.system import System
from simsens.response import descent
from simsens.response.fire import Inertia
from simsens.response.record import State

OF_PARTICLES = ("position", "move", "velocity", "reference")


@dataclass
class Course:
    """Where a relaxation stands, beside its motion and its list.

    Attributes:
        top: the largest curvature, as measured last.
        target: the largest force at which Newton's method is tried, or the run ends.
        measured: the step at which the curvature is to be measured again.
        best: the smallest of the largest forces seen, to tell a stall.
        best_step: the step it was seen at.
    """

    top: float = 1.0
    target: float = 0.0
    measured: int = 20
    best: float = np.inf
    best_step: int = 0


def pack(
    motion: descent.Motion,
    course: Course,
    neighbors: NeighborList | None,
    history: list[tuple[float, float, float]],
    place: np.ndarray,
) -> State:
    """Everything the relaxation needs to go on, by name; ``place [particle]`` is where each stands.

    What is told of particles is told in their own order.
    """
    moving = {**vars(motion), **motion.inertia._asdict()}
    del moving["inertia"]
    listed = {}
    if neighbors is not None:
        listed = {
            "reference": neighbors.reference,
            "list_skin": neighbors.skin,
            "slots": neighbors.index.shape[1],
            "capacity": neighbors.grid.capacity if neighbors.grid else 0,
            "common": neighbors.common or 0,
        }
    everything = {**moving, **asdict(course), **listed, "history": history}
    state = {name: np.array(value) for name, value in everything.items()}
    return _reordered(state, place)


def unpack(
    state: State, system: System, order: np.ndarray
) -> tuple[descent.Motion, Course, NeighborList | None]:
    """The motion, the course and the list of neighbours that were packed.

    Args:
        state: from ``pack``.
        system: the system, its particles in the order in which they are moved.
        order: ``[place]`` which particle stands there.

    Raises:
        ValueError: the state is that of another system.
    """
    shape, dtype = system.structure.position.shape, system.structure.position.dtype
    position = state["position"]
    if position.shape != shape or position.dtype != dtype:
        raise ValueError(
            f"the state holds {position.dtype} positions of shape {position.shape}, the system"
            f" {dtype} of shape {shape}: it is that of another system"
        )
    state = _reordered(state, order)
    inertia = Inertia(**{name: state[name] for name in Inertia._fields})
    moving = {name: state[name] for name in vars(descent.at_rest(position)) if name != "inertia"}
    course = Course(**{name: state[name].item() for name in asdict(Course())})
    return descent.Motion(inertia=inertia, **moving), course, _list(state, system)


def _reordered(state: State, order: np.ndarray) -> State:
    return {name: value[order] if name in OF_PARTICLES else value for name, value in state.items()}


def _list(state: State, system: System) -> NeighborList | None:
    if "reference" not in state:
        return systems.list_neighbors(system)
    slots, capacity, blank = int(state["slots"]), int(state["capacity"]), np.zeros(0)
    like = NeighborList(
        np.zeros((1, slots), np.int32), blank, blank, None, blank, 0.0, True,
        grid=Grid((), (), capacity) if capacity else None,
        common=int(state.get("common", 0)) or None,
    )  # fmt: skip
    at = system.with_position(state["reference"])
    return systems.list_neighbors(at, float(state["list_skin"]), like)
