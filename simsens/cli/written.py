"""What a command that writes one file says of it, before and after."""

from __future__ import annotations

import os
from pathlib import Path

import click


def check_output(path: Path, overwrite: bool) -> None:
    """Refuse an output that cannot be written, before any work is done.

    Raises:
        OutputExists: the file is there and ``overwrite`` is false.
        UnwritableFile: no such folder.
        ClickException: the folder is not writable.
    """
    from simsens.io import atomic

    atomic.check_output(path, overwrite)
    if not os.access(path.parent, os.W_OK):
        raise click.ClickException(f"{path}: the folder is not writable; choose another")


def tell(path: Path, doubt: str | None, quiet: bool) -> None:
    """Say where the output is and, if its derivatives are not to be trusted, why."""
    if quiet:
        return
    click.echo(f"{'written':<12}{path}", err=True)
    if doubt is not None:
        click.echo(f"simsens: warning: the derivative is not to be trusted: {doubt}", err=True)
