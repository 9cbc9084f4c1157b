from pathlib import Path

from tests.examples.example import ROOT


def test_every_example_is_run():
    names = {"_".join(path.stem.split("_")[:2]) for path in (ROOT / "examples").glob("figure_*.py")}
    tested = {p.stem.removeprefix("test_") for p in Path(__file__).parent.glob("test_figure_*.py")}
    assert names
    assert names == tested
