import pytest

from tests.examples.example import figure


@pytest.mark.slow
def test_jacobian_error(tmp_path):
    said, _, rows = figure(2, tmp_path)
    assert "False" not in said  # every bound holds at every iterate
    assert len({row[0] for row in rows}) == 2  # problems
    for row in rows:
        _, implicit, theorem, certified, corrected, unrolled = map(float, row[2:])
        assert implicit <= theorem * (1 + 1e-9)
        assert implicit <= certified
        assert implicit < unrolled
        assert corrected <= implicit
    # The reference values of t = 20: iterate, implicit, bound, unrolled.
    at = next(row for row in rows if row[0] == rows[0][0] and row[1] == "20")
    expected = (0.1242, 0.0867, 0.1231, 2.327)
    for text, value in zip((at[2], at[3], at[4], at[7]), expected):
        assert abs(float(text) / value - 1) < 1e-3
