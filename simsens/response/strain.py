r"""Strains of a periodic system, and what they do to its forces and its stress.

A strain is told by its components :math:`e_k` in Voigt's order (``NAMES``), shears as angles
(engineering strain): :math:`\eta = \sum_k e_k M_k` with :math:`M_{xx} = \hat x \hat x^T` and
:math:`M_{xy} = (\hat x \hat y^T + \hat y \hat x^T) / 2`. It is the strain of Green and Lagrange,

.. math:: \eta = (F^T F - 1) / 2, \qquad F = (1 + 2 \eta)^{1/2} = 1 + \eta - \eta^2/2 + \dots ,

of the symmetric deformation F that carries positions and box, :math:`x \to F x`. Second
derivatives at rest need no more terms of F than these.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.particles import observables, space
from simsens.particles import system as systems
from simsens.particles.neighbors import NeighborList
from simsens.particles.system import System
from simsens.response import tangents

NAMES = {2: ("xx", "yy", "xy"), 3: ("xx", "yy", "zz", "yz", "xz", "xy")}


def basis(dimension: int) -> np.ndarray:
    """The matrices ``M [strain, dimension, dimension]`` of unit components.

    Example:
        >>> print(basis(2)[2])
        [[0.  0.5]
         [0.5 0. ]]
    """
    one = np.eye(dimension)
    first, second = _axes(dimension)
    outer = one[first][:, :, None] * one[second][:, None, :]
    return (outer + outer.transpose(0, 2, 1)) / 2


def voigt(tensor: Any) -> Any:
    """The components ``[..., strain]`` of a stress ``[..., dimension, dimension]``."""
    first, second = _axes(tensor.shape[-1])
    return (tensor[..., first, second] + tensor[..., second, first]) / 2


def strained(system: System, strain: Any, position: Any) -> tuple[System, Any]:
    """The system with its box and these positions carried along by a strain, and F."""
    structure = system.structure
    eta = jnp.tensordot(strain, jnp.asarray(basis(structure.dimension), strain.dtype), axes=1)
    deformation = jnp.eye(structure.dimension, dtype=strain.dtype) + eta - eta @ eta / 2
    box = jnp.asarray(structure.box).astype(strain.dtype)
    moved = structure.__class__(
        position @ deformation, structure.species, box @ deformation,
        structure.boundary, structure.fixed, structure.species_names,
    )  # fmt: skip
    return System(moved, system.potential), deformation


def stress(system: System, neighbors: NeighborList | None, strain: Any, position: Any) -> Any:
    r"""Energy per volume at rest, differentiated by the strain, ``[strain]``.

    The stress of Piola and Kirchhoff, :math:`S = \det(F)\, F^{-1} \sigma F^{-T}` with the stress
    :math:`\sigma` of the strained system.
    """
    moved, deformation = strained(system, strain, position)
    inverse = jnp.linalg.inv(deformation)
    total = observables.stress(moved, neighbors) * space.volume(moved.structure)
    at_rest = space.volume(strained(system, jnp.zeros_like(strain), position)[0].structure)
    return voigt(inverse @ total @ inverse) / at_rest


def force(
    system: System, neighbors: NeighborList | None, mobile: Any, strain: Any, position: Any
) -> Any:
    """Minus the energy's derivative by positions before the strain, ``[particle, dimension]``."""
    moved, deformation = strained(system, strain, position)
    felt = systems.force(moved, neighbors) @ deformation
    return jnp.where(jnp.asarray(mobile)[:, None], felt, 0)


@jax.jit
def second_order(
    system: System, neighbors: Any, mobile: Any, position: Any, response: Any
) -> tuple[Any, Any, Any]:
    r"""What the energy is made of in second order of strains and displacements.

    Args:
        system: unstrained.
        neighbors: valid there and nearby.
        mobile: ``[particle]`` mask; the others follow the strain.
        position: ``[particle, dimension]``.
        response: ``[strain, n]`` displacements U per unit strain.

    Returns:
        The derivative of the stress at fixed U, ``[strain, strain]``; the non-affine forces
        :math:`\Xi = -\partial_e \nabla E`, ``[strain, n]``; and those less what the response
        balances, :math:`\Xi - H U`.
    """
    units = jnp.eye(len(response), dtype=position.dtype)
    zero = jnp.zeros_like(units[0])
    affine = jax.jacfwd(lambda e: stress(system, neighbors, e, position))(zero)

    def felt(e: Any, x: Any) -> Any:
        return force(system, neighbors, mobile, e, x)

    def along(unit: Any, direction: Any) -> tuple[Any, Any]:
        still = jnp.zeros_like(position)
        pull = jax.jvp(felt, (zero, position), (unit, still))[1]
        answer = jax.jvp(lambda x: felt(zero, x), (position,), (direction.reshape(still.shape),))[1]
        return pull.reshape(-1), (pull + answer).reshape(-1)

    return affine, *tangents.per_parameter(along, units, response)


@jax.jit
def force_after(
    system: System, neighbors: Any, mobile: Any, position: Any, response: Any, size: Any
) -> Any:
    """Forces ``[strain, n]`` after strains ``size [strain]``, positions moved as they respond."""

    def after(unit: Any, direction: Any, size: Any) -> Any:
        moved = position + size * direction.reshape(position.shape)
        return force(system, neighbors, mobile, size * unit, moved).reshape(-1)

    units = jnp.eye(len(response), dtype=position.dtype)
    return tangents.per_parameter(after, units, response, size)


def _axes(dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """The two axes of each component."""
    pairs = [["xyz".index(axis) for axis in name] for name in NAMES[dimension]]
    first, second = np.array(pairs).T
    return first, second
