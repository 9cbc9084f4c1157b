import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.particles import parameters
from simsens.particles.parameters import UnknownParameter
from simsens.particles.potentials import HarmonicBonds, LennardJones, SoftSphere
from simsens.particles.structure import Structure
from simsens.particles.system import System

FIELDS = {
    "diameter": {"A": 1.0, "B": 0.6},
    "epsilon": {"A,A": 1.0, "A,B": 0.5},
    "alpha": 2.5,
    "stiffness": np.array([3.0, 4.0, 5.0]),
}
NAMES = (
    "diameter[A]",
    "diameter[B]",
    "epsilon[A,A]",
    "epsilon[A,B]",
    "alpha",
    "stiffness[0]",
    "stiffness[1]",
    "stiffness[2]",
)


def test_every_number_has_its_name():
    assert parameters.names(FIELDS) == NAMES


@pytest.mark.parametrize("wrt", [None, "all", NAMES, list(FIELDS), iter(NAMES)])
def test_all_of_them(wrt):
    assert parameters.select(FIELDS, wrt) == NAMES


def test_some_of_them_in_the_order_asked_and_once():
    chosen = parameters.select(FIELDS, ["alpha", "diameter", "diameter[A]"])
    assert chosen == ("alpha", "diameter[A]", "diameter[B]")
    assert parameters.select(FIELDS, "stiffness[1]") == ("stiffness[1]",)


def test_values_in_order():
    np.testing.assert_array_equal(parameters.values(FIELDS, NAMES), [1, 0.6, 1, 0.5, 2.5, 3, 4, 5])


def test_replaced_one_by_one_and_by_field():
    new = parameters.replaced(
        FIELDS, {"diameter[B]": 0.7, "stiffness[1]": 9.0, "alpha": 2.0, "epsilon[A,B]": 0.1}
    )
    assert parameters.values(new, NAMES).tolist() == [1.0, 0.7, 1.0, 0.1, 2.0, 3.0, 9.0, 5.0]
    assert FIELDS["diameter"] == {"A": 1.0, "B": 0.6}  # the old fields stay as they were
    assert FIELDS["stiffness"].tolist() == [3.0, 4.0, 5.0]
    assert parameters.replaced(FIELDS, {"diameter": 0.8})["diameter"] == 0.8


def test_round_trip_through_names():
    same = parameters.replaced(FIELDS, dict(zip(NAMES, parameters.values(FIELDS, NAMES))))
    np.testing.assert_array_equal(parameters.values(same, NAMES), parameters.values(FIELDS, NAMES))


def test_replacing_is_differentiable():
    def total(b, k):
        new = parameters.replaced(FIELDS, {"diameter[B]": b, "stiffness[1]": k})
        return new["diameter"]["B"] ** 2 + jnp.sum(jnp.asarray(new["stiffness"]) ** 3)

    slope = jax.grad(total, argnums=(0, 1))(0.6, 4.0)
    # 2 b and 3 k^2, each a product or two of representable numbers
    np.testing.assert_allclose(slope, (1.2, 48.0), rtol=4e-16)


@pytest.mark.parametrize(
    "name",
    [
        "sigma",
        "diameter[C]",
        "diameter[]",
        "stiffness[3]",
        "stiffness[-1]",
        "epsilon[B,A]",
        "",
        "alpha[A]",
    ],
)
def test_unknown_names_are_refused_and_the_known_listed(name):
    for refuse in (
        lambda: parameters.select(FIELDS, name),
        lambda: parameters.select(FIELDS, ["alpha", name]),
        lambda: parameters.replaced(FIELDS, {name: 1.0}),
    ):
        with pytest.raises(UnknownParameter, match=r"known are diameter\[A\]") as refusal:
            refuse()
        assert repr(name) in str(refusal.value)


def test_a_near_miss_gets_a_hint():
    with pytest.raises(UnknownParameter, match=r"did you mean 'stiffness\[2\]'"):
        parameters.select(FIELDS, "stifness[2]")


def test_names_of_systems():
    pair = Structure([[0.0, 0.0], [1.0, 0.0]], species=["A", "B"])
    assert System(pair, SoftSphere()).parameter_names == ("diameter", "epsilon")
    lj = LennardJones(sigma={("A", "A"): 1.0, ("A", "B"): 0.9, ("B", "B"): 0.8})
    assert System(pair, lj).parameter_names == (
        "sigma[A,A]",
        "sigma[A,B]",
        "sigma[B,B]",
        "epsilon",
    )
    bonds = HarmonicBonds([[0, 1]], stiffness=[2.0])
    assert System(pair, bonds).parameter_names == ("stiffness[0]", "length")


def test_system_replaces_and_keeps_the_rest():
    pair = Structure([[0.0, 0.0], [1.0, 0.0]], species=["A", "B"])
    system = System(pair, SoftSphere(diameter={"A": 1.0, "B": 0.6}, epsilon=2.0, alpha=2.5))
    new = system.replace_parameters({"diameter[B]": 0.7})
    assert new.potential == SoftSphere(diameter={"A": 1.0, "B": 0.7}, epsilon=2.0, alpha=2.5)
    assert new.structure is pair
    with pytest.raises(UnknownParameter):
        system.replace_parameters({"alpha": 2.0})  # part of the law, not a parameter
