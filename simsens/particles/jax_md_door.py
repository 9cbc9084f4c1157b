"""The one door to jax-md.

``import jax_md`` runs a package initialiser that loads every submodule (flax, e3nn, ...), computes
at import, starts the XLA backend, and takes 7 to 12 seconds. The parts used here (minimisers) need
0.2 s. The door registers the package without running that initialiser; its submodules load when
they are asked for, by us or by the user's own code.

This acts on the whole process. ``SIMSENS_LAZY_JAX_MD=0`` turns it off, and it stands aside when
jax_md is already imported.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import sys
import warnings
from types import ModuleType


def open_door() -> None:
    """Make ``jax_md`` importable submodule by submodule; does nothing the second time.

    Raises:
        ModuleNotFoundError: jax-md is not installed.
    """
    if "jax_md" in sys.modules or os.environ.get("SIMSENS_LAZY_JAX_MD") == "0":
        return
    spec = importlib.util.find_spec("jax_md")
    if spec is None:
        raise ModuleNotFoundError("jax-md is not installed: pip install jax-md")
    package = importlib.util.module_from_spec(spec)  # created, its initialiser not executed

    def load(name: str) -> ModuleType:
        if name.startswith("_") or importlib.util.find_spec(f"jax_md.{name}") is None:
            raise AttributeError(f"module 'jax_md' has no attribute {name!r}")
        return importlib.import_module(f"jax_md.{name}")

    package.__getattr__ = load  # type: ignore[method-assign]
    sys.modules["jax_md"] = package


def minimize() -> ModuleType:
    """``jax_md.minimize``: FIRE and gradient descent."""
    open_door()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside jax-md's imports are not ours to fix
        return importlib.import_module("jax_md.minimize")
