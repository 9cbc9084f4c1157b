"""``simsens plot``: every kind of a result, and what each kind needs."""

import os
import sys

import click
import numpy as np
import pytest

from simsens import io, normal_modes, plots
from simsens.cli import again, drawing
from simsens.cli.plot import KINDS, command
from tests.cli import sixteen
from tests.cli.conftest import simsens, started

NEED_NO_DERIVATIVE = ("summary", "convergence", "quiver", "spectrum", "modes")
ONE_FILE = [kind for kind in KINDS if kind != "sweep"]
MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.fixture(scope="module")
def packing(tmp_path_factory):
    return sixteen.relaxed(tmp_path_factory.mktemp("plot"), "packing", "--sensitivity")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return sixteen.relaxed(tmp_path_factory.mktemp("plain"), "plain")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return sixteen.dimer(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Three members, the last of which came to no rest."""
    folder = tmp_path_factory.mktemp("study")
    made = [
        sixteen.relaxed(folder, f"m{k}", "--sensitivity", small=small)
        for k, small in enumerate((0.59, 0.6))
    ]
    return [*made, sixteen.relaxed(folder, "m2", "--sensitivity", "--steps", "3", small=0.61)]


@pytest.fixture
def drawn(monkeypatch):
    """What was handed to the function that draws, by kind."""
    seen = {}

    def watching(kind, function):
        def watched(*things, **more):
            seen[kind] = (things, more)
            return function(*things, **more)

        return watched

    for kind, function in plots.FIGURES.items():
        monkeypatch.setitem(plots.FIGURES, kind, watching(kind, function))
    return seen


@pytest.mark.parametrize("kind", ONE_FILE)
def test_every_kind_is_drawn(run, packing, drawn, kind):
    seen = run("plot", packing, kind)
    name = f"packing_{kind}.png"
    assert seen.code == 0, seen.err
    assert (seen.out, seen.err) == ("", f"written     {name}\n")
    assert seen.made == (name,)
    assert (seen.folder / name).read_bytes().startswith(MAGIC[".png"])
    assert kind in drawn


@pytest.mark.parametrize("suffix", list(MAGIC))
def test_every_format(run, packing, suffix):
    seen = run("plot", packing, "convergence", "-o", f"x{suffix}", "--quiet")
    assert (seen.code, seen.err) == (0, "")
    assert (seen.folder / f"x{suffix}").read_bytes().startswith(MAGIC[suffix])


def test_the_tables_of_kinds_agree():
    assert list(KINDS) == sorted(KINDS, key=list(plots.FIGURES).index)
    assert set(KINDS) == set(plots.FIGURES) == {*drawing.FIGURES, "sweep"}


def test_the_help_tells_every_kind_and_the_kinds_of_every_option(run):
    told = " ".join(run("plot", "--help").out.split())
    for kind, line in KINDS.items():
        assert f"{kind} {line.words}" in told
    for option in command.params:
        if isinstance(option, click.Option):
            takers = [kind for kind, line in KINDS.items() if option.name in line.takes]
            assert all(taker in option.help for taker in takers)


@pytest.mark.parametrize("kind", ["quiver", "check", "prediction"])
def test_the_parameter_that_is_shown(run, packing, drawn, kind):
    run("plot", packing, kind, "-o", "first.png")
    first = drawn[kind][0]
    run("plot", packing, kind, "--wrt", "diameter[B]", "-o", "named.png")
    named = drawn[kind][0]
    names = [t[2] if kind == "quiver" else t[0].parameter for t in (first, named)]
    assert names == ["diameter[A]", "diameter[B]"]


def test_what_is_drawn_is_what_is_stored(run, packing, drawn):
    run("plot", packing, "matrix")
    equilibrium, slope = drawn["matrix"][0]
    stored = io.load(packing)
    assert np.array_equal(equilibrium.position, stored.structure.position)
    assert np.array_equal(slope.position, stored.position_derivative)


@pytest.mark.parametrize("kind", NEED_NO_DERIVATIVE)
def test_a_file_without_derivatives(run, plain, drawn, kind):
    assert run("plot", plain, kind).code == 0
    if kind in ("summary", "quiver"):
        assert drawn[kind][0][1] is None


@pytest.mark.parametrize("kind", sorted(set(ONE_FILE) - set(NEED_NO_DERIVATIVE)))
def test_what_needs_derivatives_says_so(run, plain, kind):
    complaint = sixteen.refusal(run("plot", plain, kind))
    assert complaint.startswith(f"simsens: {kind} needs derivatives, and ")
    assert complaint.endswith("holds none: run simsens relax with --sensitivity")


def test_arrows_by_a_parameter_need_derivatives(run, plain):
    complaint = sixteen.refusal(run("plot", plain, "quiver", "--wrt", "epsilon"))
    assert "--wrt epsilon needs derivatives" in complaint


# Modes: stored, or computed


def test_how_many_modes(run, packing, drawn):
    run("plot", packing, "spectrum", "--modes", "3")
    modes = drawn["spectrum"][0][0]
    assert len(modes.curvature) == modes.zero_modes + 3
    run("plot", packing, "modes", "--modes", "2")
    assert drawn["modes"][0][2] == 2
    run("plot", packing, "modes", "-o", "six.png")
    assert drawn["modes"][0][2] == 6
    assert len(drawn["modes"][0][1].curvature) == 32


@pytest.mark.parametrize("kind", ["spectrum", "modes"])
def test_stored_modes_are_shown_and_more_are_computed(run, plain, drawn, tmp_path, kind):
    stored = io.load(plain)
    few = normal_modes(stored.equilibrium, 4)
    io.write(tmp_path / "few.h5md", stored.equilibrium, modes=few)

    def shown():
        return next(t for t in drawn[kind][0] if hasattr(t, "curvature"))

    run("plot", "few.h5md", kind, "-o", "a.png")
    assert np.array_equal(shown().curvature, few.curvature)
    run("plot", "few.h5md", kind, "-o", "b.png", "--modes", "4")
    assert np.array_equal(shown().curvature, few.curvature)
    run("plot", "few.h5md", kind, "-o", "c.png", "--modes", "7")
    # Of a small system all take no longer than some, and the title tells of how many they are.
    assert len(shown().curvature) == (32 if kind == "modes" else few.zero_modes + 7)
    run("plot", "few.h5md", kind, "-o", "d.png", "--modes", "1000")
    assert len(shown().curvature) == 32


# A study


@pytest.mark.parametrize("observable", ["energy", "pressure"])
def test_a_sweep_over_what_differs(run, study, drawn, observable):
    chosen = [] if observable == "energy" else ["--observable", observable]
    seen = run("plot", *study, "sweep", *chosen)
    assert (seen.code, seen.made) == (0, ("sweep.png",)), seen.err
    (values, measured, slopes, *names), more = drawn["sweep"]
    assert names == ["diameter[B]", observable]
    assert values == [0.59, 0.6, 0.61]
    for path, value, slope in zip(study[:2], measured, slopes):
        stored = io.load(path)
        expected = stored.observables[observable]
        assert value == expected[0]
        assert slope == expected[1][stored.parameters.index("diameter[B]")]
    assert np.isnan(slopes[2])
    assert np.isfinite(measured[2]) == (observable == "energy")
    assert more["trusted"] == (True, True, False)


def test_a_sweep_over_another_parameter(run, study, drawn):
    assert run("plot", *study, "sweep", "--wrt", "epsilon", "-o", "x.png").code == 0
    assert drawn["sweep"][0][3] == "epsilon"


@pytest.mark.parametrize(
    ("members", "arguments", "words"),
    [
        ([0, 0], [], "the files do not differ in any parameter: say over which one to sweep"),
        ([0, 1], ["--wrt", "sigma"], "unknown parameter 'sigma'; known are diameter[A], diam"),
        ([0, 1], ["--observable", "presure"], "known are energy, pressure; did you mean 'pres"),
        ([2], ["--wrt", "epsilon"], "a sweep needs derivatives, and no file holds any: run"),
    ],
)
def test_a_sweep_that_cannot_be(run, study, members, arguments, words):
    files = [study[k] for k in members]
    assert words in sixteen.refusal(run("plot", *files, "sweep", *arguments))


def test_a_sweep_over_what_was_not_differentiated(run, study, tmp_path):
    one = sixteen.relaxed(tmp_path, "one", "--sensitivity=epsilon", small=0.6)
    two = sixteen.relaxed(tmp_path, "two", "--sensitivity=epsilon", small=0.61)
    complaint = sixteen.refusal(run("plot", one, two, "sweep"))
    assert "no file holds derivatives by diameter[B]; there are some by epsilon" in complaint


def test_a_sweep_of_different_models(run, study, pair):
    complaint = sixteen.refusal(run("plot", study[0], pair, "sweep", "--wrt", "epsilon"))
    assert "pair.h5md: unknown parameter 'epsilon'; known are length, stiffness" in complaint


# An energy of one's own


@pytest.mark.parametrize("kind", ["summary", "convergence", "quiver", "matrix"])
def test_what_is_stored_needs_no_energy(run, pair, kind):
    assert run("plot", pair, kind).code == 0


@pytest.mark.parametrize("kind", ["spectrum", "modes", "check", "prediction"])
def test_what_is_computed_needs_it(run, pair, drawn, kind):
    complaint = sixteen.refusal(run("plot", pair, kind))
    assert "which a file does not hold: give it, --potential file.py:name" in complaint
    energy = f"{pair.parent / 'my.py'}:energy"
    seen = run("plot", pair, kind, "--potential", energy)
    assert seen.code == 0, seen.err
    if kind == "check":  # length moves the particles as much as it grows
        perturbed = drawn[kind][0][0]
        assert perturbed.parameter == "length"
        assert np.nanmin(perturbed.difference_error) < 1e-6


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("other", "is not the energy of"),
        ("broken", "fails: AttributeError"),
        ("number", "has no function 'number'"),
        ("nothing", "has no function 'nothing'"),
    ],
)
def test_another_energy_is_refused(run, pair, name, words):
    energy = f"{pair.parent / 'my.py'}:{name}"
    assert words in sixteen.refusal(run("plot", pair, "modes", "--potential", energy))


def test_a_word_without_a_place_is_refused(run, pair):
    complaint = sixteen.refusal(run("plot", pair, "modes", "--potential", "soft-sphere"))
    assert "needed an energy of your own, file.py:name or module:name" in complaint


def test_a_stored_potential_needs_no_other(run, packing, pair):
    energy = f"{pair.parent / 'my.py'}:energy"
    complaint = sixteen.refusal(run("plot", packing, "modes", "--potential", energy))
    assert "holds its potential, SoftSphere: leave out --potential" in complaint


def test_parameters_in_brackets_are_put_back(tmp_path):
    """The numbers are those of the file, whatever the function's own defaults are by now."""
    text = (
        "import jax.numpy as jnp, numpy as np\n"
        "def energy(position, lengths=np.array([1.0, 1.3]), stiffness=1.0):\n"
        "    bonds = jnp.linalg.norm(position[1:] - position[:-1], axis=1)\n"
        "    return 1.0 + stiffness * ((bonds - lengths) ** 2).sum() + lengths[1]\n"
    )
    (tmp_path / "bonds.py").write_text(text)
    (tmp_path / "chain.extxyz").write_text("3\n\nA 0 0 0\nA 1.2 0 0\nA 1.9 1 0\n")
    energy = ["--potential", "bonds.py:energy"]
    made = simsens(tmp_path, "relax", "chain.extxyz", *energy, "--param", "stiffness=2")
    assert made.code == 0, made.err
    assert io.load(tmp_path / "chain.h5md").theta["lengths[1]"] == 1.3
    (tmp_path / "bonds.py").write_text(text.replace("[1.0, 1.3]", "[9.0, 9.0]"))
    again = simsens(tmp_path, "plot", "chain.h5md", "modes", *energy)
    assert again.code == 0, again.err


# What went wrong on the way


def test_what_is_not_to_be_trusted_is_said(run, packing):
    doubted = sixteen.doubted(packing)
    seen = run("plot", doubted, "quiver")
    doubted.unlink()
    assert seen.code == 0
    assert seen.complaint.endswith("the derivative is not to be trusted: a mode is negative")


@pytest.mark.parametrize("kind", NEED_NO_DERIVATIVE)
def test_a_run_short_of_steps(run, tmp_path, kind):
    short = sixteen.relaxed(tmp_path, "short", "--steps", "5")
    assert run("plot", short, kind).code == 0


@pytest.mark.parametrize("kind", ["summary", "convergence", "quiver", "modes"])
def test_a_run_that_has_not_ended(run, packing, tmp_path, drawn, kind):
    stored = io.load(packing)
    with io.record(tmp_path / "r.h5md", stored.equilibrium.system, every=1) as record:
        record.frame(0, stored.start, 3.0, 0.5)
        record.frame(1, stored.structure.position, 2.0, 0.25)
    seen = run("plot", "r.partial.h5md", kind)
    assert seen.code == 0, seen.err
    assert seen.made == (f"r_{kind}.png",)
    if kind == "convergence":  # its frames are the history
        assert drawn[kind][0][0].history.tolist() == [[0, 3.0, 0.5], [1, 2.0, 0.25]]


def test_nothing_that_moves_is_nothing_to_check(run, pair):
    energy = f"{pair.parent / 'my.py'}:energy"
    seen = run("plot", pair, "check", "--wrt", "stiffness", "--potential", energy)
    assert "nothing moves with 'stiffness'" in sixteen.refusal(seen)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["quivr"], "got 'quivr'; known are summary, convergence, quiver, spectrum, modes, matrix"),
        (["quivr"], "did you mean 'quiver'?"),
        ([], "say it last, as in simsens plot packing.h5md quiver"),
        (["QUIVER"], "the last word must be a kind of figure; got 'QUIVER'"),
        (["packing.h5md", "quiver"], "File 'packing.h5md' does not exist"),
        (["quiver", "-o", "x.gif"], "ends in .png or .svg or .pdf; got x.gif"),
        (["quiver", "-o", "no/x.png"], "there is no folder no"),
        (["quiver", "--wrt", "diameter[C]"], "unknown parameter 'diameter[C]'; known are dia"),
        (["check", "--wrt", "epsilom"], "did you mean 'epsilon'?"),
        (["matrix", "--wrt", "epsilon"], "--wrt is not for matrix, but for quiver, check, pred"),
        (["quiver", "--modes", "3"], "--modes is not for quiver, but for spectrum, modes"),
        (["modes", "--modes", "0"], "0 is not in the range x>=1"),
        (["check", "--observable", "energy"], "--observable is not for check, but for sweep"),
        (["quiver", "--potential", "a.py:b"], "--potential is not for quiver"),
        (["quiver", "--colour", "red"], "No such option"),
    ],
)
def test_mistakes_are_one_line(run, packing, arguments, words):
    assert words in sixteen.refusal(run("plot", packing, *arguments))


def test_a_kind_alone_needs_a_file(run):
    assert "needed a file, as in simsens plot" in sixteen.refusal(run("plot", "quiver"))
    assert "Missing argument 'FILE... KIND'" in sixteen.refusal(run("plot"))


def test_several_files_are_for_a_sweep(run, packing, plain):
    complaint = sixteen.refusal(run("plot", packing, plain, "quiver"))
    assert "quiver shows one file, and there are 2" in complaint


def test_a_file_that_is_no_result(run, tmp_path):
    (tmp_path / "x.extxyz").write_text("2\n\nA 0 0 0\nB 1 0 0\n")
    complaint = sixteen.refusal(run("plot", "x.extxyz", "quiver"))
    assert "the name of a result ends in .h5md or .h5" in complaint


def test_a_truncated_file_is_named(run, packing):
    half = sixteen.truncated(packing)
    for kind in ("quiver", "sweep"):
        assert "truncated.h5md" in sixteen.refusal(run("plot", half, kind))
    half.unlink()


@pytest.mark.parametrize("kind", ["quiver", "check"])
def test_an_existing_figure_stays_unless_it_may_be_replaced(run, packing, tmp_path, kind):
    old = tmp_path / f"packing_{kind}.png"
    old.write_text("precious")
    assert "replace it with --overwrite" in sixteen.refusal(run("plot", packing, kind))
    assert old.read_text() == "precious"
    assert run("plot", packing, kind, "--overwrite").code == 0
    assert old.read_bytes().startswith(MAGIC[".png"])


def test_a_folder_that_is_not_writable(run, packing, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    complaint = sixteen.refusal(run("plot", packing, "quiver"))
    assert "the folder is not writable; choose another" in complaint


def test_an_interrupted_computation_leaves_nothing(run, packing, monkeypatch):
    def interrupted(*unused, **unused_too):
        raise KeyboardInterrupt

    monkeypatch.setattr(again, "perturb", interrupted)
    seen = run("plot", packing, "check")
    assert (seen.code, seen.made) == (130, ())


@pytest.mark.parametrize("name", ["plot", "report", "export"])
def test_the_help_loads_nothing_heavier_than_click(tmp_path, name):
    code = (
        "import sys\n"
        "from simsens.cli.main import main\n"
        f"try: main([{name!r}, '--help'])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "heavy = {'jax', 'numpy', 'scipy', 'h5py', 'matplotlib', 'ase'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    with started(tmp_path, start=(sys.executable, "-c", code)) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
