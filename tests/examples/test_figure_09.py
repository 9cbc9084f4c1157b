import re

import numpy as np
import pytest

from tests.examples.example import figure


@pytest.mark.slow
def test_svm(tmp_path):
    said, _, rows = figure(9, tmp_path)
    assert said.startswith("converged")
    slopes = [float(value) for value in re.findall(r"d lambda = (\S+)", said)]
    assert len(slopes) == 3
    np.testing.assert_allclose(slopes, slopes[2], rtol=1e-6)
    loss = np.array(rows, float)[:, 2]
    assert loss[-1] < 0.8 * loss[0]
