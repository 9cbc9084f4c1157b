"""``simsens plot``: one figure of a result, or of the members of a study."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from simsens.cli import options


@dataclass(frozen=True)
class Kind:
    """A figure in words, and the options that it takes."""

    words: str
    takes: tuple[str, ...] = ()


#: As ``plots.FIGURES``, which is too heavy to load for a word of help.
KINDS = {
    "summary": Kind("quiver, convergence and certificate at one glance"),
    "convergence": Kind("how the largest force fell"),
    "quiver": Kind("the particles, and where each goes when a parameter grows", ("wrt",)),
    "spectrum": Kind("density of frequencies, participation", ("modes", "potential")),
    "modes": Kind("the softest motions", ("modes", "potential")),
    "matrix": Kind("which parameters move the structure most, and which alike"),
    "check": Kind("the derivative against structures relaxed again", ("wrt", "potential")),
    "prediction": Kind("how far first order holds; relaxes again, too", ("wrt", "potential")),
    "sweep": Kind("an observable of several FILES over a parameter", ("wrt", "observable")),
}


class _Plot(click.Command):
    """Tells the kinds beneath its options."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Kinds"):
            formatter.write_dl([(name, kind.words) for name, kind in KINDS.items()])


def _files_and_kind(
    ctx: click.Context, argument: click.Parameter, words: tuple[str, ...]
) -> tuple[tuple[str, ...], str]:
    """The last word is the kind; all others are files."""
    *files, kind = words
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        if Path(kind).exists() or Path(kind).suffix:
            hint = "; say it last, as in simsens plot packing.h5md quiver"
        raise click.BadParameter(
            f"the last word must be a kind of figure; got {kind!r}; known are"
            f" {', '.join(KINDS)}{hint}"
        )
    if not files:
        raise click.BadParameter(f"needed a file, as in simsens plot packing.h5md {kind}")
    for file in files:
        options.FILE.convert(file, argument, ctx)
    if len(files) > 1 and kind != "sweep":
        raise click.BadParameter(f"{kind} shows one file, and there are {len(files)}")
    return tuple(files), kind


@click.command("plot", cls=_Plot)
@click.argument("words", metavar="FILE... KIND", nargs=-1, required=True, callback=_files_and_kind)
@click.option(
    "-o", "--output", metavar="FIG", callback=options.ending(".png", ".svg", ".pdf"),
    help="The figure: .png, .svg or .pdf.  [default: FILE_KIND.png, sweep.png]",
)  # fmt: skip
@click.option(
    "--wrt", metavar="NAME",
    help="The parameter (quiver, check, prediction, sweep).  [default: the first; of a sweep the"
    " one that differs]",
)  # fmt: skip
@click.option(
    "--observable", metavar="NAME", help="What a sweep shows.  [default: energy]"
)  # fmt: skip
@click.option(
    "--modes", type=click.IntRange(1), metavar="N",
    help="How many modes: computed for a spectrum (all by default), shown by modes (6).",
)  # fmt: skip
@click.option(
    "--potential", metavar="FILE.py:NAME",
    help="The energy, where it was one of your own and has to be computed again (spectrum, modes,"
    " check, prediction).",
)  # fmt: skip
@options.overwrite
@options.quiet
@options.traceback
def command(words: tuple[tuple[str, ...], str], traceback: bool, **settings: Any) -> None:
    """Draw a result of simsens relax; KIND says what is shown.

    \b
    simsens plot packing.h5md quiver --wrt "diameter[B]"
    simsens plot packing.h5md check -o check.svg
    simsens plot study/*.h5md sweep --observable pressure

    What the file does not hold and the figure needs is computed: modes, structures relaxed again.

    Exit codes: 0 drawn, 1 unexpected, 2 bad input, 130 interrupted: nothing is written.
    """  # noqa: D301
    files, kind = words
    for name in ("wrt", "observable", "modes", "potential"):
        if settings[name] is not None and name not in KINDS[kind].takes:
            takers = ", ".join(other for other, k in KINDS.items() if name in k.takes)
            raise click.UsageError(f"--{name} is not for {kind}, but for {takers}")
    from simsens.cli import session

    session.start_jax("float64", "auto")
    from simsens.cli import drawing

    drawing.draw(files, kind, settings)
