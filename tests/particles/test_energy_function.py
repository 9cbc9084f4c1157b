import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.particles import system as systems
from simsens.particles.potentials import EnergyFunction, LennardJones, SoftSphere
from simsens.particles.potentials.errors import InvalidPotential
from simsens.particles.structure import Structure
from simsens.particles.system import System
from tests import finite_difference

EPS = np.finfo(float).eps
TRIANGLE = [[0.0, 0.0], [1.1, 0.0], [0.4, 0.9]]


def three_springs(position, displacement, length=1.0, stiffness=2):
    """A user's own energy: a chain bent into a triangle."""
    ends = jax.vmap(displacement)(position[jnp.array([1, 2, 0])], position)
    return stiffness / 2 * jnp.sum((jnp.sqrt(jnp.sum(ends**2, axis=-1)) - length) ** 2)


def wants_everything(position, displacement, box, species, structure, weight=1.5):
    assert structure.number == len(position)
    return weight * jnp.sum(species) + jnp.sum(box) + 0 * jnp.sum(position)


def test_numbers_by_default_are_the_parameters():
    potential = EnergyFunction(three_springs)
    assert potential.parameters == {"length": 1.0, "stiffness": 2.0}
    assert all(isinstance(v, float) for v in potential.parameters.values())
    system = System(Structure(TRIANGLE), EnergyFunction(three_springs, {"length": 0.9}))
    assert system.parameter_names == ("length", "stiffness")
    assert system.fields == {"length": 0.9, "stiffness": 2.0}
    assert system.replace_parameters({"stiffness": 3.0}).fields["stiffness"] == 3.0


def test_what_is_no_number_is_no_parameter():
    ones = np.ones(3)

    def energy(position, flag=True, word="x", scale=1.0, table=ones, nothing=None):
        return scale * jnp.sum(position) * jnp.sum(table)

    potential = EnergyFunction(energy)
    assert list(potential.parameters) == ["scale", "table"]
    names = System(Structure(TRIANGLE), potential).parameter_names
    assert names == ("scale", "table[0]", "table[1]", "table[2]")


def test_a_parameter_that_comes_first_by_position_is_none():
    assert EnergyFunction(lambda position=1.0, k=2.0: k).parameters == {"k": 2.0}


def test_energy_and_force_of_a_users_function():
    structure = Structure(TRIANGLE)
    system = System(structure, EnergyFunction(three_springs, {"length": 0.9}))
    assert systems.list_neighbors(system) is None
    sides = np.linalg.norm(structure.position[[1, 2, 0]] - structure.position, axis=1)
    value = float(systems.energy(system))
    assert value == pytest.approx(np.sum((sides - 0.9) ** 2), rel=20 * EPS)
    # h^4 / 480 times a fifth derivative of order 1e2 and 3 eps / h: 1e-12 both, at h = 7.4e-4.
    energy = jax.jit(lambda x: systems.energy(system.with_position(x)))
    force = -finite_difference.gradient(energy, structure.position)
    np.testing.assert_allclose(systems.force(system), force, rtol=0, atol=1e-11)


def test_displacements_go_to_the_nearest_image():
    inside = [[0.1, 1.0], [3.9, 1.0], [0.1, 3.9]]
    system = System(Structure(inside, box=4.0), EnergyFunction(three_springs))
    # sides 0.2, sqrt(0.2^2 + 1.1^2) and 1.1 through the walls
    expected = 0.8**2 + (np.hypot(0.2, 1.1) - 1) ** 2 + 0.1**2
    assert float(systems.energy(system)) == pytest.approx(expected, rel=40 * EPS)


def test_a_function_is_handed_what_it_names():
    structure = Structure(TRIANGLE, species=["A", "B", "B"], box=4.0)
    value = systems.energy(System(structure, EnergyFunction(wants_everything)))
    assert float(value) == 1.5 * 2 + 8.0


def test_it_is_differentiable_in_its_parameters():
    system = System(Structure(TRIANGLE), EnergyFunction(three_springs))
    slope = jax.jit(jax.grad(lambda k: systems.energy(system.replace_parameters({"stiffness": k}))))
    # The energy is proportional to the stiffness.
    expected = float(systems.energy(system)) / 2
    assert float(slope(2.0)) == pytest.approx(expected, rel=10 * EPS)


@pytest.mark.parametrize(
    ("name", "settings", "law"),
    [
        ("soft_sphere_pair", {"sigma": 1.25, "epsilon": 2.0}, SoftSphere(1.25, 2.0)),
        (
            "lennard_jones_pair",
            {"sigma": 1.0, "epsilon": 0.5, "r_onset": 1.5, "r_cutoff": 1.75},
            LennardJones(1.0, 0.5, cutoff=1.75, onset=1.5),
        ),
    ],
)
def test_makers_of_jax_md(name, settings, law):
    rng = np.random.default_rng(4)
    grid = np.stack(np.indices((4, 4)).reshape(2, -1), axis=1) * 1.0
    structure = Structure(grid + rng.uniform(-0.1, 0.1, grid.shape), box=4.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside jax-md's imports are not ours
        theirs = EnergyFunction.load(f"jax_md.energy:{name}", settings)
    value = float(jax.jit(systems.energy)(System(structure, theirs)))
    ours = System(structure, law)
    expected = float(systems.energy(ours))
    size = float(np.abs(systems.force(ours)).max())
    # jax-md rounds parameters to float32: these are exact there. Some 100 terms in another order,
    # each wrong by the rounding of a distance (4 eps) times its slope.
    assert value == pytest.approx(expected, rel=0, abs=400 * EPS * max(size, 1))
    assert size > 0.1


def test_load_from_a_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from dataclasses import dataclass\n"
        "@dataclass\n"
        "class Point:\n"
        "    x: float = 0.0\n"
        "def energy(position, k=3.0):\n"
        "    return k * (position ** 2).sum()\n"
    )
    potential = EnergyFunction.load(f"{path}:energy", {"k": 5.0})
    value = systems.energy(System(Structure(TRIANGLE), potential))
    assert float(value) == pytest.approx(5 * np.sum(np.square(TRIANGLE)), rel=4 * EPS)


def test_two_files_of_one_name_are_two_energies(tmp_path):
    values = []
    for k in (1.0, 2.0):
        folder = tmp_path / str(k)
        folder.mkdir()
        (folder / "mine.py").write_text(f"def energy(position):\n    return {k} * position.sum()\n")
        potential = EnergyFunction.load(f"{folder / 'mine.py'}:energy")
        values.append(float(systems.energy(System(Structure(TRIANGLE), potential))))
    assert values[1] == 2 * values[0] != 0


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("no.such.module:energy", "cannot import the module 'no.such.module'"),
        ("numpy:no_such_function", "numpy has no function 'no_such_function'"),
        ("numpy:pi", "numpy has no function 'pi'"),
        ("missing.py:energy", "no such file: missing.py"),
        ("{folder}:energy", "no such file"),
        ("{folder}/broken.py:energy", "fails when imported: SyntaxError"),
        ("{folder}/raises.py:energy", r"fails when imported: RuntimeError\('boom'\)"),
        ("{folder}/good.py:other", "has no function 'other'"),
    ],
)
def test_what_cannot_be_loaded_is_refused(tmp_path, reference, message):
    folder = tmp_path / "folder.py"
    folder.mkdir()
    (folder / "broken.py").write_text("def energy(:\n")
    (folder / "raises.py").write_text("raise RuntimeError('boom')\n")
    (folder / "good.py").write_text("def energy(position): return position.sum()\n")
    with pytest.raises(InvalidPotential, match=message):
        EnergyFunction.load(reference.format(folder=folder))


@pytest.mark.parametrize("name", ["lenght", "displacement", "position"])
def test_parameters_the_function_does_not_take_are_refused(name):
    with pytest.raises(InvalidPotential, match="known are length, stiffness"):
        EnergyFunction(three_springs, {name: 1.0})


def test_a_function_of_any_keywords_takes_any():
    def energy(position, **numbers):
        return numbers["k"] * jnp.sum(position)

    assert EnergyFunction(energy, {"k": 2.0}).parameters == {"k": 2.0}


@pytest.mark.parametrize(
    ("value", "found"),
    [(lambda x: x, r"\(3, 2\)"), (lambda x: None, "NoneType"), (lambda x: 1.0, "float")],
    ids=["an array", "nothing", "a Python number"],
)
def test_an_energy_must_be_one_number(value, found):
    system = System(Structure(TRIANGLE), EnergyFunction(lambda position: value(position)))
    with pytest.raises(InvalidPotential, match=f"must return one number; it returned {found}"):
        systems.energy(system)
