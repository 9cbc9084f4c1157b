"""The work of ``simsens relax``, from the settings to the files."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from simsens import io
from simsens.cli import exit_codes, main, problem, resuming, session, summary, wording, written
from simsens.cli.found import Found
from simsens.cli.progress import Progress
from simsens.io import result_name
from simsens.io.recording import Recording
from simsens.particles import system as systems
from simsens.particles.system import System
from simsens.response import cost, optimizers
from simsens.response.curvature import method_for
from simsens.response.elasticity import elastic_moduli
from simsens.response.equilibrium import NotConverged
from simsens.response.modes import normal_modes
from simsens.response.relaxation import relax as relax_system
from simsens.response.sensitivity import sensitivity

FMAX = {"float32": 1e-4}  # its rounding makes forces of some 1e-5


def relax(settings: dict[str, Any]) -> int:
    """Run the command; returns its exit code."""
    chosen, limit = settings["structure"], settings["max_time"]
    deadline = None if limit is None else time.monotonic() + limit  # of all structures together
    _check_options(settings)
    outputs = [_outputs(settings, path) for path in chosen or [None]]
    if len(outputs) == 1:
        return _one(settings, chosen[0] if chosen else None, *outputs[0], deadline, [])
    codes, told = [], []  # type: ignore[var-annotated]
    for path, (output, drawing) in zip(chosen, outputs):
        try:
            codes.append(_one(settings, path, output, drawing, deadline, told))
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
    settings: dict[str, Any],
    path: str | None,
    output: Path,
    drawing: Path | None,
    deadline: float | None,
    told: list[str],
) -> int:
    """Relax one structure, or the packing; what ``--json`` prints goes to ``told`` of several."""
    began, started = time.perf_counter(), datetime.now(UTC)
    system, origin = problem.system(settings, path)
    settings = {**settings, "units": problem.units(settings, path)}
    optimizers.check(settings["optimizer"], system)
    facts = session.input_facts(path)
    wrt = problem.wrt(settings, system)
    further = wrt or settings["moduli"] or settings["modes"]
    fmax = settings["fmax"] or FMAX.get(settings["dtype"], 1e-10 if further else 1e-6)
    if settings["dry_run"]:
        plan = _plan(system, origin, wrt, fmax, output, settings)
        if settings["json"]:
            _tell(wording.as_json(plan), settings, told)
        return exit_codes.OK
    facts |= session.provenance({**settings, "fmax": fmax}, started)
    record = resuming.begin(output, system, settings, facts)
    if record is None:
        click.echo(f"simsens: {output} is complete already: nothing to go on with", err=True)
        return exit_codes.OK

    with session.Signals(deadline) as signals, record:
        signals.save = record.ask
        try:
            found = _find({**settings, "fmax": fmax}, system, wrt, record, signals)
            stopped_by = signals.exit_code
            wanting = bool(found.advice) or _wanting(found, settings, wrt)
            record.finish(
                found.equilibrium, found.slope, moduli=found.moduli, modes=found.modes,
                provenance=session.ending(started),
                status="interrupted" if stopped_by and wanting else None,
            )  # fmt: skip
        except io.UnwritableFile as full:
            click.echo(f"simsens: {full}", err=True)
            return exit_codes.UNEXPECTED
        except KeyboardInterrupt:  # the second signal
            left = f"what was committed is in {record.partial}, go on with --resume"
            kept = left if record.worth else "nothing was saved"
            click.echo(f"simsens: stopped at once; {kept}", err=True)
            return signals.exit_code or exit_codes.INTERRUPTED
        undrawn = _draw(found, drawing)
    files = [output] if drawing is None or undrawn is not None else [output, drawing]
    if settings["json"]:
        _tell(summary.as_json(found, files), settings, told)
    if not settings["quiet"]:
        seconds = time.perf_counter() - began
        _show(summary.lines(system, origin, found, files, seconds))
    for failure in (found.failure, undrawn):  # what was reached is saved, and told
        if failure is not None:
            raise failure
    code, complaint = _verdict(found, output, stopped_by, bool(wrt))
    if complaint:
        click.echo(f"simsens: {complaint}", err=True)
    return code


def _draw(found: Found, drawing: Path | None) -> Exception | None:
    """Draw the summary if asked to; why that failed, if it did."""
    if drawing is None:
        return None
    from simsens import plots

    try:
        plots.save(plots.summary(found.equilibrium, found.slope), drawing)
    except Exception as error:
        return error
    return None


def _find(
    settings: dict[str, Any],
    system: System,
    wrt: tuple[str, ...],
    record: Recording,
    signals: session.Signals,
) -> Found:
    """The minimum and what is asked of it, as far as the signals and the structure let us come."""
    solver = settings["solver"]
    found = None
    with Progress(settings["quiet"], settings["verbose"]) as progress:

        def report(step: int, energy: float, force: float) -> bool:
            progress(step, energy, force)
            return signals.exit_code is not None

        progress.say("compiling ...")
        try:
            equilibrium = relax_system(
                system, settings["optimizer"], settings["fmax"], settings["steps"],
                solver=solver, progress=report, record=record, resume=record.state,
            )  # fmt: skip
        except NotConverged as stopped:
            return Found(stopped.equilibrium, advice=str(stopped))
        found = Found(equilibrium)
        if signals.exit_code is not None:
            return found
        progress.say("differentiating ...")
        try:
            with signals.at_once():
                if wrt:
                    found = found._replace(slope=sensitivity(equilibrium, wrt, solver=solver))
                if settings["moduli"]:
                    found = found._replace(moduli=elastic_moduli(equilibrium, solver=solver))
                if settings["modes"]:
                    count = settings["modes"]
                    found = found._replace(modes=normal_modes(equilibrium, count, solver=solver))
        except KeyboardInterrupt:
            pass
        except Exception as error:  # the minimum is saved before anyone hears of it
            found = found._replace(failure=error)
    return found


def _wanting(found: Found, settings: dict[str, Any], wrt: tuple[str, ...]) -> bool:
    """Whether something that was asked for is not there."""
    asked = (
        (wrt, found.slope),
        (settings["moduli"], found.moduli),
        (settings["modes"], found.modes),
    )
    return any(wanted and answer is None for wanted, answer in asked)


def _verdict(
    found: Found, output: Path, stopped_by: int | None, derivative: bool
) -> tuple[int, str]:
    """The exit code, and what to say with it."""
    if stopped_by is not None:
        return stopped_by, f"interrupted; what was reached is in {output}, go on with --resume"
    if found.advice is not None:
        complaint = found.advice + ("; no derivative was taken" if derivative else "")
        if "more steps" in found.advice:
            complaint += f"; {output} goes on with --resume and a larger --steps"
        return exit_codes.NOT_CONVERGED, complaint
    for answer in (found.slope, found.moduli):
        if answer is not None and not answer.certificate.trusted:
            reason = answer.certificate.reason
            return exit_codes.NOT_TRUSTED, f"the derivative is not to be trusted: {reason}"
    return exit_codes.OK, ""


def _check_options(settings: dict[str, Any]) -> None:
    """Refuse options that exclude each other, and what several structures cannot share."""
    chosen = settings["structure"]
    if settings["resume"] and settings["overwrite"]:
        raise click.UsageError(
            "--resume goes on with a run, --overwrite begins it anew: give one of them"
        )
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
    stem = result_name.stem(path) if path else "packing"
    folder = Path(settings["out_dir"] or ".")
    if not settings["dry_run"]:
        folder.mkdir(parents=True, exist_ok=True)
    output, drawing = settings["output"] or folder / f"{stem}.h5md", settings["plot"]
    for place in (output, drawing):
        if place is None or (
            place.parent == folder and not folder.exists()
        ):  # a dry run makes none
            continue
        written.check_output(place, settings["overwrite"] or settings["resume"])
    return output, drawing


def _plan(
    system: System,
    origin: str,
    wrt: tuple[str, ...],
    fmax: float,
    output: Path,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Show what would be done; the same for programs is handed back."""
    unknowns = system.structure.number * system.structure.dimension
    solver = method_for(system, settings["solver"])
    listed = systems.list_neighbors(system)
    pairs = 0 if listed is None else int(listed.mask.sum())
    entries = (pairs + system.structure.number) * system.structure.dimension**2
    predicted = cost.predict(solver, unknowns, entries if listed is not None else unknowns**2)
    shown = summary.describe(system, origin)
    shown += [
        (
            "relaxation",
            f"{settings['optimizer']}, to max force {fmax:g} in at most {settings['steps']} steps",
        ),
        ("pairs", f"{pairs // 2} within reach at the start"),
        ("sensitivity", ", ".join(wrt) if wrt else "none (--sensitivity)"),
        ("solver", f"{solver}, {unknowns} unknowns: {predicted} predicted"),
        ("output", f"{output} (nothing written: dry run)"),
    ]
    _show(shown)
    return {
        "dry_run": True, "optimizer": settings["optimizer"], "fmax": fmax,
        "steps": settings["steps"], "pairs": pairs // 2, "parameters": list(wrt),
        "solver": solver, "unknowns": unknowns,
        "predicted": {"seconds": predicted.seconds, "bytes": predicted.memory},
        "files": [str(output)],
    }  # fmt: skip


def _tell(text: str, settings: dict[str, Any], told: list[str]) -> None:
    """What ``--json`` prints: at once, or with that of the other structures."""
    told.append(text)
    if len(settings["structure"]) < 2:
        click.echo(text)


def _show(shown: list[tuple[str, str]]) -> None:
    for label, text in shown:
        click.echo(f"{label:<12}{text}", err=True)
