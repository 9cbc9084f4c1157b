import pytest

from tests.examples.example import figure


@pytest.mark.slow
def test_ridge(tmp_path):
    said, _, _ = figure(1, tmp_path)
    assert said.count("11.03007879") == 2  # forward and reverse
    assert "145.48437363" in said
    assert "\ntrusted: " in said
