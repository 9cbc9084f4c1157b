"""Derivatives of minima against NumPy's pseudo-inverse, differences of minima, and each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens import energy, pressure, relax, relaxed, sensitivity
from simsens.particles.parameters import UnknownParameter
from simsens.particles.potentials import HarmonicBonds, LennardJones, Morse, SoftSphere
from simsens.particles.structure import Structure
from simsens.particles.system import System
from simsens.response.sensitivity import FEW
from tests import finite_difference

pytestmark = pytest.mark.usefixtures("optimised")

SEEDS = range(10)
NAMES = ("diameter[A]", "diameter[B]")


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


# --- against a dense pseudo-inverse --------------------------------------------------------------


def _energy(position, theta, system):
    return energy(system.replace_parameters(dict(zip(NAMES, theta))).with_position(position))


HESSIAN = jax.jit(jax.hessian(_energy))
MIXED = jax.jit(jax.jacfwd(jax.grad(_energy), argnums=1))


@pytest.mark.parametrize("seed", SEEDS)
def test_pseudo_inverse_of_the_hessian(packings, slopes, seed):
    equilibrium, slope = packings[seed], slopes[seed]
    x, theta = jnp.asarray(equilibrium.position), jnp.array([1.0, 0.6])
    hessian = np.asarray(HESSIAN(x, theta, equilibrium.system)).reshape(256, 256)
    mixed = np.asarray(MIXED(x, theta, equilibrium.system)).reshape(256, 2)
    expected = -np.linalg.pinv(hessian, rcond=1e-10, hermitian=True) @ mixed
    held = np.repeat(~np.isin(np.arange(128), slope.rattlers), 2)
    for k, name in enumerate(NAMES):
        found = slope[name].reshape(-1)
        # Conditions are below 1e4: two backward-stable solutions of 256 unknowns differ by less
        # than 256 eps 1e4 = 6e-10 at worst, and by its square root of 256 less as a rule.
        assert relative(found[held], expected[held, k]) < 1e-10
        assert np.linalg.norm(found) > 1.0


# --- against minima at other parameters ----------------------------------------------------------


def measured(equilibrium, name):
    """Everything measured at the minimum of a parameter's value: positions, energy, pressure."""

    def at(value):
        system = equilibrium.system.replace_parameters({name: float(value)})
        end = relax(system, fmax=1e-12)
        move = end.position - equilibrium.position
        move = move - move.mean(axis=0)
        return np.append(move.reshape(-1), [end.energy, float(PRESSURE(end.system))])

    return at


PRESSURE = jax.jit(pressure)


@pytest.mark.parametrize(
    ("seed", "name"), [*((seed, "diameter[B]") for seed in SEEDS), (0, "diameter[A]")]
)
def test_differences_of_minima(packings, slopes, seed, name):
    equilibrium, slope = packings[seed], slopes[seed]
    k = slope.parameters.index(name)
    # At 0.03 of the one-percent step first order misses eta = 3e-4. The central difference cancels
    # the even orders and Richardson the next: eta^4 = 1e-14 is left. That step is well inside the
    # contact radius. Minima are known to |F| / lambda_min, with |F| of some 1e-14 times the square
    # root of 256: divided by h |J| that is 1e-7 at most.
    step = 0.03 * slope.certificate.one_percent_step[k]
    assert step < 0.5 * slope.certificate.validity_radius[k].min()
    found = finite_difference.derivative(measured(equilibrium, name), slope.values[k], step)
    assert relative(found[:-2], slope.position[..., k].reshape(-1)) < 1e-6
    # Energies are stationary, so that they round by eps E / h = 1e-16 / 1e-7 = 1e-9 of slopes of
    # order one; the pressure follows the positions.
    for measure, difference in zip(("energy", "pressure"), found[-2:]):
        assert slope.observables[measure][1][k] == pytest.approx(float(difference), rel=1e-6)


# --- forward, reverse, dense, iterative ----------------------------------------------------------


def test_forward_and_reverse(packings, slopes):
    equilibrium, slope = packings[0], slopes[0]

    def position(b):
        system = equilibrium.system.replace_parameters({"diameter[B]": b})
        return relaxed(system).structure.position

    forward = np.asarray(jax.jacfwd(position)(0.6))
    reverse = np.asarray(jax.jacrev(position)(0.6))
    # The same factorisation used from two sides; conditions below 1e4 as above.
    assert relative(forward, reverse) < 1e-10
    assert relative(forward, slope["diameter[B]"]) < 1e-10


@pytest.mark.parametrize("seed", [0, 3, 9])
@pytest.mark.parametrize("solver", ["cg", "sparse"])
def test_solvers_agree(packings, slopes, seed, solver):
    dense, other = slopes[seed], sensitivity(packings[seed], wrt=NAMES, solver=solver)
    assert (dense.certificate.method, other.certificate.method) == ("dense", solver)
    assert (other.certificate.iterations > 0) == (solver == "cg")
    for name in NAMES:
        # CG stops at a residual of 1e-14, or at the floor of rounding: times a condition of 1e4.
        assert relative(other[name], dense[name]) < 1e-10
    assert other.certificate.zero_modes == dense.certificate.zero_modes == 2
    assert other.certificate.negative_modes == 0
    # Lanczos is asked for four digits.
    assert other.certificate.smallest_curvature == pytest.approx(
        dense.certificate.smallest_curvature, rel=1e-3
    )


# --- every kind of parameter ---------------------------------------------------------------------


HEPTAGON = np.array([[np.cos(a), np.sin(a)] for a in np.arange(6) * np.pi / 3] + [[0.0, 0.0]])
KINDS = {
    "by pair": LennardJones(
        sigma={"A,A": 1.0, "A,B": 0.95, "B,B": 0.9}, epsilon={"A": 1.0, "B": 0.5}
    ),
    "morse": Morse(sigma={"A": 1.1, "B": 1.0}, epsilon={"A": 1.0, "B": 0.7}, alpha=4.0),
    "bonds": HarmonicBonds(
        [(i, j) for i in range(7) for j in range(i)],
        stiffness=np.linspace(1.0, 2.0, 21),
        length=np.linspace(0.9, 1.4, 21),
    ),
}


def distances(position):
    i, j = np.triu_indices(7, 1)
    return np.linalg.norm(position[i] - position[j], axis=1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_of_a_free_cluster(kind):
    # Positions of a free cluster are known up to a motion; distances are not moved by it.
    start = System(Structure(HEPTAGON * 1.1, ["A", "B"] * 3 + ["A"]), KINDS[kind])
    end = relax(start, fmax=1e-12)
    found = sensitivity(end)
    assert found.certificate.trusted, found.certificate.reason
    assert found.parameters == start.parameter_names
    i, j = np.triu_indices(7, 1)
    vector = end.position[i] - end.position[j]
    unit = vector / np.linalg.norm(vector, axis=1, keepdims=True)
    few = found.parameters if kind != "bonds" else ("stiffness[3]", "stiffness[20]", "length[7]")
    for name in few:
        k = found.parameters.index(name)
        rate = found.position[..., k]
        stretch = np.sum(unit * (rate[i] - rate[j]), axis=1)

        def at(value, name=name):
            system = end.system.replace_parameters({name: float(value)})
            return distances(relax(system, fmax=1e-12).position)

        # Clusters answer smoothly over a twentieth of a length (springs under stress are the
        # softest): h = 5e-4 leaves (h / 0.05)^4 / 480 < 1e-10 and rounding of 1e-12 / h = 2e-9.
        difference = finite_difference.derivative(at, found.values[k], 5e-4)
        np.testing.assert_allclose(stretch, difference, rtol=0, atol=2e-8, err_msg=name)
        assert np.abs(difference).max() > 1e-5, name


def test_a_crystal_s_pressure():
    box = np.array([[2.1, 0.0], [1.05, 2.1 * np.sqrt(3) / 2]])
    corners = np.array([[0, 0], [0.5, 0], [0, 0.5], [0.5, 0.5]]) @ box
    system = System(Structure(corners, box=box), LennardJones(1.0, 0.7, cutoff=2.5))
    found = sensitivity(relax(system, fmax=1e-10), wrt="sigma")
    # Not under jit: a traced box narrower than the range is beyond its one image.
    at = lambda s: pressure(system.replace_parameters({"sigma": float(s)}))  # noqa: E731
    # The pressure changes over sigma / 12; see finite_difference: 3 eps P / h = 1e-11 with P below
    # 100 at h = 1e-3, and (12 h)^4 / 480 = 4e-11 of it.
    expected = finite_difference.derivative(at, 1.0, 1e-3)
    assert found.observables["pressure"][1][0] == pytest.approx(float(expected), rel=1e-8)


# --- asking --------------------------------------------------------------------------------------


def test_what_is_asked_for_is_answered_in_that_order(packings, slopes):
    few = sensitivity(packings[0], wrt=["epsilon", "diameter[B]"])
    assert few.parameters == ("epsilon", "diameter[B]")
    assert few.position.shape == (128, 2, 2)
    np.testing.assert_array_equal(few.values, [1.0, 0.6])
    assert relative(few["diameter[B]"], slopes[0]["diameter[B]"]) < 1e-13
    assert sensitivity(packings[0], wrt="diameter").parameters == ("diameter[B]", "diameter[A]")
    assert "diameter[B]" in str(few)


def test_many_parameters_are_answered_as_few_are():
    """Of many the observables are differentiated backwards; each answer is the one it has alone."""
    rng = np.random.default_rng(3)
    names = [chr(65 + k) for k in range(12)]
    potential = SoftSphere(dict(zip(names, np.linspace(0.8, 1.2, 12))))
    place = rng.uniform(0, 7.0, (60, 2))
    start = Structure(place, box=7.0, species=list(rng.choice(names, 60)))
    rest = relax(System(start, potential), fmax=1e-12)
    asked = [f"diameter[{name}]" for name in names]
    many, few = sensitivity(rest, wrt=asked), sensitivity(rest, wrt=asked[:3])
    assert len(asked) > FEW >= 3
    for name, (value, slopes) in few.observables.items():
        assert many.observables[name][0] == pytest.approx(value, rel=1e-13)
        np.testing.assert_allclose(many.observables[name][1][:3], slopes, rtol=1e-10)
        assert np.abs(slopes).min() > 1e-3
    radius = few.certificate.validity_radius
    np.testing.assert_allclose(many.certificate.validity_radius[:3], radius, rtol=1e-8)


@pytest.mark.parametrize("wrt", ["sigma", "diameter[C]", ["diameter[A]", "alpha"]])
def test_unknown_parameters_are_refused(packings, wrt):
    with pytest.raises(UnknownParameter, match=r"known are diameter\[B\]"):
        sensitivity(packings[0], wrt=wrt)


def test_what_was_not_asked_for_is_not_there(packings):
    few = sensitivity(packings[0], wrt="diameter[B]")
    with pytest.raises(UnknownParameter, match=r"known are diameter\[B\]"):
        few["epsilon"]


def test_unknown_solvers_are_refused(packings):
    with pytest.raises(ValueError, match="unknown solver 'lu'; known are auto, dense"):
        sensitivity(packings[0], solver="lu")


def test_fixed_particles_answer_with_zero():
    line = Structure([[0.0, 0.0], [1.2, 0.0], [3.0, 0.0]], fixed=[0, 2])
    springs = HarmonicBonds([[0, 1], [1, 2]], stiffness=[1.0, 3.0], length=1.0)
    found = sensitivity(relax(System(line, springs), fmax=1e-12), wrt="stiffness")
    np.testing.assert_array_equal(found.position[[0, 2]], 0.0)
    assert (np.abs(found.position[1, 0]) > 0.05).all()
