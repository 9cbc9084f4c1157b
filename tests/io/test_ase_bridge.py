import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms, FixBondLength, FixCartesian

from simsens import io
from simsens.io.errors import UnknownFormat, UnreadableFile
from simsens.particles.structure import InvalidStructure

LAMMPS = """made by hand

2 atoms
2 atom types
0 4 xlo xhi
0 5 ylo yhi
0 6 zlo zhi

Masses

1 1.0
2 1.0

Atoms # {style}

{rows}
"""


def one_line(caught, *words):
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message, message


# from_ase, to_ase


def test_species_in_order_of_first_use():
    s = io.from_ase(Atoms("OHHAr", np.arange(12.0).reshape(4, 3), cell=[9, 8, 7], pbc=True))
    assert s.species_names == ("O", "H", "Ar")
    assert s.names() == ["O", "H", "H", "Ar"]
    assert np.array_equal(s.position, np.arange(12.0).reshape(4, 3))
    assert np.array_equal(s.box, np.diag([9.0, 8.0, 7.0]))
    assert s.boundary == (True, True, True)


def test_no_cell_is_free_space():
    s = io.from_ase(Atoms("Ar2", [[0, 0, 0], [0, 0, 3]]))
    assert s.box is None
    assert s.boundary == (False,) * 3


def test_mixed_boundary_and_open_edge():
    s = io.from_ase(Atoms("Ar", [[0, 0, 0]], cell=[[4, 1, 0], [0, 5, 0], [0, 0, 0]], pbc=(1, 1, 0)))
    assert s.boundary == (True, True, False)
    assert np.allclose(s.box, [[4, 1, 0], [0, 5, 0], [0, 0, 1]], atol=1e-15)


def test_constraints_of_whole_atoms():
    atoms = Atoms("Ar4", np.arange(12.0).reshape(4, 3))
    atoms.set_constraint([FixAtoms([0]), FixCartesian([2], mask=(True, True, True))])
    assert io.from_ase(atoms).fixed.tolist() == [True, False, True, False]


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("names", [("A", "bead1"), ("Ar", "Kr")])
def test_round_trip_is_exact(structure_of, same_structure, dimension, periodic, names):
    structure = structure_of(dimension, periodic, names=names, fixed=[0, 5])
    atoms = io.to_ase(structure)
    assert atoms.positions.shape == (6, 3)
    same_structure(io.from_ase(atoms), structure)


def test_elements_arrive_as_elements(structure_of):
    assert io.to_ase(structure_of(names=("Ar", "Kr"))).get_chemical_symbols()[:2] == ["Ar", "Kr"]
    assert set(io.to_ase(structure_of(names=("A", "Kr"))).get_chemical_symbols()) == {"X"}


@pytest.mark.parametrize(
    "constraint", [FixBondLength(0, 1), FixCartesian([0], mask=(True, False, False))]
)
def test_other_constraints_are_refused(constraint):
    atoms = Atoms("Ar2", [[0, 0, 0], [0, 0, 3]], constraint=constraint)
    with pytest.raises(InvalidStructure) as caught:
        io.from_ase(atoms)
    one_line(caught, type(constraint).__name__)


@pytest.mark.parametrize(
    ("atoms", "word"),
    [
        (Atoms(), "empty"),
        (Atoms("Ar", [[0, 0, np.nan]]), "finite"),
        (Atoms("Ar", [[0, 0, 0]], cell=[4, 4, 0], pbc=True), "positive"),
        (Atoms("Ar", [[0, 0, 0]], cell=[[1, 1, 0], [2, 2, 0], [0, 0, 1]], pbc=True), "volume"),
        (Atoms("Ar", [[0, 0, 1]], info={"dimension": 2}), "z = 0"),
    ],
)
def test_structures_that_are_none(atoms, word):
    with pytest.raises(InvalidStructure, match=word):
        io.from_ase(atoms)


# Files


@pytest.mark.parametrize("name", ["x.cif", "POSCAR", "CONTCAR", "x.pdb", "x.vasp"])
def test_crystals(tmp_path, name):
    salt = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    salt.write(tmp_path / name)
    s = io.read(tmp_path / name)
    assert s.number == 8
    assert sorted(s.species_names) == ["Cl", "Na"]
    assert s.boundary == (True, True, True)
    assert np.allclose(s.box, np.eye(3) * 5.6, atol=1e-3)


def test_selective_dynamics_of_poscar(tmp_path):
    salt = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    salt.set_constraint(FixAtoms([1]))
    salt.write(tmp_path / "POSCAR")
    assert io.read(tmp_path / "POSCAR").fixed.sum() == 1


@pytest.mark.parametrize("name", ["x.data", "x.lmp", "lammps.start"])
def test_lammps_types_are_the_species(tmp_path, name):
    # Equal masses, as in reduced units: a guess of the elements would merge the two types.
    rows = "2 2 1.0 2.0 0.0\n1 1 0.0 0.0 0.0"
    path = tmp_path / name
    path.write_text(LAMMPS.format(style="atomic", rows=rows))
    s = io.read(path)
    assert s.names() == ["1", "2"]
    assert s.position.tolist() == [[0, 0, 0], [1, 2, 0]]
    assert np.array_equal(s.box, np.diag([4.0, 5.0, 6.0]))
    assert io.read(path, dimension=2).box.tolist() == [[4, 0], [0, 5]]


@pytest.mark.parametrize(
    ("style", "rows"),
    [
        ("full", "1 1 1 0.5 0 0 0\n2 1 2 -0.5 1 2 0"),
        ("charge", "1 1 0.5 0 0 0\n2 2 -0.5 1 2 0"),
        ("atomic", "1 1 0 0 0\n2 2 1 x 0"),
    ],
)
def test_other_lammps_styles_are_refused(tmp_path, style, rows):
    path = tmp_path / "x.data"
    path.write_text(LAMMPS.format(style=style, rows=rows))
    with pytest.raises(UnreadableFile) as caught:
        io.read(path)
    one_line(caught, path, "atom_style atomic", "extended XYZ")


def test_frame_by_index(tmp_path):
    from ase.io import write

    frames = [Atoms("Ar", [[k, 0, 0]]) for k in range(3)]
    write(tmp_path / "x.traj", frames)
    assert io.read(tmp_path / "x.traj").position[0, 0] == 2
    assert io.read(tmp_path / "x.traj", index=0).position[0, 0] == 0
    with pytest.raises(UnreadableFile):
        io.read(tmp_path / "x.traj", index=7)


@pytest.mark.parametrize("name", ["no.cif", "POSCAR", "x.data"])
def test_missing_file(tmp_path, name):
    with pytest.raises(UnreadableFile) as caught:
        io.read(tmp_path / name)
    one_line(caught, tmp_path / name, "no such file")


@pytest.mark.parametrize("name", ["x.cif", "POSCAR", "x.pdb", "x.data", "x.traj"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff\x13garbage\n" * 20, b"nonsense\n"])
@pytest.mark.filterwarnings("ignore:.*:UserWarning:ase")
def test_garbage(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises((UnreadableFile, UnknownFormat)) as caught:
        io.read(path)
    one_line(caught, path)


def test_unknown_format(tmp_path):
    path = tmp_path / "x.nobody"
    path.write_text("what is this\n")
    with pytest.raises(UnknownFormat) as caught:
        io.read(path)
    one_line(caught, path, ".extxyz")


def test_an_at_sign_is_part_of_the_name(tmp_path):
    path = tmp_path / "x@0.cif"
    bulk("Cu", cubic=True).write(tmp_path / "x.cif")
    (tmp_path / "x.cif").rename(path)
    assert io.read(path).number == 4


def test_plane_from_a_file_of_ase(tmp_path):
    Atoms("Ar", [[1, 2, 0.5]], cell=[4, 4, 4], pbc=True).write(tmp_path / "x.cif")
    with pytest.raises(UnreadableFile) as caught:
        io.read(tmp_path / "x.cif", dimension=2)
    one_line(caught, "z = 0.5", tmp_path)
