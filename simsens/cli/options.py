"""Every option, told once; commands pick theirs. Imports nothing heavier than click."""

from __future__ import annotations

import difflib
import json
import math
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from simsens.response.optimizers import OPTIMIZERS

Decorator = Callable[[Any], Any]


def _configure(ctx: click.Context, option: click.Parameter, path: str | None) -> str | None:
    """Make the file's values the defaults: flags and environment variables still win."""
    if path is None:
        return None
    content = _content(Path(path))
    options = {p.name: p for p in ctx.command.params if p.name not in ("config", "traceback")}
    known = [str(name).replace("_", "-") for name in options]
    defaults: dict[str, Any] = {}
    for key, value in content.items():
        name = key.replace("-", "_")
        if name not in options:
            near = difflib.get_close_matches(key[:LONGEST_SHOWN], known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise click.BadParameter(
                f"{path}: unknown key {_shown(key)}; known are {', '.join(known)}{hint}"
            )
        defaults[name] = _as_typed(key, value, options[name])
    ctx.default_map = {**(ctx.default_map or {}), **defaults}
    return path


LARGEST_CONFIG = 2**22  # bytes
LONGEST_SHOWN = 60  # characters of what a message repeats


def _content(path: Path) -> dict[str, Any]:
    """The tables of a TOML file."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_CONFIG:
            raise click.BadParameter(f"{path} is no file of at most {LARGEST_CONFIG} bytes")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    # A number of five thousand digits is a ValueError, as what is no TOML or no text.
    except (ValueError, OSError) as error:
        raise click.BadParameter(f"{path}: {error}") from error
    except RecursionError as error:
        raise click.BadParameter(f"{path}: lists or tables are nested too deeply") from error


def _shown(value: Any) -> str:
    return _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def _as_typed(key: str, value: Any, option: click.Parameter) -> Any:
    """A value of a configuration file as it would be typed after the option."""
    if isinstance(value, dict) != (key == "param"):
        raise click.BadParameter(
            f"{key} must be {'a table, [param]' if key == 'param' else 'one value'}; got"
            f" {_shown(value)}"
        )
    if isinstance(value, dict):
        return _flattened(value)
    if key == "sensitivity" and isinstance(value, bool):
        return "default" if value else None
    flag = isinstance(option, click.Option) and option.is_flag
    if isinstance(value, bool) != flag:
        raise click.BadParameter(f"{key} cannot be {_cut(json.dumps(value, default=str))}")
    if isinstance(option.type, click.types.IntParamType) and isinstance(value, float):
        raise click.BadParameter(f"{key} must be a whole number; got {_shown(value)}")
    if not isinstance(value, list):
        return _scalar(key, value)
    text = ",".join(str(_scalar(key, part)) for part in value)
    if len(text) > LONGEST_SHOWN and not isinstance(option.type, click.types.StringParamType):
        raise click.BadParameter(f"{key} must be one value; got {_shown(value)}")
    return text


def _scalar(key: str, value: Any) -> Any:
    """A number, or a text as it could be typed."""
    if isinstance(value, str):
        if len(value) > 4096 or re.search(r"[\x00-\x1f\x7f-\x9f]", value):
            raise click.BadParameter(f"{key} must be a short text on one line; got {_shown(value)}")
    elif not isinstance(value, (bool, int, float)) or len(str(value)) > 40:
        raise click.BadParameter(f"{key} cannot be {_shown(value)}")
    return value


def _flattened(table: dict[str, Any], inner: bool = False) -> list[str]:
    """``{"diameter": {"A": 1.0}}`` as ``["diameter[A]=1.0"]``, the form of ``--param``."""
    flat: list[str] = []
    for key, value in table.items():
        _scalar("the name of a parameter", key)
        if isinstance(value, dict):
            if inner:
                raise click.BadParameter(f"param {_shown(key)} must be a number; got a table")
            named = {f"{key}[{which}]": number for which, number in value.items()}
            flat += _flattened(named, inner=True)
        elif isinstance(value, list):
            for part in _numbers(value):
                _scalar(key, part)
            flat.append(f"{key}={json.dumps(value)}")
        else:
            flat.append(f"{key}={_scalar(key, value)}")
    return flat


def _parameters(ctx: click.Context, option: click.Parameter, pairs: Any) -> dict[str, Any]:
    """``("sigma=3.4", "mode=shift")`` as a dict; environment and configuration fill it in."""
    found: dict[str, Any] = {}
    configured = (ctx.default_map or {}).get("param", ())
    for source in (configured, option.value_from_envvar(ctx) or (), pairs):
        given: dict[str, str] = {}
        for pair in source:
            name, text = _named(pair)
            if given.setdefault(name, text) != text:
                raise click.BadParameter(f"{name} is given twice: {given[name]} and {text}")
            found[name] = _value(pair, text)
    return found


def _named(pair: str) -> tuple[str, str]:
    # The name of a species may hold anything, an equals sign too.
    match = re.fullmatch(r"\s*(\w+)(\[[^\[]+\])?\s*=\s*(.*\S)\s*", pair)
    if match is None:
        raise click.BadParameter(
            f"needed NAME=VALUE, as in sigma=3.4 or diameter[B]=0.6; got {pair!r}"
        )
    field, which, text = match.groups()
    return field + (which or ""), text


def _value(pair: str, text: str) -> Any:
    """A number, a list of numbers, or the word itself."""
    try:
        value = json.loads(text) if text.startswith("[") else float(text)
        if not all(math.isfinite(number) for number in _numbers(value)):
            raise click.BadParameter(f"needed finite numbers; got {pair!r}")
    except (json.JSONDecodeError, TypeError, OverflowError, RecursionError) as error:
        raise click.BadParameter(f"not a list of numbers: {_shown(pair)}") from error
    except ValueError:
        return text
    return value


def _numbers(value: Any) -> list[Any]:
    return [n for part in value for n in _numbers(part)] if isinstance(value, list) else [value]


def _duration(ctx: click.Context, option: click.Parameter, text: str | None) -> float | None:
    """``"1h30m"`` in seconds."""
    if text is None:
        return None
    match = re.fullmatch(
        r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", str(text).strip()
    )
    parts = [float(part or 0) for part in match.groups()] if match else []
    seconds = sum(part * unit for part, unit in zip(parts, (86400, 3600, 60, 1)))
    if not 0 < seconds < math.inf:
        raise click.BadParameter(f"needed a time, as 90s, 10m or 1h30m; got {_shown(text)}")
    return seconds


def finite(ctx: click.Context, option: click.Parameter, value: float | None) -> float | None:
    """A check of an option: a finite number."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"needed a finite number; got {value}")
    return value


MOST_INDICES = 10**7


def _indices(ctx: click.Context, option: click.Parameter, text: str | None) -> list[int] | None:
    """``"0,1,5-9"`` as a list of indices."""
    if text is None:
        return None
    chosen: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,8})(?:\s*-\s*([0-9]{1,8}))?\s*", part)
        first, last = (int(n) for n in (match[1], match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise click.BadParameter(f"needed particle indices such as 0,1,5-9; got {text!r}")
        if len(chosen) + last - first > MOST_INDICES:
            raise click.BadParameter(f"more than {MOST_INDICES} particles are named")
        chosen += range(first, last + 1)
    return chosen


def ending(*suffixes: str) -> Callable[..., Path | None]:
    """A check of an option: the name of a file that ends so."""

    def check(ctx: click.Context, option: click.Parameter, path: str | None) -> Path | None:
        if path is not None and Path(path).suffix.lower() not in suffixes:
            raise click.BadParameter(
                f"needed a name that ends in {' or '.join(suffixes)}; got {path}"
            )
        return None if path is None else Path(path)

    return check


FILE = click.Path(exists=True, dir_okay=False)

structure = click.argument("structure", metavar="[STRUCT]...", nargs=-1, type=FILE)
config = click.option(
    "--config", metavar="FILE", type=FILE, callback=_configure, is_eager=True,
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
    "--fmax", type=click.FloatRange(0, min_open=True), metavar="F", callback=finite,
    help="Largest force on any particle, in the potential's units."
    "  [default: 1e-6; 1e-10 with --sensitivity; 1e-4 in float32]",
)  # fmt: skip
steps = click.option(
    "--steps", type=click.IntRange(0, 2**31 - 1), default=100_000, show_default=True, metavar="N",
    help="The budget of steps.",
)  # fmt: skip
optimizer = click.option(
    "--optimizer", type=click.Choice(list(OPTIMIZERS)), default="fire", show_default=True,
    help="; ".join(f"{name}: {line.words}" for name, line in OPTIMIZERS.items()) + ".",
)  # fmt: skip
fixed = click.option(
    "--fixed", metavar="INDICES", callback=_indices,
    help="Particles that do not move: 0,1,5-9, counted from 0. The file's own by default.",
)  # fmt: skip
dimension = click.option(
    "--dimension", type=click.IntRange(2, 3), metavar="[2|3]",
    help="Of the file's contents, when it does not say; of the packing, 2 by default.",
)  # fmt: skip
sensitivity = click.option(
    "--sensitivity", metavar="[=NAMES]",
    help="Differentiate by these parameters, separated by commas, by all of them without names (the"
    " packing: diameter[B]); none turns it off.",
)  # fmt: skip
modes = click.option(
    "--modes", type=click.IntRange(1), metavar="N",
    help="Compute the N lowest normal modes of the minimum, too.",
)  # fmt: skip
moduli = click.option(
    "--moduli", is_flag=True,
    help="Compute the elastic moduli of the minimum, too; the box must be periodic.",
)  # fmt: skip
solver = click.option(
    "--solver", type=click.Choice(["auto", "dense", "sparse", "cg"]), default="auto",
    show_default=True, help="Of the linear systems.",
)  # fmt: skip
output = click.option(
    "-o", "--output", metavar="FILE", callback=ending(".h5md", ".h5"),
    help="The result, an .h5md file.  [default: STRUCT.h5md, packing.h5md]",
)  # fmt: skip
out_dir = click.option(
    "--out-dir", metavar="DIR", type=click.Path(file_okay=False),
    help="Where the results of several structures go, each as STRUCT.h5md.",
)  # fmt: skip
overwrite = click.option("--overwrite", is_flag=True, help="Replace existing outputs.")
resume = click.option(
    "--resume", is_flag=True,
    help="Go on with a run that was killed, stopped or short of steps, as if it had never stopped.",
)  # fmt: skip
traj_every = click.option(
    "--traj-every", type=click.IntRange(0), default=0, show_default=True, metavar="N",
    help="Keep a frame of the trajectory every N steps; 0 keeps the start and the end.",
)  # fmt: skip
compression = click.option(
    "--compression", type=click.Choice(["gzip", "none", "lzf", "blosc2"]), default="gzip",
    show_default=True, help="Of the trajectory.",
)  # fmt: skip
precision = click.option(
    "--precision", type=click.Choice(["float64", "float32"]), default="float64",
    show_default=True, help="Of the trajectory; the minimum and its derivatives are never rounded.",
)  # fmt: skip
max_time = click.option(
    "--max-time", metavar="TIME", callback=_duration,
    help="Stop after so long (90s, 10m, 1h30m), save what was reached, exit 143.",
)  # fmt: skip
plot = click.option(
    "--plot", metavar="FILE", callback=ending(".png", ".svg", ".pdf"),
    help="Draw the result (png, svg or pdf).",
)  # fmt: skip
units = click.option(
    "--units", type=click.Choice(["reduced", "metal"]),
    help="What the numbers mean, for the file's readers: metal is eV and Angstrom."
    "  [default: reduced, or those of a result that is STRUCT]",
)  # fmt: skip
seed = click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N",
    help="Of the packing's random start.",
)  # fmt: skip
dtype = click.option(
    "--dtype", type=click.Choice(["float64", "float32"]), default="float64", show_default=True,
    help="Precision of the numbers.",
)  # fmt: skip
device = click.option(
    "--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True,
    help="Where to compute.",
)  # fmt: skip
dry_run = click.option("--dry-run", is_flag=True, help="Check the input, say what would be done.")
as_json = click.option("--json", is_flag=True, help="Print the result on stdout as JSON.")
quiet = click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
verbose = click.option("-v", "--verbose", is_flag=True, help="Log the progress even to a file.")
traceback = click.option("--traceback", is_flag=True, help="Show where an error came from.")
