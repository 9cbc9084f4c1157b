"""One run's surroundings: JAX set up, signals caught, what happened written down."""

from __future__ import annotations

import hashlib
import os
import platform
import signal
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

import click

from simsens.cli import exit_codes
from simsens.version import __version__


def start_jax(dtype: str, device: str) -> None:
    """Import JAX with the precision, the device and a persistent cache of compiled programs.

    The cache lies in ``$XDG_CACHE_HOME/simsens`` (``~/.cache/simsens``) unless
    ``JAX_COMPILATION_CACHE_DIR`` names another place; ``JAX_ENABLE_COMPILATION_CACHE=0`` turns it
    off. It saves most of the start-up time from the second run on.
    """
    import jax

    jax.config.update("jax_enable_x64", dtype == "float64")
    if device != "auto":
        jax.config.update("jax_platforms", {"cpu": "cpu", "gpu": "cuda,rocm"}[device])
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update(
            "jax_compilation_cache_dir", str(home / "simsens" / f"jax-{jax.__version__}")
        )
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    try:
        jax.devices()
    except RuntimeError as error:
        raise click.UsageError(f"no device of kind {device!r} here: {error}") from error


class Signals:
    """Turns the first SIGINT or SIGTERM into a request to stop; the second one stops at once."""

    def __init__(self) -> None:
        self.received: int | None = None

    def __enter__(self) -> Signals:
        self._before = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *unused: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number

    @property
    def exit_code(self) -> int:
        """What the shell is told."""
        terminated = self.received == signal.SIGTERM
        return exit_codes.TERMINATED if terminated else exit_codes.INTERRUPTED


def provenance(settings: dict[str, Any], started: datetime) -> dict[str, Any]:
    """Where a result comes from: the command, the versions, the input's hash."""
    import jax

    ended = datetime.now(UTC)
    facts: dict[str, Any] = {
        "argv": " ".join(sys.argv),
        "config": toml(settings),
        "seed": settings["seed"],
        "simsens": __version__,
        "python": platform.python_version(),
        "backend": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "x64": bool(jax.config.jax_enable_x64),  # type: ignore[attr-defined]
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "started": started.isoformat(timespec="seconds"),
        "ended": ended.isoformat(timespec="seconds"),
        "wall_s": (ended - started).total_seconds(),
    }
    for package in ("jax", "jaxlib", "jax-md", "numpy", "h5py"):
        facts[package] = version(package)
    if settings["structure"]:
        facts["input"] = Path(settings["structure"]).name
        facts["input_sha256"] = hashlib.sha256(Path(settings["structure"]).read_bytes()).hexdigest()
    return facts


def toml(settings: dict[str, Any]) -> str:
    """The settings as a configuration file that repeats the run."""
    unsaid = ("config", "structure", "dry_run", "as_json", "quiet", "verbose", "traceback", "param")
    lines = [
        f"{name.replace('_', '-')} = {_literal(value)}"
        for name, value in settings.items()
        if name not in unsaid and value is not None
    ]
    if settings["param"]:
        lines.append("[param]")
        lines += [f'"{name}" = {_literal(value)}' for name, value in settings["param"].items()]
    return "\n".join(lines) + "\n"


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_literal(v) for v in value) + "]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
