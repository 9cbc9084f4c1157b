"""Damaged results, read one after the other: what ``test_fuzz`` runs as a process of its own.

``python fuzzed.py FOLDER FIRST LAST`` reads the mutants FIRST, ..., LAST - 1 of the results in
FOLDER and says on stdout, in lines of JSON, what became of each. The mutant of a number is always
the same. A process that dies has announced which mutant it was about to read.
"""

import json
import random
import resource
import signal
import sys
import time
from dataclasses import fields, is_dataclass
from pathlib import Path

import h5py
import numpy as np

from simsens import io
from simsens.io import checkpoint, guarded
from simsens.io.errors import UnreadableFile
from simsens.io.opened import told

SECONDS = 10  # for one mutant; then SIGALRM ends the process
MEMORY = 2**30  # bytes beyond what the process has when it begins
WORDS = [
    bytes(8),
    b"\xff" * 8,
    b"\xff" * 7 + b"\x7f",
    (2**40).to_bytes(8, "little"),
    b"\1" + bytes(7),
]


def mutant(whole, chunks, number):
    """The bytes of a damaged file, and in words what was done."""
    chance = random.Random(number)
    content = bytearray(whole)
    size = len(content)

    def place():
        # Among the data, or where anything else is said; much of a small file is empty.
        if chance.random() < 0.3:
            first, length = chance.choice(chunks)
            return first + chance.randrange(length)
        while True:
            at = chance.randrange(size)
            if any(whole[max(0, at - 4) : at + 5]):
                return at

    kind = chance.choice(
        ["bit", "bit", "byte", "byte", "few", "run", "word", "word", "cut", "block", "swap", "copy"]
    )
    at, length = place(), chance.choice([1, 2, 4, 8, 16, 64, 512])
    if kind == "bit":
        content[at] ^= 1 << chance.randrange(8)
    elif kind == "byte":
        content[at] = chance.choice([0, 1, 255, 127, 128, chance.randrange(256)])
    elif kind == "few":
        for _ in range(chance.randrange(2, 9)):
            content[place()] ^= chance.randrange(1, 256)
    elif kind == "run":
        content[at : at + length] = chance.randbytes(len(content[at : at + length]))
    elif kind == "word":
        at -= at % chance.choice([1, 2, 4, 8])
        word = chance.choice(WORDS)[: chance.choice([2, 4, 8])]
        content[at : at + len(word)] = word[: size - at]
    elif kind == "cut":
        del content[chance.choice([at, size - 1, size - 8, size // 2]) :]
    elif kind == "block":
        content[at : at + length] = chance.choice([b"\0", b"\xff"]) * len(content[at : at + length])
    else:
        other = place()
        length = min(length, abs(at - other), size - max(at, other))
        here, there = content[at : at + length], content[other : other + length]
        content[at : at + length] = there
        if kind == "swap":
            content[other : other + length] = here
    return bytes(content), f"{kind} at {at}, {length} bytes"


def pieces(path):
    """Where the data of the arrays lie."""
    found = []

    def look(name, thing):
        if not isinstance(thing, h5py.Dataset):
            return
        if thing.chunks:
            infos = [thing.id.get_chunk_info(k) for k in range(thing.id.get_num_chunks())]
            found.extend((info.byte_offset, info.size) for info in infos)
        elif thing.id.get_offset() is not None:
            found.append((thing.id.get_offset(), thing.id.get_storage_size()))

    with h5py.File(path) as file:
        file.visititems(look)
    return sorted({piece for piece in found if piece[1]})


def load(path):
    return plain(io.load(path))


def read(path):
    return plain(io.read(path, index=0))


def frames(path):
    """The trajectory, and the state to go on from."""
    with io.open(path) as result:
        trajectory = result.trajectory
        found = {
            "position": [trajectory[:], trajectory[-1], trajectory.particle(0)],
            "numbers": [trajectory.step, trajectory.energy, trajectory.max_force],
            "said": [result.status, result.units, len(trajectory)],
        }
        with told(path):
            found["state"] = checkpoint.read(guarded.group(result._file, "simsens").file)
        return plain(found)


WAYS = {"load": load, "frames": frames, "read": read}
EVERY = {"load": 1, "frames": 2, "read": 5}  # one mutant in so many is read this way


def plain(value):
    """Something that is equal only if every bit is."""
    if is_dataclass(value):
        return [
            type(value).__name__,
            {f.name: plain(getattr(value, f.name)) for f in fields(value)},
        ]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if hasattr(value, "pairs"):
        return plain(value.pairs)
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        return [array.shape, array.dtype.kind, array.tobytes()]
    return repr(value)


def differences(kept, given, place=""):
    """Where what was read differs from what was written."""
    if kept == given:
        return []
    if isinstance(kept, dict) and isinstance(given, dict):
        names = [*kept, *(set(given) - set(kept))]
        return [d for n in names for d in differences(kept.get(n), given.get(n), f"{place}.{n}")]
    if isinstance(kept, list) and isinstance(given, list) and len(kept) == len(given):
        return [
            d
            for k, (a, b) in enumerate(zip(kept, given))
            for d in differences(a, b, f"{place}.{k}")
        ]
    return [place]


def main(folder, first, last):
    goods = sorted(Path(folder).glob("*.h5md"))
    wholes = [good.read_bytes() for good in goods]
    chunks = [pieces(good) for good in goods]
    kept = [{name: way(good) for name, way in WAYS.items()} for good in goods]
    path = Path(folder) / f"mutant_{first}" / "x.h5md"
    path.parent.mkdir(exist_ok=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))
    for number in range(first, last):
        which = number % len(goods)
        content, done = mutant(wholes[which], chunks[which], number)
        path.write_bytes(content)
        say(number=number, file=goods[which].stem, done=done)
        signal.alarm(SECONDS)
        began = time.perf_counter()
        faults, wrong, refused = [], [], []
        for name, way in WAYS.items():
            if number // len(goods) % EVERY[name]:
                continue
            try:
                found = way(path)
            except UnreadableFile as error:
                refused.append(name)
                message = str(error)
                if "\n" in message or not message.startswith(str(path)) or len(message) > 1000:
                    faults.append(f"{name}: the message {message!r:.300}")
            except Exception as error:
                faults.append(f"{name}: {type(error).__name__} {error!s:.200}")
            else:
                wrong += [f"{name}{d}" for d in differences(kept[which][name], found)]
        signal.alarm(0)
        say(
            number=number, faults=faults, wrong=wrong, refused=refused,
            seconds=time.perf_counter() - began,
            memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before,
        )  # fmt: skip


def say(**facts):
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
