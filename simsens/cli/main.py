"""The group of commands, loaded one by one, and the one place where errors become exit codes."""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import sys
import warnings
from typing import Any

import click

from simsens.cli import exit_codes
from simsens.version import __version__

COMMANDS = {
    "relax": "Relax a structure and differentiate its minimum.",
    "plot": "Draw one figure of a result, or of the members of a study.",
    "report": "Put a result on one page of HTML.",
    "export": "Write a result for OVITO, ASE, ParaView, spreadsheets or NumPy.",
    "info": "Tell what a result file holds.",
    "merge": "Put what several results have in common into one file.",
    "validate": "Compare a result file with its schema, to the last number.",
    "doctor": "Test that numbers and files come out right on this machine.",
    "completion": "Print what a shell needs to complete commands.",
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return importlib.import_module(f"simsens.cli.{name}").command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            known = ", ".join(COMMANDS)
            raise click.UsageError(f"unknown command {args[0]!r}; known are {known}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    epilog="Try it: simsens relax --sensitivity   (a packing of 128 disks; no file needed)",
)
@click.version_option(__version__, prog_name="simsens")
@click.pass_context
def group(ctx: click.Context) -> None:
    """Relax a simulated structure, and get the derivative of everything measured on it.

    Every equilibrium comes with its derivatives, and every derivative with its evidence.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(args: list[str] | None = None) -> None:
    """Run a command; every error is one line and an exit code, never a traceback unasked."""
    arguments = sys.argv[1:] if args is None else args
    warnings.showwarning = _warn
    try:
        code = group.main(args=arguments, prog_name="simsens", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):  # click makes the one of the other
        _say("interrupted, nothing was saved")
        code = exit_codes.INTERRUPTED
    except Exception as error:
        if "--traceback" in arguments or os.environ.get("SIMSENS_TRACEBACK"):
            raise
        code = told(error)
    sys.exit(code if isinstance(code, int) else exit_codes.OK)


def told(error: Exception, about: str = "") -> int:
    """Print the error as one line; say which exit code it is."""
    if isinstance(error, click.ClickException):
        line, code = error.format_message(), exit_codes.BAD_INPUT
        if isinstance(error, click.UsageError) and error.ctx is not None:
            line += f" (see {error.ctx.command_path} --help)"
    elif type(error).__module__.startswith("simsens."):
        # A path that cannot be written is the user's to change; what a disk does is not.
        disk = getattr(error.__cause__, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
        line, code = str(error), exit_codes.UNEXPECTED if disk else exit_codes.BAD_INPUT
    elif isinstance(error, MemoryError):
        line, code = "out of memory: use fewer particles or a shorter cutoff", exit_codes.UNEXPECTED
    elif isinstance(error, OSError):
        line, code = str(error), exit_codes.UNEXPECTED
    else:
        line = f"unexpected {type(error).__name__}: {error}; --traceback shows where"
        code = exit_codes.UNEXPECTED
    _say(f"{about}: {line}" if about else line)
    return code


def _warn(message: Warning | str, *unused: Any, **unused_too: Any) -> None:
    """A library's warning as one line, without the place in its source."""
    _say(f"warning: {message}")


def _say(text: str) -> None:
    click.echo("simsens: " + " ".join(text.split()), err=True)


if __name__ == "__main__":
    main()
