import numpy as np
import pytest

from tests.examples.example import figure


@pytest.mark.slow
def test_jacobian_error(tmp_path):
    _, _, rows = figure(15, tmp_path)
    table = np.array(rows, float)
    assert len(set(table[:, 0])) == 3
    late = table[table[:, 1] >= 60]
    assert (late[:, 3] < 0.1 * late[:, 4]).all()  # implicit against unrolled
    for features in set(table[:, 0]):
        last = table[table[:, 0] == features][-1]
        assert last[3] < 1e-12  # exact, once the classes that hold each sample are found
        assert last[4] > 1e-11
