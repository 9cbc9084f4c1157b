"""The file of a run: begun, gone on with, and what is known of an earlier one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simsens.io import (
    atomic,
    filters,
    guarded,
    h5md,
    quiet_file,
    result_name,
    same_system,
    schema,
    two_copies,
)
from simsens.io.errors import AnotherSystem, OutputExists, UnknownFormat
from simsens.io.lock import Lock, handed_on
from simsens.io.opened import opened
from simsens.io.recording import Recording
from simsens.io.result_name import partial
from simsens.io.units import check_units

if TYPE_CHECKING:
    from simsens.particles.system import System

PRECISIONS = {"float64": np.float64, "float32": np.float32}


def record(
    path: str | os.PathLike[str],
    system: System,
    *,
    every: int = 0,
    units: str = "reduced",
    overwrite: bool = False,
    provenance: Mapping[str, Any] | None = None,
    compression: str = "gzip",
    precision: str = "float64",
) -> Recording:
    """Begin the file of a relaxation: frames as it runs, the result when it has ended.

    The run is written to ``NAME.partial.h5md`` by a thread of its own; ``finish`` gives it its
    name. A run that was killed leaves that file with all that was committed, see ``resume``.

    Args:
        path: the output, ``.h5md`` or ``.h5``.
        system: what will be relaxed.
        every: steps from one frame to the next; 0 keeps the start and the end only.
        units: as of ``write``.
        overwrite: whether a file of this name, or what a killed run has left, may be replaced.
        provenance: as of ``write``.
        compression: as of ``write``.
        precision: of the positions in the trajectory, ``"float64"`` or ``"float32"``; the
            minimum and its derivatives are never rounded.

    Raises:
        UnknownFormat: another end of the name, an unknown compression or precision.
        OutputExists: the file is there, or a run that did not end.
        UnwritableFile: no such folder, no permission, no space left; another process writes it.

    Example:
        >>> import tempfile
        >>> from simsens.io.result_file import ResultFile
        >>> from simsens.particles.packing import packing
        >>> from simsens.response.relaxation import relax
        >>> path, system = Path(tempfile.mkdtemp()) / "run.h5md", packing(number=16)
        >>> with record(path, system, every=10) as recording:
        ...     recording.finish(relax(system, fmax=1e-3, record=recording))
        >>> with ResultFile(path) as result:
        ...     result.trajectory.step[:3].tolist()
        [0, 10, 20]
    """
    result_name.check(path)
    target, place = Path(path), partial(path)
    check_units(units)
    filters.options(compression)
    if precision not in PRECISIONS:
        raise UnknownFormat(f"unknown precision {precision!r}; known are {', '.join(PRECISIONS)}")
    if every < 0:
        raise ValueError(f"the steps between frames cannot be {every}; 0 keeps none")
    atomic.check_output(target, overwrite)
    with handed_on(place) as lock:
        # Asked again: a run may have ended before the lock was had.
        atomic.check_output(target, overwrite)
        if place.exists() and not overwrite:
            raise OutputExists(
                f"{place} is there, from a run that did not end: go on with it by --resume"
                " (io.resume), or begin anew with --overwrite (overwrite=True)"
            )
        structure = system.structure
        start = np.asarray(structure.position)
        with (
            atomic.replacing(place, overwrite=True) as temporary,
            quiet_file.writing(temporary) as file,
        ):
            kind = PRECISIONS[precision]
            h5md.begin(file, system, start, units, provenance or {}, compression, kind)
        return Recording(target, structure, every, lock)


def resume(path: str | os.PathLike[str], system: System, *, every: int = 0) -> Recording | None:
    """Go on with the file of a run that did not end; ``None`` where there is none.

    Hand its ``state`` to ``relax(system, record=recording, resume=recording.state)``; the result is
    that of a run that never stopped. The system must be the one that was relaxed; its particles may
    be anywhere.

    Raises:
        UnknownFormat: another end of the name.
        OutputExists: the run has ended, and its result is complete.
        AnotherSystem: naming what differs from the system that was relaxed.
        UnreadableFile: what is there is no result.
        UnwritableFile: another process is writing it.
    """
    result_name.check(path)
    target, place = Path(path), partial(path)
    if not (place.exists() or target.exists()):
        return None
    with handed_on(place) as lock:
        before = _earlier(target, place)
        if before is None:
            lock.release()
            return None
        if before["status"] == "complete":
            raise OutputExists(f"{path} is complete: there is nothing to go on with")
        _check_same(place if place.exists() else target, system)
        if not place.exists():
            with atomic.replacing(place) as temporary:
                shutil.copyfile(target, temporary)
        return Recording(target, system.structure, every, lock, resumed=True)


def earlier(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What is known of an earlier run with this output: its provenance, and its ``status``.

    A run that was whole but had not got its name when it was killed gets it now.

    Raises:
        UnreadableFile: the file there is no result, or of another schema.
        UnwritableFile: another process is writing it.
    """
    target, place = Path(path), partial(path)
    if not place.exists():  # nothing will be written: a folder of somebody else will do
        return _facts(target) if target.exists() else None
    with Lock(place):
        return _earlier(target, place)


def _earlier(target: Path, place: Path) -> dict[str, Any] | None:
    """As ``earlier``, with the lock held."""
    if not place.exists():
        return _facts(target) if target.exists() else None
    facts = _facts(place)
    if facts["status"] == "complete":
        atomic.rename(place, target)
        two_copies.remove_left(place)
    return facts


def _facts(found: Path) -> dict[str, Any]:
    with opened(found) as root:
        if guarded.attribute(root, "schema_version") != schema.VERSION:
            raise guarded.Refused("was written by an older simsens; begin anew with --overwrite")
        facts = guarded.attributes(guarded.group(root, "provenance"))
        facts["status"] = str(guarded.attribute(root, "status"))
    return facts


def _check_same(found: Path, system: System) -> None:
    with opened(found) as root:
        difference = same_system.difference(root, system)
    if difference:
        raise AnotherSystem(
            f"{found} was begun with another system: {difference}; give the one it was begun with,"
            " or begin anew with --overwrite (io.record, overwrite=True)"
        )
