import pytest

from tests.examples.example import figure


@pytest.mark.slow
def test_particle_sensitivities(tmp_path):
    said, _, rows = figure(5, tmp_path)
    assert "8.352016507" in said
    assert "\ntrusted: " in said
    assert [float(row[0]) for row in rows] == [0.6] * 64 + [1.0] * 64
    slope = [[float(x) for x in row[3:]] for row in rows]
    for axis in (0, 1):  # the gauge of zero mean displacement
        assert abs(sum(row[axis] for row in slope)) < 1e-7
    # 40 random starts gave between 18 and 75 sides of the box.
    assert 10 < sum(abs(x) for row in slope for x in row) / 8.352016507 < 150
