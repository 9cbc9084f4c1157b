"""``simsens export``: a result for OVITO, ASE, ParaView, spreadsheets, NumPy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from simsens.cli import options


def _frames(ctx: click.Context, option: click.Parameter, text: str | None) -> slice | None:
    """``"10"``, ``"::5"`` or ``"-3:"`` as a slice."""
    if text is None:
        return None
    if not re.fullmatch(r"-?\d{1,18}|(-?\d{1,18})?(:(-?\d{1,18})?){1,2}", text):
        raise click.BadParameter(f"needed frames as 0, -1, 10:20 or ::5; got {text!r}")
    parts = [int(part) if part else None for part in text.split(":")]
    if len(parts) == 1:
        first = int(text)
        return slice(first, first + 1 or None)
    if len(parts) == 3 and parts[2] == 0:
        raise click.BadParameter(f"the step from frame to frame cannot be 0; got {text!r}")
    return slice(*parts)


@click.command("export")
@click.argument("file", type=options.FILE)
@click.option(
    "-o", "--output", metavar="OUT", required=True, type=Path,
    help="What is written: .extxyz or .xyz (OVITO, ASE), .vtp (ParaView), .csv, .npz (NumPy).",
)  # fmt: skip
@click.option(
    "--what", type=click.Choice(["minimum", "trajectory"]), default="minimum", show_default=True,
    help="The minimum with its derivatives, or the frames on the way to it (.extxyz, .npz).",
)  # fmt: skip
@click.option(
    "--wrt", metavar="NAME",
    help="The parameter whose derivative is shown as arrows (.extxyz, .vtp).  [default: the first]",
)  # fmt: skip
@click.option(
    "--scale", type=float, metavar="S", callback=options.finite,
    help="By which these arrows are multiplied (.extxyz).  [default: 1]",
)  # fmt: skip
@click.option(
    "--frames", metavar="A:B:C", callback=_frames,
    help="Of the trajectory, as Python slices: 0, -1, 10:20, ::5.  [default: all]",
)  # fmt: skip
@click.option(
    "--table", metavar="NAME",
    help="particles, observables, parameters or history (.csv).  [default: particles]",
)  # fmt: skip
@options.overwrite
@options.quiet
@options.traceback
def command(file: str, output: Path, quiet: bool, traceback: bool, **settings: Any) -> None:
    """Write a result for another program; the end of OUT says how.

    \b
    simsens export packing.h5md -o packing.extxyz --wrt "diameter[B]" --scale 0.05
    simsens export packing.h5md -o way.extxyz --what trajectory --frames ::10
    simsens export packing.h5md -o parameters.csv --table parameters

    Every number is written such that it is read back exactly.

    Exit codes: 0 written, 1 unexpected, 2 bad input, 130 interrupted: nothing is written.
    """  # noqa: D301
    from simsens import io
    from simsens.cli import written
    from simsens.io.exports import Choices, export

    written.check_output(output, settings["overwrite"])
    with io.open(file) as result:
        trust = export(result, output, Choices(**settings)).certificate
    doubt = None
    if settings["what"] == "minimum" and trust is not None and not trust.trusted:
        doubt = trust.reason
    written.tell(output, doubt, quiet)
