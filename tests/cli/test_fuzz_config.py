"""Damaged and hostile configuration files: one line and exit code 2, or settings that are valid."""

import math
import os
import random
import time

import click
import pytest

from simsens.cli import exit_codes
from simsens.cli.main import main
from simsens.cli.relax import command
from tests.text_mutants import mutant

GOOD = """\
# a run
potential = "soft-sphere"
fmax = 1e-8
steps = 5000
optimizer = "fire"
fixed = [0, 1, 5]
sensitivity = true
traj-every = 10
max-time = "1h30m"
seed = 7
dtype = "float64"
json = false

[param]
epsilon = 1.0
exponent = 2.5
diameter = { A = 1.0, B = 0.8 }
"""
WORDS = [
    "nan", "inf", "-1", "1e999", "9" * 50, "true", '"', "'", "[", "]", "{", "}", "=", "#", "\n",
    "\t", "\0", "\x1b[2J", "é", '"""', "1979-05-27", "07:32:00", "0x10", "[param]", "[[param]]",
    "param.a.b.c = 1", "fmax = ", "steps = ", ".", ",", "\\u0000", '"\\n"', "-", "_",
]  # fmt: skip


def answer(path):
    """The settings, or the line that says why there are none; nothing else is raised."""
    said = None
    try:
        settings = command.make_context("relax", ["--config", str(path)]).params
    except click.UsageError as error:
        said = error.format_message()
    if said is not None:
        assert said.isprintable(), said
        assert len(said) < 700, said
        return said
    assert settings["fmax"] is None or 0 < settings["fmax"] < math.inf
    assert settings["steps"] >= 0
    assert all(isinstance(name, str) and name.isprintable() for name in settings["param"])
    return settings


def test_a_good_file(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(GOOD)
    settings = answer(path)
    assert settings["fixed"] == [0, 1, 5]
    assert settings["param"]["diameter[B]"] == 0.8
    assert settings["sensitivity"] == "default"


def test_damaged_files(tmp_path):
    chance, refused, path = random.Random(3), 0, tmp_path / "c.toml"
    began = time.perf_counter()
    for _ in range(1000):
        path.write_bytes(mutant(GOOD, WORDS, chance))
        refused += isinstance(answer(path), str)
    assert time.perf_counter() - began < 60
    assert 300 < refused < 950


HOSTILE = {
    "nested lists": "fmax = " + "[" * 100_000,
    "nested tables": "[param]\na = " + "{b = " * 900 + "1" + "}" * 900,
    "nested names": "[param]\n" + ".".join(["a"] * 3000) + " = 1",
    "two levels too many": "[param]\na.b.c = 1",
    "an integer of 5000 digits": "steps = " + "9" * 5000,
    "an integer of 400 digits": "steps = " + "9" * 400,
    "a list of such": "[param]\na = [" + "9" * 400 + "]",
    "a list of lists of such": "[param]\na = [[1, " + "9" * 400 + "]]",
    "a number that is none": "fmax = nan",
    "infinity": "fmax = inf",
    "a date": "fmax = 1979-05-27",
    "a time": "max-time = 07:32:00",
    "a date as a parameter": "[param]\nsigma = 1979-05-27",
    "a list with a table": 'potential = [1, {a = 2}]',
    "a long list": "fmax = [" + "1," * 50_000 + "]",
    "a table": "fmax = {a = 1}",
    "a flag that is a word": 'quiet = "yes"',
    "a long word": 'potential = "' + "v" * 100_000 + '"',
    "a long key": '"' + "k" * 100_000 + '" = 1',
    "a key that a terminal obeys": '"\\u001b[2J" = 1',
    "a word that a terminal obeys": 'potential = "\\u001b[2J"',
    "a line in a word": 'output = "a\\nb.h5md"',
    "nothing in a word": 'output = "a\\u0000.h5md"',
    "a list in a word": "[param]\nx = '[" + "[" * 5000 + "'",
    "parameters that are a list": "[[param]]\na = 1",
    "no text": b"fmax = \xff",
    "another text": "fmax = 1e-6".encode("utf-16"),
    "zeros": bytes(1000),
    "32 MB": b"#" * 2**25,
    "200,000 keys": "\n".join(f"k{k} = 1" for k in range(200_000)),
    "a key twice": "fmax = 1\nfmax = 2",
    "itself": 'config = "c.toml"',
    "no such file": 'structure = "missing.xyz"',
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_files_made_to_do_harm(tmp_path, kind):
    path = tmp_path / "c.toml"
    content = HOSTILE[kind]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    began = time.perf_counter()
    assert isinstance(answer(path), str), kind
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_never_ends_is_not_read(tmp_path, kind):
    path = "/dev/zero"
    if kind == "pipe":
        path = tmp_path / "pipe.toml"
        os.mkfifo(path)
    assert "is no file" in answer(path)


def test_the_exit_code(tmp_path, capsys):
    path = tmp_path / "c.toml"
    path.write_text("fmax = " + "[" * 1000)
    with pytest.raises(SystemExit) as caught:
        main(["relax", "--config", str(path), "--dry-run"])
    assert caught.value.code == exit_codes.BAD_INPUT
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "nested too deeply" in said
