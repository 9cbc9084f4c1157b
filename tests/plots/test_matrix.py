"""Parameters ranked, and the cosines of their responses."""

import numpy as np
import pytest

from simsens import plots
from simsens.plots import style
from tests.plots.results import SIDE, answer, at_rest, title

NAMES = ("a", "b", "c")
SPACING = SIDE / 2


def responses(*columns):
    """Four particles in a plane, moved along x by each parameter as told."""
    values = np.zeros((4, 2, len(columns)))
    for k, column in enumerate(columns):
        values[:, 0, k] = column
    return values


WEAK, STRONG, TURNED = [1, -1, 1, -1], [3, -3, 3, -3], [-2, 2, 2, -2]


def drawn(*columns, names=NAMES, **more):
    equilibrium = at_rest()
    slope = answer(equilibrium, values=responses(*columns), names=names, **more)
    return plots.matrix(equilibrium, slope)


def bars(ax):
    return ax.child_axes[0]


def rows(ax):
    return [label.get_text().split("  ")[0] for label in bars(ax).get_yticklabels()]


def cells(ax):
    _, beside = ax.child_axes
    (mesh,) = (c for c in beside.collections if c.get_array() is not None)
    return np.ma.filled(mesh.get_array(), np.nan)


def test_bars_are_ranked_by_a_relative_change_in_spacings():
    ax = drawn(WEAK, STRONG, TURNED)
    assert rows(ax) == ["b", "c", "a"]
    # theta = 0.6 for all; every particle moves as far, so the mean is the largest.
    expected = np.array([3, 2, 1]) * 0.6 / SPACING
    np.testing.assert_allclose([bar.get_width() for bar in bars(ax).patches], expected)
    np.testing.assert_allclose(bars(ax).lines[0].get_xdata(), expected)
    assert bars(ax).get_ylim()[0] > bars(ax).get_ylim()[1]  # the strongest on top
    assert title(ax) == "what 3 parameters move: trusted"


def test_the_dot_is_the_particle_that_answers_most():
    ax = drawn([2, 0, 0, 0], names=("a",))
    assert bars(ax).patches[0].get_width() == pytest.approx(2 * 0.6 / SPACING / 2)  # rms of four
    assert bars(ax).lines[0].get_xdata()[0] == pytest.approx(2 * 0.6 / SPACING)
    assert len(ax.child_axes) == 1  # one response has no angle to another
    assert title(ax) == "what 1 parameter moves: trusted"


def test_cosines_are_those_of_the_responses_in_the_order_of_the_bars():
    ax = drawn(WEAK, STRONG, TURNED)
    np.testing.assert_allclose(cells(ax), [[1, 0, 1], [0, 1, 0], [1, 0, 1]], atol=1e-12)
    told = [text.get_text() for text in ax.child_axes[1].texts]
    assert told[:3] == ["+1.00", "+0.00", "+1.00"]


def test_opposite_responses_have_cosine_minus_one():
    ax = drawn(WEAK, [-1, 1, -1, 1], names=("a", "b"))
    np.testing.assert_allclose(cells(ax), [[1, -1], [-1, 1]], atol=1e-12)
    assert "−1.00" in [text.get_text() for text in ax.child_axes[1].texts]


def test_what_does_not_move_has_no_direction():
    ax = drawn(STRONG, np.full(4, 1e-15), names=("a", "b"))
    np.testing.assert_array_equal(np.isnan(cells(ax)), [[False, True], [True, True]])
    assert len(ax.child_axes[1].lines) == 3  # crosses


def test_a_derivative_that_is_no_number_is_told():
    ax = drawn(STRONG, np.full(4, np.nan), names=("a", "b"), trusted=False)
    assert rows(ax) == ["b", "a"]  # on top: it must not be overlooked
    assert [text.get_text().strip() for text in bars(ax).texts] == ["not a number"]
    assert "NOT TRUSTED" in title(ax)
    assert ax._left_title.get_color() == style.ALARM


def test_nothing_but_zeros_is_drawn():
    drawn(np.zeros(4), np.zeros(4), names=("a", "b")).figure.draw_without_rendering()


def test_many_parameters_are_cut_and_it_is_said():
    strength = np.arange(1.0, 41)
    names = tuple(f"stiffness[{k}]" for k in range(40))
    ax = drawn(*(s * np.array(WEAK) for s in strength), names=names)
    assert rows(ax) == list(reversed(names))[:24]
    assert "the 16 weakest not shown" in title(ax)
    assert not ax.child_axes[1].texts  # no numbers in cells too small for them
    assert len(ax.child_axes[1].get_xticklabels()) <= 8


@pytest.mark.parametrize(
    ("equilibrium", "names", "said"),
    [
        (at_rest(), (), "at least one parameter"),
        (at_rest(position=[[1.0, 1.0]], species=["A"]), NAMES, "another structure"),
    ],
)
def test_what_cannot_be_ranked_is_refused(equilibrium, names, said):
    with pytest.raises(ValueError, match=said):
        plots.matrix(equilibrium, answer(at_rest(), names=names))
