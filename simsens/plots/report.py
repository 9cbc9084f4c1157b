"""Everything about a minimum on one page of HTML: see ``page`` for what such a page is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simsens.implicit.certificate import Certificate
from simsens.particles import parameters
from simsens.plots import page
from simsens.plots.check import check
from simsens.plots.convergence import convergence
from simsens.plots.formats import inline_svg
from simsens.plots.matrix import matrix, strengths
from simsens.plots.modes import modes as draw_modes
from simsens.plots.packing import packing
from simsens.plots.prediction import prediction
from simsens.plots.spectrum import spectrum
from simsens.response.equilibrium import Equilibrium
from simsens.response.perturbed import Perturbed
from simsens.response.sensitivity import Sensitivity

if TYPE_CHECKING:
    from simsens.response.modes import NormalModes

ROWS = 40  # of a table
MANY = 3000  # particles from which on their shapes are dots of a picture, not lines of the page
RECORDS = 12  # of the history
FAR = 1e3  # times its value, past which nobody takes a parameter: a limit there is none


def report(
    equilibrium: Equilibrium,
    sensitivity: Sensitivity | None = None,
    *,
    modes: NormalModes | None = None,
    moduli: Any = None,
    perturbed: Perturbed | None = None,
    provenance: Mapping[str, Any] | None = None,
    title: str = "",
) -> str:
    """One HTML page that stands by itself: verdict, figures, tables, history, provenance.

    It holds its figures, loads nothing and runs nothing; all text is escaped. The same arguments
    give the same page.

    Args:
        equilibrium: from ``relax``.
        sensitivity: its derivatives.
        modes: its normal modes.
        moduli: elastic moduli, or any other dataclass of numbers, arrays and a certificate.
        perturbed: from ``perturb``, with the derivatives.
        provenance: how the result came about, by name; ``config`` is set as it is written.
        title: of the page; what was relaxed by default.

    Returns:
        The page, to be written as UTF-8.

    Raises:
        ValueError: derivatives or modes are those of another structure.

    Example:
        >>> from simsens.particles import packing as packings
        >>> from simsens.response.relaxation import relax
        >>> page = report(relax(packings.packing(number=8), fmax=1e-4), title="<b>")
        >>> "<title>&lt;b&gt;</title>" in page
        True
    """
    structure = equilibrium.system.structure
    heading = title or f"{structure.number} particles at rest"
    if not (title or equilibrium.converged):
        heading = f"{structure.number} particles, not at rest"
    certificate = None if sensitivity is None else sensitivity.certificate
    return page.document(
        heading,
        f"<h1>{page.text(heading)}</h1>",
        page.paragraph(_about(equilibrium), "about"),
        _verdict(equilibrium, certificate),
        _pictures(equilibrium, sensitivity),
        page.section("Parameters", *_parameters(equilibrium, sensitivity)),
        page.section("Observables", _observables(sensitivity)),
        page.section("Put to the test", _tests(perturbed, sensitivity)),
        page.section("Normal modes", _modes(equilibrium, modes)),
        page.section("Elasticity", *_fields(moduli)),
        page.section("Certificate", _evidence(certificate)),
        page.section("History", _history(equilibrium)),
        page.section("Provenance", *_provenance(provenance or {})),
    )


def _about(equilibrium: Equilibrium) -> str:
    structure = equilibrium.system.structure
    counts = np.bincount(np.asarray(structure.species), minlength=len(structure.species_names))
    species = ", ".join(f"{n} {name}" for n, name in zip(counts, structure.species_names))
    periodic = "".join(s for s, p in zip("xyz", structure.boundary) if p)
    space = f"periodic in {periodic}" if periodic else "in free space"
    return f"{species}; {structure.dimension}-D, {space}; {_law(equilibrium)}"


def _law(equilibrium: Equilibrium) -> str:
    return type(equilibrium.system.potential).__name__


def _verdict(equilibrium: Equilibrium, certificate: Certificate | None) -> str:
    if certificate is not None:
        words = "Trusted" if certificate.trusted else "Not trusted"
        return _sentence(words, certificate.reason, certificate.trusted)
    said = f"{equilibrium.criterion}; no derivatives were taken"
    state = "At rest" if equilibrium.converged else "Not at rest"
    return _sentence(state, said, equilibrium.converged)


def _sentence(words: str, reason: str, good: bool) -> str:
    kind = "verdict" if good else "verdict alarm"
    said = f"<strong>{page.text(words)}:</strong> {page.text(reason.rstrip('.'))}."
    return f'<p class="{kind}">{said}</p>'


def _pictures(equilibrium: Equilibrium, sensitivity: Sensitivity | None) -> str:
    several = sensitivity is not None and len(sensitivity.parameters) > 1
    strongest = None
    if sensitivity is not None and sensitivity.parameters:
        reach = np.nan_to_num(strengths(equilibrium, sensitivity)[0])
        strongest = sensitivity.parameters[int(reach.argmax())]
    drawn = packing(equilibrium, sensitivity if strongest else None, strongest, ax=_place(4.6, 5.1))
    if equilibrium.system.structure.number > MANY:
        for part in drawn.collections:
            part.set_rasterized(True)
    shown = [
        _figure(drawn, "Particles at their true size"
                + (f"; arrows show where they go when {strongest} grows." if strongest else ".")),
        _figure(convergence(equilibrium, ax=_place(4.6, 3.6)), "How the largest force fell."),
    ]  # fmt: skip
    if several and sensitivity is not None:
        number = min(len(sensitivity.parameters), 24)
        place = _place(4.6, 1.6 + 0.24 * number)
        shown.append(
            _figure(
                matrix(equilibrium, sensitivity, ax=place),
                "What a relative change of each parameter moves, and which of them move alike.",
            )
        )
    return _grid(shown)


def _place(width: float, height: float) -> Axes:
    return Figure((width, height), layout="constrained").add_subplot()


def _figure(ax: Axes, caption: str) -> str:
    # Identifiers by what is drawn: two figures of one page never show the same.
    prefix = "".join(c if c.isascii() and c.isalnum() else "" for c in caption)[:40]
    return page.figure(inline_svg(ax, prefix, f"{ax.get_title(loc='left')}. {caption}"), caption)


def _grid(figures: list[str]) -> str:
    return "\n".join(("<div class=figures>", *figures, "</div>")) if figures else ""


def _parameters(equilibrium: Equilibrium, sensitivity: Sensitivity | None) -> tuple[str, ...]:
    if sensitivity is None:
        fields = equilibrium.system.fields
        names = parameters.names(fields)
        values = parameters.values(fields, names[:ROWS])
        rows = [[name, float(value)] for name, value in zip(names, values)]
        return page.table(["parameter", "value"], rows), _more(len(names))
    certificate, head = sensitivity.certificate, ["parameter", "value", "largest |dx/dθ|"]
    head += ["relative error", "1 % step", "contacts change below", "and above"]
    largest = np.linalg.norm(sensitivity.position, axis=1).max(axis=0, initial=0.0)
    rows = []
    for k, name in enumerate(sensitivity.parameters[:ROWS]):
        value, step = float(sensitivity.values[k]), float(certificate.one_percent_step[k])
        fall, rise = certificate.validity_radius[k]
        far = FAR * (abs(value) or 1.0)
        row = [name, value, float(largest[k]), f"≤ {page.number(certificate.error_bound[k], 2)}"]
        row += [page.number(step, 3) if step < far else "none"]
        row += [value - fall if fall < far else "none", value + rise if rise < far else "none"]
        rows.append(row)
    note = (
        "The 1 % step is the change at which the predicted positions are off by one percent; past"
        " the values at which contacts change the derivative is another one."
    )
    return page.table(head, rows), _more(len(sensitivity.parameters)), page.paragraph(note, "about")


def _more(number: int) -> str:
    return page.paragraph(f"and {number - ROWS} more", "about") if number > ROWS else ""


def _observables(sensitivity: Sensitivity | None) -> str:
    if sensitivity is None or not sensitivity.observables:
        return ""
    names = list(sensitivity.observables)
    rows = [["value", *(sensitivity.observables[name][0] for name in names)]]
    for k, parameter in enumerate(sensitivity.parameters[:ROWS]):
        slopes = [float(np.asarray(sensitivity.observables[name][1])[k]) for name in names]
        rows.append([f"d/d {parameter}", *slopes])
    return page.table(["", *names], rows) + _more(len(sensitivity.parameters))


def _tests(perturbed: Perturbed | None, sensitivity: Sensitivity | None) -> str:
    if perturbed is None or sensitivity is None:
        return ""
    drawn = (
        _figure(check(perturbed, sensitivity, ax=_place(4.6, 4.0)),
                "The derivative against central differences of structures relaxed again."),
        _figure(prediction(perturbed, sensitivity, ax=_place(4.6, 4.2)),
                "The structure predicted to first order against the one relaxed again."),
    )  # fmt: skip
    return _grid(list(drawn))


def _modes(equilibrium: Equilibrium, modes: NormalModes | None) -> str:
    if modes is None:
        return ""
    drawn = [_figure(spectrum(modes, ax=_place(4.6, 4.2)), "Frequencies and participation.")]
    if len(modes.curvature) > modes.zero_modes:
        place = _place(4.6, 6.2)
        drawn.append(_figure(draw_modes(equilibrium, modes, ax=place), "The softest motions."))
    return _grid(drawn)


def _fields(found: Any) -> tuple[str, ...]:
    """Every field of a dataclass: numbers in one table, a table for each matrix, words as such."""
    if found is None:
        return ("",)
    single: list[list[Any]] = []
    tables: list[str] = []
    rest: list[str] = []
    strains = tuple(map(str, getattr(found, "strains", ())))
    for field in dataclasses.fields(found):
        name, value = field.name.replace("_", " "), getattr(found, field.name)
        if isinstance(value, Certificate):
            rest.append(page.preformatted(value))
        elif isinstance(value, np.ndarray) and value.ndim == 2 and 0 < value.size <= ROWS:
            labels = [strains if len(strains) == n else range(1, n + 1) for n in value.shape]
            rows = [[label, *map(float, row)] for label, row in zip(labels[0], value)]
            tables.append(page.table(["", *map(str, labels[1])], rows, name))
        elif isinstance(value, np.ndarray) and value.ndim > 1:
            shape = " × ".join(map(str, value.shape))
            largest = float(np.abs(value).max(initial=0.0))
            rest.append(page.paragraph(f"{name}: {shape} numbers, at most {largest:.6g} in size"))
        elif isinstance(value, (float, np.floating)):
            single.append([name, float(value)])
        else:
            several = isinstance(value, (tuple, list, np.ndarray))
            single.append([name, ", ".join(map(str, value)) or "none" if several else value])
    side = f"<div class=side>{''.join(tables)}</div>" if tables else ""
    return page.table(["", "value"], single), side, *rest


def _evidence(certificate: Certificate | None) -> str:
    if certificate is None:
        return ""
    said = (str(certificate), f"linear systems solved by: {certificate.method}", *certificate.notes)
    return page.preformatted("\n".join(said))


def _history(equilibrium: Equilibrium) -> str:
    history = np.asarray(equilibrium.history, float).reshape(-1, 3)
    if not len(history):
        return ""
    chosen = np.unique(np.linspace(0, len(history) - 1, RECORDS).astype(int))
    rows = [
        [int(step), f"{energy:.10g}", f"{force:.3e}"] for step, energy, force in history[chosen]
    ]
    said = (
        f"{equilibrium.iterations} steps of {equilibrium.optimizer}: {equilibrium.criterion}."
        f" Asked for fmax {equilibrium.fmax:g}."
    )
    return page.paragraph(said) + page.table(["step", "energy", "max force"], rows)


def _provenance(provenance: Mapping[str, Any]) -> tuple[str, ...]:
    rows = [[str(key), str(value)] for key, value in provenance.items() if key != "config"]
    config = page.preformatted(provenance["config"]) if provenance.get("config") else ""
    return page.table(["", ""], rows, kind="words"), config
