r"""How the relaxed structure answers to its parameters, and whether to believe it.

At a minimum the force vanishes, :math:`\nabla E(x^*, \theta) = 0`. Differentiating,

.. math:: H\, J = -B, \qquad H = \nabla^2 E, \quad B = \partial_\theta \nabla E, \quad
          J = \partial x^* / \partial \theta ,

one linear system with as many right-hand sides as parameters. Its matrix is factorised once (small
systems) or used in conjugate gradients (large ones). An observable's total derivative follows by
the chain rule, :math:`dO/d\theta = \partial_\theta O + \partial_x O \cdot J`.

Particles that do not move (fixed ones; rattlers, which nothing holds) are left out of the system
and have derivative zero. Rigid motions are projected out: the gauge is zero mean displacement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.implicit.certificate import Certificate
from simsens.particles import parameters
from simsens.particles import system as systems
from simsens.particles.neighbors import NeighborList
from simsens.particles.observables import OBSERVABLES
from simsens.particles.structure import mobile_mask
from simsens.particles.system import System
from simsens.response import evidence, rattlers, tangents, validity
from simsens.response.curvature import Curvature
from simsens.response.equilibrium import Equilibrium

FEW = 8  # parameters; of more, observables are differentiated backwards


@dataclass(frozen=True)
class Sensitivity:
    """The derivatives of a minimum, with their evidence.

    Attributes:
        parameters: the names of the parameters.
        values: ``[parameter]`` where they stand.
        position: ``[particle, dimension, parameter]`` derivative of the relaxed positions, at
            fixed box, in the gauge of zero mean displacement; zero for fixed particles and
            rattlers.
        observables: ``name -> (value, [parameter])`` what is measured and its total derivative.
        rattlers: indices of the particles that nothing holds.
        certificate: the evidence.
    """

    parameters: tuple[str, ...]
    values: np.ndarray
    position: np.ndarray
    observables: dict[str, tuple[float, np.ndarray]]
    rattlers: np.ndarray
    certificate: Certificate

    def __getitem__(self, name: str) -> Any:
        """The derivative with respect to one parameter, ``[particle, dimension]``.

        Raises:
            UnknownParameter: listing those that are there.
        """
        if name not in self.parameters:
            raise parameters.unknown(name, self.parameters)
        return self.position[..., self.parameters.index(name)]

    def __str__(self) -> str:
        return f"d(position)/d({', '.join(self.parameters)})\n{self.certificate}"


def sensitivity(
    equilibrium: Equilibrium, wrt: str | Iterable[str] | None = None, *, solver: str = "auto"
) -> Sensitivity:
    """Differentiate a minimum with respect to the potential's parameters.

    Args:
        equilibrium: from ``relax``. It need not be converged: the certificate then says so.
        wrt: names (``"sigma"``, ``"diameter[B]"``), whole fields (``"diameter"``), or ``None``
            for every parameter.
        solver: ``"auto"``, ``"dense"``, ``"sparse"`` or ``"cg"``.

    Returns:
        The derivatives and their certificate, whose verdict is for the reader to heed.

    Raises:
        UnknownParameter: listing the known ones.

    Example:
        >>> from simsens.particles.potentials import LennardJones
        >>> from simsens.particles.structure import Structure
        >>> from simsens.response.relaxation import relax
        >>> dimer = System(Structure([[0.0, 0.0, 0.0], [1.2, 0.0, 0.0]]), LennardJones())
        >>> slope = sensitivity(relax(dimer, fmax=1e-12), wrt="sigma")
        >>> stretch = slope["sigma"][1, 0] - slope["sigma"][0, 0]  # r = 2^(1/6) sigma
        >>> round(float(stretch), 9) == round(2 ** (1 / 6), 9), slope.certificate.trusted
        (True, True)
    """
    system = equilibrium.system
    names = parameters.select(system.fields, wrt)
    theta = parameters.values(system.fields, names).astype(np.asarray(equilibrium.position).dtype)
    neighbors = systems.list_neighbors(system, validity.reach(system))
    loose = rattlers.find(system, neighbors)
    mobile = mobile_mask(system.structure) & ~loose
    bearing = rattlers.without(neighbors, loose)

    curvature = Curvature(system, bearing, mobile, solver)
    at_rest = np.asarray(system.structure.position)

    def balance(position: Any, response: Any) -> Any:
        return _balance(system, bearing, mobile, position, theta, response, names)

    solution = curvature.solve(
        balance(at_rest, np.zeros((len(names), at_rest.size), at_rest.dtype))
    )
    response = solution.value
    step = curvature.newton_step
    imbalance = np.asarray(balance(at_rest + step.reshape(at_rest.shape), response))
    contact = validity.contact_change(system, neighbors, loose, theta, response, names)
    one_percent = validity.one_percent_step(
        system, bearing, mobile, theta, response, names, contact.radius, curvature
    )
    certificate = evidence.certify(
        equilibrium, curvature, solution, step, imbalance, contact, one_percent, theta, loose, names
    )
    shape = (len(names), *system.structure.position.shape)
    return Sensitivity(
        parameters=names,
        values=theta,
        position=np.moveaxis(np.asarray(response).reshape(shape), 0, -1),
        observables=_observables(system, neighbors, theta, response, names),
        rattlers=np.flatnonzero(loose),
        certificate=certificate,
    )


@partial(jax.jit, static_argnames="names")
def _balance(
    system: System,
    neighbors: Any,
    mobile: Any,
    position: Any,
    theta: Any,
    response: Any,
    names: tuple[str, ...],
) -> Any:
    r"""The change of the force along each parameter, :math:`-(H J + B)`, ``[parameter, n]``.

    It vanishes for the true response J; with J = 0 it is the right-hand side of the system.
    """
    force = tangents.force_function(system, neighbors, mobile, names)

    def along(direction: Any, unit: Any) -> Any:
        tangent = (direction.reshape(position.shape), unit)
        return jax.jvp(force, (position, theta), tangent)[1].reshape(-1)

    return tangents.per_parameter(along, response, tangents.units(names, theta.dtype))


def _observables(
    system: System, neighbors: NeighborList | None, theta: Any, response: Any, names: Any
) -> dict[str, tuple[float, np.ndarray]]:
    chosen = tuple(name for name, (_, defined) in OBSERVABLES.items() if defined(system))
    found = _measure(system, neighbors, theta, response, names, chosen)
    measured, slopes = (np.asarray(values) for values in found)
    return {name: (float(measured[k]), slopes[:, k]) for k, name in enumerate(chosen)}


@partial(jax.jit, static_argnames=("names", "chosen"))
def _measure(
    system: System,
    neighbors: Any,
    theta: Any,
    response: Any,
    names: tuple[str, ...],
    chosen: tuple[str, ...],
) -> Any:
    """Observables ``[observable]`` and their total derivatives ``[parameter, observable]``.

    Along each of a few parameters, which compiles sooner; along many from the gradients.
    """
    position = jnp.asarray(system.structure.position)

    def measure(x: Any, values: Any) -> Any:
        at = tangents.moved(system, names, x, values)
        return jnp.stack([OBSERVABLES[name][0](at, neighbors) for name in chosen])

    def slope(direction: Any, unit: Any) -> Any:
        along = (direction.reshape(position.shape), unit)
        return jax.jvp(measure, (position, theta), along)[1]

    if len(names) <= FEW:
        units = tangents.units(names, theta.dtype)
        return measure(position, theta), tangents.per_parameter(slope, response, units)
    measured, pull = jax.vjp(measure, position, theta)
    by_position, by_parameter = jax.vmap(pull)(jnp.eye(len(chosen), dtype=measured.dtype))
    # In full: GPUs multiply matrices of single precision in fewer digits than it has.
    rows = by_position.reshape(len(chosen), -1)
    moved = jnp.matmul(response, rows.T, precision="highest")
    return measured, moved + by_parameter.T
