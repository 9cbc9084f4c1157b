"""Files made here, whole and damaged in every way that can be thought of."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest

from simsens.learning.idx import KINDS, read_idx


def idx(array, kind, lengths=None):
    """The bytes of a file; ``lengths`` are what it claims instead of its shape."""
    lengths = array.shape if lengths is None else lengths
    head = bytes([0, 0, kind, len(lengths)]) + struct.pack(f">{len(lengths)}I", *lengths)
    return head + array.astype(KINDS[kind]).tobytes()


IMAGES = np.arange(24).reshape(2, 3, 4)
WHOLE = idx(IMAGES, 0x08)


def written(folder, content, packed=False):
    path = folder / "file"
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


PACKED = pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])


@PACKED
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (1,) * 32])
def test_what_was_written_is_read(tmp_path, kind, shape, packed):
    array = np.arange(-3, np.prod(shape) - 3).reshape(shape).astype(KINDS[kind][1:])
    found = read_idx(written(tmp_path, idx(array, kind), packed))
    assert found.dtype == array.dtype
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, array)
    found[...] = 0  # it is the reader's to change


def test_names_say_nothing(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(WHOLE)
    assert read_idx(str(path)).shape == (2, 3, 4)


def huge(number):
    return struct.pack(">4B", 0, 0, 0x0E, number) + b"\xff" * 4 * number


DAMAGED = {
    "empty": (b"", "found nothing"),
    "another format": (b"\x89PNG\r\n\x1a\n", "found 89 50 4e 47"),
    "pickle": (b"\x80\x04\x95\x00\x00\x00", "found 80 04 95 00"),
    "kind": (b"\0\0\x0a\x01" + WHOLE[4:], "found 00 00 0a 01"),
    "no dimensions": (b"\0\0\x08\0", "1 to 32 dimensions, found 0"),
    "too many dimensions": (huge(255), "1 to 32 dimensions, found 255"),
    "half a head": (WHOLE[:10], "must tell 3 dimensions; ends after 10 bytes"),
    "a length of zero": (idx(IMAGES, 0x08, (0, 3, 4)), r"at least 1, found \(0, 3, 4\)"),
    "one byte short": (WHOLE[:-1], r"claims an array \(2, 3, 4\) of uint8, 24 bytes"),
    "one byte more": (WHOLE + b"\0", "but holds more"),
    "claims more": (idx(IMAGES, 0x08, (2, 3, 5)), "30 bytes"),
    "claims less": (idx(IMAGES, 0x08, (2, 3, 3)), "but holds more"),
    "claims 10^18 bytes": (idx(IMAGES, 0x08, (10**9, 10**9)), "more than its"),
    "claims 10^309 bytes": (huge(32), "more than its"),  # beyond every float
}


@PACKED
@pytest.mark.parametrize("damage", DAMAGED)
def test_damage_is_told_in_one_line(tmp_path, damage, packed):
    content, said = DAMAGED[damage]
    if packed:  # which could have held it
        said = {"one byte short": "only 23", "claims more": "only 24"}.get(damage, said)
    path = written(tmp_path, content, packed)
    with pytest.raises(ValueError, match=said) as raised:
        read_idx(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("cut", [3, 11, 20, -9, -1])
def test_gzip_that_ends_early(tmp_path, cut):
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(WHOLE)[:cut])
    with pytest.raises(ValueError, match="damaged gzip"):
        read_idx(path)


def test_the_checksum_of_gzip_is_checked(tmp_path):
    content = bytearray(gzip.compress(WHOLE))
    content[-8] ^= 1
    path = tmp_path / "file.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged gzip: CRC"):
        read_idx(path)


@PACKED
def test_every_cut_and_every_flipped_bit_is_refused_or_read(tmp_path, packed):
    content = gzip.compress(WHOLE) if packed else WHOLE
    damaged = [content[:cut] for cut in range(len(content))]
    for place in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        damaged.append(bytes(flipped))
    path, refused = tmp_path / "file", []
    for each in damaged:
        path.write_bytes(each)
        try:
            found = read_idx(path)
        except ValueError as error:
            refused.append(str(error))
        else:
            assert found.size == 24  # only the numbers, or a 2 x 3 x 4 of another order, changed
    assert len(refused) > len(content)
    assert not any("\n" in text for text in refused)


def peak(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@PACKED
def test_nothing_is_allocated_for_what_is_only_claimed(tmp_path, packed):
    # 64 kB that claim 60 MB: less than gzip could hold, so there the numbers are asked for.
    noise = np.random.default_rng(0).integers(0, 256, 65_536)
    path = written(tmp_path, idx(noise, 0x08, (60_000, 1_000)), packed)

    def read():
        with pytest.raises(ValueError, match="claims"):
            read_idx(path)

    assert peak(read) < 2**21


def test_a_file_is_held_once(tmp_path):
    path = written(tmp_path, idx(np.zeros(2**23), 0x08), packed=True)
    assert peak(lambda: read_idx(path)) < 1.5 * 2**23  # a growing buffer has some slack


def test_what_cannot_be_opened(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        read_idx(tmp_path)
