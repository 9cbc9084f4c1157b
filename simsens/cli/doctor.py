"""``simsens doctor``: what this machine is, and whether it computes and stores rightly."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

from simsens.cli import exit_codes, options
from simsens.version import __version__

PACKAGES = ("jax", "jaxlib", "jax-md", "numpy", "scipy", "h5py", "click", "ase", "matplotlib")
FURTHER = ("cvxopt", "hdf5plugin", "xarray", "pandas")  # used where they are installed
ROWS = 20_000  # beyond 16384 jax 0.10.2 computes wrong numbers


@click.command("doctor")
@options.dtype
@options.device
@options.as_json
@options.traceback
def command(dtype: str, device: str, json: bool, traceback: bool) -> int:
    """Tell versions and devices, and test that numbers and files come out right here.

    Exit codes: 0 all is well, 4 something is not; a line then says what to do.
    """
    from simsens.cli import session
    from simsens.cli.wording import as_json

    session.start_jax(dtype, device)
    facts = {**_versions(), **_jax()}
    checks = {
        "numbers": _numbers(),
        "jax": _excluded(),
        "cache of programs": _cache(),
        **_files(Path()),
    }
    failed = [name for name, fault in checks.items() if fault]
    if json:
        click.echo(as_json({**facts, "checks": {k: v or "well" for k, v in checks.items()}}))
    else:
        for name, fact in facts.items():
            click.echo(f"{name:<20}{fact}")
        for name, fault in checks.items():
            click.echo(f"{name:<20}{fault or 'well'}")
    return exit_codes.CHECK_FAILED if failed else exit_codes.OK


def _versions() -> dict[str, Any]:
    found: dict[str, Any] = {"simsens": __version__, "python": sys.version.split()[0]}
    for package in (*PACKAGES, *FURTHER):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    found["system"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    return found


def _jax() -> dict[str, Any]:
    import jax

    from simsens.io import opened

    config: Any = jax.config
    return {
        "devices": ", ".join(f"{d.platform} {d.device_kind}" for d in jax.devices()),
        "float64": bool(config.jax_enable_x64),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        "HDF5": opened.LIBRARY,
        "programs kept in": config.jax_compilation_cache_dir or "nowhere",
    }


def _numbers() -> str:
    """Compare a product and a sum over many rows, compiled, with NumPy's."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    chance = np.random.default_rng(0)
    matrix, rows = chance.normal(size=(3, 3)), chance.normal(size=(ROWS, 3))
    program = jax.jit(jax.vmap(lambda row: jnp.sum(jnp.dot(matrix.astype(row.dtype), row) ** 2)))
    found = np.asarray(program(jnp.asarray(rows)))
    expected = ((rows @ matrix.T) ** 2).sum(axis=1)
    error = float(np.abs(found - expected).max() / expected.max())
    most = 1e-3 if found.dtype == np.float32 else 1e-12  # GPUs multiply float32 in 19 bits
    if error < most:
        return ""
    return (
        f"WRONG: a compiled sum is off by {error:.1e}: results cannot be trusted; install another"
        " version of jax (pip install 'jax!=0.10.2,!=0.11.1')"
    )


def _excluded() -> str:
    found = version("jax")
    if found not in ("0.10.2", "0.11.1"):
        return ""
    return f"jax {found} computes wrong numbers or breaks others: install another version"


def _cache() -> str:
    import jax

    folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if not folder:
        return "programs are compiled anew at every run: set JAX_COMPILATION_CACHE_DIR"
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"{folder} cannot be written ({error.strerror}): set JAX_COMPILATION_CACHE_DIR"


def _files(folder: Path) -> dict[str, str]:
    """Whether files can be written here, and if so how."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return {"locks here": _locks(folder), "links here": _links(folder)}
    except OSError as error:
        fault = f"cannot be written ({error.strerror}): run elsewhere, or name another: --out-dir"
        return {"this folder": fault}


def _locks(folder: Path) -> str:
    """Whether two processes are kept from writing one file, and HDF5 opens files at all."""
    import fcntl

    try:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return ""
    except OSError as error:
        return (
            f"files cannot be locked ({error.strerror}): HDF5_USE_FILE_LOCKING=FALSE opens them;"
            " never let two runs write one file"
        )


def _links(folder: Path) -> str:
    """Whether a file may have two names: then a commit is quick."""
    try:
        with tempfile.TemporaryDirectory(dir=folder) as inside:
            one = Path(inside) / "one"
            one.touch()
            os.link(one, Path(inside) / "two")
            return ""
    except OSError as error:
        return f"no hard links ({error.strerror}): every commit of a run copies its file"
