"""The schema is what is written, what is checked, and what is documented."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from simsens import elastic_moduli, io, normal_modes, packing, relax, sensitivity
from simsens.io import schema, validation
from simsens.io.guarded import Refused

DOC = Path(__file__).resolve().parents[2] / "docs" / "file-format.md"
VERSION_1 = Path(__file__).with_name("files") / "version_1.h5md"


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A file with everything that a file may hold."""
    path = tmp_path_factory.mktemp("full") / "full.h5md"
    system = packing(number=16, seed=1)
    with io.record(path, system, every=50) as record:
        equilibrium = relax(system, fmax=1e-10, record=record)
        record.finish(
            equilibrium, sensitivity(equilibrium), moduli=elastic_moduli(equilibrium),
            modes=normal_modes(equilibrium),
        )  # fmt: skip
    return path


def test_the_page_shows_the_tables_of_the_code():
    page = DOC.read_text("utf-8")
    for name in ("TRAJECTORY", "BEGUN", "FOUND"):
        shown = re.search(f"<!-- {name} -->\n(.*?)\n<!-- end -->", page, re.DOTALL)[1]
        assert shown == schema.table(getattr(schema, name)), name


def test_a_file_with_everything_has_no_fault(full):
    with h5py.File(full) as file:
        assert list(schema.faults(file)) == []
    assert list(validation.faults(full)) == []


def test_every_name_in_a_file_is_in_the_schema(full):
    """Groups whose fields are those of a class, a potential or a run are told as such."""
    own = (
        "simsens/provenance",
        "simsens/potential",
        "simsens/moduli",
        "parameters",
        "simsens/modes",
    )
    known = {re.compile("simsens/history/linear_solve@columns")}
    for entry in schema.ENTRIES:
        form = re.escape(entry.path).replace("dNAME", r"d\w+").replace("NAME", r"\w+")
        known.add(re.compile(form))
    found = []
    with h5py.File(full) as file:

        def look(name, there):
            if isinstance(there, h5py.Dataset):
                found.append(name)
            hidden = (
                "CLASS",
                "NAME",
                "DIMENSION_LIST",
                "REFERENCE_LIST",
                "DIMENSION_LABELS",
                "unit",
            )
            found.extend(f"{name}@{key}" for key in there.attrs if key not in hidden)

        file.visititems(look)
    unknown = [
        name
        for name in found
        if not name.startswith(own) and not any(form.fullmatch(name) for form in known)
    ]
    assert [name for name in unknown if not name.endswith(("/step", "/time"))] == []


def test_every_needed_name_is_needed(full, tmp_path):
    """Without it the file has a fault that names it."""
    copy = tmp_path / "copy.h5md"
    for entry in schema.ENTRIES:
        if not entry.needed or "NAME" in entry.path:
            continue
        copy.write_bytes(full.read_bytes())
        group, _, attribute = entry.path.partition("@")
        with h5py.File(copy, "r+") as file:
            if attribute:
                del file[group].attrs[attribute]
            else:
                del file[group]
            told = list(schema.faults(file))
        assert any((attribute or group.rpartition("/")[2]) in fault for fault in told), entry.path


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("simsens/minimum/position", np.zeros((15, 2)), "with N = 16"),
        ("simsens/minimum/position", np.zeros((16, 2), "i8"), "numbers of kind 'f'"),
        ("simsens/sensitivity/dR_dtheta", np.zeros((16, 2, 3), "f4"), "must hold float64"),
        ("simsens/sensitivity/dR_dtheta", np.zeros((16, 2, 2)), "with P = 3; found (16, 2, 2)"),
        ("simsens/certificate/validity_radius", np.zeros((3, 3)), "must have the shape [P, 2]"),
        ("particles/trajectory/position/value", np.zeros((9, 16, 2)), "[T, N, 3]"),
        ("particles/trajectory/position/value", np.zeros((1, 16, 3)), "but there are 1 frames"),
    ],
)
def test_faults_are_told(full, tmp_path, name, value, words):
    copy = tmp_path / "copy.h5md"
    copy.write_bytes(full.read_bytes())
    with h5py.File(copy, "r+") as file:
        del file[name]
        file.create_dataset(name, data=value, dtype=value.dtype)
        told = list(schema.faults(file))
        assert any(words in fault for fault in told), told
        with pytest.raises(Refused):
            schema.check(file)
    assert list(validation.faults(copy))


def test_damage_that_only_reading_shows(full, tmp_path):
    copy = tmp_path / "copy.h5md"
    content = bytearray(full.read_bytes())
    with h5py.File(full) as file:
        chunk = file["particles/trajectory/position/value"].id.get_chunk_info(1)
    content[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    copy.write_bytes(content)
    with h5py.File(copy) as file:
        assert list(schema.faults(file)) == []
    assert list(validation.faults(copy))


def test_frames_that_make_no_sense(full, tmp_path):
    copy = tmp_path / "copy.h5md"
    copy.write_bytes(full.read_bytes())
    with h5py.File(copy, "r+") as file:
        file["particles/trajectory/position/step"][1] = 0
        file["particles/trajectory/position/value"][1, 3, 0] = np.nan
    told = list(validation.faults(copy))
    assert any("steps of the trajectory do not rise" in fault for fault in told)
    assert any("frame 1 holds positions that are not finite" in fault for fault in told)


# Version 1, written by the program of that time


def test_version_1_is_read_as_it_was():
    stored = io.load(VERSION_1)
    assert stored.energy == 0.032352793583833854
    assert stored.structure.names() == ["A", "B", "B", "A"]
    assert stored.structure.fixed.tolist() == [True, False, False, False]
    expected = [
        [0.3, 0.3], [1.1134600370368688, 0.29999999999999993], [-0.02761270177989946, 1.1],
        [0.7858473352569694, 1.1],
    ]  # fmt: skip
    assert stored.structure.position.tolist() == expected
    assert stored.start.tolist() == [[0.3, 0.3], [1.1, 0.2], [0.2, 1.1], [1.0, 1.2]]
    assert stored.theta == {"diameter[A]": 1.0, "diameter[B]": 0.8, "epsilon": 1.0}
    assert stored.sensitivity.position.shape == (4, 2, 3)
    assert (stored.potential, stored.modes, stored.moduli) == (None, None, None)
    assert io.read(VERSION_1, index=0).position.tolist() == stored.start.tolist()
    assert list(validation.faults(VERSION_1)) == []


def test_version_1_does_not_say_its_potential():
    with pytest.raises(ValueError, match="give it"):
        _ = io.load(VERSION_1).equilibrium


def test_a_version_to_come_is_refused(full, tmp_path):
    copy = tmp_path / "copy.h5md"
    copy.write_bytes(full.read_bytes())
    with h5py.File(copy, "r+") as file:
        file["simsens"].attrs["schema_version"] = 3
    with pytest.raises(io.UnreadableFile, match="schema version is 3; this simsens reads 1, 2"):
        io.load(copy)
