import re

import numpy as np
import pytest

from tests.examples.example import figure


@pytest.mark.slow
def test_distilled_unrolled(tmp_path):
    said, header, rows = figure(16, tmp_path)
    assert header[:2] == ["gradient", "label"]
    table = np.array(rows, float)
    assert table[:, 0].tolist() == [0.0] * 10 + [1.0] * 10 + [2.0] * 10
    exact, implicit, unrolled = (table[table[:, 0] == k, 2:] for k in range(3))
    # The inner fits end at 1e-3: the images look the same, and are not equal.
    for images in (implicit, unrolled):
        assert 1e-5 < np.linalg.norm(images - exact) / np.linalg.norm(exact) < 0.05
    # Times are told, not judged; all reach the loss within the iterations made.
    reached = [int(n) for n in re.findall(r"(\d+) iterations", said)]
    assert len(reached) == 3
    assert all(50 < n <= 100 for n in reached)
    assert re.search(r"unrolled / implicit: \d", said)
