"""The work of ``simsens plot``, from the settings to the figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from simsens import plots
from simsens.cli import again, written
from simsens.cli.progress import Progress
from simsens.io import result_name
from simsens.io.export_choices import nearest
from simsens.io.stored import Stored
from simsens.particles import parameters
from simsens.response.sensitivity import Sensitivity

SHOWN = 6  # modes
SMALL = 1000  # unknowns, up to which all modes take no longer than some


def draw(files: tuple[str, ...], kind: str, settings: dict[str, Any]) -> None:
    """Draw one kind of figure and write it."""
    paths = [Path(file) for file in files]
    name = kind if kind == "sweep" else f"{result_name.stem(paths[0])}_{kind}"
    output = settings["output"] or Path(f"{name}.png")
    written.check_output(output, settings["overwrite"])
    with Progress(settings["quiet"], verbose=False) as progress:
        if kind == "sweep":
            figure, doubt = _sweep(paths, settings), None
        else:
            stored = again.load(paths[0])
            doubt = again.doubt(stored)
            figure = FIGURES[kind](stored, paths[0], settings, progress)
        plots.save(figure, output)
    written.tell(output, doubt, settings["quiet"])


def _summary(stored: Stored, path: Path, settings: dict[str, Any], progress: Any) -> Any:
    return _drawn("summary", again.shown(stored), _some(stored))


def _convergence(stored: Stored, path: Path, settings: dict[str, Any], progress: Any) -> Any:
    return _drawn("convergence", again.shown(stored))


def _quiver(stored: Stored, path: Path, settings: dict[str, Any], progress: Any) -> Any:
    slope, name = _some(stored), settings["wrt"]
    if name is not None:
        slope = again.derivatives(stored, path, f"--wrt {name}")
    chosen = None if slope is None else again.parameter(slope, name)
    return _drawn("quiver", again.shown(stored), slope, chosen)


def _matrix(stored: Stored, path: Path, settings: dict[str, Any], progress: Any) -> Any:
    return _drawn("matrix", again.shown(stored), again.derivatives(stored, path, "matrix"))


def _spectrum(stored: Stored, path: Path, settings: dict[str, Any], progress: Any) -> Any:
    count = settings["modes"]
    found = again.modes(stored, path, settings["potential"], count, count, progress)
    return _drawn("spectrum", found)


def _modes(stored: Stored, path: Path, settings: dict[str, Any], progress: Any) -> Any:
    least = settings["modes"]
    count = least or SHOWN
    some = count if np.size(stored.structure.position) > SMALL else None
    found = again.modes(stored, path, settings["potential"], least, some, progress)
    return _drawn("modes", again.shown(stored), found, count)


def _tested(kind: str) -> Callable[..., Any]:
    def drawn(stored: Stored, path: Path, settings: dict[str, Any], progress: Any) -> Any:
        slope = again.derivatives(stored, path, kind)
        reference, name = settings["potential"], settings["wrt"]
        perturbed = again.perturbed(stored, path, reference, slope, name, progress)
        return _drawn(kind, perturbed, slope)

    return drawn


#: How each kind is made of one file; ``sweep`` takes several.
FIGURES: dict[str, Callable[[Stored, Path, dict[str, Any], Any], Any]] = {
    "summary": _summary,
    "convergence": _convergence,
    "quiver": _quiver,
    "spectrum": _spectrum,
    "modes": _modes,
    "matrix": _matrix,
    "check": _tested("check"),
    "prediction": _tested("prediction"),
}


def _drawn(kind: str, *things: Any, **more: Any) -> Any:
    with again.refusals():
        return plots.FIGURES[kind](*things, **more)


def _some(stored: Stored) -> Sensitivity | None:
    """Derivatives, if there is one at least."""
    slope = stored.sensitivity
    return slope if slope is not None and slope.parameters else None


def _sweep(paths: list[Path], settings: dict[str, Any]) -> Any:
    observable = settings["observable"] or "energy"
    members = [again.load(path) for path in paths]
    name = settings["wrt"] or _differing(members)
    for path, member in zip(paths, members):
        if name not in member.theta:
            raise click.ClickException(f"{path}: {parameters.unknown(name, tuple(member.theta))}")
    derived = {p for member in members for p in member.parameters}
    if not derived:
        raise click.ClickException(
            f"a sweep needs derivatives, and no file holds any: {again.RERUN}"
        )
    if name not in derived:
        raise click.ClickException(
            f"no file holds derivatives by {name}; there are some by {', '.join(sorted(derived))}"
        )
    known = dict.fromkeys(o for member in members for o in member.observables)
    if observable not in known:
        near = nearest(observable, known)
        raise click.ClickException(
            f"unknown observable {observable!r}; known are {', '.join(known)}{near}"
        )
    found = [_member(member, name, observable) for member in members]
    measured, slopes, trusted = zip(*found)
    values = [member.theta[name] for member in members]
    return _drawn("sweep", values, measured, slopes, name, observable, trusted=trusted)


def _differing(members: list[Stored]) -> str:
    """The parameter in which the members differ."""
    first = members[0].theta
    names = [n for n in first if any(m.theta.get(n, first[n]) != first[n] for m in members)]
    if len(names) != 1:
        said = f"differ in {', '.join(names)}" if names else "do not differ in any parameter"
        raise click.ClickException(f"the files {said}: say over which one to sweep, --wrt NAME")
    return names[0]


def _member(member: Stored, name: str, observable: str) -> tuple[float, float, bool]:
    """The observable, its derivative and whether to trust it; of a member without, its energy."""
    known = member.energy if observable == "energy" else np.nan
    value, slopes = member.observables.get(observable, (known, np.zeros(0)))
    if name not in member.parameters or member.certificate is None:
        return value, np.nan, False
    slope = float(slopes[member.parameters.index(name)])
    return value, slope, member.certificate.trusted
