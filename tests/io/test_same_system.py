"""A run is gone on with by the system it was begun with, or not at all."""

from dataclasses import replace

import numpy as np
import pytest

from simsens import io, packing, relax
from simsens.io import result_name
from simsens.particles.potentials import EnergyFunction, HarmonicBonds, LennardJones, SoftSphere
from simsens.particles.structure import Structure
from simsens.particles.system import System

FMAX = 1e-9
BOX = np.array([[6.0, 0.0], [0.5, 6.0]])
PLACE = np.random.default_rng(0).uniform(0, 6, (5, 2))
DISKS = Structure(PLACE, ["A", "B", "A", "B", "A"], box=BOX, fixed=[0])
SOFT = System(DISKS, SoftSphere(diameter={"A": 1.0, "B": 0.6}))
PAIR = System(DISKS, LennardJones(cutoff=2.5))
CHAIN = System(DISKS, HarmonicBonds(bonds=[[0, 1], [1, 2]], stiffness=[1.0, 3.0]))


def spring(position, k=2.0):
    return (k * position**2).sum()


def other_spring(position, k=2.0):
    return (k * position**4).sum()


OWN = System(DISKS, EnergyFunction(spring))


def begun(path, system):
    """What is left of a run that was killed."""
    with io.record(path, system, every=1) as record:
        record.frame(0, system.structure.position, 1.0, 1.0)
        record.keep({"steps": np.array(0), "position": np.asarray(system.structure.position)})
    return result_name.partial(path)


def other(system, **changes):
    return replace(system, structure=replace(system.structure, **changes))


CHANGED = {
    "parameter": (
        SOFT,
        SOFT.replace_parameters({"diameter[B]": 0.7}),
        r"diameter\[B\] is 0.6 in the file and 0.7 in the system given",
    ),
    "scale": (SOFT, SOFT.replace_parameters({"epsilon": 3.0}), "epsilon is 1.0 .* 3.0"),
    "last digit": (
        SOFT,
        SOFT.replace_parameters({"epsilon": 1.0 + 2**-52}),
        "epsilon is 1.0 .* 1.0000000000000002",
    ),
    "names": (
        SOFT,
        System(DISKS, SoftSphere(diameter=1.0)),
        r"diameter\[A\] is 1.0 in the file and missing",
    ),
    "more names": (
        System(DISKS, SoftSphere(diameter=1.0)),
        SOFT,
        "diameter is 1.0 in the file and missing",
    ),
    "exponent": (
        SOFT,
        System(DISKS, SoftSphere(diameter={"A": 1.0, "B": 0.6}, alpha=2.5)),
        "alpha is 2.0 .* 2.5",
    ),
    "law": (SOFT, PAIR, "the potential is SoftSphere .* LennardJones"),
    "cutoff": (PAIR, System(DISKS, LennardJones(cutoff=3.0)), "cutoff is 2.5 .* 3.0"),
    "no cutoff": (PAIR, System(DISKS, LennardJones()), "cutoff is 2.5 .* None"),
    "mode": (PAIR, System(DISKS, LennardJones(cutoff=2.5, mode="shift")), "mode is smooth"),
    "stiffness": (CHAIN, CHAIN.replace_parameters({"stiffness[1]": 4.0}), r"stiffness\[1\] is 3.0"),
    "bonds": (
        CHAIN,
        System(DISKS, HarmonicBonds(bonds=[[0, 1], [1, 3]], stiffness=[1.0, 3.0])),
        r"bonds\[1\] is \[1, 2\] .* \[1, 3\]",
    ),
    "function": (OWN, System(DISKS, EnergyFunction(other_spring)), "the function is spring"),
    "species": (
        SOFT,
        other(SOFT, species=["A", "B", "B", "B", "A"]),
        r"species\[2\] is A in the file and B",
    ),
    "order of species": (
        SOFT,
        other(SOFT, species=DISKS.names(), species_names=("B", "A")),
        r"species_names is \('A', 'B'\) .* \('B', 'A'\)",
    ),
    "box": (SOFT, other(SOFT, box=6.0), r"the box is \[\[6.0, 0.0\], \[0.5, 6.0\]\] .* \[\[6.0, 0"),
    "no box": (SOFT, other(SOFT, box=None, boundary=None), "the box is .* None in the system"),
    "boundary": (SOFT, other(SOFT, boundary=(True, False)), r"the boundary is \(True, True\)"),
    "fixed": (SOFT, other(SOFT, fixed=None), r"fixed\[0\] is True in the file and False"),
    "number": (
        SOFT,
        other(SOFT, position=PLACE[:4], species=DISKS.names()[:4], fixed=[0]),
        "the number of particles is 5 .* 4",
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_another_system_is_refused(tmp_path, name):
    system, given, words = CHANGED[name]
    place = begun(tmp_path / "run.h5md", system)
    before = place.read_bytes()
    with pytest.raises(io.AnotherSystem, match=f"begun with another system: {words}.*; give") as no:
        io.resume(tmp_path / "run.h5md", given)
    assert "\n" not in str(no.value)
    assert place.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [place.name]


@pytest.mark.parametrize("system", [SOFT, PAIR, CHAIN, OWN])
def test_the_same_system_is_not(tmp_path, system):
    """Made again, with its particles elsewhere."""
    begun(tmp_path / "run.h5md", system)
    again = replace(system, potential=replace(system.potential)).with_position(PLACE + 0.5)
    with io.resume(tmp_path / "run.h5md", again) as record:
        assert int(record.state["steps"]) == 0


def test_parameters_in_another_order(tmp_path):
    begun(tmp_path / "run.h5md", SOFT)
    again = System(DISKS, SoftSphere(diameter={"B": 0.6, "A": 1.0}))
    with io.resume(tmp_path / "run.h5md", again) as record:
        assert record.state is not None


def test_a_result_that_is_not_converged(tmp_path):
    """It is looked at under its own name, and stays as it is."""
    path, system = tmp_path / "run.h5md", packing(number=16, seed=1)
    with io.record(path, system) as record:
        record.finish(relax(system, fmax=FMAX, steps=40, throw=False, record=record))
    before = path.read_bytes()
    changed = system.replace_parameters({"diameter[B]": 0.7})
    with pytest.raises(io.AnotherSystem, match=r"run.h5md was begun .*diameter\[B\] is 0.6"):
        io.resume(path, changed)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
