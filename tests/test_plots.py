from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver, QuiverKey

from simsens import plots
from simsens.implicit.certificate import Certificate
from simsens.particles.parameters import UnknownParameter
from simsens.particles.potentials import EnergyFunction, LennardJones, Morse, SoftSphere
from simsens.particles.structure import Structure
from simsens.particles.system import System
from simsens.response.equilibrium import Equilibrium
from simsens.response.sensitivity import Sensitivity

SIDE = 4.0
DISKS = SoftSphere(diameter={"A": 1.0, "B": 0.6})
# Two in the middle, one on the left edge, one in a corner and that outside the box.
PLACE = [[1.5, 1.5], [2.5, 1.5], [0.2, 2.0], [-0.1, 4.1]]


def at_rest(position=PLACE, potential=DISKS, box=SIDE, converged=True, **more):
    more = {"species": ["A", "B", "A", "B"][: len(position)], **more}
    system = System(Structure(position, box=box, **more), potential)
    history = np.array([[0, 2.0, 1.0], [20, 1.0, 1e-3], [40, 0.9, 1e-9], [41, 0.9, 0.0]])
    why = "max force <= fmax" if converged else "the budget of 41 steps was spent"
    return Equilibrium(
        system, 0.9, 1e-9, 41, converged, why, 1e-6, "fire", np.array(position), history
    )


def answer(equilibrium, trusted=True, rattlers=(), values=None, names=("diameter[B]", "epsilon")):
    structure, count = equilibrium.system.structure, len(names)
    if values is None:
        random = np.random.default_rng(0)
        values = random.standard_normal((structure.number, structure.dimension, count))
    values = np.array(values, float)
    values[list(rattlers)] = 0.0
    reason = "the error is small" if trusted else "the point is a saddle: 2 negative modes"
    certificate = Certificate(
        optimality_residual=1e-9, root_error=1e-9, linear_residual=np.full(count, 1e-14),
        error_bound=np.full(count, 1e-9), smallest_curvature=0.1, largest_curvature=9.0,
        zero_modes=2, expected_zero_modes=2, negative_modes=0 if trusted else 2,
        validity_radius=np.ones((count, 2)), one_percent_step=np.ones(count), method="dense",
        iterations=0, trusted=trusted, reason=reason, notes=("one note",),
    )  # fmt: skip
    return Sensitivity(names, np.full(count, 0.6), values, {}, np.array(rattlers, int), certificate)


def disks(ax, label):
    (found,) = (c for c in ax.collections if c.get_label() == label)
    return found


def arrows(ax):
    (found,) = (c for c in ax.collections if isinstance(c, Quiver))
    return found


def title(ax):
    return ax.get_title(loc="left").replace("\n", " ")


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# ---------------------------------------------------------------------------------- particles


def test_particles_that_stick_out_are_drawn_on_the_other_side_too():
    ax = plots.packing(at_rest())
    place = np.asarray(disks(ax, "particles").get_offsets())
    # 4 particles; the one at x = 0.2 (radius 0.5) once more, the corner one three times more.
    assert len(place) == 4 + 1 + 3
    expected = [
        [1.5, 1.5], [2.5, 1.5], [0.2, 2.0], [3.9, 0.1],
        [4.2, 2.0], [-0.1, 0.1], [3.9, 4.1], [-0.1, 4.1],
    ]  # fmt: skip
    np.testing.assert_allclose(sorted(place.tolist()), sorted(expected), atol=1e-12)


@pytest.mark.parametrize(
    ("potential", "radii"),
    [
        (DISKS, [0.5, 0.3, 0.5, 0.3]),
        (SoftSphere(diameter=0.8), [0.4] * 4),
        (Morse(sigma={"A": 1.0, "B": 0.5}, cutoff=1.5), [0.5, 0.25, 0.5, 0.25]),
        (LennardJones(sigma=0.9, cutoff=1.5), [0.45 * 2 ** (1 / 6)] * 4),
        (EnergyFunction(lambda position, k=1.0: k * (position**2).sum()), [0.4 * 2.0] * 4),
    ],
    ids=["by-species", "one", "morse", "lennard-jones", "function"],
)
def test_particles_have_their_true_size(potential, radii):
    ax = plots.packing(at_rest(potential=potential))
    ax.figure.draw_without_rendering()
    drawn = disks(ax, "particles")
    # Each is a unit circle, taken to its size and that to pixels; on both axes alike.
    pixels = drawn.get_transforms()[:4] @ drawn.get_transform().get_matrix()
    unit = ax.transData.transform([1.0, 1.0]) - ax.transData.transform([0.0, 0.0])
    np.testing.assert_allclose(pixels[:, 0, 0] / unit[0], radii, rtol=1e-6)
    np.testing.assert_allclose(pixels[:, 1, 1] / unit[0], radii, rtol=1e-6)


def test_particles_are_cut_at_a_closed_box_only():
    closed, half_open = plots.packing(at_rest()), plots.packing(at_rest(boundary=(True, False)))
    corners = disks(closed, "particles").get_clip_path().get_fully_transformed_path().vertices
    seen = closed.transData.inverted().transform(corners)
    np.testing.assert_allclose(
        [seen.min(axis=0), seen.max(axis=0)], [[0, 0], [SIDE, SIDE]], atol=1e-9
    )
    assert disks(half_open, "particles").get_clip_path() is None


def test_the_axes_end_where_the_box_ends():
    ax = plots.packing(at_rest())
    np.testing.assert_allclose([ax.get_xlim(), ax.get_ylim()], [(0, SIDE)] * 2, atol=0.011 * SIDE)


def test_only_nearby_arrows_make_room_outside_the_box():
    equilibrium = at_rest()
    values = np.zeros((4, 2, 1))
    values[:, 0, 0] = [0.1, 0.1, 0.1, 50.0]
    ax = plots.packing(equilibrium, answer(equilibrium, values=values, names=("epsilon",)))
    low, high = ax.get_xlim()
    spacing = SIDE / 2  # 4 particles in a square of side 4
    assert -0.1 * SIDE < low <= 0.0
    assert SIDE < high < 3.9 + 1.05 * spacing


def test_a_sheared_box_is_drawn_with_its_angles_and_filled_by_images():
    box = [[6.0, 0.0], [2.0, 5.0]]
    ax = plots.packing(at_rest(position=[[0.1, 0.1]], box=box))
    (outline,) = ax.patches
    corners = {tuple(np.round(c, 9) + 0.0) for c in outline.get_xy()}
    assert corners == {(0, 0), (6, 0), (8, 5), (2, 5)}
    assert len(disks(ax, "particles").get_offsets()) == 4  # one at each corner


def test_open_edges_get_no_images_and_are_dashed():
    ax = plots.packing(at_rest(boundary=(True, False)))
    place = np.asarray(disks(ax, "particles").get_offsets())
    assert place[:, 1].max() == 4.1  # not wrapped
    assert len(place) == 4 + 1 + 1
    assert ax.patches[0].get_linestyle() == "--"
    assert ax.get_ylim()[1] >= 4.1 + 0.3


def test_free_space_needs_no_box():
    ax = plots.packing(at_rest(box=None))
    assert not ax.patches
    assert ax.get_xlim()[0] <= -0.4
    assert ax.get_xlim()[1] >= 2.8


def test_fixed_particles_are_hatched_and_rattlers_hollow():
    equilibrium = at_rest(fixed=[0])
    ax = plots.packing(equilibrium, answer(equilibrium, rattlers=(1,)))
    assert len(disks(ax, "fixed").get_offsets()) == 1
    assert disks(ax, "fixed").get_hatch()
    loose = disks(ax, "rattler")
    assert len(loose.get_facecolor()) == 0
    assert loose.get_linestyle()[0][1] is not None  # dashes
    assert legend(ax) == ["2 A", "2 B", "1 fixed", "1 rattler"]


def test_species_have_their_own_colours():
    faces = disks(plots.packing(at_rest()), "particles").get_facecolor()[:4]
    np.testing.assert_array_equal(faces[0], faces[2])
    assert np.abs(faces[0] - faces[1]).max() > 0.1
    assert len(set(plots.COLOURS)) == len(plots.COLOURS)


# ------------------------------------------------------------------------------------- arrows


def test_arrows_are_the_derivative_up_to_one_scale():
    equilibrium = at_rest()
    slope = answer(equilibrium)
    drawn = arrows(plots.packing(equilibrium, slope, "epsilon"))
    np.testing.assert_array_equal(np.c_[drawn.U, drawn.V], slope["epsilon"])
    np.testing.assert_allclose(drawn.XY, [[1.5, 1.5], [2.5, 1.5], [0.2, 2.0], [3.9, 0.1]])
    assert (drawn.angles, drawn.scale_units) == ("xy", "xy")
    length = np.linalg.norm(slope["epsilon"], axis=1) / drawn.scale
    assert np.percentile(length, 95) == pytest.approx(SIDE / 2)


def test_the_first_parameter_is_the_default():
    equilibrium = at_rest()
    slope = answer(equilibrium)
    ax = plots.packing(equilibrium, slope)
    np.testing.assert_array_equal(arrows(ax).U, slope["diameter[B]"][:, 0])
    assert "diameter[B]" in title(ax)


def test_particles_that_do_not_answer_have_no_arrow():
    equilibrium = at_rest()
    assert len(arrows(plots.packing(equilibrium, answer(equilibrium, rattlers=(1, 3)))).U) == 2


def test_no_arrows_are_drawn_for_rounding_errors():
    equilibrium = at_rest()
    noise = np.full((4, 2, 1), 1e-15)
    ax = plots.packing(equilibrium, answer(equilibrium, values=noise, names=("epsilon",)))
    assert not [c for c in ax.collections if isinstance(c, Quiver)]
    assert "zero to rounding" in title(ax)


def test_a_derivative_that_is_no_number_is_told():
    equilibrium = at_rest()
    values = np.full((4, 2, 1), np.nan)
    slope = answer(equilibrium, values=values, names=("epsilon",), trusted=False)
    assert "largest nan" in title(plots.packing(equilibrium, slope))


def test_the_key_tells_the_scale():
    equilibrium = at_rest()
    ax = plots.packing(equilibrium, answer(equilibrium))
    (key,) = (a for a in ax.artists if isinstance(a, QuiverKey))
    assert key.text.get_text() == f"dx/d diameter[B] = {key.U:g}"
    drawn = key.U / arrows(ax).scale / np.ptp(ax.get_xlim())
    assert drawn == pytest.approx(1 / 5, rel=0.5)  # to one digit; the spacing is larger here


def test_the_title_names_parameter_verdict_and_largest_derivative():
    equilibrium = at_rest()
    slope = answer(equilibrium)
    largest = np.linalg.norm(slope["diameter[B]"], axis=1).max()
    text = title(plots.packing(equilibrium, slope))
    assert text == f"d(position)/d(diameter[B]): trusted, largest {largest:.3g}"


def test_what_is_not_to_be_trusted_looks_like_it():
    equilibrium = at_rest()
    good = plots.packing(equilibrium, answer(equilibrium))
    bad = plots.packing(equilibrium, answer(equilibrium, trusted=False))
    assert "NOT TRUSTED" in title(bad)
    assert "the point is a saddle: 2 negative modes" in title(bad)
    assert bad._left_title.get_color() != good._left_title.get_color()
    assert np.abs(arrows(bad).get_facecolor()[0] - arrows(good).get_facecolor()[0]).max() > 0.1


def test_without_derivatives_the_title_tells_the_state():
    assert title(plots.packing(at_rest())) == "4 particles at rest: max force <= fmax"
    assert "NOT CONVERGED: the budget" in title(plots.packing(at_rest(converged=False)))


def test_unknown_parameters_are_refused_with_the_known_ones():
    equilibrium = at_rest()
    with pytest.raises(UnknownParameter, match=r"diameter\[B\], epsilon"):
        plots.packing(equilibrium, answer(equilibrium), "sigma")


def test_derivatives_of_another_structure_are_refused():
    other = at_rest(position=PLACE[:3])
    with pytest.raises(ValueError, match="another structure"):
        plots.packing(at_rest(), answer(other))


# --------------------------------------------------------------------------- three dimensions


def test_three_dimensions_are_projected_and_deeper_is_paler_and_drawn_first():
    place = np.array([[1.0, 1.0, 3.0], [2.0, 2.0, 0.5], [2.0, 1.0, 2.0]])
    equilibrium = at_rest(position=place, potential=SoftSphere(), species=["A"] * 3)
    slope = answer(equilibrium, names=("epsilon",))
    ax = plots.packing(equilibrium, slope)
    drawn = disks(ax, "particles")
    np.testing.assert_array_equal(drawn.get_offsets(), place[[1, 2, 0], :2])
    ink = drawn.get_edgecolor()[:, :3].sum(axis=1)
    assert ink[0] > ink[1] > ink[2]
    np.testing.assert_array_equal(arrows(ax).U, slope["epsilon"][[1, 2, 0], 0])
    assert "largest" in title(ax)


def test_an_image_along_the_line_of_sight_is_not_drawn_twice():
    place = [[2.0, 2.0, 0.1]]
    ax = plots.packing(at_rest(position=place, potential=SoftSphere(), species=["A"]))
    assert len(disks(ax, "particles").get_offsets()) == 1


def test_a_crystal_of_255_atoms_is_drawn():
    cell = np.stack(np.meshgrid(*[np.arange(4.0)] * 3), axis=-1).reshape(-1, 1, 3)
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    place = (cell + basis).reshape(-1, 3)[1:]
    lj = LennardJones(sigma=2**-0.5, cutoff=1.5)
    equilibrium = at_rest(position=place, potential=lj, species=["Ar"] * 255)
    ax = plots.packing(equilibrium, answer(equilibrium, names=("sigma",)))
    ax.figure.draw_without_rendering()
    assert len(arrows(ax).U) == 255
    assert legend(ax) == ["255 Ar"]


# ----------------------------------------------------------------------- the other figures


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
    single = replace(equilibrium, history=equilibrium.history[3:])
    plots.convergence(single).figure.draw_without_rendering()


@pytest.mark.parametrize("name", plots.FIGURES)
def test_every_figure_draws_where_it_is_told(name):
    figure = Figure()
    ax = figure.add_subplot()
    assert plots.FIGURES[name](at_rest(), ax=ax) is ax
    assert plots.FIGURES[name](at_rest()).figure is not figure


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


@pytest.mark.parametrize("box", [[4.0, 4.0], [4.0, 1.0], [4.0, 16.0], [[4.0, 0.0], [2.0, 3.0]]])
@pytest.mark.parametrize("long", ["C", "a long name"])
def test_no_text_covers_another(box, long):
    species = ["A", "B", "A", long]
    equilibrium = at_rest(box=box, fixed=[0], species=species, potential=Morse(cutoff=0.4))
    slope = answer(equilibrium, rattlers=(2,), names=(f"epsilon[{long},{long}]",))
    ax = plots.packing(equilibrium, slope)
    FigureCanvasAgg(ax.figure).draw()
    (key,) = (a for a in ax.artists if isinstance(a, QuiverKey))
    boxes = [ax.get_legend().get_window_extent(), key.text.get_window_extent()]
    boxes += [ax._left_title.get_window_extent(), ax.patches[0].get_window_extent()]
    for k, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[k + 1 :])
    # What is saved is cut to its contents, of which matplotlib does not count the arrows' key.
    saved, key_text = ax.figure.get_tightbbox(), boxes[1]
    saved = saved.padded(0.12).transformed(ax.figure.dpi_scale_trans)
    assert saved.x0 <= key_text.x0 < key_text.x1 <= saved.x1
    assert saved.y0 <= key_text.y0 < key_text.y1 <= saved.y1


# -------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_figure_gives_the_same_bytes(tmp_path, suffix):
    equilibrium = at_rest()
    slope = answer(equilibrium)
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    plots.save(plots.packing(equilibrium, slope), first)
    plots.save(plots.packing(equilibrium, slope), str(second))
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size > 4000
    assert b"Date" not in first.read_bytes() or suffix == ".png"


def test_summaries_are_saved_too(tmp_path):
    plots.save(plots.summary(at_rest()), tmp_path / "summary.PNG")
    assert (tmp_path / "summary.PNG").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["figure", "figure.doc", "figure.png.gz"])
def test_unknown_suffixes_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"^a figure's file ends in \.png, \.svg, \.pdf; got"):
        plots.save(plots.packing(at_rest()), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_neither_the_settings_nor_pyplot_are_touched(tmp_path):
    import sys

    before = dict(mpl.rcParams)
    had = "matplotlib.pyplot" in sys.modules
    plots.save(plots.summary(at_rest()), tmp_path / "figure.svg")
    assert dict(mpl.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == had
