import os
import resource
from dataclasses import fields, replace

import h5py
import numpy as np
import pytest

from simsens import io
from simsens.io import guarded, simsens_group
from simsens.io.errors import OutputExists, UnknownFormat, UnreadableFile, UnwritableFile
from simsens.particles import system as systems

CASES = [(2, True), (2, False), (3, True), (3, False)]


@pytest.fixture
def written(tmp_path, structure_of, equilibrium_of, sensitivity_of):
    """Write a result made by hand; return path, equilibrium, sensitivity."""

    def write(dimension=3, periodic=True, slope=True, **options):
        structure = structure_of(dimension, periodic, **options.pop("structure", {}))
        equilibrium = equilibrium_of(structure, **options.pop("equilibrium", {}))
        sensitivity = sensitivity_of(equilibrium) if slope else None
        path = tmp_path / "out.h5md"
        io.write(path, equilibrium, sensitivity, **options)
        return path, equilibrium, sensitivity

    return write


def refusal(path, *words, call=io.load):
    with pytest.raises(UnreadableFile) as caught:
        call(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(path), *words):
        assert word in message, message


# Round trip


@pytest.mark.parametrize(("dimension", "periodic"), CASES)
@pytest.mark.parametrize("fixed", [None, [0, 2]])
def test_round_trip_is_exact(written, same_structure, dimension, periodic, fixed):
    path, equilibrium, sensitivity = written(
        dimension, periodic, structure={"fixed": fixed, "names": ("A", "bead1", "Ar")}
    )
    stored = io.load(path)
    same_structure(stored.structure, equilibrium.system.structure)
    assert np.array_equal(stored.start, equilibrium.start)
    assert np.array_equal(stored.history, equilibrium.history)
    for name in (
        "energy", "max_force", "iterations", "converged", "criterion", "fmax", "optimizer"
    ):  # fmt: skip
        assert getattr(stored, name) == getattr(equilibrium, name)
        assert type(getattr(stored, name)) is type(getattr(equilibrium, name))
    assert stored.parameters == sensitivity.parameters
    assert np.array_equal(stored.values, sensitivity.values)
    assert np.array_equal(stored.position_derivative, sensitivity.position)
    assert np.array_equal(stored.rattlers, sensitivity.rattlers)
    assert stored.observables.keys() == sensitivity.observables.keys()
    for name, (value, slope) in sensitivity.observables.items():
        assert stored.observables[name][0] == value
        assert np.array_equal(stored.observables[name][1], slope)
    assert stored.theta["epsilon"] == 2.0
    assert tuple(stored.theta) == equilibrium.system.parameter_names


@pytest.mark.parametrize("trusted", [True, False])
def test_every_field_of_the_certificate(
    tmp_path, structure_of, equilibrium_of, sensitivity_of, trusted
):
    equilibrium = equilibrium_of(structure_of())
    sensitivity = sensitivity_of(equilibrium, trusted=trusted)
    io.write(tmp_path / "x.h5", equilibrium, sensitivity)
    found = io.load(tmp_path / "x.h5").certificate
    for field in fields(found):
        kept, given = getattr(found, field.name), getattr(sensitivity.certificate, field.name)
        assert type(kept) is type(given), field.name
        assert np.array_equal(kept, given), field.name
    assert io.load(tmp_path / "x.h5").sensitivity["epsilon"].shape == (6, 3)


@pytest.mark.parametrize("names", [("diameter[B]",), ()])
def test_derivatives_by_some_parameters(
    tmp_path, structure_of, equilibrium_of, sensitivity_of, names
):
    equilibrium = equilibrium_of(structure_of())
    sensitivity = sensitivity_of(equilibrium, names)
    certificate = replace(sensitivity.certificate, notes=())
    io.write(tmp_path / "x.h5md", equilibrium, replace(sensitivity, certificate=certificate))
    stored = io.load(tmp_path / "x.h5md")
    assert stored.parameters == names
    assert stored.position_derivative.shape == (6, 3, len(names))
    assert stored.certificate.notes == ()
    assert len(stored.theta) == 3


def test_a_result_is_the_next_input(written, same_structure):
    path, equilibrium, _ = written(2, structure={"fixed": [1]})
    same_structure(io.read(path), equilibrium.system.structure)
    start = equilibrium.system.structure.with_position(equilibrium.start)
    same_structure(io.read(path, index=0), start)
    assert io.read(path, dimension=2).dimension == 2
    refusal(path, "3 were asked for", call=lambda p: io.read(p, dimension=3))
    refusal(path, "no frame 2", call=lambda p: io.read(p, index=2))


def test_without_derivatives_there_is_no_trace_of_them(written):
    path, _, _ = written(slope=False)
    with h5py.File(path) as file:
        assert sorted(file["simsens"]) == [
            "history", "minimum", "potential", "provenance", "structure", "theta"
        ]  # fmt: skip
    stored = io.load(path)
    assert stored.certificate is None
    assert stored.sensitivity is None
    assert stored.position_derivative is None
    assert stored.parameters == ()


def test_provenance(written):
    given = {
        "argv": ["simsens", "relax", "x.xyz", os.fsdecode(b"\xff")],
        "config": "sigma = 1.0\n" * 20_000,
        "versions": {"jax": "0.10.1"},
        "seed": 7,
        "x64": True,
        "wall_s": np.float64(0.25),
        "nothing": None,
    }
    path, _, _ = written(provenance=given)
    found = io.load(path).provenance
    assert found.pop("argv").startswith('["simsens", "relax", "x.xyz"')
    assert found.pop("versions") == '{"jax": "0.10.1"}'
    expected = {k: given[k] for k in ("config", "seed", "x64", "wall_s")}
    assert found == expected
    assert found["x64"] is True


# Layout


@pytest.mark.parametrize(("dimension", "periodic"), CASES)
def test_h5md_layout(written, dimension, periodic):
    path, equilibrium, _ = written(dimension, periodic)
    with h5py.File(path) as file:
        assert tuple(file["h5md"].attrs["version"]) == (1, 1)
        assert file["h5md/creator"].attrs["name"] == "simsens"
        assert file["h5md/modules/simsens"].attrs["spatial_dimension"] == dimension
        assert list(file["particles"]) == ["trajectory"]
        group = file["particles/trajectory"]
        position = group["position"]
        assert position["value"].shape == (2, 6, 3)
        assert position["step"][()].tolist() == position["time"][()].tolist() == [0, 12]
        for name in ("box/edges", "species"):
            assert group[name]["step"] == position["step"]
            assert group[name]["time"] == position["time"]
        assert not position["value"][:, :, dimension:].any()
        edges = group["box/edges/value"]
        assert edges.shape == (2, 3, 3)
        expected = np.zeros((3, 3))
        if periodic:
            expected = np.eye(3)
            expected[:dimension, :dimension] = equilibrium.system.structure.box
        assert np.array_equal(edges[0], expected)
        assert np.array_equal(edges[1], expected)
        words = ["periodic" if periodic else "none"] * dimension + ["none"] * (3 - dimension)
        assert group["box"].attrs["boundary"].tolist() == words
        assert group["box"].attrs["dimension"] == 3
        assert file["observables/trajectory/potential_energy/value"][0] == 3.5
        assert file["observables/trajectory/max_force/value"][1] == equilibrium.max_force


def test_float64_everywhere_and_filters(written):
    path, _, _ = written()
    seen = []

    def look(name, found):
        if isinstance(found, h5py.Dataset) and found.dtype.kind == "f":
            assert found.dtype == np.float64, name
            seen.append(name)

    with h5py.File(path) as file:
        file.visititems(look)
        value = file["particles/trajectory/position/value"]
        assert (value.compression, value.compression_opts, value.shuffle) == ("gzip", 4, True)
        assert value.chunks == (1, 6, 3)
    assert len(seen) > 10


@pytest.mark.parametrize(
    ("names", "numbers"), [(("Ar", "Kr"), [18, 36]), (("A", "B"), [1, 2]), (("Ar", "B1"), [1, 2])]
)
def test_species_numbers(written, names, numbers):
    path, _, _ = written(structure={"names": names})
    with h5py.File(path) as file:
        species = file["particles/trajectory/species/value"]
        assert species.dtype.kind == "i"
        assert species[()].tolist() == [numbers * 3] * 2
        assert file["simsens/structure/species_names"].asstr()[()].tolist() == list(names)


def test_units(written):
    path, _, _ = written(units="metal")
    with h5py.File(path) as file:
        group = file["particles/trajectory"]
        assert group["position/value"].attrs["unit"] == "Angstrom"
        assert group["position/time"].attrs["unit"] == "ps"
        assert group["box/edges/value"].attrs["unit"] == "Angstrom"
        assert file["observables/trajectory/potential_energy/value"].attrs["unit"] == "eV"
        assert "force" not in group
        assert file["simsens"].attrs["units"] == "metal"


def test_reduced_units_leave_no_unit(written):
    path, _, _ = written()
    with h5py.File(path) as file:
        file.visititems(lambda name, found: pytest.fail(name) if "unit" in found.attrs else None)


def test_dimension_scales(written):
    path, _, sensitivity = written()
    with h5py.File(path) as file:
        group = file["simsens/sensitivity"]
        assert [d.keys()[0] for d in group["dR_dtheta"].dims] == ["particle", "axis", "parameter"]
        parameter = group["dR_dtheta"].dims[2][0]
        assert tuple(parameter.asstr()[()]) == sensitivity.parameters
        assert group["observables/energy/denergy_dtheta"].dims[0][0] == parameter


def test_attributes_of_the_group(written):
    path, _, _ = written(2, equilibrium={"converged": False})
    with h5py.File(path) as file:
        found = dict(file["simsens"].attrs)
        assert found["schema_version"] == 2
        assert found["spatial_dimension"] == 2
        assert found["n_committed"] == 2
        assert found["status"] == "not converged"
        assert found["coordinate_space"] == "cartesian"
        assert found["gauge"] == "zero mean displacement"
        columns = file["simsens/history/relax"].attrs["columns"]
        assert columns.tolist() == ["step", "energy", "max_force"]
    assert io.load(path).status == "not converged"


def test_no_step_is_one_frame(written):
    path, equilibrium, _ = written(equilibrium={"iterations": 0})
    with h5py.File(path) as file:
        assert file["particles/trajectory/position/step"][()].tolist() == [0]
        assert file["simsens"].attrs["n_committed"] == 1
    assert np.array_equal(io.load(path).start, equilibrium.position)


def test_the_start_is_measured_where_nobody_reported_it(written):
    path, equilibrium, _ = written(
        structure={"fixed": [0]}, equilibrium={"history": False}, slope=False
    )
    start = equilibrium.system.with_position(equilibrium.start)
    force = np.linalg.norm(np.asarray(systems.force(start))[1:], axis=1)
    with h5py.File(path) as file:
        measured = file["observables/trajectory"]
        assert measured["potential_energy/value"][0] == float(systems.energy(start))
        assert np.isclose(measured["max_force/value"][0], force.max(), rtol=1e-14, atol=0)


def test_the_same_result_is_the_same_file(written):
    path, *result = written()
    other = path.with_name("other.h5md")
    io.write(other, *result)
    assert path.read_bytes() == other.read_bytes()


# What is not written


def test_an_output_is_not_replaced_unasked(written):
    path, *result = written()
    before = path.read_bytes()
    with pytest.raises(OutputExists, match="exists: choose"):
        io.write(path, *result)
    assert path.read_bytes() == before
    io.write(path, result[0], overwrite=True)
    assert io.load(path).certificate is None
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "where", ["finish", "check_result"], ids=["in the middle", "at the beginning"]
)
@pytest.mark.parametrize("error", [RuntimeError("oops"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file(written, monkeypatch, where, error):
    path, *result = written()
    before = path.read_bytes()

    def fail(*args):
        raise error

    monkeypatch.setattr(simsens_group, where, fail)
    with pytest.raises(type(error)):
        io.write(path, *result, overwrite=True)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_no_space_left(written):
    """A limit on the size of files stands for a full disk: writing fails in the same place."""
    path, *result = written()
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(UnwritableFile) as caught:
            io.write(path, *result, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    io.write(path, *result, overwrite=True)


def test_no_folder_and_a_folder(written, tmp_path):
    _, *result = written()
    with pytest.raises(UnwritableFile, match="no folder"):
        io.write(tmp_path / "no" / "x.h5md", *result)
    (tmp_path / "d.h5md").mkdir()
    with pytest.raises(UnwritableFile, match="is a folder"):
        io.write(tmp_path / "d.h5md", *result, overwrite=True)


def test_no_permission(written, monkeypatch):
    path, *result = written()

    def refuse(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UnwritableFile, match="Permission denied"):
        io.write(path.with_name("new.h5md"), *result)


@pytest.mark.parametrize("name", ["x.xyz", "x", "x.hdf5"])
def test_other_names(written, tmp_path, name):
    _, *result = written()
    with pytest.raises(UnknownFormat, match=r"\.h5md or \.h5"):
        io.write(tmp_path / name, *result)
    with pytest.raises(UnknownFormat, match=r"\.h5md or \.h5"):
        io.load(tmp_path / name)


def test_results_that_do_not_fit(written, tmp_path):
    _, equilibrium, sensitivity = written()
    path = tmp_path / "new.h5md"
    with pytest.raises(ValueError, match="known are reduced, metal"):
        io.write(path, equilibrium, units="imperial")
    with pytest.raises(ValueError, match="start must have the shape"):
        io.write(path, replace(equilibrium, start=equilibrium.start[:3]))
    with pytest.raises(ValueError, match="position derivative must have the shape"):
        io.write(path, equilibrium, replace(sensitivity, position=sensitivity.position[..., :1]))
    with pytest.raises(ValueError, match="values must have the shape"):
        io.write(path, equilibrium, replace(sensitivity, values=np.zeros(1)))
    bad = {"a/b": (0.0, np.zeros(3))}
    with pytest.raises(ValueError, match="cannot be called 'a/b'"):
        io.write(path, equilibrium, replace(sensitivity, observables=bad))
    with pytest.raises(ValueError, match="provenance 'x' must be a text"):
        io.write(path, equilibrium, provenance={"x": object()})
    assert not path.exists()


@pytest.mark.parametrize("which", ["start", "minimum"])
def test_positions_that_are_not_finite(written, tmp_path, which):
    _, equilibrium, _ = written()
    broken = np.array(equilibrium.start)
    broken[2, 1] = np.nan
    if which == "start":
        bad = replace(equilibrium, start=broken)
    else:
        bad = replace(equilibrium, system=equilibrium.system.with_position(broken))
    with pytest.raises(ValueError, match=f"{which} cannot be stored.*particle 2"):
        io.write(tmp_path / "new.h5md", bad)
    assert not (tmp_path / "new.h5md").exists()


# What is not read


@pytest.mark.parametrize("call", [io.load, io.read])
def test_files_that_are_none(tmp_path, call):
    path = tmp_path / "x.h5md"
    refusal(path, "no such file", call=call)
    path.write_bytes(b"")
    refusal(path, "HDF5", call=call)
    path.write_bytes(np.random.default_rng(1).bytes(5000))
    refusal(path, "HDF5", call=call)


def test_h5md_of_somebody_else(tmp_path):
    path = tmp_path / "x.h5md"
    with h5py.File(path, "w") as file:
        file.create_dataset("particles/all/position/value", data=np.zeros((1, 2, 3)), dtype="f8")
    refusal(path, "not written by simsens", call=io.read)


def test_truncated(written):
    path, _, _ = written()
    whole = path.read_bytes()
    for part in (0.2, 0.5, 0.9):
        path.write_bytes(whole[: int(len(whole) * part)])
        refusal(path)


@pytest.mark.parametrize(
    "name",
    ["simsens/minimum/position", "simsens/sensitivity/dR_dtheta", "simsens/structure/species"],
)
def test_damaged_data(written, name):
    """HDF5 hands out what it reads; it is the compression whose checksum tells the damage."""
    path, _, _ = written()
    with h5py.File(path) as file:
        chunk = file[name].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    path.write_bytes(content)
    refusal(path)


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("schema_version", 3, "schema version is 3"),
        ("spatial_dimension", 7, "must be 2 or 3"),
        ("units", None, "'units'"),
    ],
)
def test_attributes_that_are_wrong(written, name, value, word):
    path, _, _ = written()
    with h5py.File(path, "a") as file:
        del file["simsens"].attrs[name]
        if value is not None:
            file["simsens"].attrs[name] = value
    refusal(path, word)


@pytest.mark.parametrize(
    "name",
    ["minimum", "minimum/position", "theta/value", "sensitivity/dR_dtheta", "certificate"],
)
def test_parts_that_are_missing(written, name):
    path, _, _ = written()
    with h5py.File(path, "a") as file:
        del file["simsens"][name]
    refusal(path, name.rpartition("/")[2])


def replaced(path, make, name="position", parent="minimum"):
    with h5py.File(path, "a") as file:
        group = file["simsens"][parent]
        del group[name]
        make(group)


def test_wrong_shape_kind_and_value(written):
    path, _, _ = written()
    replaced(path, lambda g: g.create_dataset("position", data=np.zeros((6, 2)), dtype="f8"))
    refusal(path, "must have the shape")
    replaced(path, lambda g: g.create_dataset("position", data=np.zeros((6, 3)), dtype="i8"))
    refusal(path, "numbers of kind")
    replaced(path, lambda g: g.create_dataset("position", data=np.full((6, 3), np.nan)))
    refusal(path, "finite")
    replaced(path, lambda g: g.create_group("position"))
    refusal(path, "data set")


def test_links_and_foreign_storage(written, tmp_path):
    path, _, _ = written()
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(144))
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file.create_dataset("x", data=np.zeros((6, 3)), dtype="f8")

    def external_storage(group):
        group.create_dataset("position", (6, 3), "f8", external=[(str(secret), 0, 144)])

    def virtual(group):
        layout = h5py.VirtualLayout((6, 3), "f8")
        layout[:] = h5py.VirtualSource(str(other), "x", (6, 3))
        group.create_virtual_dataset("position", layout)

    def link(kind, *where):
        return lambda group: group.__setitem__("position", kind(*where))

    replaced(path, external_storage)
    refusal(path, "another file")
    replaced(path, virtual)
    refusal(path, "another file")
    replaced(path, link(h5py.ExternalLink, str(other), "x"))
    refusal(path, "link to elsewhere")
    replaced(path, link(h5py.SoftLink, "/particles/trajectory/position"))
    refusal(path, "link to elsewhere")
    with h5py.File(path, "a") as file:
        del file["simsens/minimum"]
        file["simsens/minimum"] = h5py.SoftLink("/particles")
    refusal(path, "link to elsewhere")


def test_claims_beyond_reason(written):
    path, _, _ = written()
    huge = {"shape": (2**37, 3), "dtype": "f8", "chunks": (1024, 3)}
    replaced(path, lambda g: g.create_dataset("position", **huge))
    refusal(path, "claims")
    many = {"shape": (2**22, 3), "dtype": "f8", "chunks": (1024, 3), "compression": "gzip"}
    replaced(path, lambda g: g.create_dataset("position", **many))
    refusal(path, "claims")


def test_many_texts_that_are_one(written, monkeypatch):
    path, _, _ = written()
    monkeypatch.setattr(guarded, "TEXT", 3)
    words = {"data": ["aa", "bb"], "dtype": h5py.string_dtype()}
    replaced(
        path, lambda g: g.create_dataset("species_names", **words), "species_names", "structure"
    )
    refusal(path, "characters")


def test_parameters_stand_in_h5md_s_own_place(written):
    path, equilibrium, _ = written(provenance={"config": "seed = 7\n"})
    with h5py.File(path) as file:
        theta = file["parameters/simsens/theta"].asstr()[()]
        assert file["parameters/simsens/config"].asstr()[()] == "seed = 7\n"
    told = dict(line.split(" = ") for line in theta.splitlines())
    assert list(told) == list(equilibrium.system.parameter_names)
    assert {name: float(value) for name, value in told.items()} == io.load(path).theta
