"""Tangents along parameters: the directions in which sensitivities are taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from simsens.particles import system as systems
from simsens.particles.neighbors import NeighborList
from simsens.particles.system import System

BATCH = 64  # parameters whose tangents are computed at once: bounds the memory


def force_function(
    system: System, neighbors: NeighborList | None, mobile: Any, names: tuple[str, ...]
) -> Callable[[Any, Any], Any]:
    """Masked forces as a function of positions and of the named parameters ``[parameter]``."""
    mask = jnp.asarray(mobile)[:, None]

    def force(position: Any, theta: Any) -> Any:
        force = systems.force(moved(system, names, position, theta), neighbors)
        return jnp.where(mask, force, 0)

    return force


def moved(system: System, names: tuple[str, ...], position: Any, theta: Any) -> System:
    """The system at other positions and other values of the named parameters."""
    return system.with_values(names, theta).with_position(position)


def per_parameter(function: Callable[..., Any], *stacks: Any) -> Any:
    """Apply a function to each parameter's slices, in batches when there are many."""
    if len(stacks[0]) <= BATCH:  # `lax.map` would trace the function twice
        return jax.vmap(function)(*stacks)
    return jax.lax.map(lambda slices: function(*slices), stacks, batch_size=BATCH)


def units(names: tuple[str, ...], dtype: Any) -> Any:
    """The unit directions ``[parameter, parameter]``."""
    return jnp.eye(len(names), dtype=dtype)
