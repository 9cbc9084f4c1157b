"""What is looked at before HDF5 is asked, and the checksum over a result."""

import time
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

from simsens import io
from simsens.io import digest, filters, guarded, heaps, pieces

TEXT = h5py.string_dtype()


@pytest.fixture
def made(tmp_path):
    """Write a file with a function, and open it for reading."""
    opened = []

    def make(write, **options):
        path = tmp_path / f"{len(opened)}.h5"
        with h5py.File(path, "w", **options) as file:
            write(file)
        opened.append(h5py.File(path, "r"))
        return opened[-1]

    yield make
    for file in opened:
        file.close()


# Texts


@pytest.mark.parametrize("library", ["earliest", "v108", "v110", "latest"])
@pytest.mark.parametrize("words", [["A"], ["a", "", "häß", "x" * 70_000], [], ["w"] * 5000])
def test_texts_are_found_in_every_form_of_a_file(made, library, words):
    file = made(
        lambda f: f.create_dataset("x", data=words, shape=(len(words),), dtype=TEXT),
        libver=(library, "latest"),
    )
    assert guarded.texts(file, "x", (None,)) == tuple(words)
    length = sum(len(word.encode()) for word in words)
    assert heaps.characters(file, heaps.of_dataset(file["x"])) == length


@pytest.mark.parametrize("library", ["earliest", "v108", "latest"])
@pytest.mark.parametrize("group", ["/", "a/b"])
def test_attributes_are_found_in_every_form_of_a_file(made, library, group):
    values = {"one": "word", "empty": "", "three": ["a", "", "ö" * 40], "long": "x" * 50_000}

    def write(file):
        place = file.require_group(group)
        for name, value in values.items():
            if isinstance(value, list):
                place.attrs.create(name, value, dtype=TEXT)
            else:
                place.attrs[name] = value
        place.attrs["number"] = 7

    place = made(write, libver=(library, "latest"))[group]
    for name, value in values.items():
        expected = tuple(value) if isinstance(value, list) else value
        assert guarded.attribute(place, name) == expected
    assert guarded.attributes(place)["number"] == 7


def test_forty_attributes(made):
    """They stand in several pieces of the object's header."""

    def write(file):
        for k in range(40):
            file.attrs[f"name {k}"] = f"value {k}" * k

    file = made(write)
    assert guarded.attributes(file) == {f"name {k}": f"value {k}" * k for k in range(40)}


def test_fixed_length_texts(made):
    def write(file):
        file.create_dataset("x", data=np.array([b"ab", b"c"]))
        file.attrs["x"] = np.bytes_(b"word")

    file = made(write)
    assert guarded.texts(file, "x", (2,)) == ("ab", "c")
    assert guarded.attribute(file, "x") == b"word"


# Numbers


@pytest.mark.parametrize("kind", ["<f8", ">f8", "<f4", ">f4"])
def test_numbers_come_as_this_machine_has_them(made, kind):
    values = np.array([1.5, -2.25], kind)
    found = guarded.numbers(made(lambda f: f.create_dataset("x", data=values)), "x", (2,))
    assert found.dtype.isnative
    assert found.tolist() == [1.5, -2.25]


@pytest.mark.parametrize("compression", ["gzip", "none", "lzf"])
@pytest.mark.parametrize("shape", [(7, 3), (1000, 3), (0, 3), (5,)])
def test_what_is_stored_in_pieces_is_read(made, compression, shape):
    values = np.random.default_rng(1).normal(size=shape)
    chunks = tuple(max(1, length // 3) for length in shape)
    options = {"chunks": chunks, "maxshape": (None, *shape[1:]), **filters.options(compression)}
    file = made(lambda f: f.create_dataset("x", data=values, **options))
    assert np.array_equal(guarded.numbers(file, "x", shape), values)


def test_numbers_that_cannot_be_compressed_are_stored_as_they_are(made):
    """HDF5 leaves the filter out where it would gain nothing."""
    values = np.random.default_rng(1).integers(0, 256, 40).astype(np.uint8)
    file = made(lambda f: f.create_dataset("x", data=values, compression="lzf"))
    assert file["x"].id.get_chunk_info(0).filter_mask
    assert np.array_equal(guarded.numbers(file, "x", (40,), "u"), values)


def test_a_large_piece_is_unpacked_once_more(made):
    values = np.random.default_rng(1).normal(size=200_000)
    file = made(lambda f: f.create_dataset("x", data=values, chunks=(200_000,), compression="gzip"))
    assert file["x"].id.get_chunk_info(0).size > pieces.SUSPECT
    assert np.array_equal(guarded.numbers(file, "x", (None,)), values)


def test_a_survey(made):
    def write(file):
        file.create_dataset("a/b/c", data=np.zeros(9))
        file["a/again"], file["a/b/up"] = file["a/b/c"], file["a"]

    guarded.survey(made(write))
    with pytest.raises(guarded.Refused, match="claims more than"):
        guarded.survey(made(lambda f: f.create_dataset("x", (2**30,), "f8", chunks=(1024,))))


# Checksums


@pytest.fixture
def result(tmp_path, structure_of, equilibrium_of, sensitivity_of):
    equilibrium = equilibrium_of(structure_of())
    io.write(tmp_path / "x.h5md", equilibrium, sensitivity_of(equilibrium))
    return tmp_path / "x.h5md"


def test_the_checksum_is_of_what_is_said_and_not_of_how(result, tmp_path):
    """Another byte order, other filters, another order of names: the same numbers."""
    with h5py.File(result) as file:
        known = digest.digest(file["simsens"])
        assert guarded.attribute(file["simsens"], "digest") == known
        digest.check(file["simsens"])
        with h5py.File(tmp_path / "y.h5md", "w", track_order=True) as copy:
            root = copy.create_group("simsens")
            for name in reversed(list(file["simsens"])):
                file.copy(f"simsens/{name}", root)
            for name in reversed(list(file["simsens"].attrs)):
                root.attrs[name] = file["simsens"].attrs[name]
            start = root["structure/start"][()]
            del root["structure/start"]
            root.create_dataset("structure/start", data=start, dtype=">f8", compression="lzf")
            assert digest.digest(root) == known


def test_every_part_has_its_own(result):
    with h5py.File(result, "r+") as file:
        root = file["simsens"]
        root["certificate/error_bound"][0] += 1e-9
        digest.check(root, "structure", "minimum")
        with pytest.raises(guarded.Refused, match="/simsens/certificate is not what was written"):
            digest.check(root)


def test_names_and_values_cannot_be_mistaken_for_each_other(made):
    def summed(**words):
        def write(file):
            file.create_group("simsens/a").attrs.update(words)

        return digest.digest(made(write)["simsens"])

    found = {summed(ab="c"), summed(a="bc"), summed(abc=""), summed(a="b", c=""), summed()}
    assert len(found) == 5


def test_large_arrays_are_summed_up_in_pieces(made):
    values = np.random.default_rng(1).normal(size=(100_000, 3, 10))
    file = made(
        lambda f: f.create_dataset("simsens/a/x", data=values, shuffle=True, compression="gzip")
    )
    tracemalloc.start()
    began = time.perf_counter()
    digest.digest(file["simsens"])
    assert time.perf_counter() - began < 2  # 0.1 s where nothing else runs
    assert tracemalloc.get_traced_memory()[1] < values.nbytes
    tracemalloc.stop()


@pytest.mark.parametrize("library", ["earliest", "v108", "latest"])
def test_pieces_in_any_order_are_found(made, library):
    """Written in any order, forgotten and written again: an index of many nodes is no damage."""

    def write(file):
        options = {"maxshape": (None, 8), "chunks": (1, 4), **filters.options("gzip")}
        there = file.create_dataset("x", (400, 8), "f8", **options)
        for k in np.random.default_rng(0).permutation(400):
            there[k] = k
        there.resize(150, axis=0)
        there.resize(600, axis=0)
        there[150:] = 7.0

    file = made(write, libver=(library, "latest"))
    for _ in range(2):  # the second time it is remembered
        assert pieces.fault(file["x"], [2, 1]) is None
        assert guarded.numbers(file, "x", (600, 8))[149, 0] == 149


def test_a_piece_that_is_listed_but_not_found(made, tmp_path):
    """HDF5 reads zeros in its place."""
    file = made(lambda f: f.create_dataset("x", data=np.ones((6, 3)), chunks=(1, 3)))
    content = bytearray(Path(file.filename).read_bytes())
    node = content.index(b"TREE\x01")
    content[node + 24 + 5 * 40 + 24 + 3] = 128  # in the key of the last piece
    (tmp_path / "bad.h5").write_bytes(content)
    with h5py.File(tmp_path / "bad.h5") as bad:
        assert bad["x"].id.get_num_chunks() == 6
        assert not bad["x"][5].any()
        with pytest.raises(guarded.Refused, match="wrong size or place"):
            guarded.numbers(bad, "x", (6, 3))
