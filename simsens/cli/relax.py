"""``simsens relax``: a structure in; a minimum, its derivatives and their evidence out."""

from __future__ import annotations

import difflib
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from simsens.cli import options


class _Relax(click.Command):
    """Takes a bare ``--sensitivity``, which must not swallow the word after it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        for word, after in pairwise(args[:end]):
            if word == "--sensitivity" and not after.startswith("-") and not Path(after).exists():
                raise click.UsageError(
                    f"there is no file {after!r}; for a parameter write --sensitivity={after}", ctx
                )
        spelled = [f"{a}=default" if a == "--sensitivity" else a for a in args[:end]]
        return super().parse_args(ctx, spelled + args[end:])


@click.command("relax", cls=_Relax, context_settings={"auto_envvar_prefix": "SIMSENS"})
@options.structure
@options.potential
@options.param
@options.config
@options.fmax
@options.steps
@options.optimizer
@options.fixed
@options.dimension
@options.sensitivity
@options.modes
@options.moduli
@options.solver
@options.output
@options.out_dir
@options.overwrite
@options.resume
@options.traj_every
@options.compression
@options.precision
@options.max_time
@options.plot
@options.units
@options.seed
@options.dtype
@options.device
@options.dry_run
@options.as_json
@options.quiet
@options.verbose
@options.traceback
def command(**settings: Any) -> int:
    """Relax a structure to a minimum of its energy, and differentiate the minimum.

    STRUCT is an extended XYZ file, a result of an earlier run (.h5md), or anything ASE reads (CIF,
    POSCAR, LAMMPS data, ...). Without STRUCT a packing of 128 soft disks is relaxed; several are
    relaxed one by one, each to a file of its own.

    \b
    simsens relax --sensitivity
    simsens relax argon.extxyz --potential lennard-jones --param sigma=3.405 \\
            --param epsilon=0.0104 --param cutoff=8.5 --sensitivity --plot argon.png

    An option can also come from the environment (SIMSENS_FMAX for --fmax) or from --config; flags
    win over the environment, and that over the file.

    Exit codes: 0 converged and certified, 2 bad input, 3 not converged (the state is written,
    no derivative), 5 derivative not trustworthy (written, marked), 6 some of several structures
    failed, 129/130/143 interrupted after saving.
    """  # noqa: D301
    if settings["quiet"] and settings["verbose"]:
        raise click.UsageError("--quiet and --verbose exclude each other")
    _look_at_the_environment()
    from simsens.cli import session  # JAX loads here: only once the words make sense

    session.start_jax(settings["dtype"], settings["device"])
    from simsens.cli import run

    return run.relax(settings)


def _look_at_the_environment() -> None:
    """Tell of a variable that looks like an option and is none: it would be ignored."""
    known = [f"SIMSENS_{option.name}".upper() for option in command.params]
    known.append("SIMSENS_LAZY_JAX_MD")
    for name in sorted(os.environ):
        if name.startswith("SIMSENS_") and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            click.echo(f"simsens: warning: {name} is not an option and is ignored{hint}", err=True)
