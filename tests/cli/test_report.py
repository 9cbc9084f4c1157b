"""``simsens report``: one page, of what is stored and of what is asked for."""

import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from simsens import elastic_moduli, io, normal_modes, plots
from simsens.cli import again, reporting
from tests.cli import sixteen

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """Headings and texts of a page whose elements are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.headings, self.loads = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.loads += [v for k, v in attributes if k in ("src", "href") and not v.startswith("#")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.loads += [v for k, v in attributes if k in ("src", "href") and not v.startswith("#")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)


@pytest.fixture(scope="module")
def packing(tmp_path_factory):
    return sixteen.relaxed(tmp_path_factory.mktemp("report"), "packing", "--sensitivity")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return sixteen.relaxed(tmp_path_factory.mktemp("plain"), "plain")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return sixteen.dimer(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def shown(monkeypatch):
    """What was handed to the function that makes the page."""
    seen, make = {}, plots.report

    def watched(*things, **more):
        seen.update(more, equilibrium=things[0], sensitivity=things[1])
        return make(*things, **more)

    monkeypatch.setattr(plots, "report", watched)
    return seen


def page(seen, name="packing.html"):
    assert seen.code == 0, seen.err
    assert seen.made == (name,)
    return Page((seen.folder / name).read_text("utf-8"))


def test_a_page_of_what_is_stored(run, packing, shown):
    seen = run("report", packing)
    assert (seen.out, seen.err) == ("", "written     packing.html\n")
    found = page(seen)
    assert found.headings[0] == "16 particles at rest"
    assert {"Parameters", "Observables", "Certificate", "History", "Provenance"} < set(
        found.headings
    )
    assert not {"Normal modes", "Elasticity", "Put to the test"} & set(found.headings)
    assert not [where for where in found.loads if not where.startswith("data:")]
    stored = io.load(packing)
    assert np.array_equal(shown["sensitivity"].position, stored.position_derivative)
    assert shown["provenance"] == stored.provenance
    assert stored.provenance["argv"].split()[0] == "simsens"


def test_everything_that_can_be_computed(run, packing, shown):
    asked = ["--modes", "5", "--moduli", "--check", "--wrt", "diameter[B]", "--quiet"]
    seen = run("report", packing, "-o", "all.html", *asked)
    assert seen.err == ""
    assert {"Normal modes", "Elasticity", "Put to the test"} < set(page(seen, "all.html").headings)
    stored = io.load(packing)
    assert len(shown["modes"].curvature) == 5 + shown["modes"].zero_modes
    expected = elastic_moduli(stored.equilibrium)
    np.testing.assert_allclose(shown["moduli"].stiffness, expected.stiffness, rtol=1e-12)
    assert shown["perturbed"].parameter == "diameter[B]"
    assert np.nanmin(shown["perturbed"].difference_error) < 1e-6


def test_what_is_stored_is_shown_and_not_computed_again(run, plain, shown, tmp_path, monkeypatch):
    minimum = io.load(plain).equilibrium
    modes, moduli = normal_modes(minimum), elastic_moduli(minimum)
    io.write(tmp_path / "r.h5md", minimum, modes=modes, moduli=moduli)

    def never(*unused, **unused_too):
        raise AssertionError("computed again")

    monkeypatch.setattr(again, "normal_modes", never)
    monkeypatch.setattr(reporting, "elastic_moduli", never)
    for arguments in ([], ["--modes", "3", "--moduli"]):
        seen = run("report", "r.h5md", *arguments, "-o", f"r{len(arguments)}.html")
        assert {"Normal modes", "Elasticity"} < set(page(seen, f"r{len(arguments)}.html").headings)
        assert np.array_equal(shown["modes"].mode, modes.mode)
        assert np.array_equal(shown["moduli"].stiffness, moduli.stiffness)


def test_a_page_without_derivatives(run, plain):
    seen = run("report", plain)
    found = page(seen, "plain.html")
    assert "Certificate" not in found.headings
    assert "no derivatives were taken" in (seen.folder / "plain.html").read_text("utf-8")


def test_what_is_not_to_be_trusted_is_said(run, packing):
    doubted = sixteen.doubted(packing)
    seen = run("report", doubted)
    doubted.unlink()
    assert seen.code == 0
    assert seen.complaint.endswith("the derivative is not to be trusted: a mode is negative")
    text = (seen.folder / "doubted.html").read_text("utf-8")
    assert re.search(r"verdict alarm.*Not trusted:.*a mode is negative", text)


def test_a_run_short_of_steps(run, tmp_path):
    short = sixteen.relaxed(tmp_path, "short", "--steps", "5")
    assert page(run("report", short), "short.html").headings[0] == "16 particles, not at rest"


def test_a_run_that_has_not_ended(run, packing, tmp_path):
    stored = io.load(packing)
    with io.record(tmp_path / "r.h5md", stored.equilibrium.system, every=1) as record:
        record.frame(0, stored.start, 3.0, 0.5)
        record.frame(1, stored.start, 3.0, 0.5)
    found = page(run("report", "r.partial.h5md"), "r.html")
    assert found.headings[0] == "16 particles, not at rest"


def test_an_energy_of_ones_own(run, pair, shown):
    assert "Parameters" in page(run("report", pair), "pair.html").headings
    assert shown["sensitivity"].parameters == ("length", "stiffness")
    complaint = sixteen.refusal(run("report", pair, "-o", "x.html", "--modes", "2"))
    assert "give it, --potential file.py:name" in complaint
    energy = f"{pair.parent / 'my.py'}:energy"
    asked = ["--modes", "1", "--check", "--potential", energy]
    found = page(run("report", pair, "-o", "all.html", *asked), "all.html")
    assert {"Normal modes", "Put to the test"} < set(found.headings)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "x.pdf"], "ends in .html or .htm; got x.pdf"),
        (["-o", "no/x.html"], "there is no folder no"),
        (["--modes", "0"], "0 is not in the range x>=1"),
        (["--modes", "all"], "'all' is not a valid integer"),
        (["--wrt", "epsilon"], "--wrt is the parameter of --check: add it"),
        (["--check", "--wrt", "epsilom"], "did you mean 'epsilon'?"),
        (["--check", "--wrt", "epsilon"], "nothing moves with 'epsilon'"),
        (["--potential", "my.py:energy"], "--potential is for --modes, --moduli or --check"),
        (["--potential", "my.py:energy", "--moduli"], "holds its potential, SoftSphere"),
        (["one", "two"], "Got unexpected extra argument"),
    ],
)
def test_mistakes_are_one_line(run, packing, arguments, words):
    assert words in sixteen.refusal(run("report", packing, *arguments))


def test_a_check_needs_derivatives(run, plain):
    complaint = sixteen.refusal(run("report", plain, "--check"))
    assert "--check needs derivatives, and" in complaint
    assert "holds none: run simsens relax with --sensitivity" in complaint


def test_moduli_need_a_periodic_box(run, pair):
    energy = f"{pair.parent / 'my.py'}:energy"
    complaint = sixteen.refusal(run("report", pair, "--moduli", "--potential", energy))
    assert "elastic moduli need a box that is periodic along every edge" in complaint


@pytest.mark.parametrize("name", ["missing.h5md", "folder.h5md"])
def test_a_file_that_is_none(run, tmp_path, name):
    if name.startswith("folder"):
        (tmp_path / name).mkdir()
    assert f"File '{name}'" in sixteen.refusal(run("report", name))


def test_a_truncated_file_is_named(run, packing):
    half = sixteen.truncated(packing)
    assert "truncated.h5md" in sixteen.refusal(run("report", half))
    half.unlink()


def test_an_existing_page_stays_unless_it_may_be_replaced(run, packing, tmp_path):
    (tmp_path / "packing.html").write_text("precious")
    assert "replace it with --overwrite" in sixteen.refusal(run("report", packing))
    assert (tmp_path / "packing.html").read_text() == "precious"
    assert run("report", packing, "--overwrite").code == 0
    assert (tmp_path / "packing.html").read_text("utf-8").startswith("<!DOCTYPE html>")


def test_a_folder_that_is_not_writable(run, packing, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    complaint = sixteen.refusal(run("report", packing))
    assert "the folder is not writable; choose another" in complaint


def test_the_same_file_gives_the_same_page(run, packing, tmp_path):
    run("report", packing, "-o", "a.html")
    run("report", packing, "-o", "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
