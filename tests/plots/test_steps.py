"""The derivative checked, and how far it predicts."""

import numpy as np
import pytest

from simsens import plots
from simsens.particles.parameters import UnknownParameter
from simsens.plots import style
from tests.plots.results import answer, at_rest, legend, line, title, tried

KINDS = (plots.check, plots.prediction)


def slope(**more):
    return answer(at_rest(), **more)


def test_the_check_is_the_error_over_the_step_beside_the_bound():
    found = tried()
    ax = plots.check(found, slope())
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    curve = line(ax, "central difference")
    np.testing.assert_array_equal(curve.get_xdata(), found.steps)
    np.testing.assert_array_equal(curve.get_ydata(), found.difference_error)
    assert set(line(ax, "certificate's bound 1.0e-09").get_ydata()) == {1e-9}
    best = found.difference_error.min()
    expected = f"d(position)/d(diameter[B]): trusted, differences agree to {best:.1e}"
    assert title(ax) == expected


def test_a_prediction_is_its_error_as_a_length_beside_the_displacement():
    found = tried()
    ax = plots.prediction(found, slope())
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    np.testing.assert_array_equal(line(ax, "displacement").get_ydata(), found.displacement)
    expected = found.prediction_error * found.displacement
    np.testing.assert_array_equal(line(ax, "missed by it").get_ydata(), expected)
    # Within one percent: steps of 1e-8 .. 1e-2, where the error is the step itself.
    at = found.steps[found.prediction_error <= 0.01].max()
    assert title(ax) == f"first order in diameter[B]: trusted, within 1 % up to {at:.2g}"


def test_the_guide_is_the_certificates_forecast_and_has_slope_two():
    answered = slope(one_percent_step=np.full(2, 1e-3))
    guide = line(plots.prediction(tried(), answered), "forecast")
    known = np.isfinite(guide.get_ydata())
    x, y = guide.get_xdata()[known], guide.get_ydata()[known]
    np.testing.assert_allclose(np.diff(np.log(y)) / np.diff(np.log(x)), 2)
    # At the one-percent step itself: a hundredth of the largest displacement to first order.
    longest = np.linalg.norm(answered["diameter[B]"], axis=1).max()
    np.testing.assert_allclose(y / x**2, 0.01 * longest * 1e-3 / 1e-3**2)


def test_limits_are_marked_where_the_certificate_sees_them():
    radius = np.array([[3e-4, 2e-3], [1, 1]])
    answered = slope(validity_radius=radius, one_percent_step=np.array([1e-5, 1.0]))
    ax = plots.prediction(tried(), answered)
    assert set(line(ax, "one-percent step 1e-05").get_xdata()) == {1e-5}
    assert set(line(ax, "contact change 0.0003").get_xdata()) == {3e-4}  # the nearer one
    assert not any(
        text.startswith("one-percent") for text in legend(plots.check(tried(), answered))
    )
    assert set(line(plots.check(tried(), answered), "contact").get_xdata()) == {3e-4}


def test_limits_outside_are_told_and_not_drawn():
    ax = plots.prediction(tried(), slope(one_percent_step=np.full(2, 50.0)))
    outside = line(ax, "one-percent step 50 (outside)")
    assert len(outside.get_xdata()) == 0
    assert ax.get_xlim()[1] < 1


def test_no_limit_is_told_where_there_is_none():
    none = slope(validity_radius=np.full((2, 2), np.inf), one_percent_step=np.full(2, np.inf))
    ax = plots.prediction(tried(), none)
    assert legend(ax) == ["displacement", "missed by it"]


def test_an_infinite_bound_is_no_line():
    ax = plots.check(tried(), slope(error_bound=np.full(2, np.inf), trusted=False))
    assert not any("bound" in text for text in legend(ax))
    assert title(ax).startswith("d(position)/d(diameter[B]): NOT TRUSTED")


@pytest.mark.parametrize("kind", KINDS)
def test_lost_steps_are_crosses_and_no_numbers(kind):
    found = tried(lost=(0, 3))
    ax = kind(found, slope())
    crosses = line(ax, "no new minimum (2)")
    np.testing.assert_array_equal(crosses.get_xdata(), found.steps[[0, 3]])
    assert np.isnan(ax.lines[0].get_ydata()[[0, 3]]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_all_steps_lost_is_no_agreement(kind):
    ax = kind(tried(lost=range(8)), slope())
    assert ("NOT CHECKED" in title(ax)) or ("nowhere within 1 %" in title(ax))
    assert ax._left_title.get_color() == style.ALARM
    ax.figure.draw_without_rendering()


def test_a_prediction_holds_up_to_its_first_failure():
    error = np.array([1e-3, 1e-3, 0.5, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3])
    found = tried(prediction_error=error)
    assert f"up to {found.steps[1]:.2g}" in title(plots.prediction(found, slope()))
    nowhere = plots.prediction(tried(prediction_error=error + 0.1), slope())
    assert "nowhere within 1 %" in title(nowhere)
    assert nowhere._left_title.get_color() == style.ALARM


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_to_be_trusted_looks_like_it(kind):
    bad = kind(tried(), slope(trusted=False))
    assert "NOT TRUSTED" in title(bad)
    assert "the point is a saddle" in title(bad)
    assert bad._left_title.get_color() == style.ALARM
    assert kind(tried(), slope())._left_title.get_color() == style.INK


@pytest.mark.parametrize("kind", KINDS)
def test_a_strangers_parameter_is_refused(kind):
    with pytest.raises(UnknownParameter, match=r"diameter\[B\], epsilon"):
        kind(tried("sigma"), slope())
