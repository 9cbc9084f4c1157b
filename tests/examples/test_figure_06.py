import numpy as np
import pytest

from tests.examples.example import figure


@pytest.mark.slow
def test_lasso_path(tmp_path):
    _, header, rows = figure(6, tmp_path)
    table = np.array(rows, float)
    theta, path, slopes = table[:, 0], table[:, 1:11], table[:, 11:]
    assert header[11] == "d age/d theta"
    assert (np.count_nonzero(path, axis=1)[[0, -1]] == [10, 0]).all()
    same = (np.sign(path[1:]) == np.sign(path[:-1])).all(axis=1)
    assert 5 < (~same).sum() < 20
    change = np.diff(path, axis=0) / np.diff(theta)[:, None]
    np.testing.assert_allclose(change[same], slopes[:-1][same], atol=1e-7)
    assert (slopes[path == 0] == 0).all()
