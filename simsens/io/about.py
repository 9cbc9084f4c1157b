"""A result in brief: what ``simsens info`` tells, without reading an array over particles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from simsens.io import guarded, trajectory_group

DEEP = 20  # groups within groups


def facts(root: h5py.Group) -> dict[str, Any]:
    """What the group ``/simsens`` says of its run, as numbers, words, and lists and tables of them.

    Raises:
        Refused: damaged.
    """
    first = guarded.attribute(root, "schema_version") == 1
    still = guarded.group(root, "minimum" if first else "structure")
    shape = guarded.rows(still, "position" if first else "start", (None, None)).shape
    names = guarded.texts(still, "species_names", (None,))
    counts = np.bincount(guarded.numbers(still, "species", shape[:1], "i"), minlength=len(names))
    keys = guarded.texts(root, "theta/name", (None,))
    values = guarded.numbers(root, "theta/value", (len(keys),)).tolist()
    steps = guarded.rows(root.file, trajectory_group.STEP, (None,), "iu")
    found: dict[str, Any] = {
        "status": guarded.attribute(root, "status"),
        "schema_version": guarded.attribute(root, "schema_version"),
        "units": guarded.attribute(root, "units"),
        "particles": shape[0],
        "dimension": shape[1],
        "species": dict(zip(names, counts.tolist())),
        "boundary": list(guarded.attribute(still, "boundary")),
        "potential": guarded.attribute(guarded.group(root, "theta"), "potential"),
        "theta": dict(zip(keys, values)),
        "frames": min(int(guarded.attribute(root, "n_committed")), len(steps)),
    }
    if found["frames"]:
        found["last_step"] = int(steps[found["frames"] - 1])
    for name in ("minimum", "certificate", "moduli", "provenance"):
        if guarded.has(root, name):
            found[name] = guarded.attributes(guarded.group(root, name))
    found.get("minimum", {}).pop("boundary", None)  # of version 1, told already
    if guarded.has(root, "sensitivity"):
        found["sensitivity"] = _slopes(guarded.group(root, "sensitivity"))
        bound = guarded.numbers(root, "certificate/error_bound", (None,))
        found["certificate"]["error_bound"] = bound.tolist()
    found["holds"] = [
        name for name in ("sensitivity", "moduli", "modes", "checkpoint") if guarded.has(root, name)
    ]
    return found


def _slopes(group: h5py.Group) -> dict[str, Any]:
    names = guarded.texts(group, "parameter", (None,))
    observables = {
        name: {
            "value": float(guarded.numbers(group, f"observables/{name}/value", ())),
            "derivative": guarded.numbers(
                group, f"observables/{name}/d{name}_dtheta", (len(names),)
            ).tolist(),
        }
        for name in guarded.group(group, "observables")
    }
    return {"parameters": list(names), "observables": observables}


def tree(group: h5py.Group, indent: str = "") -> Iterator[str]:
    """The names below a group, a line each, with kind, shape, filters and attributes.

    Links to elsewhere are told and not followed, nor is a group that contains itself.
    """
    if len(indent) > 2 * DEEP:
        yield f"{indent}... deeper than {DEEP} groups"
        return
    for name in list(group)[: guarded.ENTRIES]:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            yield f"{indent}{name}  -> {type(link).__name__}, not followed"
            continue
        there = group[name]
        if isinstance(there, h5py.Group):
            yield f"{indent}{name}/{_attributes(there)}"
            yield from tree(there, indent + "  ")
        elif isinstance(there, h5py.Dataset):
            packed = f" {there.compression}" if there.compression else ""
            far = " stored in another file" if there.external or there.is_virtual else ""
            kind = "text" if h5py.check_string_dtype(there.dtype) else there.dtype
            shape = "empty" if there.shape is None else list(there.shape)
            yield f"{indent}{name}  {kind} {shape}{packed}{far}{_attributes(there)}"


def _attributes(there: Any) -> str:
    hidden = ("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "DIMENSION_LABELS")
    names = [name for name in there.attrs if name not in hidden]
    return f"  @{', @'.join(names)}" if names else ""
