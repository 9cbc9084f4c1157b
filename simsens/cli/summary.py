"""The result in ten lines for a person, or in JSON for a program."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from simsens.cli import wording
from simsens.cli.found import Found
from simsens.cli.wording import assigned, few
from simsens.particles import parameters
from simsens.particles.system import System
from simsens.response.sensitivity import Sensitivity


def describe(system: System, origin: str) -> list[tuple[str, str]]:
    """What is simulated: the structure, and the potential with what was given or left out."""
    structure = system.structure
    counts = np.bincount(np.asarray(structure.species), minlength=len(structure.species_names))
    species = ", ".join(f"{n} {name}" for name, n in zip(structure.species_names, counts))
    sides = "xyz"[: structure.dimension]
    periodic = "".join(s for s, p in zip(sides, structure.boundary) if p)
    space = f"periodic in {periodic}" if periodic else "free"
    fixed = 0 if structure.fixed is None else int(np.sum(structure.fixed))
    held = f", {fixed} fixed" if fixed else ""
    names = system.parameter_names
    law = assigned(dict(zip(names, parameters.values(system.fields, names))))
    return [
        ("structure", f"{origin}: {species}, {structure.dimension}-D, {space}{held}"),
        ("potential", f"{type(system.potential).__name__}, {few(law, 6, 'no parameters')}"),
    ]


def lines(
    system: System,
    origin: str,
    found: Found,
    files: list[Path],
    seconds: float,
) -> list[tuple[str, str]]:
    """The summary: label and text of each line."""
    equilibrium, slope, moduli, modes, *_ = found
    verdict = "converged" if equilibrium.converged else "NOT CONVERGED"
    shown = describe(system, origin)
    shown += [
        ("relaxation", f"{verdict}: {equilibrium.criterion}"),
        ("steps", f"{equilibrium.iterations} of {equilibrium.optimizer}, {seconds:.1f} s in all"),
        ("energy", f"{equilibrium.energy:.12g}"),
        ("max force", f"{equilibrium.max_force:.3e} (asked for {equilibrium.fmax:g})"),
    ]
    if slope is not None:
        certificate = slope.certificate
        largest = np.linalg.norm(slope.position, axis=1).max(axis=0)
        per = [f"{name} {size:.4g}" for name, size in zip(slope.parameters, largest)]
        shown.append(("sensitivity", f"largest |dx/d parameter|: {few(per, 4)}"))
        word = "trusted" if certificate.trusted else "NOT TRUSTED"
        shown.append(
            ("certificate", "; ".join((f"{word}: {certificate.reason}", *certificate.notes)))
        )
        if certificate.trusted:
            shown.append(("holds for", few(_ranges(slope), 2)))
    if moduli is not None:
        told = f"bulk {moduli.bulk:.6g}, shear {moduli.shear:.6g}"
        shown.append(("moduli", told + ("" if moduli.certificate.trusted else ": NOT TRUSTED")))
    if modes is not None:
        others = modes.curvature[np.argsort(np.abs(modes.curvature))[modes.zero_modes :]]
        told = f"{modes.zero_modes} zero"
        if len(others):
            told += f", the lowest other {others.min():.6g}"
        if (falling := int((others < 0).sum())) > 0:
            told += f"; a SADDLE: the energy falls along {falling}"
        shown.append(("curvatures", told))
    shown.append(("written", ", ".join(str(f) for f in files)))
    return shown


def _ranges(slope: Sensitivity) -> list[str]:
    found = []
    for name, (fall, rise), step in zip(
        slope.parameters, slope.certificate.validity_radius, slope.certificate.one_percent_step
    ):
        text = f"{name} ±{step:.2g} to one percent" if math.isfinite(step) else f"any {name}"
        if math.isfinite(fall) or math.isfinite(rise):
            text += f", contacts change at -{fall:.2g} and +{rise:.2g}"
        found.append(text)
    return found


def as_json(found: Found, files: list[Path]) -> str:
    """Everything but the arrays over particles; numbers that are not finite become null."""
    equilibrium, slope, moduli, modes, *_ = found
    result: dict[str, Any] = {
        "converged": equilibrium.converged,
        "criterion": equilibrium.criterion,
        "energy": equilibrium.energy,
        "max_force": equilibrium.max_force,
        "fmax": equilibrium.fmax,
        "iterations": equilibrium.iterations,
        "files": [str(f) for f in files],
    }
    if slope is not None:
        certificate = {
            k: v.tolist() if isinstance(v, np.ndarray) else v
            for k, v in vars(slope.certificate).items()
        }
        result["sensitivity"] = {
            "parameters": list(slope.parameters),
            "values": slope.values.tolist(),
            "largest": np.linalg.norm(slope.position, axis=1).max(axis=0).tolist(),
            "observables": {
                name: {"value": value, "derivative": np.asarray(derivative).tolist()}
                for name, (value, derivative) in slope.observables.items()
            },
            "rattlers": slope.rattlers.tolist(),
            "certificate": certificate,
        }
    if moduli is not None:
        result["moduli"] = {
            "bulk": moduli.bulk,
            "shear": moduli.shear,
            "stiffness": moduli.stiffness.tolist(),
            "trusted": moduli.certificate.trusted,
        }
    if modes is not None:
        result["curvature"] = modes.curvature.tolist()
    return wording.as_json(result)
