"""Files made to do harm, one of every kind: refused in one line, nothing read from elsewhere."""

import json
import os
import re
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from simsens import io
from simsens.io import checkpoint, digest, guarded, opened, schema, trajectory_group
from simsens.io.errors import UnreadableFile
from simsens.response.elasticity import ElasticModuli
from simsens.response.modes import NormalModes

SECRET = b"root:x:0:0:secret of the machine:/root"
TEXT = h5py.string_dtype()


def frames(path):
    with io.open(path) as result:
        trajectory = result.trajectory
        return trajectory[:], trajectory.step, trajectory.energy, trajectory.max_force


WAYS = {"load": io.load, "read": io.read, "open": frames}


@pytest.fixture
def whole(tmp_path, structure_of, equilibrium_of, sensitivity_of):
    """A result with everything that there may be in one."""
    equilibrium = equilibrium_of(structure_of(fixed=[1], number=8))
    sensitivity = sensitivity_of(equilibrium)
    certificate = sensitivity.certificate
    moduli = ElasticModuli(
        ("xx", "yy", "zz", "yz", "xz", "xy"), np.eye(6), np.eye(6), np.zeros((6, 6)), np.eye(3),
        -1.0, 2.0, 1.0, 0.25, np.ones((8, 3, 6)), np.zeros(0, np.int64), certificate,
    )  # fmt: skip
    modes = NormalModes(np.arange(5.0), np.ones((8, 3, 5)), np.zeros(5), 3, 8, np.zeros(0, int))
    path = tmp_path / "whole.h5md"
    io.write(path, equilibrium, sensitivity, moduli=moduli, modes=modes, provenance={"seed": 7})
    return path


@pytest.fixture
def changed(whole):
    """A copy of the result, changed by whoever knows how to make its checksums right again."""

    def change(make, forged=True):
        path = whole.with_name("changed.h5md")
        path.write_bytes(whole.read_bytes())
        with h5py.File(path, "r+") as file:
            make(file)
            if forged:
                forge(file)
        return path

    return change


def forge(file):
    try:
        root = file["simsens"]
        root.attrs[digest.NAME] = digest.digest(root)
    except (guarded.Refused, KeyError, OSError, RuntimeError, TypeError, ValueError):
        pass  # what cannot be summed up cannot be read either


def refusal(path, call=io.load):
    """What is said: one line, with the name of the file, and nothing but what can be shown."""
    with pytest.raises(UnreadableFile) as caught:
        call(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.isprintable()
    assert len(message) < 600
    assert "secret" not in message
    return message


def answer(path, call):
    """What is said, ``None`` where the file is read."""
    try:
        call(path)
    except UnreadableFile as error:
        return str(error)
    return None


def put(name, data=None, **options):
    """Put another data set in the place of one."""

    def make(file):
        if name in file:
            del file[name]
        file.create_dataset(name, data=data, **options)

    return make


def put_attribute(place, value, **options):
    group, _, name = place.partition("@")

    def make(file):
        del file[group].attrs[name]
        file[group].attrs.create(name, value, **options)

    return make


# Good files are read


def test_a_result_with_everything_is_read(whole, changed):
    stored = io.load(whole)
    assert stored.moduli.strains[-1] == "xy"
    assert stored.modes.mode.shape == (8, 3, 5)
    assert frames(whole)[0].shape == (2, 8, 3)
    assert io.load(changed(lambda file: None)).energy == stored.energy


@pytest.mark.parametrize("where", ["/", "simsens/..", "particles", "observables"])
def test_what_others_put_into_the_file_does_no_harm(whole, changed, where):
    """Beside our group anybody may write what he likes, links to elsewhere too."""
    place = where.removesuffix("/..")

    def make(file):
        group = file[place] if place != "simsens" else file
        group["mine"] = h5py.ExternalLink("elsewhere.h5", "/")
        group["soft"] = h5py.SoftLink("/nowhere")
        group.create_dataset("note", data="hello")

    assert io.load(changed(make, forged=False)).energy == io.load(whole).energy


# Links, storage, filters


def external_storage(file, secret):
    put("simsens/minimum/position", None, shape=(8, 3), dtype="f8",
        external=[(str(secret), 0, 192)])(file)  # fmt: skip


def virtual(file, secret):
    other = secret.with_name("other.h5")
    with h5py.File(other, "w") as there:
        there.create_dataset("x", data=np.zeros((8, 3)))
    layout = h5py.VirtualLayout((8, 3), "f8")
    layout[:] = h5py.VirtualSource(str(other), "x", (8, 3))
    del file["simsens/minimum/position"]
    file["simsens/minimum"].create_virtual_dataset("position", layout)


def link(name, make):
    def change(file, secret):
        del file[name]
        file[name] = make(secret)

    return change


def within_itself(file, secret):
    file["simsens/sensitivity/observables/energy/again"] = file["simsens/sensitivity"]


def of_itself(file, secret):
    del file["simsens/minimum"]
    file["simsens/minimum"] = file["simsens"]


OUTSIDE = {
    "external storage": external_storage,
    "virtual": virtual,
    "external link": link(
        "simsens/minimum/position", lambda s: h5py.ExternalLink(str(s.with_name("o.h5")), "x")
    ),
    "external link to a group": link(
        "simsens/minimum", lambda s: h5py.ExternalLink(str(s.with_name("o.h5")), "/")
    ),
    "soft link": link(
        "simsens/minimum/position", lambda s: h5py.SoftLink("/simsens/structure/start")
    ),
    "soft link to a group": link("simsens/structure", lambda s: h5py.SoftLink("/simsens/minimum")),
    "soft link to itself": link("simsens/minimum", lambda s: h5py.SoftLink("/simsens/minimum")),
    "our group is a link": link("simsens", lambda s: h5py.SoftLink("/particles")),
    "a group within itself": within_itself,
    "a group that is another": of_itself,
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_nothing_is_read_from_elsewhere(changed, tmp_path, kind):
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET * 100)
    refusal(changed(lambda file: OUTSIDE[kind](file, secret)))


@pytest.mark.parametrize("name", trajectory_group.GROWING)
def test_the_frames_are_not_read_from_elsewhere_either(changed, tmp_path, name):
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET * 100)

    def make(file):
        shape, kind = file[name].shape, file[name].dtype
        size = int(np.prod(shape)) * kind.itemsize
        put(name, None, shape=shape, dtype=kind, external=[(str(secret), 0, size)])(file)

    path = changed(make)
    refusal(path)
    if "box" not in name and "species" not in name and "time" not in name:
        refusal(path, frames)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"fletcher32": True}, "HDF5 can crash"),
        ({"scaleoffset": 3}, "HDF5 can crash"),
        ({"compression": 32015, "allow_unknown_filter": True}, "filter"),
    ],
)
def test_filters(changed, options, word):
    def make(file):
        put("simsens/minimum/position", shape=(8, 3), dtype="f8", chunks=(8, 3), **options)(file)

    assert word in refusal(changed(make))


def test_the_same_filter_twice(changed):
    """Gzip of gzip makes a million of one."""

    def make(file):
        del file["simsens/minimum/position"]
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((8, 3))
        plan.set_deflate(9)
        plan.set_deflate(9)
        space = h5py.h5s.create_simple((8, 3))
        group = file["simsens/minimum"].id
        h5py.h5d.create(group, b"position", h5py.h5t.IEEE_F64LE, space, plan)

    assert "row of filters" in refusal(changed(make))


# Too much


def bombs(folder, whole):
    """Small files that claim, or unpack to, gigabytes; by name."""
    zeros = zlib.compressobj(9, wbits=-15)
    part, total = zeros.compress(bytes(2**24)) + zeros.flush(zlib.Z_FULL_FLUSH), 192 * 2**24
    end = struct.pack(">HH", total % 65521, 1)  # the checksum of so many zeros
    packed = b"\x78\xda" + part * 192 + b"\x03\0" + end
    piece = zlib.compress(bytes(2**20), 9)

    def pieces(name, shape, chunks, kind="f8", count=None, content=piece):
        def make(file):
            put(name, shape=shape, dtype=kind, chunks=chunks, compression="gzip")(file)
            there = file[name]
            for k in range(count or -(-shape[0] // chunks[0])):
                there.id.write_direct_chunk((k * chunks[0], *(0 for _ in shape[1:])), content)

        return make

    start = "simsens/structure/start"
    makers = {
        "terabytes": put(start, shape=(2**38, 3), dtype="f8", chunks=(1024, 3)),
        "terabytes that fill": put(start, shape=(2**38, 3), dtype="f8", chunks=(1024, 3),
                                   fillvalue=1.0),
        "gzip, 3 GB": pieces(start, (2**17 * 1000, 3), (2**17 // 3, 3), count=3000),
        "one piece unpacks to 3 GB": pieces(start, (8, 3), (8, 3), content=packed),
        "one large piece unpacks to 3 GB": pieces(start, (2**22, 3), (2**22, 3), content=packed),
        "large pieces": put(start, np.zeros((8, 3)), chunks=(8, 3), maxshape=(None, 3)),
        "frames": pieces(trajectory_group.POSITION, (2**20, 8, 3), (2**12, 8, 3)),
        "history": pieces("simsens/history/relax", (2**24, 3), (2**15, 3)),
        "huge chunk": put(start, shape=(8, 3), dtype="f8", chunks=(2**26, 3), maxshape=(None, 3)),
        "modes": pieces("simsens/modes/mode", (8, 3, 2**22), (8, 3, 2**12)),
    }  # fmt: skip

    def many(file):
        for k in range(200):
            pieces(f"simsens/provenance/a{k}", (2**21, 3), (2**15, 3))(file)

    makers["many that are just small enough"] = many
    for number, (name, make) in enumerate(makers.items()):
        path = folder / f"bomb_{number}.h5md"
        path.write_bytes(whole.read_bytes())
        with h5py.File(path, "r+") as file:
            make(file)
        yield name, path
    for number, (name, length) in enumerate({"a text": 2**32 - 1, "a longer": 2**29}.items()):
        path = folder / f"text_{number}.h5md"
        path.write_bytes(whole.read_bytes())
        claim(path, b"reduced", length)
        yield f"{name} of gigabytes", path


def claim(path, word, length):
    """Let the reference to a text claim another length."""
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    at = heap + 16
    while content[at + 16 : at + 16 + len(word)] != word:
        at += 16 + -(-struct.unpack_from("<Q", content, at + 8)[0] // 8) * 8
    index = struct.unpack_from("<H", content, at)[0]
    old = struct.pack("<IQI", len(word), heap, index)
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, struct.pack("<IQI", length, heap, index)))


READER = """
import json, resource, sys, time
from simsens import io
found = []
io.load(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[2:]:
    for way in (io.load, io.read, lambda p: io.open(p).trajectory[0]):
        began, said = time.perf_counter(), "read"
        try:
            way(path)
        except io.UnreadableFile as error:
            said = str(error)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        found.append([path, said, memory, time.perf_counter() - began])
sys.stdout.write(json.dumps(found))
"""


def test_bombs(whole, tmp_path):
    """None takes more than some megabytes, and none takes long."""
    made = dict(bombs(tmp_path, whole))
    assert sum(path.stat().st_size for path in made.values()) < 2**25
    done = subprocess.run(
        [sys.executable, "-c", READER, str(whole), *map(str, made.values())],
        capture_output=True, text=True, timeout=300, cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = {str(path): name for name, path in made.items()}
    refused = set()
    for path, said, memory, seconds in json.loads(done.stdout):
        assert memory < 400_000, (names[path], memory)
        assert seconds < 5, (names[path], seconds)
        assert said == "read" or said.startswith(path), said
        if said != "read":
            refused.add(names[path])
    assert set(made) - refused <= {"large pieces"}  # which is an array in a piece, and right


def test_a_heap_that_leads_nowhere(whole, tmp_path):
    """HDF5 goes through it for ever."""
    content = bytearray(whole.read_bytes())
    heap = content.index(b"GCOL")
    content[heap + 16 : heap + 32] = bytes(16)
    path = tmp_path / "heap.h5md"
    path.write_bytes(content)
    for way in WAYS.values():
        refusal(path, way)


def test_thousands_of_members(changed):
    def many(file):
        for k in range(guarded.ENTRIES + 1):
            file["simsens/provenance"].create_group(f"g{k}")

    began = time.perf_counter()
    for way in WAYS.values():
        assert "members" in refusal(changed(many, forged=False), way)
    assert time.perf_counter() - began < 60


def test_groups_within_groups(changed):
    def deep(file):
        group = file["simsens/provenance"]
        for _ in range(200):
            group = group.create_group("g")

    assert "deeper" in refusal(changed(deep, forged=False))


# Kinds, shapes, names


def places():
    """Where an entry of the schema stands in the file."""
    for entry in schema.ENTRIES:
        yield entry, entry.path.replace("NAME", "energy")


def another(file, place, damage, entry):
    """Damage one entry; whether that can be done to it."""
    path, _, name = place.partition("@")
    shape = re.findall(r"\[(.*)\]", entry.form)
    letters = shape[0].split(",") if shape else []
    if damage == "missing":
        if not entry.needed:
            return False
        if name:
            del file[path].attrs[name]
        else:
            del file[path]
        return True
    if entry.form == "group":
        if damage != "kind" or path not in file:
            return False
        del file[path]
        file.create_dataset(path, data=np.zeros(3))
        return True
    if name and name not in file[path].attrs:
        return False
    value = np.asarray(file[path].attrs[name]) if name else file[path][()]
    if damage == "rank":
        value = value[None] if name and value.ndim == 0 else value[..., None][None]
    elif damage == "kind":
        value = np.full(np.shape(value), 1 + 2j)
    elif damage == "shape":
        fixed = [k for k, letter in enumerate(letters) if letter not in ("*", "T")]
        alone = sum(f"{letters[fixed[-1]]}" in each.form for each in schema.ENTRIES) if fixed else 0
        if not fixed or alone < 2:
            return False
        value = np.concatenate([value, np.take(value, [0], fixed[-1])], fixed[-1])
    kind = TEXT if value.dtype.kind in "OU" else value.dtype
    if name:
        del file[path].attrs[name]
        file[path].attrs.create(name, value.astype(object) if kind is TEXT else value, dtype=kind)
    else:
        put(path, value, dtype=kind)(file)
    return True


@pytest.mark.parametrize("damage", ["missing", "rank", "kind", "shape"])
def test_every_entry_of_the_schema(changed, damage):
    done, missed = 0, []
    for entry, place in places():
        able = []
        damaged = lambda f: able.append(another(f, place, damage, entry))  # noqa: B023, E731
        path = changed(damaged, forged=False)
        if not able[0] or place == "simsens@digest":
            continue
        done += 1
        said = answer(path, io.load) or ""
        # It is not the checksum that tells it.
        if not said.startswith(str(path)) or not said.isprintable() or "was written" in said:
            missed.append((place, said))
    assert done > 20
    assert missed == []


STRANGE = {
    "object reference": (lambda f: f["simsens"].ref, {"dtype": h5py.ref_dtype}),
    "region": (
        lambda f: f["simsens/minimum/position"].regionref[:1], {"dtype": h5py.regionref_dtype}
    ),
    "record": (lambda f: np.zeros(3, [("x", "f8"), ("y", "i4")]), {}),
    "ragged": (lambda f: np.array([np.zeros(2)] * 3 + [None], object)[:3],
               {"dtype": h5py.vlen_dtype(np.float64)}),
    "enumeration": (
        lambda f: np.full((8, 3), 77), {"dtype": h5py.enum_dtype({"A": 0, "B": 1}, "i4")}
    ),
    "opaque": (lambda f: np.zeros(3, "V9"), {}),
    "time": (lambda f: np.zeros(3, "i8").view("M8[s]").astype(h5py.opaque_dtype("M8[s]")), {}),
    "complex": (lambda f: np.zeros((8, 3), complex), {}),
    "half": (lambda f: np.zeros((8, 3), "f2"), {}),
    "long": (lambda f: np.zeros((8, 3), np.longdouble), {}),
    "nothing": (lambda f: h5py.Empty("f8"), {}),
    "text": (lambda f: "here", {}),
    "huge rank": (lambda f: np.zeros((1,) * 32), {}),
    "no elements": (lambda f: np.zeros((0, 3)), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", ["simsens/minimum/position", "simsens/structure/start"])
@pytest.mark.parametrize("kind", STRANGE)
def test_strange_kinds_of_data(changed, name, kind):
    def make(file):
        value, options = STRANGE[kind]
        put(name, value(file), **options)(file)

    path = changed(make)
    refusal(path)
    refusal(path, io.read)


@pytest.mark.parametrize("place", ["simsens@status", "simsens@n_committed", "simsens/minimum@step"])
@pytest.mark.parametrize("kind", [each for each in STRANGE if each != "no elements"])
def test_strange_kinds_of_attributes(changed, place, kind):
    def make(file):
        value, options = STRANGE[kind]
        group, _, name = place.partition("@")
        file[group].attrs.create(name, value(file), **options)

    path = changed(make)
    refusal(path)
    for way in (io.read, frames):
        said = answer(path, way)
        assert said is None or said.isprintable()


def test_numbers_that_are_arrays(changed):
    def make(file):
        kind, space = h5py.h5t.array_create(h5py.h5t.IEEE_F64LE, (3,)), h5py.h5s.create_simple((8,))
        del file["simsens/minimum/position"], file["simsens/minimum"].attrs["step"]
        h5py.h5d.create(file["simsens/minimum"].id, b"position", kind, space)
        h5py.h5a.create(file["simsens/minimum"].id, b"step", kind, space)

    for way in WAYS.values():
        refusal(changed(make), way)


@pytest.mark.parametrize(
    ("place", "value", "word"),
    [
        ("simsens@n_committed", -1, "n_committed"),
        ("simsens@n_committed", 3, "there are 2 frames"),
        ("simsens@n_committed", 2**62, "there are 2 frames"),
        ("simsens@n_committed", 1.5, "n_committed"),
        ("simsens@n_committed", True, "n_committed"),
        ("simsens@n_committed", "2", "n_committed"),
        ("simsens@schema_version", 2.0, "schema version"),
        ("simsens@schema_version", True, "schema version"),
        ("simsens@schema_version", 99, "schema version is 99"),
        ("simsens@spatial_dimension", 7, "2 or 3"),
        ("simsens@spatial_dimension", 2, "D = "),
        ("simsens@units", "imperial", "reduced, metal"),
        ("simsens@status", "done", "running, complete"),
        ("simsens@status", "running", "has not ended"),
        ("simsens@coordinate_space", "polar", "cartesian"),
        ("simsens@units", "x" * 40_000, "reduced, metal"),
        ("simsens@units", "\x1b[2J\nred", "reduced, metal"),
        ("simsens/structure@boundary", ["periodic", "open", "none"], "periodic, none"),
        ("simsens/minimum@energy", np.nan, "converged"),
        ("simsens/minimum@energy", np.inf, "converged"),
        ("simsens/minimum@max_force", -np.inf, "converged"),
        ("simsens/potential@name", "os.system", "unknown potential"),
        ("simsens/potential@name", 0, "kind text"),
        ("simsens/potential@epsilon", "two", "cannot be made again"),
        ("simsens/certificate@trusted", 1, "bool"),
    ],
)
def test_attributes_that_cannot_be(changed, place, value, word):
    assert word in refusal(changed(put_attribute(place, value)))


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("simsens/minimum/position", np.full((8, 3), np.nan), "finite"),
        ("simsens/minimum/position", np.full((8, 3), np.inf), "finite"),
        ("simsens/structure/start", np.full((8, 3), np.nan), "finite"),
        ("simsens/structure/box", np.full((3, 3), np.inf), "volume"),
        ("simsens/structure/box", np.zeros((3, 3)), "positive"),
        ("simsens/structure/box", np.full((3, 3), 1e300), "volume"),
        ("simsens/structure/species", np.full(8, 9, np.int32), "species"),
        ("simsens/structure/species", np.full(8, -1, np.int32), "species"),
        ("simsens/theta/name", ["epsilon"] * 3, "twice"),
        ("simsens/structure/species_names", ["A", "A"], "twice"),
        ("simsens/sensitivity/parameter", ["epsilon"] * 3, "twice"),
        ("simsens/potential/diameter/key", ["A", "A"], "twice"),
        (trajectory_group.STEP, np.zeros(1, int), "frames"),
        (trajectory_group.ENERGY, np.zeros(1), "frames"),
    ],
)
def test_values_that_cannot_be(changed, name, value, word):
    text = {"dtype": TEXT} if isinstance(value, list) else {}
    assert word in refusal(changed(put(name, value, **text)))


def test_a_frame_that_is_not_finite_is_no_structure(changed):
    path = changed(lambda f: f[trajectory_group.POSITION].__setitem__((0, 3), np.nan))
    assert "finite" in refusal(path, lambda p: io.read(p, index=0))
    assert io.read(path).number == 8


def test_bools_of_another_value(changed):
    """Stored as one of FALSE and TRUE; a byte of 7 is neither."""

    def make(file):
        kind = h5py.h5t.enum_create(h5py.h5t.STD_I8LE)
        kind.enum_insert(b"FALSE", 0)
        kind.enum_insert(b"TRUE", 1)
        group = file["simsens/minimum"]
        del group.attrs["converged"]
        made = h5py.h5a.create(group.id, b"converged", kind, h5py.h5s.create(h5py.h5s.SCALAR))
        made.write(np.array(7, "i1"), mtype=kind)

    assert "true or false" in refusal(changed(make))


@pytest.mark.parametrize("fixed", [True, False])
def test_texts_that_are_none(changed, fixed):
    bad = b"red\xff\xfe"
    kind = h5py.string_dtype("utf-8", 5 if fixed else None)
    attribute = put_attribute("simsens@units", np.array(bad, kind), dtype=kind)
    assert "text" in refusal(changed(attribute))
    words = np.array([b"A", bad], kind)
    assert "text" in refusal(changed(put("simsens/structure/species_names", words, dtype=kind)))


@pytest.mark.parametrize(
    "name", ["a\nb", "\x1b[31mred", "..", "\u202eevil", "x" * 2000, "%s%n", "naïve Ångström"]
)
def test_observables_with_odd_names(changed, name):
    """They are read, or refused in a line that a terminal can show."""

    def make(file):
        group = file["simsens/sensitivity/observables"].create_group(name)
        group.create_dataset("value", data=1.0)

    refusal(changed(make))  # its derivative is missing, and that line has the name in it

    def whole(file):
        make(file)
        derivative = f"simsens/sensitivity/observables/{name}/d{name}_dtheta"
        file.create_dataset(derivative, data=np.zeros(3))

    assert name in io.load(changed(whole)).observables


def test_names_that_are_no_text(changed):
    def make(file):
        group = file["simsens/sensitivity/observables"].id
        h5py.h5g.create(group, b"\xff\xfe\x00".rstrip(b"\0"))

    refusal(changed(make))


@pytest.mark.parametrize(
    "value", ["x" * 2**20, np.zeros(2**13 - 99), ["word"] * 17, np.zeros((2, 2, 2))]
)
def test_large_attributes(whole, tmp_path, value):
    """In a newer form of the file, in which many attributes stand elsewhere."""
    path = tmp_path / "new.h5md"
    with h5py.File(whole) as old, h5py.File(path, "w", libver="latest") as file:
        for name in old:
            old.copy(name, file)
        file["simsens/provenance"].attrs.create("large", value)
        forge(file)
    for way in WAYS.values():
        said = answer(path, way)
        assert said is None or len(said) < 600


def test_states_that_make_no_sense(changed):
    def state(**arrays):
        def make(file):
            group = file.create_group("simsens/checkpoint")
            for name, value in arrays.items():
                group.create_dataset(name, data=value)

        return make

    def read(path):
        with opened.opened(path) as root:
            return checkpoint.read(root.file)

    kept = {"steps": np.array(3), "position": np.zeros((8, 3))}
    good = changed(lambda file: checkpoint.write(file, kept), forged=False)
    assert read(good)["steps"] == 3
    assert io.load(good).energy  # the state is no part of the result
    assert read(changed(state(), forged=False)) is None
    refusal(changed(state(position=np.zeros(3)), forged=False), read)  # of no checksum
    for value in (np.zeros((1, 1, 1)), "three", np.zeros(2, [("x", "f8")]), 1j):
        refusal(changed(state(steps=value), forged=False), read)


# Damage


def test_what_was_changed_is_told(changed):
    for make in (
        put_attribute("simsens/minimum@energy", 0.5),
        put("simsens/theta/value", np.array([1.0, 2.0, 3.0])),
        put("simsens/certificate/error_bound", np.zeros(3)),
        put_attribute("simsens/provenance@seed", 8),
        lambda file: file["simsens"].attrs.create("note", "mine"),
        lambda file: file.move("simsens/modes", "modes"),
        lambda file: file["simsens"].create_group("more"),
        lambda file: file["simsens"].attrs.pop("digest"),
        put_attribute("simsens@digest", "{}"),
        put_attribute("simsens@digest", "[" * 50_000),
        put_attribute("simsens@digest", "nothing"),
    ):
        message = refusal(changed(make, forged=False))
        assert "digest" in message or "what was written" in message, message


def test_a_structure_is_read_though_the_derivatives_are_damaged(changed, whole):
    path = changed(put("simsens/certificate/error_bound", np.zeros(3)), forged=False)
    assert np.array_equal(io.read(path).position, io.read(whole).position)
    refusal(path)
    path = changed(put("simsens/structure/box", np.eye(3) * 9), forged=False)
    for way in WAYS.values():
        assert "structure is not what was written" in refusal(path, way)


def test_pieces_that_are_missing_or_too_short(whole, tmp_path):
    """HDF5 reads zeros there, or what stands in memory."""
    name = trajectory_group.POSITION
    for make in (
        lambda there: there.resize(3, axis=0),
        lambda there: there.id.write_direct_chunk((0, 0, 0), bytes(10), filter_mask=3),
    ):
        path = tmp_path / "pieces.h5md"
        path.write_bytes(whole.read_bytes())
        with h5py.File(path, "r+") as file:
            make(file[name])
        assert "pieces" in refusal(path, frames)


def test_a_file_with_a_block_in_front(whole, tmp_path):
    path = tmp_path / "block.h5md"
    with h5py.File(whole) as old, h5py.File(path, "w", userblock_size=512) as file:
        for name in old:
            old.copy(name, file)
    assert "laid out" in refusal(path)


def test_a_copy_by_others_is_read(whole, tmp_path):
    """h5copy and h5repack move what is in a file, and that is no damage."""
    path = tmp_path / "copy.h5md"
    with h5py.File(whole) as old, h5py.File(path, "w") as file:
        for name in reversed(list(old)):
            old.copy(name, file)
    assert np.array_equal(io.load(path).position_derivative, io.load(whole).position_derivative)
