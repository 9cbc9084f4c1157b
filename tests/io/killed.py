"""A process whose children record and are killed: ``python killed.py FOLDER KILLS COMPRESSION``.

What they record is made by a formula, so that it is known what every frame must be, and a run of a
hundred steps takes a fifth of a second. Nothing of JAX runs here: a process with threads cannot be
copied. Prints what was found as JSON.
"""

import json
import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from simsens import io
from simsens.io import recording, result_name, runs
from simsens.io.lock import Lock
from simsens.particles.potentials import SoftSphere
from simsens.particles.structure import Structure
from simsens.particles.system import System
from simsens.response.equilibrium import Equilibrium

STEPS, EVERY = 120, 2
START = np.random.default_rng(0).uniform(0, 20, (1500, 2))  # two chunks a frame
SYSTEM = System(Structure(START, ["A", "B"] * 750, box=20.0), SoftSphere({"A": 1.0, "B": 1.4}))


def frame(step):
    return START + 1e-3 * step * np.sin(START[:, ::-1])


def state(step):
    return {"steps": np.array(step), "position": frame(step), "history": np.ones((step + 1, 3))}


def run(path, compression):
    """Record to the end, from where an earlier run was killed; each time the same file."""
    recording.COMMIT_SECONDS, recording.STATE_SECONDS = 0.005, 0.01
    os.fsync = lambda descriptor: None  # a process dies, not the machine; disks may be slow
    before = runs.earlier(path)
    if before is not None and before["status"] == "complete":
        return  # killed before it had got its name, which it has got now
    recorder = io.resume(path, SYSTEM, every=EVERY)
    if recorder is None:
        recorder = io.record(path, SYSTEM, every=EVERY, compression=compression)
    with recorder:
        first = 0 if recorder.state is None else int(recorder.state["steps"]) + 1
        if recorder.state is not None:
            known = state(first - 1)
            assert all(np.array_equal(known[k], recorder.state[k]) for k in known)
        for step in range(first, STEPS):
            time.sleep(0.0005)
            if step % EVERY == 0:
                recorder.frame(step, frame(step), 1.0 / (step + 1), 2.0 / (step + 1))
            if recorder.due():
                recorder.keep(state(step))
        recorder.finish(
            Equilibrium(
                SYSTEM.with_position(frame(STEPS)), 0.0, 1e-11, STEPS, True, "at rest", 1e-10,
                "fire", START, np.zeros((STEPS, 3)),
            )
        )  # fmt: skip


def check(path):
    """How many frames are committed; each must be what the formula says."""
    with io.open(path) as result:
        trajectory = result.trajectory
        steps = trajectory.step
        assert steps.tolist() == [*range(0, 2 * len(steps), 2)][: len(steps)], steps
        for k, step in enumerate(steps):
            assert np.array_equal(trajectory[k], frame(step)), step
        assert np.array_equal(trajectory.energy[:-1], 1.0 / (steps[:-1] + 1))
        result.load()
        return len(steps)


def main(folder, kills, compression):
    chance = random.Random(compression)
    killed = finished = frames = unopened = 0
    path = Path(folder) / "run.h5md"
    run(path, compression)
    whole = path.read_bytes()
    path.unlink()
    while killed < kills:
        child = os.fork()
        if child == 0:
            try:
                run(path, compression)
            except BaseException as error:
                sys.stderr.write(f"{error!r}\n")
                os._exit(1)
            os._exit(0)
        time.sleep(chance.uniform(0.0, 0.2))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            killed += 1
        elif os.WEXITSTATUS(status):
            raise SystemExit("a child failed")
        if path.exists():
            check(path)
            stored, wanted = io.load(path), Path(folder) / "whole.h5md"
            wanted.write_bytes(whole)
            assert np.array_equal(stored.structure.position, io.load(wanted).structure.position)
            assert stored.status == "complete"
            with io.open(path) as one, io.open(wanted) as other:
                assert np.array_equal(one.trajectory[:], other.trajectory[:])
                assert np.array_equal(one.trajectory.energy, other.trajectory.energy)
            finished += 1
            path.unlink()
            with Lock(result_name.partial(path)):  # which may be left, but keeps nobody out
                pass
            left = [p.name for p in Path(folder).iterdir() if p != wanted]
            assert left == [], left
        elif result_name.partial(path).exists():
            frames += check(result_name.partial(path))
        else:
            unopened += 1  # killed before the file had its name
    sys.stdout.write(json.dumps([killed, finished, frames, unopened]))


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
