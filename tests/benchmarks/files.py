"""Files: what a trajectory costs the run that writes it, a frame beside raw h5py, and reading.

    OPENBLAS_NUM_THREADS=1 python tests/benchmarks/files.py [--number 10000] [--frames 10000]

(a) A relaxation of soft disks with a frame every 100 steps beside one without, interleaved; the
    ratio of medians. (b) Appending frames through ``io.record`` beside raw h5py that writes a frame
    at a time through the same filter: all that a frame holds, and its positions alone. (c) A file
    of ``--frames`` frames is asked for its summary, one frame, and the way of one particle, beside
    raw h5py on the same file; bytes that were read from the file are counted by the kernel.

Everything is written to a folder of its own below ``--folder`` (the system's for temporary files),
which needs twice the size of the file of (c) while it is made.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import h5py
import jax
import numpy as np
from relaxation import disks, header

from simsens import io, relax
from simsens.io import elements, planar, quiet_file, result_name, trajectory_group


def clock(call):
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


def read_bytes():
    """What this process has had read from files, cached or not."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("rchar")).split()[1])


def beside(folder, number, repeats, compression):
    """(a) Seconds of runs without and with a trajectory, and how many frames it has."""
    system, times = disks(number), {"without": [], "with": []}

    def without():
        return relax(system, fmax=1e-10)

    def recorded():
        path = folder / "run.h5md"
        with io.record(path, system, every=100, overwrite=True, compression=compression) as record:
            found = relax(system, fmax=1e-10, record=record)
            record.finish(found)
        with io.open(path) as result:
            return found, len(result.trajectory)

    without(), recorded()
    for _ in range(repeats):
        times["without"].append(clock(without)[0])
        seconds, (_, frames) = clock(recorded)
        times["with"].append(seconds)
    plain, kept = (statistics.median(times[name]) for name in ("without", "with"))
    ratios = [b / a for a, b in zip(times["without"], times["with"])]
    print(
        f"(a) {number} disks, {compression}: {plain:.2f} s without, {kept:.2f} s with {frames}"
        f" frames: {kept / plain:.3f} times (pairs {min(ratios):.3f} .. {max(ratios):.3f})"
    )


def appended(folder, number, repeats, compression, count=2000):
    """(b) Milliseconds a frame: ours until all is committed, and raw h5py until it is closed.

    Raw h5py writes the same bytes into the same data sets; and once more the positions alone.
    """
    system = disks(number)
    frames = np.random.default_rng(0).uniform(0, 100, (count, number, 2))
    lifted = np.concatenate([frames, np.zeros((count, number, 1))], axis=2)
    times = {"simsens": [], "the same": [], "positions": []}
    number_of = np.array(elements.numbers(system.structure.species_names))
    numbers = number_of[np.asarray(system.structure.species)]
    edges = planar.lift_box(system.structure.box)

    def by_simsens():
        with io.record(
            folder / "ours.h5md", system, every=1, overwrite=True, compression=compression
        ) as record:
            for k in range(count):
                record.frame(k, frames[k], 0.0, 1.0)

    def by_h5py(names):
        with h5py.File(folder / "raw.h5", "w", libver=quiet_file.LIBRARY) as file:
            trajectory_group.create(file, system.structure, {}, compression)  # before any frame
            sets = [file[name] for name in names]
            for k in range(count):
                row = dict(
                    zip(trajectory_group.GROWING, (k, k, lifted[k], edges, numbers, 0.0, 1.0))
                )
                for name, values in zip(names, sets):
                    values.resize(k + 1, axis=0)
                    values[k] = row[name]

    for _ in range(repeats + 1):
        times["simsens"].append(clock(by_simsens)[0])
        result_name.partial(folder / "ours.h5md").unlink()
        times["the same"].append(clock(lambda: by_h5py(trajectory_group.GROWING))[0])
        times["positions"].append(clock(lambda: by_h5py([trajectory_group.POSITION]))[0])
    mine, same, less = (1e3 * statistics.median(t[1:]) / count for t in times.values())
    print(
        f"(b) {number} particles, {compression}: {mine:.2f} ms a frame; raw h5py {same:.2f}, ratio"
        f" {mine / same:.2f}; its positions alone {less:.2f}, ratio {mine / less:.2f}"
    )


def inspected(folder, number, count):
    """(c) A long trajectory, read in part."""
    path, system = folder / "long.h5md", disks(number)
    start = np.asarray(system.structure.position)
    drift = np.random.default_rng(1).normal(size=start.shape)
    with io.record(path, system, every=1) as record:
        for k in range(count):
            record.frame(k, start + 1e-4 * k * drift, 0.0, 1.0)
    path = result_name.partial(path)
    size = path.stat().st_size
    print(f"(c) {count} frames of {number} particles: {size / 1e9:.2f} GB")

    def by_h5py(ask):
        with h5py.File(path) as file:
            return ask(file["particles/trajectory/position/value"])

    def by_simsens(ask):
        with io.open(path) as result:
            return ask(result)

    rows = {
        "summary": (lambda r: r.about(), lambda v: v.shape),
        "one frame": (lambda r: r.trajectory[count // 2], lambda v: v[count // 2]),
        "one particle": (lambda r: r.trajectory.particle(7), lambda v: v[:, 7]),
    }
    for name, (mine, theirs) in rows.items():
        before = read_bytes()
        ours, _ = clock(lambda mine=mine: by_simsens(mine))
        moved = read_bytes() - before
        ours = min(ours, clock(lambda mine=mine: by_simsens(mine))[0])
        raw = min(clock(lambda theirs=theirs: by_h5py(theirs))[0] for _ in range(2))
        print(
            f"    {name:<14}{1e3 * ours:9.1f} ms, raw h5py {1e3 * raw:9.1f} ms,"
            f" {moved / 1e6:9.2f} MB read ({100 * moved / size:.2f} %)"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=10_000)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--compressions", nargs="+", default=["gzip", "none"])
    parser.add_argument("--only", choices=["a", "b", "c"])
    parser.add_argument("--folder", default=None)
    args = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    header()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        for compression in args.compressions:
            if args.only in (None, "a"):
                beside(folder, args.number, args.repeats, compression)
            if args.only in (None, "b"):
                appended(folder, args.number, args.repeats, compression)
        if args.only in (None, "c"):
            inspected(folder, args.number, args.frames)


if __name__ == "__main__":
    main()
