import jax.numpy as jnp
import numpy as np
import pytest

from simsens.particles.potentials import (
    POTENTIALS,
    EnergyFunction,
    HarmonicBonds,
    LennardJones,
    Morse,
    SoftSphere,
)
from simsens.particles.potentials.build import build
from simsens.particles.potentials.errors import InvalidPotential, UnknownSpecies
from simsens.particles.structure import Structure

PAIR = Structure([[0.0, 0.0], [1.0, 0.0]], species=["A", "B"])


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("soft-sphere", {}, SoftSphere()),
        (
            "soft-sphere",
            {"diameter[A]": 1.0, "diameter[B]": 0.6, "alpha": 2.5},
            SoftSphere(diameter={"A": 1.0, "B": 0.6}, alpha=2.5),
        ),
        (
            "lennard-jones",
            {"sigma": 3.4, "cutoff": 8.5, "mode": "shift"},
            LennardJones(sigma=3.4, cutoff=8.5, mode="shift"),
        ),
        (
            "morse",
            {"epsilon[A,A]": 1.0, "epsilon[A, B]": 0.5, "epsilon[B,B]": 2.0, "alpha": 3.0},
            Morse(epsilon={"A,A": 1.0, "A,B": 0.5, "B,B": 2.0}, alpha=3.0),
        ),
    ],
)
def test_words_become_potentials(name, settings, expected):
    assert build(name, settings, PAIR) == expected


def test_every_potential_can_be_built():
    for name, kind in POTENTIALS.items():
        settings = {"bonds": [[0, 1]]} if name == "harmonic-bonds" else {}
        assert type(build(name, settings, PAIR)) is kind


def test_bonds_given_and_found():
    given = build("harmonic-bonds", {"bonds": [[0, 1]], "stiffness": [2.0]}, PAIR)
    np.testing.assert_array_equal(given.bonds.pairs, [[0, 1]])
    np.testing.assert_array_equal(given.stiffness, [2.0])
    found = build("harmonic-bonds", {"cutoff": 1.5, "stiffness": 3.0}, PAIR)
    assert found.bonds == HarmonicBonds([[0, 1]]).bonds
    assert (found.stiffness, found.length.tolist()) == (3.0, [1.0])


def test_a_colon_names_a_function(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def energy(position, k=3.0):\n    return k * (position ** 2).sum()\n")
    potential = build(f"{path}:energy", {"k": 5.0}, PAIR)
    assert isinstance(potential, EnergyFunction)
    assert float(potential.energy(PAIR, jnp.asarray(PAIR.position))) == 5.0


@pytest.mark.parametrize(
    ("name", "settings", "error", "message"),
    [
        ("soft-spere", {}, InvalidPotential, "did you mean 'soft-sphere'"),
        ("", {}, InvalidPotential, "known are soft-sphere, lennard-jones"),
        ("SoftSphere", {}, InvalidPotential, "or module:function"),
        ("soft-sphere", {"diametre": 1.0}, InvalidPotential, "did you mean 'diameter'"),
        ("soft-sphere", {"cutoff": 1.0}, InvalidPotential, "known are diameter, epsilon, alpha"),
        ("soft-sphere", {"structure": 1.0}, InvalidPotential, "soft-sphere"),
        ("soft-sphere", {"diameter[C]": 1.0}, UnknownSpecies, "the structure holds A, B"),
        ("soft-sphere", {"epsilon[A,C]": 1.0}, UnknownSpecies, "unknown species 'C'"),
        ("soft-sphere", {"diameter[]": 1.0}, UnknownSpecies, "unknown species ''"),
        (
            "soft-sphere",
            {"diameter": 1.0, "diameter[B]": 0.6},
            InvalidPotential,
            "both for all species and by species",
        ),
        ("soft-sphere", {"alpha": 1.0}, InvalidPotential, "alpha must be at least 2"),
        ("lennard-jones", {"onset": 1.0}, InvalidPotential, "needs a cutoff"),
        ("harmonic-bonds", {}, InvalidPotential, r"needs bonds=\[\[0,1\],...\] or a cutoff"),
        ("harmonic-bonds", {"cutoff": 0.1}, InvalidPotential, "no two particles"),
        ("nowhere.to.find:energy", {}, InvalidPotential, "cannot import"),
    ],
)
def test_refused(name, settings, error, message):
    with pytest.raises(error, match=message):
        build(name, settings, PAIR)


def test_both_for_all_and_by_species_in_the_other_order_is_refused():
    with pytest.raises(InvalidPotential, match="both for all species"):
        build("soft-sphere", {"diameter[B]": 0.6, "diameter": 1.0}, PAIR)


def test_a_word_for_the_exponent_is_refused():
    with pytest.raises(InvalidPotential, match="alpha"):
        build("soft-sphere", {"alpha": "soft"}, PAIR)


def test_a_word_for_a_number_is_refused():
    with pytest.raises(InvalidPotential):
        build("soft-sphere", {"diameter": "large"}, PAIR)
