"""The work of ``simsens report``, from the settings to the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from simsens import plots
from simsens.cli import again, written
from simsens.cli.progress import Progress
from simsens.io import atomic, result_name
from simsens.response.elasticity import elastic_moduli


def report(path: Path, settings: dict[str, Any]) -> None:
    """Compute what was asked for and is not stored, and write the page."""
    output = settings["output"] or Path(f"{result_name.stem(path)}.html")
    written.check_output(output, settings["overwrite"])
    stored, reference = again.load(path), settings["potential"]
    slope, moduli, modes, perturbed = stored.sensitivity, stored.moduli, stored.modes, None
    with Progress(settings["quiet"], verbose=False) as progress:
        if settings["check"]:
            tested = again.derivatives(stored, path, "--check")
            perturbed = again.perturbed(stored, path, reference, tested, settings["wrt"], progress)
        if settings["modes"] is not None:
            count = settings["modes"]
            modes = again.modes(stored, path, reference, count, count, progress)
        if settings["moduli"] and moduli is None:
            equilibrium = again.computed(stored, path, reference)
            progress.say("straining ...")
            with again.refusals():
                moduli = elastic_moduli(equilibrium)
        with again.refusals():
            page = plots.report(
                again.shown(stored), slope, modes=modes, moduli=moduli, perturbed=perturbed,
                provenance=stored.provenance,
            )  # fmt: skip
    with atomic.replacing(output, settings["overwrite"]) as temporary:
        temporary.write_text(page, encoding="utf-8")
    written.tell(output, again.doubt(stored), settings["quiet"])
