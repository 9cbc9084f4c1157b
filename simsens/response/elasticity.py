r"""How stiff a relaxed structure is, once its particles have found their places again.

Strained by e, a structure at rest first follows: every particle moves with the box (*affine*). The
forces that this makes, :math:`\Xi = -\partial_e \nabla E`, are then relaxed by further
displacements :math:`U = H^+ \Xi` (*non-affine*), which lowers the stiffness:

.. math:: C = \frac{1}{V} \frac{d^2 E}{d\eta\, d\eta}
            = \frac{1}{V} \left( \frac{\partial^2 E}{\partial\eta\,\partial\eta}
              - \Xi^T H^+ \Xi \right) .

The strain is the one of Green and Lagrange, V the volume at rest, and shears are angles (see
``strain``). Under a stress :math:`\sigma` this is not yet the slope of a stress-strain curve. That
slope, of the true stress by a symmetric strain, is the coefficient of Birch,

.. math:: B_{ijkl} = \frac{\partial \sigma_{ij}}{\partial \varepsilon_{kl}} = C_{ijkl}
          + \tfrac12 (\sigma_{ik} \delta_{jl} + \sigma_{il} \delta_{jk}
          + \sigma_{jk} \delta_{il} + \sigma_{jl} \delta_{ik}) - \sigma_{ij} \delta_{kl} .

Bulk and shear modulus are averages of B over all directions; without stress B and C are the same.

References: Lutsko, J. Appl. Phys. 65 (1989) 2991; Lemaitre and Maloney, J. Stat. Phys. 123 (2006)
415; Wallace, Thermodynamics of Crystals, 1972; Barron and Klein, Proc. Phys. Soc. 85 (1965) 523.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from simsens.implicit.certificate import Certificate
from simsens.particles import observables, space
from simsens.particles import system as systems
from simsens.particles.structure import InvalidStructure, Structure, mobile_mask
from simsens.response import evidence, rattlers, strain, strain_validity, validity
from simsens.response.curvature import Curvature
from simsens.response.equilibrium import Equilibrium


@dataclass(frozen=True)
class ElasticModuli:
    r"""The elasticity of a structure at rest, with its evidence.

    Stiffness has the unit of a stress: energy over volume (area in a plane).

    Attributes:
        strains: the names of the components, in Voigt's order: ``xx, yy, xy`` in a plane, ``xx,
            yy, zz, yz, xz, xy`` in space; shears are angles.
        stiffness: ``[strain, strain]`` second derivatives C of the relaxed energy per volume by
            the strain of Green and Lagrange.
        affine: ``[strain, strain]`` C if particles merely followed (Born).
        error: ``[strain, strain]`` estimated error of ``stiffness``: how much it changes on the
            way to the exact minimum, and what the linear solver and rounding leave.
        stress: ``[dimension, dimension]`` at rest, positive in tension.
        pressure: minus its mean diagonal.
        bulk: :math:`K = -V dp/dV = B_{iijj} / d^2`: :math:`(B_{11} + B_{22} + 2 B_{12}) / 4` in a
            plane, a ninth of the same sum of nine in space, for symmetric B.
        shear: :math:`G = (B_{ijij} - B_{iijj} / d) / ((d - 1)(d + 2))`, the mean over all
            orientations (Voigt's): :math:`(B_{11} + B_{22} - 2 B_{12} + 4 B_{33}) / 8` in a plane,
            :math:`(B_{11} + B_{22} + B_{33} - B_{12} - B_{13} - B_{23}
            + 3 (B_{44} + B_{55} + B_{66})) / 15` in space.
        poisson: of an isotropic body with these, :math:`(d K - 2 G) / (d (d - 1) K + 2 G)`.
        position_derivative: ``[particle, dimension, strain]`` non-affine displacement per unit
            strain, in the gauge of zero mean; zero for rattlers, and for fixed particles, which
            follow the strain.
        rattlers: indices of the particles that nothing holds; they are left out.
        certificate: the evidence for ``position_derivative``. Its validity radius is the strain at
            which the first contact changes.
    """

    strains: tuple[str, ...]
    stiffness: np.ndarray
    affine: np.ndarray
    error: np.ndarray
    stress: np.ndarray
    pressure: float
    bulk: float
    shear: float
    poisson: float
    position_derivative: np.ndarray
    rattlers: np.ndarray
    certificate: Certificate

    @property
    def birch(self) -> np.ndarray:
        """``[strain, strain]`` the slope B of the true stress (rows) by a symmetric strain."""
        return _birch(self.stiffness, self.stress)

    def __str__(self) -> str:
        return (
            f"bulk modulus {self.bulk:.6g}, shear modulus {self.shear:.6g},"
            f" Poisson's ratio {self.poisson:.4g}, pressure {self.pressure:.6g}\n{self.certificate}"
        )


def elastic_moduli(equilibrium: Equilibrium, *, solver: str = "auto") -> ElasticModuli:
    """Strain a periodic structure at rest and let it relax, to second order in the strain.

    Args:
        equilibrium: from ``relax``. It need not be converged: the certificate then says so.
        solver: ``"auto"``, ``"dense"``, ``"sparse"`` or ``"cg"``.

    Returns:
        The moduli and their certificate, whose verdict is for the reader to heed.

    Raises:
        InvalidStructure: the box is not periodic along every edge.

    Example:
        >>> from simsens.particles.potentials import HarmonicBonds
        >>> from simsens.particles.system import System
        >>> from simsens.response.relaxation import relax
        >>> edges = np.array([[3.0, 0.0], [1.5, 1.5 * 3**0.5]])  # nine points of a hexagonal
        >>> points = np.array([[i, j] for i in range(3) for j in range(3)]) / 3  # lattice
        >>> lattice = Structure(points @ edges, box=edges)
        >>> springs = HarmonicBonds.between_close(lattice, 1.2)
        >>> moduli = elastic_moduli(relax(System(lattice, springs)))
        >>> round(moduli.bulk / 3**0.5, 9), round(moduli.shear / 3**0.5, 9)
        (0.5, 0.25)
        >>> moduli.certificate.trusted
        True
    """
    system = equilibrium.system
    _check(system.structure)
    watched = systems.list_neighbors(system, validity.reach(system))
    loose = rattlers.find(system, watched)
    neighbors = rattlers.without(watched, loose)
    mobile = mobile_mask(system.structure) & ~loose
    if neighbors is not None and np.sum(~loose) == 1:
        mobile[:] = False  # among its own images a lone particle has nothing to move against
    curvature = Curvature(system, neighbors, mobile, solver)

    position = np.asarray(system.structure.position)
    names, volume = strain.NAMES[position.shape[1]], float(space.volume(system.structure))

    def terms(at: Any, response: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        affine, forces, left = strain.second_order(system, neighbors, mobile, at, response)
        return np.asarray(affine), np.asarray(forces), np.asarray(left)

    affine, forces, _ = terms(position, np.zeros((len(names), position.size), position.dtype))
    solution = curvature.solve(forces)
    response = np.asarray(solution.value)
    here = terms(position, response)
    there = terms(position + curvature.newton_step.reshape(position.shape), response)
    stiffness = _relaxed(*here, response, volume)
    missed = np.abs(_relaxed(*there, response, volume) - stiffness)
    error = missed + _left(*here, response, volume, curvature.smallest)
    stress = _symmetric(np.asarray(_stress(system, neighbors)))
    birch = _birch(stiffness, stress)

    contact = strain_validity.contact_change(system, watched, loose, response)
    one_percent = strain_validity.one_percent_step(
        system, neighbors, mobile, response, contact.radius, curvature
    )
    certificate = evidence.certify(
        equilibrium, curvature, solution, curvature.newton_step, there[2], contact, one_percent,
        np.ones(len(names), position.dtype), loose, names,
    )  # fmt: skip
    if curvature.expected_zero_modes == position.size:
        certificate = _nothing_moves(certificate, equilibrium)
    return ElasticModuli(
        strains=names,
        stiffness=stiffness,
        affine=_symmetric(affine),
        error=error,
        stress=stress,
        **_averages(birch, stress),
        position_derivative=np.moveaxis(response.reshape(-1, *position.shape), 0, -1),
        rattlers=np.flatnonzero(loose),
        certificate=_noted(certificate, birch, error),
    )


def _check(structure: Structure) -> None:
    if structure.box is None or not all(structure.boundary):
        lies = "lies in free space" if structure.box is None else f"has {structure.boundary}"
        raise InvalidStructure(
            f"elastic moduli need a box that is periodic along every edge; this structure {lies}"
        )


_stress = jax.jit(observables.stress)


def _symmetric(matrix: Any) -> Any:
    return (matrix + matrix.T) / 2


def _relaxed(
    affine: np.ndarray, forces: np.ndarray, left: np.ndarray, response: np.ndarray, volume: float
) -> np.ndarray:
    r"""C with :math:`\Xi^T H^+ \Xi` as :math:`2\, \Xi^T U - U^T H U`.

    That is its stationary form: an error of U enters squared. ``left`` is :math:`\Xi - H U`.
    """
    return _symmetric(affine - (forces + left) @ response.T / volume)


def _left(
    affine: np.ndarray,
    forces: np.ndarray,
    left: np.ndarray,
    response: np.ndarray,
    volume: float,
    smallest: float,
) -> np.ndarray:
    """What the residual of the linear solve and rounding can make of the stiffness."""
    norm = [np.linalg.norm(rows, axis=1) for rows in (left, forces, response)]
    solver = np.outer(norm[0], norm[0]) / smallest if smallest else np.zeros(affine.shape)
    eps = np.finfo(affine.dtype).eps * np.sqrt(response.shape[1])
    return (solver + eps * np.outer(norm[1], norm[2])) / volume + eps * np.abs(affine).max()


def _birch(stiffness: np.ndarray, stress: np.ndarray) -> np.ndarray:
    # d(sigma) = C : m + m sigma + sigma m - tr(m) sigma along each unit strain m.
    m = strain.basis(len(stress))
    trace = np.trace(m, axis1=1, axis2=2)[:, None, None]
    return stiffness + strain.voigt(m @ stress + stress @ m - trace * stress).T


def _averages(birch: np.ndarray, stress: np.ndarray) -> dict[str, float]:
    d = len(stress)
    whole = birch[:d, :d].sum()  # B_iijj
    across = np.trace(birch[:d, :d]) + 2 * np.trace(birch[d:, d:])  # B_ijij
    bulk = whole / d**2
    shear = (across - whole / d) / ((d - 1) * (d + 2))
    scale = d * (d - 1) * bulk + 2 * shear
    return {
        "pressure": float(-np.trace(stress) / d),
        "bulk": float(bulk),
        "shear": float(shear),
        "poisson": float((d * bulk - 2 * shear) / scale) if scale else np.nan,
    }


def _noted(certificate: Certificate, birch: np.ndarray, error: np.ndarray) -> Certificate:
    """Tell when the structure would yield were its box not held."""
    softest = float(np.linalg.eigvalsh(_symmetric(birch)).min())
    if not softest < -len(error) * error.max():
        return certificate
    note = f"a strain lowers the energy (lowest modulus {softest:.3g}): only the box holds"
    return replace(certificate, notes=(*certificate.notes, note))


def _nothing_moves(certificate: Certificate, equilibrium: Equilibrium) -> Certificate:
    """Where every particle follows the strain, the affine moduli are exact."""
    return replace(
        certificate,
        error_bound=np.zeros_like(certificate.error_bound),
        trusted=equilibrium.converged,
        reason="no particle can move against the others, so that the affine moduli are exact"
        if equilibrium.converged
        else certificate.reason,
    )
