"""One run's surroundings: JAX set up, signals caught, what happened written down."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

import click

from simsens.cli import exit_codes
from simsens.version import __version__


def start_jax(dtype: str, device: str) -> None:
    """Import JAX with the precision, the device and a persistent cache of compiled programs.

    The cache lies in ``$XDG_CACHE_HOME/simsens`` (``~/.cache/simsens``) unless
    ``JAX_COMPILATION_CACHE_DIR`` names another place; ``JAX_ENABLE_COMPILATION_CACHE=0`` turns it
    off. It saves most of the start-up time from the second run on. Every kind of processor has a
    folder of its own: a home may be shared, and programs of another processor may not run.
    """
    # On some processors XLA calls its own cached programs foreign, at length, at every run. JAX
    # sets 1 where nothing is set, and so for whatever a program that uses it starts.
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") in (None, "1"):
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import jax

    jax.config.update("jax_enable_x64", dtype == "float64")
    if device != "auto":
        jax.config.update("jax_platforms", {"cpu": "cpu", "gpu": "cuda,rocm"}[device])
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        home = os.environ.get("XDG_CACHE_HOME") or _home_cache()
        folder = home and str(Path(home) / "simsens" / f"jax-{jax.__version__}-{_processor()}")
        jax.config.update("jax_compilation_cache_dir", folder)
    # Where nothing can be kept (a home that is full or read-only) one compiles anew.
    warnings.filterwarnings("ignore", ".*persistent compilation cache")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    try:
        jax.devices()
    except RuntimeError as error:
        raise click.UsageError(f"no device of kind {device!r} here: {error}") from error


def _processor() -> str:
    """A short name for what this processor can do."""
    told, known = Path("/proc/cpuinfo"), platform.machine() + platform.processor()
    if told.exists():
        lines = told.read_text(encoding="utf-8", errors="replace").splitlines()
        known += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(known.encode()).hexdigest()[:12]


def _home_cache() -> Path | None:
    try:
        return Path.home() / ".cache"
    except RuntimeError:  # a user without a home, as in containers
        return None


class Signals:
    """Turns the first signal to stop into a request, which is obeyed after saving.

    The second one stops at once. What the caller ignores (``nohup``) stays ignored. A time that is
    up is a signal too; SIGUSR1 saves what there is, and the run goes on.
    """

    CODES: ClassVar = {
        signal.SIGINT: exit_codes.INTERRUPTED,
        signal.SIGTERM: exit_codes.TERMINATED,
        signal.SIGHUP: exit_codes.HUNG_UP,
        signal.SIGALRM: exit_codes.TERMINATED,  # by ``--max-time``
    }

    def __init__(self, deadline: float | None = None) -> None:
        self.exit_code: int | None = None  # what the shell will be told; None before any signal
        self.save: Callable[[], None] = lambda: None  # what SIGUSR1 does
        self._deadline, self._impatient = deadline, False

    def __enter__(self) -> Signals:
        heeded = [s for s in self.CODES if signal.getsignal(s) != signal.SIG_IGN]
        self._before: dict[Any, Any] = {s: signal.signal(s, self._note) for s in heeded}
        self._before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, lambda *_: self.save())
        if self._deadline is not None:  # of ``time.monotonic``
            left = max(self._deadline - time.monotonic(), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, left)
        return self

    def __exit__(self, *unused: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        impatient = self._impatient or self.exit_code is not None
        self.exit_code = self.CODES[signal.Signals(number)]
        if impatient:
            raise KeyboardInterrupt

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Here the first signal stops: there is nothing half done that would be worth saving."""
        self._impatient = True
        try:
            yield
        finally:
            self._impatient = False


def input_facts(path: str | None) -> dict[str, str]:
    """Which file was read; taken before the run, for the file may change meanwhile."""
    if path is None:
        return {}
    content = Path(path).read_bytes()
    return {"input": Path(path).name, "input_sha256": hashlib.sha256(content).hexdigest()}


def provenance(settings: dict[str, Any], started: datetime) -> dict[str, Any]:
    """Where a result comes from: the command, its settings, the versions, the machine."""
    import jax

    facts: dict[str, Any] = {
        "argv": shlex.join(["simsens", *sys.argv[1:]]),
        "config": toml(settings),
        "seed": settings["seed"],
        "simsens": __version__,
        "python": platform.python_version(),
        "backend": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "x64": bool(jax.config.jax_enable_x64),  # type: ignore[attr-defined]
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "started": started.isoformat(timespec="seconds"),
    }
    for package in ("jax", "jaxlib", "jax-md", "numpy", "h5py"):
        facts[package] = version(package)
    return facts


def ending(started: datetime) -> dict[str, Any]:
    """What is known of a run when it has ended."""
    ended = datetime.now(UTC)
    return {
        "ended": ended.isoformat(timespec="seconds"),
        "wall_s": (ended - started).total_seconds(),
    }


def toml(settings: dict[str, Any]) -> str:
    """The settings as a configuration file that repeats the run."""
    unsaid = (
        "config", "structure", "dry_run", "json", "quiet", "verbose", "traceback", "param", "resume"
    )  # fmt: skip
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
    if isinstance(value, Path):
        value = str(value)
    # JSON's numbers, lists and texts are TOML's too.
    return json.dumps(value, ensure_ascii=False)
