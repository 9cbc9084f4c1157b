import re

import numpy as np
import pytest

from tests.examples.example import figure


@pytest.mark.slow
def test_distillation(tmp_path):
    said, header, rows = figure(11, tmp_path)
    # By the general API on 640 unknowns, and by 100: SciPy stops at 1e-9 in the largest component.
    assert float(re.search(r"the gradients differ by (\S+)", said).group(1)) < 1e-6
    assert header[:4] == ["iteration", "loss", "accuracy", "label"]
    assert len(rows) == 10 * 6
    loss, accuracy = ([float(row[k]) for row in rows[::10]] for k in (1, 2))
    assert abs(loss[0] - np.log(10)) < 0.01
    assert loss == sorted(loss, reverse=True)
    assert loss[-1] < 1.45
    assert accuracy[0] < 0.2
    assert accuracy[-1] > 0.85
