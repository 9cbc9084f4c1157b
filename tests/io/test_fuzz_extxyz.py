"""Damaged and hostile extended XYZ: each is refused in one line, or makes a structure."""

import random
import time
import tracemalloc

import numpy as np
import pytest

from simsens import io
from simsens.io import extxyz
from simsens.io.errors import UnreadableFile
from simsens.particles.structure import check
from tests.text_mutants import mutant

GOOD = {
    "plain": "3\nmade by hand\nA 0 0 0\nB 1.5 0 0\nAr 0 -2e-3 1\n",
    "box": '2\nLattice="4 0 0 1 5 0 0 0 6" Properties=species:S:1:pos:R:3:move_mask:L:1 '
    'pbc="T T F" note={a b}\nA 0 0 0 T\nbead1 1 2 3 F\n',
    "plane": "2\nLattice='4 0 1 5' Properties=id:I:1:species:S:1:pos:R:2 dimension=2\n1 A 0 0\n2 B "
    "1 1.25\n",
    "frames": "".join(f"2\nenergy={k}.5 Lattice='9 0 0 0 9 0 0 0 9'\nA {k} 0 0\nB 4 4 4\n"
                      for k in range(4)),
}  # fmt: skip
WORDS = [
    "nan", "inf", "-1", "1e999", "9" * 400, "1_0", "", "\t", "\r", "\n", "\0", "\x1b[2J", "٣", "é",
    "0x10", '"', "'", "{", "}", "=", ":", "Lattice=", "Properties=", "pbc=", "T", "F", "1e308", "0",
    "dimension=", "species:S:1:pos:R:3", "1000000000000", "NaN",
]  # fmt: skip


def answer(path, **options):
    """The structure, or the line that says why there is none."""
    try:
        found = io.read(path, **options)
    except UnreadableFile as error:
        said = str(error)
        assert said.startswith(str(path))
        assert said.isprintable(), said
        assert len(said) < 500
        return said
    check(found)
    assert np.isfinite(found.position).all()
    return found


def test_good_files(tmp_path):
    for name, text in GOOD.items():
        path = tmp_path / f"{name}.extxyz"
        path.write_text(text)
        assert answer(path).number in (2, 3)


def test_damaged_files(tmp_path):
    chance, refused, began = random.Random(7), 0, time.perf_counter()
    for number in range(1000):
        path = tmp_path / "x.extxyz"
        path.write_bytes(mutant(chance.choice([*GOOD.values()]), WORDS, chance))
        for options in ({}, {"index": chance.choice([0, 1, -2])}, {"dimension": 2}):
            refused += isinstance(answer(path, **options), str)
        assert time.perf_counter() - began < 10 + number / 10, number
    assert 500 < refused < 2900


LONG = extxyz.LONGEST_LINE - 100
HOSTILE = {
    "a count": b"1000000000000\n\nA 0 0 0\n",
    "a count that is just possible": b"250000\n\n" + b"x\n" * 500_000,
    "a line of 100 MB": b"1\n" + b"x" * 10**8 + b"\nA 0 0 0\n",
    "a count of 100 MB": b"1" * 10**8,
    "a coordinate of a megabyte": b"1\n\nA " + b"1" * LONG + b" 0 0\n",
    "an exponent of a megabyte": b"1\n\nA 1e" + b"1" * LONG + b" 0 0\n",
    "a million numbers": b'1\nLattice="' + b"1 " * (LONG // 2) + b'"\nA 0 0 0\n',
    "a million flags": b'1\npbc="' + b"T " * (LONG // 2) + b'"\nA 0 0 0\n',
    "many columns": b"1\nProperties=" + b"a:R:1:" * (LONG // 6) + b"\nA 0 0 0\n",
    "wide columns": b"1\nProperties="
    + b":".join(b"c%d:R:999999" % k for k in range(40_000))
    + b":species:S:1:pos:R:3\nA 0 0 0\n",
    "a dimension": b"1\ndimension=" + b"3" * LONG + b"\nA 0 0 0\n",
    "zeros": bytes(10**7),
    "no number": b"1\n\nA nan 0 0\n",
    "no number in the box": b'1\nLattice="nan 0 0 0 1 0 0 0 1"\nA 0 0 0\n',
    "a box beyond all numbers": b'1\nLattice="1e300 0 0 0 1e300 0 0 0 1e300"\nA 0 0 0\n',
    "what a terminal obeys": b"1\nProperties=\x1b[2J:\x1b]0;:1\nA 0 0 0\n",
    "digits of another script": "1\n\nA ١ ٢ ٣\n".encode(),
}
READ = {
    "one word": b"1\n" + b"x" * LONG + b"\nA 0 0 0\n",
    "unclosed braces": b"1\n" + b"a={ " * (LONG // 4) + b"\nA 0 0 0\n",
    "unclosed quotes": b"1\n" + b"a='b " * (LONG // 5) + b"\nA 0 0 0\n",
    "quotes of two kinds": b"1\n" + b"a=\"'b " * (LONG // 6) + b"\nA 0 0 0\n",
    "signs": b"1\n" + b"=" * LONG + b"\nA 0 0 0\n",
    "signs and words": b"1\n" + b"a==" * (LONG // 3) + b"\nA 0 0 0\n",
    "a long name": b"1\n\n" + b"A" * LONG + b" 0 0 0\n",
    "blank lines": b"\n" * 10**6 + b"1\n\nA 0 0 0\n",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_files_made_to_do_harm(tmp_path, kind):
    path = tmp_path / "x.extxyz"
    path.write_bytes(HOSTILE[kind])
    tracemalloc.start()
    began = time.perf_counter()
    assert isinstance(answer(path), str)
    assert time.perf_counter() - began < 10
    assert tracemalloc.get_traced_memory()[1] < 2**28
    tracemalloc.stop()


@pytest.mark.parametrize("kind", READ)
def test_files_that_take_no_longer_than_they_are_long(tmp_path, kind):
    path = tmp_path / "x.extxyz"
    path.write_bytes(READ[kind])
    began = time.perf_counter()
    assert answer(path).number == 1
    assert time.perf_counter() - began < 10
