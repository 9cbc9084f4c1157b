"""Sweeps: points, tangents, and members that are not to be trusted."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from simsens import plots
from simsens.plots import style
from tests.plots.results import legend, line, title

THETA = np.array([0.5, 0.6, 0.7, 0.8])


def drawn(measured=THETA**2, slopes=2 * THETA, values=THETA, **more):
    return plots.sweep(values, measured, slopes, "diameter[B]", "pressure", **more)


def tangents(ax):
    return [c for c in ax.collections if isinstance(c, LineCollection)]


def test_points_are_the_members_and_tangents_their_derivatives():
    ax = drawn()
    np.testing.assert_array_equal(line(ax, "measured").get_xydata(), np.c_[THETA, THETA**2])
    (found,) = tangents(ax)
    pieces = np.array(found.get_segments())
    along = pieces[:, 1] - pieces[:, 0]
    np.testing.assert_allclose(along[:, 1] / along[:, 0], 2 * THETA)
    np.testing.assert_allclose(pieces.mean(axis=1), np.c_[THETA, THETA**2])
    np.testing.assert_allclose(along[:, 0], 0.8 * 0.1)  # they do not meet
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("diameter[B]", "pressure")
    assert title(ax) == "pressure over diameter[B]: 4 members"


def test_a_wild_slope_does_not_rule_the_axes():
    calm, wild = drawn(), drawn(slopes=np.array([1.0, 1e9, 1.0, 1.0]))
    np.testing.assert_allclose(wild.get_ylim(), calm.get_ylim())


def test_members_not_to_be_trusted_are_hollow():
    ax = drawn(trusted=[True, False, True, True])
    doubtful = line(ax, "derivative not trusted (1)")
    np.testing.assert_array_equal(doubtful.get_xydata(), [[0.6, 0.36]])
    assert doubtful.get_markerfacecolor() == "none"
    assert [len(found.get_segments()) for found in tangents(ax)] == [3, 1]
    assert title(ax) == "pressure over diameter[B]: 4 members: 1 not to be trusted"
    assert ax._left_title.get_color() == style.ALARM


def test_a_derivative_that_is_no_number_has_no_tangent():
    ax = drawn(slopes=np.array([1.0, np.nan, 1.0, 1.0]))
    assert [len(found.get_segments()) for found in tangents(ax)] == [3, 0]
    assert "derivative not trusted (1)" in legend(ax)


def test_members_without_a_value_are_counted():
    ax = drawn(measured=np.array([0.25, np.nan, 0.49, np.inf]))
    assert "2 not a number, left out" in title(ax)
    assert len(line(ax, "measured").get_xdata()) == 2
    drawn(measured=np.full(4, np.nan)).figure.draw_without_rendering()


def test_one_member_is_drawn():
    ax = drawn([0.25], [1.0], [0.5])
    assert title(ax).endswith("1 member")
    assert len(tangents(ax)[0].get_segments()) == 1


def test_members_come_in_any_order():
    back = drawn((THETA**2)[::-1], (2 * THETA)[::-1], THETA[::-1])
    pieces = np.array(tangents(back)[0].get_segments())
    np.testing.assert_allclose(np.ptp(pieces[..., 0], axis=1), 0.08)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"slopes": [1.0]}, "must be of one length"),
        ({"trusted": [True]}, "must be of one length"),
        ({"values": [[1.0]], "measured": [[1.0]], "slopes": [[1.0]]}, "must be of one length"),
        ({"values": [], "measured": [], "slopes": []}, "at least one member"),
    ],
)
def test_what_does_not_fit_together_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        drawn(**given)


def test_names_of_strangers_are_taken_as_they_stand():
    ax = plots.sweep([1.0], [1.0], [1.0], "$\\frac", "a$b$")
    assert ax.get_xlabel() == "$\\frac"
    assert not ax.xaxis.label.get_parse_math()
    ax.figure.draw_without_rendering()
