import os
import subprocess
import sys
import types

import pytest

from simsens.particles import jax_md_door


def python(code, **environment):
    """Run in a fresh interpreter; back comes its output."""
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


SUBMODULES = (
    "from simsens.particles.jax_md_door import open_door, minimize\n"
    "import sys\n"
    "open_door(); open_door()\n"
    "assert callable(minimize().fire_descent)\n"
    "import jax_md.space\n"
    "assert callable(jax_md.space.free)\n"
    "print(*[name for name in ('flax', 'e3nn', 'haiku') if name in sys.modules])\n"
)


def test_submodules_load_without_the_package_initialiser():
    # jax-md's own initialiser imports flax; the door's first purpose is that it does not run.
    assert python(SUBMODULES) == ""


def test_the_environment_turns_the_door_off():
    code = (
        "from simsens.particles.jax_md_door import open_door\n"
        "import sys\n"
        "open_door()\n"
        "print('jax_md' in sys.modules)\n"
    )
    assert python(code, SIMSENS_LAZY_JAX_MD="0") == "False"
    assert python(code, SIMSENS_LAZY_JAX_MD="1") == "True"


def test_it_stands_aside_when_jax_md_is_already_there(monkeypatch):
    mine = types.ModuleType("jax_md")
    monkeypatch.setitem(sys.modules, "jax_md", mine)
    jax_md_door.open_door()
    assert sys.modules["jax_md"] is mine


def test_a_submodule_that_is_not_there_is_an_attribute_error():
    jax_md_door.open_door()
    import jax_md

    with pytest.raises(AttributeError, match="nonsense"):
        _ = jax_md.nonsense


def test_missing_jax_md_is_told(monkeypatch):
    monkeypatch.delitem(sys.modules, "jax_md", raising=False)
    monkeypatch.setattr(jax_md_door.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install jax-md"):
        jax_md_door.open_door()
