"""Moduli against closed forms, differences of relaxed stresses, identities, and matscipy."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from simsens import elastic_moduli, packing, pressure, relax, sensitivity
from simsens.particles import contacts
from simsens.particles import system as systems
from simsens.particles.observables import stress
from simsens.particles.potentials import EnergyFunction, HarmonicBonds, LennardJones, SoftSphere
from simsens.particles.structure import InvalidStructure, Structure
from simsens.particles.system import System
from simsens.response import strain
from tests import finite_difference

pytestmark = pytest.mark.usefixtures("optimised")


def relative(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


def deformed(system, matrix):
    """Everything carried along: x -> (1 + m) x."""
    turn = np.eye(len(matrix)) + matrix
    at = system.structure
    moved = replace(at, position=np.asarray(at.position) @ turn.T, box=np.asarray(at.box) @ turn.T)
    return System(moved, system.potential)


def full(voigt):
    """The tensor ``[i, j, k, l]`` behind a Voigt matrix."""
    names = strain.NAMES[{3: 2, 6: 3}[len(voigt)]]
    place = {frozenset("xyz".index(axis) for axis in name): k for k, name in enumerate(names)}
    d = max(max(axes) for axes in place) + 1
    index = np.array([[place[frozenset((i, j))] for j in range(d)] for i in range(d)])
    return voigt[index[:, :, None, None], index[None, None]]


# --- closed forms --------------------------------------------------------------------------------


def lattice(edges, basis, repeat, law):
    """Copies of a cell, ``law(structure)`` acting."""
    edges, basis = np.array(edges, float), np.array(basis, float)
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in repeat], indexing="ij"), axis=-1)
    cells = grid.reshape(-1, len(edges))
    points = ((cells[:, None] + basis) @ edges).reshape(-1, len(edges))
    structure = Structure(points, box=edges * np.array(repeat)[:, None])
    return System(structure, law(structure))


def test_a_hexagonal_lattice_of_springs():
    # Bonds of length 1 and stiffness k in three directions, one cell of area sqrt(3)/2:
    # C_ijkl = (k / V) sum of n_i n_j n_k n_l, whose averages are lambda = mu = sqrt(3) k / 4.
    half = 3**0.5 / 2
    system = lattice(
        [[1, 0], [0.5, half]], [[0, 0]], (4, 4),
        lambda s: HarmonicBonds.between_close(s, 1.1, stiffness=3.0),
    )  # fmt: skip
    found = elastic_moduli(relax(system, fmax=1e-12))
    k = 3.0 * half / 2
    # A few operations on numbers of order one.
    np.testing.assert_allclose(
        found.stiffness, k * np.array([[3, 1, 0], [1, 3, 0], [0, 0, 1]]), atol=1e-13
    )
    np.testing.assert_allclose(found.affine, found.stiffness, atol=1e-13)  # a centre of symmetry
    assert found.bulk == pytest.approx(2 * k, rel=1e-13)
    assert found.shear == pytest.approx(k, rel=1e-13)
    assert found.poisson == pytest.approx(1 / 3, rel=1e-13)
    assert found.pressure == pytest.approx(0, abs=1e-14)
    assert found.strains == ("xx", "yy", "xy")
    assert found.certificate.trusted, found.certificate.reason
    assert found.certificate.zero_modes == 2


def test_a_square_lattice_with_diagonals():
    # Bonds k1 along the sides (length 1) and k2 along both diagonals (length sqrt 2):
    # C11 = k1 + 2 * 2 k2 / 4, C12 = C66 = 2 * 2 k2 / 4.
    side, diagonal = 2.0, 0.7

    def law(structure):
        bonds = HarmonicBonds.between_close(structure, 1.5)
        stiffness = np.where(np.asarray(bonds.length) < 1.2, side, diagonal)
        return HarmonicBonds(bonds.bonds, stiffness, bonds.length)

    found = elastic_moduli(relax(lattice(np.eye(2), [[0, 0]], (5, 5), law), fmax=1e-12))
    expected = [[side + diagonal, diagonal, 0], [diagonal, side + diagonal, 0], [0, 0, diagonal]]
    np.testing.assert_allclose(found.stiffness, expected, atol=1e-13)
    assert found.certificate.trusted, found.certificate.reason


def test_springs_in_series():
    # Two springs of rest lengths 0.8 and 1.2, end to end across a cell of 2 by b. If both particles
    # follow a strain e, the springs are stretched by 0.8 e and 1.2 e; relaxed they share 2 e.
    first, second, b = 1.0, 3.0, 1.5
    chain = Structure([[0.0, 0.0], [0.8, 0.0]], box=[2.0, b])
    springs = EnergyFunction(_series, {"first": first, "second": second})
    found = elastic_moduli(relax(System(chain, springs), fmax=1e-12))
    affine = (first * 0.8**2 + second * 1.2**2) / (2 * b)
    relaxed = first * second / (first + second) * 2**2 / (2 * b)
    assert found.affine[0, 0] == pytest.approx(affine, rel=1e-12)
    assert found.stiffness[0, 0] == pytest.approx(relaxed, rel=1e-12)
    # k1 (0.8 + 2 u) = k2 (1.2 - 2 u) with the particles at -u and u
    u = (second * 1.2 - first * 0.8) / (2 * (first + second))
    np.testing.assert_allclose(
        found.position_derivative[:, :, 0], [[-u, 0.0], [u, 0.0]], rtol=0, atol=1e-12
    )
    # Nothing holds them across: what the chain does there is not told by second order.
    assert not found.certificate.trusted
    assert "not unique: 1 floppy mode" in found.certificate.reason


def _series(position, box, first=1.0, second=1.0):
    apart = position[1] - position[0]
    back = box[0] - apart
    lengths = [jnp.sqrt(jnp.sum(v**2)) for v in (apart, back)]
    return first / 2 * (lengths[0] - 0.8) ** 2 + second / 2 * (lengths[1] - 1.2) ** 2


FCC = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
ARGON = LennardJones(1.0, 1.0, cutoff=4.0, mode="truncate")


def fcc(edge):
    return lattice(edge * np.eye(3), FCC, (1, 1, 1), lambda _: ARGON)


def lattice_sum(edge, reach=4.0):
    """C11 and C12 of a crystal of central forces: half the sum over neighbours of one particle."""
    grid = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    d = edge * (grid + np.array(FCC)).reshape(-1, 3)
    r = np.linalg.norm(d, axis=1)
    d, r = d[(r > 0) & (r < reach)], r[(r > 0) & (r < reach)]
    slope, second = -48 / r**13 + 24 / r**7, 624 / r**14 - 168 / r**8
    weight = (second - slope / r) / r**2 / 2 / (edge**3 / 4)
    return np.sum(weight * d[:, 0] ** 4), np.sum(weight * d[:, 0] ** 2 * d[:, 1] ** 2)


def test_an_fcc_crystal_without_pressure_obeys_cauchy():
    edge = brentq(lambda a: float(pressure(fcc(a))), 1.5, 1.6, xtol=1e-14)
    found = elastic_moduli(relax(fcc(edge), fmax=1e-11))
    c11, c12 = lattice_sum(edge)
    expected = np.diag([c11 - c12] * 3 + [c12] * 3)
    expected[:3, :3] += c12
    # 300 neighbours of stiffness 100 that mostly add: eps times a hundred.
    assert relative(found.stiffness, expected) < 1e-12
    assert relative(found.birch, expected) < 1e-12
    # dC/dP is of order ten, and the pressure is zero to 1e-14 * dP/da = 1e-11.
    assert found.pressure == pytest.approx(0.0, abs=1e-10)
    assert found.stiffness[0, 1] == pytest.approx(found.stiffness[3, 3], rel=1e-12)
    assert found.bulk == pytest.approx((c11 + 2 * c12) / 3, rel=1e-12)
    assert found.strains == ("xx", "yy", "zz", "yz", "xz", "xy")
    assert found.certificate.trusted, found.certificate.reason


def test_under_pressure_the_coefficients_part():
    found = elastic_moduli(relax(fcc(1.45), fmax=1e-11))
    c11, c12 = lattice_sum(1.45)
    p = found.pressure
    assert p > 10
    # C keeps the symmetry of central forces at any stress; B11 = C11 - p, B12 = C12 + p,
    # B44 = C44 - p, so that B12 - B44 = 2 p (Wallace).
    assert found.stiffness[3, 3] == pytest.approx(c12, rel=1e-12)
    assert found.birch[0, 0] == pytest.approx(c11 - p, rel=1e-12)
    assert found.birch[0, 1] - found.birch[3, 3] == pytest.approx(2 * p, rel=1e-11)
    # K = -V dp/dV with V = a^3; the pressure changes over a tenth of a: (10 h)^4 / 480 at 1e-3.
    slope = finite_difference.derivative(lambda a: float(pressure(fcc(a))), 1.45, 1e-3)
    assert found.bulk == pytest.approx(-1.45 / 3 * float(slope), rel=1e-9)


def test_one_particle_in_a_skewed_cell_is_the_same_crystal():
    edges = 1.5 * np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    one = elastic_moduli(relax(System(Structure([[0.1, 0.2, 0.3]], box=edges), ARGON), fmax=1e-9))
    four = elastic_moduli(relax(fcc(1.5), fmax=1e-11))
    assert relative(one.stiffness, four.stiffness) < 1e-12
    np.testing.assert_array_equal(one.position_derivative, 0.0)
    assert one.certificate.trusted
    assert "no particle can move" in one.certificate.reason


# --- disordered systems --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plane(packings):
    return packings[0], elastic_moduli(packings[0])


@pytest.fixture(scope="module")
def skewed():
    """Forty disks in a box of no right angle."""
    start = packing(number=40, seed=3)
    side = float(start.structure.box[0, 0])
    box = side * np.array([[1.0, 0.0], [0.4, 1.0]])
    at = replace(start.structure, box=box)
    end = relax(System(at, start.potential), fmax=1e-12)
    return end, elastic_moduli(end)


@pytest.fixture(scope="module")
def space():
    """Forty spheres."""
    end = relax(packing(number=40, fraction=0.9, seed=2, dimension=3), fmax=1e-12)
    return end, elastic_moduli(end)


@pytest.fixture(scope="module")
def held(packings):
    """A packing with three particles that follow the box."""
    system = packings[1].system
    at = system.structure.with_fixed([3, 40, 100])
    end = relax(System(at, system.potential), fmax=1e-12)
    return end, elastic_moduli(end)


SYSTEMS = ["plane", "skewed", "space", "held"]


@pytest.mark.parametrize("name", SYSTEMS)
def test_differences_of_relaxed_stresses(name, request):
    end, found = request.getfixturevalue(name)
    certificate = found.certificate
    assert certificate.trusted, certificate.reason
    assert relative(found.affine, found.stiffness) > 0.1  # relaxation matters here
    for k, unit in enumerate(strain.basis(end.position.shape[1])):
        # As in test_sensitivity: at 0.03 of the one-percent step eta = 3e-4, of which Richardson
        # leaves eta^4. Positions are known to 1e-15 / 1e-2 = 1e-13, the stress to a tenth of that;
        # over steps of 1e-6 and more, that is 1e-8 at most.
        step = min(
            0.03 * certificate.one_percent_step[k], 0.3 * certificate.validity_radius[k].min()
        )
        assert step > 1e-6

        def at(e, unit=unit):
            strained = deformed(end.system, e * unit)
            rest = relax(strained, fmax=1e-12)
            # Non-affine, since the positions were carried along.
            move = rest.position - np.asarray(strained.structure.position)
            if strained.structure.fixed is None:
                move = move - move.mean(axis=0)
            told = strain.voigt(np.asarray(stress(rest.system)))
            return np.append(told, move.reshape(-1))

        slope = finite_difference.derivative(at, 0.0, step)
        count = len(found.strains)
        assert np.abs(slope[:count] - found.birch[:, k]).max() < 1e-8 * np.abs(found.birch).max()
        moved = found.position_derivative[..., k].reshape(-1)
        assert relative(slope[count:], moved) < 1e-6


@pytest.mark.parametrize("name", SYSTEMS)
def test_stiffness_is_symmetric_and_relaxation_softens(name, request):
    _, found = request.getfixturevalue(name)
    np.testing.assert_array_equal(found.stiffness, found.stiffness.T)
    np.testing.assert_array_equal(found.stress, found.stress.T)
    # C - affine = -Xi' H^+ Xi / V is negative semidefinite, and of full rank in disorder.
    assert np.linalg.eigvalsh(found.stiffness - found.affine).max() < 0
    assert found.error.max() < 1e-11
    assert found.pressure == pytest.approx(-np.trace(found.stress) / len(found.stress), rel=1e-15)


def test_the_bulk_modulus_is_the_slope_of_the_pressure(space):
    end, found = space
    step = 0.3 * found.certificate.validity_radius.min()

    def at(log_volume):
        box = deformed(end.system, np.expm1(log_volume / 3) * np.eye(3))
        return float(pressure(relax(box, fmax=1e-12).system))

    # Steps as above: 1e-8 of moduli of order one.
    slope = finite_difference.derivative(at, 0.0, min(step, 1e-5))
    assert found.bulk == pytest.approx(-float(slope), rel=1e-7)
    assert found.pressure == pytest.approx(float(pressure(end.system)), rel=1e-13)


@pytest.mark.parametrize("name", ["plane", "skewed", "space"])
def test_growing_the_particles_is_shrinking_the_box(name, request):
    # All lengths scaled together change nothing, so that dX/d ln(sigma) at fixed box is minus the
    # non-affine displacement of a hydrostatic strain.
    end, found = request.getfixturevalue(name)
    slope = sensitivity(end, wrt="diameter")
    grown = slope.position @ slope.values
    swollen = found.position_derivative[..., : end.position.shape[1]].sum(axis=-1)
    # Two solves with conditions below 1e4, and right-hand sides computed differently.
    assert relative(grown, -swollen) < 1e-10


def test_a_turned_structure_has_the_turned_tensor(space):
    end, found = space
    turn, _ = np.linalg.qr(np.random.default_rng(5).standard_normal((3, 3)))
    turned = deformed(end.system, turn - np.eye(3))
    again = elastic_moduli(replace(end, system=turned))
    expected = np.einsum("ai,bj,ck,dl,ijkl", turn, turn, turn, turn, full(found.stiffness))
    # Rounding of positions, 1e-16 of a length of 3, is amplified by conditions of 1e3.
    assert relative(full(again.stiffness), expected) < 1e-11
    assert relative(again.stress, turn @ found.stress @ turn.T) < 1e-12
    for name in ("bulk", "shear", "poisson", "pressure"):
        assert getattr(again, name) == pytest.approx(getattr(found, name), rel=1e-10), name
    # The average over orientations is what no turning changes; one component is another.
    assert again.stiffness[0, 0] != pytest.approx(found.stiffness[0, 0], rel=1e-3)


@pytest.mark.parametrize("solver", ["sparse", "cg"])
def test_solvers_agree(packings, plane, solver):
    found = elastic_moduli(packings[0], solver=solver)
    assert found.certificate.method == solver
    assert found.certificate.trusted, found.certificate.reason
    assert relative(found.stiffness, plane[1].stiffness) < 1e-12  # residuals enter squared
    assert relative(found.position_derivative, plane[1].position_derivative) < 1e-10


def test_any_energy_gives_what_its_pairs_give(packings, plane):
    end, found = plane

    def disks(position, displacement, species):
        i, j = np.triu_indices(len(position), 1)
        apart = displacement(position[i], position[j])  # the box is wider than two diameters
        r = jnp.sqrt(jnp.sum(apart**2, axis=1))
        reach = (1.0 - 0.4 * (species[i] == species.min()) + 1.0 - 0.4 * (species[j] == 0)) / 2
        return jnp.sum(jnp.where(r < reach, (1 - r / reach) ** 2 / 2, 0.0))

    assert end.system.structure.species_names == ("B", "A")
    other = elastic_moduli(replace(end, system=System(end.system.structure, EnergyFunction(disks))))
    assert relative(other.stiffness, found.stiffness) < 1e-11
    assert relative(other.affine, found.affine) < 1e-12
    assert relative(other.stress, found.stress) < 1e-12
    assert np.isinf(other.certificate.validity_radius).all()  # its contacts are not known


# --- matscipy ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_matscipy(space):
    module = pytest.importorskip("matscipy.calculators.pair_potential")
    calculator = pytest.importorskip("matscipy.calculators.pair_potential.calculator")
    elasticity = pytest.importorskip("matscipy.elasticity")
    from ase import Atoms

    class Overlap(calculator.CutoffInteraction):
        def __call__(self, r, *_):
            return (1 - r / self.cutoff) ** 2 / 2

        def first_derivative(self, r, *_):
            return -(1 - r / self.cutoff) / self.cutoff

        def second_derivative(self, r, *_):
            return np.ones_like(r) / self.cutoff**2

    end, found = space
    numbers = {"A": 1, "B": 2}
    atoms = Atoms(
        numbers=[numbers[name] for name in end.system.structure.names()],
        positions=end.position, cell=end.system.structure.box, pbc=True,
    )  # fmt: skip
    laws = {(1, 1): Overlap(1.0), (1, 2): Overlap(0.8), (2, 2): Overlap(0.6)}
    calc = module.PairPotential(laws)
    atoms.calc = calc
    hessian = calc.get_property("hessian", atoms).toarray()
    # (Its way by eigenvalues gives NaN where a zero comes out a little negative.)
    exact = {"x0": None, "rtol": 1e-14, "atol": 0.0, "maxiter": 2000, "M": None, "callback": None}
    relaxation = elasticity.nonaffine_elastic_contribution(atoms, cg_parameters=exact)
    order = [["xyz".index(axis) for axis in name] for name in found.strains]

    def matrix(tensor):
        return np.array([[tensor[i, j, k, m] for k, m in order] for i, j in order])

    born = calc.get_property("born_constants", atoms)
    birch = calc.get_property("birch_coefficients", atoms)
    # The same algebra in other code, from an inverse with conditions of 1e3.
    assert relative(found.affine, matrix(born)) < 1e-12
    assert relative(found.stiffness, matrix(born + relaxation)) < 1e-11
    assert relative(found.birch, matrix(birch + relaxation)) < 1e-11
    # dX by ln of a length is minus H^+ of the trace of its non-affine forces.
    forces = calc.get_property("nonaffine_forces", atoms)
    trace = np.einsum("icaa->ic", forces).reshape(-1)
    moved = (np.linalg.pinv(hessian, rcond=1e-10, hermitian=True) @ trace).reshape(-1, 3)
    assert relative(found.position_derivative[..., :3].sum(axis=-1), moved) < 1e-10


# --- rattlers ------------------------------------------------------------------------------------


def test_rattlers_take_no_part(loose_packing):
    end, _ = loose_packing
    found = elastic_moduli(end)
    assert found.certificate.trusted, found.certificate.reason
    assert len(found.rattlers) > 0
    np.testing.assert_array_equal(found.position_derivative[found.rattlers], 0.0)
    np.testing.assert_array_equal(found.rattlers, elastic_moduli(end, solver="cg").rattlers)

    # One that is brought to a touch has a contact of full stiffness, which a strain would undo.
    listed = systems.list_neighbors(end.system, 1.0)
    gaps = np.asarray(contacts.gaps(end.system, listed))
    one = found.rattlers[np.argmax(gaps[found.rattlers].min(axis=1))]
    slot = gaps[one].argmin()
    shift = np.asarray(listed.shift)[:, one, slot] @ np.asarray(end.system.structure.box)
    position = np.array(end.position)
    apart = position[np.asarray(listed.index)[one, slot]] + shift - position[one]
    gap = gaps[one, slot]
    assert gap > 1e-6
    position[one] += apart * (gap + 1e-12) / np.linalg.norm(apart)
    touching = replace(end, system=end.system.with_position(position))
    count = contacts.contact_number(touching.system, systems.list_neighbors(touching.system))
    assert int(count[one]) == 1
    for solver in ("dense", "sparse", "cg"):
        again = elastic_moduli(touching, solver=solver)
        assert relative(again.stiffness, found.stiffness) < 1e-11, solver


# --- how far -------------------------------------------------------------------------------------


def touching(system):
    listed = systems.list_neighbors(system)
    close = np.asarray(contacts.gaps(system, listed)) < 0
    rows = np.broadcast_to(np.arange(len(close))[:, None], close.shape)
    return set(zip(rows[close].tolist(), np.asarray(listed.index)[close].tolist()))


@pytest.mark.parametrize("name", ["plane", "skewed", "space"])
def test_the_first_contact_changes_where_it_is_predicted(name, request):
    # Predicted to some tenth (see validity): nothing at 0.8 of it, something at 1.25.
    end, found = request.getfixturevalue(name)
    assert len(found.rattlers) == 0
    unit = strain.basis(end.position.shape[1])[0]
    before = touching(end.system)
    for sign, radius in zip((-1, 1), found.certificate.validity_radius[0]):
        inside = relax(deformed(end.system, 0.8 * sign * radius * unit), fmax=1e-12)
        beyond = relax(deformed(end.system, 1.25 * sign * radius * unit), fmax=1e-12)
        assert touching(inside.system) == before
        assert touching(beyond.system) != before


def test_one_percent(plane):
    end, found = plane
    k = 2
    step = 0.5 * min(
        found.certificate.one_percent_step[k], found.certificate.validity_radius[k].min()
    )
    strained = deformed(end.system, step * strain.basis(2)[k])
    move = relax(strained, fmax=1e-12).position - np.asarray(strained.structure.position)
    move = move - move.mean(axis=0)
    missed = np.linalg.norm(move / step - found.position_derivative[..., k])
    missed = missed / np.linalg.norm(found.position_derivative[..., k])
    expected = 0.01 * step / found.certificate.one_percent_step[k]
    # Linear in the step but for the next order, a few percent of it this far.
    assert missed == pytest.approx(expected, rel=0.2)


# --- what may not be trusted ---------------------------------------------------------------------


@pytest.mark.parametrize("fmax", [1e-6, 1e-8])
def test_the_error_is_that_of_a_minimum_not_quite_reached(packings, plane, fmax):
    # Pushed off its minimum along a soft direction, by what such a force allows.
    end, exact = plane
    push = np.random.default_rng(0).standard_normal(end.position.shape) * fmax / 5
    off = replace(end, system=end.system.with_position(end.position + push), max_force=fmax)
    found = elastic_moduli(off)
    missed = np.abs(found.stiffness - exact.stiffness)
    # The error is evaluated one Newton step away: of second order, but for a hundredth.
    assert (missed <= 1.01 * found.error + 1e-12).all()
    assert (found.error <= 1.01 * missed + 1e-12).all()
    assert missed.max() > 0.1 * fmax
    assert found.certificate.error_bound.max() > exact.certificate.error_bound.max()


def test_what_is_not_at_rest_is_not_trusted():
    early = relax(packing(number=24, seed=1), steps=20, throw=False)
    found = elastic_moduli(early)
    assert not found.certificate.trusted
    assert "not at rest" in found.certificate.reason
    assert "NOT TRUSTED" in str(found)
    alone = Structure([[0.1, 0.2]], box=0.9)
    rest = replace(relax(System(alone, SoftSphere(1.0))), converged=False, max_force=1.0)
    assert not elastic_moduli(rest).certificate.trusted


def test_a_saddle_is_not_trusted():
    # Along a line under compression every particle would rather step aside.
    line = Structure([[0.0, 0.0], [0.9, 0.0], [1.8, 0.0]], box=[2.7, 4.0])
    found = elastic_moduli(relax(System(line, LennardJones(1.0, 1.0, cutoff=1.3)), fmax=1e-9))
    assert not found.certificate.trusted
    assert "saddle" in found.certificate.reason


def test_a_floppy_lattice_is_not_trusted():
    law = lambda s: HarmonicBonds.between_close(s, 1.1)  # noqa: E731
    found = elastic_moduli(relax(lattice(np.eye(2), [[0, 0]], (4, 4), law)))
    assert not found.certificate.trusted
    assert "floppy" in found.certificate.reason
    assert found.stiffness[2, 2] == pytest.approx(0.0, abs=1e-13)  # a square of bars folds


def test_only_the_box_may_hold(plane):
    # A small packing made in a fixed box may yield to a shear that the box forbids.
    yielding = elastic_moduli(
        relax(packing(number=40, fraction=0.8, seed=1, dimension=3), fmax=1e-12)
    )
    assert np.linalg.eigvalsh(yielding.birch + yielding.birch.T).min() < 0
    assert any("only the box holds" in note for note in yielding.certificate.notes)
    assert plane[1].certificate.notes == ()


@pytest.mark.parametrize(
    ("box", "boundary", "told"),
    [
        (None, None, "lies in free space"),
        (6.0, (True, False), r"has \(True, False\)"),
        (6.0, False, r"has \(False, False\)"),
    ],
)
def test_free_edges_are_refused(box, boundary, told):
    trimer = Structure([[0.0, 0.0], [1.1, 0.0], [0.5, 1.0]], box=box, boundary=boundary)
    end = relax(System(trimer, LennardJones(1.0, 1.0, cutoff=2.5)))
    with pytest.raises(InvalidStructure, match=f"periodic along every edge; this structure {told}"):
        elastic_moduli(end)


def test_unsuitable_solvers_are_refused(packings):
    with pytest.raises(ValueError, match="unknown solver 'lu'; known are auto, dense"):
        elastic_moduli(packings[0], solver="lu")
    chain = System(Structure([[0.0, 0.0], [0.8, 0.0]], box=[2.0, 1.5]), EnergyFunction(_series))
    with pytest.raises(ValueError, match="needs a pair potential"):
        elastic_moduli(relax(chain), solver="sparse")


def test_single_precision_says_what_it_can(plane):
    end, exact = plane
    single = end.system.with_position(np.asarray(end.position, np.float32))
    found = elastic_moduli(relax(single, fmax=2e-5))
    assert found.stiffness.dtype == found.position_derivative.dtype == np.float32
    assert any("single precision" in note for note in found.certificate.notes)
    # Seven digits and conditions of 1e4: a bound of some 1e-3, and what it bounds is less.
    assert found.certificate.error_bound.max() > 1e-5
    assert relative(found.stiffness, exact.stiffness) < found.certificate.error_bound.max()


def test_strict_dtype_promotion():
    with jax.numpy_dtype_promotion("strict"):
        assert elastic_moduli(relax(packing(number=10, seed=4), fmax=1e-9)).bulk > 0
