"""``simsens report``: everything about a result on one page of HTML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from simsens.cli import options


@click.command("report")
@click.argument("file", type=options.FILE)
@click.option(
    "-o", "--output", metavar="PAGE", callback=options.ending(".html", ".htm"),
    help="The page, an .html file.  [default: FILE.html]",
)  # fmt: skip
@click.option(
    "--modes", type=click.IntRange(1), metavar="N",
    help="Compute the N lowest normal modes, if the file does not hold as many.",
)  # fmt: skip
@click.option("--moduli", is_flag=True, help="Compute the elastic moduli, if it holds none.")
@click.option(
    "--check", is_flag=True, help="Relax again around the minimum, and compare the derivative."
)  # fmt: skip
@click.option(
    "--wrt", metavar="NAME", help="The parameter of --check.  [default: the first]"
)  # fmt: skip
@click.option(
    "--potential", metavar="FILE.py:NAME",
    help="The energy, where it was one of your own and has to be computed again.",
)  # fmt: skip
@options.overwrite
@options.quiet
@options.traceback
def command(file: str, traceback: bool, **settings: Any) -> None:
    """Put a result on one page: verdict, figures, tables, history, provenance.

    \b
    simsens report packing.h5md
    simsens report packing.h5md -o page.html --modes 20 --moduli --check

    The page holds its figures and loads nothing from elsewhere. It shows what the file holds; the
    options compute more.

    Exit codes: 0 written, 1 unexpected, 2 bad input, 130 interrupted: nothing is written.
    """  # noqa: D301
    if settings["wrt"] is not None and not settings["check"]:
        raise click.UsageError("--wrt is the parameter of --check: add it")
    if settings["potential"] is not None and not (
        settings["modes"] or settings["moduli"] or settings["check"]
    ):
        raise click.UsageError("--potential is for --modes, --moduli or --check: add one of them")
    from simsens.cli import session

    session.start_jax("float64", "auto")
    from simsens.cli import reporting

    reporting.report(Path(file), settings)
