"""The work of ``simsens relax``, from the settings to the files."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import jax
import numpy as np

from simsens import io
from simsens.cli import exit_codes, main, resuming, session, summary
from simsens.cli.progress import Progress
from simsens.io import atomic
from simsens.particles import parameters
from simsens.particles import system as systems
from simsens.particles.packing import packing
from simsens.particles.potentials import EnergyFunction
from simsens.particles.potentials.build import build
from simsens.particles.potentials.errors import InvalidPotential
from simsens.particles.structure import check, mobile_mask
from simsens.particles.system import System
from simsens.response import optimizers
from simsens.response.curvature import method_for
from simsens.response.elasticity import elastic_moduli
from simsens.response.equilibrium import NotConverged
from simsens.response.modes import normal_modes
from simsens.response.relaxation import relax as relax_system
from simsens.response.sensitivity import Sensitivity, sensitivity


def relax(settings: dict[str, Any]) -> int:
    """Run the command; returns its exit code."""
    chosen = settings["structure"]
    _check_several(settings)
    outputs = [_outputs(settings, path) for path in chosen or [None]]
    if len(outputs) == 1:
        return _one(settings, chosen[0] if chosen else None, *outputs[0], [])
    codes, told = [], []  # type: ignore[var-annotated]
    for path, (output, drawing) in zip(chosen, outputs):
        try:
            codes.append(_one(settings, path, output, drawing, told))
        except Exception as error:  # of this one; the others go on
            if settings["traceback"]:
                raise
            codes.append(main.told(error, path))
        if codes[-1] in session.Signals.CODES.values():
            return codes[-1]
    if settings["json"]:
        click.echo(f"[{', '.join(told)}]")
    failed = [path for path, code in zip(chosen, codes) if code != exit_codes.OK]
    if failed:
        names = ", ".join(Path(path).name for path in failed)
        click.echo(f"simsens: {len(failed)} of {len(chosen)} failed: {names}", err=True)
    return exit_codes.SOME_FAILED if failed else exit_codes.OK


def _one(
    settings: dict[str, Any], path: str | None, output: Path, drawing: Path | None, told: list[str]
) -> int:
    """Relax one structure, or the packing; what ``--json`` prints goes to ``told`` of several."""
    began, started = time.perf_counter(), datetime.now(UTC)
    system, origin = _system(settings, path)
    optimizers.check(settings["optimizer"], system)
    facts = session.input_facts(path)
    wrt = _names(settings, system)
    further = wrt or settings["moduli"] or settings["modes"]
    fmax = settings["fmax"] or (1e-10 if further and settings["dtype"] == "float64" else 1e-6)
    if settings["dry_run"]:
        _plan(system, origin, wrt, fmax, output, settings)
        return exit_codes.OK
    facts |= session.provenance({**settings, "fmax": fmax}, started)
    record = resuming.begin(output, system, settings, facts)
    if record is None:
        click.echo(f"simsens: {output} is complete already: nothing to go on with", err=True)
        return exit_codes.OK

    slope: Sensitivity | None = None
    moduli = modes = advice = failure = None
    progress = Progress(settings["quiet"], settings["verbose"])
    with session.Signals(settings["max_time"]) as signals, record:
        signals.save = record.ask

        def report(step: int, energy: float, force: float) -> bool:
            progress(step, energy, force)
            return signals.exit_code is not None

        with progress:
            progress.say("compiling ...")
            try:
                equilibrium = relax_system(
                    system,
                    settings["optimizer"],
                    fmax,
                    settings["steps"],
                    solver=settings["solver"],
                    progress=report,
                    record=record,
                    resume=record.state,
                )
            except NotConverged as stopped:
                equilibrium, advice = stopped.equilibrium, str(stopped)
            except io.UnwritableFile as full:
                click.echo(f"simsens: {full}", err=True)
                return exit_codes.UNEXPECTED
            except KeyboardInterrupt:  # the second signal
                left = f"what was committed is in {record.partial}, go on with --resume"
                kept = left if record.worth else "nothing was saved"
                click.echo(f"simsens: stopped at once; {kept}", err=True)
                return signals.exit_code or exit_codes.INTERRUPTED
            if further and advice is None and signals.exit_code is None:
                progress.say("differentiating ...")
                solver = settings["solver"]
                try:
                    with signals.at_once():
                        if wrt:
                            slope = sensitivity(equilibrium, wrt, solver=solver)
                        if settings["moduli"]:
                            moduli = elastic_moduli(equilibrium, solver=solver)
                        if settings["modes"]:
                            modes = normal_modes(equilibrium, settings["modes"], solver=solver)
                except KeyboardInterrupt:
                    pass
                except Exception as error:  # the minimum is saved before anyone hears of it
                    failure = error
        stopped_by = signals.exit_code
        try:
            record.finish(
                equilibrium, slope, moduli=moduli, modes=modes,
                provenance=session.ending(started),
                status="interrupted" if stopped_by and advice else None,
            )  # fmt: skip
        except io.UnwritableFile as full:
            click.echo(f"simsens: {full}", err=True)
            return exit_codes.UNEXPECTED
        if drawing is not None:
            from simsens import plots

            plots.save(plots.summary(equilibrium, slope), drawing)
    files = [file for file in (output, drawing) if file is not None]
    if settings["json"]:
        text = summary.as_json(equilibrium, slope, moduli, modes, files)
        told.append(text)
        if len(settings["structure"]) < 2:
            click.echo(text)
    if not settings["quiet"]:
        seconds = time.perf_counter() - began
        _show(summary.lines(system, origin, equilibrium, slope, moduli, modes, files, seconds))
    if failure is not None:
        raise failure

    trust = None if slope is None else slope.certificate
    if moduli is not None and (trust is None or trust.trusted):
        trust = moduli.certificate
    code, complaint = exit_codes.OK, ""
    if stopped_by is not None:
        code = stopped_by
        complaint = f"interrupted; what was reached is in {output}, go on with --resume"
    elif advice is not None:
        code = exit_codes.NOT_CONVERGED
        complaint = advice + ("; no derivative was taken" if wrt else "")
        if "more steps" in advice:
            complaint += f"; {output} goes on with --resume and a larger --steps"
    elif trust is not None and not trust.trusted:
        code = exit_codes.NOT_TRUSTED
        complaint = f"the derivative is not to be trusted: {trust.reason}"
    if complaint:
        click.echo(f"simsens: {complaint}", err=True)
    return code


def _check_several(settings: dict[str, Any]) -> None:
    """Refuse what several structures cannot share."""
    chosen = settings["structure"]
    if settings["output"] and settings["out_dir"]:
        raise click.UsageError("--output names a file, --out-dir a folder: give one of them")
    if len(chosen) < 2:
        return
    for name in ("output", "plot"):
        if settings[name]:
            raise click.UsageError(
                f"--{name} is for one structure, and there are {len(chosen)}: give --out-dir"
            )
    stems = [Path(path).stem for path in chosen]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise click.UsageError(f"two structures are called {twice}: their results would be one")


def _outputs(settings: dict[str, Any], path: str | None) -> tuple[Path, Path | None]:
    """Where the result and the figure go; refused now, not after hours, if they cannot."""
    stem = Path(path).stem.removesuffix(".partial") if path else "packing"
    folder = Path(settings["out_dir"] or ".")
    if not settings["dry_run"]:
        folder.mkdir(parents=True, exist_ok=True)
    output, drawing = settings["output"] or folder / f"{stem}.h5md", settings["plot"]
    for place in (output, drawing):
        if place is None:
            continue
        atomic.check_output(place, settings["overwrite"] or settings["resume"])
        if not os.access(place.parent, os.W_OK):
            raise click.ClickException(f"{place}: the folder is not writable; choose another")
    return output, drawing


def _system(settings: dict[str, Any], path: str | None) -> tuple[System, str]:
    """The structure with its potential, and where it comes from in words."""
    name, dimension = settings["potential"], settings["dimension"]
    if path:
        if not name:
            raise click.UsageError("a structure needs a --potential (and its --param NAME=VALUE)")
        structure = io.read(path, dimension=dimension)
        check(structure)
        system = System(structure, build(name, settings["param"], structure))
        origin = Path(path).name
    else:
        if name not in (None, "soft-sphere"):
            raise click.UsageError(f"--potential {name} needs a structure: give STRUCT")
        structure = packing(seed=settings["seed"], dimension=dimension or 2).structure
        diameters = {"diameter[B]": 0.6, "diameter[A]": 1.0}
        if "diameter" in settings["param"]:
            diameters = {}
        potential = build("soft-sphere", {**diameters, **settings["param"]}, structure)
        system = System(structure, potential)
        origin = f"packing, seed {settings['seed']}"
    if settings["fixed"] is not None:
        system = System(system.structure.with_fixed(settings["fixed"]), system.potential)
    _try(system, settings)
    return system, origin


def _try(system: System, settings: dict[str, Any]) -> None:
    """Refuse what does not fit together before anything is compiled."""
    for field, value in system.fields.items():
        for number in value.values() if isinstance(value, dict) else [value]:
            if not isinstance(number, (int, float, np.ndarray, jax.Array)):
                raise click.ClickException(f"{field} must be a number; got {number!r}")
    if settings["moduli"] and not all(system.structure.boundary):
        raise click.UsageError("--moduli needs a box that is periodic along every edge")
    if not mobile_mask(system.structure).any():
        raise click.ClickException("every particle is fixed: there is nothing to relax")
    try:
        method_for(system, settings["solver"])
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    systems.list_neighbors(system)
    if isinstance(system.potential, EnergyFunction):
        try:
            jax.eval_shape(systems.force, system)
        except InvalidPotential:
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {io.errors.one_line(error)}"
            raise click.ClickException(
                f"the energy {settings['potential']} fails: {said}"
            ) from error


def _names(settings: dict[str, Any], system: System) -> tuple[str, ...]:
    """The parameters to differentiate by; none without ``--sensitivity``."""
    asked = settings["sensitivity"]
    if asked in (None, "none"):
        return ()
    if asked == "default":
        asked = "all" if settings["structure"] else "diameter[B]"
    chosen = parameters.select(system.fields, asked if asked == "all" else _split(asked))
    if not chosen:
        raise click.UsageError(
            f"--sensitivity={asked} names no parameter; known are"
            f" {', '.join(system.parameter_names) or 'none: the potential has no parameters'}"
        )
    return chosen


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
    solver = method_for(system, settings["solver"])
    # The Hessian, its eigenvectors and two copies; its factor in the plane; some tens of vectors.
    kept = {"dense": 4 * unknowns, "sparse": 200, "cg": 60}[solver] + 3 * len(wrt)
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
        ("solver", f"{solver}, {unknowns} unknowns, about {kept * unknowns * 8 / 1e6:.0f} MB"),
        ("output", f"{output} (nothing written: dry run)"),
    ]
    _show(shown)


def _show(shown: list[tuple[str, str]]) -> None:
    for label, text in shown:
        click.echo(f"{label:<12}{text}", err=True)
