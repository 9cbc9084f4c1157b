"""What a GPU does with it: steps, bytes a second, sensitivities, adjoints, batches, growth.

    python tests/benchmarks/gpu.py [--sizes 10000 100000 1000000] [--seconds 600]

Skips with a message where JAX sees no GPU (``--anywhere`` runs it on what there is). Prints the
card, its copy rate, and then, for soft disks in two dimensions and Lennard-Jones atoms in three:

(a) a step of FIRE with its lists, beside jax-md's, and a step of its own, with the bytes that it
    must read and write a second, against the copy rate; the way to a largest force of 1e-6;
(b) the time of P = 1, 8, 64 sensitivities, with their certificates;
(c) the adjoint gradient of the pressure against the relaxation;
(d) batches of 128-particle packings, beside ``vmap`` over jax-md;
(e) how time and memory grow with N.

What a step must move: of each slot the neighbour (4 bytes), its image (a byte a dimension), whether
it is filled (1), and where a species decides its numbers (16); of each particle position, move and
velocity read and written, and the force. Neighbours' positions count once, as if every cache held.

Parts are left out once ``--seconds`` are spent, and it says so. Needs jax-md.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from batches import compare
from relaxation import atoms, by_jax_md, disks, header
from sensitivities import adjoint, many_species, timed

from simsens import relax, sensitivity
from simsens.particles import system as systems
from simsens.particles.structure import mobile_mask
from simsens.response import descent


def copy_rate():
    """Bytes read and written a second by a copy of a gigabyte."""
    source = jnp.ones(1 << 27)
    copy = jax.jit(lambda x: x + 1)
    _, took, _ = timed(lambda: copy(source), 9)
    return 2 * source.nbytes / took


def memory():
    told = jax.local_devices()[0].memory_stats() or {}
    return told.get("peak_bytes_in_use", float("nan")) / 1e9


def bare_step(system, steps=200):
    """Seconds of a step while its list holds, and the bytes that it must move."""
    listed = systems.list_neighbors(system, 0.5)
    mobile = mobile_mask(system.structure)
    motion = descent.at_rest(np.asarray(system.structure.position))

    # So small a move that no list goes stale: the arithmetic of a step does not depend on it.
    @jax.jit
    def advance(system, listed, motion, mobile):
        made = descent.Descent(system, mobile, 50.0, 0.0, 1e-9, "fire")
        return made.advance(listed, motion, steps)

    given = jax.device_put((system, listed, motion, mobile), jax.local_devices()[0])
    _, took, _ = timed(lambda: advance(*given), 3)
    number, dimension = system.structure.number, system.structure.dimension
    slots = listed.index.shape[1]
    numbers = 16 if len(system.structure.species_names) > 1 else 0
    moved = number * (slots * (5 + dimension + numbers) + 7 * 8 * dimension)
    return took / steps, moved


def steps_table(kinds, sizes, rate, left):
    print("\n| system | N | step with lists, ms | jax-md, ms | step alone, ms | GB/s | of copy |"
          " to 1e-6, s | steps | peak GB |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
          " --- |")  # fmt: skip
    for kind in kinds:
        for number in sizes:
            if left() < 0:
                print("(the time is spent: the rest is left out)")
                return
            system = {"disks": disks, "atoms": atoms}[kind](number)
            run = lambda system=system: relax(system, fmax=1e-6, steps=300, throw=False)  # noqa: E731
            _, ours, found = timed(run, 1)
            theirs = float("nan")
            if number <= 100_000:
                _, theirs, told = timed(lambda s=system: by_jax_md(s, 1e-6, 300), 1)
                theirs /= told[2]
            alone, moved = bare_step(found.system)
            began = time.perf_counter()
            rest = relax(found.system, fmax=1e-6, throw=False)
            way = time.perf_counter() - began + ours
            cells = (
                kind, number, f"{1e3 * ours / found.iterations:.3g}", f"{1e3 * theirs:.3g}",
                f"{1e3 * alone:.3g}", f"{moved / alone / 1e9:.3g}", f"{moved / alone / rate:.0%}",
                f"{way:.3g}" if rest.converged else "not there",
                found.iterations + rest.iterations, f"{memory():.2g}",
            )  # fmt: skip
            print("|", *(f"{cell} |" for cell in cells), flush=True)


def sensitivities_table(number, counts, left):
    print(f"\n| P, of {number} disks | seconds | first run, s | residual | trusted |")
    print("| --- | --- | --- | --- | --- |")
    for count in counts:
        if left() < 0:
            print("(the time is spent: the rest is left out)")
            return
        rest = relax(many_species(number, count), fmax=1e-10, throw=False)
        first, took, found = timed(lambda e=rest: sensitivity(e, "diameter"), 1)
        told = found.certificate
        print(f"| {count} | {took:.3g} | {first:.3g} | {np.max(told.linear_residual):.1e} |"
              f" {told.trusted} |", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--kinds", nargs="*", default=["disks", "atoms"])
    parser.add_argument("--counts", type=int, nargs="*", default=[1, 8, 64])
    parser.add_argument(
        "--response", type=int, default=10_000, help="disks whose response is timed"
    )
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--chunk", type=int, default=250, help="members that jax-md gets at once")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--anywhere", action="store_true", help="run without a GPU too")
    chosen = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    if jax.default_backend() == "cpu" and not chosen.anywhere:
        return print(
            "skipped: JAX sees no GPU here (pip install 'jax[cuda13]'; --anywhere to insist)"
        )
    began = time.perf_counter()

    def left():
        return chosen.seconds - (time.perf_counter() - began)

    header()
    rate = copy_rate()
    print(f"{jax.local_devices()[0].device_kind}: copies {rate / 1e9:.4g} GB/s, read and written")
    if chosen.members and left() > 0:
        print()
        compare(chosen.members, 128, chosen.chunk, 1)
    if chosen.sizes:
        steps_table(chosen.kinds, chosen.sizes, rate, left)
    if chosen.counts:
        sensitivities_table(chosen.response, chosen.counts, left)
        if left() > 0:
            adjoint([min(1000, chosen.response)], 1)
    return print(f"\n{time.perf_counter() - began:.0f} s in all")


if __name__ == "__main__":
    main()
