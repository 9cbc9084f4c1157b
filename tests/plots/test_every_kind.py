"""What holds for every kind: where it is drawn, in which file, and that it is readable."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from simsens import plots
from tests.plots.results import GIVEN, answer, at_rest, drawn, title


def test_every_kind_of_the_table_is_tried_here():
    assert set(GIVEN) | {"summary"} == set(plots.FIGURES)
    assert plots.FIGURES["quiver"] is plots.packing
    assert "packing" not in plots.FIGURES


@pytest.mark.parametrize("kind", GIVEN)
def test_every_figure_draws_where_it_is_told(kind):
    figure = Figure()
    ax = figure.add_subplot()
    assert drawn(kind, ax=ax) is ax
    assert isinstance(drawn(kind), Axes)
    assert drawn(kind).figure is not figure


@pytest.mark.parametrize("kind", GIVEN)
@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_figure_gives_the_same_bytes(tmp_path, kind, suffix):
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    plots.save(drawn(kind), first)
    plots.save(drawn(kind), str(second))
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size > 4000
    assert b"Date" not in first.read_bytes() or suffix == ".png"


def words(ax):
    """Every text that is shown: of the axes, of those in it, of the legend."""
    found = [ax._left_title, ax.xaxis.label, ax.yaxis.label, *ax.texts]
    if ax.axison:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels())
            found += [label for at, label in ticks if low <= at <= high]
    found += ax.get_legend().get_texts() if ax.get_legend() else []
    for child in ax.child_axes:
        found += words(child)
    return [text for text in found if text.get_visible() and text.get_text().strip()]


@pytest.mark.parametrize("kind", GIVEN)
def test_no_text_covers_another(kind):
    ax = drawn(kind)
    FigureCanvasAgg(ax.figure).draw()
    shown = words(ax)
    assert len(shown) >= 3
    boxes = [text.get_window_extent() for text in shown]
    for k, one in enumerate(boxes):
        for other, text in zip(boxes[k + 1 :], shown[k + 1 :]):
            assert not one.overlaps(other), (shown[k].get_text(), text.get_text())


def test_unknown_suffixes_are_refused(tmp_path):
    for name in ("figure", "figure.doc", "figure.png.gz"):
        with pytest.raises(ValueError, match=r"^a figure's file ends in \.png, \.svg, \.pdf; got"):
            plots.save(drawn("convergence"), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_neither_the_settings_nor_pyplot_are_touched(tmp_path):
    before = dict(mpl.rcParams)
    had = "matplotlib.pyplot" in sys.modules
    for kind in GIVEN:
        plots.save(drawn(kind), tmp_path / "figure.svg")
    plots.report(at_rest(), answer(at_rest()))
    assert dict(mpl.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == had


def test_importing_the_figures_loads_no_pyplot():
    code = "import sys, simsens.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---------------------------------------------------------------------- convergence, summary


def test_convergence_shows_every_force_on_a_logarithmic_axis_and_the_aim():
    equilibrium = at_rest()
    ax = plots.convergence(equilibrium)
    assert ax.get_yscale() == "log"
    curve, aim = ax.lines
    np.testing.assert_array_equal(curve.get_xdata(), equilibrium.history[:, 0])
    np.testing.assert_array_equal(curve.get_ydata()[:3], equilibrium.history[:3, 2])
    assert np.isnan(curve.get_ydata()[3])  # a force of zero has no logarithm
    assert set(aim.get_ydata()) == {1e-6}
    assert ax.texts[0].get_text() == "fmax 1e-06"
    assert title(ax) == "converged: max force <= fmax"
    assert "NOT CONVERGED" in title(plots.convergence(at_rest(converged=False)))


def test_a_record_of_zero_force_alone_is_drawn():
    equilibrium = at_rest()
    object.__setattr__(equilibrium, "history", equilibrium.history[3:])
    plots.convergence(equilibrium).figure.draw_without_rendering()


def test_the_summary_holds_the_certificate_in_words():
    equilibrium = at_rest()
    slope = answer(equilibrium, trusted=False)
    figure = plots.summary(equilibrium, slope)
    said = figure.axes[2].texts[0].get_text()
    for line in (*str(slope.certificate).splitlines(), "one note"):
        assert line in said
    assert len(figure.axes) == 3
    alone = plots.summary(equilibrium).axes[2].texts[0].get_text()
    assert alone == str(equilibrium)


def test_summaries_are_saved_too(tmp_path):
    plots.save(plots.summary(at_rest()), tmp_path / "summary.PNG")
    assert (tmp_path / "summary.PNG").read_bytes().startswith(b"\x89PNG")
