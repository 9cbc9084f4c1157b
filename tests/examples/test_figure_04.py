import gzip
import re
import struct
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.examples.example import ROOT, figure, run

SCRIPT = ROOT / "examples" / "figure_04_distilled_images.py"


@pytest.mark.slow
def test_distilled_images(tmp_path):
    said, header, rows = figure(4, tmp_path)
    assert header == ["label", *(f"pixel_{k}" for k in range(64))]
    assert [int(row[0]) for row in rows] == list(range(10))
    first, last = map(float, re.search(r"outer loss (\S+) -> (\S+)", said).groups())
    assert abs(first - np.log(10)) < 0.01  # nothing is known
    assert last < 1.45
    before, after, best = map(
        float, re.search(r"accuracy (\S+) -> (\S+); trained on all (\S+)", said).groups()
    )
    assert before < 0.2
    assert best > after > 0.85


def idx(array):
    """Bytes as MNIST is published."""
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


@pytest.fixture
def mnist(tmp_path):
    """A folder like MNIST's, its images of 8 x 8 pixels, half of the files compressed."""
    X, y = load_digits(return_X_y=True)
    images, folder = np.round(X.reshape(-1, 8, 8) * 255 / 16), tmp_path / "mnist"
    folder.mkdir()
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images[:300])))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(y[:300])))
    (folder / "t10k-images.idx3-ubyte").write_bytes(idx(images[300:400]))
    (folder / "t10k-labels.idx1-ubyte").write_bytes(idx(y[300:400]))
    return folder


@pytest.mark.slow
def test_files_of_mnist(tmp_path, mnist):
    said = run(SCRIPT, tmp_path, "--mnist", str(mnist), "-o", "images.png")
    assert "MNIST: 300 training images of 8 x 8 pixels" in said
    assert float(re.search(r"accuracy \S+ -> (\S+);", said).group(1)) > 0.7
    assert (tmp_path / "images.png").exists()
    assert (tmp_path / "images.csv").exists()


def without_test_images(mnist):
    (mnist / "t10k-images.idx3-ubyte").unlink()
    return "no t10k-images-idx3-ubyte, plain or .gz"


def cut(mnist):
    file = mnist / "t10k-images.idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-1])
    return "t10k-images.idx3-ubyte: claims an array (100, 8, 8) of uint8"


def too_few_labels(mnist):
    (mnist / "t10k-labels.idx1-ubyte").write_bytes(idx(np.zeros(99)))
    return "a label for each are needed, found (300, 8, 8), (300,), (100, 8, 8), (99,)"


@pytest.mark.slow
@pytest.mark.parametrize("damage", [without_test_images, cut, too_few_labels])
def test_damaged_files_end_in_one_line(tmp_path, mnist, damage):
    text = damage(mnist)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--mnist", str(mnist)],
        cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert text in done.stderr
    assert done.stderr.count("\n") == 1
