"""A file that grows: what is in it at every moment, and what is left when the run ends badly."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from simsens import io, packing, relax, sensitivity
from simsens.io import atomic, recording, result_name, runs, simsens_group
from simsens.io.errors import OutputExists, UnknownFormat, UnreadableFile, UnwritableFile
from simsens.particles.structure import InvalidStructure

SYSTEM = packing(number=16, seed=1)
FMAX = 1e-9


@pytest.fixture(scope="module")
def whole():
    return relax(SYSTEM, fmax=FMAX)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.h5md"


def recorded(path, every=10, slope=False, **options):
    with io.record(path, SYSTEM, every=every, **options) as record:
        equilibrium = relax(SYSTEM, fmax=FMAX, record=record)
        record.finish(equilibrium, sensitivity(equilibrium) if slope else None)
    return equilibrium


def cut_short(path, steps=40, every=10):
    """A run that has left a partial file with a state, as one that was killed."""
    with io.record(path, SYSTEM, every=every) as record:
        relax(SYSTEM, fmax=FMAX, steps=steps, throw=False, record=record)
    return result_name.partial(path)


# A run that goes well


def test_what_is_recorded_is_what_was_relaxed(path, whole):
    equilibrium = recorded(path, slope=True)
    np.testing.assert_array_equal(equilibrium.position, whole.position)
    stored = io.load(path)
    assert stored.status == "complete"
    np.testing.assert_array_equal(stored.structure.position, whole.position)
    np.testing.assert_array_equal(stored.start, SYSTEM.structure.position)
    assert stored.certificate.trusted
    with io.open(path) as result:
        steps = result.trajectory.step
        assert steps[:-1].tolist() == [*range(0, steps[-2] + 1, 10)]  # up to Newton's few steps
        assert whole.iterations - steps[-2] < 20
        assert steps[-1] == whole.iterations
        np.testing.assert_array_equal(result.trajectory[0], SYSTEM.structure.position)
        np.testing.assert_array_equal(result.trajectory[-1], whole.position)
        assert result.trajectory.max_force[-1] == whole.max_force
        assert (np.diff(result.trajectory.energy) < 0).sum() > 3
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_file_without_frames_is_that_of_write(path, whole):
    recorded(path, every=0)
    io.write(path.with_name("written.h5md"), whole)
    with h5py.File(path) as one, h5py.File(path.with_name("written.h5md")) as other:
        names: list[str] = []
        other.visit(names.append)
        for name in names:
            assert type(one[name]) is type(other[name])
            assert set(one[name].attrs) == set(other[name].attrs)
            if isinstance(one[name], h5py.Dataset) and name != "simsens/history/relax":
                assert np.array_equal(one[name][()], other[name][()]), name
        found: list[str] = []
        one.visit(found.append)
        assert found == names


@pytest.mark.parametrize("compression", ["none", "gzip", "lzf", "blosc2"])
def test_compressions(path, compression, whole):
    if compression == "blosc2":
        pytest.importorskip("hdf5plugin")
    recorded(path, compression=compression)
    with io.open(path) as result:
        np.testing.assert_array_equal(result.trajectory[-1], whole.position)
    with h5py.File(path) as file:
        value = file["particles/trajectory/position/value"]
        plan = value.id.get_create_plist()
        filters = [plan.get_filter(k)[0] for k in range(plan.get_nfilters())]
    numbers = {"none": [1], "gzip": [2, 1], "lzf": [2, 32000], "blosc2": [32026]}
    assert filters == numbers[compression]


def test_single_precision_is_of_the_trajectory_only(path, whole):
    recorded(path, slope=True, precision="float32")
    with io.open(path) as result:
        assert result.trajectory[-1].dtype == np.float32
        np.testing.assert_array_equal(result.trajectory[-1], np.float32(whole.position))
        np.testing.assert_array_equal(result.load().structure.position, whole.position)
        assert result.load().position_derivative.dtype == np.float64


def test_a_chunk_holds_one_frame_and_some_particles(tmp_path):
    """Written once, never again; and a particle's history is a part of the file."""
    many = packing(number=3000, seed=0)
    with io.record(tmp_path / "many.h5md", many, every=1) as record:
        for step in range(3):
            record.frame(step, many.structure.position, 0.0, 1.0)
    with h5py.File(tmp_path / "many.partial.h5md") as file:
        assert file["particles/trajectory/position/value"].chunks == (1, 1024, 3)
        assert file["particles/trajectory/species/value"].chunks == (1, 3000)


def test_the_relaxation_does_not_wait_for_the_disk(path):
    """Frames are taken while the disk stands still, and all of them arrive."""
    with io.record(path, SYSTEM, every=1) as record:
        still, write = threading.Event(), record._write
        record._write = lambda items: (still.wait(10), write(items))
        for step in range(20):
            record.frame(step, SYSTEM.structure.position, 0.0, 1.0)
        still.set()
    with io.open(result_name.partial(path)) as result:
        assert result.trajectory.step.tolist() == [*range(20)]


# A run that does not


def test_a_run_that_was_cut_short_goes_on(path, whole):
    place = cut_short(path)
    stored = io.load(place)
    assert (stored.status, stored.converged, stored.iterations) == ("running", False, 40)
    assert not path.exists()
    with io.open(place) as result:
        assert result.trajectory.step.tolist() == [0, 10, 20, 30, 40]
    np.testing.assert_array_equal(io.read(place).position, stored.structure.position)
    with io.resume(path, SYSTEM, every=10) as record:
        assert int(record.state["steps"]) == 40
        record.finish(relax(SYSTEM, fmax=FMAX, record=record, resume=record.state))
    recorded(path.with_name("other.h5md"))
    for name in ("run.h5md", "other.h5md"):
        np.testing.assert_array_equal(
            io.load(path.with_name(name)).structure.position, whole.position
        )
    with io.open(path) as one, io.open(path.with_name("other.h5md")) as other:
        np.testing.assert_array_equal(one.trajectory.step, other.trajectory.step)
        np.testing.assert_array_equal(one.trajectory[:], other.trajectory[:])
        np.testing.assert_array_equal(one.trajectory.energy, other.trajectory.energy)
    assert not place.exists()


def test_a_result_that_is_not_converged_goes_on(path, whole):
    with io.record(path, SYSTEM, every=7) as record:
        short = relax(SYSTEM, fmax=FMAX, steps=40, throw=False, record=record)
        record.finish(short)
    assert io.load(path).status == "not converged"
    before = path.read_bytes()
    with io.resume(path, SYSTEM, every=7) as record:
        assert path.read_bytes() == before  # until the run is whole
        record.finish(relax(SYSTEM, fmax=FMAX, record=record, resume=record.state))
    stored = io.load(path)
    assert stored.status == "complete"
    np.testing.assert_array_equal(stored.structure.position, whole.position)
    with io.open(path) as result:
        assert 40 not in result.trajectory.step  # the last frame of the first run, off the beat
    with h5py.File(path) as file:
        assert "checkpoint" not in file["simsens"]


def test_everybody_may_read_while_it_is_written(path):
    """The partial file is a copy that nobody writes to."""
    with io.record(path, SYSTEM, every=1) as record:
        for step in range(50):
            record.frame(step, SYSTEM.structure.position, 1.0, 1.0)
            record.keep({"steps": np.array(step), "position": SYSTEM.structure.position})
        seen, began = 0, time.monotonic()
        while seen < 50 and time.monotonic() - began < 30:
            with h5py.File(result_name.partial(path), "r") as file:  # locks and all
                seen = len(file["particles/trajectory/position/value"])
        assert seen == 50


def test_a_file_system_without_hard_links(path, monkeypatch, whole):
    def refuse(*unused):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(recording, "COMMIT_SECONDS", 0.0)
    recorded(path)
    np.testing.assert_array_equal(io.load(path).structure.position, whole.position)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_nothing_to_go_on_with(path):
    assert io.resume(path, SYSTEM) is None
    assert runs.earlier(path) is None


def test_a_result_that_is_complete_is_not_gone_on_with(path):
    recorded(path)
    before = path.read_bytes()
    with pytest.raises(OutputExists, match="is complete: there is nothing to go on with"):
        io.resume(path, SYSTEM, every=10)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_run_without_a_state_begins_anew(path):
    with io.record(path, SYSTEM, every=1) as record:
        record.frame(0, SYSTEM.structure.position, 1.0, 1.0)
        record.frame(1, SYSTEM.structure.position, 1.0, 1.0)
    with io.resume(path, SYSTEM, every=1) as record:
        assert record.state is None
    with io.open(result_name.partial(path)) as result:
        assert len(result.trajectory) == 0  # the new run writes them again


def test_a_run_that_died_before_it_got_its_name(path, monkeypatch):
    rename = atomic.rename
    monkeypatch.setattr(atomic, "rename", lambda a, b: rename(a, b) if b.name != path.name else 0)
    recorded(path)
    monkeypatch.undo()
    assert not path.exists()
    copy = path.with_name(f".{result_name.partial(path).name}.0123abcd.copy")
    copy.touch()  # which it had not removed either
    assert runs.earlier(path)["status"] == "complete"
    assert not copy.exists()
    assert io.load(path).converged
    assert not result_name.partial(path).exists()


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_killed_at_random_moments(tmp_path, compression):
    """A hundred times: it opens, what is committed is right, and it goes on to the same end."""
    kills = 100
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("killed.py"), tmp_path, str(kills), compression],
        capture_output=True, text=True, timeout=600, cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    killed, finished, frames, unopened = json.loads(done.stdout)
    assert killed == kills
    assert finished > 3  # by several that were killed and went on
    assert frames > 500  # were committed when they were, and right
    assert unopened < kills / 4


# Two at the same output


def refused(path):
    with pytest.raises(UnwritableFile, match="is being written by another process"):
        io.record(path, SYSTEM, overwrite=True)


def test_two_that_begin_at_once(path, monkeypatch):
    """From its first look to its end the output is that of whoever came first."""
    replacing, tried = atomic.replacing, []

    def late(place, **options):
        monkeypatch.undo()
        refused(path)
        tried.append(place)
        return replacing(place, **options)

    monkeypatch.setattr(atomic, "replacing", late)
    recorded(path)
    assert tried == [result_name.partial(path)]
    assert io.load(path).converged
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_many_that_begin_at_once(tmp_path):
    """One of them records; what it has committed never becomes less, and nothing else is left."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("rivals.py"), tmp_path],
        capture_output=True, text=True, timeout=300, cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rounds, others, left = json.loads(done.stdout)
    assert rounds > 5
    assert others == []
    assert left == []


def test_one_that_begins_while_another_ends(path, monkeypatch):
    """The file that takes the name is the one that was written."""
    rename, tried = atomic.rename, []

    def late(place, target):
        if target == path:
            refused(path)
            with pytest.raises(UnwritableFile, match="by another process"):
                runs.earlier(path)
            tried.append(target)
        rename(place, target)

    monkeypatch.setattr(atomic, "rename", late)
    recorded(path)
    assert tried == [path]
    assert io.load(path).converged


def test_one_that_begins_while_another_is_given_its_name(path, monkeypatch):
    rename = atomic.rename
    monkeypatch.setattr(atomic, "rename", lambda a, b: rename(a, b) if b != path else 0)
    recorded(path)

    def late(place, target):
        refused(path)
        rename(place, target)

    monkeypatch.setattr(atomic, "rename", late)
    assert runs.earlier(path)["status"] == "complete"
    assert io.load(path).converged


def test_one_that_begins_while_another_leaves_nothing(path, monkeypatch):
    unlink, tried = Path.unlink, []

    def late(place, **options):
        if place == result_name.partial(path):
            refused(path)
            tried.append(place)
        unlink(place, **options)

    with io.record(path, SYSTEM, every=1):
        monkeypatch.setattr(Path, "unlink", late)
    assert len(tried) == 1
    assert list(path.parent.iterdir()) == []


def test_one_that_ended_just_before(path, monkeypatch):
    """A result that came about between the first look and the lock is not replaced unasked."""
    handed_on = runs.handed_on

    def late(place):
        monkeypatch.undo()
        recorded(path, every=0)
        return handed_on(place)

    monkeypatch.setattr(runs, "handed_on", late)
    with pytest.raises(OutputExists, match="exists: choose"):
        io.record(path, SYSTEM)
    assert io.load(path).converged
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("what", ["TwoCopies", "_opened"])
def test_one_that_could_not_begin_keeps_nobody_out(path, monkeypatch, what):
    def refuse(*unused):
        raise UnwritableFile("Permission denied")

    monkeypatch.setattr(recording, what, refuse)
    with pytest.raises(ValueError if what == "_opened" else UnwritableFile, match="denied"):
        io.record(path, SYSTEM)
    monkeypatch.undo()
    recorded(path, overwrite=True)


# What is given


def test_what_is_given_may_be_written_over(path):
    """By a script that moves one array, while the disk stands still."""
    place, box = np.array(SYSTEM.structure.position), np.array(SYSTEM.structure.box)
    start, edges, energy, n = place.copy(), box.copy(), np.array(0.0), len(box)
    with io.record(path, SYSTEM, every=1) as record:
        still, write = threading.Event(), record._write
        record._write = lambda items: (still.wait(10), write(items))
        for step in range(5):
            record.frame(step, place, energy, energy, box)
            place += 100.0
            box *= 2.0
            energy += 1.0
        still.set()
    with io.open(result_name.partial(path)) as result:
        frames = result.trajectory
        for step in range(5):
            np.testing.assert_allclose(frames[step], start + 100.0 * step, rtol=1e-15)
            np.testing.assert_array_equal(frames.box[step][:n, :n], edges * 2.0**step)
        assert frames.energy.tolist() == frames.max_force.tolist() == [*range(5)]


@pytest.mark.parametrize(("step", "words"), [(4, "5 at least .* found 4"), (3, "found 3")])
def test_steps_that_do_not_rise(path, step, words):
    with io.record(path, SYSTEM, every=1) as record:
        record.frame(4, SYSTEM.structure.position, 0.0, 1.0)
        with pytest.raises(ValueError, match=f"the steps of frames must rise: .*{words}") as no:
            record.frame(step, SYSTEM.structure.position, 0.0, 1.0)
        assert "\n" not in str(no.value)
        record.frame(5, SYSTEM.structure.position, 0.0, 1.0)
    with io.open(result_name.partial(path)) as result:
        assert result.trajectory.step.tolist() == [4, 5]


def test_a_step_before_the_first(path):
    with (
        pytest.raises(ValueError, match="0 at least was needed, found -1"),
        io.record(path, SYSTEM, every=1) as record,
    ):
        record.frame(-1, SYSTEM.structure.position, 0.0, 1.0)


def test_steps_rise_when_a_run_is_gone_on_with(path):
    cut_short(path)
    with io.resume(path, SYSTEM, every=10) as record:
        with pytest.raises(ValueError, match="41 at least was needed, found 40"):
            record.frame(40, SYSTEM.structure.position, 0.0, 1.0)
        record.frame(50, SYSTEM.structure.position, 0.0, 1.0)


# The disk


def test_what_bears_the_name_is_on_the_disk(path, monkeypatch):
    """Before it does; and that it does, before the copy that bore it is written to."""
    seen, sync, replace_, write = [], os.fsync, Path.replace, os.pwrite

    def synced(descriptor):
        seen.append(("synced", os.fstat(descriptor).st_ino))
        sync(descriptor)

    def named(place, target):
        seen.append(("named", place.stat().st_ino))
        return replace_(place, target)

    def written(descriptor, *arguments):
        seen.append(("written", os.fstat(descriptor).st_ino))
        return write(descriptor, *arguments)

    def copied(source, target, *unused):
        seen.append(("written", os.fstat(target).st_ino))
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", named)
    monkeypatch.setattr(os, "pwrite", written)
    monkeypatch.setattr(os, "copy_file_range", copied)
    with io.record(path, SYSTEM, every=1) as record:
        for step in range(3):
            record.frame(step, SYSTEM.structure.position, 0.0, 1.0)
            record.keep({"steps": np.array(step), "position": SYSTEM.structure.position})
    monkeypatch.undo()
    names = [k for k, (what, _) in enumerate(seen) if what == "named"]
    assert len(names) > 3
    for k in names:
        assert seen[k - 1] == ("synced", seen[k][1])
    for k in names[1:-1]:  # of the first and the last the folder matters to nobody
        assert seen[k + 1] == ("synced", path.parent.stat().st_ino)


def full(monkeypatch, after):
    """A disk that is full after so many writes."""
    written, write = [], os.pwrite

    def refuse(*arguments):
        written.append(arguments)
        if len(written) > after:
            raise OSError(28, "No space left on device")
        return write(*arguments)

    monkeypatch.setattr(os, "pwrite", refuse)


@pytest.mark.parametrize("after", [0, 1, 10, 50, 100])
def test_a_full_disk_leaves_what_was_committed(path, monkeypatch, after, whole):
    recorded(path, every=0)
    before = path.read_bytes()

    def fill():
        with io.record(path, SYSTEM, every=1, overwrite=True) as record:
            full(monkeypatch, after)
            record.finish(relax(SYSTEM, fmax=FMAX, record=record))

    with pytest.raises(UnwritableFile, match=r"No space left.*make room, then go on") as caught:
        fill()
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert io.load(result_name.partial(path)).status == "running"
    with io.resume(path, SYSTEM, every=1) as record:
        record.finish(relax(SYSTEM, fmax=FMAX, record=record, resume=record.state))
    np.testing.assert_array_equal(io.load(path).structure.position, whole.position)


def test_a_disk_that_is_really_full(tmp_path, monkeypatch):
    """A file system of its own, of one megabyte, where this may be had."""
    monkeypatch.setattr(recording, "COMMIT_SECONDS", 0.0)
    small = tmp_path / "small"
    small.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        path = small / "run.h5md"

        def fill():
            with io.record(path, SYSTEM, every=1, compression="none") as record:
                for step in range(10_000):
                    record.frame(step, SYSTEM.structure.position, 0.0, 1.0)

        with pytest.raises(UnwritableFile, match="No space left"):
            fill()
        with io.open(result_name.partial(path)) as result:
            assert 10 < len(result.trajectory) < 2000
            np.testing.assert_array_equal(result.trajectory[-1], SYSTEM.structure.position)
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_another_process_is_writing(path):
    with io.record(path, SYSTEM, every=1) as record:
        record.frame(0, SYSTEM.structure.position, 1.0, 1.0)
        code = (
            "import sys; from simsens.io import runs\n"
            "try: runs.earlier(sys.argv[1])\n"
            "except OSError as error: print(type(error).__name__, error)"
        )
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert done.stdout.startswith("UnwritableFile"), done
    assert "is being written by another process" in done.stdout


# What is refused


def test_what_a_run_has_left_is_not_replaced_unasked(path):
    place = cut_short(path)
    before = place.read_bytes()
    with pytest.raises(OutputExists, match=r"--resume .*--overwrite"):
        io.record(path, SYSTEM)
    assert place.read_bytes() == before
    recorded(path, overwrite=True)
    assert not place.exists()


def test_an_output_is_not_replaced_unasked(path):
    recorded(path)
    with pytest.raises(OutputExists, match="exists: choose"):
        io.record(path, SYSTEM)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"units": "imperial"}, ValueError, "known are reduced, metal"),
        ({"compression": "zip"}, UnknownFormat, "known are gzip, none, lzf, blosc2"),
        ({"precision": "float16"}, UnknownFormat, "known are float64, float32"),
        ({"every": -1}, ValueError, "cannot be -1"),
    ],
)
def test_options_that_make_no_sense(path, options, error, words):
    with pytest.raises(error, match=words):
        io.record(path, SYSTEM, **options)
    assert list(path.parent.iterdir()) == []


def test_names_and_folders(tmp_path):
    with pytest.raises(UnknownFormat, match=r"\.h5md or \.h5"):
        io.record(tmp_path / "run.xyz", SYSTEM)
    with pytest.raises(UnwritableFile, match="no folder"):
        io.record(tmp_path / "no" / "run.h5md", SYSTEM)


def test_a_result_that_cannot_be_stored_leaves_the_partial_file(path, whole):
    broken = np.array(whole.position)
    broken[2, 0] = np.nan

    def fill():
        with io.record(path, SYSTEM) as record:
            record.keep({"steps": np.array(3), "position": SYSTEM.structure.position})
            record.finish(replace(whole, system=whole.system.with_position(broken)))

    with pytest.raises(InvalidStructure, match="minimum cannot be stored"):
        fill()
    assert not path.exists()
    assert io.load(result_name.partial(path)).status == "running"


@pytest.mark.parametrize("error", [ValueError("cannot be stored"), KeyboardInterrupt()])
def test_half_a_result_is_not_committed(path, whole, monkeypatch, error):
    """The partial file stays that of a run, which can be read and gone on with."""
    half = simsens_group._write_minimum

    def fail(*arguments):
        half(*arguments)
        raise error

    monkeypatch.setattr(simsens_group, "_write_minimum", fail)
    with pytest.raises(type(error)):
        recorded(path)
    monkeypatch.undo()
    stored = io.load(result_name.partial(path))
    assert (stored.status, stored.iterations) == ("running", whole.iterations)
    with io.resume(path, SYSTEM, every=10) as record:
        record.finish(relax(SYSTEM, fmax=FMAX, record=record, resume=record.state))
    np.testing.assert_array_equal(io.load(path).structure.position, whole.position)


def test_a_name_that_cannot_be_given_is_told(path, monkeypatch):
    """The folder was taken away in the middle: what was committed before stays."""

    def fill():
        with io.record(path, SYSTEM, every=1) as record:
            record.frame(1, SYSTEM.structure.position, 0.0, 1.0)
            record.keep({"steps": np.array(1), "position": SYSTEM.structure.position})
            record._queue.put(None)
            record._thread.join()
            monkeypatch.setattr(Path, "replace", refuse)

    def refuse(*unused):
        raise PermissionError(13, "Permission denied")

    with pytest.raises(UnwritableFile, match="Permission denied"):
        fill()
    monkeypatch.undo()
    assert [p.name for p in path.parent.iterdir()] == [result_name.partial(path).name]
    with io.open(result_name.partial(path)) as result:
        assert result.trajectory.step.tolist() == [1]


def test_a_file_of_somebody_else_is_not_gone_on_with(path):
    path.write_bytes(b"not HDF5")
    with pytest.raises(UnreadableFile, match="cannot be read as HDF5"):
        runs.earlier(path)


def test_nothing_is_left_of_a_run_that_kept_nothing(path):
    def interrupted():
        with io.record(path, SYSTEM, every=10) as record:
            record.frame(0, SYSTEM.structure.position, 1.0, 1.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(path.parent.iterdir()) == []


def test_a_signal_handler_may_ask(path):
    with io.record(path, SYSTEM, every=1) as record:
        assert not record.due()
        before = signal.signal(signal.SIGUSR1, lambda *unused: record.ask())
        try:
            signal.raise_signal(signal.SIGUSR1)
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert record.due()
        record.keep({"steps": np.array(3), "position": SYSTEM.structure.position})
        assert not record.due()
