"""``simsens validate``: whether a result file is what it should be."""

from __future__ import annotations

import click

from simsens.cli import exit_codes, options


@click.command("validate")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=options.FILE)
@options.quiet
@options.traceback
def command(files: tuple[str, ...], quiet: bool, traceback: bool) -> int:
    """Read result files whole and compare them with the schema of their version.

    Every fault is a line on standard output. Exit codes: 0 all files are right, 4 one is not.
    """
    from simsens.io import validation

    code = exit_codes.OK
    for path in files:
        found = list(dict.fromkeys(validation.faults(path)))
        for fault in found:
            click.echo(f"{path}: {fault}")
        if found:
            code = exit_codes.CHECK_FAILED
        elif not quiet:
            click.echo(f"{path}: right")
    return code
