"""Sensitivities of a packing and of a glass, beside JAXopt's; and what an adjoint costs.

    OPENBLAS_NUM_THREADS=1 python tests/benchmarks/sensitivities.py [--size 10000]

Forward: the derivatives of all positions in P diameters (as many species) of soft disks at packing
fraction 1. simsens factorises the Hessian once: the whole of ``sensitivity``, certificate and all,
and the linear solves alone, with SuperLU and, where it is installed, CHOLMOD. JAXopt's
``custom_root`` around the gradient of jax-md's energy is asked for one derivative at a time, with
conjugate gradients to a residual of 1e-10 and with its default (``root_jvp``, which ``custom_root``
uses); one is timed, and P of them are told as P times that.

Adjoint: the gradient of the pressure in all parameters at once, at a minimum that is known, against
the relaxation from a random start that led there, soft disks and a Lennard-Jones glass.

Needs jaxopt, jax-md; cvxopt for CHOLMOD.
"""

import argparse
import statistics
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from relaxation import atoms, disks, header

from simsens import SoftSphere, System, relax, relaxed, sensitivity
from simsens.implicit import cholesky
from simsens.particles import parameters
from simsens.particles import system as systems
from simsens.particles.observables import pressure
from simsens.particles.structure import Structure
from simsens.response import rattlers
from simsens.response import sensitivity as module
from simsens.response.curvature import Curvature


def many_species(number, count):
    """Disks of ``count`` species with diameters between 1 and 1.4."""
    sizes = np.linspace(1.0, 1.4, count)
    names = [f"S{k}" for k in range(count)]
    chosen = np.arange(number) % count
    side = np.sqrt(np.pi / 4 * np.sum(sizes[chosen] ** 2))
    position = np.random.default_rng(0).uniform(0, side, (number, 2))
    structure = Structure(position, species=[names[k] for k in chosen], box=side)
    return System(structure, SoftSphere(diameter=dict(zip(names, map(float, sizes)))))


def timed(call, repeats):
    """The first seconds, the median of the others, the result."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        result = jax.block_until_ready(call())
        times.append(time.perf_counter() - began)
    return times[0], statistics.median(times[1:]), result


def solves(equilibrium, names):
    """The linear systems alone: assemble, factorise, solve for all names."""
    system = equilibrium.system
    listed = systems.list_neighbors(system)
    mobile = ~rattlers.find(system, listed)
    theta = parameters.values(system.fields, names)
    position = np.asarray(system.structure.position)

    def call():
        zero = np.zeros((len(names), position.size))
        rhs = module._balance(system, listed, mobile, position, theta, zero, names)
        return Curvature(system, listed, mobile, "sparse").solve(rhs)

    return call


def by_jaxopt(equilibrium, name, solver, options):
    """One derivative through ``custom_root`` and jax-md's energy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jaxopt
        from jax_md import energy, partition, space

    system = equilibrium.system
    structure, side = system.structure, float(system.structure.box[0, 0])
    species, count = jnp.asarray(structure.species), len(structure.species_names)
    displacement, _ = space.periodic(side)
    sizes = jnp.asarray(list(system.potential.diameter.values()))
    mixed = (sizes[:, None] + sizes[None]) / 2
    neighbor_fn, energy_fn = energy.soft_sphere_neighbor_list(
        displacement, side, species=species, sigma=mixed, epsilon=jnp.ones((count, count)),
        alpha=2.0, dr_threshold=0.1, format=partition.OrderedSparse,
    )  # fmt: skip
    which = structure.species_names.index(name.split("[")[1][:-1])
    with jax.numpy_dtype_promotion("standard"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        place = jnp.asarray(structure.position) % side
        neighbors = neighbor_fn.allocate(place)

        def forces(x, theta):
            sigma = mixed + (theta - sizes[which]) / 2 * (
                (jnp.arange(count) == which)[:, None] * 1.0 + (jnp.arange(count) == which)[None]
            )
            return jax.grad(lambda y: energy_fn(y, neighbor=neighbors, sigma=sigma))(x)

        solve = getattr(jaxopt.linear_solve, solver)
        step = jax.jit(
            lambda theta: jaxopt.implicit_diff.root_jvp(
                forces, place, (theta,), (1.0,), solve=lambda A, b: solve(A, b, **options)
            )
        )
        return lambda: step(sizes[which])


def forward(number, counts, repeats):
    for count in counts:
        equilibrium = relax(many_species(number, count), fmax=1e-10)
        names = tuple(f"diameter[S{k}]" for k in range(count))
        rows = {}
        rows["simsens, with certificate"] = timed(
            lambda e=equilibrium, n=names: sensitivity(e, n), repeats
        )
        found = rows["simsens, with certificate"][2]
        if cholesky.installed(np.zeros(1)):
            rows["solves, CHOLMOD"] = timed(solves(equilibrium, names), repeats)
        original, cholesky.installed = cholesky.installed, lambda matrix: False
        rows["solves, SuperLU"] = timed(solves(equilibrium, names), repeats)
        cholesky.installed = original
        exact = found[names[0]]
        for label, solver, options in (
            ("JAXopt, cg", "solve_cg", {"tol": 1e-10, "maxiter": 20_000}),
            ("JAXopt, default", "solve_normal_cg", {}),
        ):
            first, took, value = timed(by_jaxopt(equilibrium, names[0], solver, options), 1)
            rows[f"{label}, {count} times one"] = (first, count * took, value)
        least = min(took for _, took, _ in rows.values())
        print(f"\n{count} sensitivities, {number} disks\n")
        print("| method | seconds | to the fastest | first, s | residual | error of the first |")
        print("| --- | --- | --- | --- | --- | --- |")
        for name, (first, took, value) in rows.items():
            residual, error = float("nan"), float("nan")
            if hasattr(value, "residual"):
                residual = float(np.max(value.residual))
            elif hasattr(value, "certificate"):
                residual = float(np.max(value.certificate.linear_residual))
            else:
                value = np.asarray(value) - np.mean(value, axis=0)
                error = np.linalg.norm(value - exact) / np.linalg.norm(exact)
            print(f"| {name} | {took:.3g} | {took / least:.1f} | {first:.3g} | {residual:.1e} |"
                  f" {error:.1e} |", flush=True)  # fmt: skip


def adjoint(sizes, repeats):
    print("\n| system | relaxation, s | adjoint gradient, s | share |")
    print("| --- | --- | --- | --- |")
    for kind, make, name in (("disks", disks, "diameter[B]"), ("atoms", atoms, "sigma")):
        for number in sizes:
            start = make(number)
            _, took, equilibrium = timed(lambda s=start: relax(s, fmax=1e-10), repeats)
            rest = equilibrium.system

            def measured(fields, rest=rest):
                return pressure(relaxed(rest.replace_parameters(fields)))

            values = {name: float(parameters.values(rest.fields, (name,))[0]), "epsilon": 1.0}
            both = timed(lambda f=measured, v=values: jax.value_and_grad(f)(v), repeats)[1]
            alone = timed(lambda f=measured, v=values: f(v), repeats)[1]
            print(f"| {number} {kind} | {took:.3g} | {both - alone:.3g} |"
                  f" {(both - alone) / took:.1%} |", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--counts", type=int, nargs="*", default=[1, 8, 64])
    parser.add_argument("--adjoint", type=int, nargs="*", default=[1000, 10_000])
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    header()
    print(f"{chosen.repeats} repeats after the first run, medians")
    forward(chosen.size, chosen.counts, chosen.repeats)
    adjoint(chosen.adjoint, chosen.repeats)


if __name__ == "__main__":
    main()
