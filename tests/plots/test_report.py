"""The page: what it says, that it needs nothing else, and that strangers' text stays text."""

import importlib
import re
from collections import Counter
from dataclasses import dataclass, replace
from html.parser import HTMLParser

import numpy as np
import pytest

from simsens import plots
from simsens.particles.potentials import SoftSphere
from simsens.plots import page
from simsens.plots.formats import inline_svg
from simsens.response.elasticity import ElasticModuli
from tests.plots.results import answer, at_rest, tried, vibrations

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;"
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Read(HTMLParser):
    """Elements, attributes and text of a page; refuses tags that do not match."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.words, self.open = Counter(), [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def moduli():
    unit = np.eye(3)
    certificate = answer(at_rest()).certificate
    return ElasticModuli(
        ("xx", "yy", "xy"), 2 * unit, 3 * unit, 1e-9 * unit, -0.5 * np.eye(2), 0.5, 1.25, 0.75,
        0.25, np.ones((4, 2, 3)), np.array([], int), certificate,
    )  # fmt: skip


@pytest.fixture(scope="module")
def full():
    equilibrium = at_rest()
    return plots.report(
        equilibrium,
        answer(equilibrium),
        modes=vibrations([0, 0, 1, 2], zero=2),
        moduli=moduli(),
        perturbed=tried(),
        provenance={"argv": "simsens relax", "simsens": "1.2.3", "config": "fmax = 1e-10\n"},
        title="A packing",
    )


def test_a_page_begins_with_the_verdict(full):
    read = Read(full)
    said = read.text
    assert said.index("A packing") < said.index("Trusted: the error is small.")
    assert said.index("Trusted") < said.index("Parameters") < said.index("Provenance")
    assert "2 A, 2 B; 2-D, periodic in xy; SoftSphere" in said


def test_every_section_is_there_once(full):
    found = re.findall("<h2>(.*?)</h2>", full)
    assert found == [
        "Parameters", "Observables", "Put to the test", "Normal modes", "Elasticity",
        "Certificate", "History", "Provenance",
    ]  # fmt: skip
    assert Read(full).tags["svg"] == 7


def test_tables_hold_values_derivatives_and_ranges(full):
    said = Read(full).text
    largest = np.linalg.norm(answer(at_rest()).position, axis=1).max(axis=0)
    # value, largest derivative, bound, one-percent step, contacts below and above
    assert f"diameter[B] 0.6 {largest[0]:.6g} ≤ 1e-09 1 -0.4 1.6" in said
    assert "energy pressure value 0.9 0.25 d/d diameter[B] 0.5 -1 d/d epsilon 1.5 -1" in said
    assert "stiffness xx yy xy xx 2 0 0 yy 0 2 0" in said
    assert "bulk 1.25" in said
    assert "4 × 2 × 3 numbers, at most 1 in size" in said
    assert "step energy max force 0 2 1.000e+00" in said
    assert "fmax = 1e-10" in said


def test_without_derivatives_the_parameters_are_told():
    said = Read(plots.report(at_rest())).text
    assert "At rest: max force <= fmax; no derivatives were taken." in said
    assert "diameter[A] 1 diameter[B] 0.6 epsilon 1" in said
    assert "Observables" not in said
    assert "Certificate" not in said


@pytest.mark.parametrize("derived", [True, False])
def test_what_is_not_to_be_trusted_is_said_first_and_marked(derived):
    equilibrium = at_rest(converged=False)
    slope = answer(equilibrium, trusted=False) if derived else None
    text = plots.report(equilibrium, slope)
    assert 'class="verdict alarm"' in text
    said = Read(text).text
    assert "4 particles, not at rest" in said
    first = "Not trusted: the point is a saddle: 2 negative modes." if derived else "Not at rest: "
    assert first in said
    assert 'class="verdict alarm"' not in plots.report(at_rest())


def test_no_range_is_called_none():
    equilibrium = at_rest()
    far = answer(
        equilibrium, validity_radius=np.full((2, 2), 1e12), one_percent_step=np.full(2, np.inf)
    )
    assert "≤ 1e-09 none none none" in Read(plots.report(equilibrium, far)).text


# -------------------------------------------------------------------------- by itself, safe


def references(text):
    """Everything on the page that could fetch something."""
    found = re.findall(r"(?:src|href|action|data|poster|srcset)\s*=\s*[\"']?([^\"'> ]+)", text)
    found += re.findall(r"url\(\s*[\"']?([^)\"']+)", text)
    return [one for one in found if not one.startswith(("#", "data:image/"))]


def test_a_page_refers_to_nothing_outside(full):
    assert references(full) == []
    assert "@import" not in full
    assert "http" not in full.replace("http-equiv", "")
    read = Read(full)
    assert not set(read.tags) & {"script", "link", "iframe", "object", "embed", "img", "base"}
    assert not [name for name, _ in read.attributes if name.startswith("on")]


def test_the_checker_finds_planted_references():
    planted = '<a href="https://x.y"></a><i style="background:url(//x.y/z)"></i><img src=http://q>'
    assert references(planted) == ["https://x.y", "http://q", "//x.y/z"]


def test_identifiers_of_the_figures_do_not_meet(full):
    read = Read(full)
    known = [value for name, value in read.attributes if name == "id"]
    assert len(known) == len(set(known)) > 50
    used = [v[1:] for name, v in read.attributes if name == "href"]
    used += [i for _, v in read.attributes for i in re.findall(r"url\(#([^)]+)\)", v or "")]
    assert used
    assert set(used) <= set(known)


def test_strangers_text_stays_text():
    equilibrium = at_rest(species=[HOSTILE, "B", HOSTILE, "B"], potential=SoftSphere())
    equilibrium = replace(equilibrium, criterion=HOSTILE, optimizer=HOSTILE)
    slope = answer(
        equilibrium, names=(f"epsilon[{HOSTILE}]", "b"), reason=HOSTILE, notes=(HOSTILE,)
    )
    slope = replace(slope, observables={HOSTILE: (1.0, np.ones(2))})
    provenance = {HOSTILE: HOSTILE, "argv": HOSTILE, "config": f"</pre>{HOSTILE}"}
    text = plots.report(
        equilibrium, slope, perturbed=tried(slope.parameters[0]), provenance=provenance,
        title=HOSTILE, moduli=Foreign(HOSTILE),
    )  # fmt: skip
    read = Read(text)
    assert not set(read.tags) & {"script", "img"}
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    assert not {name for name, _ in read.attributes} & {"src", "srcset", "action", "data", "poster"}
    assert all(value.startswith("#") for name, value in read.attributes if name == "href")
    shown = read.text
    assert shown.count(HOSTILE) >= 9  # in full, as it was
    assert "default-src 'none'" in text


@dataclass(frozen=True)
class Foreign:
    note: str


def test_control_letters_and_broken_text_are_replaced():
    text = plots.report(at_rest(), provenance={"argv": "a\x00b\x1b[31m\u202egnp.exe\ud800"})
    text.encode("utf-8")
    said = Read(text).text
    assert "a\ufffdb\ufffd[31m\ufffdgnp.exe\ufffd" in said


def test_endless_text_is_cut_and_says_so():
    text = plots.report(at_rest(), provenance={"argv": "x" * 1_000_000})
    assert "(1000000 letters)" in text
    assert "x" * 5000 not in text


def test_many_parameters_are_cut_and_it_is_said():
    equilibrium, names = at_rest(), tuple(f"stiffness[{k}]" for k in range(60))
    said = Read(plots.report(equilibrium, answer(equilibrium, names=names))).text
    assert said.count("and 20 more") == 2  # parameters, observables


def test_large_structures_are_dots_not_lines(monkeypatch):
    small = plots.report(at_rest())
    module = importlib.import_module("simsens.plots.report")  # the name is the function's
    monkeypatch.setattr(module, "MANY", 3)
    large = plots.report(at_rest())
    assert "data:image/png" in large
    assert "data:image/png" not in small
    assert references(large) == []


def test_the_same_result_gives_the_same_page(full):
    equilibrium = at_rest()
    pages = {plots.report(equilibrium, answer(equilibrium)) for _ in range(2)}
    assert len(pages) == 1


@pytest.mark.parametrize("modes", [vibrations([0, 0], zero=2), vibrations([-1, 2])])
def test_modes_of_any_kind_have_their_place(modes):
    text = plots.report(at_rest(), modes=modes)
    assert Read(text).tags["svg"] == 3 + (modes.zero_modes < 2)


def test_results_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="another structure"):
        plots.report(at_rest(), answer(at_rest(position=[[1.0, 1.0]], species=["A"])))
    with pytest.raises(ValueError, match="another structure"):
        plots.report(at_rest(), modes=vibrations([1, 2], number=3))


# ------------------------------------------------------------------------------ its building


def test_numbers_are_those_a_person_reads():
    assert page.number(-0.0) == "0"
    assert page.number(1 / 3, 2) == "0.33"
    assert page.number(-np.inf) == "-∞"


def test_empty_sections_and_tables_are_left_out():
    assert page.section("Nothing", "", "") == ""
    assert page.table(["a", "b"], []) == ""


def test_figures_keep_what_is_seen_and_lose_what_is_not():
    first, second = (inline_svg(plots.convergence(at_rest()), p, "x") for p in ("aaa", "bbb"))
    assert "<metadata" not in first
    assert "<style" not in first
    assert "<!--" not in first
    assert first != second
    assert first.replace("aaa-", "-") == second.replace("bbb-", "-")
