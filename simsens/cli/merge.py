"""``simsens merge``: many results in one file."""

from __future__ import annotations

import click

from simsens.cli import exit_codes, options


@click.command("merge")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=options.FILE)
@click.option(
    "-o", "--output", metavar="FILE", required=True, callback=options.ending(".h5"),
    help="The merged file, .h5.",
)  # fmt: skip
@click.option(
    "--virtual", is_flag=True,
    help="Show the arrays over particles instead of copying them; the members must stay in place.",
)  # fmt: skip
@options.overwrite
@options.quiet
@options.traceback
def command(
    files: tuple[str, ...], output: str, virtual: bool, overwrite: bool, quiet: bool,
    traceback: bool,
) -> int:  # fmt: skip
    """Put what several results have in common into one file, a row a result.

    Energies, parameters, observables with their derivatives and certificates; positions and
    their derivatives where all have as many particles. Read it with simsens.io.ensemble.load.
    """
    from simsens.io import ensemble

    try:
        ensemble.merge(files, output, virtual=virtual, overwrite=overwrite)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if not quiet:
        click.echo(f"written     {output}, {len(files)} members", err=True)
    return exit_codes.OK
