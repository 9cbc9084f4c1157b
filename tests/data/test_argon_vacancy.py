from ase.io import read

from tests.examples.example import ROOT, run


def test_the_argon_crystal_is_made_again_byte_for_byte(tmp_path):
    made, kept = tmp_path / "argon.extxyz", ROOT / "data" / "argon_vacancy.extxyz"
    run(ROOT / "data" / "make_argon_vacancy.py", tmp_path, "-o", str(made))
    assert made.read_bytes() == kept.read_bytes()
    atoms = read(kept)
    assert atoms.get_chemical_formula() == "Ar255"
    assert atoms.pbc.all()
    # Every atom has 12 nearest neighbours, but for the 12 around the vacancy.
    near = (atoms.get_all_distances(mic=True) < 4.0).sum(axis=1) - 1
    assert sorted(near) == [11] * 12 + [12] * 243
