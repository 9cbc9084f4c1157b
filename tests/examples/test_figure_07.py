import re

import numpy as np
import pytest

from tests.examples.example import figure


@pytest.mark.slow
def test_quadratic_programme(tmp_path):
    said, _, rows = figure(7, tmp_path)
    assert float(re.search(r"central differences: (\S+)", said)[1]) < 1e-8
    assert float(re.search(r"\(nu, lambda\): (\S+)", said)[1]) < 1e-12
    assert re.search(r"do not hold the point: \[-?0.0, -?0.0\]", said)
    table = np.array(rows, float)
    bound, z, multiplier, slope = table[:, 0], table[:, 1:4], table[:, 4], table[:, 7:]
    # While it holds, the point moves along a line; once it lets go, nothing moves.
    holds = multiplier > 0
    assert holds.any()
    assert (~holds).any()
    assert (slope[~holds] == 0).all()
    np.testing.assert_allclose(z[holds][:, :2].sum(axis=1), bound[holds], atol=1e-9)
    np.testing.assert_allclose(slope[holds][:, :2].sum(axis=1), 1, atol=1e-9)
