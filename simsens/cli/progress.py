"""Progress on standard error: a live line on a terminal, log lines when asked for elsewhere."""

from __future__ import annotations

import logging
import os
import sys
import time

import click


class Progress:
    """Shows steps, energy, largest force and speed as the relaxation reports them.

    On a terminal one line is rewritten; with ``verbose`` every report leaves a line, and so does
    what the package logs (which solver was chosen, and its predicted cost).
    """

    def __init__(self, quiet: bool, verbose: bool) -> None:
        terminal = sys.stderr.isatty() and not os.environ.get("CI")
        self.live = terminal and not quiet and not verbose
        self.log = verbose
        self._began = self._shown = time.perf_counter()
        self._open = False

    def __call__(self, step: int, energy: float, max_force: float) -> None:
        """Tell where the relaxation stands."""
        now = time.perf_counter()
        speed = step / max(now - self._began, 1e-9)
        line = f"step {step:>7}   energy {energy:.10g}   max force {max_force:.3e}"
        line += f"   {speed:.0f} steps/s"
        if self.log:
            click.echo(line, err=True)
        elif self.live and now - self._shown > 0.1:
            self._shown, self._open = now, True
            click.echo(f"\r\x1b[2K{line}", err=True, nl=False)

    def say(self, text: str) -> None:
        """A passing word on a terminal, such as what one is waiting for."""
        if self.live:
            self._open = True
            click.echo(f"\r\x1b[2K{text}", err=True, nl=False)

    def __enter__(self) -> Progress:
        if self.log:
            _logger.addHandler(_ON_STDERR)
            _logger.setLevel(logging.INFO)
        return self

    def __exit__(self, *unused: object) -> None:
        """Leave the line to what comes after."""
        _logger.removeHandler(_ON_STDERR)
        if self._open:
            click.echo("\r\x1b[2K", err=True, nl=False)
            self._open = False


class _OnStderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        click.echo(record.getMessage(), err=True)


_logger, _ON_STDERR = logging.getLogger("simsens"), _OnStderr()
