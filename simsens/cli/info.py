"""``simsens info``: what a result file holds."""

from __future__ import annotations

from typing import Any

import click

from simsens.cli import options
from simsens.cli.wording import as_json, assigned, few


@click.command("info")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=options.FILE)
@options.as_json
@click.option("--tree", is_flag=True, help="List every name in the file.")
@click.option("--config", is_flag=True, help="Print the configuration that repeats the run.")
@options.traceback
def command(files: tuple[str, ...], json: bool, tree: bool, config: bool, traceback: bool) -> int:
    """Tell what a result file holds, without reading it whole.

    Works on the file of a run that has not ended (NAME.partial.h5md), too.

    \b
    simsens info packing.h5md
    simsens info packing.h5md --config > again.toml
    """  # noqa: D301
    if json + tree + config > 1:
        raise click.UsageError("--json, --tree and --config exclude each other")
    from simsens import io

    told = []
    for path in files:
        with io.open(path) as result:
            if tree:
                click.echo("\n".join(result.tree()))
            else:
                told.append({"file": str(path), **result.about()})
    if config:
        for each in told:
            click.echo(each.get("provenance", {}).get("config", "").rstrip())
    elif json:
        click.echo(as_json(told if len(told) > 1 else told[0]))
    else:
        for each in told:
            for label, text in lines(each):
                click.echo(f"{label:<12}{text}")
    return 0


def lines(about: dict[str, Any]) -> list[tuple[str, str]]:
    """The facts in ten lines: label and text of each."""
    species = ", ".join(f"{count} {name}" for name, count in about["species"].items())
    open_ends = about["boundary"].count("none")
    space = "periodic" if not open_ends else "free" if open_ends == about["dimension"] else "slab"
    theta = assigned(about["theta"])
    shown = [
        ("file", f"{about['file']}: {about['status']}"),
        ("structure", f"{species}, {about['dimension']}-D, {space}, {about['units']} units"),
        ("potential", f"{about['potential']}, {few(theta, 6)}"),
        ("trajectory", f"{about['frames']} frames, to step {about.get('last_step', 0)}"),
    ]
    if "minimum" in about:
        rest = about["minimum"]
        verdict = "converged" if rest["converged"] else "NOT CONVERGED"
        shown += [
            ("relaxation", f"{verdict}: {rest['criterion']}, {rest['step']} steps of"
             f" {rest['optimizer']}"),
            ("energy", f"{rest['energy']:.12g}"),
            ("max force", f"{rest['max_force']:.3e} (asked for {rest['fmax']:g})"),
        ]  # fmt: skip
    else:
        shown.append(("relaxation", "has not ended: simsens relax ... --resume goes on with it"))
    if "sensitivity" in about:
        slopes, trust = about["sensitivity"], about["certificate"]
        word = "trusted" if trust["trusted"] else "NOT TRUSTED"
        shown.append(("sensitivity", f"by {few(slopes['parameters'], 6)}"))
        shown.append(("certificate", f"{word}: {trust['reason']}"))
        measured = [f"{name} {each['value']:.6g}" for name, each in slopes["observables"].items()]
        shown.append(("observables", few(measured, 6)))
    if "moduli" in about:
        shown.append(
            ("moduli", f"bulk {about['moduli']['bulk']:.6g}, shear {about['moduli']['shear']:.6g}")
        )
    facts = about.get("provenance", {})
    if "started" in facts:
        spent = f", {facts['wall_s']:.1f} s" if "wall_s" in facts else ""
        shown.append(("made", f"{facts['started']}{spent}, simsens {facts.get('simsens', '?')}"))
    if "argv" in facts:
        shown.append(("by", str(facts["argv"])))
    return shown
