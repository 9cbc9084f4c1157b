"""Where an option comes from: a flag, the environment, the file, or what is built in."""

import pytest

from simsens import io

CONFIG = """
potential = "lennard-jones"
fmax = 1e-3
steps = 7
fixed = [0]
units = "metal"
[param]
epsilon = 1.5
cutoff = 3
sigma = {A = 1.0, B = 0.9}
"""


@pytest.fixture
def settings(run, pair, tmp_path, monkeypatch):
    """Run with a configuration file; returns the settings that were used."""

    def used(*arguments, config=CONFIG, **environment):
        (tmp_path / "made.toml").write_text(config)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        seen = run("relax", pair, "--config", "made.toml", "-q", "--overwrite", *arguments)
        assert seen.code in (0, 3), seen.err
        return io.load(tmp_path / "made.h5md")

    return used


def test_the_file_wins_over_what_is_built_in(settings):
    stored = settings()
    assert (stored.fmax, stored.units) == (1e-3, "metal")
    assert stored.theta == {"sigma[A]": 1.0, "sigma[B]": 0.9, "epsilon": 1.5}
    assert stored.structure.fixed.tolist() == [True, False]
    assert stored.optimizer == "fire"


def test_the_environment_wins_over_the_file(settings):
    stored = settings(SIMSENS_FMAX="1e-4", SIMSENS_UNITS="reduced")
    assert (stored.fmax, stored.units) == (1e-4, "reduced")


def test_flags_win_over_the_environment(settings):
    stored = settings("--fmax", "1e-5", "--units", "metal", SIMSENS_FMAX="1e-4", SIMSENS_UNITS="x")
    assert (stored.fmax, stored.units) == (1e-5, "metal")


def test_a_switch_from_the_environment(run, monkeypatch):
    monkeypatch.setenv("SIMSENS_DRY_RUN", "1")
    seen = run("relax")
    assert (seen.code, seen.made) == (0, ())
    assert "dry run" in seen.err


def test_a_misspelt_variable_is_told(run, monkeypatch):
    monkeypatch.setenv("SIMSENS_FMX", "1e-4")
    seen = run("relax", "--dry-run", "-q")
    assert seen.code == 0
    assert "SIMSENS_FMX is not an option and is ignored; did you mean SIMSENS_FMAX?" in seen.err
    monkeypatch.delenv("SIMSENS_FMX")
    assert "warning" not in run("relax", "--dry-run", "-q").err


def test_one_parameter_of_the_file_can_be_replaced(settings):
    assert settings("--param", "epsilon=2").theta == {
        "sigma[A]": 1.0, "sigma[B]": 0.9, "epsilon": 2.0,
    }  # fmt: skip


def test_parameters_from_the_environment(settings):
    assert settings(SIMSENS_PARAM="epsilon=2 sigma[A]=1.1").theta["sigma[A]"] == 1.1


def test_a_flag_replaces_one_parameter_of_the_environment(settings):
    theta = settings("--param", "sigma[A]=1.2", SIMSENS_PARAM="epsilon=2 sigma[A]=1.1").theta
    assert (theta["sigma[A]"], theta["epsilon"]) == (1.2, 2.0)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("true", ["sigma[A]", "sigma[B]", "epsilon"]),
        ('["sigma", "epsilon"]', ["sigma[A]", "sigma[B]", "epsilon"]),
        ('"sigma[B]"', ["sigma[B]"]),
        ('"all"', ["sigma[A]", "sigma[B]", "epsilon"]),
        ("false", []),
    ],
)
def test_sensitivity_from_the_file(run, pair, tmp_path, value, names):
    (tmp_path / "made.toml").write_text(f"sensitivity = {value}\n{CONFIG}")
    seen = run("relax", pair, "--config", "made.toml", "--dry-run")
    assert f"sensitivity {', '.join(names) or 'none'}" in seen.err
    off = run("relax", pair, "--config", "made.toml", "--dry-run", "--sensitivity=none")
    assert "sensitivity none" in off.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("fmx = 1e-3", "made.toml: unknown key 'fmx'; known are structure, potential, param, fmax"),
        ("fmx = 1e-3", "did you mean 'fmax'?"),
        ("[relax]\nfmax = 1e-3", "unknown key 'relax'"),
        ("config = 'other.toml'", "unknown key 'config'"),
        ("fmax = ", "made.toml: Invalid value (at"),
        ("fmax = 'small'", "'small' is not a valid float"),
        ("fmax = true", "fmax cannot be true"),
        ("overwrite = 1", "overwrite cannot be 1"),
        ("steps = 10.9", "steps must be a whole number; got 10.9"),
        ("steps = [1, 2]", "'1,2' is not a valid integer"),
        ("optimizer = 'bfgs'", "'bfgs' is not one of"),
        ("param = 'sigma=1'", "param must be a table, [param]"),
        ("[param]\nsigma = inf", "needed finite numbers; got 'sigma=inf'"),
        ("[fmax]\nx = 1", "fmax must be one value"),
        ("structure = 'missing.extxyz'", "File 'missing.extxyz' does not exist"),
    ],
)
def test_a_faulty_file(refused, tmp_path, content, words):
    (tmp_path / "made.toml").write_text(content)
    assert words in refused("--config", "made.toml")


def test_a_file_that_is_no_text(refused, tmp_path):
    (tmp_path / "made.toml").write_bytes(b"\xff\xfe\x00")
    assert "made.toml" in refused("--config", "made.toml")


def test_a_faulty_environment(refused, monkeypatch):
    monkeypatch.setenv("SIMSENS_STEPS", "many")
    assert "'many' is not a valid integer" in refused()
