"""``--resume``: go on with an earlier run, if it is the same run."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import click

from simsens import io
from simsens.io import runs
from simsens.io.recording import Recording
from simsens.particles.system import System

# What may be different the second time: where the run ends, and what is done with its result.
FREE = ("steps", "max-time", "output", "out-dir", "overwrite", "plot", "compression", "precision")


def begin(
    output: Path, system: System, settings: dict[str, Any], facts: dict[str, Any]
) -> Recording | None:
    """The file of the run, begun or gone on with; ``None`` where it is complete already.

    Raises:
        UsageError: the earlier run is another one.
    """
    every = settings["traj_every"]
    earlier = runs.earlier(output) if settings["resume"] else None
    if earlier is None:
        return io.record(
            output, system, every=every, units=settings["units"], provenance=facts,
            overwrite=settings["overwrite"], compression=settings["compression"],
            precision=settings["precision"],
        )  # fmt: skip
    _check_same(output, earlier, facts)
    if earlier["status"] == "complete":
        return None
    return io.resume(output, system, every=every)


def _check_same(output: Path, earlier: dict[str, Any], facts: dict[str, Any]) -> None:
    if earlier.get("input_sha256") != facts.get("input_sha256"):
        raise click.UsageError(
            f"{output} was begun with another structure ({earlier.get('input', 'a packing')}):"
            " give the one it was begun with, or begin anew with --overwrite"
        )
    try:
        before = tomllib.loads(str(earlier["config"]))
    except (KeyError, tomllib.TOMLDecodeError) as error:
        raise click.UsageError(
            f"{output} does not say how it was begun: begin anew with --overwrite"
        ) from error
    now = tomllib.loads(facts["config"])
    for name in sorted((before.keys() | now.keys()) - set(FREE)):
        if before.get(name) != now.get(name):
            raise click.UsageError(
                f"{output} was begun with {name} = {before.get(name)!r}, now it is"
                f" {now.get(name)!r}: use the options it was begun with, or begin anew with"
                " --overwrite"
            )
