"""README, docs and docstrings run as they are printed."""

import doctest
import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import simsens

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MODULES = sorted(m.name for m in pkgutil.walk_packages(simsens.__path__, "simsens."))
SHELL = [
    (page, number)
    for page in PAGES
    if page.name != "command-line.md"  # its examples need files; cli/test_manual.py makes them
    for number, _ in enumerate(re.findall(r"^```bash\n", page.read_text(), re.M))
]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.S | re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_of_a_page_runs_in_one_go(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for code in blocks(page, "python"):
        exec(compile(code, str(page), "exec"), names)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings(name):
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


@pytest.mark.parametrize(("page", "number"), SHELL, ids=lambda value: getattr(value, "name", value))
def test_commands_of_a_page_run(page, number, tmp_path):
    """The `simsens` and `python` lines; what installs is run by .ci/run as it stands."""
    parts = re.split(r" && |\n(?! )", blocks(page, "bash")[number])
    code = "\n".join(p for p in parts if not p.startswith(("pip install", "pytest")))
    if not code.strip():
        assert page.name == "README.md"
        return
    shutil.copytree(ROOT / "data", tmp_path / "data")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))}
    done = subprocess.run(
        ["bash", "-ec", code],
        cwd=tmp_path,
        env={**environment, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
