import numpy as np
import pytest

from tests.examples.example import figure


@pytest.mark.slow
def test_validation_losses_agree(tmp_path):
    _, _, rows = figure(14, tmp_path)
    table = np.array(rows, float)
    start, implicit, unrolled = table[:, 1:4].T
    assert (implicit <= start).all()
    assert (implicit < 0.99 * start).any()
    np.testing.assert_allclose(unrolled, implicit, rtol=1e-6)
    assert (table[:, 5] < 1e-2).all()  # hypergradients
