"""The work of ``simsens relax``, from the settings to the files."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from simsens import io
from simsens.cli import exit_codes, session, summary
from simsens.cli.progress import Progress
from simsens.implicit.linear_solve import DENSE_LIMIT
from simsens.io import atomic
from simsens.particles import parameters
from simsens.particles import system as systems
from simsens.particles.packing import packing
from simsens.particles.potentials.build import build
from simsens.particles.structure import check
from simsens.particles.system import System
from simsens.response.equilibrium import NotConverged
from simsens.response.relaxation import relax as relax_system
from simsens.response.sensitivity import Sensitivity, sensitivity


def relax(settings: dict[str, Any], output: Path) -> int:
    """Run the command; returns its exit code."""
    began, started = time.perf_counter(), datetime.now(UTC)
    atomic.check_output(output, settings["overwrite"])
    system, origin = _system(settings)
    wrt = _names(settings, system)
    fmax = settings["fmax"] or (1e-10 if wrt and settings["dtype"] == "float64" else 1e-6)
    if settings["dry_run"]:
        _plan(system, origin, wrt, fmax, output, settings)
        return exit_codes.OK

    progress = Progress(settings["quiet"], settings["verbose"])
    with session.Signals() as signals:
        progress.say("compiling ...")

        def report(step: int, energy: float, force: float) -> bool:
            progress(step, energy, force)
            return signals.received is not None

        slope: Sensitivity | None = None
        code, advice = exit_codes.OK, None
        try:
            equilibrium = relax_system(
                system,
                settings["optimizer"],
                fmax,
                settings["steps"],
                solver=settings["solver"],
                progress=report,
            )
            if wrt:
                progress.say("differentiating ...")
                slope = sensitivity(equilibrium, wrt, solver=settings["solver"])
                code = exit_codes.OK if slope.certificate.trusted else exit_codes.NOT_TRUSTED
        except NotConverged as stopped:
            equilibrium, advice = stopped.equilibrium, str(stopped)
            code = exit_codes.NOT_CONVERGED if signals.received is None else signals.exit_code
        finally:
            progress.close()
        facts = session.provenance({**settings, "fmax": fmax}, started)
        io.write(
            output,
            equilibrium,
            slope,
            units=settings["units"],
            overwrite=settings["overwrite"],
            provenance=facts,
        )
        files = [output, *_plot(settings, equilibrium, slope)]
    if settings["as_json"]:
        click.echo(summary.as_json(equilibrium, slope, files))
    if not settings["quiet"]:
        seconds = time.perf_counter() - began
        _show(summary.lines(system, origin, equilibrium, slope, files, seconds))
    if advice and not (settings["quiet"] and settings["as_json"]):
        click.echo(f"simsens: {advice}; no derivative was taken", err=True)
    return code


def _system(settings: dict[str, Any]) -> tuple[System, str]:
    """The structure with its potential, and where it comes from in words."""
    if settings["structure"]:
        if not settings["potential"]:
            raise click.UsageError("a structure needs a --potential (and its --param NAME=VALUE)")
        dimension = int(settings["dimension"]) if settings["dimension"] else None
        structure = io.read(settings["structure"], dimension=dimension)
        origin = Path(settings["structure"]).name
        check(structure)
        system = System(structure, build(settings["potential"], settings["param"], structure))
    else:
        if settings["potential"] not in (None, "soft-sphere"):
            raise click.UsageError(
                f"--potential {settings['potential']} needs a structure: give STRUCT"
            )
        system, origin = packing(seed=settings["seed"]), f"packing, seed {settings['seed']}"
        if settings["param"]:
            system = system.replace_parameters(settings["param"])
    if settings["fixed"] is not None:
        system = System(system.structure.with_fixed(settings["fixed"]), system.potential)
    systems.list_neighbors(system)  # refuses what does not fit together before anything is compiled
    return system, origin


def _names(settings: dict[str, Any], system: System) -> tuple[str, ...]:
    """The parameters to differentiate by; none without ``--sensitivity``."""
    asked = settings["sensitivity"]
    if asked is None:
        return ()
    if asked == "default":
        return parameters.select(system.fields, None if settings["structure"] else "diameter[B]")
    return parameters.select(system.fields, _split(asked))


def _split(text: str) -> list[str]:
    """``"sigma,epsilon[A,B]"`` at the commas outside brackets."""
    names, depth = [""], 0
    for letter in text:
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            names.append("")
        else:
            names[-1] += letter
    return [name.strip() for name in names if name.strip()]


def _plan(
    system: System,
    origin: str,
    wrt: tuple[str, ...],
    fmax: float,
    output: Path,
    settings: dict[str, Any],
) -> None:
    unknowns = system.structure.number * system.structure.dimension
    dense = settings["solver"] == "dense" or (
        settings["solver"] == "auto" and unknowns <= DENSE_LIMIT
    )
    solver = "dense factorisation" if dense else "projected conjugate gradients"
    # The Hessian, its eigenvectors and two copies; or some tens of vectors.
    size = (4 * unknowns**2 if dense else 60 * unknowns) * 8 + len(wrt) * unknowns * 24
    listed = systems.list_neighbors(system)
    pairs = 0 if listed is None else int(listed.mask.sum())
    shown = summary.describe(system, origin)
    shown += [
        (
            "relaxation",
            f"{settings['optimizer']}, to max force {fmax:g} in at most {settings['steps']} steps",
        ),
        ("pairs", f"{pairs // 2} within reach at the start"),
        ("sensitivity", ", ".join(wrt) if wrt else "none (--sensitivity)"),
        ("solver", f"{solver}, {unknowns} unknowns, about {size / 1e6:.0f} MB"),
        ("output", f"{output} (nothing written: dry run)"),
    ]
    _show(shown)


def _plot(settings: dict[str, Any], equilibrium: Any, slope: Any) -> list[Path]:
    if not settings["plot"]:
        return []
    from simsens import plots

    path = Path(settings["plot"])
    plots.save(plots.summary(equilibrium, slope), path)
    return [path]


def _show(shown: list[tuple[str, str]]) -> None:
    for label, text in shown:
        click.echo(f"{label:<12}{text}", err=True)
