"""Exports, read back by other programs and compared to the last bit."""

import base64
import csv
import importlib.util
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from xml.etree import ElementTree

import ase.io
import numpy as np
import pytest

from simsens import io
from simsens.io import atomic, exports, extxyz, frame_blocks, tables
from simsens.io.errors import OutputExists, UnknownFormat, UnreadableFile, UnwritableFile
from simsens.io.exports import EXPORTS, CannotExport, Choices, export
from simsens.io.plain_words import plain_words
from simsens.io.result_file import ResultFile
from simsens.io.trajectory import Trajectory
from simsens.particles.parameters import UnknownParameter
from tests.io.conftest import make_certificate, make_equilibrium, make_sensitivity, make_structure

FRAMES = 7


def stored_result(folder, slope=True, trusted=True, frames=0, names=None, **structure):
    """A file with a result made by hand, and frames on the way to it."""
    equilibrium = make_equilibrium(make_structure(**structure))
    found = make_sensitivity(equilibrium, names, trusted) if slope else None
    path = folder / "result.h5md"
    with io.record(path, equilibrium.system, every=1) as record:
        for frame in range(frames):
            there = equilibrium.start + frame / 7
            record.frame(frame, there, 3.0 / (frame + 3), 0.1 / (frame + 1))
        record.finish(equilibrium, found)
    return path


def exported(path, name, **choices):
    target = path.parent / name
    with io.open(path) as result:
        export(result, target, Choices(**choices))
    return target


def loaded(path):
    """The arrays of an archive, by name."""
    with np.load(path, allow_pickle=False) as found:
        return {name: found[name] for name in found}


@pytest.fixture
def result(tmp_path):
    return stored_result(tmp_path, frames=FRAMES)


# Extended XYZ


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("names", [("A", "B"), ("Ar", "Kr"), ("bead1",), ("C", "α")])
def test_our_reader_gets_the_structure_back(tmp_path, same_structure, dimension, periodic, names):
    structure = make_structure(dimension, periodic, names, [True, False, False, True, False, False])
    equilibrium = make_equilibrium(structure)
    io.write(tmp_path / "r.h5md", equilibrium, make_sensitivity(equilibrium))
    same_structure(io.read(exported(tmp_path / "r.h5md", "x.extxyz")), structure)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("names", [("A", "B"), ("Ar", "Kr")])
def test_ase_gets_every_number_back(tmp_path, same_structure, dimension, names):
    structure = make_structure(dimension, names=names, fixed=[True] + 5 * [False])
    equilibrium = make_equilibrium(structure)
    io.write(tmp_path / "r.h5md", equilibrium, make_sensitivity(equilibrium))
    stored = io.load(tmp_path / "r.h5md")
    second = stored.parameters[1]
    atoms = ase.io.read(exported(tmp_path / "r.h5md", "x.extxyz", wrt=second, scale=0.1))
    same_structure(io.from_ase(atoms), structure)
    words = plain_words(stored.parameters)
    for k, name in enumerate(stored.parameters):
        column = atoms.arrays[f"sens_{words[name]}"]
        assert np.array_equal(column[:, :dimension], stored.position_derivative[..., k])
        assert not column[:, dimension:].any()
        assert atoms.info[f"theta_{words[name]}"] == stored.theta[name]
    shown = 0.1 * stored.position_derivative[..., 1]
    assert np.array_equal(atoms.arrays["disp"][:, :dimension], shown)
    assert np.flatnonzero(atoms.arrays["rattler"]).tolist() == stored.rattlers.tolist() == [4]
    assert atoms.get_potential_energy() == stored.energy
    assert atoms.info["max_force"] == stored.max_force
    assert atoms.info["disp_wrt"] == second
    assert atoms.info["disp_scale"] == 0.1
    assert atoms.info["trusted"] is True
    assert atoms.info["reason"] == stored.certificate.reason


def test_the_first_parameter_is_shown_unless_another_is_named(result):
    stored = io.load(result)
    atoms = ase.io.read(exported(result, "x.xyz"), format="extxyz")
    assert np.array_equal(atoms.arrays["disp"], stored.position_derivative[..., 0])
    assert atoms.info["disp_wrt"] == stored.parameters[0]


def test_a_scale_of_zero_is_a_scale(result):
    assert not ase.io.read(exported(result, "x.extxyz", scale=0.0)).arrays["disp"].any()


def test_without_derivatives_there_is_the_structure(tmp_path):
    atoms = ase.io.read(exported(stored_result(tmp_path, slope=False), "x.extxyz"))
    assert set(atoms.arrays) == {"numbers", "positions", "simsens_species"}
    assert "trusted" not in atoms.info
    assert atoms.info["converged"] is True


def test_a_doubtful_verdict_travels_with_its_reason(tmp_path):
    path = stored_result(tmp_path, trusted=False)
    info = ase.io.read(exported(path, "x.extxyz")).info
    assert info["trusted"] is False
    assert info["reason"] == "a negative mode"


def test_words_that_mean_something_to_a_reader_are_made_harmless(tmp_path):
    equilibrium = make_equilibrium(make_structure())
    slope = make_sensitivity(equilibrium)
    reason = 'a "quoted" \\ word,\n pbc="F F F" = {3}'
    slope = replace(slope, certificate=replace(make_certificate(3), reason=reason))
    io.write(tmp_path / "r.h5md", equilibrium, slope)
    path = exported(tmp_path / "r.h5md", "x.extxyz")
    assert io.read(path).boundary == (True, True, True)
    assert ase.io.read(path).info["reason"] == "a 'quoted' / word, pbc='F F F' = {3}"


def test_units_are_told_where_they_are_physical(tmp_path):
    equilibrium = make_equilibrium(make_structure())
    io.write(tmp_path / "r.h5md", equilibrium, units="metal")
    assert ase.io.read(exported(tmp_path / "r.h5md", "x.extxyz")).info["units"] == "metal"


def test_numbers_that_are_none_are_left_out(tmp_path):
    """Nothing is known yet of a run that has just begun."""
    system = make_equilibrium(make_structure()).system
    with io.record(tmp_path / "r.h5md", system) as record:  # and a state, for nothing is kept else
        record.keep({"steps": np.array(0), "position": system.structure.position})
    comment = exported(tmp_path / "r.partial.h5md", "x.extxyz").read_text().splitlines()[1]
    assert "energy=" not in comment
    assert "nan" not in comment
    assert "converged=F" in comment


OVITO = """
import json, sys
import numpy as np
from ovito.io import import_file
pipeline = import_file(sys.argv[1])
data = pipeline.compute()
print(json.dumps({
    "arrows": type(data.particles.displacement.vis).__name__,
    "disp": np.asarray(data.particles.displacement).tolist(),
    "sens": np.asarray(data.particles["sens_diameter_B"]).tolist(),
    "position": np.asarray(data.particles.positions).tolist(),
    "names": [t.name for t in data.particles.particle_types.types],
    "periodic": list(map(bool, data.cell.pbc)),
    "attributes": {k: v for k, v in data.attributes.items() if not k.startswith("Source")},
}))
"""


@pytest.mark.skipif(
    importlib.util.find_spec("ovito") is None,
    reason="needs OVITO: pip install ovito (half a gigabyte)",
)
def test_ovito_has_arrows_for_the_derivative(tmp_path):
    path = stored_result(tmp_path, dimension=2)
    stored = io.load(path)
    target = exported(path, "x.extxyz", wrt="diameter[B]")
    run = subprocess.run([sys.executable, "-c", OVITO, target], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout.splitlines()[-1])
    k = stored.parameters.index("diameter[B]")
    assert seen["arrows"] == "VectorVis"
    same = {"disp": stored.position_derivative[..., k], "position": stored.structure.position}
    for name, array in {**same, "sens": same["disp"]}.items():
        # OVITO's parser of numbers does not round to the nearest.
        np.testing.assert_allclose(np.array(seen[name])[:, :2], array, rtol=1e-15)
        assert not np.array(seen[name])[:, 2].any()
    assert seen["names"] == ["A", "B"]
    assert seen["periodic"] == [True, True, False]
    assert seen["attributes"]["theta_diameter_B"] == stored.theta["diameter[B]"]
    assert seen["attributes"]["trusted"] in (1, True)


# Trajectories


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (None, range(FRAMES + 1)),
        (slice(1, 6, 2), [1, 3, 5]),
        (slice(-2, None), [6, 7]),
        (slice(None, None, -1), range(FRAMES, -1, -1)),
        (slice(None, None, -3), [7, 4, 1]),
        (slice(2, 3), [2]),
        (slice(0, 10**15), range(FRAMES + 1)),
    ],
)
@pytest.mark.parametrize("at_once", [1, 2**25, 400])
def test_frames_are_those_of_a_slice(result, monkeypatch, frames, expected, at_once):
    """However many are read together."""
    monkeypatch.setattr(frame_blocks, "AT_ONCE", at_once)
    target = exported(result, "x.extxyz", what="trajectory", frames=frames)
    atoms = ase.io.read(target, ":")
    arrays = loaded(exported(result, "x.npz", what="trajectory", frames=frames))
    with io.open(result) as opened:
        trajectory = opened.trajectory
        assert len(trajectory) == FRAMES + 1
        assert len(atoms) == len(expected)
        for k, (frame, at) in enumerate(zip(expected, atoms)):
            assert np.array_equal(at.positions, trajectory[frame])
            assert np.array_equal(arrays["trajectory/position"][k], trajectory[frame])
            assert at.info["step"] == trajectory.step[frame] == arrays["trajectory/step"][k]
            assert at.get_potential_energy() == trajectory.energy[frame]
            assert at.info["max_force"] == trajectory.max_force[frame]
            assert arrays["trajectory/energy"][k] == trajectory.energy[frame]
    assert "sens_d" not in target.read_text()  # derivatives are those of the minimum


@pytest.mark.parametrize("name", ["x.extxyz", "x.npz"])
def test_a_trajectory_is_never_held_whole(result, monkeypatch, name):
    asked = []
    whole = Trajectory.__getitem__

    def watched(self, which):
        asked.append(len(range(len(self))[which]) if isinstance(which, slice) else 1)
        return whole(self, which)

    monkeypatch.setattr(Trajectory, "__getitem__", watched)
    monkeypatch.setattr(frame_blocks, "AT_ONCE", 2 * 6 * 24)
    exported(result, name, what="trajectory")
    assert max(asked) == 2
    assert sum(asked) >= FRAMES + 1


def test_a_frame_of_ovito_and_ours_is_a_structure(result, same_structure):
    target = exported(result, "x.extxyz", what="trajectory")
    with io.open(result) as opened:
        same_structure(io.read(target, 3), opened.trajectory.structure(3))


# VTK


def arrays_of(path):
    """Name to array, decoded by the words of the format's specification."""
    found = {}
    for element in ElementTree.parse(path).getroot().iter("DataArray"):
        raw = base64.b64decode(element.text, validate=True)
        assert int.from_bytes(raw[:8], "little") == len(raw) - 8
        kinds = {"Float64": "<f8", "Int32": "<i4", "Int64": "<i8", "UInt8": "u1"}
        array = np.frombuffer(raw[8:], kinds[element.get("type")])
        parts = int(element.get("NumberOfComponents", 1))
        found[element.get("Name")] = array.reshape(-1, parts) if parts > 1 else array
    return found


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_vtp_file_holds_every_number(tmp_path, dimension):
    path = stored_result(tmp_path, dimension=dimension, fixed=[True] + 5 * [False])
    stored, found = io.load(path), arrays_of(exported(path, "x.vtp"))
    assert np.array_equal(found["position"][:, :dimension], stored.structure.position)
    assert found["species"].tolist() == [0, 1, 0, 1, 0, 1]
    assert found["fixed"].tolist() == [1, 0, 0, 0, 0, 0]
    assert found["rattler"].tolist() == [0, 0, 0, 0, 1, 0]
    assert found["connectivity"].tolist() == list(range(6))
    assert found["offsets"].tolist() == list(range(1, 7))
    for k, word in enumerate(plain_words(stored.parameters).values()):
        vectors = found[f"sens_{word}"]
        assert vectors.shape == (6, 3)
        assert np.array_equal(vectors[:, :dimension], stored.position_derivative[..., k])
        assert not vectors[:, dimension:].any()
        assert found[f"theta_{word}"][0] == list(stored.theta.values())[k]
    assert found["energy"][0] == stored.energy
    assert found["trusted"].tolist() == [1]


@pytest.mark.filterwarnings("ignore")  # what VTK's own modules warn of
def test_vtk_reads_it(tmp_path):
    pytest.importorskip("vtkmodules", reason="needs VTK: pip install vtk (half a gigabyte)")
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

    path = stored_result(tmp_path, names=("diameter[A]", "diameter[B]", 'e<"&'))
    stored = io.load(path)
    reader = vtkXMLPolyDataReader()
    reader.SetFileName(str(exported(path, "x.vtp", wrt="diameter[B]")))
    reader.Update()
    data = reader.GetOutput()
    assert reader.GetErrorCode() == 0
    assert data.GetNumberOfPoints() == data.GetNumberOfVerts() == 6
    assert np.array_equal(vtk_to_numpy(data.GetPoints().GetData()), stored.structure.position)
    points = data.GetPointData()
    assert points.GetVectors().GetName() == "sens_diameter_B"
    assert points.GetScalars().GetName() == "species"
    for k, word in enumerate(["diameter_A", "diameter_B", "e"]):
        vectors = vtk_to_numpy(points.GetArray(f"sens_{word}"))
        assert np.array_equal(vectors, stored.position_derivative[..., k])
    whole = data.GetFieldData()
    names = whole.GetAbstractArray("species_names")
    assert [names.GetValue(k) for k in range(names.GetNumberOfValues())] == ["A", "B"]
    assert whole.GetArray("energy").GetValue(0) == stored.energy


def test_without_derivatives_there_are_points(tmp_path):
    found = arrays_of(exported(stored_result(tmp_path, slope=False), "x.vtp"))
    assert not [name for name in found if name.startswith("sens_")]
    assert {"rattler", "trusted"} & set(found) == set()


# Tables and arrays


@pytest.mark.parametrize("table", list(tables.TABLES))
def test_a_table_parses_to_the_same_numbers(result, table):
    target = exported(result, f"{table}.csv", table=table)
    with target.open(encoding="utf-8", newline="") as stream:
        head, *rows = csv.reader(stream)
    columns = tables.columns(io.load(result), table)
    assert head == list(columns)
    for cells, column in zip(zip(*rows), columns.values()):
        values = np.asarray(column)
        if values.dtype.kind == "f":
            assert np.array_equal(np.array(cells, float), values, equal_nan=True)
        else:
            assert list(cells) == [str(value) for value in values]


@pytest.mark.filterwarnings("ignore:The 'float_precision' argument")
def test_pandas_reads_a_table(result):
    pandas = pytest.importorskip("pandas")
    read = pandas.read_csv(exported(result, "x.csv"), float_precision="round_trip")
    pandas.testing.assert_frame_equal(read, io.load(result).to_dataframe(), check_exact=True)


def test_every_array_is_there_without_a_pickle(tmp_path):
    path = stored_result(tmp_path, fixed=[True] + 5 * [False])
    stored = io.load(path)
    arrays = loaded(exported(path, "x.npz"))
    same = {
        "position": stored.structure.position,
        "start": stored.start,
        "box": stored.structure.box,
        "species": stored.structure.species,
        "fixed": stored.structure.fixed,
        "history": stored.history,
        "dR_dtheta": stored.position_derivative,
        "parameter_value": stored.values,
        "theta/value": np.array(list(stored.theta.values())),
        "rattlers": stored.rattlers,
        "certificate/error_bound": stored.certificate.error_bound,
        "certificate/validity_radius": stored.certificate.validity_radius,
        "observables/derivative": np.array([d for _, d in stored.observables.values()]),
    }
    for name, array in same.items():
        assert arrays[name].dtype == np.asarray(array).dtype, name
        assert np.array_equal(arrays[name], array), name
    assert arrays["parameter"].tolist() == list(stored.parameters)
    assert arrays["species_names"].tolist() == ["A", "B"]
    assert arrays["energy"] == stored.energy
    assert arrays["certificate/trusted"]
    assert arrays["certificate/notes"].tolist() == list(stored.certificate.notes)
    assert isinstance(json.loads(str(arrays["provenance"])), dict)
    assert not [name for name, array in arrays.items() if array.dtype.hasobject]


def test_modes_and_moduli_are_among_the_arrays(tmp_path):
    from simsens import elastic_moduli, normal_modes, packing, relax

    minimum = relax(packing(number=16, seed=1), fmax=1e-8)
    modes, moduli = normal_modes(minimum), elastic_moduli(minimum)
    io.write(tmp_path / "r.h5md", minimum, modes=modes, moduli=moduli)
    found = loaded(exported(tmp_path / "r.h5md", "x.npz"))
    assert np.array_equal(found["modes/mode"], modes.mode)
    assert np.array_equal(found["moduli/stiffness"], moduli.stiffness)
    assert found["moduli/strains"].tolist() == ["xx", "yy", "xy"]
    assert found["moduli/certificate/trusted"] == moduli.certificate.trusted


@pytest.mark.parametrize("suffix", list(EXPORTS))
def test_the_same_result_gives_the_same_bytes(result, suffix):
    one, other = (exported(result, f"{k}{suffix}").read_bytes() for k in "ab")
    assert one == other


# Names


def test_names_become_plain_words_and_stay_apart():
    words = plain_words(["a[B]", "a_B", "a B", "[", "é", "sigma", ""])
    assert list(words.values()) == ["a_B", "a_B_2", "a_B_3", "parameter", "parameter_2", "sigma",
                                    "parameter_3"]  # fmt: skip


# Refusals


@pytest.mark.parametrize(
    ("name", "choices", "error", "words"),
    [
        ("x.vtk", {}, UnknownFormat, ".extxyz, .xyz, .vtp, .csv, .npz"),
        ("x", {}, UnknownFormat, ".extxyz"),
        ("x.extxyz", {"wrt": "diameter[C]"}, UnknownParameter, "known are diameter[A], diam"),
        ("x.extxyz", {"wrt": "epsilom"}, UnknownParameter, "did you mean 'epsilon'?"),
        ("x.vtp", {"wrt": "sigma"}, UnknownParameter, "unknown parameter 'sigma'"),
        ("x.vtp", {"scale": 2.0}, CannotExport, "--scale is not for .vtp"),
        ("x.vtp", {"what": "trajectory"}, CannotExport, "--what trajectory is not for .vtp"),
        ("x.csv", {"what": "trajectory"}, CannotExport, "there: --table"),
        ("x.csv", {"wrt": "epsilon"}, CannotExport, "--wrt is not for .csv"),
        ("x.csv", {"table": "particle"}, CannotExport, "did you mean 'particles'?"),
        ("x.npz", {"table": "particles"}, CannotExport, "--table is not for .npz"),
        ("x.npz", {"scale": 1.0}, CannotExport, "--scale is not for .npz"),
        ("x.extxyz", {"table": "particles"}, CannotExport, "--table is not for .extxyz"),
        ("x.extxyz", {"frames": slice(0, 1)}, CannotExport, "add --what trajectory"),
        ("x.npz", {"frames": slice(0, 1)}, CannotExport, "add --what trajectory"),
        ("x.extxyz", {"what": "trajectory", "scale": 1.0}, CannotExport, "--scale is about deri"),
        ("x.extxyz", {"what": "trajectory", "wrt": "epsilon"}, CannotExport, "leave out --what"),
        ("x.extxyz", {"what": "trajectory", "frames": slice(20, None)}, CannotExport, "8 frames"),
        ("x.npz", {"what": "trajectory", "frames": slice(5, 2)}, CannotExport, "none of them"),
        ("no/x.csv", {}, UnwritableFile, "there is no folder"),
        (".", {}, UnknownFormat, "ends in one of"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_nothing_is_left(result, name, choices, error, words):
    before = sorted(result.parent.rglob("*"))
    with pytest.raises(error) as told:
        exported(result, name, **choices)
    assert words in str(told.value)
    assert "\n" not in str(told.value)
    assert sorted(result.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "choices"),
    [("x.extxyz", {"wrt": "epsilon"}), ("x.extxyz", {"scale": 2.0}), ("x.vtp", {"wrt": "epsilon"})],
)
def test_derivatives_that_are_not_there_are_refused(tmp_path, name, choices):
    path = stored_result(tmp_path, slope=False)
    with pytest.raises(CannotExport, match="run simsens relax with --sensitivity"):
        exported(path, name, **choices)
    assert not path.with_name(name).exists()


def test_a_table_of_no_observables_is_refused(tmp_path):
    path = stored_result(tmp_path, slope=False)
    with pytest.raises(CannotExport, match="holds no observables: run simsens relax"):
        exported(path, "x.csv", table="observables")


@pytest.mark.parametrize("suffix", list(EXPORTS))
def test_an_output_stays_unless_it_may_be_replaced(result, suffix):
    target = result.with_name(f"x{suffix}")
    target.write_text("precious")
    with pytest.raises(OutputExists, match="--overwrite"):
        exported(result, target.name)
    assert target.read_text() == "precious"
    exported(result, target.name, overwrite=True)
    assert target.read_bytes() != b"precious"


@pytest.mark.parametrize("suffix", list(EXPORTS))
def test_a_full_disk_leaves_what_was_there(result, suffix, monkeypatch):
    target = result.with_name(f"x{suffix}")
    target.write_text("precious")

    def full(*unused):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "_force_to_disk", full)
    before = sorted(result.parent.iterdir())
    with pytest.raises(UnwritableFile, match="No space left on device"):
        exported(result, target.name, overwrite=True)
    assert target.read_text() == "precious"
    assert sorted(result.parent.iterdir()) == before


@pytest.mark.parametrize("name", ["x.extxyz", "x.npz"])
def test_a_damaged_trajectory_is_named_and_nothing_is_left(result, monkeypatch, name):
    with io.open(result) as opened:
        stored = opened.load()

    def damaged(self, which):
        raise OSError("Can't synchronously read data (inflate() failed)")

    monkeypatch.setattr(ResultFile, "load", lambda self: stored)
    monkeypatch.setattr(ResultFile, "structure", stored.structure)
    monkeypatch.setattr(Trajectory, "__getitem__", damaged)
    before = sorted(result.parent.iterdir())
    with pytest.raises(UnreadableFile, match=r"result.h5md cannot be read as HDF5: .*inflate"):
        exported(result, name, what="trajectory")
    assert sorted(result.parent.iterdir()) == before


def test_a_species_that_is_no_word_is_refused(tmp_path):
    equilibrium = make_equilibrium(make_structure(names=("A", "bead one")))
    io.write(tmp_path / "r.h5md", equilibrium)
    with pytest.raises(CannotExport, match="'bead one' is no word"):
        exported(tmp_path / "r.h5md", "x.extxyz")
    assert exported(tmp_path / "r.h5md", "x.npz").exists()


def test_a_line_that_no_reader_takes_is_refused(result, monkeypatch):
    monkeypatch.setattr(extxyz, "LONGEST_LINE", 200)
    with pytest.raises(CannotExport, match=r"take \.npz"):
        exported(result, "x.extxyz")
    assert not result.with_name("x.extxyz").exists()


def test_the_archive_is_a_plain_one(result):
    with zipfile.ZipFile(exported(result, "x.npz")) as archive:
        assert archive.testzip() is None
        assert all(name.endswith(".npy") for name in archive.namelist())


def test_the_table_of_formats_is_public():
    assert set(EXPORTS) == {".extxyz", ".xyz", ".vtp", ".csv", ".npz"}
    assert exports.__all__ == ["EXPORTS", "CannotExport", "Choices", "export"]
