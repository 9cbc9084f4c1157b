"""Spectra, and the softest modes."""

import numpy as np
import pytest
from matplotlib.quiver import Quiver

from simsens import plots
from tests.plots.results import PLACE, answer, at_rest, title, vibrations


def participation(ax):
    _, beneath = ax.child_axes
    return {str(one.get_label()): one.get_xydata() for one in beneath.lines}


def test_few_modes_are_a_line_each_at_their_frequency():
    ax = plots.spectrum(vibrations([0, 0, 1, 4, 9], zero=2))
    lines = [c for c in ax.child_axes[0].collections if len(c.get_segments())]
    np.testing.assert_allclose([s[0, 0] for s in lines[0].get_segments()], [1, 2, 3])
    assert ax.child_axes[0].texts[0].get_text() == "2 zero modes"
    assert title(ax) == "5 modes, 2 zero; lowest curvature 1, residual 1e-15"


def test_many_modes_are_a_density_of_area_one():
    curvature = np.linspace(0.1, 2.0, 100) ** 2
    ax = plots.spectrum(vibrations(curvature, number=50))
    heights, edges, _ = ax.child_axes[0].patches[0].get_data()
    assert np.sum(heights * np.diff(edges)) == pytest.approx(1)
    # Frequencies are evenly spaced: as many in each of the ten bins, but for the empty beginning.
    expected, _ = np.histogram(np.sqrt(curvature), edges)
    np.testing.assert_allclose(heights * np.diff(edges) * 100, expected)
    assert not ax.child_axes[0].texts


def test_participation_stands_beneath_at_the_same_frequency():
    found = vibrations([0, 0, 1, 4], zero=2)
    points = participation(plots.spectrum(found))
    np.testing.assert_allclose(points["positive"], [[1, 0.25], [2, 0.25]])
    np.testing.assert_allclose(points["zero"], [[0, 0.25], [0, 0.25]])
    assert len(points["negative"]) == 0


def test_zero_modes_lie_among_the_others_by_size():
    """A saddle's negative curvature comes before the zeros, and is none of them."""
    ax = plots.spectrum(vibrations([-4.0, -1e-17, 1e-16, 9.0], zero=2))
    points = participation(ax)
    assert [len(points[kind]) for kind in ("negative", "zero", "positive")] == [1, 2, 1]
    assert points["negative"][0, 0] == -2
    assert "NOT A MINIMUM, 1 negative" in title(ax)
    good = plots.spectrum(vibrations([0.0, 0.0, 9.0], zero=2))
    assert ax._left_title.get_color() != good._left_title.get_color()


def test_modes_that_were_not_found_well_look_like_it():
    good = plots.spectrum(vibrations([1, 2]))
    bad = plots.spectrum(vibrations([1, 2], residual=1e-3))
    assert "residual 0.001" in title(bad)
    assert bad._left_title.get_color() != good._left_title.get_color()


def test_a_spectrum_of_no_mode_is_refused():
    with pytest.raises(ValueError, match="at least one mode"):
        plots.spectrum(vibrations([]))


def test_zeros_alone_are_drawn():
    ax = plots.spectrum(vibrations([0, 0], zero=2))
    ax.figure.draw_without_rendering()
    assert "2 zero; lowest curvature 0" in title(ax)


# ---------------------------------------------------------------------------------- the modes


def fields(ax):
    return [next(c for c in panel.collections if isinstance(c, Quiver)) for panel in ax.child_axes]


def test_each_panel_shows_one_mode_zero_ones_left_out():
    equilibrium, found = at_rest(), vibrations([0, 0, 1, 2, 4], zero=2)
    ax = plots.modes(equilibrium, found)
    shown = fields(ax)
    assert len(shown) == 3
    for k, arrows in zip((2, 3, 4), shown):
        particle = k // 2  # the mode moves one particle along one axis
        np.testing.assert_array_equal(np.c_[arrows.U, arrows.V], found.mode[[particle], :, k])
        np.testing.assert_allclose(arrows.XY, [PLACE[particle]])
    told = [panel.get_title(loc="left") for panel in ax.child_axes]
    assert told[0] == "λ = 1,  25% take part"
    assert title(ax) == "the 3 lowest of 3 modes"


def test_as_many_as_asked_for_and_no_more():
    assert len(plots.modes(at_rest(), vibrations(range(8), zero=1), 2).child_axes) == 2


def test_panels_are_of_one_size_and_do_not_meet():
    ax = plots.modes(at_rest(), vibrations([1, 2, 3, 4, 5]))
    limits = {(*panel.get_xlim(), *panel.get_ylim()) for panel in ax.child_axes}
    assert len(limits) == 1
    ax.figure.draw_without_rendering()
    boxes = [panel.get_window_extent() for panel in ax.child_axes]
    for k, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[k + 1 :])


def test_a_mode_of_negative_curvature_is_marked():
    ax = plots.modes(at_rest(), vibrations([-1, 2]))
    assert "NOT A MINIMUM, 1 negative" in title(ax)
    first, second = (panel._left_title.get_color() for panel in ax.child_axes)
    assert first != second


def test_three_dimensions_are_seen_along_z():
    place = [[1.0, 1.0, 3.0], [2.0, 2.0, 0.5]]
    equilibrium = at_rest(position=place, species=["A", "B"])
    found = vibrations(range(1, 7), number=3)
    object.__setattr__(found, "mode", np.eye(6).reshape(2, 3, 6))
    shown = [p.collections for p in plots.modes(equilibrium, found).child_axes]
    moving = [any(isinstance(c, Quiver) for c in panel) for panel in shown]
    assert moving == [True, True, False, True, True, False]  # motion along z is not seen


@pytest.mark.parametrize(
    ("found", "count", "said"),
    [
        (vibrations([1, 2], number=3), 6, "another structure"),
        (vibrations([0, 0], zero=2), 6, "all 2 modes are zero"),
        (vibrations([1, 2]), 0, "at least one mode is needed; got count=0"),
    ],
)
def test_what_cannot_be_shown_is_refused(found, count, said):
    with pytest.raises(ValueError, match=said):
        plots.modes(at_rest(), found, count)


def test_sensitivities_are_not_modes():
    with pytest.raises(AttributeError):
        plots.spectrum(answer(at_rest()))
