"""Every option, told once; commands pick theirs. Imports click alone."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Any], Any]


def _configure(ctx: click.Context, option: click.Parameter, path: str | None) -> str | None:
    """Make the file's values the defaults: flags and environment variables still win."""
    if path is None:
        return None
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise click.BadParameter(f"{path}: {error}") from error
    known = [
        p.name.replace("_", "-") for p in ctx.command.params if p.name not in ("config", "help")
    ]
    defaults: dict[str, Any] = {}
    for key, value in content.items():
        if key.replace("_", "-") not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise click.BadParameter(
                f"{path}: unknown key {key!r}; known are {', '.join(known)}{hint}"
            )
        defaults[key.replace("-", "_")] = _flattened(value) if key == "param" else value
    if isinstance(defaults.get("sensitivity"), bool):
        defaults["sensitivity"] = "default" if defaults["sensitivity"] else None
    ctx.default_map = {**(ctx.default_map or {}), **defaults}
    return path


def _flattened(table: Any) -> list[str]:
    """``{"diameter": {"A": 1.0}}`` as ``["diameter[A]=1.0"]``, the form of ``--param``."""
    if not isinstance(table, dict):
        raise click.BadParameter("param must be a table, [param]")
    flat: list[str] = []
    for key, value in table.items():
        if isinstance(value, dict):
            flat += [f"{key}[{which}]={number}" for which, number in value.items()]
        else:
            flat.append(f"{key}={json.dumps(value) if isinstance(value, list) else value}")
    return flat


def _parameters(ctx: click.Context, option: click.Parameter, pairs: Any) -> dict[str, Any]:
    """``("sigma=3.4", "mode=shift")`` as a dict of numbers, lists and words."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip() or not text.strip():
            raise click.BadParameter(f"needed NAME=VALUE, as in sigma=3.4; got {pair!r}")
        found[name.strip()] = _value(text.strip())
    return found


def _value(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        pass
    if text.startswith("["):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise click.BadParameter(f"not a list: {text!r} ({error})") from error
    return text


def _indices(ctx: click.Context, option: click.Parameter, text: str | None) -> list[int] | None:
    """``"0,1,5-9"`` as a list of indices."""
    if not text:
        return None
    chosen: list[int] = []
    for part in str(text).split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise click.BadParameter(f"needed particle indices such as 0,1,5-9; got {text!r}")
        chosen += range(int(first), int(last if dash else first) + 1)
    return chosen


structure = click.argument("structure", metavar="[STRUCT]", required=False)
config = click.option(
    "--config", metavar="FILE", callback=_configure, is_eager=True, expose_value=True,
    help="TOML file with these options as keys (param is a table); flags win over it.",
)  # fmt: skip
potential = click.option(
    "--potential", metavar="NAME",
    help="soft-sphere, lennard-jones, morse, harmonic-bonds, or your own energy as"
    " module:function or file.py:function.",
)  # fmt: skip
param = click.option(
    "--param", metavar="NAME=VALUE", multiple=True, callback=_parameters,
    help="A number or setting of the potential: sigma=3.4, diameter[B]=0.6, epsilon[A,B]=1.",
)  # fmt: skip
fmax = click.option(
    "--fmax", type=click.FloatRange(0, min_open=True), metavar="F",
    help="Largest force on any particle, in the potential's units."
    "  [default: 1e-6; 1e-10 with --sensitivity]",
)  # fmt: skip
steps = click.option(
    "--steps", type=click.IntRange(0), default=100_000, show_default=True, metavar="N",
    help="The budget of steps.",
)  # fmt: skip
optimizer = click.option(
    "--optimizer", type=click.Choice(["fire", "gd"]), default="fire", show_default=True,
    help="jax-md's FIRE or gradient descent.",
)  # fmt: skip
fixed = click.option(
    "--fixed", metavar="INDICES", callback=_indices,
    help="Particles that do not move: 0,1,5-9, counted from 0.",
)  # fmt: skip
dimension = click.option(
    "--dimension", type=click.Choice(["2", "3"]), help="Dimension of a structure file's contents."
)
sensitivity = click.option(
    "--sensitivity", metavar="[=NAMES]",
    help="Differentiate with respect to these parameters (comma-separated), to all when no names are"
    " given.",
)  # fmt: skip
solver = click.option(
    "--solver", type=click.Choice(["auto", "dense", "cg"]), default="auto", show_default=True,
    help="Of the linear systems.",
)  # fmt: skip
output = click.option(
    "-o", "--output", metavar="FILE", help="The result, an .h5md file.  [default: STRUCT.h5md]"
)
overwrite = click.option("--overwrite", is_flag=True, help="Replace an existing output.")
plot = click.option("--plot", metavar="FILE", help="Draw the result (png, svg or pdf).")
units = click.option(
    "--units", type=click.Choice(["reduced", "metal"]), default="reduced", show_default=True,
    help="What the numbers mean, for the file's readers: metal is eV and Angstrom.",
)  # fmt: skip
seed = click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True,
    help="Of the random start of the embedded packing.",
)  # fmt: skip
dtype = click.option(
    "--dtype", type=click.Choice(["float64", "float32"]), default="float64", show_default=True
)
device = click.option(
    "--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True
)
dry_run = click.option("--dry-run", is_flag=True, help="Check the input, say what would be done.")
as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print the result on stdout as JSON."
)
quiet = click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
verbose = click.option("-v", "--verbose", is_flag=True, help="Log the progress even to a file.")
traceback = click.option("--traceback", is_flag=True, help="Show where an error came from.")
