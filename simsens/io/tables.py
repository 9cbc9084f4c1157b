"""A result as labelled arrays and tables: xarray, pandas, and the columns of a text file."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from simsens.io.errors import MissingPackage

Columns = dict[str, Any]  # of a table, by name; what is tabulated is a ``Stored``


def dataset(stored: Any) -> Any:
    """An ``xarray.Dataset`` over particle, axis and parameter."""
    xarray = _package("xarray")
    structure = stored.structure
    found: dict[str, Any] = {
        "position": (("particle", "axis"), structure.position),
        "start": (("particle", "axis"), stored.start),
        "history": (("record", "column"), stored.history),
    }
    labels: dict[str, Any] = {
        "particle": np.arange(structure.number),
        "axis": list("xyz"[: structure.dimension]),
        "species": ("particle", structure.names()),
        "column": ["step", "energy", "max_force"],
    }
    facts = {"units": stored.units, "status": stored.status, "energy": stored.energy}
    if stored.sensitivity is not None:
        trust = stored.sensitivity.certificate
        facts |= {"trusted": int(trust.trusted), "reason": trust.reason}
        labels["parameter"] = list(stored.parameters)
        found["parameter_value"] = (("parameter",), stored.values)
        found["dR_dtheta"] = (("particle", "axis", "parameter"), stored.position_derivative)
        found["error_bound"] = (("parameter",), trust.error_bound)
        found["validity_radius"] = (("parameter", "side"), trust.validity_radius)
        labels["side"] = ["fall", "rise"]
        found["rattler"] = (("particle",), np.isin(labels["particle"], stored.rattlers))
        for name, (value, slope) in stored.observables.items():
            found[name] = ((), value)
            found[f"d{name}_dtheta"] = (("parameter",), slope)
    return xarray.Dataset(found, labels, facts)


def frame(stored: Any, what: str) -> Any:
    """A ``pandas.DataFrame`` of one of the ``TABLES``."""
    pandas = _package("pandas")
    return pandas.DataFrame(columns(stored, what))


def columns(stored: Any, what: str) -> Columns:
    """The columns of one of the ``TABLES``, by name.

    Raises:
        ValueError: listing the tables.
    """
    if what not in TABLES:
        raise ValueError(f"unknown table {what!r}; known are {', '.join(TABLES)}")
    return TABLES[what](stored)


def _particles(stored: Any) -> Columns:
    """A row a particle: where it is, and how that answers to each parameter."""
    structure = stored.structure
    axes = "xyz"[: structure.dimension]
    found: Columns = {"species": structure.names()}
    found |= {axis: structure.position[:, k] for k, axis in enumerate(axes)}
    if structure.fixed is not None:
        found["fixed"] = np.asarray(structure.fixed)
    if stored.position_derivative is not None:
        found["rattler"] = np.isin(np.arange(structure.number), stored.rattlers)
        for p, name in enumerate(stored.parameters):
            for k, axis in enumerate(axes):
                found[f"d{axis}/d {name}"] = stored.position_derivative[:, k, p]
    return found


def _observables(stored: Any) -> Columns:
    """A row an observable: its value, and its derivative by each parameter."""
    found: Columns = {
        "observable": list(stored.observables),
        "value": [value for value, _ in stored.observables.values()],
    }
    for p, name in enumerate(stored.parameters):
        found[f"d/d {name}"] = [slope[p] for _, slope in stored.observables.values()]
    return found


def _parameters(stored: Any) -> Columns:
    """A row a parameter: its value, and the evidence for the derivatives by it."""
    names = list(stored.theta)
    found: Columns = {"parameter": names, "value": list(stored.theta.values())}
    if stored.sensitivity is None:
        return found
    trust, slope = stored.sensitivity.certificate, stored.sensitivity.position
    largest = np.linalg.norm(slope, axis=1).max(axis=0, initial=0.0)
    by = {
        "largest": largest,
        "error_bound": trust.error_bound,
        "falls_to": trust.validity_radius[:, 0],
        "rises_to": trust.validity_radius[:, 1],
        "one_percent_step": trust.one_percent_step,
    }
    place = {name: k for k, name in enumerate(stored.parameters)}
    for label, numbers in by.items():
        found[label] = [numbers[place[n]] if n in place else np.nan for n in names]
    return found


def _history(stored: Any) -> Columns:
    """A row a report of the relaxation."""
    step, energy, force = stored.history.T
    return {"step": step.astype(int), "energy": energy, "max_force": force}


TABLES: dict[str, Callable[[Any], Columns]] = {
    "particles": _particles,
    "observables": _observables,
    "parameters": _parameters,
    "history": _history,
}


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPackage(f"{name} is not installed: pip install 'simsens[analysis]'") from error
