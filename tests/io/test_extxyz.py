import subprocess
import sys

import numpy as np
import pytest

from simsens import io
from simsens.io import extxyz
from simsens.io.errors import OutputExists, UnreadableFile, UnwritableFile
from simsens.particles.structure import Structure

HEAD = 'Lattice="4 0 0 0 5 0 0 0 6" Properties=species:S:1:pos:R:3'


@pytest.fixture
def file(tmp_path):
    """Write a text (or bytes) and return the path."""

    def make(content, name="x.extxyz"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def refusal(path, *words, **options):
    """The message of the refusal: one line, with the file's name and every word in it."""
    with pytest.raises(UnreadableFile) as caught:
        io.read(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    for word in words:
        assert word in message, message
    return message


# What is read


def test_names_of_any_kind_and_a_periodic_box(file):
    s = io.read(file(f"3\n{HEAD}\nA 0 0 0\nbead1 1 2 3\nAr -1e-3 +2. 3.5E0\n"))
    assert s.names() == ["A", "bead1", "Ar"]
    assert s.boundary == (True, True, True)
    assert np.array_equal(s.box, np.diag([4.0, 5.0, 6.0]))
    assert np.array_equal(s.position[2], [-1e-3, 2.0, 3.5])


def test_lattice_holds_rows(file):
    s = io.read(file('1\nLattice="4 0 0 1 5 0 2 3 6"\nA 0 0 0\n'))
    assert s.box.tolist() == [[4, 0, 0], [1, 5, 0], [2, 3, 6]]


def test_columns_in_any_order_extra_ones_skipped(file):
    properties = "id:I:1:pos:R:3:name:S:1:species:S:1:velo:R:3:flag:L:1"
    s = io.read(file(f"1\nProperties={properties}\n7 1 2 3 what B nan nan nan T\n"))
    assert s.names() == ["B"]
    assert s.position.tolist() == [[1.0, 2.0, 3.0]]
    assert s.box is None
    assert s.boundary == (False, False, False)


def test_plain_xyz_with_a_free_comment(file):
    s = io.read(file("2\nmade = by hand, 'unclosed \"quotes\nA 0 0 0\nB 1 1 1\n", "x.xyz"))
    assert s.names() == ["A", "B"]


def test_windows_line_ends_and_blank_lines_at_the_end(file):
    assert io.read(file("1\r\n\r\nA 0 0 1\r\n\r\n\n")).position.tolist() == [[0, 0, 1]]


@pytest.mark.parametrize(
    ("pbc", "boundary"),
    [("T T F", (True, True, False)), ("1 0 1", (True, False, True)), ("F", (False,) * 3)],
)
def test_boundary(file, pbc, boundary):
    assert io.read(file(f'1\n{HEAD} pbc="{pbc}"\nA 0 0 0\n')).boundary == boundary


def test_open_edge_without_a_length_gets_one(file):
    s = io.read(file('1\nLattice="4 0 0 0 5 0 0 0 0" pbc="T T F"\nA 0 0 0\n'))
    assert s.box.tolist() == [[4, 0, 0], [0, 5, 0], [0, 0, 1]]


def test_wire_gets_two_perpendicular_edges(file):
    s = io.read(file('1\nLattice="0 0 0 3 4 0 0 0 0" pbc="F T F"\nA 0 0 0\n'))
    gram = s.box @ s.box.T
    assert np.allclose(gram, np.diag([1.0, 25.0, 1.0]), atol=1e-14)


def test_zero_lattice_that_is_not_periodic_is_free_space(file):
    assert io.read(file('1\nLattice="0 0 0 0 0 0 0 0 0" pbc="F F F"\nA 0 0 0\n')).box is None


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ('Properties=species:S:1:pos:R:2 Lattice="4 0 1 5"', "A 1 2"),
        ('Properties=species:S:1:pos:R:2 Lattice="4 0 0 1 5 0 0 0 1" pbc="T T T"', "A 1 2"),
        ('Lattice="4 0 0 1 5 0 0 0 1" dimension=2', "A 1 2 0"),
        ('dimension=2 Lattice="4 0 1 5" pbc="T T"', "A 1 2 0.0"),
    ],
)
def test_two_dimensions(file, header, rows):
    s = io.read(file(f"1\n{header}\n{rows}\n"))
    assert s.position.tolist() == [[1, 2]]
    assert s.box.tolist() == [[4, 0], [1, 5]]
    assert s.boundary == (True, True)


def test_two_dimensions_when_asked(file):
    path = file(f"1\n{HEAD}\nA 1 2 0\n")
    assert io.read(path).dimension == 3
    assert io.read(path, dimension=2).dimension == 2


def test_move_mask(file):
    properties = "species:S:1:pos:R:3:move_mask:L:1"
    s = io.read(file(f"2\nProperties={properties}\nA 0 0 0 T\nA 1 1 1 F\n"))
    assert s.fixed.tolist() == [False, True]
    assert io.read(file(f"1\nProperties={properties}\nA 0 0 0 T\n")).fixed is None
    s = io.read(file(f"1\nProperties={properties[:-1]}3\nA 0 0 0 F F F\n"))
    assert s.fixed.tolist() == [True]


def test_frames(file):
    path = file("".join(f"1\n\nA {k} 0 0\n" for k in range(4)))
    found = [io.read(path, index=k).position[0, 0] for k in (-1, -4, 0, 2)]
    assert found == [3, 0, 0, 2]


# What is refused


def test_missing_file_and_folder(tmp_path):
    refusal(tmp_path / "no.xyz", "no such file")
    folder = tmp_path / "folder.xyz"
    folder.mkdir()
    refusal(folder, "not a regular file")


@pytest.mark.parametrize("content", ["", "\n\n", b"  \n"])
def test_empty(file, content):
    refusal(file(content), "empty")


@pytest.mark.parametrize("count", ["two", "-1", "1.5", "1_0", "٣", "9" * 5000, "0x2"])
def test_count_that_is_none(file, count):
    refusal(file(f"{count}\n\nA 0 0 0\n"), "line 1", "number of particles")


def test_no_particles(file):
    refusal(file("0\n\n"), "0 particles")


@pytest.mark.parametrize("count", [100_000, 10**12, 10**17])
def test_absurd_count(file, count):
    refusal(file(f"{count}\n\nA 0 0 0\n"), str(count), "bytes follow")


def test_too_few_lines(file):
    refusal(file("3\n\nA 0 0 0\nA 1 1 1\n"), "declares 3", "only 2 lines follow")
    refusal(file("2\n\nA 0 0 0\n"), "declares 2", "only 1 line follows")


def test_too_many_lines(file):
    refusal(file("1\n\nA 0 0 0\nA 1 1 1\n"), "line 4", "'A 1 1 1'")


@pytest.mark.parametrize("word", ["nan", "inf", "-Infinity", "x", "1_0", "1.0D+00", "0x1"])
def test_coordinate_that_is_no_number(file, word):
    refusal(file(f"2\n\nA 0 0 0\nB 0 {word} 0\n"), "line 4", "coordinate", word)


@pytest.mark.parametrize("row", ["A 0 0", "A 0 0 0 0", "0 0 0"])
def test_wrong_number_of_columns(file, row):
    refusal(file(f"2\n\nA 0 0 0\n{row}\n"), "line 4", "4 columns", f"found {len(row.split())}")


@pytest.mark.parametrize(
    ("properties", "word"),
    [
        ("species:S:1:pos:X:3", "'X'"),
        ("species:S:1:pos:R", "triples"),
        ("species:S:1:pos:R:many", "count"),
        ("species:S:1:pos:R:0", "count"),
        ("species:S:1:pos:R:3:pos:R:3", "different name"),
        ("pos:R:3", "species:S:1"),
        ("species:S:1", "pos:R:3"),
        ("species:S:1:pos:R:4", "pos:R:3"),
        ("species:S:1:pos:S:3", "pos:R:3"),
        ("species:S:2:pos:R:3", "species:S:1"),
    ],
)
def test_bad_properties(file, properties, word):
    refusal(file(f"1\nProperties={properties}\nA 0 0 0\n"), "Properties", word)


@pytest.mark.parametrize(
    ("lattice", "word"),
    [
        ("4 0 0 0 5 0 0 0", "found 8"),
        ("4 5 6", "found 3"),
        ("", "found 0"),
        ("4 0 0 0 five 0 0 0 6", "'five'"),
        ("4 0 0 0 nan 0 0 0 6", "'nan'"),
        ("4 0 0 5", "two dimensions"),
        ("0 0 0 0 0 0 0 0 0", "positive"),
        ("4 0 0 0 5 0 0 0 -6", "positive"),
        ("4 0 0 0 5 0 0 0 0", "positive"),
        ("4 0 0 8 0 0 0 0 1", "volume"),
    ],
)
def test_bad_lattice(file, lattice, word):
    refusal(file(f'1\nLattice="{lattice}"\nA 0 0 0\n'), word)


def test_unclosed_lattice(file):
    refusal(file('1\nLattice="4 0 0 0 5 0 0 0 6\nA 0 0 0\n'), "Lattice")


def test_two_dimensions_need_a_plane(file):
    refusal(file("2\ndimension=2\nA 0 0 0\nA 1 1 0.5\n"), "particle 1", "z = 0.5")
    refusal(file('1\nLattice="4 0 0 0 5 0 1 0 6"\nA 0 0 0\n'), "perpendicular", dimension=2)
    refusal(file('1\nLattice="4 0 1 0 5 0 0 0 6"\nA 0 0 0\n'), "perpendicular", dimension=2)


def test_contradictory_dimensions(file):
    refusal(file("1\ndimension=4\nA 0 0 0\n"), "2 or 3", "'4'")
    refusal(file("1\nProperties=species:S:1:pos:R:2 dimension=3\nA 0 0\n"), "pos:R:3")
    path = file("1\nProperties=species:S:1:pos:R:2\nA 0 0\n")
    refusal(path, "pos:R:3", dimension=3)
    with pytest.raises(ValueError, match="2 or 3"):
        io.read(path, dimension=1)


@pytest.mark.parametrize("pbc", ["T T", "T T X", "yes", "T T F F", ""])
def test_bad_boundary(file, pbc):
    refusal(file(f'1\n{HEAD} pbc="{pbc}"\nA 0 0 0\n'), "pbc")


def test_periodic_without_a_box(file):
    refusal(file('1\npbc="T T T"\nA 0 0 0\n'), "Lattice")


def test_bad_move_mask(file):
    properties = "Properties=species:S:1:pos:R:3:move_mask:L"
    refusal(file(f"1\n{properties}:1\nA 0 0 0 maybe\n"), "line 3", "move_mask", "maybe")
    refusal(file(f"1\n{properties}:3\nA 0 0 0 T F T\n"), "line 3", "move_mask")


@pytest.mark.parametrize("index", [2, -3, 10**6])
def test_missing_frame(file, index):
    refusal(file("1\n\nA 0 0 0\n1\n\nA 0 0 0\n"), f"frame {index}", "holds 2", index=index)


def test_binary_garbage(file):
    refusal(file(np.random.default_rng(0).bytes(4096)), "line 1")
    refusal(file(b"\x89HDF\r\n\x1a\n" + bytes(100)), "line 1")
    refusal(file(b"1\n\nA \xff\xfe 0 0\n"), "line 3", "not text")
    refusal(file(b"1\n\xff\nA 0 0 0\n"), "line 2", "not text")


def test_endless_line(file):
    refusal(file(b"1\n" + b"x" * (extxyz.LONGEST_LINE + 10) + b"\nA 0 0 0\n"), "line 2", "longer")


def test_reading_loads_neither_h5py_nor_ase(file):
    path = file(f"1\n{HEAD}\nA 0 0 0\n")
    code = (
        "import sys; from simsens import io; io.read(sys.argv[1]);"
        "sys.exit(any(m in sys.modules for m in ('h5py', 'ase', 'jax_md')))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 0


# What is written


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("fixed", [None, [1, 3]])
def test_round_trip_is_exact(tmp_path, structure_of, same_structure, dimension, periodic, fixed):
    structure = structure_of(dimension, periodic, names=("A", "bead1", "Ar"), fixed=fixed)
    path = tmp_path / "x.extxyz"
    extxyz.write_structure(path, structure)
    same_structure(io.read(path), structure)


def test_mixed_boundary_round_trip(tmp_path, same_structure):
    structure = Structure([[0.1, 0.2, 0.3]], box=[3.0, 4.0, 5.0], boundary=(True, False, True))
    extxyz.write_structure(tmp_path / "x.xyz", structure)
    same_structure(io.read(tmp_path / "x.xyz"), structure)


def test_extra_columns(tmp_path, structure_of, same_structure):
    structure = structure_of()
    extra = {"radius": np.linspace(0, 1, 6), "velo": np.ones((6, 3)), "id": np.arange(6)}
    path = tmp_path / "x.extxyz"
    extxyz.write_structure(path, structure, extra)
    assert "radius:R:1:velo:R:3:id:I:1" in path.read_text()
    same_structure(io.read(path), structure)


@pytest.mark.parametrize(
    "extra",
    [
        {"pos": np.zeros(6)},
        {"two words": np.zeros(6)},
        {"a:b": np.zeros(6)},
        {"r": np.zeros(5)},
        {"r": np.zeros((6, 2, 2))},
        {"r": np.zeros(6, complex)},
        {"r": np.array(["a b"] * 6)},
    ],
)
def test_columns_that_cannot_be_written(tmp_path, structure_of, extra):
    with pytest.raises(ValueError, match="column"):
        extxyz.write_structure(tmp_path / "x.xyz", structure_of(), extra)
    assert list(tmp_path.iterdir()) == []


def test_species_that_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match="without spaces"):
        extxyz.write_structure(tmp_path / "x.xyz", Structure([[0.0, 0.0]], species=["big A"]))


def test_an_output_is_not_replaced_unasked(tmp_path, structure_of):
    path = tmp_path / "x.xyz"
    path.write_text("mine")
    with pytest.raises(OutputExists, match="exists: choose"):
        extxyz.write_structure(path, structure_of())
    assert path.read_text() == "mine"
    extxyz.write_structure(path, structure_of(), overwrite=True)
    assert io.read(path).number == 6
    with pytest.raises(UnwritableFile, match="no folder"):
        extxyz.write_structure(tmp_path / "no" / "x.xyz", structure_of())
