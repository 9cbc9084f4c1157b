import re

import numpy as np
import pytest

from tests.examples.example import figure


@pytest.mark.slow
def test_every_solver_with_every_fixed_point(tmp_path):
    said, _, rows = figure(8, tmp_path)
    off = [float(value) for value in re.findall(r"off by (\S+)", said)]
    assert len(off) == 6
    assert max(off) < 1e-8
    table = np.array(rows, float)
    x, slopes = table[:, 2:5], table[:, 5:].reshape(-1, 3, 2)
    np.testing.assert_allclose(x.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(slopes.sum(axis=1), 0, atol=1e-9)  # it stays on the simplex
    assert (x > 0).all()
    # Around the closed path the derivative adds up to nothing.
    steps = np.diff(table[:, :2], axis=0)
    middle = (slopes[1:] + slopes[:-1]) / 2
    around = np.einsum("kij,kj->ki", middle, steps)
    assert abs(around.sum(axis=0)).max() < 0.02 * abs(around).sum()
