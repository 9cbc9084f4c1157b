"""The kernels of pairs give what automatic differentiation of the whole energy gives.

The reference is the general way, ``EnergyFunction``: all pairs and images in one sum that JAX
differentiates. It shares with the kernels the scalar law alone.
"""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.particles import pair, parameters
from simsens.particles import system as systems
from simsens.particles.observables import pressure, stress
from simsens.particles.potentials import EnergyFunction, LennardJones, Morse, SoftSphere
from simsens.particles.structure import Structure
from simsens.particles.system import System
from simsens.response import hessian

# As a user's programs are compiled: an optimised one once lost what a plain one kept.
pytestmark = pytest.mark.usefixtures("optimised")

NUMBER = 11
LAWS = {
    "harmonic": (SoftSphere({"A": 1.3, "B": 1.0}, {"A": 1.0, "B": 2.0}), "diameter[B]"),
    "hertzian": (SoftSphere({"A": 1.3, "B": 1.0}, alpha=2.5), "diameter[A]"),
    "lennard-jones": (LennardJones({"A": 0.8, "B": 0.7}, cutoff=1.9), "sigma[A]"),
    "morse": (Morse(0.9, {"A": 1.0, "B": 0.5}, 2.0, cutoff=1.9), "epsilon[A]"),
}
BOXES = {
    "square": np.diag([3.2, 3.4]),
    "tilted plane": np.array([[3.2, 0.0], [0.9, 3.3]]),
    "cube": np.diag([2.6, 2.5, 2.7]),
    "triclinic": np.array([[2.6, 0.1, 0.0], [0.7, 2.5, -0.2], [-0.4, 0.5, 2.7]]),
    "free": None,
}


def start(box, dtype):
    """Particles on a disturbed grid, some of them outside their box."""
    dimension = 3 if box is None else len(box)
    edges = 2.6 * np.eye(3) if box is None else box
    side = 3 if dimension == 3 else 4
    grid = np.indices((side,) * dimension).reshape(dimension, -1).T[:NUMBER] / side
    rng = np.random.default_rng(5)
    position = (grid + 0.05 * rng.normal(size=grid.shape)) @ edges
    if box is not None:
        position += rng.integers(-1, 2, grid.shape) @ edges
    species = ["AB"[k % 2] for k in range(NUMBER)]
    return Structure(position.astype(dtype), species, box=box)


def general(law, structure):
    """The same energy as one sum over all pairs and images, as a function of one's own."""
    species, dimension = np.asarray(structure.species), structure.dimension
    reach = range(-4, 5) if structure.box is not None else (0,)  # particles lie up to a box off
    images = np.array(list(itertools.product(reach, repeat=dimension)), float)
    itself = np.eye(NUMBER, dtype=bool)[:, :, None] & ~images.any(axis=1)

    def energy(position, box, **named):
        there = System(structure, law).replace_parameters(
            {name.replace("_of_", "[") + "]": value for name, value in named.items()}
        )
        tables = jax.tree.map(jnp.asarray, there.potential.tables(structure.species_names))
        numbers = {
            key: table.astype(position.dtype)[species[:, None], species[None]][:, :, None]
            if jnp.ndim(table) else table
            for key, table in tables.items()
        }  # fmt: skip
        moved = images.astype(position.dtype) @ (
            jnp.zeros((dimension, dimension), position.dtype) if box is None
            else box.astype(position.dtype)
        )  # fmt: skip
        apart = position[None, :, None] - position[:, None, None] + moved
        r = jnp.sqrt(jnp.where(itself, 1.0, jnp.sum(apart**2, axis=-1)).astype(position.dtype))
        inside = ~itself & (r < there.potential.reach(numbers))
        return jnp.sum(jnp.where(inside, law.pair_energy(r, **numbers), 0)) / 2

    return energy


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("name", LAWS)
def test_kernels_and_the_general_way_agree(name, box, dtype):
    law, parameter = LAWS[name]
    if box == "free" and dtype == np.float32:
        return
    structure = start(BOXES[box], dtype)
    system = System(structure, law)
    listed = systems.list_neighbors(system, 0.2)
    position = jnp.asarray(structure.position)
    field = parameter.replace("[", "_of_").removesuffix("]")
    value = parameters.values(system.fields, (parameter,))[0]
    energy = general(law, structure)

    def whole(x, theta, box=structure.box):
        return energy(x, None if box is None else jnp.asarray(box), **{field: theta})

    # As if read in two tables: two rows of eleven may be longer than what is common.
    split = replace(listed, common=int(np.sort(np.asarray(listed.mask).sum(axis=1))[-3]))
    assert 0 < split.common < listed.index.shape[1]
    theta = jnp.asarray(value, dtype)
    v = np.random.default_rng(1).normal(size=position.shape).astype(dtype)
    mobile = jnp.ones(NUMBER, bool)

    @jax.jit
    def by_kernels(x, theta):
        there = system.with_values((parameter,), theta[None])
        found = {
            "energy": pair.energy(there.potential, structure, x, listed),
            "force": pair.force(there.potential, structure, x, listed),
            "force to step with": pair.force_function(there.potential, structure, listed)(x),
            "force by two tables": pair.force_function(there.potential, structure, split)(x),
            "product": hessian.operator(there.with_position(x), listed, mobile)(v),
            "product by two tables": hessian.operator(there.with_position(x), split, mobile)(v),
            "matrix": hessian.dense(there.with_position(x), listed, mobile),
            "mixed": -jax.jvp(
                lambda t: systems.force(system.with_values((parameter,), t[None]), listed),
                (theta,), (jnp.ones_like(theta),),
            )[1],
        }  # fmt: skip
        if structure.box is not None:
            found["virial"] = pair.virial(there.potential, structure, x, listed)
        return found

    @jax.jit
    def by_autodiff(x, theta):
        slope = jax.grad(whole)
        force, product = -slope(x, theta), jax.jvp(lambda x: slope(x, theta), (x,), (v,))[1]
        found = {
            "energy": whole(x, theta),
            "force": force,
            "force to step with": force,
            "force by two tables": force,
            "product": product,
            "product by two tables": product,
            "matrix": jax.hessian(whole)(x, theta).reshape(x.size, x.size),
            "mixed": jax.jvp(lambda t: slope(x, t), (theta,), (jnp.ones_like(theta),))[1],
        }
        if structure.box is not None:

            def strained(strain):
                turn = jnp.eye(x.shape[1], dtype=x.dtype) + strain
                edges = jnp.asarray(structure.box, x.dtype)
                return whole(x @ turn.T, theta, edges @ turn.T)

            found["virial"] = jax.grad(strained)(jnp.zeros((x.shape[1],) * 2, x.dtype))
        return found

    kernels = by_kernels(position, theta)
    with jax.default_matmul_precision("highest"):  # the strain is a product, and GPUs round those
        autodiff = by_autodiff(position, theta)
    sparse = hessian.sparse(
        np.asarray(pair.stiffness(law, structure, position, listed).blocks()),
        np.asarray(listed.index), np.asarray(listed.mask), np.ones(NUMBER, bool),
    )  # fmt: skip
    kernels["sparse"], autodiff["sparse"] = sparse.toarray(), autodiff["matrix"]
    assert float(jnp.abs(autodiff["force"]).max()) > 1e-2  # there is something to compare
    for key, expected in autodiff.items():
        found, expected = np.asarray(kernels[key]), np.asarray(expected)
        assert found.dtype == dtype, key
        # 1e-12, asked for; single precision has 2^29 times the rounding, of positions that lie
        # a box away besides, and divisions by short distances amplify it.
        scale = np.abs(expected).max()
        bound = 1e-12 if dtype == np.float64 else 2e-4
        np.testing.assert_allclose(found, expected, rtol=0, atol=bound * scale, err_msg=key)


@pytest.mark.parametrize("box", [box for box in BOXES if box != "free"])
def test_stress_and_pressure_agree_with_the_general_way(box):
    structure = start(BOXES[box], np.float64)
    law = LAWS["lennard-jones"][0]
    energy = general(law, structure)

    def own(position, box):
        return energy(position, box)

    kernels, whole = System(structure, law), System(structure, EnergyFunction(own))
    found, expected = np.asarray(stress(kernels)), np.asarray(stress(whole))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(found, found.T, rtol=0, atol=1e-13 * scale)
    mean = -np.trace(found) / structure.dimension
    assert float(pressure(kernels)) == pytest.approx(mean, rel=1e-12)
    assert float(pressure(whole)) == pytest.approx(mean, rel=1e-12)
