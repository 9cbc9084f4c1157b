import numpy as np
import pytest

from tests.examples.example import figure


def apart(a, b):
    off = a - b
    return np.linalg.norm(off - off.mean(axis=0)) / np.linalg.norm(a)


@pytest.mark.slow
def test_molecular_dynamics(tmp_path):
    said, header, rows = figure(12, tmp_path)
    assert "8.352016507" in said
    assert "\ntrusted: " in said
    table = np.array(rows, float)
    assert (table[:, 0] == [0.6] * 64 + [1.0] * 64).all()

    def field(kind, way):
        return table[:, [header.index(f"{axis} {kind} {way}") for axis in ("dx", "dy")]]

    for kind in ("fixed", "recomputed"):
        found = field(kind, "root_jvp")
        assert apart(found, field(kind, "sensitivity")) < 1e-8
        # Positions are good to some 1e-14, differences of them over 2e-6 to some 1e-8.
        assert apart(found, field(kind, "differences")) < 1e-6
    # Had the two meanings been mistaken for each other, nothing above would hold.
    assert apart(field("fixed", "root_jvp"), field("recomputed", "root_jvp")) > 0.1
