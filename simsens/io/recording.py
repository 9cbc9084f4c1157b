"""A result file that grows while the relaxation runs, and survives whatever ends the run.

The run is written to ``NAME.partial.h5md``, which takes the name ``NAME.h5md`` in one step when
everything is in it: under its own name a result is there whole or not at all, and a former one
stays until then. The partial file is whole at every moment too (``two_copies``), and holds the
frames and the state to go on from (``checkpoint``) that were committed last. A thread of its own
writes, so that the relaxation does not wait for the disk.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from simsens.io import atomic, checkpoint, h5md, quiet_file, simsens_group, trajectory_group
from simsens.io.errors import UnwritableFile
from simsens.io.lock import Lock
from simsens.io.opened import told
from simsens.io.result_name import partial
from simsens.io.two_copies import TwoCopies
from simsens.particles.structure import Structure, check

if TYPE_CHECKING:
    from simsens.response.elasticity import ElasticModuli
    from simsens.response.equilibrium import Equilibrium
    from simsens.response.modes import NormalModes
    from simsens.response.sensitivity import Sensitivity

COMMIT_SECONDS = 1.0  # between commits
STATE_SECONDS = 5.0  # between states to go on from
WAITING_BYTES = 2**27  # of frames that wait for the disk; then the relaxation waits
AT_ONCE_BYTES = 2**22  # of frames that are written together


class Recording:
    """Takes the frames and states of a relaxation, and its result; see ``io.record``.

    Attributes:
        every: steps from one frame to the next, 0 for none but the first and the last.
        state: to go on from, where an earlier run was found; ``None`` otherwise.
        worth: whether there is anything to go on with; if not, nothing is left of a run that ends
            before it was finished.
    """

    def __init__(
        self, path: Path, structure: Structure, every: int, lock: Lock, resumed: bool = False
    ) -> None:
        self.path, self.every, self.state = path, every, None
        self.partial = partial(path)
        self._structure, self._resumed, self._lock = structure, resumed, lock
        self._copies = TwoCopies(self.partial)
        try:
            with told(self.partial):
                self._file = _opened(self._copies, every, resumed)
        except BaseException:
            self._copies.release()
            raise
        if resumed:
            self.state = checkpoint.read(self._file)
        steps = self._file[trajectory_group.STEP]
        self._last = int(steps[-1]) if len(steps) else -1
        frame = structure.number * 24
        self._at_once = max(1, min(256, AT_ONCE_BYTES // max(frame, 1)))
        self._queue: queue.Queue[Any] = queue.Queue(max(2, WAITING_BYTES // max(frame, 2**16)))
        self._error: BaseException | None = None
        self._wanted, self._kept, self._committed = False, time.monotonic(), time.monotonic()
        self._closed = self._told = self._finished = False
        self.worth = resumed
        self._thread = threading.Thread(target=self._work, name="simsens-recording", daemon=True)
        self._thread.start()

    # What the relaxation calls.

    def frame(
        self, step: int, position: Any, energy: float, max_force: float, box: Any = None
    ) -> None:
        """Take a frame.

        What is given is copied: the caller may write over it at once.

        Args:
            step: larger than that of the frame before.
            position: ``[particle, dimension]``, not wrapped into the box.
            energy: the potential energy.
            max_force: the largest force on a free particle.
            box: of this frame, as of ``Structure``, where it differs from the system's, in a
                script that deforms it.

        Raises:
            UnwritableFile: the disk is full, or fails.
            InvalidStructure: a box of another shape, or for a system that has none.
            ValueError: a step that is not larger.
        """
        self._check()
        if step <= self._last:
            raise ValueError(
                f"the steps of frames must rise: {self._last + 1} at least was needed, found"
                f" {step}; count on from the frame before"
            )
        if box is not None:
            deformed = self._structure.with_box(np.array(box))
            check(deformed)
            box = deformed.box
        self.worth |= step > 0
        self._last = int(step)
        self._queue.put((int(step), np.array(position), float(energy), float(max_force), box))

    def due(self) -> bool:
        """Whether a state is wanted: one is every few seconds, and when ``ask`` was called.

        Raises:
            UnwritableFile: the disk is full, or fails.
        """
        self._check()
        return self._wanted or time.monotonic() - self._kept > STATE_SECONDS

    def keep(self, state: Mapping[str, Any]) -> None:
        """Take a state to go on from, and commit."""
        self._wanted, self._kept, self.worth = False, time.monotonic(), True
        self._queue.put({name: np.array(value) for name, value in state.items()})

    def ask(self) -> None:
        """Have everything committed as soon as the relaxation comes by; safe in a signal."""
        self._wanted = True

    # What its owner calls.

    def finish(
        self,
        equilibrium: Equilibrium,
        sensitivity: Sensitivity | None = None,
        *,
        moduli: ElasticModuli | None = None,
        modes: NormalModes | None = None,
        provenance: Mapping[str, Any] | None = None,
        status: str | None = None,
    ) -> None:
        """Write the result; the file takes its name.

        Args:
            equilibrium: the minimum, or what was reached.
            sensitivity: its derivatives.
            moduli: its elastic moduli.
            modes: its normal modes.
            provenance: what was not known at the beginning.
            status: ``"interrupted"``; by default whether the equilibrium converged.

        Raises:
            UnwritableFile: the disk is full, or fails. What was committed is in the partial file.
            ValueError: a result whose arrays do not fit each other.
        """
        simsens_group.check_result(equilibrium, sensitivity)
        h5md.check_finite(equilibrium)
        for row in h5md.ends(equilibrium, self._last):
            self.frame(*row)
        self._join()
        self._commit()
        self._check()
        try:
            simsens_group.write_provenance(self._file["simsens/provenance"], provenance or {})
            h5md.complete(self._file, equilibrium, sensitivity, moduli, modes, status)
            if self._file["simsens"].attrs["status"] == "complete":
                checkpoint.remove(self._file)
        except BaseException as error:  # half a result is not committed
            self._error = error
            raise
        self._close()
        self._check()
        try:
            atomic.rename(self.partial, self.path)
        except OSError as error:
            self._error = error
            self._check()
        self._lock.release()
        self._finished = True

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, kind: object, *unused: object) -> None:
        """Commit what there is, and leave it in the partial file unless the run was finished.

        Raises:
            UnwritableFile: it cannot be committed, and nothing else has gone wrong before.
        """
        self._join()
        self._close()
        if not (self._finished or self.worth or self._error):
            self.partial.unlink(missing_ok=True)
        self._lock.release()
        if kind is None and not self._told:
            self._check()

    # The thread.

    def _work(self) -> None:
        while True:
            items = [self._queue.get()]
            with suppress(queue.Empty):
                while len(items) < self._at_once:
                    items.append(self._queue.get_nowait())
            if self._error is None:
                try:
                    self._write([item for item in items if item is not None])
                except BaseException as error:  # told to the relaxation at its next word
                    self._error = error
            if None in items:
                return

    def _write(self, items: list[Any]) -> None:
        """Frames and states in the order they came; a state comes after the frames before it."""
        frames: list[Any] = []
        for item in [*items, None]:
            if isinstance(item, tuple):
                frames.append(item)
                continue
            if frames:
                rows = h5md.stacked(frames)
                trajectory_group.append(self._file, self._structure, rows)
                frames = []
            if item is not None:
                checkpoint.write(self._file, item)
                self._commit()
        if time.monotonic() - self._committed > COMMIT_SECONDS:
            self._commit()

    def _commit(self) -> None:
        self._file["simsens"].attrs["n_committed"] = trajectory_group.count(self._file)
        self._file.flush()
        self._copies.commit()
        self._committed = time.monotonic()

    # Ends.

    def _join(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _close(self) -> None:
        """Close the file with what is in it committed, unless that failed."""
        if self._closed:
            return
        self._closed = True
        self._file["simsens"].attrs["n_committed"] = trajectory_group.count(self._file)
        self._file.close()
        if self._error is None:
            self._copies.commit(last=True)
        self._copies.release()

    def _check(self) -> None:
        self._error = self._error or self._copies.error
        if self._error is None:
            return
        self._told = True
        self._join()
        self._close()
        self._lock.release()
        if not isinstance(self._error, OSError):
            raise self._error
        raise UnwritableFile(
            f"{self.partial} cannot be written: {atomic.reason(self._error)}; make room, then go on"
            " with --resume (io.resume) from what was committed"
        ) from self._error


def _opened(copies: TwoCopies, every: int, resumed: bool) -> h5py.File:
    """The file to write to, rewound to its state if a run is resumed."""
    file = h5py.File(copies, "r+", libver=quiet_file.LIBRARY)
    try:
        if resumed:
            _rewind(file, every)
    except BaseException:
        file.close()  # before the copies are let go of, to which it may still write
        raise
    return file


def _rewind(file: h5py.File, every: int) -> None:
    """Take from the file what the run will write again."""
    state, root = checkpoint.read(file), file["simsens"]
    step = -1 if state is None else int(state["steps"])
    for name in simsens_group.RESULTS:
        if name in root:
            del root[name]
    root.attrs["status"] = "running"
    root.attrs.pop("digest", None)  # which is of a run that has ended
    steps = file[trajectory_group.STEP][:]
    # Those up to the state, at the run's own beat; the last one of a run that ended is off it.
    good = (steps <= step) & (steps % every == 0 if every else steps == 0)
    trajectory_group.truncate(file, len(good) if good.all() else int(np.argmin(good)))
    root.attrs["n_committed"] = trajectory_group.count(file)
