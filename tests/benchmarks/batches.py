"""Many packings relaxed and differentiated: a batch beside a plain ``vmap`` over jax-md.

    OPENBLAS_NUM_THREADS=1 python tests/benchmarks/batches.py [--members 1000] [--number 128]

Soft disks at packing fraction 1 from random starts, to a largest force of 1e-10, and the
derivatives of all positions in both diameters.

simsens: ``relax_batch``, with the certificate of every member. jax-md: FIRE in a ``while_loop``
over all pairs, under ``vmap``, in chunks of ``--chunk`` members (16 is the best on two cores); then
``jax.hessian`` and a pseudo-inverse, under ``vmap`` too, without a word on their trustworthiness.
``relax`` and ``sensitivity`` one by one stand beside. Members a second, medians, interleaved; the
first run, which compiles, is told apart.

Needs jax-md.
"""

import argparse
import functools
import statistics
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from relaxation import disks, header

from simsens import relax, relax_batch, sensitivity

FMAX = 1e-10


def together(members):
    return sum(member.sensitivity.certificate.trusted for member in relax_batch(members, fmax=FMAX))


def one_by_one(members):
    results = (relax(member, fmax=FMAX, throw=False) for member in members)
    return sum(sensitivity(result).certificate.trusted for result in results)


@functools.cache
def jax_md_programs(number, side):
    """``positions -> positions, largest forces`` and ``positions -> derivatives``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from jax_md import energy, minimize, space

    displacement, shift = space.periodic(side)
    species = jnp.arange(number) % 2
    diameters = jnp.array([1.0, 1.4])

    def law(d):
        mean = (d[0] + d[1]) / 2
        sigma = jnp.array([[d[0], mean], [mean, d[1]]])
        return energy.soft_sphere_pair(displacement, species=species, sigma=sigma, epsilon=1.0)

    def size(state):
        return jnp.max(jnp.linalg.norm(state.force, axis=1))

    def descend(position):
        init, apply = minimize.fire_descent(law(diameters), shift)
        state, _ = jax.lax.while_loop(
            lambda carry: (size(carry[0]) > FMAX) & (carry[1] < 20_000),
            lambda carry: (apply(carry[0]), carry[1] + 1),
            (init(position), 0),
        )
        return state.position, size(state)

    def differentiate(position):
        n = 2 * number
        hessian = jax.hessian(law(diameters))(position).reshape(n, n)
        mixed = jax.jacfwd(lambda d: jax.grad(law(d))(position))(diameters).reshape(n, 2)
        return -jnp.linalg.pinv(hessian, rtol=1e-10, hermitian=True) @ mixed

    return jax.jit(jax.vmap(descend)), jax.jit(jax.vmap(differentiate))


def by_jax_md(members, chunk):
    number, side = members[0].structure.number, float(members[0].structure.box[0, 0])
    position = np.stack([member.structure.position % side for member in members])
    done = 0
    with jax.numpy_dtype_promotion("standard"):
        descend, differentiate = jax_md_programs(number, side)
        for begin in range(0, len(position), chunk):
            at_rest, force = descend(position[begin : begin + chunk])
            slopes = differentiate(at_rest)
            done += int(np.sum((force <= FMAX) & np.isfinite(slopes).all(axis=(1, 2))))
    return done


def compare(count, number, chunk, repeats):
    members = [disks(number, seed) for seed in range(count)]
    few = members[: max(1, count // 10)]
    runs = {
        "relax_batch": (together, members),
        "relax, sensitivity one by one": (one_by_one, few),
        "vmap over jax-md": (functools.partial(by_jax_md, chunk=chunk), members),
    }
    times, done, counts = {name: [] for name in runs}, {}, {}
    for repeat in range(repeats + 1):
        for name, (run, given) in runs.items():
            if not repeat and run is not together:  # enough to compile everything
                given = given[:chunk]
            counts[name] = counts.get(name, len(given))
            began = time.perf_counter()
            done[name] = run(given), len(given)
            times[name].append((time.perf_counter() - began) / len(given))
    print(f"{count} packings of {number} disks, {repeats} repeats\n")
    print("| method | members a second | relative | done, trusted | first run, s |")
    print("| --- | --- | --- | --- | --- |")
    ours = statistics.median(times["relax_batch"][1:])
    for name in runs:
        each = statistics.median(times[name][1:])
        first = times[name][0] * counts[name]
        good, of = done[name]
        print(f"| {name} | {1 / each:.3g} | {each / ours:.2f} | {good} of {of} | {first:.3g} |",
              flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--number", type=int, default=128)
    parser.add_argument("--chunk", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    header()
    compare(chosen.members, chosen.number, chosen.chunk, chosen.repeats)


if __name__ == "__main__":
    main()
