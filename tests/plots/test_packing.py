"""Particles, their box and their arrows."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.quiver import Quiver, QuiverKey

from simsens import plots
from simsens.particles.parameters import UnknownParameter
from simsens.particles.potentials import EnergyFunction, LennardJones, Morse, SoftSphere
from tests.plots.results import DISKS, PLACE, SIDE, answer, at_rest, legend, title


def disks(ax, label):
    (found,) = (c for c in ax.collections if c.get_label() == label)
    return found


def arrows(ax):
    (found,) = (c for c in ax.collections if isinstance(c, Quiver))
    return found


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


def test_every_arrow_has_room_in_free_space():
    equilibrium = at_rest(box=None)
    values = np.zeros((4, 2, 1))
    values[:, 0, 0] = [0.1, 0.1, 0.1, -50.0]
    ax = plots.packing(equilibrium, answer(equilibrium, values=values, names=("epsilon",)))
    drawn = arrows(ax)
    tips = np.asarray(drawn.XY) + np.c_[drawn.U, drawn.V] / drawn.scale
    assert ax.get_xlim()[0] <= tips[:, 0].min()


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


@pytest.mark.parametrize("name", [r"$\frac", "$x$", "a_{b}^", "\x00\x1b[31m", "名"])
def test_names_of_strangers_are_drawn_as_they_stand(name):
    equilibrium = at_rest(species=[name, "B", name, "B"], potential=SoftSphere())
    ax = plots.packing(equilibrium, answer(equilibrium, names=(f"epsilon[{name}]",)))
    (key,) = (a for a in ax.artists if isinstance(a, QuiverKey))
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    assert legend(ax)[0] == f"2 {shown}"
    assert shown in key.text.get_text()
    assert not any(text.get_parse_math() for text in [*ax.get_legend().get_texts(), key.text])
    if name.isascii():
        FigureCanvasAgg(ax.figure).draw()


# ------------------------------------------------------------------------------------ overlap


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
