"""Processes that begin the same output at the same moment: ``python rivals.py FOLDER``.

Whoever has the lock records some frames and states, and sees each as everybody does when it is
committed; the others are refused. Prints how many have recorded, what else than a refusal was told,
and what is left in the folder, as JSON.
"""

import json
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from simsens import io
from simsens.io.opened import opened
from simsens.io.result_name import partial
from simsens.particles.potentials import SoftSphere
from simsens.particles.structure import Structure
from simsens.particles.system import System

ROUNDS, RIVALS, FRAMES = 10, 6, 6
START = np.random.default_rng(0).uniform(0, 4, (20, 2))
SYSTEM = System(Structure(START, box=4.0), SoftSphere())


def committed(path):
    try:
        with opened(partial(path)) as root:
            return int(root.attrs["n_committed"])
    except io.UnreadableFile:  # opened just before a commit, of which it became the other copy
        return 0


def rival(path, moment):
    """What went wrong; empty if nothing did, ``None`` if another one was first."""
    time.sleep(max(0.0, moment - time.monotonic()))
    try:
        with io.record(path, SYSTEM, every=1, overwrite=True) as record:
            for step in range(FRAMES):
                record.frame(step, START, 0.0, 1.0)
                record.keep({"steps": np.array(step), "position": START})
                began = time.monotonic()
                while (seen := committed(path)) < step + 1:
                    if time.monotonic() - began > 5:
                        return f"{seen} frames are committed of {step + 1}"
    except io.UnwritableFile as error:
        return None if "by another process" in str(error) else repr(error)
    return ""


def a_round(path):
    """What the rivals say, one after another; each is a copy of this process."""
    children, moment = [], time.monotonic() + 0.05
    for _ in range(RIVALS):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                said = rival(path, moment)
            except BaseException as error:
                said = repr(error)
            os.write(writing, json.dumps(said).encode())
            os._exit(0)
        os.close(writing)
        children.append((child, reading))
    told = []
    for child, reading in children:
        os.waitpid(child, 0)
        told.append(json.loads(os.read(reading, 2**16)))
        os.close(reading)
    return told


def main(folder):
    path = Path(folder) / "run.h5md"
    told = [said for _ in range(ROUNDS) for said in a_round(path)]
    partial(path).unlink()
    left = [p.name for p in Path(folder).iterdir()]
    sys.stdout.write(json.dumps([told.count(""), [said for said in told if said], left]))


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
    main(sys.argv[1])
