"""Results of sixteen disks and of two particles, as the command leaves them."""

import jax

from simsens import io, packing
from simsens.io import extxyz
from tests.cli.conftest import simsens

MODEL = ["--potential", "soft-sphere", "--param", "diameter[A]=1"]
ENERGY = """
import jax.numpy as jnp

def energy(position, displacement, length=1.0, stiffness=2.0):
    bond = displacement(position[0], position[1])
    return stiffness * (jnp.sqrt(jnp.sum(bond**2)) - length) ** 2 + 0.25

def other(position, displacement, length=1.0, stiffness=2.0):
    return 0.5 + energy(position, displacement, length, stiffness)

def broken(position, displacement, length=1.0, stiffness=2.0):
    return position.shaken

number = 3
"""


def relaxed(folder, name="packing", *more, small=0.6):
    """A file ``NAME.h5md`` with a packing of sixteen disks that was relaxed by the command."""
    structure = folder / f"{name}.extxyz"
    extxyz.write_structure(structure, packing(number=16, seed=1).structure, overwrite=True)
    numbers = [*MODEL, "--param", f"diameter[B]={small}"]
    seen = simsens(folder, "relax", structure, *numbers, *more)
    jax.config.update("jax_enable_x64", True)
    assert seen.code in (0, 3), seen.err
    return folder / f"{name}.h5md"


def dimer(folder, *more):
    """A file ``pair.h5md`` of two particles with an energy of one's own, in ``my.py``."""
    (folder / "my.py").write_text(ENERGY)
    (folder / "pair.extxyz").write_text("2\n\nA 0 0 0\nB 1.4 0.1 0\n")
    energy = ["--potential", "my.py:energy", "--param", "length=1.5", "--sensitivity"]
    seen = simsens(folder, "relax", "pair.extxyz", *energy, *more)
    assert seen.code == 0, seen.err
    return folder / "pair.h5md"


def doubted(path):
    """The same result as ``doubted.h5md``, with a verdict that it is not to be trusted."""
    from dataclasses import replace

    stored = io.load(path)
    certificate = replace(stored.certificate, trusted=False, reason="a mode is negative")
    slope = replace(stored.sensitivity, certificate=certificate)
    io.write(path.with_name("doubted.h5md"), stored.equilibrium, slope)
    return path.with_name("doubted.h5md")


def truncated(path):
    """The first half of a file, as ``truncated.h5md``."""
    half = path.with_name("truncated.h5md")
    half.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return half


def refusal(seen, code=2):
    """The one line of a command that refused: nothing on stdout, nothing left behind."""
    assert seen.code == code, seen.err
    assert seen.out == ""
    assert seen.err == seen.complaint + "\n"
    assert len(seen.err) < 500
    assert seen.made == ()
    return seen.complaint
