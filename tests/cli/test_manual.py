"""The manual says what the program does."""

import importlib
import re
from pathlib import Path

import click
import pytest

from simsens.cli import exit_codes
from simsens.cli.main import COMMANDS
from simsens.cli.relax import command
from tests.cli.conftest import simsens

MANUAL = (Path(__file__).resolve().parents[2] / "docs" / "command-line.md").read_text("utf-8")


def section(title):
    return MANUAL.split(f"## {title}\n")[1].split("\n## ")[0]


def block(language, after):
    """The first block of code of a language after some words."""
    return re.search(rf"```{language}\n(.*?)```", MANUAL.split(after)[1], re.DOTALL)[1]


def first_cells(title):
    rows = [line for line in section(title).splitlines() if line.startswith("| ")]
    return [row.replace("\\|", "/").split(" | ")[0].strip("| ") for row in rows[1:]]


def test_every_option_is_told():
    options = {o for p in command.params if isinstance(p, click.Option) for o in p.opts}
    told = {o for cell in first_cells("Options") for o in re.findall(r"(?<!\w)--?[a-z-]+", cell)}
    assert told == options | {"--help", "-h"}


def test_the_choices_of_every_option_are_told():
    cells = {cell.split()[0].strip("`,"): cell for cell in first_cells("Options")}
    for option in command.params:
        if isinstance(option.type, click.Choice):
            assert "/".join(option.type.choices) in cells[option.opts[0]]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "relax"])
def test_every_command_is_told_with_its_options(name):
    told = section(f"simsens {name}")
    command = importlib.import_module(f"simsens.cli.{name}").command
    options = {o for p in command.params if isinstance(p, click.Option) for o in p.opts}
    assert "\\b" not in command.help  # the mark of lines that are kept, not its spelling
    rows = re.findall(r"^\| (`-.*?) \| ", told.replace("\\|", "/"), re.MULTILINE)
    assert {o for row in rows for o in re.findall(r"(?<!\w)--?[a-z-]+", row)} == options
    for option in command.params:
        if isinstance(option, click.Option) and isinstance(option.type, click.Choice):
            assert option.name == "table" or "/".join(option.type.choices) in " ".join(rows)


def test_every_exit_code_is_told():
    codes = [value for name, value in vars(exit_codes).items() if name.isupper()]
    assert [int(cell) for cell in first_cells("Exit codes")] == sorted(codes)


def test_the_help_tells_the_codes_of_relax(run):
    told = run("relax", "--help").out
    text = told.split("Exit codes:")[1].split("\n\n")[0]
    unused = (exit_codes.UNEXPECTED, exit_codes.CHECK_FAILED)
    codes = {value for name, value in vars(exit_codes).items() if name.isupper()}
    assert {int(code) for code in re.findall(r"\d+", text)} == codes - set(unused)


def test_the_variables_told_are_read():
    source = Path(exit_codes.__file__).parents[1]
    text = "".join(path.read_text("utf-8") for path in source.rglob("*.py"))
    for cell in first_cells("Environment")[1:]:
        assert cell.strip("`") in text


def test_the_examples_pass_a_rehearsal(pair, tmp_path):
    (tmp_path / "argon.toml").write_text(block("toml", "The same from a file"))
    (tmp_path / "my.py").write_text(block("python", "A potential of your own"))
    pair.rename(tmp_path / "pair.extxyz")
    data = Path(__file__).resolve().parents[2] / "data"
    (tmp_path / "data").symlink_to(data)
    commands = [c.replace("\\\n", "") for c in re.findall(r"```bash\n(.*?)```", MANUAL, re.DOTALL)]
    lines = [line for block in commands for line in block.splitlines()]
    lines = [line for line in lines if line.startswith("simsens relax")]
    assert len(lines) == 8
    for line in lines:
        program, *arguments = line.split(" | ")[0].split()
        assert program == "simsens"
        seen = simsens(tmp_path, *arguments, "--dry-run")
        assert seen.code == 0, (line, seen.err)
