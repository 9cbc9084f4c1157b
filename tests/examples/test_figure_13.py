import pytest

from tests.examples.example import figure


@pytest.mark.slow
def test_memory(tmp_path):
    said, header, rows = figure(13, tmp_path)
    assert "no GPU here" in said or " s, by X, by K" in said
    assert header == ["form", "differentiation", "features", "iterations", "gigabytes"]
    size = {tuple(row[:4]): float(row[4]) for row in rows}
    for form in "XK":
        implicit, unrolled = (
            [size[form, mode, "1000", t] for t in ("100", "2500")]
            for mode in ("implicit", "unrolled")
        )
        assert implicit[0] == implicit[1]  # flat in the iterations
        assert unrolled[1] > 10 * unrolled[0]
        assert unrolled[1] > 10 * implicit[1]
