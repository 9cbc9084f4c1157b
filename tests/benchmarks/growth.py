"""How time and memory grow with the number of particles, and what an adjoint costs.

    OPENBLAS_NUM_THREADS=1 python tests/benchmarks/growth.py [--kinds disks] [--sizes 1000 10000]

Each size in a process of its own, which ends with its peak of memory: the way to 1e-10 from a
random start (disks) or a perturbed lattice (Lennard-Jones atoms), all sensitivities with their
certificate, and the gradient of the pressure in all parameters. The first run, which compiles, is
told apart. The exponents are slopes of the logarithms against that of N, by least squares.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
from relaxation import atoms, disks, header

from simsens import relax, relaxed, sensitivity
from simsens.particles.observables import pressure

START = {"disks": disks, "atoms": atoms}
COLUMNS = ("relaxation", "sensitivities", "adjoint")


def timed(call):
    began = time.perf_counter()
    result = jax.block_until_ready(call())
    return time.perf_counter() - began, result


def once(start):
    """Seconds of the relaxation, of all sensitivities and of the adjoint; what was found."""
    took, rest = timed(lambda: relax(start, fmax=1e-10))
    forward, slopes = timed(lambda: sensitivity(rest))
    values = dict(rest.system.fields)

    def measured(fields):
        return pressure(relaxed(rest.system.replace_parameters(fields)))

    both, _ = timed(lambda: jax.value_and_grad(measured)(values))
    alone, _ = timed(lambda: measured(values))
    return (took, forward, both - alone), rest, slopes.certificate


def measure(kind, number, repeats):
    """Medians of the seconds after the first, the first relaxation's, evidence, gigabytes."""
    start = START[kind](number)
    rows = [once(start) for _ in range(repeats + 1)]
    seconds = np.median([row[0] for row in rows[min(1, repeats) :]], axis=0)
    _, rest, certificate = rows[-1]
    return {
        "number": number, "first": rows[0][0][0], "steps": int(rest.iterations),
        "force": float(rest.max_force), "residual": float(np.max(certificate.linear_residual)),
        "trusted": bool(certificate.trusted), "method": certificate.method,
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        **dict(zip(COLUMNS, map(float, seconds))),
    }  # fmt: skip


def table(kind, rows):
    print(f"\n{kind}\n")
    print("| N | first run, s | relaxation, s | steps | force | sensitivities, s |"
          " trusted, residual | adjoint, s | of the relaxation | peak, GB |")  # fmt: skip
    print("| --- |" + " --- |" * 9)
    for row in rows:
        print(f"| {row['number']} | {row['first']:.3g} | {row['relaxation']:.3g} | {row['steps']} |"
              f" {row['force']:.0e} | {row['sensitivities']:.3g} ({row['method']}) |"
              f" {row['trusted']}, {row['residual']:.0e} | {row['adjoint']:.3g} |"
              f" {row['adjoint'] / row['relaxation']:.0%} | {row['gigabytes']:.2f} |")  # fmt: skip
    if len(rows) > 1:
        size = np.log([row["number"] for row in rows])
        for name in (*COLUMNS, "gigabytes"):
            power = np.polyfit(size, np.log([row[name] for row in rows]), 1)[0]
            print(f"{name} grow as N^{power:.2f}", end="; ")
        print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=list(START), default=list(START))
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 3000, 10_000, 30_000])
    parser.add_argument("--repeats", type=int, default=1, help="0: what compiles is not told apart")
    parser.add_argument("--one", action="store_true", help="one size, as JSON")
    chosen = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    if chosen.one:
        print(json.dumps(measure(chosen.kinds[0], chosen.sizes[0], chosen.repeats)))
        return
    header()
    for kind in chosen.kinds:
        rows = []
        for number in chosen.sizes:
            command = [sys.executable, str(Path(__file__)), "--one", "--kinds", kind]
            command += ["--sizes", str(number), "--repeats", str(chosen.repeats)]
            said = subprocess.run(command, capture_output=True, text=True)
            if said.returncode:
                print(f"{number} {kind} failed: {said.stderr.splitlines()[-1]}")
                continue
            rows.append(json.loads(said.stdout.splitlines()[-1]))
        table(kind, rows)


if __name__ == "__main__":
    main()
