"""What a person at a terminal sees, and what a program in a pipe does."""

import json
import os
import pty
import subprocess
import sys

import pytest

from simsens.cli.main import COMMANDS
from tests.cli.conftest import LENNARD_JONES, started


def seen_on_a_terminal(folder, *arguments):
    """Everything the command writes to a terminal that is its standard error."""
    ours, theirs = pty.openpty()
    process = started(folder, *arguments, stderr=theirs)
    os.close(theirs)
    said = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # Linux' way to say that the other side is closed
            break
        if not piece:
            break
        said += piece
    os.close(ours)
    out, _ = process.communicate(timeout=60)
    return process.returncode, out, said.decode()


def test_a_live_line_on_a_terminal_only(packed, tmp_path):
    code, out, said = seen_on_a_terminal(tmp_path, "relax", "--sensitivity")
    assert code == 0, said
    assert out == ""
    assert "compiling ..." in said
    assert "differentiating ..." in said
    # The live line is gone before the summary comes.
    *_, summary = said.rpartition("\x1b[2K")
    assert summary.splitlines()[0].startswith("structure   packing")
    assert len(summary.splitlines()) == 10
    assert "\x1b" not in packed.err
    assert "compiling" not in packed.err


def test_a_process_of_its_own(pair, tmp_path):
    process = started(tmp_path, "relax", pair, *LENNARD_JONES, "--json", "--dry-run")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    plan = json.loads(out)
    assert (plan["dry_run"], plan["unknowns"], plan["pairs"]) == (True, 6, 1)
    assert plan["files"] == ["made.h5md"]
    assert plan["predicted"]["seconds"] > 0
    assert err.startswith("structure   made.extxyz: 1 A, 1 B, 3-D, free\n")
    assert "\x1b" not in err


def test_an_error_of_a_process_of_its_own(tmp_path):
    process = started(tmp_path, "relax", "missing.extxyz")
    assert process.communicate(timeout=60) == (
        "", "simsens: Invalid value for '[STRUCT]...': File 'missing.extxyz' does not exist."
        " (see simsens relax --help)\n",
    )  # fmt: skip
    assert process.returncode == 2


def test_kept_programs_are_used_again_in_silence(pair, tmp_path):
    # XLA once printed screens about its own cached programs, on processors of some kinds.
    cache = {"JAX_COMPILATION_CACHE_DIR": "", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    given = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-m", "simsens", "relax", str(pair), *LENNARD_JONES]
    # The second time as a program that uses JAX starts it: that has set the level it likes itself.
    for more, level in (([], {}), (["--overwrite"], {"TF_CPP_MIN_LOG_LEVEL": "1"})):
        done = subprocess.run(
            [*command, *more], cwd=tmp_path, env=given | cache | level, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        assert len(done.stderr.splitlines()) <= 10, done.stderr
    (folder,) = (tmp_path / "cache" / "simsens").iterdir()
    assert folder.name.startswith("jax-")
    assert any(folder.iterdir())


def test_the_installed_command_is_the_module(tmp_path):
    installed = os.path.join(os.path.dirname(sys.executable), "simsens")  # noqa: PTH118, PTH120
    if not os.path.exists(installed):  # noqa: PTH110
        pytest.skip("simsens is not installed beside this Python")
    for command in ([installed], [sys.executable, "-m", "simsens"]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("simsens, version ")


def test_alone_it_shows_its_commands(run):
    seen = run()
    assert (seen.code, seen.err) == (0, "")
    lines = [line.split(maxsplit=1) for line in seen.out.splitlines() if line.startswith("  ")]
    assert all([name, text] in lines for name, text in COMMANDS.items())


def test_an_unknown_command(run):
    seen = run("relx")
    assert (seen.code, seen.out) == (2, "")
    known = ", ".join(COMMANDS)
    assert (
        seen.err == f"simsens: unknown command 'relx'; known are {known}; did you mean 'relax'?\n"
    )
