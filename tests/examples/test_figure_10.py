import numpy as np
import pytest

from tests.examples.example import figure


@pytest.mark.slow
def test_task_driven_dictionary(tmp_path):
    said, header, rows = figure(10, tmp_path)
    assert "stand-in" in said
    assert header == ["split", "logistic l1", "logistic l2", "dictionary + l2", "task-driven", "zero codes"]  # fmt: skip  # noqa: E501
    table = np.array(rows, float)
    areas, zeros = table[:, 1:5], table[:, 5]
    assert ((areas > 0.5) & (areas <= 1)).all()
    unsupervised, task_driven = areas[:, 2].mean(), areas[:, 3].mean()
    assert task_driven > unsupervised
    assert (abs(zeros - 0.5) < 0.2).all()
