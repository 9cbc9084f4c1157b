import pytest

from tests.examples.example import figure


@pytest.mark.slow
def test_seconds_of_an_outer_iteration(tmp_path):
    said, header, rows = figure(3, tmp_path)
    table = [dict(zip(header, row)) for row in rows]
    assert len(table) == 24  # eight lines, three sizes
    assert all(float(row["seconds"]) > 0 for row in table if row["seconds"] != "nan")
    for row in table:
        # One problem of a size has one loss, whoever solved it, as far as it is solved.
        same = [
            float(other["loss"]) for other in table
            if other["features"] == row["features"] and float(other["residual"]) < 1e-2
        ]  # fmt: skip
        assert max(same) - min(same) < 1e-2 * max(same)
    assert said.count("implicit by") == 15
